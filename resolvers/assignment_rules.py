"""The rules of an assignment's steps, as plain functions on plain values.

A technician answers an assignment, sets out, arrives and leaves: OFFERED, ACCEPTED, EN_ROUTE, ON_SITE, LEFT. Steps can
be skipped, because people forget to take them, but not taken back. A skipped step has no time. Once the ticket is
resolved, the technician can only leave.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

from db.enums import AssignmentState, AssignmentStep, TicketStatus
from resolvers.ticket_rules import UNRESOLVED

OFFERED, ACCEPTED, DECLINED, EN_ROUTE, ON_SITE, LEFT, SUPERSEDED = AssignmentState

ORDER: Final = (OFFERED, ACCEPTED, EN_ROUTE, ON_SITE, LEFT)
"""The states in the order of the steps that lead to them."""

TIME_OF: Final = {
    AssignmentStep.SEEN: "seen_at",
    AssignmentStep.ACCEPTED: "accepted_at",
    AssignmentStep.EN_ROUTE: "en_route_at",
    AssignmentStep.ON_SITE: "on_site_at",
    AssignmentStep.LEFT: "left_at",
}
"""The column of `assignments` with the time of each step, except DECLINED, whose time is its event's."""

WITH_ETA: Final = (AssignmentStep.ACCEPTED, AssignmentStep.EN_ROUTE)
"""The steps with which a technician may announce their arrival."""


class Effect(Enum):
    """What a step does to an assignment in its present state."""

    CHANGE = auto()
    REPEATED = auto()  # the assignment is there already
    SUPERSEDED = auto()
    REFUSED = auto()


def effect(state: AssignmentState, step: AssignmentStep, status: TicketStatus) -> Effect:
    """What `step` does to an assignment in `state`, whose ticket has this `status`. SEEN leaves the state as it is; the
    caller knows whether it was taken before."""
    if state is SUPERSEDED:
        return Effect.SUPERSEDED
    if step is AssignmentStep.SEEN:
        return Effect.CHANGE
    target = AssignmentState(step.value)
    if target is state:
        return Effect.REPEATED
    if state is DECLINED:
        return Effect.REFUSED
    if target is DECLINED:
        possible = ORDER.index(state) < ORDER.index(ON_SITE)  # afterwards somebody else is to go there
    else:
        possible = ORDER.index(state) < ORDER.index(target)
    # Nobody sets out for what is resolved, but whoever is there leaves.
    possible = possible and (target is LEFT or status in UNRESOLVED)
    return Effect.CHANGE if possible else Effect.REFUSED
