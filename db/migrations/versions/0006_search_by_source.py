"""Add the source to the indexes of the ticket search.

Revision ID: 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _make_anew("status", "priority", "category", "source")


def downgrade() -> None:
    _make_anew("status", "priority", "category")


def _make_anew(*columns: str) -> None:
    op.drop_index("ix_tickets_search", "tickets")
    op.drop_index("ix_tickets_search_pairs", "tickets")
    op.create_index(
        "ix_tickets_search",
        "tickets",
        ["search_text", *columns],
        postgresql_using="gin",
        postgresql_ops={"search_text": "gin_trgm_ops"},
    )
    op.create_index(
        "ix_tickets_search_pairs",
        "tickets",
        [sa.literal_column("search_pairs(search_text)"), *columns],
        postgresql_using="gin",
    )
