"""Records what the statements of migrations lock and read, or interrupts one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, event

# The tables that this transaction has locked against writers or readers, and how many rows this connection has read and
# has changed or deleted.
_OBSERVED = """
SELECT
    (SELECT coalesce(array_agg(DISTINCT relname::text), '{}') FROM pg_locks JOIN pg_class ON pg_class.oid = relation
    WHERE pid = pg_backend_pid() AND granted AND relkind = 'r' AND relnamespace = 'public'::regnamespace
        AND mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')),
    coalesce(sum(seq_tup_read + coalesce(idx_tup_fetch, 0)), 0)::bigint,
    coalesce(sum(n_tup_upd + n_tup_del), 0)::bigint
FROM pg_stat_xact_user_tables"""


@dataclass(frozen=True)
class Executed:
    """A statement; for one in a transaction also the tables that were locked against writers or readers when it ended,
    how many rows it has read, and how many it has changed or deleted."""

    sql: str
    in_transaction: bool
    locked: frozenset[str] = frozenset()
    read: int = 0
    changed: int = 0


@contextmanager
def recorded() -> Iterator[list[Executed]]:
    """Records the statements that migrations execute in this process."""
    statements: list[Executed] = []
    counted = [0, 0]

    def before(connection: Connection, cursor: Any, sql: str, *_: Any) -> None:
        nonlocal counted
        if sql != _OBSERVED and _in_transaction(connection):
            _, *counted = connection.exec_driver_sql(_OBSERVED).one()

    def after(connection: Connection, cursor: Any, sql: str, *_: Any) -> None:
        if sql == _OBSERVED:
            return
        if not _in_transaction(connection):
            statements.append(Executed(sql, False))
            return
        locked, read, changed = connection.exec_driver_sql(_OBSERVED).one()
        statements.append(Executed(sql, True, frozenset(locked), read - counted[0], changed - counted[1]))

    with _listening("before_cursor_execute", before), _listening("after_cursor_execute", after):
        yield statements


class Interrupted(Exception):
    """The process that migrates has died."""


@contextmanager
def interrupted_before(number: int) -> Iterator[None]:
    """Raises `Interrupted` in migrations in this process, before the index statement of this number, counted from 0."""
    left = number

    def before(connection: Connection, cursor: Any, sql: str, *_: Any) -> None:
        nonlocal left
        if " INDEX " in sql:
            if left == 0:
                raise Interrupted
            left -= 1

    with _listening("before_cursor_execute", before):
        yield


@contextmanager
def _listening(name: str, listener: Callable[..., None]) -> Iterator[None]:
    event.listen(Engine, name, listener)
    try:
        yield
    finally:
        event.remove(Engine, name, listener)


def _in_transaction(connection: Connection) -> bool:
    return connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT"
