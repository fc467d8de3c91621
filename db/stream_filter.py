"""The filter of a subscription to tickets: which events it can concern, before the database is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self, TypeAlias

from db.entities import TICKETS
from db.enums import STAFF, ActorKind, AuditObjectKind, Role
from db.events.event import Event, Image
from db.lists.criteria import Criteria
from db.lists.in_memory import Test, all_hold
from db.lists.shapes import AssigneeShape, CriteriaShape, ValueShape
from db.lists.shared import SharedCriteria
from db.viewer import Viewer

QuickTest: TypeAlias = Callable[[Event], bool]
"""Rules out events that do not concern a stream, without the database: false only for such events."""

_CRITERIA: Final = TICKETS.criteria.at(("filter",))
assert isinstance(_CRITERIA, Criteria)

SHARED: Final = SharedCriteria(_CRITERIA)
"""The filters of all streams in one condition."""


@dataclass(frozen=True, slots=True)
class StreamFilter:
    """A filter of tickets, with its values. It is a value itself, in which streams of one statement differ."""

    shape: CriteriaShape
    values: Sequence[Any]

    @classmethod
    def of(cls, shape: CriteriaShape, values: Sequence[Any]) -> Self:
        """The filter among a subscription's arguments, whose shape and values these are."""
        filter = shape.at(("filter",)) or CriteriaShape()
        assert isinstance(filter, CriteriaShape)
        return cls(filter, values)

    def columns(self) -> Mapping[str, Any]:
        """Its columns in a statement that has the condition `SHARED`."""
        return SHARED.columns(self.shape, self.values)

    def routes(self, viewer: Viewer) -> frozenset[str]:
        """The routes of the events of its tickets: those of its ids, if it has any; for an admin otherwise narrowed to
        its technician or customer."""
        ids = self.shape.at(("ids",))
        if isinstance(ids, ValueShape):
            return frozenset(f"ticket:{key}" for key in self.values[ids.slot])
        if viewer.role is Role.ADMIN:
            for field, kind in (("assignee", "technician"), ("customerId", "customer")):
                shape = self.shape.at((field,))
                if isinstance(shape, ValueShape | AssigneeShape) and shape.slot is not None:
                    return frozenset({f"{kind}:{self.values[shape.slot]}"})
        return _routes_of(viewer)

    def quick_test(self, viewer: Viewer) -> QuickTest:
        """Whether the ticket may match before or after an event, and the viewer may learn of the event."""
        matches, sees_internal = _CRITERIA.test(self.shape, self.values, viewer), viewer.role in STAFF

        def test(event: Event) -> bool:
            if not (event.public or sees_internal):
                return False
            was = event.before is not None and matches(event.before) is not False
            return was or matches(event.after) is not False

        return test

    def depends_on(self, viewer: Viewer) -> frozenset[AuditObjectKind]:
        """The kinds of other objects whose changes can change the list, though no ticket changes."""
        return _CRITERIA.depends_on(self.shape, viewer.role)

    def test(self, viewer: Viewer) -> Test:
        """Whether a ticket with this image is in the viewer's list with the filter."""
        return all_hold([_sees(viewer), _CRITERIA.test(self.shape, self.values, viewer)])


def _sees(viewer: Viewer) -> Test:
    """Whether the viewer sees a ticket with this image, as `visibility.ticket` says it of a row."""
    kind = ActorKind(viewer.role.value)

    def created(image: Image) -> bool:
        return image.creator_id == viewer.id and image.creator_kind == kind

    match viewer.role:
        case Role.ADMIN:
            return lambda image: True
        case Role.TECHNICIAN:
            return lambda image: image.technician_id == viewer.id or created(image)
        case Role.CUSTOMER:
            return lambda image: image.customer_id == viewer.id
        case Role.SERVICE:
            return created


def _routes_of(viewer: Viewer) -> frozenset[str]:
    """The routes of the events of all tickets that the viewer can see."""
    match viewer.role:
        case Role.ADMIN:
            return frozenset({"all"})
        case Role.TECHNICIAN:
            return frozenset({f"technician:{viewer.id}", f"creator:{viewer.id}"})
        case Role.CUSTOMER:
            return frozenset({f"customer:{viewer.id}"})
        case Role.SERVICE:
            return frozenset({f"creator:{viewer.id}"})
