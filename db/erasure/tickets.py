"""Erases a person from tickets and from all that hangs on them: events, notes, files, assignments, transcripts,
deliveries, confirmations of addresses, inbound messages, and articles that were made from them.

Contact details belong to the customer that the ticket had at the time. So of a ticket that has changed hands only the
images, notes, files and deliveries of the erased customer's time lose them; free text is searched throughout.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from db import limits
from db.enums import TicketEventKind
from db.erasure import placeholders
from db.erasure.sought import Sought
from db.events import log as event_log
from db.viewer import Viewer

# Parameters of the statements: $1 to $3 the tickets, each with the pattern to look for and whether it is or was the
# customer's; of most also $4, the customer's key, and $5, their placeholder for an e-mail address.
_WORK: Final = "unnest($1::uuid[], $2::text[], $3::boolean[]) AS work (id, pattern, theirs)"


def _clean(value: str, maximum: int | None = None, pattern: str = "work.pattern") -> str:
    """SQL for a text without the values. It is cut off where the placeholders would make it too long."""
    replaced = f"regexp_replace({value}, {pattern}, '{placeholders.TEXT}', 'gi')"
    return replaced if maximum is None else f"left({replaced}, {maximum})"


def _theirs(customer: str) -> str:
    """SQL for whether something belongs to the erased customer, given SQL for the customer's key at the time."""
    return f"(work.theirs AND coalesce({customer}, $4::text) = $4::text)"


def _is_contact(customer: str, email: str) -> str:
    """SQL for whether the contact of a ticket is the erased customer, or one that was typed on their ticket."""
    return f"({_theirs(customer)} OR {email} ~* work.pattern)"


def _wrote(kind: str, id: str, customer: str) -> str:
    """SQL for whether an author or actor is the erased customer, or wrote by mail as the contact of their ticket."""
    by_mail = f"{id} LIKE 'mailto:%' AND ({_theirs(customer)} OR {id} ~* work.pattern)"
    return f"({kind} = 'CUSTOMER' AND ({id} = $4::text OR {by_mail}))"


def _author_id(kind: str, id: str, customer: str) -> str:
    return f"CASE WHEN {id} LIKE 'mailto:%' AND {_wrote(kind, id, customer)} THEN 'mailto:' || $5::text ELSE {id} END"


def _author_name(kind: str, id: str, name: str, customer: str) -> str:
    """SQL for the name. That of the mail gateway quotes the address of the sender."""
    return f"""CASE WHEN {_wrote(kind, id, customer)} THEN '{placeholders.NAME}'
        WHEN {kind} = 'SERVICE' THEN {_clean(name, limits.NAME_MAX)} ELSE {name} END"""


def _image(image: str) -> str:
    """SQL for an image of the event log without the values. Its search text has the form that `ticket_search_text`
    gives it; the name of another customer stays in it."""
    customer = "image ->> 'customer_id'"
    email = "image ->> 'contact_email'"
    theirs = _is_contact(customer, email)
    phone = "image ->> 'contact_phone'"
    creator = "image ->> 'creator_kind'", "image ->> 'creator_id'", customer
    return f"""(
        SELECT image || to_jsonb(clean) || jsonb_build_object('search_text', concat_ws(E'\\n',
            search_form(image ->> 'reference'), search_form(clean.subject), search_form(clean.contact_name),
            CASE WHEN {customer} = $4::text THEN search_form(nullif('{placeholders.NAME}', clean.contact_name))
                ELSE nullif(split_part(image ->> 'search_text', E'\\n', 4), '') END))
        FROM (VALUES ({image})) AS given (image) CROSS JOIN LATERAL (SELECT
            {_clean("image ->> 'subject'", limits.SUBJECT_MAX)} AS subject,
            {_clean("image ->> 'description'", limits.DESCRIPTION_MAX)} AS description,
            {_clean("image ->> 'resolution'", limits.RESOLUTION_MAX)} AS resolution,
            CASE WHEN {theirs} THEN '{placeholders.NAME}'
                ELSE {_clean("image ->> 'contact_name'", limits.NAME_MAX)} END AS contact_name,
            CASE WHEN {theirs} THEN $5::text ELSE {email} END AS contact_email,
            CASE WHEN NOT ({theirs} OR {phone} ~* work.pattern) THEN {phone} END AS contact_phone,
            {_author_id(*creator)} AS creator_id
        ) AS clean WHERE image IS NOT NULL
    )"""


_AFTER: Final = "after ->> 'customer_id'"
_EVENTS: Final = f"""
UPDATE ticket_events AS event SET before = {_image("event.before")}, after = {_image("event.after")},
    actor_id = {_author_id("actor_kind", "actor_id", _AFTER)},
    actor_name = {_author_name("actor_kind", "actor_id", "actor_name", _AFTER)}, idempotency_key = NULL
FROM {_WORK} WHERE event.ticket_id = work.id"""

_NOTES: Final = f"""
UPDATE notes SET body = {_clean("body", limits.NOTE_MAX)},
    quoted = {_clean("quoted", limits.QUOTED_MAX)},
    author_id = {_author_id("author_kind", "author_id", "customer_id::text")},
    author_name = {_author_name("author_kind", "author_id", "author_name", "customer_id::text")}
FROM {_WORK} WHERE notes.ticket_id = work.id"""

# Files cannot be searched. Those that came while the ticket was the customer's are deleted, whoever attached them: they
# show the customer's premises. Programs write blanks in the names of files as underscores.
_IS_FILE_OF: Final = _theirs("attachments.customer_id::text")
_WITH_BLANKS: Final = "translate(name, '_', ' ')"
_ATTACHMENTS: Final = f"""
UPDATE attachments SET
    name = CASE WHEN {_IS_FILE_OF} THEN '{placeholders.TEXT}'
        WHEN {_WITH_BLANKS} ~* work.pattern THEN {_clean(_WITH_BLANKS, limits.FILE_NAME_MAX)} ELSE name END,
    content_type = CASE WHEN {_IS_FILE_OF} THEN '{placeholders.MEDIA_TYPE}' ELSE content_type END,
    state = CASE WHEN {_IS_FILE_OF} THEN 'ERASED' ELSE state END,
    finished_at = CASE WHEN {_IS_FILE_OF} THEN coalesce(finished_at, now()) ELSE finished_at END,
    reason = CASE WHEN NOT {_IS_FILE_OF} THEN reason END,
    sha256 = CASE WHEN NOT {_IS_FILE_OF} THEN sha256 END,
    uploaded_sha256 = CASE WHEN NOT {_IS_FILE_OF} THEN uploaded_sha256 END,
    thumbnail = CASE WHEN NOT {_IS_FILE_OF} THEN thumbnail END,
    creator_id = {_author_id("creator_kind", "creator_id", "customer_id::text")},
    creator_name = {_author_name("creator_kind", "creator_id", "creator_name", "customer_id::text")},
    idempotency_key = NULL
FROM {_WORK} WHERE attachments.ticket_id = work.id"""

_ASSIGNMENTS: Final = f"""
UPDATE assignments SET reason = {_clean("reason", limits.REASON_MAX)}
FROM {_WORK} WHERE assignments.ticket_id = work.id AND reason ~* work.pattern"""

_CHATS: Final = f"""
UPDATE ticket_chats SET
    conversation_id = CASE WHEN conversation_id ~* work.pattern OR conversation_id ~* $4 THEN NULL
        ELSE conversation_id END,
    messages = (
        SELECT coalesce(json_agg(json_build_object('author', message ->> 'author',
            'body', {_clean("message ->> 'body'")}, 'at', message ->> 'at') ORDER BY ord), '[]')
        FROM json_array_elements(messages) WITH ORDINALITY AS each (message, ord)
    )
FROM {_WORK} WHERE ticket_chats.ticket_id = work.id"""

# A delivery that waits is given up: nobody can be reached at the placeholder. The event, whose actor's name a delivery
# repeats, has been rewritten before; it may have been pruned.
_DELIVERIES: Final = f"""
UPDATE deliveries AS mine SET
    recipient = CASE WHEN found.theirs THEN $5::text ELSE mine.recipient END,
    recipient_name = CASE WHEN found.theirs THEN '{placeholders.NAME}' ELSE mine.recipient_name END,
    said = CASE WHEN found.theirs AND mine.said IS NOT NULL THEN '{placeholders.TEXT}' ELSE found.said END,
    actor_name = found.actor_name,
    state = CASE WHEN found.given_up THEN 'DEAD' ELSE mine.state END,
    finished_at = CASE WHEN found.given_up THEN now() ELSE mine.finished_at END,
    claimed_until = CASE WHEN found.given_up THEN NULL ELSE mine.claimed_until END
FROM (
    SELECT sent.id, side.theirs, side.theirs AND sent.finished_at IS NULL AS given_up,
        {_clean("sent.said", limits.SAID_MAX)} AS said,
        coalesce(event.actor_name, CASE WHEN side.theirs THEN '{placeholders.NAME}'
            ELSE {_clean("sent.actor_name", limits.NAME_MAX)} END) AS actor_name
    FROM {_WORK} JOIN deliveries AS sent ON sent.ticket_id = work.id JOIN tickets ON tickets.id = work.id
    LEFT JOIN ticket_events AS event ON event.id = sent.event_id
    CROSS JOIN LATERAL (SELECT sent.audience = 'CUSTOMER' AND (sent.recipient ~* work.pattern OR
        {_theirs("CASE WHEN event.id IS NULL THEN tickets.customer_id::text ELSE event.after ->> 'customer_id' END")}
    ) AS theirs) AS side
) AS found WHERE mine.id = found.id"""

# The link that was sent confirms nothing any more. The rows stay: without any, ANALYZE would keep its earlier samples.
_CONFIRMATIONS: Final = f"""
UPDATE contact_confirmations AS asked SET address = $5::text, mailbox = NULL, domain = NULL, expires_at = now(),
    token = CASE WHEN asked.confirmed_at IS NULL THEN 'erased-' || asked.id END
FROM {_WORK}
WHERE asked.ticket_id = work.id AND (asked.address ~* work.pattern OR {_theirs("asked.customer_id::text")})"""


def recipients_without(pattern: str) -> str:
    """SQL for the recipients of an inbound message without those that the pattern finds."""
    return f"ARRAY(SELECT address FROM unnest(recipients) AS address WHERE address !~* {pattern})"


_MESSAGES: Final = f"""
UPDATE inbound_messages AS mine SET
    from_address = CASE WHEN found.theirs THEN $5::text ELSE mine.from_address END,
    from_name = CASE WHEN found.theirs THEN NULL ELSE {_clean("mine.from_name", pattern="found.pattern")} END,
    subject = {_clean("mine.subject", limits.SUBJECT_MAX, "found.pattern")},
    message_id = CASE WHEN found.theirs OR mine.message_id COLLATE "default" ~* found.pattern THEN NULL
        ELSE mine.message_id END,
    text = CASE WHEN found.theirs THEN NULL ELSE {_clean("mine.text", limits.MAIL_TEXT_MAX, "found.pattern")} END,
    recipients = {recipients_without("found.pattern")},
    raw = CASE WHEN mine.raw IS NOT NULL AND found.is_theirs THEN ''::bytea ELSE mine.raw END
FROM (
    SELECT received.id, work.pattern, work.theirs AS is_theirs, received.from_address ~* work.pattern OR (
        {_theirs("coalesce(notes.customer_id, tickets.customer_id)::text")}
        AND (notes.id IS NULL OR notes.author_kind = 'CUSTOMER')
    ) AS theirs
    FROM {_WORK} JOIN inbound_messages AS received ON received.ticket_id = work.id
    JOIN tickets ON tickets.id = work.id LEFT JOIN notes ON notes.id = received.note_id
) AS found WHERE mine.id = found.id"""

_ARTICLES: Final = f"""
UPDATE articles SET problem = {_clean("problem", limits.PROBLEM_MAX)},
    solution = {_clean("solution", limits.SOLUTION_MAX)}
FROM {_WORK} WHERE articles.source_ticket_id = work.id AND concat_ws(E'\\n', problem, solution) ~* work.pattern"""


def clean_image(image: str, pattern: str) -> str:
    """SQL for an image of the audit trail without what the pattern finds in its texts."""
    text = _clean("value #>> '{}'", pattern=pattern)
    return f"""(
        SELECT jsonb_object_agg(key, CASE jsonb_typeof(value) WHEN 'string' THEN to_jsonb({text}) ELSE value END)
        FROM jsonb_each({image})
    )"""


_ENTRIES: Final = f"""
UPDATE audit_entries SET before = {clean_image("before", "work.pattern")},
    after = {clean_image("after", "work.pattern")}
FROM {_WORK} JOIN articles ON articles.source_ticket_id = work.id WHERE object_id = 'art_' || articles.id"""

_CUSTOMER: Final = "customer_id::text"
_IS_CONTACT: Final = _is_contact(_CUSTOMER, "contact_email")
_TICKETS: Final = f"""
UPDATE tickets SET subject = {_clean("subject", limits.SUBJECT_MAX)},
    description = {_clean("description", limits.DESCRIPTION_MAX)},
    resolution = {_clean("resolution", limits.RESOLUTION_MAX)},
    contact_name = CASE WHEN {_IS_CONTACT} THEN '{placeholders.NAME}'
        ELSE {_clean("contact_name", limits.NAME_MAX)} END,
    contact_email = CASE WHEN {_IS_CONTACT} THEN $5::text ELSE contact_email END,
    contact_phone = CASE WHEN NOT ({_IS_CONTACT} OR contact_phone ~* work.pattern) THEN contact_phone END,
    creator_id = {_author_id("creator_kind", "creator_id", _CUSTOMER)}
FROM {_WORK} WHERE tickets.id = work.id"""

# Not even a row that refers to the ticket is written meanwhile, such as a confirmation of an address.
_LOCK: Final = "SELECT FROM tickets WHERE id = ANY ($1::uuid[]) ORDER BY id FOR UPDATE"

# The contacts that the tickets had while they were the customer's, or nobody's; $2 is the customer's key.
_CONTACTS: Final = """
SELECT ticket_id::text, coalesce(bool_or(customer_id = $2), false) AS theirs,
    jsonb_agg(jsonb_build_array(name, email, phone)) FILTER (WHERE coalesce(customer_id, $2) = $2) AS contacts
FROM (
    SELECT id AS ticket_id, customer_id::text, contact_name AS name, contact_email AS email, contact_phone AS phone
    FROM tickets WHERE id = ANY ($1::uuid[])
    UNION
    SELECT ticket_id, image ->> 'customer_id', image ->> 'contact_name', image ->> 'contact_email',
        image ->> 'contact_phone'
    FROM ticket_events CROSS JOIN LATERAL (VALUES (before), (after)) AS side (image)
    WHERE ticket_id = ANY ($1::uuid[]) AND image IS NOT NULL
) AS side GROUP BY ticket_id ORDER BY ticket_id"""

# Words that no article has any more, of those in a text; letters only, as in `article_words_of`.
_FORGET_WORDS: Final = """
DELETE FROM article_words AS known
WHERE word = ANY (tsvector_to_array(to_tsvector('simple'::regconfig, $1)))
    AND NOT EXISTS (SELECT FROM articles WHERE known.word = ANY (article_words_of(problem, solution)))"""


async def contacts_of(transaction: Any, tickets: Sequence[str], customer_id: str) -> dict[str, tuple[bool, Sought]]:
    """For each ticket whether it is or was the customer's, and the contact details that it had meanwhile."""
    placeholder = placeholders.email(customer_id)
    found = {}
    for row in await transaction.fetch(_CONTACTS, tickets, customer_id):
        contacts = [each for each in json.loads(row["contacts"] or "[]") if each[1] != placeholder]
        names, emails, phones = zip(*contacts, strict=True) if contacts else ((), (), ())
        found[row["ticket_id"]] = row["theirs"], Sought.of(names, emails, phones)
    return found


async def erase(
    transaction: Any, viewer: Viewer, customer_id: str, tickets: Sequence[str], everywhere: Sought, in_tickets: Sought
) -> None:
    """Erases the customer from these tickets, and writes an event for each, so that lists show the change.

    The ticket's row is rewritten before the event is written: neither of the event's images has an erased value."""
    await transaction.execute(_LOCK, tickets)
    found = await contacts_of(transaction, tickets, customer_id)
    sought = [everywhere | in_tickets | contacts if theirs else everywhere for theirs, contacts in found.values()]
    patterns: Mapping[Sought, str] = {each: each.pattern for each in set(sought)}
    work = (list(found), [patterns[each] for each in sought], [theirs for theirs, _ in found.values()])
    person = (customer_id, placeholders.email(customer_id))
    for statement in (_EVENTS, _NOTES, _ATTACHMENTS, _DELIVERIES, _CONFIRMATIONS, _MESSAGES):
        await transaction.execute(statement, *work, *person)
    await transaction.execute(_ASSIGNMENTS, *work)
    await transaction.execute(_CHATS, *work, everywhere.anywhere)
    if await transaction.execute(_ARTICLES, *work) != "UPDATE 0":
        await forget_words(transaction, set(sought))
    await transaction.execute(_ENTRIES, *work)
    await transaction.execute(_TICKETS, *work, *person)
    for ticket_id in found:
        await event_log.change(transaction, viewer, ticket_id, TicketEventKind.UPDATED, {}, {})


async def forget_words(transaction: Any, sought: set[Sought]) -> None:
    """Removes the words of the values from the vocabulary of the articles, unless an article has them."""
    await transaction.execute(_FORGET_WORDS, " ".join(form for each in sought for form in each.forms))
