"""Positions in the event log. A position is a snapshot of PostgreSQL's: the set of transactions that it sees.

The events after a position are those of the transactions that it does not see. That is exact however transactions
overlap; a sequence number would skip the events of transactions that commit late.
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
"""SQL for the position at which a statement reads, as text: its snapshot, cut off after the last transaction that has
written an event.

Later transactions have written no event, so nothing is lost by not seeing them, and it is necessary. A transaction that
rolled back shortly before a crash of PostgreSQL may have left nothing on disk; its id is then assigned again, and the
uncut snapshot would see the event that is written under it. The id of a committed transaction is never assigned again,
nor is any lower one."""


def unseen(position: str, columns: str) -> str:
    """SQL for a FROM clause: these columns, as rows of `event`, of the events that `position`, an SQL expression, does
    not see.

    A snapshot does not see a transaction whose id is in its list of running ones, or is not below `xmax`. Read as
    ranges of the index on `xid`, this costs nothing when there are no new events, however long a transaction has been
    running. OFFSET 0 keeps each range a subquery of its own: after a bulk load the statistics say that a single `xid`
    has half of the table, and the planner would scan the table instead.
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
    """A snapshot, which PostgreSQL writes as `xmin:xmax:xip,…`. It sees every transaction below `xmax` that is not in
    `running`; none in `running` is below `xmin`."""

    xmin: int
    xmax: int
    running: frozenset[int]

    @classmethod
    def parse(cls, text: str) -> Snapshot:
        """Raises `ValueError` if the text is not a snapshot."""
        xmin, xmax, running = text.split(":")
        return cls(int(xmin), int(xmax), frozenset(map(int, filter(None, running.split(",")))))

    def sees(self, xid: int) -> bool:
        return xid < self.xmax and xid not in self.running

    def covers(self, other: Snapshot) -> bool:
        """Whether it sees every transaction that the other one sees, as every snapshot taken later does."""
        return other.xmax <= self.xmax and not any(other.sees(xid) for xid in self.running)
