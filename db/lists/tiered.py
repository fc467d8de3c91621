"""Rows found by a search in tiers, the best matches first (`Ranking.tiers`)."""

from __future__ import annotations

import functools
import operator
from typing import Any

from sqlalchemy import CTE, Select, and_, case, not_, or_, true, union_all

from db.lists.listing import BY_ID, RANK, TIER_ORDER, Keys, Ranking, Tier
from db.lists.query import ListQuery, Stretch, count_of, direction
from db.planner import fence, number
from db.sql import Condition, Row, select_star

SAMPLE = 1_000
"""The number of rows that show how frequent a term is."""

FREQUENT = 15
"""If this many rows of the sample match a tier, read the tier in order, not by its index."""


def tiered(query: ListQuery, limit: int, stretch: Stretch, ranking: Ranking) -> Select[Any]:
    """The first `limit` rows of the stretch. Each tier is read only if the better ones do not fill the page."""
    assert ranking.tiers is not None
    ranks = range(len(ranking.tiers(query.entity.table, query.term(ranking.search), query.viewer)))
    # The first rows as they lie in the table: their place there has nothing to do with the term.
    sample = query.cte(select_star(query.alias()).limit(number(SAMPLE)))
    found: list[CTE] = []
    for rank in reversed(ranks) if stretch.backward else ranks:
        rows = _tier(query, limit, stretch, ranking, rank, sample)
        if found:
            so_far = functools.reduce(operator.add, map(count_of, found))
            rows = select_star(query.subquery(rows)).where(so_far < number(limit))
        found.append(query.cte(rows))
    merged = union_all(*(select_star(tier) for tier in found)).subquery(query.names.name())
    return query.first(merged, limit, stretch).add_cte(sample, *found, nest_here=True)


def _tier(query: ListQuery, limit: int, stretch: Stretch, ranking: Ranking, rank: int, sample: CTE) -> Select[Any]:
    """The first `limit` rows of the stretch in one tier, in its order."""
    term = query.term(ranking.search)

    @functools.cache
    def tiers(target: Row) -> list[Tier]:
        assert ranking.tiers is not None
        return ranking.tiers(target, term, query.viewer)

    def in_no_better(target: Row) -> Condition:
        better = tiers(target)[:rank]
        return not_(or_(*(tier.condition for tier in better))) if better else true()

    def in_tier(target: Row) -> Condition:
        return and_(tiers(target)[rank].condition, in_no_better(target))

    def visible(target: Row) -> Condition:
        return query.visible(target, query.viewer)

    def keys(target: Row) -> Keys:
        return [(tiers(target)[rank].by, False), (BY_ID.value(target, query.viewer), False)]

    def in_order(target: Row, *conditions: Condition) -> Select[Any]:
        ranked = select_star(target, number(rank).label(RANK), tiers(target)[rank].by.label(TIER_ORDER))
        bounds = query.bounds_within_rank(keys(target), stretch, rank)
        return ranked.where(*conditions, *bounds).order_by(*direction(keys(target), stretch))

    some = query.alias()
    own = tiers(some)[rank]
    if own.ordered:
        return in_order(some, own.index_condition, in_no_better(some), visible(some)).limit(number(limit))
    # Sorted before testing visibility, so that no more rows are tested than the page needs.
    looked_up = query.subquery(fence(select_star(some).where(own.index_condition)))
    matches = query.subquery(fence(in_order(looked_up, in_tier(looked_up))))
    by_index = select_star(matches).where(visible(matches)).order_by(*direction(keys(matches), stretch))
    by_index = by_index.limit(number(limit))
    if own is not tiers(some)[-1]:
        return by_index
    # Nearly all rows may contain the term somewhere: too many to sort. In order, few of them are read before the page
    # is full; but nearly all are if the term is rare.
    frequent = count_of(query.subquery(select_star(sample).where(in_tier(sample)))) >= number(FREQUENT)
    every = query.alias()
    ways = [by_index, in_order(every, in_tier(every), visible(every)).limit(number(limit))]
    return query.one_of(ways, case((frequent, number(1)), else_=number(0)), stretch)
