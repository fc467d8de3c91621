"""Who is notified of an event, rule by rule; `tests/mail/test_notifications.py` tests the deliveries that follow."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from db.enums import Audience, NoticeKind, TicketStatus
from notifiers import rules
from notifiers.rules import NotificationTarget

TESS, TOM = "tess", "tom"
OPEN, IN_PROGRESS, RESOLVED, CLOSED = TicketStatus

CREATED_FOR_ALL = [
    NotificationTarget(NoticeKind.CREATED, audience) for audience in (Audience.CUSTOMER, Audience.ADMIN, Audience.SPACE)
]
RESOLVED_FOR_CUSTOMER = NotificationTarget(NoticeKind.RESOLVED, Audience.CUSTOMER)
ASSIGNED_TOM = NotificationTarget(NoticeKind.ASSIGNED, Audience.TECHNICIAN, TOM)
UNASSIGNED_TESS = NotificationTarget(NoticeKind.UNASSIGNED, Audience.TECHNICIAN, TESS)


def in_space(*kinds: NoticeKind) -> list[NotificationTarget]:
    return [NotificationTarget(kind, Audience.SPACE) for kind in kinds]


def test_a_creation_notifies_the_technician_first_and_then_all_audiences() -> None:
    assert rules.of_creation(None) == CREATED_FOR_ALL
    first = NotificationTarget(NoticeKind.ASSIGNED, Audience.TECHNICIAN, TESS)
    assert rules.of_creation(TESS) == [first, *CREATED_FOR_ALL, *in_space(NoticeKind.ASSIGNED)]


@pytest.mark.parametrize(
    ("holder", "changed", "targets"),
    [
        (None, {"technician_id": TOM}, [ASSIGNED_TOM, *in_space(NoticeKind.ASSIGNED)]),
        (TESS, {"technician_id": None}, [UNASSIGNED_TESS, *in_space(NoticeKind.UNASSIGNED)]),
        (
            TESS,
            {"technician_id": TOM},
            [ASSIGNED_TOM, UNASSIGNED_TESS, *in_space(NoticeKind.ASSIGNED, NoticeKind.UNASSIGNED)],
        ),
        (TESS, {"status": RESOLVED, "resolution": "Done."}, [RESOLVED_FOR_CUSTOMER, *in_space(NoticeKind.RESOLVED)]),
        (
            TESS,
            {"technician_id": TOM, "status": CLOSED, "resolution": "Done."},
            [
                *(ASSIGNED_TOM, RESOLVED_FOR_CUSTOMER, UNASSIGNED_TESS),
                *in_space(NoticeKind.RESOLVED, NoticeKind.ASSIGNED, NoticeKind.UNASSIGNED),
            ],
        ),
        *((TESS, changed, []) for changed in ({}, {"subject": "s"}, {"priority": "LOW"}, {"status": IN_PROGRESS})),
    ],
)
def test_a_change_notifies_those_it_concerns(
    holder: str | None, changed: dict[str, Any], targets: list[NotificationTarget]
) -> None:
    assert rules.of_change({"technician_id": holder, "status": OPEN}, changed) == targets


def test_ending_work_with_a_resolution_notifies_of_it() -> None:
    for before, after, resolution in product(TicketStatus, TicketStatus, ("Done.", None)):
        changed = {"resolution": resolution} | ({"status": after} if after is not before else {})
        targets = rules.of_change({"technician_id": None, "status": before}, changed)
        ends = before in (OPEN, IN_PROGRESS) and after in (RESOLVED, CLOSED) and resolution is not None
        targets = [each for each in targets if each.kind is not NoticeKind.REOPENED]
        assert targets == ([RESOLVED_FOR_CUSTOMER, *in_space(NoticeKind.RESOLVED)] if ends else []), (before, after)
    assert rules.of_change({"technician_id": None, "status": OPEN}, {"status": CLOSED}) == []


def test_a_public_note_by_staff_notifies_the_customer() -> None:
    customer = NotificationTarget(NoticeKind.NOTE_ADDED, Audience.CUSTOMER)
    assert rules.of_note(internal_only=False) == [customer, *in_space(NoticeKind.NOTE_ADDED)]
    assert rules.of_note(internal_only=True) == []


def responsible(kind: NoticeKind) -> list[NotificationTarget]:
    return [NotificationTarget(kind, Audience.TECHNICIAN), NotificationTarget(kind, Audience.ADMIN, stand_in=True)]


def test_an_answer_notifies_the_technician_or_else_the_admins() -> None:
    answered, reopened, noted = NoticeKind.CUSTOMER_ANSWERED, NoticeKind.REOPENED, NoticeKind.NOTE_ADDED
    assert rules.of_answer(reopens=False) == [*responsible(answered), *in_space(answered, noted)]
    both = [*responsible(reopened), *responsible(answered)]
    assert rules.of_answer(reopens=True) == [*both, *in_space(reopened, answered, noted)]


def test_reopening_notifies_the_technician_or_else_the_admins() -> None:
    for before, after in product(TicketStatus, TicketStatus):
        reopens = before in (RESOLVED, CLOSED) and after in (OPEN, IN_PROGRESS)
        targets = rules.of_change({"status": before}, {"status": after, "resolution": None})
        expected = [*responsible(NoticeKind.REOPENED), *in_space(NoticeKind.REOPENED)]
        assert targets == (expected if reopens else []), (before, after)
    given = rules.of_change({"technician_id": TESS, "status": CLOSED}, {"technician_id": TOM, "status": OPEN})
    assert given == [
        *(ASSIGNED_TOM, *responsible(NoticeKind.REOPENED), UNASSIGNED_TESS),
        *in_space(NoticeKind.REOPENED, NoticeKind.ASSIGNED, NoticeKind.UNASSIGNED),
    ]


def test_a_refusal_notifies_the_admins_and_whoever_had_the_ticket() -> None:
    assert rules.of_refusal(TESS) == [
        NotificationTarget(NoticeKind.DECLINED, Audience.ADMIN),
        UNASSIGNED_TESS,
        *in_space(NoticeKind.DECLINED, NoticeKind.UNASSIGNED),
    ]


def test_silence_notifies_the_admins() -> None:
    assert rules.of_silence() == [NotificationTarget(NoticeKind.OVERDUE, Audience.ADMIN), *in_space(NoticeKind.OVERDUE)]
