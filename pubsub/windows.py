"""Live windows: lists of which subscribers have the first rows, kept in step by patches.

The subscribers of one window form a group. It has the list as its members have it; after events that concern it, at
most once every `PATCH_SECONDS`, it works out what the list is now, and sends all of them the operations between the
two. Whoever joins gets a snapshot. So does everybody after a gap: when the log's history has changed, and a member that
reads too slowly once it has caught up. A patch is therefore always sent to those who have exactly the list that it was
made for, and a client never has to ask for anything again.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection, Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Final, TypeVar

from db.events.event import Entry, Event
from db.events.stream_cursor import StreamCursors, StreamPosition
from db.stream_filter import QuickTest
from pubsub.presence import Presences
from pubsub.presence_watch import PresencePayloads, PresenceWatch
from pubsub.quota import Quota
from pubsub.routes import ByRoute
from pubsub.subscriber import DELIVERED, Subscriber, SubscriptionHandle, available, failing
from pubsub.tail import Batch, Tail

logger = logging.getLogger(__name__)

T = TypeVar("T")

PATCH_SECONDS: Final = 0.25  # between two patches of a window
EVENTS_MAX: Final = 1_000  # that wait for a look-up; with more, the whole list is read


@dataclass(frozen=True, slots=True)
class WindowMessage:
    """What a list that has been read is sent as: the payload of a patch from what it was before, None if it is the same
    or was not known; and that of a snapshot."""

    patch: bytes | None
    snapshot: bytes


class WindowFeed(ABC):
    """What a group of subscribers to a window shares: the list as they have it, and how its messages are made.

    Feeds with equal keys are interchangeable, so their subscribers form one group. Every event that can concern the
    window has one of its `routes` and passes its `quick_test`, and every entry of the audit trail has one of them.
    `quota` is that of the viewer for whom the feed was made. `position` is that of the list. `presence` makes messages
    about who is present on the list's `tickets`, if the feed has such.
    """

    key: Hashable
    routes: frozenset[str]
    quick_test: QuickTest
    quota: Quota
    resumable: bool = False  # each subscription begins with a snapshot
    position: str
    presence: PresencePayloads | None = None

    @property
    @abstractmethod
    def tickets(self) -> Collection[str]:
        """The keys of the tickets that the list shows."""

    @property
    @abstractmethod
    def pause(self) -> float:
        """The seconds by which the budgets of its viewers put off the next look-up."""

    @abstractmethod
    def admit(self, feed: WindowFeed) -> None:
        """Takes note that a viewer has joined with an equal feed."""

    @abstractmethod
    def dismiss(self, feed: WindowFeed) -> None:
        """Takes note that a viewer has left who had joined with this feed."""

    @abstractmethod
    async def read(self, now: str) -> WindowMessage:
        """Reads the list, which includes all events up to the position `now`. Raises the database's errors."""

    @abstractmethod
    async def update(self, events: Sequence[Event], now: str) -> bytes | None:
        """Brings the list to the position `now`, before which these events are new. Returns the payload of a patch, or
        None if nothing has changed. Raises the database's errors; then it is called again with the same events."""

    @abstractmethod
    def depends_on(self, entry: Entry) -> bool:
        """Whether the change of an object can change the list, or what it shows."""

    @abstractmethod
    def with_cursor(self, payload: bytes, cursor: str) -> bytes:
        """Returns a payload with its cursor in place."""


class _Window:
    """The subscribers of one window. Members have the list as the feed has it; newcomers wait for a snapshot, and those
    who are late have not taken yet what they were sent, each with the task that waits for that."""

    def __init__(
        self,
        feed: WindowFeed,
        tail: Tail,
        cursors: StreamCursors,
        presences: Presences,
        forget: Callable[[_Window], None],
    ) -> None:
        self.feed = feed
        self._presence = None if feed.presence is None else PresenceWatch(presences, feed.presence)
        self.subscribers: dict[Subscriber, WindowFeed] = {}
        """Each with the feed that it has joined with."""
        self._members: set[Subscriber] = set()
        self._newcomers: set[Subscriber] = set()
        self._late: dict[Subscriber, asyncio.Task[None]] = {}
        self._events: list[Event] = []
        self._anew = False
        self._next_at = 0.0
        self._snapshot: bytes | None = None
        """The payload of a snapshot of the list as the members have it, shortly after it was read."""
        self._working: asyncio.Task[None] | None = None
        self._tail = tail
        self._cursors = cursors
        self._forget = forget

    def enter(self, subscriber: Subscriber, feed: WindowFeed) -> None:
        self.subscribers[subscriber] = feed
        self.feed.admit(feed)
        if self._snapshot is None:
            self._newcomers.add(subscriber)
            self._work()
        else:
            # Those who come together share what one of them had read. What has happened since comes as a patch.
            self._greet({subscriber}, self._snapshot)

    def leave(self, subscriber: Subscriber) -> None:
        if (feed := self.subscribers.pop(subscriber, None)) is not None:
            self.feed.dismiss(feed)
        for each in (self._members, self._newcomers):
            each.discard(subscriber)
        if (late := self._late.pop(subscriber, None)) is not None:
            late.cancel()
        self._hide_presence({subscriber})
        if not self.subscribers:
            self._forget(self)
            if self._presence is not None:
                self._presence.end()
            if self._working is not None:
                self._working.cancel()

    def add(self, event: Event) -> None:
        if not self._anew:
            self._events.append(event)
            if len(self._events) > EVENTS_MAX:
                self._events.clear()
                self._anew = True
        self._work()

    def reread(self) -> None:
        """Reads the whole list next time."""
        self._anew = True
        self._work()

    def begin_anew(self) -> None:
        """Sends everybody a snapshot of the list as it is in a changed history."""
        self._events.clear()
        self._snapshot = None
        self._newcomers |= self._members
        self._members.clear()
        self.reread()

    def _work(self) -> None:
        if self._working is None:
            self._working = asyncio.create_task(self._run())

    async def _run(self) -> None:
        try:
            while self._anew or self._events or self._newcomers or self._snapshot is not None:
                await asyncio.sleep(self._next_at - monotonic())
                self._snapshot = None
                await asyncio.sleep(self.feed.pause)
                await self._turn()
                self._next_at = monotonic() + PATCH_SECONDS
        except Exception:
            logger.exception("cannot keep a window")
            for subscriber in list(self.subscribers):
                subscriber.fail()
        finally:
            self._working = None

    async def _turn(self) -> None:
        """Brings the list up to date, and sends the members a patch and the newcomers a snapshot."""
        newcomers, self._newcomers = self._newcomers, set()
        events, self._events = self._events, []
        anew, self._anew = self._anew or bool(newcomers), False
        if anew:
            read = await self._available(self.feed.read)
            patch, self._snapshot = read.patch, self._with_cursor(read.snapshot)
        elif events:
            patch = await self._available(lambda now: self.feed.update(events, now))
        else:
            return
        if patch is not None:
            self._deliver(self._with_cursor(patch))
        if self._presence is not None:
            self._presence.watch(self.feed.tickets)
        if self._snapshot is not None:
            self._greet(newcomers & self.subscribers.keys(), self._snapshot)

    def _greet(self, newcomers: set[Subscriber], snapshot: bytes) -> None:
        """Makes newcomers members, who have the list as it is."""
        DELIVERED.add(amount=len(newcomers))
        self._members |= newcomers
        for subscriber in newcomers:
            subscriber.deliver(snapshot)
            if self._presence is not None:
                self._presence.enter(subscriber)

    def _hide_presence(self, subscribers: Collection[Subscriber]) -> None:
        """Sends these no messages about presence until they have had a snapshot."""
        if self._presence is not None:
            for subscriber in subscribers:
                self._presence.leave(subscriber)

    def _with_cursor(self, payload: bytes) -> bytes:
        return self.feed.with_cursor(payload, StreamPosition(self.feed.position).sealed(self._cursors))

    def _deliver(self, patch: bytes) -> None:
        behind = {subscriber for subscriber in self._members if subscriber.is_behind}
        self._members -= behind
        self._hide_presence(behind)
        for subscriber in behind:
            self._late[subscriber] = asyncio.create_task(self._catch_up(subscriber))
        DELIVERED.add(amount=len(self._members))
        for subscriber in list(self._members):
            subscriber.deliver(patch)

    async def _catch_up(self, subscriber: Subscriber) -> None:
        """Waits until a subscriber has taken everything; it then gets a snapshot instead of all that it has missed."""
        await subscriber.drained()
        del self._late[subscriber]
        self._newcomers.add(subscriber)
        self._work()

    async def _available(self, look_up: Callable[[str], Awaitable[T]]) -> T:
        """What a look-up at the tail's position returns, as soon as the database is available."""
        # Every event up to this position has been added; later ones may be, and are looked at again.
        return await available(lambda: look_up(self._tail.position), "read a window")


class Windows:
    """All windows; one for each process."""

    def __init__(self, tail: Tail, cursors: StreamCursors, presences: Presences) -> None:
        self._tail = tail
        self._cursors = cursors
        self._presences = presences
        self._groups: dict[Hashable, _Window] = {}
        self._by_route: ByRoute[_Window] = ByRoute()

    def __len__(self) -> int:
        return len(self._groups)

    @property
    def subscriptions(self) -> int:
        return sum(len(group.subscribers) for group in self._groups.values())

    async def join(self, feed: WindowFeed, subscriber: Subscriber, subscription: SubscriptionHandle) -> None:
        """Adds a subscriber to its window's group, which sends it a snapshot."""
        with failing(subscriber):
            await self._tail.awake()
            group = self._groups.get(feed.key)
            if group is None:
                group = self._groups[feed.key] = _Window(feed, self._tail, self._cursors, self._presences, self._forget)
                self._by_route.add(group, feed.routes)
            subscription.leave = partial(group.leave, subscriber)
            group.enter(subscriber, feed)

    def take(self, batch: Batch) -> None:
        """Gives each event to the windows that it can concern, and has those read again that show a changed object."""
        if not self._groups:
            return
        for event in batch.events:
            for group in self._by_route.on(event.routes):
                if isinstance(event, Event):
                    if group.feed.quick_test(event):
                        group.add(event)
                elif group.feed.depends_on(event):
                    group.reread()

    def begin_anew(self) -> None:
        """Continues in a changed history."""
        for group in list(self._groups.values()):
            group.begin_anew()

    def _forget(self, group: _Window) -> None:
        del self._groups[group.feed.key]
        self._by_route.discard(group, group.feed.routes)
