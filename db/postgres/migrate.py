"""Brings a database to a revision of the schema. The migrations are part of the package, so that an installed wheel
can migrate too; the `alembic` command finds them by `pyproject.toml`.

These functions open a connection, and an event loop, of their own: call them in a thread from a coroutine.
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

# Any number that nobody else locks in this database: processes that migrate it take turns.
LOCK = int.from_bytes(b"callout")

T = TypeVar("T")


def upgrade(url: str, revision: str = "head") -> None:
    """Upgrades to `revision`, each migration in a transaction of its own; does nothing where that is done already."""
    run(url, lambda connection: _in_turn(connection, lambda: command.upgrade(config(connection), revision)))


def downgrade(url: str, revision: str) -> None:
    """Downgrades to `revision`, `base` being the empty database. The data in what goes is lost."""
    run(url, lambda connection: _in_turn(connection, lambda: command.downgrade(config(connection), revision)))


def current(url: str) -> str | None:
    """The revision that the database is at; None where nothing has been migrated yet."""
    return run(url, lambda connection: MigrationContext.configure(connection).get_current_revision())


def head() -> str:
    """The newest revision there is."""
    revision = ScriptDirectory.from_config(config()).get_current_head()
    assert revision is not None, "there is at least one migration"
    return revision


def config(connection: Connection | None = None) -> Config:
    """Alembic's configuration; its commands work on `connection`."""
    directory = str(Path(__file__).parents[1] / "migrations").replace("%", "%%")
    configuration = Config(attributes={"connection": connection})
    configuration.set_main_option("script_location", directory)
    return configuration


def run(url: str, work: Callable[[Connection], T]) -> T:
    """`work` on one connection to `url`, outside a transaction until it begins one."""

    async def connect() -> asyncpg.Connection:
        return await asyncpg.connect(url)  # reads every form of URL that the pool's does

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
