"""A notification as a mail: one recipient, text and HTML, threaded by ticket.

The message is written here and not by `EmailMessage`. That drops the quotes from long names when it folds headers
(`notifiers/addresses.py`), turns Message-IDs of more than 78 characters, such as ours, into encoded words, and takes
several times as long. The same notification gives the same octets on every attempt, so that a mail server or program
can recognise a mail that it has already received.
"""

from __future__ import annotations

import re
from binascii import b2a_qp
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from db.enums import Audience, NoticeKind, TicketPriority
from notifiers import message_ids
from notifiers.addresses import Mailbox, unstructured
from notifiers.notification import Notice, Notification, NotifiedFile, Unavailable, Undeliverable
from notifiers.rendering import BrokenTemplate, Templates
from notifiers.text import one_line

LINE = 76  # octets, RFC 2047, section 2
THREAD_MAX = 20  # earlier mails that a mail refers to

_FILE_POLICY = SMTP.clone(max_line_length=LINE)
_PRESSING = (TicketPriority.HIGH, TicketPriority.URGENT)
_MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,250}>")


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail as sent: `octets` are lines that end in CRLF, in ASCII unless `needs_utf8`, which takes a server with
    SMTPUTF8."""

    sender: str
    recipient: str
    octets: bytes
    needs_utf8: bool


class Composer:
    """Composes mail from `sender`; replies go to `reply_to`."""

    def __init__(self, templates: Templates, sender: Mailbox, reply_to: Mailbox) -> None:
        self._templates = templates
        self._sender = sender
        self._reply_to = reply_to

    @property
    def domain(self) -> str:
        return self._sender.domain

    def compose(self, notification: Notification) -> Mail:
        """Compose a mail. Raises `Undeliverable` if the recipient's address is invalid, `Unavailable` if a template
        is broken."""
        try:
            recipient = Mailbox.of(notification.recipient_name, notification.recipient)
        except ValueError as error:
            raise Undeliverable(f"{one_line(notification.recipient, 100)} {error}.") from None
        try:
            text, html = self._templates.render(notification)
        except BrokenTemplate as error:
            raise Unavailable(f"A template is broken: {error}") from error
        headers = [_folded(name, value) for name, value in self._headers(notification, recipient)]
        head = "\r\n".join([*headers, ""]).encode()
        needs_utf8 = not recipient.address.isascii()
        return Mail(self._sender.address, recipient.address, head + _body(notification, text, html), needs_utf8)

    def compose_notice(self, notice: Notice) -> Mail:
        """The same for a notice."""
        try:
            recipient = Mailbox.of("", notice.recipient)
        except ValueError as error:
            raise Undeliverable(f"{one_line(notice.recipient, 100)} {error}.") from None
        try:
            text, html = self._templates.render_notice(notice)
        except BrokenTemplate as error:
            raise Unavailable(f"A template is broken: {error}") from error
        subject, message_id = one_line(notice.subject), f"<{notice.id}@{self.domain}>"
        headers = [_folded(*each) for each in self._envelope(recipient, subject, notice.at, message_id)]
        head = "\r\n".join([*headers, ""]).encode()
        body = _alternatives(notice.id, text, html)
        needs_utf8 = not recipient.address.isascii()
        return Mail(self._sender.address, recipient.address, head + b"MIME-Version: 1.0\r\n" + body, needs_utf8)

    def _envelope(self, recipient: Mailbox, subject: str, at: datetime, message_id: str) -> Iterator[tuple[str, str]]:
        """The headers that every mail of ours has."""
        yield "From", str(self._sender)
        yield "To", str(recipient)
        yield "Reply-To", str(self._reply_to)
        yield "Subject", unstructured(subject)
        yield "Date", format_datetime(at)
        yield "Message-ID", message_id
        yield "Auto-Submitted", "auto-generated"  # RFC 3834, section 5: stops automatic replies
        yield "X-Auto-Response-Suppress", "OOF, AutoReply"  # the same for Exchange

    def _headers(self, notification: Notification, recipient: Mailbox) -> Iterator[tuple[str, str]]:
        ticket = None if notification.summary else notification.ticket
        if ticket is None:
            message_id = f"<{notification.delivery_id}@{self.domain}>"
        else:
            message_id = message_ids.of_delivery(notification.delivery_id, ticket.id, self.domain)
        yield from self._envelope(recipient, _subject(notification), notification.at, message_id)
        if ticket is not None:
            root = message_ids.of_ticket(ticket.id, self.domain)
            thread = [root, *filter(_MESSAGE_ID.fullmatch, notification.thread[-THREAD_MAX:])]
            yield "In-Reply-To", thread[-1]
            yield "References", " ".join(thread)


def _subject(notification: Notification) -> str:
    """The subject, the same for all mails of a ticket, as some mail programs thread by it; for staff it begins with a
    priority above the usual ones. The mail that asks to confirm an address has its own, because the recipient may be a
    stranger to the ticket."""
    ticket = notification.ticket
    if ticket is None:
        return "Test message from Callout"
    if notification.summary:
        return f"{len(notification.summary)} new tickets"
    if notification.kind is NoticeKind.CONFIRM_ADDRESS:
        return f"[{ticket.reference}] Please confirm your e-mail address"
    pressing = notification.audience is not Audience.CUSTOMER and ticket.priority in _PRESSING
    priority = f"{ticket.priority.capitalize()}: " if pressing else ""
    return f"[{ticket.reference}] {priority}{one_line(ticket.subject)}"


def _folded(name: str, value: str) -> str:
    """A folded header field, without its last line end. Words are never broken: RFC 5322 allows lines of 998 octets."""
    first, *words = value.split(" ")
    lines = [f"{name}: {first}"]
    for word in words:
        if len(lines[-1]) + 1 + len(word) > LINE:
            lines.append("")
        lines[-1] += f" {word}"
    return "\r\n".join(lines)


def _body(notification: Notification, text: str, html: str) -> bytes:
    """The MIME headers, a blank line, the two parts, and the files, in lines of 76 octets of ASCII."""
    body = _alternatives(notification.delivery_id, text, html)
    carried = [file for file in notification.files if file.data is not None]
    if carried:
        outer = f"=_{notification.delivery_id}_files"
        start = f"--{outer}\r\n".encode()
        files = [start + _file(file) for file in carried]
        body = b"".join([_multipart("mixed", outer), start, body, *files, f"--{outer}--\r\n".encode()])
    return b"MIME-Version: 1.0\r\n" + body


def _alternatives(id: str, text: str, html: str) -> bytes:
    boundary = f"=_{id}"  # quoted-printable text and base64 cannot contain `=_`
    parts = (_part(boundary, "plain", text), _part(boundary, "html", html))
    return b"".join([_multipart("alternative", boundary), *parts, f"--{boundary}--\r\n".encode()])


def _multipart(subtype: str, boundary: str) -> bytes:
    return f'Content-Type: multipart/{subtype};\r\n boundary="{boundary}"\r\n\r\n'.encode()


def _file(file: NotifiedFile) -> bytes:
    main, _, sub = file.content_type.partition("/")
    part = EmailMessage(_FILE_POLICY)
    part.set_content(file.data, main, sub, filename=file.name)
    del part["MIME-Version"]
    return part.as_bytes()


def _part(boundary: str, subtype: str, text: str) -> bytes:
    head = (
        f'--{boundary}\r\nContent-Type: text/{subtype}; charset="utf-8"\r\n'
        "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
    )
    content = "\r\n".join([*text.splitlines(), ""]).encode(errors="replace")
    return b"".join([head.encode(), b2a_qp(content), b"\r\n"])
