"""Fills in a column for migrations, while others read and write the table."""

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
    batch = text(f"""
        WITH batch AS (
            SELECT id FROM {table} WHERE id > :after AND {column} = '' ORDER BY id LIMIT {BATCH} FOR NO KEY UPDATE
        ), written AS (
            UPDATE {table} SET {column} = '' FROM batch WHERE {table}.id = batch.id RETURNING {table}.id
        )
        SELECT id FROM written ORDER BY id DESC LIMIT 1""")
    with op.get_context().autocommit_block():
        op.execute("SET synchronous_commit = off")
        after = _NIL
        while (last := op.get_bind().scalar(batch, {"after": after})) is not None:
            after = last
        op.execute("RESET synchronous_commit")
