"""The functions that make what searches look in take half the time, and return the same.

Revision ID: 0027
"""

from __future__ import annotations

from alembic import op

from db import ddl, ddl_search

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

oldest_code = "0001"
oldest_database = "0026"


def upgrade() -> None:
    for statement in (ddl.SEARCH_PAIRS, *ddl_search.FUNCTIONS, *ddl_search.SOURCES):
        op.execute(statement)


def downgrade() -> None:
    """Leaves the functions: earlier code gets the same from them."""
