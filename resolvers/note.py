"""Notes on tickets: internal by default (a customer's are public), and never edited."""

from __future__ import annotations

from db import limits
from db.enums import NoteVia, Role
from db.events import log as event_log
from db.ids import new_id
from notifiers import rules
from notifiers.enqueue import deliveries
from resolvers import idempotency
from resolvers.checks import Checks
from resolvers.mutation import Call, Input, Outcome, Transaction, UserErrorCode
from resolvers.ticket import lock_ticket


async def add(call: Call, input: Input) -> Outcome:
    """Add a note. A customer's notes are always public; other roles choose."""
    checks = Checks()
    ticket_id = checks.key(input["ticketId"], "tkt", "ticket", "ticketId")
    body = checks.text(input["body"], limits.NOTE_MAX, "body")
    customer = call.viewer.role is Role.CUSTOMER
    internal_only = input.get("internalOnly")
    if customer and internal_only:
        checks.object_to(UserErrorCode.NOT_ALLOWED, "Customers can only add public notes.", "internalOnly")
    checks.finish()
    note_id = new_id()
    async with call.transaction() as transaction:
        earlier = await idempotency.claim(transaction, call, "noteAdd", input, note_id)
        if earlier is not None:
            return Outcome(earlier)
        ticket = await lock_ticket(transaction, call, str(ticket_id))
        if internal_only is None:
            internal_only = not customer
        await write(transaction, call, str(ticket["id"]), note_id, body, internal_only=internal_only)
    return Outcome(note_id)


async def write(
    transaction: Transaction,
    call: Call,
    ticket_id: str,
    note_id: str,
    body: str,
    *,
    internal_only: bool,
    via: NoteVia = NoteVia.WEB,
    sender_verified: bool | None = None,
    quoted: str | None = None,
) -> None:
    """Write a note and its event, and queue the notifications. The text is checked and the transaction has locked the
    ticket. `sender_verified` and `quoted` are for a note that came by mail."""
    await event_log.note(
        transaction,
        call.viewer,
        ticket_id,
        note_id,
        body,
        internal_only=internal_only,
        via=via,
        sender_verified=sender_verified,
        quoted=quoted,
        deliveries=deliveries(rules.of_note(call.viewer.role, internal_only=internal_only)),
    )
