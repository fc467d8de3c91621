"""Assignments: the steps that a technician takes from the offer of a ticket to leaving its site.

An assignment begins when a ticket gets its technician: triggers write it in the statement that changes the ticket
(`db/ddl_assignments.py`). Each step is written together with the ticket's columns that repeat its state, and with an
event, under the ticket's row lock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import bindparam, select, true
from sqlalchemy.dialects.postgresql import UUID

from db import limits, models
from db.entities import ASSIGNMENT
from db.enums import AssignmentState, AssignmentStep, Role, TicketEventKind, TicketStatus
from db.events import log as event_log
from db.events.log import Part
from db.postgres.statement import Statement
from db.sql import table
from notifiers import rules
from notifiers.enqueue import deliveries
from resolvers.assignment_rules import TIME_OF, WITH_ETA, Effect, effect
from resolvers.checks import Checks
from resolvers.mutation import Call, Input, MutationError, Outcome, Refused, Transaction, UserErrorCode

_ASSIGNMENTS = table(models.AssignmentRow)
_TICKETS = table(models.TicketRow)
_UUID = UUID(as_uuid=False)


async def advance(call: Call, input: Input) -> Outcome:
    """Take a step of an assignment. The step that was taken last is no change, unless it has another `eta`."""
    step = AssignmentStep(input["to"])
    checks = Checks()
    assignment_id = checks.key(input["assignmentId"], ASSIGNMENT.prefix, "assignment", "assignmentId")
    given = _Given(step, _eta(step, input, checks), _reason(step, input, checks))
    if step is AssignmentStep.SEEN and call.viewer.role is Role.ADMIN:
        checks.object_to(UserErrorCode.NOT_ALLOWED, "Only the technician can have seen it.", "to")
    checks.occurred_at(input)
    checks.finish()
    async with call.transaction() as transaction:
        assignment = await _lock(transaction, call, str(assignment_id))
        if _is_change(assignment, given):
            await _write(transaction, call, assignment, given)
    return Outcome(assignment_id)


@dataclass(frozen=True, slots=True)
class _Given:
    """A step, with its checked values."""

    step: AssignmentStep
    eta: datetime | None
    reason: str | None


def _eta(step: AssignmentStep, input: Input, checks: Checks) -> datetime | None:
    eta: datetime | None = input.get("eta")
    if eta is None:
        return None
    if step not in WITH_ETA:
        checks.object_to(UserErrorCode.INVALID, f"{step} has no ETA.", "eta")
    elif not timedelta() < eta - datetime.now(UTC) <= timedelta(days=limits.ETA_DAYS_MAX):
        message = f"The ETA must be in the future, and at most {limits.ETA_DAYS_MAX} days ahead."
        checks.object_to(UserErrorCode.INVALID, message, "eta")
    return eta


def _reason(step: AssignmentStep, input: Input, checks: Checks) -> str | None:
    if step is AssignmentStep.DECLINED:
        return checks.text(input.get("reason"), limits.REASON_MAX, "reason")
    if input.get("reason") is not None:
        checks.object_to(UserErrorCode.INVALID, f"{step} has no reason.", "reason")
    return None


@cache
def _locking(role: Role) -> Statement:
    """The assignment with this id, and its ticket's `status`, both locked: the ticket first, as everywhere. A
    technician's must be their own."""
    theirs = true() if role is Role.ADMIN else _ASSIGNMENTS.c.technician_id == bindparam("viewer", type_=_UUID)
    found = select(*_ASSIGNMENTS.c, _TICKETS.c.status).select_from(
        _TICKETS.join(_ASSIGNMENTS, _ASSIGNMENTS.c.ticket_id == _TICKETS.c.id)
    )
    chosen = found.where(_ASSIGNMENTS.c.id == bindparam("id", type_=_UUID), theirs)
    return Statement(chosen.with_for_update(of=[_TICKETS, _ASSIGNMENTS]))


async def _lock(transaction: Transaction, call: Call, assignment_id: str) -> Mapping[str, Any]:
    viewer = {} if call.viewer.role is Role.ADMIN else {"viewer": call.viewer.id}
    found = await _locking(call.viewer.role).fetchrow(transaction, id=assignment_id, **viewer)
    if found is None:
        raise Refused(MutationError(UserErrorCode.NOT_FOUND, "There is no such assignment.", ("assignmentId",)))
    return dict(found)


def _is_change(assignment: Mapping[str, Any], given: _Given) -> bool:
    """Whether the step changes the assignment. Raises `Refused` if it cannot be taken."""
    state = AssignmentState(assignment["state"])
    match effect(state, given.step, TicketStatus(assignment["status"])):
        case Effect.CHANGE:
            return given.step is not AssignmentStep.SEEN or assignment["seen_at"] is None
        case Effect.REPEATED:
            return given.eta not in (None, assignment["eta"])
        case Effect.SUPERSEDED:
            message = "The ticket was unassigned, reassigned or reopened since."
            error = MutationError(UserErrorCode.SUPERSEDED, message, ("assignmentId",))
        case Effect.REFUSED:
            message = f"The assignment is {state}, so it cannot become {given.step}."
            error = MutationError(UserErrorCode.NOT_ALLOWED, message, ("to",))
    raise Refused(error, object_id=str(assignment["id"]))


async def _write(transaction: Transaction, call: Call, assignment: Mapping[str, Any], given: _Given) -> None:
    seen, declined = (given.step is each for each in (AssignmentStep.SEEN, AssignmentStep.DECLINED))
    eta = assignment["eta"] if given.eta is None else given.eta
    state = assignment["state"] if seen else given.step.value
    columns: dict[str, Any] = {}
    if not seen:
        columns = {"assignment_state": state, "assignment_eta": eta, "assignment_overdue": False}
    if declined:
        columns["technician_id"] = None
    written = {"assignment_id": str(assignment["id"]), "state": state, "eta": eta, "reason": given.reason}
    await event_log.advance(
        transaction,
        call.viewer,
        str(assignment["ticket_id"]),
        TicketEventKind.UNASSIGNED if declined else TicketEventKind.ASSIGNMENT_ADVANCED,
        columns,
        assignment=Part(_step(given.step, call.viewer.role is Role.TECHNICIAN), written),
        public=not seen,
        versions=1 if declined else 0,
        origin=call.origin,
        deliveries=deliveries(call.viewer, rules.of_refusal(str(assignment["technician_id"]))) if declined else None,
    )


@cache
def _step(step: AssignmentStep, by_technician: bool) -> Statement:
    """The part that writes a step. What the technician does by themselves, they have also received and seen."""
    times = [TIME_OF[step]] if step in TIME_OF else []
    times += [name for name in ("seen_at", "delivered_at") if by_technician and name not in times]
    columns = [
        "state = $2::assignment_state",
        "eta = $3::timestamptz",
        "reason = $4::text",
        *(f"{name} = coalesce(assignments.{name}, tickets.updated_at)" for name in times),
    ]
    text = f"UPDATE assignments SET {', '.join(columns)} FROM tickets WHERE assignments.id = $1::uuid"
    return Statement.of_text(text, ("assignment_id", "state", "eta", "reason"), {})
