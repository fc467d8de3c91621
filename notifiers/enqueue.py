"""Queues the notifications of an event in the transaction that has written it: they are sent if it commits, and not if
it rolls back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from db.postgres.statement import Queryable
from notifiers.rules import NotificationTarget

# The ticket, the actor and the time are the event's. Google Chat has one space, so its recipient is empty. DISTINCT ON
# keeps only the first, most important target of each recipient whose kind is on.
_ENQUEUE: Final = """
INSERT INTO deliveries
    (event_id, ticket_id, note_id, technician_id, kind, channel, audience, recipient, recipient_name, actor_name,
    created_at)
SELECT DISTINCT ON (event.id, destination.channel, lower(destination.recipient))
    event.id, event.ticket_id, event.note_id, target.technician_id, target.kind, destination.channel, target.audience,
    destination.recipient, destination.name, event.actor_name, event.at
FROM unnest($1::uuid[], $2::notice_kind[], $3::delivery_audience[], $4::uuid[])
    WITH ORDINALITY AS target (event_id, kind, audience, technician_id, ord)
JOIN ticket_events AS event ON event.id = target.event_id
CROSS JOIN support_settings AS settings
CROSS JOIN LATERAL (
    SELECT 'EMAIL'::delivery_channel, address, '' FROM unnest(settings.admin_recipients) AS address
    WHERE target.audience = 'ADMIN'
    UNION ALL
    SELECT 'EMAIL', contact_email, contact_name FROM tickets WHERE id = event.ticket_id AND target.audience = 'CUSTOMER'
    UNION ALL
    SELECT 'EMAIL', email, name FROM technicians WHERE id = target.technician_id AND active
    UNION ALL
    SELECT 'GOOGLE_CHAT', '', '' WHERE target.audience = 'SPACE' AND settings.google_chat_enabled
) AS destination (channel, recipient, name)
WHERE target.kind = ANY (
    CASE destination.channel WHEN 'EMAIL' THEN settings.email_kinds ELSE settings.google_chat_kinds END
)
ORDER BY event.id, destination.channel, lower(destination.recipient), target.ord"""


async def enqueue(connection: Queryable, events: Mapping[str, Sequence[NotificationTarget]]) -> None:
    """Queue the notifications of these events, by event id, with the settings as they are now. Does nothing if there
    are no targets. An inactive technician is not notified."""
    target = [(event, each) for event, of_event in events.items() for each in of_event]
    if target:
        await connection.execute(
            _ENQUEUE,
            [event for event, _ in target],
            [each.kind for _, each in target],
            [each.audience for _, each in target],
            [each.technician_id for _, each in target],
        )
