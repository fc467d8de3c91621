"""Everything that steers PostgreSQL's planner. Each function names the plan that it prevents.

`tests/db/test_plans.py` shows the plans with each function and without it, on 50,000 tickets. SQL that is written as
text has an `OFFSET 0` of its own (`db/events/position.py`, `notifiers/queue.py`).
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Integer,
    Select,
    all_,
    any_,
    case,
    cast,
    false,
    func,
    literal_column,
    select,
    true,
)

from db.sql import Condition


def number(value: int) -> ColumnElement[int]:
    """An integer in the statement's text. In a generic plan the planner would not know a parameter's value: it assumes
    that a LIMIT is a tenth of all rows, and fetches and sorts all of them instead of reading the first few in order."""
    return literal_column(str(value), Integer())


def fence(query: Select[Any]) -> Select[Any]:
    """The query with `OFFSET 0`, which keeps it a subquery of its own. Otherwise the planner merges it into the query
    around it: it scans an index in the outer query's order, or joins all that the outer query reads, instead of
    fetching these rows first."""
    return query.offset(number(0))


def once(expression: ColumnElement[Any]) -> ColumnElement[Any]:
    """The expression in a subquery, which is evaluated once per statement. Otherwise a generic plan evaluates an
    expression of a parameter for each row."""
    return select(expression).scalar_subquery()


def of_any_length(array: ColumnElement[Any]) -> ColumnElement[Any]:
    """An array in a subquery, so that the planner guesses its length. A plan for the actual length, if it is short,
    looks cheaper than a generic one, so PostgreSQL would plan again for each request."""
    return cast(once(array), array.type)


def is_among(column: ColumnElement[Any], values: Select[Any]) -> Condition:
    """The column has one of the values, which the planner does not know. An index that ends with the column tests this
    without fetching the row. Otherwise the planner chooses an index that begins with the column if few rows have one of
    the values, and reads all of these."""
    return column == any_(func.array(values.scalar_subquery()))


def opaque(condition: Condition) -> Condition:
    """The condition in a CASE. Opaque to the planner: no index applies, and it assumes that half of the rows match.
    Otherwise it combines what an index has for each condition, and fetches and sorts all of these rows instead of
    reading the first few in order. Or it estimates them by a parameter's value: a plan for the actual value then looks
    cheaper than a generic one, so PostgreSQL would plan again for each request."""
    return case((condition, true()), else_=false())


def contains_without_index(
    text: ColumnElement[Any], longest: ColumnElement[Any], patterns: ColumnElement[Any]
) -> Condition:
    """`text LIKE ALL (patterns)`, opaque to the planner. Of patterns that it does not know it would assume that one row
    in two hundred matches each, and fetch and sort all matches instead of reading the first few in order.

    A text that does not even contain the longest of the words is ruled out by `strpos`, which is ten times as quick."""
    every = text.op("LIKE", is_comparison=True)(all_(of_any_length(patterns)))
    return case((func.strpos(text, longest) > number(0), every), else_=false())


def matches_without_index(vector: ColumnElement[Any], query: ColumnElement[Any]) -> Condition:
    """`vector @@ query` as a function call: no index applies, and the planner assumes that a third of the rows match.
    Otherwise it would fetch and sort all matches instead of reading the first few in order."""
    return func.ts_match_vq(vector, query, type_=Boolean())
