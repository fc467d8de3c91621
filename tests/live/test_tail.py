"""The tail of the event log, on a real log: its batches, its rest while it has no listeners, and failed reads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from db.enums import ActorKind, AuditAction, AuditObjectKind, TicketEventKind
from db.events import log as event_log
from db.events.position import NOW, Position
from db.ids import new_id
from pubsub import tail as module
from pubsub.bell import Bell
from pubsub.tail import RETRY_SECONDS, RETRY_SECONDS_MAX, Batch, Tail
from resolvers.audit import Author, record_by
from resolvers.ticket import draw_reference
from tests.helpers.database_checks import Database, remove_event, until
from tests.helpers.graphql_ws_client import WITHIN
from tests.helpers.proxy import Proxy, connector, through
from tests.helpers.stress import BOSS

OF_TAILS = "FROM pg_stat_activity WHERE application_name = 'callout tail' AND datname = current_database()"
REST = "300 milliseconds"  # between looks there are 20
TERMINATE = f"SELECT bool_and(pg_terminate_backend(pid, 10000)) {OF_TAILS}"


@pytest.fixture(autouse=True)
def no_regular_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOKING_SECONDS", 3600.0)


class Followed:
    """A tail that follows the log, and the batches that it has announced."""

    def __init__(self, url: str, bell: Bell, database: Database) -> None:
        self.bell = bell
        self.batches: list[Batch] = []
        self.changes: list[str] = []  # the tail's positions after changes of the log's history
        self.tail = Tail(url, bell, self.batches.append, lambda: self.changes.append(self.tail.position))
        self._database = database

    @property
    def events(self) -> list[str]:
        return [event.id for batch in self.batches for event in batch.events]

    async def look(self) -> None:
        """Waits until the tail has read all committed events."""
        assert await self.tail.reach(await position(self._database))

    async def listen(self) -> None:
        self.tail.listen()
        await self.tail.awake()


@asynccontextmanager
async def followed(url: str, database: Database) -> AsyncIterator[Followed]:
    async with Bell.open("memory://") as bell:
        one = Followed(url, bell, database)
        following = asyncio.create_task(one.tail.follow(), name="tail")
        try:
            yield one
        finally:
            following.cancel()
            with suppress(asyncio.CancelledError):
                await following


@pytest.fixture
async def one(database_url: str, database: Database) -> AsyncIterator[Followed]:
    """A tail with one listener."""
    async with followed(database_url, database) as one:
        await one.listen()
        yield one


@pytest.fixture
async def ticket(database: Database) -> str:
    return await new_ticket(database)


async def new_ticket(database: Database) -> str:
    id = new_id()
    texts = {"subject": "Siren", "description": "It howls.", "contact_name": "John", "contact_email": "j@example.com"}
    values = {
        "id": id,
        "reference": draw_reference(),
        "creator_kind": "ADMIN",
        "creator_id": "boss",
        "source": "ADMIN",
        **texts,
    }
    assert await event_log.create(database, BOSS, values)
    return id


async def change(database: Database, ticket: str) -> str:
    """Writes an event; returns its id."""
    values = {"subject": f"Siren {new_id()}"}
    written = await event_log.change(database, BOSS, ticket, TicketEventKind.UPDATED, values, {})
    assert written is not None
    return written.event_id


async def position(database: Database) -> str:
    return str(await database.fetchval(f"SELECT {NOW}"))


async def write_delivery_event(database: Database) -> str:
    """Writes a change of a delivery; returns its id."""
    statement = "INSERT INTO delivery_events (delivery_id, ticket_id, state) VALUES ($1, $1, 'SENT') RETURNING id::text"
    return str(await database.fetchval(statement, new_id()))


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN):
        while not condition():  # noqa: ASYNC110 (there is no event to wait for)
            await asyncio.sleep(0.01)


# Batches


async def test_a_batch_has_the_events_of_all_logs_in_order(one: Followed, ticket: str, database: Database) -> None:
    """In the order of their times, because the cursor of one says that those before it have been delivered."""
    await one.look()
    before = len(one.events)
    written = []
    async with database.transaction():
        for _ in range(3):
            written += [await write_delivery_event(database), await change(database, ticket)]
            entry = Author(ActorKind.SYSTEM, "test", "A test", None)
            await record_by(database, entry, AuditAction.CREATED, AuditObjectKind.TOKEN, "x", None, {"n": new_id()})
            written.append(await database.fetchval("SELECT id::text FROM audit_entries ORDER BY at DESC LIMIT 1"))
    await one.look()
    assert one.events[before:] == written
    assert len(one.batches[-1].events) == 9


async def test_each_event_is_in_one_batch_and_batches_are_contiguous(
    one: Followed, database: Database, ticket: str
) -> None:
    await one.look()
    one.batches.clear()
    start, number = one.tail.position, one.tail.number
    written = []
    for size in (1, 3, 2):
        async with database.transaction():
            written += [await change(database, ticket) for _ in range(size)]
        await one.look()
    assert one.events == written
    assert [batch.number for batch in one.batches] == [number + 1, number + 2, number + 3]
    assert [batch.origin for batch in one.batches] == [start, *(batch.until for batch in one.batches[:-1])]
    assert one.batches[-1].until == one.tail.position
    await one.look()
    assert len(one.batches) == 3, "a look without events announced a batch"
    assert one.batches[0].events[0].routes == {"all", f"ticket:{ticket}", "creator:boss"}


async def test_the_events_of_a_batch_are_ordered_by_time(one: Followed, database: Database, ticket: str) -> None:
    """Rather than in the order in which they were written."""
    await one.look()
    one.batches.clear()
    async with database.transaction():
        first = await change(database, ticket)
        second = await change(database, ticket)
        await database.execute("ALTER TABLE ticket_events DISABLE TRIGGER ticket_events_final")
        await database.execute("UPDATE ticket_events SET at = at - interval '1 hour' WHERE id::text = $1", second)
        await database.execute("ALTER TABLE ticket_events ENABLE TRIGGER ticket_events_final")
    await one.look()
    assert one.events == [second, first]


async def test_events_are_found_without_a_ring(
    database_url: str, database: Database, ticket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOKING_SECONDS", 0.02)  # before the tail starts, or it may already wait an hour
    async with followed(database_url, database) as one:
        await one.listen()
        await one.look()
        one.batches.clear()
        written = await change(database, ticket)
        await eventually(lambda: bool(one.batches))
        assert one.events == [written]


# Reaching a position


async def test_an_earlier_position_is_already_reached(one: Followed, database: Database, ticket: str) -> None:
    before = one.tail.position
    await change(database, ticket)
    await one.look()
    ear = one.bell.ear()
    assert await one.tail.reach(before) and await one.tail.reach(one.tail.position)
    assert not await ear.wait(0), "the tail rang for another look"


async def test_a_future_position_is_not_reached(one: Followed) -> None:
    async with asyncio.timeout(WITHIN):
        assert not await one.tail.reach(f"{2**40}:{2**40}:/0")


async def test_a_position_after_the_start_of_the_current_look_is_reached(
    database_url: str, database: Database, ticket: str
) -> None:
    proxy = Proxy(connector(database_url))
    async with proxy.running() as port, followed(through(port, database_url), database) as one:
        await one.listen()
        await one.look()
        await asyncio.sleep(0.05)  # so that the proxy does not hold the rest of that look's answer
        proxy.hold()
        one.bell.ring()
        await proxy.held()
        written = await change(database, ticket)
        reached = asyncio.create_task(one.tail.reach(await position(database)))
        await asyncio.sleep(0)
        proxy.release()
        assert await reached
        assert one.events[-1] == written


async def test_waiting_for_a_position_or_for_the_tail_to_wake_times_out(
    database_url: str, database: Database, ticket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = Proxy(connector(database_url))
    async with proxy.running() as port, followed(through(port, database_url), database) as one:
        await one.listen()
        await one.look()
        proxy.hold()
        await change(database, ticket)
        wanted = await position(database)
        monkeypatch.setattr(module, "ANSWER_SECONDS", 0.05)
        asleep = Tail(database_url, one.bell, one.batches.append, one.changes.clear)
        waiting = [asyncio.create_task(one.tail.reach(wanted)), asyncio.create_task(asleep.awake())]
        await asyncio.wait(waiting, timeout=WITHIN)
        assert [task.done() and type(task.exception()) for task in waiting] == [TimeoutError, TimeoutError]
        proxy.release()


# Without listeners


async def test_the_tail_rests_without_listeners_and_wakes_at_the_end_of_the_log(
    database_url: str, database: Database, ticket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOKING_SECONDS", 0.02)
    async with followed(database_url, database) as one:
        await until(database, f"count(*) = 1 {OF_TAILS}")
        for _ in range(2):
            one.tail.listen()
            await one.listen()
            one.tail.leave()
            one.batches.clear()
            written = await change(database, ticket)
            await one.look()
            assert one.events == [written], "the tail rests although it has a listener"
            one.batches.clear()
            one.tail.leave()
            await until(database, f"bool_and(state_change < clock_timestamp() - interval '{REST}') {OF_TAILS}")
            last = str(await database.fetchval(f"SELECT state_change {OF_TAILS}"))
            await change(database, ticket)
            one.bell.ring()
            await asyncio.sleep(0.2)
            assert str(await database.fetchval(f"SELECT state_change {OF_TAILS}")) == last, (
                "the resting tail ran a query"
            )
            await one.listen()
            assert Position.parse(one.tail.position).covers(Position.parse(await position(database)))
            written = await change(database, ticket)
            await one.look()
            assert one.events == [written]
            one.tail.leave()


# Failed looks


async def test_the_events_of_a_failed_look_are_in_the_next(
    one: Followed, database: Database, ticket: str, caplog: pytest.LogCaptureFixture
) -> None:
    await one.look()
    one.batches.clear()
    before = one.tail.position
    async with database.transaction():
        written = [await change(database, ticket) for _ in range(2)]
        # The position can still be read.
        await database.execute("ALTER TABLE ticket_events RENAME COLUMN before TO elsewhere")
    one.bell.ring()
    await eventually(lambda: caplog.text.count("cannot read the event log") > 1)
    assert (one.tail.position, one.batches) == (before, [])
    await database.execute("ALTER TABLE ticket_events RENAME COLUMN elsewhere TO before")
    await eventually(lambda: bool(one.batches))
    assert one.events == written
    assert one.batches[0].origin == before
    await until(database, f"count(*) = 1 {OF_TAILS}")  # earlier connections are closed


async def test_events_during_a_lost_connection_are_announced_once(
    one: Followed, database: Database, ticket: str
) -> None:
    await one.look()
    one.batches.clear()
    written = []
    for _ in range(2):
        assert await database.fetchval(TERMINATE)
        written.append(await change(database, ticket))
        await one.look()
    assert one.events == written


async def test_a_cancelled_tail_closes_its_connection(database_url: str, database: Database) -> None:
    async with followed(database_url, database) as one:
        await one.listen()
        await until(database, f"count(*) = 1 {OF_TAILS}")
    await until(database, f"count(*) = 0 {OF_TAILS}")


async def test_pauses_between_retries_double_up_to_a_maximum_and_reset_after_a_look(
    one: Followed, database: Database, ticket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a tail that connects each time and then fails to read."""
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def pause(seconds: float) -> None:
        task = asyncio.current_task()
        if task is not None and task.get_name() == "tail":
            pauses.append(seconds)
            seconds = 0.0
        await sleep(seconds)

    monkeypatch.setattr(asyncio, "sleep", pause)
    expected = [RETRY_SECONDS, 2 * RETRY_SECONDS, 4 * RETRY_SECONDS, 8 * RETRY_SECONDS, *[RETRY_SECONDS_MAX] * 4]
    for _ in range(2):
        pauses.clear()
        await database.execute("ALTER TABLE ticket_events RENAME TO elsewhere")
        one.bell.ring()
        await eventually(lambda: len(pauses) >= len(expected))
        await database.execute("ALTER TABLE elsewhere RENAME TO ticket_events")
        shares = [each / longest for each, longest in zip(pauses, expected, strict=False)]
        assert all(0.5 <= share <= 1.0 for share in shares), pauses
        assert len(set(shares)) > 1, "without jitter, all clients of a lost server would return at once"
        await change(database, ticket)  # without a change, the position would be reached without another look
        await one.look()


# A changed history


async def test_a_tail_whose_events_are_lost_announces_that_the_history_has_changed(
    one: Followed, database: Database, ticket: str
) -> None:
    """It continues from the log's position, also if its connection stays open."""
    lost, _ = await change(database, ticket), await change(database, ticket)
    await one.look()
    assert one.changes == []
    number = one.tail.number
    await remove_event(database, lost)
    one.bell.ring()
    await eventually(lambda: bool(one.changes))
    assert one.changes == [one.tail.position]
    # Of the snapshot only which events it sees: transactions of other databases on the server are in it as well.
    now = Position.parse(await position(database))
    assert Position.parse(one.tail.position).fingerprint == now.fingerprint
    assert one.tail.number == number
    written = await change(database, ticket)
    await one.look()
    assert (one.events[-1], one.changes) == (written, one.changes[:1])
