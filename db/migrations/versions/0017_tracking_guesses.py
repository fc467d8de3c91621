"""The counts of wrong guesses of `ticketTrack`.

Revision ID: 0017
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

oldest_code = "0001"
oldest_database = "0017"


def upgrade() -> None:
    op.create_table(
        "tracking_guesses",
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("remaining", sa.Integer(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("subject", name=op.f("pk_tracking_guesses")),
    )


def downgrade() -> None:
    op.drop_table("tracking_guesses")
