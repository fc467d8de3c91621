"""Subscriptions: changes as they happen, after a replay of the missed ones; and the same changes in pages."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import strawberry

from db.audit_stream import AuditAdditions
from db.entities import (
    ARTICLE,
    ASSIGNMENT,
    ATTACHMENT,
    AUDIT_ENTRY,
    CUSTOMER,
    DELIVERY,
    NOTE,
    PROPERTY,
    TECHNICIAN,
    TICKET,
)
from db.entity import Entity
from db.enums import (
    ADMINS,
    CHATBOTS,
    STAFF,
    DeliveryState,
    ObjectChangeKind,
    Role,
    StreamResetReason,
    TicketChangeKind,
    TicketEventKind,
)
from db.limits import EVENT_DELIVERIES_MAX, PAGE_DEFAULT, PAGE_MAX
from db.object_changes import ArticleChanges, CustomerChanges, PropertyChanges, TechnicianChanges
from db.ticket_stream import (
    Imaged,
    LiveValue,
    NoteAdditions,
    OwnKey,
    TicketChanges,
    TicketChangesPage,
    TicketFollowing,
)
from resolvers import event, ticket_fields
from schema.article import Article
from schema.assignment import Assignment
from schema.attachment import Attachment
from schema.audit import AUDIT_FILTER, AuditEntry
from schema.common import Actor
from schema.customer import Customer
from schema.delivery import Delivery
from schema.fields import argument, column, documented, embedded, global_id, items, mapped, one, part, stream_cursor
from schema.note import Note
from schema.presence import TicketPresence
from schema.property import Property
from schema.technician import Technician
from schema.ticket import Ticket, TicketCounts, TicketFilter
from schema.window import WindowSubscriptions

for _enum in (TicketChangeKind, ObjectChangeKind, StreamResetReason):
    documented(_enum)

AFTER = argument(
    "after",
    str | None,
    "Only events after this stream cursor: the last one that you received from a list, a payload or a stream. By "
    "default, only events from now on.",
)
CURSOR = "The stream cursor of this message. A subscription that starts `after` it continues with the next message."


@strawberry.type(description="Sent once all missed events have been replayed. The messages that follow are live.")
class StreamReady:
    cursor: str = part(CURSOR)
    resumed: bool = part(
        "Whether the stream has continued from your cursor. If false, there was no `after`, or a `StreamReset`: events "
        "from before this message may be missing, so read what you show again."
    )


@strawberry.type(
    description="Sent if the stream cannot resume from `after`. Refetch the list and continue from this cursor."
)
class StreamReset:
    reason: StreamResetReason = part("Why the stream cannot resume.")
    cursor: str = part(CURSOR)


@strawberry.type(description="A change to a ticket that matches the filter now or matched it before.")
class TicketChange:
    cursor: str = stream_cursor(CURSOR)
    change: TicketChangeKind = column("change", "How the event changes a list of tickets with the same filter.")
    kind: TicketEventKind = column("kind", "The kind of event.")
    ticket_id: strawberry.ID = global_id(TICKET, "The ticket's id.", column="ticket_id")
    ticket: Ticket | None = mapped(
        Imaged(),
        "The ticket as the event left it, with related objects as they are now; null if you cannot see the ticket, or "
        "no longer can.",
    )
    changed_fields: list[str] = column(
        event.changed_fields,
        "The names of the fields that changed; empty for a new ticket, for a note, and if you cannot see the ticket.",
    )
    note: Note | None = one(
        NOTE, "note_id", "The note that the event added; null if it added none, or one that you cannot see."
    )
    attachment: Attachment | None = one(
        ATTACHMENT,
        "attachment_id",
        "The attachment that became READY or REJECTED by the event; null if none did, or one that you cannot see.",
    )
    assignment: Assignment | None = one(
        ASSIGNMENT,
        event.assignment_id,
        "The assignment that the event began or advanced, as it is now; null if the event did neither, or if you "
        "cannot see the assignment.",
    )
    deliveries: list[Delivery] = items(
        event.deliveries,
        "The deliveries that the event queued and that you can see, as they are now.",
        most=EVENT_DELIVERIES_MAX,
        roles=STAFF,
    )
    actor: Actor = embedded("actor_", "The person or program that caused the event.")
    at: datetime = column("at", "When the event occurred, by the server's clock.")
    occurred_at: datetime | None = column(
        "occurred_at",
        "When it was done, if that was on a device that was offline, as the device says; null otherwise.",
    )
    key: str | None = mapped(
        OwnKey(),
        "The idempotency key of your request that caused the event, so that you recognise it; null if it was somebody "
        "else's, or had none.",
    )


@strawberry.type(
    description="A change of a delivery about the ticket: it was sent, given up, held, dropped or queued again, or an "
    "attempt has failed. Only staff receive it."
)
class DeliveryChange:
    cursor: str = stream_cursor(CURSOR)
    ticket_id: strawberry.ID = global_id(TICKET, "The ticket's id.", column="ticket_id")
    state: DeliveryState = column("state", "The delivery's state after the change.")
    delivery: Delivery = one(DELIVERY, "delivery_id", "The delivery as it is now.")
    at: datetime = column("at", "When the delivery changed.")


@strawberry.type(description="Sent when a note is added to the ticket.")
class NoteAdded:
    cursor: str = stream_cursor(CURSOR)
    note: Note = one(NOTE, "note_id", "The new note.")


@strawberry.type(description="Sent when an entry is added to the audit trail.")
class AuditEntryAdded:
    cursor: str = stream_cursor(CURSOR)
    entry: AuditEntry = one(AUDIT_ENTRY, "id", "The new entry.")


def _object_id(entity: Entity, kind: str) -> Any:
    return global_id(entity, f"The {kind}'s id.", column="object_key")


def _object(entity: Entity, kind: str) -> Any:
    return one(entity, "object_key", f"The {kind} as it is now; null if you cannot see it, or no longer can.")


def _change(kind: str) -> Any:
    return column("change", f"What has become of the {kind}.")


def _changed_fields() -> Any:
    return column(
        "changed_fields", "The names of the fields that changed, in alphabetical order; empty if CREATED or REMOVED."
    )


def _changed_at(kind: str) -> Any:
    return column("at", f"When the {kind} changed.")


@strawberry.type(description="A change of a customer.")
class CustomerChange:
    cursor: str = stream_cursor(CURSOR)
    change: ObjectChangeKind = _change("customer")
    customer_id: strawberry.ID = _object_id(CUSTOMER, "customer")
    customer: Customer | None = _object(CUSTOMER, "customer")
    changed_fields: list[str] = _changed_fields()
    at: datetime = _changed_at("customer")


@strawberry.type(description="A change of a property.")
class PropertyChange:
    cursor: str = stream_cursor(CURSOR)
    change: ObjectChangeKind = _change("property")
    property_id: strawberry.ID = _object_id(PROPERTY, "property")
    property: Property | None = _object(PROPERTY, "property")
    changed_fields: list[str] = _changed_fields()
    at: datetime = _changed_at("property")


@strawberry.type(description="A change of a technician.")
class TechnicianChange:
    cursor: str = stream_cursor(CURSOR)
    change: ObjectChangeKind = _change("technician")
    technician_id: strawberry.ID = _object_id(TECHNICIAN, "technician")
    technician: Technician | None = _object(TECHNICIAN, "technician")
    changed_fields: list[str] = _changed_fields()
    at: datetime = _changed_at("technician")


@strawberry.type(description="A change of an article.")
class ArticleChange:
    cursor: str = stream_cursor(CURSOR)
    change: ObjectChangeKind = _change("article")
    article_id: strawberry.ID = _object_id(ARTICLE, "article")
    article: Article | None = _object(ARTICLE, "article")
    changed_fields: list[str] = _changed_fields()
    at: datetime = _changed_at("article")


@strawberry.type(description="A page of changes to tickets.")
class TicketChangePage:
    nodes: list[TicketChange] = part("The changes since `after`, oldest first.")
    cursor: str = part(
        "The stream cursor at the end of the page, to pass as `after` for the next page or to a subscription."
    )
    has_more: bool = part("Whether there are more changes after this page.")
    reset: StreamResetReason | None = part(
        "Why the page cannot start from `after`: refetch the list and continue from this page's cursor. Null if it can."
    )


TicketStreamMessage = Annotated[
    TicketChange | StreamReady | StreamReset,
    strawberry.union("TicketStreamMessage", description="A message of the subscription `ticketChanged`."),
]
TicketFollowMessage = Annotated[
    TicketChange | DeliveryChange | TicketPresence | StreamReady | StreamReset,
    strawberry.union("TicketFollowMessage", description="A message of the subscription `ticketFollow`."),
]
NoteStreamMessage = Annotated[
    NoteAdded | StreamReady | StreamReset,
    strawberry.union("NoteStreamMessage", description="A message of the subscription `noteAdded`."),
]

AuditStreamMessage = Annotated[
    AuditEntryAdded | StreamReady | StreamReset,
    strawberry.union("AuditStreamMessage", description="A message of the subscription `auditEntryAdded`."),
]
CustomerStreamMessage = Annotated[
    CustomerChange | StreamReady | StreamReset,
    strawberry.union("CustomerStreamMessage", description="A message of the subscription `customerChanged`."),
]
PropertyStreamMessage = Annotated[
    PropertyChange | StreamReady | StreamReset,
    strawberry.union("PropertyStreamMessage", description="A message of the subscription `propertyChanged`."),
]
TechnicianStreamMessage = Annotated[
    TechnicianChange | StreamReady | StreamReset,
    strawberry.union("TechnicianStreamMessage", description="A message of the subscription `technicianChanged`."),
]
ArticleStreamMessage = Annotated[
    ArticleChange | StreamReady | StreamReset,
    strawberry.union("ArticleStreamMessage", description="A message of the subscription `articleChanged`."),
]

_PEOPLE = STAFF | {Role.CUSTOMER}


@strawberry.type
class StreamQueries:
    ticket_events: TicketChangePage = mapped(
        TicketChangesPage("TicketChange", scopes=CHATBOTS),
        "The changes that `ticketChanged` would have sent since a stream cursor, in pages. For devices that rarely "
        "connect.",
        [
            argument(
                "filter", TicketFilter | None, "Only tickets that match this filter; by default, all that you can see."
            ),
            AFTER,
            argument(
                "first", int | None, f"The maximum number of changes, 1 to {PAGE_MAX}; {PAGE_DEFAULT} by default."
            ),
        ],
    )


@strawberry.type(description="The subscription root of Callout's API, served over WebSockets and server-sent events.")
class Subscription(WindowSubscriptions):
    ticket_changed: TicketStreamMessage = mapped(
        TicketChanges("TicketChange", scopes=CHATBOTS),
        "Changes to the tickets that match the filter and that you can see.",
        [
            argument(
                "filter", TicketFilter | None, "Only tickets that match this filter; by default, all that you can see."
            ),
            AFTER,
        ],
    )
    ticket_follow: TicketFollowMessage = mapped(
        TicketFollowing("TicketChange", scopes=CHATBOTS),
        "Everything that happens to one ticket that you can see, for its page. If you can no longer see it, "
        "the last message is a change that is LEFT.",
        [argument("id", strawberry.ID, "The ticket's id."), AFTER],
    )
    ticket_counts_changed: TicketCounts = mapped(
        LiveValue(ticket_fields.status_counts, ticket_fields.read_live_status_counts, scopes=CHATBOTS),
        "The number of tickets that you can see in each status: sent at once, and again after "
        "changes, at most four times a second.",
        [
            argument(
                "filter", TicketFilter | None, "Only tickets that match this filter; by default, all that you can see."
            )
        ],
    )
    note_added: NoteStreamMessage = mapped(
        NoteAdditions("NoteAdded", scopes=CHATBOTS),
        "New notes on a ticket that you can see.",
        [argument("ticketId", strawberry.ID, "The ticket's id."), AFTER],
    )
    audit_entry_added: AuditStreamMessage = mapped(
        AuditAdditions("AuditEntryAdded", roles=ADMINS),
        "New entries of the audit trail.",
        [AUDIT_FILTER, AFTER],
    )
    customer_changed: CustomerStreamMessage = mapped(
        CustomerChanges("CustomerChange", roles=_PEOPLE),
        "Changes of the customers that you can see, for a client that keeps copies of them. For technicians, their "
        "tickets at that moment decide; that a ticket makes a customer visible is no change of the customer.",
        [AFTER],
    )
    property_changed: PropertyStreamMessage = mapped(
        PropertyChanges("PropertyChange", roles=_PEOPLE),
        "Changes of the properties that you can see, as `customerChanged` has those of customers.",
        [AFTER],
    )
    technician_changed: TechnicianStreamMessage = mapped(
        TechnicianChanges("TechnicianChange", roles=STAFF),
        "Changes of the technicians that you can see, as `customerChanged` has those of customers.",
        [AFTER],
    )
    article_changed: ArticleStreamMessage = mapped(
        ArticleChanges("ArticleChange", scopes=CHATBOTS),
        "Changes of the articles that you can see. For customers and services, one is created when it is published.",
        [AFTER],
    )
