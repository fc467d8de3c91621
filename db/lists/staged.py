"""Rows found by a search in stages (`Ranking.stages`): the matches of the first stage that has any, by relevance.

Ranking a row costs many times as much as reading it. If the list's first rows, the *window*, contain many matches, then
there are too many in all, and only those in the window are ranked. The others follow in the list's default order, as
the least relevant ones.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from sqlalchemy import CTE, ColumnElement, FromClause, Integer, Select, case, cast, func, or_, select, tuple_, union_all

from db.lists.listing import LEAST_RELEVANT, QUERY, RANK, STAGE_SIZE, Ranking, Stage
from db.lists.query import ListQuery, Stretch, direction
from db.planner import fence, matches_without_index, number
from db.sql import Condition, Row, select_star

WINDOW = 2_000
"""The number of rows in the window."""

FREQUENT = 40
"""If this many rows of the window match, only the window is ranked."""


def staged(query: ListQuery, limit: int, stretch: Stretch, ranking: Ranking) -> Select[Any]:
    """The first `limit` rows of the stretch. There are two ways for each stage, and those of the first stage with a
    match are used: with `FREQUENT` matches in the window only the window is ranked, otherwise every match."""
    first = query.alias()
    by = direction(query.keys_of(query.order[1:], first), Stretch())
    newest = select_star(first).where(*query.matching(first)).order_by(*by).limit(number(WINDOW))
    window = query.cte(newest)
    depends_on: list[CTE] = [window]
    ways: list[Select[Any]] = []
    branches: list[tuple[ColumnElement[bool], ColumnElement[int]]] = []
    for place, stage in enumerate(ranking.stages):
        # Correcting typing mistakes takes time, and every way uses the query: PostgreSQL computes it once.
        asked = query.cte(select(_asked(query, stage, ranking)))
        words = select(asked.c[QUERY]).scalar_subquery()
        matching = select(func.count().label("n")).select_from(window)
        seen = query.cte(matching.where(_matches(window, words)))
        hits = select(seen.c.n).scalar_subquery()
        depends_on += [asked, seen]
        ways += [
            _all_ranked(query, limit, stretch, stage, place, asked),
            _window_ranked(query, limit, stretch, stage, place, asked, window),
        ]
        branches += [
            (hits >= number(FREQUENT), number(2 * place + 1)),
            (or_(hits > number(0), _count_of_matches(query, words) > number(0)), number(2 * place)),
        ]
    # If no stage has a match, the last way finds nothing, so its condition need not be tested.
    *branches, (_, otherwise) = branches
    return query.one_of(ways, case(*branches, else_=otherwise), stretch, *depends_on)


def count_of_matches(query: ListQuery, ranking: Ranking) -> ColumnElement[int]:
    """The number of matches in the first stage that has any."""
    counts = [_count_of_matches(query, _query_of(query, stage, ranking)) for stage in ranking.stages]
    return functools.reduce(lambda rest, count: func.coalesce(func.nullif(count, number(0)), rest), reversed(counts))


def _asked(query: ListQuery, stage: Stage, ranking: Ranking) -> FromClause:
    return stage.asked(query.term(ranking.search), query.viewer)


def _query_of(query: ListQuery, stage: Stage, ranking: Ranking) -> ColumnElement[Any]:
    return _column(_asked(query, stage, ranking), QUERY)


def _column(asked: FromClause, name: str) -> ColumnElement[Any]:
    return select(asked.c[name]).scalar_subquery()


def _count_of_matches(query: ListQuery, words: ColumnElement[Any]) -> ColumnElement[int]:
    target = query.alias()
    count = select(func.count()).select_from(target).where(*query.matching(target), _matches(target, words))
    return count.correlate(query.outer).scalar_subquery()


def _all_ranked(query: ListQuery, limit: int, stretch: Stretch, stage: Stage, place: int, asked: CTE) -> Select[Any]:
    target, words = query.alias(), _column(asked, QUERY)
    ranked = _ranked(target, stage, place, asked).where(*query.matching(target), _matches(target, words))
    return _first_of(query, limit, stretch, fence(ranked).correlate(query.outer))


def _window_ranked(
    query: ListQuery,
    limit: int,
    stretch: Stretch,
    stage: Stage,
    place: int,
    asked: CTE,
    window: CTE,
) -> Select[Any]:
    first, words = window.alias(query.names.name()), _column(asked, QUERY)
    within = _first_of(query, limit, stretch, _ranked(first, stage, place, asked).where(_matches(first, words)))
    beyond = _beyond_window(query, limit, stretch, place * STAGE_SIZE + LEAST_RELEVANT, words, window)
    both = union_all(select_star(query.subquery(within)), select_star(query.subquery(beyond)))
    return query.first(both.subquery(query.names.name()), limit, stretch)


def _beyond_window(
    query: ListQuery, limit: int, stretch: Stretch, rank: int, words: ColumnElement[Any], window: CTE
) -> Select[Any]:
    """The matches after the window, all with this rank, in the list's default order."""
    target, order = query.alias(), query.order[1:]
    keys = query.keys_of(order, target)
    last = _last_of(query.keys_of(order, window))
    here = tuple_(*(key for key, _ in keys))
    return (
        select_star(target, number(rank).label(RANK), words.label(QUERY))
        .where(
            *query.matching(target),
            matches_without_index(target.c.search_vector, words),
            here < tuple_(*last) if keys[0][1] else here > tuple_(*last),
            *query.bounds_within_rank(keys, stretch, rank),
        )
        .order_by(*direction(keys, stretch))
        .limit(number(limit))
        .correlate(query.outer)
    )


def _last_of(keys: Sequence[tuple[ColumnElement[Any], bool]]) -> list[ColumnElement[Any]]:
    """The keys of the window's last row, each as a subquery. The window is read once, so they all see one row."""
    end = direction(keys, Stretch(backward=True))
    return [select(key).order_by(*end).limit(number(1)).scalar_subquery() for key, _ in keys]


def _first_of(query: ListQuery, limit: int, stretch: Stretch, ranked: Select[Any]) -> Select[Any]:
    rows = query.subquery(ranked)
    return query.first(rows, limit, stretch).where(*query.bounds(query.keys(rows), stretch))


def _matches(row: Row, words: ColumnElement[Any]) -> Condition:
    """The row matches the query. An index can answer this."""
    return row.c.search_vector.op("@@", is_comparison=True)(words)


def _ranked(row: Row, stage: Stage, place: int, asked: CTE) -> Select[Any]:
    """The rows, with their ranks in the stage numbered `place` (lower is better), and the query that they match."""
    relevance = stage.relevance(row.c.search_vector, lambda name: _column(asked, name))
    rank = cast(number(LEAST_RELEVANT) * (number(1) - relevance), Integer) + number(place * STAGE_SIZE)
    return select_star(row, rank.label(RANK), _column(asked, QUERY).label(QUERY))
