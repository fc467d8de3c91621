"""Pruning the event log: old events are deleted once they are folded into the counts and the horizon is announced."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta

import asyncpg
import pytest

from callout import background
from db.events import counts
from db.events import log as event_log
from db.postgres.pool import Database as Pool
from tests.helpers.counting import create
from tests.helpers.database_checks import Database, until

KEPT, ANNOUNCED = timedelta(days=1), timedelta(minutes=10)
HOUR = timedelta(hours=1)
OLD, YOUNG = 2 * KEPT, KEPT - HOUR


@pytest.fixture(autouse=True)
async def ticket(database: Database) -> str:
    """A ticket without events, in a log whose horizon has not moved for a long time."""
    made = await create(database, ("SERVICE", "chatbot"))
    await settled(database)
    await database.execute("DELETE FROM ticket_events")
    await database.execute("UPDATE event_log SET horizon = '0', horizon_at = now() - interval '30 days'")
    return made


async def write_events(database: Database, ticket: str, age: timedelta, times: int = 1) -> int:
    """Writes events of this age in one transaction; returns its id."""
    xid: int = await database.fetchval(
        "WITH written AS ("
        " INSERT INTO ticket_events (ticket_id, kind, actor_kind, actor_id, actor_name, at, before, after)"
        " SELECT id, 'UPDATED', 'ADMIN', 'boss', 'The Boss', now() - $2::interval + n * interval '1 microsecond',"
        " to_jsonb(tickets.*), to_jsonb(tickets.*) FROM tickets, generate_series(1, $3) AS n WHERE id = $1"
        " RETURNING xid) SELECT min(xid::text::bigint) FROM written",
        ticket,
        age,
        times,
    )
    return xid


async def settled(database: Database) -> None:
    """Waits until no transaction runs that started before the last event, even in another test's database, and folds
    the events into the counts."""
    await until(database, "bool_and(xid < pg_snapshot_xmin(pg_current_snapshot())) FROM ticket_events")
    await counts.fold(database)


async def transactions_left(database: Database) -> list[int]:
    return [xid for (xid,) in await database.fetch("SELECT DISTINCT xid::text::bigint FROM ticket_events ORDER BY 1")]


async def horizon(database: Database) -> int:
    return int(await database.fetchval("SELECT horizon::text FROM event_log"))


async def let_pass(database: Database, time: timedelta) -> None:
    """Makes the horizon look as if it had moved this much earlier."""
    await database.execute("UPDATE event_log SET horizon_at = horizon_at - $1::interval", time)


async def prune(database: Database) -> int:
    return await event_log.prune(database, KEPT, ANNOUNCED)


async def test_only_events_older_than_the_retention_are_deleted(database: Database, ticket: str) -> None:
    minute = timedelta(minutes=1)
    ages = [3 * KEPT, OLD, KEPT + minute, KEPT - minute, timedelta(0)]
    events = [await write_events(database, ticket, age) for age in ages]
    await settled(database)
    assert await prune(database) == 0
    assert await horizon(database) == events[3]
    await let_pass(database, ANNOUNCED + minute)
    assert await prune(database) == 3
    assert await transactions_left(database) == events[3:]


async def test_the_horizon_is_announced_before_events_are_deleted(database: Database, ticket: str) -> None:
    """Each time, so that clients that read there can finish."""
    second = timedelta(seconds=30)
    first = await write_events(database, ticket, OLD)
    young = await write_events(database, ticket, YOUNG)
    await settled(database)
    await prune(database)
    for waited in (timedelta(0), ANNOUNCED - second):
        await let_pass(database, waited)
        assert await prune(database) == 0
        assert await transactions_left(database) == [first, young]
    await database.execute("UPDATE event_log SET horizon_at = now() - $1::interval", ANNOUNCED + second)
    assert await event_log.prune(database, HOUR, ANNOUNCED) == 1  # with a shorter retention more events are due
    last = await write_events(database, ticket, timedelta(0))
    await settled(database)
    await let_pass(database, ANNOUNCED + second)
    await event_log.prune(database, HOUR, ANNOUNCED)
    assert await horizon(database) == last
    assert await event_log.prune(database, HOUR, ANNOUNCED) == 0
    assert await transactions_left(database) == [young, last]
    await let_pass(database, ANNOUNCED + second)
    assert await event_log.prune(database, HOUR, ANNOUNCED) == 1
    assert await transactions_left(database) == [last]


async def test_old_events_are_deleted_even_if_several_processes_prune_in_turn(database: Database, ticket: str) -> None:
    """No process moves the horizon while an announcement is pending; otherwise it would stay pending forever."""
    half = ANNOUNCED / 2 + timedelta(seconds=1)
    old = await write_events(database, ticket, OLD)
    deleted = 0
    for _ in range(3):  # each time more events are due
        await write_events(database, ticket, OLD)
        await settled(database)
        deleted += await prune(database)
        await let_pass(database, half)
    assert deleted > 0
    assert old not in await transactions_left(database)


@pytest.mark.parametrize("behind", ["counted", "service_counted"])
async def test_events_not_folded_into_both_counts_are_kept(database: Database, ticket: str, behind: str) -> None:
    before = await database.fetchval(f"SELECT {behind}::text FROM event_log")
    events = [await write_events(database, ticket, OLD) for _ in range(3)]
    await settled(database)
    after = await database.fetchval(f"SELECT {behind}::text FROM event_log")
    await database.execute(f"UPDATE event_log SET {behind} = $1::text::pg_snapshot", before)
    for _ in range(2):
        assert await event_log.prune(database, KEPT, timedelta(0)) == 0
    assert await horizon(database) <= events[0]
    assert await transactions_left(database) == events
    await database.execute(f"UPDATE event_log SET {behind} = $1::text::pg_snapshot", after)
    await event_log.prune(database, KEPT, timedelta(0))
    assert await event_log.prune(database, KEPT, timedelta(0)) == 2


async def test_the_horizon_waits_for_a_running_transaction(database: Database, database_url: str, ticket: str) -> None:
    first = await write_events(database, ticket, OLD)
    await settled(database)
    another = await asyncpg.connect(database_url)
    async with another.transaction():
        late = await write_events(another, ticket, OLD)
        after = [await write_events(database, ticket, OLD) for _ in range(2)]
        await counts.fold(database)
        for _ in range(2):
            await event_log.prune(database, KEPT, timedelta(0))
        assert first < await horizon(database) <= late
        assert await transactions_left(database) == after
    await another.close()
    await settled(database)
    assert await transactions_left(database) == [late, *after]
    # The counts' position moves only when there is an event to fold.
    last = await write_events(database, ticket, timedelta(0))
    await settled(database)
    for _ in range(2):
        await event_log.prune(database, KEPT, timedelta(0))
    assert await transactions_left(database) == [last]


async def test_a_log_of_old_events_keeps_only_the_last_transaction(database: Database, ticket: str) -> None:
    """It stays because no position lies beyond the last event."""
    for _ in range(3):
        await write_events(database, ticket, OLD)
    last = await write_events(database, ticket, OLD, times=2)
    await settled(database)
    await prune(database)
    await let_pass(database, 2 * ANNOUNCED)
    assert await prune(database) == 3
    assert await transactions_left(database) == [last]


async def test_a_long_log_is_deleted_in_steps(database: Database, ticket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many events each transaction has."""
    monkeypatch.setattr(event_log, "LOOKED_AT", 2)
    events = [await write_events(database, ticket, OLD, times) for times in (1, 1, 4, 1)]
    young = await write_events(database, ticket, YOUNG, times=3)
    await settled(database)
    steps = []
    for _ in range(4):
        steps.append(await event_log.prune(database, KEPT, timedelta(0)))
    assert steps == [0, 2, 4, 1]
    assert await transactions_left(database) == [young] != events


async def test_a_transaction_with_a_recent_event_is_kept_as_a_whole(
    database: Database, ticket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if that event lies outside the events that one step reads."""
    async with database.transaction():
        await write_events(database, ticket, OLD, times=3)
        whole = await write_events(database, ticket, YOUNG)
    await write_events(database, ticket, timedelta(0))
    await settled(database)
    for looked_at in (2, 100):
        monkeypatch.setattr(event_log, "LOOKED_AT", looked_at)
        for _ in range(2):
            assert await event_log.prune(database, KEPT, timedelta(0)) == 0
        assert await horizon(database) == whole


async def test_one_round_deletes_several_portions(database: Database, ticket: str) -> None:
    await write_events(database, ticket, OLD, times=2_001)
    last = await write_events(database, ticket, timedelta(0))
    await settled(database)
    await event_log.prune(database, KEPT, timedelta(0))
    assert await event_log.prune(database, KEPT, timedelta(0)) == 2_001
    assert await transactions_left(database) == [last]


async def test_events_locked_by_another_process_are_skipped(database: Database, database_url: str, ticket: str) -> None:
    taken, *_, last = [await write_events(database, ticket, OLD) for _ in range(4)]
    await settled(database)
    await prune(database)
    await let_pass(database, 2 * ANNOUNCED)
    another = await asyncpg.connect(database_url)
    async with another.transaction(), asyncio.timeout(20):
        await another.execute("SELECT FROM ticket_events WHERE xid = $1 FOR UPDATE", taken)
        assert await prune(database) == 2
    await another.close()
    assert await transactions_left(database) == [taken, last]


async def test_no_cursor_expires_in_an_empty_log(database: Database) -> None:
    await prune(database)
    assert await horizon(database) == 0


async def test_pruning_follows_the_retention_and_continues_after_an_outage(
    database_url: str,
    database: Database,
    ticket: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert background.ANNOUNCED >= ANNOUNCED  # as promised in `docs/live.md`
    monkeypatch.setattr(background, "PRUNING_SECONDS", 0.01)
    await write_events(database, ticket, OLD)
    young = [await write_events(database, ticket, age) for age in (2 * HOUR, timedelta(0))]
    await settled(database)
    pool = await Pool.open(database_url, size=1)
    await database.execute("ALTER TABLE event_log RENAME TO event_log_away")
    with caplog.at_level(logging.INFO):
        pruning = asyncio.create_task(background.keep_pruned(pool, KEPT))
        await logged(caplog, "cannot delete old events")
        await database.execute("ALTER TABLE event_log_away RENAME TO event_log")
        await until(database, f"horizon::text::bigint = {young[0]} FROM event_log")
        await let_pass(database, ANNOUNCED + timedelta(minutes=1))
        await logged(caplog, "deleted events older than 1 day, 0:00:00: 1")
    pruning.cancel()
    await asyncio.wait([pruning])
    await pool.close()
    assert await transactions_left(database) == young


async def logged(caplog: pytest.LogCaptureFixture, text: str) -> None:
    async with asyncio.timeout(20):
        while text not in caplog.text:  # noqa: ASYNC110 (there is no event to wait for)
            await asyncio.sleep(0.01)
