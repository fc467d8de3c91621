"""The words that mail programs write around the text of a message, in the languages of `languages.toml`."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

_Language = Mapping[str, Sequence[str]]

LANGUAGES: Mapping[str, _Language] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))

_SPACED = re.compile(r"[^\W\d_\u0e00-\u0e7f\u3040-\u9fff\uac00-\ud7af\u0590-\u06ff\u0900-\u097f]")
"""A letter of a script that has spaces between words, and no endings that this ignores."""


def words(kind: str) -> frozenset[str]:
    """The words of a kind in all languages."""
    return frozenset(word for language in LANGUAGES.values() for word in language.get(kind, ()))


class Phrases:
    """Finds the words of a kind in a text. Most texts have none, which is found out without the pattern."""

    def __init__(self, kind: str, *, inside: bool = False) -> None:
        self._firsts = sorted({word.split()[0] for word in words(kind)})
        self._pattern = re.compile(any_of(kind, inside=inside), re.IGNORECASE)

    def search(self, text: str) -> re.Match[str] | None:
        folded = text.lower()
        return self._pattern.search(text) if any(word in folded for word in self._firsts) else None


def any_of(kind: str, *, inside: bool = False) -> str:
    """A pattern for any word of a kind; a part of a longer word counts only if it may stand `inside` it, or if its
    script has no spaces."""
    longest_first = sorted(words(kind), key=lambda word: (-len(word), word))
    return f"(?:{'|'.join(_pattern(word, inside) for word in longest_first)})"


def _pattern(word: str, inside: bool) -> str:
    pattern = r"\s+".join(map(re.escape, word.split()))
    if inside:
        return pattern
    before = r"(?<!\w)" if _SPACED.match(word[0]) else ""
    return before + pattern + (r"(?!\w)" if _SPACED.match(word[-1]) else "")
