"""Checks of single values at their limits; `tests/api/test_bad_input.py` tests them in every input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from db import limits
from db.ids import new_id
from resolvers.checks import Checks, label
from resolvers.mutation import Refused, UserErrorCode


def checked(check: Callable[..., Any], *given: Any) -> Any:
    """Returns the value as it is to be stored, or the codes of the user errors."""
    checks = Checks()
    value = check(checks, *given)
    return [error.code.value for error in checks.errors] or value


@pytest.mark.parametrize("character", ["x", "é", "日", "😀"])
def test_the_length_of_a_text_is_counted_in_characters(character: str) -> None:
    for length in (1, 9, 10):
        text = character * length
        assert checked(Checks.text, text, 10, "a") == text
        assert checked(Checks.line, f" \t{text}\r\n", 10, "a") == text
    for check in (Checks.text, Checks.optional_text, Checks.line, Checks.optional_line):
        assert checked(check, character * 11, 10, "a") == ["TOO_LONG"]


@pytest.mark.parametrize("blank", [None, "", " ", "\t\r\n", "\u00a0\u3000"])
def test_a_blank_value_is_none_if_optional_and_an_error_if_required(blank: str | None) -> None:
    for optional in (Checks.optional_text, Checks.optional_line):
        assert checked(optional, blank, 10, "a") is None
    for required in (Checks.text, Checks.line):
        assert checked(required, blank, 10, "a") == ["REQUIRED"]
    assert checked(Checks.email, blank, "a") == ["REQUIRED"]
    assert checked(Checks.phone, blank, "a") is None
    assert checked(Checks.webhook, blank, "a") is None


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n", "\x0b", "\x0c", "\x85", "\u2028", "\u2029"])
def test_a_line_cannot_contain_a_line_end_but_a_text_can(end: str) -> None:
    text = f"a{end}b"
    assert checked(Checks.text, text, 10, "a") == text
    assert checked(Checks.line, text, 10, "a") == ["INVALID"]
    assert checked(Checks.optional_line, text, 10, "a") == ["INVALID"]
    assert checked(Checks.line, text, 2, "a") == ["TOO_LONG"]  # only this error


@pytest.mark.parametrize("text", ["a\0b", "\0", "a\ud800", "\udfff"])
def test_text_that_cannot_be_stored_is_one_error(text: str) -> None:
    for check in (Checks.text, Checks.optional_text, Checks.line, Checks.optional_line):
        assert checked(check, text, 10, "a") == ["INVALID"]
    assert checked(Checks.email, text, "a") == ["INVALID"]


@pytest.mark.parametrize(
    ("address", "good"),
    [
        *((f"{'x' * length}@b.ca", length <= 64) for length in (1, 63, 64, 65)),
        *((f"x@{'b' * length}.ca", length <= 63) for length in (1, 62, 63, 64)),
        *((f"x@b.{'c' * length}", length <= 63) for length in (1, 63, 64)),
        *((f"x@b.{last}", good) for last, good in (("1a", True), ("a1", True), ("11", False), ("a-1", True))),
        *((f"x@{label}.ca", good) for label, good in (("a-b", True), ("-ab", False), ("ab-", False), ("a_b", False))),
        *((f"{local}@b.ca", good) for local, good in (("a.b", True), (".a", False), ("a.", False), ("a..b", False))),
        *((f"a{character}b@b.ca", False) for character in ' ()<>@,;:\\"[]\x7f\xa0\xad\u200b\u202e\u3000'),
        *((f"a{character}b@b.ca", True) for character in "!#$%&'*+-/=?^_`{|}~é用"),
        *((address, False) for address in ("a", "a@b", "@b.ca", "a@", "a@b.ca.", "a@.b.ca", "a@b..ca", "A <a@b.ca>")),
    ],
)
def test_an_address_is_one_mailbox_at_a_domain(address: str, good: bool) -> None:
    assert checked(Checks.email, f" {address} ", "a") == (address if good else ["INVALID"])


@pytest.mark.parametrize(("length", "expected"), [(253, None), (254, None), (255, ["TOO_LONG"])])
def test_an_address_longer_than_254_characters_is_refused(length: int, expected: list[str] | None) -> None:
    address = "x@" + ("b" * 61 + ".") * 4
    address += "c" * (length - len(address))
    assert (len(address), limits.EMAIL_MAX) == (length, 254)
    assert checked(Checks.email, address, "a") == (expected or address)


@pytest.mark.parametrize(
    ("number", "good"),
    [
        *((number, True) for number in ("1", "+1 (613) 555-1234 ext. 12", "613.555/1234 EXT x9", "*69,,#;5", "5" * 40)),
        *((number, False) for number in ("ext", "+", "-", "1a", "1\n2", "\u0661", "5_5", "tel:5", "5&6", "5@6")),
    ],
)
def test_a_phone_number_has_digits_and_common_separators(number: str, good: bool) -> None:
    assert checked(Checks.phone, number, "a") == (number if good else ["INVALID"])
    assert checked(Checks.phone, "5" * 41, "a") == ["TOO_LONG"]


@pytest.mark.parametrize(
    ("url", "good"),
    [
        *(
            (url, True)
            for url in ("https://a.test", "https://a.test:8443/b?c=d&e=%2F#f", "HTTPS://a.test/", "https://[::1]/")
        ),
        *((url, False) for url in ("http://a.test", "ftp://a.test", "a.test", "//a.test", "https:a.test", "https://")),
        *((url, False) for url in ("https://a@b.test", "https://a:b@c.test", "https://@b.test", "https://a.test/b c")),
        *((url, False) for url in ("https://a.test:0", "https://a.test:65536", "https://a.test:x", "https://[::1")),
        *((f"https://a.test/{character}b", False) for character in "\t\x01\x7f\u3000\n"),
    ],
)
def test_a_webhook_is_a_plain_https_url(url: str, good: bool) -> None:
    assert checked(Checks.webhook, url, "a") == (url if good else ["INVALID"])


@pytest.mark.parametrize(("length", "good"), [(1_999, True), (2_000, True), (2_001, False)])
def test_a_webhook_longer_than_2000_characters_is_refused(length: int, good: bool) -> None:
    url = "https://a.test/".ljust(length, "é")
    assert checked(Checks.webhook, url, "a") == (url if good else ["TOO_LONG"])


def test_an_id_must_have_the_prefix_of_its_kind() -> None:
    key = new_id()
    assert checked(Checks.key, f"tkt_{key}", "tkt", "ticket", "a") == key
    assert checked(Checks.key, None, "tkt", "ticket", "a") is None
    for wrong in (f"tec_{key}", key, f"tkt_{key}0", f"tkt_{key[:-1]}", "tkt_", "", f"TKT_{key}", f"tkt-{key}"):
        assert checked(Checks.key, wrong, "tkt", "ticket", "a") == ["INVALID"], wrong


def test_all_user_errors_are_collected_with_their_fields() -> None:
    checks = Checks()
    checks.finish()
    checks.text("", 10, "first")
    assert (checks.accepts("second"), checks.accepts("first"), checks.accepts("first", "0")) == (True, False, True)
    checks.email("nobody", "contact", "email")
    checks.object_to(UserErrorCode.TAKEN, "Taken.")
    with pytest.raises(Refused) as refused:
        checks.finish()
    assert [(error.code.value, error.field) for error in refused.value.errors] == [
        ("REQUIRED", ("first",)),
        ("INVALID", ("contact", "email")),
        ("TAKEN", ()),
    ]


@pytest.mark.parametrize(
    ("field", "words"),
    [
        (("name",), "Name"),
        (("contact", "phoneNumber"), "Contact phone number"),
        (("adminRecipients", "0"), "Admin recipients"),
        (("notices", "1", "kind"), "Notices kind"),
        ((), "Value"),
    ],
)
def test_the_label_of_a_field_is_its_words(field: tuple[str, ...], words: str) -> None:
    assert label(field) == words
