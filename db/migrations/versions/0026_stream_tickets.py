"""The stream tickets that were used.

Revision ID: 0026
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0022"
branch_labels = None
depends_on = None

oldest_code = "0001"
oldest_database = "0026"


def upgrade() -> None:
    op.create_table(
        "used_stream_tickets",
        sa.Column("id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_used_stream_tickets")),
    )
    op.create_index("ix_used_stream_tickets_expires_at", "used_stream_tickets", ["expires_at"])


def downgrade() -> None:
    op.drop_table("used_stream_tickets")
