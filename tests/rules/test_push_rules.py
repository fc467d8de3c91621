"""How many notices outsiders may cause."""

from __future__ import annotations

import pytest

from db.enums import NoticeKind
from notifiers.push_rules import Earlier, excess
from notifiers.screening_rules import Limits

LIMITS = Limits(answers_per_ticket=2, answers_per_customer=3, summary_after=4)


@pytest.mark.parametrize(
    ("kind", "earlier", "said"),
    [
        (NoticeKind.CUSTOMER_ANSWERED, Earlier(1, 2, 99), None),
        (NoticeKind.CUSTOMER_ANSWERED, Earlier(2, 2, 0), "answers to this ticket"),
        (NoticeKind.CUSTOMER_ANSWERED, Earlier(1, 3, 0), "answers by this customer"),
        (NoticeKind.REOPENED, Earlier(2, 2, 0), "answers to this ticket"),
        (NoticeKind.CREATED, Earlier(99, 99, 3), None),
        (NoticeKind.CREATED, Earlier(0, 0, 4), "new tickets"),
        (NoticeKind.ASSIGNED, Earlier(99, 99, 99), None),
        (NoticeKind.RESOLVED, Earlier(99, 99, 99), None),
    ],
)
def test_what_outsiders_cause_is_limited_and_what_staff_do_is_not(
    kind: NoticeKind, earlier: Earlier, said: str | None
) -> None:
    why = excess(kind, earlier, LIMITS)
    assert (why is None) if said is None else (why is not None and said in why)
