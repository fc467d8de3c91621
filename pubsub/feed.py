"""Feeds: what a group of subscribers shares. They have the same document, variables and rights, so the same messages.

The application makes feeds (`callout/live/feeds.py`); the hub delivers a feed's messages to its whole group.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from db.enums import StreamResetReason
from db.events.position import LOGS
from db.stream_filter import QuickTest
from pubsub.presence_watch import PresencePayloads
from pubsub.quota import Quota


@dataclass(frozen=True, slots=True)
class Message:
    """A message about an event: the JSON payload of a `next` message, in which `Feed.with_cursor` still has to put the
    cursor. `feeds` are the feeds that have the message, by their indexes among those that were asked for it."""

    event: str
    at: datetime
    payload: bytes
    feeds: Sequence[int] = (0,)


class Feed(ABC):
    """What a group receives: its statement and how its messages are made.

    Feeds with equal keys are interchangeable, so their subscribers form one group. Feeds of one `family` differ in the
    values of their filters alone, and are asked together. Every event that can concern the feed is in one of the tables
    `logs`, has one of its `routes`, and passes its `quick_test` if it is a ticket's. `at_once` is the most events to
    look up at a time; their messages are in memory together. `quota` is that of the viewer for whom the feed was made.
    `resumable` says whether a client can continue after a message. `presence` makes messages about who is present on
    the tickets `present_on`, if the feed has such.
    """

    key: Hashable
    family: Hashable
    logs: Collection[str] = LOGS
    routes: frozenset[str]
    quick_test: QuickTest
    at_once: int
    quota: Quota
    resumable: bool = True
    presence: PresencePayloads | None = None
    present_on: frozenset[str] = frozenset()

    @abstractmethod
    async def of(self, events: Sequence[str]) -> list[Message]:
        """Returns the messages about these events (ids), in order; events that do not concern the feed have none.
        Raises the database's errors."""

    async def of_all(self, events: Sequence[str], feeds: Sequence[Self]) -> list[Message]:
        """Returns the messages about these events for several feeds of one family, in order. By default a family has
        only one feed. Raises the database's errors."""
        assert list(feeds) == [self]
        return await self.of(events)

    @abstractmethod
    def with_cursor(self, payload: bytes, cursor: str) -> bytes:
        """Returns a message's payload with its cursor in place."""

    @abstractmethod
    async def ready(self, cursor: str, *, resumed: bool) -> bytes:
        """Returns the payload that ends the replay: from here on, messages are live. `resumed` says whether the stream
        has continued from the client's cursor. Raises the database's errors."""

    @abstractmethod
    def reset(self, reason: StreamResetReason, cursor: str) -> bytes | None:
        """Returns the payload that says that the client's cursor cannot be used, and why; None if the feed's messages
        have no cursors, so that `ready` says everything."""
