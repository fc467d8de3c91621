"""What a subscription reads: the event log, as one viewer sees it through one filter.

A ticket's images before and after an event are rows like the table's own (`jsonb_populate_record`), so the predicates
that decide lists decide streams too: what has entered, changed or left is what the same filter and the same visibility
say of the two images.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

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
from db.ids import key_of
from db.lists.filters import Parameters, Slots
from db.lists.page import page_size
from db.lists.shapes import AssigneeShape, CriteriaShape, ValueShape
from db.postgres.pool import Database
from db.postgres.statement import Statement
from db.sql import Condition, Expression, Row
from db.viewer import Viewer

EVENTS = "events"
"""The parameter by which a statement is told which events: their ids."""


def image_of(document: ColumnElement[Any], name: str) -> Row:
    """A row image as a row of `tickets`; all null where there is no image."""
    columns = [column(each.name, each.type) for each in TICKET.table.c]
    return func.jsonb_populate_record(literal_column("NULL::tickets"), document).table_valued(*columns, name=name)


@dataclass(frozen=True)
class Stream(FieldMapping):
    """A subscription's field: a message for each event that concerns it. `message` names the type of these."""

    message: str

    def messages(self, root: Selection) -> list[list[Selection]]:
        """What is selected of a message: once."""
        return [root.types[self.message]]

    @abstractmethod
    def changes(self, render: Render, selection: Selection, event: Row) -> Select[Any]:
        """The events that concern it, with whatever else its message's fields are read from."""

    @abstractmethod
    def routes(self, bound: Bound, viewer: Viewer) -> frozenset[str]:
        """Keys of which every event that can concern it has one (`routes_of`)."""

    def render(self, render: Render, row: Row, selection: Selection) -> Expression:
        raise NotImplementedError("a subscription is compiled by `compile_stream`")


def routes_of(event: Any) -> set[str]:
    """The keys of an event, by the ids that the tail has read of it."""
    routes = {"all", f"ticket:{event['ticket_id']}", f"creator:{event['creator_id']}"}
    for kind in ("technician", "customer"):
        routes.update(f"{kind}:{key}" for key in (event[f"{kind}_before"], event[f"{kind}_after"]) if key)
    return routes


def _of_viewer(viewer: Viewer) -> frozenset[str]:
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
    """Of what concerns the tickets of a filter."""
    if viewer.role is Role.ADMIN:
        assert isinstance(bound.shape, CriteriaShape)
        for field, kind in (("assignee", "technician"), ("customerId", "customer")):
            shape = bound.shape.at(("filter", field))
            if isinstance(shape, ValueShape | AssigneeShape) and shape.slot is not None:
                return frozenset({f"{kind}:{bound.values[shape.slot]}"})
    return _of_viewer(viewer)


@dataclass(frozen=True)
class LiveValue(Root):
    """A subscription that tells not what has happened but what a root field of queries is now, over the tickets of a
    filter."""

    def routes(self, bound: Bound, viewer: Viewer) -> frozenset[str]:
        return _of_filter(bound, viewer)


@dataclass(frozen=True)
class TicketChanges(Stream):
    """What happens to the tickets of a filter. A change has the event's columns, `change` (ENTERED, UPDATED, LEFT) and
    `shown`, whether the viewer may see the ticket, as it was left and as it is now."""

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


@dataclass(frozen=True)
class TicketChangesPage(TicketChanges):
    """A root field of queries: a page of what `TicketChanges` tells, with where it ends."""

    @property
    def cost(self) -> int:
        return 2

    def read(self, arguments: Arguments) -> Bound:
        size, _ = page_size(arguments)
        return replace(super().read(arguments), size=size)

    def messages(self, root: Selection) -> list[list[Selection]]:
        """Once for each alias of `nodes`."""
        return [part.fields for part in root.fields if part.name == "nodes"]


@dataclass(frozen=True)
class NoteAdditions(Stream):
    """The notes that are added to one ticket, as far as the viewer sees them."""

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


@dataclass(frozen=True)
class Imaged(FieldMapping):
    """The ticket as an event left it; null where the viewer may not see it (any more)."""

    def render(self, render: Render, row: Row, selection: Selection) -> Expression:
        image = image_of(row.c.after, render.name())
        found = select(render.object(selection.fields, image)).select_from(image).correlate(row)
        return case((row.c.shown, found.scalar_subquery()))


def _word(word: str) -> ColumnElement[str]:
    return literal_column(f"'{word}'", Text())


def compile_stream(root: Selection, role: Role, shapes: Sequence[Hashable], mark: str) -> Compiled:
    """A stream's statement. It is given ids of events and returns, in order, a row for each that concerns the stream:
    its `id`, `at`, and the JSON documents of the message, one for each selection of it, in which `mark` stands for the
    cursor."""
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
    """An event as a stream tells it."""

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
        """Those of the events that concern the stream, in order. Raises what the database does."""
        arguments = self._compiled.given(self._arguments, {EVENTS: events})
        rows = await self._database.fetch(self._compiled.statement.text, *arguments)
        return [StreamedEvent(str(id), at, tuple(documents)) for id, at, *documents in rows]
