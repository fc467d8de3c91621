"""How an entity is listed, declared: what its lists can be sorted, filtered and searched by.

`db/lists/rows.py` finds the rows of a list, `db/lists/page.py` makes pages of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, FromClause, case

from db.enums import Role
from db.lists.cursor import parse_int, parse_text, parse_time, parse_uuid
from db.lists.filters import Contains, Criteria, Parameter, Term
from db.sql import Condition, Row, number
from db.visibility import Asker


@dataclass(frozen=True)
class SortKey:
    """Something to sort by: its value for a row, and how that value is read back from a cursor."""

    value: Callable[[Row, Asker], ColumnElement[Any]]
    parse: Callable[[Any], Any]
    unique: bool = False
    """No two rows have the same, so whatever else is to be sorted by decides nothing."""


def by_column(name: str, parse: Callable[[Any], Any]) -> SortKey:
    return SortKey(lambda row, asker: row.c[name], parse)


def by_text(name: str) -> SortKey:
    return by_column(name, parse_text)


def by_time(name: str) -> SortKey:
    return by_column(name, parse_time)


BY_ID = by_column("id", parse_uuid)

Path = tuple[str, ...]
"""Where among nested criteria one stands, by their names."""

RANK, TIER_ORDER = "rank", "tier_order"
RANKING_KEYS = {RANK: parse_int, TIER_ORDER: parse_text}
"""What a search is sorted by: how well a row matches, and the order of the rows that match alike."""

QUERY = "search_query"
"""What the rows of a list that is searched in stages have beside their own columns: the query that they match."""

STAGE_SIZE = 2_000_000
"""A stage has the ranks from its number times this on."""

Order = tuple[tuple[str, bool], ...]
"""Sort keys by name, each with whether it descends."""

Keys = Sequence[tuple[ColumnElement[Any], bool]]
"""The same for a row: values, each with whether it descends."""


@dataclass(frozen=True)
class Tier:
    """The rows that match equally well: those of `condition` that are in no better tier, sorted by `by`. An index has
    them in this order; or `lookup`, which follows from the condition, finds them by an index."""

    condition: Condition
    by: ColumnElement[Any]
    lookup: Condition | None = None


@dataclass(frozen=True)
class Stage:
    """One way to match: `query` is what a row's `search_vector` is to match, and `relevance` how well one does, from 0
    to 1."""

    query: Callable[[Term, Asker], ColumnElement[Any]]
    relevance: Callable[[ColumnElement[Any], ColumnElement[Any]], ColumnElement[Any]]  # of the vector, and the query


@dataclass(frozen=True)
class Ranking:
    """The order of a list that is searched, best match first. `search` is the criterion, with the term.

    `tiers`, from the best to the poorest, have orders of their own, and each is looked up as far as the better ones
    leave room. Of `stages`, the list has what matches in the first one that anything matches in, the most relevant
    first, and those that are equally so in the list's own order.
    """

    search: Path
    tiers: Callable[[Row, Term, Asker], list[Tier]] | None = None
    stages: tuple[Stage, ...] = ()

    def order(self, default: Order) -> Order:
        return ((RANK, False), *(default if self.tiers is None else ((TIER_ORDER, False),)))

    def value(self, name: str, row: Row, term: Term, asker: Asker) -> ColumnElement[Any]:
        """What a row has for one of the `RANKING_KEYS`."""
        if name in row.c:
            return row.c[name]
        assert self.tiers is not None
        tiers = enumerate(self.tiers(row, term, asker))
        return case(*((tier.condition, number(rank) if name == RANK else tier.by) for rank, tier in tiers))


@dataclass(frozen=True)
class Listing:
    """How an entity is listed: what it can be sorted by, the order where none is asked for, and its criteria, which
    are arguments of the field. The id breaks ties, in the direction of the last key."""

    keys: Mapping[str, SortKey]
    default: Order
    criteria: Criteria = field(default_factory=lambda: Criteria({}))
    total: Callable[[Any, Asker, Any], ColumnElement[int] | None] = lambda shape, asker, parameter: None
    """A quicker way to the count of rows of a criteria shape, where there is one."""
    tally: Callable[[Mapping[str, Any], Asker, Parameter], FromClause] | None = None
    """A row that tells, for each of the criteria shapes by a column of its name, about how many rows fulfil what it
    says of the columns `tallied`. There must be one where there is a search."""
    tallied: frozenset[str] = frozenset()
    ranking: Ranking | None = None
    """How the list is sorted where it is searched."""
    search: Path = ()
    """Where among the criteria a search stands."""
    selective: tuple[Path, ...] = ()
    """Criteria that may leave few rows, which an index finds."""
    enumerated: Mapping[str, str] = field(default_factory=dict)
    """The keys whose column has few values, each with its column. For each set of these columns there are indexes in
    which the rows that are equal in them lie in the order of what else there is to sort by."""

    carried: frozenset[str] = frozenset()
    """Columns that stand at the end of each index of an order: what is said of them alone is told without the row."""
    own: Mapping[Role, tuple[str, ...]] = field(default_factory=dict)
    """By role, the criteria that together are the entity's predicate; an index tells each, and no row fulfils two. They
    are no arguments: who has such a role has each added to what they ask for, and what that finds put together."""

    def looked_up(
        self, row: Row, shape: Any, parameter: Parameter, frequent: Condition | None = None
    ) -> list[Condition]:
        """What an index tells of the rows that are searched for; less, and sooner, if the term is `frequent`."""
        search = given_at(shape, self.search)
        if search is None:
            return []
        criterion = self.criteria.at(self.search)
        assert isinstance(criterion, Contains)
        return [criterion.lookup(row, search, parameter, frequent)]

    def __post_init__(self) -> None:
        assert set(self.enumerated) <= set(self.keys)


def given_at(shape: Any, path: Path) -> Any:
    """The shape of the criterion at `path`, or None if it was not given."""
    for name in path:
        shape = dict(shape).get(name)
        if shape is None:
            return None
    return shape if path else None


def only(shape: Any, paths: Sequence[Path]) -> Any:
    """Of a shape the criteria at these paths."""
    kept = []
    for name, inner in shape:
        below = [path[1:] for path in paths if path[0] == name]
        if () in below:
            kept.append((name, inner))
        elif below and (narrowed := only(inner, below)):
            kept.append((name, narrowed))
    return tuple(kept)


def without(shape: Any, path: Path) -> Any:
    """A shape but for the criterion at `path`."""
    kept = []
    for name, inner in shape:
        if name != path[0]:
            kept.append((name, inner))
        elif path[1:] and (rest := without(inner, path[1:])):
            kept.append((name, rest))
    return tuple(kept)
