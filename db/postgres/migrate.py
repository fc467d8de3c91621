"""Migrates a database to a revision of its schema. The migrations are part of the package, so that an installed wheel
can migrate too; the `alembic` command finds them through `pyproject.toml`.

Servers use the database meanwhile. While a statement waits for a strong lock, theirs wait behind it, so it gives up
after `LOCK_TIMEOUT`, and the step is tried again. See `docs/decisions/upgrades-without-an-outage.md`.

Each function opens its own connection and event loop, so a coroutine must call it in a thread.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from db.errors import Failure
from db.postgres import revisions
from db.postgres.revisions import STATE, Code

logger = logging.getLogger(__name__)

# The advisory lock by which processes that migrate the same database take turns; any number nobody else locks will do.
LOCK = int.from_bytes(b"callout")
TURN_SECONDS = 0.2  # between two attempts to get it

LOCK_TIMEOUT: Final = "500ms"
"""How long a statement of a migration waits for a lock."""
TRIES = 40
PAUSE_SECONDS = 1.0  # between two tries, so that statements that have waited behind the migration can run

_LOST: Final = "The connection to the database was lost. Run `callout migrate` again: it goes on with the same step."
_CONTENDED: Final = (asyncpg.LockNotAvailableError.sqlstate, asyncpg.DeadlockDetectedError.sqlstate)

T = TypeVar("T")


class NotMigrated(Failure):
    """The migration has stopped, or this version cannot migrate the database. The message says what to do."""


def upgrade(url: str, revision: str = "head") -> None:
    """Upgrades to `revision`, step by step; a step that fails can be repeated. Does nothing if the database is already
    there, or, for `head`, at a newer revision with which this code works.

    Raises `NotMigrated` if other transactions do not give up the locks that a step needs, if the connection is lost, or
    if the database is at a newer revision with which this code does not work.
    """
    run(url, lambda connection: _in_turn(connection, lambda: _upgrade(connection, revision)))


def downgrade(url: str, revision: str) -> None:
    """Downgrades to `revision`; `base` is the empty database. Data in dropped tables and columns is lost. Raises
    `NotMigrated` as `upgrade` does."""
    run(url, lambda connection: _in_turn(connection, lambda: command.downgrade(config(connection), revision)))


def current(url: str) -> str | None:
    """The database's revision, or None if it has never been migrated."""
    revision, _ = run(url, _state)
    return revision


def misfit(url: str) -> str | None:
    """Why this code does not work with the database, or None if it does: `Code.misfit`."""
    return code().misfit(*run(url, _state))


def head() -> str:
    """The newest revision."""
    return code().newest


def code() -> Code:
    """The revisions that this version knows."""
    return revisions.code()


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


def _upgrade(connection: Connection, revision: str) -> None:
    known = code()
    at, oldest_code = _state(connection)
    if revision == "head" and not known.knows(at):
        if problem := known.misfit(at, oldest_code):
            raise NotMigrated(f"The database is {problem}.")
    else:
        command.upgrade(config(connection), revision)


def _state(connection: Connection) -> tuple[str | None, str | None]:
    """The database's revision and the oldest code that works there, each None if there is none."""
    if MigrationContext.configure(connection).get_current_revision() is None:
        state: tuple[str | None, str | None] = (None, None)
    else:
        revision, oldest_code = connection.execute(text(STATE)).one()
        state = (revision, oldest_code)
    connection.rollback()
    return state


def _in_turn(connection: Connection, work: Callable[[], None]) -> None:
    # Not `pg_advisory_lock`: a waiting statement keeps its snapshot, and CREATE INDEX CONCURRENTLY in the process that
    # has the lock waits for the end of older snapshots, so they would deadlock.
    while not connection.scalar(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": LOCK}):
        connection.commit()
        time.sleep(TURN_SECONDS)
    connection.commit()
    try:
        _until_unhindered(connection, work)
    finally:
        connection.rollback()
        if not connection.invalidated:
            connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": LOCK})
            connection.commit()


def _until_unhindered(connection: Connection, work: Callable[[], None]) -> None:
    """Does the work, and repeats it from the step that failed while other transactions hold locks that it needs. It
    holds no lock between two tries."""
    for left in reversed(range(TRIES)):
        try:
            return work()
        except SQLAlchemyError as error:
            if connection.invalidated:
                raise NotMigrated(_LOST) from error
            if not (isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) in _CONTENDED):
                raise
            connection.rollback()
            if not left:
                raise NotMigrated(_hindered(connection)) from error
        logger.warning("the migration needs a lock that another transaction holds; trying again")
        time.sleep(PAUSE_SECONDS)


def _hindered(connection: Connection) -> str:
    revision, _ = _state(connection)
    return (
        f"The database stays at revision {revision or 'none'}: a long transaction, such as a backup, holds a lock that"
        " the next step needs. Run `callout migrate` again when it has ended (`pg_stat_activity` shows it)."
    )
