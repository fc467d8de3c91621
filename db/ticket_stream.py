"""Subscriptions: the mappings of their fields, which read the event log as one viewer sees it through one filter.

`jsonb_populate_record` turns a ticket's images before and after an event into rows like those of the table, so the
filters and predicates of lists work on streams too. Applied to both images, they decide whether a ticket has entered,
stayed in or left the list.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeAlias

from sqlalchemy import (
    ColumnElement,
    Select,
    Text,
    and_,
    any_,
    bindparam,
    case,
    column,
    exists,
    func,
    literal_column,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY, UUID

from db.compiler.fields import Root
from db.compiler.render import Compiled
from db.compiler.selection import Arguments, Bound, FieldMapping, Render, Selection
from db.entities import EVENT, NOTE, TICKET, TICKETS
from db.enums import STAFF, Role, TicketEventKind
from db.events.event import Event
from db.ids import key_of
from db.lists.filters import Parameters, Slots
from db.lists.page import page_size
from db.lists.shapes import AssigneeShape, CriteriaShape, ValueShape
from db.postgres.pool import Database
from db.postgres.statement import Statement
from db.sql import Condition, Expression, Row
from db.viewer import Viewer

QuickTest: TypeAlias = Callable[[Event], bool]
"""Rules out events that do not concern a stream, without the database: false only for such events."""

EVENTS = "events"
"""The parameter for the ids of the events that a stream's statement reads."""


def image_of(document: ColumnElement[Any], name: str) -> Row:
    """An image as a row of `tickets`. If there is no image, every column is null."""
    columns = [column(each.name, each.type) for each in TICKET.table.c]
    return func.jsonb_populate_record(literal_column("NULL::tickets"), document).table_valued(*columns, name=name)


@dataclass(frozen=True)
class Stream(FieldMapping):
    """A subscription field, with a message for each event that concerns it. `message` is the name of their type."""

    message: str

    def messages(self, root: Selection) -> list[list[Selection]]:
        """The selections of a message: one for each JSON document that it is rendered into."""
        return [root.types[self.message]]

    @abstractmethod
    def changes(self, render: Render, selection: Selection, event: Row) -> Select[Any]:
        """The rows of `event` that concern the stream, with any further columns that its messages are read from."""

    @abstractmethod
    def routes(self, bound: Bound, viewer: Viewer) -> frozenset[str]:
        """The stream's routes: every event that can concern it has at least one of them (`Event.routes`)."""

    @abstractmethod
    def quick_test(self, bound: Bound, viewer: Viewer) -> QuickTest:
        """The stream's test of events in memory. The statement decides about those that it lets through."""

    def render(self, render: Render, row: Row, selection: Selection) -> Expression:
        raise NotImplementedError("a subscription is compiled by `compile_stream`")


def _of_viewer(viewer: Viewer) -> frozenset[str]:
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


def _of_filter(bound: Bound, viewer: Viewer) -> frozenset[str]:
    """The routes of the events of a filter's tickets: for an admin narrowed to the filter's technician or customer."""
    if viewer.role is Role.ADMIN:
        assert isinstance(bound.shape, CriteriaShape)
        for field, kind in (("assignee", "technician"), ("customerId", "customer")):
            shape = bound.shape.at(("filter", field))
            if isinstance(shape, ValueShape | AssigneeShape) and shape.slot is not None:
                return frozenset({f"{kind}:{bound.values[shape.slot]}"})
    return _of_viewer(viewer)


def _may_match(bound: Bound, viewer: Viewer) -> QuickTest:
    """The quick test of a stream that concerns a filter's tickets: the ticket may match before or after the event, and
    the viewer may learn of the event."""
    assert isinstance(bound.shape, CriteriaShape)
    matches, sees_internal = TICKETS.criteria.test(bound.shape, bound.values, viewer), viewer.role in STAFF

    def test(event: Event) -> bool:
        if not (event.public or sees_internal):
            return False
        return matches(event.after) is not False or (event.before is not None and matches(event.before) is not False)

    return test


@dataclass(frozen=True)
class LiveValue(Root):
    """A subscription whose messages are not events but the current value of a query's root field, which depends on the
    tickets of a filter."""

    def routes(self, bound: Bound, viewer: Viewer) -> frozenset[str]:
        return _of_filter(bound, viewer)

    def quick_test(self, bound: Bound, viewer: Viewer) -> QuickTest:
        return _may_match(bound, viewer)


@dataclass(frozen=True)
class TicketChanges(Stream):
    """The changes of a list of tickets with a filter. A change has the event's columns; `change`, which is ENTERED,
    UPDATED or LEFT; and `shown`, whether the viewer may see the ticket, both as the event left it and as it is now."""

    def read(self, arguments: Arguments) -> Bound:
        slots = Slots()
        shape = TICKETS.criteria.read({"filter": arguments.get("filter")}, slots)
        return Bound(shape, tuple(slots.values))

    def changes(self, render: Render, selection: Selection, event: Row) -> Select[Any]:
        before, after = image_of(event.c.before, render.name()), image_of(event.c.after, render.name())
        viewer, shape, parameter = render.viewer, render.shape(selection), Parameters(render.parameters(selection))

        def seen(image: Row) -> Condition:
            return TICKET.visible(image, viewer)

        def matches(image: Row) -> Condition:
            there = image.c.id.is_not(None)
            return and_(there, seen(image), TICKETS.criteria.build(image, shape, parameter, viewer)).is_(true())

        was, now = matches(before), matches(after)
        change = case((and_(was, now), _word("UPDATED")), (now, _word("ENTERED")), else_=_word("LEFT"))
        # The image may be of a ticket that the viewer no longer sees, so the current row is tested as well.
        ticket = render.alias(TICKET.table)
        still = exists().where(ticket.c.id == event.c.ticket_id, seen(ticket))
        shown = and_(seen(after), true() if viewer.role is Role.ADMIN else still).is_(true())
        public = true() if viewer.role in STAFF else event.c.public
        return (
            select(event, change.label("change"), shown.label("shown"))
            .select_from(event.join(before, true()).join(after, true()))
            .where(or_(was, now), public)
        )

    def routes(self, bound: Bound, viewer: Viewer) -> frozenset[str]:
        return _of_filter(bound, viewer)

    def quick_test(self, bound: Bound, viewer: Viewer) -> QuickTest:
        return _may_match(bound, viewer)


@dataclass(frozen=True)
class TicketChangesPage(TicketChanges):
    """A query's root field: a page of the changes that `TicketChanges` streams, and the cursor at its end."""

    @property
    def cost(self) -> int:
        return 2

    def read(self, arguments: Arguments) -> Bound:
        size, _ = page_size(arguments)
        return replace(super().read(arguments), size=size)

    def messages(self, root: Selection) -> list[list[Selection]]:
        """One selection for each alias of `nodes`."""
        return [part.fields for part in root.fields if part.name == "nodes"]


@dataclass(frozen=True)
class NoteAdditions(Stream):
    """The notes that are added to one ticket and that the viewer sees."""

    def read(self, arguments: Arguments) -> Bound:
        return Bound(None, (key_of(arguments["ticketId"], TICKET.prefix, "ticket"),))

    def changes(self, render: Render, selection: Selection, event: Row) -> Select[Any]:
        note = render.alias(NOTE.table)
        seen = exists().where(note.c.id == event.c.note_id, NOTE.visible(note, render.viewer))
        added = event.c.kind == literal_column(f"'{TicketEventKind.NOTE_ADDED}'")
        ticket = render.parameter(selection, 0, UUID(as_uuid=False))
        return select(event).where(event.c.ticket_id == ticket, added, seen)

    def routes(self, bound: Bound, viewer: Viewer) -> frozenset[str]:
        return frozenset({f"ticket:{bound.values[0]}"})

    def quick_test(self, bound: Bound, viewer: Viewer) -> QuickTest:
        sees_internal = viewer.role in STAFF
        return lambda event: event.kind == TicketEventKind.NOTE_ADDED and (event.public or sees_internal)


@dataclass(frozen=True)
class Imaged(FieldMapping):
    """The ticket as an event left it; null if the viewer could not see it then or cannot see it now."""

    def render(self, render: Render, row: Row, selection: Selection) -> Expression:
        image = image_of(row.c.after, render.name())
        found = select(render.object(selection.fields, image)).select_from(image).correlate(row)
        return case((row.c.shown, found.scalar_subquery()))


def _word(word: str) -> ColumnElement[str]:
    return literal_column(f"'{word}'", Text())


def compile_stream(root: Selection, role: Role, shapes: Sequence[Hashable], mark: str) -> Compiled:
    """A stream's statement. Its parameter `EVENTS` takes ids of events; it returns a row for each of those that
    concerns the stream, ordered by time and id. A row has the event's `id` and `at`, and a JSON document for each
    selection of the message, in which `mark` stands for the stream cursor."""
    mapping = root.mapping
    assert isinstance(mapping, Stream)
    render = Render(role, shapes, mark)
    given = EVENT.table.alias()
    events = select(given).where(given.c.id == any_(bindparam(EVENTS, type_=ARRAY(UUID(as_uuid=False)))))
    changes = mapping.changes(render, root, events.subquery(render.name())).subquery(render.name())
    documents = [render.object(fields, changes).label(render.name()) for fields in mapping.messages(root)]
    return Compiled(Statement(select(changes.c.id, changes.c.at, *documents).order_by(changes.c.at, changes.c.id)))


@dataclass(frozen=True, slots=True)
class StreamedEvent:
    """An event as a stream delivers it: its id and time, and the JSON documents of its message."""

    event: str
    at: datetime
    documents: tuple[bytes, ...]


class Reader:
    """Reads a stream's events with the arguments of one request."""

    def __init__(self, compiled: Compiled, bounds: Sequence[Bound], viewer: Viewer, database: Database) -> None:
        self._compiled = compiled
        self._arguments = compiled.arguments(bounds, viewer)
        self._database = database

    async def of(self, events: Sequence[str]) -> list[StreamedEvent]:
        """The events, among those with these ids, that concern the stream, in order. Raises the database's errors."""
        arguments = self._compiled.given(self._arguments, {EVENTS: events})
        rows = await self._database.fetch(self._compiled.statement.text, *arguments)
        return [StreamedEvent(str(id), at, tuple(documents)) for id, at, *documents in rows]
