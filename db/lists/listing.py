"""Listings: the declaration of how an entity can be sorted, filtered and searched.

`db/lists/plan.py` finds the rows of a list, and `db/lists/page.py` makes pages of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, FromClause, case

from db.enums import Role
from db.lists.criteria import Contains, Criteria, Parameters, Term
from db.lists.page_cursor import parse_int, parse_text, parse_time, parse_uuid
from db.lists.shapes import CriteriaShape, Path, SearchShape, ValueShape
from db.lists.texts import HasText
from db.planner import number
from db.sql import Condition, Row
from db.visibility import ViewerParameter


@dataclass(frozen=True)
class SortKey:
    """A sort key: its value for a row, and the parser of that value in a page cursor."""

    value: Callable[[Row, ViewerParameter], ColumnElement[Any]]
    parse: Callable[[Any], Any]
    unique: bool = False
    """No two rows have the same value, so any sort keys after this one have no effect."""
    column: Callable[[Role], str] | None = None
    """The column that has the value, by role; None if it is computed. The column is never null."""


def by_column(name: str, parse: Callable[[Any], Any]) -> SortKey:
    return SortKey(lambda row, viewer: row.c[name], parse, column=lambda role: name)


def by_text(name: str) -> SortKey:
    return by_column(name, parse_text)


def by_time(name: str) -> SortKey:
    return by_column(name, parse_time)


BY_ID = by_column("id", parse_uuid)

RANK, TIER_ORDER = "rank", "tier_order"
RANKING_KEYS = {RANK: parse_int, TIER_ORDER: parse_text}
"""The sort keys of a ranked search, with their parsers: how well a row matches, and the order among equal matches."""

QUERY = "search_query"
"""An additional column of the rows of a search in stages: the query that the row matches."""

LEAST_RELEVANT = 1_000_000
"""The highest rank within a stage."""

STAGE_SIZE = 2_000_000
"""A stage's ranks start at the stage's number, counted from 0, times this."""

Order: TypeAlias = tuple[tuple[str, bool], ...]
"""Sort keys by name, each with whether it descends."""

Keys: TypeAlias = Sequence[tuple[ColumnElement[Any], bool]]
"""An order's values for a row, each with whether it descends."""


@dataclass(frozen=True)
class Tier:
    """Rows that match equally well: those that match `condition` and are in no better tier, sorted by `by`. An index
    finds them by `index_condition`, which `condition` implies. If that index has them in this order, the tier is
    `ordered`, and the two conditions are equivalent."""

    condition: Condition
    by: ColumnElement[Any]
    index_condition: Condition
    ordered: bool = False


@dataclass(frozen=True)
class Stage:
    """One way to match a row's `search_vector`. `asked` is a row with the text query, in the column `QUERY`, and what
    else `relevance` needs: the relevance of a match, from 0 to 1."""

    asked: Callable[[Term, ViewerParameter], FromClause]
    relevance: Callable[[ColumnElement[Any], Callable[[str], ColumnElement[Any]]], ColumnElement[Any]]
    """Takes the vector, and a function that returns a column of `asked`."""


@dataclass(frozen=True)
class Ranking:
    """The order of a list while it is searched: best match first. `search` is the path of the criterion with the term.

    There are two kinds. With `tiers`, from the best to the worst, each has an order of its own, and is read only as far
    as the better ones leave room on the page. With `stages`, the list has the matches of the first stage that has any,
    the most relevant first, and equally relevant ones in the list's default order.
    """

    search: Path
    tiers: Callable[[Row, Term, ViewerParameter], list[Tier]] | None = None
    stages: tuple[Stage, ...] = ()

    def order(self, default: Order) -> Order:
        return ((RANK, False), *(default if self.tiers is None else ((TIER_ORDER, False),)))

    def value(self, name: str, row: Row, term: Term, viewer: ViewerParameter) -> ColumnElement[Any]:
        """A row's value for one of the `RANKING_KEYS`."""
        if name in row.c:
            return row.c[name]
        assert self.tiers is not None
        tiers = enumerate(self.tiers(row, term, viewer))
        return case(*((tier.condition, number(rank) if name == RANK else tier.by) for rank, tier in tiers))


Total: TypeAlias = Callable[[CriteriaShape, ViewerParameter, Parameters], ColumnElement[int] | None]


@dataclass(frozen=True)
class Listing:
    """How an entity is listed: its sort keys, its default order, and its criteria, which are arguments of the field.
    The id breaks ties, in the direction of the last key."""

    keys: Mapping[str, SortKey]
    default: Order
    criteria: Criteria = field(default_factory=lambda: Criteria({}))
    total: Total = lambda shape, viewer, parameters: None
    """A quicker way to count the rows that match a shape; returns None if it does not apply."""
    counted: frozenset[str] = frozenset()
    """The columns by which it counts: a total by criteria on only these is stored."""
    ranking: Ranking | None = None
    """The order of the list while it is searched; None if a search does not change it."""
    search: Path = ()
    """The path of the unranked search among the criteria; empty if there is none."""
    text: Path = ()
    """The path of the criterion on the texts of a ticket; empty if there is none."""
    selective: tuple[Path, ...] = ()
    """The paths of criteria that may leave few rows, for which there is an index."""
    enumerated: Mapping[str, str] = field(default_factory=dict)
    """The sort keys whose column is an enum, each with its column. For each set of these columns there are indexes that
    have the rows with equal values in the order of the other sort keys."""
    index_suffix: frozenset[str] = frozenset()
    """Columns at the end of each of these indexes: a condition on only these is tested without fetching the row."""
    owners: frozenset[str] = frozenset()
    """Columns for each of which an index has the rows with an equal value in the default order."""
    owner_suffix: frozenset[str] = frozenset()
    """Enumerated columns at the end of each of these indexes."""
    own: Mapping[Role, tuple[str, ...]] = field(default_factory=dict)
    """By role, the criteria that together are the entity's visibility. Each has an index, no row matches two of them,
    and only the first leaves many rows. They are not arguments: a list for that role is the union of the lists with
    each of them added."""

    def __post_init__(self) -> None:
        assert set(self.enumerated) <= set(self.keys)

    def searches(self, shape: CriteriaShape) -> bool:
        """Whether few or many rows may match the shape, depending on the words that are searched for."""
        return any(shape.at(path) is not None for path in (self.search, self.text))

    def index_conditions(
        self, row: Row, shape: CriteriaShape, parameters: Parameters, viewer: ViewerParameter
    ) -> list[Condition]:
        """Conditions by which an index finds the rows that the searches may match."""
        searched = [(self.criteria.at(path), shape.at(path)) for path in (self.search, self.text) if shape.at(path)]
        conditions = []
        for criterion, given in searched:
            if isinstance(criterion, Contains) and isinstance(given, SearchShape):
                conditions.append(criterion.index_condition(row, given, parameters, viewer))
            if isinstance(criterion, HasText) and isinstance(given, ValueShape):
                conditions.append(criterion.index_condition(row, given, parameters, viewer))
        return conditions
