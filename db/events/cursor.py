"""Stream cursors: positions in the event log, sealed for clients to hold; and `check_cursor`, which decides whether a
stream can continue from one.

A position is a snapshot of PostgreSQL's (`db/events/position.py`). The events between two positions are those of the
transactions that the second sees and the first does not. A client may be disconnected in the middle of a batch, so a
cursor can also name the last event that the client has received of the batch.

Cursors are sealed because a snapshot would reveal the number of transactions, and because this recognises a cursor of
another log.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol, TypeVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from db.enums import StreamResetReason
from db.events.position import NOW, Snapshot, unseen
from db.postgres.pool import Database

REPLAY_MAX: Final = 50_000
"""The most events to replay, counting those that do not concern the client. With more, fetching its list again is
cheaper."""


class StreamCursors:
    """Seals and opens the cursors of one event log (AES-GCM, NIST SP 800-38D). The key is derived from the log's
    identity, so that a cursor of another log does not open. Each cursor has a fresh nonce, so that equal positions look
    different."""

    def __init__(self, log_identity: str) -> None:
        self._cipher = AESGCM(hashlib.sha256(b"callout stream cursor " + log_identity.encode()).digest())

    def seal(self, snapshot: str) -> str:
        nonce = os.urandom(12)
        return base64.urlsafe_b64encode(nonce + self._cipher.encrypt(nonce, snapshot.encode(), None)).decode()

    def open(self, cursor: str) -> str | None:
        """The position in `cursor`, or None if this log has not sealed it."""
        try:
            raw = base64.b64decode(cursor, altchars=b"-_", validate=True)
            return self._cipher.decrypt(raw[:12], raw[12:], None).decode()
        except (binascii.Error, InvalidTag, ValueError):
            return None


_START = datetime(1, 1, 2).astimezone()
_NO_ID = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True)
class StreamPosition:
    """Where a stream resumes: at the snapshot `origin`; or, if `until` is given, after the event `event` of time `at`,
    among those that `until` sees and `origin` does not."""

    origin: str
    until: str | None = None
    at: datetime = _START
    event: str = _NO_ID

    @property
    def end(self) -> str:
        """The snapshot at the end of the position's batch; or `origin`, if it is not within a batch."""
        return self.until or self.origin

    def sealed(self, cursors: StreamCursors) -> str:
        if self.until is None:
            return cursors.seal(self.origin)
        return cursors.seal("|".join((self.origin, self.until, self.at.isoformat(), self.event)))

    @classmethod
    def opened(cls, cursor: str, cursors: StreamCursors) -> StreamPosition | None:
        """The position in `cursor`, or None if this log has not sealed it."""
        text = cursors.open(cursor)
        if text is None:
            return None
        origin, *rest = text.split("|")
        if not rest:
            return cls(origin)
        until, at, event = rest
        return cls(origin, until, datetime.fromisoformat(at), event)


# What the log says about a position, in one snapshot: where the log stands, the horizon, and the ids of the later
# events: of those in the position's own batch (`rest`), and of those after it (`later`). Most of them may not concern
# the reader. One event more than the limit shows that there are too many.
_EVENTS_AFTER: Final = f"""
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
    """The stream can continue: the ids of the events after its cursor, up to the position `now`."""

    now: str
    _position: StreamPosition
    _rest: Sequence[str]
    _later: Sequence[str]

    async def portions(
        self, of: Callable[[Sequence[str]], Awaitable[list[T]]], at_once: int
    ) -> AsyncIterator[list[tuple[StreamPosition, T]]]:
        """Yields what `of` makes of the events, each with its position, in order, `at_once` events at a time. Raises
        the errors of `of`."""
        batch_end = self._position.end
        for origin, until, ids in ((self._position.origin, batch_end, self._rest), (batch_end, self.now, self._later)):
            for start in range(0, len(ids), at_once):
                found = await of(ids[start : start + at_once])
                yield [(StreamPosition(origin, until, event.at, event.event), event) for event in found]


@dataclass(frozen=True, slots=True)
class Reset:
    """The stream cannot continue from its cursor, and starts anew at the position `now`."""

    now: str
    reason: StreamResetReason


async def check_cursor(
    cursor: str, cursors: StreamCursors, database: Database, until: str | None = None
) -> Replay | Reset:
    """Checks a stream cursor as a client has sent it, and reads the events after it, up to the position `until`, or to
    the log's current one. One statement does both: in the snapshot in which the horizon is read, none of these events
    has been pruned.

    Returns a `Replay` if the log still has every event after the cursor; otherwise a `Reset`. Its reason is

    - `CURSOR_UNKNOWN` if this log has not sealed the cursor: it is malformed, was altered, or is from another log;
    - `CURSOR_UNKNOWN` if the cursor is ahead of `until` or of the log, as after a restore from a backup;
    - `CURSOR_EXPIRED` if events after the cursor may have been pruned: it does not see everything below the horizon;
    - `OVERFLOW` if more than `REPLAY_MAX` events come after the cursor.

    Raises the database's errors.
    """
    position = StreamPosition.opened(cursor, cursors)
    if position is None:
        return Reset(until or await database.fetchval(f"SELECT {NOW}"), StreamResetReason.CURSOR_UNKNOWN)
    if until is not None and _is_ahead(position, until):
        return Reset(until, StreamResetReason.CURSOR_UNKNOWN)
    log = await database.fetchrow(_EVENTS_AFTER, position.origin, position.end, until, position.at, position.event)
    assert log is not None
    now = until or log["now"]
    # Is the position one of this log's history? The statement has read all that the answer needs.
    if _is_ahead(position, log["now"]):
        return Reset(now, StreamResetReason.CURSOR_UNKNOWN)
    if Snapshot.parse(position.origin).xmin < int(log["horizon"]):
        return Reset(now, StreamResetReason.CURSOR_EXPIRED)
    if len(log["rest"]) + len(log["later"]) > REPLAY_MAX:
        return Reset(now, StreamResetReason.OVERFLOW)
    return Replay(now, position, log["rest"], log["later"])


def _is_ahead(position: StreamPosition, now: str) -> bool:
    """Whether the position sees a transaction that `now` does not see, as none does that was made before `now`."""
    return not Snapshot.parse(now).covers(Snapshot.parse(position.end))
