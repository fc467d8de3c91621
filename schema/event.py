"""A ticket's history, read from the event log."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import strawberry

from db.entities import ASSIGNMENT, ATTACHMENT, EVENT, NOTE, TICKET
from db.enums import STAFF, TicketEventKind
from resolvers import event
from schema.common import Actor, Connection, Edge, Node
from schema.fields import column, embedded, global_id, items, one, part

if TYPE_CHECKING:
    from schema.assignment import Assignment
    from schema.attachment import Attachment
    from schema.note import Note
    from schema.ticket import Ticket


@strawberry.type(description="The change of one field.")
class FieldChange:
    field: str = column("field", "The name of the ticket's field, such as `status`, `technician` or `contactEmail`.")
    before: str | None = column(
        "before",
        "The value before the event; for a customer, property or technician, the name or address. Null if there was "
        "none or you cannot see it.",
    )
    after: str | None = column("after", "The value after the event, in the same form.")


@strawberry.type(description="An event in a ticket's history.")
class TicketEvent(Node):
    id: strawberry.ID = global_id(EVENT, "The event's id.")
    ticket: Annotated[Ticket, strawberry.lazy("schema.ticket")] = one(
        TICKET, "ticket_id", "The ticket that the event concerns."
    )
    kind: TicketEventKind = column("kind", "What happened.")
    actor: Actor = embedded("actor_", "The person or program that caused the event.")
    at: datetime = column("at", "When the event occurred, by the server's clock.")
    occurred_at: datetime | None = column(
        "occurred_at",
        "When it was done, if that was on a device that was offline, as the device says; null otherwise.",
    )
    changes: list[FieldChange] = items(
        event.changes,
        "The fields that changed; empty for the ticket's creation and for notes.",
        most=len(event.SHOWN_COLUMNS),
    )
    customer_linked: bool = column(
        event.customer_linked,
        "Whether the event linked the ticket to a customer by the e-mail address or account number that was typed with "
        "it.",
        roles=STAFF,
    )
    note: Annotated[Note, strawberry.lazy("schema.note")] | None = one(
        NOTE, "note_id", "The note that was added; null for other kinds of events."
    )
    attachment: Annotated[Attachment, strawberry.lazy("schema.attachment")] | None = one(
        ATTACHMENT,
        "attachment_id",
        "The attachment that became READY or was REJECTED; null for other kinds of events, and if it has been deleted.",
    )
    assignment: Annotated[Assignment, strawberry.lazy("schema.assignment")] | None = one(
        ASSIGNMENT,
        event.assignment_id,
        "The assignment that the event began or advanced, as it is now; null if the event did neither, or if you "
        "cannot see the assignment.",
    )


@strawberry.type(description="An event in a list, with its cursor.")
class TicketEventEdge(Edge):
    node: TicketEvent = part("The event.")


@strawberry.type(description="A page of events.")
class TicketEventConnection(Connection):
    nodes: list[TicketEvent] = part("The events on this page.")
    edges: list[TicketEventEdge] = part("The events on this page, with their cursors.")
