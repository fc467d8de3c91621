"""Fills in a column or a table for migrations, while others read and write."""

from __future__ import annotations

from typing import Final

from alembic import op
from sqlalchemy import text

BATCH = 100
"""Rows that are locked and written in one transaction, which takes a fraction of a second."""

_NIL: Final = "00000000-0000-0000-0000-000000000000"


def fill_in(table: str, column: str) -> None:
    """Lets the table's trigger write the column, which is empty, in all rows. It commits the migration's transaction
    and begins another. A migration that failed half-way can be repeated, and goes on with the rows that are left."""
    in_batches(f"""
        WITH batch AS (
            SELECT id FROM {table} WHERE id > :after AND {column} = '' ORDER BY id LIMIT {BATCH} FOR NO KEY UPDATE
        ), written AS (
            UPDATE {table} SET {column} = '' FROM batch WHERE {table}.id = batch.id RETURNING {table}.id
        )
        SELECT id FROM written ORDER BY id DESC LIMIT 1""")


def fill_from(table: str, columns: str, insert: str) -> None:
    """Runs an INSERT into another table for all rows of this one, which are locked meanwhile. `insert` finds their
    `columns`, the `id` first, in `batch`, and leaves rows alone that there are. It commits the migration's transaction
    and begins another. A migration that failed half-way can be repeated, and begins again."""
    in_batches(f"""
        WITH batch AS (
            SELECT {columns} FROM {table} WHERE id > :after ORDER BY id LIMIT {BATCH} FOR NO KEY UPDATE
        ), written AS ({insert})
        SELECT id FROM batch ORDER BY id DESC LIMIT 1""")


def in_batches(sql: str) -> None:
    """Runs a statement that writes the batch of rows after `:after`, and returns the id of the last one, until there
    are no more."""
    batch = text(sql)
    with op.get_context().autocommit_block():
        op.execute("SET synchronous_commit = off")
        after = _NIL
        while (last := op.get_bind().scalar(batch, {"after": after})) is not None:
            after = last
        op.execute("RESET synchronous_commit")
