"""Notes on tickets: internal by default (a customer's are public), and never edited.

A customer's note is an answer, and so is one that a service passes on from a customer. It reopens the ticket if that is
resolved, or closed within the grace period. After that it becomes the first note of a new ticket, which follows up the
closed one; further answers to that one go there too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Text, and_, bindparam, func, or_, select
from sqlalchemy.dialects.postgresql import UUID

from db import limits, models
from db.enums import ActorKind, NoteVia, Role, TicketSource
from db.events import log as event_log
from db.ids import new_id
from db.postgres.statement import Statement
from db.sql import table
from notifiers import contacts, rules
from notifiers.enqueue import deliveries
from notifiers.rules import NotificationTarget
from resolvers import ticket as tickets
from resolvers import ticket_rules
from resolvers.checks import Checks
from resolvers.grace import in_grace
from resolvers.mutation import Call, Input, Outcome, Transaction, UserErrorCode

FOLLOW_UP = "The customer has answered an earlier ticket, which was closed. The answer is the first note."
"""The description of a ticket that follows up another. It does not name that one, which not everyone may see who sees
this one."""

_TICKETS = table(models.TicketRow)
_CUSTOMERS = table(models.CustomerRow)
_UUID = UUID(as_uuid=False)


async def add(call: Call, input: Input) -> Outcome:
    """Add a note. The notes of customers and services are answers, and always public; staff choose. Services need an
    idempotency key."""
    checks = Checks()
    ticket_id = checks.key(input["ticketId"], "tkt", "ticket", "ticketId")
    body = checks.text(input["body"], limits.NOTE_MAX, "body")
    answers = call.viewer.role in (Role.CUSTOMER, Role.SERVICE)
    internal_only = input.get("internalOnly")
    if answers and internal_only:
        checks.object_to(UserErrorCode.NOT_ALLOWED, "You can only add public notes.", "internalOnly")
    if call.viewer.role is Role.SERVICE and input.get("idempotencyKey") is None:
        message = "Services must send an idempotency key: their requests are repeated."
        checks.object_to(UserErrorCode.REQUIRED, message, "idempotencyKey")
    checks.occurred_at(input)
    checks.finish()
    note_id = new_id()
    async with call.transaction(note_id) as transaction:
        ticket = await tickets.lock_ticket(transaction, call, str(ticket_id))
        if answers:
            await _answer(transaction, call, ticket, note_id, body)
        else:
            internal = internal_only is not False
            targets = rules.of_note(internal_only=internal)
            await write(transaction, call, str(ticket["id"]), note_id, body, targets, internal_only=internal)
    return Outcome(note_id)


async def write(
    transaction: Transaction,
    call: Call,
    ticket_id: str,
    note_id: str,
    body: str,
    targets: Sequence[NotificationTarget],
    *,
    internal_only: bool,
    via: NoteVia | None = None,
    sender_verified: bool | None = None,
    quoted: str | None = None,
) -> None:
    """Write a note and its event, and queue the notifications. The text is checked and the transaction has locked the
    ticket. `sender_verified` and `quoted` are for a note that came by mail, which `via` says; others come through the
    API, a service's from a chatbot."""
    await event_log.note(
        transaction,
        call.viewer,
        ticket_id,
        note_id,
        body,
        internal_only=internal_only,
        via=via or (NoteVia.CHATBOT if call.viewer.role is Role.SERVICE else NoteVia.WEB),
        sender_verified=sender_verified,
        quoted=quoted,
        origin=call.origin,
        deliveries=deliveries(call.viewer, targets),
    )


async def answer(
    transaction: Transaction,
    call: Call,
    ticket: Mapping[str, Any],
    note_id: str,
    body: str,
    *,
    via: NoteVia | None = None,
    sender_verified: bool | None = None,
    quoted: str | None = None,
) -> None:
    """Write a customer's answer to a ticket that the transaction has locked and that takes it, which reopens the ticket
    if it was resolved or closed."""
    reopening = ticket_rules.answered(ticket)
    await write(
        transaction,
        call,
        str(ticket["id"]),
        note_id,
        body,
        rules.of_answer(reopens=bool(reopening)),
        internal_only=False,
        via=via,
        sender_verified=sender_verified,
        quoted=quoted,
    )
    if reopening:
        await tickets.reopen(transaction, call.viewer, str(ticket["id"]), reopening, call.origin)


_NEWEST_FOLLOW_UP = Statement(
    select(*_TICKETS.c, in_grace(_TICKETS).label("in_grace"))
    .where(
        _TICKETS.c.follows_id == bindparam("id", type_=_UUID),
        _TICKETS.c.customer_id.is_not_distinct_from(bindparam("customer", type_=_UUID)),
        or_(
            bindparam("contact", type_=Text()).is_(None),
            func.lower(_TICKETS.c.contact_email) == func.lower(bindparam("contact", type_=Text())),
        ),
        or_(
            bindparam("service", type_=Text()).is_(None),
            and_(
                _TICKETS.c.creator_kind == ActorKind.SERVICE,
                _TICKETS.c.creator_id == bindparam("service", type_=Text()),
            ),
        ),
    )
    .order_by(_TICKETS.c.created_at.desc(), _TICKETS.c.id.desc())
    .limit(1)
    .with_for_update()
)

_OWN_CONTACT = Statement(
    select(*(_CUSTOMERS.c[name].label(f"contact_{name}") for name in ("name", "email", "phone"))).where(
        _CUSTOMERS.c.id == bindparam("id", type_=_UUID)
    )
)


async def taking_answer(
    transaction: Transaction, ticket: Mapping[str, Any], contact: str | None = None, service: str | None = None
) -> Mapping[str, Any] | None:
    """Returns the ticket that takes a customer's answer to `ticket`, locked as that one is: `ticket` itself, or the
    newest that follows it up and has the same customer, and the same `contact` if the contact answers, and that the
    `service` created, if one passes the answer on. Returns None if a new one has to follow it up."""
    if ticket_rules.takes_answers(ticket):
        return ticket
    found: Mapping[str, Any] | None = await _NEWEST_FOLLOW_UP.fetchrow(
        transaction, id=str(ticket["id"]), customer=ticket["customer_id"], contact=contact, service=service
    )
    return found if found is not None and ticket_rules.takes_answers(found) else None


async def _answer(transaction: Transaction, call: Call, ticket: Mapping[str, Any], note_id: str, body: str) -> None:
    """Write the answer of the ticket's customer, or of its contact through the service that created it, to this ticket
    or to one that follows it up."""
    service = call.viewer.role is Role.SERVICE
    by = {"contact": ticket["contact_email"], "service": call.viewer.id} if service else {}
    taking = await taking_answer(transaction, ticket, **by)
    if taking is not None:
        await answer(transaction, call, taking, note_id, body)
        return
    follow_up = {name: ticket[name] for name in ("subject", "category", "customer_id", "property_id")}
    follow_up |= _contact(ticket) if service else await _contact_of_follow_up(transaction, ticket)
    follow_up |= {
        "id": new_id(),
        "description": FOLLOW_UP,
        "source": TicketSource.CHATBOT if service else TicketSource.CUSTOMER,
        "creator_kind": ActorKind(call.viewer.role.value),
        "creator_id": call.viewer.id,
        "follows_id": str(ticket["id"]),
    }
    # The note's event notifies of the new ticket, because the note is what the customer has written.
    await tickets.write(transaction, call, follow_up, notify=False)
    await contacts.inherit(transaction, follow_up["id"])
    await write(transaction, call, follow_up["id"], note_id, body, rules.of_creation(None), internal_only=False)


async def _contact_of_follow_up(transaction: Transaction, ticket: Mapping[str, Any]) -> dict[str, Any]:
    """The contact's columns: those of the ticket if staff or the customer created it. A chatbot or mail may have named
    a stranger, who must not get what the customer writes: then they are the customer's own."""
    if not ticket_rules.is_by_outsider(ticket):
        return _contact(ticket)
    return dict(await _OWN_CONTACT.fetchrow(transaction, id=str(ticket["customer_id"])) or {})


def _contact(ticket: Mapping[str, Any]) -> dict[str, Any]:
    return {name: ticket[name] for name in ("contact_name", "contact_email", "contact_phone")}
