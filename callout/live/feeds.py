"""Feeds: how a subscription's compiled statement becomes the messages that `pubsub` delivers."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Hashable, Sequence
from datetime import UTC, datetime
from typing import Final, Self

import orjson

from callout.execution.budgets import Budget
from callout.execution.cost import EVENT, STATEMENT
from callout.execution.prepare import BoundStream
from callout.execution.run import Sign
from db.compiler.fields import Constant
from db.compiler.selection import Selection
from db.enums import Role, StreamResetReason
from db.events.stream_cursor import StreamPosition
from db.postgres.pool import Database
from db.ticket_stream import LiveValue, Reader, Stream
from db.viewer import Viewer
from pubsub.feed import Feed, Message
from resolvers.receipts import Receipts

MERGING_SECONDS: Final = 0.25


def feed_of(
    bound: BoundStream,
    viewer: Viewer,
    budget: Budget,
    database: Database,
    mark: str,
    sign: Sign,
    receipts: Receipts | None = None,
) -> Feed:
    """Returns the feed of a subscription. `mark` is the placeholder for the cursor in the JSON that statements return,
    and `sign` puts the URLs of files into it. `receipts` are noted of technicians who come back."""
    if isinstance(bound.selection.mapping, Stream):
        return EventFeed(bound, viewer, budget, database, mark, sign, receipts)
    return LiveValueFeed(bound, viewer, budget, database)


def _is_shared(bound: BoundStream, viewer: Viewer) -> bool:
    """Whether the feed is the same for all admins: they have the same rights, but the URLs of files are made for
    one."""
    return viewer.role is Role.ADMIN and not bound.compiled.has_links


def _family(bound: BoundStream, viewer: Viewer) -> Hashable:
    """Returns the key of the feeds that differ only in the values of the subscription's own arguments."""
    own = None if _is_shared(bound, viewer) else viewer.id
    root, *others = bound.bounds
    return (bound.document, bound.operation, bound.flags, viewer.role, own, repr((root.shape, others)))


def _key(bound: BoundStream, viewer: Viewer) -> Hashable:
    """Returns the key by which equal feeds are recognised."""
    return (_family(bound, viewer), repr(bound.bounds[0].values))


class EventFeed(Feed):
    """A message for each event: `ticketChanged` and the like."""

    def __init__(
        self,
        bound: BoundStream,
        viewer: Viewer,
        budget: Budget,
        database: Database,
        mark: str,
        sign: Sign,
        receipts: Receipts | None,
    ) -> None:
        mapping = bound.selection.mapping
        assert isinstance(mapping, Stream)
        self.key = _key(bound, viewer)
        self.family = _family(bound, viewer)
        self.routes = mapping.routes(bound.bounds[0], viewer)
        self.quick_test = mapping.quick_test(bound.bounds[0], viewer)
        self.at_once = bound.at_once
        self.quota = budget.live
        self._budget = budget
        self._is_shared = _is_shared(bound, viewer)  # so no one of them pays for its live messages
        self._viewer = viewer
        self._sign = sign if bound.compiled.has_links else None
        self._selection = bound.selection
        self._reader = Reader(bound.selection, bound.compiled, bound.bounds, viewer, database)
        self._mark = mark.encode()
        self._before = _before(bound.selection)
        self._receipts = receipts
        self._certain = mapping.certain(bound.bounds[0], viewer)

    def returned(self, position: StreamPosition) -> None:
        if self._receipts is not None:
            self._receipts.add(self._viewer, position, self._certain)

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


class LiveValueFeed(Feed):
    """The current value of a number: when a subscriber joins, and then whenever it has changed, at most once every
    `MERGING_SECONDS`."""

    at_once = sys.maxsize  # any number of events needs one message
    resumable = False  # it always sends the current value

    def __init__(self, bound: BoundStream, viewer: Viewer, budget: Budget, database: Database) -> None:
        mapping = bound.selection.mapping
        assert isinstance(mapping, LiveValue)
        self.key = self.family = _key(bound, viewer)
        self.routes = mapping.routes(bound.bounds[0], viewer)
        self.quick_test = mapping.quick_test(bound.bounds[0], viewer)
        self.quota = budget.live
        self._budget = budget
        self._is_shared = _is_shared(bound, viewer)
        self._statement = bound.compiled.statement.text
        self._arguments = bound.compiled.arguments(bound.bounds, viewer)
        self._database = database
        self._before = _before(bound.selection)
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


def _before(selection: Selection) -> bytes:
    return b'{"data":{"%b":' % selection.key.encode()


def _value(field: Selection, values: dict[str, str | bool]) -> str | bool:
    return field.mapping.word if isinstance(field.mapping, Constant) else values[field.name]
