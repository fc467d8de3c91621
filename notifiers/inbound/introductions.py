"""The lines with which mail programs introduce a message that they quote, in the languages that they speak.

There are three forms: an attribution ("On Monday Ann wrote:"), a block of header lines ("From: …", "Sent: …"), and a
divider ("-----Original Message-----"). An attribution is recognised by what all languages have: a date, an address, a
colon at the end, and marked lines below. The verb decides where these are missing. Where one is found by mistake,
nothing is lost: only text that we hold is folded (`history.py`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from notifiers.inbound.languages import any_of, words

_LINES_MAX = 4  # of an attribution
_LINE_MAX = 300  # characters of a line that are looked at


class Kind(Enum):
    REPLY = "reply"
    FORWARD = "forward"


@dataclass(frozen=True, slots=True)
class TextLine:
    """A line without its marks (`>`), and how many there were."""

    marks: int
    text: str


@dataclass(frozen=True, slots=True)
class Introduction:
    """The number of its lines, and whether a reply or a forward quotes what follows."""

    lines: int
    kind: Kind


_MARKS = re.compile(r"[ \t]{0,3}(?:>[ \t]?)+")

_DATE = re.compile(
    r"\b(?:19|20|25)\d\d|\d{1,2}[./-]\d{1,2}[./-]\d{2,4}\b|\d{1,2}[:.h]\d\d\b|\d{1,2}[\u6642\u70b9\uc2dc\u6708]"
)
_ADDRESS = re.compile(r"[^\s<>()\[\]\"',;:@]+@[^\s<>()\[\]\"',;:@]+\.\w")
_VERBS = re.compile(any_of("wrote"), re.IGNORECASE)
_LEADS = re.compile(rf"\W*{any_of('leads')}", re.IGNORECASE)
_INSIDE = re.compile(r"[^\s>]\s+(?:On|Am|Le|El|Il|Em|Op|Den|W dniu)\s+(?:[^\W\d]+[.,]*\s+){0,3}\d")  # after other text
_COLON = "[:\uff1a]"
_DASH = "[-\u2013\u2014]"
_ENDS = re.compile(rf"{_COLON}\W{{0,3}}$|{_DASH}{{2,}}\s*$")

_FORWARDED = re.compile(any_of("forwarded", inside=True), re.IGNORECASE)
_ORIGINAL = re.compile(any_of("original", inside=True), re.IGNORECASE)
_RULE = re.compile(r"[\s*]*(?:[-_=*\u2013\u2014]\s?){5,}[\s*]*$")
_DIVIDER = re.compile(r"[\s*]*[-_=\u2013\u2014]{3,}\s?([^-_=\u2013\u2014].{1,80}?)\s?[-_=\u2013\u2014]{3,}[\s*]*$")
_HEADING = re.compile(rf"\W*(\w.{{3,60}}?)\s?{_COLON}\s*$")

_LABEL = re.compile(rf"[\s*_|]*([^\W\d_][^:\uff1a*_<>@]{{0,28}}?)[\s*_\u200e]*{_COLON}")
_LABELS = ("from", "sent", "to", "subject", "copies")
_KINDS = {word: kind for kind in reversed(_LABELS) for word in words(kind)}


def line_of(raw: str) -> TextLine:
    found = _MARKS.match(raw)
    if found is None:
        return TextLine(0, raw.replace("\xa0", " "))
    return TextLine(found[0].count(">"), raw[found.end() :].replace("\xa0", " "))


def introduction(lines: Sequence[TextLine], at: int) -> Introduction | None:
    """The introduction that begins with the line `at`, if any."""
    if not lines[at].text.strip():
        return None
    return _divider(lines, at) or _header(lines, at) or _attribution(lines, at)


def _divider(lines: Sequence[TextLine], at: int) -> Introduction | None:
    """A divider with words, or one without words that a block of header lines follows."""
    text = lines[at].text[:_LINE_MAX]
    below = _next(lines, at + 1)
    header = _header(lines, below) if below < len(lines) else None
    if _RULE.match(text):
        return Introduction(below - at + header.lines, header.kind) if header else None
    found = _DIVIDER.match(text) or _HEADING.match(text)
    if found is None:
        return None
    if _FORWARDED.search(found[1]) and (header or found.re is _DIVIDER):
        return Introduction(below - at + header.lines if header else 1, Kind.FORWARD)
    if header and (found.re is _DIVIDER or _ORIGINAL.search(found[1])):
        return Introduction(below - at + header.lines, header.kind)
    if found.re is _DIVIDER and (_ORIGINAL.search(found[1]) or _VERBS.search(found[1])):
        return Introduction(1, Kind.REPLY)
    return None


def _header(lines: Sequence[TextLine], at: int) -> Introduction | None:
    """A block of header lines, which may be wrapped, or have a blank line between them."""
    kinds: set[str] = set()
    end, cursor = at, at
    while cursor < len(lines) and lines[cursor].marks == lines[at].marks:
        kind = _label(lines[cursor].text)
        if kind:
            kinds.add(kind)
            end = cursor + 1
        elif not kinds or cursor - end >= 2:
            break
        cursor += 1
    enough = (("from", "sent"), ("from", "subject"), ("sent", "to"), ("to", "subject", "copies"))
    return Introduction(end - at, Kind.REPLY) if any(kinds.issuperset(some) for some in enough) else None


def _label(text: str) -> str | None:
    found = _LABEL.match(text[:_LINE_MAX])
    return _KINDS.get(" ".join(found[1].lower().split())) if found else None


def _attribution(lines: Sequence[TextLine], at: int) -> Introduction | None:
    """The fewest lines that are an attribution, if its date or address is in the first, or this begins like one."""
    first = lines[at].text[:_LINE_MAX]
    if _INSIDE.search(first) or not (
        _DATE.search(first) or _ADDRESS.search(first) or _LEADS.match(first) or _VERBS.search(first)
    ):
        return None
    joined = ""
    for count in range(1, _LINES_MAX + 1):
        here = lines[at + count - 1] if at + count <= len(lines) else None
        if here is None or here.marks != lines[at].marks or not here.text.strip():
            return None
        joined += f" {here.text[:_LINE_MAX].strip()}"
        if _attributes(joined, _is_marked_deeper(lines, at + count, lines[at].marks)):
            return None if count > 1 and _begins_later(lines, at, count) else Introduction(count, Kind.REPLY)
    return None


def _begins_later(lines: Sequence[TextLine], at: int, count: int) -> bool:
    """Whether the attribution is complete without its first line, which is not the beginning of one."""
    rest = " ".join(line.text[:_LINE_MAX].strip() for line in lines[at + 1 : at + count])
    first = lines[at].text
    return bool(_DATE.search(rest)) and _attributes(rest, False) and not (_LEADS.match(first) and len(first) < 40)


def _attributes(joined: str, is_marked: bool) -> bool:
    """Whether this is an attribution, `is_marked` if marked lines follow."""
    date, verb, address = _DATE.search(joined), _VERBS.search(joined), _ADDRESS.search(joined)
    if _ENDS.search(joined):
        return sum(map(bool, (date, verb, address))) >= (1 if is_marked else 2)
    ends_with_verb = verb is not None and len(joined) - verb.end() < 25
    return (is_marked and bool(date and address)) or bool(date and ends_with_verb and (address or is_marked))


def _is_marked_deeper(lines: Sequence[TextLine], at: int, marks: int) -> bool:
    below = _next(lines, at)
    return below < len(lines) and lines[below].marks > marks


def _next(lines: Sequence[TextLine], at: int) -> int:
    """The next line that is not blank."""
    while at < len(lines) and not lines[at].text.strip():
        at += 1
    return at
