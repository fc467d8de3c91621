"""The rules of a ticket's life cycle, on plain values: the change that follows, or the user errors."""

from __future__ import annotations

from typing import Any

import pytest

from db.enums import Role, TicketEventKind, TicketStatus
from resolvers.checks import Checks
from resolvers.ticket_rules import Change, answered, change, foreseen, takes_answers

OPEN, IN_PROGRESS, RESOLVED, CLOSED = TicketStatus


def ticket(status: TicketStatus = OPEN, **given: Any) -> dict[str, Any]:
    plain = {"status": status, "resolution": None, "technician_id": None, "priority": "LOW"}
    if status is RESOLVED:
        plain["resolution"] = "Done."
    return plain | given


def changed(before: dict[str, Any], role: Role = Role.ADMIN, **wanted: Any) -> Change:
    checks = Checks()
    result = change(before, wanted, role, checks)
    assert checks.errors == []
    return result


def objections(before: dict[str, Any], role: Role = Role.ADMIN, **wanted: Any) -> list[tuple[str, tuple[str, ...]]]:
    checks = Checks()
    change(before, wanted, role, checks)
    return [(error.code, error.field) for error in checks.errors]


def test_values_that_are_already_set_are_no_change() -> None:
    for before, wanted in (
        (ticket(), {}),
        (ticket(), {"status": OPEN, "priority": "LOW", "technician_id": None}),
        (ticket(RESOLVED), {}),
        (ticket(RESOLVED), {"status": RESOLVED}),
        (ticket(RESOLVED), {"status": RESOLVED, "resolution": "Done."}),
    ):
        made = changed(before, **wanted)
        assert (bool(made), made) == (False, Change())
    assert changed(ticket(), priority="HIGH", status=OPEN) == Change(values={"priority": "HIGH"})
    assert bool(Change(values={"priority": "HIGH"})) is bool(Change(timestamps={"closed_at": True})) is True


def test_the_kind_of_an_assignment_distinguishes_assigning_from_unassigning() -> None:
    assert changed(ticket(), technician_id="t").kind is TicketEventKind.ASSIGNED
    assert changed(ticket(technician_id="s"), technician_id="t").kind is TicketEventKind.ASSIGNED
    assert changed(ticket(technician_id="s"), technician_id=None).kind is TicketEventKind.UNASSIGNED
    assert changed(ticket(technician_id="s"), technician_id="s", priority="HIGH").kind is TicketEventKind.UPDATED


def test_a_status_change_takes_precedence_over_an_assignment() -> None:
    made = changed(ticket(), technician_id="t", status=IN_PROGRESS)
    assert made == Change(TicketEventKind.STATUS_CHANGED, {"technician_id": "t", "status": IN_PROGRESS})


@pytest.mark.parametrize("before", [ticket(), ticket(IN_PROGRESS)])
def test_resolving_requires_a_resolution_and_sets_the_time(before: dict[str, Any]) -> None:
    made = changed(before, status=RESOLVED, resolution="Replaced.")
    values = {"resolution": "Replaced.", "status": RESOLVED}
    assert made == Change(TicketEventKind.RESOLVED, values, {"resolved_at": True})
    assert objections(before, status=RESOLVED) == [("RESOLUTION_REQUIRED", ("resolution",))]


def test_closing_keeps_or_sets_a_resolution() -> None:
    cases: tuple[tuple[dict[str, Any], dict[str, Any], dict[str, Any]], ...] = (
        (ticket(), {}, {}),
        (ticket(RESOLVED), {}, {}),
        (ticket(RESOLVED), {"resolution": "Done."}, {}),
        (ticket(), {"resolution": "Withdrawn."}, {"resolution": "Withdrawn."}),
    )
    for before, wanted, values in cases:
        made = changed(before, status=CLOSED, **wanted)
        assert made == Change(TicketEventKind.CLOSED, values | {"status": CLOSED}, {"closed_at": True})


@pytest.mark.parametrize("target", [OPEN, IN_PROGRESS])
@pytest.mark.parametrize("before", [ticket(RESOLVED), ticket(CLOSED), ticket(CLOSED, resolution="Done.")])
def test_reopening_clears_the_resolution(before: dict[str, Any], target: TicketStatus) -> None:
    assert changed(before, status=target) == Change(
        TicketEventKind.REOPENED,
        {"status": target, "resolution": None},
        {"resolved_at": False, "closed_at": False},
    )


def test_only_a_resolved_or_closed_ticket_has_a_resolution() -> None:
    for before, status in ((ticket(), OPEN), (ticket(IN_PROGRESS), IN_PROGRESS), (ticket(RESOLVED), OPEN)):
        assert objections(before, resolution="Done.", status=status) == [("INVALID", ("resolution",))]
    for status in (RESOLVED, CLOSED):
        reworded = changed(ticket(status), resolution="Reworded.")
        assert reworded == Change(values={"resolution": "Reworded."})


def test_transitions_beyond_a_roles_rights_are_refused() -> None:
    for role, status, target in (
        (Role.TECHNICIAN, OPEN, CLOSED),
        (Role.TECHNICIAN, RESOLVED, OPEN),
        (Role.TECHNICIAN, CLOSED, OPEN),
        (Role.ADMIN, CLOSED, RESOLVED),
        (Role.CUSTOMER, OPEN, IN_PROGRESS),
        (Role.SERVICE, RESOLVED, OPEN),
    ):
        refused = objections(ticket(status), role, status=target, resolution="Done.")
        assert refused == [("NOT_ALLOWED", ("status",))], (role, status, target)
    assert changed(ticket(RESOLVED), Role.TECHNICIAN, status=IN_PROGRESS).kind is TicketEventKind.REOPENED


def test_a_customers_answer_reopens_a_resolved_ticket_and_a_closed_one_within_the_grace_period() -> None:
    reopened = Change(
        TicketEventKind.REOPENED, {"status": OPEN, "resolution": None}, {"resolved_at": False, "closed_at": False}
    )
    for before in (ticket(RESOLVED, in_grace=False), ticket(CLOSED, in_grace=True)):
        assert takes_answers(before)
        assert answered(before) == reopened
    for status in (OPEN, IN_PROGRESS):
        assert takes_answers(ticket(status, in_grace=False))
        assert not answered(ticket(status))
    assert not takes_answers(ticket(CLOSED, in_grace=False))


def test_a_customer_closes_or_reopens_a_resolved_ticket_and_reopens_a_closed_one_within_the_grace_period() -> None:
    for before, target, kind in (
        (ticket(RESOLVED), CLOSED, TicketEventKind.CLOSED),
        (ticket(RESOLVED), OPEN, TicketEventKind.REOPENED),
        (ticket(CLOSED, in_grace=True), OPEN, TicketEventKind.REOPENED),
    ):
        assert changed(before, Role.CUSTOMER, status=target).kind is kind
    for before, target in (
        *((ticket(status, in_grace=False), CLOSED) for status in (OPEN, IN_PROGRESS)),
        *((ticket(status, in_grace=False), RESOLVED) for status in (OPEN, IN_PROGRESS, CLOSED)),
        *((ticket(status, in_grace=True), IN_PROGRESS) for status in (OPEN, RESOLVED, CLOSED)),
        *((ticket(CLOSED, in_grace=in_grace), OPEN) for in_grace in (False, None)),
    ):
        refused = objections(before, Role.CUSTOMER, status=target, resolution="Done.")
        assert refused == [("NOT_ALLOWED", ("status",))], (before, target)
    assert objections(ticket(CLOSED, in_grace=True), Role.TECHNICIAN, status=OPEN) == [("NOT_ALLOWED", ("status",))]


PRESENT = [
    ticket(status, resolution=resolution, priority=priority, subject="Siren")
    for status in TicketStatus
    for resolution in ((None,) if status in (OPEN, IN_PROGRESS) else ("Done.", *((None,) if status is CLOSED else ())))
    for priority in ("LOW", "HIGH")
]
WANTED: list[dict[str, Any]] = [
    status | resolution | others
    for status in ({}, *({"status": status} for status in TicketStatus))
    for resolution in ({}, {"resolution": "Done."}, {"resolution": "Replaced."})
    for others in ({}, {"priority": "HIGH"}, {"priority": "HIGH", "subject": "Siren"})
]


@pytest.mark.parametrize("role", Role)
def test_a_foreseen_change_is_the_one_that_the_ticket_would_get(role: Role) -> None:
    """For each ticket that has a foreseen status, and not all of the values yet: the same columns differ afterwards,
    the same times are set, and the event has the same kind."""
    compared = 0
    for before in PRESENT:
        for wanted in WANTED:
            presumed = foreseen(wanted, role)
            if presumed is None or before["status"] not in presumed.statuses:
                continue
            differing = {name: value for name, value in presumed.change.values.items() if before[name] != value}
            if differing:
                expected = Change(presumed.change.kind, differing, presumed.change.timestamps)
                assert changed(before, role, **wanted) == expected
                compared += 1
    assert compared


def test_common_changes_are_foreseen() -> None:
    def statuses(role: Role = Role.ADMIN, **wanted: Any) -> tuple[TicketStatus, ...]:
        presumed = foreseen(wanted, role)
        return () if presumed is None else presumed.statuses

    assert statuses(status=IN_PROGRESS) == (OPEN,)
    assert statuses(status=OPEN) == (IN_PROGRESS,)
    assert statuses(status=RESOLVED, resolution="Done.") == (OPEN, IN_PROGRESS)
    assert statuses(status=CLOSED) == (OPEN, IN_PROGRESS, RESOLVED)
    assert statuses(Role.TECHNICIAN, status=IN_PROGRESS) == (OPEN,)
    assert statuses(priority="HIGH") == tuple(TicketStatus)
    assert statuses(resolution="Done.") == (RESOLVED, CLOSED)
    assert statuses(Role.CUSTOMER, status=OPEN) == statuses(Role.CUSTOMER, status=CLOSED) == (RESOLVED,)
    assert statuses(status=RESOLVED) == statuses(Role.TECHNICIAN, status=CLOSED) == statuses() == ()
