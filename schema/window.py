"""Live windows: the first tickets of a list, kept in step by patches."""

from __future__ import annotations

from typing import Annotated

import strawberry

from db.entities import TICKET
from db.enums import CHATBOTS
from db.limits import PAGE_DEFAULT, PAGE_MAX
from db.ticket_totals import ALL_TICKETS
from db.ticket_window import Window
from schema.fields import argument, mapped, part
from schema.ticket import TICKET_LIST, TicketEdge

INDEX = "The place in the list, counted from 0, at the time of this operation."
CURSOR = (
    "The stream cursor of this message: the list shows every event up to it. A subscription that starts `after` it "
    "misses none."
)
TOTAL = "The number of tickets in the whole list that you can see."


@strawberry.type(description="Inserts an edge so that it is at `index`.")
class WindowInsert:
    index: int = part(INDEX)
    edge: TicketEdge = part("The ticket, with its cursor.")


@strawberry.type(
    description="Takes the edge at `from` out of the list, then inserts the new one so that it is at `to`."
)
class WindowMove:
    from_: int = strawberry.field(description=INDEX, name="from")
    to: int = part("The place in the list without the edge that was taken out, counted from 0.")
    edge: TicketEdge = part("The ticket as it is now, with its cursor.")


@strawberry.type(description="Replaces the edge at `index`.")
class WindowReplace:
    index: int = part(INDEX)
    edge: TicketEdge = part("The ticket as it is now, with its cursor.")


@strawberry.type(description="Removes the edge at `index`.")
class WindowRemove:
    index: int = part(INDEX)


WindowOperation = Annotated[
    WindowInsert | WindowMove | WindowReplace | WindowRemove,
    strawberry.union("WindowOperation", description="A step from one list to the next."),
]


@strawberry.type(description="The list as it is now. It replaces whatever the client shows.")
class WindowSnapshot:
    cursor: str = part(CURSOR)
    total_count: int = part(TOTAL)
    edges: list[TicketEdge] = part("The first tickets of the list, with their cursors.")


@strawberry.type(description="What leads from the list of the message before to the list as it is now.")
class WindowPatch:
    cursor: str = part(CURSOR)
    total_count: int = part(TOTAL)
    operations: list[WindowOperation] = part("The operations, to be applied in order. Empty if only the total changed.")


TicketsLiveMessage = Annotated[
    WindowSnapshot | WindowPatch,
    strawberry.union("TicketsLiveMessage", description="A message of the subscription `ticketsLive`."),
]


@strawberry.type
class WindowSubscriptions:
    tickets_live: TicketsLiveMessage = mapped(
        Window(TICKET, ALL_TICKETS, scopes=CHATBOTS),
        "The first tickets of a list that you can see, kept in step with it: a snapshot, and then patches, at most "
        "four a second. Applied in order, they give exactly the list that `tickets` would return with the same "
        "arguments. After a gap a snapshot comes again.",
        [
            *TICKET_LIST,
            argument(
                "first", int | None, f"The maximum number of tickets, 1 to {PAGE_MAX}; {PAGE_DEFAULT} by default."
            ),
        ],
    )
