"""The hub delivers the events that the tail reads to the subscribers that they concern.

The subscribers of one feed form a group: each batch is looked up and encoded once for all of them. An event reaches
only the groups with one of its routes. A subscriber with a cursor first gets its own replay, while its group's messages
are held back for it.

The promise: from its cursor on, each subscriber receives every event that concerns it exactly once, and the events of a
ticket in order. Each message has a cursor; a client that returns with it continues after that message.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections import defaultdict, deque
from collections.abc import Callable, Hashable
from functools import partial
from typing import Final

import asyncpg

from db.enums import StreamResetReason
from db.events.cursor import StreamCursors, StreamPosition
from db.events.event import Event
from db.postgres.pool import Database
from pubsub.bell import Bell
from pubsub.feed import Feed, Message
from pubsub.replay import Replay, replay
from pubsub.send_queue import QUEUE_BYTES_MAX
from pubsub.tail import Batch, Tail

logger = logging.getLogger(__name__)

RETRY_SECONDS: Final = 0.5
HELD_MAX: Final = 10_000  # messages held back for a subscriber during its replay
HELD_BYTES_MAX: Final = QUEUE_BYTES_MAX  # the total size of those messages

UNAVAILABLE: Final = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
)
"""Exceptions that mean that the database is unavailable. A tail that makes no progress raises `TimeoutError` too."""


class Subscriber(ABC):
    """A client's side of one subscription."""

    @abstractmethod
    def deliver(self, payload: bytes) -> None:
        """Sends the payload to the client. Never blocks; a subscriber whose queue is full ends its subscription."""

    @abstractmethod
    async def drained(self) -> None:
        """Waits until the client has taken everything delivered so far, so that a long replay goes at its pace."""

    @abstractmethod
    def fail(self) -> None:
        """Ends the subscription because of an error on our side; the client may try again."""


class _GroupSubscriber:
    """A subscriber in a group: the number of the last batch before it joined, which is not delivered to it, and the
    messages held back during its replay."""

    def __init__(self, subscriber: Subscriber, since: int) -> None:
        self.subscriber = subscriber
        self.since = since
        self._held: deque[bytes] | None = deque()
        self._held_bytes = 0

    def deliver(self, payload: bytes) -> None:
        if self._held is None:
            self.subscriber.deliver(payload)
            return
        self._held.append(payload)
        self._held_bytes += len(payload)
        if len(self._held) > HELD_MAX or self._held_bytes > HELD_BYTES_MAX:
            self._held.clear()
            self.subscriber.fail()

    async def catch_up(self) -> None:
        """Delivers the messages held back, at the subscriber's pace; from then on messages are delivered directly."""
        while self._held:
            payload = self._held.popleft()
            self._held_bytes -= len(payload)
            self.subscriber.deliver(payload)
            await self.subscriber.drained()
        self._held = None


class SubscriptionHandle:
    """An active subscription. The subscriber calls `end`, once."""

    def __init__(self, tail: Tail) -> None:
        self.joining: asyncio.Task[None] | None = None
        self.leave: Callable[[], None] = lambda: None
        self._tail = tail
        tail.listen()

    def end(self) -> None:
        if self.joining is not None:
            self.joining.cancel()
        self.leave()
        self._tail.leave()


class _Group:
    """The subscribers of one feed, and the batches that wait to be delivered to them."""

    def __init__(self, hub: Hub, feed: Feed) -> None:
        self.feed = feed
        self.subscribers: set[_GroupSubscriber] = set()
        self._hub = hub
        self._batches: list[tuple[Batch, list[Event]]] = []
        self._delivering: asyncio.Task[None] | None = None

    def add(self, batch: Batch, events: list[Event]) -> None:
        self._batches.append((batch, events))
        if self._delivering is None:
            self._delivering = asyncio.create_task(self._deliver())

    def leave(self, entry: _GroupSubscriber) -> None:
        self.subscribers.discard(entry)
        if not self.subscribers:
            self._hub.forget(self)
            if self._delivering is not None:
                self._delivering.cancel()

    async def _deliver(self) -> None:
        """Delivers the waiting batches together, and repeats while more have arrived meanwhile."""
        try:
            while self._batches:
                batches, self._batches = self._batches, []
                of_event = {event.id: batch for batch, events in batches for event in events}
                ids = list(of_event)
                for start in range(0, len(ids), self.feed.at_once):
                    found = await self._found(ids[start : start + self.feed.at_once])
                    # Batch by batch: a cursor names the batch that its event is in, so a batch must be delivered before
                    # the next one.
                    for message in sorted(found, key=lambda message: of_event[message.event].number):
                        self._deliver_to_all(of_event[message.event], message)
        except Exception:
            logger.exception("cannot make a subscription's messages")
            for entry in list(self.subscribers):
                entry.subscriber.fail()
        finally:
            self._delivering = None

    async def _found(self, events: list[str]) -> list[Message]:
        while True:
            try:
                return await self.feed.of(events)
            except UNAVAILABLE as error:
                logger.warning("cannot look up new events: %s", error or type(error).__name__)
                await asyncio.sleep(RETRY_SECONDS)

    def _deliver_to_all(self, batch: Batch, message: Message) -> None:
        cursor = StreamPosition(batch.origin, batch.until, message.at, message.event).sealed(self._hub.cursors)
        payload = self.feed.with_cursor(message.payload, cursor)
        for entry in list(self.subscribers):
            if batch.number > entry.since:
                entry.deliver(payload)


class Hub:
    """One for each process. Run `follow()` for as long as the process serves."""

    def __init__(self, database: Database, database_url: str, bell: Bell, cursors: StreamCursors) -> None:
        self.cursors = cursors
        self._database = database
        self._tail = Tail(database_url, bell, self._on_batch)
        self._groups: dict[Hashable, _Group] = {}
        self._by_route: defaultdict[str, set[_Group]] = defaultdict(set)

    async def follow(self) -> None:
        await self._tail.follow()

    def subscribe(self, feed: Feed, subscriber: Subscriber, after: str | None) -> SubscriptionHandle:
        """Delivers the feed's messages to `subscriber`, after the cursor `after` or from now on, until the returned
        handle is ended."""
        subscription = SubscriptionHandle(self._tail)
        subscription.joining = asyncio.create_task(self._join(feed, subscriber, after, subscription))
        return subscription

    def forget(self, group: _Group) -> None:
        if self._groups.get(group.feed.key) is group:
            del self._groups[group.feed.key]
        for route in group.feed.routes:
            self._by_route[route].discard(group)
            if not self._by_route[route]:
                del self._by_route[route]

    def _on_batch(self, batch: Batch) -> None:
        concerned: defaultdict[_Group, list[Event]] = defaultdict(list)
        for event in batch.events:
            for group in {group for route in event.routes for group in self._by_route.get(route, ())}:
                if group.feed.quick_test(event):
                    concerned[group].append(event)
        for group, events in concerned.items():
            group.add(batch, events)

    # Joining

    async def _join(
        self, feed: Feed, subscriber: Subscriber, after: str | None, subscription: SubscriptionHandle
    ) -> None:
        """Delivers the replay to a new subscriber, then `ready`, then the messages held back meanwhile."""
        try:
            position = None if after is None else StreamPosition.opened(after, self.cursors)
            await self._tail.awake()
            # A cursor from a list or another process may be ahead of this process's tail.
            known = position is not None and await self._tail.reach(position.until or position.origin)
            # No await between entering the group and reading the position: no batch may fall between the two.
            entry, now = self._enter(feed, subscriber, subscription), self._tail.position
            if position is not None and known:
                await self._replay(feed, subscriber, await replay(self._database, position, now), now)
            elif after is not None:
                subscriber.deliver(
                    feed.reset(StreamResetReason.CURSOR_UNKNOWN, StreamPosition(now).sealed(self.cursors))
                )
            subscriber.deliver(await feed.ready(StreamPosition(now).sealed(self.cursors)))
            await entry.catch_up()
        except UNAVAILABLE as error:
            logger.warning("cannot replay events: %s", error or type(error).__name__)
            subscriber.fail()
        except Exception:
            logger.exception("cannot start a subscription")
            subscriber.fail()

    def _enter(self, feed: Feed, subscriber: Subscriber, subscription: SubscriptionHandle) -> _GroupSubscriber:
        group = self._groups.get(feed.key)
        if group is None:
            group = self._groups[feed.key] = _Group(self, feed)
            for route in feed.routes:
                self._by_route[route].add(group)
        entry = _GroupSubscriber(subscriber, self._tail.number)
        group.subscribers.add(entry)
        subscription.leave = partial(group.leave, entry)
        return entry

    async def _replay(self, feed: Feed, subscriber: Subscriber, found: Replay | StreamResetReason, now: str) -> None:
        if isinstance(found, StreamResetReason):
            subscriber.deliver(feed.reset(found, StreamPosition(now).sealed(self.cursors)))
            return
        async for portion in found.portions(feed.of, feed.at_once):
            for position, message in portion:
                subscriber.deliver(feed.with_cursor(message.payload, position.sealed(self.cursors)))
                await subscriber.drained()
