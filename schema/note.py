"""Notes: the type, its list, and `noteAdd`."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import strawberry

from db.entities import NOTE, TICKET
from db.enums import STAFF, Role
from resolvers import note
from schema.common import Actor, Connection, Edge, Node, Payload
from schema.fields import (
    IDEMPOTENCY,
    column,
    embedded,
    given,
    global_id,
    mutation,
    one,
    optional,
    part,
)

if TYPE_CHECKING:
    from schema.ticket import Ticket


@strawberry.type(description="A comment on a ticket. It is never edited and never deleted.")
class Note(Node):
    id: strawberry.ID = global_id(NOTE)
    ticket: Annotated[Ticket, strawberry.lazy("schema.ticket")] = one(TICKET, "ticket_id", "The ticket it is on.")
    body: str = column("body", "What it says.")
    internal_only: bool = column("internal_only", "Whether only admins and technicians see it.")
    author: Actor = embedded("author_", "Who wrote it.")
    created_at: datetime = column("created_at", "When it was written.")


@strawberry.type(description="A note's place in a list.")
class NoteEdge(Edge):
    node: Note = part("The note.")


@strawberry.type(description="A page of notes.")
class NoteConnection(Connection):
    nodes: list[Note] = part("The page's notes.")
    edges: list[NoteEdge] = part("The page's notes with their cursors.")


@strawberry.input(description="A new note.")
class NoteAddInput:
    ticket_id: strawberry.ID = given("On which ticket.")
    body: str = given("What it says, up to 20,000 characters.")
    internal_only: bool | None = optional(
        "Whether only admins and technicians see it. True if nothing is given; a customer's note is always public."
    )
    idempotency_key: str | None = optional(IDEMPOTENCY)


@strawberry.type(description="What `noteAdd` answers.")
class NoteAddPayload(Payload):
    note: Note | None = one(NOTE, "object_id", "The new note; null if it was not added.")


@strawberry.type
class NoteMutations:
    note_add: NoteAddPayload = mutation(
        note.add, NoteAddInput, "Add a note to a ticket.", roles=STAFF | {Role.CUSTOMER}
    )
