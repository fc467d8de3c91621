"""Connects to the configured database, by URL or embedded, and makes sure that it is migrated."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Final

import asyncpg
from sqlalchemy import exists, not_, select

from callout.settings import Settings, variable
from db.models import CustomerRow, TechnicianRow
from db.postgres import embedded, migrate
from db.postgres.revisions import STATE, Code
from db.postgres.statement import Queryable, Statement

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 10
RETRY_SECONDS = 0.5
OLDEST_SERVER = 140_000  # PostgreSQL 14, as in `server_version_num`

_EMPTY = Statement(select(not_(exists(select(CustomerRow.id)) | exists(select(TechnicianRow.id)))))

_SERVER: Final = """
SELECT current_setting('server_version_num')::int AS number, current_setting('server_version') AS name,
    pg_is_in_recovery() AS standby, current_setting('transaction_read_only')::boolean AS read_only,
    to_regclass('alembic_version') IS NOT NULL AS migrated"""


_URL: Final = variable("database_url")


class DatabaseUnusable(Exception):
    """The database cannot be reached, or not be used as it is. The message says what to do."""


class DatabaseNotReady(DatabaseUnusable):
    """The same for a reason that may pass by itself: the database is starting, being migrated or promoted."""


@contextmanager
def database(settings: Settings, *, wait: float = 0.0, writable: bool = False, migrated: bool = False) -> Iterator[str]:
    """Yields the URL of a database that can be reached, that can be written to if it must be `writable`, and that is at
    a revision with which this version works if it must be `migrated`. An embedded server runs for the length of the
    block.

    Waits up to `wait` seconds for a database that is on its way. Raises `DatabaseUnusable`, and `EmbeddedServerError`
    if the embedded server cannot start.
    """
    if settings.database_url is None:
        with embedded.running(settings.data_dir) as url:
            asyncio.run(wait_for(url, wait, writable=writable, migrated=migrated))
            yield url
    else:
        asyncio.run(wait_for(settings.database_url, wait, writable=writable, migrated=migrated))
        yield settings.database_url


@contextmanager
def migrated_database(settings: Settings, *, wait: float = 0.0) -> Iterator[str]:
    """Like `database`, writable and at a revision with which this version works. In development it is migrated to the
    newest; in production `callout migrate` must do that, and a revision that does not fit raises `DatabaseUnusable`."""
    with database(settings, wait=wait, writable=True, migrated=settings.production) as url:
        if not settings.production:
            migrate.upgrade(url)
        yield url


async def is_empty(connection: Queryable) -> bool:
    """Whether the database has no customers and no technicians."""
    empty: bool = await _EMPTY.fetchval(connection)
    return empty


async def wait_for(url: str, wait: float, *, writable: bool = False, migrated: bool = False) -> None:
    """Waits until the database can be reached, and written to, and is migrated. Raises `DatabaseUnusable` if it
    never will, or not within `wait` seconds."""
    code = migrate.code()
    deadline = monotonic() + wait
    waiting = False
    while True:
        try:
            await _check(url, code, writable=writable, migrated=migrated)
        except DatabaseNotReady as problem:
            if monotonic() >= deadline:
                raise
            if not waiting:
                waiting = True
                logger.warning("waiting for the database, for up to %g s: %s", wait, problem)
        else:
            return
        await asyncio.sleep(RETRY_SECONDS)


async def _check(url: str, code: Code, *, writable: bool, migrated: bool) -> None:
    connection = await _connect(url)
    try:
        server = await connection.fetchrow(_SERVER)
        assert server is not None
        revision, oldest_code = (await connection.fetchrow(STATE) if server["migrated"] else None) or (None, None)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:  # it is shutting down, or starting anew
        raise _unreachable(error) from error
    finally:
        connection.terminate()
    if writable:
        _check_server(server)
    misfit = code.misfit(revision, oldest_code)
    if misfit and writable and not code.knows(revision):
        raise DatabaseUnusable(f"The database is {misfit}.")
    if misfit and migrated:
        raise DatabaseNotReady(f"The database is {misfit}.")


def _check_server(server: asyncpg.Record) -> None:
    if server["number"] < OLDEST_SERVER:
        raise DatabaseUnusable(
            f"The database is PostgreSQL {server['name']}, but Callout needs 14 or newer: upgrade it."
        )
    if server["standby"]:
        raise DatabaseNotReady(f"The database is a standby: promote it, or set {_URL} to the primary's.")
    if server["read_only"]:
        raise DatabaseNotReady(f"The database is read-only: reset `default_transaction_read_only` of {_URL}'s.")


async def _connect(url: str) -> asyncpg.Connection[asyncpg.Record]:
    try:
        return await asyncpg.connect(url, timeout=CONNECT_SECONDS)
    except (asyncpg.InvalidAuthorizationSpecificationError, ValueError) as error:
        raise DatabaseUnusable(f"The database cannot be reached ({error}): correct {_URL}.") from error
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise _unreachable(error) from error


def _unreachable(error: Exception) -> DatabaseNotReady:
    # Safe to show: the driver's message names the host and the user, never the password.
    why = str(error) or "no answer in time"
    return DatabaseNotReady(f"The database of {_URL} cannot be reached ({why}): start it, or correct the URL.")
