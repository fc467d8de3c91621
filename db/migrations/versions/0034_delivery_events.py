"""A log of what becomes of deliveries, which the streams of tickets deliver, and its part of the event log's state.

Its fingerprint has columns of its own, because a server of the previous version, which may still be running, advances
only those of the events and the audit trail. A trigger writes it, so that such a server writes it too.

Revision ID: 0034
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from db import ddl
from db.models import Xid8

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

oldest_code = "0001"
oldest_database = "0034"

STATE = postgresql.ENUM(name="delivery_state", create_type=False)


def upgrade() -> None:
    op.create_table(
        "delivery_events",
        sa.Column("id", sa.UUID(as_uuid=False), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("xid", Xid8(), server_default=sa.text("pg_current_xact_id()"), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("delivery_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("ticket_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("state", STATE, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery_events")),
    )
    op.create_index("ix_delivery_events_xid", "delivery_events", ["xid"])
    op.execute(ddl.DELIVERY_FUNCTION)
    op.execute(ddl.DELIVERY_TRIGGER)
    op.execute("""
        ALTER TABLE event_log
            ADD COLUMN delivery_fingerprint bigint NOT NULL DEFAULT 0,
            ADD COLUMN delivery_fingerprinted pg_snapshot NOT NULL DEFAULT '1:1:'""")


def downgrade() -> None:
    op.execute("DROP TRIGGER deliveries_changed ON deliveries")
    op.execute("DROP FUNCTION delivery_changed()")
    op.execute("ALTER TABLE event_log DROP COLUMN delivery_fingerprint, DROP COLUMN delivery_fingerprinted")
    op.drop_table("delivery_events")
