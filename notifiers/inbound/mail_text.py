"""The text that a reader of a message in HTML sees."""

from __future__ import annotations

import html_text
import lxml.etree  # type: ignore[import-untyped]
import lxml.html  # type: ignore[import-untyped]

from notifiers.text import tidy

_HTML_MAX = 2_000_000  # characters
_NO_FURTHER = f"… (The HTML was shortened: only its first {_HTML_MAX:,} characters were read.)"


class Unreadable(Exception):
    """The message cannot be parsed, or only at too high a cost. The text is the reason, for admins to read."""


def html_to_text(html: str) -> str:
    """Returns the text that HTML shows, in lines as laid out. HTML of more than 2 million characters is cut, with a
    remark that says so. Raises `Unreadable` if it is nested too deeply."""
    html = tidy(html)
    if len(html) > _HTML_MAX:
        return f"{html_to_text(html[:_HTML_MAX])}\n\n{_NO_FURTHER}"
    if not html.strip():
        return ""
    parser = lxml.html.HTMLParser(huge_tree=True, remove_comments=True, remove_pis=True, encoding="utf-8")
    try:
        tree = lxml.html.document_fromstring(html.encode(), parser=parser)
    except lxml.etree.ParserError:  # nothing but comments
        return ""
    if parser.error_log.filter_from_fatals():
        raise Unreadable("The HTML is nested too deeply.")
    for hidden in tree.xpath("//head | //script | //style | //template | //noscript"):
        hidden.drop_tree()
    return str(html_text.extract_text(tree))
