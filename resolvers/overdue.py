"""Assignments that their technicians have not answered in time.

An assignment becomes overdue if it is still OFFERED, and its ticket still OPEN, as many minutes after the offer as the
settings allow for the ticket's priority: a ticket that is IN_PROGRESS is being worked on, whatever its technician has
said. That is an event, which notifies the admins.
"""

from __future__ import annotations

from typing import Final

from db.enums import TicketEventKind
from db.events import log as event_log
from db.postgres.pool import Database
from notifiers import rules
from notifiers.enqueue import deliveries

AT_ONCE: Final = 25
"""At most this many assignments of each priority become overdue in one transaction, whose tickets are locked
meanwhile."""

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
    ORDER BY assigned_at LIMIT {AT_ONCE} FOR UPDATE SKIP LOCKED
) AS due"""


async def mark_overdue(database: Database) -> int:
    """Marks assignments that have become overdue, with their events and notifications. Returns their number; there may
    be more if it is not 0. Any number of processes may call it."""
    async with database.transaction() as transaction:
        due = await transaction.fetch(_DUE)
        for (ticket_id,) in due:
            await event_log.advance(
                transaction,
                None,
                ticket_id,
                TicketEventKind.ASSIGNMENT_OVERDUE,
                {"assignment_overdue": True},
                public=False,
                deliveries=deliveries(None, rules.of_silence()),
            )
    return len(due)
