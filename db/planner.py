"""Everything that steers PostgreSQL's planner. Each function names the plan that it prevents.

No test pins these plans yet. `make bench ARGS=million` shows what they cost, `callout explain --analyze` shows one.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Boolean, ColumnElement, Integer, Select, case, false, func, literal_column, select, true

from db.sql import Condition


def number(value: int) -> ColumnElement[int]:
    """An integer in the statement's text. A generic plan would have to guess a parameter: it assumes that a LIMIT is a
    tenth of all rows."""
    return literal_column(str(value), Integer())


def fence(query: Select[Any]) -> Select[Any]:
    """The query with `OFFSET 0`, which keeps it a subquery of its own. Otherwise the planner merges it into the query
    around it, and scans an index in the outer query's order instead of fetching these rows first."""
    return query.offset(number(0))


def once(expression: ColumnElement[Any]) -> ColumnElement[Any]:
    """The expression in a subquery, which is evaluated once per statement. Otherwise an expression of a parameter is
    evaluated for each row, wherever the planner cannot fold it into a constant."""
    return select(expression).scalar_subquery()


def of_any_length(array: ColumnElement[Any]) -> ColumnElement[Any]:
    """An array in a subquery, so that the planner guesses its length. A plan for the actual length, if it is short,
    looks cheaper than a generic one, so PostgreSQL would plan again for each request."""
    return cast(once(array), array.type)


def opaque(condition: Condition) -> Condition:
    """The condition in a CASE. Opaque to the planner: no index applies, and it assumes that half of the rows match."""
    return case((condition, true()), else_=false())


def contains_without_index(text: ColumnElement[Any], part: ColumnElement[Any]) -> Condition:
    """`text LIKE '%part%'` as a function call: no index applies, and the planner assumes that a third of the rows
    match. For a pattern that it does not know it would assume one in two hundred, and fetch all rows that another index
    leaves."""
    return func.strpos(text, part) > number(0)


def matches_without_index(vector: ColumnElement[Any], query: ColumnElement[Any]) -> Condition:
    """`vector @@ query` as a function call: no index applies, and the planner assumes that many rows match."""
    return func.ts_match_vq(vector, query, type_=Boolean())
