"""Where in the event log a stream stands.

A position is a snapshot of PostgreSQL's (`db/events/position.py`). What lies between two positions is the events of the
transactions that the second sees and the first does not. A client may be cut off in the middle of it; so its cursor
can also say up to which event it has had what lies between.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from db.events.cursor import StreamCursors

_START = datetime(1, 1, 2).astimezone()
_NO_ID = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`xmin:xmax:xip,…` as PostgreSQL writes it: it sees every transaction below `xmax` that is not in `running`, and
    none below `xmin` is."""

    xmin: int
    xmax: int
    running: frozenset[int]

    @classmethod
    def parse(cls, text: str) -> Snapshot:
        """Raises `ValueError`."""
        xmin, xmax, running = text.split(":")
        return cls(int(xmin), int(xmax), frozenset(map(int, filter(None, running.split(",")))))

    def sees(self, xid: int) -> bool:
        return xid < self.xmax and xid not in self.running

    def covers(self, other: Snapshot) -> bool:
        """Whether it sees whatever the other one does, as any that is taken later does."""
        return other.xmax <= self.xmax and not any(other.sees(xid) for xid in self.running)


@dataclass(frozen=True, slots=True)
class Place:
    """The event after which a stream goes on, among those that `until` sees and `origin` does not."""

    origin: str
    until: str | None = None
    at: datetime = _START
    event: str = _NO_ID

    def sealed(self, cursors: StreamCursors) -> str:
        if self.until is None:
            return cursors.seal(self.origin)
        return cursors.seal("|".join((self.origin, self.until, self.at.isoformat(), self.event)))

    @classmethod
    def opened(cls, cursor: str, cursors: StreamCursors) -> Place | None:
        """None for a cursor that this log has not made."""
        text = cursors.open(cursor)
        if text is None:
            return None
        origin, *rest = text.split("|")
        if not rest:
            return cls(origin)
        until, at, event = rest
        return cls(origin, until, datetime.fromisoformat(at), event)
