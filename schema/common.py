"""What several types share: nodes, pages, actors and the payloads' objections."""

from __future__ import annotations

import strawberry

from db import enums
from resolvers.mutation import UserErrorCode, user_errors
from schema.fields import column, documented, items, part, stream_cursor

for _enum in (
    enums.TicketStatus,
    enums.TicketPriority,
    enums.TicketCategory,
    enums.TicketSource,
    enums.TicketEventKind,
    enums.ActorKind,
    enums.NoticeKind,
    enums.DeliveryChannel,
    enums.Audience,
    enums.DeliveryState,
    enums.ChatAuthor,
    enums.InboundOutcome,
    enums.Role,
    UserErrorCode,
):
    documented(_enum)


@strawberry.interface(description="Anything with an id, which `node` finds again.")
class Node:
    id: strawberry.ID = part("Opaque, and unique among all things.")


@strawberry.type(description="Where a page lies in its list.")
class PageInfo:
    has_next_page: bool = part("Whether the list goes on after this page.")
    has_previous_page: bool = part("Whether there is something before this page.")
    start_cursor: str | None = part("The cursor of the page's first edge.")
    end_cursor: str | None = part("The cursor of the page's last edge; give it as `after` for the next page.")


@strawberry.type(description="A page of a list, and what is known of the whole.")
class Connection:
    page_info: PageInfo = part("Where the page lies in the list.")
    total_count: int = part("How many there are in the whole list, as far as you may see them.")
    stream_cursor: str = part("Where this list stands in the event log: a stream that starts after it misses nothing.")


@strawberry.type(description="One place in a list.")
class Edge:
    cursor: str = part("The place; give it as `after` or `before`.")


@strawberry.type(description="Who did something.")
class Actor:
    kind: enums.ActorKind = column("kind", "What sort of party.")
    name: str = column("name", "Their name at the time.")


@strawberry.type(description="Why a mutation was not done, in words to show to a person.")
class UserError:
    field: list[str] = column("field", "The path of the input field it is about.")
    message: str = column("message", "What is wrong and what would be right.")
    code: UserErrorCode = column("code", "What sort of objection, for programs.")


@strawberry.type(description="What a mutation answers.")
class Payload:
    user_errors: list[UserError] = items(
        user_errors,
        "What speaks against it, all at once; empty if it was done.",
        most=1,
    )
    stream_cursor: str = stream_cursor()
