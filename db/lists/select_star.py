"""Derived tables: subqueries that have all columns of the row that they select from.

SQLAlchemy names each column of each subquery, and a list's statement nests many. `SELECT t1.*` says the same in a
fraction of the text, which took most of the time of building a statement, and much of the database's of reading it.
"""

from __future__ import annotations

from collections.abc import Set
from typing import Any

from sqlalchemy import ColumnClause, FromClause, Label, Select, literal_column
from sqlalchemy import column as named_column


class _Whole(Select[Any]):
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
            (each.name, named_column(each.name, each.type, _selectable=subquery)) for each in named
        )


def whole(row: FromClause, *more: Label[Any]) -> Select[Any]:
    """`SELECT row.*, more`."""
    every: ColumnClause[Any] = literal_column("*")
    every.table = row
    query = _Whole(every, *more)
    query._row, query._more = row, more
    return query
