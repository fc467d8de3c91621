"""Assignments: the type, and `assignmentAdvance`."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import strawberry

from db.entities import ASSIGNMENT, TECHNICIAN, TICKET
from db.enums import STAFF, AssignmentState, AssignmentStep
from db.limits import ETA_DAYS_MAX, REASON_MAX
from resolvers import assignment
from schema.common import Node, Payload
from schema.fields import IDEMPOTENCY, OCCURRED_AT, column, given, global_id, mutation, one, optional

if TYPE_CHECKING:
    from schema.technician import Technician
    from schema.ticket import Ticket


@strawberry.type(
    description="An assignment: a ticket that was given to a technician, and the steps that the technician has taken. "
    "The time of a step that was skipped is null."
)
class Assignment(Node):
    id: strawberry.ID = global_id(ASSIGNMENT, "The assignment's id.")
    ticket: Annotated[Ticket, strawberry.lazy("schema.ticket")] | None = one(
        TICKET, "ticket_id", "The ticket; null if you cannot see it any more."
    )
    technician: Annotated[Technician, strawberry.lazy("schema.technician")] | None = one(
        TECHNICIAN, "technician_id", "The technician; null if you cannot see them."
    )
    state: AssignmentState = column("state", "The state of the assignment.")
    offered_at: datetime = column("offered_at", "When the ticket was given to the technician.", roles=STAFF)
    delivered_at: datetime | None = column(
        "delivered_at", "When a device of the technician is known to have received the assignment.", roles=STAFF
    )
    seen_at: datetime | None = column("seen_at", "When the technician has opened the ticket.", roles=STAFF)
    accepted_at: datetime | None = column("accepted_at", "When the technician has accepted the ticket.", roles=STAFF)
    en_route_at: datetime | None = column("en_route_at", "When the technician has set out.")
    on_site_at: datetime | None = column("on_site_at", "When the technician has arrived.")
    left_at: datetime | None = column("left_at", "When the technician has left the site.")
    eta: datetime | None = column("eta", "When the technician expects to arrive; null if they have not said so.")
    reason: str | None = column(
        "reason", "Why the technician has declined the ticket; null if they have not.", roles=STAFF
    )


@strawberry.input(description="The assignment, and the step to take.")
class AssignmentAdvanceInput:
    assignment_id: strawberry.ID = given("The assignment's id. Technicians advance their own assignments.")
    to: AssignmentStep = given(
        "The step. Steps can be skipped, but not taken back. Repeating the last one changes nothing, unless the `eta` "
        "is another."
    )
    eta: datetime | None = optional(
        f"When the technician expects to arrive, at most {ETA_DAYS_MAX} days ahead; for ACCEPTED and EN_ROUTE. If "
        "it is left out, the last one still applies."
    )
    reason: str | None = optional(
        f"Why the technician declines the ticket, at most {REASON_MAX} characters; required for DECLINED, and for "
        "nothing else. Only admins and technicians read it."
    )
    occurred_at: datetime | None = optional(OCCURRED_AT)
    idempotency_key: str | None = optional(IDEMPOTENCY)


@strawberry.type(description="The result of advancing an assignment.")
class AssignmentAdvancePayload(Payload):
    assignment: Assignment | None = one(
        ASSIGNMENT,
        "object_id",
        "The assignment as it is now, also if the step was refused because of its state; otherwise null if the "
        "mutation failed.",
    )


@strawberry.type
class AssignmentMutations:
    assignment_advance: AssignmentAdvancePayload = mutation(
        assignment.advance,
        AssignmentAdvanceInput,
        "Takes the next step of an assignment. A step of one that is SUPERSEDED changes nothing.",
        roles=STAFF,
    )
