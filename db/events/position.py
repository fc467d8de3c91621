"""Positions in the event log. A position is a snapshot of PostgreSQL's: the set of transactions that it sees.

What is new since a position is what it does not see, which is exact however transactions overlap: a number that counts
up would skip those that commit late.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

NOW: Final = """(
    SELECT concat_ws(':', coalesce(min(xid), bound), bound, coalesce(string_agg(xid::text, ',' ORDER BY xid), ''))
    FROM (
        SELECT least(
            pg_snapshot_xmax(pg_current_snapshot())::text::bigint,
            (SELECT xid::text::bigint + 1 FROM ticket_events ORDER BY xid DESC LIMIT 1)
        ) AS bound
    ) AS upper
    LEFT JOIN LATERAL (
        SELECT xid::text::bigint AS xid FROM pg_snapshot_xip(pg_current_snapshot()) AS xid
    ) AS running ON running.xid < bound
    GROUP BY bound
)"""
"""SQL for the position that a statement reads at, as text: its snapshot, but not beyond the last transaction that has
written an event.

What lies beyond has told nothing, so it may count as not seen; and it must. A transaction that was rolled back shortly
before PostgreSQL crashed has left nothing on the disk, and its id is handed out again: whoever writes an event by
it afterwards would be taken for seen. The id of one that has committed, and any before it, is not."""


def unseen(position: str, columns: str) -> str:
    """SQL for a FROM: these columns of the events that are not in `position`, an expression, as rows of `event`.

    A transaction is not in a snapshot if its id is in the list of those in progress, or is not below `xmax`. As ranges
    of the index on `xid` these cost nothing where nothing has happened, however long a transaction has been open. Each
    range stands alone behind OFFSET 0, because after a bulk load the statistics say that any `xid` is half the table.
    """
    return f"""(
        SELECT pg_snapshot_xmax({position}) AS first, '9223372036854775807'::xid8 AS last
        UNION ALL
        SELECT xid, xid FROM pg_snapshot_xip({position}) AS xid
    ) AS span
    CROSS JOIN LATERAL (
        SELECT {columns} FROM ticket_events WHERE xid >= span.first AND xid <= span.last OFFSET 0
    ) AS event"""


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
