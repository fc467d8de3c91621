"""The database that the settings name: one by URL, or the embedded server, made ready for use."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
from sqlalchemy import exists, not_, select

from callout.settings import Settings
from db.models import CustomerRow, TechnicianRow
from db.postgres import embedded, migrate
from db.postgres.statement import Queryable, Statement

CONNECT_SECONDS = 10

_EMPTY = Statement(select(not_(exists(select(CustomerRow.id)) | exists(select(TechnicianRow.id)))))


class DatabaseUnusable(Exception):
    """The database does not answer, or is not at this version's revision. The message says what to do."""


@contextmanager
def database(settings: Settings) -> Iterator[str]:
    """The URL of a database that answers, for the length of the block. Raises `DatabaseUnusable`, and
    `EmbeddedServerError` if there should be an embedded server and there cannot."""
    if settings.database_url is None:
        with embedded.running(settings.data_dir) as url:
            yield url
    else:
        asyncio.run(_knock(settings.database_url))
        yield settings.database_url


@contextmanager
def migrated_database(settings: Settings) -> Iterator[str]:
    """`database`, at the newest revision. In development it is brought there; in production that is left to
    `callout migrate`, and an older one raises `DatabaseUnusable`."""
    with database(settings) as url:
        if not settings.production:
            migrate.upgrade(url)
        elif (revision := migrate.current(url)) != migrate.head():
            raise DatabaseUnusable(
                f"The database is at revision {revision or 'none'} and this version needs {migrate.head()}:"
                " run `callout migrate`."
            )
        yield url


async def is_empty(connection: Queryable) -> bool:
    """Whether nobody has been entered yet."""
    empty: bool = await _EMPTY.fetchval(connection)
    return empty


async def _knock(url: str) -> None:
    try:
        connection = await asyncpg.connect(url, timeout=CONNECT_SECONDS)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        # The driver's message names host and user, never the password.
        raise DatabaseUnusable(
            f"The database of CALLOUT_DATABASE_URL cannot be reached: {str(error) or 'no answer in time'}"
        ) from error
    await connection.close()
