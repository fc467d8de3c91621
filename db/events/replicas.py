"""Reads from replicas, which are hot standbys of the database (`CALLOUT_DATABASE_REPLICA_URLS`).

A read from a replica sees every transaction that was committed before the read began, by whichever server, as a read
from the primary does. For that it asks the primary up to where the write-ahead log has been flushed, and takes a
replica that has replayed it up to there; reads that begin while the primary answers share the next question. A replica
that does not get there within `CATCHING_UP_SECONDS` is left out until it keeps up again, and so is one that fails. If
none is left, the primary is read; and if one goes silent, also what was being read from it, within about two seconds. A
statement that conflicts with what its replica has to replay says nothing about the next one.

A replica that has followed another history, as after a failover that lost events, has replayed as much as it likes, of
something else. So whenever the connection to the primary is new, and each `CHECKING_SECONDS`, both logs of events are
compared: the newest event of either must be in the other.

See `docs/decisions/replicas.md`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic
from typing import Any, Final

import asyncpg

from db.postgres.outage import OutageLog
from db.postgres.pool import AWAY, LOST, OUTAGE, Database, normalised

logger = logging.getLogger(__name__)

CATCHING_UP_SECONDS: Final = 0.05
LOOKING_SECONDS: Final = 0.002
CHECKING_SECONDS: Final = 1.0
AGREEING_SECONDS: Final = 1.0
ANSWER_SECONDS: Final = 5.0  # after which a silent server counts as unavailable
SILENCE_SECONDS: Final = 1.0  # the same for a replica that has been connected to: others can answer in its place

# In bytes from the start of the log. With `synchronous_commit = off` a commit is seen before it is flushed.
_FLUSHED: Final = """
SELECT pg_wal_lsn_diff(CASE WHEN current_setting('synchronous_commit') = 'off' THEN pg_current_wal_insert_lsn()
    ELSE pg_current_wal_flush_lsn() END, '0/0')::bigint"""
_REPLAYED: Final = "SELECT pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0')::bigint"

_LOG: Final = """
SELECT pg_is_in_recovery() AS standby, (SELECT identity FROM event_log) AS identity,
    (SELECT id::text FROM ticket_events ORDER BY xid DESC LIMIT 1) AS newest"""
_HAS: Final = "SELECT $1::uuid IS NULL OR EXISTS (SELECT FROM ticket_events WHERE id = $1::uuid)"

FAILED: Final = (
    *AWAY,
    *LOST,
    asyncpg.InsufficientResourcesError,  # its disk or memory is full
    asyncpg.PostgresSystemError,  # its disk cannot be read
    asyncpg.InternalServerError,  # its data are damaged
)
"""The errors of a replica's statement that the primary may answer."""


class Disagreement(ConnectionError):
    """The server is not a replica of the primary, or has followed another history."""


class _NoPrimary(Exception):
    """The primary cannot be asked, which says nothing about a replica."""


class _WatchedServer:
    """A connection to a server, by which its write-ahead log is watched. `number` counts the connections."""

    def __init__(self, url: str, position: str, answering: float) -> None:
        """`position` is the statement for the position in its log; it has `answering` seconds for an answer."""
        self.url = normalised(url)
        self.number = 0
        self._position = position
        self._answering = answering
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        self._one_at_a_time = asyncio.Lock()
        self._waiting: asyncio.Future[int] | None = None
        self._asking: asyncio.Task[None] | None = None

    @property
    def connected_by(self) -> int:
        """The number of the connection; 0 if there is none now."""
        return 0 if self._connection is None or self._connection.is_closed() else self.number

    async def connect(self) -> None:
        """Connects, unless it is connected. Raises one of `OUTAGE`."""
        async with self._one_at_a_time:
            if not self.connected_by:
                self._connection = await asyncpg.connect(
                    self.url,
                    timeout=ANSWER_SECONDS,
                    command_timeout=self._answering,
                    statement_cache_size=0,  # a connection pooler may stand in front
                    server_settings={"application_name": "callout replicas"},
                )
                self.number += 1

    def close(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def fetch(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        """Raises one of `OUTAGE`, also if it is not connected."""
        async with self._one_at_a_time:
            if self._connection is None:
                raise ConnectionError("there is no connection")
            return await self._connection.fetch(query, *arguments)

    async def position(self) -> int:
        """The position in its log, read after this call. All who ask while it answers share the next question. Raises
        one of `OUTAGE`."""
        if self._waiting is None:
            self._waiting = asyncio.get_running_loop().create_future()
            if self._asking is None:
                self._asking = asyncio.create_task(self._ask())
        return await asyncio.shield(self._waiting)

    async def _ask(self) -> None:
        while self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            try:
                ((position,),) = await self.fetch(self._position)
                waiting.set_result(position or 0)
            except Exception as error:  # noqa: BLE001 (each of those who wait raises it)
                waiting.set_exception(error)
                waiting.exception()  # those who waited may all have been cancelled
        self._asking = None


class Replica:
    """One of the replicas. `reads` counts the statements that it has answered."""

    def __init__(self, number: int, url: str, size: int) -> None:
        self.name = f"replica {number}"
        self.reads = 0
        self.replayed = 0
        self.keeps_up = True
        self.agreed_with = 0
        """The number of the connection to the primary over which it has last agreed; 0 if it must not be read."""
        self._measured_by = 0
        self._size = size
        self._server = _WatchedServer(url, _REPLAYED, SILENCE_SECONDS)
        self._database: Database | None = None
        self._outage = OutageLog(logger, f"{self.name} is left out", f"{self.name} is read again")

    @property
    def database(self) -> Database:
        assert self._database is not None, "it has never agreed with the primary"
        return self._database

    @property
    def watched_by(self) -> int:
        """The number of the connection over which `replayed` was measured; 0 if that has ended. A standby that starts
        again may answer before it has replayed as much as before."""
        return self._measured_by if self._measured_by == self._server.connected_by else 0

    async def reaches(self, position: int) -> bool:
        """Whether it has replayed the log up to `position`; waits for it for `CATCHING_UP_SECONDS`."""
        try:
            async with asyncio.timeout(CATCHING_UP_SECONDS):  # also if the server has gone silent
                while self.replayed < position:
                    self.replayed = await self._server.position()
                    if self.replayed < position:
                        await asyncio.sleep(LOOKING_SECONDS)
        except TimeoutError:
            self.keeps_up = False
            self._outage.failed(TimeoutError(f"it is {position - self.replayed:,} bytes behind"))
            return False
        except OUTAGE as error:
            self.leave_out(error)
            return False
        return True

    def leave_out(self, error: BaseException) -> None:
        """Ends reading from it until it has agreed with the primary again."""
        self.agreed_with = 0
        self._server.close()
        self._outage.failed(error)

    async def check(self, primary: _WatchedServer) -> bool:
        """Finds out whether it can be read. Returns False if the primary cannot be asked."""
        try:
            await self._compare(primary)
        except _NoPrimary:
            return False
        except OUTAGE as error:
            self.leave_out(error)
            if self._database is not None:
                self._database.abandon()  # what is being read from it would wait for it much longer
                self._database = None
        else:
            if self.keeps_up:
                self._outage.worked()
        return True

    async def problem(self, primary: _WatchedServer) -> str | None:
        """Why it cannot be read now; None if it can. Raises one of `OUTAGE` if the primary cannot be asked."""
        try:
            await self._compare(primary)
        except _NoPrimary as error:
            raise ConnectionError("the primary does not answer") from error
        except TimeoutError:
            return "it does not answer in time, or is more than a second late"
        except OUTAGE as error:
            return str(error) or type(error).__name__
        return None

    async def close(self) -> None:
        self.agreed_with = 0
        self._server.close()
        if self._database is not None:
            await self._database.close()

    async def _compare(self, primary: _WatchedServer) -> None:
        await self._server.connect()
        (own,) = await self._server.fetch(_LOG)
        if not own["standby"]:
            raise Disagreement("it is not a standby")
        try:
            number = primary.number
            (theirs,) = await primary.fetch(_LOG)
            ((known,),) = await primary.fetch(_HAS, own["newest"])
            position = await primary.position()
        except OUTAGE as error:
            raise _NoPrimary from error
        if own["identity"] != theirs["identity"] or not known:
            raise Disagreement("it has events that the primary lacks: it is a replica of another database or history")
        began_at = monotonic()
        async with asyncio.timeout(AGREEING_SECONDS):
            while (replayed := await self._server.position()) < position:  # noqa: ASYNC110 (there is no event)
                await asyncio.sleep(LOOKING_SECONDS)
        took = monotonic() - began_at
        ((known,),) = await self._server.fetch(_HAS, theirs["newest"])
        if not known:
            raise Disagreement("it lacks events of the primary that it should have: it has followed another history")
        if self._database is None:
            self._database = await Database.open(self._server.url, size=self._size)
        self.replayed, self.keeps_up, self.agreed_with = replayed, took <= CATCHING_UP_SECONDS, number
        self._measured_by = self._server.number


class Replicas:
    """The replicas of a process. Run `watch()` for as long as it serves."""

    def __init__(self, primary_url: str, urls: Sequence[str], size: int) -> None:
        """`primary_url` must lead to PostgreSQL itself, `urls` may lead to connection poolers. Each replica gets up to
        `size` connections."""
        self.replicas = [Replica(number, url, size) for number, url in enumerate(urls, 1)]
        self.left_to_primary = 0
        """The number of reads for which no replica could be had."""
        self._primary = _WatchedServer(primary_url, _FLUSHED, ANSWER_SECONDS)
        self._turn = deque(self.replicas)

    async def fetch(self, query: str, *arguments: Any) -> list[asyncpg.Record] | None:
        """Executes a statement that only reads on a replica. Returns None if the primary must be read instead. Raises
        the errors that the primary would raise, too."""
        replica = await self._fresh()
        if replica is not None:
            watched_by = replica.watched_by
            try:
                rows = await replica.database.fetch(query, *arguments)
            except asyncpg.QueryCanceledError:
                raise  # it takes too long anywhere
            except asyncpg.SerializationError:
                pass  # it conflicts with what the replica has to replay (PostgreSQL, 26.4.2)
            except FAILED as error:
                replica.leave_out(error)
            else:
                if watched_by and replica.watched_by == watched_by:
                    replica.reads += 1
                    return rows
        self.left_to_primary += 1
        return None

    async def watch(self) -> None:
        """Checks all replicas, forever, each by itself: one that is silent delays none of the others."""
        try:
            async with asyncio.TaskGroup() as checks:
                for replica in self.replicas:
                    checks.create_task(self._keep_checking(replica))
        finally:
            self._primary.close()

    async def close(self) -> None:
        await asyncio.gather(*(replica.close() for replica in self.replicas))

    async def _keep_checking(self, replica: Replica) -> None:
        while True:
            with suppress(*OUTAGE):  # of the primary, which others log
                await self._primary.connect()
                number = self._primary.number
                if not await replica.check(self._primary) and self._primary.number == number:
                    self._primary.close()
            await asyncio.sleep(CHECKING_SECONDS)

    async def _fresh(self) -> Replica | None:
        """A replica that has replayed all that the primary has committed by now, in turns; None if there is none."""
        usable = [each for each in self._turn if each.agreed_with == self._primary.number and each.keeps_up]
        if not usable or not self._primary.number:
            return None
        self._turn.rotate(-1)
        try:
            position = await self._primary.position()
        except OUTAGE:
            self._primary.close()  # the next check connects anew
            return None
        for replica in usable:
            if replica.replayed >= position:
                return replica
        for replica in usable:
            if await replica.reaches(position) and replica.agreed_with == self._primary.number:
                return replica
        return None


async def problems(primary_url: str, urls: Sequence[str]) -> list[str | None]:
    """What keeps each of the replicas from being read now; None if nothing does. Raises one of `OUTAGE` if the primary
    cannot be asked."""
    primary = _WatchedServer(primary_url, _FLUSHED, ANSWER_SECONDS)
    replicas = [Replica(number, url, 1) for number, url in enumerate(urls, 1)]
    try:
        await primary.connect()
        return await asyncio.gather(*(replica.problem(primary) for replica in replicas))
    finally:
        primary.close()
        await asyncio.gather(*(replica.close() for replica in replicas))
