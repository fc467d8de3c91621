"""Notes: the type, its list, and `noteAdd`."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import strawberry

from db.entities import ATTACHMENT, ATTACHMENTS, NOTE, TICKET
from db.enums import CHATBOTS, EVERYONE, STAFF, NoteVia, Role
from db.limits import NOTE_MAX, QUOTED_MAX
from resolvers import note
from schema.common import Actor, Connection, Edge, Node, Payload
from schema.fields import (
    IDEMPOTENCY,
    OCCURRED_AT,
    column,
    connection,
    embedded,
    given,
    global_id,
    mutation,
    one,
    optional,
    part,
)

if TYPE_CHECKING:
    from schema.attachment import AttachmentConnection
    from schema.ticket import Ticket


@strawberry.type(description="A note on a ticket. Notes cannot be edited or deleted.")
class Note(Node):
    id: strawberry.ID = global_id(NOTE, "The note's id.")
    ticket: Annotated[Ticket, strawberry.lazy("schema.ticket")] = one(
        TICKET, "ticket_id", "The ticket that the note is on."
    )
    body: str = column("body", "The text of the note.")
    quoted: str | None = column(
        "quoted",
        "The rest of the e-mail that the note came in: the history that it quotes, and its signature. The body does "
        f"not repeat it; show it folded. At most {QUOTED_MAX:,} characters; null if there is none.",
        roles=STAFF | {Role.CUSTOMER},
    )
    internal_only: bool = column(
        "internal_only", "Whether the note is internal, so that only admins and technicians can see it."
    )
    author: Actor = embedded("author_", "The author of the note.")
    attachments: Annotated[AttachmentConnection, strawberry.lazy("schema.attachment")] = connection(
        ATTACHMENT, ATTACHMENTS, "The note's attachments that you can see, oldest first.", referenced_by="note_id"
    )
    created_at: datetime = column("created_at", "When the note was added.")
    occurred_at: datetime | None = column(
        "occurred_at",
        "When it was written, if that was on a device that was offline, as the device says; null otherwise.",
    )
    via: NoteVia = column("via", "How the note came in.")
    sender_verified: bool | None = column(
        "sender_verified",
        "Whether the mail server has verified the sender of a note that came by e-mail, so that the author is who it "
        "says; null if it came otherwise, or if the mail server has said nothing.",
        roles=STAFF,
    )


@strawberry.type(description="A note in a list, with its cursor.")
class NoteEdge(Edge):
    node: Note = part("The note.")


@strawberry.type(description="A page of notes.")
class NoteConnection(Connection):
    nodes: list[Note] = part("The notes on this page.")
    edges: list[NoteEdge] = part("The notes on this page, with their cursors.")


@strawberry.input(description="The note to add.")
class NoteAddInput:
    ticket_id: strawberry.ID = given(
        "The ticket's id. A note by a customer or a service reopens a ticket that is resolved, or that was closed "
        "within the days of the support settings. Later the note goes to a ticket that follows this one up, and that "
        "is made if there is none: `note.ticket`."
    )
    body: str = given(f"The text of the note, at most {NOTE_MAX:,} characters.")
    internal_only: bool | None = optional(
        "Whether only admins and technicians can see the note; true by default. A note by a customer or a service is "
        "always public."
    )
    occurred_at: datetime | None = optional(OCCURRED_AT)
    idempotency_key: str | None = optional(IDEMPOTENCY)


@strawberry.type(description="The result of adding a note.")
class NoteAddPayload(Payload):
    note: Note | None = one(
        NOTE,
        "object_id",
        "The new note; null if the mutation failed. Its ticket is not always the input's: see there.",
    )


@strawberry.type
class NoteMutations:
    note_add: NoteAddPayload = mutation(
        note.add,
        NoteAddInput,
        "Adds a note to a ticket. A service passes on what the customer says, on a ticket that it created.",
        roles=EVERYONE,
        scopes=CHATBOTS,
    )
