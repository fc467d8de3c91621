"""What each step does to an assignment in each state."""

from __future__ import annotations

import itertools

import pytest

from db.enums import AssignmentState, AssignmentStep, TicketStatus
from resolvers.assignment_rules import ORDER, Effect, effect

STEPS = [step for step in AssignmentStep if step is not AssignmentStep.SEEN]
OPEN, IN_PROGRESS, RESOLVED, CLOSED = TicketStatus
ALLOWED = {
    AssignmentState.OFFERED: "ACCEPTED DECLINED EN_ROUTE ON_SITE LEFT",
    AssignmentState.ACCEPTED: "DECLINED EN_ROUTE ON_SITE LEFT",
    AssignmentState.DECLINED: "",
    AssignmentState.EN_ROUTE: "DECLINED ON_SITE LEFT",
    AssignmentState.ON_SITE: "LEFT",
    AssignmentState.LEFT: "",
}


@pytest.mark.parametrize("state", ALLOWED)
@pytest.mark.parametrize("status", [OPEN, IN_PROGRESS])
def test_steps_can_be_skipped_but_not_taken_back(state: AssignmentState, status: TicketStatus) -> None:
    for step in STEPS:
        if step.value == state.value:
            assert effect(state, step, status) is Effect.REPEATED
        else:
            allowed = step.value in ALLOWED[state].split()
            assert effect(state, step, status) is (Effect.CHANGE if allowed else Effect.REFUSED), step


def test_a_resolved_ticket_is_only_left() -> None:
    for state, status, step in itertools.product(ORDER[:-1], (RESOLVED, CLOSED), STEPS):
        if step.value == state.value:
            expected = Effect.REPEATED
        else:
            expected = Effect.CHANGE if step is AssignmentStep.LEFT else Effect.REFUSED
        assert effect(state, step, status) is expected, (state, step)


def test_nothing_is_done_with_a_superseded_assignment() -> None:
    assert {effect(AssignmentState.SUPERSEDED, step, OPEN) for step in AssignmentStep} == {Effect.SUPERSEDED}


def test_an_assignment_can_be_seen_in_every_other_state() -> None:
    assert {effect(state, AssignmentStep.SEEN, OPEN) for state in ALLOWED} == {Effect.CHANGE}
