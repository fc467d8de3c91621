"""Positions in the event log. A position is a snapshot of PostgreSQL's: the set of transactions that it sees.

What is new since a position is what it does not see, which is exact however transactions overlap: a number that counts
up would skip those that commit late.
"""

from __future__ import annotations


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
