"""Mailboxes: whom a mail is from or to, checked, and written so that no name can add a recipient.

The standard library takes the quotes from a name that is too long for a line, and decodes what looks like an encoded
word in a name before it writes it: either way `a, b@c.d, …` becomes several recipients. So names are written here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.header import Header
from email.utils import getaddresses

import idna

from notifiers.text import one_line

ADDRESS_MAX = 254  # octets, RFC 5321, section 4.5.3.1.3
NAME_MAX = 100  # characters that are shown
WORD_MAX = 60  # octets, of the 75 that RFC 2047, section 2, allows: it fits beside any header's name

_ATOM = r"[^\x00-\x20\x7f-\xa0()<>@,;:\\\".\[\]]+"  # RFC 5322, section 3.2.3, with RFC 6531's other characters
_LOCAL = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]*")  # what a name may be without quotes
_ASCII = re.compile(r"[ -~]*")


@dataclass(frozen=True, slots=True)
class Mailbox:
    """`address` is as SMTP takes it: its domain is ASCII; its local part may not be (RFC 6531)."""

    name: str
    address: str

    @classmethod
    def of(cls, name: str, address: str) -> Mailbox:
        """Raises `ValueError` for what is not one address."""
        local, at, domain = address.strip().rpartition("@")
        # What looks like an encoded word is no local part of anybody's, but some programs would decode it.
        if not (at and _LOCAL.fullmatch(local) and "=?" not in local and one_line(local) == local):
            raise ValueError("is not an address such as name@example.com")
        try:
            checked = f"{local}@{idna.encode(domain, uts46=True).decode()}"
        except idna.IDNAError:
            raise ValueError("is not an address: it has no domain name") from None
        if len(checked.encode()) > ADDRESS_MAX:
            raise ValueError("is not an address: it is too long")
        return cls(one_line(name, NAME_MAX), checked)

    @classmethod
    def parse(cls, text: str) -> Mailbox:
        """`Name <name@example.com>`, or the address alone. Raises `ValueError` for anything else."""
        found = getaddresses([text])
        if len(found) != 1:
            raise ValueError("is not one address, such as Callout <support@example.com>")
        return cls.of(*found[0])

    @property
    def domain(self) -> str:
        return self.address.rpartition("@")[2]

    def __str__(self) -> str:
        """As it stands in a header, unfolded."""
        return f"{_encoded(self.name, _ATOMS)} <{self.address}>" if self.name else self.address


def unstructured(text: str) -> str:
    """One line of text as it stands in a header such as `Subject`, unfolded: words of ASCII."""
    return _encoded(text, _ASCII)


def _encoded(text: str, plain: re.Pattern[str]) -> str:
    """Words of ASCII, none longer than `WORD_MAX`; encoded (RFC 2047) unless they are `plain`."""
    if plain.fullmatch(text) and "=?" not in text and all(len(word) <= WORD_MAX for word in text.split(" ")):
        return text
    return " ".join(Header(text, "utf-8", maxlinelen=WORD_MAX).encode().split())
