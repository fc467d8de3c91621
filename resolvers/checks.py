"""Checks of plain input values. They collect all errors, so that a person can correct a form in one go."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from db import limits
from db.errors import BadInput
from db.ids import key_of
from db.lists.criteria import storable
from resolvers.mutation import Input, MutationError, Refused, UserErrorCode

# A common mailbox: the dot-atom of RFC 5322 (section 3.2.3), or its non-ASCII form (RFC 6531), at a domain name of at
# least two labels, the last of which is not a number. Quoted local parts and address literals are rejected.
_ATEXT = r"[^\x00-\x20\x7f-\xa0()<>@,;:\\\".\[\]]"
_LABEL = r"[^\W_](?:(?:[^\W_]|-){0,61}[^\W_])?"
_EMAIL = re.compile(rf"(?=.{{1,64}}@){_ATEXT}+(?:\.{_ATEXT}+)*@(?:{_LABEL}\.)+(?!\d+$){_LABEL}")
_INVISIBLE = ("Cc", "Cf", "Cs", "Zs", "Zl", "Zp")  # Unicode's categories of controls, formats, surrogates and blanks
_PHONE = frozenset("0123456789+() ./#*,;extEXT-")


class Checks:
    """The errors found so far. Each checking method returns the value in the form to store. If it has found an error,
    the return value is meaningless, and `finish` raises before it can be used."""

    def __init__(self) -> None:
        self.errors: list[MutationError] = []

    def object_to(self, code: UserErrorCode, message: str, *field: str) -> None:
        self.errors.append(MutationError(code, message, field))

    def accepts(self, *field: str) -> bool:
        """Whether the field has no error so far. Otherwise its format need not be checked, which could take long for
        a text that exceeds its maximum."""
        return all(error.field != field for error in self.errors)

    def finish(self) -> None:
        """Raises `Refused` with all errors, if there are any."""
        if self.errors:
            raise Refused(*self.errors)

    def text(self, value: str | None, maximum: int, *field: str) -> str:
        """Check a required text: not blank, at most `maximum` characters, storable."""
        cleaned = self.optional_text(value, maximum, *field)
        if cleaned is None:
            self.object_to(UserErrorCode.REQUIRED, f"{label(field)} is required.", *field)
            return ""
        return cleaned

    def optional_text(self, value: str | None, maximum: int, *field: str) -> str | None:
        """Returns the text without leading and trailing whitespace, or None if it is blank."""
        if value is None:
            return None
        cleaned = value.strip()
        if len(cleaned) > maximum:
            self.object_to(
                UserErrorCode.TOO_LONG,
                f"{label(field)} must be at most {maximum:,} characters; this one has {len(cleaned):,}.",
                *field,
            )
            return cleaned
        try:
            return storable(cleaned) or None
        except BadInput as error:
            self.object_to(UserErrorCode.INVALID, error.message, *field)
            return cleaned

    def line(self, value: str | None, maximum: int, *field: str) -> str:
        """Check a required text of one line."""
        return self._one_line(self.text(value, maximum, *field), *field) or ""

    def optional_line(self, value: str | None, maximum: int, *field: str) -> str | None:
        return self._one_line(self.optional_text(value, maximum, *field), *field)

    def _one_line(self, value: str | None, *field: str) -> str | None:
        if value is not None and self.accepts(*field) and len(value.splitlines()) > 1:
            self.object_to(UserErrorCode.INVALID, f"{label(field)} must be a single line.", *field)
        return value

    def email(self, value: str | None, *field: str) -> str:
        address = self.text(value, limits.EMAIL_MAX, *field)
        if not self.accepts(*field):
            return address
        visible = all(unicodedata.category(character) not in _INVISIBLE for character in address)
        if not (visible and _EMAIL.fullmatch(address)):
            self.object_to(
                UserErrorCode.INVALID, f"{label(field)} must be an address such as name@example.com.", *field
            )
        return address

    def phone(self, value: str | None, *field: str) -> str | None:
        number = self.optional_text(value, limits.PHONE_MAX, *field)
        if number is None or not self.accepts(*field):
            return number
        if not (_PHONE.issuperset(number) and any(map(str.isdigit, number))):
            self.object_to(UserErrorCode.INVALID, f"{label(field)} must be a phone number.", *field)
        return number

    def key(self, value: str | None, prefix: str, kind: str, *field: str) -> str | None:
        """Returns the key in a global id, which must be the id of a `kind` and start with `prefix`; None for null."""
        if value is None:
            return None
        try:
            return key_of(value, prefix, kind)
        except BadInput as error:
            self.object_to(UserErrorCode.INVALID, error.message, *field)
            return None

    def occurred_at(self, input: Input) -> None:
        """Check when something was done: within the last days, and not in the future but for a clock that is fast."""
        given = input.get("occurredAt")
        if given is None:
            return
        now = datetime.now(UTC)
        if given > now + timedelta(seconds=limits.OCCURRED_AHEAD_SECONDS):
            self.object_to(UserErrorCode.INVALID, "Occurred at must not be in the future.", "occurredAt")
        elif given < now - timedelta(days=limits.OCCURRED_DAYS_MAX):
            message = f"Occurred at must be within the last {limits.OCCURRED_DAYS_MAX} days."
            self.object_to(UserErrorCode.INVALID, message, "occurredAt")

    def webhook(self, value: str | None, *field: str) -> str | None:
        url = self.optional_line(value, limits.URL_MAX, *field)
        if url is not None and self.accepts(*field):
            try:
                parts = urlsplit(url)
                plain = not re.search(r"[\s\x00-\x20\x7f]", url) and parts.port != 0
                good = plain and parts.scheme == "https" and bool(parts.hostname) and parts.username is None
            except ValueError:
                good = False
            if not good:
                self.object_to(UserErrorCode.INVALID, f"{label(field)} must be an https:// URL.", *field)
        return url


def label(field: tuple[str, ...]) -> str:
    """An input field's name in words: `contactEmail` becomes "Contact email"."""
    names = [part for part in field if not part.isdigit()]
    words = re.sub(r"([A-Z])", r" \1", " ".join(names) or "value").lower()
    return words[0].upper() + words[1:]
