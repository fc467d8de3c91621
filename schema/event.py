"""A ticket's history, read from the event log."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import strawberry

from db.entities import EVENT, NOTE, TICKET
from db.enums import TicketEventKind
from resolvers import event
from schema.common import Actor, Connection, Edge, Node
from schema.fields import column, embedded, global_id, items, one, part

if TYPE_CHECKING:
    from schema.note import Note
    from schema.ticket import Ticket


@strawberry.type(description="One field's change.")
class FieldChange:
    field: str = column("field", "The field's name: `status`, `technician`, `contactEmail`.")
    before: str | None = column("before", "What it was; of a customer, property or technician its name or address.")
    after: str | None = column("after", "What it became, likewise.")


@strawberry.type(description="Something that happened to a ticket.")
class TicketEvent(Node):
    id: strawberry.ID = global_id(EVENT)
    ticket: Annotated[Ticket, strawberry.lazy("schema.ticket")] = one(TICKET, "ticket_id", "The ticket it happened to.")
    kind: TicketEventKind = column("kind", "What happened.")
    actor: Actor = embedded("actor_", "Who did it.")
    at: datetime = column("at", "When.")
    changes: list[FieldChange] = items(
        event.changes, "Which fields changed; empty for the creation and for notes.", most=len(event.SHOWN_COLUMNS)
    )
    note: Annotated[Note, strawberry.lazy("schema.note")] | None = one(
        NOTE, "note_id", "The note that was added, if it was that."
    )


@strawberry.type(description="An event's place in a list.")
class TicketEventEdge(Edge):
    node: TicketEvent = part("The event.")


@strawberry.type(description="A page of events.")
class TicketEventConnection(Connection):
    nodes: list[TicketEvent] = part("The page's events.")
    edges: list[TicketEventEdge] = part("The page's events with their cursors.")
