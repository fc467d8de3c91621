"""Whom an event concerns, rule by rule; `tests/mail/test_notices.py` has what comes of it."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from db.enums import Audience, NoticeKind, Role, TicketStatus
from notifiers import rules
from notifiers.rules import NotificationTarget

TESS, TOM = "tess", "tom"
OPEN, IN_PROGRESS, RESOLVED, CLOSED = TicketStatus

CREATED_FOR_ALL = [
    NotificationTarget(NoticeKind.CREATED, audience) for audience in (Audience.CUSTOMER, Audience.ADMIN, Audience.SPACE)
]
RESOLVED_FOR_CUSTOMER = NotificationTarget(NoticeKind.RESOLVED, Audience.CUSTOMER)
GETS = NotificationTarget(NoticeKind.ASSIGNED, Audience.TECHNICIAN, TOM)
LOSES = NotificationTarget(NoticeKind.UNASSIGNED, Audience.TECHNICIAN, TESS)


def in_space(*kinds: NoticeKind) -> list[NotificationTarget]:
    return [NotificationTarget(kind, Audience.SPACE) for kind in kinds]


def test_of_a_creation_everybody_hears_and_first_the_technician() -> None:
    assert rules.of_creation(None) == CREATED_FOR_ALL
    first = NotificationTarget(NoticeKind.ASSIGNED, Audience.TECHNICIAN, TESS)
    assert rules.of_creation(TESS) == [first, *CREATED_FOR_ALL, *in_space(NoticeKind.ASSIGNED)]


@pytest.mark.parametrize(
    ("holder", "changed", "told"),
    [
        (None, {"technician_id": TOM}, [GETS, *in_space(NoticeKind.ASSIGNED)]),
        (TESS, {"technician_id": None}, [LOSES, *in_space(NoticeKind.UNASSIGNED)]),
        (TESS, {"technician_id": TOM}, [GETS, LOSES, *in_space(NoticeKind.ASSIGNED, NoticeKind.UNASSIGNED)]),
        (TESS, {"status": RESOLVED, "resolution": "Done."}, [RESOLVED_FOR_CUSTOMER, *in_space(NoticeKind.RESOLVED)]),
        (
            TESS,
            {"technician_id": TOM, "status": CLOSED, "resolution": "Done."},
            [
                *(GETS, RESOLVED_FOR_CUSTOMER, LOSES),
                *in_space(NoticeKind.RESOLVED, NoticeKind.ASSIGNED, NoticeKind.UNASSIGNED),
            ],
        ),
        *((TESS, changed, []) for changed in ({}, {"subject": "s"}, {"priority": "LOW"}, {"status": IN_PROGRESS})),
    ],
)
def test_of_a_change_those_hear_whom_it_concerns(
    holder: str | None, changed: dict[str, Any], told: list[NotificationTarget]
) -> None:
    assert rules.of_change({"technician_id": holder, "status": OPEN}, changed) == told


def test_an_issue_is_resolved_where_work_ends_with_a_resolution() -> None:
    for before, after, resolution in product(TicketStatus, TicketStatus, ("Done.", None)):
        changed = {"resolution": resolution} | ({"status": after} if after is not before else {})
        told = rules.of_change({"technician_id": None, "status": before}, changed)
        ends = before in (OPEN, IN_PROGRESS) and after in (RESOLVED, CLOSED) and resolution is not None
        assert told == ([RESOLVED_FOR_CUSTOMER, *in_space(NoticeKind.RESOLVED)] if ends else []), (before, after)
    assert rules.of_change({"technician_id": None, "status": OPEN}, {"status": CLOSED}) == []


@pytest.mark.parametrize("author", Role)
def test_of_a_public_note_the_customer_hears_who_has_not_written_it(author: Role) -> None:
    customer = [] if author is Role.CUSTOMER else [NotificationTarget(NoticeKind.NOTE_ADDED, Audience.CUSTOMER)]
    assert rules.of_note(author, internal_only=False) == [*customer, *in_space(NoticeKind.NOTE_ADDED)]
    assert rules.of_note(author, internal_only=True) == []
