"""Whether a stream can continue from a cursor: each result of `check_cursor`, and the number of its statements.

`tests/live/test_live.py` tests how clients receive the results, and cursors with too many events after them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from db.enums import StreamResetReason
from db.events import log as event_log
from db.events.position import NOW, Position, Snapshot
from db.events.stream_cursor import Replay, Reset, Slice, StreamCursors, StreamPosition, check_cursor, first_after
from db.ids import new_id
from db.postgres.pool import Database as Pool
from tests.helpers import database_checks
from tests.helpers.counting import create
from tests.helpers.database_checks import Database
from tests.helpers.positions import position_at

UNKNOWN, EXPIRED = StreamResetReason.CURSOR_UNKNOWN, StreamResetReason.CURSOR_EXPIRED
AT = datetime(2026, 3, 1, tzinfo=UTC)


class Counted(Pool):
    """A pool that counts its statements."""

    statements = 0

    async def fetch(self, query: str, *arguments: Any) -> Any:
        self.statements += 1
        return await super().fetch(query, *arguments)


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Counted]:
    pool = await Counted.open(database_url, size=2)
    yield pool
    await pool.close()


@pytest.fixture
async def cursors(pool: Counted) -> StreamCursors:
    return StreamCursors(await event_log.identity(pool))


async def position(database: Database) -> str:
    """Writes an event; returns the log's position once no transaction runs that started before it."""
    await create(database, ("ADMIN", "boss"))
    await database_checks.until(database, "bool_and(xid < pg_snapshot_xmin(pg_current_snapshot())) FROM ticket_events")
    now: str = await database.fetchval(f"SELECT {NOW}")
    return now


def beyond(now: str) -> str:
    """Returns a position long after `now`, which the log has not reached, although the tests of other databases use up
    transaction ids as well."""
    xid = snapshot_of(now).xmax + 1_000_000
    return f"{xid}:{xid}:/{Position.parse(now).fingerprint}"


def snapshot_of(position: str) -> Snapshot:
    return Snapshot.parse(Position.parse(position).snapshot)


@dataclass(frozen=True)
class Event:
    event: str
    at: datetime = AT


async def replayed(found: Replay | Reset) -> list[str]:
    """Returns the ids of the replayed events."""

    async def events(ids: Sequence[str]) -> list[Event]:
        return [Event(id) for id in ids]

    assert isinstance(found, Replay)
    return [event.event async for portion in found.portions(events, 100) for _, event in portion]


async def test_a_valid_cursor_is_replayed_with_one_statement(
    database: Database, pool: Counted, cursors: StreamCursors
) -> None:
    cursor = cursors.seal(await position(database))
    between = await position(database)
    await position(database)
    rows = await database.fetch("SELECT id::text FROM ticket_events ORDER BY at DESC, id DESC LIMIT 2")
    second, first = (id for (id,) in rows)
    before = pool.statements
    found = await check_cursor(cursor, cursors, pool)
    assert (await replayed(found), found.now) == ([first, second], await database.fetchval(f"SELECT {NOW}"))
    found = await check_cursor(cursor, cursors, pool, between)
    assert (await replayed(found), found.now) == ([first], between)
    assert pool.statements == before + 2


@pytest.mark.parametrize("cursor", ["", "nonsense", "AAAA", "A" * 100, "\0", "é", "\ud800", "A" * 100_000])
async def test_a_cursor_not_sealed_by_this_log_is_unknown(
    database: Database, pool: Counted, cursors: StreamCursors, cursor: str
) -> None:
    now = await position(database)
    before = pool.statements
    assert await check_cursor(cursor, cursors, pool) == Reset(now, UNKNOWN)
    assert pool.statements == before + 1
    assert await check_cursor(cursor, cursors, pool, "5:5:/0") == Reset("5:5:/0", UNKNOWN)
    assert pool.statements == before + 1


async def test_a_cursor_of_another_log_and_an_altered_cursor_are_unknown(
    database: Database, pool: Counted, cursors: StreamCursors
) -> None:
    now = await position(database)
    altered = cursors.seal(now).swapcase()
    for cursor in (StreamCursors(new_id()).seal(now), altered):
        assert await check_cursor(cursor, cursors, pool) == Reset(now, UNKNOWN)


async def test_a_cursor_that_is_ahead_of_the_log_is_unknown(
    database: Database, pool: Counted, cursors: StreamCursors
) -> None:
    """Also if only the end of its batch is ahead, or if the reader is ahead of the log too."""
    now = await position(database)
    future = beyond(now)
    for ahead in (StreamPosition(future), StreamPosition(now, future, AT, new_id())):
        before = pool.statements
        assert await check_cursor(ahead.sealed(cursors), cursors, pool) == Reset(now, UNKNOWN)
        assert await check_cursor(ahead.sealed(cursors), cursors, pool, future) == Reset(future, UNKNOWN)
        assert pool.statements == before + 2


async def test_a_cursor_that_is_ahead_of_its_reader_is_unknown_without_a_statement(
    database: Database, pool: Counted, cursors: StreamCursors
) -> None:
    now = await position(database)
    later = await position(database)
    before = pool.statements
    for ahead in (StreamPosition(later), StreamPosition(now, later, AT, new_id())):
        assert await check_cursor(ahead.sealed(cursors), cursors, pool, now) == Reset(now, UNKNOWN)
    assert pool.statements == before


async def test_a_cursor_that_sees_a_running_transaction_is_unknown(
    database: Database, pool: Counted, cursors: StreamCursors
) -> None:
    async with pool.acquire() as connection, connection.transaction():
        running = int(await connection.fetchval("SELECT pg_current_xact_id()::text"))
        await create(database, ("ADMIN", "boss"))
        now = await database.fetchval(f"SELECT {NOW}")
        xmax = snapshot_of(now).xmax
        assert running < xmax
        cursor = cursors.seal(await position_at(database, f"{xmax}:{xmax}:"))
        for until in (None, now):
            checked = await check_cursor(cursor, cursors, pool, until)
            assert isinstance(checked, Reset) and checked.reason is UNKNOWN


async def test_a_cursor_expires_once_an_event_after_it_lies_below_the_horizon(
    database: Database, pool: Counted, cursors: StreamCursors
) -> None:
    now = await position(database)
    xmin, xmax = snapshot_of(now).xmin, snapshot_of(now).xmax
    before = pool.statements
    await database.execute("UPDATE event_log SET horizon = $1::text::xid8", str(xmin))
    for kept in (StreamPosition(now), StreamPosition(now, now, AT, new_id())):
        assert isinstance(await check_cursor(kept.sealed(cursors), cursors, pool), Replay)
    beside = await position_at(
        database, f"{xmin - 1}:{xmax}:{xmin - 1}"
    )  # made while the transaction below the horizon was running
    for expired in (StreamPosition(beside), StreamPosition(beside, now, AT, new_id())):
        assert await check_cursor(expired.sealed(cursors), cursors, pool) == Reset(now, EXPIRED)
    assert pool.statements == before + 4
    await database.execute("UPDATE event_log SET horizon = '0'")


# Slices


async def in_slices(pool: Counted, start: StreamPosition, most: int) -> list[str]:
    """Returns the ids of the events after a position, read in slices of at most `most`."""
    found: list[str] = []

    async def of(ids: Sequence[str]) -> list[Event]:
        return [Event(each) for each in ids]

    position, more = start, True
    while more:
        slice = await first_after(position, pool, most)
        assert isinstance(slice, Slice)
        portion = [event.event async for each in slice.replay.portions(of, 10) for _, event in each]
        assert len(portion) <= most
        found += portion
        position, more = slice.end, slice.more
    assert position.until is None
    return found


async def test_slices_have_every_event_once_however_many_there_are(
    pool: Counted, cursors: StreamCursors, database: Database
) -> None:
    """From between two batches, and from within one, whose other events come first."""
    start = StreamPosition(await position(database))
    for _ in range(7):
        await create(database, ("ADMIN", "boss"))
    middle = await position(database)
    for _ in range(4):
        await create(database, ("ADMIN", "boss"))
    rows = await database.fetch("SELECT id::text, at FROM ticket_events ORDER BY at, id")
    after = [row["id"] for row in rows][-12:]
    assert await in_slices(pool, start, 100) == after
    third = rows[-10]
    within = StreamPosition(start.origin, middle, third["at"], third["id"])
    for most in (1, 2, 3, 5, 9, 11, 12):
        assert await in_slices(pool, start, most) == after, most
        assert await in_slices(pool, within, most) == after[3:], most


async def test_slices_are_refused_like_cursors(pool: Counted, cursors: StreamCursors, database: Database) -> None:
    now = await position(database)
    await create(database, ("ADMIN", "boss"))
    altered = StreamPosition(f"{now.partition('/')[0]}/{int(now.partition('/')[2]) ^ 1}")
    for start, reason in ((altered, UNKNOWN), (StreamPosition(beyond(now)), UNKNOWN)):
        refused = await first_after(start, pool, 1)
        assert isinstance(refused, Reset)
        assert refused.reason is reason
