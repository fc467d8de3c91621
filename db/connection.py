"""Connections: pages of an entity's rows by keyset, as the Relay cursor connections specification has them.

A page starts after (or before) a cursor, which is the sort values and the id of a row, so that every page costs the
same however deep it lies. Totals and the neighbouring pages are looked up only where they are selected.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    Text,
    and_,
    case,
    cast,
    exists,
    false,
    func,
    literal_column,
    not_,
    or_,
    select,
    true,
    tuple_,
    union_all,
)
from sqlalchemy import column as named_column
from sqlalchemy.dialects.postgresql import ARRAY, aggregate_order_by

from db import limits
from db.cursors import decode_page_cursor, parse_int, parse_text, parse_time, parse_uuid
from db.enums import Role
from db.errors import BadInput
from db.filters import Criteria, Slots
from db.mapping import EMPTY, Arguments, Bound, Entity, Expression, FieldMapping
from db.visibility import Asker, Condition, Row

if TYPE_CHECKING:
    from db.compiler import Render, Selection


@dataclass(frozen=True)
class SortKey:
    """Something to sort by: its value for a row, and how that value is read back from a cursor."""

    value: Callable[[Row, Asker], ColumnElement[Any]]
    parse: Callable[[Any], Any]


def by_column(name: str, parse: Callable[[Any], Any]) -> SortKey:
    return SortKey(lambda row, asker: row.c[name], parse)


def by_text(name: str) -> SortKey:
    return by_column(name, parse_text)


def by_time(name: str) -> SortKey:
    return by_column(name, parse_time)


BY_ID = by_column("id", parse_uuid)

Path = tuple[str, ...]
"""Where among nested criteria one stands, by their names."""

RANK = "RANK"

Order = tuple[tuple[str, bool], ...]
"""Sort keys by name, each with whether it descends."""


@dataclass(frozen=True)
class Ranking:
    """The order of a list that is searched, best match first: by a number, the smaller the better, and then by the
    list's own keys. `search` is the criterion, whose term the conditions and values are made of.

    With `tiers`, conditions on a row from the best match to the poorest, the number is the first that holds, and each
    tier is looked up by itself, as far as it is needed.
    """

    search: Path
    tiers: Callable[[Row, ColumnElement[Any], Asker], list[Condition]] | None = None
    number: Callable[[Row, ColumnElement[Any]], ColumnElement[int]] | None = None

    def value(self, row: Row, term: ColumnElement[Any], asker: Asker) -> ColumnElement[Any]:
        if self.number is not None:
            return self.number(row, term)
        assert self.tiers is not None
        tiers = self.tiers(row, term, asker)
        return case(*((tier, literal_column(str(rank))) for rank, tier in enumerate(tiers)))


@dataclass(frozen=True)
class Listing:
    """How an entity is listed: what it can be sorted by, the order where none is asked for, and its criteria, which
    are arguments of the field. The id breaks ties, in the direction of the last key."""

    keys: Mapping[str, SortKey]
    default: Order
    criteria: Criteria = field(default_factory=lambda: Criteria({}))
    total: Callable[[Any, Asker, Any], ColumnElement[int] | None] = lambda shape, asker, parameter: None
    """A quicker way to the count of rows of a criteria shape, where there is one."""
    ranking: Ranking | None = None
    """How the list is sorted where it is searched."""
    search: Path = ()
    """Where among the criteria a search stands."""
    selective: tuple[Path, ...] = ()
    """Criteria that leave so few rows that a search needs no help."""
    partition: Path = ()
    """A criterion `In` the column of its name, whose values have their rows ordered by the `partitioned` keys."""
    partitioned: frozenset[str] = frozenset()


Restriction = Callable[[Row], list[Condition]]


def _anything(target: Row) -> list[Condition]:
    return []


def given_at(shape: Any, path: Path) -> Any:
    """The shape of the criterion at `path`, or None if it was not given."""
    for name in path:
        shape = dict(shape).get(name)
        if shape is None:
            return None
    return shape if path else None


@dataclass(frozen=True, slots=True)
class PageShape:
    """What of a page's arguments changes the statement."""

    criteria: Hashable
    order: Order
    size: int
    backward: bool
    after: int | None  # the slot of the cursor's first value
    before: int | None


@dataclass(frozen=True)
class Many(FieldMapping):
    """A connection to the rows of `entity` that `on` ties to this row, or to all where it is None."""

    entity: Entity
    listing: Listing
    on: Callable[[Row, Row], Condition] | None = None

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

    def _order(self, arguments: Arguments, criteria: Hashable) -> Order:
        ranking = self.listing.ranking
        if ranking is not None and given_at(criteria, ranking.search) is not None:
            return ((RANK, False), *self.listing.default)
        given = arguments.get("orderBy")
        if not given:
            return self.listing.default
        order: dict[str, bool] = {}
        for item in given:
            order.setdefault(str(item["field"]), str(item["direction"]) == "DESC")
        return tuple(order.items())

    def _cursor(self, cursor: str | None, order: Order, slots: Slots) -> int | None:
        if cursor is None:
            return None
        parsers = [parse_int if name == RANK else self.listing.keys[name].parse for name, _ in order] + [BY_ID.parse]
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
    """One page in the making. Its row source has the entity's columns and `rn`, the row's number counted from the
    side that the page starts at, up to one more than the page holds (that last one only tells that there is more), and
    `n`, how many rows that makes."""

    def __init__(self, many: Many, render: Render, row: Row, selection: Selection, shape: PageShape) -> None:
        self._many = many
        self._render = render
        self._row = row
        self._selection = selection
        self._shape = shape
        self._outer = [row]  # what the rows' own statement refers to outside of itself
        self.used = False
        self.rows = self._page_rows()

    def part(self, part: Selection) -> Expression:
        match part.name:
            case "nodes":
                return self._all(self._render.object(part.fields, self.rows))
            case "edges":
                return self._all(self._render.pairs([(field.key, self._edge(field)) for field in part.fields]))
            case "pageInfo":
                return self._render.pairs([(field.key, self._page_info(field)) for field in part.fields])
            case "totalCount":
                return self._total()
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

    # The rows

    def _matching(self, target: Row) -> list[Condition]:
        """What every row of the list fulfils, whatever the page."""
        many = self._many
        conditions = [many.entity.visible(target, self._render.asker)]
        if many.on is not None:
            conditions.append(many.on(self._row, target))
        conditions.append(self._criteria(target))
        return conditions

    def _criteria(self, target: Row) -> Condition:
        return self._many.listing.criteria.build(target, self._shape.criteria, self._parameter, self._render.asker)

    def _parameter(self, slot: int, type_: Any) -> ColumnElement[Any]:
        return self._render.parameter(self._selection, slot, type_)

    def _sorted_by(self, target: Row) -> list[tuple[ColumnElement[Any], bool]]:
        listing, asker = self._many.listing, self._render.asker
        keys = [
            (self._rank(target) if name == RANK else listing.keys[name].value(target, asker), descending)
            for name, descending in self._shape.order
        ]
        return [*keys, (BY_ID.value(target, asker), self._shape.order[-1][1])]

    def _rank(self, target: Row) -> ColumnElement[Any]:
        if "rank" in target.c:
            return target.c.rank
        ranking = self._many.listing.ranking
        assert ranking is not None
        return ranking.value(target, self._term(ranking), self._render.asker)

    def _term(self, ranking: Ranking) -> ColumnElement[Any]:
        return self._parameter(given_at(self._shape.criteria, ranking.search).slot, Text())

    def _page_rows(self) -> Row:
        found = self._found(self._shape.size + 1).subquery(self._render.name())
        numbered = select(found, func.row_number().over().label("rn"), func.count().over().label("n"))
        return numbered.subquery(self._render.name())

    def _found(self, limit: int) -> Select[Any]:
        """The first `limit` rows of the page and beyond, in order."""
        listing, shape = self._many.listing, self._shape
        if shape.order[0][0] == RANK and listing.ranking is not None:
            return self._ranked(limit, listing.ranking)
        whole = self._many.on is None and self._render.asker.role is Role.ADMIN
        if not whole:
            fenced = self._many.on is None and self._render.asker.role is Role.TECHNICIAN
            return self._first(limit, _anything, fenced=fenced)
        slot = given_at(shape.criteria, listing.partition) if shape.order[0][0] in listing.partitioned else None
        if slot is None:
            return self._searched(limit, _anything)
        column = listing.partition[-1]
        part = self._parts(slot, column)
        self._outer.append(part)
        of_part = self._searched(limit, lambda target: [target.c[column] == part.c.value]).lateral(self._render.name())
        merged = select(of_part).select_from(part.join(of_part, true()))
        return merged.order_by(*self._direction(of_part)).limit(literal_column(str(limit)))

    def _ranked(self, limit: int, ranking: Ranking) -> Select[Any]:
        if ranking.tiers is None or self._render.asker.role is not Role.ADMIN:
            return self._first(limit, _anything, fenced=True)
        count = len(ranking.tiers(self._many.entity.table, self._term(ranking), self._render.asker))
        tiers = [self._tier(limit, ranking, rank) for rank in range(count)]
        merged = union_all(*(select(tier) for tier in tiers)).subquery(self._render.name())
        return select(merged).order_by(*self._direction(merged)).limit(literal_column(str(limit)))

    def _tier(self, limit: int, ranking: Ranking, rank: int) -> Row:
        """The first rows of one tier: by the list's own order, in which there may be an index."""
        assert ranking.tiers is not None
        target = self._render.alias(self._many.entity.table)
        *better, own = ranking.tiers(target, self._term(ranking), self._render.asker)[: rank + 1]
        number = literal_column(str(rank), Integer()).label("rank")
        keys = [(literal_column(str(rank), Integer()), False), *self._sorted_by(target)[1:]]
        direction = self._direction(target)[1:]
        rows = select(target, number).where(own, not_(or_(false(), *better)), *self._bounds(target, keys))
        ordered = rows.order_by(*direction).limit(literal_column(str(limit))).correlate(*self._outer)
        return ordered.subquery(self._render.name())

    def _parts(self, slot: int, column: str) -> Any:
        """The values that the list is filtered by, as rows. Each has an index that yields its rows in order, while an
        index over all of them may pass a million others before the first."""
        type_ = self._many.entity.table.c[column].type
        values = func.unnest(self._parameter(slot, ARRAY(type_)), type_=type_)
        return values.table_valued(named_column("value", type_), name=self._render.name()).render_derived()

    def _searched(self, limit: int, restriction: Restriction) -> Select[Any]:
        """Like `_first`. A frequent term is found soon by going through the list in its order, a rare one by its
        trigrams, and each way is hopeless for the other kind: so the list's first rows are gone through, and only if
        they don't yield enough are all matches fetched and sorted."""
        listing, shape = self._many.listing, self._shape
        search = given_at(shape.criteria, listing.search)
        if search is None or any(given_at(shape.criteria, path) is not None for path in listing.selective):
            return self._first(limit, restriction, fenced=False)
        window = self._ordered(search.window, lambda target: [*self._bounds(target), *restriction(target)])
        first = window.subquery(self._render.name())
        hits = (
            select(first)
            .where(self._criteria(first))
            .order_by(*self._direction(first))
            .limit(literal_column(str(limit)))
            .cte(self._render.name(), nesting=True)
        )
        enough = select(func.count()).select_from(hits).scalar_subquery() >= literal_column(str(limit))
        others = self._first(limit, restriction, fenced=True).subquery(self._render.name())
        both = union_all(select(hits).where(enough), select(others).where(~enough)).subquery(self._render.name())
        return select(both).order_by(*self._direction(both))

    def _first(self, limit: int, restriction: Restriction, *, fenced: bool) -> Select[Any]:
        """The first `limit` rows that match, in order; `fenced`: by fetching all that match and sorting them, whatever
        the planner thinks."""

        def conditions(target: Row) -> list[Condition]:
            return [*self._matching(target), *self._bounds(target), *restriction(target)]

        if not fenced:
            return self._ordered(limit, conditions)
        target = self._render.alias(self._many.entity.table)
        matching = select(target).where(*conditions(target)).offset(literal_column("0")).correlate(*self._outer)
        rows = matching.subquery(self._render.name())
        return select(rows).order_by(*self._direction(rows)).limit(literal_column(str(limit)))

    def _ordered(self, limit: int, conditions: Restriction) -> Select[Any]:
        target = self._render.alias(self._many.entity.table)
        ordered = select(target).where(*conditions(target)).order_by(*self._direction(target))
        return ordered.limit(literal_column(str(limit))).correlate(*self._outer)

    def _direction(self, rows: Row) -> list[ColumnElement[Any]]:
        backward = self._shape.backward
        return [key.desc() if descending is not backward else key.asc() for key, descending in self._sorted_by(rows)]

    def _bounds(self, target: Row, sorted_by: list[tuple[ColumnElement[Any], bool]] | None = None) -> list[Condition]:
        """After and before which cursors."""
        keys, shape = sorted_by or self._sorted_by(target), self._shape
        bounds = []
        if shape.after is not None:
            bounds.append(self._past(keys, shape.after))
        if shape.before is not None:
            bounds.append(self._past([(key, not descending) for key, descending in keys], shape.before))
        return bounds

    def _past(
        self, keys: Sequence[tuple[ColumnElement[Any], bool]], slot: int, *, inclusive: bool = False
    ) -> Condition:
        """The rows that come after the cursor at `slot`, in the order of `keys`."""
        cursor = [self._parameter(slot + place, key.type) for place, (key, _) in enumerate(keys)]
        if len({descending for _, descending in keys}) == 1:
            left, right = tuple_(*(key for key, _ in keys)), tuple_(*cursor)
            if keys[0][1]:
                return left <= right if inclusive else left < right
            return left >= right if inclusive else left > right
        alternatives: list[Condition] = []
        for place, (key, descending) in enumerate(keys):
            same = [earlier == value for (earlier, _), value in zip(keys[:place], cursor, strict=False)]
            alternatives.append(and_(*same, key < cursor[place] if descending else key > cursor[place]))
        if inclusive:
            alternatives.append(and_(*(key == value for (key, _), value in zip(keys, cursor, strict=True))))
        return or_(false(), *alternatives)

    # What is made of them

    def _in_page(self) -> Condition:
        self.used = True
        return self.rows.c.rn <= literal_column(str(self._shape.size))

    def _all(self, element: Expression) -> Expression:
        in_page = self._in_page()
        if self._shape.backward:
            collected = func.json_agg(aggregate_order_by(element, self.rows.c.rn.desc()))
        else:
            collected = func.json_agg(element)
        return func.coalesce(collected.filter(in_page), EMPTY)

    def _more(self) -> Expression:
        self.used = True
        return func.count() > literal_column(str(self._shape.size))

    def _cursor(self) -> Expression:
        """Base64 (URL-safe, unpadded) of a JSON array: the order, the sort values, the id."""
        values = [key for key, _ in self._sorted_by(self.rows)]
        fingerprint: Expression = literal_column(f"'{self._many._fingerprint(self._shape.order)}'")
        encoded = func.encode(
            func.convert_to(cast(func.json_build_array(fingerprint, *values), Text), "UTF8"), "base64"
        )
        return func.translate(encoded, "+/=\n", "-_")

    def _cursor_at(self, *, last: bool) -> Expression:
        self.used = True
        number = func.least(self.rows.c.n, literal_column(str(self._shape.size))) if last else literal_column("1")
        return func.max(self._cursor()).filter(self.rows.c.rn == number)

    def _beyond(self, slot: int | None, *, following: bool) -> Expression:
        """Whether the list has a row on the other side of the cursor that the page starts from."""
        if slot is None:
            return literal_column("false")
        target = self._render.alias(self._many.entity.table)
        keys = self._sorted_by(target)
        if not following:
            keys = [(key, not descending) for key, descending in keys]
        there = exists().where(*self._matching(target), self._past(keys, slot, inclusive=True))
        return there.correlate(self._row)

    def _total(self) -> Expression:
        shortcut = None
        if self._many.on is None:
            shortcut = self._many.listing.total(self._shape.criteria, self._render.asker, self._parameter)
        if shortcut is not None:
            return shortcut
        target = self._render.alias(self._many.entity.table)
        return (
            select(func.count())
            .select_from(target)
            .where(*self._matching(target))
            .correlate(self._row)
            .scalar_subquery()
        )


def page_size(arguments: Arguments) -> tuple[int, bool]:
    """How many rows, and whether they are the last ones. Raises `BadInput` unless it is 1 to 100."""
    first, last = arguments.get("first"), arguments.get("last")
    if first is not None and last is not None:
        raise BadInput("Give `first` or `last`, not both.")
    backward = last is not None
    size: int | None = last if backward else first
    if size is None:
        return limits.PAGE_DEFAULT, False
    if not 1 <= size <= limits.PAGE_MAX:
        raise BadInput(f"`{'last' if backward else 'first'}` must be from 1 to {limits.PAGE_MAX}.")
    return size, backward
