"""The subscription to the audit trail: the mapping of its field, which reads the entries as `db/ticket_stream.py` reads
the events of tickets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Select, TableClause, select

from db.compiler.selection import Arguments, Bound
from db.compiler.snippets import Draft
from db.entities import AUDIT_ENTRIES, AUDIT_ENTRY
from db.events.event import AUDIT_ROUTE
from db.lists.criteria import Criteria, Slots
from db.lists.shapes import CriteriaShape
from db.lists.shared import SharedCriteria
from db.sql import Row
from db.stream_filter import QuickTest
from db.ticket_stream import Asked, Stream, numbers_of
from db.viewer import Viewer

_CRITERIA: Final = AUDIT_ENTRIES.criteria.at(("filter",))
assert isinstance(_CRITERIA, Criteria)
_SHARED: Final = SharedCriteria(_CRITERIA)


@dataclass(frozen=True, eq=False)
class AuditAdditions(Stream):
    """The entries that are added to the audit trail and match the filter."""

    @property
    def log(self) -> TableClause:
        return AUDIT_ENTRY.table

    def read(self, arguments: Arguments) -> Bound:
        slots = Slots(words_are_values=True)
        shape = AUDIT_ENTRIES.criteria.read({"filter": arguments.get("filter")}, slots)
        filter = shape.at(("filter",)) or CriteriaShape()
        assert isinstance(filter, CriteriaShape)
        columns = _SHARED.columns(filter, slots.values)
        return Bound(_SHARED.rest(filter), (columns,), conditions=slots.criteria)

    def changes(self, draft: Draft, event: Row) -> Select[Any]:
        asked = Asked()
        matches = _SHARED.build(event, draft.shape, asked.column, draft.viewer)
        streams = asked.rows()
        those = select(numbers_of(streams)).select_from(streams).where(matches).lateral(draft.name())
        found = event.join(those, those.c.streams.is_not(None))
        return select(event, those.c.streams).select_from(found).where(AUDIT_ENTRY.visible(event, draft.viewer))

    def columns(self, bound: Bound) -> Mapping[str, Any]:
        (columns,) = bound.values
        return columns  # type: ignore[no-any-return]

    def routes(self, bound: Bound, viewer: Viewer) -> frozenset[str]:
        return frozenset({AUDIT_ROUTE})

    def quick_test(self, bound: Bound, viewer: Viewer) -> QuickTest:
        return lambda event: True
