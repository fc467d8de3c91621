"""The hub delivers the events that the tail reads to the subscribers that they concern.

The subscribers of one feed form a group. An event reaches only the groups that it can concern: those on one of its
routes whose quick test it passes. The groups of a family are asked about it in one statement, and each message is
encoded once for all of them that have it. A subscriber with a cursor first gets its own replay, while its group's
messages are held back for it.

The promise: from its cursor on, each subscriber receives every event that concerns it exactly once, and the events of a
ticket in order. Each message has a cursor; a client that returns with it continues after that message.

When the log's history has changed, as after a failover that lost events, each subscriber is treated as if it returned
with its last cursor: if the log still has the events below it, the subscriber gets those after it; otherwise a reset.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Final, NamedTuple

from db.events.event import Entry
from db.events.stream_cursor import Reset, StreamCursors, StreamPosition, check_position
from db.metrics import Histogram
from db.postgres.pool import Database
from db.stream_filter import QuickTest
from pubsub.bell import Bell
from pubsub.feed import Feed, Message
from pubsub.presence import Presences
from pubsub.presence_watch import PresenceWatch
from pubsub.routes import ByRoute
from pubsub.send_queue import QUEUE_BYTES_MAX
from pubsub.subscriber import DELIVERED, Subscriber, SubscriptionHandle, available, failing
from pubsub.tail import Batch, Tail
from pubsub.windows import WindowFeed, Windows

logger = logging.getLogger(__name__)

HELD_MAX: Final = 10_000  # messages held back for a subscriber during its replay
HELD_BYTES_MAX: Final = QUEUE_BYTES_MAX  # the total size of those messages
REPLAYS_AT_ONCE: Final = 3
"""The most look-ups for replays at a time, so that clients that come back together leave connections of the pool to
others. A subscriber that reads slowly waits outside; before that, the subscribers of a viewer take turns."""
ASKED_MAX: Final = 20_000  # events times groups of a family in one look-up, which takes a tenth of a second

_REPLAYED: Final = Histogram(
    "callout_replay_events",
    "How many events replays had to look up, also those that do not concern the subscriber.",
    bounds=(0, 1, 10, 100, 1_000, 5_000, 10_000, 50_000),
)


class _GroupSubscriber:
    """A subscriber in a group: the number of the last batch before it joined, which is not delivered to it, and the
    messages held back during its replay.

    `position` is that of the last message delivered to it, or of its cursor; None if the cursor is unknown. `resumes`
    says whether there is any, and `ready` whether its replay has been completed. `resumed` says whether the stream has
    continued from the client's cursor, without a reset.
    """

    def __init__(
        self, subscriber: Subscriber, since: int, position: StreamPosition | None = None, *, resumes: bool = False
    ) -> None:
        self.subscriber = subscriber
        self.since = since
        self.position = position
        self.resumes = self.resumed = resumes
        self.ready = False
        self._held: deque[tuple[bytes, StreamPosition]] | None = deque()
        self._held_bytes = 0

    def hold(self, since: int) -> None:
        """From now on holds back the messages of batches after `since`, for a replay, and forgets earlier ones."""
        self.since = since
        self._held = deque()
        self._held_bytes = 0

    def deliver(self, payload: bytes, position: StreamPosition) -> None:
        if self._held is None:
            self.deliver_now(payload, position)
            return
        self._held.append((payload, position))
        self._held_bytes += len(payload)
        if len(self._held) > HELD_MAX or self._held_bytes > HELD_BYTES_MAX:
            self._held.clear()
            self.subscriber.fail()

    def deliver_now(self, payload: bytes, position: StreamPosition) -> None:
        self.position, self.resumes = position, True
        self.subscriber.deliver(payload)

    def cursor(self, cursors: StreamCursors) -> str | None:
        return None if self.position is None else self.position.sealed(cursors)

    def event(self) -> str | None:
        return None if self.position is None or self.position.until is None else self.position.event

    async def catch_up(self) -> None:
        """Delivers the messages held back, at the subscriber's pace; from then on messages are delivered directly."""
        while self._held:
            payload, position = self._held.popleft()
            self._held_bytes -= len(payload)
            self.deliver_now(payload, position)
            await self.subscriber.drained()
        self._held = None


class _Group:
    """The subscribers of one feed."""

    def __init__(self, hub: Hub, feed: Feed, family: _Family) -> None:
        self.feed = feed
        self.family = family
        self.subscribers: dict[_GroupSubscriber, SubscriptionHandle] = {}
        self._hub = hub
        self._presence: PresenceWatch | None = None
        if feed.presence is not None:
            self._presence = PresenceWatch(hub.presences, feed.presence)
            self._presence.watch(feed.present_on)

    def leave(self, entry: _GroupSubscriber) -> None:
        self.subscribers.pop(entry, None)
        if self._presence is not None:
            self._presence.leave(entry.subscriber)
        if not self.subscribers:
            self._hub.forget(self)
            if self._presence is not None:
                self._presence.end()

    def show_presence(self, entry: _GroupSubscriber) -> None:
        """Shows a subscriber whose replay is complete who is present, from now on."""
        if self._presence is not None and entry in self.subscribers:
            self._presence.enter(entry.subscriber)

    def deliver(self, batch: Batch, payload: bytes, position: StreamPosition) -> None:
        DELIVERED.add(amount=len(self.subscribers))
        for entry in list(self.subscribers):
            if batch.number > entry.since:
                entry.deliver(payload, position)
        if self._presence is not None:
            self._presence.refresh()

    def fail(self) -> None:
        for entry in list(self.subscribers):
            entry.subscriber.fail()


class _Waiting(NamedTuple):
    """An event that waits to be delivered: its id, its batch, and the groups of a family that it can concern."""

    event: str
    batch: Batch
    groups: Sequence[_Group]


class _Family:
    """The groups whose feeds are of one family, and the events that wait to be delivered to them."""

    def __init__(self, cursors: StreamCursors) -> None:
        self.groups: set[_Group] = set()
        self._cursors = cursors
        self._waiting: list[_Waiting] = []
        self._delivering: asyncio.Task[None] | None = None

    def add(self, events: Sequence[_Waiting]) -> None:
        self._waiting += events
        if self._delivering is None:
            self._delivering = asyncio.create_task(self._deliver())

    def forget_waiting(self) -> None:
        self._waiting.clear()

    def leave(self, group: _Group) -> None:
        self.groups.discard(group)
        if not self.groups and self._delivering is not None:
            self._delivering.cancel()

    async def _deliver(self) -> None:
        """Delivers the waiting events together, and repeats while more have arrived meanwhile."""
        try:
            while self._waiting and self.groups:
                waiting, self._waiting = self._waiting, []
                at_once = max(1, min(waiting[0].groups[0].feed.at_once, ASKED_MAX // len(self.groups)))
                for start in range(0, len(waiting), at_once):
                    await self._deliver_portion(waiting[start : start + at_once])
        except Exception:
            logger.exception("cannot make a subscription's messages")
            for group in list(self.groups):
                group.fail()
        finally:
            self._delivering = None

    async def _deliver_portion(self, waiting: Sequence[_Waiting]) -> None:
        batches = {each.event: each.batch for each in waiting}
        groups = list(dict.fromkeys(group for each in waiting for group in each.groups))
        feeds = [group.feed for group in groups]
        found = await available(lambda: feeds[0].of_all(list(batches), feeds), "look up new events")
        # Batch by batch: a cursor names the batch that its event is in, so a batch must be delivered before the next
        # one.
        for message in sorted(found, key=lambda message: batches[message.event].number):
            batch = batches[message.event]
            position = StreamPosition(batch.origin, batch.until, message.at, message.event)
            payload = groups[0].feed.with_cursor(message.payload, position.sealed(self._cursors))
            for index in message.feeds:
                groups[index].deliver(batch, payload, position)


class Watch:
    """Somebody who reads the log by themselves, and is woken when a batch may concern them. `wake` gets the position
    before the batch: no event before it, since the previous call, can concern them. It gets None if the log's history
    has changed."""

    def __init__(self, routes: frozenset[str], quick_test: QuickTest, wake: Callable[[str | None], None]) -> None:
        self.routes = routes
        self.quick_test = quick_test
        self.wake = wake


class Hub:
    """One for each process. Run `follow()` for as long as the process serves."""

    def __init__(
        self, database: Database, database_url: str, bell: Bell, cursors: StreamCursors, presences: Presences
    ) -> None:
        self.cursors = cursors
        self.presences = presences
        self._database = database
        self._tail = Tail(database_url, bell, self._on_batch, self._on_changed_history)
        self._windows = Windows(self._tail, cursors, presences)
        self._families: dict[Hashable, _Family] = {}
        self._groups: dict[Hashable, _Group] = {}
        self._by_route: ByRoute[_Group] = ByRoute()
        self._replays = asyncio.Semaphore(REPLAYS_AT_ONCE)
        self._watches: ByRoute[Watch] = ByRoute()

    async def follow(self) -> None:
        await self._tail.follow()

    @property
    def lag(self) -> float:
        """The seconds since the tail has read the event log."""
        return self._tail.lag

    @property
    def groups(self) -> int:
        return len(self._groups) + len(self._windows)

    @property
    def families(self) -> int:
        return len(self._families)

    @property
    def subscriptions(self) -> int:
        """The subscriptions in all groups, also those that are being replayed."""
        return sum(len(group.subscribers) for group in self._groups.values()) + self._windows.subscriptions

    def subscribe(self, feed: Feed | WindowFeed, subscriber: Subscriber, after: str | None) -> SubscriptionHandle:
        """Delivers the feed's messages to `subscriber`, after the cursor `after` or from now on, until the returned
        handle is ended."""
        subscription = SubscriptionHandle(self._tail, feed.quota, feed.key)
        if isinstance(feed, WindowFeed):
            subscription.join(self._windows.join(feed, subscriber, subscription))
        else:
            subscription.join(self._join(feed, subscriber, after, subscription))
        return subscription

    @property
    def position(self) -> str:
        """The position up to which all watches have been woken; only with a watch."""
        return self._tail.position

    def watch(self, watch: Watch) -> None:
        """Wakes it for the batches that the tail reads, until `unwatch`. Read the log once the tail is `awake`."""
        self._tail.listen()
        self._watches.add(watch, watch.routes)

    async def awake(self) -> None:
        """Waits until the tail reads. Raises `TimeoutError` if it cannot."""
        await self._tail.awake()

    def unwatch(self, watch: Watch) -> None:
        self._tail.leave()
        self._watches.discard(watch, watch.routes)

    def forget(self, group: _Group) -> None:
        if self._groups.get(group.feed.key) is group:
            del self._groups[group.feed.key]
        self._by_route.discard(group, group.feed.routes)
        group.family.leave(group)
        if not group.family.groups and self._families.get(group.feed.family) is group.family:
            del self._families[group.feed.family]

    def _on_batch(self, batch: Batch) -> None:
        if self._watches:
            self._wake_watches(batch)
        self._windows.take(batch)
        waiting: defaultdict[_Family, list[_Waiting]] = defaultdict(list)
        for event in batch.events:
            concerned: defaultdict[_Family, list[_Group]] = defaultdict(list)
            for group in self._by_route.on(event.routes):
                if isinstance(event, Entry) or group.feed.quick_test(event):
                    concerned[group.family].append(group)
            for family, groups in concerned.items():
                waiting[family].append(_Waiting(event.id, batch, groups))
        for family, events in waiting.items():
            family.add(events)

    def _wake_watches(self, batch: Batch) -> None:
        woken: dict[Watch, None] = {}
        for event in batch.events:
            for watch in self._watches.on(event.routes):
                if isinstance(event, Entry) or watch.quick_test(event):
                    woken[watch] = None
        for watch in woken:
            watch.wake(batch.origin)

    def _on_changed_history(self) -> None:
        for watch in self._watches.on(self._watches):
            watch.wake(None)
        self._windows.begin_anew()
        for family in self._families.values():
            family.forget_waiting()
        for group in list(self._groups.values()):
            for entry, subscription in group.subscribers.items():
                entry.hold(self._tail.number)
                subscription.join(self._join_again(group.feed, entry, self._tail.position))

    # Joining

    async def _join(
        self, feed: Feed, subscriber: Subscriber, after: str | None, subscription: SubscriptionHandle
    ) -> None:
        """Adds a subscriber to its group, and starts its stream."""
        with failing(subscriber):
            # This only says how long to wait; whether the stream can continue is decided by `check_position`.
            position = None if after is None else StreamPosition.opened(after, self.cursors)
            await self._tail.awake()
            if position is not None:
                await self._tail.reach(position.end)  # a cursor from a list or another process may be ahead of this one
            entry = _GroupSubscriber(subscriber, self._tail.number, position, resumes=after is not None)
            await self._start(feed, entry, self._enter(feed, entry, subscription))
            if position is not None and entry.resumed:
                feed.returned(position)

    def _enter(self, feed: Feed, entry: _GroupSubscriber, subscription: SubscriptionHandle) -> str:
        """Adds a new entry to the feed's group. Returns the position from which on it gets batches; no batch may fall
        between the two."""
        group = self._groups.get(feed.key)
        if group is None:
            family = self._families.setdefault(feed.family, _Family(self.cursors))
            group = self._groups[feed.key] = _Group(self, feed, family)
            family.groups.add(group)
            self._by_route.add(group, feed.routes)
        group.subscribers[entry] = subscription
        subscription.leave = partial(group.leave, entry)
        if feed.resumable:
            subscription.cursor = partial(entry.cursor, self.cursors)
            subscription.event = entry.event
        return self._tail.position

    async def _join_again(self, feed: Feed, entry: _GroupSubscriber, now: str) -> None:
        """Continues a subscriber's stream in a changed history, of which the tail has read up to `now`."""
        with failing(entry.subscriber):
            await self._start(feed, entry, now)

    async def _start(self, feed: Feed, entry: _GroupSubscriber, now: str) -> None:
        """Delivers what the subscriber has missed up to the tail's position `now`, or a reset; `ready`, unless the
        client has had it; and the messages held back meanwhile."""
        if entry.resumes:
            await self._replay(feed, entry, now)
        if not entry.ready:
            position = StreamPosition(now)
            entry.deliver_now(await feed.ready(position.sealed(self.cursors), resumed=entry.resumed), position)
            entry.ready = True
        await entry.catch_up()
        group = self._groups.get(feed.key)
        if group is not None:
            group.show_presence(entry)

    async def _replay(self, feed: Feed, entry: _GroupSubscriber, now: str) -> None:
        async with feed.quota.replays, self._replays:
            checked = await check_position(entry.position, self._database, now, feed.logs)
        if isinstance(checked, Reset):
            position = StreamPosition(checked.now)
            payload = feed.reset(checked.reason, position.sealed(self.cursors))
            if payload is not None:
                entry.deliver_now(payload, position)
            entry.ready = entry.resumed = False
            return

        _REPLAYED.observe(checked.events)

        async def of(events: Sequence[str]) -> list[Message]:
            async with feed.quota.replays, self._replays:
                return await feed.of(events)

        async for portion in checked.portions(of, feed.at_once):
            for position, message in portion:
                entry.deliver_now(feed.with_cursor(message.payload, position.sealed(self.cursors)), position)
                await entry.subscriber.drained()
