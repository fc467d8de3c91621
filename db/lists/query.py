"""A list's query, which every way of finding its rows uses: conditions, sort keys, and the bounds set by page
cursors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeAlias

from sqlalchemy import (
    CTE,
    ColumnElement,
    DateTime,
    FromClause,
    Integer,
    Select,
    TableClause,
    Text,
    and_,
    case,
    func,
    literal_column,
    or_,
    select,
    true,
    tuple_,
    union_all,
)
from sqlalchemy.dialects.postgresql import UUID
from sqlalchemy.types import TypeEngine

from db.entity import Entity
from db.lists.criteria import Parameters, Term
from db.lists.listing import BY_ID, RANK, RANKING_KEYS, Keys, Listing, Order, Ranking
from db.lists.shapes import CriteriaShape, Path, SearchShape, ValueShape, VisibilityShape
from db.planner import number
from db.sql import Condition, Row, select_star
from db.visibility import Predicate, ViewerParameter

Conditions: TypeAlias = Callable[[Row], list[Condition]]


@dataclass(frozen=True, slots=True)
class CursorBound:
    """The rows after a cursor in the list's order, or before it; with the cursor's own row if `inclusive`. The cursor's
    values start at `slot`."""

    slot: int
    after: bool
    inclusive: bool = False


@dataclass(frozen=True, slots=True)
class Stretch:
    """The part of a list that a page is taken from, and, if `backward`, that it is read from the end."""

    bounds: tuple[CursorBound, ...] = ()
    backward: bool = False


class Names(Protocol):
    """Hands out names that are unique in the statement."""

    def alias(self, table: TableClause) -> Row: ...
    def name(self) -> str: ...


@dataclass(frozen=True, kw_only=True)
class ListQuery:
    """The rows of one list: those of `entity` that `on` relates to `outer` (all of them if it is None), that are
    `visible` to the viewer, and that match `criteria`; in `order`."""

    entity: Entity
    listing: Listing
    criteria: CriteriaShape
    order: Order
    on: Callable[[Row], Condition] | None
    outer: Row
    parameters: Parameters
    viewer: ViewerParameter
    names: Names
    visible: Predicate

    def seen_by(self, name: str) -> ListQuery:
        """The rows of the list that one of the viewer's own criteria (`Listing.own`) makes visible."""
        fields = (*self.criteria.fields, (name, VisibilityShape()))
        return replace(self, criteria=replace(self.criteria, fields=fields), visible=lambda row, viewer: true())

    def seen_one_by_one(self) -> ListQuery:
        """The same rows, with visibility tested for each by itself."""
        return replace(self, visible=self.entity.visible_alone)

    # Names

    def alias(self) -> Row:
        return self.names.alias(self.entity.table)

    def subquery(self, rows: Select[Any]) -> Row:
        return rows.subquery(self.names.name())

    def cte(self, rows: Select[Any]) -> CTE:
        return rows.cte(self.names.name())

    # Conditions

    def matching(self, row: Row) -> list[Condition]:
        """The conditions that a row of the list matches, all of them."""
        related = [] if self.on is None else [self.on(row)]
        return [self.visible(row, self.viewer), *related, self.satisfies(row, self.criteria)]

    def satisfies(self, row: Row, criteria: CriteriaShape) -> Condition:
        return self.listing.criteria.build(row, criteria, self.parameters, self.viewer)

    def index_conditions(self, row: Row) -> list[Condition]:
        return self.listing.index_conditions(row, self.criteria, self.parameters, self.viewer)

    @property
    def searches(self) -> bool:
        return self.listing.searches(self.criteria)

    @property
    def text(self) -> ColumnElement[Any] | None:
        """The term that is searched for in texts; None if there is none."""
        shape = self.criteria.at(self.listing.text)
        if shape is None:
            return None
        assert isinstance(shape, ValueShape)
        return self.parameters(shape.slot, Text())

    def selective(self) -> CriteriaShape:
        """The given criteria that may leave few rows; empty if none of them was given."""
        own = self.listing.own.get(self.viewer.role, ())
        return self.criteria.only((*self.listing.selective, *((name,) for name in own)))

    @property
    def ranking(self) -> Ranking | None:
        """The ranking, or None if the list is in another order."""
        return self.listing.ranking if self.order[0][0] == RANK else None

    def term(self, search: Path) -> Term:
        shape = self.criteria.at(search)
        assert isinstance(shape, SearchShape)
        return self.parameters.term(shape)

    # Order

    def keys(self, row: Row) -> Keys:
        """The row's values for the list's order, with the id last."""
        return self.keys_of(self.order, row)

    def keys_of(self, order: Order, row: Row) -> Keys:
        keys = [(self.key(name, row), descending) for name, descending in order]
        return [*keys, (BY_ID.value(row, self.viewer), order[-1][1])]

    def key(self, name: str, row: Row) -> ColumnElement[Any]:
        if name not in RANKING_KEYS:
            return self.listing.keys[name].value(row, self.viewer)
        assert self.listing.ranking is not None
        return self.listing.ranking.value(name, row, self.term(self.listing.ranking.search), self.viewer)

    def first(self, rows: Row, limit: int, stretch: Stretch) -> Select[Any]:
        """The first `limit` of these rows in the list's order."""
        return select_star(rows).order_by(*direction(self.keys(rows), stretch)).limit(number(limit))

    def one_of(
        self, ways: Sequence[Select[Any]], way: ColumnElement[int], stretch: Stretch, *depends_on: CTE
    ) -> Select[Any]:
        """The rows, in order, of the way whose number, counted from 0, is the SQL expression `way`. The other ways do
        not run, because PostgreSQL tests the condition of each before it starts. `depends_on` are the common table
        expressions that `ways` and `way` use."""
        chosen = self.cte(select(way.label("way")))
        rows = [
            select_star(self.subquery(rows)).where(select(chosen.c.way).scalar_subquery() == number(place))
            for place, rows in enumerate(ways)
        ]
        found = union_all(*rows).subquery(self.names.name())
        ordered = select_star(found).order_by(*direction(self.keys(found), stretch))
        return ordered.add_cte(*depends_on, chosen, nest_here=True)

    # Bounds

    def bounds(self, keys: Keys, stretch: Stretch) -> list[Condition]:
        """The conditions that the keys lie in the stretch."""
        return [self.beyond(keys, bound.slot, bound) for bound in stretch.bounds]

    def bounds_within_rank(self, keys: Keys, stretch: Stretch, rank: int) -> list[Condition]:
        """The same for rows of a single rank; `keys` are those after the rank. If the cursor has a lower rank, all of
        the rows come after it, and if it has a higher one, none of them does."""
        key, descending = keys[0]
        lowest, highest = extremes(key)
        first, last = (highest, lowest) if descending else (lowest, highest)
        conditions = []
        for bound in stretch.bounds:
            given = self.parameters(bound.slot, Integer())
            value = self.parameters(bound.slot + 1, key.type)
            start = case((given == number(rank), value), (given < number(rank), first), else_=last)
            conditions.append(self.beyond(keys, bound.slot + 1, bound, start=start))
        return conditions

    def beyond(
        self,
        keys: Keys,
        slot: int,
        bound: CursorBound,
        *,
        inclusive: bool = False,
        start: ColumnElement[Any] | None = None,
    ) -> Condition:
        """The keys are on the bound's side of the cursor whose values start at `slot`. `start` replaces the first
        value."""
        inclusive = inclusive or bound.inclusive
        cursor = [self.parameters(slot + place, key.type) for place, (key, _) in enumerate(keys)]
        if start is not None:
            cursor[0] = start
        rising = [descending is not bound.after for _, descending in keys]
        if len(set(rising)) == 1:
            left, right = tuple_(*(key for key, _ in keys)), tuple_(*cursor)
            if rising[0]:
                return left >= right if inclusive else left > right
            return left <= right if inclusive else left < right
        alternatives: list[Condition] = []
        for place, ((key, _), value) in enumerate(zip(keys, cursor, strict=True)):
            same = [earlier == known for (earlier, _), known in zip(keys[:place], cursor, strict=False)]
            alternatives.append(and_(*same, key > value if rising[place] else key < value))
        if inclusive:
            alternatives.append(and_(*(key == value for (key, _), value in zip(keys, cursor, strict=True))))
        # The first condition is implied by the alternatives. It is there for the index, which cannot use an OR.
        key = keys[0][0]
        return and_(key >= cursor[0] if rising[0] else key <= cursor[0], or_(*alternatives))


def count_of(rows: FromClause) -> ColumnElement[int]:
    return select(func.count()).select_from(rows).scalar_subquery()


def direction(keys: Keys, stretch: Stretch) -> list[ColumnElement[Any]]:
    return [key.desc() if descending is not stretch.backward else key.asc() for key, descending in keys]


_EXTREMES: Mapping[type[TypeEngine[Any]], tuple[str, str]] = {
    DateTime: ("'-infinity'::timestamptz", "'infinity'::timestamptz"),
    UUID: ("'00000000-0000-0000-0000-000000000000'::uuid", "'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid"),
    Text: ("''", "U&'\\+10FFFF'"),
}


def extremes(key: ColumnElement[Any]) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """A value below and a value above every value that the key can have."""
    lowest, highest = next(both for type_, both in _EXTREMES.items() if isinstance(key.type, type_))
    return literal_column(lowest, key.type), literal_column(highest, key.type)
