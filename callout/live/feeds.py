"""Feeds: how a subscription's compiled statement becomes the messages that `pubsub` delivers."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Self

import orjson

from callout.execution.budgets import Budget
from callout.execution.cost import EVENT, STATEMENT
from callout.execution.prepare import BoundStream
from callout.execution.run import Sign
from callout.live.feed_parts import before, family_of, is_shared, key_of
from callout.live.presence import presence_payloads
from callout.live.screening import Screenings
from callout.live.window_feed import TicketWindowFeed
from db.compiler.fields import Constant
from db.compiler.selection import Selection
from db.enums import Role, StreamResetReason
from db.events.position import TICKETS
from db.events.stream_cursor import StreamPosition
from db.object_changes import ObjectChanges
from db.postgres.pool import Database
from db.ticket_stream import LiveValue, Reader, Stream, TicketFollowing
from db.ticket_window import Window
from db.viewer import Viewer
from pubsub.feed import Feed, Message
from pubsub.windows import WindowFeed
from resolvers.receipts import Receipts
from resolvers.staff_presence import StaffPresence

MERGING_SECONDS: Final = 0.25


@dataclass(frozen=True, slots=True)
class Feeds:
    """Makes feeds of subscriptions. `mark` is the placeholder for the cursor in the JSON that statements return, and
    `sign` puts the URLs of files into it. `receipts` are noted of technicians who come back."""

    database: Database
    mark: str
    sign: Sign
    screenings: Screenings
    presence: StaffPresence
    receipts: Receipts | None = None

    def feed(self, bound: BoundStream, viewer: Viewer, budget: Budget) -> Feed | WindowFeed:
        """The feed of a subscription."""
        mapping = bound.selection.mapping
        given = (bound, viewer, budget, self.database)
        if isinstance(mapping, ObjectChanges) and mapping.depends_on_tickets and viewer.role is Role.TECHNICIAN:
            return ScreenedFeed(*given, self.mark, self.sign, self.screenings)
        if isinstance(mapping, Stream):
            feed = EventFeed(*given, self.mark, self.sign)
            feed.receipts = self.receipts
            if isinstance(mapping, TicketFollowing):
                feed.presence = presence_payloads(bound.selection, viewer, budget, self.presence)
                feed.present_on = frozenset({mapping.ticket(bound.bounds[0])})
            return feed
        if isinstance(mapping, Window):
            window = TicketWindowFeed(*given, self.mark, self.sign)
            window.presence = presence_payloads(bound.selection, viewer, budget, self.presence)
            return window
        return LiveValueFeed(*given)


class EventFeed(Feed):
    """A message for each event: `ticketChanged` and the like."""

    def __init__(
        self, bound: BoundStream, viewer: Viewer, budget: Budget, database: Database, mark: str, sign: Sign
    ) -> None:
        mapping = bound.selection.mapping
        assert isinstance(mapping, Stream)
        self.key = key_of(bound, viewer)
        self.family = family_of(bound, viewer)
        self.logs = [source.log.name for source in mapping.sources(viewer.role)]
        self.routes = mapping.routes(bound.bounds[0], viewer)
        self.quick_test = mapping.quick_test(bound.bounds[0], viewer)
        self.at_once = bound.at_once
        self.quota = budget.live
        self._budget = budget
        self._is_shared = is_shared(bound, viewer)  # so no one of them pays for its live messages
        self._viewer = viewer
        self._sign = sign if bound.compiled.has_links else None
        self._selection = bound.selection
        self._reader = Reader(bound.selection, bound.compiled, bound.bounds, viewer, database)
        self._mark = mark.encode()
        self._before = before(bound.selection)
        self.receipts: Receipts | None = None
        self._certain = mapping.certain(bound.bounds[0], viewer)

    @property
    def overdrawn(self) -> float:
        """The seconds until the viewer's budget owes nothing for what was read."""
        return self._budget.overdrawn

    def returned(self, position: StreamPosition) -> None:
        if self.receipts is not None:
            self.receipts.add(self._viewer, position, self._certain)

    async def of(self, events: Sequence[str]) -> list[Message]:
        self._budget.owe(STATEMENT + len(events) * EVENT)
        return await self._messages(events, [self])

    async def of_all(self, events: Sequence[str], feeds: Sequence[Self]) -> list[Message]:
        if not self._is_shared:
            self._budget.owe(STATEMENT + len(events) * len(feeds) * EVENT)
        return await self._messages(events, feeds)

    async def _messages(self, events: Sequence[str], feeds: Sequence[Self]) -> list[Message]:
        async with self.quota.lookups:
            streamed = await self._reader.of_all(events, [feed._reader for feed in feeds])
        return [
            Message(each.event, each.at, self._before + self._signed(each.documents[0]) + b"}}", each.streams)
            for each in streamed
        ]

    def _signed(self, document: bytes) -> bytes:
        return document if self._sign is None else self._sign(document, self._viewer)

    def with_cursor(self, payload: bytes, cursor: str) -> bytes:
        return payload.replace(self._mark, cursor.encode())

    async def ready(self, cursor: str, *, resumed: bool) -> bytes:
        return self._said("StreamReady", cursor=cursor, resumed=resumed)

    def reset(self, reason: StreamResetReason, cursor: str) -> bytes:
        return self._said("StreamReset", cursor=cursor, reason=reason.value)

    def _said(self, type_: str, **values: str | bool) -> bytes:
        said = {field.key: _value(field, values) for field in self._selection.types[type_]}
        return self._before + orjson.dumps(said) + b"}}"


class ScreenedFeed(EventFeed):
    """The changes of objects that a technician sees on tickets. Entries about others cost no statement of theirs."""

    def __init__(
        self,
        bound: BoundStream,
        viewer: Viewer,
        budget: Budget,
        database: Database,
        mark: str,
        sign: Sign,
        screenings: Screenings,
    ) -> None:
        super().__init__(bound, viewer, budget, database, mark, sign)
        self._screenings = screenings

    async def of_all(self, events: Sequence[str], feeds: Sequence[Self]) -> list[Message]:
        mapping = self._selection.mapping
        assert isinstance(mapping, ObjectChanges)
        seen = await self._screenings.seen_by(self._viewer.id, mapping, events)
        return await super().of_all(seen, feeds) if seen else []


class LiveValueFeed(Feed):
    """The current value of a number: when a subscriber joins, and then whenever it has changed, at most once every
    `MERGING_SECONDS`."""

    at_once = sys.maxsize  # any number of events needs one message
    resumable = False  # it always sends the current value

    def __init__(self, bound: BoundStream, viewer: Viewer, budget: Budget, database: Database) -> None:
        mapping = bound.selection.mapping
        assert isinstance(mapping, LiveValue)
        self.key = self.family = key_of(bound, viewer)
        self.logs = [TICKETS]
        self.routes = mapping.routes(bound.bounds[0], viewer)
        self.quick_test = mapping.quick_test(bound.bounds[0], viewer)
        self.quota = budget.live
        self._budget = budget
        self._is_shared = is_shared(bound, viewer)
        self._statement = bound.compiled.statement.text
        self._arguments = bound.compiled.arguments(bound.bounds, viewer)
        self._database = database
        self._before = before(bound.selection)
        self._last = b""

    async def of(self, events: Sequence[str]) -> list[Message]:
        await asyncio.sleep(MERGING_SECONDS)
        last, self._last = self._last, await self._now()
        return [] if self._last == last else [Message(events[-1], datetime.now(UTC), self._last)]

    def with_cursor(self, payload: bytes, cursor: str) -> bytes:
        return payload

    async def ready(self, cursor: str, *, resumed: bool) -> bytes:
        now = await self._now()
        # Otherwise the first event would be followed by a message that shows no change, and reveal its ticket.
        self._last = self._last or now
        return now

    def reset(self, reason: StreamResetReason, cursor: str) -> None:
        return None

    async def _now(self) -> bytes:
        if not self._is_shared:
            self._budget.owe(STATEMENT)
        async with self.quota.lookups:
            document: bytes = await self._database.fetchval(self._statement, *self._arguments)
        return self._before + document + b"}}"


def _value(field: Selection, values: dict[str, str | bool]) -> str | bool:
    return field.mapping.word if isinstance(field.mapping, Constant) else values[field.name]
