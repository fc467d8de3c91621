"""Add the source to the indexes of the ticket search.

Revision ID: 0006
"""

from __future__ import annotations

from db.postgres.indexes import make_index

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

oldest_code = "0001"
oldest_database = "0005"


def upgrade() -> None:
    _index("status, priority, category, source")


def downgrade() -> None:
    _index("status, priority, category")


def _index(columns: str) -> None:
    make_index("ix_tickets_search", f"tickets USING gin (search_text gin_trgm_ops, {columns})")
    make_index("ix_tickets_search_pairs", f"tickets USING gin (search_pairs(search_text), {columns})")
