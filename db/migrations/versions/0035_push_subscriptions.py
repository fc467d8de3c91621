"""Devices that are notified by Web Push, the channel with its kinds, and when a device has acknowledged a delivery.

Revision ID: 0035
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy import text
from sqlalchemy.dialects import postgresql

from db.postgres.indexes import drop_index, make_index

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None

oldest_code = "0001"
oldest_database = "0035"

_FINAL = "audit_entries_final"
_ONLY_CHAT = "ck_deliveries_only_chat_has_no_recipient"
_ONLY_MAIL = "ck_deliveries_email_has_recipient"
_SPACE = "ck_deliveries_space_has_its_channel"


def upgrade() -> None:
    with op.get_context().autocommit_block():  # a transaction cannot use a value that it has added
        op.execute("ALTER TYPE delivery_channel ADD VALUE IF NOT EXISTS 'PUSH'")
        op.execute("ALTER TYPE audit_object_kind ADD VALUE IF NOT EXISTS 'PUSH_SUBSCRIPTION'")
    op.execute(f"ALTER TABLE deliveries DROP CONSTRAINT IF EXISTS {_ONLY_CHAT}")
    op.execute(f"""
        ALTER TABLE deliveries ADD CONSTRAINT {_ONLY_CHAT}
            CHECK ((channel = 'GOOGLE_CHAT') = (recipient = '')) NOT VALID""")
    with op.get_context().autocommit_block():
        op.execute(f"ALTER TABLE deliveries VALIDATE CONSTRAINT {_ONLY_CHAT}")
    op.create_table(
        "push_subscriptions",
        sa.Column("id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("owner", sa.Text(collation="C"), nullable=False),
        sa.Column("device_id", sa.Text(), nullable=False),
        sa.Column("endpoint", sa.Text(collation="C"), nullable=False),
        sa.Column("p256dh", postgresql.BYTEA(), nullable=False),
        sa.Column("auth", postgresql.BYTEA(), nullable=False),
        sa.Column("subjects", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("set_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        *(
            sa.CheckConstraint(
                f"btrim({column}, E' \\t\\n\\r') <> '' AND length({column}) <= {maximum}",
                name=op.f(f"ck_push_subscriptions_{column}_length"),
            )
            for column, maximum in (("device_id", 100), ("endpoint", 2000))
        ),
        sa.CheckConstraint("octet_length(p256dh) = 65", name=op.f("ck_push_subscriptions_p256dh_is_point")),
        sa.CheckConstraint("octet_length(auth) = 16", name=op.f("ck_push_subscriptions_auth_size")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_push_subscriptions")),
        sa.UniqueConstraint("owner", "device_id", name=op.f("uq_push_subscriptions_owner_device_id")),
        sa.UniqueConstraint("endpoint", name=op.f("uq_push_subscriptions_endpoint")),
    )
    op.create_index("ix_push_subscriptions_set_at", "push_subscriptions", ["set_at"])
    op.execute(f"ALTER TABLE deliveries DROP CONSTRAINT {_ONLY_MAIL}")
    op.execute("ALTER TABLE deliveries ADD COLUMN acknowledged_at timestamptz")
    op.execute("""
        ALTER TABLE support_settings ADD COLUMN push_kinds notice_kind[]
            DEFAULT '{ASSIGNED,CUSTOMER_ANSWERED}' NOT NULL""")


def downgrade() -> None:
    """No device is notified any more. PostgreSQL cannot remove values of an enum, so the types are made anew: no server
    may run meanwhile."""
    op.drop_column("support_settings", "push_kinds")
    op.drop_table("push_subscriptions")
    op.drop_column("deliveries", "acknowledged_at")
    op.execute("DELETE FROM deliveries WHERE channel = 'PUSH'")
    op.execute(f"ALTER TABLE deliveries DROP CONSTRAINT {_ONLY_CHAT}, DROP CONSTRAINT {_SPACE}")
    drop_index("ix_deliveries_screened")
    _without("delivery_channel", "PUSH", "deliveries", "channel")
    op.execute(f"""
        ALTER TABLE deliveries
            ADD CONSTRAINT {_ONLY_MAIL} CHECK ((channel = 'EMAIL') = (recipient <> '')),
            ADD CONSTRAINT {_SPACE} CHECK ((audience = 'SPACE') = (channel = 'GOOGLE_CHAT'))""")
    make_index(
        "ix_deliveries_screened",
        "deliveries USING btree (lower(recipient), screened_at) WHERE ((kind = 'CREATED'::notice_kind)"
        " AND (channel = 'EMAIL'::delivery_channel) AND (screened_at IS NOT NULL))",
    )
    op.execute("ALTER TABLE audit_entries DISABLE TRIGGER USER")
    op.execute("DELETE FROM audit_entries WHERE object_kind = 'PUSH_SUBSCRIPTION'")
    op.execute("ALTER TABLE audit_entries ENABLE TRIGGER USER")
    final = op.get_bind().scalar(text(f"SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgname = '{_FINAL}'"))
    op.execute(f"DROP TRIGGER {_FINAL} ON audit_entries")
    _without("audit_object_kind", "PUSH_SUBSCRIPTION", "audit_entries", "object_kind")
    op.execute(str(final))


def _without(enum: str, value: str, table: str, column: str) -> None:
    """Makes the type anew without the value, which no row has."""
    labels = op.get_bind().scalar(
        text(
            "SELECT string_agg(quote_literal(enumlabel), ', ' ORDER BY enumsortorder)"
            f" FROM pg_enum WHERE enumtypid = '{enum}'::regtype AND enumlabel <> '{value}'"
        )
    )
    op.execute(f"ALTER TYPE {enum} RENAME TO {enum}_before")
    op.execute(f"CREATE TYPE {enum} AS ENUM ({labels})")
    op.execute(f"ALTER TABLE {table} ALTER {column} TYPE {enum} USING {column}::text::{enum}")
    op.execute(f"DROP TYPE {enum}_before")
