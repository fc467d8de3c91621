"""Contacts' addresses: which ones mail may go to, and how an address is confirmed.

Whoever creates a ticket may type any address. Staff are believed. A customer's own address needs no confirmation, nor
does that of a sender whom our mail server has verified. Any other address gets one mail that asks to confirm it, and
nothing else until then (`notifiers/screening.py`).
"""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from datetime import timedelta
from typing import Final

from db.ids import new_id
from db.postgres.statement import Queryable
from notifiers.addresses import Mailbox

CONFIRMABLE: Final = timedelta(days=7)
"""How long the link in a mail confirms an address, and how long deliveries wait for it."""

_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{43}")  # 256 bits in base64

# Conditions on the delivery `mine`, its ticket `ticket` and the ticket's customer `customer`, if there is one.
AUTHENTICATED: Final = "ticket.creator_kind = 'CUSTOMER' AND ticket.source = 'CUSTOMER'"
"""A customer created the ticket, with a token: the sender of a mail proves nothing."""
BY_STAFF: Final = "ticket.creator_kind NOT IN ('CUSTOMER', 'SERVICE')"
OWN: Final = "coalesce(lower(customer.email) = lower(mine.recipient), false)"
"""The address is that of the ticket's customer."""
_COUNTS: Final = f"""known.address = lower(mine.recipient)
    AND (known.ticket_id = ticket.id OR {AUTHENTICATED} AND known.customer_id::text = ticket.creator_id)"""
CONFIRMED: Final = f"""(
    ticket.creator_kind = 'CUSTOMER' AND ticket.source = 'EMAIL' AND ticket.sender_verified IS TRUE
    OR EXISTS (SELECT FROM contact_confirmations AS known WHERE {_COUNTS} AND known.confirmed_at IS NOT NULL))"""
"""The address has been confirmed, or it is that of a sender whom a mail server of ours has verified."""
ASKED_UNTIL: Final = f"""(
    SELECT max(known.expires_at) FROM contact_confirmations AS known
    WHERE {_COUNTS} AND known.confirmed_at IS NULL AND known.expires_at > now())"""
"""Until when the mail that has asked to confirm the address can be answered; null if none has or it is too late."""

_CONFIRM: Final = """
UPDATE contact_confirmations SET confirmed_at = coalesce(confirmed_at, now())
WHERE token = $1 AND (confirmed_at IS NOT NULL OR expires_at > now())
RETURNING address"""

_TRUST: Final = """
INSERT INTO contact_confirmations (id, ticket_id, address, confirmed_at) VALUES ($1, $2, lower($3), now())
RETURNING address"""

# The conditions are about the ticket that is followed up. An address that was typed by staff or confirmed stays so.
_INHERIT: Final = f"""
INSERT INTO contact_confirmations (id, ticket_id, address, confirmed_at)
SELECT $1, new.id, lower(mine.recipient), now()
FROM tickets AS new
JOIN tickets AS ticket ON ticket.id = new.follows_id
CROSS JOIN LATERAL (SELECT ticket.contact_email AS recipient) AS mine
WHERE new.id = $2 AND lower(new.contact_email) = lower(mine.recipient) AND ({BY_STAFF} OR {CONFIRMED})"""

# The deliveries pass the limits again, because many can have gathered. $1: an address, or null for all.
_RELEASE: Final = f"""
UPDATE deliveries SET state = 'PENDING', said = NULL, due_at = now(), queued_at = now(), screened_at = NULL
WHERE state = 'HELD' AND id = ANY (ARRAY(
    SELECT mine.id FROM deliveries AS mine
    JOIN tickets AS ticket ON ticket.id = mine.ticket_id
    LEFT JOIN customers AS customer ON customer.id = ticket.customer_id
    WHERE mine.state = 'HELD' AND mine.summary_id IS NULL AND ($1::text IS NULL OR lower(mine.recipient) = $1)
        AND ({OWN} OR {CONFIRMED})
))"""

_FORGET: Final = "DELETE FROM contact_confirmations WHERE confirmed_at IS NULL AND expires_at < now()"


async def confirm(database: Queryable, token: str) -> bool:
    """Confirm the address that the token was mailed to, and release the deliveries that wait for it. Returns whether
    the token is valid: it was mailed in the last `CONFIRMABLE`, or it has confirmed the address before."""
    if not _TOKEN.fullmatch(token):
        return False
    address = await database.fetchval(_CONFIRM, token)
    if address is None:
        return False
    await release(database, address)
    return True


async def trust(database: Queryable, ticket_id: str, address: str) -> None:
    """Note that staff have entered the contact's address on a ticket, and release the deliveries that wait for it."""
    await release(database, await database.fetchval(_TRUST, new_id(), ticket_id, address))


async def inherit(database: Queryable, ticket_id: str) -> None:
    """Take over for a new ticket that the contact's address was confirmed, or entered by staff, on the ticket that it
    follows up, if it is the same address."""
    await database.execute(_INHERIT, new_id(), ticket_id)


async def release(database: Queryable, address: str | None = None) -> None:
    """Release the held deliveries to addresses that need no confirmation now, or only those to `address`, which is in
    lower case."""
    await database.execute(_RELEASE, address)


async def forget(database: Queryable) -> None:
    """Delete what nobody has confirmed in time. It counts against no limit any more."""
    await database.execute(_FORGET)


def mailbox_digest(address: str) -> bytes:
    """The digest of what all spellings of an address share that usually reach one mailbox: it ignores case, dots and a
    `+tag`, and the form in which the domain is written. Only counts use it: mail goes to the address as it is."""
    local, domain = _parts(address)
    return hashlib.sha256(f"{local.partition('+')[0].replace('.', '')}@{domain}".encode()).digest()


def domain_digest(address: str) -> bytes:
    """The digest of the address's domain, however it is written."""
    return hashlib.sha256(_parts(address)[1].encode()).digest()


def _parts(address: str) -> tuple[str, str]:
    """The local part and the domain, in lower case."""
    with suppress(ValueError):  # an invalid address will be refused when it is sent
        address = Mailbox.of("", address).address
    local, _, domain = address.lower().rpartition("@")
    return local, domain
