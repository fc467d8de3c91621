"""The limits on notices that outsiders cause, as a plain function on plain values.

They are those of mail (`notifiers/screening_rules.py`), counted for each device. Notices of what staff have done have
no limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from db.enums import NoticeKind
from notifiers.screening_rules import ANSWERED_OFTEN, ANSWERS_EVERYWHERE, Limits

NEW_OFTEN: Final = "Not sent: the device was notified of enough new tickets within a short time."


@dataclass(frozen=True, slots=True)
class Earlier:
    """How many notices were queued for the device before, sent or not: of answers on the ticket, and on any of its
    customer's, in the hour before; and of new tickets in the time of a summary. What its stream has delivered does not
    count."""

    of_ticket: int = 0
    of_customer: int = 0
    of_new: int = 0


def excess(kind: NoticeKind, earlier: Earlier, limits: Limits) -> str | None:
    """Why the device gets no further notice of this kind; None if it does."""
    if kind is NoticeKind.CREATED:
        return NEW_OFTEN if earlier.of_new >= limits.summary_after else None
    if kind not in (NoticeKind.CUSTOMER_ANSWERED, NoticeKind.REOPENED):
        return None
    if earlier.of_ticket >= limits.answers_per_ticket:
        return ANSWERED_OFTEN
    return ANSWERS_EVERYWHERE if earlier.of_customer >= limits.answers_per_customer else None
