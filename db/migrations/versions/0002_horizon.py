"""The horizon of the event log, before which events may be pruned.

Revision ID: 0002
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

oldest_code = "0001"
oldest_database = "0002"


def upgrade() -> None:
    op.execute("ALTER TABLE event_log ADD COLUMN horizon xid8 NOT NULL DEFAULT '0'::xid8")
    op.execute("ALTER TABLE event_log ADD COLUMN horizon_at timestamptz NOT NULL DEFAULT now()")


def downgrade() -> None:
    op.execute("ALTER TABLE event_log DROP COLUMN horizon_at, DROP COLUMN horizon")
