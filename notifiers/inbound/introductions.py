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

from notifiers.inbound.languages import Phrases, any_of, words

_LINES_MAX = 4  # of an attribution
_LINE_MAX = 300  # characters of a line that are looked at
_HEADER_LINES_MAX = 30
_LOOKED_AT_MAX = 5_000  # lines
_ENDS_MAX = 20  # characters in which an attribution's end is looked for
_VERB_AT_END = 40  # characters in which the verb stands, if there is no colon


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
_ADDRESS = re.compile(r"[^\s<>()\[\]\"',;:@]{1,64}@[^\s<>()\[\]\"',;:@]+\.\w")
_VERBS = Phrases("wrote")
_LEADS = re.compile(rf"\W{{0,3}}{any_of('leads')}", re.IGNORECASE)
_INSIDE = re.compile(r"[^\s>]\s+(?:On|Am|Le|El|Il|Em|Op|Den|W dniu)\s+(?:[^\W\d]+[.,]*\s+){0,3}\d")  # after other text
_COLON = "[:\uff1a]"
_DASH = "[-\u2013\u2014]"
_ENDS = re.compile(rf"{_COLON}\W{{0,3}}$|{_DASH}{{2,}}\s*$")

_FORWARDED = Phrases("forwarded", inside=True)
_ORIGINAL = Phrases("original", inside=True)
_RULE = re.compile(r"[\s*]*(?:[-_=*\u2013\u2014]\s?){5,}[\s*]*$")
_DIVIDER = re.compile(r"[\s*]*[-_=\u2013\u2014]{3,}\s?([^-_=\u2013\u2014].{1,80}?)\s?[-_=\u2013\u2014]{3,}[\s*]*$")
_HEADING = re.compile(rf"\W{{0,3}}(\w.{{3,60}}?)\s?{_COLON}\s*$")

_LABEL = re.compile(rf"[\s*_|]*([^\W\d_][^:\uff1a*_<>@]{{0,28}}?)[\s*_\u200e]*{_COLON}")
_LABELS = ("from", "sent", "to", "subject", "copies")
_KINDS = {word: kind for kind in reversed(_LABELS) for word in words(kind)}
_ENOUGH = ({"from", "sent"}, {"from", "subject"}, {"sent", "to"}, {"to", "subject", "copies"})


def line_of(raw: str) -> TextLine:
    found = _MARKS.match(raw)
    if found is None:
        return TextLine(0, raw.replace("\xa0", " "))
    return TextLine(found[0].count(">"), raw[found.end() :].replace("\xa0", " "))


class Introductions:
    """Finds the introductions in these lines, and none after the first 5,000 of them."""

    def __init__(self, lines: Sequence[TextLine]) -> None:
        self._lines = lines
        self._texts = [line.text[:_LINE_MAX].strip() for line in lines]
        self._labels: dict[int, str | None] = {}  # kinds of header lines, by number
        self._next = [len(lines)] * (len(lines) + 1)  # of each line, itself or the next that is not blank
        for number in range(len(lines) - 1, -1, -1):
            self._next[number] = number if self._texts[number] else self._next[number + 1]

    def at(self, number: int) -> Introduction | None:
        """The introduction that begins with this line, if any."""
        if not self._texts[number] or number >= _LOOKED_AT_MAX:
            return None
        return self._divider(number) or self._header(number) or self._attribution(number)

    def _divider(self, number: int) -> Introduction | None:
        """A divider with words, or one without words that a block of header lines follows."""
        text = self._texts[number]
        found = _DIVIDER.match(text) or _HEADING.match(text)
        if found is None and not _RULE.match(text):
            return None
        below = self._next[number + 1]
        header = self._header(below) if below < len(self._lines) else None
        whole = below - number + (header.lines if header else 0)
        if found is None:
            return Introduction(whole, Kind.REPLY) if header else None
        is_divider = found.re is _DIVIDER
        if (header or is_divider) and _FORWARDED.search(found[1]):
            return Introduction(whole if header else 1, Kind.FORWARD)
        if header and (is_divider or _ORIGINAL.search(found[1])):
            return Introduction(whole, Kind.REPLY)
        if is_divider and (_ORIGINAL.search(found[1]) or _VERBS.search(found[1])):
            return Introduction(1, Kind.REPLY)
        return None

    def _header(self, number: int) -> Introduction | None:
        """A block of header lines, which may be wrapped, or have a blank line between them."""
        kinds: set[str] = set()
        end = number
        for cursor in range(number, min(number + _HEADER_LINES_MAX, len(self._lines))):
            if self._lines[cursor].marks != self._lines[number].marks:
                break
            kind = self._label(cursor)
            if kind:
                kinds.add(kind)
                end = cursor + 1
            elif not kinds or cursor - end >= 2:
                break
        return Introduction(end - number, Kind.REPLY) if any(map(kinds.issuperset, _ENOUGH)) else None

    def _label(self, number: int) -> str | None:
        if number not in self._labels:
            found = _LABEL.match(self._texts[number])
            self._labels[number] = _KINDS.get(" ".join(found[1].lower().split())) if found else None
        return self._labels[number]

    def _attribution(self, number: int) -> Introduction | None:
        """The fewest lines that are an attribution, if its first has a date, an address or a verb, or begins like
        one."""
        first, marks = self._texts[number], self._lines[number].marks
        joined = ""
        for count in range(1, _LINES_MAX + 1):
            last = number + count - 1
            if last >= len(self._lines) or self._lines[last].marks != marks or not self._texts[last]:
                return None
            joined += f" {self._texts[last]}"
            below = self._next[last + 1]
            is_marked = below < len(self._lines) and self._lines[below].marks > marks
            if _attributes(joined, is_marked):
                return Introduction(count, Kind.REPLY) if _begins(first, self._texts[number + 1 : last + 1]) else None
        return None


def _begins(first: str, others: Sequence[str]) -> bool:
    """Whether an attribution begins with this line: not after other text, and not with the line below it."""
    if _INSIDE.search(first):
        return False
    is_lead = _LEADS.match(first) is not None
    if not (is_lead or _DATE.search(first) or _ADDRESS.search(first) or _VERBS.search(first)):
        return False
    rest = " ".join(others)
    return not (_DATE.search(rest) and _attributes(rest, False)) or (is_lead and len(first) < 40)


def _attributes(joined: str, is_marked: bool) -> bool:
    """Whether this is an attribution, `is_marked` if marked lines follow."""
    ends = _ENDS.search(joined[-_ENDS_MAX:]) is not None
    date, address = _DATE.search(joined) is not None, "@" in joined and _ADDRESS.search(joined) is not None
    if ends and (date + address >= (1 if is_marked else 2)):
        return True
    if ends and (date or address or is_marked):
        return _VERBS.search(joined) is not None
    if date and (address or is_marked):
        return (address and is_marked) or _VERBS.search(joined[-_VERB_AT_END:]) is not None
    return False
