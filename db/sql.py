"""SQL terms that every part of `db/` uses: rows and conditions, tables by name and type, `SELECT t1.*`, and the rows of
a JSON array.

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
    cast,
    func,
    literal_column,
    select,
)
from sqlalchemy import column as light_column
from sqlalchemy import table as light_table
from sqlalchemy.types import TypeEngine

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


def json_rows(array: Expression, **columns: TypeEngine[Any] | type[TypeEngine[Any]]) -> FromClause:
    """The objects in a JSON array as rows: the members that `columns` names, with these types, and `ord`, counted from
    1. With `code=Text`, `[{"code": "TAKEN"}, {"code": "STALE"}]` has the rows `('TAKEN', 1)` and `('STALE', 2)`; null
    has none."""
    elements = func.json_array_elements(func.coalesce(array, literal_column("'[]'::json")))
    rows = elements.table_valued("element", with_ordinality="ord").render_derived()
    members = [
        cast(rows.c.element.op("->>")(literal_column(f"'{name}'")), type_).label(name)
        for name, type_ in columns.items()
    ]
    return select(*members, rows.c.ord).select_from(rows).subquery("items")
