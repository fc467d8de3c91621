"""The rules of a ticket's life cycle, as plain functions on plain values.

A ticket usually goes from OPEN through IN_PROGRESS and RESOLVED to CLOSED. `TRANSITIONS` says which status may follow
which, by role. A customer's answer reopens a ticket too (`answered`): a resolved one, and a closed one within the grace
period (`resolvers/grace.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from db.enums import ActorKind, Role, TicketEventKind, TicketSource, TicketStatus
from resolvers.checks import Checks
from resolvers.mutation import UserErrorCode

OPEN, IN_PROGRESS, RESOLVED, CLOSED = TicketStatus

TRANSITIONS: Mapping[Role, Mapping[TicketStatus, tuple[TicketStatus, ...]]] = {
    Role.ADMIN: {
        OPEN: (IN_PROGRESS, RESOLVED, CLOSED),
        IN_PROGRESS: (OPEN, RESOLVED, CLOSED),
        RESOLVED: (OPEN, IN_PROGRESS, CLOSED),
        CLOSED: (OPEN, IN_PROGRESS),
    },
    Role.TECHNICIAN: {
        OPEN: (IN_PROGRESS, RESOLVED),
        IN_PROGRESS: (OPEN, RESOLVED),
        RESOLVED: (IN_PROGRESS,),
        CLOSED: (),
    },
    Role.CUSTOMER: {RESOLVED: (OPEN, CLOSED)},
    Role.SERVICE: {},
}
"""The statuses that each role may change a ticket to, by its current status."""

IN_GRACE: Mapping[Role, tuple[TicketStatus, ...]] = {Role.CUSTOMER: (OPEN,)}
"""The statuses that a role may change a closed ticket to within the grace period only."""

UNRESOLVED = (OPEN, IN_PROGRESS)


@dataclass(slots=True)
class Change:
    """A change of a ticket: new values of columns, and timestamps that are set to now (true) or cleared (false)."""

    kind: TicketEventKind = TicketEventKind.UPDATED
    values: dict[str, Any] = field(default_factory=dict)
    timestamps: dict[str, bool] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.values or self.timestamps)


def change(ticket: Mapping[str, Any], wanted: Mapping[str, Any], role: Role, checks: Checks) -> Change:
    """Returns the change that gives `ticket` the `wanted` column values; errors are added to `checks`.

    A column that already has its wanted value does not count as changed. `ticket` has its columns, and `in_grace` if
    that is known.
    """
    values = dict(wanted)
    status = TicketStatus(values.pop("status", ticket["status"]))
    resolution = values.pop("resolution", None)
    result = Change(values={name: value for name, value in values.items() if ticket[name] != value})
    if "technician_id" in result.values:
        unassigned = result.values["technician_id"] is None
        result.kind = TicketEventKind.UNASSIGNED if unassigned else TicketEventKind.ASSIGNED
    _change_status(ticket, status, resolution, role, checks, result)
    return result


@dataclass(frozen=True, slots=True)
class Foreseen:
    """A change that is the same for every ticket with one of these statuses."""

    change: Change
    statuses: tuple[TicketStatus, ...]


class _Unknown:
    """The value of a ticket that has not been read; unlike any wanted value."""


_UNKNOWN = _Unknown()


def foreseen(wanted: Mapping[str, Any], role: Role) -> Foreseen | None:
    """Returns the change that the `wanted` column values make, as far as it depends on nothing but the ticket's status;
    None if it depends on more or is not allowed.

    If the change differs between statuses, the first status for which there is one decides. A column may turn out to
    have its wanted value already; but one of them has another."""
    result: Foreseen | None = None
    for status in TicketStatus:
        ticket = dict.fromkeys(wanted, _UNKNOWN) | {"status": status, "resolution": _UNKNOWN}
        if status in UNRESOLVED:
            ticket["resolution"] = None
        checks = Checks()
        found = change(ticket, wanted, role, checks)
        if checks.errors or not found:
            continue
        if result is None:
            result = Foreseen(found, (status,))
        elif found == result.change:
            result = Foreseen(found, (*result.statuses, status))
    return result


def _change_status(
    ticket: Mapping[str, Any],
    status: TicketStatus,
    resolution: str | None,
    role: Role,
    checks: Checks,
    result: Change,
) -> None:
    present = TicketStatus(ticket["status"])
    if status is not present and status not in _followers(ticket, present, role):
        message = f"You cannot change the status from {present} to {status}."
        checks.object_to(UserErrorCode.NOT_ALLOWED, message, "status")
        return
    if resolution is not None and status in UNRESOLVED:
        message = f"A ticket with status {status} cannot have a resolution."
        checks.object_to(UserErrorCode.INVALID, message, "resolution")
        return
    if status is RESOLVED and resolution is None and ticket["resolution"] is None:
        message = "A resolution is required: describe what was done."
        checks.object_to(UserErrorCode.RESOLUTION_REQUIRED, message, "resolution")
        return
    if resolution is not None and resolution != ticket["resolution"]:
        result.values["resolution"] = resolution
    if status is present:
        return
    result.values["status"] = status
    if status is RESOLVED:
        result.kind = TicketEventKind.RESOLVED
        result.timestamps = {"resolved_at": True}
    elif status is CLOSED:
        result.kind = TicketEventKind.CLOSED
        result.timestamps = {"closed_at": True}
    elif present in UNRESOLVED:
        result.kind = TicketEventKind.STATUS_CHANGED
    else:
        _reopen(result)


def _followers(ticket: Mapping[str, Any], present: TicketStatus, role: Role) -> tuple[TicketStatus, ...]:
    return TRANSITIONS[role].get(present, ()) + (IN_GRACE.get(role, ()) if ticket.get("in_grace") else ())


def takes_answers(ticket: Mapping[str, Any]) -> bool:
    """Whether a customer can still answer the ticket. One that was closed for longer than the grace period is followed
    up by another."""
    return ticket["status"] != CLOSED or bool(ticket["in_grace"])


def answered(ticket: Mapping[str, Any]) -> Change:
    """Returns the change that a customer's answer makes to a ticket that takes it: one that is RESOLVED or CLOSED is
    reopened."""
    result = Change()
    if ticket["status"] not in UNRESOLVED:
        result.values["status"] = OPEN
        _reopen(result)
    return result


def _reopen(result: Change) -> None:
    result.kind = TicketEventKind.REOPENED
    result.values["resolution"] = None
    result.timestamps = {"resolved_at": False, "closed_at": False}


def is_by_outsider(ticket: Mapping[str, Any]) -> bool:
    """Whether neither staff nor a customer with a token created the ticket, so that its contact may be anybody."""
    if ticket["creator_kind"] == ActorKind.CUSTOMER:
        return bool(ticket["source"] != TicketSource.CUSTOMER)
    return bool(ticket["creator_kind"] == ActorKind.SERVICE)
