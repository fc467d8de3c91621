"""What a list asks for: its rows' conditions and sort keys, and the bounds that a page's cursors set."""

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
from db.lists.filters import Parameters, Term
from db.lists.listing import BY_ID, RANK, RANKING_KEYS, Keys, Listing, Order, Ranking
from db.lists.shapes import CriteriaShape, Path, SearchShape, VisibilityShape
from db.planner import materialised, number
from db.sql import Condition, Row, select_star
from db.visibility import Predicate, ViewerParameter

Conditions: TypeAlias = Callable[[Row], list[Condition]]


@dataclass(frozen=True, slots=True)
class CursorBound:
    """The rows on one side of the cursor whose values begin at `slot`: after it in the list's order, or before it.
    `inclusive`: the cursor's own row too."""

    slot: int
    after: bool
    inclusive: bool = False


@dataclass(frozen=True, slots=True)
class Stretch:
    """The part of a list that is looked for, and the end that it starts from."""

    bounds: tuple[CursorBound, ...] = ()
    backward: bool = False


class Names(Protocol):
    """Hands out names that nothing else in the statement has."""

    def alias(self, table: TableClause) -> Row: ...
    def name(self) -> str: ...


@dataclass(frozen=True, kw_only=True)
class ListQuery:
    """The rows of one list: those of `entity` that `on` relates to `outer` (all, where it is None) and that match
    `criteria`, in `order`."""

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
        """The rows of the list that this one of the viewer's own criteria makes visible."""
        fields = (*self.criteria.fields, (name, VisibilityShape()))
        return replace(self, criteria=replace(self.criteria, fields=fields), visible=lambda row, viewer: true())

    def seen_one_by_one(self) -> ListQuery:
        """The same rows, each tested by itself for being visible."""
        return replace(self, visible=self.entity.visible_alone)

    # Names

    def alias(self) -> Row:
        return self.names.alias(self.entity.table)

    def subquery(self, rows: Select[Any]) -> Row:
        return rows.subquery(self.names.name())

    def materialised(self, rows: Select[Any]) -> CTE:
        return materialised(rows, self.names.name())

    # Conditions

    def matching(self, row: Row) -> list[Condition]:
        """Every row of the list matches these."""
        related = [] if self.on is None else [self.on(row)]
        return [self.visible(row, self.viewer), *related, self.satisfies(row, self.criteria)]

    def satisfies(self, row: Row, criteria: CriteriaShape) -> Condition:
        return self.listing.criteria.build(row, criteria, self.parameters, self.viewer)

    def index_conditions(self, row: Row, frequent: Condition | None = None) -> list[Condition]:
        return self.listing.index_conditions(row, self.criteria, self.parameters, frequent)

    def selective(self) -> CriteriaShape:
        """The criteria that may leave few rows; empty if there are none."""
        own = self.listing.own.get(self.viewer.role, ())
        return self.criteria.only((*self.listing.selective, *((name,) for name in own)))

    @property
    def ranking(self) -> Ranking | None:
        """How the list is ranked, if it is."""
        return self.listing.ranking if self.order[0][0] == RANK else None

    def term(self, search: Path) -> Term:
        shape = self.criteria.at(search)
        assert isinstance(shape, SearchShape)
        return self.parameters.term(shape)

    # Order

    def keys(self, row: Row) -> Keys:
        """The row's values for the list's order, the id last."""
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
        """The rows of the way with this number, counted from 0. The others do not run: the condition on each is
        evaluated before it starts. `depends_on` are the tables that `way` refers to."""
        chosen = self.materialised(select(way.label("way")))
        rows = [
            select_star(self.subquery(rows)).where(select(chosen.c.way).scalar_subquery() == number(place))
            for place, rows in enumerate(ways)
        ]
        found = union_all(*rows).subquery(self.names.name())
        ordered = select_star(found).order_by(*direction(self.keys(found), stretch))
        return ordered.add_cte(*depends_on, chosen, nest_here=True)

    # Bounds

    def bounds(self, keys: Keys, stretch: Stretch) -> list[Condition]:
        """The rows lie in the stretch."""
        return [self.beyond(keys, bound.slot, bound) for bound in stretch.bounds]

    def bounds_within_rank(self, keys: Keys, stretch: Stretch, rank: int) -> list[Condition]:
        """The same for rows that are all of one rank, by the keys that come after it."""
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
        """The rows on the bound's side of the values of `keys` that begin at `slot`. `start` replaces the first
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
        # The first condition follows from the others; an index can use it.
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
    """A value less than every value that a key has, and one greater than all."""
    lowest, highest = next(both for type_, both in _EXTREMES.items() if isinstance(key.type, type_))
    return literal_column(lowest, key.type), literal_column(highest, key.type)
