"""Rows found by a search for part of a word, which few or many rows may contain.

For a frequent term it is quick to read the list in order, for a rare one to use the search's index, and each way is far
too slow for the other kind. So the list's first rows, the *window*, are read. If they do not fill the page, the term's
frequency among them decides. `docs/decisions/search.md` has the measurements.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Select, and_, case, func, select

from db.enums import Role
from db.lists.fetched import all_matching, all_selected, selects_few
from db.lists.filters import PIECE
from db.lists.in_order import by_unique_key, in_order, index_suffix, leading_columns, parted_by, walked
from db.lists.query import ListQuery, Stretch, count_of, direction
from db.lists.shapes import CriteriaShape
from db.planner import decimal, number
from db.sql import Condition, Row, select_star

WINDOW = 2_000
"""The number of rows in the window. A term that one row in forty contains fills a page from it, and a rarer term has
few enough matches to sort."""

FREQUENT = 70
"""A term is frequent, and looked up by a piece of it, if this many rows of the window contain it: a single one of its
trigrams then has about as many index entries as all of them have in common."""

WALKED, PASSED, FETCHED, READ, COMPARED = 2.5, 0.15, 1.2, 0.08, 0.04
"""Approximate costs in microseconds: to read a row of a list in order; to skip one that the index alone rules out; to
fetch a row that an index has found; to read an entry of the search's index; and to compare the entry with one of the
term's trigrams."""


def searched(query: ListQuery, limit: int, stretch: Stretch) -> Select[Any]:
    """The first `limit` rows of the stretch, by the way that costs least. The ways are numbered: the window's own
    matches (0), the search's index (1), reading on in order (2), fetching all that the criteria leave (3), and, if
    there are selective criteria without an estimate, fetching what these leave (4)."""
    parts = parted_by(query)
    if leading_columns(query) and by_unique_key(query):
        return all_matching(query, limit, stretch, query.index_conditions)

    def conditions(target: Row) -> list[Condition]:
        return walked(query, target) if parts else query.matching(target)

    def contains_term(target: Row) -> Condition:
        return query.satisfies(target, query.criteria.only([query.listing.search]))

    window = query.materialised(in_order(query, WINDOW, stretch, lambda target: [], parts))
    matches = select_star(window).where(and_(*query.matching(window)))
    hits = query.materialised(matches.order_by(*direction(query.keys(window), stretch)).limit(number(limit)))
    counts = (func.count().label("rows"), func.count().filter(contains_term(window)).label("having_term"))
    seen = query.materialised(select().add_columns(*counts, count_of(hits).label("matching")).select_from(window))
    frequent = select(seen.c.having_term >= number(FREQUENT)).scalar_subquery()
    ways = [
        select_star(hits),
        all_matching(query, limit, stretch, lambda target: query.index_conditions(target, frequent)),
        in_order(query, limit, stretch, conditions, parts),
        all_matching(query, limit, stretch),
    ]
    decided = [(count_of(hits) >= number(limit), number(0))]
    if not _is_estimated(query, query.selective()):
        # An admin's window usually fills the page. A viewer who sees few tickets needs no window, which is read only if
        # the first condition does not hold.
        few = (selects_few(query), number(len(ways)))
        decided = [*decided, few] if query.viewer.role is Role.ADMIN else [few, *decided]
        ways.append(all_selected(query, limit, stretch))
    # A window that is not full has the whole stretch, so its matches are all there are.
    cheapest = case((seen.c.rows < number(WINDOW), number(0)), else_=_cheapest(query, limit, seen, parts))
    way = case(*decided, else_=select(cheapest).scalar_subquery())
    return query.one_of(ways, way, stretch, window, hits, seen)


def _is_estimated(query: ListQuery, criteria: CriteriaShape) -> bool:
    return query.listing.criteria.columns(criteria) <= query.listing.estimated_by


def _cheapest(query: ListQuery, limit: int, seen: FromClause, parts: Sequence[str]) -> ColumnElement[int]:
    """The number of the cheapest way if the window does not fill the page: look up all rows that contain the term (1),
    read on in order (2), or fetch all rows that the other criteria leave (3). The costs follow from what the window has
    shown, the frequency of the term and of matches, and from the estimated counts."""
    criteria, listing = query.listing.criteria, query.listing
    assert listing.estimates is not None
    left = query.criteria.conjunctive()
    shapes = {
        "all": CriteriaShape(),
        "in_parts": criteria.about(set(parts), query.criteria),
        "left": left,
        "by_suffix": criteria.about(index_suffix(query), query.criteria),
    }
    estimate = listing.estimates(shapes, query.viewer, query.parameters)
    # `share`: how many of the rows contain the term. `entries`: how many entries of the search's index are read, and
    # `found`: how many rows these leave to fetch. The window's matches bound `found` where the estimate of the other
    # criteria does not. `step`: what reading on in order costs per row, most of which the index alone may rule out.
    share = seen.c.having_term / decimal(WINDOW)
    length = func.char_length(query.term(listing.search).form())
    looked_up = case((seen.c.having_term >= number(FREQUENT), func.least(length, number(PIECE))), else_=length)
    trigrams = looked_up - number(2)
    entries = func.least(estimate.c.all * share, estimate.c.in_parts)
    found = estimate.c.left * share
    if not _is_estimated(query, left.without(listing.search)):
        found = func.least(found, estimate.c.in_parts * (seen.c.matching + number(1)) / decimal(WINDOW))
    entry = decimal(READ) + decimal(COMPARED) * func.greatest(trigrams, number(2))
    step = decimal(PASSED) + decimal(WALKED) * estimate.c.by_suffix / func.greatest(estimate.c.all, number(1))
    costs = [
        entries * entry + found * decimal(FETCHED),
        step * decimal(WINDOW * limit) / func.greatest(seen.c.matching, decimal(0.5)),
        estimate.c.left * decimal(FETCHED),
    ]
    least = func.least(*costs)
    cheapest = case(*((cost == least, number(way)) for way, cost in enumerate(costs, 1)))
    return select(cheapest).select_from(estimate).correlate(seen).scalar_subquery()
