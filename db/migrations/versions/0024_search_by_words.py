"""Functions for the search by words.

Revision ID: 0024
"""

from __future__ import annotations

from alembic import op

from db import ddl_search

revision = "0024"
down_revision = "0017"
branch_labels = None
depends_on = None

oldest_code = "0001"
oldest_database = "0017"


def upgrade() -> None:
    for statement in ddl_search.FUNCTIONS:
        op.execute(statement)


def downgrade() -> None:
    for statement in ddl_search.DROP:
        op.execute(statement)
