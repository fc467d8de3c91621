"""The visible text of a message, without HTML and without the quoted history and signature of a reply."""

from __future__ import annotations

import re

import html_text
import lxml.etree  # type: ignore[import-untyped]
import lxml.html  # type: ignore[import-untyped]
import quotequail  # type: ignore[import-untyped]

from notifiers.text import tidy

_HTML_MAX = 2_000_000  # characters
_NO_FURTHER = f"… (The HTML was shortened: only its first {_HTML_MAX:,} characters were read.)"
_LOOKED_AT_LINES = 300
_LOOKED_AT_CHARACTERS = 200  # of a line

# The separator of RFC 3676, section 4.3, whose space some software drops, and the lines that phones add.
_SIGNATURE = re.compile(
    r"^(?:-- ?|(?:Sent from my|Sent from Outlook|Get Outlook for|Envoyé de mon|Von meinem .{1,40} gesendet)\b.{0,80})$",
    re.MULTILINE,
)


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


def only_new(text: str) -> str:
    """Returns a reply's own text, without the quoted message and the signature; the whole text, if nothing remains."""
    top, bottom = _around_quoted(text.strip().split("\n"))
    found = "\n\n".join(filter(None, ("\n".join(_unsigned(part)).strip() for part in (top, bottom))))
    return found or text


def _around_quoted(lines: list[str]) -> tuple[list[str], list[str]]:
    """The lines before and after the quoted message. Only the beginnings of the first lines are searched, as the
    library's running time grows faster than the text."""
    beginnings = [line[:_LOOKED_AT_CHARACTERS] for line in lines[:_LOOKED_AT_LINES]]
    found = quotequail.unwrap("\n".join(beginnings))
    if found is None:
        return lines, []
    top = found.get("text_top", "")
    bottom = found.get("text_bottom", "")
    before = lines[: _position(beginnings, top)] if top else []
    after = lines[len(beginnings) - _position(beginnings[::-1], bottom) :] if bottom else []
    return before, after


def _position(lines: list[str], text: str) -> int:
    """The number of `lines` up to the end of `text`, which begins with the first line that is not blank."""
    blank = next((index for index, line in enumerate(lines) if line.strip()), 0)
    return blank + text.count("\n") + 1


def _unsigned(lines: list[str]) -> list[str]:
    for index, line in enumerate(lines):
        if index and _SIGNATURE.fullmatch(line):
            return lines[:index]
    return lines
