"""Replay: reads the events between a cursor and a position, in portions, or says why that is not possible.

Used by streams that continue from a cursor, and for pages of changes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol, TypeVar

from db.enums import StreamResetReason
from db.events.cursor import StreamPosition
from db.events.position import NOW, Snapshot, unseen
from db.postgres.pool import Database

REPLAY_MAX: Final = 50_000
"""The most events to replay, counting those that do not concern the client. With more, fetching its list again is
cheaper."""

# The ids of the events of the cursor's own batch after the cursor's event (`rest`), and of those after that batch
# (`later`). Most of them may not concern the reader. The horizon is read in the same snapshot: if the cursor is not
# before it, none of these events has been pruned. One event more than the limit shows that there are too many.
_REPLAY: Final = f"""
SELECT {NOW} AS now, horizon::text AS horizon, rest, later FROM event_log, LATERAL (
    SELECT coalesce(array_agg(id::text ORDER BY at, id) FILTER (WHERE begun), '{{}}') AS rest,
        coalesce(array_agg(id::text ORDER BY at, id) FILTER (WHERE NOT begun), '{{}}') AS later
    FROM (
        SELECT id, at, begun
        FROM {unseen("$1::text::pg_snapshot", "id, at, xid")},
            LATERAL (SELECT pg_visible_in_snapshot(xid, $2::text::pg_snapshot) AS begun) AS batch
        WHERE pg_visible_in_snapshot(xid, coalesce($3::text::pg_snapshot, pg_current_snapshot()))
            AND NOT (begun AND (at, id) <= ($4::timestamptz, $5::text::uuid))
        LIMIT {REPLAY_MAX + 1}
    ) AS event
) AS missed"""


class Replayable(Protocol):
    """Something made from an event: its event's id and time give its cursor."""

    @property
    def event(self) -> str: ...

    @property
    def at(self) -> datetime: ...


T = TypeVar("T", bound=Replayable)


@dataclass(frozen=True, slots=True)
class Replay:
    """The ids of the events after a cursor, up to the position `now`."""

    now: str
    _position: StreamPosition
    _rest: Sequence[str]
    _later: Sequence[str]

    async def portions(
        self, of: Callable[[Sequence[str]], Awaitable[list[T]]], at_once: int
    ) -> AsyncIterator[list[tuple[StreamPosition, T]]]:
        """Yields what `of` makes of the events, each with its position, in order, `at_once` events at a time. Raises
        the errors of `of`."""
        batch_end = self._position.until or self._position.origin
        for origin, until, ids in ((self._position.origin, batch_end, self._rest), (batch_end, self.now, self._later)):
            for start in range(0, len(ids), at_once):
                found = await of(ids[start : start + at_once])
                yield [(StreamPosition(origin, until, event.at, event.event), event) for event in found]


async def replay(database: Database, position: StreamPosition, now: str | None = None) -> Replay | StreamResetReason:
    """Returns the events after `position` and up to `now` (by default the current position), or the reason why they
    cannot be replayed. Raises the database's errors."""
    batch_end = position.until or position.origin
    row = await database.fetchrow(_REPLAY, position.origin, batch_end, now, position.at, position.event)
    assert row is not None
    if Snapshot.parse(batch_end).xmax > Snapshot.parse(row["now"]).xmax:
        return StreamResetReason.CURSOR_UNKNOWN
    if Snapshot.parse(position.origin).xmin < int(row["horizon"]):
        return StreamResetReason.CURSOR_EXPIRED
    if len(row["rest"]) + len(row["later"]) > REPLAY_MAX:
        return StreamResetReason.OVERFLOW
    return Replay(now or row["now"], position, row["rest"], row["later"])
