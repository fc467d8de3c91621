"""The review of inbound messages that were ignored or kept aside: an admin accepts or discards each, once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Text, bindparam, func, select, update
from sqlalchemy.dialects.postgresql import UUID

from db import models
from db.entities import INBOUND_MESSAGE, TICKET
from db.enums import AuditAction, AuditObjectKind, InboundOutcome
from db.erasure import placeholders
from db.postgres.statement import Statement
from db.sql import table
from notifiers import contacts
from notifiers.inbound.reading import IncomingMail
from resolvers import audit, inbound, inbound_files
from resolvers.checks import Checks
from resolvers.inbound import WAITING
from resolvers.mutation import Call, Input, MutationError, Outcome, Refused, Transaction, UserErrorCode

NOT_STORED: Final = (
    "The message as it arrived is not stored any more, or never was, because only its header was kept: it cannot be"
    " accepted. Create a ticket from its text, and discard it."
)

_MESSAGES = table(models.InboundMessageRow)
_ID = bindparam("id", type_=UUID(as_uuid=False))
_RAW = Statement(select(_MESSAGES.c.outcome, _MESSAGES.c.raw).where(_MESSAGES.c.id == _ID))
_LOCK = Statement(
    select(_MESSAGES.c.outcome, func.length(_MESSAGES.c.raw).label("length"))
    .where(_MESSAGES.c.id == _ID)
    .with_for_update()
)
_DECIDE = Statement(
    update(_MESSAGES)
    .where(_MESSAGES.c.id == _ID)
    .values(
        outcome=bindparam("outcome", type_=models.INBOUND_OUTCOME),
        ticket_id=bindparam("ticket_id", type_=UUID(as_uuid=False)),
        note_id=bindparam("note_id", type_=UUID(as_uuid=False)),
        from_address=func.coalesce(bindparam("address", type_=Text()), _MESSAGES.c.from_address),
    )
)


async def accept(call: Call, input: Input) -> Outcome:
    """Make a ticket of a message, or a note on the ticket that it replies to or that is given, as if nothing had spoken
    against it. Raises `Refused` if it has been reviewed before, or if there is nobody to answer to."""
    checks = Checks()
    message_id = checks.key(input["inboundMessageId"], INBOUND_MESSAGE.prefix, "inbound message", "inboundMessageId")
    ticket_id = checks.key(input.get("ticketId"), TICKET.prefix, "ticket", "ticketId")
    given = input.get("contactEmail")
    address = None if given is None else checks.email(given, "contactEmail")
    checks.finish()
    row = await _RAW.fetchrow(call.database, id=message_id)
    _check_waits(row, str(message_id))
    mail = await _read(call, row, address) if row is not None and row["raw"] else None
    async with call.transaction() as transaction:
        locked = await _LOCK.fetchrow(transaction, id=message_id)
        before = _check_waits(locked, str(message_id))
        if mail is None or not locked or not locked["length"]:  # an erasure may have come first
            raise _refusal(NOT_STORED, "inboundMessageId", str(message_id))
        if ticket_id is None and mail.from_address is None:
            message = "The message has no address to answer to: give the contact's, or a ticket."
            raise Refused(MutationError(UserErrorCode.REQUIRED, message, ("contactEmail",)), object_id=message_id)
        received = await inbound.accept(transaction, call, mail, ticket_id)
        if received is not None and received.outcome is InboundOutcome.TICKET_CREATED and address is not None:
            await contacts.trust(transaction, str(received.ticket_id), address)
        if received is None:
            raise Refused(MutationError(UserErrorCode.NOT_FOUND, "There is no such ticket.", ("ticketId",)))
        values = {"outcome": received.outcome, "ticket_id": received.ticket_id, "note_id": received.note_id}
        await _decide(transaction, call, str(message_id), before, values, address)
    return Outcome(message_id)


async def discard(call: Call, input: Input) -> Outcome:
    """Take a message off those that wait. It stays in the list until it is pruned."""
    checks = Checks()
    message_id = checks.key(input["inboundMessageId"], INBOUND_MESSAGE.prefix, "inbound message", "inboundMessageId")
    checks.finish()
    async with call.transaction() as transaction:
        before = _check_waits(await _LOCK.fetchrow(transaction, id=message_id), str(message_id))
        values = {"outcome": InboundOutcome.DISCARDED, "ticket_id": None, "note_id": None}
        await _decide(transaction, call, str(message_id), before, values, None)
    return Outcome(message_id)


async def _read(call: Call, row: Mapping[str, Any], address: str | None) -> IncomingMail:
    """The message as it was read when it came in, with the address that an admin has given for its writer."""
    mail = await inbound.parsed(call, row["raw"])
    mail = replace(mail, automatic=None, unusable=None)
    await inbound_files.store(call, mail)
    if address is not None:
        written = replace(mail, from_address=address, through=None, named_by_stranger=False)
        return replace(written, believed=True, sender_verified=None)
    usable = Checks()
    usable.email(mail.from_address, "from")
    ours = (mail.from_address or "").lower() in call.own_mail.addresses
    if usable.errors or ours or placeholders.is_email(mail.from_address):
        return replace(mail, from_address=None)
    return mail


def _check_waits(row: Mapping[str, Any] | None, message_id: str) -> InboundOutcome:
    """The outcome of a message that waits for its review. Raises `Refused` for any other."""
    if row is None:
        raise Refused(
            MutationError(UserErrorCode.NOT_FOUND, "There is no such inbound message.", ("inboundMessageId",))
        )
    outcome = InboundOutcome(row["outcome"])
    if outcome not in WAITING:
        message = f"Only an IGNORED or KEPT_ASIDE message can be reviewed; this one is {outcome}."
        raise _refusal(message, "inboundMessageId", message_id)
    return outcome


def _refusal(message: str, field: str, message_id: str) -> Refused:
    return Refused(MutationError(UserErrorCode.NOT_ALLOWED, message, (field,)), object_id=message_id)


async def _decide(
    transaction: Transaction,
    call: Call,
    message_id: str,
    before: InboundOutcome,
    values: Mapping[str, Any],
    address: str | None,
) -> None:
    await _DECIDE.execute(transaction, id=message_id, address=address, **values)
    await audit.record(
        transaction,
        call,
        AuditAction.UPDATED,
        AuditObjectKind.INBOUND_MESSAGE,
        message_id,
        {"outcome": before, "ticket_id": None, "note_id": None},
        values,
    )
