"""Connections: pages of an entity's rows, as in the Relay cursor connections specification.

A page starts after (or before) a cursor, which contains the sort values and the id of a row (keyset pagination), so
that every page costs the same, however deep in the list. The total and the existence of neighbouring pages are looked
up only if they are selected.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Integer, Text, and_, cast, exists, func, literal_column
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import TypeEngine

from db import limits
from db.compiler.selection import Arguments, Bound, FieldMapping, Render, Selection
from db.compiler.snippets import OWN, Draft, NamedRow
from db.entity import Entity
from db.errors import BadInput
from db.lists.criteria import Parameters, Slots
from db.lists.listing import BY_ID, RANKING_KEYS, Listing, Order
from db.lists.page_cursor import decode_page_cursor
from db.lists.plan import found, total
from db.lists.query import CursorBound, ListQuery, Stretch
from db.lists.shapes import CriteriaShape
from db.lists.texts import TERM
from db.planner import number, of_any_length
from db.sql import EMPTY_LIST, Condition, Expression, Row, select_star

ROUND_SIZES = (1, 5, 10, 20, 50, limits.PAGE_MAX)
"""The planner has to see how many rows are looked up, so a page's statement looks up the next of these numbers. How
many of them the page has is a parameter: otherwise each number would be a statement of its own."""


@dataclass(frozen=True, slots=True)
class PageShape:
    """The argument shape of a connection."""

    criteria: CriteriaShape
    order: Order
    most: int  # one of `ROUND_SIZES`
    size: int  # the slot of the page's size, which is at most `most`
    backward: bool
    after: int | None  # the slot of the cursor's first value
    before: int | None


@dataclass(frozen=True, eq=False)
class Many(FieldMapping):
    """A connection to the rows of `entity` whose column `referenced_by` holds this row's id; or to all of them if it is
    None. Rows of which the viewer may not know what the column holds are left out (`Entity.revealed`)."""

    entity: Entity
    listing: Listing
    referenced_by: str | None = None
    live: bool = False
    """Whether the criteria also decide about the images of events (`Slots`)."""

    @property
    def cost(self) -> int:
        return 2

    def read(self, arguments: Arguments) -> Bound:
        slots = Slots(words_are_values=True, live=self.live)
        criteria = self.listing.criteria.read(arguments, slots)
        order = self._order(arguments, criteria)
        if not self._takes_words_as_values(criteria, order):
            slots = Slots(live=self.live)
            criteria = self.listing.criteria.read(arguments, slots)
        size, backward = page_size(arguments)
        after = self._cursor(arguments.get("after"), order, slots)
        before = self._cursor(arguments.get("before"), order, slots)
        most = next(each for each in ROUND_SIZES if each >= size)
        shape = PageShape(criteria, order, most, slots.put(size), backward, after, before)
        return Bound(shape, tuple(slots.values), size, slots.criteria)

    def _takes_words_as_values(self, criteria: CriteriaShape, order: Order) -> bool:
        """Whether no plan depends on the words of the criteria: the list is read part by part (`db/lists/in_order.py`),
        and its total is stored. For other lists the planner has to see the words."""
        listing = self.listing
        in_parts = listing.counted & (listing.index_suffix | set(listing.enumerated.values()))
        if self.referenced_by is not None or not listing.criteria.columns(criteria) <= in_parts:
            return False
        return criteria.is_flat() and not any(listing.keys[name].unique for name, _ in order)

    def _order(self, arguments: Arguments, criteria: CriteriaShape) -> Order:
        ranking = self.listing.ranking
        if ranking is not None and criteria.at(ranking.search) is not None:
            return ranking.order(self.listing.default)
        given = arguments.get("orderBy")
        if not given:
            return self.listing.default
        order: dict[str, bool] = {}
        for item in given:
            order.setdefault(str(item["field"]), str(item["direction"]) == "DESC")
            if self.listing.keys[str(item["field"])].unique:
                break
        return tuple(order.items())

    def _cursor(self, cursor: str | None, order: Order, slots: Slots) -> int | None:
        if cursor is None:
            return None
        parsers = [RANKING_KEYS.get(name) or self.listing.keys[name].parse for name, _ in order] + [BY_ID.parse]
        values = decode_page_cursor(cursor, self._fingerprint(order), parsers)
        first, *_ = [slots.put(value) for value in values]
        return first

    def _fingerprint(self, order: Order) -> str:
        return f"{self.entity.prefix}:" + ",".join(name + ("-" if descending else "+") for name, descending in order)

    def render(self, render: Render, row: NamedRow, selection: Selection) -> str:
        return Page(self, render, row, selection).text()

    def query(self, draft: Draft) -> ListQuery:
        """The list's query; a snippet's row is the one that the list belongs to."""
        shape: PageShape = draft.shape
        return ListQuery(
            entity=self.entity,
            listing=self.listing,
            criteria=shape.criteria,
            order=shape.order,
            on=partial(self._refers, draft, self.referenced_by) if self.referenced_by else None,
            outer=draft.this,
            parameters=Parameters(partial(_parameter, draft)),
            viewer=draft.viewer,
            names=draft,
            visible=self.entity.visible,
        )

    def _refers(self, draft: Draft, column: str, other: Row) -> Condition:
        """The other row has the id of this one in `column`, and the viewer may know it."""
        refers, revealed = other.c[column] == draft.this.c.id, self.entity.revealed.get(column)
        return refers if revealed is None else and_(refers, revealed(other, draft.viewer))

    def rows(self, draft: Draft) -> tuple[FromClause, list[Condition]]:
        """The rows of a page: the entity's columns; `rn`, the row's number, counted from the end that the page starts
        at; and `n`, the number of rows that were looked up. They are up to one more than the page holds: that last one
        only shows that there are more. If texts are searched, each row has the term, too."""
        shape: PageShape = draft.shape
        after = () if shape.after is None else (CursorBound(shape.after, after=True),)
        before = () if shape.before is None else (CursorBound(shape.before, after=False),)
        query = self.query(draft)
        rows = query.subquery(found(query, shape.most + 1, Stretch(after + before, shape.backward)))
        # Without an ORDER BY, which would sort again: the rows come in the order of the subquery.
        term = [] if query.text is None else [query.text.label(TERM)]
        numbered = query.subquery(
            select_star(rows, func.row_number().over().label("rn"), func.count().over().label("n"), *term)
        )
        return select_star(numbered).where(numbered.c.rn <= self.size(draft) + number(1)).subquery(OWN), []

    def size(self, draft: Draft) -> ColumnElement[int]:
        """The number of rows of a page."""
        return draft.parameter(draft.shape.size, Integer())

    def total(self, draft: Draft) -> Expression:
        return total(self.query(draft))

    def continues(self, draft: Draft, slot: int, *, following: bool) -> Condition:
        """Whether the list has a row on the other side of the page cursor, including the cursor's own row."""
        there = Stretch((CursorBound(slot, after=following, inclusive=True),), backward=not following)
        query = self.query(draft)
        return exists(select_star(query.subquery(found(query, 1, there))))

    def cursor(self, draft: Draft) -> Expression:
        """A row's page cursor: a JSON array of the order, the sort values and the id, in URL-safe, unpadded Base64."""
        values = [key for key, _ in self.query(draft).keys(draft.this)]
        fingerprint: Expression = literal_column(f"'{self._fingerprint(draft.shape.order)}'")
        encoded = func.encode(
            func.convert_to(cast(func.json_build_array(fingerprint, *values), Text), "UTF8"), "base64"
        )
        return func.translate(encoded, "+/=\n", "-_")


class Page:
    """A page while it is rendered. `source` are its rows, if they are not those of `many`."""

    def __init__(
        self,
        many: Many,
        render: Render,
        row: NamedRow,
        selection: Selection,
        source: tuple[str, NamedRow] | None = None,
    ) -> None:
        self._many = many
        self._render = render
        self._row = row
        self._selection = selection
        self._shape: PageShape = render.shape(selection)
        self._source = source
        self.derived = ""
        """What has to be added to the FROM clause of the page's rows."""

    def text(self) -> str:
        page = self._render.pairs([(part.key, self._part(part)) for part in self._selection.fields])
        return page if self._source is None else f"(SELECT {page} FROM {self._source[0]}{self.derived})"

    @property
    def _rows(self) -> NamedRow:
        """The page's rows, which are looked up only if something of them is selected."""
        if self._source is None:
            self._source = self._render.source(self._selection, self._row, self._many.rows, about="rows")
        return self._source[1]

    def _expression(self, build: Callable[[Draft], Expression], about: Hashable) -> str:
        return self._render.expression(self._selection, self._row, build, about=about)

    @property
    def _size(self) -> str:
        return self._expression(self._many.size, "size")

    def _part(self, part: Selection) -> str:
        match part.name:
            case "nodes":
                return self._all(self._object(self._render.selected(part.fields, self._rows)))
            case "edges":
                return self._all(self.edge(part.fields))
            case "pageInfo":
                return self._render.pairs([(field.key, self._page_info(field)) for field in part.fields])
            case "totalCount":
                return self._expression(self._many.total, "total")
            case "streamCursor":
                return self._render.position()
            case _:
                return self._render.value(part, self._row)

    def edge(self, fields: Sequence[Selection]) -> str:
        """The edge with these fields of each of the page's rows."""
        return self._object([(field.key, self._edge(field)) for field in fields])

    def _edge(self, field: Selection) -> str:
        match field.name:
            case "node":
                return self._object(self._render.selected(field.fields, self._rows))
            case "cursor":
                return self._cursor()
            case _:
                return self._render.value(field, self._rows)

    def _page_info(self, field: Selection) -> str:
        backward = self._shape.backward
        match field.name:
            case "hasNextPage":
                return self._beyond(self._shape.before, following=True) if backward else self._more()
            case "hasPreviousPage":
                return self._more() if backward else self._beyond(self._shape.after, following=False)
            case "startCursor":
                return self._cursor_at(last=backward)
            case "endCursor":
                return self._cursor_at(last=not backward)
            case _:
                return self._render.value(field, self._row)

    def _object(self, pairs: Sequence[tuple[str, str]]) -> str:
        """The object of these pairs for each of the page's rows."""
        each, derived = self._render.derived(pairs)
        self.derived += derived
        return each

    def _all(self, element: str) -> str:
        rn = f"{self._rows.name}.rn"
        # The rows are numbered from the end that the page starts at, so a page from the end is turned around.
        order = f" ORDER BY {rn} DESC" if self._shape.backward else ""
        return f"coalesce(json_agg({element}{order}) FILTER (WHERE {rn} <= {self._size}), {EMPTY_LIST})"

    def _more(self) -> str:
        return f"count({self._rows.name}.rn) > {self._size}"

    def _cursor(self) -> str:
        return self._render.expression(self._selection, self._rows, self._many.cursor, about="cursor")

    def _cursor_at(self, *, last: bool) -> str:
        rows = self._rows.name
        place = f"least({rows}.n, {self._size})" if last else "1"
        return f"max({self._cursor()}) FILTER (WHERE {rows}.rn = {place})"

    def _beyond(self, slot: int | None, *, following: bool) -> str:
        if slot is None:
            return "false"
        return self._expression(partial(self._many.continues, slot=slot, following=following), ("beyond", following))


def _parameter(draft: Draft, slot: int, type_: TypeEngine[Any]) -> ColumnElement[Any]:
    value = draft.parameter(slot, type_)
    return of_any_length(value) if isinstance(type_, ARRAY) else value


def page_size(arguments: Arguments) -> tuple[int, bool]:
    """The number of rows, and whether they are the last ones. Raises `BadInput` if both `first` and `last` are given,
    or if the number is not between 1 and `PAGE_MAX`."""
    first, last = arguments.get("first"), arguments.get("last")
    if first is not None and last is not None:
        raise BadInput("Use either `first` or `last`, not both.")
    backward = last is not None
    size: int | None = last if backward else first
    if size is None:
        return limits.PAGE_DEFAULT, False
    if not 1 <= size <= limits.PAGE_MAX:
        raise BadInput(f"`{'last' if backward else 'first'}` must be between 1 and {limits.PAGE_MAX}.")
    return size, backward
