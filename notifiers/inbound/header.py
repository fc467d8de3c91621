"""The header of an inbound message, parsed leniently.

The fields are parsed here, as crafted ones make the standard library's parsers fail in many ways
(docs/decisions/inbound-mail.md).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from email.message import Message

from db import limits
from notifiers.inbound.authentication import verified
from notifiers.inbound.encoded_words import decoded_line, raw_text
from notifiers.inbound.mailboxes import addresses, mailbox, mailboxes
from notifiers.message_ids import OwnMail

_READ_MAX = 5_000  # characters of a header that are read
_REPEATED_MAX = 5  # From fields with one address

_MESSAGE_ID = re.compile(rf"<[!-;=?-~]{{3,{limits.MESSAGE_ID_MAX - 2}}}>")


class Header:
    """A message's header, parsed leniently: the first field of a name counts, except for From, which must not name two
    addresses."""

    def __init__(self, message: Message) -> None:
        self._message = message
        self._values: dict[str, list[str]] = {}
        for name, value in message.raw_items():
            self._values.setdefault(name.strip().lower(), []).append(str(value))

    def values(self, name: str) -> list[str]:
        return self._values.get(name, [])

    def said(self, *names: str) -> list[str]:
        """The first value of each field; of a very long one the end, where the newest references are."""
        return [(self.values(name) or [""])[0][-_READ_MAX:] for name in names]

    def word(self, name: str) -> str:
        """The first word of the field's first value, in lower case; empty if there is none."""
        found = re.match(r"[^\s;,(]*", (self.values(name) or [""])[0][:_READ_MAX].strip())
        return found[0].lower() if found else ""

    def line(self, name: str, maximum: int) -> str:
        return decoded_line((self.values(name) or [""])[0], maximum)

    def message_id(self) -> str | None:
        """The Message-ID, or None if there is none of the usual form; `reading.py` then identifies the message by its
        content."""
        found = message_ids(self.said("message-id"))
        return found[0] if found else None

    def sender(self) -> tuple[str, str | None]:
        """The name and the address in From; the address is None unless there is exactly one. Several From fields are
        accepted if they have the same address."""
        values = self.values("from")
        if not values or any(len(value) > _READ_MAX for value in values[:_REPEATED_MAX]):
            return "", None
        found = [_mailbox(value) for value in values[:_REPEATED_MAX]]
        same = len({address and address.lower() for _, address in found}) == 1 and len(values) <= _REPEATED_MAX
        return found[0] if same else ("", None)

    def senders_fault(self) -> str:
        """The reason why `sender` found no address in From."""
        match len(self.values("from")):
            case 0:
                return "The From header is missing."
            case 1:
                return "The From header must contain exactly one address."
            case _:
                return "There are several From headers."

    def mailboxes(self, name: str) -> list[tuple[str, str]]:
        """The names and addresses in the field's first value."""
        found = mailboxes(_utf8(self.said(name)[0]))
        return [(_name(shown), address) for shown, address in found]

    def addresses(self, *names: str) -> list[str]:
        """The addresses in the first value of each field, in lower case, as many as are stored."""
        return addresses(_utf8(",".join(self.said(*names))), limits.MAIL_RECIPIENTS_MAX)

    def content_type(self) -> str:
        return self._message.get_content_type()

    def verified(self, own: OwnMail, address: str) -> bool | None:
        """Whether a server of ours has verified the sender; None if none has said anything. Raises `Forged`."""
        return verified(((name, str(value)) for name, value in self._message.raw_items()), own.servers, address)


def _mailbox(value: str) -> tuple[str, str | None]:
    """The name and the address, if `value` is exactly one mailbox; otherwise the address is None. Some programs encode
    the whole field, with the address, which RFC 2047 forbids. The charset of a name may be guessed, but an address must
    be what the sender wrote."""
    text = _utf8(value)
    name, address = mailbox(text)
    if address is None and "=?" in text:
        name, address = mailbox(decoded_line(text, _READ_MAX))
    elif "\ufffd" in name:
        name, guessed = mailbox(raw_text(value))
        name = name if guessed == address else ""
    return ("" if address is None else _name(name)), address


def _utf8(value: str) -> str:
    """A header's text, in which the parser has left non-ASCII bytes as surrogates, decoded as UTF-8."""
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _name(written: str) -> str:
    """A mailbox's name as shown. One that looks like an address would mislead the reader, and is left out."""
    name = decoded_line(re.sub(r"\\(.)", r"\1", written.strip('"')), limits.NAME_MAX)
    return "" if "@" in name else name


def message_ids(values: Iterable[str]) -> list[str]:
    """The Message-IDs in fields such as References, in order."""
    return [found for value in values for found in _MESSAGE_ID.findall(value)]
