"""Idempotency keys of all mutations, the devices that send commands, when something was done offline, and the access
notes of properties.

Revision ID: 0032
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

oldest_code = "0001"
oldest_database = "0032"

_FINAL = """
CREATE OR REPLACE TRIGGER ticket_events_final
BEFORE UPDATE OF {columns} OR TRUNCATE ON ticket_events
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('what an event says is never changed')"""
_ACCESS = "ck_properties_access_notes_length"
_COLUMNS = "id, ticket_id, kind, actor_kind, actor_id, actor_name, at, before, after, note_id, public, attachment_id"


def upgrade() -> None:
    op.execute(f"""
        ALTER TABLE properties
            ADD COLUMN IF NOT EXISTS access_notes text,
            DROP CONSTRAINT IF EXISTS {_ACCESS},
            ADD CONSTRAINT {_ACCESS} CHECK (length(access_notes) <= 4000) NOT VALID""")
    with op.get_context().autocommit_block():
        op.execute(f"ALTER TABLE properties VALIDATE CONSTRAINT {_ACCESS}")
    op.create_table(
        "devices",
        sa.Column("digest", postgresql.BYTEA(), nullable=False),
        sa.Column("caller", sa.Text(), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_devices")),
    )
    op.create_index("ix_devices_caller_used_at", "devices", ["caller", "used_at"])
    op.create_index("ix_devices_used_at", "devices", ["used_at"])
    for table in ("ticket_events", "notes"):
        op.add_column(table, sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("ticket_events", sa.Column("idempotency_key", sa.Text(), nullable=True))
    op.execute(_FINAL.format(columns=f"{_COLUMNS}, occurred_at, idempotency_key"))
    op.add_column("attachments", sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("attachments", sa.Column("idempotency_key", sa.Text(), nullable=True))
    op.add_column("idempotency_keys", sa.Column("extra", postgresql.JSON(), nullable=True))
    op.add_column("idempotency_keys", sa.Column("device", postgresql.BYTEA(), nullable=True))


def downgrade() -> None:
    op.execute(_FINAL.format(columns=_COLUMNS))
    op.drop_column("ticket_events", "occurred_at")
    op.drop_column("ticket_events", "idempotency_key")
    op.drop_column("notes", "occurred_at")
    op.drop_column("attachments", "occurred_at")
    op.drop_column("attachments", "idempotency_key")
    op.drop_column("properties", "access_notes")
    op.drop_column("idempotency_keys", "extra")
    op.drop_column("idempotency_keys", "device")
    op.drop_table("devices")
