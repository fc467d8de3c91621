"""SQL terms that every part of `db/` uses: rows and conditions, tables by name and type, and `SELECT t1.*`.

SQLAlchemy names each column of each subquery, and a list's statement nests many. `SELECT t1.*` says the same in a
fraction of the text, which took most of the time of building a statement, and much of the database's time to read it.
"""

from __future__ import annotations

import functools
from collections.abc import Set
from typing import Any, TypeAlias

from sqlalchemy import (
    ColumnClause,
    ColumnElement,
    FromClause,
    Label,
    Select,
    Table,
    TableClause,
    literal_column,
)
from sqlalchemy import column as light_column
from sqlalchemy import table as light_table

from db import models

Row: TypeAlias = FromClause
Condition: TypeAlias = ColumnElement[bool]
Expression: TypeAlias = ColumnElement[Any]


class _SelectStar(Select[Any]):
    """A SELECT of `_row.*` and `_more`: its subqueries, and those of a union that it is the first of, have the columns
    that these have. The method that says so is SQLAlchemy's own and undocumented (`sqlalchemy/sql/selectable.py`, 2.1);
    if it changes, no list with a condition on a subquery's column can be built."""

    inherit_cache = False
    _row: FromClause
    _more: tuple[Label[Any], ...]

    def _generate_fromclause_column_proxies(
        self,
        subquery: FromClause,
        columns: Any,
        primary_key: Any,
        foreign_keys: Set[Any],
        *,
        proxy_compound_columns: Any = None,
    ) -> None:
        named = [*self._row.c, *self._more]
        columns._populate_separate_keys(
            (each.name, light_column(each.name, each.type, _selectable=subquery)) for each in named
        )


def select_star(row: FromClause, *more: Label[Any]) -> Select[Any]:
    """`SELECT row.*, more`."""
    every: ColumnClause[Any] = literal_column("*")
    every.table = row
    query = _SelectStar(every, *more)
    query._row, query._more = row, more
    return query


@functools.cache
def table(model: type[models.Base]) -> TableClause:
    """A model's table as statements see it: names and types. The model's own columns would be copied into each of a
    list's subqueries with all that the ORM needs of them, and take a quarter of the time of building a statement.
    """
    mapped = model.__table__
    assert isinstance(mapped, Table)
    return light_table(mapped.name, *(light_column(each.name, each.type) for each in mapped.columns))
