"""An erasure as work in the background: many tickets, in small steps, with others at work, and again after a crash."""

from __future__ import annotations

import asyncio
import gc
import json
import weakref
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from callout import background
from callout.execution.prepare import Preparer
from db.enums import Role
from db.erasure import steps
from db.events import log as event_log
from db.ids import new_id
from db.postgres.pool import Database as Pool
from db.viewer import Viewer
from schema import graphql_schema, schema
from tests.helpers.database_checks import Database, until, until_blocked
from tests.helpers.database_search import places_of
from tests.rules.test_sought import CASES

ADMIN = Viewer(Role.ADMIN, "boss", "The Boss")
NAME = "Zebulon Quackenbush"
MANY = 2_000  # tickets

_TICKETS = """
WITH created AS (
    INSERT INTO tickets (id, reference, subject, description, source, creator_kind, creator_id, contact_name,
        contact_email, contact_phone, customer_id, status, closed_at)
    SELECT gen_random_uuid(), 'TKT-' || translate(lpad(($3::int + n)::text, 6, '0'), '01', 'XY'), 'Camera ' || n,
        'Of Zebulon Quackenbush.', 'CUSTOMER', 'CUSTOMER', $1::uuid::text, 'Contact ' || n || ' Xylander',
        'contact' || n || '@xylander.test', '+1 613 555 ' || lpad(n::text, 4, '0'), $1::uuid, 'CLOSED', now()
    FROM generate_series(1, $2::int) AS n RETURNING *
)
INSERT INTO ticket_events (ticket_id, kind, actor_kind, actor_id, actor_name, after)
SELECT id, 'CREATED', 'CUSTOMER', $1::uuid::text, 'Zebulon Quackenbush', to_jsonb(created.*) FROM created"""

_numbers = iter(range(0, 1_000_000, 10_000))


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    opened = await Pool.open(database_url, size=3)
    yield opened
    await opened.close()


@pytest.fixture
async def another(database_url: str) -> AsyncIterator[Database]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def customer_of(database: Database, tickets: int) -> str:
    """Writes a customer with closed tickets, each with a contact of its own. Returns their key."""
    customer = new_id()
    await database.execute(
        "INSERT INTO customers (id, account_number, name, email) VALUES ($1, $2, $3, $2 || '@quackenbush.test')",
        customer,
        f"ZQ-{customer[-6:]}",
        NAME,
    )
    await database.execute(_TICKETS, customer, tickets, next(_numbers))
    return customer


async def begin(pool: Pool, customer: str) -> None:
    async with pool.transaction() as transaction:
        assert isinstance(await steps.begin(transaction, customer, ADMIN, 10), steps.Begun)


async def finish(pool: Pool, customer: str) -> None:
    async with asyncio.timeout(60):
        while not (await steps.progress(pool, customer)).done:
            await steps.proceed(pool, customer, 1)


async def sample(database: Database, customer: str) -> str:
    """Returns the key of one of the customer's tickets."""
    return str(await database.fetchval("SELECT id FROM tickets WHERE customer_id = $1 ORDER BY id LIMIT 1", customer))


@pytest.mark.slow
async def test_thousands_of_tickets_are_erased_while_others_write(
    database: Database, another: Database, pool: Pool
) -> None:
    """Those others wait for none of its locks longer than two seconds, and each ticket gets one event."""
    customer = await customer_of(database, MANY)
    await begin(pool, customer)
    assert (await steps.progress(pool, customer)) == steps.Progress(False, MANY)
    await another.execute("SET lock_timeout = '2s'")
    ended = asyncio.Event()

    async def write() -> int:
        times = 0
        while not ended.is_set():
            async with another.transaction():
                await another.execute(
                    "SELECT FROM tickets WHERE customer_id = $1 ORDER BY md5(id::text || $2) LIMIT 1 FOR UPDATE",
                    customer,
                    str(times),
                )
                await another.fetch("SELECT count(*) FROM customers")
                await another.execute("UPDATE customers SET phone = '1' WHERE id <> $1", customer)
            times += 1
        return times

    writing = asyncio.create_task(write())
    try:
        await finish(pool, customer)
    finally:
        ended.set()
    assert await writing > 1
    assert await steps.progress(pool, customer) == steps.Progress(True, 0)
    await database.execute("ANALYZE")
    assert await places_of(database, ["quackenbush", "xylander"]) == set()
    numbers = "SELECT count(*) FROM ticket_events JOIN tickets ON tickets.id = ticket_id WHERE customer_id = $1"
    assert await database.fetchval(numbers, customer) == 2 * MANY


async def test_an_erasure_goes_on_where_it_stopped(database: Database, pool: Pool) -> None:
    customer = await customer_of(database, 3 * steps.TICKETS_AT_ONCE)
    await begin(pool, customer)
    left = []
    for _ in range(3):
        await steps.proceed(pool, customer, 0)  # one step
        left.append((await steps.progress(pool, customer)).tickets_left)
    assert left == [2 * steps.TICKETS_AT_ONCE, steps.TICKETS_AT_ONCE, 0]
    await finish(pool, customer)


async def test_a_step_that_fails_is_repeated_as_a_whole(
    database: Database, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    customer = await customer_of(database, 5)
    await begin(pool, customer)
    change = event_log.change
    calls = 0

    async def crash(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise asyncpg.AdminShutdownError("terminating")
        return await change(*arguments, **named)

    monkeypatch.setattr(event_log, "change", crash)
    with pytest.raises(asyncpg.AdminShutdownError):
        await steps.proceed(pool, customer, 1)
    assert (await steps.progress(pool, customer)).tickets_left == 5
    ticket = await sample(database, customer)
    assert await database.fetchval("SELECT description FROM tickets WHERE id = $1", ticket) == f"Of {NAME}."
    await finish(pool, customer)
    events = await database.fetchval("SELECT count(*) FROM ticket_events WHERE ticket_id = $1", ticket)
    assert events == 2


_MAIL = """
INSERT INTO inbound_messages (id, key, content, size, outcome, reason, raw)
SELECT gen_random_uuid(), uuid_send(gen_random_uuid()), '', 1, 'IGNORED', 'Why.', convert_to($1, 'UTF8')
FROM generate_series(1, $2::int)"""


async def test_all_raw_mail_is_searched_a_few_megabytes_at_a_time(
    database: Database, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "RAW_AT_ONCE", 100)
    await database.execute(_MAIL, f"From: x\n\n{NAME} called. {'x' * 60}", 30)
    await database.execute(_MAIL, f"From: x\n\nSomebody else called. {'x' * 60}", 30)
    customer = await customer_of(database, 1)
    await begin(pool, customer)
    await finish(pool, customer)
    lengths = "SELECT length(raw) > 0, count(*)::int FROM inbound_messages GROUP BY 1 ORDER BY 1"
    assert [tuple(row) for row in await database.fetch(lengths)] == [(False, 30), (True, 30)]


async def test_processes_do_not_erase_the_same_at_a_time(database: Database, another: Database, pool: Pool) -> None:
    customer = await customer_of(database, 5)
    await begin(pool, customer)
    async with another.transaction():
        await another.execute("SELECT FROM erasures WHERE customer_id = $1 FOR UPDATE", customer)
        async with asyncio.timeout(20):
            await steps.proceed(pool, customer, 60)
        assert (await steps.progress(pool, customer)).tickets_left == 5
    await asyncio.gather(*(finish(pool, customer) for _ in range(2)))
    numbers = "SELECT count(*) FROM ticket_events JOIN tickets ON tickets.id = ticket_id WHERE customer_id = $1"
    assert await database.fetchval(numbers, customer) == 10


async def test_what_is_written_meanwhile_is_erased_or_refused(
    database: Database, another: Database, pool: Pool
) -> None:
    """What was not committed yet when the erasure began is found, even if it is of another customer; later nothing is
    written for the customer or by them."""
    customer = await customer_of(database, 1)
    ticket = await sample(database, customer)
    zebulon = Viewer(Role.CUSTOMER, customer, NAME)
    async with another.transaction():
        other = await customer_of(another, 1)
        await another.execute("UPDATE tickets SET description = $2 WHERE customer_id = $1", other, f"Ask {NAME}.")
        await begin(pool, customer)
        await steps.proceed(pool, customer, 20)
        assert (await steps.progress(pool, customer)) == steps.Progress(False, 0)  # it waits for the transaction
    await finish(pool, customer)
    theirs = "SELECT description FROM tickets WHERE customer_id = $1"
    # The other customer has the same name, which was not known when the erasure began.
    assert await database.fetchval(theirs, other) == "Ask [erased]."
    for attempt in (
        event_log.note(database, zebulon, ticket, new_id(), "Hello", internal_only=False),
        database.execute(_TICKETS, customer, 1, next(_numbers)),
        database.execute("UPDATE tickets SET customer_id = $1 WHERE customer_id = $2", customer, other),
    ):
        with pytest.raises(asyncpg.SerializationError):
            await attempt
    await database.execute("UPDATE customers SET name = 'Nobody' WHERE id = $1", other)


async def test_an_erasure_waits_for_a_note_under_way(database: Database, another: Database, pool: Pool) -> None:
    customer = await customer_of(database, 1)
    ticket = await sample(database, customer)
    async with another.transaction():
        await another.execute("SELECT FROM tickets WHERE id = $1 FOR UPDATE", ticket)
        zebulon = Viewer(Role.CUSTOMER, customer, NAME)
        await event_log.note(another, zebulon, ticket, new_id(), f"I am {NAME}", internal_only=False)
        beginning = asyncio.create_task(begin(pool, customer))
        await until_blocked(database)
    await beginning
    await finish(pool, customer)
    note = await database.fetchrow("SELECT body, author_name FROM notes WHERE ticket_id = $1", ticket)
    assert note is not None
    assert tuple(note) == ("I am [erased]", "Erased customer")


async def test_only_an_unfinished_erasure_may_rewrite_notes_and_events(database: Database, pool: Pool) -> None:
    customer, other = await customer_of(database, 1), await customer_of(database, 1)
    await begin(pool, customer)
    await finish(pool, customer)
    await begin(pool, other)
    for named, allowed in (("", False), (customer, False), (new_id(), False), (other, True)):
        for statement in ("UPDATE notes SET body = body", "UPDATE ticket_events SET before = before"):
            async with database.transaction():
                await database.execute("SELECT set_config('callout.erasure', $1, true)", named)
                if allowed:
                    await database.execute(statement)
                    continue
                with pytest.raises(asyncpg.RestrictViolationError):
                    async with database.transaction():
                        await database.execute(statement)
    async with database.transaction():
        await database.execute("SELECT set_config('callout.erasure', $1, true)", other)
        for statement in ("DELETE FROM notes", "DELETE FROM tickets", "TRUNCATE notes CASCADE"):
            with pytest.raises(asyncpg.RestrictViolationError):
                async with database.transaction():
                    await database.execute(statement)
    await finish(pool, other)


async def test_servers_finish_what_another_process_has_begun_and_forget(
    database: Database, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each forgets what it has in memory when an erasure has been finished, whichever process did it."""
    monkeypatch.setattr(background, "ERASING_SECONDS", 0.05)
    customer = await customer_of(database, 30)
    forgotten, written = asyncio.Event(), asyncio.Event()
    keeping = asyncio.create_task(background.keep_erasing(pool, written.set, forgotten.set))
    async with asyncio.timeout(20):
        await forgotten.wait()  # at the start
        forgotten.clear()
        await begin(pool, customer)
        await written.wait()
        await until(database, f"finished_at IS NOT NULL FROM erasures WHERE customer_id = '{customer}'")
        await forgotten.wait()
    keeping.cancel()
    await asyncio.wait([keeping])


async def test_a_finished_erasure_keeps_no_value(database: Database, pool: Pool) -> None:
    customer = await customer_of(database, 2)
    await begin(pool, customer)
    sought = "SELECT sought::text FROM erasures WHERE customer_id = $1"
    assert NAME in await database.fetchval(sought, customer)
    await finish(pool, customer)
    assert await database.fetchval(sought, customer) is None


def test_a_server_forgets_documents_and_variables() -> None:
    preparer = Preparer(graphql_schema(schema))
    query = "query($s: String) { customers(search: $s) { nodes { id } } }"
    kept = []
    for text, variables in ((query, {"s": "quackenbush"}), ('{ customers(search: "xylander") { nodes { id } } }', {})):
        document, node = preparer.operation(text, None)
        operation = preparer.prepared(document, node)
        assert operation is not None
        preparer.bind(operation, variables, ADMIN)
        kept.append(weakref.ref(operation))
    del document, node, operation
    gc.collect()
    assert all(each() is not None for each in kept)
    preparer.forget()
    gc.collect()
    assert all(each() is None for each in kept)


async def test_postgresql_finds_the_values_that_python_finds(database: Database) -> None:
    for sought, text, expected in CASES:
        replaced = await database.fetchval("SELECT regexp_replace($1, $2, '-', 'gi')", text, sought.pattern)
        assert replaced == (text if expected is None else expected), text


async def test_an_erasure_that_was_restored_elsewhere_goes_on(database: Database, pool: Pool) -> None:
    """There the transaction that has begun it lies in the future."""
    customer = await customer_of(database, 1)
    await begin(pool, customer)
    await database.execute("UPDATE erasures SET xid = '9000000000' WHERE customer_id = $1", customer)
    await database.execute("UPDATE event_log SET cluster = 'another'")
    async with pool.acquire() as connection:
        assert await event_log.adopt(connection)
    await finish(pool, customer)
    assert json.loads(await database.fetchval("SELECT coalesce(sought, '[]') FROM erasures LIMIT 1")) == []
