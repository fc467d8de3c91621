"""How many tickets there are of each status, priority, category and technician: exact at every moment, without
counting them.

`ticket_counts` is right as of a position in the event log, the snapshot `event_log.counted`. What has happened since
is the difference that the later events make, by their images before and after. `counted` adds the two, so its sums are
those of the reading statement's own snapshot, what its transaction has itself written included; `fold` moves the
position on, so that little is left to add. See `docs/decisions/counts.md`.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import BigInteger, FromClause, text
from sqlalchemy.dialects.postgresql import UUID

from db import models
from db.positions import unseen

NOBODY: Final = "00000000-0000-0000-0000-000000000000"
"""Stands for no technician in `ticket_counts`, whose key cannot hold NULL."""

_LATER_EVENTS: Final = "FROM " + unseen("(SELECT counted FROM event_log)", "before, after")

_DIFFERENCE: Final = f"""
    SELECT
        (image ->> 'status')::ticket_status AS status, (image ->> 'priority')::ticket_priority AS priority,
        (image ->> 'category')::ticket_category AS category, (image ->> 'technician_id')::uuid AS technician_id,
        n::bigint AS n
    {_LATER_EVENTS}
    CROSS JOIN LATERAL (VALUES (event.after, 1), (event.before, -1)) AS side (image, n)
    WHERE image IS NOT NULL"""

_KEPT: Final = f"""
    SELECT status, priority, category, nullif(technician_id, '{NOBODY}') AS technician_id, n FROM ticket_counts"""

_COUNTED: Final = f"{_KEPT} UNION ALL {_DIFFERENCE}"

_FOLD: Final = f"""
WITH change AS (
    SELECT status, priority, category, coalesce(technician_id, '{NOBODY}') AS technician_id, sum(n) AS n
    FROM ({_DIFFERENCE}) AS difference GROUP BY 1, 2, 3, 4 HAVING sum(n) <> 0
), taken AS (
    SELECT count(*) AS events {_LATER_EVENTS}
), added AS (
    INSERT INTO ticket_counts SELECT * FROM change
    ON CONFLICT (status, priority, category, technician_id) DO UPDATE SET n = ticket_counts.n + excluded.n
), moved AS (
    UPDATE event_log SET counted = pg_current_snapshot() FROM taken WHERE events > 0
)
SELECT events FROM taken"""

_RECOUNT: Final = f"""
WITH added AS (
    INSERT INTO ticket_counts
    SELECT status, priority, category, technician_id, sum(n) FROM (
        SELECT status, priority, category, coalesce(technician_id, '{NOBODY}') AS technician_id, count(*) AS n
        FROM tickets GROUP BY 1, 2, 3, 4
        UNION ALL
        SELECT status, priority, category, technician_id, 0 FROM ticket_counts
    ) AS now GROUP BY 1, 2, 3, 4
    ON CONFLICT (status, priority, category, technician_id) DO UPDATE SET n = excluded.n
)
UPDATE event_log SET counted = pg_current_snapshot()"""


def counted() -> FromClause:
    """Rows `status, priority, category, technician_id, n`: sum `n` over what is asked for. Several rows may be of one
    kind and single ones negative; only sums mean something."""
    return _rows(_COUNTED, "counted")


def kept() -> FromClause:
    """The same as it was when `fold` last moved the position: quicker, and nearly right."""
    return _rows(_KEPT, "kept")


def _rows(statement: str, name: str) -> FromClause:
    types = {
        "status": models.STATUS,
        "priority": models.PRIORITY,
        "category": models.CATEGORY,
        "technician_id": UUID(as_uuid=False),
        "n": BigInteger(),
    }
    return text(statement).columns(**types).subquery(name)


async def fold(connection: Any) -> int:
    """Take the events since the position into `ticket_counts`, and move the position to the snapshot they were read
    by; the answer is their number. Any number of processes may call it: while one does, it is 0 for the others.

    `connection` must not be in a transaction: what that had written would be taken in and then be added once more."""
    assert not connection.is_in_transaction()
    async with connection.transaction():
        if await connection.fetchval("SELECT id FROM event_log FOR UPDATE SKIP LOCKED") is None:
            return 0
        events: int = await connection.fetchval(_FOLD)
        return events


async def recount(connection: Any) -> None:
    """Count the tickets themselves, for when the events do not tell: after a bulk load, or when the rows have moved to
    another cluster. The statement's snapshot becomes the position. Not in a transaction, as `fold`."""
    assert not connection.is_in_transaction()
    async with connection.transaction():
        await connection.execute("SELECT id FROM event_log FOR UPDATE")
        await connection.execute(_RECOUNT)
