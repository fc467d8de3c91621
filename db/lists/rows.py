"""Which rows a page of a list has, and how they are found without reading many more.

A list goes through one of these ways, all of which yield the first rows of a `Stretch` in order:

- *in order*: through an index that has the rows in the list's order, part by part where no index has all of them so;
- *sorted*: all that matches is fetched and sorted, where little matches or nothing has an order;
- *either way*: a search, of which nobody knows beforehand whether it is of many rows or of few;
- *tier by tier*, or *in stages*: a search whose best matches come first.

`docs/decisions/search.md`, `docs/decisions/sorts.md` and `docs/decisions/articles.md` say why.
"""

from __future__ import annotations

import copy
import functools
import itertools
import operator
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import (
    CTE,
    Boolean,
    ColumnElement,
    DateTime,
    FromClause,
    Integer,
    Select,
    TableClause,
    Text,
    and_,
    case,
    cast,
    exists,
    func,
    literal_column,
    not_,
    null,
    or_,
    select,
    true,
    tuple_,
    union_all,
)
from sqlalchemy import column as named_column
from sqlalchemy.dialects.postgresql import UUID
from sqlalchemy.types import TypeEngine

from db.entity import Entity
from db.enums import Role
from db.lists.filters import PIECE, Parameter, Term, unguessed
from db.lists.listing import (
    BY_ID,
    QUERY,
    RANK,
    RANKING_KEYS,
    STAGE_SIZE,
    TIER_ORDER,
    Keys,
    Listing,
    Order,
    Path,
    Ranking,
    Stage,
    Tier,
    given_at,
    only,
    without,
)
from db.sql import Condition, Row, decimal, number, select_star
from db.visibility import Asker, sees_more_tickets

WINDOW = 2_000
"""Through how many rows of a list is gone for a search before an index is asked. A term that one row in forty has
fills a page by then, and one that fewer have has few enough matches to sort."""

WALKED, PASSED, FETCHED, READ, COMPARED = 2.5, 0.15, 1.2, 0.08, 0.04
"""What a search costs, in microseconds or so: to go past a row of a list, or past one that the index tells to be none
of it; to fetch a row that an index has told of; to read an entry of the index of a search, and for each of the term's
trigrams to compare it."""

FREQUENT = 70
"""In how many rows of the window a term must be to be looked up by a piece of it: the others say little more, and each
of its trigrams has as many entries."""

TIER_WINDOW = 1_000

RANKED_WINDOW = 2_000
"""How many of a list's first rows are ranked where a search matches more than can all be."""

RANKED_FREQUENT = 40
"""In how many rows of that window there must be a match for them to be too many to rank each."""

LEAST_RELEVANT = 1_000_000
"""The highest rank within a stage."""

NARROW, CARRIED_NARROW = 25_000, 6_000
"""Of how many rows it can still be looked at each; and where what selects them is in the indexes of the orders."""


FEW_TICKETS = 2_500
"""So many tickets that a viewer sees are looked at to find what is on them."""

TIER_FREQUENT = 15
"""In how many rows of a tier's window a term must be for the tier to be gone through in order."""

Conditions = Callable[[Row], list[Condition]]


@dataclass(frozen=True, slots=True)
class Mark:
    """Which rows, seen from the cursor at `slot`: those behind it in the list's order, or those before it; and whether
    its own row is among them."""

    slot: int
    behind: bool
    inclusive: bool = False


@dataclass(frozen=True, slots=True)
class Stretch:
    """What of a list is looked for, and from which end."""

    marks: tuple[Mark, ...]
    backward: bool


class Names(Protocol):
    """Hands out names that nothing else in the statement has."""

    def alias(self, table: TableClause) -> Row: ...
    def name(self) -> str: ...


class Rows:
    """The rows of one list: those of `entity` that `on` ties to `outer` (all, where it is None), as far as they fulfil
    `criteria`, by `order`."""

    def __init__(
        self,
        entity: Entity,
        listing: Listing,
        criteria: Hashable,
        order: Order,
        *,
        on: Callable[[Row], Condition] | None,
        outer: Row,
        parameter: Parameter,
        asker: Asker,
        names: Names,
    ) -> None:
        self._entity = entity
        self._listing = listing
        self._criteria = criteria
        self._order = order
        self._on = on
        self._outer = outer
        self._parameter = parameter
        self._asker = asker
        self._names = names
        self._visible = entity.visible

    def matching(self, target: Row) -> list[Condition]:
        """What every row of the list fulfils."""
        tied = [] if self._on is None else [self._on(target)]
        return [self._visible(target, self._asker), *tied, self._fulfils(target)]

    def keys(self, target: Row) -> Keys:
        """What the rows are sorted by, the id last."""
        return self._keys(self._order, target)

    def _keys(self, order: Order, target: Row) -> Keys:
        keys = [(self._key(name, target), descending) for name, descending in order]
        return [*keys, (BY_ID.value(target, self._asker), order[-1][1])]

    def found(self, limit: int, stretch: Stretch) -> Select[Any]:
        """The first `limit` rows of the stretch, in order."""
        role, ranking = self._asker.role, self._ranking()
        if ranking is not None and ranking.stages:
            return self._staged(limit, stretch, ranking)
        if self._on is None:
            if role is Role.ADMIN:
                return self._in_full(limit, stretch)
            if role in self._listing.own:
                return self._own(limit, stretch)
            if self._entity.seen_on_few(self._asker):
                return self._on_tickets(limit, stretch)
        if ranking is not None or (self._on is None and role is Role.TECHNICIAN):
            return self._sorted(limit, stretch)
        return self._in_order(limit, stretch, self.matching, ())

    def _ranking(self) -> Ranking | None:
        """How the list is ranked, if it is."""
        return self._listing.ranking if self._order[0][0] == RANK else None

    def _in_full(self, limit: int, stretch: Stretch) -> Select[Any]:
        """Of who may see any row, or asks of each whether they do."""
        ranking = self._ranking()
        return self._listed(limit, stretch) if ranking is None else self._tiered(limit, stretch, ranking)

    def _on_tickets(self, limit: int, stretch: Stretch) -> Select[Any]:
        """Of a role that sees what is on tickets that it sees: from these, where they are few, and else by asking of
        one row after the other whether it is on one."""
        rows = copy.copy(self)
        rows._visible = self._entity.visible_alone
        way = case((sees_more_tickets(self._asker, number(FEW_TICKETS)), number(1)), else_=number(0))
        return self._one_of([self._sorted(limit, stretch), rows._in_full(limit, stretch)], way, stretch)

    def _own(self, limit: int, stretch: Stretch) -> Select[Any]:
        """Of a role that sees the rows of some criteria: what each of them finds."""
        found = [
            self._seen_by(name)._listed(limit, stretch).subquery(self._names.name())
            for name in self._listing.own[self._asker.role]
        ]
        both = union_all(*(select_star(rows) for rows in found)).subquery(self._names.name())
        return select_star(both).order_by(*_direction(self.keys(both), stretch)).limit(number(limit))

    def _seen_by(self, name: str) -> Rows:
        """The rows of the list that this criterion lets the asker see."""
        given: Any = self._criteria
        rows = copy.copy(self)
        rows._criteria = (*given, (name, None))
        rows._visible = lambda row, asker: true()
        return rows

    def _listed(self, limit: int, stretch: Stretch) -> Select[Any]:
        if given_at(self._criteria, self._listing.search) is not None:
            return self._searched(limit, stretch)
        parted_by, selected_by = self._parted_by(), self._listing.criteria.columns(self._selecting())
        walked = parted_by or (self._by_unique_key() and not selected_by <= self._listing.carried)
        in_order = self._in_order(limit, stretch, self._walked if walked else self.matching, parted_by)
        if not self._selecting() or not (parted_by or self._by_unique_key()):
            return in_order
        way = case((self._is_narrow(), number(0)), else_=number(1))
        return self._one_of([self._selected(limit, stretch), in_order], way, stretch)

    def total(self) -> ColumnElement[int]:
        kept = None if self._on is not None else self._listing.total(self._criteria, self._asker, self._parameter)
        if kept is not None:
            return kept
        ranking = self._listing.ranking
        if ranking is not None and ranking.stages and given_at(self._criteria, ranking.search) is not None:
            counts = [self._count_of_matches(self._query(stage, ranking)) for stage in ranking.stages]
            return functools.reduce(
                lambda rest, count: func.coalesce(func.nullif(count, number(0)), rest), reversed(counts)
            )
        target = self._alias()
        count = select(func.count()).select_from(target).where(*self.matching(target), *self._looked_up(target))
        return count.correlate(self._outer).scalar_subquery()

    # Of a row

    def _fulfils(self, target: Row) -> Condition:
        return self._listing.criteria.build(target, self._criteria, self._parameter, self._asker)

    def _looked_up(self, target: Row, frequent: Condition | None = None) -> list[Condition]:
        return self._listing.looked_up(target, self._criteria, self._parameter, frequent)

    def _key(self, name: str, target: Row) -> ColumnElement[Any]:
        if name not in RANKING_KEYS:
            return self._listing.keys[name].value(target, self._asker)
        assert self._listing.ranking is not None
        return self._listing.ranking.value(name, target, self._term(self._listing.ranking.search), self._asker)

    def _term(self, search: Path) -> Term:
        return self._parameter.term(given_at(self._criteria, search))

    def _alias(self) -> Row:
        return self._names.alias(self._entity.table)

    # Sorted

    def _sorted(self, limit: int, stretch: Stretch, *more: Conditions) -> Select[Any]:
        """By fetching all that match and sorting them, whatever the planner thinks."""
        target = self._alias()
        conditions = [*self.matching(target), *self._bounds(self.keys(target), stretch)]
        conditions += [condition for each in more for condition in each(target)]
        ranks = [self._key(name, target).label(name) for name, _ in self._order if name in RANKING_KEYS]
        matching = select_star(target, *ranks).where(*conditions).offset(number(0)).correlate(self._outer)
        rows = matching.subquery(self._names.name())
        return select_star(rows).order_by(*_direction(self.keys(rows), stretch)).limit(number(limit))

    # In order

    def _in_order(self, limit: int, stretch: Stretch, conditions: Conditions, parted_by: Sequence[str]) -> Select[Any]:
        """By going through the rows in the list's order.

        An index has its rows in the order of one sort, while lists are sorted by several fields, in mixed directions,
        and filtered. So the list is gone through part by part: the rows that are equal in the columns `parted_by`
        are a part, which an index has in order, from the first row on that is of the stretch.
        """
        target = self._alias()
        keys = self.keys(target)
        if not parted_by:
            rows = select_star(target).where(*conditions(target), *self._bounds(keys, stretch))
            ordered = rows.order_by(*_direction(keys, stretch)).limit(number(limit))
            return ordered.correlate(self._outer)
        part = self._parts(parted_by, stretch)
        leading = len(self._leading())
        of_part = (
            select_star(target)
            .where(
                *conditions(target),
                *(target.c[column] == part.c[column] for column in parted_by),
                *(self._bounds_in(part, keys, stretch) if leading else self._bounds(keys, stretch)),
            )
            .order_by(*_direction(keys[leading:], stretch))
            .limit(number(limit))
            .correlate(self._outer, part)
            .lateral(self._names.name())
        )
        within = self.keys(of_part)[leading:]
        order = _direction([*self._leading_of(part), *within], stretch)
        found = select_star(of_part).select_from(part.join(of_part, true()))
        if len(parted_by) > leading:
            return found.order_by(*order).limit(number(limit))
        # One part after the other, as a nested loop takes them, and no part beyond the last that is needed: a sort
        # would go on to the next part's first row to know that one has ended, and that may be far.
        first = found.limit(number(limit)).subquery(self._names.name())
        return select_star(first).order_by(*_direction(self.keys(first), stretch))

    def _leading(self) -> list[str]:
        """The columns of the order's first keys, as far as these are enumerated."""
        columns = [self._listing.enumerated.get(name) for name, _ in self._order]
        return [column for column in itertools.takewhile(bool, columns) if column]

    def _leading_of(self, part: Row) -> list[tuple[ColumnElement[Any], bool]]:
        return [(part.c[column], self._order[place][1]) for place, column in enumerate(self._leading())]

    def _by_unique_key(self) -> bool:
        """Whether the parts are in the order of a unique key, of which an index has all rows alone."""
        following = self._order[len(self._leading()) :]
        return bool(following) and self._listing.keys[following[0][0]].unique

    def _carried(self) -> frozenset[str]:
        return frozenset() if self._by_unique_key() else self._listing.carried

    def _parted_by(self) -> list[str]:
        """The columns that the order begins with, and those that the criteria restrict."""
        leading = self._leading()
        if self._by_unique_key():
            return leading
        restricted = [
            column
            for column in self._listing.enumerated.values()
            if column not in leading and self._listing.criteria.about({column}, self._criteria)
        ]
        return leading + restricted

    def _parts(self, columns: Sequence[str], stretch: Stretch) -> Row:
        """The parts that can have rows of the stretch, in order."""
        values: list[Any] = []
        for column in columns:
            type_ = self._entity.table.c[column].type
            every = func.unnest(func.enum_range(cast(null(), type_)), type_=type_)
            values.append(every.table_valued(named_column(column, type_), name=self._names.name()).render_derived())
        combined = select(*(value.c[column] for value, column in zip(values, columns, strict=True)))
        part: Row = combined.subquery(self._names.name())
        leading = self._leading_of(part)
        about = self._listing.criteria.about(set(columns), self._criteria)
        wanted = select_star(part).where(
            self._listing.criteria.build(part, about, self._parameter, self._asker),
            *(self._past(leading, mark.slot, mark, inclusive=True) for mark in stretch.marks if leading),
        )
        return wanted.order_by(*_direction(leading, stretch)).offset(number(0)).subquery(self._names.name())

    # Selected

    def _selecting(self) -> Any:
        """The shape of what the criteria say that is selective; empty if that is nothing."""
        own = self._listing.own.get(self._asker.role, ())
        return only(self._criteria, (*self._listing.selective, *((name,) for name in own)))

    def _select(self, target: Row) -> Condition:
        return self._listing.criteria.build(target, self._selecting(), self._parameter, self._asker)

    def _is_narrow(self) -> Condition:
        """Whether the selective criteria leave so few rows that they can all be looked at; fewer, where going on in
        order passes the others without a look at them."""
        target = self._alias()
        told = self._listing.criteria.columns(self._selecting()) <= self._carried()
        most = number(CARRIED_NARROW if told else NARROW)
        one_more = select(target.c.id).where(self._select(target)).offset(most).limit(number(1))
        return not_(exists(select(one_more.correlate(self._outer).subquery(self._names.name()))))

    def _selected(self, limit: int, stretch: Stretch) -> Select[Any]:
        """By looking at all that the selective criteria leave."""
        target = self._alias()
        selected = select_star(target).where(self._select(target)).offset(number(0)).correlate(self._outer)
        rows = selected.subquery(self._names.name())
        matching = select_star(rows).where(*self.matching(rows), *self._bounds(self.keys(rows), stretch))
        return matching.order_by(*_direction(self.keys(rows), stretch)).limit(number(limit))

    def _one_of(
        self, ways: Sequence[Select[Any]], way: ColumnElement[int], stretch: Stretch, *known: CTE
    ) -> Select[Any]:
        """The rows of the way of this number; the others are not gone. `known` is what `way` refers to."""
        chosen = _kept(select(way.label("way")), self._names)
        rows = [
            select_star(rows.subquery(self._names.name())).where(
                select(chosen.c.way).scalar_subquery() == number(place)
            )
            for place, rows in enumerate(ways)
        ]
        found = union_all(*rows).subquery(self._names.name())
        ordered = select_star(found).order_by(*_direction(self.keys(found), stretch))
        return ordered.add_cte(*known, chosen, nest_here=True)

    # Searched

    def _searched(self, limit: int, stretch: Stretch) -> Select[Any]:
        """A frequent term is found soon by going through the list in its order, a rare one by an index, and each way is
        hopeless for the other kind. So the list's first rows are gone through, the window. If these do not yield
        enough, what they have shown of the term's frequency decides."""
        parted_by, path = self._parted_by(), self._listing.search
        if self._leading() and self._by_unique_key():
            return self._sorted(limit, stretch, self._looked_up)

        def has_term(target: Row) -> Condition:
            search = only(self._criteria, [path])
            return self._listing.criteria.build(target, search, self._parameter, self._asker)

        window = _kept(self._in_order(WINDOW, stretch, lambda target: [], parted_by), self._names)
        hits = self._hits(
            limit, window, lambda rows: and_(*self.matching(rows)), lambda rows: _direction(self.keys(rows), stretch)
        )
        counts = (func.count().label("rows"), func.count().filter(has_term(window)).label("having_term"))
        shown = select().add_columns(*counts, _count_of(hits).label("matching")).select_from(window)
        seen = _kept(shown, self._names)
        frequent = select(seen.c.having_term >= number(FREQUENT)).scalar_subquery()
        ways = [
            select_star(hits),
            self._sorted(limit, stretch, lambda target: self._looked_up(target, frequent)),
            self._in_order(limit, stretch, self._walked if parted_by else self.matching, parted_by),
            self._sorted(limit, stretch),
        ]
        known = [(_count_of(hits) >= number(limit), number(0))]
        if not self._tallied(self._selecting()):
            narrow = (self._is_narrow(), number(len(ways)))
            known = [*known, narrow] if self._asker.role is Role.ADMIN else [narrow, *known]
            ways.append(self._selected(limit, stretch))
        cheapest = case((seen.c.rows < number(WINDOW), number(0)), else_=self._cheapest(limit, seen, parted_by))
        way = case(*known, else_=select(cheapest).scalar_subquery())
        return self._one_of(ways, way, stretch, window, hits, seen)

    def _walked(self, target: Row) -> list[Condition]:
        """What every row of the list fulfils: what the indexes of the orders carry so that they tell it, the rest so
        that such an index is the best that the planner knows."""
        criteria = self._listing.criteria
        carried = criteria.about(self._carried(), self._criteria)
        told = criteria.build(target, carried, self._parameter, self._asker)
        return [told, unguessed(and_(*self.matching(target)))]

    def _tallied(self, shape: Any) -> bool:
        return self._listing.criteria.columns(shape) <= self._listing.tallied

    def _cheapest(self, limit: int, seen: FromClause, parted_by: Sequence[str]) -> ColumnElement[int]:
        """Of the ways to go where the window does not yield enough, the number of the one that costs least: to look up
        all that have the term (1), to go on in order (2), or to fetch all that the other criteria leave (3). By what
        the window has shown, how frequent the term is and how many match in all, and by the tally."""
        criteria, listing = self._listing.criteria, self._listing
        assert listing.tally is not None
        gone_through, left = criteria.about(set(parted_by), self._criteria), criteria.plain(self._criteria)
        carried = criteria.about(self._carried(), self._criteria)
        shapes = {"all": (), "gone_through": gone_through, "left": left, "carried": carried}
        tally = listing.tally(shapes, self._asker, self._parameter)
        share = seen.c.having_term / decimal(WINDOW)
        length = func.char_length(self._term(listing.search).form())
        trigrams = case(
            (seen.c.having_term >= number(FREQUENT), func.least(length, number(PIECE))), else_=length
        ) - number(2)
        entries = func.least(tally.c.all * share, tally.c.gone_through)
        told = tally.c.left * share
        if not self._tallied(without(left, listing.search)):
            told = func.least(told, tally.c.gone_through * (seen.c.matching + number(1)) / decimal(WINDOW))
        entry = decimal(READ) + decimal(COMPARED) * func.greatest(trigrams, number(2))
        walk = decimal(PASSED) + decimal(WALKED) * tally.c.carried / func.greatest(tally.c.all, number(1))
        costs = [
            entries * entry + told * decimal(FETCHED),
            walk * decimal(WINDOW * limit) / func.greatest(seen.c.matching, decimal(0.5)),
            tally.c.left * decimal(FETCHED),
        ]
        least = func.least(*costs)
        cheapest = case(*((cost == least, number(place)) for place, cost in enumerate(costs, 1)))
        return select(cheapest).select_from(tally).correlate(seen).scalar_subquery()

    def _hits(
        self,
        limit: int,
        first: FromClause,
        condition: Callable[[Row], Condition],
        direction: Callable[[Row], list[ColumnElement[Any]]],
    ) -> CTE:
        """What a list's `first` rows, the window, yield."""
        found = select_star(first).where(condition(first)).order_by(*direction(first)).limit(number(limit))
        return _kept(found, self._names)

    # Ranked

    def _tiered(self, limit: int, stretch: Stretch, ranking: Ranking) -> Select[Any]:
        """Tier by tier, each only as far as those before leave room."""
        assert ranking.tiers is not None
        ranks = range(len(ranking.tiers(self._entity.table, self._term(ranking.search), self._asker)))
        found: list[CTE] = []
        for rank in reversed(ranks) if stretch.backward else ranks:
            rows = self._tier(limit, stretch, ranking, rank)
            if found:
                so_far = functools.reduce(operator.add, map(_count_of, found))
                rows = select_star(rows.subquery(self._names.name())).where(so_far < number(limit))
            found.append(_kept(rows, self._names))
        merged = union_all(*(select_star(tier) for tier in found)).subquery(self._names.name())
        ordered = select_star(merged).order_by(*_direction(self.keys(merged), stretch)).limit(number(limit))
        return ordered.add_cte(*found, nest_here=True)

    def _tier(self, limit: int, stretch: Stretch, ranking: Ranking, rank: int) -> Select[Any]:
        """The first rows of one tier, in its order."""
        term = self._term(ranking.search)

        @functools.cache
        def tiers(target: Row) -> list[Tier]:
            assert ranking.tiers is not None
            return ranking.tiers(target, term, self._asker)

        def condition(target: Row) -> Condition:
            *better, own = tiers(target)[: rank + 1]
            return and_(own.condition, *(unguessed(not_(tier.condition)) for tier in better))

        def wanted(target: Row) -> Condition:
            return and_(condition(target), self._visible(target, self._asker))

        def direction(target: Row) -> list[ColumnElement[Any]]:
            return _direction([(tiers(target)[rank].by, False), (BY_ID.value(target, self._asker), False)], stretch)

        def ordered(conditions: Conditions, among: Row | None = None) -> Select[Any]:
            target = self._alias() if among is None else among
            own = tiers(target)[rank]
            rows = select_star(target, number(rank).label(RANK), own.by.label(TIER_ORDER)).where(
                *conditions(target),
                *self._bounds_among([(own.by, False), (BY_ID.value(target, self._asker), False)], stretch, rank),
            )
            return rows.order_by(*direction(target))

        in_order = ordered(lambda target: [wanted(target)]).limit(number(limit))
        some = self._alias()
        lookup = tiers(some)[rank].lookup
        if lookup is None:
            return in_order
        # They are sorted before it is asked of each whether it is visible, which goes no further than the page.
        looked_up = select_star(some).where(lookup).offset(number(0)).subquery(self._names.name())
        matches = ordered(lambda target: [condition(target)], looked_up).offset(number(0)).subquery(self._names.name())
        visible = select_star(matches).where(self._visible(matches, self._asker)).order_by(*direction(matches))
        window = _kept(ordered(lambda target: []).limit(number(TIER_WINDOW)), self._names)
        hits = self._hits(limit, window, wanted, direction)
        enough = or_(_count_of(hits) >= number(limit), _count_of(window) < number(TIER_WINDOW))
        known = [(enough, number(0))]
        ways = [select_star(hits), visible.limit(number(limit))]
        if self._asker.role is not Role.ADMIN:
            # Of a frequent term the window may have many rows, and none that the viewer sees.
            having_term = _count_of(select_star(window).where(condition(window)).subquery(self._names.name()))
            known.append((having_term >= number(TIER_FREQUENT), number(len(ways))))
            ways.append(in_order)
        return self._one_of(ways, case(*known, else_=number(1)), stretch, window, hits)

    # In stages

    def _staged(self, limit: int, stretch: Stretch, ranking: Ranking) -> Select[Any]:
        """The matches of the first stage that has any, by relevance.

        To rank a row costs many times what it costs to read it. So where the list's first rows, the window, have so
        many matches that all there are would be too many, those of the window alone are ranked. The others follow in
        the list's own order, as the least relevant.
        """
        first = self._alias()
        by = self._keys(self._order[1:], first)
        window = _kept(
            select_star(first)
            .where(*self.matching(first))
            .order_by(*_direction(by, Stretch((), backward=False)))
            .limit(number(RANKED_WINDOW)),
            self._names,
        )
        known: list[CTE] = [window]
        ways: list[Select[Any]] = []
        branches: list[tuple[ColumnElement[bool], ColumnElement[int]]] = []
        for place, stage in enumerate(ranking.stages):
            asked = _kept(select(self._query(stage, ranking).label(QUERY)), self._names)
            query = select(asked.c[QUERY]).scalar_subquery()
            seen = _kept(
                select(func.count().label("n")).select_from(window).where(_matches(window, query)), self._names
            )
            hits = select(seen.c.n).scalar_subquery()
            known += [asked, seen]
            ways += [
                self._all_ranked(limit, stretch, stage, place, query),
                self._window_ranked(limit, stretch, stage, place, query, window),
            ]
            branches += [
                (hits >= number(RANKED_FREQUENT), number(2 * place + 1)),
                (or_(hits > number(0), self._count_of_matches(query) > number(0)), number(2 * place)),
            ]
        *branches, (_, otherwise) = branches
        return self._one_of(ways, case(*branches, else_=otherwise), stretch, *known)

    def _query(self, stage: Stage, ranking: Ranking) -> ColumnElement[Any]:
        return select(stage.query(self._term(ranking.search), self._asker)).scalar_subquery()

    def _count_of_matches(self, query: ColumnElement[Any]) -> ColumnElement[int]:
        target = self._alias()
        count = select(func.count()).select_from(target).where(*self.matching(target), _is_found_by(target, query))
        return count.correlate(self._outer).scalar_subquery()

    def _all_ranked(
        self, limit: int, stretch: Stretch, stage: Stage, place: int, query: ColumnElement[Any]
    ) -> Select[Any]:
        target = self._alias()
        ranked = _ranked(target, stage, place, query).where(*self.matching(target), _is_found_by(target, query))
        return self._first_of(limit, stretch, ranked.offset(number(0)).correlate(self._outer))

    def _window_ranked(
        self, limit: int, stretch: Stretch, stage: Stage, place: int, query: ColumnElement[Any], window: CTE
    ) -> Select[Any]:
        first = window.alias(self._names.name())
        within = self._first_of(limit, stretch, _ranked(first, stage, place, query).where(_matches(first, query)))
        target, order, least = self._alias(), self._order[1:], place * STAGE_SIZE + LEAST_RELEVANT
        keys = self._keys(order, target)
        ends = [key for key, _ in self._keys(order, window)]
        end = _direction(self._keys(order, window), Stretch((), backward=True))
        last = [select(key).order_by(*end).limit(number(1)).scalar_subquery() for key in ends]
        here = tuple_(*(key for key, _ in keys))
        beyond = (
            select_star(target, number(least).label(RANK), query.label(QUERY))
            .where(
                *self.matching(target),
                _matches(target, query),
                here < tuple_(*last) if keys[0][1] else here > tuple_(*last),
                *self._bounds_among(keys, stretch, least),
            )
            .order_by(*_direction(keys, stretch))
            .limit(number(limit))
            .correlate(self._outer)
        )
        both = union_all(
            select_star(within.subquery(self._names.name())), select_star(beyond.subquery(self._names.name()))
        ).subquery(self._names.name())
        return select_star(both).order_by(*_direction(self.keys(both), stretch)).limit(number(limit))

    def _first_of(self, limit: int, stretch: Stretch, ranked: Select[Any]) -> Select[Any]:
        rows = ranked.subquery(self._names.name())
        keys = self.keys(rows)
        bounded = select_star(rows).where(*self._bounds(keys, stretch))
        return bounded.order_by(*_direction(keys, stretch)).limit(number(limit))

    # Ends of the stretch

    def _bounds(self, keys: Keys, stretch: Stretch) -> list[Condition]:
        return [self._past(keys, mark.slot, mark) for mark in stretch.marks]

    def _bounds_in(self, part: Row, keys: Keys, stretch: Stretch) -> list[Condition]:
        """The same for the rows of a part, by the keys in which they differ: in the part that the cursor is in they
        start from there, and in others from the beginning."""
        leading = self._leading_of(part)
        rest = keys[len(leading) :]
        bounds = []
        for mark in stretch.marks:
            here = [key == self._parameter(mark.slot + place, key.type) for place, (key, _) in enumerate(leading)]
            slot = mark.slot + len(leading)
            key, descending = rest[0]
            lowest, highest = _extremes(key)
            start = case(
                (and_(*here), self._parameter(slot, key.type)), else_=highest if descending is mark.behind else lowest
            )
            bounds.append(self._past(rest, slot, mark, start=start))
        return bounds

    def _bounds_among(self, keys: Keys, stretch: Stretch, rank: int) -> list[Condition]:
        """The same for rows that are all of one rank, by the keys that come after it."""
        key, descending = keys[0]
        lowest, highest = _extremes(key)
        first, last = (highest, lowest) if descending else (lowest, highest)
        bounds = []
        for mark in stretch.marks:
            given = self._parameter(mark.slot, Integer())
            value = self._parameter(mark.slot + 1, key.type)
            start = case((given == number(rank), value), (given < number(rank), first), else_=last)
            bounds.append(self._past(keys, mark.slot + 1, mark, start=start))
        return bounds

    def _past(
        self,
        keys: Keys,
        slot: int,
        mark: Mark,
        *,
        inclusive: bool = False,
        start: ColumnElement[Any] | None = None,
    ) -> Condition:
        """The rows on the mark's side of the values of `keys` that begin at `slot`, the first of which `start`
        replaces."""
        inclusive = inclusive or mark.inclusive
        cursor = [self._parameter(slot + place, key.type) for place, (key, _) in enumerate(keys)]
        if start is not None:
            cursor[0] = start
        rising = [descending is not mark.behind for _, descending in keys]
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


def _is_found_by(row: Row, query: ColumnElement[Any]) -> Condition:
    """The row matches the query, and an index finds it."""
    return row.c.search_vector.op("@@", is_comparison=True)(query)


def _matches(row: Row, query: ColumnElement[Any]) -> Condition:
    """The same without an index: the operator's function, by which the planner takes many rows to match."""
    return func.ts_match_vq(row.c.search_vector, query, type_=Boolean())


def _ranked(row: Row, stage: Stage, place: int, query: ColumnElement[Any]) -> Select[Any]:
    """The rows with their ranks in the stage of this place, the smaller the better, and the query that they match."""
    relevance = stage.relevance(row.c.search_vector, query)
    rank = cast(number(LEAST_RELEVANT) * (number(1) - relevance), Integer) + number(place * STAGE_SIZE)
    return select_star(row, rank.label(RANK), query.label(QUERY))


def _kept(rows: Select[Any], names: Names) -> CTE:
    """Worked out once, however often it is referred to by the statement that it is added to."""
    return rows.cte(names.name()).prefix_with("MATERIALIZED")


def _count_of(rows: FromClause) -> ColumnElement[int]:
    return select(func.count()).select_from(rows).scalar_subquery()


def _direction(keys: Keys, stretch: Stretch) -> list[ColumnElement[Any]]:
    return [key.desc() if descending is not stretch.backward else key.asc() for key, descending in keys]


_EXTREMES: Mapping[type[TypeEngine[Any]], tuple[str, str]] = {
    DateTime: ("'-infinity'::timestamptz", "'infinity'::timestamptz"),
    UUID: ("'00000000-0000-0000-0000-000000000000'::uuid", "'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid"),
    Text: ("''", "U&'\\+10FFFF'"),
}


def _extremes(key: ColumnElement[Any]) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """A value less than all that a key has, and one greater than all."""
    lowest, highest = next(both for type_, both in _EXTREMES.items() if isinstance(key.type, type_))
    return literal_column(lowest, key.type), literal_column(highest, key.type)
