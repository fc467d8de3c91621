"""What was missed: the events between a cursor and a position, event in portions, or why it cannot be event.

For streams that go on from a cursor, and for clients that ask for a page of what has happened.
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
"""Events after a cursor, of whomever, beyond which a client does better to fetch its list again."""

# The cursor's own batch from its event on, and then what came after that batch; all ids, few of which may concern the
# reader. The horizon is read with them: if it is behind the cursor, none of them has been pruned.
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
    """What is made of an event."""

    @property
    def event(self) -> str: ...

    @property
    def at(self) -> datetime: ...


T = TypeVar("T", bound=Replayable)


@dataclass(frozen=True, slots=True)
class Replay:
    """The ids of the events behind a place and up to the position `now`."""

    now: str
    _place: StreamPosition
    _rest: Sequence[str]
    _later: Sequence[str]

    async def portions(
        self, of: Callable[[Sequence[str]], Awaitable[list[T]]], at_once: int
    ) -> AsyncIterator[list[tuple[StreamPosition, T]]]:
        """What `of` makes of the events, so many at a time, in order, each with its place. Raises what `of` does."""
        batch_end = self._place.until or self._place.origin
        for origin, until, ids in ((self._place.origin, batch_end, self._rest), (batch_end, self.now, self._later)):
            for start in range(0, len(ids), at_once):
                found = await of(ids[start : start + at_once])
                yield [(StreamPosition(origin, until, event.at, event.event), event) for event in found]


async def replay(database: Database, place: StreamPosition, now: str | None = None) -> Replay | StreamResetReason:
    """What lies behind `place`, up to `now`, or up to the position of the look-up. Raises what the database does."""
    batch_end = place.until or place.origin
    row = await database.fetchrow(_REPLAY, place.origin, batch_end, now, place.at, place.event)
    assert row is not None
    if Snapshot.parse(batch_end).xmax > Snapshot.parse(row["now"]).xmax:
        return StreamResetReason.CURSOR_UNKNOWN
    if Snapshot.parse(place.origin).xmin < int(row["horizon"]):
        return StreamResetReason.CURSOR_EXPIRED
    if len(row["rest"]) + len(row["later"]) > REPLAY_MAX:
        return StreamResetReason.OVERFLOW
    return Replay(now or row["now"], place, row["rest"], row["later"])
