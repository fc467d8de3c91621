"""Screens new deliveries before they are sent: holds mail to addresses that nobody has confirmed, asks to confirm them,
and applies the limits (`notifiers/screening_rules.py`).

It is a step of the worker and not of the statement that writes the event, so that a mutation takes no longer. One
worker at a time screens, under an advisory lock, so that the counts are exact.
"""

from __future__ import annotations

import secrets
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from db.enums import Audience, DeliveryChannel, NoticeKind
from db.ids import new_id
from db.postgres.pool import Database
from db.postgres.statement import Queryable
from notifiers.contacts import ASKED_UNTIL, AUTHENTICATED, BY_STAFF, CONFIRMED, OWN, domain_digest, mailbox_digest
from notifiers.screening_rules import (
    UNCONFIRMED,
    Candidate,
    Limits,
    Rules,
    Ruling,
    Summary,
    Usage,
    caller_of,
    is_customer,
)

BATCH: Final = 500
LOCK: Final = int.from_bytes(b"mail-out")
"""The advisory lock of the worker that screens; any number that nobody else locks will do."""

_FRESH: Final = "state = 'PENDING' AND screened_at IS NULL AND due_at <= now()"

_WORK: Final = f"""
SELECT EXISTS (SELECT FROM deliveries WHERE {_FRESH}),
    EXISTS (SELECT FROM deliveries WHERE state = 'HELD' AND summary_id IS NULL AND due_at <= now())"""

_EXPIRE: Final = """
UPDATE deliveries SET state = 'DROPPED', said = $1, finished_at = now()
WHERE state = 'HELD' AND summary_id IS NULL AND due_at <= now()"""

# A plan is kept from when the confirmations were few, and would read all of them for each delivery.
_TRY_LOCK: Final = """
SELECT pg_try_advisory_xact_lock($1) FROM set_config('enable_seqscan', 'off', true)"""

_CANDIDATES: Final = f"""
WITH mine AS MATERIALIZED (
    SELECT * FROM deliveries WHERE {_FRESH} ORDER BY created_at, id LIMIT {BATCH} FOR NO KEY UPDATE SKIP LOCKED
)
SELECT mine.id, mine.kind, mine.channel, mine.audience, lower(mine.recipient) AS address, mine.recipient,
    mine.queued_at, ticket.id AS ticket_id, ticket.customer_id, ticket.creator_kind, ticket.creator_id, ticket.source,
    {BY_STAFF} AS by_staff, {AUTHENTICATED} AS authenticated, {OWN} AS own, now() AS now,
    mine.audience = 'CUSTOMER' AND {CONFIRMED} AS confirmed,
    CASE mine.audience WHEN 'CUSTOMER' THEN {ASKED_UNTIL} END AS asked_until,
    EXISTS (SELECT FROM support_settings, unnest(admin_recipients) AS admin WHERE lower(admin) = lower(mine.recipient))
        AS of_admin
FROM mine
JOIN tickets AS ticket ON ticket.id = mine.ticket_id
LEFT JOIN customers AS customer ON customer.id = ticket.customer_id
ORDER BY mine.created_at, mine.id"""

# An address that was confirmed is no stranger's, and does not count.
_ASKED_OF: Final = """
SELECT mailbox, count(*) FROM contact_confirmations
WHERE mailbox = ANY ($1) AND asked_at > now() - interval '1 day' AND confirmed_at IS NULL GROUP BY mailbox"""
_ASKED_AT: Final = """
SELECT domain, count(DISTINCT mailbox) FROM contact_confirmations
WHERE domain = ANY ($1) AND asked_at > now() - interval '1 day' AND confirmed_at IS NULL GROUP BY domain"""
_ASKED_BY: Final = """
SELECT caller, count(*) FROM contact_confirmations
WHERE caller = ANY ($1) AND asked_at > now() - $2::interval AND confirmed_at IS NULL GROUP BY caller"""
# A customer's own tickets do not count: they tire nobody but the customer.
_RECEIPTS: Final = f"""
SELECT lower(mine.recipient), count(*)
FROM deliveries AS mine
JOIN tickets AS ticket ON ticket.id = mine.ticket_id
LEFT JOIN customers AS customer ON customer.id = ticket.customer_id
WHERE mine.kind = 'CREATED' AND mine.channel = 'EMAIL' AND lower(mine.recipient) = ANY ($1)
    AND mine.screened_at > now() - interval '1 day' AND mine.audience = 'CUSTOMER' AND mine.state <> 'DROPPED'
    AND mine.state <> 'HELD' AND NOT ({BY_STAFF}) AND NOT ({AUTHENTICATED} AND {OWN})
GROUP BY 1"""
_SINGLES: Final = """
SELECT lower(recipient), count(*) FROM deliveries
WHERE kind = 'CREATED' AND channel = 'EMAIL' AND lower(recipient) = ANY ($1) AND screened_at > now() - $2::interval
    AND audience = 'ADMIN' AND summary_id IS NULL
GROUP BY 1"""
_SINGLES_IN_SPACE: Final = """
SELECT lower(recipient), count(*) FROM deliveries
WHERE kind = 'CREATED' AND channel = 'GOOGLE_CHAT' AND lower(recipient) = '' AND created_at > now() - $1::interval
    AND screened_at IS NOT NULL AND summary_id IS NULL
GROUP BY 1"""
# The ticket's customer has caused them: they are counted together, whichever tickets they are about.
_ANSWERS: Final = """
SELECT lower(recipient) AS address, ticket_id::text, customer_id::text, count(*)
FROM deliveries AS mine JOIN tickets AS ticket ON ticket.id = mine.ticket_id
WHERE kind = 'CUSTOMER_ANSWERED' AND lower(recipient) = ANY ($1) AND mine.created_at > now() - interval '1 hour'
    AND screened_at IS NOT NULL AND state <> 'DROPPED'
GROUP BY 1, 2, 3"""
_SUMMARY: Final = """
SELECT lower(recipient) AS address, id, due_at,
    (SELECT count(*) FROM deliveries WHERE summary_id = mine.id) AS tickets
FROM deliveries AS mine
WHERE kind = 'CREATED' AND summary_id = id AND state = 'PENDING' AND attempts = 0 AND due_at > now()
    AND {}
ORDER BY due_at
FOR NO KEY UPDATE"""
_SUMMARIES: Final = _SUMMARY.format(
    "channel = 'EMAIL' AND lower(recipient) = ANY ($1) AND screened_at > now() - $2::interval"
)
_SUMMARIES_IN_SPACE: Final = _SUMMARY.format(
    "channel = 'GOOGLE_CHAT' AND screened_at IS NOT NULL AND screened_at > now() - $1::interval"
)

# A ticket that a mutation has locked is left for the next round: waiting for it could end in a deadlock.
_LOCK_TICKETS: Final = "SELECT id::text FROM tickets WHERE id = ANY ($1::uuid[]) FOR KEY SHARE SKIP LOCKED"
_ASK: Final = """
WITH asked AS (
    INSERT INTO contact_confirmations (id, ticket_id, customer_id, address, token, mailbox, caller, expires_at,
        domain)
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::bytea[], $7::text[],
        $8::timestamptz[], $10::bytea[])
)
INSERT INTO deliveries (event_id, ticket_id, kind, channel, audience, recipient, recipient_name, actor_name, created_at,
    screened_at)
SELECT confirmation, ticket_id, 'CONFIRM_ADDRESS', 'EMAIL', 'CUSTOMER', recipient, '', '', now(), now()
FROM unnest($1::uuid[], $9::uuid[]) AS asked (confirmation, delivery)
JOIN deliveries ON deliveries.id = delivery"""

_STORE: Final = """
UPDATE deliveries AS mine SET
    audience = ruling.audience, state = ruling.state, said = ruling.said, summary_id = ruling.summary_id,
    due_at = coalesce(ruling.due_at, mine.due_at),
    screened_at = CASE WHEN ruling.screened THEN now() END,
    finished_at = CASE ruling.state WHEN 'DROPPED' THEN now() END
FROM unnest($1::uuid[], $2::delivery_audience[], $3::delivery_state[], $4::text[], $5::timestamptz[], $6::boolean[],
    $7::uuid[]) AS ruling (id, audience, state, said, due_at, screened, summary_id)
WHERE mine.id = ruling.id"""


async def screen(database: Database, limits: Limits, give_up: timedelta) -> None:
    """Screen the due deliveries that no worker has screened, unless another one is about it, and drop those that
    nobody has confirmed in time. `give_up` is how long one may wait for room under a limit."""
    ((fresh, expired),) = await database.fetch(_WORK)
    if expired:
        await database.execute(_EXPIRE, UNCONFIRMED)
    while fresh:
        async with database.transaction() as transaction:
            if not await transaction.fetchval(_TRY_LOCK, LOCK):
                return
            fresh = await _screen_batch(transaction, limits, give_up) == BATCH


async def _screen_batch(transaction: Queryable, limits: Limits, give_up: timedelta) -> int:
    """Returns the number of deliveries that were screened."""
    rows: list[Mapping[str, Any]] = await transaction.fetch(_CANDIDATES)
    if not rows:
        return 0
    candidates = [_candidate(row) for row in rows]
    rules = Rules(limits, await _usage(transaction, candidates, limits), rows[0]["now"], give_up)
    rulings = [rules.rule(each) for each in candidates]
    unasked = await _ask(transaction, [row for row, ruling in zip(rows, rulings, strict=True) if ruling.asks], rulings)
    ruled = [ruling for ruling in rulings if ruling.id not in unasked]
    await _store(transaction, ruled)
    return len(ruled)


def _candidate(row: Mapping[str, Any]) -> Candidate:
    caller = caller_of(row["creator_kind"], row["creator_id"], row["source"])
    return Candidate(
        id=str(row["id"]),
        kind=NoticeKind(row["kind"]),
        channel=DeliveryChannel(row["channel"]),
        audience=Audience(row["audience"]),
        address=row["address"],
        mailbox=mailbox_digest(row["recipient"]),
        domain=domain_digest(row["recipient"]),
        queued_at=row["queued_at"],
        ticket_id=str(row["ticket_id"]),
        customer_id=None if row["customer_id"] is None else str(row["customer_id"]),
        scope=caller if row["authenticated"] else str(row["ticket_id"]),
        caller=caller,
        by_staff=row["by_staff"],
        authenticated=row["authenticated"],
        own=row["own"],
        confirmed=row["confirmed"],
        of_admin=row["of_admin"],
        asked_until=row["asked_until"],
    )


async def _usage(transaction: Queryable, candidates: Sequence[Candidate], limits: Limits) -> Usage:
    """Read what counts against the limits, as far as these deliveries need it."""
    mail = [each for each in candidates if each.channel is DeliveryChannel.EMAIL]
    contacts = [each for each in mail if each.audience is Audience.CUSTOMER and not each.by_staff]
    unconfirmed = [each for each in contacts if not (each.own or each.confirmed)]
    created = [each for each in mail if each.kind is NoticeKind.CREATED]
    admins = {each.address for each in created if each.audience is Audience.ADMIN or each.of_admin}
    in_space = any(each.audience is Audience.SPACE and each.kind is NoticeKind.CREATED for each in candidates)
    receipts = {each.address for each in contacts if each.kind is NoticeKind.CREATED and (each.own or each.confirmed)}
    callers = {each.caller for each in unconfirmed}
    customers = {caller for caller in callers if is_customer(caller)}
    answered = {each.address for each in candidates if each.kind is NoticeKind.CUSTOMER_ANSWERED}
    usage = Usage()
    if answered:
        for address, ticket_id, customer_id, number in await transaction.fetch(_ANSWERS, list(answered)):
            usage.answers[address, ticket_id] += number
            if customer_id is not None:
                usage.answers[address, customer_id] += number
    if unconfirmed:
        mailboxes = {each.mailbox for each in unconfirmed}
        usage.asked_of = _counter(await transaction.fetch(_ASKED_OF, list(mailboxes)))
        usage.asked_at = _counter(await transaction.fetch(_ASKED_AT, list({each.domain for each in unconfirmed})))
    for some, time in ((customers, timedelta(days=1)), (callers - customers, timedelta(hours=1))):
        if some:
            usage.asked_by |= _counter(await transaction.fetch(_ASKED_BY, list(some), time))
    if receipts:
        usage.receipts = _counter(await transaction.fetch(_RECEIPTS, list(receipts)))
    time, summaries = limits.summary_time, []
    if admins:
        usage.singles = _counter(await transaction.fetch(_SINGLES, list(admins), time))
        summaries += await transaction.fetch(_SUMMARIES, list(admins), time)
    if in_space:
        usage.singles |= _counter(await transaction.fetch(_SINGLES_IN_SPACE, time))
        summaries += await transaction.fetch(_SUMMARIES_IN_SPACE, time)
    for row in summaries:
        usage.summaries[row["address"]] = Summary(str(row["id"]), row["due_at"], row["tickets"])
    return usage


def _counter(rows: Iterable[Any]) -> Counter[Any]:
    return Counter(dict(map(tuple, rows)))


async def _ask(transaction: Queryable, asking: Sequence[Mapping[str, Any]], rulings: Sequence[Ruling]) -> set[str]:
    """Queue the mails that ask to confirm an address. Returns the ids of the deliveries that have to be screened again,
    because their tickets are locked."""
    if not asking:
        return set()
    free = {row["id"] for row in await transaction.fetch(_LOCK_TICKETS, [str(row["ticket_id"]) for row in asking])}
    until = {ruling.id: ruling.due_at for ruling in rulings}
    asked = [row for row in asking if str(row["ticket_id"]) in free]
    await transaction.execute(
        _ASK,
        [new_id() for _ in asked],
        [row["ticket_id"] for row in asked],
        [_customer(row) for row in asked],
        [row["address"] for row in asked],
        [secrets.token_urlsafe(32) for _ in asked],
        [mailbox_digest(row["recipient"]) for row in asked],
        [caller_of(row["creator_kind"], row["creator_id"], row["source"]) for row in asked],
        [until[str(row["id"])] for row in asked],
        [row["id"] for row in asked],
        [domain_digest(row["recipient"]) for row in asked],
    )
    return {str(row["id"]) for row in asking} - {str(row["id"]) for row in asked}


def _customer(row: Mapping[str, Any]) -> str | None:
    """The key of the customer who has typed the address, with a token."""
    try:
        return str(uuid.UUID(row["creator_id"])) if row["authenticated"] else None
    except ValueError:
        return None


async def _store(transaction: Queryable, rulings: Sequence[Ruling]) -> None:
    await transaction.execute(
        _STORE,
        [ruling.id for ruling in rulings],
        [ruling.audience for ruling in rulings],
        [ruling.state for ruling in rulings],
        [ruling.said for ruling in rulings],
        [ruling.due_at for ruling in rulings],
        [ruling.screened for ruling in rulings],
        [ruling.summary_id for ruling in rulings],
    )
