"""Queues the notifications of an event in the statement that writes it: they are sent if it commits, and not if it is
rolled back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from db.enums import Role
from db.erasure import placeholders
from db.events.log import Part
from db.ids import is_uuid
from db.postgres.statement import Statement
from db.viewer import Viewer
from notifiers.outgoing_files import GATHERING, GATHERING_SECONDS
from notifiers.rules import NotificationTarget

MAILTO: Final = "mailto:"
"""How the id begins of somebody who wrote by mail and is no customer in the database."""

_IN_THEIR_STEAD: Final = """NOT (target.stands_in AND EXISTS (
        SELECT FROM tickets JOIN technicians ON technicians.id = tickets.technician_id WHERE technicians.active))"""

# The ticket, the actor and the time are the event's, and `tickets` has the ticket as the event leaves it. Google Chat
# has one space, so its recipient is empty; that of a device is the key of its push subscription. DISTINCT ON keeps only
# the first, most important target of each recipient whose kind is on. Nobody is mailed about what they have done
# themselves, except that the contact of a new ticket gets the receipt by mail. Their addresses are an array: PostgreSQL
# would estimate the cost of NOT IN for each destination, and plan the whole statement anew for each event.
#
# Gathered notifications wait for others: a recipient for whom one waits already gets no other.
#
# Workers of the release before must not screen what they do not know: that would end their servers. So notices on
# devices pass their limits when they are claimed (`notifiers/push_rules.py`), and the kinds that are new with
# assignments, which have no limits, are written as screened.
_ENQUEUE: Final = f"""
INSERT INTO deliveries
    (event_id, ticket_id, note_id, technician_id, kind, channel, audience, recipient, recipient_name, actor_name,
    created_at, due_at, screened_at)
SELECT DISTINCT ON (destination.channel, lower(destination.recipient))
    event.id, event.ticket_id, event.note_id, destination.technician_id, target.kind, destination.channel,
    target.audience, destination.recipient, destination.name, event.actor_name, event.at,
    now() + CASE WHEN $7::boolean THEN interval '{GATHERING_SECONDS} seconds' ELSE interval '0' END,
    CASE WHEN destination.channel = 'PUSH' OR target.kind IN ('DECLINED', 'OVERDUE') THEN now() END
FROM unnest($1::notice_kind[], $2::delivery_audience[], $3::uuid[], $4::boolean[])
    WITH ORDINALITY AS target (kind, audience, technician_id, stands_in, ord)
CROSS JOIN event
CROSS JOIN support_settings AS settings
CROSS JOIN LATERAL (
    SELECT 'EMAIL'::delivery_channel, address, '', NULL::uuid FROM unnest(settings.admin_recipients) AS address
    WHERE target.audience = 'ADMIN' AND {_IN_THEIR_STEAD}
    UNION ALL
    SELECT 'EMAIL', contact_email, contact_name, NULL FROM tickets
    WHERE target.audience = 'CUSTOMER' AND contact_email NOT LIKE '%@{placeholders.DOMAIN}'
    UNION ALL
    SELECT 'EMAIL', email, name, id FROM technicians
    WHERE target.audience = 'TECHNICIAN' AND active
        AND id = coalesce(target.technician_id, (SELECT technician_id FROM tickets))
    UNION ALL
    SELECT 'GOOGLE_CHAT', '', '', NULL WHERE target.audience = 'SPACE' AND settings.google_chat_enabled
    UNION ALL
    SELECT 'PUSH', device.id::text, '', technicians.id
    FROM technicians JOIN push_subscriptions AS device ON device.owner = 'TECHNICIAN:' || technicians.id
    WHERE target.audience = 'TECHNICIAN' AND technicians.active
        AND technicians.id = coalesce(target.technician_id, (SELECT technician_id FROM tickets))
    UNION ALL
    SELECT 'PUSH', device.id::text, '', NULL
    FROM tickets JOIN push_subscriptions AS device ON device.owner = 'CUSTOMER:' || tickets.customer_id
    WHERE target.audience = 'CUSTOMER'
    UNION ALL
    SELECT 'PUSH', device.id::text, '', NULL FROM push_subscriptions AS device
    WHERE target.audience = 'ADMIN' AND device.owner >= 'ADMIN:' AND device.owner < 'ADMIN;' AND {_IN_THEIR_STEAD}
) AS destination (channel, recipient, name, technician_id)
WHERE target.kind = ANY (
    CASE destination.channel WHEN 'EMAIL' THEN settings.email_kinds WHEN 'PUSH' THEN settings.push_kinds
        ELSE settings.google_chat_kinds END
) AND (target.kind = 'CREATED' AND target.audience = 'CUSTOMER' AND destination.channel = 'EMAIL' OR
lower(destination.recipient) <> ALL (ARRAY(
    SELECT lower($5::text) WHERE $5::text IS NOT NULL
    UNION ALL SELECT lower(email) FROM technicians WHERE id = $6::uuid
    UNION ALL SELECT lower(email) FROM customers WHERE id = $6::uuid
    UNION ALL SELECT id::text FROM push_subscriptions WHERE owner = $8::text
))) AND NOT ($7::boolean AND EXISTS (
    SELECT FROM deliveries AS gathering
    WHERE gathering.ticket_id = event.ticket_id AND gathering.kind IN ('CUSTOMER_ANSWERED', 'REOPENED')
        AND gathering.channel = destination.channel AND lower(gathering.recipient) = lower(destination.recipient)
        AND gathering.note_id IS NULL AND {GATHERING}
))
ORDER BY destination.channel, lower(destination.recipient), target.ord"""

_NAMES: Final = (
    *("target_kinds", "target_audiences", "target_technicians", "target_stand_ins"),
    *("own_address", "own_id", "gathered", "own_devices"),
)
_STATEMENT: Final = Statement.of_text(_ENQUEUE, _NAMES, {})


def deliveries(actor: Viewer | None, targets: Sequence[NotificationTarget], *, gathered: bool = False) -> Part | None:
    """The part of the statement that writes an event which queues its notifications, with the settings as they are
    then; None if there are no targets. Neither an inactive technician nor the actor is notified; without an actor it is
    Callout itself. Notifications of a file are `gathered`: one, after a while, is for all that follow."""
    if not targets:
        return None
    is_row = actor is not None and actor.role in (Role.TECHNICIAN, Role.CUSTOMER) and is_uuid(actor.id)
    values = {
        "target_kinds": [each.kind for each in targets],
        "target_audiences": [each.audience for each in targets],
        "target_technicians": [each.technician_id for each in targets],
        "target_stand_ins": [each.stand_in for each in targets],
        "own_address": _own_address(actor),
        "own_id": actor.id if actor is not None and is_row else None,
        "gathered": gathered,
        "own_devices": None if actor is None else actor.role_and_id,
    }
    return Part(_STATEMENT, values)


def _own_address(actor: Viewer | None) -> str | None:
    if actor is None:
        return None
    return actor.email or _mailed_from(actor)


def _mailed_from(actor: Viewer) -> str | None:
    return actor.id.removeprefix(MAILTO) if actor.id.startswith(MAILTO) else None
