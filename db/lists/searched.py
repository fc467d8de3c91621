"""Rows found by a search for words, which few or many rows may contain.

For a frequent term it is quick to read the list in order, for a rare one to use the search's index, and each way is far
too slow for the other kind. So the list's first rows, the *window*, are read. If they do not fill the page, the number
of matches among them decides. `docs/decisions/search.md` has the measurements.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from sqlalchemy import Select, and_, case, or_

from db.enums import Role
from db.lists.fetched import all_indexed, all_matching, all_selected, selects_few
from db.lists.in_order import by_unique_key, in_order, leading_columns, parted_by, selected, walked
from db.lists.query import ListQuery, Stretch, count_of, direction
from db.planner import number
from db.sql import Condition, Row, select_star

WINDOW = 2_000
"""The number of rows in the window."""

WINDOW_OF_TEXTS = 1_000
"""The same for a search in texts, which reads ten times as much for each row."""

FREQUENT = 4
"""Read on in order if at least this many rows of the window match: a page of 50 then takes about 25,000 rows. Rarer
matches are few enough to look up and sort."""


def searched(query: ListQuery, limit: int, stretch: Stretch) -> Select[Any]:
    """The first `limit` rows of the stretch. The ways are numbered: the window's own matches (0), the search's index
    (1), reading on in order (2), and, if there are selective criteria, fetching all that these leave (3)."""
    parts = parted_by(query)
    if leading_columns(query) and by_unique_key(query):
        return all_matching(query, limit, stretch, query.index_conditions)

    def conditions(target: Row) -> list[Condition]:
        return walked(query, target) if parts else query.matching(target)

    # Of texts that few can read, the tickets of others say nothing.
    size, within = (WINDOW, _every_row) if query.text is None else (WINDOW_OF_TEXTS, partial(selected, query))
    window = query.cte(in_order(query, size, stretch, within, parts))
    matches = select_star(window).where(and_(*query.matching(window)))
    hits = query.cte(matches.order_by(*direction(query.keys(window), stretch)).limit(number(limit)))
    # A window that is not full has the whole stretch, so its matches are all there are.
    enough = or_(count_of(hits) >= number(limit), count_of(window) < number(size))
    # Services have created a handful of tickets, or a fifth of all.
    by_index = (
        all_indexed(query, limit, stretch)
        if query.viewer.role is Role.SERVICE
        else all_matching(query, limit, stretch, query.index_conditions)
    )
    ways = [
        select_star(hits),
        by_index,
        in_order(query, limit, stretch, conditions, parts),
    ]
    decided = [(enough, number(0))]
    if query.selective():
        # An admin's window usually fills the page. A viewer who sees few tickets needs no window, which is read only if
        # the first condition does not hold.
        few = (selects_few(query), number(len(ways)))
        decided = [*decided, few] if query.viewer.role is Role.ADMIN else [few, *decided]
        ways.append(all_selected(query, limit, stretch))
    frequent = count_of(hits) >= number(FREQUENT)
    way = case(*decided, (frequent, number(2)), else_=number(1))
    return query.one_of(ways, way, stretch, window, hits)


def _every_row(target: Row) -> list[Condition]:
    return []
