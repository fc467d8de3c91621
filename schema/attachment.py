"""Attachments: the type, its list, and `attachmentCreate`."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import strawberry

from db.entities import ATTACHMENT, NOTE, TICKET
from db.enums import CHATBOTS, EVERYONE, AttachmentState
from db.limits import CONTENT_TYPE_MAX, FILE_NAME_MAX
from resolvers import attachment, attachment_fields
from resolvers.file_links import FILE, THUMBNAIL
from schema.common import Actor, Connection, Edge, Node, Payload
from schema.fields import (
    IDEMPOTENCY,
    OCCURRED_AT,
    column,
    embedded,
    file_link,
    given,
    global_id,
    mutation,
    one,
    optional,
    outcome_extra,
    part,
)

if TYPE_CHECKING:
    from schema.note import Note
    from schema.ticket import Ticket


@strawberry.type(description="A file on a ticket or on one of its notes.")
class Attachment(Node):
    id: strawberry.ID = global_id(ATTACHMENT, "The attachment's id.")
    ticket: Annotated[Ticket, strawberry.lazy("schema.ticket")] = one(
        TICKET, "ticket_id", "The ticket that the file is on."
    )
    note: Annotated[Note, strawberry.lazy("schema.note")] | None = one(
        NOTE, "note_id", "The note that the file is on; null if it is on the ticket itself."
    )
    name: str = column("name", "The name of the file, without a path.")
    content_type: str = column("content_type", "The media type of the file, such as `image/jpeg`.")
    size: int = column("size", "The size of the file in bytes; while it is UPLOADING, the size that was announced.")
    width: int | None = column("width", "The width of an image in pixels; null if the file is none or was not read.")
    height: int | None = column("height", "The height of an image in pixels; null if the file is none or was not read.")
    thumbnail_url: str | None = file_link(
        THUMBNAIL,
        attachment_fields.has_thumbnail,
        "The URL of a small picture of the file, which can be used like `url`; null if there is none.",
    )
    url: str | None = file_link(
        FILE,
        attachment_fields.is_ready,
        "The URL to download the file from, without a token. It is yours alone, and works for at least ten minutes, as "
        "long as you can see the attachment. Null if the file is not READY.",
    )
    internal_only: bool = column(
        "internal_only", "Whether the file is internal, so that only admins and technicians can see it."
    )
    state: AttachmentState = column("state", "What has become of the file.")
    rejected_because: str | None = column("reason", "Why the file was REJECTED; null if it was not.")
    created_by: Actor = embedded("creator_", "The person or program that attached the file.")
    created_at: datetime = column("created_at", "When the file was announced.")


@strawberry.type(description="An attachment in a list, with its cursor.")
class AttachmentEdge(Edge):
    node: Attachment = part("The attachment.")


@strawberry.type(description="A page of attachments.")
class AttachmentConnection(Connection):
    nodes: list[Attachment] = part("The attachments on this page.")
    edges: list[AttachmentEdge] = part("The attachments on this page, with their cursors.")


@strawberry.input(description="The file to attach, to a ticket or to a note.")
class AttachmentCreateInput:
    ticket_id: strawberry.ID | None = optional("The ticket's id; it can be left out if the file is for a note.")
    note_id: strawberry.ID | None = optional(
        "The id of a note that you have written; null if the file is for the ticket itself."
    )
    name: str = given(
        f"The name of the file, at most {FILE_NAME_MAX} characters. A path before it is left out, and so are "
        "characters that a file's name cannot have."
    )
    content_type: str = given(
        f"The media type of the file, at most {CONTENT_TYPE_MAX} characters; parameters are left out."
    )
    size: int = given("The size of the file in bytes.")
    sha256: str = given("The SHA-256 digest of the file, in 64 hexadecimal digits.")
    internal_only: bool | None = optional(
        "Whether only admins and technicians can see the file; true by default. The files of customers and services "
        "are always public, and those of a note are internal if the note is."
    )
    occurred_at: datetime | None = optional(OCCURRED_AT)
    idempotency_key: str | None = optional(IDEMPOTENCY)


@strawberry.type(description="The result of attaching a file.")
class AttachmentCreatePayload(Payload):
    attachment: Attachment | None = one(ATTACHMENT, "object_id", "The new attachment; null if the mutation failed.")
    upload_url: str | None = outcome_extra(
        "upload_url",
        "Where to upload the file, by the tus protocol 1.0 and without a token: `docs/attachments.md`. Null if the "
        "mutation failed, or if the file has arrived already.",
    )


@strawberry.type
class AttachmentMutations:
    attachment_create: AttachmentCreatePayload = mutation(
        attachment.create,
        AttachmentCreateInput,
        "Attaches a file to a ticket or a note, which is then uploaded.",
        roles=EVERYONE,
        scopes=CHATBOTS,
        again=attachment.again,
    )
