"""Create and update for customers, properties, technicians and articles: write a row of checked values.

Unique values are checked first, so that all errors are reported at once; the unique index decides races. The statement
that writes the row also writes the entry of the audit trail.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from typing import Any

import asyncpg
from sqlalchemy import ColumnElement, TableClause, bindparam, func, insert, literal_column, or_, select, update

from db.enums import AuditAction
from db.ids import new_id
from db.postgres.statement import Queryable, Statement
from resolvers import audit
from resolvers.checks import Checks
from resolvers.mutation import Call, MutationError, Outcome, Refused, Transaction, UserErrorCode

Unique = Mapping[str, str]
"""Columns with unique values, each with the input field that an error names. `email` is compared ignoring case."""


LookUp = Callable[[Transaction, dict[str, Any], Checks], Awaitable[None]]
"""Reads or changes other rows in the transaction, to add errors to the checks or to complete the values."""


async def _no_look_up(transaction: Transaction, values: dict[str, Any], checks: Checks) -> None:
    return None


async def create(
    call: Call,
    table: TableClause,
    values: dict[str, Any],
    unique: Unique,
    checks: Checks,
    look_up: LookUp = _no_look_up,
) -> Outcome:
    """Insert a row of `values`. Raises `Refused` if there are errors."""
    object_id = new_id()
    async with call.transaction(object_id) as transaction:
        await look_up(transaction, values, checks)
        await _check_unique(transaction, table, object_id, values, unique, checks)
        checks.finish()
        with _Taken(unique):
            entry = audit.parameters(call, AuditAction.CREATED)
            await _insert(table, tuple(sorted(values))).execute(transaction, id=object_id, **values, **entry)
    return Outcome(object_id)


async def change(
    call: Call,
    table: TableClause,
    object_id: str | None,
    values: Mapping[str, Any],
    unique: Unique,
    missing: MutationError,
    checks: Checks,
    look_up: LookUp = _no_look_up,
) -> Outcome:
    """Update the row's columns to `values`. Raises `Refused` if there are errors, or with `missing` if the row does not
    exist."""
    if object_id is None:
        checks.finish()
    async with call.transaction(object_id) as transaction:
        await look_up(transaction, {"id": object_id, **values}, checks)
        await _check_unique(transaction, table, str(object_id), values, unique, checks)
        checks.finish()
        with _Taken(unique):
            found = await write_change(transaction, call, table, object_id, values)
        if not found:
            raise Refused(missing)
    return Outcome(object_id)


async def write_change(
    connection: Queryable,
    call: Call,
    table: TableClause,
    object_id: Any,
    values: Mapping[str, Any],
    action: AuditAction = AuditAction.UPDATED,
) -> bool:
    """Update these columns of a row, in one statement. Nothing is written if the row has all of the values already.
    Returns whether the row exists."""
    statement = _update(table, tuple(sorted(values)))
    return bool(await statement.fetchval(connection, id=object_id, **values, **audit.parameters(call, action)))


@cache
def _insert(table: TableClause, columns: tuple[str, ...]) -> Statement:
    values = {name: _value(table, name) for name in ("id", *columns)}
    written = insert(table).values(values).returning(*table.c).cte("written")
    return Statement(audit.with_entry(table, written))


@cache
def _update(table: TableClause, columns: tuple[str, ...]) -> Statement:
    """The statement locks the row first, and the change is joined with the locked row. So the entry has the row as it
    was just before the change, even if another transaction has changed it since the statement began."""
    found = select(table).where(table.c.id == _value(table, "id")).with_for_update(key_share=True).cte("found")
    if not columns:
        return Statement(select(found.c.id))
    values: dict[str, Any] = {name: _value(table, name) for name in columns}
    differs = or_(*(table.c[name].is_distinct_from(value) for name, value in values.items()))
    if "updated_at" in table.c:
        values["updated_at"] = func.clock_timestamp()
    changed = update(table).where(table.c.id == found.c.id, differs).values(values).returning(*table.c)
    written = changed.cte("written")
    return Statement(audit.with_entry(table, written, found))


def _value(table: TableClause, name: str) -> ColumnElement[Any]:
    return bindparam(name, type_=table.c[name].type)


@cache
def _others(table: TableClause, columns: tuple[str, ...]) -> Statement:
    def taken(name: str) -> ColumnElement[Any]:
        value = _value(table, name)
        same = func.lower(table.c.email) == func.lower(value) if name == "email" else table.c[name] == value
        return select(literal_column("true")).where(same, table.c.id != _value(table, "id")).exists().label(name)

    return Statement(select(*(taken(name) for name in columns)))


async def _check_unique(
    transaction: Transaction,
    table: TableClause,
    object_id: str,
    values: Mapping[str, Any],
    unique: Unique,
    checks: Checks,
) -> None:
    objected = {error.field for error in checks.errors}
    columns = tuple(name for name, field in unique.items() if name in values and (field,) not in objected)
    if not columns:
        return
    given = {name: values[name] for name in columns}
    taken = await _others(table, columns).fetchrow(transaction, id=object_id, **given)
    for name in columns:
        if taken[name]:
            checks.errors.append(_taken_error(unique[name]))


def _taken_error(field: str) -> MutationError:
    return MutationError(UserErrorCode.TAKEN, "This value is already in use.", (field,))


class _Taken:
    """Turns a violation of the unique index, after a race, into the error that the check would have reported."""

    def __init__(self, unique: Unique) -> None:
        self._unique = unique

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, asyncpg.UniqueViolationError):
            for column, field in self._unique.items():
                if column in (error.constraint_name or ""):
                    raise Refused(_taken_error(field)) from error
