"""The erasure of a customer, step by step.

`begin` replaces the values of the customer and of their properties, deletes the customer's identities, sessions,
passkeys and push subscriptions, and writes down in `erasures` what is still to be looked for. From then on the
customer's token is refused, and triggers refuse what a request that is under way would write with the old values.
`proceed` does the rest in small transactions, each of which also notes how far it has come:

1. `TICKETS`: the customer's tickets. All of their values are replaced in them, and the contact details.
2. `OTHERS`: all other tickets, for those that were the customer's and for values that are distinctive.
3. `MAIL`: inbound messages, among them the raw ones that were kept aside.
4. `REST`: articles, webhooks, entries of the audit trail, confirmations of addresses, and idempotency keys.
5. `STATISTICS`: the planner's, which have samples of columns.

Then the row of `erasures` forgets the values, too.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final

from db import limits
from db.enums import Role
from db.erasure import placeholders, tickets, webhooks
from db.erasure.mail import readable
from db.erasure.sought import Sought
from db.postgres.pool import Database
from db.postgres.statement import Transactional
from db.viewer import Viewer

TICKETS_AT_ONCE: Final = 20  # rewritten, and locked, in one transaction
LOOKED_AT: Final = 200  # tickets or messages that are searched at once
RAW_AT_ONCE: Final = 4 * 1024 * 1024  # bytes of raw mail, after which a step ends; a message is searched at once
CONTACTS_MAX: Final = 20
"""Up to this many contacts of a customer are sought in all of their tickets. Those of a customer with more, such as a
company with thousands of sites, are sought in the tickets that have them: long patterns are slow."""

STEP_SECONDS: Final = 300.0
"""The time limit of one statement. None of those that take long holds a lock that others wait for."""

_NO_HURRY: Final = f"SET LOCAL statement_timeout = '{STEP_SECONDS:.0f}s'"

_NIL: Final = "00000000-0000-0000-0000-000000000000"


def _without_columns(image: str) -> str:
    """SQL for an image of the audit trail without the columns that identify a customer or a property."""
    return f"""{image} || (SELECT coalesce(jsonb_object_agg(key, '{placeholders.TEXT}'), '{{}}')
        FROM jsonb_each({image})
        WHERE key IN ('name', 'email', 'phone', 'account_number', 'address', 'access_notes') AND value <> 'null')"""


_LOCK: Final = "SELECT name, email, phone, account_number, erased_at FROM customers WHERE id = $1::uuid FOR UPDATE"

_OPEN: Final = """
SELECT reference, count(*) OVER () AS number FROM tickets
WHERE customer_id = $1::uuid AND status IN ('OPEN', 'IN_PROGRESS') ORDER BY created_at, id LIMIT $2"""

# What the audit trail knows of the customer and of their properties, now and before.
_AUDITED: Final = """
SELECT object_kind, image ->> 'name' AS name, image ->> 'email' AS email, image ->> 'phone' AS phone,
    image ->> 'account_number' AS account_number, image ->> 'address' AS address
FROM audit_entries CROSS JOIN LATERAL (VALUES (before), (after)) AS side (image)
WHERE image IS NOT NULL AND object_id IN (
    SELECT 'cus_' || $1::text UNION ALL SELECT 'prp_' || id FROM properties WHERE customer_id = $1::uuid)"""

_ERASE_AUDITED: Final = f"""
UPDATE audit_entries SET before = {_without_columns("before")}, after = {_without_columns("after")}
WHERE object_id IN (
    SELECT 'cus_' || $1::text UNION ALL SELECT 'prp_' || id FROM properties WHERE customer_id = $1::uuid)"""

_PROPERTIES: Final = "SELECT address, account_number FROM properties WHERE customer_id = $1::uuid"

# The names with which the customer has written, and the contacts of their tickets.
_AUTHORS: Final = """
SELECT author_name FROM notes JOIN tickets ON tickets.id = ticket_id
WHERE tickets.customer_id = $1::uuid AND author_kind = 'CUSTOMER' AND author_id = $1::text
UNION
SELECT actor_name FROM ticket_events JOIN tickets ON tickets.id = ticket_id
WHERE tickets.customer_id = $1::uuid AND actor_kind = 'CUSTOMER' AND actor_id = $1::text"""

_CONTACTS: Final = """
SELECT name, email, phone FROM (
    SELECT tickets.id, contact_name AS name, contact_email AS email, contact_phone AS phone FROM tickets
    WHERE customer_id = $1::uuid
    UNION
    SELECT tickets.id, image ->> 'contact_name', image ->> 'contact_email', image ->> 'contact_phone'
    FROM tickets JOIN ticket_events AS event ON event.ticket_id = tickets.id
    CROSS JOIN LATERAL (VALUES (event.before), (event.after)) AS side (image)
    WHERE tickets.customer_id = $1::uuid AND coalesce(image ->> 'customer_id', $1::text) = $1::text
        AND image IS NOT NULL
) AS contact GROUP BY name, email, phone"""

# Of these values, in lower case, those that are somebody else's too.
_SHARED: Final = """
SELECT value FROM unnest($2::text[]) AS value
WHERE EXISTS (SELECT FROM technicians WHERE value IN (lower(name), lower(email)))
    OR EXISTS (SELECT FROM support_settings, unnest(admin_recipients) AS address WHERE lower(address) = value)
    OR EXISTS (SELECT FROM customers WHERE name_form = search_form(value) AND id <> $1::uuid)
    OR EXISTS (SELECT FROM customers WHERE lower(email) = value AND id <> $1::uuid)
    OR EXISTS (SELECT FROM properties WHERE search_form(address) = value AND customer_id <> $1::uuid)"""

_ERASE_CUSTOMER: Final = """
UPDATE customers SET name = $2, email = $3, phone = NULL, account_number = $4, erased_at = now() WHERE id = $1::uuid"""


def _with_entries(erasing: str, kind: str, prefix: str, actor: str, changed: str, before: str, after: str) -> str:
    """SQL that executes `erasing`, which returns rows, and writes an entry of the audit trail for each, so that streams
    say that they have changed. `actor` are the parameters with the actor's id and name."""
    return f"""
WITH erased AS ({erasing})
INSERT INTO audit_entries (id, action, object_kind, object_id, actor_kind, actor_id, actor_name, changed, before, after)
SELECT gen_random_uuid(), 'ERASED', '{kind}', '{prefix}_' || id, 'ADMIN', {actor}, '{changed}', {before}, {after}
FROM erased"""


_ERASE_PROPERTIES: Final = _with_entries(
    """UPDATE properties SET address = $2, account_number = 'ERASED-' || replace(id::text, '-', ''), access_notes = NULL
    WHERE customer_id = $1::uuid RETURNING *""",
    "PROPERTY",
    "prp",
    "$3, $4",
    "{address,account_number}",
    "NULL",
    "jsonb_build_object('customer_id', customer_id, 'address', address, 'account_number', account_number)",
)

_BEGIN: Final = """
INSERT INTO erasures (customer_id, actor_id, actor_name, sought) VALUES ($1::uuid, $2, $3, $4::text::jsonb)"""

# Triggers let rows that are otherwise final be rewritten in a transaction that names an unfinished erasure.
_NAME: Final = "SELECT set_config('callout.erasure', $1, true)"

# Not before the transactions have ended that began before the erasure, and may still write an old value.
_TAKE: Final = """
SELECT actor_id, actor_name, sought, stage, after::text AS after,
    xid < pg_snapshot_xmin(pg_current_snapshot()) AS settled
FROM erasures WHERE customer_id = $1::uuid AND finished_at IS NULL FOR UPDATE SKIP LOCKED"""

_ADVANCE: Final = "UPDATE erasures SET stage = $2, after = $3::uuid WHERE customer_id = $1::uuid"
_FINISH: Final = "UPDATE erasures SET sought = NULL, finished_at = now() WHERE customer_id = $1::uuid"

_PROGRESS: Final = """
SELECT finished_at IS NOT NULL AS done, CASE WHEN stage = 'TICKETS' AND finished_at IS NULL THEN
    (SELECT count(*) FROM tickets WHERE customer_id = $1::uuid AND id > erasures.after) ELSE 0 END AS tickets_left
FROM erasures WHERE customer_id = $1::uuid"""

_ALL: Final = """
SELECT coalesce(array_agg(customer_id::text) FILTER (WHERE finished_at IS NULL), '{}'),
    count(*) FILTER (WHERE finished_at IS NOT NULL)
FROM erasures"""

_OWN: Final = "SELECT id::text FROM tickets WHERE customer_id = $1::uuid AND id > $2::uuid ORDER BY id LIMIT $3"


def _last_of(table: str) -> str:
    """SQL for the id of the last of the next `$2` rows after `$1`; null after the last row."""
    return f"""SELECT id::text FROM (SELECT id FROM {table} WHERE id > $1::uuid ORDER BY id LIMIT $2) AS next
        ORDER BY id DESC LIMIT 1"""


# The tickets between $1 and $2 that have a value ($3, or $8 within words), or that were the customer's ($4) and have
# not been erased ($5, $6).
_OTHERS: Final = """
SELECT id::text FROM tickets AS ticket WHERE id > $1::uuid AND id <= $2::uuid AND (
    concat_ws(E'\\n', subject, description, resolution, contact_name, contact_email, contact_phone) ~* $3
    OR creator_id LIKE 'mailto:%' AND creator_id ~* $3
    OR customer_id = $4::uuid AND contact_email <> $5
    OR EXISTS (
        SELECT FROM ticket_events AS event CROSS JOIN LATERAL (VALUES (before), (after)) AS side (image)
        WHERE ticket_id = ticket.id AND (
            concat_ws(E'\\n', image ->> 'subject', image ->> 'description', image ->> 'resolution',
                image ->> 'contact_name', image ->> 'contact_email', image ->> 'contact_phone') ~* $3
            OR image ->> 'customer_id' = $4::text AND image ->> 'contact_email' <> $5
            OR actor_kind = 'CUSTOMER' AND actor_id = $4::text AND actor_name <> $6
            OR actor_kind = 'SERVICE' AND actor_name ~* $3
            OR actor_id LIKE 'mailto:%' AND actor_id ~* $3
            OR idempotency_key ~* $8
        )
    )
    OR EXISTS (
        SELECT FROM notes WHERE ticket_id = ticket.id AND (concat_ws(E'\\n', body, quoted) ~* $3
            OR author_kind = 'CUSTOMER' AND author_id = $4::text AND author_name <> $6
            OR author_kind = 'SERVICE' AND author_name ~* $3
            OR author_id LIKE 'mailto:%' AND author_id ~* $3)
    )
    OR EXISTS (
        SELECT FROM attachments WHERE ticket_id = ticket.id AND (translate(name, '_', ' ') ~* $3
            OR customer_id = $4::uuid AND state <> 'ERASED'
            OR creator_kind = 'CUSTOMER' AND creator_id = $4::text AND creator_name <> $6
            OR creator_kind = 'SERVICE' AND creator_name ~* $3
            OR creator_id LIKE 'mailto:%' AND creator_id ~* $3
            OR idempotency_key ~* $8)
    )
    OR EXISTS (SELECT FROM assignments WHERE ticket_id = ticket.id AND reason ~* $3)
    OR EXISTS (
        SELECT FROM ticket_chats WHERE ticket_id = ticket.id AND (conversation_id ~* $8 OR EXISTS (
            SELECT FROM json_array_elements(messages) AS message WHERE message ->> 'body' ~* $3))
    )
    OR EXISTS (
        SELECT FROM deliveries WHERE ticket_id = ticket.id
            AND (said ~* $3 OR audience = 'CUSTOMER' AND recipient ~* $3)
    )
) ORDER BY id LIMIT $7"""

_MESSAGES: Final = f"""
UPDATE inbound_messages SET
    from_address = CASE WHEN from_address ~* $3 THEN $4 ELSE from_address END,
    from_name = CASE WHEN from_address ~* $3 THEN NULL
        ELSE regexp_replace(from_name, $3, '{placeholders.TEXT}', 'gi') END,
    subject = left(regexp_replace(subject, $3, '{placeholders.TEXT}', 'gi'), {limits.SUBJECT_MAX}),
    message_id = CASE WHEN from_address ~* $3 OR message_id COLLATE "default" ~* $3 THEN NULL ELSE message_id END,
    raw = CASE WHEN from_address ~* $3 AND raw IS NOT NULL THEN ''::bytea ELSE raw END,
    text = CASE WHEN from_address ~* $3 THEN NULL
        ELSE left(regexp_replace(text, $3, '{placeholders.TEXT}', 'gi'), {limits.MAIL_TEXT_MAX}) END,
    recipients = {tickets.recipients_without("$3")}
WHERE id > $1::uuid AND id <= $2::uuid
    AND concat_ws(E'\\n', from_address, from_name, subject, message_id COLLATE "default", text,
        array_to_string(recipients, E'\\n')) ~* $3"""

_RAW: Final = """
SELECT id::text, length(raw) AS bytes FROM inbound_messages
WHERE id > $1::uuid AND id <= $2::uuid AND length(raw) > 0 ORDER BY id"""
_READ_RAW: Final = "SELECT raw FROM inbound_messages WHERE id = $1::uuid"
_EMPTY_RAW: Final = "UPDATE inbound_messages SET raw = '', text = NULL WHERE id = $1::uuid AND raw IS NOT NULL"

_ARTICLES: Final = _with_entries(
    f"""UPDATE articles SET
        problem = left(regexp_replace(problem, $1, '{placeholders.TEXT}', 'gi'), {limits.PROBLEM_MAX}),
        solution = left(regexp_replace(solution, $1, '{placeholders.TEXT}', 'gi'), {limits.SOLUTION_MAX})
    WHERE concat_ws(E'\\n', problem, solution) ~* $1 RETURNING *""",
    "ARTICLE",
    "art",
    "$2, $3",
    "{problem,solution}",
    "jsonb_build_object('published', published)",
    "jsonb_build_object('problem', problem, 'solution', solution, 'published', published)",
)

# What is said there about another customer's property can name this one.
_ACCESS_NOTES: Final = f"""
UPDATE properties SET
    access_notes = left(regexp_replace(access_notes, $1, '{placeholders.TEXT}', 'gi'), {limits.ACCESS_NOTES_MAX})
WHERE access_notes ~* $1"""

_ENTRIES: Final = f"""
UPDATE audit_entries SET before = {tickets.clean_image("before", "$1")}, after = {tickets.clean_image("after", "$1")}
WHERE EXISTS (
    SELECT FROM (VALUES (before), (after)) AS side (image), jsonb_each_text(image) AS each WHERE each.value ~* $1)"""

# Whose account it was at a provider. The customer's name there may be in its subject.
_IDENTITIES: Final = "DELETE FROM identities WHERE customer_id = $1::uuid"

# What the customer's browser says of itself.
_SESSIONS: Final = "DELETE FROM sessions WHERE customer_id = $1::uuid"
_LINKS: Final = "DELETE FROM sign_in_links WHERE customer_id = $1::uuid"

_PASSKEYS: Final = "DELETE FROM passkeys WHERE customer_id = $1::uuid"

_DEVICES: Final = "DELETE FROM push_subscriptions WHERE owner = 'CUSTOMER:' || $1::text"


def _without_subject(image: str) -> str:
    return f"""CASE WHEN {image} ? 'subject' THEN {image} || '{{"subject": "{placeholders.TEXT}"}}' ELSE {image} END"""


_IDENTITY_ENTRIES: Final = f"""
UPDATE audit_entries SET before = {_without_subject("before")}, after = {_without_subject("after")}
WHERE object_kind = 'IDENTITY' AND $1::text IN (before ->> 'customer_id', after ->> 'customer_id')"""

# What the customer has changed by themselves, such as by signing in for the first time.
_OWN_ENTRIES: Final = f"""
UPDATE audit_entries SET actor_name = '{placeholders.NAME}', client = NULL
WHERE actor_id = 'cus_' || $1::text AND actor_kind = 'CUSTOMER'"""

_CONFIRMATIONS: Final = """
UPDATE contact_confirmations SET address = $3, mailbox = NULL, domain = NULL
WHERE customer_id = $1::uuid OR address ~* $2"""

# A request that created something for the customer, or that the customer made, is refused if it is repeated: it would
# bring the values back.
_KEYS: Final = """
UPDATE idempotency_keys SET request_hash = '', extra = NULL,
    key = CASE WHEN key ~* $2 THEN 'erased-' || gen_random_uuid() ELSE key END
WHERE caller = 'CUSTOMER:' || $1::text OR key ~* $2 OR extra::text ~* $2
    OR object_id = $1::uuid AND created_at < (SELECT requested_at FROM erasures WHERE customer_id = $1::uuid)
    OR object_id IN (SELECT id FROM properties WHERE customer_id = $1::uuid)
    OR object_id IN (SELECT id FROM tickets WHERE customer_id = $1::uuid)
    OR object_id IN (
        SELECT notes.id FROM notes JOIN tickets ON tickets.id = ticket_id WHERE tickets.customer_id = $1::uuid)
    OR object_id IN (
        SELECT attachments.id FROM attachments JOIN tickets ON tickets.id = ticket_id
        WHERE tickets.customer_id = $1::uuid OR attachments.customer_id = $1::uuid)"""

# Tickets by their columns, so that the costly statistics of expressions, which have no values there, stay as they are.
_ANALYZE: Final = """
ANALYZE customers, deliveries, contact_confirmations, properties,
    tickets (subject, description, resolution, contact_name, contact_email, contact_phone, creator_id, search_text,
        searchable),
    ticket_chats (conversation_id),
    notes (body, author_id, author_name),
    attachments (name, content_type, creator_id, creator_name, idempotency_key),
    assignments (reason),
    ticket_events (before, after, actor_id, actor_name, idempotency_key),
    inbound_messages (from_address, from_name, subject, message_id, raw, recipients, text),
    articles (problem, solution, search_vector),
    article_words (word),
    audit_entries (before, after, actor_name),
    idempotency_keys (key),
    identities (subject),
    webhooks (url, document, variables, suspended_said),
    push_subscriptions (device_id, endpoint),
    sessions (user_agent),
    passkeys (user_agent),
    erasures (sought)"""


@dataclass(frozen=True, slots=True)
class Begun:
    """The erasure has begun. `placeholders` are the new values of the customer's columns."""

    placeholders: Mapping[str, str]


class BegunBefore:
    """The erasure had begun before, and may be finished."""


@dataclass(frozen=True, slots=True)
class OpenTickets:
    """Why an erasure does not begin: the number of the customer's tickets that are not finished, and the first
    references."""

    number: int
    references: list[str]


@dataclass(frozen=True, slots=True)
class Progress:
    """`tickets_left` are the customer's own tickets that have not been rewritten yet."""

    done: bool
    tickets_left: int


@dataclass(frozen=True, slots=True)
class Erasure:
    """An unfinished erasure, and the row of its stage after which it goes on. `settled` says whether every transaction
    has ended that was running when it began."""

    customer_id: str
    viewer: Viewer
    everywhere: Sought
    in_tickets: Sought
    stage: str
    after: str
    settled: bool

    @classmethod
    def of(cls, customer_id: str, row: Mapping[str, Any]) -> Erasure:
        viewer = Viewer(Role.ADMIN, row["actor_id"], row["actor_name"])
        everywhere, in_tickets = map(Sought.of_json, json.loads(row["sought"]))
        return cls(customer_id, viewer, everywhere, in_tickets, row["stage"], row["after"], row["settled"])


async def begin(
    transaction: Any, customer_id: str, viewer: Viewer, shown: int
) -> Begun | BegunBefore | OpenTickets | None:
    """Begins to erase a customer, in a transaction that then writes the entry of the audit trail. Returns None if there
    is no such customer. If the customer has open tickets, it does not begin, and returns up to `shown` references."""
    customer = await transaction.fetchrow(_LOCK, customer_id)
    if customer is None:
        return None
    if customer["erased_at"] is not None:
        return BegunBefore()
    unfinished = await transaction.fetch(_OPEN, customer_id, shown)
    if unfinished:
        return OpenTickets(unfinished[0]["number"], [row["reference"] for row in unfinished])
    everywhere, in_tickets = await _sought(transaction, customer_id, customer)
    sought = json.dumps([everywhere.as_json(), in_tickets.as_json()])
    await transaction.execute(_BEGIN, customer_id, viewer.id, viewer.name, sought)
    begun = Begun(
        {
            "name": placeholders.NAME,
            "email": placeholders.email(customer_id),
            "account_number": placeholders.account_number(customer_id),
        }
    )
    await transaction.execute(_ERASE_CUSTOMER, customer_id, *begun.placeholders.values())
    await transaction.execute(_ERASE_PROPERTIES, customer_id, placeholders.ADDRESS, viewer.id, viewer.name)
    await transaction.execute(_IDENTITIES, customer_id)
    await transaction.execute(_SESSIONS, customer_id)
    await transaction.execute(_LINKS, customer_id)
    await transaction.execute(_PASSKEYS, customer_id)
    await transaction.execute(_DEVICES, customer_id)
    await transaction.execute(_NAME, customer_id)
    await transaction.execute(_ERASE_AUDITED, customer_id)
    return begun


async def _sought(transaction: Any, customer_id: str, customer: Mapping[str, Any]) -> tuple[Sought, Sought]:
    """What to look for everywhere, and what in the customer's tickets besides."""
    properties = await transaction.fetch(_PROPERTIES, customer_id)
    await transaction.execute(_NO_HURRY)
    authors = await transaction.fetch(_AUTHORS, customer_id, timeout=STEP_SECONDS)
    contacts = [tuple(row) for row in await transaction.fetch(_CONTACTS, customer_id, timeout=STEP_SECONDS)]
    known = [customer, *await transaction.fetch(_AUDITED, customer_id)]
    names = {*(row["name"] for row in known), *(row["author_name"] for row in authors)}
    addresses = {*(row["address"] for row in properties), *(row["address"] for row in known[1:])} - {None}
    numbers = {row["account_number"] for row in (*known, *properties)}
    emails, phones = [row["email"] for row in known], [row["phone"] for row in known]
    own = Sought.of(names, emails, phones, addresses | numbers)
    own |= _former(own, contacts)
    shared = [row["value"] for row in await transaction.fetch(_SHARED, customer_id, own.forms)]
    everywhere = own.distinctive.without(shared)
    streets = [address.partition(",")[0] for address in addresses]
    others = Sought.of(*zip(*contacts, strict=True)) if 0 < len(contacts) <= CONTACTS_MAX else Sought()
    return everywhere, own | others | Sought.of(texts=[each for each in streets if _has_number(each)])


def _former(own: Sought, contacts: list[tuple[str, str, str | None]]) -> Sought:
    """Addresses and phones that the customer had before, as far as tickets know them: those that go with their name. A
    name that goes with their address may be "Front desk"."""
    names = {name.lower() for name in own.names}
    theirs = [(email, phone) for name, email, phone in contacts if name.lower() in names]
    return Sought.of((), *zip(*theirs, strict=True)) if theirs else Sought()


def _has_number(street: str) -> bool:
    return len(street.split()) > 1 and any(map(str.isdigit, street))


async def progress(database: Transactional, customer_id: str) -> Progress:
    row = await database.fetchrow(_PROGRESS, customer_id)
    assert row is not None
    return Progress(row["done"], row["tickets_left"])


async def all_of(database: Database) -> tuple[list[str], int]:
    """The keys of the customers whose erasure is not finished, and the number of finished erasures."""
    unfinished, finished = await database.fetchrow(_ALL) or ((), 0)
    return list(unfinished), finished


async def proceed(database: Transactional, customer_id: str, seconds: float) -> None:
    """Goes on with an erasure for about so many seconds, or to its end. Returns at once if another process is at it,
    or if it has to wait. Raises the database's errors."""
    until = monotonic() + seconds
    while True:
        async with database.transaction() as transaction:
            row = await transaction.fetchrow(_TAKE, customer_id)
            erasure = None if row is None else Erasure.of(customer_id, dict(row))
            if erasure is None or not (erasure.settled or erasure.stage == "TICKETS"):
                return
            await transaction.execute(_NAME, customer_id)
            await transaction.execute(_NO_HURRY)
            await _STAGES[erasure.stage](transaction, erasure)
        if monotonic() > until:
            return


async def _erase_own(transaction: Any, erasure: Erasure) -> None:
    rows = await transaction.fetch(_OWN, erasure.customer_id, erasure.after, TICKETS_AT_ONCE)
    found = [row["id"] for row in rows]
    await _rewrite(transaction, erasure, found)
    await _advance(transaction, erasure, "OTHERS", found[-1] if found else None)


async def _erase_others(transaction: Any, erasure: Erasure) -> None:
    last = await transaction.fetchval(_last_of("tickets"), erasure.after, LOOKED_AT)
    if last is not None:
        rows = await transaction.fetch(
            _OTHERS,
            erasure.after,
            last,
            erasure.everywhere.pattern,
            erasure.customer_id,
            placeholders.email(erasure.customer_id),
            placeholders.NAME,
            TICKETS_AT_ONCE,
            erasure.everywhere.anywhere,
            timeout=STEP_SECONDS,
        )
        found = [row["id"] for row in rows]
        await _rewrite(transaction, erasure, found)
        last = found[-1] if len(found) == TICKETS_AT_ONCE else last
    await _advance(transaction, erasure, "MAIL", last)


async def _rewrite(transaction: Any, erasure: Erasure, found: list[str]) -> None:
    if found:
        sought = erasure.everywhere, erasure.in_tickets
        await tickets.erase(transaction, erasure.viewer, erasure.customer_id, found, *sought)


async def _erase_mail(transaction: Any, erasure: Erasure) -> None:
    last = await transaction.fetchval(_last_of("inbound_messages"), erasure.after, LOOKED_AT)
    if last is not None:
        pattern = erasure.everywhere.pattern
        email = placeholders.email(erasure.customer_id)
        await transaction.execute(_MESSAGES, erasure.after, last, pattern, email, timeout=STEP_SECONDS)
        searched, reached = 0, last
        for row in await transaction.fetch(_RAW, erasure.after, last):
            if searched > RAW_AT_ONCE:
                last = reached
                break
            searched, reached = searched + row["bytes"], row["id"]
            raw = await transaction.fetchval(_READ_RAW, row["id"])
            if await asyncio.to_thread(_mentions, raw, pattern):
                await transaction.execute(_EMPTY_RAW, row["id"])
    await _advance(transaction, erasure, "REST", last)


def _mentions(raw: bytes, pattern: str) -> bool:
    return re.search(pattern, readable(raw), re.IGNORECASE) is not None


async def _erase_rest(transaction: Any, erasure: Erasure) -> None:
    pattern = erasure.everywhere.pattern
    await transaction.execute(_ARTICLES, pattern, erasure.viewer.id, erasure.viewer.name, timeout=STEP_SECONDS)
    await transaction.execute(_ACCESS_NOTES, pattern, timeout=STEP_SECONDS)
    await tickets.forget_words(transaction, {erasure.everywhere, erasure.in_tickets})
    await transaction.execute(_ENTRIES, pattern, timeout=STEP_SECONDS)
    await transaction.execute(_IDENTITY_ENTRIES, erasure.customer_id, timeout=STEP_SECONDS)
    await transaction.execute(_OWN_ENTRIES, erasure.customer_id, timeout=STEP_SECONDS)
    email = placeholders.email(erasure.customer_id)
    await transaction.execute(_CONFIRMATIONS, erasure.customer_id, pattern, email, timeout=STEP_SECONDS)
    await transaction.execute(_KEYS, erasure.customer_id, erasure.everywhere.anywhere, timeout=STEP_SECONDS)
    await webhooks.erase(transaction, pattern)
    await _advance(transaction, erasure, "STATISTICS", None)


async def _finish(transaction: Any, erasure: Erasure) -> None:
    await transaction.execute(_FINISH, erasure.customer_id)
    await transaction.execute(_ANALYZE, timeout=STEP_SECONDS)


async def _advance(transaction: Any, erasure: Erasure, next: str, last: str | None) -> None:
    """Notes the last row of the stage that is done; None if there are no more, so that the next stage begins."""
    stage, after = (next, _NIL) if last is None else (erasure.stage, last)
    await transaction.execute(_ADVANCE, erasure.customer_id, stage, after)


_STAGES: Final[Mapping[str, Callable[[Any, Erasure], Awaitable[None]]]] = {
    "TICKETS": _erase_own,
    "OTHERS": _erase_others,
    "MAIL": _erase_mail,
    "REST": _erase_rest,
    "STATISTICS": _finish,
}
