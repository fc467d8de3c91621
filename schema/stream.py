"""Subscriptions: what has happened, as it happens, and what was missed meanwhile."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import strawberry

from db.entities import NOTE, TICKET
from db.enums import StreamResetReason, TicketChangeKind, TicketEventKind
from db.limits import PAGE_DEFAULT, PAGE_MAX
from db.ticket_stream import Imaged, NoteAdditions, Recount, TicketChanges, TicketChangesPage
from resolvers import event, ticket_fields
from schema.common import Actor
from schema.fields import argument, column, documented, embedded, global_id, mapped, one, part, stream_cursor
from schema.note import Note
from schema.ticket import Ticket, TicketCounts, TicketFilter

for _enum in (TicketChangeKind, StreamResetReason):
    documented(_enum)

AFTER = argument(
    "after", str | None, "The last cursor that you have had, of a list, a payload or a stream; from now if not given."
)
CURSOR = "Where this message stands in the stream: whoever subscribes after it goes on with the next one."


@strawberry.type(description="Everything missed has been told; what follows is live.")
class StreamReady:
    cursor: str = part(CURSOR)


@strawberry.type(description="The stream cannot go on from the cursor: fetch the list again, and go on from here.")
class StreamReset:
    reason: StreamResetReason = part("Why.")
    cursor: str = part(CURSOR)


@strawberry.type(description="A ticket came to match the filter, changed, or ceased to match.")
class TicketChange:
    cursor: str = stream_cursor(CURSOR)
    change: TicketChangeKind = column("change", "What it means for a list of the filter's tickets.")
    kind: TicketEventKind = column("kind", "What happened.")
    ticket_id: strawberry.ID = global_id(TICKET, "The ticket's id.", column="ticket_id")
    ticket: Ticket | None = mapped(Imaged(), "The ticket as this left it; null if you may not see it, or no longer.")
    changed_fields: list[str] = column(
        event.changed_fields,
        "The fields that changed; empty for a creation, a note, and where you do not see the ticket.",
    )
    actor: Actor = embedded("actor_", "Who did it.")
    at: datetime = column("at", "When.")


@strawberry.type(description="A note was added.")
class NoteAdded:
    cursor: str = stream_cursor(CURSOR)
    note: Note = one(NOTE, "note_id", "The note.")


@strawberry.type(description="A page of what has happened to tickets, in order.")
class TicketChangePage:
    nodes: list[TicketChange] = part("What has happened after the cursor that was given, oldest first.")
    cursor: str = part("Where the page ends; give it as `after` next time, or to a subscription.")
    has_more: bool = part("Whether more has happened already than is on this page.")
    reset: StreamResetReason | None = part(
        "Why the cursor cannot be honoured, if it cannot: fetch the list again, and go on from this page's cursor."
    )


TicketStreamMessage = Annotated[
    TicketChange | StreamReady | StreamReset,
    strawberry.union("TicketStreamMessage", description="What `ticketChanged` tells."),
]
NoteStreamMessage = Annotated[
    NoteAdded | StreamReady | StreamReset,
    strawberry.union("NoteStreamMessage", description="What `noteAdded` tells."),
]


@strawberry.type
class StreamQueries:
    ticket_events: TicketChangePage = mapped(
        TicketChangesPage("TicketChange"),
        "What `ticketChanged` would have told after a cursor, a page at a time: for devices that wake up seldom.",
        [
            argument("filter", TicketFilter | None, "Which tickets; all that you see if not given."),
            AFTER,
            argument("first", int | None, f"How many at the most, 1 to {PAGE_MAX}; {PAGE_DEFAULT} if not given."),
        ],
    )


@strawberry.type(description="What can be followed, over a WebSocket or as server-sent events.")
class Subscription:
    ticket_changed: TicketStreamMessage = mapped(
        TicketChanges("TicketChange"),
        "What happens to the tickets that match the filter and that you may see.",
        [argument("filter", TicketFilter | None, "Which tickets; all that you see if not given."), AFTER],
    )
    ticket_counts_changed: TicketCounts = mapped(
        Recount(ticket_fields.status_counts, ticket_fields.read_status_counts),
        "How many of the tickets that you see are in each status: now, and whenever that changes.",
        [argument("filter", TicketFilter | None, "Of which tickets; all that you see if not given.")],
    )
    note_added: NoteStreamMessage = mapped(
        NoteAdditions("NoteAdded"),
        "The notes that are added to a ticket, as far as you may see them.",
        [argument("ticketId", strawberry.ID, "Which ticket."), AFTER],
    )
