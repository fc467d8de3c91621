"""Rows found by fetching all that match, or all that selective criteria leave, and sorting them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, exists, not_, select

from db.lists.in_order import index_suffix, selected
from db.lists.listing import RANKING_KEYS
from db.lists.query import Conditions, ListQuery, Stretch
from db.planner import fence, number
from db.sql import Condition, select_star

FETCHED_MAX = 25_000
"""Fetch and sort at most this many rows that selective criteria leave."""

FETCHED_MAX_BY_SUFFIX = 6_000
"""The same if the sort's own index has the criteria's columns at its end, which makes scanning it in order quicker."""


def all_matching(query: ListQuery, limit: int, stretch: Stretch, *more: Conditions) -> Select[Any]:
    """The first `limit` rows of the stretch, among all rows that match the list's conditions and `more`."""
    target = query.alias()
    conditions = [*query.matching(target), *query.bounds(query.keys(target), stretch)]
    conditions += [condition for each in more for condition in each(target)]
    ranks = [query.key(name, target).label(name) for name, _ in query.order if name in RANKING_KEYS]
    matching = fence(select_star(target, *ranks).where(*conditions)).correlate(query.outer)
    return query.first(query.subquery(matching), limit, stretch)


def all_seen(query: ListQuery, name: str, limit: int, stretch: Stretch) -> Select[Any]:
    """The first `limit` rows of the stretch, among all rows that one of the viewer's own criteria makes visible.
    Without the fence PostgreSQL may take the filter's technician for the rarer condition, whoever that is."""
    seen = query.criteria.only([(name,)])
    return _among(query, limit, stretch, lambda row: [query.satisfies(row, seen)])


def all_indexed(query: ListQuery, limit: int, stretch: Stretch) -> Select[Any]:
    """The first `limit` rows of the stretch, among all rows that the search's index finds. The fence keeps the planner
    from the index of the viewer's tickets, which it takes for few."""
    return _among(query, limit, stretch, query.index_conditions)


def all_selected(query: ListQuery, limit: int, stretch: Stretch) -> Select[Any]:
    """The first `limit` rows of the stretch, among all rows that the selective criteria leave."""
    return _among(query, limit, stretch, lambda row: selected(query, row))


def _among(query: ListQuery, limit: int, stretch: Stretch, fetched: Conditions) -> Select[Any]:
    """The first `limit` rows of the stretch, among all rows that match `fetched`, whatever else the list asks for."""
    target = query.alias()
    rows = query.subquery(fence(select_star(target).where(*fetched(target))).correlate(query.outer))
    return query.first(rows, limit, stretch).where(*query.matching(rows), *query.bounds(query.keys(rows), stretch))


def selects_few(query: ListQuery) -> Condition:
    """The selective criteria leave few enough rows to fetch all of them."""
    target, selective = query.alias(), query.selective()
    by_suffix = query.listing.criteria.columns(selective) <= index_suffix(query)
    most = number(FETCHED_MAX_BY_SUFFIX if by_suffix else FETCHED_MAX)
    one_more = select(target.c.id).where(query.satisfies(target, selective)).offset(most).limit(number(1))
    return not_(exists(select(query.subquery(one_more.correlate(query.outer)))))
