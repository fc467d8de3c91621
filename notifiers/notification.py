"""A notification: what one recipient is told of one event, by one channel; and what a channel is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from datetime import datetime

from db.enums import Audience, NoticeKind, TicketCategory, TicketPriority, TicketStatus


class NotSent(Exception):
    """The notification was not sent. `said` is the reply of the other side, or of the network; it never contains a
    secret."""

    def __init__(self, said: str) -> None:
        super().__init__(said)
        self.said = said


class Undeliverable(NotSent):
    """It will never be taken: trying again is of no use."""


class Unavailable(NotSent):
    """It may be taken later; not before `after` seconds, if the other side said so."""

    def __init__(self, said: str, after: float | None = None) -> None:
        super().__init__(said)
        self.after = after


@dataclass(frozen=True, slots=True)
class TicketFacts:
    """The ticket as the event left it."""

    id: str  # UUID
    reference: str
    subject: str
    description: str
    status: TicketStatus
    priority: TicketPriority
    category: TicketCategory
    contact_name: str
    contact_email: str
    customer_name: str | None
    property_address: str | None
    technician_name: str | None
    resolution: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Notification:
    """`delivery_id` is the same on every try. `recipient` is an e-mail address, or empty where the channel has one
    place. `ticket` is None in a test alone (`NoticeKind.TEST`). `note` is the text of the note that was added;
    `thread` are Message-IDs, oldest first, of mail on this ticket that the recipient has or has written."""

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


class Channel(ABC):
    """A way to tell. Any number of sends may be under way at once."""

    @abstractmethod
    async def send(self, notification: Notification) -> str:
        """What the other side said on taking it. Raises `Undeliverable` or `Unavailable`, within a time of its own."""

    async def close(self) -> None:  # noqa: B027 (there may be nothing to end)
        """Ends what is kept open between sends."""
