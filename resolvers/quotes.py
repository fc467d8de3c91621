"""What a note that comes by mail shows, and what of the mail is folded: the history that it quotes, if the ticket has
it, and the signature.

Those who read the note see what is folded, and could find out by that what the ticket has. So only what the note's
author may read counts as ours: never an internal note for a customer, nor one from the time of another customer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Boolean, and_, bindparam, literal_column, or_, select
from sqlalchemy.dialects.postgresql import UUID

from db import models
from db.postgres.statement import Statement
from db.sql import table
from notifiers.inbound.held import Held
from notifiers.inbound.history import Divided, divided
from notifiers.inbound.reading import IncomingMail
from notifiers.message_ids import OwnMail
from resolvers import ticket_rules
from resolvers.mutation import Transaction

_TICKETS = table(models.TicketRow)
_TECHNICIANS = table(models.TechnicianRow)
_PROPERTIES = table(models.PropertyRow)
_NOTES = table(models.NoteRow)
_TICKET_ID = bindparam("ticket_id", type_=UUID(as_uuid=False))


def _notes() -> Statement:
    """The newest notes on a ticket that the author of the reply may read."""
    customer = select(_TICKETS.c.customer_id).where(_TICKETS.c.id == _TICKET_ID).scalar_subquery()
    public = and_(~_NOTES.c.internal_only, _NOTES.c.customer_id.is_not_distinct_from(customer))
    return Statement(
        select(_NOTES.c.body, _NOTES.c.quoted, _NOTES.c.author_name)
        .where(_NOTES.c.ticket_id == _TICKET_ID, or_(bindparam("internal", type_=Boolean()), public))
        .order_by(_NOTES.c.created_at.desc(), _NOTES.c.id.desc())
        .limit(literal_column("100"))
    )


def _names() -> Statement:
    """The names in our mails about a ticket that are not in its own row."""
    rows = _TICKETS.outerjoin(_TECHNICIANS, _TECHNICIANS.c.id == _TICKETS.c.technician_id)
    rows = rows.outerjoin(_PROPERTIES, _PROPERTIES.c.id == _TICKETS.c.property_id)
    return Statement(
        select(_TICKETS.c.category, _TICKETS.c.priority, _TECHNICIANS.c.name.label("technician"), _PROPERTIES.c.address)
        .select_from(rows)
        .where(_TICKETS.c.id == _TICKET_ID)
    )


_HELD_NOTES = _notes()
_HELD_NAMES = _names()


async def held(
    transaction: Transaction, own: OwnMail, mail: IncomingMail, ticket: Mapping[str, Any], *, internal: bool
) -> Held:
    """What we hold of a ticket that a mail replies to. The author of an `internal` note reads all notes."""
    ticket_id = str(ticket["id"])
    notes = await _HELD_NOTES.fetch(transaction, ticket_id=ticket_id, internal=internal)
    others = await _HELD_NAMES.fetchrow(transaction, ticket_id=ticket_id) or {}
    if not (internal or ticket["by_customer"] or not ticket_rules.is_by_outsider(ticket)):
        # As in our mails to such a contact, who may have guessed an account number (`notifiers/queue.py`).
        ticket, others = {**ticket, "customer_name": None}, {**others, "address": None}
    return Held(
        [*_described(ticket), *(f"{row['body']}\n{row['quoted'] or ''}" for row in notes)],
        [*_named(ticket), *_words(others.values()), *(row["author_name"] for row in notes)],
        own.addresses,
        answers_us=bool(mail.references) and own.ticket_of(mail.references[0]) is not None,
        only_marks=mail.only_marks,
    )


def _described(ticket: Mapping[str, Any]) -> list[str]:
    return [ticket[name] or "" for name in ("description", "subject", "resolution")]


def _named(ticket: Mapping[str, Any]) -> list[str]:
    return [ticket[name] or "" for name in ("reference", "subject", "contact_name", "customer_name")]


def _words(values: Iterable[Any]) -> list[str]:
    """Names, and values of enums as our mails write them."""
    return [str(value).replace("_", " ") for value in values if value]


def divide(mail: IncomingMail, ours: Held) -> Divided:
    """Divides the mail by what is ours. It takes milliseconds, and longer for hostile mail."""
    return divided(mail.whole, f"{mail.from_name} {mail.from_address}", ours)
