"""The audit trail, and what streams of its entries need in the state of the event log.

Its fingerprint has columns of its own, because a server of the previous version, which may still be running, advances
only that of the events.

Revision ID: 0012
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from db import ddl
from db.models import Xid8

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

oldest_code = "0001"
oldest_database = "0012"

ACTION = postgresql.ENUM("CREATED", "UPDATED", "REVOKED", "ERASED", name="audit_action", create_type=False)
OBJECT_KIND = postgresql.ENUM(
    "CUSTOMER",
    "PROPERTY",
    "TECHNICIAN",
    "ARTICLE",
    "SUPPORT_SETTINGS",
    "API_KEY",
    "TOKEN",
    name="audit_object_kind",
    create_type=False,
)
ACTOR_KIND = postgresql.ENUM(name="actor_kind", create_type=False)


def upgrade() -> None:
    for enum in (ACTION, OBJECT_KIND):
        op.execute(postgresql.CreateEnumType(enum))
    op.create_table(
        "audit_entries",
        sa.Column("id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("xid", Xid8(), server_default=sa.text("pg_current_xact_id()"), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("action", ACTION, nullable=False),
        sa.Column("object_kind", OBJECT_KIND, nullable=False),
        sa.Column("object_id", sa.Text(collation="C"), nullable=True),
        sa.Column("actor_kind", ACTOR_KIND, nullable=False),
        sa.Column("actor_id", sa.Text(collation="C"), nullable=False),
        sa.Column("actor_name", sa.Text(), nullable=False),
        sa.Column("client", sa.Text(), nullable=True),
        sa.Column("changed", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("before", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("after", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.CheckConstraint("length(object_id) <= 200", name=op.f("ck_audit_entries_object_id_length")),
        sa.CheckConstraint("length(client) <= 45", name=op.f("ck_audit_entries_client_length")),
        sa.CheckConstraint("cardinality(changed) <= 20", name=op.f("ck_audit_entries_changed_count")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_entries")),
    )
    op.create_index("ix_audit_entries_xid", "audit_entries", ["xid"])
    op.create_index("ix_audit_entries_at_id", "audit_entries", ["at", "id"])
    op.create_index("ix_audit_entries_object_id_at_id", "audit_entries", ["object_id", "at", "id"])
    op.create_index("ix_audit_entries_actor_id_at_id", "audit_entries", ["actor_id", "at", "id"])
    for statement in (*ddl.AUDIT_FUNCTIONS, *ddl.AUDIT_TRIGGERS):
        op.execute(statement)
    op.execute("""
        ALTER TABLE event_log
            ADD COLUMN audit_fingerprint bigint NOT NULL DEFAULT 0,
            ADD COLUMN audit_fingerprinted pg_snapshot NOT NULL DEFAULT '1:1:',
            ADD COLUMN audit_last xid8 NOT NULL DEFAULT '0',
            ADD COLUMN audit_horizon xid8 NOT NULL DEFAULT '0'""")


def downgrade() -> None:
    op.execute("""
        ALTER TABLE event_log
            DROP COLUMN audit_fingerprint, DROP COLUMN audit_fingerprinted,
            DROP COLUMN audit_last, DROP COLUMN audit_horizon""")
    op.drop_table("audit_entries")
    op.execute("DROP FUNCTION refuse_unasked_pruning(), audit_entries_pruned()")
    for enum in (OBJECT_KIND, ACTION):
        op.execute(postgresql.DropEnumType(enum))
