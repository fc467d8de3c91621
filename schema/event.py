"""A ticket's history, read from the event log."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import strawberry
from sqlalchemy import FromClause, Text, and_, case, cast, func, literal_column, select, true
from sqlalchemy.dialects.postgresql import UUID, array

from db import models
from db.entities import CUSTOMER, EVENT, NOTE, TICKET
from db.enums import Role, TicketEventKind
from db.sql import Expression, Row, table
from db.visibility import Asker
from schema.common import Actor, Connection, Edge, Node
from schema.fields import column, embedded, global_id, items, one, part

if TYPE_CHECKING:
    from schema.note import Note
    from schema.ticket import Ticket

# The columns whose changes history tells, by the names of the fields that show them. A reference to another thing is
# told by that thing's name.
_TOLD = {
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
}
_NAMED = {
    "customer_id": (table(models.Customer), "name"),
    "property_id": (table(models.Property), "address"),
    "technician_id": (table(models.Technician), "name"),
}


def _told(row: Row, image: Expression, name: str, asker: Asker) -> Expression:
    """A column's value in one of the row's images, as text. A service is not told the name of a customer that it does
    not see."""
    value: Expression = image[name].astext
    if name not in _NAMED:
        return value
    target, shown = _NAMED[name]
    other = target.alias()
    named = select(other.c[shown]).where(other.c.id == cast(value, UUID(as_uuid=False)))
    if name == "customer_id" and asker.role is Role.SERVICE:
        named = named.where(CUSTOMER.visible_alone(other, asker))
    return named.correlate(row).scalar_subquery()


def changes_of(row: Row, asker: Asker) -> FromClause:
    """A row for each column that differs between the images."""
    rows = (
        func.unnest(
            array([literal_column(f"'{name}'", Text) for name in _TOLD]),
            array([literal_column(f"'{shown}'", Text) for shown in _TOLD.values()]),
        )
        .table_valued("column_name", "field", with_ordinality="ord", name="told")
        .render_derived()
    )
    before, after = row.c.before, row.c.after
    name = rows.c.column_name
    told = [
        case(*((name == literal_column(f"'{key}'"), _told(row, image, key, asker)) for key in _TOLD))
        for image in (before, after)
    ]
    differs = before.op("->>")(name).is_distinct_from(after.op("->>")(name))
    theirs = before["customer_id"].astext == asker.id if asker.role is Role.CUSTOMER else true()
    changed = select(rows.c.field, told[0].label("before"), told[1].label("after"), rows.c.ord).where(
        and_(before.is_not(None), differs, theirs)
    )
    return changed.correlate(row).subquery("changed")


@strawberry.type(description="One field's change.")
class FieldChange:
    field: str = column("field", "The field's name: `status`, `technician`, `contactEmail`.")
    before: str | None = column("before", "What it was; of a customer, property or technician its name or address.")
    after: str | None = column("after", "What it became, likewise.")


@strawberry.type(description="Something that happened to a ticket.")
class TicketEvent(Node):
    id: strawberry.ID = global_id(EVENT)
    ticket: Annotated[Ticket, strawberry.lazy("schema.ticket")] = one(
        TICKET, lambda event, ticket: ticket.c.id == event.c.ticket_id, "The ticket it happened to."
    )
    kind: TicketEventKind = column("kind", "What happened.")
    actor: Actor = embedded("actor_", "Who did it.")
    at: datetime = column("at", "When.")
    changes: list[FieldChange] = items(
        changes_of, "Which fields changed; empty for the creation and for notes.", most=len(_TOLD)
    )
    note: Annotated[Note, strawberry.lazy("schema.note")] | None = one(
        NOTE, lambda event, note: note.c.id == event.c.note_id, "The note that was added, if it was that."
    )


@strawberry.type(description="An event's place in a list.")
class TicketEventEdge(Edge):
    node: TicketEvent = part("The event.")


@strawberry.type(description="A page of events.")
class TicketEventConnection(Connection):
    nodes: list[TicketEvent] = part("The page's events.")
    edges: list[TicketEventEdge] = part("The page's events with their cursors.")
