"""Phone numbers in search terms.

A number may be typed and stored with its country's code or without it, with a zero in front or without it, and with any
punctuation. What all of these have in common is the national number, which each ends in. So a typed number is reduced
to the digits of its national number, and is looked for among the digits of stored ones.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

DIGITS_MIN: Final = 4
"""Fewer digits are not taken for a phone number."""

_HYPHENS: Final = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2015\u2212"), "-")
_NUMBER: Final = re.compile(
    r"(?<![\w/.-])[+(]*\d(?:[\d\s()./-]*\d)?(?:\s*(?:ext?\.?|x|#|;ext=)\s*\d{1,6})?(?![\w/-])", re.IGNORECASE
)
_EXTENSION: Final = re.compile(r"\s*[a-z#;].*", re.IGNORECASE | re.DOTALL)


def with_digits(term: str) -> str | None:
    """The search term with the digits of the national number in place of each phone number; None if that makes no
    difference."""
    plain = unicodedata.normalize("NFKC", term).translate(_HYPHENS)
    replaced = _NUMBER.sub(lambda match: _national(match[0]), plain)
    return None if replaced == plain else replaced


def _national(typed: str) -> str:
    number = _EXTENSION.sub("", typed)
    digits = "".join(filter(str.isdecimal, number))
    if len(digits) < DIGITS_MIN:
        return typed
    if "+" in number:
        national = _without_country(digits)
    elif digits.startswith("00"):
        national = _without_country(digits[2:])
    elif digits.startswith("011") and len(digits) > 12:  # a call abroad from North America
        national = _without_country(digits[3:])
    elif len(digits) > 10:
        national = _without_country(digits)
    else:
        national = None
    return national or digits.lstrip("0") or digits


def _without_country(digits: str) -> str | None:
    """The national number of an international one; None if there is no such number."""
    # Imported here, because it takes 40 ms, and only servers that search need it.
    from phonenumbers import NumberParseException, is_possible_number, national_significant_number, parse

    try:
        parsed = parse(f"+{digits}")
    except NumberParseException:
        return None
    return national_significant_number(parsed) if is_possible_number(parsed) else None
