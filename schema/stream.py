"""Subscriptions: what has happened, as it happens, and what was missed meanwhile."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import strawberry
from sqlalchemy import Text, case, cast, func, literal_column, select
from sqlalchemy.dialects.postgresql import aggregate_order_by

from db.entities import NOTE, TICKET
from db.enums import StreamResetReason, TicketChangeKind, TicketEventKind
from db.mapping import EMPTY, Expression
from db.stream import Imaged, NoteAdditions, Recount, TicketChanges
from db.visibility import Asker, Row
from schema.common import Actor
from schema.event import changes_of
from schema.fields import argument, column, documented, embedded, mapped, one, part, stream_cursor
from schema.note import Note
from schema.ticket import Ticket, TicketCounts, TicketFilter, counts_source, read_counts

for _enum in (TicketChangeKind, StreamResetReason):
    documented(_enum)

AFTER = argument(
    "after", str | None, "The last cursor that you have had, of a list, a payload or a stream; from now if not given."
)
CURSOR = "Where this message stands in the stream: whoever subscribes after it goes on with the next one."


def _ticket_id(row: Row, asker: Asker) -> Expression:
    prefix: Expression = literal_column(f"'{TICKET.prefix}_'")
    return prefix.concat(cast(row.c.ticket_id, Text))


def _changed_fields(row: Row, asker: Asker) -> Expression:
    changes = changes_of(row, asker)
    names = func.json_agg(aggregate_order_by(changes.c.field, changes.c.ord))
    changed = select(func.coalesce(names, EMPTY)).select_from(changes).correlate(row).scalar_subquery()
    return case((row.c.shown, changed), else_=EMPTY)


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
    ticket_id: strawberry.ID = column(_ticket_id, "The ticket's id.")
    ticket: Ticket | None = mapped(Imaged(), "The ticket as this left it; null if you may not see it, or no longer.")
    changed_fields: list[str] = column(
        _changed_fields, "The fields that changed; empty for a creation, a note, and where you do not see the ticket."
    )
    actor: Actor = embedded("actor_", "Who did it.")
    at: datetime = column("at", "When.")


@strawberry.type(description="A note was added.")
class NoteAdded:
    cursor: str = stream_cursor(CURSOR)
    note: Note = one(NOTE, lambda event, note: note.c.id == event.c.note_id, "The note.")


TicketStreamMessage = Annotated[
    TicketChange | StreamReady | StreamReset,
    strawberry.union("TicketStreamMessage", description="What `ticketChanged` tells."),
]
NoteStreamMessage = Annotated[
    NoteAdded | StreamReady | StreamReset,
    strawberry.union("NoteStreamMessage", description="What `noteAdded` tells."),
]


@strawberry.type(description="What can be followed, over a WebSocket.")
class Subscription:
    ticket_changed: TicketStreamMessage = mapped(
        TicketChanges("TicketChange"),
        "What happens to the tickets that match the filter and that you may see.",
        [argument("filter", TicketFilter | None, "Which tickets; all that you see if not given."), AFTER],
    )
    ticket_counts_changed: TicketCounts = mapped(
        Recount(counts_source, read_counts),
        "How many of the tickets that you see are in each status: now, and whenever that changes.",
        [argument("filter", TicketFilter | None, "Of which tickets; all that you see if not given.")],
    )
    note_added: NoteStreamMessage = mapped(
        NoteAdditions("NoteAdded"),
        "The notes that are added to a ticket, as far as you may see them.",
        [argument("ticketId", strawberry.ID, "Which ticket."), AFTER],
    )
