"""Inbound mail: a message creates a ticket, adds a note to the ticket that it replies to, or is ignored or kept aside.

The From header can be forged, so an address proves nothing. A message can create a ticket, or add a note to a ticket
that its address belongs to; its sender receives nothing but the mails that a ticket's contact receives anyway. Somebody
to whom the ticket's mail was copied adds a note, too, an internal one unless they are verified. A reply from any other
address creates a new ticket, whether or not the ticket that it names exists, so that the sender cannot find out. Nor
can the service that hands the message in: it learns only what the message itself decides. A message that fails DMARC is
kept aside; others say whether their sender was verified (docs/decisions/mail-authentication.md).
`resolvers/inbound_review.py` has what admins do with messages that were ignored or kept aside.

There is one transaction for each message: its effect commits together with the row that records the outcome. If the
same message is received twice at the same time, the second transaction waits and then finds that row.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import time
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Text,
    and_,
    any_,
    bindparam,
    cast,
    exists,
    false,
    func,
    literal_column,
    or_,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, UUID, insert

from db import limits, models
from db.enums import ActorKind, InboundOutcome, IngestOutcome, NoteVia, Role, TicketSource
from db.erasure import placeholders
from db.ids import new_id
from db.postgres.statement import Statement
from db.sql import Expression, Row, table
from db.viewer import Viewer
from db.visibility import ViewerParameter
from notifiers import contacts, rules
from notifiers.enqueue import MAILTO
from notifiers.inbound.history import Divided
from notifiers.inbound.mailboxes import spellings, without_tag
from notifiers.inbound.reading import BYTES_MAX, KEPT_MAX, TEXT_MAX, IncomingMail, read
from notifiers.text import shortened
from resolvers import inbound_files, inbound_flood, note, quotes, ticket
from resolvers.checks import Checks
from resolvers.grace import in_grace
from resolvers.mutation import Call, Input, Outcome, Transaction, UserErrorCode

GATEWAY = "mail-in"
"""The mail gateway's viewer id, used where a message has no other author that we know."""

GATEWAY_OF_STAFF = "mail-in-staff"
"""The same for what staff answer, so that their files have a share of their own: a flood of others' must not use it."""

NO_TEXT = "(The message has no text.)"
NO_SUBJECT = "(no subject)"

WAITING = (InboundOutcome.IGNORED, InboundOutcome.KEPT_ASIDE)
"""The outcomes of messages that an admin can accept or discard."""

_PARSING = ThreadPoolExecutor(1, "mail")
"""One thread: each that is busy makes the event loop wait five milliseconds longer for its turn."""

_REPEATS_MAX = 20
"""Tickets that one sender can create with the same text within an hour. More look like an auto-responder in a loop."""

_IGNORED_MAX = 100
"""Automatic messages that are kept whole of one sender within a day. A monitor or a loop could fill the disk."""

STEP_SECONDS = 0.05
"""A service's answer takes a multiple of this, so that its time does not show what the message led to."""

_MESSAGES = table(models.InboundMessageRow)
_TICKETS = table(models.TicketRow)
_CUSTOMERS = table(models.CustomerRow)
_NOTES = table(models.NoteRow)
_TECHNICIANS = table(models.TechnicianRow)
_TECHNICIANS_ALL = _TECHNICIANS.alias("anybody")
_SETTINGS = table(models.SupportSettingsRow)
_UUIDS = ARRAY(UUID(as_uuid=False))
_TEXTS = ARRAY(Text())


_LOCK = Statement(select(func.pg_advisory_xact_lock(bindparam("number", type_=BigInteger()))))
_EARLIER = Statement(
    select(_MESSAGES.c.id, _MESSAGES.c.content).where(_MESSAGES.c.key == bindparam("key", type_=BYTEA))
)
_WRITE = Statement(
    insert(_MESSAGES)
    .values({each.name: bindparam(each.name, type_=each.type) for each in _MESSAGES.c if each.name != "received_at"})
    .on_conflict_do_nothing(index_elements=["key"])
    .returning(_MESSAGES.c.id)
)
_REPEATS = Statement(
    select(func.count()).where(
        _MESSAGES.c.content == bindparam("content", type_=BYTEA),
        _MESSAGES.c.outcome == InboundOutcome.TICKET_CREATED,
        _MESSAGES.c.received_at > func.now() - literal_column("interval '1 hour'"),
    )
)

_IS_IGNORED = _MESSAGES.c.outcome == InboundOutcome.IGNORED
_SAME_IGNORED = Statement(
    select(_MESSAGES.c.id).where(_MESSAGES.c.content == bindparam("content", type_=BYTEA), _IS_IGNORED).limit(1)
)
_IGNORED_OF = Statement(
    select(func.count()).select_from(
        select(_MESSAGES.c.id)
        .where(
            func.coalesce(func.lower(_MESSAGES.c.from_address), literal_column("''"))
            == bindparam("address", type_=Text()),
            _IS_IGNORED,
            _MESSAGES.c.received_at > func.now() - literal_column("interval '1 day'"),
        )
        .limit(literal_column(str(_IGNORED_MAX)))
        .subquery()
    )
)

_ADDRESS = func.lower(bindparam("address", type_=Text()))
_SPELLINGS = any_(bindparam("spellings", type_=_TEXTS))
_CUSTOMER = Statement(select(_CUSTOMERS.c.id, _CUSTOMERS.c.name).where(func.lower(_CUSTOMERS.c.email) == _SPELLINGS))

_COPIED = bindparam("address", type_=Text()) == any_(_MESSAGES.c.recipients)
_DOUBTFUL = exists().where(_NOTES.c.id == _MESSAGES.c.note_id, _NOTES.c.internal_only)
_IN_THREAD = _TICKETS.c.id == any_(bindparam("ours", type_=_UUIDS))
# Each ticket that a message may refer to, with the name that it is referred to by: its id, a Message-ID or a reference;
# whether the message with this Message-ID was addressed or copied to the sender, and whether it is in doubt itself, and
# so became an internal note.
_SPOKEN_OF = Statement(
    union_all(
        select(
            _TICKETS.c.id,
            cast(_TICKETS.c.id, Text).label("name"),
            false().label("copied"),
            false().label("doubtful"),
        ).where(_IN_THREAD),
        select(_MESSAGES.c.ticket_id, _MESSAGES.c.message_id, _COPIED, _DOUBTFUL).where(
            _MESSAGES.c.message_id == any_(bindparam("threads", type_=_TEXTS)), _MESSAGES.c.ticket_id.is_not(None)
        ),
        select(_TICKETS.c.id, _TICKETS.c.reference, false(), false()).where(
            _TICKETS.c.reference == any_(bindparam("references", type_=_TEXTS))
        ),
    )
)


def _locked_tickets(*, belonging: bool) -> Statement:
    """Selects and locks the tickets with the given ids, if they must be `belonging` those that the address belongs to:
    the contact's or the customer's address; a participant's, to whom a message on the ticket was copied, or who is the
    customer by another address; or the technician's or an admin's if the message replies to one of our mails, whose
    Message-ID cannot be guessed. A participant `is_vouched_for` unless only doubtful messages were copied to them: a
    stranger could have sent these.

    A service sees the notes on a ticket that it created, but must not learn the customer's address by guessing: there
    that address must be verified."""
    by_contact = func.lower(_TICKETS.c.contact_email) == _SPELLINGS
    hidden = and_(_TICKETS.c.creator_kind == ActorKind.SERVICE, ~bindparam("verified", type_=Boolean()))
    by_customer = func.coalesce(and_(func.lower(_CUSTOMERS.c.email) == _SPELLINGS, ~hidden), false())
    of_customer = func.coalesce(_TICKETS.c.customer_id == bindparam("untagged", type_=UUID(as_uuid=False)), false())
    by_participant = or_(_TICKETS.c.id == any_(bindparam("copied", type_=_UUIDS)), of_customer)
    is_vouched_for = or_(_TICKETS.c.id == any_(bindparam("vouched_for", type_=_UUIDS)), of_customer)
    by_admin = _ADDRESS.in_(select(func.lower(func.unnest(_SETTINGS.c.admin_recipients))))
    by_technician = and_(_TECHNICIANS.c.active, func.lower(_TECHNICIANS.c.email) == _ADDRESS)
    by_staff = and_(_IN_THREAD, or_(by_technician, by_admin))
    of_staff = or_(by_admin, _ADDRESS.in_(select(func.lower(_TECHNICIANS_ALL.c.email))))
    rows = (
        select(
            _TICKETS,
            in_grace(_TICKETS).label("in_grace"),
            _CUSTOMERS.c.name.label("customer_name"),
            by_contact.label("by_contact"),
            by_customer.label("by_customer"),
            and_(by_participant, ~of_staff).label("by_participant"),
            is_vouched_for.label("is_vouched_for"),
        )
        .select_from(
            _TICKETS.outerjoin(_CUSTOMERS, _CUSTOMERS.c.id == _TICKETS.c.customer_id).outerjoin(
                _TECHNICIANS, _TECHNICIANS.c.id == _TICKETS.c.technician_id
            )
        )
        .where(_TICKETS.c.id == any_(bindparam("ids", type_=_UUIDS)))
        .order_by(_TICKETS.c.id)
        .with_for_update(of=_TICKETS)
    )
    return Statement(rows.where(or_(by_contact, by_customer, by_participant, by_staff)) if belonging else rows)


_BELONGING = _locked_tickets(belonging=True)
_ANY_OF_THESE = _locked_tickets(belonging=False)


@dataclass(frozen=True, slots=True)
class Received:
    """The outcome of a message. `message_id` is the id of its row; for a duplicate, and for an automatic message that
    says the same as an earlier one, that of the first message's row. If it is not to be kept `whole`, only its header
    is."""

    outcome: InboundOutcome
    reason: str | None = None
    ticket_id: str | None = None
    note_id: str | None = None
    message_id: str | None = None
    whole: bool = True


async def ingest(call: Call, input: Input) -> Outcome:
    """Receive a message from an admin, who learns its outcome, or from a service, which does not."""
    checks = Checks()
    raw = _bytes(input["message"], checks)
    checks.finish()
    if call.viewer.role is Role.SERVICE:
        return await _acknowledge(call, raw)
    received = await receive(call, raw)
    extra = {"outcome": received.outcome, "reason": received.reason, "ticket_id": received.ticket_id}
    return Outcome(received.message_id, extra=extra)


async def _acknowledge(call: Call, raw: bytes) -> Outcome:
    """Receive a message. The result depends on nothing but the message: not even on whether it is a duplicate, as
    another service may have handed in the first one."""
    mail = await parsed(call, raw)
    await _receive(call, mail, raw)
    decided = _decided(mail)
    if decided is None:
        return Outcome(extra={"outcome": IngestOutcome.RECEIVED})
    return Outcome(extra={"outcome": decided.outcome, "reason": decided.reason})


@asynccontextmanager
async def in_equal_time() -> AsyncIterator[None]:
    """Extends the block's time to a multiple of `STEP_SECONDS`."""
    start = time.monotonic()
    yield
    await asyncio.sleep(STEP_SECONDS - (time.monotonic() - start) % STEP_SECONDS)


def ingesting(call: Call) -> AbstractAsyncContextManager[None]:
    """What `ingest` runs in: the time of its commit says nothing to a service either."""
    return in_equal_time() if call.viewer.role is Role.SERVICE else nullcontext()


async def receive(call: Call, raw: bytes) -> Received:
    """Receive any message, once. An error of the database is raised, and the message was not received then."""
    return await _receive(call, await parsed(call, raw), raw)


async def parsed(call: Call, raw: bytes) -> IncomingMail:
    """Parse the message in a thread."""
    return await asyncio.get_running_loop().run_in_executor(_PARSING, read, raw, call.own_mail)


async def _receive(call: Call, mail: IncomingMail, raw: bytes) -> Received:
    if _decided(mail) is None:
        await inbound_files.store(call, mail)
    try:
        return await _take(call, mail, raw)
    except _Seen as seen:
        return Received(InboundOutcome.DUPLICATE, message_id=seen.message_id)


class _Seen(Exception):
    """The message is a duplicate: it has been received before."""

    def __init__(self, message_id: str) -> None:
        super().__init__()
        self.message_id = message_id


async def _take(call: Call, mail: IncomingMail, raw: bytes) -> Received:
    async with call.transaction() as transaction:
        await _LOCK.fetchval(transaction, number=int.from_bytes(mail.key[:8], signed=True))
        earlier = await _EARLIER.fetchrow(transaction, key=mail.key)
        if earlier is not None and earlier["content"] == mail.content:
            raise _Seen(str(earlier["id"]))
        if earlier is not None:
            key = hashlib.sha256(raw).digest()
            mail = replace(mail, key=key, unusable="A different message has the same Message-ID.")
        received = await _decide(transaction, call, mail)
        if received.outcome is InboundOutcome.IGNORED:
            received = await _bounded(transaction, mail, received)
        message_id = received.message_id or await _write(transaction, mail, received, raw)
    return replace(received, message_id=message_id)


async def _decide(transaction: Transaction, call: Call, mail: IncomingMail) -> Received:
    """Carry out the outcome that the message calls for, and return it."""
    decided = _decided(mail)
    if decided is not None:
        return decided
    known = await _customer_of(transaction, mail) is not None
    reason = await inbound_flood.objection(transaction, mail, call.own_mail.unvouched, known=known)
    if reason is not None:
        await inbound_flood.report(transaction, call, Viewer(Role.SERVICE, GATEWAY, "Mail in"))
        return Received(InboundOutcome.KEPT_ASIDE, reason)
    answered, about = await _answered(transaction, call, mail)
    if answered is not None:
        return await _add_note(transaction, call, mail, answered)
    if await _REPEATS.fetchval(transaction, content=mail.content) >= _REPEATS_MAX:
        reason = f"This sender sent the same text {_REPEATS_MAX} times within an hour, probably automatically."
        return Received(InboundOutcome.KEPT_ASIDE, reason)
    return await _open_ticket(transaction, call, mail, about)


async def accept(transaction: Transaction, call: Call, mail: IncomingMail, ticket_id: str | None) -> Received | None:
    """Carry out what the message calls for, whatever spoke against it: a note on the ticket with this id, or on the one
    that it replies to, or else a new ticket. None if there is no ticket with this id."""
    if ticket_id is not None:
        rows = await _ANY_OF_THESE.fetch(transaction, ids=[ticket_id], **await _sender(transaction, mail))
        return await _add_note(transaction, call, mail, rows[0]) if rows else None
    answered, about = await _answered(transaction, call, mail)
    if answered is not None:
        return await _add_note(transaction, call, mail, answered)
    return await _open_ticket(transaction, call, mail, about)


async def _bounded(transaction: Transaction, mail: IncomingMail, received: Received) -> Received:
    """The outcome of an automatic message, with the id of an earlier one that says the same and waits: then it is not
    stored again. Of too many from one sender only the header is kept, and the reason says so."""
    same = await _SAME_IGNORED.fetchval(transaction, content=mail.content)
    if same is not None:
        return replace(received, message_id=str(same))
    if await _IGNORED_OF.fetchval(transaction, address=(mail.from_address or "").lower()) < _IGNORED_MAX:
        return received
    why = f"Only its header was kept, as this sender had {_IGNORED_MAX} such messages within a day."
    return replace(received, reason=f"{received.reason} {why}", whole=False)


def _decided(mail: IncomingMail) -> Received | None:
    """The outcome that the message itself decides, whatever is stored; None if it does not."""
    if mail.automatic is not None:
        return Received(InboundOutcome.IGNORED, mail.automatic)
    reason = mail.unusable or _objection(mail)
    return None if reason is None else Received(InboundOutcome.KEPT_ASIDE, reason)


def _objection(mail: IncomingMail) -> str | None:
    checks = Checks()
    checks.email(mail.from_address, "from")
    if checks.errors:
        return "The From address is not a valid e-mail address."
    if placeholders.is_email(mail.from_address):
        return "The From address stands for a customer who has been erased."
    if not (mail.subject or mail.text or mail.files):
        return "The message is empty."
    return None


# A new ticket


async def _open_ticket(
    transaction: Transaction, call: Call, mail: IncomingMail, follows_id: str | None = None
) -> Received:
    """Create a ticket of the sender's own. `follows_id` is the ticket that the message is about, for staff to see."""
    customer = await _customer_of(transaction, mail)
    name = mail.from_name or _name_of(mail)
    author = _outsider(mail, name) if customer is None else _customer(customer["id"], customer["name"])
    values = _described(mail, author) | {"customer_id": None if customer is None else str(customer["id"])}
    values |= {} if follows_id is None else {"follows_id": follows_id}
    writing = replace(call, viewer=author)
    await ticket.write(transaction, writing, values)
    await inbound_files.attach(transaction, writing, mail, values)
    return Received(InboundOutcome.TICKET_CREATED, ticket_id=values["id"])


def _described(mail: IncomingMail, author: Viewer) -> dict[str, Any]:
    """The columns of a new ticket that the message itself decides."""
    return {
        "id": new_id(),
        "subject": mail.subject or NO_SUBJECT,
        "description": _body(mail, mail.whole, limits.DESCRIPTION_MAX),
        "source": TicketSource.EMAIL,
        "creator_kind": ActorKind.CUSTOMER,
        "creator_id": author.id,
        "contact_name": mail.from_name or _name_of(mail),
        "contact_email": mail.from_address,
        "contact_phone": None,
        "sender_verified": mail.sender_verified,
    }


async def _customer_of(transaction: Transaction, mail: IncomingMail) -> Mapping[str, Any] | None:
    """The customer with the sender's address, or else with the address before its tag: ann@ for ann+alarm@. None if
    a form of somebody else has named the sender."""
    if mail.named_by_stranger:
        return None
    address = str(mail.from_address)
    customer: Mapping[str, Any] | None = await _CUSTOMER.fetchrow(transaction, spellings=spellings(address))
    untagged = without_tag(address)
    if customer is None and untagged is not None:
        customer = await _CUSTOMER.fetchrow(transaction, spellings=spellings(untagged))
    return customer


def _name_of(mail: IncomingMail) -> str:
    return str(mail.from_address).partition("@")[0][: limits.NAME_MAX]


def _customer(customer_id: Any, name: str) -> Viewer:
    return Viewer(Role.CUSTOMER, str(customer_id), name)


def _outsider(mail: IncomingMail, name: str) -> Viewer:
    """A viewer for a sender who is not a customer in the database. The id matches no customer, so they see nothing."""
    return Viewer(Role.CUSTOMER, f"{MAILTO}{str(mail.from_address).lower()}", name)


def _body(mail: IncomingMail, text: str, maximum: int) -> str:
    """A text of the message and the remarks about it, in at most `maximum` characters. A longer text is cut, with a
    remark that says so."""
    left_out = inbound_files.left_out(mail.files)
    tail = "".join(f"\n\n{remark}" for remark in (*mail.remarks, left_out) if remark)
    return _shortened(text.strip() or NO_TEXT, maximum - len(tail), mail.cut) + tail


def _shortened(text: str, maximum: int, was_cut: bool) -> str:
    """The text in at most `maximum` characters, with a remark if it has more or `was_cut` before. Nothing is lost by
    that: the raw message is kept for a time."""
    if not was_cut and len(text) <= maximum:
        return text
    why = f"only its first {TEXT_MAX:,} characters were read" if was_cut else f"it has {len(text):,} characters"
    mark = f"\n\n… (The message was shortened: {why}.)"
    return text[: maximum - len(mark)].rstrip() + mark


# A reply


async def _answered(
    transaction: Transaction, call: Call, mail: IncomingMail
) -> tuple[Mapping[str, Any] | None, str | None]:
    """Returns the ticket that the message replies to, locked, or None if the sender's address has no part in any; and
    the key of the ticket that it is about, whoever sent it.

    It is found by the thread, the nearest message first, and then by the references in the subject.
    """
    named = [call.own_mail.ticket_of(reference) or reference for reference in mail.references]
    ours = [name for name, reference in zip(named, mail.references, strict=True) if name != reference]
    given = {"ours": ours, "threads": list(mail.references), "references": list(mail.tickets)}
    if not any(given.values()):
        return None, None
    spoken_of: dict[str, list[str]] = {}
    doubtful: list[str] = []
    vouched_for: list[str] = []
    for row in await _SPOKEN_OF.fetch(transaction, **given, address=str(mail.from_address).lower()):
        spoken_of.setdefault(row["name"], []).append(str(row["id"]))
        if row["copied"]:
            (doubtful if row["doubtful"] else vouched_for).append(str(row["id"]))
    candidates = [id_ for name in (*named, *mail.tickets) for id_ in spoken_of.get(name, ())]
    sender = await _sender(transaction, mail) | {
        "ours": ours,
        "copied": [*doubtful, *vouched_for],
        "vouched_for": vouched_for,
    }
    rows = await _BELONGING.fetch(transaction, ids=candidates, **sender)
    found = {str(row["id"]): row for row in rows}
    return next((found[id_] for id_ in candidates if id_ in found), None), next(iter(candidates), None)


async def _sender(transaction: Transaction, mail: IncomingMail) -> dict[str, Any]:
    """The parameters of `_locked_tickets` that say who the sender is."""
    address = str(mail.from_address)
    untagged = await _customer_of(transaction, mail) if without_tag(address) else None
    return {
        "address": address,
        "spellings": spellings(address),
        "verified": bool(mail.sender_verified),
        "untagged": None if untagged is None else str(untagged["id"]),
        "ours": [],
        "copied": [],
        "vouched_for": [],
    }


async def _add_note(transaction: Transaction, call: Call, mail: IncomingMail, answered: Mapping[str, Any]) -> Received:
    """Add a public note if the customer, the contact or a verified participant replies, or open a ticket that follows
    up one that was closed for too long; add an internal note if a staff address replies, as the address may be forged,
    or anybody else."""
    author = _author_of_note(mail, answered)
    internal = author.role is Role.SERVICE
    writing, note_id = replace(call, viewer=author), new_id()
    parts = await _divided(transaction, call, mail, answered, internal=internal)
    body = _body(mail, parts.text, limits.NOTE_MAX)
    quoted = _shortened(parts.quoted, limits.QUOTED_MAX, False) if parts.quoted else None
    how: Any = {"via": NoteVia.EMAIL, "sender_verified": mail.sender_verified, "quoted": quoted}
    if internal:
        targets = rules.of_doubtful_answer() if _is_customers_side(answered) else []
        await note.write(transaction, writing, str(answered["id"]), note_id, body, targets, internal_only=True, **how)
        await inbound_files.attach(transaction, writing, mail, answered, note_id, internal_only=True)
        return Received(InboundOutcome.NOTE_ADDED, ticket_id=str(answered["id"]), note_id=note_id)
    taking = await note.taking_answer(transaction, answered, None if answered["by_customer"] else mail.from_address)
    if taking is None and not (answered["by_customer"] or answered["by_contact"]):
        return await _open_ticket(transaction, call, mail, str(answered["id"]))
    if taking is None:
        return await _follow_up(transaction, writing, mail, answered)
    await note.answer(transaction, writing, taking, note_id, body, **how)
    await inbound_files.attach(transaction, writing, mail, taking, note_id)
    return Received(InboundOutcome.NOTE_ADDED, ticket_id=str(taking["id"]), note_id=note_id)


def _is_customers_side(answered: Mapping[str, Any]) -> bool:
    return bool(answered["by_customer"] or answered["by_contact"] or answered["by_participant"])


async def _follow_up(transaction: Transaction, call: Call, mail: IncomingMail, closed: Mapping[str, Any]) -> Received:
    """Create a ticket that follows up a closed one: the same customer's, with the sender as its contact."""
    refers = {name: None if closed[name] is None else str(closed[name]) for name in ("customer_id", "property_id")}
    values = _described(mail, call.viewer) | refers | {"category": closed["category"], "follows_id": str(closed["id"])}
    await ticket.write(transaction, call, values)
    await contacts.inherit(transaction, values["id"])
    await inbound_files.attach(transaction, call, mail, values)
    return Received(InboundOutcome.TICKET_CREATED, ticket_id=values["id"])


async def _divided(
    transaction: Transaction, call: Call, mail: IncomingMail, answered: Mapping[str, Any], *, internal: bool
) -> Divided:
    if not mail.quoted:
        return Divided(mail.text, "")
    ours = await quotes.held(transaction, call.own_mail, mail, answered, internal=internal)
    return await asyncio.get_running_loop().run_in_executor(_PARSING, quotes.divide, mail, ours)


def _author_of_note(mail: IncomingMail, answered: Mapping[str, Any]) -> Viewer:
    """The mail gateway if there is a doubt. A participant is called by the address, as the name is what they like."""
    from_whom = shortened(f"E-mail from {mail.from_address or 'an unknown address'}", limits.NAME_MAX)
    if mail.believed and answered["by_customer"]:
        return _customer(answered["customer_id"], answered["customer_name"])
    if mail.believed and answered["by_contact"]:
        return _outsider(mail, answered["contact_name"])
    if mail.sender_verified and answered["by_participant"] and answered["is_vouched_for"]:
        return _outsider(mail, from_whom)
    return Viewer(Role.SERVICE, GATEWAY if _is_customers_side(answered) else GATEWAY_OF_STAFF, from_whom)


# The table of inbound messages


async def _write(transaction: Transaction, mail: IncomingMail, received: Received, raw: bytes) -> str:
    message_id = new_id()
    text = "\n\n".join(filter(None, (mail.whole, *mail.remarks))) if received.outcome in WAITING else ""
    written = await _WRITE.fetchval(
        transaction,
        id=message_id,
        key=mail.key,
        content=mail.content,
        message_id=mail.message_id,
        from_address=mail.from_address,
        from_name=mail.from_name or None,
        subject=mail.subject or None,
        size=mail.size,
        outcome=received.outcome,
        reason=received.reason,
        ticket_id=received.ticket_id,
        note_id=received.note_id,
        raw=(raw if len(raw) <= BYTES_MAX else raw[:KEPT_MAX]) if received.whole else None,
        recipients=list(mail.recipients),
        text=shortened(text, limits.MAIL_TEXT_MAX) if received.whole and text else None,
    )
    if written is None:
        earlier = await _EARLIER.fetchrow(transaction, key=mail.key)
        raise _Seen(str(earlier["id"]))
    return message_id


def _bytes(message: Mapping[str, Any], checks: Checks) -> bytes:
    """The message's bytes: `text` encoded as UTF-8, or `encoded` decoded from base64."""
    if message.get("text") is not None:
        return str(message["text"]).encode(errors="replace")
    try:
        return base64.b64decode("".join(str(message["encoded"]).split()), validate=True)
    except (binascii.Error, ValueError):
        checks.object_to(UserErrorCode.INVALID, "Message encoded must be valid base64.", "message", "encoded")
        return b""


_RAW_SHOWN = 65_536  # bytes


def raw_beginning(row: Row, viewer: ViewerParameter) -> Expression:
    """The first 64 KiB of a message as it arrived, in base64 on one line; null once that has been dropped."""
    beginning = func.substr(row.c.raw, literal_column("1"), literal_column(str(_RAW_SHOWN)))
    return func.translate(func.encode(beginning, "base64"), literal_column("E'\\n'"), literal_column("''"))


def ingested_ticket_id(outcome: Row, viewer: ViewerParameter) -> Expression:
    """The key of the ticket in the outcome of `ingest`; null if there is none."""
    return cast(outcome.c.extra["ticket_id"].as_string(), UUID(as_uuid=False))
