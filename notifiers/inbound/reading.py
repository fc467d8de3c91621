"""Parses inbound mail: raw bytes become an `IncomingMail`. The database is not used here.

`read` returns a result for any bytes: `automatic` is the reason to ignore a message, `unusable` the reason why an admin
must look at it. Messages come from strangers, so every size is checked before it can cost time, and every text can be
stored and shown: without control characters, surrogates or bidirectional controls.

`header.py` says who sent it, `parts.py` what it contains, and `mail_text.py` what a person reads of it.
"""

from __future__ import annotations

import hashlib
import logging
import re
from dataclasses import dataclass, replace
from email.parser import BytesParser
from email.policy import Compat32

from db import limits
from notifiers.inbound.authentication import Forged
from notifiers.inbound.header import Header, message_ids
from notifiers.inbound.history import Divided, divided
from notifiers.inbound.mail_text import Unreadable, html_to_text, without_data
from notifiers.inbound.parts import Content, IncomingFile, content, count_lines
from notifiers.inbound.subjects import is_reply
from notifiers.message_ids import OwnMail

logger = logging.getLogger(__name__)

BYTES_MAX = 25 * 1024 * 1024
KEPT_MAX = 1024 * 1024
"""The number of bytes kept of a message that is larger than `BYTES_MAX`."""
TEXT_MAX = 200_000
"""The number of characters read of a message's text."""

_HEADER_BYTES_MAX = 256 * 1024
_HEADERS_MAX = 1_000
_REFERENCES_MAX = 50
_END_OF_HEADER = re.compile(rb"\r?\n\r?\n|\r\r")
_REFERENCE = re.compile(
    rf"\b{limits.REFERENCE_PREFIX}[{limits.REFERENCE_ALPHABET}]{{{limits.REFERENCE_LENGTH}}}\b", re.IGNORECASE
)

_WRITTEN = ("from", "to", "date", "subject", "in-reply-to", "references", "content-type")
"""The header fields that only the sender writes, and no server on the way."""


@dataclass(frozen=True, slots=True)
class IncomingMail:
    """A parsed message. Two copies of one message have the same `key`; two messages with the same sender, subject, text
    and names of files have the same `content`.

    `references` are the Message-IDs that it replies to, the nearest first; `tickets` are the references (`TKT-…`) in
    its subject, in upper case. `whole` is the text; `cut` is true if it was longer than `TEXT_MAX`. Of a reply, `text`
    is what the sender wrote, and `quoted` the history and the signature, if all that it quotes is ours; of others
    `text` is the whole. `only_marks` says that the text has no other form, such as HTML, than the one with marks (`>`)
    before quoted lines. `remarks` are about what could not be read. `sender_verified` is None if no server of ours has
    said anything about the sender. `automatic` and `unusable` are reasons, for admins to read.
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
    whole: str = ""
    text: str = ""
    quoted: str = ""
    only_marks: bool = False
    cut: bool = False
    remarks: tuple[str, ...] = ()
    files: tuple[IncomingFile, ...] = ()
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
        header = Header(BytesParser(policy=Compat32()).parsebytes(raw[:_HEADER_BYTES_MAX], headersonly=True))
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
    if count_lines(head) > _HEADERS_MAX:
        raise Unreadable(f"The header has more than {_HEADERS_MAX:,} lines.")
    header = Header(BytesParser(policy=Compat32()).parsebytes(head, headersonly=True))
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
    references = tuple(dict.fromkeys([*message_ids(said[:1]), *reversed(message_ids(said[1:]))]))[:_REFERENCES_MAX]
    found = Content("", "", (), ()) if automatic else content(raw)
    text = without_data(found.plain.strip() or html_to_text(found.html))
    cut, text = len(text) > TEXT_MAX, text[:TEXT_MAX]
    is_answer = is_reply(subject, in_thread=bool(references))
    parts = divided(text, f"{name} {address}") if is_answer else Divided(text, "")
    named = [f"{file.name} ({file.content_type})" for file in found.files]
    return IncomingMail(
        key=_key(header, message_id, address, body),
        content=_digest((address or "").lower(), subject, " ".join(text.split()), *found.remarks, *named),
        size=len(raw),
        message_id=message_id,
        references=references,
        tickets=tuple(dict.fromkeys(found.upper() for found in _REFERENCE.findall(subject))),
        from_address=address,
        from_name=name,
        subject=subject,
        whole=text,
        text=parts.text,
        quoted=parts.quoted,
        only_marks=not found.html,
        cut=cut,
        remarks=found.remarks,
        files=found.files,
        sender_verified=sender_verified,
        automatic=automatic,
    )


def _key(header: Header, message_id: str | None, address: str | None, body: bytes) -> bytes:
    """A hash of the Message-ID and the sender's address, so that nobody can block another sender's message by using its
    id first. Without a Message-ID, a hash of all that the sender wrote, and nothing that servers added on the way."""
    if message_id is not None:
        return _digest("id", message_id, (address or "").lower())
    written = [f"{name}: {value}" for name in _WRITTEN for value in header.values(name)]
    return _digest("text", *written, hashlib.sha256(body).hexdigest())


def _digest(*parts: str) -> bytes:
    return hashlib.sha256("\0".join(parts).encode(errors="surrogatepass")).digest()
