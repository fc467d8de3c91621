"""Tickets: the type, its lists and counts, and the mutations."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import strawberry

from db.entities import (
    ARTICLE,
    CUSTOMER,
    DELIVERY,
    EVENT,
    EVENTS,
    NOTE,
    NOTES,
    PROPERTY,
    TECHNICIAN,
    TICKET,
    TICKET_DELIVERIES,
    updated_at,
)
from db.enums import (
    ADMINS,
    EVERYONE,
    STAFF,
    ActorKind,
    ChatAuthor,
    DocumentedEnum,
    Role,
    TicketCategory,
    TicketEventKind,
    TicketPriority,
    TicketSource,
    TicketStatus,
)
from db.limits import BULK_MAX, CHAT_MESSAGES_MAX, PROGRESS_MAX
from db.ticket_totals import ALL_TICKETS
from resolvers import ticket, ticket_fields
from resolvers.mutation import user_errors
from schema.common import Connection, Edge, Node, Payload, UserError
from schema.fields import (
    IDEMPOTENCY,
    IF_VERSION,
    argument,
    column,
    connection,
    documented,
    embedded,
    given,
    global_id,
    items,
    mutation,
    one,
    optional,
    part,
    root,
)

if TYPE_CHECKING:
    from schema.article import Article
    from schema.customer import Customer
    from schema.delivery import DeliveryConnection
    from schema.event import TicketEventConnection
    from schema.note import NoteConnection
    from schema.property import Property
    from schema.technician import Technician


@strawberry.type(description="Whom to get in touch with about a ticket.")
class Contact:
    name: str = column("name", "Full name.")
    email: str = column("email", "Where confirmations and updates go.")
    phone: str | None = column("phone", "Telephone number.")


@strawberry.type(description="A message of the chatbot conversation that a ticket came from.")
class ChatMessage:
    author: ChatAuthor = column("author", "Who wrote it.")
    body: str = column("body", "What was written.")
    at: datetime = column("at", "When.")


@strawberry.type(description="A customer's issue, from its creation to its resolution.")
class Ticket(Node):
    id: strawberry.ID = global_id(TICKET)
    reference: str = column("reference", "The number that people use: `TKT-` and six characters.")
    version: int = column("version", "Grows by one with every change of the ticket itself; a note does not count.")
    subject: str = column("subject", "A brief summary.")
    description: str = column("description", "The issue in detail.")
    status: TicketStatus = column("status", "Where it is in its life.")
    priority: TicketPriority = column("priority", "How urgent it is.")
    category: TicketCategory = column("category", "What kind of system it is about.")
    source: TicketSource = column("source", "By which way it came in.")
    contact: Contact = embedded("contact_", "Whom to get in touch with: from the customer, or entered by hand.")
    customer: Annotated[Customer, strawberry.lazy("schema.customer")] | None = one(
        CUSTOMER,
        "customer_id",
        "The customer it is for.",
        from_ticket=True,
    )
    property: Annotated[Property, strawberry.lazy("schema.property")] | None = one(
        PROPERTY,
        "property_id",
        "The place it is about.",
        from_ticket=True,
    )
    technician: Annotated[Technician, strawberry.lazy("schema.technician")] | None = one(
        TECHNICIAN,
        "technician_id",
        "The assignee; null if unassigned.",
        from_ticket=True,
    )
    resolution: str | None = column("resolution", "What was done to fix the issue.")
    created_at: datetime = column("created_at", "When it was created.")
    updated_at: datetime = column(updated_at, "When it last changed or was given a note, as far as you may know.")
    resolved_at: datetime | None = column("resolved_at", "When it was resolved.")
    closed_at: datetime | None = column("closed_at", "When it was closed.")
    chat: list[ChatMessage] | None = items(
        ticket_fields.chat,
        "The transcript, oldest first, where a chatbot made the ticket.",
        most=CHAT_MESSAGES_MAX,
        present=ticket_fields.has_chat,
        roles=STAFF | {Role.SERVICE},
    )
    notes: Annotated[NoteConnection, strawberry.lazy("schema.note")] = connection(
        NOTE,
        NOTES,
        "Its notes, oldest first; customers get the public ones.",
        referenced_by="ticket_id",
    )
    history: Annotated[TicketEventConnection, strawberry.lazy("schema.event")] = connection(
        EVENT, EVENTS, "What happened to it, oldest first.", referenced_by="ticket_id"
    )
    deliveries: Annotated[DeliveryConnection, strawberry.lazy("schema.delivery")] = connection(
        DELIVERY,
        TICKET_DELIVERIES,
        "Who was told of it and what came of that, oldest first; technicians do not see what went to others of the"
        " company.",
        referenced_by="ticket_id",
        roles=STAFF,
    )
    article: Annotated[Article, strawberry.lazy("schema.article")] | None = one(
        ARTICLE,
        "id",
        "The knowledge base article made from it.",
        referenced_by="source_ticket_id",
    )
    allowed_statuses: list[TicketStatus] = column(ticket_fields.allowed_statuses, "Where you may take it from here.")


@strawberry.type(description="A ticket's place in a list.")
class TicketEdge(Edge):
    node: Ticket = part("The ticket.")


@strawberry.type(description="A page of tickets.")
class TicketConnection(Connection):
    nodes: list[Ticket] = part("The page's tickets.")
    edges: list[TicketEdge] = part("The page's tickets with their cursors.")


# Lists


@strawberry.input(description="A span of time; either end may be left out.")
class DateTimeRange:
    from_: datetime | None = optional("At or after.", name="from")
    until: datetime | None = optional("Before.")


@strawberry.input(description="Whose tickets. Exactly one is given.", one_of=True)
class AssigneeFilter:
    technician_id: strawberry.ID | None = optional("That technician's.")
    unassigned: bool | None = optional("Nobody's; with false, anybody's.")
    me: bool | None = optional("Yours, as a technician; with false, all others.")


@strawberry.input(description="Which tickets: everything that is given must hold.")
class TicketFilter:
    status: list[TicketStatus] | None = optional("One of these.")
    priority: list[TicketPriority] | None = optional("One of these.")
    category: list[TicketCategory] | None = optional("One of these.")
    source: list[TicketSource] | None = optional("One of these.")
    assignee: AssigneeFilter | None = optional("Whose.")
    customer_id: strawberry.ID | None = optional("Of this customer.")
    property_id: strawberry.ID | None = optional("About this property.")
    created_at: DateTimeRange | None = optional("Created in this span.")
    updated_at: DateTimeRange | None = optional("Last updated in this span.")
    search: str | None = optional(
        "Contained in reference, subject or customer name (for services, the contact's): part of a word, any case."
    )
    and_: list[TicketFilter] | None = optional("All of these hold too.", name="and")
    or_: list[TicketFilter] | None = optional("One of these holds too.", name="or")
    not_: TicketFilter | None = optional("This does not hold.", name="not")


@documented
class TicketOrderField(DocumentedEnum):
    """What tickets can be sorted by."""

    CREATED_AT = "CREATED_AT", "Date of creation."
    UPDATED_AT = "UPDATED_AT", "Date of the last change."
    REFERENCE = "REFERENCE", "Reference number, alphabetically."
    STATUS = "STATUS", "Status, in the order of a ticket's life."
    PRIORITY = "PRIORITY", "Priority, by urgency."


@documented
class OrderDirection(DocumentedEnum):
    """Which way to sort."""

    ASC = "ASC", "Smallest, oldest or least urgent first."
    DESC = "DESC", "Largest, newest or most urgent first."


@strawberry.input(description="What to sort by, and which way.")
class TicketOrder:
    field: TicketOrderField = given("What to sort by.")
    direction: OrderDirection = given("Which way.")


TICKET_LIST = (
    argument("filter", TicketFilter | None, "Which tickets; all that you see if nothing is given."),
    argument("orderBy", list[TicketOrder] | None, "Newest first if nothing is given; ties are broken by id."),
)


@strawberry.input(description="Which ticket. Exactly one is given.", one_of=True)
class TicketBy:
    id: strawberry.ID | None = optional("By id.")
    reference: str | None = optional("By reference, any case.")


@strawberry.type(description="How many tickets there are: the numbers on the status tabs.")
class TicketCounts:
    all: int = column("all", "All tickets.")
    open: int = column("OPEN", "Open ones.")
    in_progress: int = column("IN_PROGRESS", "Those in progress.")
    resolved: int = column("RESOLVED", "Resolved ones.")
    closed: int = column("CLOSED", "Closed ones.")
    unassigned: int = column("unassigned", "Those that nobody is assigned to, whatever their status.")


@strawberry.type(description="A step of a ticket's public progress.")
class TicketProgress:
    kind: TicketEventKind = column("kind", "CREATED, a change of the status, or NOTE_ADDED.")
    at: datetime = column("at", "When.")
    status: TicketStatus = column("status", "Where the ticket was then.")
    actor_kind: ActorKind = column("actor_kind", "What sort of party did it.")
    note: str | None = column("note", "What was noted, if it was that.")


@strawberry.type(description="What may be told about a ticket to whoever knows its reference and e-mail address.")
class TicketTracking:
    reference: str = column("reference", "The ticket's number.")
    subject: str = column("subject", "A brief summary.")
    status: TicketStatus = column("status", "Where it is in its life.")
    resolution: str | None = column("resolution", "What was done to fix the issue.")
    created_at: datetime = column("created_at", "When it was created.")
    updated_at: datetime = column("public_updated_at", "When it last changed, internal notes apart.")
    resolved_at: datetime | None = column("resolved_at", "When it was resolved.")
    closed_at: datetime | None = column("closed_at", "When it was closed.")
    progress: list[TicketProgress] = items(
        ticket_fields.progress,
        f"What happened publicly, oldest first, the latest {PROGRESS_MAX} steps: from when on the ticket was of this "
        "address.",
        most=PROGRESS_MAX,
    )


@strawberry.type
class TicketQueries:
    tickets: TicketConnection = connection(TICKET, ALL_TICKETS, "Tickets that you see.", arguments=TICKET_LIST)
    ticket: Ticket | None = root(
        ticket_fields.ticket_by,
        "One ticket.",
        reader=ticket_fields.read_ticket_by,
        arguments=[argument("by", TicketBy, "Which one.")],
    )
    ticket_counts: TicketCounts = root(
        ticket_fields.status_counts,
        "How many of the tickets that you see are in each status.",
        reader=ticket_fields.read_status_counts,
        arguments=[argument("filter", TicketFilter | None, "Of which tickets; all that you see if not given.")],
    )
    ticket_track: TicketTracking | None = root(
        ticket_fields.tracked_ticket,
        "For the chatbot: how a ticket stands. A wrong address and a ticket that does not exist look alike.",
        reader=ticket_fields.read_tracking,
        arguments=[
            argument("reference", str, "The ticket's number, any case."),
            argument("email", str, "The contact's or the customer's e-mail address, any case."),
        ],
        roles=ADMINS | {Role.SERVICE},
    )


# Mutations


@strawberry.input(description="Whom to get in touch with; what is left out comes from the customer, if there is one.")
class ContactInput:
    name: str | None = optional("Full name, up to 200 characters.")
    email: str | None = optional("E-mail address.")
    phone: str | None = optional("Telephone number; null clears it.")


@strawberry.input(description="A message of a chatbot conversation.")
class ChatMessageInput:
    author: ChatAuthor = given("Who wrote it.")
    body: str = given("What was written, up to 10,000 characters.")
    at: datetime = given("When.")


@strawberry.input(description="The chatbot conversation that a ticket comes from.")
class ChatInput:
    conversation_id: str | None = optional(
        "The chatbot's own id of the conversation. It becomes one ticket: whatever is sent again with this id is "
        "answered with that, as it is."
    )
    messages: list[ChatMessageInput] = given("The transcript, oldest first, up to 500 messages.")


@strawberry.input(description="A new ticket: for a customer, or with name and e-mail address typed by hand.")
class TicketCreateInput:
    subject: str = given("A brief summary, one line of up to 200 characters.")
    description: str = given("The issue in detail, up to 20,000 characters.")
    category: TicketCategory | None = optional("GENERAL if nothing is given.")
    priority: TicketPriority | None = optional("MEDIUM if nothing is given.")
    customer_id: strawberry.ID | None = optional("The customer it is for; a customer's own tickets are for themselves.")
    property_id: strawberry.ID | None = optional("The place it is about: one of the customer's.")
    account_number: str | None = optional(
        "The customer's account number, any case; from a service only, whose tickets are for the customer who has it, "
        "or the contact's e-mail address. If that is nobody, the ticket is for no customer; if they are two, refused."
    )
    contact: ContactInput | None = optional(
        "Name and e-mail address are required where no `customerId` is given: who is found otherwise fills in nothing."
    )
    technician_id: strawberry.ID | None = optional("Whom to assign it to.")
    chat: ChatInput | None = optional("The transcript; from a service only.")
    source: TicketSource | None = optional("CHATBOT, which is the default, or EMAIL; from a service only.")
    idempotency_key: str | None = optional(IDEMPOTENCY)


@strawberry.input(description="Changes of a ticket: what is left out stays, null clears.")
class TicketUpdateInput:
    ticket_id: strawberry.ID = given("Which ticket.")
    if_version: int | None = optional(IF_VERSION)
    subject: str | None = optional("A brief summary, one line of up to 200 characters.")
    description: str | None = optional("The issue in detail, up to 20,000 characters.")
    category: TicketCategory | None = optional("What kind of system it is about.")
    priority: TicketPriority | None = optional("How urgent it is.")
    customer_id: strawberry.ID | None = optional("The customer it is for.")
    property_id: strawberry.ID | None = optional("The place it is about: one of the customer's.")
    contact: ContactInput | None = optional("Whom to get in touch with.")
    resolution: str | None = optional("A better wording of the resolution; of a resolved or closed ticket only.")


@strawberry.input(description="To whom to give a ticket.")
class TicketAssignInput:
    ticket_id: strawberry.ID = given("Which ticket.")
    technician_id: strawberry.ID | None = given("The technician; null removes the assignment.")
    if_version: int | None = optional(IF_VERSION)


@strawberry.input(description="Where to take a ticket.")
class TicketSetStatusInput:
    ticket_id: strawberry.ID = given("Which ticket.")
    status: TicketStatus = given("The new status; one of the ticket's `allowedStatuses`.")
    resolution: str | None = optional("What was done, up to 20,000 characters; required for RESOLVED.")
    if_version: int | None = optional(IF_VERSION)


@strawberry.input(description="How an issue was fixed.")
class TicketResolveInput:
    ticket_id: strawberry.ID = given("Which ticket.")
    resolution: str = given("What was done, up to 20,000 characters.")
    if_version: int | None = optional(IF_VERSION)


@strawberry.input(description="One change of several tickets.")
class TicketsBulkUpdateInput:
    ticket_ids: list[strawberry.ID] = given("Which tickets, 1 to 100.")
    status: TicketStatus | None = optional("The new status.")
    resolution: str | None = optional("What was done; required where the status is RESOLVED.")
    priority: TicketPriority | None = optional("The new priority.")
    category: TicketCategory | None = optional("The new category.")
    technician_id: strawberry.ID | None = optional("Whom to assign them to; null removes the assignments.")


@strawberry.type(description="A ticket, and what speaks against the mutation.")
class TicketPayload(Payload):
    ticket: Ticket | None = one(
        TICKET,
        "object_id",
        "The ticket as it is now; null if there is none that you see.",
    )


@strawberry.type(description="What `ticketCreate` answers.")
class TicketCreatePayload(TicketPayload): ...


@strawberry.type(description="What `ticketUpdate` answers.")
class TicketUpdatePayload(TicketPayload): ...


@strawberry.type(description="What `ticketAssign` answers.")
class TicketAssignPayload(TicketPayload): ...


@strawberry.type(description="What `ticketSetStatus` answers.")
class TicketSetStatusPayload(TicketPayload): ...


@strawberry.type(description="What `ticketResolve` answers.")
class TicketResolvePayload(TicketPayload): ...


@strawberry.type(description="What became of one ticket of several.")
class TicketBulkResult:
    ticket_id: strawberry.ID = column("id", "The id that was given.")
    ticket: Ticket | None = one(
        TICKET,
        "ticket_id",
        "The ticket as it is now; null if there is none that you see.",
    )
    user_errors: list[UserError] = items(
        user_errors,
        "What speaks against changing it; empty if it was done.",
        most=1,
    )


@strawberry.type(description="What `ticketsBulkUpdate` answers.")
class TicketsBulkUpdatePayload(Payload):
    results: list[TicketBulkResult] = items(
        ticket_fields.bulk_results,
        "A result for each ticket, in the order given.",
        most=BULK_MAX,
    )


@strawberry.type
class TicketMutations:
    ticket_create: TicketCreatePayload = mutation(
        ticket.create, TicketCreateInput, "Create a ticket; it is OPEN.", roles=EVERYONE
    )
    ticket_update: TicketUpdatePayload = mutation(
        ticket.update, TicketUpdateInput, "Change what a ticket says.", roles=ADMINS
    )
    ticket_assign: TicketAssignPayload = mutation(
        ticket.assign, TicketAssignInput, "Give a ticket to a technician, or to nobody.", roles=ADMINS
    )
    ticket_set_status: TicketSetStatusPayload = mutation(
        ticket.set_status, TicketSetStatusInput, "Take a ticket to another status.", roles=STAFF
    )
    ticket_resolve: TicketResolvePayload = mutation(
        ticket.resolve, TicketResolveInput, "Mark a ticket resolved, with what was done.", roles=STAFF
    )
    tickets_bulk_update: TicketsBulkUpdatePayload = mutation(
        ticket.bulk_update,
        TicketsBulkUpdateInput,
        "The same change of several tickets, each done or refused on its own.",
        roles=ADMINS,
    )
