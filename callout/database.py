"""Connects to the configured database, by URL or embedded, and makes sure that it is migrated.

What only some configurations need, and is slow to load, is imported there: `callout mail-in` runs for each message.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from time import monotonic
from typing import Final

import asyncpg

from callout.settings import Settings, variable
from db.errors import Failure
from db.postgres import pool, pooler, revisions
from db.postgres.revisions import STATE, Code
from db.postgres.statement import Queryable

logger = logging.getLogger(__name__)

RETRY_SECONDS = 0.5
OLDEST_SERVER = 140_000  # PostgreSQL 14, as in `server_version_num`

_EMPTY: Final = "SELECT NOT EXISTS (SELECT FROM customers) AND NOT EXISTS (SELECT FROM technicians)"

_IDENTITY: Final = "extract(epoch FROM pg_postmaster_start_time()) || ' ' || current_database()"

_SERVER: Final = f"""
SELECT current_setting('server_version_num')::int AS number, current_setting('server_version') AS name,
    {_IDENTITY} AS identity, pg_is_in_recovery() AS standby,
    current_setting('transaction_read_only')::boolean AS read_only,
    to_regclass('alembic_version') IS NOT NULL AS migrated"""

_URL: Final = variable("database_url")
_DIRECT_URL: Final = variable("database_direct_url")


class DatabaseUnusable(Failure):
    """The database cannot be reached, or not be used as it is. The message says what to do."""


class DatabaseNotReady(DatabaseUnusable):
    """The same for a reason that may pass by itself: the database is starting, being migrated or promoted."""


@contextmanager
def database(settings: Settings, *, wait: float = 0.0, writable: bool = False, migrated: bool = False) -> Iterator[str]:
    """Yields the direct URL of a database that can be reached, that can be written to if it must be `writable`, and
    that is at a revision with which this version works if it must be `migrated`. An embedded server runs for the length
    of the block.

    Waits up to `wait` seconds for a database that is on its way. Raises `DatabaseUnusable`, and `EmbeddedServerError`
    if the embedded server cannot start.
    """
    if settings.direct_url is None:
        from db.postgres import embedded

        with embedded.running(settings.data_dir) as url:
            asyncio.run(wait_for(url, wait, writable=writable, migrated=migrated))
            yield url
    else:
        asyncio.run(
            wait_for(settings.direct_url, wait, pool_url=settings.database_url, writable=writable, migrated=migrated)
        )
        yield settings.direct_url


@contextmanager
def migrated_database(settings: Settings, *, wait: float = 0.0) -> Iterator[str]:
    """Like `database`, writable and at a revision with which this version works. In development it is migrated to the
    newest; in production `callout migrate` must do that, and a revision that does not fit raises `DatabaseUnusable`."""
    with database(settings, wait=wait, writable=True, migrated=settings.production) as url:
        if not settings.production:
            from db.postgres import migrate

            migrate.upgrade(url)
        yield url


async def is_empty(connection: Queryable) -> bool:
    """Whether the database has no customers and no technicians."""
    empty: bool = await connection.fetchval(_EMPTY)
    return empty


async def wait_for(
    url: str, wait: float, *, pool_url: str | None = None, writable: bool = False, migrated: bool = False
) -> None:
    """Waits until the database can be reached by `url` and by `pool_url`, which may lead to a connection pooler, and
    written to, and is migrated. Raises `DatabaseUnusable` if it never will, or not within `wait` seconds."""
    code = revisions.code()
    deadline = monotonic() + wait
    waiting = False
    while True:
        try:
            if pool_url is None or pool_url == url:
                await _check(url, code, _URL, writable=writable, migrated=migrated)
            else:
                identity = await _check(url, code, _DIRECT_URL, writable=writable, migrated=migrated)
                await _check_pool(pool_url, identity)
        except DatabaseNotReady as problem:
            if monotonic() >= deadline:
                raise
            if not waiting:
                waiting = True
                logger.warning("waiting for the database, for up to %g s: %s", wait, problem)
        else:
            return
        await asyncio.sleep(RETRY_SECONDS)


async def _check(url: str, code: Code, name: str, *, writable: bool, migrated: bool) -> str:
    """Returns what identifies the database among all that run."""
    async with _connected(url, name) as connection:
        if await pooler.answers_for_postgresql(connection):
            raise DatabaseUnusable(
                f"The database of {name} is behind a connection pooler, which cannot carry LISTEN and migrations:"
                f" set {_DIRECT_URL} to the URL of PostgreSQL itself."
            )
        server = await connection.fetchrow(_SERVER)
        assert server is not None
        revision, oldest_code = (await connection.fetchrow(STATE) if server["migrated"] else None) or (None, None)
    if writable:
        _check_server(server, name)
    misfit = code.misfit(revision, oldest_code)
    if misfit and writable and not code.knows(revision):
        raise DatabaseUnusable(f"The database is {misfit}.")
    if misfit and migrated:
        raise DatabaseNotReady(f"The database is {misfit}.")
    identity: str = server["identity"]
    return identity


async def _check_pool(url: str, identity: str) -> None:
    """Checks the URL of the connection pool, where it is not that of PostgreSQL itself."""
    async with _connected(url, _URL) as one, _connected(url, _URL) as other:
        async with one.transaction():
            if identity != await one.fetchval(f"SELECT {_IDENTITY}"):
                raise DatabaseNotReady(f"{_URL} and {_DIRECT_URL} lead to different databases: correct one of them.")
        if not await pooler.answers_for_postgresql(one):
            return
        if await pooler.loses_prepared_statements(one, other):
            raise DatabaseUnusable(
                f"The connection pooler of {_URL} loses prepared statements between transactions: use PgBouncer 1.21 or"
                " newer and set its `max_prepared_statements`, or set its `pool_mode` to `session`."
            )
        if statements := await pooler.settings_to_alter(one, pool.session_settings()):
            raise DatabaseUnusable(
                f"The connection pooler of {_URL} does not pass on the limits of statements: run `{statements}` as the"
                " role that it connects with, then `RECONNECT` in PgBouncer's console."
            )


def _check_server(server: asyncpg.Record, name: str) -> None:
    if server["number"] < OLDEST_SERVER:
        raise DatabaseUnusable(
            f"The database is PostgreSQL {server['name']}, but Callout needs 14 or newer: upgrade it."
        )
    if server["standby"]:
        raise DatabaseNotReady(f"The database is a standby: promote it, or set {name} to the primary's.")
    if server["read_only"]:
        raise DatabaseNotReady(f"The database is read-only: reset `default_transaction_read_only` of {name}'s.")


@asynccontextmanager
async def _connected(url: str, name: str) -> AsyncIterator[pooler.Connection]:
    """A connection to the URL of the setting `name`. Raises `DatabaseUnusable` or `DatabaseNotReady`."""
    try:
        async with pooler.connected(url) as connection:
            yield connection
    except (asyncpg.InvalidAuthorizationSpecificationError, ValueError) as error:
        raise DatabaseUnusable(f"The database cannot be reached ({error}): correct {name}.") from error
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:  # or it is shutting down
        # Safe to show: the driver's message names the host and the user, never the password.
        why = str(error) or "no answer in time"
        raise DatabaseNotReady(
            f"The database of {name} cannot be reached ({why}): start it, or correct the URL."
        ) from error
