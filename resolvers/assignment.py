"""Assignments: the steps that a technician takes from the offer of a ticket to leaving its site.

An assignment begins when a ticket gets its technician: triggers write it in the statement that changes the ticket
(`db/ddl_assignments.py`). Each step is written together with the ticket's columns that repeat its state, and with an
event, under the ticket's row lock.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
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
from db.postgres.statement import Queryable, Statement
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
    said_at = call.origin.occurred_at or datetime.now(UTC)
    given = _Given(step, _eta(step, input, said_at, checks), _reason(step, input, checks))
    if step is AssignmentStep.SEEN and call.viewer.role is Role.ADMIN:
        checks.object_to(UserErrorCode.NOT_ALLOWED, "Only the technician can have seen it.", "to")
    checks.occurred_at(input)
    checks.finish()
    async with call.transaction(assignment_id) as transaction:
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


def _eta(step: AssignmentStep, input: Input, said_at: datetime, checks: Checks) -> datetime | None:
    """The ETA. On a device that is offline now, it may have passed before it is sent."""
    eta: datetime | None = input.get("eta")
    if eta is None:
        return None
    if step not in WITH_ETA:
        checks.object_to(UserErrorCode.INVALID, f"{step} has no ETA.", "eta")
    elif not timedelta() < eta - said_at <= timedelta(days=limits.ETA_DAYS_MAX):
        message = f"The ETA must be after the step, by at most {limits.ETA_DAYS_MAX} days."
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
            message = f"The assignment is {state} and its ticket {assignment['status']}: it cannot become {given.step}."
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
    """The part that writes a step, with the time when it occurred. What technicians do by themselves, they have also
    received and seen."""
    times = [TIME_OF[step]] if step in TIME_OF else []
    times += [name for name in ("seen_at", "delivered_at") if by_technician and name not in times]
    columns = [
        "state = $2::assignment_state",
        "eta = $3::timestamptz",
        "reason = $4::text",
        *(f"{name} = coalesce(assignments.{name}, $5::timestamptz, tickets.updated_at)" for name in times),
    ]
    text = f"UPDATE assignments SET {', '.join(columns)} FROM tickets WHERE assignments.id = $1::uuid"
    return Statement.of_text(text, ("assignment_id", "state", "eta", "reason", "occurred_at"), {})


# Not with the tickets' locks: whoever changes the assignment at the same time is skipped, and has other news of it.
_DELIVERED = """
WITH offered AS (
    SELECT assignments.id FROM unnest($1::uuid[], $2::uuid[]) AS received (technician_id, event_id)
    JOIN ticket_events AS event ON event.id = received.event_id
    JOIN assignments ON assignments.ticket_id = event.ticket_id AND assignments.offered_at = event.at
        AND assignments.technician_id = received.technician_id
    WHERE delivered_at IS NULL AND state <> 'SUPERSEDED'
    ORDER BY assignments.id FOR NO KEY UPDATE OF assignments SKIP LOCKED
)
UPDATE assignments SET delivered_at = now() FROM offered WHERE assignments.id = offered.id"""


async def delivered(database: Queryable, received: Collection[tuple[str, str]]) -> None:
    """Note that devices have received the assignments that events have offered: pairs of the keys of a technician and
    of an event. Later notes of the same change nothing, and neither do events that have offered the technician
    nothing."""
    await database.execute(_DELIVERED, *(list(keys) for keys in zip(*received, strict=True)))
