"""Upgrades without an outage: servers read and write while a database is migrated, and every step can be repeated."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import pairwise

import pytest

from db.events import counts
from db.postgres import fill, migrate
from db.postgres.migrate import NotMigrated
from tests.db.test_migrations import REVISIONS, downgrade, schema, upgrade
from tests.helpers.counting import change, counted, create, in_tickets
from tests.helpers.database_checks import Database, until_blocked
from tests.helpers.migration_statements import Executed, Interrupted, interrupted_before, recorded
from tests.helpers.stress import SECRET
from tests.helpers.terminal import Terminal
from tests.helpers.upgrading import connected

pytestmark = pytest.mark.slow

BEFORE = "0005"  # the steps up to this one create the tables that they lock
HEAD = REVISIONS[-1]
MANY = 50  # rows; fewer than there are tickets, and more than the tables of one row have

REWRITING = {"0020", "0033", "0037"}  # the way down rewrites many rows under a lock, so the servers are stopped for it

# The order in which a mutation locks tables: those of its statement, then those that the triggers read.
LOCKED_BY_MUTATIONS = ("tickets", "ticket_events", "notes", "deliveries", "customers")

# What may run outside a transaction, because it stops neither readers nor writers.
HARMLESS = re.compile(
    r"\s*((CREATE|DROP) INDEX CONCURRENTLY|ALTER INDEX \w+ RENAME|ALTER TABLE \w+ VALIDATE CONSTRAINT"
    r"|ALTER TYPE \w+ ADD VALUE|SET|RESET|SELECT)\b"
)
BATCH = re.compile(r"\s*WITH batch AS \(\s*SELECT id[\w, ]* FROM (\w+) [^()]* LIMIT \d+ FOR NO KEY UPDATE\s*\)")

_TICKETS = """
WITH created AS (
    INSERT INTO tickets (id, reference, subject, description, source, creator_kind, creator_id, contact_name,
        contact_email)
    SELECT gen_random_uuid(), 'TKT-' || translate(lpad(n::text, 6, '0'), '01', 'AB'), 'Camera ' || n, 'It is dark.',
        'CHATBOT', 'SERVICE', 'chatbot', 'Ann', 'ann@example.com'
    FROM generate_series(1, $1) AS n RETURNING *
)
INSERT INTO ticket_events (ticket_id, kind, actor_kind, actor_id, actor_name, after)
SELECT id, 'CREATED', creator_kind, creator_id, 'The chatbot', to_jsonb(created.*) FROM created"""


@pytest.fixture
async def old(empty_database: str) -> AsyncIterator[Database]:
    """A connection to a database at the revision `BEFORE`, with tickets."""
    await upgrade(empty_database, BEFORE)
    async with connected(empty_database) as connection:
        await connection.execute(_TICKETS, 2 * MANY)
        yield connection


async def invalid_indexes(database: Database) -> list[str]:
    rows = await database.fetch("SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid")
    return [name for (name,) in rows]


def made(statements: list[Executed]) -> list[str]:
    return [each.sql for each in statements if each.sql.startswith("CREATE INDEX")]


# Locks


async def test_no_step_reads_many_rows_while_it_locks_others_out(
    old: Database, empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither up nor down. Nor does it lock many rows, by changing them in one transaction. So others wait no longer if
    there are more tickets."""
    monkeypatch.setattr(fill, "BATCH", MANY)
    there = {name for (name,) in await old.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
    with recorded() as upwards:
        await upgrade(empty_database, HEAD)
    downwards = []
    for revision, before in reversed([*pairwise(REVISIONS[REVISIONS.index(BEFORE) :])]):
        with recorded() as statements:
            await downgrade(empty_database, revision)
        downwards += [] if before in REWRITING else statements
    batches = [match[1] for each in upwards if (match := BATCH.match(each.sql))]
    # Of two steps, whose last batch finds none; and of one that looks for assigned tickets, of which there are none.
    assert batches.count("tickets") == 2 * (2 * MANY // MANY + 1) + 1
    for statements in (upwards, downwards):
        for each in statements:
            if each.in_transaction:
                assert not (each.locked & there and each.read > MANY), each
                assert each.changed <= MANY, each
            else:
                assert HARMLESS.match(each.sql) or BATCH.match(each.sql), each
        assert any("event_log" in each.locked for each in statements)
        assert any(not each.in_transaction for each in statements)


async def test_every_step_up_locks_tables_in_the_order_of_a_mutation(old: Database, empty_database: str) -> None:
    """Otherwise a mutation that has one of them waits for the step, and the step for the mutation, at each try."""
    with recorded() as statements:
        await upgrade(empty_database, HEAD)
    turns = [turn for turn in _locked_in_turn(statements) if len(turn) > 1]
    assert turns
    assert turns == [sorted(turn, key=LOCKED_BY_MUTATIONS.index) for turn in turns]


def _locked_in_turn(statements: list[Executed]) -> list[list[str]]:
    """The tables that each transaction has locked, in that order."""
    turns: list[list[str]] = [[]]
    for each in statements:
        if not each.locked.issuperset(turns[-1]):
            turns.append([])
        turns[-1] += sorted((each.locked & {*LOCKED_BY_MUTATIONS}) - {*turns[-1]}, key=LOCKED_BY_MUTATIONS.index)
    return turns


@pytest.mark.parametrize(
    ("statement", "locked", "changed"),
    [
        ("CREATE INDEX i ON tickets (subject)", ["tickets"], 0),
        ("ALTER TABLE tickets ADD CONSTRAINT c CHECK (version > 0)", ["tickets"], 0),
        ("ALTER TABLE tickets ALTER contact_phone TYPE varchar(40)", ["tickets"], 0),
        ("ALTER TABLE tickets ADD drawn double precision DEFAULT random()", ["tickets"], 0),
        ("UPDATE tickets SET contact_phone = '613'", [], 2 * MANY),
    ],
)
async def test_the_test_above_notices(
    old: Database, empty_database: str, statement: str, locked: list[str], changed: int
) -> None:
    with recorded() as statements:
        await asyncio.to_thread(migrate.run, empty_database, lambda connection: connection.exec_driver_sql(statement))
    (seen,) = [each for each in statements if each.sql == statement]
    assert (sorted(seen.locked), seen.changed) == (locked, changed)
    assert seen.read >= 2 * MANY


async def test_readers_and_writers_go_on_during_an_upgrade(old: Database, empty_database: str) -> None:
    """They wait for no lock longer than a second, and the counts are exact in the end."""
    await old.execute(_TICKETS.replace("generate_series(1,", "generate_series(1000,"), 5000)
    ended = asyncio.Event()

    async def repeat(work: Callable[[Database], Awaitable[None]]) -> int:
        times = 0
        async with connected(empty_database) as connection:
            await connection.execute("SET lock_timeout = '1s'")
            while not ended.is_set():
                await work(connection)
                times += 1
        return times

    async def write(connection: Database) -> None:
        ticket = await create(connection, ("SERVICE", "chatbot"))
        await change(connection, ticket, "CLOSED", "status = 'CLOSED', closed_at = now()")

    async def read(connection: Database) -> None:
        await counted(connection, counts.ALL)
        await connection.fetch("SELECT * FROM tickets ORDER BY created_at DESC, id DESC LIMIT 50")

    working = [asyncio.create_task(repeat(work)) for work in (write, write, read, read)]
    try:
        await upgrade(empty_database, HEAD)
    finally:
        ended.set()
        times = await asyncio.gather(*working)
    assert min(times) > 10
    for each in (counts.ALL, counts.OF_SERVICES):
        assert await counted(old, each) == await in_tickets(old, each)


async def test_a_step_that_needs_a_lock_lets_others_pass_and_tries_again(
    empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "PAUSE_SECONDS", 0.1)
    await upgrade(empty_database, "0008")
    async with connected(empty_database) as holding, connected(empty_database) as reading:
        await reading.execute("SET lock_timeout = '5s'")
        async with holding.transaction():
            await holding.execute("SELECT FROM event_log")
            step = asyncio.create_task(upgrade(empty_database, "0009"))
            for _ in range(2):
                await until_blocked(holding)
                await reading.execute("SELECT FROM event_log")  # waits behind the step, until that has given up
            assert not step.done()
        await step
    assert await asyncio.to_thread(migrate.current, empty_database) == "0009"


async def test_a_step_that_never_gets_its_lock_says_so_and_changes_nothing(
    empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "PAUSE_SECONDS", 0.1)
    monkeypatch.setattr(migrate, "TRIES", 2)
    await upgrade(empty_database, "0008")
    callout = Terminal(env="production", database_url=empty_database, jwt_secret=SECRET)
    async with connected(empty_database) as holding:
        before = await schema(holding)
        async with holding.transaction():
            await holding.execute("SELECT FROM event_log")
            refused = await asyncio.to_thread(callout, "migrate")
        assert refused.exit_code == 1
        assert refused.stderr.startswith("Error: The database stays at revision 0008: a long transaction")
        assert "Traceback" not in refused.stderr
        assert await schema(holding) == before
        with pytest.raises(NotMigrated, match="stays at revision 0008"):
            async with holding.transaction():
                await holding.execute("SELECT FROM event_log")
                await upgrade(empty_database, "0009")


async def test_processes_that_wait_for_their_turn_do_not_hold_up_the_one_that_makes_indexes(
    old: Database, empty_database: str
) -> None:
    await asyncio.gather(*(upgrade(empty_database, "0006") for _ in range(3)))
    assert await invalid_indexes(old) == []


# Repeating


async def test_a_step_interrupted_anywhere_can_be_repeated(old: Database, empty_database: str) -> None:
    """What it has made is kept, and made once."""
    await upgrade(empty_database, "0006")
    expected = await schema(old)
    await downgrade(empty_database, BEFORE)
    before = await schema(old)
    with recorded() as statements:
        await upgrade(empty_database, "0006")
    changes = [each.sql for each in statements if " INDEX " in each.sql]
    assert len(changes) == 8
    for number in range(len(changes)):
        await downgrade(empty_database, BEFORE)
        assert await schema(old) == before
        with recorded() as statements:
            with interrupted_before(number), pytest.raises(Interrupted):
                await upgrade(empty_database, "0006")
            assert await asyncio.to_thread(migrate.current, empty_database) == BEFORE
            await upgrade(empty_database, "0006")
        assert await schema(old) == expected
        assert len(made(statements)) == 2, changes[number]


async def test_an_index_that_was_left_invalid_is_made_anew(old: Database, empty_database: str) -> None:
    async with connected(empty_database) as late, connected(empty_database) as watching:
        async with late.transaction():
            await create(late, ("SERVICE", "chatbot"))
            step = asyncio.create_task(upgrade(empty_database, "0006"))
            await until_blocked(watching)
            await watching.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND query LIKE 'CREATE INDEX CONCURRENTLY%'"
            )
            with pytest.raises(NotMigrated, match="connection to the database was lost"):
                await step
        assert await invalid_indexes(watching) == ["ix_tickets_search_new"]
        await upgrade(empty_database, "0006")
        assert await invalid_indexes(watching) == []
        assert await watching.fetchval("SELECT to_regclass('ix_tickets_search_new')") is None
