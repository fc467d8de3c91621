"""What several types share: nodes, pages, actors and the errors of payloads."""

from __future__ import annotations

import strawberry

from db import enums
from resolvers import event
from resolvers.mutation import UserErrorCode, user_errors
from schema.fields import column, documented, items, part, stream_cursor

for _enum in (
    enums.TicketStatus,
    enums.TicketPriority,
    enums.TicketCategory,
    enums.TicketSource,
    enums.TicketEventKind,
    enums.ActorKind,
    enums.AttachmentState,
    enums.AssignmentState,
    enums.AssignmentStep,
    enums.NoticeKind,
    enums.DeliveryChannel,
    enums.Audience,
    enums.DeliveryState,
    enums.ChatAuthor,
    enums.InboundOutcome,
    enums.AuditAction,
    enums.AuditObjectKind,
    enums.IngestOutcome,
    enums.NoteVia,
    enums.Role,
    enums.ServiceScope,
    enums.WebhookState,
    enums.WebhookSuspension,
    enums.WebhookMessageKind,
    enums.WebhookOutcome,
    UserErrorCode,
):
    documented(_enum)


@strawberry.interface(description="An object that `node` can fetch by its id.")
class Node:
    id: strawberry.ID = part("The object's id: opaque, and unique across all types.")


@strawberry.type(description="The position of a page in its list.")
class PageInfo:
    has_next_page: bool = part("Whether there are more items after this page.")
    has_previous_page: bool = part("Whether there are items before this page.")
    start_cursor: str | None = part("The cursor of the first edge on this page; null if the page is empty.")
    end_cursor: str | None = part(
        "The cursor of the last edge on this page, to pass as `after` for the next page; null if the page is empty."
    )


@strawberry.type(description="A page of a list.")
class Connection:
    page_info: PageInfo = part("The position of this page in the list.")
    total_count: int = part("The number of items in the whole list that you can see.")
    stream_cursor: str = part(
        "The stream cursor at which the list was read. A subscription that starts `after` it misses no event."
    )


@strawberry.type(description="An item in a list, with its cursor.")
class Edge:
    cursor: str = part("The page cursor of this item, to pass as `after` or `before`.")


@strawberry.type(description="A piece of an excerpt. Joined in order, the pieces form the passage.")
class ExcerptPiece:
    text: str = column("text", "The text of the piece, without markup, including spaces and line breaks.")
    matched: bool = column("matched", "Whether the piece is a word that matches the search.")


@strawberry.type(description="The person or program that did something.")
class Actor:
    kind: enums.ActorKind = column(
        event.actor_kind,
        "The kind of actor. Only admins and technicians see who has taken a ticket from its technician; to others it "
        "is SYSTEM.",
    )
    name: str = column(
        event.actor_name, "The actor's name at the time; to a service, a customer has the name of the ticket's contact."
    )


@strawberry.type(description="A reason why a mutation failed.")
class UserError:
    field: list[str] = column("field", "The path of the input field that the error concerns, starting with `input`.")
    message: str = column("message", "A message to show to a person.")
    code: UserErrorCode = column("code", "An error code for programs.")


@strawberry.type(description="The result of a mutation.")
class Payload:
    user_errors: list[UserError] = items(
        user_errors,
        "All validation errors at once; empty if the mutation succeeded.",
        most=1,
    )
    stream_cursor: str = stream_cursor()
