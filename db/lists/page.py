"""Connections: pages of an entity's rows, as in the Relay cursor connections specification.

A page starts after (or before) a cursor, which contains the sort values and the id of a row (keyset pagination), so
that every page costs the same, however deep in the list. The total and the existence of neighbouring pages are looked
up only if they are selected.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from sqlalchemy import Text, cast, exists, func, literal_column, select
from sqlalchemy.dialects.postgresql import aggregate_order_by

from db import limits
from db.compiler.fields import EMPTY
from db.compiler.selection import Arguments, Bound, FieldMapping, Render, Selection
from db.entity import Entity
from db.errors import BadInput
from db.lists.cursor import decode_page_cursor
from db.lists.filters import Parameters, Slots
from db.lists.listing import BY_ID, RANKING_KEYS, Listing, Order
from db.lists.plan import found, total
from db.lists.query import CursorBound, ListQuery, Stretch
from db.lists.shapes import CriteriaShape
from db.planner import number
from db.sql import Condition, Expression, Row, select_star


@dataclass(frozen=True, slots=True)
class PageShape:
    """The argument shape of a connection."""

    criteria: CriteriaShape
    order: Order
    size: int
    backward: bool
    after: int | None  # the slot of the cursor's first value
    before: int | None


@dataclass(frozen=True)
class Many(FieldMapping):
    """A connection to the rows of `entity` whose column `referenced_by` holds this row's id; or to all of them if it is
    None."""

    entity: Entity
    listing: Listing
    referenced_by: str | None = None

    @property
    def cost(self) -> int:
        return 2

    def read(self, arguments: Arguments) -> Bound:
        slots = Slots()
        criteria = self.listing.criteria.read(arguments, slots)
        order = self._order(arguments, criteria)
        size, backward = page_size(arguments)
        after = self._cursor(arguments.get("after"), order, slots)
        before = self._cursor(arguments.get("before"), order, slots)
        return Bound(PageShape(criteria, order, size, backward, after, before), tuple(slots.values), size)

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

    def render(self, render: Render, row: Row, selection: Selection) -> Expression:
        shape: PageShape = render.shape(selection)
        page = Page(self, render, row, selection, shape)
        query = select(render.pairs([(part.key, page.part(part)) for part in selection.fields]))
        if page.used:
            query = query.select_from(page.rows)
        return query.correlate(row).scalar_subquery()


class Page:
    """A page while it is rendered. Its `rows` have the entity's columns; `rn`, the row's number, counted from the end
    that the page starts at; and `n`, the number of rows. They are up to one more than the page holds: that last one
    only shows that there are more. `used` says whether the page's SQL refers to the rows."""

    def __init__(self, many: Many, render: Render, row: Row, selection: Selection, shape: PageShape) -> None:
        self._many = many
        self._render = render
        self._row = row
        self._shape = shape
        self._query = ListQuery(
            entity=many.entity,
            listing=many.listing,
            criteria=shape.criteria,
            order=shape.order,
            on=partial(_refers, many.referenced_by, row) if many.referenced_by else None,
            outer=row,
            parameters=Parameters(render.parameters(selection)),
            viewer=render.viewer,
            names=render,
            visible=many.entity.visible,
        )
        self.used = False
        self.rows = self._page_rows()

    def _page_rows(self) -> Row:
        shape = self._shape
        after = () if shape.after is None else (CursorBound(shape.after, after=True),)
        before = () if shape.before is None else (CursorBound(shape.before, after=False),)
        rows = self._query.subquery(found(self._query, shape.size + 1, Stretch(after + before, shape.backward)))
        # Without an ORDER BY, which would sort again: the rows come in the order of the subquery.
        numbered = select_star(rows, func.row_number().over().label("rn"), func.count().over().label("n"))
        return numbered.subquery(self._render.name())

    def part(self, part: Selection) -> Expression:
        match part.name:
            case "nodes":
                return self._all(self._render.object(part.fields, self.rows))
            case "edges":
                return self._all(self._render.pairs([(field.key, self._edge(field)) for field in part.fields]))
            case "pageInfo":
                return self._render.pairs([(field.key, self._page_info(field)) for field in part.fields])
            case "totalCount":
                return total(self._query)
            case "streamCursor":
                return self._render.position()
            case _:
                return self._render.value(part, self._row)

    def _edge(self, field: Selection) -> Expression:
        match field.name:
            case "node":
                return self._render.object(field.fields, self.rows)
            case "cursor":
                return self._cursor()
            case _:
                return self._render.value(field, self.rows)

    def _page_info(self, field: Selection) -> Expression:
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

    def _in_page(self) -> Condition:
        self.used = True
        return self.rows.c.rn <= number(self._shape.size)

    def _all(self, element: Expression) -> Expression:
        in_page = self._in_page()
        # The rows are numbered from the end that the page starts at, so a page from the end is turned around.
        if self._shape.backward:
            collected = func.json_agg(aggregate_order_by(element, self.rows.c.rn.desc()))
        else:
            collected = func.json_agg(element)
        return func.coalesce(collected.filter(in_page), EMPTY)

    def _more(self) -> Expression:
        self.used = True
        return func.count() > number(self._shape.size)

    def _cursor(self) -> Expression:
        """A row's page cursor: a JSON array of the order, the sort values and the id, in URL-safe, unpadded Base64."""
        values = [key for key, _ in self._query.keys(self.rows)]
        fingerprint: Expression = literal_column(f"'{self._many._fingerprint(self._shape.order)}'")
        encoded = func.encode(
            func.convert_to(cast(func.json_build_array(fingerprint, *values), Text), "UTF8"), "base64"
        )
        return func.translate(encoded, "+/=\n", "-_")

    def _cursor_at(self, *, last: bool) -> Expression:
        self.used = True
        place = func.least(self.rows.c.n, number(self._shape.size)) if last else number(1)
        return func.max(self._cursor()).filter(self.rows.c.rn == place)

    def _beyond(self, slot: int | None, *, following: bool) -> Expression:
        """Whether the list has a row on the other side of the page's cursor, including the cursor's own row."""
        if slot is None:
            return literal_column("false")
        there = Stretch((CursorBound(slot, after=following, inclusive=True),), backward=not following)
        return exists(select_star(self._query.subquery(found(self._query, 1, there))))


def _refers(column: str, row: Row, other: Row) -> Condition:
    """The other row has this row's id in `column`."""
    return other.c[column] == row.c.id


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
