"""What identifies a person, as regular expressions that find it in free text.

A pattern means the same to PostgreSQL and to Python, ignoring case. It finds whole words only: the name "Li" is not
found in "alive". Phone numbers are found however their digits are grouped, with or without a country's code, and names
also as "Bell, Ann".
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Self

SHORTEST: Final = 2
"""Letters and digits of a value that is replaced in free text. A single one identifies nobody."""

_DISTINCTIVE_NAME: Final = 7  # letters, in two words or more
_DISTINCTIVE_NUMBER: Final = 7  # letters and digits
_DISTINCTIVE_PHONE: Final = 7  # digits
_COMPARED_DIGITS: Final = 9  # of a phone number, from its end

_NOTHING: Final = "(?!x)x"
_BETWEEN_DIGITS: Final = r"[\s()./-]*"
# Before the compared digits: the country's code, a zero, and the first digit of a number of ten.
_CODE: Final = (
    rf"(?:(?:\+|00){_BETWEEN_DIGITS}\d{{1,3}}{_BETWEEN_DIGITS}|1{_BETWEEN_DIGITS})?(?:0{_BETWEEN_DIGITS})?\(?\d?"
)
_EXTENSION: Final = re.compile(r"[a-z#*,;]", re.IGNORECASE)
_ASCII_PUNCTUATION: Final = re.compile(r"([!-/:-@\[-^`{-~])")


@dataclass(frozen=True, slots=True)
class Sought:
    """Values that identify a person; `texts` are account numbers and addresses."""

    names: frozenset[str] = frozenset()
    emails: frozenset[str] = frozenset()
    phones: frozenset[str] = frozenset()
    texts: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls,
        names: Iterable[str | None] = (),
        emails: Iterable[str | None] = (),
        phones: Iterable[str | None] = (),
        texts: Iterable[str | None] = (),
    ) -> Self:
        return cls(*(frozenset(filter(None, values)) for values in (names, emails, phones, texts)))

    @classmethod
    def of_json(cls, document: Mapping[str, list[str]]) -> Self:
        return cls.of(**document)

    def as_json(self) -> dict[str, list[str]]:
        return {name: sorted(values) for name, values in asdict(self).items()}

    def __or__(self, other: Sought) -> Sought:
        return Sought(*(getattr(self, each.name) | getattr(other, each.name) for each in fields(self)))

    def without(self, forms: Iterable[str]) -> Sought:
        """The values but for these, in lower case."""
        left_out = frozenset(forms)
        kept: Any = (
            {value for value in getattr(self, each.name) if _form(value) not in left_out} for each in fields(self)
        )
        return Sought(*map(frozenset, kept))

    @property
    def distinctive(self) -> Sought:
        """The values that mean this person wherever they stand."""
        return Sought(
            frozenset(name for name in self.names if len(name.split()) > 1 and _size(name) >= _DISTINCTIVE_NAME),
            self.emails,
            frozenset(phone for phone in self.phones if len(_digits(phone)) >= _DISTINCTIVE_PHONE),
            frozenset(text for text in self.texts if _size(text) >= _DISTINCTIVE_NUMBER and _is_mixed(text)),
        )

    @property
    def forms(self) -> list[str]:
        """All values in lower case."""
        return sorted({_form(value) for each in fields(self) for value in getattr(self, each.name)})

    @property
    def pattern(self) -> str:
        """The pattern that finds the values in free text; those shorter than `SHORTEST` are not sought."""
        emails, long, others = self._parts()
        found = []
        if emails:
            found.append(rf"(?<![\w.+-]){emails}(?![\w-]|\.\w)")  # not the end or the beginning of another address
        if long:
            found.append(rf"(?<!\w){_CODE}{long}(?!\w)")
        if others:
            found.append(rf"(?<!\w){others}(?!\w)")
        return "|".join(found) or _NOTHING

    @property
    def anywhere(self) -> str:
        """The pattern that finds the values within other words as well, as in keys that programs make of them."""
        return "|".join(filter(None, self._parts())) or _NOTHING

    def _parts(self) -> tuple[str, str, str]:
        """The patterns of e-mail addresses, of long phone numbers, and of the rest."""
        words = {word for word in (*self.names, *self.texts, *_reversed(self.names)) if _size(word) >= SHORTEST}
        numbers = [digits for digits in map(_digits, self.phones) if len(digits) >= SHORTEST]
        short = [_dialled(each) for each in numbers if len(each) <= _COMPARED_DIGITS]
        return (
            _alternatives(map(_spelt, self.emails)),
            _alternatives(_dialled(each[-_COMPARED_DIGITS:]) for each in numbers if len(each) > _COMPARED_DIGITS),
            _alternatives([*(_spelt(form) for word in words for form in _forms(word)), *short]),
        )


def _alternatives(patterns: Iterable[str]) -> str:
    ordered = sorted(set(patterns), key=lambda pattern: (-len(pattern), pattern))  # the longest one that fits
    return f"(?:{'|'.join(ordered)})" if ordered else ""


def _spelt(value: str) -> str:
    return r"\s+".join(_ASCII_PUNCTUATION.sub(r"\\\1", word) for word in value.split())


def _dialled(digits: str) -> str:
    return _BETWEEN_DIGITS.join(digits)


def _digits(phone: str) -> str:
    number = _EXTENSION.split(phone)[0]
    return "".join(filter(str.isdigit, number)) or "".join(filter(str.isdigit, phone))


def _reversed(names: Iterable[str]) -> Iterator[str]:
    for name in names:
        *given, family = name.split()
        if given:
            yield f"{family}, {' '.join(given)}"


def _forms(value: str) -> set[str]:
    """The value with accents as characters of their own, and without."""
    return {unicodedata.normalize(form, value) for form in ("NFC", "NFD")}


def _form(value: str) -> str:
    return " ".join(value.lower().split())


def _size(value: str) -> int:
    return sum(map(str.isalnum, value))


def _is_mixed(value: str) -> bool:
    return any(map(str.isdigit, value)) and any(map(str.isalpha, value))
