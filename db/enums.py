"""The domain's enums. Each value carries its description in the GraphQL schema.

Python, PostgreSQL and GraphQL use the same labels. The order of the values matters: PostgreSQL sorts an enum in the
order of its declaration, so every sort has `URGENT` above `LOW` and `CLOSED` after `OPEN`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class DocumentedEnum(StrEnum):
    """A string enum whose members have a description, `doc`: `OPEN = "OPEN", "Not yet being worked on."`"""

    doc: str

    def __new__(cls, value: str, doc: str = "") -> Self:
        member = str.__new__(cls, value)
        member._value_ = value
        member.doc = doc
        return member


class TicketStatus(DocumentedEnum):
    """The status of a ticket."""

    OPEN = "OPEN", "The ticket is waiting to be worked on."
    IN_PROGRESS = "IN_PROGRESS", "Someone is working on the issue."
    RESOLVED = "RESOLVED", "The issue is fixed, and the ticket has a resolution."
    CLOSED = "CLOSED", "The ticket is closed and archived."


class TicketPriority(DocumentedEnum):
    """The priority of a ticket, from LOW to URGENT."""

    LOW = "LOW", "A minor issue that can wait."
    MEDIUM = "MEDIUM", "An issue to handle in the normal workflow."
    HIGH = "HIGH", "An important issue that needs prompt attention."
    URGENT = "URGENT", "A critical issue that needs immediate action: a system is down or security is breached."


class TicketCategory(DocumentedEnum):
    """The kind of system that a ticket concerns."""

    ALARM = "ALARM", "Intrusion and fire alarms."
    CCTV = "CCTV", "Cameras and recorders."
    ACCESS_CONTROL = "ACCESS_CONTROL", "Doors, readers and credentials."
    INTERCOM = "INTERCOM", "Intercoms and door entry."
    GENERAL = "GENERAL", "Anything else."


class TicketSource(DocumentedEnum):
    """Where a ticket came from."""

    ADMIN = "ADMIN", "Created by an admin on the dashboard."
    TECHNICIAN = "TECHNICIAN", "Created by a technician in the Tech Portal."
    CHATBOT = "CHATBOT", "Created by the support chatbot from a conversation."
    EMAIL = "EMAIL", "Created from an e-mail."
    CUSTOMER = "CUSTOMER", "Created by the customer in the Customer Portal."


class ActorKind(DocumentedEnum):
    """The kind of actor behind an event or a note."""

    ADMIN = "ADMIN", "An admin."
    TECHNICIAN = "TECHNICIAN", "A technician."
    CUSTOMER = "CUSTOMER", "A customer, or anyone else who sent an e-mail."
    SERVICE = "SERVICE", "A program with an API key: the chatbot or the e-mail gateway."
    SYSTEM = "SYSTEM", "Callout itself."


class TicketEventKind(DocumentedEnum):
    """What happened to a ticket. An event that changed several things has the first kind of this list that applies."""

    CREATED = "CREATED", "The ticket was created."
    RESOLVED = "RESOLVED", "The ticket was resolved."
    CLOSED = "CLOSED", "The ticket was closed."
    REOPENED = "REOPENED", "A resolved or closed ticket was reopened."
    STATUS_CHANGED = "STATUS_CHANGED", "The status changed between OPEN and IN_PROGRESS."
    ASSIGNED = "ASSIGNED", "The ticket was assigned to a technician, or reassigned to another one."
    UNASSIGNED = "UNASSIGNED", "The ticket was unassigned."
    UPDATED = "UPDATED", "Other fields changed."
    NOTE_ADDED = "NOTE_ADDED", "A note was added."
    ATTACHMENT_ADDED = "ATTACHMENT_ADDED", "An attachment became READY."
    ATTACHMENT_REJECTED = (
        "ATTACHMENT_REJECTED",
        "An attachment was REJECTED. Of customers and services, only the one who attached it sees this event.",
    )
    ASSIGNMENT_ADVANCED = (
        "ASSIGNMENT_ADVANCED",
        "The assignment was seen, accepted, or advanced to another step, or its `eta` changed.",
    )
    ASSIGNMENT_OVERDUE = "ASSIGNMENT_OVERDUE", "The technician has not answered the assignment in time."


class AssignmentState(DocumentedEnum):
    """The state of an assignment, a ticket that was given to a technician."""

    OFFERED = "OFFERED", "The technician has not answered yet."
    ACCEPTED = "ACCEPTED", "The technician has accepted the ticket."
    DECLINED = "DECLINED", "The technician has declined the ticket, which is unassigned again."
    EN_ROUTE = "EN_ROUTE", "The technician is on the way."
    ON_SITE = "ON_SITE", "The technician has arrived."
    LEFT = "LEFT", "The technician has left the site."
    SUPERSEDED = "SUPERSEDED", "The ticket was unassigned, reassigned or reopened since."


class AssignmentStep(DocumentedEnum):
    """A step of an assignment. Steps can be skipped, but not taken back."""

    SEEN = "SEEN", "The technician has opened the ticket. This does not change the state."
    ACCEPTED = AssignmentState.ACCEPTED.value, "The technician accepts the ticket."
    DECLINED = (
        AssignmentState.DECLINED.value,
        "The technician declines the ticket, for a `reason`. It is unassigned again, and the admins are notified. This "
        "is possible until the technician has arrived.",
    )
    EN_ROUTE = AssignmentState.EN_ROUTE.value, "The technician sets out."
    ON_SITE = AssignmentState.ON_SITE.value, "The technician has arrived."
    LEFT = AssignmentState.LEFT.value, "The technician leaves the site."


class AttachmentState(DocumentedEnum):
    """The state of an attachment. One that is not READY is seen by staff and by those who have attached it."""

    UPLOADING = "UPLOADING", "The file has not arrived completely."
    SCANNING = "SCANNING", "The file has arrived and is being checked."
    READY = "READY", "The file can be downloaded."
    REJECTED = "REJECTED", "The file was refused; `rejectedBecause` says why."
    ERASED = "ERASED", "The file was deleted when the personal data of its customer were erased."


class TicketChangeKind(DocumentedEnum):
    """How an event changes a list of tickets."""

    ENTERED = "ENTERED", "The ticket now matches the filter, or has become visible to you: add it."
    UPDATED = "UPDATED", "The ticket still matches and has changed: replace it."
    LEFT = "LEFT", "The ticket no longer matches the filter, or you can no longer see it: remove it."


class StreamResetReason(DocumentedEnum):
    """Why a stream cannot resume from a cursor."""

    CURSOR_UNKNOWN = (
        "CURSOR_UNKNOWN",
        "The cursor belongs to another event log, or is ahead of this one because a backup was restored.",
    )
    CURSOR_EXPIRED = "CURSOR_EXPIRED", "The events after the cursor have been deleted."
    OVERFLOW = "OVERFLOW", "Too many events to replay; refetch the list."


class NoticeKind(DocumentedEnum):
    """The kind of a notification."""

    CREATED = "CREATED", "A ticket was created."
    ASSIGNED = "ASSIGNED", "A ticket was assigned to a technician."
    UNASSIGNED = "UNASSIGNED", "A ticket was taken away from a technician."
    DECLINED = "DECLINED", "A technician has declined a ticket."
    OVERDUE = "OVERDUE", "A technician has not answered an assignment in time."
    NOTE_ADDED = "NOTE_ADDED", "A public note, or files, were added."
    CUSTOMER_ANSWERED = "CUSTOMER_ANSWERED", "A customer has written on a ticket."
    RESOLVED = "RESOLVED", "A ticket was resolved."
    REOPENED = "REOPENED", "A resolved or closed ticket was reopened."
    CONFIRM_ADDRESS = "CONFIRM_ADDRESS", "The ticket's contact is asked to confirm their e-mail address."
    TEST = "TEST", "A test message that an admin sent."


class DeliveryChannel(DocumentedEnum):
    """How a notification is sent."""

    EMAIL = "EMAIL", "An e-mail to an address."
    GOOGLE_CHAT = "GOOGLE_CHAT", "A card in the Google Chat space."
    PUSH = "PUSH", "A notice on a device, by Web Push."


class Audience(DocumentedEnum):
    """In what capacity a recipient is notified."""

    ADMIN = "ADMIN", "As one of the admin recipients."
    CUSTOMER = "CUSTOMER", "As the ticket's contact."
    TECHNICIAN = "TECHNICIAN", "As the technician who is, or was, assigned to the ticket."
    SPACE = "SPACE", "As the Google Chat space."


class DeliveryState(DocumentedEnum):
    """The state of a delivery."""

    PENDING = "PENDING", "Waiting to be sent or retried."
    HELD = "HELD", "Waiting until the recipient confirms the address, or for the summary that will contain it."
    SENT = "SENT", "Accepted by the mail server, by Google Chat or by the device's push service."
    DEAD = "DEAD", "Given up, because it was rejected permanently or every attempt failed."
    DROPPED = (
        "DROPPED",
        "Never sent, because nobody confirmed the address, a limit was reached, or the device had the event already.",
    )


class TextPart(StrEnum):
    """Which text on a ticket, in the order in which excerpts are taken from them."""

    DESCRIPTION = "DESCRIPTION"
    RESOLUTION = "RESOLUTION"
    NOTE = "NOTE"
    TRANSCRIPT = "TRANSCRIPT"
    QUOTED = "QUOTED"


class NoteVia(DocumentedEnum):
    """How a note came in."""

    WEB = "WEB", "Through the API: from the dashboard, a portal or a device."
    EMAIL = "EMAIL", "By e-mail."
    CHATBOT = "CHATBOT", "Through a chatbot, which passes on what the customer says."


class CommandOutcome(DocumentedEnum):
    """What became of a command."""

    APPLIED = "APPLIED", "It was carried out now."
    REPLAYED = "REPLAYED", "It had been carried out before, and nothing was done."
    CONFLICT = (
        "CONFLICT",
        "Somebody else has changed since `baseVersion` what it would change; nothing was done. `ticket` is as it is"
        " now.",
    )
    REJECTED = "REJECTED", "It is not allowed or not valid, as `userErrors` say; nothing was done."


class InboundOutcome(DocumentedEnum):
    """The outcome of processing an inbound message."""

    TICKET_CREATED = "TICKET_CREATED", "The message created a ticket."
    NOTE_ADDED = "NOTE_ADDED", "The message added a note to the ticket that it replies to."
    DUPLICATE = "DUPLICATE", "The message had been processed before; nothing was done."
    IGNORED = (
        "IGNORED",
        "The message came from a program, a mailing list or Callout itself; it was kept, and nothing else was done.",
    )
    KEPT_ASIDE = "KEPT_ASIDE", "The message was not processed, but kept for a person to review."
    DISCARDED = "DISCARDED", "An admin has reviewed the message and discarded it."


class IngestOutcome(DocumentedEnum):
    """What is revealed of an e-mail's outcome. Services learn only what the e-mail itself decides."""

    RECEIVED = "RECEIVED", "The message was received, and a service learns no more."
    TICKET_CREATED = InboundOutcome.TICKET_CREATED.value, InboundOutcome.TICKET_CREATED.doc
    NOTE_ADDED = InboundOutcome.NOTE_ADDED.value, InboundOutcome.NOTE_ADDED.doc
    DUPLICATE = InboundOutcome.DUPLICATE.value, InboundOutcome.DUPLICATE.doc
    IGNORED = InboundOutcome.IGNORED.value, InboundOutcome.IGNORED.doc
    KEPT_ASIDE = InboundOutcome.KEPT_ASIDE.value, InboundOutcome.KEPT_ASIDE.doc


class AuditAction(DocumentedEnum):
    """What was done to an object of the audit trail."""

    CREATED = "CREATED", "The object was created, or the token issued."
    UPDATED = "UPDATED", "Fields of the object were changed."
    REVOKED = "REVOKED", "The API key or identity was revoked, or tokens were."
    ERASED = "ERASED", "The personal data of a customer were erased in the object."
    LOOKED_UP = "LOOKED_UP", "A technician looked up the customer, whom they did not see before."
    REPLAYED = "REPLAYED", "The webhook was sent back to a stream cursor."
    DELETED = "DELETED", "The object was deleted."


class ObjectChangeKind(DocumentedEnum):
    """What has become of an object that you can see, or of your copy of it."""

    CREATED = "CREATED", "The object was created, or you can see it now, as an article that was published."
    UPDATED = "UPDATED", "Fields of the object were changed."
    ERASED = "ERASED", "Personal data were erased in the object: replace all copies of it."
    REMOVED = "REMOVED", "You can no longer see the object, as an article that is no longer published: remove it."


class AuditObjectKind(DocumentedEnum):
    """The kind of object that an entry of the audit trail is about."""

    CUSTOMER = "CUSTOMER", "A customer."
    PROPERTY = "PROPERTY", "A property."
    TECHNICIAN = "TECHNICIAN", "A technician."
    ARTICLE = "ARTICLE", "An article of the knowledge base."
    SUPPORT_SETTINGS = "SUPPORT_SETTINGS", "The settings for notifications."
    API_KEY = "API_KEY", "An API key of a service."
    TOKEN = "TOKEN", "A token, or all tokens of a subject; the object's id is the subject."
    INBOUND_MESSAGE = "INBOUND_MESSAGE", "An inbound message that an admin has reviewed."
    IDENTITY = "IDENTITY", "An identity: the account with which a technician or customer signs in at a provider."
    PUSH_SUBSCRIPTION = "PUSH_SUBSCRIPTION", "The subscription of a device to notices by Web Push."
    WEBHOOK = "WEBHOOK", "A webhook."
    ADMIN = "ADMIN", "An admin who signs in here."
    SESSION = "SESSION", "A session, in which a person is signed in with a browser."
    PASSKEY = "PASSKEY", "A passkey, with which a person signs in with a browser."


class WebhookState(DocumentedEnum):
    """The state of a webhook."""

    ACTIVE = "ACTIVE", "Messages are sent as their events occur, or are retried."
    SUSPENDED = "SUSPENDED", "Nothing is sent until the webhook is resumed; then it continues where it stopped."


class WebhookSuspension(DocumentedEnum):
    """Why a webhook is suspended."""

    FAILING = "FAILING", "One message could not be delivered for too long."
    GONE = "GONE", "The receiver answered 410 Gone."
    ACCESS_LOST = "ACCESS_LOST", "The webhook's author has lost access: an API key or tokens were revoked or expired."
    INVALID = "INVALID", "The document is no longer valid, costs too much, or its author may no longer read it."
    TOO_LARGE = "TOO_LARGE", "A message is larger than a webhook may send."
    ERASED = "ERASED", "The webhook had personal data of a customer who was erased."
    AUTHOR_AWAY = "AUTHOR_AWAY", "The webhook's author has not shown a valid token for too long."
    ON_REQUEST = "ON_REQUEST", "Somebody has suspended it."


class WebhookMessageKind(DocumentedEnum):
    """The kind of message that a webhook sends."""

    EVENT = "EVENT", "A message of the subscription, about an event."
    RESET = "RESET", "The stream could not continue from where it was: events may be missing."
    TEST = "TEST", "A test that somebody asked for."


class WebhookOutcome(DocumentedEnum):
    """The outcome of one attempt to send a message."""

    ACKNOWLEDGED = "ACKNOWLEDGED", "The receiver answered with a status from 200 to 299."
    FAILED = "FAILED", "The receiver answered with another status, not in time, or not at all."


class ArticleMatch(DocumentedEnum):
    """How an article matches a search."""

    ALL_WORDS = "ALL_WORDS", "The article contains all of the search words."
    SOME_WORDS = (
        "SOME_WORDS",
        "No article contains all of the search words; this one contains some of them, or words with similar spelling.",
    )


class ChatAuthor(DocumentedEnum):
    """The author of a message in a chatbot conversation."""

    CUSTOMER = "CUSTOMER", "The customer."
    BOT = "BOT", "The chatbot."
    AGENT = "AGENT", "An employee who joined the conversation."


class PresenceState(DocumentedEnum):
    """What a member of the staff does on a ticket at the moment, as their client says."""

    VIEWING = "VIEWING", "They look at the ticket."
    EDITING = "EDITING", "They write something on the ticket."


class Role(DocumentedEnum):
    """The role of a viewer."""

    ADMIN = "ADMIN", "Can see and change everything."
    TECHNICIAN = "TECHNICIAN", "Can see and work on the tickets that are assigned to them or that they created."
    CUSTOMER = "CUSTOMER", "Can see their own tickets, without internal information."
    SERVICE = "SERVICE", "A program with an API key. It can see the tickets that it created, and published articles."


class ServiceScope(DocumentedEnum):
    """What a service may do."""

    CHATBOT = "CHATBOT", "Search articles, and create, read and track tickets."
    MAIL_GATEWAY = "MAIL_GATEWAY", "Hand in e-mails that have arrived (`inboundEmailIngest`), and nothing else."


EVERYONE = frozenset(Role)
PEOPLE = frozenset({Role.ADMIN, Role.TECHNICIAN, Role.CUSTOMER})
STAFF = frozenset({Role.ADMIN, Role.TECHNICIAN})
ADMINS = frozenset({Role.ADMIN})

NO_SCOPE: frozenset[ServiceScope] = frozenset()
CHATBOTS = frozenset({ServiceScope.CHATBOT})
MAIL_GATEWAYS = frozenset({ServiceScope.MAIL_GATEWAY})
