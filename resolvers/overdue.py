"""Assignments that their technicians have not answered in time.

An assignment becomes overdue if it is still OFFERED, and its ticket still OPEN, as many minutes after the offer as the
settings allow for the ticket's priority: a ticket that is IN_PROGRESS is being worked on, whatever its technician has
said. That is an event, which notifies the admins.
"""

from __future__ import annotations

import logging
from typing import Final

from db.enums import TicketEventKind
from db.events import log as event_log
from db.postgres.pool import Connection, Database
from notifiers import rules
from notifiers.enqueue import deliveries

logger = logging.getLogger(__name__)

AT_ONCE: Final = 25
"""At most this many assignments of each priority become overdue in one transaction, whose tickets are locked
meanwhile."""
FAILING_MAX: Final = 100
"""After so many tickets that cannot be marked, the rest waits for the next time."""

# The index `ix_tickets_unanswered` has exactly the tickets that may become overdue. Whichever server locks one writes
# its event; the others skip it, and find it marked afterwards.
_DUE: Final = f"""
SELECT due.id::text FROM support_settings AS settings
CROSS JOIN LATERAL (VALUES
    ('LOW'::ticket_priority, overdue_minutes_low), ('MEDIUM', overdue_minutes_medium),
    ('HIGH', overdue_minutes_high), ('URGENT', overdue_minutes_urgent)
) AS allowed (priority, minutes)
CROSS JOIN LATERAL (
    SELECT id FROM tickets
    WHERE tickets.priority = allowed.priority AND assignment_state = 'OFFERED' AND status = 'OPEN'
        AND NOT assignment_overdue AND assigned_at <= now() - allowed.minutes * interval '1 minute'
        AND id <> ALL ($1::uuid[])
    ORDER BY assigned_at LIMIT {AT_ONCE} FOR UPDATE SKIP LOCKED
) AS due"""


async def mark_overdue(database: Database) -> int:
    """Marks assignments that have become overdue, with their events and notifications. Returns their number. A ticket
    that cannot be marked is logged, and holds up no other. Any number of processes may call it. Raises the database's
    errors."""
    marked = 0
    failing: list[str] = []
    while True:
        async with database.transaction() as transaction:
            due = [ticket_id for (ticket_id,) in await transaction.fetch(_DUE, failing)]
            failed = [ticket_id for ticket_id in due if not await _mark(transaction, ticket_id)]
        marked += len(due) - len(failed)
        failing += failed
        if not due or len(failing) >= FAILING_MAX:
            return marked


async def _mark(transaction: Connection, ticket_id: str) -> bool:
    """Marks a ticket's assignment. Returns False, and changes nothing, if that fails."""
    try:
        async with transaction.transaction():
            await event_log.advance(
                transaction,
                None,
                ticket_id,
                TicketEventKind.ASSIGNMENT_OVERDUE,
                {"assignment_overdue": True},
                public=False,
                deliveries=deliveries(None, rules.of_silence()),
            )
    except Exception:
        if transaction.is_closed():
            raise
        logger.exception("an assignment cannot be marked as overdue", extra={"fields": {"ticket": ticket_id}})
        return False
    return True
