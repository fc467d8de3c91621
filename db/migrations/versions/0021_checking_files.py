"""Checking of files: whose turn it is, how often it was tried, and what was uploaded.

Revision ID: 0021
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

oldest_code = "0001"
oldest_database = "0021"


def upgrade() -> None:
    op.add_column("attachments", sa.Column("due_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("attachments", sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.add_column("attachments", sa.Column("uploaded_sha256", postgresql.BYTEA(), nullable=True))


def downgrade() -> None:
    for name in ("uploaded_sha256", "attempts", "due_at"):
        op.drop_column("attachments", name)
