"""Makes and drops indexes for migrations, while others read and write the table.

Each function commits the migration's transaction and begins another, because PostgreSQL needs transactions of its own
for this. A migration that failed half-way can be repeated, and keeps the indexes that it has already made.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from alembic import op
from sqlalchemy import text

from db.postgres.migrate import LOCK_TIMEOUT

# An index is invalid if making or dropping it was interrupted. Writers maintain it, but no query uses it.
_IS_MADE: Final = """
SELECT EXISTS (
    SELECT FROM pg_index
    WHERE indexrelid = to_regclass(:name) AND indisvalid AND right(pg_get_indexdef(indexrelid), length(:on)) = :on
)"""


def make_index(name: str, on: str) -> None:
    """Makes an index. It replaces an index of the same name, which queries use until then.

    `on` is the table, method and columns, spelt as in `pg_get_indexdef` (`tickets USING btree (status, id)`), so that a
    repeated migration recognises the index.
    """
    draft = f"{name}_new"
    with _concurrently():
        if _is_made(name, on):
            return
        if not _is_made(draft, on):
            _drop(draft)
            op.execute(f"CREATE INDEX CONCURRENTLY {draft} ON {on}")
        _drop(name)
        op.execute(f"ALTER INDEX {draft} RENAME TO {name}")


def drop_index(name: str) -> None:
    """Drops an index, if there is one of this name."""
    with _concurrently():
        _drop(name)


@contextmanager
def _concurrently() -> Iterator[None]:
    """Runs the block outside a transaction and without a lock timeout: its statements wait for older transactions to
    end, but no reader or writer waits behind them."""
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")
        yield
        op.execute(f"SET lock_timeout = '{LOCK_TIMEOUT}'")


def _is_made(name: str, on: str) -> bool:
    return bool(op.get_bind().scalar(text(_IS_MADE), {"name": name, "on": on}))


def _drop(name: str) -> None:
    op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
