"""What the event log lets go of, and when: old events, once the counts have taken them in and it has been announced."""

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
    """A ticket whose events are gone, in a log whose horizon has not been moved for long."""
    made = await create(database, ("SERVICE", "chatbot"))
    await settled(database)
    await database.execute("DELETE FROM ticket_events")
    await database.execute("UPDATE event_log SET horizon = '0', horizon_at = now() - interval '30 days'")
    return made


async def write_events(database: Database, ticket: str, age: timedelta, times: int = 1) -> int:
    """Events of that age, by one transaction, whose id is returned."""
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
    """Until no transaction is under way that began before the last event, be it in another test's database; then the
    counts take the events in."""
    await until(database, "bool_and(xid < pg_snapshot_xmin(pg_current_snapshot())) FROM ticket_events")
    await counts.fold(database)


async def transactions_left(database: Database) -> list[int]:
    return [xid for (xid,) in await database.fetch("SELECT DISTINCT xid::text::bigint FROM ticket_events ORDER BY 1")]


async def horizon(database: Database) -> int:
    return int(await database.fetchval("SELECT horizon::text FROM event_log"))


async def let_pass(database: Database, time: timedelta) -> None:
    """As if the horizon had moved that much earlier."""
    await database.execute("UPDATE event_log SET horizon_at = horizon_at - $1::interval", time)


async def prune(database: Database) -> int:
    return await event_log.prune(database, KEPT, ANNOUNCED)


async def test_what_is_older_than_the_retention_goes_and_nothing_else(database: Database, ticket: str) -> None:
    minute = timedelta(minutes=1)
    ages = [3 * KEPT, OLD, KEPT + minute, KEPT - minute, timedelta(0)]
    events = [await write_events(database, ticket, age) for age in ages]
    await settled(database)
    assert await prune(database) == 0
    assert await horizon(database) == events[3]
    await let_pass(database, ANNOUNCED + minute)
    assert await prune(database) == 3
    assert await transactions_left(database) == events[3:]


async def test_what_is_to_go_is_announced_before(database: Database, ticket: str) -> None:
    """Each time anew: whoever began to read there has ended by then."""
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
    assert await event_log.prune(database, HOUR, ANNOUNCED) == 1  # by a shorter retention there is more to go
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


async def test_old_events_go_although_several_processes_prune_in_turn(database: Database, ticket: str) -> None:
    """None of them moves the horizon on while what another has announced waits: it would wait for ever."""
    half = ANNOUNCED / 2 + timedelta(seconds=1)
    old = await write_events(database, ticket, OLD)
    deleted = 0
    for _ in range(3):  # and each time there is more to move over
        await write_events(database, ticket, OLD)
        await settled(database)
        deleted += await prune(database)
        await let_pass(database, half)
    assert deleted > 0
    assert old not in await transactions_left(database)


@pytest.mark.parametrize("behind", ["counted", "service_counted"])
async def test_what_either_of_the_counts_has_not_taken_in_stays(database: Database, ticket: str, behind: str) -> None:
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


async def test_the_horizon_waits_for_a_transaction_that_is_under_way(
    database: Database, database_url: str, ticket: str
) -> None:
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
    # The counts' position is the one of before, until there is something to take in.
    last = await write_events(database, ticket, timedelta(0))
    await settled(database)
    for _ in range(2):
        await event_log.prune(database, KEPT, timedelta(0))
    assert await transactions_left(database) == [last]


async def test_a_log_in_which_all_is_old_keeps_only_the_last_that_happened(database: Database, ticket: str) -> None:
    """That one stays, because positions do not lie beyond it."""
    for _ in range(3):
        await write_events(database, ticket, OLD)
    last = await write_events(database, ticket, OLD, times=2)
    await settled(database)
    await prune(database)
    await let_pass(database, 2 * ANNOUNCED)
    assert await prune(database) == 3
    assert await transactions_left(database) == [last]


async def test_a_long_log_goes_step_by_step(database: Database, ticket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many of its events one transaction has written."""
    monkeypatch.setattr(event_log, "LOOKED_AT", 2)
    events = [await write_events(database, ticket, OLD, times) for times in (1, 1, 4, 1)]
    young = await write_events(database, ticket, YOUNG, times=3)
    await settled(database)
    steps = []
    for _ in range(4):
        steps.append(await event_log.prune(database, KEPT, timedelta(0)))
    assert steps == [0, 2, 4, 1]
    assert await transactions_left(database) == [young] != events


async def test_a_transaction_of_which_something_is_young_stays_as_a_whole(
    database: Database, ticket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if that is behind what is looked at."""
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


async def test_more_than_are_deleted_at_once_go_in_one_round(database: Database, ticket: str) -> None:
    await write_events(database, ticket, OLD, times=2_001)
    last = await write_events(database, ticket, timedelta(0))
    await settled(database)
    await event_log.prune(database, KEPT, timedelta(0))
    assert await event_log.prune(database, KEPT, timedelta(0)) == 2_001
    assert await transactions_left(database) == [last]


async def test_what_another_process_deletes_is_not_waited_for(
    database: Database, database_url: str, ticket: str
) -> None:
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


async def test_in_an_empty_log_no_cursor_expires(database: Database) -> None:
    await prune(database)
    assert await horizon(database) == 0


async def test_a_server_prunes_by_its_retention_and_goes_on_after_an_outage(
    database_url: str,
    database: Database,
    ticket: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert background.ANNOUNCED >= ANNOUNCED  # as `docs/live.md` has it
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
        while text not in caplog.text:  # noqa: ASYNC110 (a log says nothing of itself)
            await asyncio.sleep(0.01)
