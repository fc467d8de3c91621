"""Presence on tickets, of the staff alone. It is kept in memory, so nothing is written."""

from __future__ import annotations

from typing import Any

from db.enums import PresenceState
from pubsub.presence import Present
from resolvers.checks import Checks
from resolvers.mutation import Call, Input, MutationError, Outcome, Refused, UserErrorCode


async def set_state(call: Call, input: Input) -> Outcome:
    """Set or renew the viewer's presence on a ticket, or end it if `state` is null. Ending needs no right: whoever has
    lost the ticket is not on it."""
    checks = Checks()
    ticket = checks.key(input["ticketId"], "tkt", "ticket", "ticketId")
    if "state" not in input:
        checks.object_to(UserErrorCode.REQUIRED, "A state is required; null ends the presence.", "state")
    checks.finish()
    staff = call.presence
    assert ticket is not None and staff is not None
    person = staff.person(call.viewer)
    if input["state"] is None:
        staff.presences.leave(person, ticket, call.socket)
        return Outcome(extra={"presence": None, "renewWithinSeconds": staff.presences.lasting})
    if not await staff.sees(call.viewer, ticket):
        staff.presences.lost(person, ticket)
        raise Refused(MutationError(UserErrorCode.NOT_FOUND, "There is no such ticket.", ("ticketId",)))
    presence = staff.presences.set(person, ticket, PresenceState(input["state"]), call.socket)
    return Outcome(extra={"presence": shown(presence), "renewWithinSeconds": staff.presences.lasting})


def shown(presence: Present) -> dict[str, Any]:
    """The presence, under the names of the schema."""
    person = presence.person
    return {
        "viewer": {"kind": person.kind, "id": person.id, "name": person.name},
        "state": presence.state,
        "since": presence.since.isoformat(timespec="microseconds"),
    }
