"""Deliveries of notifications: the type, its list, and `deliveryRetry`."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import strawberry

from db.entities import DELIVERIES, DELIVERY, TICKET
from db.enums import ADMINS, Audience, DeliveryChannel, DeliveryState, NoticeKind
from resolvers import delivery
from schema.common import Connection, Edge, Node, Payload
from schema.fields import IDEMPOTENCY, argument, column, connection, given, global_id, mutation, one, optional, part
from schema.ticket import DateTimeRange

if TYPE_CHECKING:
    from schema.ticket import Ticket


@strawberry.type(description="A notification on its way to one recipient: one for each event, channel and recipient.")
class Delivery(Node):
    id: strawberry.ID = global_id(DELIVERY, "The delivery's id.")
    ticket: Annotated[Ticket, strawberry.lazy("schema.ticket")] = one(
        TICKET, "ticket_id", "The ticket that the notification concerns."
    )
    kind: NoticeKind = column("kind", "The kind of notification.")
    channel: DeliveryChannel = column("channel", "The channel that the notification is sent through.")
    audience: Audience = column("audience", "In what capacity the recipient is notified.")
    recipient: str | None = column(
        delivery.recipient, "The e-mail address; null for Google Chat, which has a single space, and for devices."
    )
    state: DeliveryState = column("state", "The delivery's current state.")
    attempts: int = column("attempts", "The number of attempts since the delivery was last queued.")
    said: str | None = column(
        "said",
        "Why the delivery waits, is held or was dropped; after an attempt, the remote server's reply or the network"
        " error.",
    )
    created_at: datetime = column("created_at", "When the event that caused the notification occurred.")
    next_attempt_at: datetime | None = column(
        delivery.next_attempt_at,
        "When the next attempt is due; null during an attempt, while the delivery is held, and once it is over.",
    )
    finished_at: datetime | None = column(
        "finished_at", "When the delivery was sent, given up or dropped; null until then."
    )
    acknowledged_at: datetime | None = column(
        "acknowledged_at", "When the device has said that it has the notice; null until then, and for other channels."
    )


@strawberry.type(description="A delivery in a list, with its cursor.")
class DeliveryEdge(Edge):
    node: Delivery = part("The delivery.")


@strawberry.type(description="A page of deliveries.")
class DeliveryConnection(Connection):
    nodes: list[Delivery] = part("The deliveries on this page.")
    edges: list[DeliveryEdge] = part("The deliveries on this page, with their cursors.")


@strawberry.input(description="A filter for deliveries. All conditions must hold.")
class DeliveryFilter:
    state: list[DeliveryState] | None = optional("The state is one of these.")
    channel: list[DeliveryChannel] | None = optional("The channel is one of these.")
    kind: list[NoticeKind] | None = optional("The kind is one of these.")
    audience: list[Audience] | None = optional("The audience is one of these.")
    ticket_id: strawberry.ID | None = optional("The delivery concerns this ticket.")
    recipient: str | None = optional("The recipient is this e-mail address; case-insensitive.")
    created_at: DateTimeRange | None = optional("The event occurred in this range.")


@strawberry.type
class DeliveryQueries:
    deliveries: DeliveryConnection = connection(
        DELIVERY,
        DELIVERIES,
        "All deliveries, newest first.",
        arguments=[
            argument("filter", DeliveryFilter | None, "Only deliveries that match this filter; by default, all.")
        ],
        roles=ADMINS,
    )


@strawberry.input(description="The delivery to retry.")
class DeliveryRetryInput:
    delivery_id: strawberry.ID = given("The delivery's id. The delivery must be DEAD, HELD or DROPPED.")
    idempotency_key: str | None = optional(IDEMPOTENCY)


@strawberry.type(description="The result of retrying a delivery.")
class DeliveryRetryPayload(Payload):
    delivery: Delivery | None = one(
        DELIVERY,
        "object_id",
        "The delivery as it is now; null if it does not exist.",
    )


@strawberry.type
class DeliveryMutations:
    delivery_retry: DeliveryRetryPayload = mutation(
        delivery.retry,
        DeliveryRetryInput,
        "Queues a delivery that was given up, held or dropped again, as if it were new. It is then sent although nobody"
        " has confirmed the address.",
        roles=ADMINS,
    )
