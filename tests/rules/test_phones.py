"""Phone numbers in search terms become the digits in which all spellings of a number end."""

from __future__ import annotations

import pytest

from db.lists.phones import with_digits


@pytest.mark.parametrize(
    ("term", "digits"),
    [
        ("+1 613-555-1234", "6135551234"),
        ("001 613 555 1234", "6135551234"),
        ("1-613-555-1234", "6135551234"),
        ("(613) 555 1234", "6135551234"),
        ("613.555.1234 ext. 5", "6135551234"),
        ("613-555-1234x5", "6135551234"),
        ("+44 (0)20 7946 0958", "2079460958"),
        ("0044 20 7946 0958", "2079460958"),
        ("011 44 20 7946 0958", "2079460958"),
        ("020 7946 0958", "2079460958"),
        ("+45 12345678", "12345678"),
        ("01 23 45 67 89", "123456789"),
        ("555-1234", "5551234"),
        ("555\u20111234", "5551234"),
        ("５５５－１２３４", "5551234"),  # noqa: RUF001
        ("smith (613) 555-1234", "smith 6135551234"),
        ("613-555-1234 or +44 20 7946 0958", "6135551234 or 2079460958"),
    ],
)
def test_a_number_becomes_its_national_digits(term: str, digits: str) -> None:
    assert with_digits(term) == digits


@pytest.mark.parametrize(
    "term", ["6135551234", "1234", "door", "12 elm street", "CUST-1001", "TKT-234567", "100%", "+", "0000", ""]
)
def test_other_terms_stay_as_they_are(term: str) -> None:
    assert with_digits(term) is None


@pytest.mark.parametrize("term", ["1-" * 100, "(" * 200, "+1" * 100, "0" * 200, "1 " * 99 + "x", "9" * 200])
def test_any_term_of_two_hundred_characters_is_read(term: str) -> None:
    digits = with_digits(term)
    assert digits is None or len(digits) <= len(term)
