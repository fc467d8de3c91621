"""Migrations and models say the same, no step loses or falsifies a row, and the way back leads to nothing."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterator

import asyncpg
import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from db import ddl, migrate
from db.models import Base
from tests.conftest import at
from tests.upgrading import check, connected, contents, lose_nothing, write

# Everything that a schema consists of, as PostgreSQL itself would write it.
DEFINITIONS = {
    "columns": "SELECT table_name, column_name, data_type, udt_name, is_nullable, column_default, collation_name,"
    " generation_expression FROM information_schema.columns WHERE table_schema = 'public'",
    "constraints": "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
    " WHERE connamespace = 'public'::regnamespace",
    "indexes": "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
    "triggers": "SELECT tgrelid::regclass::text, tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal",
    "functions": "SELECT pg_get_functiondef(pg_proc.oid) FROM pg_proc JOIN pg_namespace n ON n.oid = pronamespace"
    " LEFT JOIN pg_depend d ON d.objid = pg_proc.oid AND d.deptype = 'e' WHERE nspname = 'public' AND d.objid IS NULL",
    "enums": "SELECT typname, enumlabel, enumsortorder FROM pg_enum JOIN pg_type ON pg_type.oid = enumtypid",
}


REVISIONS = [script.revision for script in reversed([*ScriptDirectory.from_config(migrate.config()).walk_revisions()])]


@pytest.fixture
def empty_database(postgres: str) -> Iterator[str]:
    name = f"callout_empty_{secrets.token_hex(6)}"
    run(at(postgres, "postgres"), f"CREATE DATABASE {name}")
    yield at(postgres, name)
    run(at(postgres, "postgres"), f"DROP DATABASE {name} WITH (FORCE)")


def run(url: str, statement: str) -> None:
    async def execute() -> None:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(execute())


def definitions(connection: Connection) -> dict[str, list[tuple[object, ...]]]:
    return {
        what: sorted((tuple(row) for row in connection.execute(text(query)) if "alembic_version" not in row), key=str)
        for what, query in DEFINITIONS.items()
    }


def created_from_models(connection: Connection) -> dict[str, list[tuple[object, ...]]]:
    for statement in (*ddl.EXTENSIONS, ddl.SEARCH_FORM, ddl.SEARCH_PAIRS, ddl.SEARCH_PAIRS_QUERY):
        connection.exec_driver_sql(statement)
    Base.metadata.create_all(connection)
    for statement in (*ddl.FUNCTIONS, *ddl.TRIGGERS, *ddl.ARTICLE_FUNCTIONS, *ddl.ARTICLE_TRIGGERS):
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


def test_the_migrations_make_exactly_what_the_models_say(database_url: str, empty_database: str) -> None:
    migrated = migrate.run(database_url, definitions)
    modelled = migrate.run(empty_database, in_transaction(created_from_models))
    assert isinstance(modelled, dict)
    for what, made in migrated.items():
        assert made == modelled[what], what
    assert all(migrated.values()), "a query that finds nothing compares nothing"


def test_up_from_empty_and_back_and_up_again(empty_database: str) -> None:
    migrate.upgrade(empty_database)
    first = migrate.run(empty_database, definitions)
    migrate.downgrade(empty_database, "base")
    assert not any(migrate.run(empty_database, definitions).values())
    migrate.upgrade(empty_database)
    assert migrate.run(empty_database, definitions) == first
    assert migrate.current(empty_database) == migrate.head()


# With rows


async def upgrade(url: str, revision: str) -> None:
    await asyncio.to_thread(migrate.upgrade, url, revision)


async def downgrade(url: str, revision: str) -> None:
    await asyncio.to_thread(migrate.downgrade, url, revision)


async def schema(url: str) -> dict[str, list[tuple[object, ...]]]:
    return await asyncio.to_thread(migrate.run, url, definitions)


async def test_each_step_carries_the_rows_up_and_down_and_up_again(empty_database: str) -> None:
    """The counts are right after each, with events that they have taken in and events that they have not, and what the
    next step rests on is there: the triggers, and the schema that the step up began with."""
    base, *steps = REVISIONS
    await upgrade(empty_database, base)
    async with connected(empty_database) as database:
        await write(database)
        await check(database, base)
        for before, revision in zip(REVISIONS, steps, strict=False):
            await write(database)
            first, rows = await schema(empty_database), await contents(database)
            await upgrade(empty_database, revision)
            lose_nothing(rows, await contents(database), revision)
            await check(database, revision)
            await write(database)
            rows = await contents(database)
            await downgrade(empty_database, before)
            lose_nothing(rows, await contents(database), f"{revision} undone")
            assert await schema(empty_database) == first, f"{revision} undone"
            await check(database, f"{revision} undone")
            await write(database)
            rows = await contents(database)
            await upgrade(empty_database, revision)
            lose_nothing(rows, await contents(database), f"{revision} again")
            await check(database, f"{revision} again")
    await downgrade(empty_database, "base")
    assert not any((await schema(empty_database)).values())
