"""Groups of subscribers: each subscriber gets every event once and in order, and a group ends with its last subscriber.

The hub reads a real event log. The feeds belong to the tests: their queries can be held up, and can fail.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Self

import asyncpg
import pytest

from callout.background import background
from db.enums import Role, StreamResetReason
from db.events import log as event_log
from db.events.position import NOW
from db.events.stream_cursor import StreamCursors, StreamPosition
from db.postgres.pool import Database
from db.viewer import Viewer
from pubsub import hub as hub_module
from pubsub import tail
from pubsub.bell import Bell
from pubsub.feed import Feed, Message
from pubsub.hub import HELD_BYTES_MAX, HELD_MAX, REPLAYS_AT_ONCE, Hub, _GroupSubscriber
from pubsub.presence import Presences
from pubsub.quota import Quota
from pubsub.subscriber import Subscriber, SubscriptionHandle
from tests.helpers.database_checks import remove_event, write_ticket
from tests.helpers.graphql_ws_client import WITHIN

BOSS = Viewer(Role.ADMIN, "boss", "The Boss")
ANOTHER = Viewer(Role.ADMIN, "another", "Another Boss")
READY = "ready"
AT = StreamPosition("5:5:/0")


class Reader(Subscriber):
    """Records its messages and their cursors. While `reads` is cleared, it is not drained."""

    subscription: SubscriptionHandle

    def __init__(self) -> None:
        self.received: list[str] = []
        self.cursors: list[str] = []
        self.failures = 0
        self.reads = asyncio.Event()
        self.reads.set()

    def deliver(self, payload: bytes) -> None:
        text, _, cursor = payload.decode().partition("\t")
        self.received.append(text)
        self.cursors.append(cursor)

    async def drained(self) -> None:
        await self.reads.wait()

    def fail(self) -> None:
        self.failures += 1

    async def failed(self) -> None:
        await until(lambda: self.failures > 0)

    async def joined(self) -> None:
        """Waits until its subscription has started or ended."""
        joining = self.subscription.joining
        assert joining is not None
        await until(joining.done)

    async def has(self, *received: str) -> None:
        """Waits until it has received these messages, and checks that there are no others."""
        await until(lambda: len(self.received) >= len(received))
        assert self.received == list(received)


class Leaver(Reader):
    """Ends its subscription when it receives the first live message."""

    def deliver(self, payload: bytes) -> None:
        super().deliver(payload)
        if self.received[-1] != READY:
            self.subscription.end()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN):
        while not condition():  # noqa: ASYNC110 (there is no event to wait for)
            await asyncio.sleep(0.001)


class TicketFeed(Feed):
    """A feed of the subjects of new tickets. A query waits while `answers` is cleared, then raises the next failure, if
    there is one."""

    def __init__(self, database: Database, routes: Sequence[str], key: Hashable, at_once: int) -> None:
        self.key = self.family = key
        self.routes = frozenset(routes)
        self.quick_test = lambda event: True
        self.at_once = at_once
        self.quota = Quota()
        self.asked: list[int] = []
        self.given_up = 0
        self.failures: list[Exception | None] = []
        self.answers = asyncio.Event()
        self.answers.set()
        self._database = database

    async def of(self, events: Sequence[str]) -> list[Message]:
        self.asked.append(len(events))
        try:
            await self.answers.wait()
        except asyncio.CancelledError:
            self.given_up += 1
            raise
        self._fail()
        rows = await self._database.fetch(
            "SELECT id::text, at, after ->> 'subject' AS subject FROM ticket_events"
            " WHERE id::text = ANY ($1) ORDER BY at, id",
            events,
        )
        return [Message(row["id"], row["at"], row["subject"].encode()) for row in rows]

    def with_cursor(self, payload: bytes, cursor: str) -> bytes:
        return b"%b\t%b" % (payload, cursor.encode())

    async def ready(self, cursor: str, *, resumed: bool) -> bytes:
        self._fail()
        return f"{READY}\t{cursor}".encode()

    def reset(self, reason: StreamResetReason, cursor: str) -> bytes:
        return f"{reason}\t{cursor}".encode()

    def _fail(self) -> None:
        failure = self.failures.pop(0) if self.failures else None
        if failure is not None:
            raise failure


class FilteredFeed(TicketFeed):
    """The subjects that contain a word. All these feeds form one family, and any of them can query for all."""

    def __init__(self, database: Database, word: str, at_once: int = 100) -> None:
        super().__init__(database, ["all"], word, at_once)
        self.family = "filtered by a word"
        self.word = word.encode()

    async def of(self, events: Sequence[str]) -> list[Message]:
        return await self.of_all(events, [self])

    async def of_all(self, events: Sequence[str], feeds: Sequence[Self]) -> list[Message]:
        messages = [
            replace(message, feeds=[index for index, feed in enumerate(feeds) if feed.word in message.payload])
            for message in await super().of(events)
        ]
        return [message for message in messages if message.feeds]


@dataclass
class Log:
    """An event log, its hub, and the writers of its events."""

    database: Database
    bell: Bell
    hub: Hub

    def feed(self, *routes: str, key: Hashable = "the feed", at_once: int = 100) -> TicketFeed:
        return TicketFeed(self.database, routes or ("all",), key, at_once)

    def follow(self, feed: Feed, reader: Reader, after: str | None = None) -> None:
        reader.subscription = self.hub.subscribe(feed, reader, after)

    async def followed(self, feed: Feed, after: str | None = None) -> Reader:
        """Returns a new subscriber of the feed's group, once it is ready."""
        reader = Reader()
        self.follow(feed, reader, after)
        await until(lambda: READY in reader.received)
        return reader

    async def write(self, *subjects: str, creator: Viewer = BOSS) -> None:
        """Writes new tickets in one transaction."""
        async with self.uncommitted(*subjects, creator=creator):
            """Nothing more to write."""

    @asynccontextmanager
    async def uncommitted(self, *subjects: str, creator: Viewer = BOSS, rings: bool = True) -> AsyncIterator[None]:
        """Writes new tickets, and commits them at the end of the block. Without `rings`, the tail is not woken."""
        async with self.database.acquire() as connection, connection.transaction():
            for subject in subjects:
                await write_ticket(connection, creator, subject)
            yield
        if rings:
            self.bell.ring()

    def forgotten(self) -> bool:
        """Returns whether the hub has no group."""
        return not self.hub._groups and not self.hub._by_route and not self.hub._families


@pytest.fixture(scope="module")
async def pool(database_url: str) -> AsyncIterator[Database]:
    database = await Database.open(database_url)
    yield database
    await database.close()


@pytest.fixture
async def log(pool: Database, database_url: str) -> AsyncIterator[Log]:
    async with served(pool, database_url) as log:
        yield log


@pytest.fixture
async def another(pool: Database, database_url: str) -> AsyncIterator[Log]:
    """The same log in another process, with a bell of its own."""
    async with served(pool, database_url) as log:
        yield log


@asynccontextmanager
async def served(pool: Database, database_url: str) -> AsyncIterator[Log]:
    cursors = StreamCursors(await event_log.identity(pool))
    async with Bell.open("memory://") as bell:
        hub = Hub(pool, database_url, bell, cursors, Presences(30))
        async with background(hub.follow):
            yield Log(pool, bell, hub)


# Messages held back during a replay


async def turn() -> None:
    """Lets all runnable tasks run."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_messages_during_a_replay_are_held_back_and_then_delivered_in_order() -> None:
    reader = Reader()
    subscriber = _GroupSubscriber(reader, 0)
    for payload in (b"one", b"two"):
        subscriber.deliver(payload, AT)
    assert reader.received == []
    await subscriber.catch_up()
    assert reader.received == ["one", "two"]
    subscriber.deliver(b"three", AT)
    assert reader.received == ["one", "two", "three"]


async def test_held_messages_are_delivered_at_the_subscribers_pace_and_newer_ones_after_them() -> None:
    reader = Reader()
    subscriber = _GroupSubscriber(reader, 0)
    subscriber.deliver(b"one", AT)
    subscriber.deliver(b"two", AT)
    reader.reads.clear()
    catching_up = asyncio.create_task(subscriber.catch_up())
    for received in (["one"], ["one", "two"], ["one", "two", "three"]):
        await turn()
        assert reader.received == received
        if len(received) == 1:
            subscriber.deliver(b"three", AT)
        assert not catching_up.done()
        reader.reads.set()
        reader.reads = asyncio.Event()
    await catching_up
    subscriber.deliver(b"four", AT)
    assert reader.received == ["one", "two", "three", "four"]


async def test_the_number_of_held_messages_is_limited() -> None:
    reader = Reader()
    subscriber = _GroupSubscriber(reader, 0)
    for _ in range(HELD_MAX):
        subscriber.deliver(b"", AT)
    assert reader.failures == 0
    subscriber.deliver(b"", AT)
    assert reader.failures == 1
    await subscriber.catch_up()
    assert reader.received == [], "a failed subscriber gets no messages after a gap"


async def test_the_bytes_of_held_messages_are_limited() -> None:
    reader = Reader()
    subscriber = _GroupSubscriber(reader, 0)
    half = b"x" * (HELD_BYTES_MAX // 2)
    subscriber.deliver(half, AT)
    subscriber.deliver(half, AT)
    assert reader.failures == 0
    subscriber.deliver(b"x", AT)
    assert reader.failures == 1
    await subscriber.catch_up()
    assert reader.received == []


async def test_delivered_messages_do_not_count_towards_the_limit() -> None:
    reader = Reader()
    subscriber = _GroupSubscriber(reader, 0)
    half = b"x" * (HELD_BYTES_MAX // 2)
    subscriber.deliver(half, AT)
    subscriber.deliver(half, AT)
    reader.reads.clear()
    catching_up = asyncio.create_task(subscriber.catch_up())
    await turn()
    subscriber.deliver(half, AT)
    assert reader.failures == 0
    subscriber.deliver(b"x", AT)
    assert reader.failures == 1
    catching_up.cancel()


# Order without gaps or repeats


async def test_few_replays_are_looked_up_at_a_time(log: Log) -> None:
    live = await log.followed(log.feed())
    await log.write("one")
    await live.has(READY, "one")
    feeds = [log.feed(key=number) for number in range(REPLAYS_AT_ONCE + 1)]
    readers = [Reader() for _ in feeds]
    for feed, reader in zip(feeds, readers, strict=True):
        feed.answers.clear()
        log.follow(feed, reader, live.cursors[0])
    await until(lambda: sum(feed.asked == [1] for feed in feeds) == REPLAYS_AT_ONCE)
    await turn()
    (last,) = [feed for feed in feeds if feed.asked == []]  # any of them can be the last
    first = next(index for index, feed in enumerate(feeds) if feed is not last)
    feeds[first].answers.set()
    await readers[first].has("one", READY)
    await until(lambda: last.asked == [1])
    for feed in feeds:
        feed.answers.set()
    await log.write("two")
    for reader in readers:
        await reader.has("one", READY, "two")


async def test_subscribers_of_one_group_share_one_query(log: Log) -> None:
    feed, other = log.feed(), log.feed()
    readers = [await log.followed(feed), await log.followed(other), await log.followed(log.feed(key="another feed"))]
    await log.write("one", "two")
    for reader in readers:
        await reader.has(READY, "one", "two")
    assert feed.asked + other.asked == [2]
    assert readers[0].cursors[1:] == readers[1].cursors[1:]


async def test_only_events_that_pass_the_quick_test_are_queried(log: Log) -> None:
    """The cursors still include the other events: a stream without the test that continues from one misses nothing."""
    feed, subjects = log.feed(), ["another's", "one", "another's too", "two"]
    feed.quick_test = lambda event: event.after.creator_id == BOSS.id
    reader = await log.followed(feed)
    for subject in subjects:
        await log.write(subject, creator=BOSS if subject in ("one", "two") else ANOTHER)
        if subject == "one":
            await reader.has(READY, "one")  # so that the two are not queried together
    await reader.has(READY, "one", "two")
    assert feed.asked == [1, 1]
    for cursor, missed in zip(reader.cursors, (subjects, subjects[2:], []), strict=True):
        assert (await log.followed(log.feed(), cursor)).received == [*missed, READY]


async def test_the_groups_of_a_family_share_one_query_and_get_their_own_messages(log: Log) -> None:
    feeds = [FilteredFeed(log.database, word) for word in ("door", "siren", "panel")]
    doors, sirens, panels = readers = [await log.followed(feed) for feed in feeds]
    second = await log.followed(FilteredFeed(log.database, "door"))
    await log.write("door", "siren", "door and siren")
    for reader in (doors, second):
        await reader.has(READY, "door", "door and siren")
    await sirens.has(READY, "siren", "door and siren")
    assert [asked for feed in feeds for asked in feed.asked] == [3]
    await log.write("panel and door")
    await panels.has(READY, "panel and door")
    assert doors.cursors[2] == sirens.cursors[2], "both get the same message"
    for feed, reader in zip(feeds, readers, strict=True):
        again = await log.followed(FilteredFeed(log.database, feed.word.decode()), reader.cursors[0])
        assert again.received == [*reader.received[1:], READY]


async def test_a_group_that_joins_its_family_during_a_query_gets_only_later_events(log: Log) -> None:
    doors, panels = FilteredFeed(log.database, "door"), FilteredFeed(log.database, "panel")
    first = await log.followed(doors)
    doors.answers.clear()
    await log.write("door and panel")
    await until(lambda: doors.asked == [1])
    second = await log.followed(panels)
    await log.write("panel and door")
    doors.answers.set()
    await first.has(READY, "door and panel", "panel and door")
    await second.has(READY, "panel and door")


async def test_a_large_family_queries_fewer_events_at_once(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "ASKED_MAX", 6)
    feeds = [FilteredFeed(log.database, word) for word in ("door", "siren", "panel")]
    readers = [await log.followed(feed) for feed in feeds]
    await log.write(*["door, siren, panel"] * 5)
    for reader in readers:
        await reader.has(READY, *["door, siren, panel"] * 5)
    assert [asked for feed in feeds for asked in feed.asked] == [2, 2, 1]
    monkeypatch.setattr(hub_module, "ASKED_MAX", 1)
    await log.write("door", "door")
    await readers[0].has(READY, *["door, siren, panel"] * 5, "door", "door")


async def test_a_family_continues_after_one_of_its_groups_has_ended(log: Log) -> None:
    leaver = Leaver()
    log.follow(FilteredFeed(log.database, "door"), leaver)
    await leaver.has(READY)
    stays = await log.followed(FilteredFeed(log.database, "siren"))
    await log.write("door", "door and siren", "siren")
    await stays.has(READY, "door and siren", "siren")
    assert leaver.received == [READY, "door"]
    stays.subscription.end()
    assert log.forgotten()


async def test_many_events_are_queried_in_portions(log: Log) -> None:
    subjects = [f"{number}" for number in range(5)]
    feed, late = log.feed(at_once=2), log.feed(at_once=2)
    reader = await log.followed(feed)
    await log.write(*subjects)
    await reader.has(READY, *subjects)
    again = await log.followed(late, reader.cursors[0])
    assert again.received == [*subjects, READY]
    assert feed.asked == late.asked == [2, 2, 1]


async def test_a_stream_can_continue_from_each_of_its_cursors(log: Log) -> None:
    """From the middle of a batch, from a replay, and from the ready message."""
    subjects = [f"{number}" for number in range(5)]
    reader = await log.followed(log.feed())
    await log.write(*subjects[:3])
    await reader.has(READY, *subjects[:3])
    await log.write(*subjects[3:])
    await reader.has(READY, *subjects)
    for number, cursor in enumerate(reader.cursors):
        replayed = await log.followed(log.feed(), cursor)
        assert replayed.received == [*subjects[number:], READY]
        for further, later in enumerate(replayed.cursors[:-1], number + 1):
            assert (await log.followed(log.feed(), later)).received == [*subjects[further:], READY]
        assert (await log.followed(log.feed(), replayed.cursors[-1])).received == [READY]


async def test_a_late_commit_is_delivered_late_and_not_lost(log: Log) -> None:
    reader = await log.followed(log.feed())
    async with log.uncommitted("begun first"):
        await log.write("committed first")
        await reader.has(READY, "committed first")
    await reader.has(READY, "committed first", "begun first")
    for number, missed in enumerate((["begun first", "committed first"], ["begun first"], [])):
        assert (await log.followed(log.feed(), reader.cursors[number])).received == [*missed, READY]


@pytest.fixture
def no_regular_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test uses it by a mark, so that it comes before `log`, whose tail starts at once."""
    monkeypatch.setattr(tail, "LOOKING_SECONDS", 3_600)


@pytest.mark.usefixtures("no_regular_looks")
async def test_a_replay_ends_where_live_batches_start(log: Log) -> None:
    """Events that are committed by then but belong to a later batch are not covered by the replay's cursors."""
    first = await log.followed(log.feed())
    async with log.uncommitted("unnoticed", rings=False):
        async with log.uncommitted("one", rings=False):
            """Nothing more to write."""
        log.bell._wake()  # a ring would come back from the database, perhaps once "unnoticed" is committed
        await first.has(READY, "one")
    reader = await log.followed(log.feed(), first.cursors[0])
    await log.write("two")
    await first.has(READY, "one", "unnoticed", "two")
    await reader.has("one", READY, "unnoticed", "two")
    assert (await log.followed(log.feed(), reader.cursors[0])).received == ["unnoticed", "two", READY]


@pytest.mark.usefixtures("no_regular_looks")
async def test_a_stream_continues_without_repeats_from_a_cursor_of_a_process_that_is_ahead(
    log: Log, another: Log
) -> None:
    """Whether from a list or from an event in a batch that this process has not read yet."""
    ahead, here = await another.followed(another.feed()), await log.followed(log.feed())
    await log.write("zero")
    another.bell.ring()
    for reader in (ahead, here):
        await reader.has(READY, "zero")  # from now on both tails wait for their bells

    await another.write("one")
    await ahead.has(READY, "zero", "one")
    after_event = await log.followed(log.feed(), ahead.cursors[2])
    await log.write("two")
    await after_event.has(READY, "two")

    await another.write("three")
    listed = StreamCursors(await event_log.identity(log.database)).seal(await log.database.fetchval(f"SELECT {NOW}"))
    after_list = await log.followed(log.feed(), listed)
    await log.write("four")
    await after_list.has(READY, "four")
    await after_event.has(READY, "two", "three", "four")
    await here.has(READY, "zero", "one", "two", "three", "four")


async def test_batches_that_are_queried_together_are_delivered_in_order(log: Log) -> None:
    """Even if the second has an event that began before those of the first: its cursor would skip the first batch."""
    feed = log.feed()
    reader, hears = await log.followed(feed), await log.followed(log.feed(key="another feed"))
    feed.answers.clear()
    await log.write("zero")
    await until(lambda: len(feed.asked) == 1)
    async with log.uncommitted("begun first"):
        await log.write("committed first", "committed with it")
        await hears.has(READY, "zero", "committed first", "committed with it")
    await hears.has(READY, "zero", "committed first", "committed with it", "begun first")
    feed.answers.set()
    await reader.has(READY, "zero", "committed first", "committed with it", "begun first")
    assert feed.asked == [1, 3]
    for middle, rest in ((2, ["committed with it", "begun first"]), (3, ["begun first"])):
        replayed = await log.followed(log.feed(), reader.cursors[middle])
        assert replayed.received == [*rest, READY]
        assert (await log.followed(log.feed(), replayed.cursors[-2])).received == [READY]


async def test_an_event_on_several_routes_is_delivered_once(log: Log) -> None:
    chatbot = Viewer(Role.SERVICE, "chatbot", "Chatbot")
    both = await log.followed(log.feed("all", "creator:chatbot", key="by both"))
    either = await log.followed(log.feed("creator:boss", "creator:chatbot", key="by either"))
    await log.write("one", creator=chatbot)
    await log.write("two")
    for reader in (both, either):
        await reader.has(READY, "one", "two")


async def test_an_event_reaches_only_groups_on_its_routes(log: Log) -> None:
    others = log.feed("creator:somebody", key="of somebody else")
    await log.followed(others)
    reader = await log.followed(log.feed())
    await log.write("one")
    await reader.has(READY, "one")
    assert others.asked == []


async def test_a_subscriber_that_joins_during_a_batch_has_no_gap_or_repeat(log: Log) -> None:
    feed = log.feed()
    first = await log.followed(feed)
    feed.answers.clear()
    await log.write("one")
    await until(lambda: len(feed.asked) == 1)
    now = await log.followed(log.feed())
    before = await log.followed(log.feed(), first.cursors[0])
    assert (now.received, before.received) == ([READY], ["one", READY])
    await log.write("two")
    feed.answers.set()
    await first.has(READY, "one", "two")
    await now.has(READY, "two")
    await before.has("one", READY, "two")
    for cursor in (now.cursors[0], before.cursors[1]):
        assert (await log.followed(log.feed(), cursor)).received == ["two", READY]


async def test_events_during_a_replay_are_delivered_after_it(log: Log) -> None:
    feed = log.feed()
    first = await log.followed(feed)
    await log.write("one", "two")
    await first.has(READY, "one", "two")
    reader = Reader()
    reader.reads.clear()
    log.follow(log.feed(), reader, first.cursors[0])
    await reader.has("one")
    await log.write("three")
    await log.write("four")
    await first.has(READY, "one", "two", "three", "four")
    assert reader.received == ["one"]
    reader.reads.set()
    await reader.has("one", "two", READY, "three", "four")
    await log.write("five")
    await reader.has("one", "two", READY, "three", "four", "five")


# Failures


OUTAGES = (
    OSError(),
    TimeoutError(),
    asyncpg.InterfaceError("the connection is closed"),
    asyncpg.InternalClientError("the connection ended in the middle of a statement"),
    asyncpg.ConnectionDoesNotExistError("gone"),
    asyncpg.AdminShutdownError("shut down"),
    asyncpg.TooManyConnectionsError("no connection left"),
)


async def test_a_group_continues_after_an_outage_without_gap_or_repeat(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pubsub.subscriber.RETRY_SECONDS", 0.001)
    feed = log.feed(at_once=2)
    reader = await log.followed(feed)
    feed.failures = [None, *OUTAGES]
    await log.write("one", "two", "three")
    await reader.has(READY, "one", "two", "three")
    assert feed.asked == [2] + [1] * (len(OUTAGES) + 1)
    assert reader.failures == 0
    await log.write("four")
    await reader.has(READY, "one", "two", "three", "four")


async def test_a_failing_query_fails_all_subscribers_of_its_group(log: Log) -> None:
    feed = log.feed()
    readers = [await log.followed(feed), await log.followed(log.feed())]
    bystander = await log.followed(log.feed(key="another feed"))
    feed.failures = [ValueError("a fault")]
    await log.write("one")
    for reader in readers:
        await reader.failed()
    await bystander.has(READY, "one")
    assert [reader.received for reader in readers] == [[READY]] * 2
    assert ([reader.failures for reader in readers], bystander.failures) == ([1, 1], 0)
    await log.write("two")
    for reader in readers:
        await reader.has(READY, "two")


@pytest.mark.parametrize("failure", [*OUTAGES, ValueError("a fault")], ids=lambda failure: type(failure).__name__)
async def test_a_failing_replay_fails_its_subscriber(log: Log, failure: Exception) -> None:
    first = await log.followed(log.feed())
    await log.write("one")
    await first.has(READY, "one")
    for failures in ([failure], [None, failure]):  # during the replay, and in the ready message
        feed, reader = log.feed(), Reader()
        feed.failures = list(failures)
        log.follow(feed, reader, first.cursors[0])
        await reader.failed()
        assert reader.received == ["one"] * (len(failures) - 1)
        assert reader.failures == 1
    assert first.failures == 0


# Cleaning up


async def test_a_group_ends_with_its_last_subscriber(log: Log) -> None:
    """It is removed from each of its routes; a later subscriber starts a new group."""
    feed, bystander = log.feed("all", "creator:boss"), log.feed("creator:boss", key="another feed")
    stays, hears = await log.followed(feed), await log.followed(bystander)
    leaves = await log.followed(feed)
    leaves.subscription.end()
    await log.write("one")
    await stays.has(READY, "one")
    assert leaves.received == [READY]
    stays.subscription.end()
    assert list(log.hub._groups) == [bystander.key]
    assert list(log.hub._by_route) == ["creator:boss"]
    await log.write("two")
    await hears.has(READY, "one", "two")
    assert (stays.received, feed.asked) == ([READY, "one"], [1])
    comes_back = await log.followed(feed, stays.cursors[1])
    assert comes_back.received == ["two", READY]
    await log.write("three")
    await comes_back.has("two", READY, "three")


async def test_a_subscription_that_ends_before_joining_leaves_nothing_behind(log: Log) -> None:
    reader = Reader()
    log.follow(log.feed(), reader)
    reader.subscription.end()
    await reader.joined()
    assert (log.forgotten(), reader.received, reader.failures) == (True, [], 0)


async def test_a_subscription_that_ends_during_its_replay_leaves_nothing_behind(log: Log) -> None:
    first, reader = await log.followed(log.feed()), Reader()
    await log.write("one", "two")
    await first.has(READY, "one", "two")
    first.subscription.end()
    reader.reads.clear()
    log.follow(log.feed(), reader, first.cursors[0])
    await reader.has("one")
    assert not log.forgotten()
    reader.subscription.end()
    assert log.forgotten()
    reader.reads.set()
    await reader.joined()
    assert (reader.received, reader.failures) == (["one"], 0)


async def test_the_query_of_a_group_without_subscribers_is_cancelled(log: Log) -> None:
    feed = log.feed()
    reader = await log.followed(feed)
    feed.answers.clear()
    await log.write("one")
    await until(lambda: len(feed.asked) == 1)
    reader.subscription.end()
    assert log.forgotten()
    await until(lambda: feed.given_up == 1)
    feed.answers.set()
    hears = await log.followed(log.feed(key="another feed"))
    await log.write("two")
    await hears.has(READY, "two")
    assert (feed.asked, reader.received, reader.failures) == ([1], [READY], 0)


async def test_a_subscriber_that_leaves_on_a_message_does_not_affect_others(log: Log) -> None:
    feed = log.feed()
    leavers = [Leaver() for _ in range(3)]
    for leaver in leavers:
        log.follow(feed, leaver)
        await leaver.has(READY)
    stays = await log.followed(feed)
    await log.write("one", "two")
    await stays.has(READY, "one", "two")
    assert [leaver.received for leaver in leavers] == [[READY, "one"]] * 3
    assert stays.failures == 0


# A changed history


async def test_after_a_change_of_the_history_only_those_who_saw_lost_events_are_reset(log: Log) -> None:
    """The others continue with what has happened since, exactly once."""
    start = await log.followed(log.feed())
    witness = await log.followed(log.feed(key="witness"))
    other = await log.followed(log.feed("creator:another", key="other"))
    await log.write("kept", creator=ANOTHER)
    await other.has(READY, "kept")
    await log.write("lost")
    for reader in (start, witness):
        await reader.has(READY, "kept", "lost")
    query = "SELECT id::text FROM ticket_events WHERE after ->> 'subject' = 'lost'"
    await remove_event(log.database, await log.database.fetchval(query))
    await log.write("new", creator=ANOTHER)
    reset = str(StreamResetReason.CURSOR_UNKNOWN)
    for reader in (start, witness):
        await until(lambda reader=reader: reader.received.count(READY) == 2)  # type: ignore[misc]
        assert reader.received[3:5] == [reset, READY]
        returned = await log.followed(log.feed(), reader.cursors[2])
        assert returned.received == [reset, READY]
    await other.has(READY, "kept", "new")
    await log.write("last", creator=ANOTHER)
    await other.has(READY, "kept", "new", "last")
    await until(lambda: witness.received[-1] == "last")
    assert witness.received[5:] in (["last"], ["new", "last"])
