"""The subscriptions to the objects around tickets: customers, properties, technicians and articles. A client that keeps
copies of them learns here which to replace.

They read the audit trail, which has an entry of each change, as `db/ticket_stream.py` reads the events of tickets. An
entry concerns a viewer who sees the object. What a technician sees depends on tickets, as they are when the message is
made; that a ticket makes an object visible, or no longer does, is a change of the ticket and not of the object.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import orjson
from sqlalchemy import (
    Boolean,
    ColumnElement,
    Integer,
    Select,
    TableClause,
    Text,
    and_,
    any_,
    bindparam,
    case,
    cast,
    column,
    exists,
    func,
    literal_column,
    not_,
    or_,
    select,
    true,
    values,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID, aggregate_order_by

from db.compiler.selection import Bound
from db.compiler.snippets import Draft
from db.entities import ARTICLE, AUDIT_ENTRY, CUSTOMER, PROPERTY, TECHNICIAN
from db.entity import Entity
from db.enums import STAFF, AuditAction, AuditObjectKind, ObjectChangeKind, Role
from db.events.event import object_route, owner_route, published_route
from db.planner import of_any_length
from db.postgres.pool import Database
from db.postgres.statement import Statement
from db.sql import EMPTY, Condition, Row
from db.stream_filter import QuickTest
from db.ticket_stream import ASKED, EVENTS, Asked, Stream, numbers_of
from db.viewer import Viewer
from db.visibility import ViewerParameter

_ACTION = {each: literal_column(f"'{each}'", AUDIT_ENTRY.table.c.action.type) for each in AuditAction}
_CHANGE = {each: literal_column(f"'{each}'", Text()) for each in ObjectChangeKind}
_NOTHING: ColumnElement[Any] = literal_column("'{}'::text[]")
_CHANGING = (AuditAction.CREATED, AuditAction.UPDATED, AuditAction.ERASED)


@dataclass(frozen=True, eq=False)
class ObjectChanges(Stream):
    """The changes of all objects of one kind that the viewer sees. A message has the entry's columns; `object_key`;
    `change`; `shown`, whether the viewer sees the object now; and `changed_fields`, as the schema names
    them."""

    entity: ClassVar[Entity]
    kind: ClassVar[AuditObjectKind]
    fields: ClassVar[Mapping[str, str]]
    """The columns whose changes are named, each with its field, which everyone reads who may follow the objects."""
    staff_fields: ClassVar[Mapping[str, str]] = {}
    """The same of fields that only staff read. A change of nothing else concerns nobody else."""

    @property
    def log(self) -> TableClause:
        return AUDIT_ENTRY.table

    depends_on_tickets: ClassVar[bool] = True
    """Whether tickets decide which technician sees an object, so that no route does."""

    def changes(self, draft: Draft, event: Row) -> Select[Any]:
        streams, key = Asked().rows(), self.key(event)
        row = draft.alias(self.entity.table)
        seen = exists().where(row.c.id == key, self.entity.visible_alone(row, draft.viewer)).correlate_except(row)
        sight = select(key.label("object_key"), seen.label("shown")).correlate(event).lateral(draft.name())
        those = select(numbers_of(streams)).select_from(streams).lateral(draft.name())
        change = self.change(event, draft.viewer)
        named = and_(sight.c.shown, change != _CHANGE[ObjectChangeKind.CREATED])
        changed = case((named, self._changed_fields(event, draft.viewer)), else_=EMPTY).label("changed_fields")
        columns = (sight.c.object_key, sight.c.shown, change.label("change"), changed, those.c.streams)
        concerned = and_(event.c.action.in_([_ACTION[each] for each in _CHANGING]), key.is_not(None))
        if self.staff_fields and draft.viewer.role not in STAFF:
            hidden: ColumnElement[Any] = literal_column(f"'{{{','.join(self.staff_fields)}}}'::text[]")
            concerned = and_(concerned, not_(and_(event.c.changed != _NOTHING, event.c.changed.op("<@")(hidden))))
        joined = event.join(sight, true()).join(those, true())
        return select(event, *columns).select_from(joined).where(concerned, self.concerns(event, sight, draft.viewer))

    def key(self, event: Row) -> ColumnElement[Any]:
        """The object's key, null if the entry is about another kind of object. The CASE keeps the cast from other
        ids."""
        is_kind = event.c.object_kind == literal_column(f"'{self.kind}'", event.c.object_kind.type)
        start: ColumnElement[int] = literal_column(str(len(self.entity.prefix) + 2))
        return cast(case((is_kind, func.substr(event.c.object_id, start))), UUID(as_uuid=False))

    def concerns(self, event: Row, sight: Row, viewer: ViewerParameter) -> Condition:
        """The entry concerns the viewer."""
        return sight.c.shown

    def change(self, event: Row, viewer: ViewerParameter) -> ColumnElement[str]:
        """What the entry says of the object to the viewer."""
        created, erased = (
            (event.c.action == _ACTION[action], _CHANGE[change])
            for action, change in (
                (AuditAction.CREATED, ObjectChangeKind.CREATED),
                (AuditAction.ERASED, ObjectChangeKind.ERASED),
            )
        )
        return case(created, erased, else_=_CHANGE[ObjectChangeKind.UPDATED])

    def _changed_fields(self, event: Row, viewer: ViewerParameter) -> ColumnElement[Any]:
        """The fields whose columns have changed, a JSON array in alphabetical order."""
        read = {**self.fields, **(self.staff_fields if viewer.role in STAFF else {})}
        names: list[tuple[ColumnElement[str], ...]] = [
            tuple(literal_column(f"'{word}'") for word in each) for each in read.items()
        ]
        fields = values(column("name", Text()), column("field", Text()), name="shown_field").data(names)
        changed = select(fields.c.field).where(fields.c.name == any_(event.c.changed)).correlate(event)
        found = changed.subquery("changed_field").c.field
        return select(func.coalesce(func.json_agg(aggregate_order_by(found, found)), EMPTY)).scalar_subquery()

    def columns(self, bound: Bound) -> Mapping[str, Any]:
        return {}

    @abstractmethod
    def routes(self, bound: Bound, viewer: Viewer) -> frozenset[str]: ...

    def quick_test(self, bound: Bound, viewer: Viewer) -> QuickTest:
        return lambda event: True


class CustomerChanges(ObjectChanges):
    """The changes of customers."""

    entity, kind = CUSTOMER, AuditObjectKind.CUSTOMER
    fields: ClassVar = {"account_number": "accountNumber", "name": "name", "email": "email", "phone": "phone"}

    def routes(self, bound: Bound, viewer: Viewer) -> frozenset[str]:
        id = f"{CUSTOMER.prefix}_{viewer.id}"
        return frozenset({object_route(id if viewer.role is Role.CUSTOMER else self.kind)})


class PropertyChanges(ObjectChanges):
    """The changes of properties."""

    entity, kind = PROPERTY, AuditObjectKind.PROPERTY
    fields: ClassVar = {"address": "address", "account_number": "accountNumber"}
    staff_fields: ClassVar = {"access_notes": "accessNotes"}

    def routes(self, bound: Bound, viewer: Viewer) -> frozenset[str]:
        return frozenset({owner_route(viewer.id) if viewer.role is Role.CUSTOMER else object_route(self.kind)})


class TechnicianChanges(ObjectChanges):
    """The changes of technicians."""

    entity, kind = TECHNICIAN, AuditObjectKind.TECHNICIAN
    fields: ClassVar = {"name": "name", "email": "email", "phone": "phone", "active": "active"}

    def routes(self, bound: Bound, viewer: Viewer) -> frozenset[str]:
        return frozenset({object_route(self.kind)})


class ArticleChanges(ObjectChanges):
    """The changes of articles. For those who see only the published ones, an article is created when it is published,
    and removed when it no longer is; what happens to a draft does not concern them, not even once it is published."""

    entity, kind = ARTICLE, AuditObjectKind.ARTICLE
    fields: ClassVar = {
        "problem": "problem",
        "solution": "solution",
        "published": "published",
        "source_ticket_id": "sourceTicket",
    }

    depends_on_tickets = False

    def concerns(self, event: Row, sight: Row, viewer: ViewerParameter) -> Condition:
        return true() if viewer.role in STAFF else or_(_published(event.c.before), _published(event.c.after))

    def change(self, event: Row, viewer: ViewerParameter) -> ColumnElement[str]:
        what = super().change(event, viewer)
        if viewer.role in STAFF:
            return what
        was, now = _published(event.c.before), _published(event.c.after)
        entered, left = (_CHANGE[each] for each in (ObjectChangeKind.CREATED, ObjectChangeKind.REMOVED))
        return case((not_(was), entered), (not_(now), left), else_=what)

    def routes(self, bound: Bound, viewer: Viewer) -> frozenset[str]:
        return frozenset({object_route(self.kind) if viewer.role in STAFF else published_route()})


def _published(image: ColumnElement[Any]) -> Condition:
    return func.coalesce(image["published"].as_boolean(), literal_column("false"), type_=Boolean())


@cache
def _seen_by_technicians(stream: ObjectChanges) -> Statement:
    """The statement that returns which of the given entries are about objects that which of the technicians see. Its
    parameters are `EVENTS` and `ASKED`, in which each technician has a number `n` and a key, `viewer`."""
    entry, row = stream.log.alias("entry"), stream.entity.table.alias("object")
    asked = func.jsonb_to_recordset(bindparam(ASKED, type_=JSONB())).table_valued(
        column("n", Integer()), column("viewer", Text())
    )
    technicians = asked.render_derived(name=ASKED, with_types=True)
    viewer = ViewerParameter(Role.TECHNICIAN, technicians.c.viewer)
    found = entry.join(row, row.c.id == stream.key(entry)).join(technicians, stream.entity.visible_alone(row, viewer))
    ids = of_any_length(bindparam(EVENTS, type_=ARRAY(UUID(as_uuid=False))))
    return Statement(select(cast(entry.c.id, Text), technicians.c.n).select_from(found).where(entry.c.id == any_(ids)))


async def seen_by_technicians(
    database: Database, stream: ObjectChanges, entries: Sequence[str], technicians: Sequence[str]
) -> list[tuple[str, int]]:
    """Which of the entries (ids) are about objects that which of the technicians (keys) see: pairs of an entry and an
    index of a technician. Raises the database's errors."""
    asked = orjson.dumps([{"n": n, "viewer": key} for n, key in enumerate(technicians)]).decode()
    rows = await _seen_by_technicians(stream).fetch(database, **{EVENTS: entries, ASKED: asked})
    return [(row[0], row[1]) for row in rows]
