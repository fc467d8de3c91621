"""The tail: reads new events from the event log, in batches; one for each process.

The new events are the difference between two snapshots, so that none is left out or read twice, however long
transactions stay open; see `docs/live.md`. The bell wakes the tail; without a ring it looks every `LOOKING_SECONDS`.
Without subscriptions it pauses, and costs nothing; afterwards it continues from the log's current position.

Each look also checks, by the fingerprint, that the log still has exactly the events below the tail's position. If not
(after a failover that lost events, or a restore), the tail continues from the log's current position, and announces
that the history has changed.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from operator import xor
from time import monotonic
from typing import Any, Final

import asyncpg
import orjson

from db.events.event import DELIVERY, ENTRY, IMAGES, READ, Entry, Event
from db.events.position import AUDIT, DELIVERIES, HASH, NOW, TICKETS, Position, unseen
from db.events.stream_cursor import Unsettled
from db.metrics import SLOW, Counter, Histogram
from db.postgres.outage import OutageLog
from db.postgres.pool import OUTAGE, normalised
from pubsub.bell import Bell

logger = logging.getLogger(__name__)

LOOKING_SECONDS: Final = 1.0
ANSWER_SECONDS: Final = 5.0  # after which a silent database counts as unavailable
RETRY_SECONDS: Final = 0.2
RETRY_SECONDS_MAX: Final = 2.0

_DELAY: Final = Histogram(
    "callout_tail_delay_seconds",
    "How old events were when the tail read them; their time is that of the change, before its commit.",
    bounds=SLOW,
)
_HISTORIES: Final = Counter("callout_histories_changed", "Changes of the event log's history, as after a failover.")

_NOW: Final = f"SELECT {NOW} AS position, pg_is_in_recovery() AS recovering"

# A left join, because the position is needed even if there are no new events.
_NEW_EVENTS: Final = f"""
SELECT {NOW} AS position, pg_is_in_recovery() AS recovering, clock_timestamp() AS read_at, added.*, delivered.*, fresh.*
FROM (
    SELECT json_agg({ENTRY}) AS entries, coalesce(bit_xor({HASH}), 0) AS entries_hash
    FROM {unseen("$1::text::pg_snapshot", "*", AUDIT)}
) AS added CROSS JOIN (
    SELECT json_agg({DELIVERY}) AS deliveries, coalesce(bit_xor({HASH}), 0) AS deliveries_hash
    FROM {unseen("$1::text::pg_snapshot", "*", DELIVERIES)}
) AS delivered LEFT JOIN LATERAL (
    SELECT {HASH} AS hash, {READ}
    FROM {unseen("$1::text::pg_snapshot", "*", TICKETS)}
    {IMAGES}
) AS fresh ON true
ORDER BY fresh.at, fresh.id"""


@dataclass(frozen=True, slots=True)
class Batch:
    """The events between the positions `origin` and `until`, in the order of their times and ids. Batches are numbered
    from 1 in each process."""

    number: int
    origin: str
    until: str
    events: Sequence[Event | Entry]


class Tail:
    """Calls `on_batch` with each batch while it has listeners, and `on_changed_history` when the log's history has
    changed: from then on, batches continue from the new `position`. Run `follow()` for as long as the process
    serves."""

    def __init__(
        self,
        database_url: str,
        bell: Bell,
        on_batch: Callable[[Batch], None],
        on_changed_history: Callable[[], None],
    ) -> None:
        self._url = normalised(database_url)
        self._bell = bell
        self._on_batch = on_batch
        self._on_changed_history = on_changed_history
        self._looked = asyncio.Event()
        self._outage = OutageLog(logger, "cannot read the event log", "the event log can be read again")
        self._listeners = 0
        self._wanted = asyncio.Event()
        self._awake = asyncio.Event()
        self._looked_at = 0.0
        self.number = 0
        """The number of the last batch."""
        self.position = ""
        """The position up to which events have been passed to `on_batch`; outdated while the tail pauses."""

    @property
    def lag(self) -> float:
        """The seconds since the tail has read the log; 0 while it pauses. It looks at least every `LOOKING_SECONDS`."""
        return monotonic() - self._looked_at if self._awake.is_set() else 0.0

    def listen(self) -> None:
        """Adds a listener, so that the tail reads. Each call needs a `leave`."""
        self._listeners += 1
        self._wanted.set()

    def leave(self) -> None:
        self._listeners -= 1
        if not self._listeners:
            self._wanted.clear()

    async def awake(self) -> None:
        """Waits until the tail reads; call it as a listener. Raises `TimeoutError` after `ANSWER_SECONDS`."""
        async with asyncio.timeout(ANSWER_SECONDS):
            await self._awake.wait()

    async def reach(self, position: str) -> bool:
        """Waits until the tail has reached a position. Returns False if it is still ahead of the log's current one, as
        after a restore from a backup. Raises `TimeoutError` if the tail does not look within `ANSWER_SECONDS`."""
        wanted = Position.parse(position)
        async with asyncio.timeout(ANSWER_SECONDS):
            for _ in range(2):  # two looks, because the current one may have started too early to see the position
                if Position.parse(self.position).covers(wanted):
                    return True
                self._bell.ring()
                await self._looked.wait()
        return Position.parse(self.position).covers(wanted)

    async def follow(self) -> None:
        """Reads batches forever. Reconnects after an outage; events are not lost, as its position stays."""
        pause = RETRY_SECONDS
        while True:
            connection = None
            try:
                connection = await self._connect()
                while True:
                    await self._rest(connection)
                    await self._look(connection)
                    self._outage.worked()
                    pause = RETRY_SECONDS
                    await self._bell.wait(LOOKING_SECONDS)
            except OUTAGE as error:
                self._outage.failed(error)
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
        """Pauses while there are no listeners, then continues from the current position: the events skipped concern no
        subscriber, as new ones start from now or replay."""
        if not self._wanted.is_set():
            self._awake.clear()
            await self._wanted.wait()
        if not self._awake.is_set():
            now = await connection.fetchrow(_NOW)
            assert now is not None
            self.position = _position(now)
            self._looked_at = monotonic()
            self._awake.set()

    async def _look(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        before = Position.parse(self.position)
        rows: list[Any] = await connection.fetch(_NEW_EVENTS, before.snapshot)
        origin, self.position = self.position, _position(rows[0])
        fresh = [row for row in rows if row["id"] is not None]
        entries = _entries(rows[0])
        hash = reduce(xor, (row["hash"] for row in fresh), rows[0]["entries_hash"] ^ rows[0]["deliveries_hash"])
        if not before.holds(Position.parse(self.position), hash):
            logger.warning("the event log's history has changed, as after a failover or a restore")
            _HISTORIES.add()
            self._on_changed_history()
        elif fresh or entries:
            self.number += 1
            for row in fresh:
                _DELAY.observe((row["read_at"] - row["at"]).total_seconds())
            self._on_batch(Batch(self.number, origin, self.position, _in_order(fresh, entries)))
        self._looked_at = monotonic()
        self._looked.set()
        self._looked = asyncio.Event()  # a new one, so that those who wait from now on wait for the next look


def _entries(read: Any) -> list[Entry]:
    """The entries of the audit trail and the changes of deliveries that the statement has read."""
    added, delivered = (orjson.loads(read[name] or b"[]") for name in ("entries", "deliveries"))
    return [*(Entry.of(*values) for values in added), *(Entry.of_delivery(*values) for values in delivered)]


def _in_order(fresh: Sequence[Any], entries: Sequence[Entry]) -> list[Event | Entry]:
    """All events in the order of their times and ids, in which a cursor within the batch expects them."""
    events: list[Event | Entry] = [Event.of(row) for row in fresh]
    if not entries:
        return events
    times = [*(row["at"] for row in fresh), *(entry.at for entry in entries)]
    return [event for _, event in sorted(zip(times, [*events, *entries], strict=True), key=_time_and_id)]


def _time_and_id(event: tuple[datetime, Event | Entry]) -> tuple[datetime, str]:
    return event[0], event[1].id


def _position(log: Any) -> str:
    """The position that the statement has read. Raises `Unsettled` where it means nothing: a standby may lack events
    only until it has received them, and a restore is not finished without the log's state."""
    if log["recovering"] or log["position"] is None:
        raise Unsettled("the database is a standby, or is being restored")
    return str(log["position"])
