"""The rules of a ticket's life, on plain values: what becomes of a ticket, or what speaks against it."""

from __future__ import annotations

from typing import Any

import pytest

from db.enums import Role, TicketEventKind, TicketStatus
from resolvers.checks import Checks
from resolvers.ticket_rules import Change, answered, change

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


def test_what_is_already_so_is_no_change() -> None:
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


def test_an_assignment_is_told_by_its_kind() -> None:
    assert changed(ticket(), technician_id="t").kind is TicketEventKind.ASSIGNED
    assert changed(ticket(technician_id="s"), technician_id="t").kind is TicketEventKind.ASSIGNED
    assert changed(ticket(technician_id="s"), technician_id=None).kind is TicketEventKind.UNASSIGNED
    assert changed(ticket(technician_id="s"), technician_id="s", priority="HIGH").kind is TicketEventKind.UPDATED


def test_of_a_status_and_an_assignment_the_status_is_told() -> None:
    made = changed(ticket(), technician_id="t", status=IN_PROGRESS)
    assert made == Change(TicketEventKind.STATUS_CHANGED, {"technician_id": "t", "status": IN_PROGRESS})


@pytest.mark.parametrize("before", [ticket(), ticket(IN_PROGRESS)])
def test_resolving_takes_a_resolution_and_stamps_the_ticket(before: dict[str, Any]) -> None:
    made = changed(before, status=RESOLVED, resolution="Replaced.")
    values = {"resolution": "Replaced.", "status": RESOLVED}
    assert made == Change(TicketEventKind.RESOLVED, values, {"resolved_at": True})
    assert objections(before, status=RESOLVED) == [("RESOLUTION_REQUIRED", ("resolution",))]


def test_closing_keeps_a_resolution_and_takes_one() -> None:
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
def test_reopening_forgets_what_was_done(before: dict[str, Any], target: TicketStatus) -> None:
    assert changed(before, status=target) == Change(
        TicketEventKind.REOPENED,
        {"status": target, "resolution": None},
        {"resolved_at": False, "closed_at": False},
    )


def test_only_what_is_resolved_or_closed_has_a_resolution() -> None:
    for before, status in ((ticket(), OPEN), (ticket(IN_PROGRESS), IN_PROGRESS), (ticket(RESOLVED), OPEN)):
        assert objections(before, resolution="Done.", status=status) == [("INVALID", ("resolution",))]
    for status in (RESOLVED, CLOSED):
        reworded = changed(ticket(status), resolution="Reworded.")
        assert reworded == Change(values={"resolution": "Reworded."})


def test_a_role_takes_a_ticket_no_further_than_it_may() -> None:
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


def test_a_customers_answer_reopens_what_is_resolved_and_nothing_else() -> None:
    reopened = {"status": OPEN, "resolution": None}
    assert answered(ticket(RESOLVED)) == Change(
        TicketEventKind.REOPENED, reopened, {"resolved_at": False, "closed_at": False}
    )
    for status in (OPEN, IN_PROGRESS, CLOSED):
        assert not answered(ticket(status))
