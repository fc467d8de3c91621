"""Presence: who of the staff views or edits a ticket at the moment."""

from __future__ import annotations

from datetime import datetime

import strawberry

from db.enums import STAFF, ActorKind, PresenceState
from pubsub.presence import SHOWN_MAX
from resolvers import presence
from schema.common import UserError
from schema.fields import documented, given, in_memory, mutation_in_memory, optional, part

documented(PresenceState)


@strawberry.type(description="A member of the staff who is present on a ticket.")
class PresentViewer:
    kind: ActorKind = part("ADMIN or TECHNICIAN.")
    id: strawberry.ID = part(
        "The same for each presence of the same person: of a technician their id; of an admin one that is used for "
        "nothing else. The payload of `presenceSet` has yours."
    )
    name: str = part("Their name.")


@strawberry.type(description="What a member of the staff does on a ticket at the moment.")
class Presence:
    viewer: PresentViewer = part("The one who is present.")
    state: PresenceState = part("What they do; if they are present several times, the highest of their states.")
    since: datetime = part("Since when they do it.")


@strawberry.type(
    description="Who of the staff is present on a ticket now. Sent after `StreamReady` if there is anybody, and when "
    "that has changed, at most four times a second. Only admins and technicians may select its fields, and only those "
    "who do get it. It has no cursor and is never replayed: until it comes, nobody is present."
)
class TicketPresence:
    ticket_id: strawberry.ID = in_memory("The ticket's id.", roles=STAFF)
    present: list[Presence] = in_memory(
        f"The people, those who came first at the top, at most {SHOWN_MAX}. You are one of them.", roles=STAFF
    )


@strawberry.input(description="The presence to set.")
class PresenceSetInput:
    ticket_id: strawberry.ID = given("The ticket's id.")
    state: PresenceState | None = optional(
        "What you do on the ticket. Null ends your presence; it must be sent, so that a value that is missing by "
        "mistake ends none."
    )


@strawberry.type(description="The result of setting a presence.")
class PresenceSetPayload:
    user_errors: list[UserError] = part("All validation errors at once; empty if the mutation succeeded.")
    presence: Presence | None = part("Your presence on the ticket; null if it has ended, or if the mutation failed.")
    renew_within_seconds: int | None = part(
        "After how many seconds a presence ends unless it is set again; do so twice in this time. Null if the "
        "mutation failed."
    )


@strawberry.type
class PresenceMutations:
    presence_set: PresenceSetPayload = mutation_in_memory(
        presence.set_state,
        PresenceSetInput,
        "Shows other staff who see the ticket what you do on it. Over a WebSocket, the presence belongs to the "
        "connection and ends with it; over HTTP, to you. It is kept in memory only: repeating the mutation renews the "
        "presence, so it has no idempotency key.",
        roles=STAFF,
    )
