"""The queue of deliveries: the statements that claim due deliveries and record their outcomes.

A claim is a lease. It is committed before anything is sent, so that no transaction is open and no row locked during
the sending; if the worker dies, the delivery is due again when the lease ends. `SKIP LOCKED` keeps any number of
workers from waiting for each other, and a claimed delivery is not due, so no other worker claims it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import orjson

from db.enums import Audience, DeliveryChannel, DeliveryState, NoticeKind, TicketCategory, TicketPriority, TicketStatus
from db.postgres.statement import Queryable
from notifiers import message_ids, push_subscriptions
from notifiers.contacts import AUTHENTICATED, BY_STAFF, OWN
from notifiers.notification import Notification, NotifiedFile, PushTarget, SummaryLine, TicketFacts
from notifiers.outgoing_files import ADDED_FOR_CUSTOMER
from notifiers.push_subscriptions import DEVICE, EARLIER

THREAD_MAX: Final = 20  # earlier mails that a mail refers to

# A stranger who has given somebody's account number to a chatbot is not shown whose ticket it has become, and a former
# contact none of the files that have been added since.
#
# $1 and $2: channels, and how many deliveries to claim for each; $3: the lease in seconds; $4: seconds after which a
# delivery is given up. One without an attempt by then gets none any more: it is claimed with `attempts` 0, to be
# recorded as DEAD. $5: the seconds for which a device's stream may deliver the event before the device gets a notice;
# $6: the time of a summary.
#
# A delivery waits while an earlier one for the same ticket and recipient is due or being sent, which keeps their order
# as far as retries allow. OFFSET 0 makes the planner look this up for each delivery, among the few of its ticket, and
# likewise the rows that belong to a claimed one, even if its statistics are from a time when the table was empty.
_CLAIM: Final = f"""
WITH due AS MATERIALIZED (
    SELECT found.id
    FROM unnest($1::delivery_channel[], $2::integer[]) AS free (channel, sends)
    CROSS JOIN LATERAL (
        SELECT now() - CASE free.channel WHEN 'PUSH' THEN $5::double precision ELSE 0 END * interval '1 second' AS at
    ) AS latest
    CROSS JOIN LATERAL (
        SELECT mine.id FROM deliveries AS mine
        WHERE mine.channel = free.channel AND mine.state = 'PENDING' AND mine.due_at <= latest.at
            AND mine.screened_at IS NOT NULL
            AND NOT EXISTS (
                SELECT FROM (SELECT * FROM deliveries WHERE ticket_id = mine.ticket_id OFFSET 0) AS earlier
                WHERE earlier.channel = mine.channel AND lower(earlier.recipient) = lower(mine.recipient)
                    AND (earlier.created_at, earlier.id) < (mine.created_at, mine.id)
                    AND earlier.state = 'PENDING' AND (earlier.due_at <= now() OR earlier.claimed_until > now())
                OFFSET 0
            )
        ORDER BY mine.due_at, mine.id LIMIT free.sends FOR NO KEY UPDATE SKIP LOCKED
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
    claimed.recipient_name, claimed.actor_name, claimed.created_at AS at, claimed.note_id,
    CASE claimed.kind
        WHEN 'DECLINED' THEN (SELECT reason FROM assignments WHERE id = ticket.assignment_id)
        ELSE (SELECT body FROM notes WHERE id = claimed.note_id)
    END AS note,
    (SELECT google_chat_webhook_url FROM support_settings
        WHERE claimed.channel = 'GOOGLE_CHAT' AND google_chat_enabled) AS webhook_url,
    CASE claimed.channel WHEN 'PUSH' THEN {DEVICE} END AS device,
    CASE claimed.channel WHEN 'PUSH' THEN {EARLIER} END AS earlier,
    ARRAY(
        SELECT id FROM (
            SELECT id, created_at FROM (SELECT * FROM deliveries WHERE ticket_id = claimed.ticket_id OFFSET 0) AS sent
            WHERE claimed.channel = 'EMAIL' AND sent.channel = claimed.channel AND sent.state = 'SENT'
                AND lower(sent.recipient) = lower(claimed.recipient) AND sent.summary_id IS NULL
            ORDER BY created_at DESC, id DESC LIMIT {THREAD_MAX}
        ) AS latest ORDER BY created_at, id
    ) AS thread,
    CASE claimed.kind WHEN 'CONFIRM_ADDRESS' THEN
        (SELECT token FROM contact_confirmations WHERE id = claimed.event_id) END AS confirmation_token,
    CASE WHEN claimed.summary_id = claimed.id THEN (
        SELECT json_agg(json_build_array(reference, priority, subject) ORDER BY priority DESC, listed.created_at)
        FROM deliveries AS included JOIN tickets AS listed ON listed.id = included.ticket_id
        WHERE included.summary_id = claimed.id
    ) END AS summary,
    CASE WHEN claimed.kind = 'NOTE_ADDED' AND claimed.note_id IS NULL THEN (
        SELECT json_agg(json_build_array(name, content_type, size, encode(sha256, 'hex')) ORDER BY file.created_at, id)
        FROM (SELECT * FROM attachments WHERE ticket_id = claimed.ticket_id OFFSET 0) AS file
        WHERE {ADDED_FOR_CUSTOMER} AND file.customer_id IS NOT DISTINCT FROM ticket.customer_id
            AND (finished_at >= claimed.created_at AND EXISTS (
                    SELECT FROM (SELECT * FROM ticket_events WHERE ticket_id = claimed.ticket_id OFFSET 0) AS added
                    WHERE added.attachment_id = file.id
                        AND lower(added.after ->> 'contact_email') = lower(claimed.recipient))
                OR id = (SELECT attachment_id FROM ticket_events WHERE id = claimed.event_id))
    ) WHEN claimed.kind IN ('CUSTOMER_ANSWERED', 'REOPENED') AND claimed.note_id IS NULL
        AND EXISTS (SELECT FROM ticket_events WHERE id = claimed.event_id AND attachment_id IS NOT NULL) THEN (
        SELECT json_agg(json_build_array(name, content_type, size, encode(sha256, 'hex')) ORDER BY file.created_at, id)
        FROM (SELECT * FROM attachments WHERE ticket_id = claimed.ticket_id OFFSET 0) AS file
        WHERE is_answer AND state = 'READY' AND file.customer_id IS NOT DISTINCT FROM ticket.customer_id
            AND (finished_at >= claimed.created_at
                OR id = (SELECT attachment_id FROM ticket_events WHERE id = claimed.event_id))
    ) END AS files,
    ticket.id AS ticket_id, ticket.reference, ticket.subject, ticket.description, ticket.status, ticket.priority,
    ticket.category, ticket.contact_name, ticket.contact_email, ticket.contact_phone, ticket.resolution,
    ticket.created_at, {BY_STAFF} AS by_staff,
    (SELECT name FROM customers WHERE id = ticket.customer_id AND NOT stranger.is_recipient) AS customer_name,
    site.address AS property_address, site.account_number AS property_account_number,
    (SELECT name FROM technicians WHERE id = ticket.technician_id) AS technician_name
FROM claimed
CROSS JOIN LATERAL (
    SELECT coalesce((SELECT after FROM ticket_events WHERE id = claimed.event_id), to_jsonb(tickets)) AS image
    FROM tickets WHERE id = claimed.ticket_id OFFSET 0
) AS left_behind
CROSS JOIN LATERAL jsonb_populate_record(NULL::tickets, left_behind.image) AS ticket
CROSS JOIN LATERAL (
    SELECT claimed.audience = 'CUSTOMER' AND NOT ({BY_STAFF} OR {AUTHENTICATED} OR {OWN}) AS is_recipient
    FROM (VALUES (claimed.recipient)) AS mine (recipient)
    LEFT JOIN customers AS customer ON customer.id = ticket.customer_id
) AS stranger
LEFT JOIN properties AS site ON site.id = ticket.property_id AND NOT stranger.is_recipient
ORDER BY claimed.created_at, claimed.id"""

# The deliveries in a summary share its outcome.
#
# SENT is recorded even if the lease has ended in the meantime, as the mail is out; a failure only while the claim is
# still the worker's own, which `attempts` shows. $6: seconds after which a delivery is given up; the last attempt is
# due when they are over.
_RECORD: Final = """
WITH recorded AS (
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
    RETURNING mine.id, mine.channel, mine.kind, mine.state, mine.said, mine.summary_id
), included AS (
    UPDATE deliveries AS mine SET state = recorded.state, said = 'Summary: ' || recorded.said, finished_at = now()
    FROM recorded
    WHERE mine.summary_id = ANY (ARRAY(SELECT id FROM recorded WHERE summary_id = id AND state <> 'PENDING'))
        AND mine.summary_id = recorded.id AND mine.id <> recorded.id
)
SELECT id, channel, kind, state FROM recorded"""


@dataclass(frozen=True, slots=True)
class Claim:
    """A delivery that this worker holds until the lease ends. `attempts` includes the coming one; 0 if it is too late
    to attempt any."""

    id: str
    channel: DeliveryChannel
    attempts: int
    row: Mapping[str, Any]

    @property
    def device(self) -> PushTarget | None:
        return push_subscriptions.target_of(self.row["device"])

    def notification(self, domain: str) -> Notification:
        """The notification to send. `domain` is the domain of our Message-IDs."""
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
                contact_phone=row["contact_phone"],
                customer_name=row["customer_name"],
                property_address=row["property_address"],
                property_account_number=row["property_account_number"],
                technician_name=row["technician_name"],
                resolution=row["resolution"],
                created_at=row["created_at"],
                by_staff=row["by_staff"],
            ),
            actor_name=row["actor_name"],
            at=row["at"],
            note=row["note"],
            thread=tuple(message_ids.of_delivery(str(sent), ticket_id, domain) for sent in row["thread"]),
            webhook_url=row["webhook_url"],
            device=self.device,
            confirmation_token=row["confirmation_token"],
            summary=_summary(row["summary"]),
            files=_files(row["files"]),
        )


def _summary(listed: bytes | None) -> tuple[SummaryLine, ...]:
    """The tickets of a summary. One alone needs none: it is notified as usual."""
    lines = [] if listed is None else orjson.loads(listed)
    if len(lines) < 2:
        return ()
    return tuple(SummaryLine(reference, TicketPriority(priority), subject) for reference, priority, subject in lines)


def _files(listed: bytes | None) -> tuple[NotifiedFile, ...]:
    files = [] if listed is None else orjson.loads(listed) or []
    return tuple(NotifiedFile(name, type_, size, bytes.fromhex(digest)) for name, type_, size, digest in files)


@dataclass(frozen=True, slots=True)
class AttemptOutcome:
    """The outcome of a claim. A PENDING delivery is retried after `pause` seconds; `said` is None if it was not
    attempted. `gone` says that the recipient does not exist any more."""

    claim: Claim
    state: DeliveryState
    said: str | None
    pause: float = 0.0
    gone: bool = False


async def claim(
    database: Queryable,
    wanted: Mapping[DeliveryChannel, int],
    *,
    lease: float,
    give_up: float,
    settling: float = 0.0,
    summary_time: timedelta = timedelta(0),
) -> list[Claim]:
    """Claim due deliveries, the longest due first, at most the `wanted` number of each channel; notices on devices only
    if they have been due for `settling`, with those of new tickets that the device had in `summary_time`. `lease`,
    `give_up` and `settling` are in seconds."""
    numbers = (lease, give_up, settling, summary_time)
    rows = await database.fetch(_CLAIM, list(wanted), list(wanted.values()), *numbers)
    return [Claim(str(row["id"]), DeliveryChannel(row["channel"]), row["attempts"], row) for row in rows]


async def end_subscriptions(database: Queryable, outcomes: Sequence[AttemptOutcome]) -> None:
    """End the push subscriptions of the devices that are gone."""
    gone = [(each.claim.row["recipient"], device) for each in outcomes if each.gone and (device := each.claim.device)]
    if gone:
        await push_subscriptions.end(database, [(key, device.endpoint) for key, device in gone])


async def record(database: Queryable, outcomes: Sequence[AttemptOutcome], *, give_up: float) -> list[Mapping[str, Any]]:
    """End the claims and store their outcomes. Returns the changed rows: `id`, `channel`, `kind` and the new `state`.
    `give_up` is in seconds."""
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
