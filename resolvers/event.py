"""What a ticket event shows: the changes that it made, computed from the ticket's images before and after it, and who
caused it."""

from __future__ import annotations

from sqlalchemy import FromClause, Text, and_, case, cast, exists, false, func, literal_column, not_, or_, select, true
from sqlalchemy.dialects.postgresql import UUID, aggregate_order_by, array

from db.entities import CUSTOMER, DELIVERY, PROPERTY, TECHNICIAN, TICKET
from db.enums import STAFF, ActorKind, Role, TicketEventKind
from db.limits import EVENT_DELIVERIES_MAX
from db.sql import EMPTY, Condition, Expression, Row
from db.ticket_stream import image_of
from db.visibility import ViewerParameter, is_public_state

SHOWN_COLUMNS = {
    "subject": "subject",
    "description": "description",
    "status": "status",
    "priority": "priority",
    "category": "category",
    "contact_name": "contactName",
    "contact_email": "contactEmail",
    "contact_phone": "contactPhone",
    "customer_id": "customer",
    "property_id": "property",
    "technician_id": "technician",
    "resolution": "resolution",
    "assignment_state": "assignmentState",
    "assignment_eta": "assignmentEta",
}
"""The columns whose changes the history shows, each with its field name in the schema."""

_OF_ASSIGNMENT = ("assignment_state", "assignment_eta")

# A reference is shown as the name, or the address, of the row that it refers to.
_REFERRED_TO = {
    "customer_id": (CUSTOMER, "name"),
    "property_id": (PROPERTY, "address"),
    "technician_id": (TECHNICIAN, "name"),
}


def changes(row: Row, viewer: ViewerParameter) -> FromClause:
    """A row for each column that differs between the event's images: `field`, `before` and `after` as text.

    A customer does not see changes from a time when the ticket was not theirs. The columns of the assignment are shown
    while it is the same: another one begins with a change that is shown itself."""
    columns = (
        func.unnest(
            array([literal_column(f"'{name}'", Text) for name in SHOWN_COLUMNS]),
            array([literal_column(f"'{field}'", Text) for field in SHOWN_COLUMNS.values()]),
        )
        .table_valued("column_name", "field", with_ordinality="ord")
        .render_derived()
    )
    before, after = row.c.before, row.c.after
    name = columns.c.column_name
    values = [
        case(*((name == literal_column(f"'{key}'"), _value(row, image, key, viewer)) for key in SHOWN_COLUMNS))
        for image in (before, after)
    ]
    differs = before.op("->>")(name).is_distinct_from(after.op("->>")(name))
    theirs = before["customer_id"].astext == viewer.id if viewer.role is Role.CUSTOMER else true()
    of_assignment = name.in_([literal_column(f"'{each}'", Text) for each in _OF_ASSIGNMENT])
    same = before["assignment_id"].astext == after["assignment_id"].astext
    shown = or_(not_(of_assignment), and_(same, values[0].is_distinct_from(values[1])))
    changed = select(columns.c.field, values[0].label("before"), values[1].label("after"), columns.c.ord).where(
        and_(before.is_not(None), differs, theirs, shown)
    )
    return changed.correlate(row).subquery("changed")


def _value(row: Row, image: Expression, name: str, viewer: ViewerParameter) -> Expression:
    """A column's value in one of the row's images, as text. To customers and services a reference is null if they do
    not see now what it refers to, and so is a state of the assignment that they may not know."""
    value: Expression = image[name].astext
    if name == "assignment_state" and viewer.role not in STAFF:
        return case((is_public_state(value), value))
    if name not in _REFERRED_TO:
        return value
    entity, shown = _REFERRED_TO[name]
    other = entity.table.alias()
    named = select(other.c[shown]).where(other.c.id == cast(value, UUID(as_uuid=False)))
    if viewer.role not in STAFF:
        named = named.where(entity.visible_alone(other, viewer), _revealed(image, name, viewer))
    return named.correlate(row).scalar_subquery()


def _revealed(image: Expression, name: str, viewer: ViewerParameter) -> Condition:
    """The viewer may know what the image's column referred to."""
    revealed = TICKET.revealed.get(name)
    if revealed is None or viewer.role is not Role.SERVICE:
        return true()
    ticket = image_of(image, "pictured")
    return exists(select(ticket.c.id).where(revealed(ticket, viewer)).correlate_except(ticket))


def customer_linked(row: Row, viewer: ViewerParameter) -> Expression:
    """Whether the event linked the ticket to its customer by what was typed with it."""
    was, now = (func.coalesce(image["customer_linked"].as_boolean(), false()) for image in (row.c.before, row.c.after))
    return and_(now, not_(was))


def assignment_id(row: Row, viewer: ViewerParameter) -> Expression:
    """The key of the assignment that the event began or advanced; null if it did neither."""
    kinds = (TicketEventKind.ASSIGNMENT_ADVANCED, TicketEventKind.ASSIGNMENT_OVERDUE)
    advanced = row.c.kind.in_([literal_column(f"'{kind}'", row.c.kind.type) for kind in kinds])
    was, now = (
        func.concat(*(image[name].astext for name in ("assignment_id", "assignment_state")))
        for image in (row.c.before, row.c.after)
    )
    return case((or_(advanced, was != now), cast(row.c.after["assignment_id"].astext, UUID(as_uuid=False))))


def deliveries(row: Row, viewer: ViewerParameter) -> FromClause:
    """The deliveries that the event has queued and that the viewer sees, in the order of their ids."""
    queued = DELIVERY.table.alias()
    number = func.row_number().over(order_by=queued.c.id).label("ord")
    found = select(*queued.c, number).where(queued.c.event_id == row.c["id"], DELIVERY.visible(queued, viewer))
    return found.limit(literal_column(str(EVENT_DELIVERIES_MAX))).correlate(row).subquery("queued")


def actor_kind(row: Row, viewer: ViewerParameter) -> Expression:
    """The kind of the one who caused the event or wrote the note; to customers and services Callout itself, if the
    event has taken the ticket from its technician."""
    kind = cast(row.c["kind"], Text())
    hidden = _hides_actor(row, viewer)
    return kind if hidden is None else case((hidden, literal_column(f"'{ActorKind.SYSTEM}'")), else_=kind)


def actor_name(row: Row, viewer: ViewerParameter) -> Expression:
    """The name of the one who caused the event or wrote the note. For a customer a service reads the name of the
    ticket's contact: the customer may be one whose account number it has guessed."""
    hidden, name = _hides_actor(row, viewer), _name(row, viewer)
    return name if hidden is None else case((hidden, literal_column("'Callout'")), else_=name)


def _hides_actor(row: Row, viewer: ViewerParameter) -> Condition | None:
    """Whether the event has taken the ticket from its technician: only staff may know who has, because a technician who
    has declined it. None if the viewer sees each actor, or the row is no event of a ticket."""
    if viewer.role in STAFF or "ticket_id" not in row.c or "before" not in row.c:
        return None
    was, now = (row.c[image].op("->>")("technician_id") for image in ("before", "after"))
    return and_(was.is_not(None), now.is_(None))


def _name(row: Row, viewer: ViewerParameter) -> Expression:
    name: Expression = row.c["name"]
    if viewer.role is not Role.SERVICE or "ticket_id" not in row.c:  # as in the audit trail, which no service sees
        return name
    tickets = TICKET.table.alias()
    contact = select(tickets.c.contact_name).where(tickets.c.id == row.c["ticket_id"]).scalar_subquery()
    customer: Expression = literal_column(f"'{ActorKind.CUSTOMER}'")
    return case((row.c["kind"] == customer, contact), else_=name)


def changed_fields(row: Row, viewer: ViewerParameter) -> Expression:
    """The names of the fields that an event changed, a JSON array; empty if the viewer cannot see the ticket."""
    changed = changes(row, viewer)
    names = func.json_agg(aggregate_order_by(changed.c.field, changed.c.ord))
    listed = select(func.coalesce(names, EMPTY)).select_from(changed).correlate(row).scalar_subquery()
    return case((row.c.shown, listed), else_=EMPTY)
