"""The mutations of tickets: create, update, assign, set the status, resolve, and update several at once.

Each mutation takes the coerced input (the schema's field names; absent fields stay absent) and reads as a sequence:
check the values, lock and read the ticket, check the rules, write the change with its event. A change that depends only
on the ticket's status is written in one statement, without reading the ticket first.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from functools import cache
from typing import Any

import asyncpg
from sqlalchemy import Integer, Text, and_, any_, bindparam, func, literal_column, null, or_, select
from sqlalchemy.dialects.postgresql import ARRAY, UUID, insert

from db import limits, models, visibility
from db.enums import STAFF, ActorKind, Role, TicketSource, TicketStatus
from db.events import log as event_log
from db.events.log import PLAIN, Origin, Part
from db.ids import new_id
from db.postgres.statement import Queryable, Statement
from db.sql import Condition, table
from db.viewer import Viewer
from db.visibility import ViewerParameter
from notifiers import contacts, rules
from notifiers.enqueue import deliveries
from resolvers import customer_look_up, ticket_rules
from resolvers.checks import Checks
from resolvers.grace import in_grace
from resolvers.mutation import Call, Input, MutationError, Outcome, Refused, Transaction, UserErrorCode

_TICKETS = table(models.TicketRow)
_CUSTOMERS = table(models.CustomerRow)
_PROPERTIES = table(models.PropertyRow)
_TECHNICIANS = table(models.TechnicianRow)
_CHATS = table(models.TicketChatRow)
_UUID = UUID(as_uuid=False)
_KEYS = tuple(column.name for column in _TICKETS.c if column.name.endswith("_id"))


_DRAWS = 20
"""Random references tried before giving up. There are a billion, so the first is nearly always free."""


async def create(call: Call, input: Input) -> Outcome:
    """Create a ticket, for a customer or with contact details typed by hand. If the contact's address is a customer's,
    the ticket becomes theirs, unless the input says that it has no customer.

    A chatbot conversation creates one ticket, however often it is sent, with any idempotency key, and even if messages
    have been added to it since.
    """
    ticket_id = new_id()
    try:
        # Nothing else to write, and no technician to lock: the ticket's statement is a transaction by itself.
        alone = all(input.get(name) is None for name in ("chat", "idempotencyKey", "technicianId"))
        if alone and not _looks_up(call, input):
            return await call.in_one_statement(lambda executor: _create(executor, call, input, ticket_id))
        async with call.transaction(ticket_id) as transaction:
            earlier = await _of_conversation(transaction, call, input)
            if earlier is None:
                return await _create(transaction, call, input, ticket_id)
            return Outcome(earlier, repeated=True)
    except Refused as refused:
        # The request that has used the key may belong to this conversation too.
        is_conflict = any(error.code is UserErrorCode.IDEMPOTENCY_CONFLICT for error in refused.errors)
        earlier = await _of_conversation(call.database, call, input) if is_conflict else None
        if earlier is None:
            raise
        return Outcome(earlier, repeated=True)
    except asyncpg.UniqueViolationError as error:
        if error.constraint_name == "pk_tickets":  # written just before its connection was lost
            return Outcome(ticket_id)
        if error.constraint_name != "uq_ticket_chats_creator_id_conversation_id":
            raise
        return Outcome(await _of_conversation(call.database, call, input), repeated=True)


async def _create(executor: Queryable, call: Call, input: Input, ticket_id: str) -> Outcome:
    checks = Checks()
    values = _described(input, checks, new=True) | _referred(input, checks)
    _check_role(call, input, values, checks)
    checks.occurred_at(input)
    if call.viewer.role is Role.CUSTOMER:
        values["customer_id"] = call.viewer.id
    created = {
        "id": ticket_id,
        "source": _source(call, input),
        "creator_kind": ActorKind(call.viewer.role.value),
        "creator_id": call.viewer.id,
    }
    if not checks.errors and (outcome := await _create_at_once(executor, call, input, values | created)):
        return outcome
    found: dict[str, Any] = {}
    revealed = True
    if call.viewer.role is Role.SERVICE and input.get("customerId") is None:
        values.pop("customer_id", None)
        found["customer_id"], revealed = await _find_customer(executor, input, checks)
    looked_up = False
    if call.viewer.role in STAFF and "customerId" not in input:
        found["customer_id"], looked_up = await _customer_of_address(executor, call, input.get("contact"))
    # If the property were compared with a customer who is not revealed, the error would reveal them.
    customer = await _check_references(executor, call, values, found if revealed else {}, checks)
    values |= found | _contact(call, input, customer, checks)
    checks.finish()
    if looked_up:
        await customer_look_up.record(executor, call, found["customer_id"], "email")
    values |= created | {"customer_linked": found.get("customer_id") is not None}
    if input.get("chat") is not None:
        await write(executor, call, values)
        await _keep_chat(executor, call, ticket_id, input)
        return Outcome(ticket_id)
    return Outcome(ticket_id, answer=(await write(executor, call, values, call.answer(ticket_id))).answer)


async def _create_at_once(executor: Queryable, call: Call, input: Input, values: Mapping[str, Any]) -> Outcome | None:
    """Look the customer up and write the ticket in one statement, if it refers to nobody else. Returns None, with
    nothing written, if it does, or something is wrong, which remains to be found out."""
    checks = Checks()
    contact = _contact_given(input.get("contact") or {}, checks)
    others = (input.get("chat"), values.get("property_id"), values.get("technician_id"))
    if call.viewer.role is Role.SERVICE or values.get("customer_id") is None or any(others) or checks.errors:
        return None
    written = await event_log.create(
        executor,
        call.viewer,
        {**values, **contact, "customer_linked": False, "reference": draw_reference()},
        customer=_customer_to_choose(call.viewer.role),
        parameters={"viewer": call.viewer.id},
        origin=call.origin,
        deliveries=deliveries(call.viewer, rules.of_creation(None)),
        answer=call.answer(values["id"]),
    )
    return None if written is None else Outcome(values["id"], answer=written.answer)


async def update(call: Call, input: Input) -> Outcome:
    """Change a ticket's fields. An absent field stays as it is; null clears one."""
    checks = Checks()
    wanted = _described(input, checks, new=False) | _referred(input, checks)
    if "resolution" in input:
        wanted["resolution"] = checks.text(input["resolution"], limits.RESOLUTION_MAX, "resolution")
    if input.get("contact") is not None:
        wanted |= _contact_given(input["contact"], checks)
    elif "contact" in input:
        checks.object_to(UserErrorCode.REQUIRED, "A ticket must have a contact.", "contact")
    return await _change(call, input, wanted, checks)


async def assign(call: Call, input: Input) -> Outcome:
    """Assign the ticket to a technician, or unassign it."""
    checks = Checks()
    if "technicianId" not in input:
        message = "Technician id is required; use null to unassign the ticket."
        checks.object_to(UserErrorCode.REQUIRED, message, "technicianId")
    wanted = {"technician_id": checks.key(input.get("technicianId"), "tec", "technician", "technicianId")}
    return await _change(call, input, wanted, checks)


async def set_status(call: Call, input: Input) -> Outcome:
    """Change the ticket's status. RESOLVED needs a resolution. A customer may close a resolved ticket or reopen it, and
    writes no resolution."""
    checks = Checks()
    return await _change(call, input, wanted_by_status(call, input, checks), checks)


def wanted_by_status(call: Call, input: Input, checks: Checks) -> dict[str, Any]:
    """The columns that setting a status changes, as the input has them."""
    if input.get("resolution") is not None and call.viewer.role is Role.CUSTOMER:
        checks.object_to(UserErrorCode.NOT_ALLOWED, "Only staff can write a resolution.", "resolution")
    wanted: dict[str, Any] = {"status": input["status"]}
    if input.get("resolution") is not None:
        wanted["resolution"] = checks.text(input["resolution"], limits.RESOLUTION_MAX, "resolution")
    return wanted


async def resolve(call: Call, input: Input) -> Outcome:
    """Resolve the ticket with a resolution, which describes what was done."""
    checks = Checks()
    resolution = checks.text(input["resolution"], limits.RESOLUTION_MAX, "resolution")
    return await _change(call, input, {"status": TicketStatus.RESOLVED, "resolution": resolution}, checks)


async def bulk_update(call: Call, input: Input) -> Outcome:
    """Make the same change to several tickets in one transaction. A refusal for one does not affect the others."""
    checks = Checks()
    ids = list(dict.fromkeys(input["ticketIds"]))
    if not ids:
        checks.object_to(UserErrorCode.REQUIRED, "At least one ticket id is required.", "ticketIds")
    if len(ids) > limits.BULK_MAX:
        message = f"At most {limits.BULK_MAX} tickets can be updated at once."
        checks.object_to(UserErrorCode.TOO_LONG, message, "ticketIds")
        ids = []
    keys = {id_: checks.key(id_, "tkt", "ticket", "ticketIds", str(place)) for place, id_ in enumerate(ids)}
    wanted: dict[str, Any] = {name: input[name] for name in ("status", "priority", "category") if input.get(name)}
    if "technicianId" in input:
        wanted["technician_id"] = checks.key(input["technicianId"], "tec", "technician", "technicianId")
    if input.get("resolution") is not None:
        wanted["resolution"] = checks.text(input["resolution"], limits.RESOLUTION_MAX, "resolution")
    if not wanted:
        checks.object_to(UserErrorCode.REQUIRED, "At least one change is required.")
    checks.occurred_at(input)
    checks.finish()
    results = []
    async with call.transaction() as transaction:
        await _check_technician(transaction, wanted, {}, checks)
        checks.finish()
        locked = await _lock(call.viewer.role).fetch(transaction, ids=list(keys.values()), viewer=call.viewer.id)
        tickets = {str(ticket["id"]): ticket for ticket in locked}
        for place, (id_, key) in enumerate(keys.items()):
            errors: tuple[MutationError, ...] = ()
            try:
                ticket = _found(tickets.get(str(key)), "ticketIds", str(place))
                change = _decided(call, ticket, wanted, Checks())
                await record(transaction, call, ticket, change)
            except Refused as refused:
                errors = refused.errors
            found = key if key in tickets else None
            results.append({"id": id_, "ticket_id": found, "errors": [error.as_json() for error in errors]})
    return Outcome(extra={"results": results})


async def lock_ticket(transaction: Transaction, call: Call, ticket_id: str) -> Mapping[str, Any]:
    """Returns the ticket, locked until the transaction ends. Raises `Refused` if the viewer does not see it."""
    ticket = await _lock(call.viewer.role).fetchrow(transaction, ids=[ticket_id], viewer=call.viewer.id)
    return _found(ticket, "ticketId")


async def reopen(
    transaction: Transaction, viewer: Viewer, ticket_id: str, change: ticket_rules.Change, origin: Origin = PLAIN
) -> None:
    """Write the change that an answer of the customer, the viewer, makes to a ticket that the transaction has locked.
    It notifies nobody: the answer has."""
    await event_log.change(transaction, viewer, ticket_id, change.kind, change.values, change.timestamps, origin=origin)


# Steps of the mutations above


async def _change(call: Call, input: Input, wanted: Mapping[str, Any], checks: Checks) -> Outcome:
    checks.occurred_at(input)
    ticket_id = checks.key(input["ticketId"], "tkt", "ticket", "ticketId")
    if ticket_id is None:
        checks.finish()
    if not checks.errors:
        written = await _change_as_foreseen(call, input, str(ticket_id), wanted)
        if written is not None:
            return Outcome(ticket_id, answer=written.answer)
    async with call.transaction(ticket_id) as transaction:
        ticket = await lock_ticket(transaction, call, str(ticket_id))
        _check_version(input, ticket)
        wanted = await _with_customer(transaction, call, input, wanted, ticket)
        customer = await _check_references(transaction, call, wanted, ticket, checks)
        if _replaces_contact(input, wanted, ticket):
            wanted = {**_details(customer, checks), **wanted}
        change = _decided(call, ticket, wanted, checks)
        answer = await record(transaction, call, ticket, change, call.answer(str(ticket_id)))
        if "contact_email" in change.values:
            await contacts.trust(transaction, str(ticket_id), change.values["contact_email"])
    return Outcome(ticket_id, answer=answer)


async def _with_customer(
    transaction: Transaction, call: Call, input: Input, wanted: Mapping[str, Any], ticket: Mapping[str, Any]
) -> Mapping[str, Any]:
    """The wanted columns with those that follow from them: the customer whom another address links to a ticket without
    one, and whether that is how the ticket has come to its customer."""
    if "customer_id" in wanted:
        kept = wanted["customer_id"] == ticket["customer_id"]
        return wanted if kept else {**wanted, "customer_linked": False}
    if input.get("contactFromCustomer"):
        return {**wanted, "customer_id": ticket["customer_id"]}
    address = wanted.get("contact_email", ticket["contact_email"])
    if ticket["customer_id"] is None and address.lower() != ticket["contact_email"].lower():
        linked, _ = await _customer_of_address(transaction, call, input["contact"])
        return wanted if linked is None else {**wanted, "customer_id": linked, "customer_linked": True}
    return wanted


def _replaces_contact(input: Input, wanted: Mapping[str, Any], ticket: Mapping[str, Any]) -> bool:
    """Whether the customer's details replace the contact. Without a word about it they do if the ticket was another
    customer's: the new one must not read the contact of the former."""
    given = input.get("contactFromCustomer")
    if given is not None:
        return bool(given)
    return ticket["customer_id"] is not None and wanted.get("customer_id") not in (None, ticket["customer_id"])


def _details(customer: Mapping[str, Any] | None, checks: Checks) -> dict[str, Any]:
    """The contact's columns with the customer's values."""
    if customer is None:
        if checks.accepts("customerId"):
            message = "The ticket has no customer to take the contact from."
            checks.object_to(UserErrorCode.INVALID, message, "contactFromCustomer")
        return {}
    return {f"contact_{name}": customer[name] for name in ("name", "email", "phone")}


async def _change_as_foreseen(
    call: Call, input: Input, ticket_id: str, wanted: Mapping[str, Any]
) -> event_log.Written | None:
    """Change the ticket in one statement, without reading it first, if the rules foresee the change. Returns None, with
    nothing written, if they do not, or if the ticket is not as they presume; then it must be locked and read, which
    also shows what is wrong."""
    # New references need a transaction: the technician stays locked until the ticket is written. So does a new address,
    # because that staff have entered it is noted too.
    alone = wanted.keys().isdisjoint((*_KEYS, "contact_email")) and not input.get("contactFromCustomer")
    foreseen = ticket_rules.foreseen(wanted, call.viewer.role) if alone else None
    if foreseen is None:
        return None
    change = foreseen.change
    targets = {status: rules.of_change({"status": status}, change.values) for status in foreseen.statuses}
    first = targets[foreseen.statuses[0]]
    presumed = {
        "viewer": call.viewer.id,
        "statuses": [status for status in foreseen.statuses if targets[status] == first],
        "version": input.get("ifVersion"),
    }

    async def write(executor: Queryable, kept: Part | None = None) -> event_log.Written | None:
        return await event_log.change(
            executor,
            call.viewer,
            ticket_id,
            change.kind,
            change.values,
            change.timestamps,
            condition=_presumed(call.viewer.role),
            parameters=presumed,
            origin=call.origin,
            deliveries=deliveries(call.viewer, first),
            kept=kept,
            answer=call.answer(ticket_id),
        )

    if call.keeping is not None:
        return await call.keeping.at_once(write)
    # A second attempt would find the version stale that the first one has changed.
    return await (call.in_one_statement(write) if presumed["version"] is None else write(call.database))


@cache
def _presumed(role: Role) -> Condition:
    """A ticket that the viewer sees, in one of the statuses, and at the version if one is given."""
    version = bindparam("version", type_=Integer())
    return and_(
        visibility.ticket(_TICKETS, ViewerParameter(role, bindparam("viewer", type_=Text()))),
        _TICKETS.c.status == any_(bindparam("statuses", type_=ARRAY(models.STATUS))),
        or_(version.is_(None), _TICKETS.c.version == version),
    )


@cache
def _lock(role: Role) -> Statement:
    """The tickets with the given ids that the viewer sees, locked, and whether each is `in_grace`. They are ordered by
    id, so that two bulk updates lock them in the same order and cannot deadlock."""
    viewer = ViewerParameter(role, bindparam("viewer", type_=Text()))
    chosen = _TICKETS.c.id == any_(bindparam("ids", type_=ARRAY(_UUID)))
    columns = (*_TICKETS.c, in_grace(_TICKETS).label("in_grace"))
    visible = select(*columns).where(chosen, visibility.ticket(_TICKETS, viewer))
    return Statement(visible.order_by(_TICKETS.c.id).with_for_update())


def _check_version(input: Input, ticket: Mapping[str, Any]) -> None:
    expected = input.get("ifVersion")
    if expected is not None and expected != ticket["version"]:
        message = f"The ticket has changed: it is at version {ticket['version']}, not {expected}."
        raise Refused(MutationError(UserErrorCode.STALE, message, ("ifVersion",)), object_id=ticket["id"])


def _found(ticket: Mapping[str, Any] | None, *field: str) -> Mapping[str, Any]:
    if ticket is None:
        raise Refused(MutationError(UserErrorCode.NOT_FOUND, "There is no such ticket.", field))
    found = dict(ticket)
    for name in _KEYS:
        found[name] = None if found[name] is None else str(found[name])
    return found


def _decided(call: Call, ticket: Mapping[str, Any], wanted: Mapping[str, Any], checks: Checks) -> ticket_rules.Change:
    change = ticket_rules.change(ticket, wanted, call.viewer.role, checks)
    checks.finish()
    return change


async def record(
    transaction: Transaction,
    call: Call,
    ticket: Mapping[str, Any],
    change: ticket_rules.Change,
    answer: Part | None = None,
) -> bytes | None:
    """Write the change of a locked ticket and its event, and queue the notifications. Does nothing if nothing changes.
    Returns the payload that `answer` has read."""
    if not change:
        return None
    written = await event_log.change(
        transaction,
        call.viewer,
        str(ticket["id"]),
        change.kind,
        change.values,
        change.timestamps,
        origin=call.origin,
        deliveries=deliveries(call.viewer, rules.of_change(ticket, change.values)),
        answer=answer,
    )
    return None if written is None else written.answer


def _described(input: Input, checks: Checks, *, new: bool) -> dict[str, Any]:
    """The checked columns that describe the ticket, for the fields that the input has."""
    values: dict[str, Any] = {}
    if new or "subject" in input:
        values["subject"] = checks.line(input.get("subject"), limits.SUBJECT_MAX, "subject")
    if new or "description" in input:
        values["description"] = checks.text(input.get("description"), limits.DESCRIPTION_MAX, "description")
    for name in ("category", "priority"):
        if input.get(name) is not None:
            values[name] = input[name]
        elif name in input and not new:
            checks.object_to(UserErrorCode.REQUIRED, f"A ticket must have a {name}.", name)
    return values


def _referred(input: Input, checks: Checks) -> dict[str, Any]:
    """The checked columns that refer to other rows, for the fields that the input has."""
    values: dict[str, Any] = {}
    for name, column, prefix, kind in (
        ("customerId", "customer_id", "cus", "customer"),
        ("propertyId", "property_id", "prp", "property"),
        ("technicianId", "technician_id", "tec", "technician"),
    ):
        if name in input:
            values[column] = checks.key(input[name], prefix, kind, name)
    return values


def _check_role(call: Call, input: Input, values: dict[str, Any], checks: Checks) -> None:
    """Check the fields of a new ticket that only some roles may set."""
    role = call.viewer.role
    own = role is Role.TECHNICIAN and input.get("technicianId") in (None, f"tec_{call.viewer.id}")
    if input.get("technicianId") is not None and role is not Role.ADMIN and not own:
        checks.object_to(UserErrorCode.NOT_ALLOWED, "Only admins can assign tickets to others.", "technicianId")
        values["technician_id"] = None  # not looked up: the answer would reveal whether the technician exists
    if input.get("customerId") is not None and role is Role.CUSTOMER and input["customerId"] != f"cus_{call.viewer.id}":
        checks.object_to(UserErrorCode.NOT_ALLOWED, "You can only create tickets for yourself.", "customerId")
    for name in ("chat", "source", "accountNumber"):
        if input.get(name) is not None and role is not Role.SERVICE:
            checks.object_to(UserErrorCode.NOT_ALLOWED, "Only services can set this field.", name)
    if input.get("source") not in (None, TicketSource.CHATBOT, TicketSource.EMAIL) and role is Role.SERVICE:
        checks.object_to(UserErrorCode.INVALID, "The source must be CHATBOT or EMAIL.", "source")
    if input.get("accountNumber") is not None and input.get("customerId") is not None:
        message = "Set either the customer id or the account number, not both."
        checks.object_to(UserErrorCode.INVALID, message, "accountNumber")
    if input.get("chat") is not None:
        _check_chat(input["chat"], checks)
    conversation = (input.get("chat") or {}).get("conversationId") or ""
    if role is Role.SERVICE and not conversation.strip() and input.get("idempotencyKey") is None:
        message = (
            "Services must send an idempotency key, or a chat with a conversation id: their requests are repeated."
        )
        checks.object_to(UserErrorCode.REQUIRED, message, "idempotencyKey")


def _check_chat(chat: Input, checks: Checks) -> None:
    checks.optional_line(chat.get("conversationId"), limits.CONVERSATION_ID_MAX, "chat", "conversationId")
    if len(chat["messages"]) > limits.CHAT_MESSAGES_MAX:
        message = f"A transcript can have at most {limits.CHAT_MESSAGES_MAX} messages."
        checks.object_to(UserErrorCode.TOO_LONG, message, "chat", "messages")
        return
    for place, message in enumerate(chat["messages"]):
        checks.text(message["body"], limits.CHAT_BODY_MAX, "chat", "messages", str(place), "body")


def _source(call: Call, input: Input) -> TicketSource:
    if call.viewer.role is Role.SERVICE:
        return TicketSource(input.get("source") or TicketSource.CHATBOT)
    return TicketSource(call.viewer.role.value)


@cache
def _customer_to_choose(role: Role) -> Condition:
    """A customer for whom the viewer may create a ticket."""
    viewer = ViewerParameter(role, bindparam("viewer", type_=Text()))
    return and_(_CUSTOMERS.c.erased_at.is_(None), visibility.customer_to_choose(_CUSTOMERS, viewer))


@cache
def _customer_and_property(role: Role) -> Statement:
    """The customer and the property with the given ids, as far as they exist and the viewer may choose them: `kind`,
    `owner`, which is the customer's id, and the customer's contact details."""
    viewer = ViewerParameter(role, bindparam("viewer", type_=Text()))
    customer = select(
        literal_column("'customer'").label("kind"),
        _CUSTOMERS.c.id.label("owner"),
        _CUSTOMERS.c.name,
        _CUSTOMERS.c.email,
        _CUSTOMERS.c.phone,
    ).where(_CUSTOMERS.c.id == bindparam("customer", type_=_UUID), _customer_to_choose(role))
    property = select(literal_column("'property'"), _PROPERTIES.c.customer_id, null(), null(), null()).where(
        _PROPERTIES.c.id == bindparam("property", type_=_UUID), visibility.site_to_choose(_PROPERTIES, viewer)
    )
    return Statement(customer.union_all(property))


# Locked against changes, so that a technician who is made inactive at the same time is not assigned a ticket.
_TECHNICIAN = Statement(
    select(_TECHNICIANS.c.active).where(_TECHNICIANS.c.id == bindparam("id", type_=_UUID)).with_for_update(read=True)
)


def _customers_of_contact() -> Statement:
    """The customers that a service's ticket may have: `by_email` the one with the contact's e-mail address, otherwise
    those with the account number. `known` says whether the contact is the customer's."""
    email, name, number = (bindparam(each, type_=Text()) for each in ("email", "name", "number"))
    contact = select(email.label("contact_email"), name.label("contact_name")).subquery()
    by_email = func.lower(_CUSTOMERS.c.email) == func.lower(email)
    by_number = _CUSTOMERS.c.account_number_form == func.search_form(number)
    known = visibility.is_contact(contact, _CUSTOMERS)
    wanted = and_(or_(by_email, by_number), _CUSTOMERS.c.erased_at.is_(None))
    found = select(_CUSTOMERS.c.id, by_email.label("by_email"), known.label("known")).where(wanted)
    return Statement(found.order_by(by_email.desc()))


_CUSTOMERS_OF_CONTACT = _customers_of_contact()


_CUSTOMER_OF_ADDRESS = Statement(
    select(_CUSTOMERS.c.id).where(
        func.lower(_CUSTOMERS.c.email) == func.lower(bindparam("email", type_=Text())), _CUSTOMERS.c.erased_at.is_(None)
    )
)


def _looks_up(call: Call, input: Input) -> bool:
    """Whether a technician has typed the contact's address: that is counted and audited in the ticket's transaction."""
    return call.viewer.role is Role.TECHNICIAN and "customerId" not in input


async def _customer_of_address(executor: Queryable, call: Call, contact: Input | None) -> tuple[str | None, bool]:
    """Returns the id of the customer with the contact's e-mail address, or None; and whether that reveals them to a
    technician. Raises `RateLimited` if a technician has typed too many."""
    ignored = Checks()  # the contact's errors are reported when it is checked
    email = ignored.email((contact or {}).get("email"), "contact", "email")
    if ignored.errors:
        return None, False
    if call.viewer.role is Role.TECHNICIAN:
        return await customer_look_up.of_typed_address(executor, call, email)
    found = await _CUSTOMER_OF_ADDRESS.fetchval(executor, email=email)
    return None if found is None else str(found), False


async def _find_customer(executor: Queryable, input: Input, checks: Checks) -> tuple[str | None, bool]:
    """Returns the id of the customer of a service's ticket, and whether the ticket will reveal them. The customer is
    the one with the contact's e-mail address, or else the only one with the account number, if there is any.

    The address goes before the number, and never together with it. So nothing that a service gets back depends on the
    number, and it can learn from none of its guesses.
    """
    contact, ignored = input.get("contact") or {}, Checks()  # the contact's errors are reported when it is checked
    number = checks.optional_line(input.get("accountNumber"), limits.ACCOUNT_NUMBER_MAX, "accountNumber")
    name = ignored.line(contact.get("name"), limits.NAME_MAX, "contact", "name")
    email = ignored.email(contact.get("email"), "contact", "email")
    if ignored.errors or not checks.accepts("accountNumber"):
        return None, False
    rows = await _CUSTOMERS_OF_CONTACT.fetch(executor, email=email, name=name, number=number)
    if len(rows) == 1 or (rows and rows[0]["by_email"]):
        return str(rows[0]["id"]), bool(rows[0]["known"])
    return None, False


async def _check_references(
    executor: Queryable, call: Call, wanted: Mapping[str, Any], ticket: Mapping[str, Any], checks: Checks
) -> Mapping[str, Any] | None:
    """Check that the rows that the ticket is to refer to exist and belong together. Returns the new customer's name,
    e-mail and phone, or None if the change sets no customer or the viewer does not see it."""
    customer_id = wanted.get("customer_id", ticket.get("customer_id"))
    property_id = wanted.get("property_id", ticket.get("property_id"))
    asked = {
        "customer": wanted.get("customer_id"),
        "property": property_id if "property_id" in wanted or "customer_id" in wanted else None,
    }
    found: dict[str, Mapping[str, Any]] = {}
    if any(asked.values()):
        rows = await _customer_and_property(call.viewer.role).fetch(executor, viewer=call.viewer.id, **asked)
        found = {row["kind"]: row for row in rows}
    if asked["customer"] is not None and "customer" not in found:
        checks.object_to(UserErrorCode.NOT_FOUND, "There is no such customer.", "customerId")
    if asked["property"] is not None and "property" not in found:
        checks.object_to(UserErrorCode.NOT_FOUND, "There is no such property.", "propertyId")
    elif asked["property"] is not None and str(found["property"]["owner"]) != customer_id:
        checks.object_to(UserErrorCode.MISMATCH, "The property does not belong to this customer.", "propertyId")
    await _check_technician(executor, wanted, ticket, checks)
    return found.get("customer")


async def _check_technician(
    executor: Queryable, wanted: Mapping[str, Any], ticket: Mapping[str, Any], checks: Checks
) -> None:
    technician_id = wanted.get("technician_id")
    if technician_id is None or technician_id == ticket.get("technician_id"):
        return
    active = await _TECHNICIAN.fetchval(executor, id=technician_id)
    if active is None:
        checks.object_to(UserErrorCode.NOT_FOUND, "There is no such technician.", "technicianId")
    elif not active:
        checks.object_to(UserErrorCode.INACTIVE, "The technician is inactive.", "technicianId")


def _contact(call: Call, input: Input, customer: Mapping[str, Any] | None, checks: Checks) -> dict[str, Any]:
    """The contact's columns: name, e-mail and phone as given, or else the customer's. A service does not read these of
    a customer, so nothing is filled in for it."""
    contact = dict(input.get("contact") or {})
    for name in ("name", "email", "phone"):
        if call.viewer.role is Role.SERVICE:
            contact.setdefault(name, None)
        elif customer is not None:
            contact.setdefault(name, customer[name])
        elif input.get("customerId") is None:
            contact.setdefault(name, None)
    return _contact_given(contact, checks)


def _contact_given(contact: Input, checks: Checks) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if "name" in contact:
        values["contact_name"] = checks.line(contact["name"], limits.NAME_MAX, "contact", "name")
    if "email" in contact:
        values["contact_email"] = checks.email(contact["email"], "contact", "email")
    if "phone" in contact:
        values["contact_phone"] = checks.phone(contact["phone"], "contact", "phone")
    return values


async def write(
    executor: Queryable, call: Call, values: dict[str, Any], answer: Part | None = None, *, notify: bool = True
) -> event_log.Written:
    """Write a new ticket of checked values with a random reference and its event, and queue the notifications unless
    another event of the transaction does. `answer` is passed to `event_log.create`."""
    notifications = deliveries(call.viewer, rules.of_creation(values.get("technician_id"))) if notify else None
    for _ in range(_DRAWS):
        drawn = values | {"reference": draw_reference()}
        written = await event_log.create(
            executor, call.viewer, drawn, origin=call.origin, deliveries=notifications, answer=answer
        )
        if written is not None:
            return written
    raise RuntimeError(f"all of {_DRAWS} random references are already in use")


def draw_reference() -> str:
    drawn = (secrets.choice(limits.REFERENCE_ALPHABET) for _ in range(limits.REFERENCE_LENGTH))
    return limits.REFERENCE_PREFIX + "".join(drawn)


_CHAT = Statement(
    insert(_CHATS).values({column.name: bindparam(column.name, type_=column.type) for column in _CHATS.c})
)


_OF_CONVERSATION = Statement(
    select(_CHATS.c.ticket_id).where(
        _CHATS.c.creator_id == bindparam("creator"), _CHATS.c.conversation_id == bindparam("conversation")
    )
)


async def _keep_chat(executor: Queryable, call: Call, ticket_id: str, input: Input) -> None:
    messages = [
        {"author": message["author"], "body": message["body"].strip(), "at": message["at"].isoformat()}
        for message in input["chat"]["messages"]
    ]
    await _CHAT.execute(
        executor,
        ticket_id=ticket_id,
        creator_id=call.viewer.id,
        conversation_id=_conversation(input),
        messages=messages,
    )


async def _of_conversation(executor: Queryable, call: Call, input: Input) -> str | None:
    """The id of the ticket that the service has already created from this conversation, or None."""
    conversation = _conversation(input) if call.viewer.role is Role.SERVICE else None
    if conversation is None:
        return None
    ticket = await _OF_CONVERSATION.fetchval(executor, creator=call.viewer.id, conversation=conversation)
    return None if ticket is None else str(ticket)


def _conversation(input: Input) -> str | None:
    """The conversation's id, or None if it has none or it is not valid."""
    checks = Checks()
    given = (input.get("chat") or {}).get("conversationId")
    conversation = checks.optional_line(given, limits.CONVERSATION_ID_MAX, "chat", "conversationId")
    return None if checks.errors else conversation
