"""Divides a reply into what its author wrote, and what is folded: the history that it quotes, and the signature.

History is folded only where it surely is history: nobody has written between its lines, and it quotes what we hold,
which the caller decides for each quoted message. All other text stays where it is. Nothing is dropped: both parts
together have every line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from notifiers.inbound.introductions import Introduction, Introductions, Kind, TextLine, line_of
from notifiers.inbound.signatures import signature


@dataclass(frozen=True, slots=True)
class Quoted:
    """A quoted message: the lines that introduce it, if any, and its text. If it `is_marked`, every line began with
    `>`, and `depth` is how often; otherwise what its reader wrote between the lines looks like the message."""

    introduction: str
    text: str
    is_marked: bool
    depth: int


@dataclass(frozen=True, slots=True)
class Divided:
    """`text` is what the author wrote, `quoted` what is folded; empty if nothing is."""

    text: str
    quoted: str


@dataclass(slots=True)
class _Region:
    """Lines that quote, from `start` to before `end`; `fold` is the line from which on they are folded."""

    start: int
    end: int
    is_marked: bool
    introduced: Introduction | None
    fold: int


Ours: TypeAlias = Callable[[Sequence[Quoted]], Sequence[bool]]
"""Which of the messages in one quote we hold."""


def _all_ours(messages: Sequence[Quoted]) -> Sequence[bool]:
    return [True] * len(messages)


def divided(text: str, sender: str = "", ours: Ours = _all_ours) -> Divided:
    """Divide a reply's text. `sender` is the name and address of its author, by which signatures are recognised; `ours`
    says which of the messages in one quote we hold. The text is kept whole if nothing else would remain of it."""
    raw = text.strip().split("\n")
    lines = [line_of(line) for line in raw]
    introductions = Introductions(lines)
    regions = list(_regions(lines, introductions))
    for region in regions:
        region.fold = _first_of_ours(lines, introductions, region, ours)
    _keep_answered(lines, regions)
    folded = [False] * len(lines)
    for region in regions:
        folded[region.fold : region.end] = [True] * (region.end - region.fold)
    for number, (start, end) in enumerate(list(_runs(folded, False))):
        found = signature(raw[start:end], sender, alone=number > 0)
        folded[start + found : end] = [True] * (end - start - found)
    own = _joined(raw, folded, False)
    return Divided(own, _joined(raw, folded, True)) if own else Divided(text.strip(), "")


def _regions(lines: Sequence[TextLine], introductions: Introductions) -> Iterator[_Region]:
    at = 0
    while at < len(lines):
        found = introductions.at(at) if lines[at].marks == 0 else None
        if found is None and lines[at].marks == 0:
            at += 1
            continue
        end = _end_of_marked(lines, at + (found.lines if found else 0))
        found = found or introductions.at(at)  # some programs mark it, too
        is_marked = end is not None
        region = _Region(at, len(lines) if end is None else end, is_marked, found, at)
        yield region
        at = region.end


def _end_of_marked(lines: Sequence[TextLine], at: int) -> int | None:
    """The end of the marked lines that begin here, after blank ones; None if the next line is not marked."""
    end = None
    for number in range(at, len(lines)):
        if lines[number].marks:
            end = number + 1
        elif lines[number].text.strip():
            break
    return end


def _first_of_ours(lines: Sequence[TextLine], introductions: Introductions, region: _Region, ours: Ours) -> int:
    """The line of the region's first quoted message from which on all are ours; its end, if the last one is not."""
    if region.introduced is not None and region.introduced.kind is Kind.FORWARD:
        return region.end
    starts, messages = zip(*_messages(lines, introductions, region), strict=True)
    kept = [number for number, is_ours in enumerate(ours(messages)) if not is_ours]
    return region.end if kept and kept[-1] + 1 == len(starts) else starts[kept[-1] + 1 if kept else 0]


def _messages(lines: Sequence[TextLine], introductions: Introductions, region: _Region) -> Iterator[tuple[int, Quoted]]:
    """The quoted messages of a region, each with its first line: a new one begins with an introduction, and where the
    depth of the marks changes."""
    start, text_from, at = region.start, region.start + (region.introduced.lines if region.introduced else 0), 0
    at = text_from
    depth: int | None = None
    while at < region.end:
        line = lines[at]
        found = introductions.at(at) if at > start else None
        changes = depth is not None and line.text.strip() and line.marks != depth
        if (found or changes) and at > text_from:
            yield start, _quoted(lines, start, text_from, at, region.is_marked)
            start = text_from = at
            depth = None
        if found:
            text_from = at = at + found.lines
            continue
        if line.text.strip():
            depth = line.marks
        at += 1
    yield start, _quoted(lines, start, text_from, region.end, region.is_marked)


def _quoted(lines: Sequence[TextLine], start: int, text_from: int, end: int, is_marked: bool) -> Quoted:
    head, text = lines[start:text_from], lines[text_from:end]
    depth = max((line.marks for line in text), default=0)
    return Quoted("\n".join(line.text for line in head), "\n".join(line.text for line in text), is_marked, depth)


def _keep_answered(lines: Sequence[TextLine], regions: list[_Region]) -> None:
    """Keep quotes between whose lines the author wrote: a quote without an introduction continues the one above it, or
    is what the text below it answers."""
    for number, region in enumerate(regions):
        if region.introduced is not None or region.end == 0:
            continue
        if number:
            regions[number - 1].fold = regions[number - 1].end
        after = regions[number + 1].start if number + 1 < len(regions) else len(lines)
        if any(line.text.strip() for line in lines[region.end : after]):
            region.fold = region.end


def _runs(folded: Sequence[bool], value: bool) -> Iterator[tuple[int, int]]:
    """The beginnings and ends of the lines that are folded, or not."""
    start = 0
    for end in range(1, len(folded) + 1):
        if end == len(folded) or folded[end] != folded[start]:
            if folded[start] is value:
                yield start, end
            start = end


def _joined(raw: Sequence[str], folded: Sequence[bool], value: bool) -> str:
    parts = ("\n".join(raw[start:end]).strip() for start, end in _runs(folded, value))
    return "\n\n".join(filter(None, parts))
