"""The tail: one for each process, it reads what is new in the event log and says so, in batches.

What is new is the difference between two snapshots, so that nothing is left out or read twice, however long
transactions are open; see `docs/live.md`. The bell wakes it, and if that does not ring it looks by itself. While nobody
listens it rests, and costs nothing; then it goes on from where the log has got to.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import asyncpg

from db.events.position import NOW, Snapshot, unseen
from db.postgres.pool import OUTAGE, normalised
from db.ticket_stream import routes_of
from pubsub.bell import Bell

logger = logging.getLogger(__name__)

LOOKING_SECONDS: Final = 1.0
ANSWER_SECONDS: Final = 5.0  # after which a database that says nothing is taken for one that is gone
RETRY_SECONDS: Final = 0.2
RETRY_SECONDS_MAX: Final = 2.0

_NEW_EVENTS: Final = f"""
SELECT {NOW} AS position, fresh.* FROM (VALUES (true)) AS always (row) LEFT JOIN LATERAL (
    SELECT event.id, event.at, event.ticket_id, event.after ->> 'creator_id' AS creator_id,
        event.before ->> 'technician_id' AS technician_before, event.after ->> 'technician_id' AS technician_after,
        event.before ->> 'customer_id' AS customer_before, event.after ->> 'customer_id' AS customer_after
    FROM {unseen("$1::text::pg_snapshot", "*")}
) AS fresh ON true
ORDER BY fresh.at, fresh.id"""


@dataclass(frozen=True, slots=True)
class Event:
    """What the tail tells of an event: enough to know whom it can concern."""

    id: str
    routes: frozenset[str]


@dataclass(frozen=True, slots=True)
class Batch:
    """What lies between two positions of the log, in order."""

    number: int
    origin: str
    until: str
    events: Sequence[Event]


class Tail:
    """Calls `on_batch` with each batch, for as long as anybody listens."""

    def __init__(self, database_url: str, bell: Bell, on_batch: Callable[[Batch], None]) -> None:
        self._url = normalised(database_url)
        self._bell = bell
        self._on_batch = on_batch
        self._looked = asyncio.Event()
        self._listeners = 0
        self._wanted = asyncio.Event()
        self._awake = asyncio.Event()
        self.number = 0
        """Of the last batch."""
        self.position = ""
        """Up to where it has on_batch; of no use while it rests."""

    def listen(self) -> None:
        """To be ended by `leave`."""
        self._listeners += 1
        self._wanted.set()

    def leave(self) -> None:
        self._listeners -= 1
        if not self._listeners:
            self._wanted.clear()

    async def awake(self) -> None:
        """For a listener: waits until it does not rest. Raises `TimeoutError`."""
        async with asyncio.timeout(ANSWER_SECONDS):
            await self._awake.wait()

    async def reach(self, position: str) -> bool:
        """Waits until it stands at or behind a position; false if that is of a future that has not come to be. Raises
        `TimeoutError` if it does not get on."""
        wanted = Snapshot.parse(position)
        async with asyncio.timeout(ANSWER_SECONDS):
            for _ in range(2):  # looks: the one under way may have begun before
                if Snapshot.parse(self.position).covers(wanted):
                    return True
                self._bell.ring()
                await self._looked.wait()
        return Snapshot.parse(self.position).covers(wanted)

    async def follow(self) -> None:
        """Goes on for ever; a database that is gone only makes it wait."""
        pause = RETRY_SECONDS
        while True:
            connection = None
            try:
                connection = await self._connect()
                while True:
                    await self._rest(connection)
                    await self._look(connection)
                    pause = RETRY_SECONDS
                    await self._bell.wait(LOOKING_SECONDS)
            except OUTAGE as error:
                logger.warning("the event log cannot be read: %s", error or type(error).__name__)
            finally:
                if connection is not None:
                    connection.terminate()
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, RETRY_SECONDS_MAX)

    async def _connect(self) -> asyncpg.Connection[asyncpg.Record]:
        return await asyncpg.connect(
            self._url,
            timeout=ANSWER_SECONDS,
            command_timeout=ANSWER_SECONDS,
            server_settings={"application_name": "callout tail", "timezone": "UTC", "jit": "off"},
        )

    async def _rest(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        """While nobody listens. What happens meanwhile is nobody's loss."""
        if not self._wanted.is_set():
            self._awake.clear()
            await self._wanted.wait()
        if not self._awake.is_set():
            self.position = await connection.fetchval(f"SELECT {NOW}")
            self._awake.set()

    async def _look(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        rows: list[Any] = await connection.fetch(_NEW_EVENTS, self.position)
        origin, self.position = self.position, rows[0]["position"]
        if rows[0]["id"] is not None:
            self.number += 1
            events = [Event(str(row["id"]), frozenset(routes_of(row))) for row in rows]
            self._on_batch(Batch(self.number, origin, self.position, events))
        self._looked.set()
        self._looked = asyncio.Event()
