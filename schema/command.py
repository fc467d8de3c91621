"""Commands: what a device sends together, and what became of each."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import strawberry

from db.entities import ATTACHMENT, NOTE, PROPERTY, TICKET
from db.enums import CHATBOTS, EVERYONE, CommandOutcome, TicketStatus
from db.limits import (
    ACCESS_NOTE_MAX,
    COMMANDS_MAX,
    CONTENT_TYPE_MAX,
    DEVICE_ID_MAX,
    FILE_NAME_MAX,
    IDEMPOTENCY_KEY_MAX,
    NOTE_MAX,
    RESOLUTION_MAX,
)
from resolvers import commands
from resolvers.mutation import user_errors
from schema.common import Payload, UserError
from schema.fields import OCCURRED_AT, column, documented, given, items, mutation, one, optional

if TYPE_CHECKING:
    from schema.attachment import Attachment
    from schema.note import Note
    from schema.property import Property
    from schema.ticket import Ticket

documented(CommandOutcome)

KEY = (
    "The command's idempotency key, unique among the caller's requests, such as a UUID; one line, at most "
    f"{IDEMPOTENCY_KEY_MAX} characters. A command that has been carried out is not carried out again."
)
BASE_VERSION = (
    "The version of the ticket that the author saw. If somebody else has changed since what this command would change, "
    "it is a CONFLICT. What this device has sent before does not count. Without it, nothing is a conflict."
)
ANY_VERSION = "The version of the ticket that the author saw. It makes no difference, because nothing is overwritten."


@strawberry.input(description="Adds a note to a ticket, as `noteAdd` does.")
class NoteCommand:
    key: str = given(KEY)
    ticket_id: strawberry.ID = given("The ticket's id.")
    body: str = given(f"The text of the note, at most {NOTE_MAX:,} characters.")
    internal_only: bool | None = optional("Whether only admins and technicians can see the note; true by default.")
    occurred_at: datetime | None = optional(OCCURRED_AT)
    base_version: int | None = optional(ANY_VERSION)


@strawberry.input(description="Sets the status of a ticket, as `ticketSetStatus` does.")
class StatusCommand:
    key: str = given(KEY)
    ticket_id: strawberry.ID = given("The ticket's id.")
    status: TicketStatus = given("The new status.")
    resolution: str | None = optional(
        f"How the issue was resolved, at most {RESOLUTION_MAX:,} characters; required for RESOLVED."
    )
    occurred_at: datetime | None = optional(OCCURRED_AT)
    base_version: int | None = optional(BASE_VERSION)


@strawberry.input(description="Resolves a ticket, as `ticketResolve` does.")
class ResolveCommand:
    key: str = given(KEY)
    ticket_id: strawberry.ID = given("The ticket's id.")
    resolution: str = given(f"How the issue was resolved, at most {RESOLUTION_MAX:,} characters.")
    occurred_at: datetime | None = optional(OCCURRED_AT)
    base_version: int | None = optional(BASE_VERSION)


@strawberry.input(description="Attaches a file to a ticket or a note, as `attachmentCreate` does.")
class AttachmentCommand:
    key: str = given(KEY)
    ticket_id: strawberry.ID | None = optional("The ticket's id; it can be left out if the file is for a note.")
    note_id: strawberry.ID | None = optional("The id of a note that you have written.")
    note_key: str | None = optional(
        "Instead of the note's id, the key of the command that adds the note, earlier in this batch or before."
    )
    name: str = given(f"The name of the file, at most {FILE_NAME_MAX} characters.")
    content_type: str = given(f"The media type of the file, at most {CONTENT_TYPE_MAX} characters.")
    size: int = given("The size of the file in bytes.")
    sha256: str = given("The SHA-256 digest of the file, in 64 hexadecimal digits.")
    internal_only: bool | None = optional("Whether only admins and technicians can see the file; true by default.")
    occurred_at: datetime | None = optional(OCCURRED_AT)
    base_version: int | None = optional(ANY_VERSION)


@strawberry.input(description="Adds to the access notes of a property, as `propertyAccessNoteAdd` does.")
class PropertyAccessNoteCommand:
    key: str = given(KEY)
    property_id: strawberry.ID = given("The property's id.")
    body: str = given(f"The text of the note, at most {ACCESS_NOTE_MAX:,} characters.")
    occurred_at: datetime | None = optional(OCCURRED_AT)


@strawberry.input(description="What was done on a device. Set exactly one field.", one_of=True)
class CommandInput:
    note: NoteCommand | None = optional("A note on a ticket.")
    status: StatusCommand | None = optional("A ticket's status.")
    resolve: ResolveCommand | None = optional("A ticket's resolution.")
    attachment: AttachmentCommand | None = optional("A file on a ticket or a note.")
    property_access_note: PropertyAccessNoteCommand | None = optional("What to know before going to a property.")


@strawberry.input(description="The commands of a device.")
class CommandsApplyInput:
    device_id: str = given(
        f"The id that the device has drawn for itself, such as a UUID; one line, at most {DEVICE_ID_MAX} characters. "
        "It belongs to the first who sends commands with it: draw another when somebody else signs in on the device."
    )
    commands: list[CommandInput] = given(f"The commands, 1 to {COMMANDS_MAX}, in the order in which to carry them out.")


@strawberry.type(description="What became of a command.")
class CommandResult:
    key: str = column("key", "The command's key.")
    outcome: CommandOutcome = column("outcome", "What became of it.")
    ticket: Annotated[Ticket, strawberry.lazy("schema.ticket")] | None = one(
        TICKET,
        commands.ticket_of,
        "The ticket as it is now; null if the command was REJECTED, if it was about a property, or if you cannot see "
        "the ticket any more.",
    )
    note: Annotated[Note, strawberry.lazy("schema.note")] | None = one(
        NOTE, "note_id", "The note that the command has added; null for others."
    )
    attachment: Annotated[Attachment, strawberry.lazy("schema.attachment")] | None = one(
        ATTACHMENT, "attachment_id", "The attachment that the command has made; null for others."
    )
    upload_url: str | None = column(
        "upload_url", "Where to upload the attachment's file; null if it has arrived already, and for other commands."
    )
    property: Annotated[Property, strawberry.lazy("schema.property")] | None = one(
        PROPERTY, "property_id", "The property whose access notes the command has added to; null for others."
    )
    conflicts: list[str] = column(
        "conflicts", "The ticket's fields that are in CONFLICT, such as `status`; otherwise empty."
    )
    user_errors: list[UserError] = items(
        user_errors, "Why the command was REJECTED; otherwise empty. Their fields begin with the command's.", most=1
    )


@strawberry.type(description="The results of a device's commands.")
class CommandsApplyPayload(Payload):
    results: list[CommandResult] = items(
        commands.results,
        "A result for each command, in their order; empty if the mutation failed as a whole.",
        most=1,  # for each command
    )


@strawberry.type
class CommandMutations:
    commands_apply: CommandsApplyPayload = mutation(
        commands.apply,
        CommandsApplyInput,
        "Carries out what was done on a device, in order. Each command is carried out once, however often it is sent, "
        "and by itself: one that is refused or in conflict holds up no other. If the answer is lost, send the same "
        "again.",
        roles=EVERYONE,
        scopes=CHATBOTS,
        is_batch=True,
    )
