"""Which files are a customer's answer by themselves.

Revision ID: 0029
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

oldest_code = "0001"
oldest_database = "0029"


def upgrade() -> None:
    op.add_column("attachments", sa.Column("is_answer", sa.Boolean(), server_default=sa.text("false"), nullable=False))


def downgrade() -> None:
    op.drop_column("attachments", "is_answer")
