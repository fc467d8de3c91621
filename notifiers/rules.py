"""The rules of who is notified of what, as plain functions on plain values.

A rule lists the targets of an event: audiences, each with a kind. `notifiers/enqueue.py` finds the addresses of each
audience (the customer's is the ticket's contact, the admins' are in the settings) and leaves out kinds that are off,
and the address of whoever caused the event. A list is ordered by importance: a recipient who appears in it several
times is notified once, with the first kind that is on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from db.enums import Audience, NoticeKind, TicketStatus


@dataclass(frozen=True, slots=True)
class NotificationTarget:
    """An audience to notify of an event, and the kind of notification. `technician_id` is the technician's key, if the
    audience is a technician other than the one whom the ticket is assigned to after the event. Admins that `stand_in`
    are notified only if the ticket has no active technician then."""

    kind: NoticeKind
    audience: Audience
    technician_id: str | None = None
    stand_in: bool = False


def of_creation(technician_id: str | None) -> list[NotificationTarget]:
    """The targets of a new ticket: its technician, if one is assigned, the customer, the admins, and the space."""
    assigned = (
        [] if technician_id is None else [NotificationTarget(NoticeKind.ASSIGNED, Audience.TECHNICIAN, technician_id)]
    )
    return [
        *assigned,
        NotificationTarget(NoticeKind.CREATED, Audience.CUSTOMER),
        NotificationTarget(NoticeKind.CREATED, Audience.ADMIN),
        NotificationTarget(NoticeKind.CREATED, Audience.SPACE),
        *(NotificationTarget(NoticeKind.ASSIGNED, Audience.SPACE) for _ in assigned),
    ]


def of_change(before: Mapping[str, Any], changed: Mapping[str, Any]) -> list[NotificationTarget]:
    """The targets of a change, given the ticket `before` and its `changed` columns: the newly assigned technician, the
    customer if the ticket was resolved, the technician or the admins if it was reopened, the technician who was
    unassigned, and the space for each of these."""
    targets: list[NotificationTarget] = []
    if "technician_id" in changed and changed["technician_id"] is not None:
        targets.append(NotificationTarget(NoticeKind.ASSIGNED, Audience.TECHNICIAN, changed["technician_id"]))
    if _resolves(before, changed):
        targets.append(NotificationTarget(NoticeKind.RESOLVED, Audience.CUSTOMER))
    if _reopens(before, changed):
        targets += _responsible(NoticeKind.REOPENED)
    if "technician_id" in changed and before["technician_id"] is not None:
        targets.append(NotificationTarget(NoticeKind.UNASSIGNED, Audience.TECHNICIAN, before["technician_id"]))
    kinds = sorted({each.kind for each in targets}, key=_WEIGHT.index)
    return targets + [NotificationTarget(kind, Audience.SPACE) for kind in kinds]


def of_refusal(technician_id: str) -> list[NotificationTarget]:
    """The targets of an assignment that was declined, so that the ticket is unassigned: the admins, who find another
    technician, the one who had it, and the space."""
    return [
        NotificationTarget(NoticeKind.DECLINED, Audience.ADMIN),
        NotificationTarget(NoticeKind.UNASSIGNED, Audience.TECHNICIAN, technician_id),
        NotificationTarget(NoticeKind.DECLINED, Audience.SPACE),
        NotificationTarget(NoticeKind.UNASSIGNED, Audience.SPACE),
    ]


def of_silence() -> list[NotificationTarget]:
    """The targets of an assignment that was not answered in time: the admins and the space."""
    return [NotificationTarget(NoticeKind.OVERDUE, audience) for audience in (Audience.ADMIN, Audience.SPACE)]


_WEIGHT = (NoticeKind.RESOLVED, NoticeKind.REOPENED, NoticeKind.ASSIGNED, NoticeKind.UNASSIGNED)
"""The order of importance of the kinds, for a change that is several of them at once."""

_WORK = (TicketStatus.OPEN, TicketStatus.IN_PROGRESS)


def _resolves(before: Mapping[str, Any], changed: Mapping[str, Any]) -> bool:
    """Whether the change ends the work with a resolution, by RESOLVED or directly by CLOSED. A later edit of the
    resolution does not count."""
    ended = before["status"] in _WORK and changed.get("status", before["status"]) not in _WORK
    return ended and changed.get("resolution") is not None


def _reopens(before: Mapping[str, Any], changed: Mapping[str, Any]) -> bool:
    return before["status"] not in _WORK and changed.get("status") in _WORK


def _responsible(kind: NoticeKind) -> list[NotificationTarget]:
    """Whoever has to do something: the ticket's technician, or else the admins."""
    return [
        NotificationTarget(kind, Audience.TECHNICIAN),
        NotificationTarget(kind, Audience.ADMIN, stand_in=True),
    ]


def of_note(*, internal_only: bool) -> list[NotificationTarget]:
    """The targets of a note by staff: the customer and the space; none for an internal note."""
    if internal_only:
        return []
    return [NotificationTarget(NoticeKind.NOTE_ADDED, each) for each in (Audience.CUSTOMER, Audience.SPACE)]


def of_answer(*, reopens: bool) -> list[NotificationTarget]:
    """The targets of a customer's note, which may reopen the ticket: its technician or the admins, and the space."""
    kinds = [*([NoticeKind.REOPENED] if reopens else []), NoticeKind.CUSTOMER_ANSWERED]
    # A space that is notified of all notes still is, even if answers are off for it.
    in_space = [NotificationTarget(kind, Audience.SPACE) for kind in (*kinds, NoticeKind.NOTE_ADDED)]
    return [target for kind in kinds for target in _responsible(kind)] + in_space


def of_doubtful_answer() -> list[NotificationTarget]:
    """The targets of a message that may be an answer of the customer's side, and became an internal note: the ticket's
    technician or the admins."""
    return _responsible(NoticeKind.CUSTOMER_ANSWERED)
