"""Rows found by a search in tiers, the best matches first (`Ranking.tiers`)."""

from __future__ import annotations

import functools
import operator
from typing import Any

from sqlalchemy import CTE, ColumnElement, Select, and_, case, not_, or_, union_all

from db.enums import Role
from db.lists.listing import BY_ID, RANK, TIER_ORDER, Ranking, Tier
from db.lists.query import Conditions, ListQuery, Stretch, count_of, direction
from db.planner import fence, number, opaque
from db.sql import Condition, Row, select_star

WINDOW = 1_000
"""Read this many rows in a tier's order before using an index."""

FREQUENT = 15
"""If this many rows of the window contain the term, read the tier in order."""


def tiered(query: ListQuery, limit: int, stretch: Stretch, ranking: Ranking) -> Select[Any]:
    """The first `limit` rows of the stretch. Each tier is read only if the better ones do not fill the page."""
    assert ranking.tiers is not None
    ranks = range(len(ranking.tiers(query.entity.table, query.term(ranking.search), query.viewer)))
    found: list[CTE] = []
    for rank in reversed(ranks) if stretch.backward else ranks:
        rows = _tier(query, limit, stretch, ranking, rank)
        if found:
            so_far = functools.reduce(operator.add, map(count_of, found))
            rows = select_star(query.subquery(rows)).where(so_far < number(limit))
        found.append(query.materialised(rows))
    merged = union_all(*(select_star(tier) for tier in found)).subquery(query.names.name())
    return query.first(merged, limit, stretch).add_cte(*found, nest_here=True)


def _tier(query: ListQuery, limit: int, stretch: Stretch, ranking: Ranking, rank: int) -> Select[Any]:
    """The first `limit` rows of the stretch in one tier, in its order."""
    term = query.term(ranking.search)

    @functools.cache
    def tiers(target: Row) -> list[Tier]:
        assert ranking.tiers is not None
        return ranking.tiers(target, term, query.viewer)

    def condition(target: Row) -> Condition:
        *better, own = tiers(target)[: rank + 1]
        # Opaque: the planner would look up the negation of a range of names in its index, and read nearly all of it.
        return and_(own.condition, *(opaque(not_(tier.condition)) for tier in better))

    def wanted(target: Row) -> Condition:
        return and_(condition(target), query.visible(target, query.viewer))

    def by(target: Row) -> list[ColumnElement[Any]]:
        return direction([(tiers(target)[rank].by, False), (BY_ID.value(target, query.viewer), False)], stretch)

    def ordered(conditions: Conditions, among: Row | None = None) -> Select[Any]:
        target = query.alias() if among is None else among
        own = tiers(target)[rank]
        rows = select_star(target, number(rank).label(RANK), own.by.label(TIER_ORDER)).where(
            *conditions(target),
            *query.bounds_within_rank([(own.by, False), (BY_ID.value(target, query.viewer), False)], stretch, rank),
        )
        return rows.order_by(*by(target))

    in_order = ordered(lambda target: [wanted(target)]).limit(number(limit))
    some = query.alias()
    index_condition = tiers(some)[rank].index_condition
    if index_condition is None:
        return in_order
    # Sorted before testing visibility, so that no more rows are tested than the page needs.
    looked_up = query.subquery(fence(select_star(some).where(index_condition)))
    matches = query.subquery(fence(ordered(lambda target: [condition(target)], looked_up)))
    visible = select_star(matches).where(query.visible(matches, query.viewer)).order_by(*by(matches))
    # The window ignores the term and visibility, so that its cost is bounded. If it fills the page, or has the whole
    # stretch, its matches are the answer; otherwise the term is rare there, and its index finds the rest.
    window = query.materialised(ordered(lambda target: []).limit(number(WINDOW)))
    hits = query.materialised(select_star(window).where(wanted(window)).order_by(*by(window)).limit(number(limit)))
    enough = or_(count_of(hits) >= number(limit), count_of(window) < number(WINDOW))
    decided = [(enough, number(0))]
    ways = [select_star(hits), visible.limit(number(limit))]
    if query.viewer.role is not Role.ADMIN:
        # Many rows of the window may contain a frequent term while the viewer sees none of them.
        having_term = count_of(query.subquery(select_star(window).where(condition(window))))
        decided.append((having_term >= number(FREQUENT), number(len(ways))))
        ways.append(in_order)
    return query.one_of(ways, case(*decided, else_=number(1)), stretch, window, hits)
