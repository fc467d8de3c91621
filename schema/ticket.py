"""Tickets: the type, its lists and counts, and the mutations."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import strawberry

from db.compiler.fields import Guessed
from db.entities import (
    ARTICLE,
    ASSIGNMENT,
    ATTACHMENT,
    ATTACHMENTS,
    CUSTOMER,
    DELIVERY,
    EVENT,
    EVENTS,
    FOLLOW_UPS,
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
    CHATBOTS,
    EVERYONE,
    STAFF,
    ActorKind,
    AssignmentState,
    ChatAuthor,
    DocumentedEnum,
    Role,
    TicketCategory,
    TicketEventKind,
    TicketPriority,
    TicketSource,
    TicketStatus,
)
from db.limits import (
    BULK_MAX,
    CHAT_BODY_MAX,
    CHAT_MESSAGES_MAX,
    CONVERSATION_ID_MAX,
    DESCRIPTION_MAX,
    EXCERPT_WORDS,
    IDS_MAX,
    NAME_MAX,
    PHONE_MAX,
    PROGRESS_MAX,
    RESOLUTION_MAX,
    SEARCH_MAX,
    SUBJECT_MAX,
)
from db.lists.criteria import CRITERIA_MAX
from db.lists.texts import CONDITIONS
from db.ticket_totals import ALL_TICKETS
from resolvers import ticket, ticket_fields
from resolvers.mutation import user_errors
from schema.common import Connection, Edge, ExcerptPiece, Node, Payload, UserError
from schema.fields import (
    IDEMPOTENCY,
    IF_VERSION,
    OCCURRED_AT,
    argument,
    column,
    connection,
    documented,
    embedded,
    given,
    global_id,
    items,
    mapped,
    mutation,
    one,
    optional,
    part,
    root,
)

if TYPE_CHECKING:
    from schema.article import Article
    from schema.assignment import Assignment
    from schema.attachment import AttachmentConnection
    from schema.customer import Customer
    from schema.delivery import DeliveryConnection
    from schema.event import TicketEventConnection
    from schema.note import NoteConnection
    from schema.property import Property
    from schema.technician import Technician


@strawberry.type(description="The contact of a ticket: the person to keep informed.")
class Contact:
    name: str = column("name", "The contact's full name.")
    email: str = column("email", "The e-mail address that receives confirmations and updates.")
    phone: str | None = column("phone", "The contact's phone number; null if there is none.")


@strawberry.type(description="A message in a ticket's transcript.")
class ChatMessage:
    author: ChatAuthor = column("author", "The author of the message.")
    body: str = column("body", "The text of the message.")
    at: datetime = column("at", "When the message was written.")


@strawberry.type(description="A customer's issue, from its creation to its resolution.")
class Ticket(Node):
    id: strawberry.ID = global_id(TICKET, "The ticket's id.")
    reference: str = column(
        "reference", "The unique number that people use, `TKT-` and six characters, such as `TKT-A2B4C3`."
    )
    version: int = column(
        "version", "The ticket's version. Every change increments it by one; adding a note is not a change."
    )
    subject: str = column("subject", "A brief summary of the issue.")
    description: str = column("description", "A detailed description of the issue.")
    status: TicketStatus = column("status", "The ticket's current status.")
    priority: TicketPriority = column("priority", "The ticket's priority.")
    category: TicketCategory = column("category", "The kind of system that the ticket concerns.")
    source: TicketSource = column("source", "Where the ticket came from.")
    sender_verified: bool | None = column(
        "sender_verified",
        "Whether the mail server has verified the sender of the e-mail that created the ticket, so that the contact is "
        "who it says; null if no e-mail created it, or if the mail server has said nothing.",
        roles=STAFF,
    )
    contact: Contact = embedded("contact_", "The ticket's contact, from the customer or typed by hand.")
    customer: Annotated[Customer, strawberry.lazy("schema.customer")] | None = one(
        CUSTOMER,
        "customer_id",
        "The ticket's customer; null if there is none or you cannot see them. Services see them if the ticket's "
        "contact has their name and e-mail address.",
        from_ticket=True,
    )
    property: Annotated[Property, strawberry.lazy("schema.property")] | None = one(
        PROPERTY,
        "property_id",
        "The property that the ticket concerns; null if there is none or you cannot see it. Services see it if they "
        "see the ticket's customer.",
        from_ticket=True,
    )
    customer_linked: bool = column(
        "customer_linked",
        "Whether the ticket got its customer by an e-mail address or account number that was typed with it; false if "
        "the customer was chosen, or if an e-mail created the ticket.",
        roles=STAFF,
    )
    technician: Annotated[Technician, strawberry.lazy("schema.technician")] | None = one(
        TECHNICIAN,
        "technician_id",
        "The technician assigned to the ticket; null if it is unassigned or you cannot see them.",
        from_ticket=True,
    )
    assignment: Annotated[Assignment, strawberry.lazy("schema.assignment")] | None = one(
        ASSIGNMENT,
        "assignment_id",
        "The technician's progress with the ticket. While the ticket is unassigned it is the assignment that was "
        "declined last, or null. Customers and services see it once it was accepted.",
    )
    resolution: str | None = column("resolution", "How the issue was resolved; null if there is no resolution.")
    created_at: datetime = column("created_at", "When the ticket was created.")
    updated_at: datetime = column(updated_at, "When the ticket last changed or received a note that you can see.")
    resolved_at: datetime | None = column(
        "resolved_at", "When the ticket was resolved; null if it was not, or was reopened since."
    )
    closed_at: datetime | None = column(
        "closed_at", "When the ticket was closed; null if it was not, or was reopened since."
    )
    chat: list[ChatMessage] | None = items(
        ticket_fields.chat,
        "The transcript, oldest message first; null if the ticket did not come from a chatbot conversation.",
        most=CHAT_MESSAGES_MAX,
        present=ticket_fields.has_chat,
        roles=STAFF | {Role.SERVICE},
    )
    notes: Annotated[NoteConnection, strawberry.lazy("schema.note")] = connection(
        NOTE,
        NOTES,
        "The ticket's notes that you can see, oldest first. Customers and services see public notes only.",
        referenced_by="ticket_id",
    )
    attachments: Annotated[AttachmentConnection, strawberry.lazy("schema.attachment")] = connection(
        ATTACHMENT,
        ATTACHMENTS,
        "The ticket's attachments that you can see, with those of its notes, oldest first.",
        referenced_by="ticket_id",
    )
    history: Annotated[TicketEventConnection, strawberry.lazy("schema.event")] = connection(
        EVENT, EVENTS, "The ticket's events that you can see, oldest first.", referenced_by="ticket_id"
    )
    deliveries: Annotated[DeliveryConnection, strawberry.lazy("schema.delivery")] = connection(
        DELIVERY,
        TICKET_DELIVERIES,
        "The deliveries of notifications about the ticket, oldest first. Technicians see those to the customer, to "
        "Google Chat and to themselves.",
        referenced_by="ticket_id",
        roles=STAFF,
    )
    article: Annotated[Article, strawberry.lazy("schema.article")] | None = one(
        ARTICLE,
        "id",
        "The article that was created from the ticket; null if there is none or you cannot see it.",
        referenced_by="source_ticket_id",
    )
    follow_up_of: Ticket | None = one(
        TICKET,
        "follows_id",
        "The ticket that this one follows up; null if there is none or you cannot see it.",
    )
    follow_ups: TicketConnection = connection(
        TICKET,
        FOLLOW_UPS,
        "The tickets that follow up this one and that you can see, oldest first.",
        referenced_by="follows_id",
    )
    allowed_statuses: list[TicketStatus] = column(
        ticket_fields.allowed_statuses, "The statuses that you can set the ticket to."
    )


@strawberry.type(description="A ticket in a list, with its cursor.")
class TicketEdge(Edge):
    node: Ticket = part("The ticket.")
    excerpt: list[ExcerptPiece] | None = items(
        ticket_fields.excerpt,
        f"The passage that has the most words of the filter's `text`, at most {EXCERPT_WORDS} words, from one of the "
        "texts on the ticket that you can read; null if the filter has no `text`, or has it below `and`, `or` or "
        "`not` only.",
        most=2 * EXCERPT_WORDS + 1,
        present=ticket_fields.is_searched,
    )


@strawberry.type(description="A page of tickets.")
class TicketConnection(Connection):
    nodes: list[Ticket] = part("The tickets on this page.")
    edges: list[TicketEdge] = part("The tickets on this page, with their cursors.")


# Lists


@strawberry.input(description="A range of time. Either end may be left out.")
class DateTimeRange:
    from_: datetime | None = optional("The start of the range, inclusive.", name="from")
    until: datetime | None = optional("The end of the range, exclusive.")


@strawberry.input(description="A condition on the assigned technician. Set exactly one field.", one_of=True)
class AssigneeFilter:
    technician_id: strawberry.ID | None = optional("The id of the assigned technician.")
    unassigned: bool | None = optional("Whether the ticket is unassigned.")
    me: bool | None = optional(
        "Whether the ticket is assigned to you. True matches nothing if you are not a technician."
    )
    inactive: bool | None = optional(
        "Whether the ticket is assigned to a technician who is inactive now, and so should be reassigned. True matches "
        "nothing for customers and services."
    )


@strawberry.input(
    description=f"A filter for tickets. All conditions must hold. At most {CRITERIA_MAX} conditions, including nested "
    f"ones; a `text` counts as {CONDITIONS}."
)
class TicketFilter:
    ids: list[strawberry.ID] | None = optional(
        f"The ticket is one of these, at most {IDS_MAX}. The id of a ticket that does not exist, or that you cannot "
        "see, matches nothing."
    )
    status: list[TicketStatus] | None = optional("The status is one of these.")
    priority: list[TicketPriority] | None = optional("The priority is one of these.")
    category: list[TicketCategory] | None = optional("The category is one of these.")
    source: list[TicketSource] | None = optional("The source is one of these.")
    assignee: AssigneeFilter | None = optional("The assigned technician meets this condition.")
    assignment_state: list[AssignmentState] | None = optional(
        "The state of the ticket's `assignment` is one of these. An unassigned ticket is DECLINED, if it was, or has "
        "no state. Matches nothing for customers and services."
    )
    overdue: bool | None = optional(
        "Whether the technician has not answered the assignment within the minutes of the support settings. True "
        "matches nothing for customers and services."
    )
    customer_id: strawberry.ID | None = optional(
        "The ticket belongs to this customer. Services find only tickets on which they see the customer."
    )
    property_id: strawberry.ID | None = optional(
        "The ticket concerns this property. Services find only tickets on which they see the property."
    )
    created_at: DateTimeRange | None = optional("The ticket was created in this range.")
    updated_at: DateTimeRange | None = optional("The ticket was last updated in this range, as `updatedAt` shows it.")
    search: str | None = optional(
        "Each of these words, in any order, is in the reference, the subject, the name of the customer or contact, the "
        "contact's e-mail address or phone, the property's address or an account number, even as part of a word. At "
        f"most {SEARCH_MAX} characters. Case, accents and apostrophes make no difference, nor does how a phone number "
        "is written. Services search the reference, the subject and the contact's name."
    )
    text: str | None = optional(
        "Each of these words, in any order, is in the description, the resolution, a note, what a note quotes, or the "
        "transcript, as far as you can read them; the words need not be in the same text. A word also matches the "
        "beginning of a longer one, unless it has only one or two plain letters or digits. At most "
        f"{SEARCH_MAX} characters. Case, accents and apostrophes make no difference, and punctuation only parts words. "
        "`TicketEdge.excerpt` shows where. Subscriptions and `ticketEvents` refuse it."
    )
    and_: list[TicketFilter] | None = optional("All of these filters match as well.", name="and")
    or_: list[TicketFilter] | None = optional("At least one of these filters matches as well.", name="or")
    not_: TicketFilter | None = optional("This filter does not match.", name="not")


@documented
class TicketOrderField(DocumentedEnum):
    """The field to sort tickets by."""

    CREATED_AT = "CREATED_AT", "When the ticket was created."
    UPDATED_AT = "UPDATED_AT", "When the ticket was last updated, as `updatedAt` shows it."
    ASSIGNED_AT = (
        "ASSIGNED_AT",
        "Since when the ticket has been with its technician, or unassigned; for customers and services, when it was "
        "created.",
    )
    REFERENCE = "REFERENCE", "The reference, alphabetically."
    STATUS = "STATUS", "The status, from OPEN to CLOSED."
    PRIORITY = "PRIORITY", "The priority, from LOW to URGENT."


@documented
class OrderDirection(DocumentedEnum):
    """The direction to sort in."""

    ASC = "ASC", "Ascending: smallest, oldest or least urgent first."
    DESC = "DESC", "Descending: largest, newest or most urgent first."


@strawberry.input(description="The order of a list of tickets.")
class TicketOrder:
    field: TicketOrderField = given("The field to sort by.")
    direction: OrderDirection = given("The direction to sort in.")


TICKET_LIST = (
    argument("filter", TicketFilter | None, "Only tickets that match this filter; by default, all that you can see."),
    argument(
        "orderBy",
        list[TicketOrder] | None,
        "The sort order; by default, newest first. Tickets that compare equal are sorted by id.",
    ),
)


@strawberry.input(description="The ticket to fetch. Set exactly one field.", one_of=True)
class TicketBy:
    id: strawberry.ID | None = optional("The ticket's id.")
    reference: str | None = optional("The ticket's reference; case-insensitive.")


@strawberry.type(description="The number of tickets in each status, as for the tabs of a dashboard.")
class TicketCounts:
    all: int = column("all", "The number of all tickets.")
    open: int = column("OPEN", "The number of OPEN tickets.")
    in_progress: int = column("IN_PROGRESS", "The number of IN_PROGRESS tickets.")
    resolved: int = column("RESOLVED", "The number of RESOLVED tickets.")
    closed: int = column("CLOSED", "The number of CLOSED tickets.")
    unassigned: int = column("unassigned", "The number of unassigned tickets in any status.")


@strawberry.type(description="A public event in the progress of a tracked ticket.")
class TicketProgress:
    kind: TicketEventKind = column("kind", "The kind of event: CREATED, NOTE_ADDED or a change of the status.")
    at: datetime = column("at", "When the event occurred.")
    status: TicketStatus = column("status", "The ticket's status after the event.")
    actor_kind: ActorKind = column("actor_kind", "The kind of person or program that caused the event.")
    note: str | None = column("note", "The text of the note; null for other kinds of events.")


@strawberry.type(
    description="The public details of a ticket, for a person who knows its reference and an e-mail address on it."
)
class TicketTracking:
    reference: str = column("reference", "The ticket's reference.")
    subject: str = column("subject", "A brief summary of the issue.")
    status: TicketStatus = column("status", "The ticket's current status.")
    resolution: str | None = column("resolution", "How the issue was resolved; null if there is no resolution.")
    created_at: datetime = column("created_at", "When the ticket was created.")
    updated_at: datetime = column("public_updated_at", "When the ticket last changed or received a public note.")
    resolved_at: datetime | None = column(
        "resolved_at", "When the ticket was resolved; null if it was not, or was reopened since."
    )
    closed_at: datetime | None = column(
        "closed_at", "When the ticket was closed; null if it was not, or was reopened since."
    )
    progress: list[TicketProgress] = items(
        ticket_fields.progress,
        f"The latest {PROGRESS_MAX} public events, oldest first. Events from before the ticket belonged to this "
        "e-mail address are left out.",
        most=PROGRESS_MAX,
    )


@strawberry.type
class TicketQueries:
    tickets: TicketConnection = connection(
        TICKET, ALL_TICKETS, "The tickets that you can see.", arguments=TICKET_LIST, scopes=CHATBOTS
    )
    ticket: Ticket | None = root(
        ticket_fields.ticket_by,
        "The ticket with this id or reference; null if it does not exist or you cannot see it.",
        reader=ticket_fields.read_ticket_by,
        arguments=[argument("by", TicketBy, "The ticket to fetch, by id or reference.")],
        scopes=CHATBOTS,
    )
    ticket_counts: TicketCounts = root(
        ticket_fields.status_counts,
        "The number of tickets that you can see in each status.",
        reader=ticket_fields.read_status_counts,
        arguments=[
            argument(
                "filter", TicketFilter | None, "Only tickets that match this filter; by default, all that you can see."
            )
        ],
        scopes=CHATBOTS,
    )
    ticket_track: TicketTracking | None = mapped(
        Guessed(
            ticket_fields.tracked_ticket, ticket_fields.read_tracking, roles=ADMINS | {Role.SERVICE}, scopes=CHATBOTS
        ),
        "The public details of a ticket, for the chatbot to show to its customer. Null if there is no ticket with this "
        "reference and e-mail address, and for a while after too many wrong guesses of either.",
        [
            argument("reference", str, "The ticket's reference; case-insensitive."),
            argument(
                "email",
                str,
                "The contact's e-mail address, or the customer's if no service created the ticket; case-insensitive.",
            ),
        ],
    )


# Mutations


@strawberry.input(description="The contact of a ticket.")
class ContactInput:
    name: str | None = optional(f"The full name; one line, at most {NAME_MAX} characters.")
    email: str | None = optional("The e-mail address.")
    phone: str | None = optional(f"The phone number, at most {PHONE_MAX} characters; null for none.")


@strawberry.input(description="A message in a chatbot conversation.")
class ChatMessageInput:
    author: ChatAuthor = given("The author of the message.")
    body: str = given(f"The text of the message, at most {CHAT_BODY_MAX:,} characters.")
    at: datetime = given("When the message was written.")


@strawberry.input(description="The chatbot conversation to create a ticket from.")
class ChatInput:
    conversation_id: str | None = optional(
        f"The chatbot's own id of the conversation; one line, at most {CONVERSATION_ID_MAX} characters. A conversation "
        "creates only one ticket: further requests with the same id return that ticket unchanged."
    )
    messages: list[ChatMessageInput] = given(
        f"The messages of the transcript, oldest first; at most {CHAT_MESSAGES_MAX}."
    )


@strawberry.input(description="The ticket to create, either for a customer or with a contact typed by hand.")
class TicketCreateInput:
    subject: str = given(f"A brief summary of the issue; one line, at most {SUBJECT_MAX} characters.")
    description: str = given(f"A detailed description of the issue, at most {DESCRIPTION_MAX:,} characters.")
    category: TicketCategory | None = optional("The kind of system that the ticket concerns; GENERAL by default.")
    priority: TicketPriority | None = optional("The priority; MEDIUM by default.")
    customer_id: strawberry.ID | None = optional(
        "The id of the ticket's customer. Customers create tickets for themselves and may leave it out. If admins or "
        "technicians leave it out, the ticket becomes that of the customer with the contact's e-mail address, if there "
        "is one; `null` prevents that. Technicians may also choose a customer whom they have looked up."
    )
    property_id: strawberry.ID | None = optional(
        "The id of the property that the ticket concerns; one of the customer's."
    )
    account_number: str | None = optional(
        "The customer's account number, case-insensitive; for services only, instead of `customerId`. The ticket's "
        "customer is the one with the contact's e-mail address, or else the one with this account number, or none. The "
        "response does not depend on the number."
    )
    contact: ContactInput | None = optional(
        "The contact; fields that are left out come from the customer in `customerId`, or from the customer who sends "
        "the request. Without such a customer, and for services in any case, `name` and `email` are required."
    )
    technician_id: strawberry.ID | None = optional(
        "The id of the technician to assign. Admins can assign anyone, technicians only themselves."
    )
    chat: ChatInput | None = optional("The chatbot conversation that the ticket comes from; for services only.")
    source: TicketSource | None = optional("CHATBOT, which is the default, or EMAIL; for services only.")
    occurred_at: datetime | None = optional(OCCURRED_AT)
    idempotency_key: str | None = optional(
        f"{IDEMPOTENCY} Required of services, unless the chat has a conversation id."
    )


@strawberry.input(description="The changes to a ticket. Fields that are left out keep their values.")
class TicketUpdateInput:
    ticket_id: strawberry.ID = given("The ticket's id.")
    if_version: int | None = optional(IF_VERSION)
    subject: str | None = optional(f"A brief summary of the issue; one line, at most {SUBJECT_MAX} characters.")
    description: str | None = optional(f"A detailed description of the issue, at most {DESCRIPTION_MAX:,} characters.")
    category: TicketCategory | None = optional("The kind of system that the ticket concerns.")
    priority: TicketPriority | None = optional("The priority.")
    customer_id: strawberry.ID | None = optional(
        "The id of the ticket's customer; null clears it. The contact of a ticket without a customer stays as it is; "
        "that of another customer's ticket is replaced. `contact` and `contactFromCustomer` change this."
    )
    property_id: strawberry.ID | None = optional(
        "The id of the property that the ticket concerns, one of the customer's; null clears it."
    )
    contact: ContactInput | None = optional(
        "The changes to the contact. Fields that are left out keep their values. If the ticket has no customer and "
        "`customerId` is left out, the customer with a new e-mail address becomes the ticket's."
    )
    contact_from_customer: bool | None = optional(
        "Whether the details of the ticket's customer replace the contact, except for fields that `contact` sets; by "
        "default only if the ticket moves from one customer to another."
    )
    resolution: str | None = optional(
        f"The resolution, at most {RESOLUTION_MAX:,} characters; for resolved and closed tickets only."
    )
    occurred_at: datetime | None = optional(OCCURRED_AT)
    idempotency_key: str | None = optional(IDEMPOTENCY)


@strawberry.input(description="The ticket to assign, and the technician.")
class TicketAssignInput:
    ticket_id: strawberry.ID = given("The ticket's id.")
    technician_id: strawberry.ID | None = given("The technician's id; null unassigns the ticket.")
    if_version: int | None = optional(IF_VERSION)
    occurred_at: datetime | None = optional(OCCURRED_AT)
    idempotency_key: str | None = optional(IDEMPOTENCY)


@strawberry.input(description="The ticket and its new status.")
class TicketSetStatusInput:
    ticket_id: strawberry.ID = given("The ticket's id.")
    status: TicketStatus = given("The new status, one of the ticket's `allowedStatuses`.")
    resolution: str | None = optional(
        f"How the issue was resolved, at most {RESOLUTION_MAX:,} characters; required for RESOLVED."
    )
    if_version: int | None = optional(IF_VERSION)
    occurred_at: datetime | None = optional(OCCURRED_AT)
    idempotency_key: str | None = optional(IDEMPOTENCY)


@strawberry.input(description="The ticket to resolve, and its resolution.")
class TicketResolveInput:
    ticket_id: strawberry.ID = given("The ticket's id.")
    resolution: str = given(f"How the issue was resolved, at most {RESOLUTION_MAX:,} characters.")
    if_version: int | None = optional(IF_VERSION)
    occurred_at: datetime | None = optional(OCCURRED_AT)
    idempotency_key: str | None = optional(IDEMPOTENCY)


@strawberry.input(description="The same changes to several tickets. Fields that are left out keep their values.")
class TicketsBulkUpdateInput:
    ticket_ids: list[strawberry.ID] = given(f"The ids of the tickets, 1 to {BULK_MAX}.")
    status: TicketStatus | None = optional("The new status.")
    resolution: str | None = optional(
        f"How the issues were resolved, at most {RESOLUTION_MAX:,} characters; required if `status` is RESOLVED."
    )
    priority: TicketPriority | None = optional("The new priority.")
    category: TicketCategory | None = optional("The new category.")
    technician_id: strawberry.ID | None = optional("The id of the technician to assign; null unassigns the tickets.")
    occurred_at: datetime | None = optional(OCCURRED_AT)
    idempotency_key: str | None = optional(IDEMPOTENCY)


@strawberry.type(description="The ticket that a mutation created or changed, and the errors.")
class TicketPayload(Payload):
    ticket: Ticket | None = one(
        TICKET,
        "object_id",
        "The ticket as it is now; null if the mutation failed with an error other than STALE.",
    )


@strawberry.type(description="The result of creating a ticket.")
class TicketCreatePayload(TicketPayload): ...


@strawberry.type(description="The result of updating a ticket.")
class TicketUpdatePayload(TicketPayload): ...


@strawberry.type(description="The result of assigning a ticket.")
class TicketAssignPayload(TicketPayload): ...


@strawberry.type(description="The result of setting a ticket's status.")
class TicketSetStatusPayload(TicketPayload): ...


@strawberry.type(description="The result of resolving a ticket.")
class TicketResolvePayload(TicketPayload): ...


@strawberry.type(description="The result for one ticket of `ticketsBulkUpdate`.")
class TicketBulkResult:
    ticket_id: strawberry.ID = column("id", "The ticket's id, as in the input.")
    ticket: Ticket | None = one(
        TICKET,
        "ticket_id",
        "The ticket as it is now; null if it does not exist.",
    )
    user_errors: list[UserError] = items(
        user_errors,
        "All validation errors of this ticket; empty if it was updated.",
        most=1,
    )


@strawberry.type(description="The result of updating several tickets.")
class TicketsBulkUpdatePayload(Payload):
    results: list[TicketBulkResult] = items(
        ticket_fields.bulk_results,
        "One result for each ticket, in the order of `ticketIds`; empty if the mutation failed.",
        most=BULK_MAX,
    )


@strawberry.type
class TicketMutations:
    ticket_create: TicketCreatePayload = mutation(
        ticket.create, TicketCreateInput, "Creates a ticket, with the status OPEN.", roles=EVERYONE, scopes=CHATBOTS
    )
    ticket_update: TicketUpdatePayload = mutation(ticket.update, TicketUpdateInput, "Updates a ticket.", roles=ADMINS)
    ticket_assign: TicketAssignPayload = mutation(
        ticket.assign, TicketAssignInput, "Assigns a ticket to a technician, or unassigns it.", roles=ADMINS
    )
    ticket_set_status: TicketSetStatusPayload = mutation(
        ticket.set_status,
        TicketSetStatusInput,
        "Sets the status of a ticket. Customers can close or reopen a resolved one: see `allowedStatuses`.",
        roles=STAFF | {Role.CUSTOMER},
    )
    ticket_resolve: TicketResolvePayload = mutation(
        ticket.resolve,
        TicketResolveInput,
        "Resolves a ticket: sets its status to RESOLVED, with a resolution.",
        roles=STAFF,
    )
    tickets_bulk_update: TicketsBulkUpdatePayload = mutation(
        ticket.bulk_update,
        TicketsBulkUpdateInput,
        "Makes the same changes to several tickets. Each ticket succeeds or fails on its own.",
        roles=ADMINS,
    )
