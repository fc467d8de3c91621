"""The queue of deliveries, as statements: what is due is claimed, and what became of it is recorded.

A claim is a lease. It is committed before anything is sent, so no transaction is open and no row locked meanwhile; and
if whoever holds it dies, the row is due again when it ends. `SKIP LOCKED` keeps any number of workers out of each
other's way, and what is claimed is not due, so nobody takes it a second time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from db.enums import Audience, DeliveryChannel, DeliveryState, NoticeKind, TicketCategory, TicketPriority, TicketStatus
from db.postgres.statement import Queryable
from notifiers import message_ids
from notifiers.notification import Notification, TicketFacts

THREAD_MAX: Final = 20  # messages that a mail refers to

# $1 and $2: channels, each with how many are wanted of it; $3: seconds of the lease; $4: seconds after which a row is
# given up. One that has not been tried by then is not tried any more, which its `attempts` of 0 tell.
#
# Of one ticket and recipient, a row waits while an earlier one is being sent or is due itself. That is looked up among
# the ticket's rows for each row by itself, and so is what hangs on a claimed row (behind OFFSET 0): these are few,
# whatever the planner thinks of a table that was empty when it last looked.
_CLAIM: Final = f"""
WITH due AS MATERIALIZED (
    SELECT found.id
    FROM unnest($1::delivery_channel[], $2::integer[]) AS free (channel, places)
    CROSS JOIN LATERAL (
        SELECT mine.id FROM deliveries AS mine
        WHERE mine.channel = free.channel AND mine.state = 'PENDING' AND mine.due_at <= now()
            AND NOT EXISTS (
                SELECT FROM (SELECT * FROM deliveries WHERE ticket_id = mine.ticket_id OFFSET 0) AS earlier
                WHERE earlier.channel = mine.channel AND lower(earlier.recipient) = lower(mine.recipient)
                    AND (earlier.created_at, earlier.id) < (mine.created_at, mine.id)
                    AND earlier.state = 'PENDING' AND (earlier.due_at <= now() OR earlier.claimed_until > now())
                OFFSET 0
            )
        ORDER BY mine.due_at, mine.id LIMIT free.places FOR NO KEY UPDATE SKIP LOCKED
    ) AS found
), claimed AS (
    UPDATE deliveries AS mine
    SET due_at = now() + $3 * interval '1 second', claimed_until = now() + $3 * interval '1 second',
        attempts = CASE
            WHEN attempts = 0 AND queued_at < now() - $4 * interval '1 second' THEN 0 ELSE attempts + 1 END
    WHERE mine.id = ANY (ARRAY(SELECT id FROM due))
    RETURNING *
)
SELECT claimed.id, claimed.channel, claimed.attempts, claimed.kind, claimed.audience, claimed.recipient,
    claimed.recipient_name, claimed.actor_name, claimed.created_at AS at,
    (SELECT body FROM notes WHERE id = claimed.note_id) AS note,
    (SELECT google_chat_webhook_url FROM support_settings
        WHERE claimed.channel = 'GOOGLE_CHAT' AND google_chat_enabled) AS webhook_url,
    ARRAY(
        SELECT id FROM (
            SELECT id, created_at FROM (SELECT * FROM deliveries WHERE ticket_id = claimed.ticket_id OFFSET 0) AS sent
            WHERE claimed.channel = 'EMAIL' AND sent.channel = claimed.channel AND sent.state = 'SENT'
                AND lower(sent.recipient) = lower(claimed.recipient)
            ORDER BY created_at DESC, id DESC LIMIT {THREAD_MAX}
        ) AS latest ORDER BY created_at, id
    ) AS thread,
    ticket.id AS ticket_id, ticket.reference, ticket.subject, ticket.description, ticket.status, ticket.priority,
    ticket.category, ticket.contact_name, ticket.contact_email, ticket.resolution, ticket.created_at,
    (SELECT name FROM customers WHERE id = ticket.customer_id) AS customer_name,
    (SELECT address FROM properties WHERE id = ticket.property_id) AS property_address,
    (SELECT name FROM technicians WHERE id = ticket.technician_id) AS technician_name
FROM claimed
CROSS JOIN LATERAL (
    SELECT coalesce((SELECT after FROM ticket_events WHERE id = claimed.event_id), to_jsonb(tickets)) AS image
    FROM tickets WHERE id = claimed.ticket_id OFFSET 0
) AS left_behind
CROSS JOIN LATERAL jsonb_populate_record(NULL::tickets, left_behind.image) AS ticket
ORDER BY claimed.created_at, claimed.id"""

# Whoever has sent it says so even where the lease has ended meanwhile; who has failed says so only of their own claim.
# $6: seconds after which a row is given up, when it has been tried a last time.
_RECORD: Final = """
UPDATE deliveries AS mine SET
    state = result.state, said = coalesce(result.said, mine.said), claimed_until = NULL,
    due_at = CASE result.state WHEN 'PENDING' THEN result.due_at ELSE mine.due_at END,
    finished_at = CASE result.state WHEN 'PENDING' THEN NULL ELSE now() END
FROM (
    SELECT id, attempts, said,
        CASE WHEN outcome.state = 'PENDING' AND outcome.said IS NOT NULL AND given_up_at <= now() THEN 'DEAD'
            ELSE outcome.state END AS state,
        least(now() + pause * interval '1 second', greatest(given_up_at, now())) AS due_at
    FROM unnest($1::uuid[], $2::integer[], $3::delivery_state[], $4::text[], $5::double precision[])
        AS outcome (id, attempts, state, said, pause)
    CROSS JOIN LATERAL (
        SELECT queued_at + $6 * interval '1 second' AS given_up_at FROM deliveries
        WHERE deliveries.id = outcome.id OFFSET 0
    ) AS row
) AS result
WHERE mine.id = result.id AND mine.state = 'PENDING'
    AND (result.state = 'SENT' OR mine.attempts = result.attempts)
RETURNING mine.id, mine.channel, mine.kind, mine.state"""


@dataclass(frozen=True, slots=True)
class Claim:
    """A delivery that is ours for the length of the lease. `attempts` counts this one; 0 if it is too late for any."""

    id: str
    channel: DeliveryChannel
    attempts: int
    row: Mapping[str, Any]

    def notification(self, domain: str) -> Notification:
        """What is to be told. `domain` is the one of our Message-IDs."""
        row = self.row
        ticket_id = str(row["ticket_id"])
        return Notification(
            delivery_id=self.id,
            kind=NoticeKind(row["kind"]),
            audience=Audience(row["audience"]),
            recipient=row["recipient"],
            recipient_name=row["recipient_name"],
            ticket=TicketFacts(
                id=ticket_id,
                reference=row["reference"],
                subject=row["subject"],
                description=row["description"],
                status=TicketStatus(row["status"]),
                priority=TicketPriority(row["priority"]),
                category=TicketCategory(row["category"]),
                contact_name=row["contact_name"],
                contact_email=row["contact_email"],
                customer_name=row["customer_name"],
                property_address=row["property_address"],
                technician_name=row["technician_name"],
                resolution=row["resolution"],
                created_at=row["created_at"],
            ),
            actor_name=row["actor_name"],
            at=row["at"],
            note=row["note"],
            thread=tuple(message_ids.of_delivery(str(sent), ticket_id, domain) for sent in row["thread"]),
            webhook_url=row["webhook_url"],
        )


@dataclass(frozen=True, slots=True)
class AttemptOutcome:
    """What became of a claim. PENDING is tried again after `pause` seconds; with nothing said, it was not tried."""

    claim: Claim
    state: DeliveryState
    said: str | None
    pause: float = 0.0


async def claim(
    database: Queryable, wanted: Mapping[DeliveryChannel, int], *, lease: float, give_up: float
) -> list[Claim]:
    """What is due, the longest due first: at most so many of each channel. Seconds."""
    rows = await database.fetch(_CLAIM, list(wanted), list(wanted.values()), lease, give_up)
    return [Claim(str(row["id"]), DeliveryChannel(row["channel"]), row["attempts"], row) for row in rows]


async def record(database: Queryable, outcomes: Sequence[AttemptOutcome], *, give_up: float) -> list[Mapping[str, Any]]:
    """Ends the claims. Returns the rows that were changed: `id`, `channel`, `kind`, and `state` as it is now."""
    rows: list[Mapping[str, Any]] = await database.fetch(
        _RECORD,
        [outcome.claim.id for outcome in outcomes],
        [outcome.claim.attempts for outcome in outcomes],
        [outcome.state for outcome in outcomes],
        [outcome.said for outcome in outcomes],
        [outcome.pause for outcome in outcomes],
        give_up,
    )
    return rows
