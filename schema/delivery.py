"""Deliveries: who was told of what and what came of it, their lists, and `deliveryRetry`."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import strawberry

from db.entities import DELIVERIES, DELIVERY, TICKET
from db.enums import ADMINS, Audience, DeliveryChannel, DeliveryState, NoticeKind
from resolvers import delivery
from schema.common import Connection, Edge, Payload
from schema.fields import argument, column, connection, given, global_id, mutation, one, optional, part
from schema.ticket import DateTimeRange

if TYPE_CHECKING:
    from schema.ticket import Ticket


@strawberry.type(description="What somebody is told of an event: one for each event, channel and recipient.")
class Delivery:
    id: strawberry.ID = global_id(DELIVERY)
    ticket: Annotated[Ticket, strawberry.lazy("schema.ticket")] = one(
        TICKET, "ticket_id", "The ticket that it is about."
    )
    kind: NoticeKind = column("kind", "What is told.")
    channel: DeliveryChannel = column("channel", "By which way.")
    audience: Audience = column("audience", "As what the recipient is told.")
    recipient: str | None = column(delivery.recipient, "The e-mail address; null for Google Chat, which has one place.")
    state: DeliveryState = column("state", "How far it has come.")
    attempts: int = column("attempts", "How often it has been tried since it was last queued.")
    said: str | None = column("said", "What the other side, or the network, said to the last attempt.")
    created_at: datetime = column("created_at", "When that happened which is told.")
    next_attempt_at: datetime | None = column(
        delivery.next_attempt_at,
        "From when on it is tried; null while it is being sent, and once it was sent or given up.",
    )
    finished_at: datetime | None = column("finished_at", "When it was sent or given up.")


@strawberry.type(description="A delivery's place in a list.")
class DeliveryEdge(Edge):
    node: Delivery = part("The delivery.")


@strawberry.type(description="A page of deliveries.")
class DeliveryConnection(Connection):
    nodes: list[Delivery] = part("The page's deliveries.")
    edges: list[DeliveryEdge] = part("The page's deliveries with their cursors.")


@strawberry.input(description="Which deliveries: everything that is given must hold.")
class DeliveryFilter:
    state: list[DeliveryState] | None = optional("In one of these states.")
    channel: list[DeliveryChannel] | None = optional("By one of these channels.")
    kind: list[NoticeKind] | None = optional("Of one of these kinds.")
    audience: list[Audience] | None = optional("To one of these audiences.")
    ticket_id: strawberry.ID | None = optional("About this ticket.")
    recipient: str | None = optional("To this e-mail address, in any case.")
    created_at: DateTimeRange | None = optional("About what happened in this span.")


@strawberry.type
class DeliveryQueries:
    deliveries: DeliveryConnection = connection(
        DELIVERY,
        DELIVERIES,
        "All deliveries, newest first.",
        arguments=[argument("filter", DeliveryFilter | None, "Which deliveries; all if nothing is given.")],
        roles=ADMINS,
    )


@strawberry.input(description="A delivery to try again.")
class DeliveryRetryInput:
    delivery_id: strawberry.ID = given("Which delivery: one that was given up.")


@strawberry.type(description="What `deliveryRetry` answers.")
class DeliveryRetryPayload(Payload):
    delivery: Delivery | None = one(
        DELIVERY,
        "object_id",
        "The delivery as it is now; null if there is none.",
    )


@strawberry.type
class DeliveryMutations:
    delivery_retry: DeliveryRetryPayload = mutation(
        delivery.retry, DeliveryRetryInput, "Try a delivery that was given up again, as if it were new.", roles=ADMINS
    )
