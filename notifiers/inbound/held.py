"""Whether a message that a reply quotes is one that we hold: then the reply need not repeat it.

Words are compared, without their layout: mail programs wrap lines, and replace quotes, dashes and spaces.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Final

from notifiers.inbound.history import Quoted

_HELD_MAX: Final = 300_000  # characters of what we hold that are searched
_LINES_MAX: Final = 2_000  # of all that is quoted; the rest counts as not held
_FRAMED_MAX: Final = 5_000  # characters between lines that we hold
_SHORT: Final = 12  # letters and digits that may occur anywhere by chance
_TEMPLATES: Final = Path(__file__).parents[1] / "templates"

_LINK = re.compile(r"<?\b(?:https?://|mailto:|cid:|tel:)[^\s>\])]*[>\])]?", re.IGNORECASE)
_NO_WORD = re.compile(r"[\W_]+")
_TIME = re.compile(r"\d{1,2}[a-z]{3,9}20\d\d\d{3,4}[a-z]{0,20}")
_MARKUP = re.compile(r"\{#.*?#\}|<style.*?</style>|<[^>]*>", re.DOTALL)
_EXPRESSION = re.compile(r"\{\{(.*?)\}\}|\{%(.*?)%\}", re.DOTALL)
_LITERAL = re.compile(r'"([^"]*)"')


class Held:
    """What we hold of a ticket. `texts` are its description, notes and the like, the most important first; `names` are
    the short texts that our mails about it have besides; `addresses` are our own, in lower case. `answers_us` says
    whether the reply answers a mail of ours, and `only_marks` whether its text is as its mail program has marked it:
    then lines without marks are the only ones that its author can have written."""

    def __init__(
        self,
        texts: Iterable[str],
        names: Iterable[str],
        addresses: frozenset[str],
        *,
        answers_us: bool,
        only_marks: bool,
    ) -> None:
        self._texts = _first([squeezed(text) for text in texts])
        self._pieces = sorted({*_phrases(), *filter(None, map(squeezed, names))}, key=len, reverse=True)
        self._addresses = addresses
        self._mailboxes = {address.partition("@")[0] for address in addresses}
        self._answers_us = answers_us
        self._only_marks = only_marks
        self._lines_left = _LINES_MAX
        self._framed_left = _FRAMED_MAX

    def __call__(self, messages: Sequence[Quoted]) -> list[bool]:
        """Which of the messages in one quote are ours. What we have quoted ourselves is ours as well."""
        found, inherited = [], False
        for number, message in enumerate(messages):
            inherited = inherited or self._is_from_us(message, is_first=number == 0)
            found.append(inherited or self._has(message.text))
        return found

    def _is_from_us(self, message: Quoted, *, is_first: bool) -> bool:
        if not (message.is_marked and self._only_marks):
            return False
        above = message.introduction.lower()
        named = any(address in above for address in self._addresses)
        if "@" not in above:
            named = any(re.search(rf"\b{re.escape(name)}\b", above) for name in self._mailboxes)
        return named or (is_first and self._answers_us and message.depth == 1)

    def _has(self, text: str) -> bool:
        lines = [line for line in map(squeezed, text.split("\n")) if line]
        self._lines_left -= len(lines)
        if self._lines_left < 0:
            return False
        held = [self._has_line(lines, number) for number in range(len(lines))]
        missing = groupby(zip(lines, held, strict=True), key=lambda pair: pair[1])
        return all(is_held or self._is_framed("".join(line for line, _ in run)) for is_held, run in missing)

    def _has_line(self, lines: Sequence[str], number: int) -> bool:
        line = lines[number]
        if len(line) >= _SHORT:
            return any(line in text for text in self._texts)
        before, after = lines[max(number - 1, 0)], lines[min(number + 1, len(lines) - 1)]
        if len(lines) == 1:
            return line in self._texts
        joined = [before + line] * (number > 0) + [line + after] * (number + 1 < len(lines))
        return any(each in text for each in joined for text in self._texts)

    def _is_framed(self, words: str) -> bool:
        """Whether this is made of the phrases of our mails, and of the names and times in them."""
        self._framed_left -= len(words)
        if self._framed_left < 0:
            return False
        reached = [True] + [False] * len(words)
        for at in range(len(words)):
            if not reached[at]:
                continue
            for piece in self._pieces:
                if words.startswith(piece, at):
                    reached[at + len(piece)] = True
            if time := _TIME.match(words, at):
                reached[time.end()] = True
        return reached[-1]


def squeezed(text: str) -> str:
    """The letters and digits of a text, in lower case, without links."""
    return _NO_WORD.sub("", unicodedata.normalize("NFKC", _LINK.sub(" ", text)).casefold())


def _first(texts: Sequence[str]) -> list[str]:
    """The first texts, as many as are searched."""
    found, left = [], _HELD_MAX
    for text in texts:
        if text and left > 0:
            found.append(text[:left])
            left -= len(text)
    return found


@cache
def _phrases() -> frozenset[str]:
    """The phrases that the templates of our mails consist of."""
    found: list[str] = []
    for path in _TEMPLATES.iterdir():
        text = path.read_text()
        found += [literal for pair in _EXPRESSION.findall(text) for part in pair for literal in _LITERAL.findall(part)]
        found += _EXPRESSION.sub("\n", _MARKUP.sub("\n", text)).split("\n")
    return frozenset(phrase for phrase in map(squeezed, found) if len(phrase) > 1)
