"""The database as the program holds it: one `Database` for each process, shared by everything in it.

What the session settings are for: times in UTC so that row images and JSON are too; no JIT, which costs more than these
statements take; and an end to whatever runs, waits for a lock, or idles in a transaction for too long.
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
WAITING_SECONDS = 30.0  # for a connection, while others have them all
SILENCE_SECONDS = 12.0  # longer than any statement may take: a database that has not answered by then has fallen silent
GIVING_BACK_SECONDS = 1.0
CLOSING_SECONDS = 5.0

OUTAGE: Final = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What is raised where the database cannot be had, or refuses, for whoever will try again. (The last of them is what
asyncpg raises where a connection ends in the middle of a statement.)"""

Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"


def normalised(url: str) -> str:
    """The URL as asyncpg takes it: SQLAlchemy's `postgresql+asyncpg://` is accepted too."""
    scheme, separator, rest = url.partition("://")
    return f"{scheme.partition('+')[0]}{separator}{rest}"


async def _keep(connection: Any) -> None:
    """Nothing to reset when a connection is given back: no statement here leaves state in a session."""


async def _prepare(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    # JSON goes to the client as PostgreSQL wrote it; bytes are not made a string on the way.
    await connection.set_type_codec(
        "json", schema="pg_catalog", format="binary", encoder=orjson.dumps, decoder=_unchanged
    )


def _unchanged(document: bytes) -> bytes:
    return document


def _is_open(connection: Connection) -> bool:
    """The pool takes a connection back that the server ends, and then all that is asked of it raises."""
    try:
        return not connection.is_closed()
    except asyncpg.InterfaceError:
        return False


class Database:
    """asyncpg's pool, and the connections that are at rest.

    Giving a connection back to the pool costs a task and a turn of the event loop, as much as a short statement. So
    one that has done its work well stays here for whoever comes next, unless somebody is waiting at the pool; one
    that has failed or was cancelled goes back to the pool, which knows what to do with it.
    """

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        self._pool = pool
        self._resting: list[Connection] = []
        self._waiting = 0

    @classmethod
    async def open(cls, url: str, *, size: int = 10) -> Self:
        """Up to `size` connections, opened as they are needed. Raises asyncpg's and the system's errors."""
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
        """Closes all connections; a database that has fallen silent must not keep the process."""
        try:
            async with asyncio.timeout(CLOSING_SECONDS):
                while self._resting:
                    await self._pool.release(self._resting.pop())
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Connection]:
        """A connection for the length of the block."""
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
            if _is_open(connection):
                return connection
            await self._pool.release(connection)
        self._waiting += 1
        try:
            return await self._pool.acquire(timeout=WAITING_SECONDS)
        finally:
            self._waiting -= 1

    async def _give_back(self, connection: Connection) -> None:
        if self._waiting or not _is_open(connection):
            await self._pool.release(connection)
        else:
            self._resting.append(connection)

    async def _give_up(self, connection: Connection, error: BaseException) -> None:
        """Gives back one that has failed or was cancelled. After silence none that is open is trusted any more: who
        goes on would otherwise wait as long for each of them."""
        if isinstance(error, TimeoutError):
            await self._pool.expire_connections()
            doubtful, self._resting = [connection, *self._resting], []
            for each in doubtful:
                with suppress(asyncpg.InterfaceError):  # which one that has been ended already raises
                    each.terminate()
        with suppress(TimeoutError):  # by which the pool has ended it
            await self._pool.release(connection, timeout=GIVING_BACK_SECONDS)
