"""Who hears of what: the rules, as plain functions on plain values.

A rule says whom an event concerns, and as what. Whether such a notification is on, by which channels it goes and to
which addresses is in the settings, which `notifiers/enqueue.py` reads. A list is in order of weight: who stands in
it several times is targets once of the event, as the first of these that is on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from db.enums import Audience, NoticeKind, Role, TicketStatus


@dataclass(frozen=True, slots=True)
class NotificationTarget:
    """A party that hears of an event. `technician_id` is the technician's key, where it is one."""

    kind: NoticeKind
    audience: Audience
    technician_id: str | None = None


def of_creation(technician_id: str | None) -> list[NotificationTarget]:
    """A new ticket: the technician if it has one already, the customer, the admins, and the space."""
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
    """A ticket that was as `before` and whose columns have `changed`: the technician who gets it, the customer whose
    issue is resolved, the technician who loses it, and the space of each of these."""
    targets: list[NotificationTarget] = []
    if "technician_id" in changed and changed["technician_id"] is not None:
        targets.append(NotificationTarget(NoticeKind.ASSIGNED, Audience.TECHNICIAN, changed["technician_id"]))
    if _resolves(before, changed):
        targets.append(NotificationTarget(NoticeKind.RESOLVED, Audience.CUSTOMER))
    if "technician_id" in changed and before["technician_id"] is not None:
        targets.append(NotificationTarget(NoticeKind.UNASSIGNED, Audience.TECHNICIAN, before["technician_id"]))
    kinds = sorted((each.kind for each in targets), key=_WEIGHT.index)
    return targets + [NotificationTarget(kind, Audience.SPACE) for kind in kinds]


_WEIGHT = (NoticeKind.RESOLVED, NoticeKind.ASSIGNED, NoticeKind.UNASSIGNED)
"""What the space hears of first, where a change is several of these at once."""


def _resolves(before: Mapping[str, Any], changed: Mapping[str, Any]) -> bool:
    """Whether the change ends the work with a resolution: by RESOLVED, or at once by CLOSED. Another wording of the
    resolution later is no news."""
    work = (TicketStatus.OPEN, TicketStatus.IN_PROGRESS)
    ended = before["status"] in work and changed.get("status", before["status"]) not in work
    return ended and changed.get("resolution") is not None


def of_note(author: Role, *, internal_only: bool) -> list[NotificationTarget]:
    """A note: the customer, unless they wrote it themselves, and the space. Of an internal one nobody hears."""
    if internal_only:
        return []
    customer = [] if author is Role.CUSTOMER else [NotificationTarget(NoticeKind.NOTE_ADDED, Audience.CUSTOMER)]
    return [*customer, NotificationTarget(NoticeKind.NOTE_ADDED, Audience.SPACE)]
