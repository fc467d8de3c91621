"""Mailboxes of senders and recipients, checked, and encoded so that a name can never add a recipient.

The standard library drops the quotes from a name that is too long for a line, and decodes a name that looks like an
encoded word before writing it: either way `a, b@c.d, …` becomes several recipients. So names are encoded here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.header import Header
from email.utils import getaddresses

import idna

from notifiers.text import one_line

ADDRESS_MAX = 254  # octets, RFC 5321, section 4.5.3.1.3
NAME_MAX = 100  # characters; a longer name is cut
WORD_MAX = 60  # octets, of the 75 that RFC 2047, section 2, allows, so that a word fits on a line after any header name

_ATOM = r"[^\x00-\x20\x7f-\xa0()<>@,;:\\\".\[\]]+"  # RFC 5322, section 3.2.3, with RFC 6531's other characters
_LOCAL = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]*")  # a name that needs no quotes
_ASCII = re.compile(r"[ -~]*")


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A name, and an address in the form that SMTP takes: its domain is ASCII; its local part may not be (RFC 6531)."""

    name: str
    address: str

    @classmethod
    def of(cls, name: str, address: str) -> Mailbox:
        """Check and normalise an address. Raises `ValueError` if it is not exactly one valid address."""
        local, at, domain = address.strip().rpartition("@")
        # Nobody's local part looks like an encoded word (RFC 2047), and some programs would decode it.
        if not (at and _LOCAL.fullmatch(local) and "=?" not in local and one_line(local) == local):
            raise ValueError("is not a valid address such as name@example.com")
        try:
            checked = f"{local}@{idna.encode(domain, uts46=True).decode()}"
        except idna.IDNAError:
            raise ValueError("is not a valid address: the domain name is invalid") from None
        if len(checked.encode()) > ADDRESS_MAX:
            raise ValueError("is not a valid address: it is too long")
        return cls(one_line(name, NAME_MAX), checked)

    @classmethod
    def parse(cls, text: str) -> Mailbox:
        """`Name <name@example.com>`, or the address alone. Raises `ValueError` for anything else."""
        found = getaddresses([text])
        if len(found) != 1:
            raise ValueError("must be exactly one address, such as Callout <support@example.com>")
        return cls.of(*found[0])

    @property
    def domain(self) -> str:
        return self.address.rpartition("@")[2]

    def __str__(self) -> str:
        """The mailbox as written in a header, unfolded."""
        return f"{_encoded(self.name, _ATOMS)} <{self.address}>" if self.name else self.address


def unstructured(text: str) -> str:
    """One line of text as written in a header such as `Subject`: ASCII words, unfolded."""
    return _encoded(text, _ASCII)


def _encoded(text: str, plain: re.Pattern[str]) -> str:
    """ASCII words of at most `WORD_MAX` octets, encoded (RFC 2047) unless the text matches `plain`."""
    if plain.fullmatch(text) and "=?" not in text and all(len(word) <= WORD_MAX for word in text.split(" ")):
        return text
    return " ".join(Header(text, "utf-8", maxlinelen=WORD_MAX).encode().split())
