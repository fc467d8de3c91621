"""The connection pool: one `Database` for each process, shared by everything in it.

The session settings: times in UTC, so that row images and JSON have them so; no JIT, which takes longer than these
statements; and timeouts for statements, for waiting for a lock, and for idling in a transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, Self, TypeAlias

import asyncpg
import orjson

STATEMENT_TIMEOUT = "10s"
LOCK_TIMEOUT = "5s"
IDLE_TIMEOUT = "30s"
WAITING_SECONDS = 30.0  # for a free connection
SILENCE_SECONDS = 12.0  # longer than STATEMENT_TIMEOUT: a server that has not answered by then does not respond at all
GIVING_BACK_SECONDS = 1.0
CLOSING_SECONDS = 5.0

OUTAGE: Final = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""The errors of a database that is unreachable or refuses, for callers that try again later. asyncpg raises the last
one if a connection is lost in the middle of a statement."""

Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"


def normalised(url: str) -> str:
    """The URL in the form that asyncpg accepts: without the driver of SQLAlchemy's `postgresql+asyncpg://`."""
    scheme, separator, rest = url.partition("://")
    return f"{scheme.partition('+')[0]}{separator}{rest}"


async def _keep(connection: Any) -> None:
    """Replaces the pool's reset, which costs a round trip: no statement here leaves state in a session."""


async def _prepare(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    # JSON goes to the client as PostgreSQL wrote it, so its bytes are never decoded.
    await connection.set_type_codec(
        "json", schema="pg_catalog", format="binary", encoder=orjson.dumps, decoder=_unchanged
    )


def _unchanged(document: bytes) -> bytes:
    return document


def _has_ended(connection: Connection) -> bool:
    """Whether the connection is closed, by the server or the network. If the pool has already taken it back, every
    method of the connection raises `InterfaceError`."""
    try:
        return connection.is_closed()
    except asyncpg.InterfaceError:
        return True


class Database:
    """asyncpg's pool, and a stack of idle connections in front of it.

    Releasing a connection to the pool costs a task and a turn of the event loop, as much as a short statement. So a
    connection whose statement succeeded is kept here for the next caller, unless a caller is already waiting at the
    pool. One whose statement failed or was cancelled is released to the pool, which resets or closes it.
    """

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        self._pool = pool
        self._resting: list[Connection] = []
        self._waiting = 0

    @classmethod
    async def open(cls, url: str, *, size: int = 10) -> Self:
        """A pool of up to `size` connections, which are opened when they are needed. Raises one of `OUTAGE` if the
        first cannot be opened."""
        pool = await asyncpg.create_pool(
            normalised(url),
            min_size=1,
            max_size=size,
            max_inactive_connection_lifetime=0,
            init=_prepare,
            reset=_keep,
            timeout=10,
            command_timeout=SILENCE_SECONDS,
            statement_cache_size=256,
            max_cached_statement_lifetime=0,
            max_cacheable_statement_size=0,
            server_settings={
                "application_name": "callout",
                "timezone": "UTC",
                "jit": "off",
                "statement_timeout": STATEMENT_TIMEOUT,
                "lock_timeout": LOCK_TIMEOUT,
                "idle_in_transaction_session_timeout": IDLE_TIMEOUT,
            },
        )
        return cls(pool)

    async def close(self) -> None:
        """Closes all connections, by force after `CLOSING_SECONDS`: a database that does not respond must not keep the
        process from exiting."""
        try:
            async with asyncio.timeout(CLOSING_SECONDS):
                while self._resting:
                    await self._pool.release(self._resting.pop())
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Connection]:
        """A connection for the duration of the block. Raises `TimeoutError` if none is free within
        `WAITING_SECONDS`, and the database's errors."""
        connection = await self._take()
        try:
            yield connection
        except BaseException as error:
            await self._give_up(connection, error)
            raise
        await self._give_back(connection)

    async def fetch(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        connection = await self._take()
        try:
            rows = await connection.fetch(query, *arguments)
        except BaseException as error:
            await self._give_up(connection, error)
            raise
        await self._give_back(connection)
        return rows

    async def fetchrow(self, query: str, *arguments: Any) -> asyncpg.Record | None:
        rows = await self.fetch(query, *arguments)
        return rows[0] if rows else None

    async def fetchval(self, query: str, *arguments: Any) -> Any:
        rows = await self.fetch(query, *arguments)
        return rows[0][0] if rows else None

    async def execute(self, query: str, *arguments: Any) -> str:
        async with self.acquire() as connection:
            return await connection.execute(query, *arguments)

    async def _take(self) -> Connection:
        while self._resting:
            connection = self._resting.pop()
            if not _has_ended(connection):
                return connection
            await self._pool.release(connection)
        self._waiting += 1
        try:
            return await self._pool.acquire(timeout=WAITING_SECONDS)
        finally:
            self._waiting -= 1

    async def _give_back(self, connection: Connection) -> None:
        # A caller that waits at the pool would not notice a connection that is kept here.
        if self._waiting or _has_ended(connection):
            await self._pool.release(connection)
        else:
            self._resting.append(connection)

    async def _give_up(self, connection: Connection, error: BaseException) -> None:
        """Releases a connection whose statement failed or was cancelled. After a timeout no open connection is trusted
        any more: callers would otherwise wait as long again for each of them."""
        if isinstance(error, TimeoutError):
            await self._pool.expire_connections()
            doubtful, self._resting = [connection, *self._resting], []
            for each in doubtful:
                with suppress(asyncpg.InterfaceError):  # already closed
                    each.terminate()
        with suppress(TimeoutError):  # the pool has then closed it by force
            await self._pool.release(connection, timeout=GIVING_BACK_SECONDS)
