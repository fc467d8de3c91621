"""The fingerprint of a position: it stays the same whatever happens to the log later, except if the events that the
position sees change; and what readers do where they cannot know."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta

import asyncpg
import pytest

from db.enums import StreamResetReason
from db.events import counts
from db.events import log as event_log
from db.events.position import NOW, Position
from db.events.stream_cursor import (
    Replay,
    Reset,
    StreamCursors,
    StreamPosition,
    Unsettled,
    check_cursor,
    check_position,
)
from db.ids import new_id
from db.postgres.pool import Database as Pool
from tests.helpers.counting import change, create
from tests.helpers.database_checks import Database, remove_event, until
from tests.helpers.positions import position_at

BOSS = ("ADMIN", "boss")
UNKNOWN = StreamResetReason.CURSOR_UNKNOWN


@pytest.fixture
async def database(fresh_url: str) -> AsyncIterator[Database]:
    connection = await asyncpg.connect(fresh_url)
    yield connection
    await connection.close()


@pytest.fixture
async def pool(fresh_url: str) -> AsyncIterator[Pool]:
    pool = await Pool.open(fresh_url, size=2)
    yield pool
    await pool.close()


async def now(database: Database) -> str:
    return str(await database.fetchval(f"SELECT {NOW}"))


async def settled(database: Database) -> None:
    await until(database, "bool_and(xid < pg_snapshot_xmin(pg_current_snapshot())) FROM ticket_events")


async def reason(pool: Pool, position: str | StreamPosition, reader: str | None = None) -> StreamResetReason | None:
    start = StreamPosition(position) if isinstance(position, str) else position
    found = await check_position(start, pool, reader)
    return found.reason if isinstance(found, Reset) else None


async def test_positions_hold_during_writes_rollbacks_and_foldings(
    database: Database, fresh_url: str, pool: Pool
) -> None:
    """They are taken at any moment between overlapping transactions, some of which stay open for long."""
    drawn = random.Random(7)
    tickets = [await create(database, BOSS) for _ in range(6)]
    done = 0

    async def write(ticket: str, slow: bool) -> None:
        nonlocal done
        connection = await asyncpg.connect(fresh_url)
        for _ in range(4 if slow else 25):
            with suppress(ZeroDivisionError):
                async with connection.transaction():
                    await change(connection, ticket, "UPDATED", f"subject = '{new_id()}'")
                    await asyncio.sleep(0.1 if slow else 0)
                    if drawn.random() < 0.2:
                        raise ZeroDivisionError
        await connection.close()
        done += 1

    writers = [asyncio.create_task(write(ticket, number < 2)) for number, ticket in enumerate(tickets)]
    positions = []
    while done < len(writers):
        positions.append(await now(database))
        if drawn.random() < 0.3:
            await counts.fold(database)
        await asyncio.sleep(0.005)
    await asyncio.gather(*writers)
    assert len({Position.parse(position).fingerprint for position in positions}) > 5
    for position in positions:
        assert await position_at(database, Position.parse(position).snapshot) == position
        assert await reason(pool, position) is None


async def test_folding_changes_no_fingerprint(database: Database) -> None:
    for _ in range(3):
        await create(database, BOSS)
    before = Position.parse(await now(database))
    stored = await database.fetchval("SELECT fingerprint FROM event_log")
    await counts.fold(database)
    # Of the snapshot only this: transactions of other databases on the server are in it as well.
    assert Position.parse(await now(database)).fingerprint == before.fingerprint
    assert await database.fetchval("SELECT fingerprint FROM event_log") != stored


async def test_a_recount_takes_in_the_events_of_a_bulk_load(database: Database, pool: Pool) -> None:
    ticket = await create(database, BOSS)
    before = await now(database)
    await change(database, ticket, "UPDATED", "subject = 'New'")
    await counts.recount(database)
    after = Position.parse(await now(database))
    assert await database.fetchval("SELECT fingerprint FROM event_log") == after.fingerprint
    assert await reason(pool, before) is None


async def test_pruning_changes_no_fingerprint(database: Database, pool: Pool) -> None:
    ticket = await create(database, BOSS)
    for _ in range(5):
        await change(database, ticket, "UPDATED", "subject = 'New'")
    await settled(database)
    position = await now(database)
    await counts.fold(database)
    for _ in range(2):
        await database.execute("UPDATE event_log SET horizon_at = now() - interval '1 day'")
        await event_log.prune(database, timedelta(0), timedelta(0))
    assert await database.fetchval("SELECT count(*) FROM ticket_events") == 1
    assert Position.parse(await now(database)).fingerprint == Position.parse(position).fingerprint
    assert await reason(pool, position) is None


async def test_an_event_is_not_pruned_before_it_is_in_the_stored_fingerprint(database: Database) -> None:
    ticket = await create(database, BOSS)
    await change(database, ticket, "UPDATED", "subject = 'New'")
    await settled(database)
    behind = await database.fetchval("SELECT fingerprinted::text FROM event_log")
    await counts.fold(database)
    await database.execute("UPDATE event_log SET fingerprinted = $1::text::pg_snapshot", behind)
    await database.execute("UPDATE event_log SET horizon_at = now() - interval '1 day'")
    await event_log.prune(database, timedelta(0), timedelta(0))
    first = await database.fetchval("SELECT min(xid::text::bigint) FROM ticket_events")
    assert int(await database.fetchval("SELECT horizon::text FROM event_log")) <= first


async def test_a_position_that_sees_a_lost_event_is_unknown_and_an_earlier_one_is_not(
    database: Database, pool: Pool, fresh_url: str
) -> None:
    """However many events of later transactions have not been lost: transactions commit in another order than that of
    their ids."""
    ticket, other_ticket = await create(database, BOSS), await create(database, BOSS)
    other = await asyncpg.connect(fresh_url)
    async with other.transaction():
        late = await change(other, other_ticket, "UPDATED", "subject = 'Late'")
        for _ in range(100):
            await change(database, ticket, "UPDATED", "subject = 'New'")
        before = await now(database)
    await other.close()
    after = await now(database)
    assert await reason(pool, after) is None
    await remove_event(database, late)
    assert await reason(pool, after) is UNKNOWN
    assert await reason(pool, before) is None


async def test_a_position_below_which_another_event_appears_is_unknown(database: Database, pool: Pool) -> None:
    """With as many events as before."""
    ticket = await create(database, BOSS)
    lost = await change(database, ticket, "UPDATED", "subject = 'Old'")
    position = await now(database)
    xid = await database.fetchval("SELECT xid::text FROM ticket_events WHERE id::text = $1", lost)
    await remove_event(database, lost)
    other = await change(database, ticket, "UPDATED", "subject = 'New'")
    await database.execute("UPDATE ticket_events SET xid = $2::text::xid8 WHERE id::text = $1", other, xid)
    assert await reason(pool, position) is UNKNOWN


async def test_a_position_within_a_batch_is_unknown_if_any_event_of_the_batch_is_lost(
    database: Database, pool: Pool
) -> None:
    """Because other events will take its place below the batch's end."""
    ticket = await create(database, BOSS)
    origin = await now(database)
    first = await change(database, ticket, "UPDATED", "subject = 'One'")
    second = await change(database, ticket, "UPDATED", "subject = 'Two'")
    until = await now(database)
    at = await database.fetchval("SELECT at FROM ticket_events WHERE id::text = $1", first)
    within = StreamPosition(origin, until, at, first)
    found = await check_position(within, pool)
    assert isinstance(found, Replay)
    await change(database, ticket, "UPDATED", "subject = 'Three'")
    assert await reason(pool, within) is None
    await remove_event(database, second)
    assert await reason(pool, within) is UNKNOWN
    assert await reason(pool, origin) is None


async def test_an_empty_log_has_a_fingerprint_of_its_own(database: Database, pool: Pool) -> None:
    position = await now(database)
    assert await reason(pool, position) is None
    stored = await database.fetchval("SELECT fingerprint FROM event_log")
    await database.execute("UPDATE event_log SET fingerprint = fingerprint + 1")
    assert await reason(pool, position) is UNKNOWN
    await database.execute("UPDATE event_log SET fingerprint = $1", stored)


async def test_a_reader_whose_own_position_does_not_hold_decides_nothing(database: Database, pool: Pool) -> None:
    """The tail has not noticed yet that the history has changed."""
    ticket = await create(database, BOSS)
    position = await now(database)
    lost = await change(database, ticket, "UPDATED", "subject = 'Old'")
    reader = await now(database)
    assert await reason(pool, position, reader) is None
    await remove_event(database, lost)
    with pytest.raises(Unsettled):
        await reason(pool, position, reader)
    await change(database, ticket, "UPDATED", "subject = 'New'")
    assert await reason(pool, position, await now(database)) is None


async def test_nothing_is_decided_while_the_logs_state_is_missing(
    database: Database, pool: Pool, fresh_url: str
) -> None:
    """As in the middle of a restore that is not one transaction."""
    await create(database, BOSS)
    position = await now(database)
    await database.execute("CREATE TABLE elsewhere AS TABLE event_log")
    await database.execute("DELETE FROM event_log")
    for cursor in (StreamPosition(position), None):
        with pytest.raises(Unsettled):
            await check_position(cursor, pool)
    await database.execute("INSERT INTO event_log TABLE elsewhere")
    assert await reason(pool, position) is None


@pytest.mark.parametrize(
    "text",
    [
        "5:9:5,7",  # without a fingerprint, as earlier versions sealed it
        "5:9:5,7|9:12:|2026-03-01T12:30:15+00:00|01a22b7f-ae0b-76c9-bbc5-14a0e06e5612",
        "",
        "5:9/3",
        "5:9:5,7/x",
        "5:9:/3/4",
        "5:9:/3|5:9:/3",
        "5:9:/3|5:9:/3|yesterday|01a22b7f-ae0b-76c9-bbc5-14a0e06e5612",
        "5:9:/3|5:9:/3|2026-03-01T12:30:15+00:00|an event",
        "5:9:/3|5:9:/3|2026-03-01T12:30:15+00:00|01a22b7f-ae0b-76c9-bbc5-14a0e06e5612|more",
    ],
)
async def test_a_sealed_cursor_in_another_format_is_unknown(pool: Pool, text: str) -> None:
    cursors = StreamCursors(await event_log.identity(pool))
    checked = await check_cursor(cursors.seal(text), cursors, pool)
    assert isinstance(checked, Reset) and checked.reason is UNKNOWN
