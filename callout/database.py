"""Connects to the configured database, by URL or embedded, and makes sure that it is migrated."""

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
    """The database cannot be reached, or is at a revision with which this version does not work. The message says what
    to do."""


@contextmanager
def database(settings: Settings) -> Iterator[str]:
    """Yields the URL of a reachable database; an embedded server runs for the length of the block.

    Raises `DatabaseUnusable` if the database of `database_url` cannot be reached, and `EmbeddedServerError` if the
    embedded server cannot start.
    """
    if settings.database_url is None:
        with embedded.running(settings.data_dir) as url:
            yield url
    else:
        asyncio.run(_knock(settings.database_url))
        yield settings.database_url


@contextmanager
def migrated_database(settings: Settings) -> Iterator[str]:
    """Like `database`, with the database at a revision with which this version works. In development it is migrated to
    the newest; in production `callout migrate` must do that, and a revision that does not fit raises
    `DatabaseUnusable`."""
    with database(settings) as url:
        if not settings.production:
            migrate.upgrade(url)
        elif misfit := migrate.misfit(url):
            raise DatabaseUnusable(f"The database is {misfit}.")
        yield url


async def is_empty(connection: Queryable) -> bool:
    """Whether the database has no customers and no technicians."""
    empty: bool = await _EMPTY.fetchval(connection)
    return empty


async def _knock(url: str) -> None:
    try:
        connection = await asyncpg.connect(url, timeout=CONNECT_SECONDS)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        # Safe to show: the driver's message names the host and the user, never the password.
        raise DatabaseUnusable(
            f"The database of CALLOUT_DATABASE_URL cannot be reached: {str(error) or 'no answer in time'}"
        ) from error
    await connection.close()
