"""SQL building blocks for all of `db/`: types for rows and conditions, light tables, `SELECT t1.*`, and the rows of a
JSON array.

SQLAlchemy writes out every column of every subquery, and a list's statement nests many of these. `SELECT t1.*` is a
fraction of that text. The column lists took most of the time of building a statement, and much of PostgreSQL's to
parse it.
"""

from __future__ import annotations

import functools
from collections.abc import Set
from typing import Any, TypeAlias

from sqlalchemy import (
    ColumnClause,
    ColumnElement,
    DateTime,
    FromClause,
    Label,
    Select,
    Table,
    TableClause,
    Text,
    cast,
    func,
    literal_column,
    select,
)
from sqlalchemy import column as light_column
from sqlalchemy import table as light_table
from sqlalchemy.dialects.postgresql import JSON
from sqlalchemy.types import TypeEngine

from db import models

Row: TypeAlias = FromClause
Condition: TypeAlias = ColumnElement[bool]
Expression: TypeAlias = ColumnElement[Any]

EMPTY_LIST = "'[]'::json"
EMPTY: Expression = literal_column(EMPTY_LIST, JSON)


class _SelectStar(Select[Any]):
    """A SELECT of `_row.*` and `_more`. As a subquery, or as the first SELECT of a union, it exposes both sets of
    columns. It overrides an undocumented method of SQLAlchemy (`sqlalchemy/sql/selectable.py`, 2.1); if that changes,
    lists with a condition on a subquery's column can no longer be built."""

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
    """`SELECT row.*, more`, as a query whose subqueries have the columns of both."""
    every: ColumnClause[Any] = literal_column("*")
    every.table = row
    query = _SelectStar(every, *more)
    query._row, query._more = row, more
    return query


@functools.cache
def table(model: type[models.Base]) -> TableClause:
    """A model's table reduced to the names and types of its columns. The model's own columns, with everything that the
    ORM keeps in them, would be copied into each subquery of a list, which takes a quarter of the time of building a
    statement."""
    mapped = model.__table__
    assert isinstance(mapped, Table)
    return light_table(mapped.name, *(light_column(each.name, each.type) for each in mapped.columns))


def json_value(value: Expression) -> Expression:
    """The value as it stands in answers. A time has six digits of a second and an offset, always: PostgreSQL's own JSON
    leaves out zeros at the end."""
    if not isinstance(value.type, DateTime):
        return value
    return func.to_char(value, literal_column("""'YYYY-MM-DD"T"HH24:MI:SS.USTZH:TZM'"""), type_=Text())


def json_rows(array: Expression, **columns: TypeEngine[Any] | type[TypeEngine[Any]]) -> FromClause:
    """The objects of a JSON array as rows: a column of the given type for each member that `columns` names, and `ord`,
    the place in the array, counted from 1. With `code=Text`, `[{"code": "TAKEN"}, {"code": "STALE"}]` becomes the rows
    `('TAKEN', 1)` and `('STALE', 2)`; null becomes no rows."""
    elements = func.json_array_elements(func.coalesce(array, EMPTY))
    rows = elements.table_valued("element", with_ordinality="ord").render_derived()
    members = [
        cast(rows.c.element.op("->>")(literal_column(f"'{name}'")), type_).label(name)
        for name, type_ in columns.items()
    ]
    return select(*members, rows.c.ord).select_from(rows).subquery("items")
