"""Parses inbound mail: raw bytes become an `IncomingMail`. The database is not used here.

`read` returns a result for any bytes: `automatic` is the reason to ignore a message, `unusable` the reason why an admin
must look at it. The text of either is read all the same, as an admin may accept it. Messages come from strangers, so
every size is checked before it can cost time, and every text can be stored and shown: without control characters,
surrogates or bidirectional controls.

`writer.py` says who wrote it, `automatic.py` whether a program did, `parts.py` what it contains, and `mail_text.py`
what a person reads of it.
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
from notifiers.inbound.automatic import automatic
from notifiers.inbound.header import Header, message_ids
from notifiers.inbound.history import Divided, divided
from notifiers.inbound.mail_text import Unreadable, html_to_text, without_data
from notifiers.inbound.parts import IncomingFile, content, count_lines
from notifiers.inbound.subjects import is_reply
from notifiers.inbound.writer import Writer, recipients_of, writer_of
from notifiers.message_ids import OwnMail

logger = logging.getLogger(__name__)

BYTES_MAX = limits.MAIL_BYTES_MAX
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

_WRITTEN = ("from", "reply-to", "to", "date", "subject", "in-reply-to", "references", "content-type")
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

    `from_address` is the writer's. `through` is the address in From, if a form or a list has sent the message for them;
    then nobody has verified the writer. `named_by_stranger` is true if that form is not ours, so that whoever runs it
    may have named anybody; `believed` is false then, and if the form or list may be forged.
    `recipients` are the addresses in To and Cc without ours, in lower case.
    """

    key: bytes
    content: bytes
    size: int  # bytes
    message_id: str | None = None
    references: tuple[str, ...] = ()
    tickets: tuple[str, ...] = ()
    from_address: str | None = None
    from_name: str = ""
    through: str | None = None
    named_by_stranger: bool = False
    believed: bool = True
    recipients: tuple[str, ...] = ()
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
        return _unusable(raw, own, str(error))
    except Exception as error:  # the library's MIME parser has failed in ways that nobody can list
        logger.exception("parsing an inbound message failed")
        return _unusable(raw, own, f"The message could not be parsed ({type(error).__name__}).")


def _unusable(raw: bytes, own: OwnMail, reason: str) -> IncomingMail:
    """A message that cannot be parsed, with the writer and subject if its header can be parsed. Its key is that of its
    bytes alone."""
    digest = hashlib.sha256(raw).digest()
    try:
        header = Header(BytesParser(policy=Compat32()).parsebytes(raw[:_HEADER_BYTES_MAX], headersonly=True))
        writer = writer_of(header, own)
        subject = header.line("subject", limits.SUBJECT_MAX)
        by_program = automatic(header, own, writer, header.message_id())
    except Exception:  # noqa: BLE001 (as above; the first failure is reported already)
        writer, subject, by_program = Writer("", None), "", None
    return IncomingMail(
        digest,
        digest,
        len(raw),
        from_name=writer.name,
        from_address=writer.address,
        subject=subject,
        automatic=by_program,
        unusable=reason,
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
    writer = writer_of(header, own)
    message_id = header.message_id()
    subject = header.line("subject", limits.SUBJECT_MAX)
    by_program = automatic(header, own, writer, message_id)
    unusable = None if writer.address or by_program else writer.fault(header)
    verified = None
    try:
        if writer.address is not None:
            verified = header.verified(own, writer.through or writer.address)
    except Forged as error:
        verified, unusable = False, str(error)
    said = header.said("in-reply-to", "references")
    references = tuple(dict.fromkeys([*message_ids(said[:1]), *reversed(message_ids(said[1:]))]))[:_REFERENCES_MAX]
    found = content(raw)
    text = without_data(found.plain.strip() or html_to_text(found.html))
    cut, text = len(text) > TEXT_MAX, text[:TEXT_MAX]
    is_answer = is_reply(subject, in_thread=bool(references))
    parts = divided(text, f"{writer.name} {writer.address}") if is_answer else Divided(text, "")
    named = [f"{file.name} ({file.content_type})" for file in found.files]
    mail = IncomingMail(
        key=_key(header, message_id, writer, body),
        content=_digest((writer.address or "").lower(), subject, " ".join(text.split()), *found.remarks, *named),
        size=len(raw),
        message_id=message_id,
        references=references,
        tickets=tuple(dict.fromkeys(found.upper() for found in _REFERENCE.findall(subject))),
        from_address=writer.address,
        from_name=writer.name,
        through=writer.through,
        named_by_stranger=writer.through is not None and not writer.ours,
        believed=writer.through is None or (writer.ours and verified is not False),
        recipients=recipients_of(header, own),
        subject=subject,
        whole=text,
        text=parts.text,
        quoted=parts.quoted,
        only_marks=not found.html,
        cut=cut,
        remarks=(*found.remarks, *_named(writer)),
        files=found.files,
        sender_verified=verified if writer.through is None or verified is None else False,
        automatic=by_program,
        unusable=unusable,
    )
    if unusable is None:
        return mail
    digest = hashlib.sha256(raw).digest()  # a forged message must not make the genuine one a duplicate
    return replace(mail, key=digest, content=digest)


def _named(writer: Writer) -> list[str]:
    """A remark about a writer whom a form of somebody else has named."""
    if writer.through is None or writer.ours:
        return []
    return [f"({writer.through} sent this message and named the writer. Nobody has checked that.)"]


def _key(header: Header, message_id: str | None, writer: Writer, body: bytes) -> bytes:
    """A hash of the Message-ID and the sender's address, so that nobody can block another sender's message by using its
    id first; with a writer whom the sender names, of both addresses. Without a Message-ID, a hash of all that the
    sender wrote, and nothing that servers added on the way."""
    if message_id is not None:
        through = [] if writer.through is None else [writer.through.lower()]
        return _digest("id", message_id, *through, (writer.address or "").lower())
    written = [f"{name}: {value}" for name in _WRITTEN for value in header.values(name)]
    return _digest("text", *written, hashlib.sha256(body).hexdigest())


def _digest(*parts: str) -> bytes:
    return hashlib.sha256("\0".join(parts).encode(errors="surrogatepass")).digest()
