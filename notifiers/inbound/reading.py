"""Parses inbound mail: raw bytes become an `IncomingMail`. The database is not used here.

`read` returns a result for any bytes: `automatic` is the reason to ignore a message, `unusable` the reason why an admin
must look at it. Messages come from strangers, so every size is checked before it can cost time, and every text can be
stored and shown: without control characters, surrogates or bidirectional controls.

The standard library splits the message into parts, under the policy that leaves headers unparsed. The headers are
parsed here, as crafted ones make the library's own parsers fail in many ways (docs/decisions/inbound-mail.md).
"""

from __future__ import annotations

import codecs
import hashlib
import logging
import re
from binascii import Error as Base64Error
from collections.abc import Iterable
from dataclasses import dataclass, replace
from email.errors import MessageError
from email.header import decode_header
from email.message import Message
from email.parser import BytesParser
from email.policy import Compat32
from typing import Any

from db import limits
from notifiers.inbound.authentication import Forged, verified
from notifiers.inbound.mail_text import Unreadable, html_to_text, only_new
from notifiers.message_ids import OwnMail
from notifiers.text import one_line, tidy

logger = logging.getLogger(__name__)

BYTES_MAX = 25 * 1024 * 1024
KEPT_MAX = 1024 * 1024
"""The number of bytes kept of a message that is larger than `BYTES_MAX`."""
TEXT_MAX = 200_000
"""The number of characters read of a message's text."""

_LINES_MAX = 500_000
_LINES_AND_MULTIPARTS_MAX = 5_000_000  # their product, as the parser tests every line for the end of each
_HEADER_BYTES_MAX = 256 * 1024
_HEADERS_MAX = 1_000
_PARAMETERS_MAX = 3_000  # characters of a Content-… header, whose parameters the library parses in quadratic time
_MULTIPARTS_MAX = 50
_PARTS_MAX = 300  # below Python's recursion limit, as each part may contain the next
_READ_MAX = 5_000  # characters of a header that are read
_REFERENCES_MAX = 50
_ATTACHMENTS_MAX = 20

_END_OF_HEADER = re.compile(rb"\r?\n\r?\n|\r\r")
_BOUNDARY = re.compile(rb"boundary(?:\*\d*)?\*?\s*=", re.IGNORECASE)
_MESSAGE_ID = re.compile(rf"<[!-;=?-~]{{3,{limits.MESSAGE_ID_MAX - 2}}}>")
_REFERENCE = re.compile(
    rf"\b{limits.REFERENCE_PREFIX}[{limits.REFERENCE_ALPHABET}]{{{limits.REFERENCE_LENGTH}}}\b", re.IGNORECASE
)
_ANSWERS = re.compile(r"\s*(?:re|aw|sv|antw|rif|odp|ref)\s*(?:\[\d+\])?\s*:", re.IGNORECASE)
_FORWARDS = re.compile(r"\s*(?:fwd?|wg|tr|rv|enc|vs|doorst)\s*:", re.IGNORECASE)

# A quoted string or a comment (RFC 5322, sections 3.2.2 and 3.2.4), in which no character is syntax.
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"|\((?:[^()\\]|\\.)*\)', re.DOTALL)
_ADDRESS = re.compile(r"[^\ufffd\s<>()\[\]:;,\\\"@]+@[^\ufffd\s<>()\[\]:;,\\\"@]+")
_NAME_AND_ADDRESS = re.compile(r"([^<>]*)<\s*([^<>\s]+)\s*>\s*")

_CHARSET = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:+-]{0,39}")
_NO_CHARSETS = {
    "idna",
    "punycode",
    "raw-unicode-escape",
    "undefined",
    "unicode-escape",
}  # Python codecs that are slow or unsafe

_WRITTEN = ("from", "to", "date", "subject", "in-reply-to", "references", "content-type")
"""The header fields that only the sender writes, and no server on the way."""

_BOUNCER = "mailer-daemon"
_BULK = {"bulk", "junk", "list", "auto_reply"}
_ASKS_FOR_NO_REPLY = {"all", "oof", "autoreply"}


@dataclass(frozen=True, slots=True)
class IncomingMail:
    """A parsed message. Two copies of one message have the same `key`; two messages with the same sender, subject, text
    and attachments have the same `content`.

    `references` are the Message-IDs that it replies to, the nearest first; `tickets` are the references (`TKT-…`) in
    its subject, in upper case. `text` is without quoted text if the message is a reply; `cut` is true if the text was
    longer than `TEXT_MAX`. `attachments` are names. `sender_verified` is None if no server of ours has said anything
    about the sender. `automatic` and `unusable` are reasons, for admins to read.
    """

    key: bytes
    content: bytes
    size: int  # bytes
    message_id: str | None = None
    references: tuple[str, ...] = ()
    tickets: tuple[str, ...] = ()
    from_address: str | None = None
    from_name: str = ""
    subject: str = ""
    text: str = ""
    cut: bool = False
    attachments: tuple[str, ...] = ()
    sender_verified: bool | None = None
    automatic: str | None = None
    unusable: str | None = None


def read(raw: bytes, own: OwnMail) -> IncomingMail:
    """Parse the message in `raw` (RFC 5322, MIME). Malformed ones do not raise; a hostile one may take a second."""
    try:
        return _read(raw, own)
    except Unreadable as error:
        return _unusable(raw, str(error))
    except Exception as error:  # the library's MIME parser has failed in ways that nobody can list
        logger.exception("parsing an inbound message failed")
        return _unusable(raw, f"The message could not be parsed ({type(error).__name__}).")


def _unusable(raw: bytes, reason: str) -> IncomingMail:
    """A message that cannot be parsed or believed, with the sender and subject if its header can be parsed. Its key is
    that of its bytes alone: a forged message must not make the genuine one a duplicate."""
    digest = hashlib.sha256(raw).digest()
    try:
        header = _Header(BytesParser(policy=Compat32()).parsebytes(raw[:_HEADER_BYTES_MAX], headersonly=True))
        name, address = header.sender()
        subject = header.line("subject", limits.SUBJECT_MAX)
    except Exception:  # noqa: BLE001 (as above; the first failure is reported already)
        name, address, subject = "", None, ""
    return IncomingMail(
        digest, digest, len(raw), from_name=name, from_address=address, subject=subject, unusable=reason
    )


def _read(raw: bytes, own: OwnMail) -> IncomingMail:
    if len(raw) > BYTES_MAX:
        raise Unreadable(f"The message is larger than {BYTES_MAX >> 20} MiB; only its beginning was kept.")
    end = _END_OF_HEADER.search(raw)
    head = raw[: end.end()] if end else raw
    body = raw[len(head) :]
    if len(head) > _HEADER_BYTES_MAX:
        raise Unreadable(f"The header is larger than {_HEADER_BYTES_MAX >> 10} KiB.")
    if _lines(head) > _HEADERS_MAX:
        raise Unreadable(f"The header has more than {_HEADERS_MAX:,} lines.")
    header = _Header(BytesParser(policy=Compat32()).parsebytes(head, headersonly=True))
    name, address = header.sender()
    message_id = header.message_id()
    subject = header.line("subject", limits.SUBJECT_MAX)
    automatic = header.automatic(own, address, message_id)
    if address is None and automatic is None:
        raise Unreadable(header.senders_fault())
    try:
        sender_verified = None if address is None else header.verified(own, address)
    except Forged as error:
        return replace(_unusable(raw, str(error)), automatic=automatic)
    said = header.said("in-reply-to", "references")
    references = tuple(dict.fromkeys([*_ids(said[:1]), *reversed(_ids(said[1:]))]))[:_REFERENCES_MAX]
    text, attachments = ("", ()) if automatic else _content(raw)
    cut, text = len(text) > TEXT_MAX, text[:TEXT_MAX]
    answer = (bool(references) or bool(_ANSWERS.match(subject))) and not _FORWARDS.match(subject)
    text = only_new(text) if answer else text
    return IncomingMail(
        key=_key(header, message_id, address, body),
        content=_digest((address or "").lower(), subject, " ".join(text.split()), *attachments),
        size=len(raw),
        message_id=message_id,
        references=references,
        tickets=tuple(dict.fromkeys(found.upper() for found in _REFERENCE.findall(subject))),
        from_address=address,
        from_name=name,
        subject=subject,
        text=text,
        cut=cut,
        attachments=attachments,
        sender_verified=sender_verified,
        automatic=automatic,
    )


def _key(header: _Header, message_id: str | None, address: str | None, body: bytes) -> bytes:
    """A hash of the Message-ID and the sender's address, so that nobody can block another sender's message by using its
    id first. Without a Message-ID, a hash of all that the sender wrote, and nothing that servers added on the way."""
    if message_id is not None:
        return _digest("id", message_id, (address or "").lower())
    written = [f"{name}: {value}" for name in _WRITTEN for value in header.values(name)]
    return _digest("text", *written, hashlib.sha256(body).hexdigest())


def _digest(*parts: str) -> bytes:
    return hashlib.sha256("\0".join(parts).encode(errors="surrogatepass")).digest()


def _lines(raw: bytes) -> int:
    return max(raw.count(b"\n"), raw.count(b"\r"))


def _ids(values: Iterable[str]) -> list[str]:
    return [found for value in values for found in _MESSAGE_ID.findall(value)]


# The header


class _Header:
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
        return _line((self.values(name) or [""])[0], maximum)

    def message_id(self) -> str | None:
        """The Message-ID, or None if there is none of the usual form; `_key` then identifies the message by its
        content."""
        found = _ids(self.said("message-id"))
        return found[0] if found else None

    def sender(self) -> tuple[str, str | None]:
        """The name and the address in From; the address is None unless there is exactly one."""
        values = self.values("from")
        if len(values) != 1 or len(values[0]) > _READ_MAX:
            return "", None
        return _mailbox(_eight_bit(values[0]))

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
    name = _line(name, limits.NAME_MAX)
    return ("" if "@" in name else name), found[2]  # a name that looks like an address would mislead the reader


def _plain(address: str) -> bool:
    return bool(_ADDRESS.fullmatch(address)) and address.isprintable() and len(address) <= limits.EMAIL_MAX


def _eight_bit(value: str) -> str:
    """A header's text, in which the parser has left non-ASCII bytes as surrogates, decoded as UTF-8."""
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _line(value: str, maximum: int) -> str:
    """A header's text on one line, with encoded words (RFC 2047) decoded, cut to `maximum` characters."""
    value = _eight_bit(value[:_READ_MAX])
    try:
        read = "".join(_piece(piece, charset) for piece, charset in decode_header(value))
    except (MessageError, ValueError, Base64Error):
        read = value
    return one_line(read, maximum)


def _piece(piece: bytes | str, charset: str | None) -> str:
    if isinstance(piece, str):
        return piece
    # The library returns the text between encoded words as bytes in this Python codec.
    return decoded(piece, charset) if charset else piece.decode("raw-unicode-escape", "replace")


def decoded(data: bytes, charset: str | None) -> str:
    """Decode `data` with its declared charset, or else as UTF-8, or else as Windows-1252, which most software without a
    declaration used."""
    for name in (charset, "utf-8"):
        try:
            if name and _CHARSET.fullmatch(name) and codecs.lookup(name).name not in _NO_CHARSETS:
                return data.decode(name)
        except (LookupError, ValueError):
            continue
    return data.decode("cp1252", "replace")


# The body


class _Policy(Compat32):
    """Raises `Unreadable` for headers of parts that would take long to parse."""

    def header_source_parse(self, sourcelines: list[str]) -> tuple[str, str]:
        name, value = super().header_source_parse(sourcelines)
        if len(value) > _PARAMETERS_MAX and name.strip().lower().startswith("content-"):
            raise Unreadable(f"A header of a part has more than {_PARAMETERS_MAX:,} characters.")
        return name, value


def _content(raw: bytes) -> tuple[str, tuple[str, ...]]:
    """The text, and the names of the attachments. Raises `Unreadable` if the message exceeds a limit."""
    raw = raw.replace(b"\0", b"")  # never allowed, and Python fails to look up a charset with it
    lines, multiparts = _lines(raw), len(_BOUNDARY.findall(raw))
    if lines > _LINES_MAX:
        raise Unreadable(f"The message has more than {_LINES_MAX:,} lines.")
    if multiparts > _MULTIPARTS_MAX or lines * multiparts > _LINES_AND_MULTIPARTS_MAX:
        raise Unreadable(f"The message has too many nested parts: {multiparts} in {lines:,} lines.")
    parts = 0

    def counted(policy: Any = None) -> Message:
        nonlocal parts
        parts += 1
        if parts > _PARTS_MAX:
            raise Unreadable(f"The message has more than {_PARTS_MAX} parts.")
        return Message(policy=policy)

    texts, attachments = _sorted(BytesParser(counted, policy=_Policy()).parsebytes(raw))
    text = "\n\n".join(filter(None, (tidy(text).strip() for text in texts)))
    more = len(attachments) - _ATTACHMENTS_MAX
    if more > 0:
        attachments = [*attachments[:_ATTACHMENTS_MAX], f"and {more} more"]
    return text, tuple(attachments)


def _sorted(part: Message) -> tuple[list[str], list[str]]:
    """The texts of a part that a reader sees, in order, and the names of its attachments."""
    if part.get_content_maintype() == "multipart" and part.is_multipart():
        found = [_sorted(child) for child in part.get_payload() if isinstance(child, Message)]
        if part.get_content_subtype() == "alternative":
            return _preferred(found)
        return [text for texts, _ in found for text in texts], [name for _, names in found for name in names]
    if part.get_content_maintype() in ("text", "multipart") and not _is_file(part):
        return [_text_of(part)], []
    return [], [_named(part)]


def _preferred(forms: list[tuple[list[str], list[str]]]) -> tuple[list[str], list[str]]:
    """The first alternative that is not blank: the plainest comes first (RFC 2046, section 5.1.4)."""
    for texts, names in forms:
        if any(text.strip() for text in texts):
            return texts, names
    return [], [name for _, names in forms for name in names]


def _is_file(part: Message) -> bool:
    return part.get_content_disposition() == "attachment" or part.get_filename() is not None


def _text_of(part: Message) -> str:
    data = part.get_payload(decode=True)
    text = decoded(data, part.get_content_charset()) if isinstance(data, bytes) else ""
    return html_to_text(text) if part.get_content_type() == "text/html" else text


def _named(part: Message) -> str:
    name = _line(part.get_filename() or "", limits.NAME_MAX)
    type_ = _line(part.get_content_type(), limits.NAME_MAX)
    return f"{name} ({type_})" if name else type_
