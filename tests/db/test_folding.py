"""The stored counts: each event is folded once, even during concurrent work, and a recount corrects them."""

from __future__ import annotations

import asyncio
import logging
import random
import signal
from collections.abc import AsyncIterator

import asyncpg
import pytest

from callout import background
from db.events import counts
from db.ids import new_id
from db.postgres.pool import Database as Pool
from tests.helpers.counting import COUNTED, change, counted, create, in_tickets, stored
from tests.helpers.database_checks import Database, until, until_blocked

CHATBOT, BOSS = ("SERVICE", "chatbot"), ("ADMIN", "boss")


@pytest.fixture
async def another(database_url: str) -> AsyncIterator[Database]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@pytest.fixture(autouse=True)
async def all_folded(database: Database) -> None:
    """Folds all events before each test."""
    await counts.fold(database)


async def assert_counts_right(database: Database) -> None:
    """Checks that the counts equal those of the tickets, whether or not all events have been folded."""
    for each in COUNTED:
        assert await counted(database, each) == await in_tickets(database, each), each.table


async def assert_all_folded(database: Database) -> None:
    for each in COUNTED:
        assert await stored(database, each) == await in_tickets(database, each) != set(), each.table
    assert await counts.fold(database) == 0


async def technician(database: Database) -> str:
    key = new_id()
    await database.execute("INSERT INTO technicians (id, name, email) VALUES ($1, 'Tess', $2)", key, f"{key}@x.test")
    return key


async def test_each_event_is_folded_once(database: Database) -> None:
    tess = await technician(database)
    tickets = [await create(database, creator, priority="HIGH") for creator in (CHATBOT, CHATBOT, BOSS)]
    await assert_counts_right(database)
    assert await counts.fold(database) == 3
    await assert_all_folded(database)
    await change(database, tickets[0], "ASSIGNED", f"technician_id = '{tess}'")
    await change(database, tickets[0], "UPDATED", "subject = 'This changes no number'")
    await change(database, tickets[1], "CLOSED", "status = 'CLOSED', closed_at = now()")
    await change(database, tickets[2], "UPDATED", "category = 'CCTV'")
    await assert_counts_right(database)
    assert await counts.fold(database) == 4
    await assert_all_folded(database)
    await assert_counts_right(database)


async def test_a_late_commit_is_folded_once(database: Database, another: Database) -> None:
    async with another.transaction():
        late = await create(another, CHATBOT, category="ALARM")
        await create(database, CHATBOT, category="INTERCOM")
        assert await counts.fold(database) == 1
        await assert_all_folded(database)
        await assert_counts_right(another)  # this transaction already sees its own ticket
    await assert_counts_right(database)
    assert await counts.fold(database) == 1
    await assert_all_folded(database)
    await change(database, late, "UPDATED", "category = 'CCTV'")
    assert await counts.fold(database) == 1
    await assert_all_folded(database)


async def test_a_concurrent_fold_does_not_wait(database_url: str, database: Database, another: Database) -> None:
    await create(database, CHATBOT)
    one = await asyncpg.connect(database_url)
    async with another.transaction(), asyncio.timeout(20):
        await another.execute("LOCK TABLE ticket_counts IN SHARE MODE")
        folding = asyncio.create_task(counts.fold(one))
        await until_blocked(database)
        assert await counts.fold(database) == 0
        await assert_counts_right(database)
    assert await folding == 1
    await assert_all_folded(database)
    await one.close()


async def test_concurrent_writes_and_folds_leave_the_counts_right(database_url: str, database: Database) -> None:
    folded = 0
    writing = True

    async def write(seed: int) -> None:
        own, chance = await asyncpg.connect(database_url), random.Random(seed)
        for n in range(10):
            async with own.transaction():
                ticket = await create(own, (CHATBOT, BOSS)[n % 2], priority=chance.choice(("LOW", "HIGH")))
                await asyncio.sleep(chance.random() / 100)
            await change(own, ticket, "UPDATED", "category = 'CCTV'")
        await own.close()

    async def fold() -> None:
        nonlocal folded
        own = await asyncpg.connect(database_url)
        while writing:
            folded += await counts.fold(own)
            await asyncio.sleep(0.001)
        await own.close()

    folding = [asyncio.create_task(fold()) for _ in range(2)]
    await asyncio.gather(*(write(seed) for seed in range(3)))
    writing = False
    await asyncio.gather(*folding)
    assert folded > 0
    await counts.fold(database)
    await assert_all_folded(database)


async def test_folding_and_recounting_refuse_to_run_in_a_transaction(database: Database) -> None:
    """Events written in that transaction would be folded twice."""
    for work in (counts.fold, counts.recount):
        async with database.transaction():
            with pytest.raises(AssertionError):
                await work(database)


async def test_a_recount_corrects_wrong_missing_and_obsolete_counts(database: Database, another: Database) -> None:
    tess, gone = await technician(database), new_id()
    for creator in (CHATBOT, ("SERVICE", "mail"), BOSS):
        for priority in ("LOW", "HIGH", "URGENT"):
            await create(database, creator, priority=priority, technician_id=tess)
    await counts.fold(database)
    for table, kind, key in (
        ("ticket_counts", "", ""),
        ("service_ticket_counts", "creator_id, creator_kind, ", "'vanished', 'SERVICE', "),
    ):
        assert await database.execute(f"DELETE FROM {table} WHERE priority = 'LOW'") != "DELETE 0"
        assert await database.execute(f"UPDATE {table} SET n = n + 7 WHERE priority = 'HIGH'") != "UPDATE 0"
        await database.execute(
            f"INSERT INTO {table} ({kind}status, priority, category, technician_id, n)"
            f" VALUES ({key}'CLOSED', 'LOW', 'ALARM', '{gone}', 5)"
        )
    async with another.transaction():
        await create(another, CHATBOT, category="ALARM")
        await create(database, CHATBOT, category="INTERCOM")
        await counts.recount(database)
        await assert_all_folded(database)
        await assert_counts_right(database)
    await assert_counts_right(database)
    assert await counts.fold(database) == 1  # the event of the late transaction
    await assert_all_folded(database)


async def test_folding_continues_after_an_outage(
    database_url: str, database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(background, "COUNTING_SECONDS", 0.01)
    taken = "bool_and(pg_visible_in_snapshot(xid, counted)) FROM ticket_events, event_log"
    pool = await Pool.open(database_url, size=1)
    with caplog.at_level(logging.WARNING):
        folding = asyncio.create_task(background.keep_counted(pool))
        for _ in range(2):
            await create(database, CHATBOT)
            await until(database, taken)
        await database.execute("ALTER TABLE event_log RENAME TO event_log_away")
        async with asyncio.timeout(20):
            while "cannot update the counts" not in caplog.text:  # noqa: ASYNC110 (there is no event to wait for)
                await asyncio.sleep(0.01)
        await database.execute("ALTER TABLE event_log_away RENAME TO event_log")
        await create(database, CHATBOT)
        await until(database, taken)
    folding.cancel()
    await asyncio.wait([folding])
    assert folding.cancelled()
    await pool.close()
    await assert_all_folded(database)


# Background work


async def test_background_work_ends_with_its_block() -> None:
    steps: list[str] = []

    async def work() -> None:
        try:
            steps.append("begun")
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            steps.append("ended")

    async with background.background(work):
        await asyncio.sleep(0)
        assert steps == ["begun"]
    assert steps == ["begun", "ended"]


@pytest.mark.parametrize("failure", [RuntimeError("broken"), None])
async def test_a_process_stops_if_its_background_work_ends(
    failure: Exception | None, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that does only half of its work is worse than none."""
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()

    async def work() -> None:
        if failure is not None:
            raise failure

    handler = signal.getsignal(signal.SIGTERM)
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    try:
        async with background.background(work), asyncio.timeout(20):
            await stopped.wait()
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
        signal.signal(signal.SIGTERM, handler)
    assert "background work has ended; stopping the process" in caplog.text
