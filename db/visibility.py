"""Who sees which rows: one predicate for each entity, by role. Nothing else decides visibility.

The compiler adds an entity's predicate wherever a statement reaches the entity, on every path and in counts too. A row
that is not visible is not selected, so for the viewer it does not exist.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlalchemy import (
    ColumnElement,
    Text,
    and_,
    cast,
    exists,
    false,
    func,
    literal_column,
    or_,
    select,
    true,
    union_all,
)
from sqlalchemy.dialects.postgresql import UUID

from db import models
from db.enums import (
    ActorKind,
    AssignmentState,
    AttachmentState,
    Audience,
    AuditAction,
    Role,
    TextPart,
    TicketEventKind,
)
from db.limits import LOOKED_UP_HOURS
from db.planner import fence, opaque
from db.sql import Condition, Row, select_star, table


@dataclass(frozen=True, slots=True)
class ViewerParameter:
    """The viewer in a statement: the role decides the statement's text, the id is one of its parameters."""

    role: Role
    id: ColumnElement[str]

    @property
    def uuid(self) -> ColumnElement[Any]:
        return cast(self.id, UUID(as_uuid=False))


Predicate: TypeAlias = Callable[[Row, ViewerParameter], Condition]


class OneByOne:
    """Stands for testing each row by itself, by the few tickets that it is on."""


ONE_BY_ONE = OneByOne()

Near: TypeAlias = Row | OneByOne | None
NearPredicate: TypeAlias = Callable[[Row, ViewerParameter, Near], Condition]
"""The same predicate, with a hint about where to look first: the ticket from which the statement reached the row; or
`ONE_BY_ONE`, if each row is tested by itself; or None."""


def ticket(row: Row, viewer: ViewerParameter) -> Condition:
    """Admins see all tickets. Technicians see the tickets that are assigned to them or that they created. Customers see
    their own. Services see the tickets that they created."""
    match viewer.role:
        case Role.ADMIN:
            return true()
        case Role.TECHNICIAN:
            return or_(assigned(row, viewer), created(row, viewer))
        case Role.CUSTOMER:
            return owned(row, viewer)
        case Role.SERVICE:
            return created(row, viewer)


def assigned(row: Row, viewer: ViewerParameter) -> Condition:
    """The ticket is assigned to the viewer, a technician."""
    return row.c.technician_id == viewer.uuid


def created(row: Row, viewer: ViewerParameter) -> Condition:
    """The viewer created the ticket."""
    # A literal: the partial index of `created_for_others` does not apply to a parameter.
    kind: ColumnElement[str] = literal_column(f"'{ActorKind(viewer.role.value)}'")
    return and_(row.c.creator_id == viewer.id, row.c.creator_kind == kind)


def created_for_others(row: Row, viewer: ViewerParameter) -> Condition:
    """The tickets that a technician created and that are not assigned to them. They are few, and a partial index has
    exactly them."""
    return and_(created(row, viewer), cast(row.c.technician_id, Text).is_distinct_from(row.c.creator_id))


def owned(row: Row, viewer: ViewerParameter) -> Condition:
    """The ticket's customer is the viewer."""
    return row.c.customer_id == viewer.uuid


def _on_visible_ticket(viewer: ViewerParameter, link: Callable[[Row], Condition], near: Row | None = None) -> Condition:
    """The viewer sees a ticket that `link` relates to the row. Given the ticket that the statement came from, `near`,
    test that one first, and then the row's other tickets: they are few, while the viewer may see many."""
    tickets = table(models.TicketRow).alias()
    if near is None:
        return exists().where(link(tickets), ticket(tickets, viewer))
    this = fence(select_star(tickets).where(tickets.c.id == near.c.id)).correlate_except(tickets).subquery()
    return or_(exists().where(link(this), ticket(this, viewer)).correlate_except(this), _among_its_own(viewer, link))


def _among_its_own(viewer: ViewerParameter, link: Callable[[Row], Condition]) -> Condition:
    """The viewer sees one of the tickets that `link` relates to the row. These few are fetched and each is tested; they
    are not joined with all tickets that the viewer sees."""
    tickets = table(models.TicketRow).alias()
    tied = fence(select_star(tickets).where(link(tickets))).correlate_except(tickets).subquery()
    visible = ticket(tied, viewer)
    # For a service PostgreSQL should plan each time: services have created a handful of tickets, or a fifth of all.
    condition = visible if viewer.role is Role.SERVICE else opaque(visible)
    return exists().where(condition).correlate_except(tied)


def _is_on_visible_ticket(
    row: Row,
    viewer: ViewerParameter,
    column: str,
    near: Near,
    also: Callable[[Row], Condition] = lambda tickets: true(),
) -> Condition:
    """The viewer sees a ticket that refers to the row by this column and matches `also`."""

    def link(tickets: Row) -> Condition:
        return and_(tickets.c[column] == row.c.id, also(tickets))

    if not isinstance(near, OneByOne):
        return _on_visible_ticket(viewer, link, near)

    if viewer.role is not Role.TECHNICIAN:
        return _among_its_own(viewer, link)
    theirs, others = table(models.TicketRow).alias(), table(models.TicketRow).alias()
    # An index finds these tickets by the row. Without the fence the planner would read all tickets that are assigned to
    # the viewer, to join them.
    found = fence(select(theirs.c.id).where(link(theirs), assigned(theirs, viewer)))
    made = select(others.c[column]).where(created_for_others(others, viewer), others.c[column].is_not(None))
    return or_(row.c.id.in_(made.correlate_except(others)), exists(found.correlate_except(theirs)))


def sees_more_tickets(viewer: ViewerParameter, number: ColumnElement[int]) -> Condition:
    """Whether the viewer, a technician or a service, sees more than this number of tickets. Reads at most one more."""
    tickets = table(models.TicketRow)
    seen = (assigned, created_for_others) if viewer.role is Role.TECHNICIAN else (created,)
    rows = [(tickets.alias(), visible) for visible in seen]
    each = [select(row.c.id).where(visible(row, viewer)) for row, visible in rows]
    one_more = union_all(*each).offset(number).limit(literal_column("1"))
    return exists(select(one_more.subquery()))


def note(row: Row, viewer: ViewerParameter) -> Condition:
    """Staff see all notes on the tickets that they see. Services see the public ones. Customers see the public ones
    that were written while the ticket was theirs."""
    if viewer.role is Role.ADMIN:
        return true()
    of_visible_ticket = _on_visible_ticket(viewer, lambda tickets: tickets.c.id == row.c.ticket_id)
    if viewer.role is Role.TECHNICIAN:
        return of_visible_ticket
    public = and_(row.c.internal_only.is_(False), of_visible_ticket)
    return and_(row.c.customer_id == viewer.uuid, public) if viewer.role is Role.CUSTOMER else public


def readable_text(row: Row, viewer: ViewerParameter) -> Condition:
    """Of the texts on a ticket that they see, staff may read all. Services may not read internal notes and what notes
    quote. Customers may not read the transcript, internal notes, and notes from before the ticket was theirs. These are
    the rules of `note`, and of the fields `Note.quoted` and `Ticket.chat`."""
    part: dict[TextPart, ColumnElement[str]] = {each: literal_column(f"'{each}'", Text()) for each in TextPart}
    if viewer.role is Role.SERVICE:
        return and_(row.c.internal_only.is_(False), row.c.part != part[TextPart.QUOTED])
    if viewer.role is Role.CUSTOMER:
        of_ticket = row.c.part.in_([part[TextPart.DESCRIPTION], part[TextPart.RESOLUTION]])
        of_their_note = and_(
            row.c.part.in_([part[TextPart.NOTE], part[TextPart.QUOTED]]), row.c.customer_id == viewer.uuid
        )
        return and_(row.c.internal_only.is_(False), or_(of_ticket, of_their_note))
    return true()


def attachment(row: Row, viewer: ViewerParameter) -> Condition:
    """Staff see all attachments on the tickets that they see. Services see the public ones. Customers see the public
    ones that were attached while the ticket was theirs. One that is not READY is seen by staff and by those who have
    attached it."""
    if viewer.role is Role.ADMIN:
        return true()
    of_visible_ticket = _on_visible_ticket(viewer, lambda tickets: tickets.c.id == row.c.ticket_id)
    if viewer.role is Role.TECHNICIAN:
        return of_visible_ticket
    ready = row.c.state == literal_column(f"'{AttachmentState.READY}'")
    public = and_(row.c.internal_only.is_(False), or_(ready, created(row, viewer)), of_visible_ticket)
    return and_(row.c.customer_id == viewer.uuid, public) if viewer.role is Role.CUSTOMER else public


def assignment(row: Row, viewer: ViewerParameter) -> Condition:
    """Admins see all assignments. Technicians see their own, and those of the tickets that they see. Customers and
    services see the present assignment of a ticket that they see, once it was accepted."""
    if viewer.role is Role.ADMIN:
        return true()
    if viewer.role is Role.TECHNICIAN:
        of_visible_ticket = _on_visible_ticket(viewer, lambda tickets: tickets.c.id == row.c.ticket_id)
        return or_(row.c.technician_id == viewer.uuid, of_visible_ticket)

    def present(tickets: Row) -> Condition:
        return and_(tickets.c.id == row.c.ticket_id, tickets.c.assignment_id == row.c.id)

    return and_(is_public_state(row.c.state), _on_visible_ticket(viewer, present))


_PUBLIC_STATES = (AssignmentState.ACCEPTED, AssignmentState.EN_ROUTE, AssignmentState.ON_SITE, AssignmentState.LEFT)


def is_public_state(state: ColumnElement[Any]) -> Condition:
    """Customers and services may know that an assignment is in this state: not that a technician has not answered, or
    has declined. Null if `state` is null."""
    return state.in_([literal_column(f"'{each}'", state.type) for each in _PUBLIC_STATES])


def public_event(row: Row, viewer: ViewerParameter) -> Condition:
    """The event is public, as far as a customer or service is concerned: of a file that was rejected only the one who
    attached it learns."""
    kind: ColumnElement[str] = literal_column(f"'{ActorKind(viewer.role.value)}'")
    theirs = and_(row.c.actor_id == viewer.id, row.c.actor_kind == kind)
    rejection: ColumnElement[str] = literal_column(f"'{TicketEventKind.ATTACHMENT_REJECTED}'")
    return and_(row.c.public, or_(row.c.kind != rejection, theirs))


def event(row: Row, viewer: ViewerParameter) -> Condition:
    """Everyone sees the events of the tickets that they see, with three exceptions: customers and services do not see
    internal notes and files, nor that a file of somebody else was rejected, and customers do not see events from before
    the ticket was theirs."""
    if viewer.role is Role.ADMIN:
        return true()
    of_visible_ticket = _on_visible_ticket(viewer, lambda tickets: tickets.c.id == row.c.ticket_id)
    if viewer.role is Role.TECHNICIAN:
        return of_visible_ticket
    public = and_(public_event(row, viewer), of_visible_ticket)
    return and_(row.c.after["customer_id"].astext == viewer.id, public) if viewer.role is Role.CUSTOMER else public


def customer(row: Row, viewer: ViewerParameter, near: Near = None) -> Condition:
    """Admins see all customers. Technicians see the customers of the tickets that they see. Customers see themselves.
    Services see the customer of a ticket that they see if its contact has the customer's name and e-mail address."""
    match viewer.role:
        case Role.ADMIN:
            return true()
        case Role.CUSTOMER:
            return row.c.id == viewer.uuid
        case Role.TECHNICIAN:
            return _is_on_visible_ticket(row, viewer, "customer_id", near)
        case Role.SERVICE:
            return _is_on_revealing_ticket(row, viewer, "customer_id", near, lambda tickets: is_contact(tickets, row))


def customer_to_choose(row: Row, viewer: ViewerParameter) -> Condition:
    """The customers that a new ticket may be for: those whom the viewer sees, and those whom a technician has looked up
    within `LOOKED_UP_HOURS`."""
    return or_(customer(row, viewer), _looked_up(row.c.id, viewer))


def site_to_choose(row: Row, viewer: ViewerParameter) -> Condition:
    """The properties that a new ticket may concern: those that the viewer sees, and those of a customer whom a
    technician has looked up within `LOOKED_UP_HOURS`."""
    return or_(site(row, viewer), _looked_up(row.c.customer_id, viewer))


def _looked_up(customer_id: ColumnElement[Any], viewer: ViewerParameter) -> Condition:
    """The audit trail says that the viewer, a technician, has looked up the customer lately."""
    if viewer.role is not Role.TECHNICIAN:
        return false()
    entries = table(models.AuditEntryRow).alias()
    customer_key, technician_key = (literal_column(f"'{prefix}_'", Text()) for prefix in ("cus", "tec"))
    found = exists().where(
        entries.c.object_id == func.concat(customer_key, customer_id, type_=Text()),
        entries.c.actor_id == func.concat(technician_key, viewer.id, type_=Text()),
        entries.c.action == literal_column(f"'{AuditAction.LOOKED_UP}'", models.AUDIT_ACTION),
        entries.c.at > func.now() - literal_column(f"interval '{LOOKED_UP_HOURS} hours'"),
    )
    return found.correlate_except(entries)


def site(row: Row, viewer: ViewerParameter, near: Near = None) -> Condition:
    """Admins see all properties. Technicians see the properties of the tickets that they see. Customers see their own.
    Services see the property of a ticket on which they see the customer."""
    match viewer.role:
        case Role.ADMIN:
            return true()
        case Role.CUSTOMER:
            return row.c.customer_id == viewer.uuid
        case Role.TECHNICIAN:
            return _is_on_visible_ticket(row, viewer, "property_id", near)
        case Role.SERVICE:
            return _is_on_revealing_ticket(
                row, viewer, "property_id", near, lambda tickets: reveals_customer(tickets, viewer)
            )


def reveals_customer(row: Row, viewer: ViewerParameter) -> Condition:
    """The viewer may know which customer the ticket has, and so which property. For a service, the ticket's own contact
    must have the customer's name and e-mail address, whatever its other tickets have: it can find a customer by an
    account number that it has guessed. Of a ticket without a customer nothing is revealed."""
    if viewer.role is not Role.SERVICE:
        return true()
    customers = table(models.CustomerRow).alias()
    same = and_(customers.c.id == row.c.customer_id, is_contact(row, customers))
    return exists().where(same).correlate_except(customers)


def is_contact(tickets: Row, customer: Row) -> Condition:
    """The ticket's contact has the customer's name and e-mail address. One of them would not do: a service would learn
    the name that belongs to an address, or try account numbers with a frequent name."""
    same_address = func.lower(tickets.c.contact_email) == func.lower(customer.c.email)
    return and_(same_address, func.search_form(tickets.c.contact_name) == customer.c.name_form)


def _is_on_revealing_ticket(
    row: Row, viewer: ViewerParameter, column: str, near: Near, reveals: Callable[[Row], Condition]
) -> Condition:
    """The viewer, a service, sees a ticket that refers to the row by this column and `reveals` it. If the statement
    came from a ticket, that one must reveal it too."""
    visible = _is_on_visible_ticket(row, viewer, column, near, reveals)
    return visible if near is None or isinstance(near, OneByOne) else and_(reveals(near), visible)


def technician(row: Row, viewer: ViewerParameter, near: Near = None) -> Condition:
    """Admins see all technicians. Technicians see themselves and the technicians of the tickets that they see.
    Customers and services see the technicians of the tickets that they see."""
    if viewer.role is Role.ADMIN:
        return true()
    if viewer.role is Role.TECHNICIAN and near is None:
        # A technician sees another technician's ticket only if they created it, so only those few need testing.
        tickets = table(models.TicketRow).alias()
        theirs = exists().where(tickets.c.technician_id == row.c.id, created_for_others(tickets, viewer))
        return or_(row.c.id == viewer.uuid, theirs)
    on_ticket = _is_on_visible_ticket(row, viewer, "technician_id", near)
    return or_(row.c.id == viewer.uuid, on_ticket) if viewer.role is Role.TECHNICIAN else on_ticket


def article(row: Row, viewer: ViewerParameter) -> Condition:
    """Staff see all articles. Customers and services see the published ones."""
    return true() if viewer.role in (Role.ADMIN, Role.TECHNICIAN) else row.c.published


def delivery(row: Row, viewer: ViewerParameter) -> Condition:
    """Admins see all deliveries. Technicians see, for the tickets that they see, the deliveries to the customer, to
    Google Chat and to themselves. Customers and services see none."""
    if viewer.role is Role.ADMIN:
        return true()
    if viewer.role is not Role.TECHNICIAN:
        return false()
    audience = row.c.audience
    theirs = or_(audience == Audience.CUSTOMER, audience == Audience.SPACE, row.c.technician_id == viewer.uuid)
    return and_(theirs, _on_visible_ticket(viewer, lambda tickets: tickets.c.id == row.c.ticket_id))


def admins_only(row: Row, viewer: ViewerParameter) -> Condition:
    """Only admins see settings, API keys, identities, inbound messages and the audit trail."""
    return true() if viewer.role is Role.ADMIN else false()


def webhook(row: Row, viewer: ViewerParameter) -> Condition:
    """Admins see all webhooks. Services see their own."""
    if viewer.role is Role.ADMIN:
        return true()
    if viewer.role is not Role.SERVICE:
        return false()
    kind = literal_column(f"'{ActorKind.SERVICE}'", models.ACTOR_KIND)
    return and_(row.c.author_id == viewer.id, row.c.author_role == kind)


def webhook_delivery(row: Row, viewer: ViewerParameter) -> Condition:
    """Admins see all attempts to deliver to webhooks. Services see those of their own webhooks."""
    if viewer.role is not Role.SERVICE:
        return true() if viewer.role is Role.ADMIN else false()
    webhooks = table(models.WebhookRow).alias()
    return exists().where(webhooks.c.id == row.c.webhook_id, webhook(webhooks, viewer))


def session(row: Row, viewer: ViewerParameter) -> Condition:
    """Admins see all sessions. Technicians and customers see their own."""
    match viewer.role:
        case Role.ADMIN:
            return true()
        case Role.TECHNICIAN:
            return row.c.technician_id == viewer.uuid
        case Role.CUSTOMER:
            return row.c.customer_id == viewer.uuid
        case Role.SERVICE:
            return false()
