"""The connection pool: one `Database` for each process, shared by everything in it.

The session settings: times in UTC, so that row images and JSON have them so; no JIT, which takes longer than these
statements; and timeouts for statements, for waiting for a lock, and for idling in a transaction. A connection pooler
such as PgBouncer does not pass them on, except for the time zone: its role must have them (`callout/database.py`).
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from time import perf_counter
from typing import Any, Final, Self, TypeAlias

import asyncpg
import orjson
from asyncpg.transaction import Transaction

from db import tracing
from db.metrics import Histogram
from db.postgres import pooler
from db.postgres.outage import OutageLog
from db.timing import SPENT

logger = logging.getLogger(__name__)

STATEMENT_TIMEOUT = "10s"
LOCK_TIMEOUT = "5s"
IDLE_TIMEOUT = "30s"
WAITING_SECONDS = 30.0  # for a free connection
SILENCE_SECONDS = 12.0  # longer than STATEMENT_TIMEOUT: a server that has not answered by then does not respond at all
GIVING_BACK_SECONDS = 1.0
CLOSING_SECONDS = 5.0
PREPARED_STATEMENTS = 128  # of a connection; PostgreSQL needs 160 to 270 KiB for one, and up to 650 for a technician's

OUTAGE: Final = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""The errors of a database that is unreachable or refuses, for callers that try again later. asyncpg raises the last
one if a connection is lost in the middle of a statement."""

LOST: Final = (
    ConnectionError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.IdleSessionTimeoutError,
)
"""The errors of a statement whose connection the other side has closed, perhaps before the statement was sent."""

AWAY: Final = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.TooManyConnectionsError,
)
"""The errors of a database that is unreachable, does not respond, or has no connection left."""

UNWRITABLE: Final = (
    asyncpg.ReadOnlySQLTransactionError,  # a standby, or read-only by its settings
    asyncpg.DiskFullError,
)
"""The errors of a database that may still answer queries, but refuses to write."""


class Replaced(Exception):
    """A restore has replaced the database during a transaction, which was rolled back."""


WITHOUT_EFFECT: Final = (
    Replaced,
    ConnectionRefusedError,
    FileNotFoundError,  # there is no socket
    socket.gaierror,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    *UNWRITABLE,
)
"""The errors after which it is certain that nothing was written: there was no connection, the database refused, or it
rolled back."""

_HELD: Final = Histogram(
    "callout_database_seconds", "How long a connection of the pool was held, for a statement or a transaction."
)
_SYSTEM: Final[tracing.Attributes] = {"db.system.name": "postgresql"}
_WAITED: Final = Histogram("callout_database_wait_seconds", "How long a connection of the pool was waited for.")

Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"


def normalised(url: str) -> str:
    """The URL in the form that asyncpg accepts: without the driver of SQLAlchemy's `postgresql+asyncpg://`."""
    scheme, separator, rest = url.partition("://")
    return f"{scheme.partition('+')[0]}{separator}{rest}"


def session_settings() -> dict[str, str]:
    """The settings of a session that a connection pooler does not pass on."""
    return {
        "jit": "off",
        "statement_timeout": STATEMENT_TIMEOUT,
        "lock_timeout": LOCK_TIMEOUT,
        "idle_in_transaction_session_timeout": IDLE_TIMEOUT,
    }


async def _no_reset(connection: Any) -> None:
    """Replaces the pool's reset, which costs a round trip: no statement here leaves state in a session."""


async def _prepare(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    # JSON goes to the client as PostgreSQL wrote it, so its bytes are never decoded.
    await connection.set_type_codec(
        "json", schema="pg_catalog", format="binary", encoder=orjson.dumps, decoder=_unchanged
    )


def _unchanged(document: bytes) -> bytes:
    return document


def _is_outdated(error: BaseException) -> bool:
    """Whether the statement was prepared before a restore replaced the types that it uses. It has not been executed."""
    return isinstance(error, asyncpg.InternalServerError) and str(error).startswith("cache lookup failed")


def _measure(asked: float, taken: float) -> None:
    """Counts the time of a connection that is given back now. It was `asked` for, and `taken`, at these times."""
    waited, held = taken - asked, perf_counter() - taken
    _WAITED.observe(waited)
    _HELD.observe(held)
    spent = SPENT.get()
    if spent is not None:
        spent.waiting += waited
        spent.database += held
    tracing.record("PostgreSQL", taken, _SYSTEM)


async def _begun(connection: Connection) -> Transaction:
    transaction: Transaction = connection.transaction()
    await transaction.start()
    return transaction


def _has_ended(connection: Connection) -> bool:
    """Whether the connection is closed, by the server or the network. If the pool has already taken it back, every
    method of the connection raises `InterfaceError`."""
    try:
        return connection.is_closed()
    except asyncpg.InterfaceError:
        return True


def _is_lost(connection: Connection, error: BaseException) -> bool:
    """Whether a statement failed because its connection was closed."""
    if isinstance(error, asyncpg.InterfaceError | asyncpg.InternalClientError):
        return _has_ended(connection)
    return isinstance(error, LOST)


def _terminate(connection: Connection) -> None:
    with suppress(asyncpg.InterfaceError):  # the pool has already taken it back
        connection.terminate()


class Database:
    """asyncpg's pool behind `size` slots, each with an open connection or empty. A caller takes a slot, and opens a
    connection if it is empty.

    Releasing a connection to asyncpg's pool costs a task and a turn of the event loop, and acquiring one while others
    wait another task: as much as a short statement. So a connection whose statement succeeded goes straight to the
    caller that has waited longest, or stays in its slot. One whose statement failed or was cancelled is released to the
    pool, which resets or closes it, and its slot goes on empty.

    A connection that the other side has closed meanwhile costs no caller anything: it is replaced by a new one if
    the statement only reads, or is the first of its transaction. Any other statement may have been committed.
    """

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], size: int) -> None:
        self._pool = pool
        self._size = size
        self._free: deque[Connection | None] = deque([None] * size)  # the empty slots first
        self._waiting: deque[asyncio.Future[Connection | None]] = deque()
        self._outage = OutageLog(logger, "the database cannot be used", "the database can be used again")
        self._writing = OutageLog(logger, "the database cannot be written to", "the database can be written to again")

    @classmethod
    async def open(cls, url: str, *, size: int = 10) -> Self:
        """A pool of up to `size` connections, which are opened when they are needed. Raises one of `OUTAGE` if the
        first cannot be opened."""
        pooled = await pooler.is_pooled(normalised(url))
        pool = await asyncpg.create_pool(
            normalised(url),
            min_size=0,  # asyncpg would reopen others in the background, and log each failure with its traceback
            max_size=size,
            max_inactive_connection_lifetime=0,
            init=_prepare,
            reset=_no_reset,
            timeout=10,
            command_timeout=SILENCE_SECONDS,
            statement_cache_size=PREPARED_STATEMENTS,
            max_cached_statement_lifetime=0,
            max_cacheable_statement_size=0,
            server_settings={
                "application_name": "callout",
                "timezone": "UTC",
                **({} if pooled else session_settings()),
            },
        )
        try:
            async with pool.acquire():
                return cls(pool, size)
        except BaseException:
            pool.terminate()
            raise

    async def close(self) -> None:
        """Closes all connections once their statements have ended; by force after `CLOSING_SECONDS`: a database that
        does not respond must not keep the process from exiting."""
        taken = 0
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSING_SECONDS):
                    while taken < self._size:
                        connection = await self._slot()
                        taken += 1
                        if connection is not None:
                            await self._pool.release(connection)
                    await self._pool.close()
        finally:
            self._pool.terminate()
            for _ in range(taken):  # for callers that come late: asyncpg raises `InterfaceError`
                self._pass_on(None)

    def abandon(self) -> None:
        """Closes all connections by force. Statements under way, and later ones, raise one of `AWAY`."""
        self._pool.terminate()

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Connection]:
        """A connection for the duration of the block. Raises `TimeoutError` if none is free within
        `WAITING_SECONDS`, and the database's errors."""
        asked = perf_counter()
        connection = await self._take()
        taken = perf_counter()
        try:
            yield connection
        except BaseException as error:
            await self._give_up(connection, error)
            raise
        finally:
            _measure(asked, taken)
        self._keep(connection)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A connection with an open transaction, which is committed at the end of the block and rolled back by any
        exception. Raises the same errors as `acquire`, and `Replaced`."""
        asked = perf_counter()
        connection = await self._take()
        taken = perf_counter()
        try:
            try:
                transaction = await _begun(connection)
            except Exception as error:
                if not _is_lost(connection, error):
                    raise
                connection = await self._replaced(connection)
                transaction = await _begun(connection)
            try:
                yield connection
            except BaseException:
                with suppress(asyncpg.InterfaceError):  # the connection is closed, which rolls back too
                    await transaction.rollback()
                raise
            await transaction.commit()
        except BaseException as error:
            await self._give_up(connection, error)
            if _is_outdated(error):
                raise Replaced from error
            raise
        finally:
            _measure(asked, taken)
        self._keep(connection)
        self._writing.worked()

    async def fetch(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        """Executes a statement. One that begins with SELECT, which cannot write, is executed again if the connection
        turns out to be closed."""
        asked = perf_counter()
        connection = await self._take()
        taken = perf_counter()
        try:
            try:
                rows = await connection.fetch(query, *arguments)
            except Exception as error:
                if not (query.lstrip().startswith("SELECT") and _is_lost(connection, error)):
                    raise
                connection = await self._replaced(connection)
                rows = await connection.fetch(query, *arguments)
        except BaseException as error:
            await self._give_up(connection, error)
            if not _is_outdated(error):
                raise
        else:
            self._keep(connection)
            return rows
        finally:
            _measure(asked, taken)
        async with self.acquire() as fresh:
            return await fresh.fetch(query, *arguments)

    async def fetchrow(self, query: str, *arguments: Any) -> asyncpg.Record | None:
        rows = await self.fetch(query, *arguments)
        return rows[0] if rows else None

    async def fetchval(self, query: str, *arguments: Any) -> Any:
        rows = await self.fetch(query, *arguments)
        return rows[0][0] if rows else None

    async def execute(self, query: str, *arguments: Any) -> str:
        async with self.acquire() as connection:
            return await connection.execute(query, *arguments)

    @property
    def size(self) -> int:
        """How many connections there may be."""
        return self._size

    @property
    def in_use(self) -> int:
        return self._size - len(self._free)

    @property
    def waiting(self) -> int:
        """How many callers wait for a connection."""
        return len(self._waiting)

    async def _take(self) -> Connection:
        connection = await self._slot()
        if connection is not None and not _has_ended(connection):
            return connection
        try:
            return await self._replaced(connection)
        except BaseException as error:
            self._note(error)
            self._pass_on(None)
            raise

    async def _replaced(self, closed: Connection | None) -> Connection:
        """A new connection for the slot of a closed one. Raises one of `AWAY`."""
        if closed is not None:
            _terminate(closed)  # it may not know yet that it is closed, and would then be acquired again
            await self._pool.release(closed)
        try:
            return await self._pool.acquire()
        except AWAY:
            raise
        except asyncpg.PostgresError as error:  # there is no such database or user, or no more
            raise ConnectionRefusedError(str(error)) from error

    async def _slot(self) -> Connection | None:
        """A free slot; if there is none, waits behind all earlier callers."""
        if self._free:
            return self._free.pop()
        waiter: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            async with asyncio.timeout(WAITING_SECONDS):
                return await waiter
        except BaseException as error:
            self._note(error)
            if waiter.done() and not waiter.cancelled():  # cancelled after the slot had been passed on to it
                self._pass_on(waiter.result())
            raise

    def _keep(self, connection: Connection) -> None:
        """Keeps the connection of a statement that succeeded."""
        if self._outage.lasts:
            self._outage.worked()
        self._pass_on(connection)

    def _note(self, error: BaseException) -> None:
        """Logs an error that is part of an outage; a caller logs the others."""
        if isinstance(error, UNWRITABLE):
            self._writing.failed(error)
            self._outage.worked()
        elif isinstance(error, AWAY) and not isinstance(error, asyncpg.QueryCanceledError | ValueError):
            self._outage.failed(error)

    def _pass_on(self, slot: Connection | None) -> None:
        """Gives the slot to the caller that has waited longest, or keeps it for the next one."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(slot)
                return
        if slot is None:
            self._free.appendleft(slot)
        else:
            self._free.append(slot)

    async def _give_up(self, connection: Connection, error: BaseException) -> None:
        """Releases a connection whose statement failed or was cancelled. After a timeout no open connection is trusted
        any more: callers would otherwise wait as long again for each of them. Nor is any after a restore."""
        self._note(error)
        try:
            if isinstance(error, TimeoutError) or _is_outdated(error):
                await self._pool.expire_connections()
                for doubtful in (connection, *filter(None, self._free)):
                    _terminate(doubtful)
            elif _is_lost(connection, error):
                _terminate(connection)
            with suppress(TimeoutError):  # the pool has then closed it by force
                await self._pool.release(connection, timeout=GIVING_BACK_SECONDS)
        finally:
            self._pass_on(None)
