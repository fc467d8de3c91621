"""Stream cursors: positions in the event log, sealed for clients to hold; and `check_cursor`, which decides whether a
stream can continue from one.

A position is a snapshot of PostgreSQL's with the fingerprint of the events that it sees (`db/events/position.py`). The
events between two positions are those of the transactions that the second sees and the first does not. A client may be
disconnected in the middle of a batch, so a cursor can also name the last event that the client has received of the
batch. Events are those of tickets, the entries of the audit trail and the changes of deliveries: one cursor serves
every stream.

Cursors are sealed because a snapshot would reveal the number of transactions, and so that none can be forged. All
servers of a log seal with the same key, before and after a failover or a restore; the fingerprint shows whether the
events below a cursor are still the same.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol, Self, TypeVar

from db.enums import StreamResetReason
from db.events.position import HASH, LOGS, NOW, Position, Snapshot, unseen
from db.events.seal import Seal
from db.metrics import Counter
from db.postgres.pool import Database

REPLAY_MAX: Final = 50_000
"""The most events to replay, counting those that do not concern the client. With more, fetching its list again is
cheaper."""


_RESETS: Final = Counter(
    "callout_stream_resets",
    "Streams, and pages of changes, that could not continue from their cursor.",
    ("reason",),
    known=[(reason.value,) for reason in StreamResetReason],
)


class StreamCursors(Seal):
    """Seals and opens the cursors of one event log. The purpose has the number of the format, so that servers of the
    versions before and after a change of the format do not open each other's."""

    def __init__(self, log_identity: str) -> None:
        super().__init__("stream cursor 4", log_identity)


_START = datetime(1, 1, 2).astimezone()
_NO_ID = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True)
class StreamPosition:
    """Where a stream resumes: at the position `origin`; or, if `until` is given, after the event `event` of time `at`,
    among those that `until` sees and `origin` does not."""

    origin: str
    until: str | None = None
    at: datetime = _START
    event: str = _NO_ID

    @property
    def end(self) -> str:
        """The position at the end of the batch; or `origin`, if it is not within a batch."""
        return self.until or self.origin

    @property
    def text(self) -> str:
        """The position as the database stores it."""
        if self.until is None:
            return self.origin
        return "|".join((self.origin, self.until, self.at.isoformat(), self.event))

    def sealed(self, cursors: StreamCursors) -> str:
        return cursors.seal(self.text)

    @classmethod
    def opened(cls, cursor: str, cursors: StreamCursors) -> StreamPosition | None:
        """The position in `cursor`, or None if this log has not sealed it, or not in this format."""
        text = cursors.open(cursor)
        return None if text is None else cls.stored(text)

    @classmethod
    def stored(cls, text: str) -> StreamPosition | None:
        """The position in a text of the database, or None if it is not one in this format."""
        try:
            return cls._parsed(*text.split("|"))
        except (TypeError, ValueError):
            return None

    @classmethod
    def _parsed(cls, origin: str, until: str | None = None, at: str | None = None, event: str = _NO_ID) -> Self:
        """Raises `TypeError` or `ValueError` if the parts are not those of a position."""
        Position.parse(origin)
        if until is None:
            return cls(origin)
        Position.parse(until)
        return cls(origin, until, datetime.fromisoformat(at or ""), str(uuid.UUID(event)))


class Unsettled(ConnectionError):
    """The database that answers is not the one whose position the reader has: a failover or a restore is going on. The
    reader may try again."""


_LOG: Final = f"{NOW} AS now, pg_is_in_recovery() AS recovering, greatest(horizon, audit_horizon)::text AS horizon"

# What the log says about a position, in one snapshot: where the log stands, the horizon, and the ids of the later
# events of the kinds that the reader reads ($6): of those in the position's own batch (`rest`), and of those after it
# up to the reader's position (`later`).
# Most of them may not concern the reader. One event more than the limit shows that there are too many. `after_end` and
# `after_until` are the hashes of the events after the end of the position's batch, and after the reader's position.
_EVENTS_AFTER: Final = f"""
SELECT {_LOG}, missed.*
FROM event_log, LATERAL (
    SELECT count(*) AS events,
        coalesce(array_agg(id::text ORDER BY at, id) FILTER (WHERE begun AND wanted), '{{}}') AS rest,
        coalesce(array_agg(id::text ORDER BY at, id) FILTER (WHERE NOT begun AND reached AND wanted), '{{}}') AS later,
        coalesce(bit_xor({HASH}) FILTER (WHERE NOT begun), 0) AS after_end,
        coalesce(bit_xor({HASH}) FILTER (WHERE NOT reached), 0) AS after_until
    FROM (
        SELECT id, at, begun, reached, log = ANY ($6::text[]) AS wanted
        FROM {unseen("$1::text::pg_snapshot", "id, at, xid", *LOGS)},
            LATERAL (SELECT pg_visible_in_snapshot(xid, $2::text::pg_snapshot) AS begun,
                pg_visible_in_snapshot(xid, coalesce($3::text::pg_snapshot, pg_current_snapshot())) AS reached) AS batch
        WHERE NOT (begun AND (at, id) <= ($4::timestamptz, $5::text::uuid))
        LIMIT {REPLAY_MAX + 1}
    ) AS event
) AS missed"""


# The same for a reader who takes the events in slices, however many there are: the hash of all that the end of the
# position's batch does not see, and the first of those after the position, of its own batch (`begun`) and then of those
# after it.
_FIRST_AFTER: Final = f"""
SELECT {_LOG}, missed.*, slice.*
FROM event_log, LATERAL (
    SELECT coalesce(bit_xor({HASH}), 0) AS after_end FROM {unseen("$2::text::pg_snapshot", "id", *LOGS)}
) AS missed, LATERAL (
    SELECT coalesce(array_agg(id::text ORDER BY NOT begun, at, id), '{{}}') AS ids,
        coalesce(array_agg(at ORDER BY NOT begun, at, id), '{{}}') AS times, count(*) FILTER (WHERE begun) AS begun
    FROM (
        SELECT id, at, begun FROM {unseen("$1::text::pg_snapshot", "id, at, xid", *LOGS)},
            LATERAL (SELECT pg_visible_in_snapshot(xid, $2::text::pg_snapshot) AS begun) AS batch
        WHERE NOT (begun AND (at, id) <= ($3::timestamptz, $4::text::uuid)) AND log = ANY ($6::text[])
        ORDER BY NOT begun, at, id LIMIT $5
    ) AS event
) AS slice"""


class Replayable(Protocol):
    """Something made from an event: its event's id and time give its cursor."""

    @property
    def event(self) -> str: ...

    @property
    def at(self) -> datetime: ...


T = TypeVar("T", bound=Replayable)


@dataclass(frozen=True, slots=True)
class Replay:
    """The stream can continue from the `position` of its cursor: the ids of the events after it, up to `now`."""

    now: str
    position: StreamPosition
    _rest: Sequence[str]
    _later: Sequence[str]

    @property
    def events(self) -> int:
        """How many events there are."""
        return len(self._rest) + len(self._later)

    async def portions(
        self, of: Callable[[Sequence[str]], Awaitable[list[T]]], at_once: int
    ) -> AsyncIterator[list[tuple[StreamPosition, T]]]:
        """Yields what `of` makes of the events, each with its position, in order, `at_once` events at a time. Raises
        the errors of `of`."""
        batch_end = self.position.end
        for origin, until, ids in ((self.position.origin, batch_end, self._rest), (batch_end, self.now, self._later)):
            for start in range(0, len(ids), at_once):
                found = await of(ids[start : start + at_once])
                yield [(StreamPosition(origin, until, event.at, event.event), event) for event in found]


@dataclass(frozen=True, slots=True)
class Reset:
    """The stream cannot continue from its cursor, and starts anew at the position `now`."""

    now: str
    reason: StreamResetReason


async def check_cursor(
    cursor: str,
    cursors: StreamCursors,
    database: Database,
    until: str | None = None,
    logs: Collection[str] = LOGS,
) -> Replay | Reset:
    """Checks a stream cursor as a client has sent it, and reads the events after it; see `check_position`."""
    return await check_position(StreamPosition.opened(cursor, cursors), database, until, logs)


async def check_position(
    position: StreamPosition | None, database: Database, until: str | None = None, logs: Collection[str] = LOGS
) -> Replay | Reset:
    """Checks where a stream is to resume, and reads the events after it that are in the tables `logs`, up to the
    reader's position `until`, or to the log's current one. One statement does both: in the snapshot in which the
    horizon is read, none of these events has been pruned.

    Returns a `Replay` if the log still has every event before and after the position; otherwise a `Reset`. Its reason
    is

    - `CURSOR_UNKNOWN` if there is no position: this log has not sealed the cursor, or it was altered;
    - `CURSOR_UNKNOWN` if the position is ahead of `until` or of the log, or if the events that it sees are no longer
      the same: after a failover that lost some, or a restore;
    - `CURSOR_EXPIRED` if events after the position may have been pruned: it does not see everything below the horizon;
    - `OVERFLOW` if more than `REPLAY_MAX` events come after the position.

    Raises `Unsettled`, and the database's errors.
    """
    if position is None:
        return _counted(Reset(until or await _now(database), StreamResetReason.CURSOR_UNKNOWN))
    end = Position.parse(position.end)
    if until is not None and not Position.parse(until).covers(end):
        return _counted(Reset(until, StreamResetReason.CURSOR_UNKNOWN))
    log = await _read(position, database, until, logs)
    reason = _reason(position, log)
    if reason is not None:
        return _counted(Reset(until or log["now"], reason))
    return Replay(until or log["now"], position, log["rest"], log["later"])


def _counted(reset: Reset) -> Reset:
    _RESETS.add(reset.reason.value)
    return reset


async def _now(database: Database) -> str:
    now: str | None = await database.fetchval(f"SELECT {NOW}")
    if now is None:
        raise Unsettled("the event log has no state, as in the middle of a restore")
    return now


async def _read(position: StreamPosition, database: Database, until: str | None, logs: Collection[str]) -> Any:
    reader = None if until is None else Position.parse(until)
    log = await database.fetchrow(
        _EVENTS_AFTER,
        Position.parse(position.origin).snapshot,
        Position.parse(position.end).snapshot,
        None if reader is None else reader.snapshot,
        position.at,
        position.event,
        list(logs),
    )
    if log is None or log["recovering"]:
        raise Unsettled("the database is a standby, or is being restored")
    read_all = log["events"] <= REPLAY_MAX
    if reader is not None and read_all and not reader.holds(Position.parse(log["now"]), log["after_until"]):
        raise Unsettled("the database has another history than the server's position")
    return log


def _reason(position: StreamPosition, log: Any) -> StreamResetReason | None:
    """Why the stream cannot continue, from what the statement has read; None if it can."""
    read_all = log["events"] <= REPLAY_MAX
    reason = _history_reason(position, log, read_all=read_all)
    return reason if reason is not None or read_all else StreamResetReason.OVERFLOW


def _history_reason(position: StreamPosition, log: Any, *, read_all: bool = True) -> StreamResetReason | None:
    """Why the stream cannot continue, as far as the log's history decides it. Unless the statement has `read_all`
    events, it says nothing of their hash."""
    end, now = Position.parse(position.end), Position.parse(log["now"])
    if not now.covers(end):
        return StreamResetReason.CURSOR_UNKNOWN
    if Snapshot.parse(Position.parse(position.origin).snapshot).xmin < int(log["horizon"]):
        return StreamResetReason.CURSOR_EXPIRED
    if read_all and not end.holds(now, log["after_end"]):
        return StreamResetReason.CURSOR_UNKNOWN
    return None


@dataclass(frozen=True, slots=True)
class Slice:
    """The first events after a position. When they have been looked at, the reader continues from `end`; `more` says
    whether there are any after it."""

    replay: Replay
    end: StreamPosition
    more: bool


async def first_after(
    position: StreamPosition, database: Database, most: int, logs: Collection[str] = LOGS
) -> Slice | Reset:
    """Checks where a stream is to resume, as `check_position` does, and reads the first events after it that are in
    these logs, at most `most`. There is no `OVERFLOW`: whoever has missed more reads on from the slice's end. Raises
    `Unsettled`, and the database's errors."""
    origin, end = Position.parse(position.origin), Position.parse(position.end)
    log = await database.fetchrow(
        _FIRST_AFTER, origin.snapshot, end.snapshot, position.at, position.event, most + 1, list(logs)
    )
    if log is None or log["recovering"]:
        raise Unsettled("the database is a standby, or is being restored")
    reason = _history_reason(position, log)
    if reason is not None:
        return _counted(Reset(log["now"], reason))
    ids, times, begun, now = log["ids"][:most], log["times"], min(log["begun"], most), log["now"]
    replay = Replay(now, position, ids[:begun], ids[begun:])
    if len(log["ids"]) <= most:
        return Slice(replay, StreamPosition(now), more=False)
    origin_of_last, until_of_last = (position.origin, position.end) if begun == most else (position.end, now)
    return Slice(replay, StreamPosition(origin_of_last, until_of_last, times[most - 1], ids[-1]), more=True)
