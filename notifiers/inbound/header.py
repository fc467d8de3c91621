"""The header of an inbound message, parsed leniently: who sent it, and whether a program did.

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
from notifiers.message_ids import OwnMail

_READ_MAX = 5_000  # characters of a header that are read

_MESSAGE_ID = re.compile(rf"<[!-;=?-~]{{3,{limits.MESSAGE_ID_MAX - 2}}}>")

# A quoted string or a comment (RFC 5322, sections 3.2.2 and 3.2.4), in which no character is syntax.
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"|\((?:[^()\\]|\\.)*\)', re.DOTALL)
_ADDRESS = re.compile(r"[^\ufffd\s<>()\[\]:;,\\\"@]+@[^\ufffd\s<>()\[\]:;,\\\"@]+")
_NAME_AND_ADDRESS = re.compile(r"([^<>]*)<\s*([^<>\s]+)\s*>\s*")

_BOUNCER = "mailer-daemon"
_BULK = {"bulk", "junk", "list", "auto_reply"}
_ASKS_FOR_NO_REPLY = {"all", "oof", "autoreply"}


class Header:
    """A message's header, parsed leniently: the first field of a name counts, except for From, which must be unique."""

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
        """The name and the address in From; the address is None unless there is exactly one."""
        values = self.values("from")
        if len(values) != 1 or len(values[0]) > _READ_MAX:
            return "", None
        name, address = _mailbox(raw_text(values[0]))
        # The charset of a name may be guessed, but an address must be what the sender wrote.
        written = address is not None and address.encode() in values[0].encode("utf-8", "surrogateescape")
        return (name, address) if written else ("", None)

    def senders_fault(self) -> str:
        """The reason why `sender` found no address in From."""
        match len(self.values("from")):
            case 0:
                return "The From header is missing."
            case 1:
                return "The From header must contain exactly one address."
            case _:
                return "There are several From headers."

    def verified(self, own: OwnMail, address: str) -> bool | None:
        """Whether a server of ours has verified the sender; None if none has said anything. Raises `Forged`."""
        return verified(((name, str(value)) for name, value in self._message.raw_items()), own.servers, address)

    def automatic(self, own: OwnMail, address: str | None, message_id: str | None) -> str | None:
        """The reason to ignore the message, as it comes from a program, a mailing list or Callout itself; None if it
        does not. Recognised by RFC 3834, and by the older and proprietary fields of other mail systems."""
        sender = (address or "").lower()
        if message_id is not None and own.ticket_of(message_id):
            return "Callout sent this message (Message-ID)."
        if sender in own.addresses:
            return "Callout sent this message (From address)."
        if self.word("auto-submitted") not in ("", "no"):
            return "It was sent automatically (Auto-Submitted)."
        if self.word("precedence") in _BULK:
            return "It is bulk mail (Precedence)."
        if self.values("list-id"):
            return "It came from a mailing list (List-Id)."
        asked = {word.strip().lower() for value in self.values("x-auto-response-suppress") for word in value.split(",")}
        if asked & _ASKS_FOR_NO_REPLY:
            return "It was sent automatically (X-Auto-Response-Suppress)."
        for name in ("x-autoreply", "x-autorespond"):
            if self.values(name):
                return "It was sent automatically (X-Autoreply)."
        if self._message.get_content_type() == "multipart/report":
            return "It is a delivery report (multipart/report)."
        returned = [value.strip(" <>").partition("@")[0].lower() for value in self.values("return-path")]
        if {"", _BOUNCER}.intersection(returned):
            return "It is a delivery report (empty Return-Path)."
        if sender.partition("@")[0] == _BOUNCER:
            return "It is a delivery report (MAILER-DAEMON)."
        return None


def _mailbox(value: str) -> tuple[str, str | None]:
    """The name and the address, if `value` is exactly one mailbox; otherwise the address is None. A comma in a name
    ("Tremblay, Ann <…>") is accepted, unless there is an address before it."""
    hidden = _QUOTED.sub(lambda quoted: "\x01" * len(quoted[0]), value)  # of the same length, to keep positions
    found = _NAME_AND_ADDRESS.fullmatch(hidden.replace("\x01", " "))
    if found is None:
        address = " ".join(hidden.replace("\x01", " ").split())
        return ("", address) if _plain(address) else ("", None)
    shown = found[1]
    if not _plain(found[2]) or ("@" in shown and "," in shown) or ";" in shown:
        return "", None
    name = re.sub(r"\\(.)", r"\1", value[: len(shown)].strip().strip('"'))
    name = decoded_line(name, limits.NAME_MAX)
    return ("" if "@" in name else name), found[2]  # a name that looks like an address would mislead the reader


def _plain(address: str) -> bool:
    return bool(_ADDRESS.fullmatch(address)) and address.isprintable() and len(address) <= limits.EMAIL_MAX


def message_ids(values: Iterable[str]) -> list[str]:
    """The Message-IDs in fields such as References, in order."""
    return [found for value in values for found in _MESSAGE_ID.findall(value)]
