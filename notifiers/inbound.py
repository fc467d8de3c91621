"""Mail that comes in, read: raw bytes become an `IncomingMail`. Nothing here knows the database.

Whatever the bytes are, `read` returns something: it says in `automatic` why a message should be ignored, in `unusable`
why a person must look at it. Messages are written by strangers, so everything in them is bounded before it costs
anything, and every text is fit to be stored and shown: no controls, no halves of characters, nothing that turns the
direction of what follows it.

The standard library takes the message apart, under the policy that leaves headers as they are: what is wanted of them
is read here, for its readers of structured headers can be made to fail in many ways (docs/decisions/inbound-mail.md).
"""

from __future__ import annotations

import codecs
import hashlib
import logging
import re
from binascii import Error as Base64Error
from collections.abc import Iterable
from dataclasses import dataclass
from email.errors import MessageError
from email.header import decode_header
from email.message import Message
from email.parser import BytesParser
from email.policy import Compat32
from typing import Any

from db import limits
from notifiers.mail_text import Unreadable, html_to_text, only_new
from notifiers.message_ids import OwnMail
from notifiers.text import one_line, tidy

logger = logging.getLogger(__name__)

BYTES_MAX = 25 * 1024 * 1024
KEPT_MAX = 1024 * 1024
"""How many bytes are kept of a message that is larger than `BYTES_MAX`."""
TEXT_MAX = 200_000
"""How many characters are read of a message's text."""

_LINES_MAX = 500_000
_LINES_AND_MULTIPARTS_MAX = 5_000_000  # multiplied, since the end of each is looked for in every line within it
_HEADER_BYTES_MAX = 256 * 1024
_HEADERS_MAX = 1_000
_PARAMETERS_MAX = 3_000  # characters of a Content-… header: the library's reading of its parameters is quadratic
_MULTIPARTS_MAX = 50
_PARTS_MAX = 300  # less than the depth to which Python calls functions
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

# A quoted string or a comment (RFC 5322, sections 3.2.2 and 3.2.4), in which no character has a meaning.
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"|\((?:[^()\\]|\\.)*\)', re.DOTALL)
_ADDRESS = re.compile(r"[^\ufffd\s<>()\[\]:;,\\\"@]+@[^\ufffd\s<>()\[\]:;,\\\"@]+")
_NAME_AND_ADDRESS = re.compile(r"([^<>]*)<\s*([^<>\s]+)\s*>\s*")

_CHARSET = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:+-]{0,39}")
_NO_CHARSETS = {"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape"}  # Python's, and slow or unsafe

_WRITTEN = ("from", "to", "date", "subject", "in-reply-to", "references", "content-type")
"""What the sender writes of a header, and nobody else."""

_BOUNCER = "mailer-daemon"
_BULK = {"bulk", "junk", "list", "auto_reply"}
_ASKS_FOR_NO_REPLY = {"all", "oof", "autoreply"}


@dataclass(frozen=True, slots=True)
class IncomingMail:
    """A message, read. `key` is the same for two that are one message sent twice, `content` for two that say the same.

    `references` are the Message-IDs that it answers to, the nearest first; `tickets` the references (`TKT-…`) in its
    subject, in upper case. `text` is without what it quotes; `cut` if there is more than was read of it. `attachments`
    names them.
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
    automatic: str | None = None
    unusable: str | None = None


def read(raw: bytes, own: OwnMail) -> IncomingMail:
    """The message in `raw` (RFC 5322, MIME), whatever is wrong with it. May take a second for a hostile one."""
    try:
        return _read(raw, own)
    except Unreadable as error:
        return _unusable(raw, str(error))
    except Exception as error:  # the library's reading of MIME has failed in ways that nobody can list
        logger.exception("a message that came in cannot be read")
        return _unusable(raw, f"It cannot be read ({type(error).__name__}).")


def _unusable(raw: bytes, reason: str) -> IncomingMail:
    """Of a message that cannot be read, what its header says all the same."""
    digest = hashlib.sha256(raw).digest()
    try:
        header = _Header(BytesParser(policy=Compat32()).parsebytes(raw[:_HEADER_BYTES_MAX], headersonly=True))
        name, address = header.sender()
        subject = header.line("subject", limits.SUBJECT_MAX)
    except Exception:  # noqa: BLE001 (as above; and that it cannot be read is known already)
        name, address, subject = "", None, ""
    return IncomingMail(
        digest, digest, len(raw), from_name=name, from_address=address, subject=subject, unusable=reason
    )


def _read(raw: bytes, own: OwnMail) -> IncomingMail:
    if len(raw) > BYTES_MAX:
        raise Unreadable(f"It has more than {BYTES_MAX >> 20} MiB; the beginning was kept.")
    end = _END_OF_HEADER.search(raw)
    head = raw[: end.end()] if end else raw
    body = raw[len(head) :]
    if len(head) > _HEADER_BYTES_MAX:
        raise Unreadable(f"Its header has more than {_HEADER_BYTES_MAX >> 10} KiB.")
    if _lines(head) > _HEADERS_MAX:
        raise Unreadable(f"Its header has more than {_HEADERS_MAX:,} lines.")
    header = _Header(BytesParser(policy=Compat32()).parsebytes(head, headersonly=True))
    name, address = header.sender()
    message_id = header.message_id()
    subject = header.line("subject", limits.SUBJECT_MAX)
    automatic = header.automatic(own, address, message_id)
    if address is None and automatic is None:
        raise Unreadable(header.senders_fault())
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
        automatic=automatic,
    )


def _key(header: _Header, message_id: str | None, address: str | None, body: bytes) -> bytes:
    """The Message-ID with its sender's address, so that nobody takes up another's; without one all that the sender has
    written, and nothing that was added on the way."""
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
    """A message's own header, read leniently: the first of a name counts, except where two would be a trick."""

    def __init__(self, message: Message) -> None:
        self._message = message
        self._values: dict[str, list[str]] = {}
        for name, value in message.raw_items():
            self._values.setdefault(name.strip().lower(), []).append(str(value))

    def values(self, name: str) -> list[str]:
        return self._values.get(name, [])

    def said(self, *names: str) -> list[str]:
        """The first value of each header, and of an endless one the end, where the newest references are."""
        return [(self.values(name) or [""])[0][-_READ_MAX:] for name in names]

    def word(self, name: str) -> str:
        """The first word of the first value, in lower case; empty if there is none."""
        found = re.match(r"[^\s;,(]*", (self.values(name) or [""])[0][:_READ_MAX].strip())
        return found[0].lower() if found else ""

    def line(self, name: str, maximum: int) -> str:
        return _line((self.values(name) or [""])[0], maximum)

    def message_id(self) -> str | None:
        """Only one of the usual form; with any other the message is known by what it says."""
        found = _ids(self.said("message-id"))
        return found[0] if found else None

    def sender(self) -> tuple[str, str | None]:
        """The name, and the address if there is exactly one, in `From`."""
        values = self.values("from")
        if len(values) != 1 or len(values[0]) > _READ_MAX:
            return "", None
        return _mailbox(_eight_bit(values[0]))

    def senders_fault(self) -> str:
        """What is wrong with a `From` of which `sender` makes no address."""
        match len(self.values("from")):
            case 0:
                return "It does not say whom it is from."
            case 1:
                return "Its From is not one address."
            case _:
                return "It says in several headers whom it is from."

    def automatic(self, own: OwnMail, address: str | None, message_id: str | None) -> str | None:
        """Why nobody should answer: who sent it is a program, a list, or ourselves (RFC 3834; and what mail systems
        have made up before and beside it)."""
        sender = (address or "").lower()
        if message_id is not None and own.ticket_of(message_id):
            return "It is our own: its Message-ID is one of ours."
        if sender in own.addresses:
            return "It is our own: it is from our address."
        if self.word("auto-submitted") not in ("", "no"):
            return "It was sent automatically (Auto-Submitted)."
        if self.word("precedence") in _BULK:
            return "It is bulk mail (Precedence)."
        if self.values("list-id"):
            return "It is a mailing list's (List-Id)."
        asked = {word.strip().lower() for value in self.values("x-auto-response-suppress") for word in value.split(",")}
        if asked & _ASKS_FOR_NO_REPLY:
            return "It was sent automatically (X-Auto-Response-Suppress)."
        for name in ("x-autoreply", "x-autorespond"):
            if self.values(name):
                return "It was sent automatically (X-Autoreply)."
        if self._message.get_content_type() == "multipart/report":
            return "It is a report on mail (multipart/report)."
        returned = [value.strip(" <>").partition("@")[0].lower() for value in self.values("return-path")]
        if {"", _BOUNCER}.intersection(returned):
            return "It is a report on mail (empty Return-Path)."
        if sender.partition("@")[0] == _BOUNCER:
            return "It is a report on mail (MAILER-DAEMON)."
        return None


def _mailbox(value: str) -> tuple[str, str | None]:
    """A name and an address, if `value` is one mailbox and nothing else. A comma before the address, as people write
    their names, is no second mailbox unless there is an address before it."""
    hidden = _QUOTED.sub(lambda quoted: "\x01" * len(quoted[0]), value)  # in place, so that positions stay
    found = _NAME_AND_ADDRESS.fullmatch(hidden.replace("\x01", " "))
    if found is None:
        address = " ".join(hidden.replace("\x01", " ").split())
        return ("", address) if _plain(address) else ("", None)
    shown = found[1]
    if not _plain(found[2]) or ("@" in shown and "," in shown) or ";" in shown:
        return "", None
    name = re.sub(r"\\(.)", r"\1", value[: len(shown)].strip().strip('"'))
    name = _line(name, limits.NAME_MAX)
    return ("" if "@" in name else name), found[2]  # a name that looks like an address is somebody else's


def _plain(address: str) -> bool:
    return bool(_ADDRESS.fullmatch(address)) and address.isprintable() and len(address) <= limits.EMAIL_MAX


def _eight_bit(value: str) -> str:
    """A header's text, in which bytes that are not ASCII stand as surrogates. They are taken for UTF-8."""
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _line(value: str, maximum: int) -> str:
    """A header's text on one line, its encoded words (RFC 2047) read, cut to `maximum` characters."""
    value = _eight_bit(value[:_READ_MAX])
    try:
        read = "".join(_piece(piece, charset) for piece, charset in decode_header(value))
    except (MessageError, ValueError, Base64Error):
        read = value
    return one_line(read, maximum)


def _piece(piece: bytes | str, charset: str | None) -> str:
    if isinstance(piece, str):
        return piece
    # Between encoded words the library gives text as bytes, in this code of Python's.
    return decoded(piece, charset) if charset else piece.decode("raw-unicode-escape", "replace")


def decoded(data: bytes, charset: str | None) -> str:
    """`data` in the charset that it claims to be in; or else in UTF-8, if it is that; or else in the one that most
    software meant that said nothing."""
    for name in (charset, "utf-8"):
        try:
            if name and _CHARSET.fullmatch(name) and codecs.lookup(name).name not in _NO_CHARSETS:
                return data.decode(name)
        except (LookupError, ValueError):
            continue
    return data.decode("cp1252", "replace")


# The body


class _Policy(Compat32):
    """Refuses headers of parts that would take long to read."""

    def header_source_parse(self, sourcelines: list[str]) -> tuple[str, str]:
        name, value = super().header_source_parse(sourcelines)
        if len(value) > _PARAMETERS_MAX and name.strip().lower().startswith("content-"):
            raise Unreadable(f"A header of a part has more than {_PARAMETERS_MAX:,} characters.")
        return name, value


def _content(raw: bytes) -> tuple[str, tuple[str, ...]]:
    """The text, and the names of the attachments."""
    raw = raw.replace(b"\0", b"")  # which nothing may have, and at which Python's reading of charsets fails
    lines, multiparts = _lines(raw), len(_BOUNDARY.findall(raw))
    if lines > _LINES_MAX:
        raise Unreadable(f"It has more than {_LINES_MAX:,} lines.")
    if multiparts > _MULTIPARTS_MAX or lines * multiparts > _LINES_AND_MULTIPARTS_MAX:
        raise Unreadable(f"It has too many parts with parts of their own, {multiparts}, in {lines:,} lines.")
    parts = 0

    def counted(policy: Any = None) -> Message:
        nonlocal parts
        parts += 1
        if parts > _PARTS_MAX:
            raise Unreadable(f"It has more than {_PARTS_MAX} parts.")
        return Message(policy=policy)

    texts, attachments = _sorted(BytesParser(counted, policy=_Policy()).parsebytes(raw))
    text = "\n\n".join(filter(None, (tidy(text).strip() for text in texts)))
    more = len(attachments) - _ATTACHMENTS_MAX
    if more > 0:
        attachments = [*attachments[:_ATTACHMENTS_MAX], f"and {more} more"]
    return text, tuple(attachments)


def _sorted(part: Message) -> tuple[list[str], list[str]]:
    """The texts that a reader sees of a part, in their order, and the names of what else is in it."""
    if part.get_content_maintype() == "multipart" and part.is_multipart():
        found = [_sorted(child) for child in part.get_payload() if isinstance(child, Message)]
        if part.get_content_subtype() == "alternative":
            return _preferred(found)
        return [text for texts, _ in found for text in texts], [name for _, names in found for name in names]
    if part.get_content_maintype() in ("text", "multipart") and not _is_file(part):
        return [_text_of(part)], []
    return [], [_named(part)]


def _preferred(forms: list[tuple[list[str], list[str]]]) -> tuple[list[str], list[str]]:
    """Of one content in several forms the first that says anything: the plain ones come first (RFC 2046, 5.1.4)."""
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
