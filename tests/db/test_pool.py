"""The pool of connections to the database: acquiring them, their session settings, and recovery from failures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from random import Random

import asyncpg
import pytest

from db.postgres import outage
from db.postgres import pool as pools
from db.postgres.pool import OUTAGE, Database
from tests.helpers.database_checks import until
from tests.helpers.proxy import Proxy, connector, through

PID = "SELECT pg_backend_pid()"
OURS = "FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'callout'"
TERMINATED = f"SELECT count(*) FILTER (WHERE pg_terminate_backend(pid, 10000)) {OURS}"  # returns once they are gone
SOON = 5.0  # what takes longer does not happen


@pytest.fixture
async def single(database_url: str) -> AsyncIterator[Database]:
    """A pool of one connection."""
    opened = await Database.open(database_url, size=1)
    yield opened
    await opened.close()


def test_a_sqlalchemy_url_is_accepted() -> None:
    assert pools.normalised("postgresql+asyncpg://u:p+q@db.test/a") == "postgresql://u:p+q@db.test/a"
    assert pools.normalised("postgresql://u:p+q@db.test/a") == "postgresql://u:p+q@db.test/a"


async def test_statements_return_rows_values_or_their_status(single: Database) -> None:
    assert [tuple(row) for row in await single.fetch("SELECT * FROM generate_series(1, $1::int) AS n", 2)] == [
        (1,),
        (2,),
    ]
    assert tuple(await single.fetchrow("SELECT 1, 2") or ()) == (1, 2)
    assert await single.fetchrow("SELECT 1 WHERE false") is None
    assert await single.fetchval("SELECT $1::text", "x") == "x"
    assert await single.fetchval("SELECT 1 WHERE false") is None
    assert await single.execute("CREATE TEMPORARY TABLE made (n int)") == "CREATE TABLE"
    assert await single.fetchval("""SELECT '{"a":  1}'::json""") == b'{"a":  1}'


async def test_a_session_uses_utc_and_has_timeouts(
    database_url: str, database: asyncpg.Connection[asyncpg.Record]
) -> None:
    name = await database.fetchval("SELECT current_database()")
    for default in ("timezone = 'Asia/Tokyo'", "jit = on", "statement_timeout = 0"):
        await database.execute(f"ALTER DATABASE {name} SET {default}")
    single = await Database.open(database_url, size=1)
    names = ("application_name", "timezone", "jit", "statement_timeout", "lock_timeout")
    shown = {name: await single.fetchval(f"SHOW {name}") for name in names}
    shown["idle"] = await single.fetchval("SHOW idle_in_transaction_session_timeout")
    assert shown == {
        "application_name": "callout",
        "timezone": "UTC",
        "jit": "off",
        "statement_timeout": "10s",
        "lock_timeout": "5s",
        "idle": "30s",
    }
    await single.close()


async def test_a_connection_keeps_the_recently_used_prepared_statements(single: Database) -> None:
    for number in range(pools.PREPARED_STATEMENTS + 10):
        await single.fetchval(f"SELECT {number}, $1::text", "x")
        await single.fetchval("SELECT $1::text", "x")
    kept = "SELECT count(*), count(*) FILTER (WHERE statement = 'SELECT $1::text') FROM pg_prepared_statements"
    assert tuple(await single.fetchrow(kept) or ()) == (pools.PREPARED_STATEMENTS, 1)


async def test_waiting_callers_get_the_released_connection(single: Database) -> None:
    async with single.acquire() as connection:
        pid = await connection.fetchval(PID)
        waiting = [asyncio.create_task(single.fetchval(PID)) for _ in range(3)]
        await asyncio.sleep(0)
    async with asyncio.timeout(SOON):
        assert await asyncio.gather(*waiting) == [pid] * 3


async def test_callers_get_connections_in_their_order_of_arrival(single: Database) -> None:
    served: list[int] = []

    async def caller(number: int) -> None:
        await single.fetchval("SELECT 1")
        served.append(number)

    async with asyncio.timeout(SOON), single.acquire():
        callers = [asyncio.create_task(caller(number)) for number in range(5)]
        await asyncio.sleep(0)
    await asyncio.gather(*callers)
    assert served == [0, 1, 2, 3, 4]


async def test_a_caller_cancelled_while_waiting_loses_no_connection(single: Database) -> None:
    async with single.acquire():
        waiting = [asyncio.create_task(single.fetchval(PID)) for _ in range(2)]
        await asyncio.sleep(0)
        waiting[0].cancel()
    waiting[1].cancel()  # it was handed the connection, and has not run since
    for each in waiting:
        with pytest.raises(asyncio.CancelledError):
            await each
    async with asyncio.timeout(SOON):
        assert await single.fetchval("SELECT 1") == 1


async def test_waiting_for_a_connection_times_out(single: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "WAITING_SECONDS", 0.1)
    async with single.acquire() as connection:
        pid = await connection.fetchval(PID)
        with pytest.raises(TimeoutError):
            await single.fetchval("SELECT 1")
    assert await single.fetchval(PID) == pid


async def test_a_failed_statement_releases_its_connection(single: Database) -> None:
    failing = asyncio.create_task(single.fetch("SELECT 1 / 0 FROM pg_sleep(0.05)"))
    await asyncio.sleep(0)
    waiting = asyncio.create_task(single.fetchval("SELECT 1"))
    with pytest.raises(asyncpg.DivisionByZeroError):
        await failing
    async with asyncio.timeout(SOON):
        assert await waiting == 1


async def test_failures_cancellations_and_disconnections_neither_lose_nor_add_connections(
    database_url: str, database: asyncpg.Connection[asyncpg.Record]
) -> None:
    pool = await Database.open(database_url, size=3)
    drawn = Random(14)

    async def statement() -> None:
        query = drawn.choice(("SELECT 1", "SELECT 1 / 0", "SELECT 1 FROM pg_sleep(0.02)"))
        await pool.fetch(query)

    async def caller() -> None:
        task = asyncio.create_task(statement())
        if drawn.random() < 0.5:
            await asyncio.sleep(drawn.random() * 0.05)
            task.cancel()
        with suppress(asyncio.CancelledError, asyncpg.PostgresError, *OUTAGE):
            await task

    try:
        for _ in range(10):
            callers = asyncio.gather(*(caller() for _ in range(30)))
            await asyncio.sleep(0.02)
            assert await database.fetchval(f"SELECT count(*) <= 3 {OURS}")
            await database.fetchval(f"SELECT bool_and(pg_terminate_backend(pid)) {OURS}")
            await callers
        async with asyncio.timeout(SOON), AsyncExitStack() as stack:
            taken = [await stack.enter_async_context(pool.acquire()) for _ in range(3)]
            assert len({await each.fetchval(PID) for each in taken}) == 3
            await until(database, f"count(*) = 3 {OURS}")
    finally:
        await pool.close()


async def test_a_connection_is_usable_after_a_failed_or_cancelled_statement(single: Database) -> None:
    for query in ("SELECT 1 / 0", "SELECT nothing"):
        with pytest.raises(asyncpg.PostgresError):
            await single.fetch(query)
        with pytest.raises(asyncpg.PostgresError):
            await single.execute(query)
    sleeping = asyncio.create_task(single.fetch("SELECT pg_sleep(60)"))
    await asyncio.sleep(0.05)
    sleeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sleeping
    async with asyncio.timeout(SOON):
        assert await single.fetchval("SELECT 1") == 1


async def test_a_connection_that_the_server_closed_is_replaced(
    single: Database, database: asyncpg.Connection[asyncpg.Record]
) -> None:
    pid = await single.fetchval(PID)
    await database.execute("SELECT pg_terminate_backend($1)", pid)
    await until(database, f"NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = {pid})")
    await asyncio.sleep(0.1)  # until the pool has read that it is closed
    async with asyncio.timeout(SOON):
        assert await single.fetchval(PID) != pid


async def test_all_connections_are_replaced_after_a_statement_without_a_response(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "SILENCE_SECONDS", 0.2)
    pool = await Database.open(database_url, size=2)

    async def two() -> set[int]:
        async with pool.acquire() as one, pool.acquire() as other:
            return {await one.fetchval(PID), await other.fetchval(PID)}

    before = await two()
    with pytest.raises(TimeoutError):
        await pool.fetch("SELECT pg_sleep(60)")
    async with asyncio.timeout(SOON):
        assert (await two()).isdisjoint(before)
    await pool.close()


async def test_a_closed_pool_leaves_no_connection(
    database_url: str, database: asyncpg.Connection[asyncpg.Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "CLOSING_SECONDS", 60)
    pool = await Database.open(database_url, size=3)
    async with pool.acquire() as one, pool.acquire() as other:
        pids = [await one.fetchval(PID), await other.fetchval(PID)]
    alive = f"FROM pg_stat_activity WHERE pid IN ({pids[0]}, {pids[1]})"
    assert await database.fetchval(f"SELECT count(*) {alive}") == 2
    async with asyncio.timeout(SOON):
        await pool.close()
    await until(database, f"count(*) = 0 {alive}")
    with pytest.raises(asyncpg.InterfaceError):
        await pool.fetchval("SELECT 1")


async def test_closing_waits_for_running_statements(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "CLOSING_SECONDS", 60)
    pool = await Database.open(database_url, size=2)
    statements = [asyncio.create_task(pool.fetchval("SELECT 1 FROM pg_sleep(0.1)")) for _ in range(4)]
    await asyncio.sleep(0)
    async with asyncio.timeout(SOON):
        await pool.close()
    assert await asyncio.gather(*statements) == [1] * 4
    with pytest.raises(asyncpg.InterfaceError):
        await pool.fetchval("SELECT 1")


async def test_closing_terminates_statements_that_do_not_end_in_time(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "CLOSING_SECONDS", 0.2)
    pool = await Database.open(database_url, size=1)
    endless = [asyncio.create_task(pool.fetchval("SELECT pg_sleep(60)")) for _ in range(2)]
    await asyncio.sleep(0.05)
    async with asyncio.timeout(SOON):
        await pool.close()
        for each in endless:
            with pytest.raises(OUTAGE):
                await each


async def test_idle_connections_that_the_server_closed_fail_no_statement(
    database_url: str, database: asyncpg.Connection[asyncpg.Record]
) -> None:
    pool = await Database.open(database_url, size=3)
    try:
        for _ in range(2):
            await asyncio.gather(*(pool.fetchval("SELECT true FROM pg_sleep(0.05)") for _ in range(3)))
            assert await database.fetchval(TERMINATED)
            await asyncio.sleep(0.05)  # until the pool has read that they are closed
            assert await asyncio.gather(*(pool.fetchval("SELECT 1") for _ in range(3))) == [1, 1, 1]
    finally:
        await pool.close()


# Connections that are closed while a statement is on its way: the pool cannot know of it yet.


@asynccontextmanager
async def closing_unseen(
    database_url: str, database: asyncpg.Connection[asyncpg.Record], size: int
) -> AsyncIterator[Database]:
    """Yields a pool whose idle connections are all closed, but that learns of it only after it has sent something."""
    proxy = Proxy(connector(database_url))
    async with proxy.running() as port:
        pool = await Database.open(through(port, database_url), size=size)
        await asyncio.gather(*(pool.fetchval("SELECT true FROM pg_sleep(0.05)") for _ in range(size)))
        proxy.hold()
        assert await database.fetchval(TERMINATED) == size
        await asyncio.sleep(0.05)

        async def release() -> None:
            await proxy.held()
            proxy.release()

        releasing = asyncio.create_task(release())
        try:
            yield pool
        finally:
            releasing.cancel()
            await pool.close()


async def test_reads_are_repeated_if_their_connections_were_closed(
    database_url: str, database: asyncpg.Connection[asyncpg.Record], caplog: pytest.LogCaptureFixture
) -> None:
    async with closing_unseen(database_url, database, 3) as pool, asyncio.timeout(SOON):
        assert await asyncio.gather(*(pool.fetchval("\nSELECT $1::int", n) for n in range(8))) == [*range(8)]
    assert caplog.messages == []  # nobody has noticed


async def test_a_transaction_begins_again_if_its_connection_was_closed(
    database_url: str, database: asyncpg.Connection[asyncpg.Record]
) -> None:
    await database.execute("CREATE TABLE written (n int)")
    try:
        async with closing_unseen(database_url, database, 1) as pool, asyncio.timeout(SOON):
            async with pool.transaction() as connection:
                await connection.execute("INSERT INTO written VALUES (1)")
            with pytest.raises(ZeroDivisionError):
                async with pool.transaction() as connection:
                    await connection.execute("INSERT INTO written VALUES (2)")
                    raise ZeroDivisionError
        assert [n for (n,) in await database.fetch("SELECT n FROM written")] == [1]
    finally:
        await database.execute("DROP TABLE written")


async def test_a_write_that_may_have_been_committed_is_not_repeated(
    database_url: str, database: asyncpg.Connection[asyncpg.Record]
) -> None:
    """Its connection is closed after the commit and before the response, as when a server is killed."""
    await database.execute("CREATE TABLE written (n int)")
    proxy = Proxy(connector(database_url))
    try:
        async with proxy.running() as port, asyncio.timeout(2 * SOON):
            pool = await Database.open(through(port, database_url), size=1)
            for write in ("INSERT INTO written VALUES (1)", "WITH w AS (INSERT INTO written VALUES (1)) SELECT 1"):
                await pool.fetch(write)  # from now on it is prepared, and takes one round trip
                await database.execute("TRUNCATE written")
                proxy.hold()
                writing = asyncio.create_task(pool.fetch(write))
                await until(database, "count(*) = 1 FROM written")
                await proxy.close()
                proxy.release()
                with pytest.raises(OUTAGE):
                    await writing
                assert await pool.fetchval("SELECT count(*) FROM written") == 1
            await pool.close()
    finally:
        await database.execute("DROP TABLE written")


async def test_an_outage_is_logged_when_it_begins_and_when_it_ends(
    database_url: str,
    database: asyncpg.Connection[asyncpg.Record],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [1_000.0]
    monkeypatch.setattr(outage, "monotonic", lambda: now[0])
    name = await database.fetchval("SELECT current_database()")
    elsewhere = await asyncpg.connect(database_url, database="postgres")
    single = await Database.open(database_url, size=1)
    for _ in range(2):
        caplog.clear()
        await elsewhere.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        await database.fetchval(TERMINATED)
        for _ in range(20):
            with pytest.raises(OUTAGE):
                await single.fetchval("SELECT 1")
        await elsewhere.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        now[0] += outage.CALM_SECONDS
        for _ in range(3):
            await single.fetchval("SELECT 1")
        assert [record.message for record in caplog.records if not outage.is_repetition(record)] == [
            f'the database cannot be used: database "{name}" is not currently accepting connections',
            f"the database can be used again, after {outage.CALM_SECONDS:.0f} s",
        ]
    await single.close()
    await elsewhere.close()


async def test_a_connection_that_was_lost_in_a_statement_is_not_used_again(single: Database) -> None:
    for _ in range(20):
        with pytest.raises(OUTAGE):
            await single.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        assert await single.execute("CREATE TEMPORARY TABLE made (n int)") == "CREATE TABLE"


async def test_a_transaction_that_a_restore_interrupts_is_known_to_have_had_no_effect(
    single: Database, database: asyncpg.Connection[asyncpg.Record]
) -> None:
    """A restore replaces the types that prepared statements use, under other ids."""

    async def write() -> None:
        async with single.transaction() as transaction:
            await transaction.execute("INSERT INTO colours VALUES ('RED')")
            await transaction.fetch("SELECT * FROM colours WHERE colour = ANY ($1::colour[])", ["RED"])

    create = "CREATE TYPE colour AS ENUM ('RED'); CREATE TABLE colours (colour colour);"
    await database.execute(create)
    await write()
    await database.execute(f"DROP TABLE colours; DROP TYPE colour; {create}")
    with pytest.raises(pools.Replaced):
        await write()
    assert await database.fetchval("SELECT count(*) FROM colours") == 0
    await write()
    assert await database.fetchval("SELECT count(*) FROM colours") == 1
