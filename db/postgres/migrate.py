"""Migrates a database to a revision of its schema. The migrations are part of the package, so that an installed wheel
can migrate too; the `alembic` command finds them through `pyproject.toml`.

Each function opens its own connection and event loop, so a coroutine must call it in a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

# The advisory lock by which processes that migrate the same database take turns; any number nobody else locks will do.
LOCK = int.from_bytes(b"callout")

T = TypeVar("T")


def upgrade(url: str, revision: str = "head") -> None:
    """Upgrades to `revision`, with each migration in a transaction of its own. Does nothing if the database is already
    there."""
    run(url, lambda connection: _in_turn(connection, lambda: command.upgrade(config(connection), revision)))


def downgrade(url: str, revision: str) -> None:
    """Downgrades to `revision`; `base` is the empty database. Data in dropped tables and columns is lost."""
    run(url, lambda connection: _in_turn(connection, lambda: command.downgrade(config(connection), revision)))


def current(url: str) -> str | None:
    """The database's revision, or None if it has never been migrated."""
    return run(url, lambda connection: MigrationContext.configure(connection).get_current_revision())


def head() -> str:
    """The newest revision."""
    revision = ScriptDirectory.from_config(config()).get_current_head()
    assert revision is not None, "there is at least one migration"
    return revision


def is_known(revision: str) -> bool:
    """Whether this program has the revision; a newer one may have others."""
    return any(script.revision == revision for script in ScriptDirectory.from_config(config()).walk_revisions())


def config(connection: Connection | None = None) -> Config:
    """Alembic's configuration, for commands that work on `connection`."""
    directory = str(Path(__file__).parents[1] / "migrations").replace("%", "%%")
    configuration = Config(attributes={"connection": connection})
    configuration.set_main_option("script_location", directory)
    return configuration


def run(url: str, work: Callable[[Connection], T]) -> T:
    """Runs `work` on a new connection to `url`, with no transaction begun, and returns its result."""

    async def connect() -> asyncpg.Connection:
        return await asyncpg.connect(url)  # asyncpg parses the URL, as it does for the pool

    async def work_async() -> T:
        engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
        try:
            async with engine.connect() as connection:
                return await connection.run_sync(work)
        finally:
            await engine.dispose()

    return asyncio.run(work_async())


def _in_turn(connection: Connection, work: Callable[[], None]) -> None:
    connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": LOCK})
    connection.commit()
    try:
        work()
    finally:
        connection.rollback()
        connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": LOCK})
        connection.commit()
