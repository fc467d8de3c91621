"""The text of a message as a person would copy it out: without what cannot be seen, without HTML, without the history
that an answer drags along."""

from __future__ import annotations

import re

import html_text
import lxml.etree  # type: ignore[import-untyped]
import lxml.html  # type: ignore[import-untyped]
import quotequail  # type: ignore[import-untyped]

from notifiers.text import tidy

_HTML_MAX = 2_000_000  # characters
_NO_FURTHER = f"… (The HTML goes on: only its first {_HTML_MAX:,} characters were read.)"
_LOOKED_AT_LINES = 300
_LOOKED_AT_CHARACTERS = 200  # of a line

# RFC 3676, section 4.3, of which some software loses the blank; and what telephones add.
_SIGNATURE = re.compile(
    r"^(?:-- ?|(?:Sent from my|Sent from Outlook|Get Outlook for|Envoyé de mon|Von meinem .{1,40} gesendet)\b.{0,80})$",
    re.MULTILINE,
)


class Unreadable(Exception):
    """The message cannot be taken apart, or not at a bearable cost. The text says why, for a person."""


def html_to_text(html: str) -> str:
    """What HTML shows, in lines as it would be laid out; of a huge one the beginning, which says so. Raises
    `Unreadable`."""
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
        raise Unreadable("Its HTML is nested too deeply.")
    for hidden in tree.xpath("//head | //script | //style | //template | //noscript"):
        hidden.drop_tree()
    return str(html_text.extract_text(tree))


def only_new(text: str) -> str:
    """An answer without the message that it answers and without a signature; all of it, if that would be nothing."""
    top, bottom = _around_quoted(text.strip().split("\n"))
    found = "\n\n".join(filter(None, ("\n".join(_unsigned(part)).strip() for part in (top, bottom))))
    return found or text


def _around_quoted(lines: list[str]) -> tuple[list[str], list[str]]:
    """The lines before and after what is quoted. It is looked for among the first lines, and in the beginning of each:
    the library's time grows faster than the text."""
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
    """How many of `lines` make up `text`, which begins with the first that is not blank."""
    blank = next((place for place, line in enumerate(lines) if line.strip()), 0)
    return blank + text.count("\n") + 1


def _unsigned(lines: list[str]) -> list[str]:
    for place, line in enumerate(lines):
        if place and _SIGNATURE.fullmatch(line):
            return lines[:place]
    return lines
