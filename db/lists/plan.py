"""Chooses how the rows of a list are found. All ways return the same rows; they differ in how many others they read.

- `in_order`: scan an index that has the rows in the list's order;
- `fetched`: fetch all matching rows and sort them, if few match or no index has the order;
- `searched`: search for words, which few or many rows may contain;
- `tiered` and `staged`: searches that list the best matches first.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Select, case, func, select, union_all

from db.enums import Role
from db.lists.fetched import all_matching, all_seen, all_selected, selects_few
from db.lists.in_order import by_unique_key, in_order, in_owners_order, parted_by, walked, walked_by_owner
from db.lists.query import ListQuery, Stretch
from db.lists.searched import searched
from db.lists.staged import count_of_matches, staged
from db.lists.tiered import tiered
from db.planner import number
from db.sql import select_star
from db.visibility import sees_more_tickets

FEW_TICKETS = 2_500
"""Up to this many visible tickets, start from the tickets to find the rows that are on them."""


def found(query: ListQuery, limit: int, stretch: Stretch) -> Select[Any]:
    """The first `limit` rows of the stretch, in order."""
    role, ranking = query.viewer.role, query.ranking
    if ranking is not None and ranking.stages:
        return staged(query, limit, stretch, ranking)
    if query.on is None:
        if role is Role.ADMIN:
            return _of_all(query, limit, stretch)
        if role in query.listing.own:
            return _of_own(query, limit, stretch)
        if query.entity.seen_on_few(query.viewer):
            return _on_tickets(query, limit, stretch)
    if ranking is not None or (query.on is None and role is Role.TECHNICIAN):
        return all_matching(query, limit, stretch)
    return in_order(query, limit, stretch, query.matching, ())


def total(query: ListQuery) -> ColumnElement[int]:
    """The number of rows of the whole list, whatever the page."""
    listing = query.listing
    kept = None if query.on is not None else listing.total(query.criteria, query.viewer, query.parameters)
    if kept is not None:
        return kept
    ranking = listing.ranking
    if ranking is not None and ranking.stages and query.criteria.at(ranking.search) is not None:
        return count_of_matches(query, ranking)
    target = query.alias()
    count = select(func.count()).select_from(target).where(*query.matching(target), *query.index_conditions(target))
    return count.correlate(query.outer).scalar_subquery()


def _of_all(query: ListQuery, limit: int, stretch: Stretch) -> Select[Any]:
    """For viewers who see every row; or whose rows are tested for visibility one by one."""
    ranking = query.ranking
    return _listed(query, limit, stretch) if ranking is None else tiered(query, limit, stretch, ranking)


def _on_tickets(query: ListQuery, limit: int, stretch: Stretch) -> Select[Any]:
    """For viewers who see the rows that are on their tickets: start from the tickets if these are few, and otherwise
    test row after row of the list for visibility."""
    from_tickets = all_matching(query, limit, stretch)
    one_by_one = _of_all(query.seen_one_by_one(), limit, stretch)
    way = case((sees_more_tickets(query.viewer, number(FEW_TICKETS)), number(1)), else_=number(0))
    return query.one_of([from_tickets, one_by_one], way, stretch)


def _of_own(query: ListQuery, limit: int, stretch: Stretch) -> Select[Any]:
    """For viewers whose visibility is a set of criteria (`Listing.own`): the union of the rows that each one finds.
    Only the first may leave many."""
    first, *others = query.listing.own[query.viewer.role]
    rows = _listed(query.seen_by(first), limit, stretch)
    if not others:
        return rows

    def found_by(name: str) -> Select[Any]:
        seen = query.seen_by(name)
        return all_matching(seen, limit, stretch) if query.searches else all_seen(seen, name, limit, stretch)

    lists = [rows, *map(found_by, others)]
    both = union_all(*(select_star(query.subquery(each)) for each in lists)).subquery(query.names.name())
    return query.first(both, limit, stretch)


def _listed(query: ListQuery, limit: int, stretch: Stretch) -> Select[Any]:
    """The rows of an unranked list: by search, in order, or, if PostgreSQL counts few enough rows that the selective
    criteria leave, by fetching these."""
    listing, selective = query.listing, query.selective()
    if query.searches:
        return searched(query, limit, stretch)
    parts = parted_by(query)
    if parts and in_owners_order(query, parts):
        return in_order(query, limit, stretch, lambda row: walked_by_owner(query, row), ())
    by_suffix = listing.criteria.columns(selective) <= listing.index_suffix
    walks = parts or (by_unique_key(query) and not by_suffix)
    rows = in_order(query, limit, stretch, lambda row: walked(query, row) if walks else query.matching(row), parts)
    if not selective or not (parts or by_unique_key(query)):
        return rows
    way = case((selects_few(query), number(0)), else_=number(1))
    return query.one_of([all_selected(query, limit, stretch), rows], way, stretch)
