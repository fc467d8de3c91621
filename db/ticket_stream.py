"""Subscriptions: the mappings of their fields, which read the event log as one viewer sees it through one filter.

`jsonb_populate_record` turns a ticket's images before and after an event into rows like those of the table, so the
filters and predicates of lists work on streams too. Applied to both images, they decide whether a ticket has entered,
stayed in or left the list.

Many streams differ only in their filters. One statement answers all of them: it takes each filter as a row of `asked`,
decides which of these an event concerns, and makes a message once for all that get the same.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, NamedTuple

import orjson
from sqlalchemy import (
    Boolean,
    ColumnElement,
    FromClause,
    Integer,
    Select,
    TableClause,
    Text,
    and_,
    any_,
    bindparam,
    case,
    column,
    exists,
    false,
    func,
    literal_column,
    select,
    true,
    values,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID
from sqlalchemy.types import TypeEngine

from db import models
from db.compiler.fields import Root
from db.compiler.render import Compiled
from db.compiler.selection import Arguments, Bound, FieldMapping, Marks, Render, Selection
from db.compiler.snippets import NO_ROW, OWN, Draft, NamedRow, Snippets
from db.entities import DELIVERY, EVENT, NOTE, TICKET, TICKETS
from db.enums import STAFF, ActorKind, Role, TicketEventKind
from db.events.event import deliveries_route
from db.ids import key_of
from db.lists.criteria import Slots
from db.lists.page import page_size
from db.lists.shapes import CriteriaShape
from db.planner import fence, of_any_length
from db.postgres.pool import Database
from db.sql import Condition, Row, table
from db.stream_filter import SHARED, QuickTest, StreamFilter
from db.viewer import Viewer
from db.visibility import ViewerParameter, public_event

_DELIVERY_EVENTS: Final = table(models.DeliveryEventRow)

EVENTS, ASKED = "events", "asked"
"""The parameters of a stream's statement: the ids of the events; and a JSON array with an object for each stream, with
its number `n` and the values of its arguments. In the statement these objects are the rows of `asked`."""


def image_of(document: ColumnElement[Any], name: str) -> Row:
    """An image as a row of `tickets`. If there is no image, every column is null."""
    columns = [column(each.name, each.type) for each in TICKET.table.c]
    return func.jsonb_populate_record(literal_column("NULL::tickets"), document).table_valued(*columns, name=name)


class Asked:
    """The values of several streams' arguments: the rows of `asked`, one for each stream."""

    def __init__(self) -> None:
        self._columns: dict[str, TypeEngine[Any]] = {"n": Integer()}

    def column(self, name: str, type_: TypeEngine[Any]) -> ColumnElement[Any]:
        """The column with this name. If it is used several times, the last type is the column's."""
        self._columns[name] = type_
        return literal_column(f"{ASKED}.{name}", type_)

    def rows(self) -> Row:
        """The rows, with the columns that have been used."""
        columns = (column(name, type_) for name, type_ in self._columns.items())
        streams = func.jsonb_to_recordset(bindparam(ASKED, type_=JSONB())).table_valued(*columns)
        return streams.render_derived(name=ASKED, with_types=True)


def numbers_of(streams: Row) -> ColumnElement[Any]:
    """The numbers of several streams as an array."""
    return func.array_agg(streams.c.n, type_=ARRAY(Integer())).label("streams")


class EventSource(NamedTuple):
    """A table of events from which a stream makes messages of one type. `changes` returns the given rows that concern
    streams, as `Stream.changes` does."""

    log: TableClause
    message: str
    changes: Callable[[Draft, Row], Select[Any]]

    def rows(self, draft: Draft) -> tuple[FromClause, list[Condition]]:
        """The rows of `changes` for the events that the statement is asked about."""
        given = draft.alias(self.log)
        ids = of_any_length(bindparam(EVENTS, type_=ARRAY(UUID(as_uuid=False))))
        events = select(given).where(given.c.id == any_(ids))
        return self.changes(draft, events.subquery(draft.name())).subquery(OWN), []


@dataclass(frozen=True, eq=False)
class Stream(FieldMapping):
    """A subscription field, with a message for each event that concerns it. `message` is the name of their type."""

    message: str

    @property
    def log(self) -> TableClause:
        """The table of the events that the stream delivers."""
        return EVENT.table

    def sources(self, role: Role) -> list[EventSource]:
        """Where the messages come from, for a viewer of this role."""
        return [EventSource(self.log, self.message, self.changes)]

    def messages(self, root: Selection, message: str) -> list[list[Selection]]:
        """The selections of a message of this type: one for each JSON document that it is rendered into."""
        return [root.types[message]]

    @abstractmethod
    def changes(self, draft: Draft, event: Row) -> Select[Any]:
        """The rows of `event` that concern streams, once for each message about them, with the numbers of the streams
        that get it (`streams`) and any further columns that it is read from."""

    @abstractmethod
    def columns(self, bound: Bound) -> Mapping[str, Any]:
        """The stream's values: its row of `asked`."""

    @abstractmethod
    def routes(self, bound: Bound, viewer: Viewer) -> frozenset[str]:
        """The stream's routes: every event that can concern it has at least one of them (`Event.routes`)."""

    @abstractmethod
    def quick_test(self, bound: Bound, viewer: Viewer) -> QuickTest:
        """The stream's test of events in memory. The statement decides about those that it lets through."""

    def render(self, render: Render, row: NamedRow, selection: Selection) -> str:
        raise NotImplementedError("a subscription is compiled by `compile_stream`")


@dataclass(frozen=True, eq=False)
class LiveValue(Root):
    """A subscription whose messages are not events but the current value of a query's root field, which depends on the
    tickets of a filter."""

    def routes(self, bound: Bound, viewer: Viewer) -> frozenset[str]:
        return self._filter(bound).routes(viewer)

    def quick_test(self, bound: Bound, viewer: Viewer) -> QuickTest:
        return self._filter(bound).quick_test(viewer)

    def _filter(self, bound: Bound) -> StreamFilter:
        assert isinstance(bound.shape, CriteriaShape)
        return StreamFilter.of(bound.shape, bound.values)


@dataclass(frozen=True, eq=False)
class TicketChanges(Stream):
    """The changes of a list of tickets with a filter. A change has the event's columns; `change`, which is ENTERED,
    UPDATED or LEFT; and `shown`, whether the viewer may see the ticket, both as the event left it and as it is now."""

    def read(self, arguments: Arguments) -> Bound:
        slots = Slots(words_are_values=True, live=True)
        shape = TICKETS.criteria.read({"filter": arguments.get("filter")}, slots)
        filter = StreamFilter.of(shape, tuple(slots.values))
        return Bound(SHARED.rest(filter.shape), (filter,), conditions=slots.criteria)

    def changes(self, draft: Draft, event: Row) -> Select[Any]:
        viewer = draft.viewer
        those = self._streams(draft, event)
        was, now = those.c.was, those.c.now
        change = case((and_(was, now), _word("UPDATED")), (now, _word("ENTERED")), else_=_word("LEFT"))
        after, ticket = image_of(event.c.after, draft.name()), draft.alias(TICKET.table)
        # The image may be of a ticket that the viewer no longer sees, so the current row is tested as well.
        still = exists().where(ticket.c.id == event.c.ticket_id, TICKET.visible(ticket, viewer))
        shown = and_(TICKET.visible(after, viewer), true() if viewer.role is Role.ADMIN else still).is_(true())
        public = true() if viewer.role in STAFF else public_event(event, viewer)
        columns = (change.label("change"), shown.label("shown"), those.c.streams)
        return select(event, *columns).select_from(event.join(after, true()).join(those, true())).where(public)

    def _streams(self, draft: Draft, event: Row) -> Row:
        """The streams among whose tickets the event's ticket was or is: a row for each combination of `was` and
        `now`."""
        asked = Asked()
        sides = [(true(), false(), event.c.before), (false(), true(), event.c.after)]
        side = values(column("was", Boolean()), column("now", Boolean()), column("image", JSONB()), name=draft.name())
        side = side.data(sides).lateral()
        image = image_of(side.c.image, draft.name())
        matching = (
            image.c.id.is_not(None),
            TICKET.visible(image, draft.viewer),
            SHARED.build(image, draft.shape, asked.column, draft.viewer),
        )
        streams = asked.rows()
        found = fence(select(streams.c.n).select_from(streams).where(*matching)).lateral(draft.name())
        each = (
            select(found.c.n, func.bool_or(side.c.was).label("was"), func.bool_or(side.c.now).label("now"))
            .select_from(side.join(image, true()).join(found, true()))
            .group_by(found.c.n)
            .subquery(draft.name())
        )
        return select(each.c.was, each.c.now, numbers_of(each)).group_by(each.c.was, each.c.now).lateral(draft.name())

    def columns(self, bound: Bound) -> Mapping[str, Any]:
        return self._filter(bound).columns()

    def routes(self, bound: Bound, viewer: Viewer) -> frozenset[str]:
        return self._filter(bound).routes(viewer)

    def quick_test(self, bound: Bound, viewer: Viewer) -> QuickTest:
        return self._filter(bound).quick_test(viewer)

    def _filter(self, bound: Bound) -> StreamFilter:
        (filter,) = bound.values
        assert isinstance(filter, StreamFilter)
        return filter


@dataclass(frozen=True, eq=False)
class TicketFollowing(TicketChanges):
    """The changes of the one ticket with the id that is given; for staff also those of its deliveries, each with the
    delivery's `state` after it."""

    def read(self, arguments: Arguments) -> Bound:
        return super().read({"filter": {"ids": [arguments["id"]]}})

    def sources(self, role: Role) -> list[EventSource]:
        deliveries = EventSource(_DELIVERY_EVENTS, "DeliveryChange", self._deliveries)
        return [*super().sources(role), *([deliveries] if role in STAFF else [])]

    def _deliveries(self, draft: Draft, event: Row) -> Select[Any]:
        asked, delivery = Asked(), draft.alias(DELIVERY.table)
        seen = exists().where(delivery.c.id == event.c.delivery_id, DELIVERY.visible(delivery, draft.viewer))
        follows, streams = event.c.ticket_id == asked.column("ticket", UUID(as_uuid=False)), asked.rows()
        those = select(numbers_of(streams)).select_from(streams).where(follows).lateral(draft.name())
        return select(event, those.c.streams).select_from(event.join(those, those.c.streams.is_not(None))).where(seen)

    def columns(self, bound: Bound) -> Mapping[str, Any]:
        return {**super().columns(bound), "ticket": self.ticket(bound)}

    def routes(self, bound: Bound, viewer: Viewer) -> frozenset[str]:
        routes = super().routes(bound, viewer)
        return routes | {deliveries_route(self.ticket(bound))} if viewer.role in STAFF else routes

    def ticket(self, bound: Bound) -> str:
        """The ticket's key."""
        ((key,),) = self._filter(bound).values
        return str(key)


@dataclass(frozen=True, eq=False)
class TicketChangesPage(TicketChanges):
    """A query's root field: a page of the changes that `TicketChanges` streams, and the cursor at its end."""

    @property
    def cost(self) -> int:
        return 2

    def read(self, arguments: Arguments) -> Bound:
        size, _ = page_size(arguments)
        return replace(super().read(arguments), size=size)

    def messages(self, root: Selection, message: str) -> list[list[Selection]]:
        """One selection for each alias of `nodes`."""
        return [part.fields for part in root.fields if part.name == "nodes"]


@dataclass(frozen=True, eq=False)
class NoteAdditions(Stream):
    """The notes that are added to one ticket and that the viewer sees."""

    def read(self, arguments: Arguments) -> Bound:
        return Bound(None, (key_of(arguments["ticketId"], TICKET.prefix, "ticket"),))

    def changes(self, draft: Draft, event: Row) -> Select[Any]:
        asked, note = Asked(), draft.alias(NOTE.table)
        seen = exists().where(note.c.id == event.c.note_id, NOTE.visible(note, draft.viewer))
        added = event.c.kind == literal_column(f"'{TicketEventKind.NOTE_ADDED}'")
        follows, streams = event.c.ticket_id == asked.column("ticket", UUID(as_uuid=False)), asked.rows()
        those = select(numbers_of(streams)).select_from(streams).where(follows).lateral(draft.name())
        there = those.c.streams.is_not(None)
        return select(event, those.c.streams).select_from(event.join(those, there)).where(added, seen)

    def columns(self, bound: Bound) -> Mapping[str, Any]:
        return {"ticket": bound.values[0]}

    def routes(self, bound: Bound, viewer: Viewer) -> frozenset[str]:
        return frozenset({f"ticket:{bound.values[0]}"})

    def quick_test(self, bound: Bound, viewer: Viewer) -> QuickTest:
        sees_internal = viewer.role in STAFF
        return lambda event: event.kind == TicketEventKind.NOTE_ADDED and (event.public or sees_internal)


@dataclass(frozen=True, eq=False)
class Imaged(FieldMapping):
    """The ticket as an event left it; null if the viewer could not see it then or cannot see it now."""

    def render(self, render: Render, row: NamedRow, selection: Selection) -> str:
        source, image = render.source(selection, row, lambda draft: (image_of(draft.this.c.after, OWN), []))
        return f"CASE WHEN {row.name}.shown THEN (SELECT {render.object(selection.fields, image)} FROM {source}) END"


@dataclass(frozen=True, eq=False)
class OwnKey(FieldMapping):
    """The idempotency key of the request that has caused an event, for its author alone."""

    def render(self, render: Render, row: NamedRow, selection: Selection) -> str:
        render.is_personal = True
        return render.expression(selection, row, lambda draft: _own_key(draft.this, draft.viewer))


def _own_key(event: Row, viewer: ViewerParameter) -> ColumnElement[Any]:
    kind: ColumnElement[str] = literal_column(f"'{ActorKind(viewer.role.value)}'")
    return case((and_(event.c.actor_kind == kind, event.c.actor_id == viewer.id), event.c.idempotency_key))


def _word(word: str) -> ColumnElement[str]:
    return literal_column(f"'{word}'", Text())


def compile_stream(
    root: Selection, role: Role, shapes: Sequence[Hashable], marks: Marks, snippets: Snippets
) -> Compiled:
    """The statement of streams with this selection, role and shapes; its parameters are `EVENTS` and `ASKED`. It
    returns a row for each message about one of the events, ordered by the event's time and id: the event's `id` and
    `at`, the numbers of the streams that get the message, and a JSON document for each selection of the message, with
    marks."""
    mapping = root.mapping
    assert isinstance(mapping, Stream)
    render, texts = Render(snippets, role, shapes, marks), []
    for source in mapping.sources(role):
        rows, row = render.source(root, NO_ROW, source.rows, about=source.message)
        documents = [render.object(fields, row) for fields in mapping.messages(root, source.message)]
        columns = ", ".join([f"{row.name}.{name}" for name in ("id", "at", "streams")] + documents)
        texts.append(f"SELECT {columns} FROM {rows}")
    statement = render.statement(" UNION ALL ".join(texts) + " ORDER BY at, id")
    return Compiled(statement, has_links=render.has_links, is_personal=render.is_personal)


@dataclass(frozen=True, slots=True)
class StreamedEvent:
    """An event as streams deliver it: its id and time, the JSON documents of its message, and the numbers of the
    streams that it is delivered to, among those that were asked about."""

    event: str
    at: datetime
    streams: Sequence[int]
    documents: tuple[bytes, ...]


class Reader:
    """Reads a stream's events with the arguments of one request."""

    def __init__(
        self, root: Selection, compiled: Compiled, bounds: Sequence[Bound], viewer: Viewer, database: Database
    ) -> None:
        assert isinstance(root.mapping, Stream)
        self._compiled = compiled
        self._arguments = compiled.arguments(bounds, viewer)
        self._columns = root.mapping.columns(bounds[0])
        self._database = database

    async def of(self, events: Sequence[str]) -> list[StreamedEvent]:
        """The events, among those with these ids, that concern the stream, in order. Raises the database's errors."""
        return await self.of_all(events, [self])

    async def of_all(self, events: Sequence[str], readers: Sequence[Reader]) -> list[StreamedEvent]:
        """The same for several streams, which differ from this one only in the values of their arguments. An event that
        means different things to them is there several times."""
        asked = orjson.dumps([{"n": n, **reader._columns} for n, reader in enumerate(readers)]).decode()
        arguments = self._compiled.given(self._arguments, {EVENTS: events, ASKED: asked})
        rows = await self._database.fetch(self._compiled.statement.text, *arguments)
        return [StreamedEvent(str(id), at, streams, tuple(documents)) for id, at, streams, *documents in rows]
