"""A notification, which informs one recipient of one event through one channel, and the interface of channels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from datetime import datetime

from db.enums import Audience, NoticeKind, TicketCategory, TicketPriority, TicketStatus


class NotSent(Exception):
    """The notification was not sent. `said` is the reply of the other side, or the network error; it never contains a
    secret."""

    def __init__(self, said: str) -> None:
        super().__init__(said)
        self.said = said


class Undeliverable(NotSent):
    """The notification is refused for good: retrying is useless."""


class DeviceGone(Undeliverable):
    """The recipient is gone for good: nothing else should be sent there."""


class Needless(NotSent):
    """The recipient needs no notification, as `said` says."""


class Unavailable(NotSent):
    """The notification may be accepted later, but not within `after` seconds, if the other side asked for a pause."""

    def __init__(self, said: str, after: float | None = None) -> None:
        super().__init__(said)
        self.after = after


@dataclass(frozen=True, slots=True)
class TicketFacts:
    """The ticket as it was after the event. `by_staff` says that staff created it, so that its description need not be
    the customer's words."""

    id: str  # UUID
    reference: str
    subject: str
    description: str
    status: TicketStatus
    priority: TicketPriority
    category: TicketCategory
    contact_name: str
    contact_email: str
    contact_phone: str | None
    customer_name: str | None
    property_address: str | None
    property_account_number: str | None
    technician_name: str | None
    resolution: str | None
    created_at: datetime
    by_staff: bool


@dataclass(frozen=True, slots=True)
class SummaryLine:
    """A new ticket in a summary."""

    reference: str
    priority: TicketPriority
    subject: str


@dataclass(frozen=True, slots=True)
class NotifiedFile:
    """A file that a notification names. `size` is in bytes, `digest` names its object in the store. `data` is None
    unless the mail carries the file."""

    name: str
    content_type: str
    size: int
    digest: bytes
    data: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class PushTarget:
    """Where a device gets its notices: the URL at its push service, and the keys for which they are encrypted."""

    endpoint: str
    p256dh: bytes
    auth: bytes


@dataclass(frozen=True, slots=True)
class Notification:
    """`delivery_id` is the same on every attempt. `recipient` is an e-mail address; empty for Google Chat, which has
    one space; the key of its push subscription for a device, whose `device` is None if it has ended. `ticket` is None
    only in a test (`NoticeKind.TEST`). `note` is the text of the note that was added, if the notification is about one;
    or why the technician has declined the ticket.
    `thread` has the Message-IDs, oldest first, of the mails about this ticket that the recipient has received.
    `confirmation_token` is for the link of `NoticeKind.CONFIRM_ADDRESS`. `summary` has the new tickets, two or more,
    the most urgent first, if this is a summary of them instead of a notification of one. `files` are those that staff
    have added to the ticket for the customer, or the customer without a note, if the notification is about them."""

    delivery_id: str  # UUID
    kind: NoticeKind
    audience: Audience
    recipient: str
    recipient_name: str
    ticket: TicketFacts | None
    actor_name: str
    at: datetime
    note: str | None = None
    thread: tuple[str, ...] = ()
    webhook_url: str | None = field(default=None, repr=False)
    device: PushTarget | None = field(default=None, repr=False)
    confirmation_token: str | None = field(default=None, repr=False)
    summary: tuple[SummaryLine, ...] = ()
    files: tuple[NotifiedFile, ...] = ()


@dataclass(frozen=True, slots=True)
class Notice:
    """What people are notified of that is about no ticket. `id` is the same on every attempt; `recipient` is an e-mail
    address, empty for Google Chat. `lines` are paragraphs. `template` names the mail's, and `link` is what its button
    opens."""

    id: str  # UUID
    recipient: str
    subject: str
    lines: tuple[str, ...]
    at: datetime
    webhook_url: str | None = field(default=None, repr=False)
    template: str = "notice"
    link: str | None = field(default=None, repr=False)


class Channel(ABC):
    """Sends notifications, any number at the same time."""

    @abstractmethod
    async def send(self, notification: Notification) -> str:
        """Send a notification and return the other side's reply. Raises `Undeliverable` or `Unavailable`; a channel
        sets its own timeout."""

    async def announce(self, notice: Notice) -> str:
        """Send a notice to an admin, like `send`. Raises `Undeliverable` or `Unavailable`."""
        raise Undeliverable("This channel has no notices.")

    def objection(self, webhook_url: str) -> str | None:
        """Returns why the channel would never send to this webhook, a sentence, or None."""
        return None

    async def close(self) -> None:  # noqa: B027 (a channel may have nothing to close)
        """Close connections that are kept open between sends."""
