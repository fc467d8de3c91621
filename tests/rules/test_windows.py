"""Who gets a patch and who a snapshot: the groups of live windows, without a database and without sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import cast

import pytest

from db.events.event import Entry, Event, Image
from db.events.stream_cursor import StreamCursors
from pubsub import windows
from pubsub.presence import Presences
from pubsub.quota import Quota
from pubsub.subscriber import Subscriber, SubscriptionHandle
from pubsub.tail import Batch, Tail
from pubsub.windows import WindowFeed, WindowMessage, Windows
from tests.helpers.graphql_ws_client import WITHIN

NOTHING = Image(*[None] * len(Image._fields))  # type: ignore[arg-type]


class StubTail:
    """A tail that has read up to its position."""

    position = "5:5:/0"

    async def awake(self) -> None: ...
    def listen(self) -> None: ...
    def leave(self) -> None: ...


class CountingFeed(WindowFeed):
    """A window whose content is the number of its events. It fails as often as `failures` says."""

    def __init__(self) -> None:
        self.key = "counting"
        self.routes = frozenset({"all"})
        self.quick_test = lambda event: event.kind != "IGNORED"
        self.quota = Quota()
        self.position = StubTail.position
        self.content = 0
        self.reads = self.payers = 0
        self.failures: list[Exception] = []

    @property
    def tickets(self) -> list[str]:
        return []

    @property
    def pause(self) -> float:
        return 0.0

    def admit(self, feed: WindowFeed) -> None:
        self.payers += 1

    def dismiss(self, feed: WindowFeed) -> None:
        self.payers -= 1

    async def read(self, now: str) -> WindowMessage:
        self._fail()
        self.reads += 1
        return WindowMessage(None, f"{self.content}".encode())

    async def update(self, events: Sequence[Event], now: str) -> bytes | None:
        self._fail()
        before, self.content = self.content, self.content + len(events)
        return f"{before} to {self.content}".encode() if events else None

    def _fail(self) -> None:
        if self.failures:
            raise self.failures.pop(0)

    def depends_on(self, entry: Entry) -> bool:
        return "shown" in entry.routes

    def with_cursor(self, payload: bytes, cursor: str) -> bytes:
        assert cursor
        return payload


class Reader(Subscriber):
    """Records its messages. While `takes` is cleared, it has not taken what it was sent."""

    def __init__(self) -> None:
        self.received: list[str] = []
        self.failures = 0
        self.takes = asyncio.Event()
        self.takes.set()

    def deliver(self, payload: bytes) -> None:
        self.received.append(payload.decode())

    async def drained(self) -> None:
        await self.takes.wait()

    @property
    def is_behind(self) -> bool:
        return not self.takes.is_set()

    def fail(self) -> None:
        self.failures += 1

    async def has(self, *received: str) -> None:
        await until(lambda: len(self.received) >= len(received))
        assert self.received == list(received)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN):
        while not condition():  # noqa: ASYNC110 (there is no event to wait for)
            await asyncio.sleep(0.001)


class Scene:
    def __init__(self) -> None:
        self.tail = cast(Tail, StubTail())
        self.windows = Windows(self.tail, StreamCursors("of this test"), Presences(30))
        self.feed = CountingFeed()
        self.number = 0

    async def join(self, reader: Reader) -> SubscriptionHandle:
        subscription = SubscriptionHandle(self.tail, self.feed.quota, self.feed.key)
        await self.windows.join(self.feed, reader, subscription)
        return subscription

    def change(self, *routes: str) -> None:
        """An entry of the audit trail arrives."""
        self.windows.take(Batch(1, "5:5:/0", "5:5:/0", [Entry("1", datetime.now(UTC), frozenset(routes))]))

    def happen(self, *kinds: str) -> None:
        self.number += 1
        events = [Event(f"{n}", "t", kind, True, None, NOTHING, n) for n, kind in enumerate(kinds)]
        self.windows.take(Batch(self.number, "5:5:/0", "5:5:/0", events))


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setattr(windows, "PATCH_SECONDS", 0.01)
    monkeypatch.setattr("pubsub.subscriber.RETRY_SECONDS", 0.01)
    return Scene()


async def test_members_get_patches_and_newcomers_a_snapshot(scene: Scene) -> None:
    first, second = Reader(), Reader()
    await scene.join(first)
    await first.has("0")
    scene.happen("CREATED", "IGNORED")
    await first.has("0", "0 to 1")
    await scene.join(second)
    await second.has("1")
    scene.happen("UPDATED", "UPDATED")
    await first.has("0", "0 to 1", "1 to 3")
    await second.has("1", "1 to 3")


async def test_members_that_come_together_share_one_look_up(scene: Scene) -> None:
    readers = [Reader() for _ in range(50)]
    for reader in readers:
        await scene.join(reader)
    for reader in readers:
        await reader.has("0")
    assert scene.feed.reads == 1
    assert (len(scene.windows), scene.windows.subscriptions) == (1, 50)


async def test_a_slow_reader_gets_a_snapshot_instead_of_what_it_has_missed(scene: Scene) -> None:
    slow, quick = Reader(), Reader()
    await scene.join(slow)
    await scene.join(quick)
    await slow.has("0")
    await quick.has("0")
    slow.takes.clear()
    scene.happen("UPDATED")
    await quick.has("0", "0 to 1")
    scene.happen("UPDATED", "UPDATED")
    await quick.has("0", "0 to 1", "1 to 3")
    assert slow.received == ["0"]
    slow.takes.set()
    await slow.has("0", "3")
    scene.happen("UPDATED")
    await slow.has("0", "3", "3 to 4")


async def test_everybody_gets_a_snapshot_after_a_change_of_history(scene: Scene) -> None:
    reader = Reader()
    await scene.join(reader)
    await reader.has("0")
    scene.happen("UPDATED")
    await reader.has("0", "0 to 1")
    scene.windows.begin_anew()
    await reader.has("0", "0 to 1", "1")
    assert scene.feed.reads == 2


async def test_a_change_of_an_object_has_only_the_windows_read_again_that_show_it(scene: Scene) -> None:
    reader = Reader()
    await scene.join(reader)
    await reader.has("0")
    for content, routes in enumerate(({"all"}, {"shown"})):
        scene.change(*routes)
        scene.happen("UPDATED")  # by the time that its patch arrives, the change has been dealt with
        await until(lambda content=content: scene.feed.content == content + 1)  # type: ignore[misc]
        assert scene.feed.reads == 1
    scene.change("all", "shown")
    await until(lambda: scene.feed.reads == 2)


async def test_a_flood_of_events_has_the_list_read_instead(scene: Scene) -> None:
    reader = Reader()
    await scene.join(reader)
    await reader.has("0")
    scene.happen(*["UPDATED"] * (windows.EVENTS_MAX + 1))
    await until(lambda: scene.feed.reads == 2)
    assert scene.feed.content == 0
    scene.happen("UPDATED")
    await reader.has("0", "0 to 1")


async def test_a_look_up_that_fails_is_repeated_with_the_same_events(scene: Scene) -> None:
    reader = Reader()
    await scene.join(reader)
    await reader.has("0")
    scene.feed.failures = [ConnectionResetError(), TimeoutError()]
    scene.happen("UPDATED", "UPDATED")
    await reader.has("0", "0 to 2")
    assert reader.failures == 0


async def test_a_fault_ends_the_subscriptions_so_that_clients_come_back(scene: Scene) -> None:
    reader = Reader()
    await scene.join(reader)
    await reader.has("0")
    scene.feed.failures = [ZeroDivisionError()]
    scene.happen("UPDATED")
    await until(lambda: reader.failures == 1)


async def test_a_window_ends_with_its_last_subscriber(scene: Scene) -> None:
    one, other = Reader(), Reader()
    subscriptions = [await scene.join(reader) for reader in (one, other)]
    await other.has("0")
    subscriptions[0].end()
    scene.happen("UPDATED")
    await other.has("0", "0 to 1")
    assert one.received == ["0"]
    other.takes.clear()
    scene.happen("UPDATED")
    await until(lambda: scene.feed.content == 2)
    subscriptions[1].end()
    assert len(scene.windows) == 0
    other.takes.set()
    scene.happen("UPDATED")
    await asyncio.sleep(0.05)
    assert (other.received, scene.feed.content) == (["0", "0 to 1"], 2)
