"""What steers PostgreSQL's planner, all in one place. Each function names the plan that it prevents.

`tests/db/test_plans.py` pins those plans on a seeded database, so a PostgreSQL that plans otherwise shows there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    CTE,
    Boolean,
    ColumnElement,
    Float,
    Integer,
    Select,
    any_,
    case,
    cast,
    collate,
    false,
    func,
    literal_column,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY

from db.sql import Condition


def number(value: int) -> ColumnElement[int]:
    """An integer in the statement's text. For a parameter a generic plan guesses: a LIMIT of a tenth of all rows."""
    return literal_column(str(value), Integer())


def decimal(value: float) -> ColumnElement[float]:
    """Likewise a double."""
    return literal_column(f"{float(value)!r}::float8", Float())


def fence(query: Select[Any]) -> Select[Any]:
    """The query with `OFFSET 0`, which keeps it a subquery of its own: without it the planner merges the query with the
    one around it, and goes through the outer order or index instead of fetching these rows first."""
    return query.offset(number(0))


def materialised(query: Select[Any], name: str) -> CTE:
    """A common table expression that runs once. Without `MATERIALIZED` one that is referred to once is merged with the
    query around it and loses its own plan."""
    return query.cte(name).prefix_with("MATERIALIZED")


def once(expression: ColumnElement[Any]) -> ColumnElement[Any]:
    """The expression in a subquery, which runs once per statement. An expression of a parameter would be worked out for
    each row wherever the planner cannot fold it."""
    return select(expression).scalar_subquery()


def opaque(condition: Condition) -> Condition:
    """The condition in a CASE. No index applies, and the planner assumes that half of the rows match, where it would
    guess one in two hundred for a pattern that it does not know, and fetch all that another index leaves."""
    return case((condition, true()), else_=false())


def without_index(text: ColumnElement[Any]) -> ColumnElement[Any]:
    """Text in a collation that no index has, so that a pattern on it is tested row by row."""
    return collate(text, "C")


def matches_without_index(vector: ColumnElement[Any], query: ColumnElement[Any]) -> Condition:
    """`vector @@ query` as a function call: no index applies, and the planner assumes that many rows match."""
    return func.ts_match_vq(vector, query, type_=Boolean())


def one_of(column: ColumnElement[Any], words: Sequence[str]) -> Condition:
    """`column = ANY ('{…}')`, also for one word, and never `=`: that would make a part of the order constant, and the
    planner would no longer see that the rows come in order from the index of the parts, and sort all of them."""
    if not words:
        return false()
    listed: ColumnElement[str] = literal_column("'{" + ",".join(words) + "}'")
    return column == any_(cast(listed, ARRAY(column.type)))
