"""Migrations: they agree with the models, no step loses or changes a row, and downgrading removes everything."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from db import ddl, ddl_assignments, ddl_search, ddl_texts
from db.events import counts
from db.models import Base
from db.postgres import migrate
from tests.helpers.counting import counted, create, in_tickets
from tests.helpers.database_checks import Database, until, until_blocked
from tests.helpers.upgrading import assert_nothing_lost, check, connected, contents, write

# All parts of a schema, in PostgreSQL's own words.
DEFINITIONS = {
    "columns": "SELECT table_name, column_name, data_type, udt_name, is_nullable, column_default, collation_name,"
    " generation_expression FROM information_schema.columns WHERE table_schema = 'public'",
    "constraints": "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
    " WHERE connamespace = 'public'::regnamespace",
    "indexes": "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
    "triggers": "SELECT tgrelid::regclass::text, tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal",
    "functions": "SELECT pg_get_functiondef(pg_proc.oid) FROM pg_proc JOIN pg_namespace n ON n.oid = pronamespace"
    " LEFT JOIN pg_depend d ON d.objid = pg_proc.oid AND d.deptype = 'e' WHERE nspname = 'public' AND d.objid IS NULL",
    "enums": "SELECT typname, enumlabel, rank() OVER (PARTITION BY typname ORDER BY enumsortorder)"
    " FROM pg_enum JOIN pg_type ON pg_type.oid = enumtypid",
}


REVISIONS = [script.revision for script in reversed([*ScriptDirectory.from_config(migrate.config()).walk_revisions()])]


# By revision, the columns that it changes on purpose: new kinds of notifications are on in existing databases too.
_NOTICES = {"support_settings": {"email_kinds", "google_chat_kinds"}}
REWRITES: dict[str, dict[str, set[str]]] = {"0022": _NOTICES, "0033": _NOTICES}


def definitions(connection: Connection) -> dict[str, list[tuple[object, ...]]]:
    return {what: in_order(connection.execute(text(query))) for what, query in DEFINITIONS.items()}


def in_order(rows: Iterable[Iterable[object]]) -> list[tuple[object, ...]]:
    return sorted((row for row in map(tuple, rows) if "alembic_version" not in row), key=str)


def created_from_models(connection: Connection) -> dict[str, list[tuple[object, ...]]]:
    for statement in (
        *ddl.EXTENSIONS,
        ddl.ARTICLE_EXTENSION,
        ddl.SEARCH_FORM,
        ddl.SEARCH_PAIRS,
        ddl.SEARCH_PAIRS_QUERY,
        ddl.PHONE_END,
    ):
        connection.exec_driver_sql(statement)
    for statement in ddl_search.FUNCTIONS:
        connection.exec_driver_sql(statement)
    Base.metadata.create_all(connection)
    for statement in (
        *ddl.FUNCTIONS,
        *ddl.TRIGGERS,
        *ddl.ARTICLE_FUNCTIONS,
        *ddl.ARTICLE_SEARCH_FUNCTIONS,
        *ddl.ARTICLE_TRIGGERS,
    ):
        connection.exec_driver_sql(statement)
    for statement in (*ddl.AUDIT_FUNCTIONS, *ddl.AUDIT_TRIGGERS, ddl.DELIVERY_FUNCTION, ddl.DELIVERY_TRIGGER):
        connection.exec_driver_sql(statement)
    for statement in (*ddl.ERASURE_FUNCTIONS, *ddl.ERASURE_TRIGGERS):
        connection.exec_driver_sql(statement)
    for statement in (*ddl.ATTACHMENT_FUNCTIONS, *ddl.ATTACHMENT_TRIGGERS):
        connection.exec_driver_sql(statement)
    for statement in (*ddl_search.SOURCES, *ddl_search.TICKET_TRIGGERS, *ddl_search.CUSTOMER_TRIGGERS):
        connection.exec_driver_sql(statement)
    for statement in (*ddl_texts.FUNCTIONS, *ddl_texts.TRIGGER_FUNCTIONS, *ddl_texts.TRIGGERS):
        connection.exec_driver_sql(statement)
    for statement in (*ddl_assignments.FUNCTIONS, *ddl_assignments.TRIGGERS):
        connection.exec_driver_sql(statement)
    return definitions(connection)


def in_transaction(work: Callable[[Connection], object]) -> Callable[[Connection], object]:
    def worked(connection: Connection) -> object:
        with connection.begin():
            return work(connection)

    return worked


def test_autogenerate_finds_nothing_to_change(database_url: str) -> None:
    """`alembic check`: raises if a migration is missing."""
    migrate.run(database_url, lambda connection: command.check(migrate.config(connection)))


def test_the_migrations_create_exactly_the_schema_of_the_models(database_url: str, empty_database: str) -> None:
    migrated = migrate.run(database_url, definitions)
    modelled = migrate.run(empty_database, in_transaction(created_from_models))
    assert isinstance(modelled, dict)
    for what, made in migrated.items():
        assert made == modelled[what], what
    assert all(migrated.values()), "a query without rows would compare nothing"


# Migrating rows


async def upgrade(url: str, revision: str) -> None:
    await asyncio.to_thread(migrate.upgrade, url, revision)


async def downgrade(url: str, revision: str) -> None:
    await asyncio.to_thread(migrate.downgrade, url, revision)


async def schema(database: Database) -> dict[str, list[tuple[object, ...]]]:
    return {what: in_order(await database.fetch(query)) for what, query in DEFINITIONS.items()}


@pytest.mark.slow
async def test_each_step_keeps_all_rows_up_and_down_and_up_again(database: Database, empty_database: str) -> None:
    """After each step the counts are right, with folded and unfolded events, and the triggers work. Each downgrade
    restores the schema from before the step, and the last one leaves an empty schema."""
    at_head = await schema(database)
    base, *steps = REVISIONS
    await upgrade(empty_database, base)
    async with connected(empty_database) as walked:
        await write(walked)
        await check(walked, base)
        for before, revision in zip(REVISIONS, steps, strict=False):
            await write(walked)
            first, rows = await schema(walked), await contents(walked)
            await upgrade(empty_database, revision)
            rewrites = REWRITES.get(revision, {})
            assert_nothing_lost(rows, await contents(walked), revision, rewrites)
            await check(walked, revision)
            await write(walked)
            rows = await contents(walked)
            await downgrade(empty_database, before)
            assert_nothing_lost(rows, await contents(walked), f"{revision} undone", rewrites)
            assert await schema(walked) == first, f"{revision} undone"
            await check(walked, f"{revision} undone")
            rows = await contents(walked)
            await upgrade(empty_database, revision)
            assert_nothing_lost(rows, await contents(walked), f"{revision} again", rewrites)
        await downgrade(empty_database, "base")
        assert not any((await schema(walked)).values())
        await upgrade(empty_database, "head")
        assert await schema(walked) == at_head
    assert await asyncio.to_thread(migrate.current, empty_database) == REVISIONS[-1] == migrate.head()


async def counts_agree(database: Database, kinds: int) -> None:
    """Checks that the counts of services equal those of the tickets, and have this many rows."""
    found = await counted(database, counts.OF_SERVICES)
    assert found == await in_tickets(database, counts.OF_SERVICES)
    assert len(found) == kinds


async def test_tickets_written_while_counts_are_introduced_are_counted_once(empty_database: str) -> None:
    """One by a transaction that ends after the step, one while the step waits for a lock."""
    await upgrade(empty_database, "0008")
    async with connected(empty_database) as late, connected(empty_database) as database:
        await create(database, ("SERVICE", "chatbot"))
        async with late.transaction():
            await create(late, ("SERVICE", "chatbot"), priority="LOW")
            async with database.transaction():
                await database.execute("LOCK TABLE event_log IN ACCESS SHARE MODE")
                step = asyncio.create_task(upgrade(empty_database, "0009"))
                async with connected(empty_database) as meanwhile:
                    await until_blocked(meanwhile)
                    await create(meanwhile, ("SERVICE", "chatbot"), priority="HIGH")
            await step
            await counts_agree(database, 2)
        await counts_agree(database, 3)


OLD_TEXTS = """
WITH ticket AS (
    INSERT INTO tickets (id, reference, subject, description, source, creator_kind, creator_id, contact_name,
        contact_email, status, resolution, resolved_at)
    VALUES (gen_random_uuid(), 'TKT-ABC234', 'S', 'Dark Caméra', 'CHATBOT', 'SERVICE', 'chatbot', 'Ann',
        'ann@example.com', 'RESOLVED', 'Moved it', now())
    RETURNING id
), chat AS (
    INSERT INTO ticket_chats (ticket_id, creator_id, messages)
    SELECT id, 'chatbot', '[{"author": "BOT", "body": "Which?", "at": "2026-03-01T12:00:00Z"}]' FROM ticket
)
INSERT INTO notes (id, ticket_id, body, quoted, internal_only, author_kind, author_id, author_name)
SELECT gen_random_uuid(), id, body, quoted, internal, 'ADMIN', 'boss', 'Boss'
FROM ticket, (VALUES ('North one', NULL, true), ('Both', 'Sent by hand', false)) AS note (body, quoted, internal)"""


async def test_texts_from_before_there_were_words_of_them_have_theirs(empty_database: str) -> None:
    await upgrade(empty_database, REVISIONS[REVISIONS.index("0028") - 1])
    texts = "SELECT part, internal_only, tsvector_to_array(words) FROM ticket_texts"
    async with connected(empty_database) as database:
        await database.execute(OLD_TEXTS)
        await upgrade(empty_database, "0028")
        assert sorted(map(tuple, await database.fetch(texts))) == [
            ("DESCRIPTION", False, ["camera", "dark"]),
            ("NOTE", False, ["both"]),
            ("NOTE", True, ["north", "one"]),
            ("QUOTED", False, ["by", "hand", "sent"]),
            ("RESOLUTION", False, ["it", "moved"]),
            ("TRANSCRIPT", False, ["which"]),
        ]


async def test_processes_that_migrate_one_database_take_turns(empty_database: str) -> None:
    async with connected(empty_database) as database, connected(empty_database) as watching:
        await database.execute("SELECT pg_advisory_lock($1)", migrate.LOCK)
        both = asyncio.gather(upgrade(empty_database, "0002"), upgrade(empty_database, "0002"))
        await until(
            watching, "count(*) = 2 FROM pg_stat_activity WHERE datname = current_database() AND query = 'COMMIT;'"
        )
        assert await schema(watching) == {what: [] for what in DEFINITIONS}
        await database.execute("SELECT pg_advisory_unlock($1)", migrate.LOCK)
        await both
    assert await asyncio.to_thread(migrate.current, empty_database) == "0002"


async def test_a_failed_step_leaves_the_previous_revision_and_can_be_repeated(empty_database: str) -> None:
    async with connected(empty_database) as database:
        await database.execute("CREATE TABLE deliveries ()")
        with pytest.raises(DBAPIError, match="deliveries"):
            await upgrade(empty_database, "0003")
        assert await asyncio.to_thread(migrate.current, empty_database) == "0002"
        await database.execute("DROP TABLE deliveries")
        await upgrade(empty_database, "0003")
        assert await asyncio.to_thread(migrate.current, empty_database) == "0003"
