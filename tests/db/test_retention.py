"""Pruning rows that nothing needs any more: only old ones, a few at a time, and without making anybody wait."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg
import pytest

from callout import background
from callout.settings import Settings
from db import retention
from db.events import counts
from db.postgres.pool import Database as Pool
from db.retention import (
    AUDIT_ENTRIES,
    DELIVERIES,
    DEVICES,
    IDEMPOTENCY_KEYS,
    INBOUND_MESSAGES,
    PUSH_OF_ABSENT,
    PUSH_SUBSCRIPTIONS,
    RAW_MAIL,
    REJECTED_ATTACHMENTS,
    SESSIONS,
    SIGN_IN_LINKS,
    USED_STREAM_TICKETS,
    WEBHOOK_DELIVERIES,
    Retained,
)
from tests.helpers.counting import create
from tests.helpers.database_checks import Database

DAY = timedelta(days=1)
KEPT = 30 * DAY
EACH = [
    *(DELIVERIES, INBOUND_MESSAGES, AUDIT_ENTRIES, IDEMPOTENCY_KEYS, DEVICES, USED_STREAM_TICKETS, WEBHOOK_DELIVERIES),
    *(SESSIONS, SIGN_IN_LINKS),
]

_WRITE = {
    DELIVERIES: """
INSERT INTO deliveries (event_id, ticket_id, kind, channel, audience, recipient, recipient_name, actor_name, created_at,
    state, finished_at)
SELECT gen_random_uuid(), $3, 'CREATED', 'EMAIL', 'CUSTOMER', 'a@a.test', 'A', 'A', now() - $1::interval,
    'SENT', now() - $1::interval FROM generate_series(1, $2::int)""",
    INBOUND_MESSAGES: """
INSERT INTO inbound_messages (id, key, content, size, outcome, reason, raw, received_at)
SELECT gen_random_uuid(), uuid_send(gen_random_uuid()), '', 1, 'KEPT_ASIDE', 'Kept.', 'raw', now() - $1::interval
FROM generate_series(1, $2::int) WHERE $3::uuid IS NOT NULL""",
    AUDIT_ENTRIES: """
INSERT INTO audit_entries (id, action, object_kind, actor_kind, actor_id, actor_name, changed, at)
SELECT gen_random_uuid(), 'UPDATED', 'SUPPORT_SETTINGS', 'ADMIN', 'boss', 'The Boss', '{}', now() - $1::interval
FROM generate_series(1, $2::int) WHERE $3::uuid IS NOT NULL""",
    DEVICES: """
INSERT INTO devices (digest, caller, used_at) SELECT uuid_send(gen_random_uuid()), 'ADMIN:boss', now() - $1::interval
FROM generate_series(1, $2::int) WHERE $3::uuid IS NOT NULL""",
    IDEMPOTENCY_KEYS: """
INSERT INTO idempotency_keys (caller, key, request_hash, object_id, created_at)
SELECT 'ADMIN:boss', gen_random_uuid()::text, '', $3::uuid, now() - $1::interval FROM generate_series(1, $2::int)""",
    SESSIONS: """
WITH admin AS (
    INSERT INTO admins (id, name, email) VALUES (gen_random_uuid(), 'Ada', gen_random_uuid()::text) RETURNING id)
INSERT INTO sessions (id, secret_hash, admin_id, user_agent, used_at)
SELECT gen_random_uuid(), uuid_send(gen_random_uuid()), admin.id, '', now() - $1::interval
FROM admin, generate_series(1, $2::int) WHERE $3::uuid IS NOT NULL""",
    SIGN_IN_LINKS: """
WITH admin AS (
    INSERT INTO admins (id, name, email) VALUES (gen_random_uuid(), 'Ada', gen_random_uuid()::text) RETURNING id)
INSERT INTO sign_in_links (secret_hash, admin_id, next_path, created_at)
SELECT uuid_send(gen_random_uuid()), admin.id, '', now() - $1::interval
FROM admin, generate_series(1, $2::int) WHERE $3::uuid IS NOT NULL""",
    USED_STREAM_TICKETS: """
INSERT INTO used_stream_tickets (id, expires_at)
SELECT gen_random_uuid(), now() - $1::interval FROM generate_series(1, $2::int) WHERE $3::uuid IS NOT NULL""",
    WEBHOOK_DELIVERIES: """
INSERT INTO webhook_deliveries (id, webhook_id, message_id, kind, outcome, attempt, said, milliseconds, at)
SELECT gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'EVENT', 'ACKNOWLEDGED', 1, '', 1, now() - $1::interval
FROM generate_series(1, $2::int) WHERE $3::uuid IS NOT NULL""",
}


@pytest.fixture(autouse=True)
async def ticket(database: Database) -> str:
    for each in EACH:
        await database.execute(f"ALTER TABLE {each.table} DISABLE TRIGGER USER")
        await database.execute(f"DELETE FROM {each.table}")
        await database.execute(f"ALTER TABLE {each.table} ENABLE TRIGGER USER")
    return await create(database, ("SERVICE", "chatbot"))


@pytest.fixture
async def another(database_url: str) -> AsyncIterator[Database]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def write(database: Database, rows: Retained, ticket: str, age: timedelta, number: int = 1) -> None:
    await database.execute(_WRITE[rows], age, number, ticket)
    if rows is AUDIT_ENTRIES and not database.is_in_transaction():
        await counts.fold(database)  # an entry is kept until the fingerprint has taken it in


async def ages(database: Database, rows: Retained) -> list[int]:
    """Returns the ages of the rows in days."""
    found = await database.fetch(f"SELECT extract(day FROM now() - {rows.since})::int FROM {rows.table} ORDER BY 1")
    return [age for (age,) in found]


@pytest.mark.parametrize("rows", EACH, ids=lambda rows: rows.table)
async def test_only_rows_older_than_the_retention_are_deleted(database: Database, rows: Retained, ticket: str) -> None:
    for days in (0, 29, 30, 31, 400):
        await write(database, rows, ticket, days * DAY + timedelta(minutes=1))
    assert await rows.prune(database, KEPT) == 3
    assert await ages(database, rows) == [0, 29]
    assert await rows.prune(database, KEPT) == 0


_RAW = """
INSERT INTO inbound_messages (id, key, content, size, outcome, reason, raw, received_at)
SELECT gen_random_uuid(), uuid_send(gen_random_uuid()), '', 1, $2::inbound_outcome, 'Why.', 'raw', now() - $1::interval
FROM generate_series(1, $3::int)"""


async def test_raw_mail_is_dropped_after_a_time_and_its_row_stays(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "AT_ONCE", 3)
    await database.execute(_RAW, 29 * DAY, "IGNORED", 1)
    await database.execute(_RAW, 31 * DAY, "IGNORED", 7)
    await database.execute(_RAW, 31 * DAY, "KEPT_ASIDE", 2)
    assert await RAW_MAIL.prune(database, KEPT) == 7
    left = (
        "SELECT outcome::text, count(*)::int, count(raw)::int FROM inbound_messages GROUP BY outcome ORDER BY outcome"
    )
    assert [tuple(row) for row in await database.fetch(left)] == [("IGNORED", 8, 1), ("KEPT_ASIDE", 2, 2)]
    assert await RAW_MAIL.prune(database, KEPT) == 0


async def test_an_index_finds_the_oldest_raw_mail(database: Database) -> None:
    await database.execute(_RAW, DAY, "IGNORED", 2_000)
    await database.execute("ANALYZE inbound_messages")
    plan = await database.fetch(f"EXPLAIN {RAW_MAIL._statement.replace('$1', repr('30 days'))}")
    assert any("ix_inbound_messages_raw" in line for (line,) in plan), plan


async def test_deliveries_that_wait_are_kept(database: Database, ticket: str) -> None:
    await write(database, DELIVERIES, ticket, 400 * DAY)
    await database.execute("UPDATE deliveries SET state = 'PENDING', finished_at = NULL")
    assert await DELIVERIES.prune(database, KEPT) == 0
    assert await database.fetchval("SELECT count(*) FROM deliveries") == 1


@pytest.mark.parametrize("rows", EACH, ids=lambda rows: rows.table)
async def test_many_rows_are_deleted_in_portions(
    database: Database, rows: Retained, ticket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "AT_ONCE", 3)
    await write(database, rows, ticket, 40 * DAY, 10)
    statements: list[str] = []
    with database.query_logger(lambda logged: statements.append(logged.query)):
        assert await rows.prune(database, KEPT) == 10
    assert len([each for each in statements if each.startswith("DELETE")]) == 4


@pytest.mark.parametrize("rows", EACH, ids=lambda rows: rows.table)
async def test_pruning_neither_waits_nor_makes_others_wait(
    database: Database, another: Database, rows: Retained, ticket: str
) -> None:
    """Somebody has a row locked and another in view, and reads and writes go on before the deletion is committed."""
    await write(database, rows, ticket, 400 * DAY)
    await write(database, rows, ticket, 40 * DAY)
    taken = f"SELECT ctid FROM {rows.table} ORDER BY {rows.since} LIMIT 1 FOR UPDATE"
    async with asyncio.timeout(20):
        async with another.transaction(isolation="repeatable_read"):
            await another.fetch(taken)
            assert await rows.prune(database, KEPT) == 1
            assert len(await another.fetch(f"SELECT FROM {rows.table}")) == 2
        async with database.transaction():
            assert await rows.prune(database, KEPT) == 1
            await another.execute("SET lock_timeout = '1s'")
            assert await ages(another, rows) == [400]
            await write(another, rows, ticket, DAY)
            if rows is not AUDIT_ENTRIES:  # which are never changed
                young = f"{rows.since} > now() - $1::interval"
                await another.execute(f"UPDATE {rows.table} SET {rows.since} = {rows.since} WHERE {young}", KEPT)
        assert await ages(database, rows) == [1]


@pytest.mark.parametrize("rows", EACH, ids=lambda rows: rows.table)
async def test_an_index_finds_the_oldest_rows(database: Database, rows: Retained, ticket: str) -> None:
    await write(database, rows, ticket, DAY, 2_000)
    await database.execute(f"ANALYZE {rows.table}")
    plan = await database.fetch(f"EXPLAIN {rows._statement.replace('$1', repr('30 days'))}")
    assert any(f"on {rows.table}" in line and "Index" in line for (line,) in plan), plan
    assert not any("Seq Scan" in line for (line,) in plan), plan


def test_what_is_kept_forever_by_default() -> None:
    """Nothing that a person could miss is deleted unless the operator says so."""
    assert Settings(env="production", database_url="postgresql://a@b/c", jwt_secret="s" * 48).retained == {
        RAW_MAIL: 90 * DAY,
        IDEMPOTENCY_KEYS: 30 * DAY,
        DEVICES: 30 * DAY,
        REJECTED_ATTACHMENTS: 30 * DAY,
        PUSH_SUBSCRIPTIONS: 90 * DAY,
        PUSH_OF_ABSENT: 30 * DAY,
        WEBHOOK_DELIVERIES: 30 * DAY,
        USED_STREAM_TICKETS: timedelta(hours=1),
        SESSIONS: 30 * DAY,
        SIGN_IN_LINKS: DAY,
    }


async def test_the_server_prunes_and_goes_on_after_an_outage(
    database_url: str,
    database: Database,
    ticket: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(background, "PRUNING_SECONDS", 0.01)
    pool = await Pool.open(database_url, size=1)
    await write(database, DELIVERIES, ticket, 40 * DAY)
    await write(database, INBOUND_MESSAGES, ticket, 40 * DAY)
    await database.execute("ALTER TABLE deliveries RENAME TO deliveries_away")
    with caplog.at_level(logging.INFO):
        pruning = asyncio.create_task(background.keep_retained(pool, {DELIVERIES: KEPT, INBOUND_MESSAGES: 35 * DAY}))
        await logged(caplog, "cannot delete old deliveries")
        await logged(caplog, "deleted inbound messages older than 35 days, 0:00:00: 1")  # which do not wait for them
        await database.execute("ALTER TABLE deliveries_away RENAME TO deliveries")
        await logged(caplog, "deleted deliveries older than 30 days, 0:00:00: 1")
    pruning.cancel()
    await asyncio.wait([pruning])
    await pool.close()


async def logged(caplog: pytest.LogCaptureFixture, text: str) -> None:
    async with asyncio.timeout(20):
        while text not in caplog.text:  # noqa: ASYNC110 (there is no event to wait for)
            await asyncio.sleep(0.01)
