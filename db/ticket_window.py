"""Live windows: the mapping of `ticketsLive`, and the statements that read its rows.

A window is the first page of a list that is kept in step with it. One statement reads the list: the edges of the page,
and of as many rows beyond it only what sorts them, so that rows can leave without reading the list again. Another reads
given tickets, if they are in the list.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Self

from graphql import print_ast
from sqlalchemy import FromClause, any_, bindparam, func
from sqlalchemy.dialects.postgresql import ARRAY, UUID

from db.compiler.fields import One
from db.compiler.render import Compiled
from db.compiler.selection import Arguments, Bound, Marks, Render, Selection
from db.compiler.snippets import NO_ROW, OWN, Draft, NamedRow, Snippets
from db.entities import ARTICLE, CUSTOMER, PROPERTY, TECHNICIAN
from db.enums import AuditObjectKind, Role
from db.events.position import NOW
from db.events.stream_cursor import Unsettled
from db.lists.order_in_memory import InMemoryOrder, Key
from db.lists.page import Many, Page, PageShape
from db.lists.plan import found
from db.lists.query import Stretch
from db.planner import fence, of_any_length
from db.postgres.pool import Database
from db.sql import Condition, select_star
from db.stream_filter import StreamFilter
from db.viewer import Viewer

SNAPSHOT, PATCH = "WindowSnapshot", "WindowPatch"
"""The types of the messages."""

REFERENCES: Final = {"customer_id": CUSTOMER, "property_id": PROPERTY, "technician_id": TECHNICIAN}
"""The columns of a ticket that refer to other objects."""

_KINDS: Final = {
    CUSTOMER.prefix: AuditObjectKind.CUSTOMER,
    PROPERTY.prefix: AuditObjectKind.PROPERTY,
    TECHNICIAN.prefix: AuditObjectKind.TECHNICIAN,
    ARTICLE.prefix: AuditObjectKind.ARTICLE,
}
"""The entities whose changes the audit trail has, by the prefixes of their ids."""

KEPT_MIN: Final = 10  # rows

IDS: Final = "ids"
"""The parameter of the second statement: the keys of the tickets."""


@dataclass(frozen=True, eq=False)
class Window(Many):
    """A subscription to the first rows of a list of tickets."""

    live: bool = True

    def read(self, arguments: Arguments) -> Bound:
        bound = super().read(arguments)
        assert isinstance(bound.shape, PageShape)
        return replace(bound, shape=replace(bound.shape, most=max(KEPT_MIN, 2 * bound.shape.most)))

    def filter(self, bound: Bound) -> StreamFilter:
        assert isinstance(bound.shape, PageShape)
        return StreamFilter.of(bound.shape.criteria, bound.values)

    def first_and_beyond(self, draft: Draft) -> tuple[FromClause, list[Condition]]:
        """The first rows of the list, `most` of them: the entity's columns and the row's number, `rn`."""
        query = self.query(draft)
        rows = query.subquery(found(query, draft.shape.most, Stretch()))
        return select_star(rows, func.row_number().over().label("rn")).subquery(OWN), []

    def with_ids(self, draft: Draft) -> tuple[FromClause, list[Condition]]:
        """The rows of the list that have one of the ids."""
        query = self.query(draft)
        target = query.alias()
        ids = of_any_length(bindparam(IDS, type_=ARRAY(UUID(as_uuid=False))))
        given = query.subquery(fence(select_star(target).where(target.c.id == any_(ids))))
        return select_star(given).where(*query.matching(given)).subquery(OWN), []


class CompiledWindow(Compiled):
    """The statement that reads the list; and `of_ids`, which reads given tickets. Both return a row for each ticket:
    its `id`, the columns that sort it, and the JSON of its edge in `edge0`, `edge1` and so on, with marks, one for each
    selection in `edge_selections`; beyond the page they are null."""

    __slots__ = ("of_ids",)

    def __init__(self, whole: Compiled, of_ids: Compiled) -> None:
        super().__init__(whole.statement, has_links=whole.has_links, is_personal=whole.is_personal)
        self.of_ids = of_ids


def compile_window(
    root: Selection, role: Role, shapes: Sequence[Any], marks: Marks, snippets: Snippets
) -> CompiledWindow:
    """The statements of a window with this selection, role and shapes."""
    return CompiledWindow(
        _whole(root, role, Render(snippets, role, shapes, marks)),
        _of_ids(root, role, Render(snippets, role, shapes, marks)),
    )


def _whole(root: Selection, role: Role, render: Render) -> Compiled:
    mapping = _mapping(root)
    source = render.source(root, NO_ROW, mapping.first_and_beyond, about="rows")
    size = render.expression(root, NO_ROW, mapping.size, about="size")
    rows = _rows(root, role, render, source, present=f"{source[1].name}.rn <= {size}", more=("rn",))
    total = render.expression(root, NO_ROW, mapping.total, about="total") if selects_total(root) else "0"
    # Fenced, so that the total and the position are computed once.
    list_ = f"SELECT {total} AS total, {NOW} AS position, {_RECOVERING} OFFSET 0"
    text = f"SELECT * FROM ({list_}) AS list LEFT JOIN ({rows}) AS page ON true ORDER BY page.rn"
    return Compiled(render.statement(text), has_links=render.has_links, is_personal=render.is_personal)


def _of_ids(root: Selection, role: Role, render: Render) -> Compiled:
    source = render.source(root, NO_ROW, _mapping(root).with_ids, about="ids")
    rows = _rows(root, role, render, source, present="true")
    text = f"SELECT * FROM (SELECT {_RECOVERING}) AS list LEFT JOIN ({rows}) AS page ON true"
    return Compiled(render.statement(text), has_links=render.has_links, is_personal=render.is_personal)


_RECOVERING: Final = "pg_is_in_recovery() AS recovering"


def _rows(
    root: Selection,
    role: Role,
    render: Render,
    source: tuple[str, NamedRow],
    *,
    present: str,
    more: Sequence[str] = (),
) -> str:
    """The rows of a source, with their edges where `present` holds."""
    text, row = source
    page = Page(_mapping(root), render, NO_ROW, root, source)
    order = order_of(root, render.shape(root), role)
    sorting = [] if order is None else order.columns
    columns = [f"{row.name}.{name}" for name in (*more, *sorting)]
    columns += [f"CAST({row.name}.{name} AS TEXT) AS {name}" for name in ("id", *REFERENCES)]
    for number, fields in enumerate(edge_selections(root).different):
        columns.append(f"CASE WHEN {present} THEN to_json({page.edge(fields)}) END AS edge{number}")
    return f"SELECT {', '.join(columns)} FROM {text}{page.derived}"


def _mapping(root: Selection) -> Window:
    assert isinstance(root.mapping, Window)
    return root.mapping


def order_of(root: Selection, shape: PageShape, role: Role) -> InMemoryOrder | None:
    """The window's order in memory; None if the database alone can sort by it."""
    return InMemoryOrder.of(_mapping(root).listing, shape.order, role)


def selects_total(root: Selection) -> bool:
    return any(field.name == "totalCount" for message in (SNAPSHOT, PATCH) for field in root.types[message])


@dataclass(frozen=True, slots=True)
class EdgeSelections:
    """The selections of an edge, which differ if a document asks for other fields in a snapshot than in a patch.
    `different` has each once, and `places` says for a field which one is its."""

    different: Sequence[list[Selection]]
    places: Mapping[int, int]

    def place(self, field: Selection) -> int:
        return self.places[id(field)]


def edge_selections(root: Selection) -> EdgeSelections:
    fields = [field for field in root.types[SNAPSHOT] if field.name == "edges"]
    for operations in root.types[PATCH]:
        if operations.name == "operations":
            fields += [field for type_ in operations.types.values() for field in type_ if field.name == "edge"]
    different: list[list[Selection]] = []
    places: dict[int, int] = {}
    for field in fields:
        place = next((n for n, other in enumerate(different) if _alike(other, field.fields)), len(different))
        if place == len(different):
            different.append(field.fields)
        places[id(field)] = place
    return EdgeSelections(different, places)


def _alike(one: Sequence[Selection], other: Sequence[Selection]) -> bool:
    """Whether two selections of the same type have the same JSON."""
    return len(one) == len(other) and all(map(_alike_fields, one, other))


def _alike_fields(one: Selection, other: Selection) -> bool:
    if (one.key, one.name, _arguments(one)) != (other.key, other.name, _arguments(other)):
        return False
    return one.types.keys() == other.types.keys() and all(
        _alike(one.types[name], other.types[name]) for name in one.types
    )


def _arguments(field: Selection) -> set[str]:
    return set() if field.site is None else {print_ast(argument) for argument in field.site.node.arguments or ()}


@dataclass(frozen=True, slots=True)
class ShownObjects:
    """The kinds of other objects that a window shows: those that its tickets refer to, and `further` ones."""

    referenced: frozenset[AuditObjectKind]
    further: frozenset[AuditObjectKind]


def shown_objects(root: Selection) -> ShownObjects:
    referenced: set[AuditObjectKind] = set()
    further: set[AuditObjectKind] = set()

    def visit(fields: Sequence[Selection], *, of_ticket: bool) -> None:
        for field in fields:
            mapping = field.mapping
            if isinstance(mapping, One | Many) and mapping.entity.prefix in _KINDS:
                is_reference = of_ticket and isinstance(mapping, One) and mapping.column in REFERENCES
                (referenced if is_reference else further).add(_KINDS[mapping.entity.prefix])
            for below in field.types.values():
                visit(below, of_ticket=False)

    for edge in edge_selections(root).different:
        for field in edge:
            visit(field.fields if field.name == "node" else [], of_ticket=True)
    return ShownObjects(frozenset(referenced), frozenset(further))


@dataclass(frozen=True, slots=True)
class WindowRow:
    """A ticket of the list. `key` is None if the database alone can sort by the order; `edges` are the JSON of its
    edge, one for each selection, with their `digest`, both None beyond the page; `references` are the global ids of its
    customer, property and technician."""

    id: str
    key: Key | None
    edges: tuple[bytes, ...] | None
    digest: int | None
    references: frozenset[str]

    @property
    def without_edges(self) -> Self:
        """The row as it is kept: a window's JSON may be megabytes."""
        return replace(self, edges=None)


@dataclass(frozen=True, slots=True)
class WindowRead:
    """The list at a position: its total, and its first rows in order. `is_whole` says whether these are all."""

    position: str
    total: int
    rows: Sequence[WindowRow]
    is_whole: bool


class WindowReader:
    """Reads the rows of a window with the arguments of one request."""

    def __init__(
        self, root: Selection, compiled: CompiledWindow, bounds: Sequence[Bound], viewer: Viewer, database: Database
    ) -> None:
        shape = bounds[0].shape
        assert isinstance(shape, PageShape)
        self.order = order_of(root, shape, viewer.role)
        self._compiled = compiled
        self._database = database
        self.most = shape.most
        self._edges = [f"edge{number}" for number in range(len(edge_selections(root).different))]
        self._whole = compiled.arguments(bounds, viewer)
        self._of_ids = compiled.of_ids.arguments(bounds, viewer)

    async def whole(self) -> WindowRead:
        """Reads the list. Raises `Unsettled`, and the database's errors."""
        records = await self._database.fetch(self._compiled.statement.text, *self._whole)
        rows = self._rows(records)
        position = records[0]["position"]
        if position is None:
            raise Unsettled("the event log has no state, as in the middle of a restore")
        return WindowRead(position, records[0]["total"], rows, len(rows) < self.most)

    async def of_ids(self, ids: Collection[str]) -> Sequence[WindowRow]:
        """Reads the tickets with these ids that are in the list, in any order. Raises the same."""
        compiled = self._compiled.of_ids
        arguments = compiled.given(self._of_ids, {IDS: list(ids)})
        return self._rows(await self._database.fetch(compiled.statement.text, *arguments))

    def _rows(self, records: Sequence[Any]) -> Sequence[WindowRow]:
        if records[0]["recovering"]:
            raise Unsettled("the database is a standby, or is being restored")
        return [self._row(record) for record in records if record["id"] is not None]

    def _row(self, record: Any) -> WindowRow:
        read = tuple(record[name] for name in self._edges)
        edges = None if None in read else read
        return WindowRow(
            record["id"],
            None if self.order is None else self.order.key(record.__getitem__),
            edges,
            None if edges is None else hash(edges),
            frozenset(
                f"{entity.prefix}_{record[name]}" for name, entity in REFERENCES.items() if record[name] is not None
            ),
        )
