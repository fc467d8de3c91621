"""Positions in the event log. A position is a snapshot of PostgreSQL's, the set of transactions that it sees, together
with the fingerprint of the events that it sees.

The events after a position are those of the transactions that it does not see. That is exact however transactions
overlap; a sequence number would skip the events of transactions that commit late.

The fingerprint shows whether the log still has exactly these events below the position. It may not: a standby is
promoted that lacks the last transactions, a copy is put back, a dump is restored. Then transaction ids are assigned
again, to other events. The fingerprint is the exclusive or of a hash of each event's id, so it depends neither on the
order in which transactions committed nor on which cluster, timeline or process answers. The log keeps the fingerprint
of all events up to one position (`event_log.fingerprint`, `event_log.fingerprinted`); from there, that of any position
follows from the events in between.

The entries of the audit trail are events too. They are in a table of their own, with a stored fingerprint of their own
(`event_log.audit_fingerprint`, `event_log.audit_fingerprinted`). A position is one for both tables: its fingerprint is
the exclusive or of both. So are the changes of deliveries, in a third table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Self

TICKETS: Final = "ticket_events"
AUDIT: Final = "audit_entries"
DELIVERIES: Final = "delivery_events"
LOGS: Final = (TICKETS, AUDIT, DELIVERIES)
"""The tables of events."""


def unseen(position: str, columns: str, *tables: str) -> str:
    """SQL for a FROM clause: these columns and the table's name, `log`, as rows of `event`, of the events in the tables
    that the snapshot `position`, an SQL expression, does not see.

    A snapshot does not see a transaction whose id is in its list of running ones, or is not below `xmax`. Read as
    ranges of the index on `xid`, this costs nothing when there are no new events, however long a transaction has been
    running. OFFSET 0 keeps each range a subquery of its own: after a bulk load the statistics say that a single `xid`
    has half of the table, and the planner would scan the table instead.
    """
    rows = " UNION ALL ".join(
        f"(SELECT {columns}, '{table}' AS log FROM {table} WHERE xid >= span.first AND xid <= span.last OFFSET 0)"
        for table in tables
    )
    return f"""(
        SELECT pg_snapshot_xmax({position}) AS first, '9223372036854775807'::xid8 AS last
        UNION ALL
        SELECT xid, xid FROM pg_snapshot_xip({position}) AS xid
    ) AS span
    CROSS JOIN LATERAL ({rows}) AS event"""


HASH: Final = "uuid_hash_extended(event.id, 0)"
"""SQL for what an event contributes to a fingerprint."""


def _later_events(position: str, table: str) -> str:
    """SQL for a subquery: the number and the hash of the events in the table that the snapshot `position` does not
    see."""
    return f"""(SELECT count(*) AS events, coalesce(bit_xor({HASH}), 0) AS hash
        FROM {unseen(position, "id", table)})"""


def _last(table: str) -> str:
    """SQL for the last transaction that has written an event into the table."""
    # By the column of the table: `xid` alone would be the cast value, which no index has.
    return f"(SELECT xid::text::bigint FROM {table} ORDER BY {table}.xid DESC LIMIT 1)"


def _later_entries(position: str) -> str:
    """The same for the entries of the audit trail, with the last one's transaction. They are so few that all since the
    snapshot's `xmin` can be looked at, which is quicker than reading ranges. The condition with the highest id shows
    the planner that few are expected."""
    return f"""(SELECT count(*) AS events, coalesce(bit_xor({HASH}), 0) AS hash, max(xid::text::bigint) AS last
        FROM {AUDIT} AS event WHERE xid >= pg_snapshot_xmin({position}) AND xid <= '9223372036854775807'::xid8
            AND NOT pg_visible_in_snapshot(xid, {position}))"""


_STATE: Final = f"""event_log AS log,
    LATERAL {_later_events("log.fingerprinted", TICKETS)} AS later,
    LATERAL {_later_entries("log.audit_fingerprinted")} AS added,
    LATERAL {_later_events("log.delivery_fingerprinted", DELIVERIES)} AS delivered"""

_FINGERPRINT: Final = """log.fingerprint # later.hash # log.audit_fingerprint # added.hash
            # log.delivery_fingerprint # delivered.hash"""

FINGERPRINT: Final = f"(SELECT {_FINGERPRINT} FROM {_STATE})"
"""SQL for the fingerprint of all events that a statement sees."""

NOW: Final = f"""(
    SELECT concat_ws(':', coalesce(min(xid), bound), bound, coalesce(string_agg(xid::text, ',' ORDER BY xid), ''))
        || '/' || fingerprint
    FROM (
        SELECT {_FINGERPRINT} AS fingerprint, least(
            pg_snapshot_xmax(pg_current_snapshot())::text::bigint,
            greatest(
                {_last(TICKETS)},
                {_last(DELIVERIES)},
                nullif(log.audit_last::text::bigint, 0),
                added.last
            ) + 1
        ) AS bound
        FROM {_STATE}
    ) AS upper
    LEFT JOIN LATERAL (
        SELECT xid::text::bigint AS xid FROM pg_snapshot_xip(pg_current_snapshot()) AS xid
    ) AS running ON running.xid < bound
    GROUP BY bound, fingerprint
)"""
"""SQL for the position at which a statement reads, as text (`Position`): its snapshot, cut off after the last
transaction that has written an event, and the fingerprint. Null while a restore has not brought the log's state back.

Later transactions have written no event, so nothing is lost by not seeing them, and it is necessary. A transaction that
rolled back shortly before a crash of PostgreSQL may have left nothing on disk; its id is then assigned again, and the
uncut snapshot would see the event that is written under it. The id of a committed transaction is never assigned again,
nor is any lower one."""


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


class Position(NamedTuple):
    """A position, which as text is the snapshot, a slash and the fingerprint."""

    snapshot: str
    fingerprint: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises `ValueError` if the text is not a position."""
        snapshot, fingerprint = text.split("/")
        Snapshot.parse(snapshot)
        return cls(snapshot, int(fingerprint))

    def covers(self, other: Position) -> bool:
        """Whether it sees every transaction that the other one sees, as every position of the same history taken later
        does."""
        return Snapshot.parse(self.snapshot).covers(Snapshot.parse(other.snapshot))

    def holds(self, now: Position, hash: int) -> bool:
        """Whether the log, which is at `now`, still has exactly the events that this position sees. `hash` is the
        exclusive or of the hashes of the events that `now` sees in addition."""
        return self.fingerprint == now.fingerprint ^ hash


FOLDS: Final = {
    TICKETS: f"""UPDATE event_log SET fingerprint = fingerprint # hash, fingerprinted = pg_current_snapshot()
    FROM {_later_events("(SELECT fingerprinted FROM event_log)", TICKETS)} AS later WHERE events > 0""",
    AUDIT: f"""UPDATE event_log SET audit_fingerprint = audit_fingerprint # hash,
        audit_fingerprinted = pg_current_snapshot(), audit_last = greatest(audit_last, last::text::xid8)
    FROM {_later_entries("(SELECT audit_fingerprinted FROM event_log)")} AS added WHERE events > 0""",
    DELIVERIES: f"""UPDATE event_log SET delivery_fingerprint = delivery_fingerprint # hash,
        delivery_fingerprinted = pg_current_snapshot()
    FROM {_later_events("(SELECT delivery_fingerprinted FROM event_log)", DELIVERIES)} AS later WHERE events > 0""",
}
"""The statement for each table that adds the events since its stored fingerprint to it."""


async def fold(transaction: Any) -> None:
    """Adds the events since the stored fingerprints to them, in a transaction that has locked the log's row and that
    writes no event."""
    for statement in FOLDS.values():
        await transaction.execute(statement)
