"""The domain's closed sets of words, each value with the sentence that explains it to a client.

The labels are PostgreSQL's, Python's and GraphQL's alike. The order of a set is its meaning: PostgreSQL
sorts an enum by declaration, so `URGENT` is above `LOW` and `CLOSED` after `OPEN` in every sort.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class DocumentedEnum(StrEnum):
    """A string enum whose members carry a `doc` sentence: `OPEN = "OPEN", "Not yet being worked on."`"""

    doc: str

    def __new__(cls, value: str, doc: str = "") -> Self:
        member = str.__new__(cls, value)
        member._value_ = value
        member.doc = doc
        return member


class TicketStatus(DocumentedEnum):
    """Where a ticket is in its life."""

    OPEN = "OPEN", "Newly created, not yet being worked on."
    IN_PROGRESS = "IN_PROGRESS", "Someone is actively working on the issue."
    RESOLVED = "RESOLVED", "The issue has been fixed; the ticket has a resolution."
    CLOSED = "CLOSED", "Fully closed and archived."


class TicketPriority(DocumentedEnum):
    """How urgent a ticket is; sorts by urgency."""

    LOW = "LOW", "Minor issue, can be addressed when convenient."
    MEDIUM = "MEDIUM", "Standard priority, handled in the normal workflow."
    HIGH = "HIGH", "Important, needs prompt attention."
    URGENT = "URGENT", "Critical: a system is down or security is breached; needs immediate action."


class TicketCategory(DocumentedEnum):
    """What kind of system a ticket is about."""

    ALARM = "ALARM", "Intrusion and fire alarms."
    CCTV = "CCTV", "Cameras and recorders."
    ACCESS_CONTROL = "ACCESS_CONTROL", "Doors, readers and credentials."
    INTERCOM = "INTERCOM", "Intercoms and door entry."
    GENERAL = "GENERAL", "Anything else."


class TicketSource(DocumentedEnum):
    """By which way a ticket came in."""

    ADMIN = "ADMIN", "Created by an admin on the dashboard."
    TECHNICIAN = "TECHNICIAN", "Created by a technician in the Tech Portal."
    CHATBOT = "CHATBOT", "Created by the support chatbot from a conversation."
    EMAIL = "EMAIL", "Created from an e-mail."
    CUSTOMER = "CUSTOMER", "Created by the customer in the Customer Portal."


class ActorKind(DocumentedEnum):
    """What sort of party did something."""

    ADMIN = "ADMIN", "An admin."
    TECHNICIAN = "TECHNICIAN", "A technician."
    CUSTOMER = "CUSTOMER", "A customer, or whoever else has written an e-mail."
    SERVICE = "SERVICE", "A program with an API key: the chatbot or the e-mail gateway."
    SYSTEM = "SYSTEM", "Callout itself."


class TicketEventKind(DocumentedEnum):
    """What happened to a ticket. An event that changed several things carries the weightiest kind."""

    CREATED = "CREATED", "The ticket was created."
    RESOLVED = "RESOLVED", "The ticket was resolved."
    CLOSED = "CLOSED", "The ticket was closed."
    REOPENED = "REOPENED", "A resolved or closed ticket was taken up again."
    STATUS_CHANGED = "STATUS_CHANGED", "The status changed in another way."
    ASSIGNED = "ASSIGNED", "The ticket was given to a technician, or to another one."
    UNASSIGNED = "UNASSIGNED", "The assignment was removed."
    UPDATED = "UPDATED", "Other fields changed."
    NOTE_ADDED = "NOTE_ADDED", "A note was added."


class TicketChangeKind(DocumentedEnum):
    """What an event means for a list of tickets."""

    ENTERED = "ENTERED", "The ticket has come to match the filter, or to be seen by the viewer."
    UPDATED = "UPDATED", "It matches as before, and has changed."
    LEFT = "LEFT", "It no longer matches, or the viewer may no longer see it."


class StreamResetReason(DocumentedEnum):
    """Why a stream cannot go on from a cursor."""

    CURSOR_UNKNOWN = "CURSOR_UNKNOWN", "The cursor is not of this event log, or of a future that has not come to be."
    CURSOR_EXPIRED = "CURSOR_EXPIRED", "What followed the cursor is no longer kept."
    OVERFLOW = "OVERFLOW", "More has happened since than is told one by one."


class NoticeKind(DocumentedEnum):
    """What somebody is told."""

    CREATED = "CREATED", "A ticket was created."
    ASSIGNED = "ASSIGNED", "A ticket was given to a technician."
    UNASSIGNED = "UNASSIGNED", "A ticket was taken from a technician."
    NOTE_ADDED = "NOTE_ADDED", "A public note was added."
    RESOLVED = "RESOLVED", "A ticket was resolved."
    TEST = "TEST", "That the channel works."


class DeliveryChannel(DocumentedEnum):
    """By which way somebody is told."""

    EMAIL = "EMAIL", "An e-mail to an address."
    GOOGLE_CHAT = "GOOGLE_CHAT", "A card in the Google Chat space."


class Audience(DocumentedEnum):
    """As what somebody is told."""

    ADMIN = "ADMIN", "One of the admin recipients."
    CUSTOMER = "CUSTOMER", "The ticket's contact."
    TECHNICIAN = "TECHNICIAN", "The technician, or the one who lost the ticket."
    SPACE = "SPACE", "The Google Chat space."


class DeliveryState(DocumentedEnum):
    """How far a notification has come."""

    PENDING = "PENDING", "It is still to be sent, or to be tried again."
    SENT = "SENT", "The other side has taken it."
    DEAD = "DEAD", "It was refused for good, or tried for too long."


class InboundOutcome(DocumentedEnum):
    """What became of a message that came in by mail."""

    TICKET_CREATED = "TICKET_CREATED", "It has become a ticket."
    NOTE_ADDED = "NOTE_ADDED", "It has become a note on a ticket that it answers."
    DUPLICATE = "DUPLICATE", "It had come in before, and nothing was done."
    IGNORED = "IGNORED", "A program sent it, a mailing list or Callout itself, and nothing was done."
    KEPT_ASIDE = "KEPT_ASIDE", "It cannot be used as it is, and was kept for a person to look at."


class ArticleMatch(DocumentedEnum):
    """How an article matches a search."""

    ALL_WORDS = "ALL_WORDS", "It has all of the words that were searched for."
    SOME_WORDS = "SOME_WORDS", "No article has them all; this has some, or words that they may be a misspelling of."


class ChatAuthor(DocumentedEnum):
    """Who wrote a message of a chatbot conversation."""

    CUSTOMER = "CUSTOMER", "The customer."
    BOT = "BOT", "The chatbot."
    AGENT = "AGENT", "A person of the company who joined the conversation."


class Role(DocumentedEnum):
    """What a viewer is."""

    ADMIN = "ADMIN", "Sees and does everything."
    TECHNICIAN = "TECHNICIAN", "Sees and works on the tickets assigned to them or created by them."
    CUSTOMER = "CUSTOMER", "Sees their own tickets without what is internal."
    SERVICE = "SERVICE", "A program with an API key: sees the tickets that it created, and published articles."


EVERYONE = frozenset(Role)
STAFF = frozenset({Role.ADMIN, Role.TECHNICIAN})
ADMINS = frozenset({Role.ADMIN})
