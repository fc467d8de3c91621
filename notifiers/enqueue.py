"""Queues the notifications of an event in the statement that writes it: they are sent if it commits, and not if it is
rolled back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from db.erasure import placeholders
from db.events.log import Part
from db.postgres.statement import Statement
from notifiers.rules import NotificationTarget

# The ticket, the actor and the time are the event's. Google Chat has one space, so its recipient is empty. DISTINCT ON
# keeps only the first, most important target of each recipient whose kind is on.
_ENQUEUE: Final = f"""
INSERT INTO deliveries
    (event_id, ticket_id, note_id, technician_id, kind, channel, audience, recipient, recipient_name, actor_name,
    created_at)
SELECT DISTINCT ON (destination.channel, lower(destination.recipient))
    event.id, event.ticket_id, event.note_id, target.technician_id, target.kind, destination.channel, target.audience,
    destination.recipient, destination.name, event.actor_name, event.at
FROM unnest($1::notice_kind[], $2::delivery_audience[], $3::uuid[])
    WITH ORDINALITY AS target (kind, audience, technician_id, ord)
CROSS JOIN event
CROSS JOIN support_settings AS settings
CROSS JOIN LATERAL (
    SELECT 'EMAIL'::delivery_channel, address, '' FROM unnest(settings.admin_recipients) AS address
    WHERE target.audience = 'ADMIN'
    UNION ALL
    SELECT 'EMAIL', contact_email, contact_name FROM tickets
    WHERE target.audience = 'CUSTOMER' AND contact_email NOT LIKE '%@{placeholders.DOMAIN}'
    UNION ALL
    SELECT 'EMAIL', email, name FROM technicians WHERE id = target.technician_id AND active
    UNION ALL
    SELECT 'GOOGLE_CHAT', '', '' WHERE target.audience = 'SPACE' AND settings.google_chat_enabled
) AS destination (channel, recipient, name)
WHERE target.kind = ANY (
    CASE destination.channel WHEN 'EMAIL' THEN settings.email_kinds ELSE settings.google_chat_kinds END
)
ORDER BY destination.channel, lower(destination.recipient), target.ord"""

_STATEMENT: Final = Statement.of_text(_ENQUEUE, ("target_kinds", "target_audiences", "target_technicians"), {})


def deliveries(targets: Sequence[NotificationTarget]) -> Part | None:
    """The part of the statement that writes an event which queues its notifications, with the settings as they are
    then; None if there are no targets. An inactive technician is not notified."""
    if not targets:
        return None
    values = {
        "target_kinds": [each.kind for each in targets],
        "target_audiences": [each.audience for each in targets],
        "target_technicians": [each.technician_id for each in targets],
    }
    return Part(_STATEMENT, values)
