"""Confirmations of contacts' addresses, and deliveries that are held, dropped or summarised.

Revision ID: 0015
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from db.postgres.indexes import drop_index, make_index

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

oldest_code = "0001"
oldest_database = "0015"

_KINDS = "'CREATED', 'ASSIGNED', 'UNASSIGNED', 'NOTE_ADDED', 'RESOLVED', 'TEST'"
_FINISHED_HAS_TIME = "ck_deliveries_finished_has_time"
_FINISHED_IS_FREE = "ck_deliveries_finished_is_free"


def upgrade() -> None:
    with op.get_context().autocommit_block():  # a transaction cannot use a value that it has added
        op.execute("ALTER TYPE delivery_state ADD VALUE IF NOT EXISTS 'HELD' AFTER 'PENDING'")
        op.execute("ALTER TYPE delivery_state ADD VALUE IF NOT EXISTS 'DROPPED' AFTER 'DEAD'")
        op.execute("ALTER TYPE notice_kind ADD VALUE IF NOT EXISTS 'CONFIRM_ADDRESS' BEFORE 'TEST'")
    op.execute("""
        ALTER TABLE deliveries
            ADD COLUMN IF NOT EXISTS screened_at timestamptz,
            ADD COLUMN IF NOT EXISTS summary_id uuid""")
    op.execute(f"""
        ALTER TABLE deliveries
            DROP CONSTRAINT IF EXISTS {_FINISHED_HAS_TIME},
            ADD CONSTRAINT {_FINISHED_HAS_TIME}
                CHECK ((state IN ('PENDING', 'HELD')) = (finished_at IS NULL)) NOT VALID""")
    with op.get_context().autocommit_block():
        op.execute(f"ALTER TABLE deliveries VALIDATE CONSTRAINT {_FINISHED_HAS_TIME}")
    make_index(
        "ix_deliveries_fresh",
        "deliveries USING btree (due_at) WHERE ((state = 'PENDING'::delivery_state) AND (screened_at IS NULL))",
    )
    make_index(
        "ix_deliveries_due",
        "deliveries USING btree (channel, due_at, id) WHERE ((state = 'PENDING'::delivery_state)"
        " AND (screened_at IS NOT NULL))",
    )
    make_index(
        "ix_deliveries_held",
        "deliveries USING btree (due_at) WHERE ((state = 'HELD'::delivery_state) AND (summary_id IS NULL))",
    )
    make_index("ix_deliveries_summary_id", "deliveries USING btree (summary_id) WHERE (summary_id IS NOT NULL)")
    make_index(
        "ix_deliveries_screened",
        "deliveries USING btree (lower(recipient), screened_at) WHERE ((kind = 'CREATED'::notice_kind)"
        " AND (channel = 'EMAIL'::delivery_channel) AND (screened_at IS NOT NULL))",
    )
    op.create_table(
        "contact_confirmations",
        sa.Column("id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("ticket_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("customer_id", sa.UUID(as_uuid=False), nullable=True),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("token", sa.Text(collation="C"), nullable=True),
        sa.Column("mailbox", postgresql.BYTEA(), nullable=True),
        sa.Column("caller", sa.Text(), nullable=True),
        sa.Column("asked_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            r"btrim(address, E' \t\n\r') <> '' AND length(address) <= 254",
            name=op.f("ck_contact_confirmations_address_length"),
        ),
        sa.CheckConstraint(
            "token IS NOT NULL OR confirmed_at IS NOT NULL", name=op.f("ck_contact_confirmations_asked_or_confirmed")
        ),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.id"], name=op.f("fk_contact_confirmations_customer_id")),
        sa.ForeignKeyConstraint(["ticket_id"], ["tickets.id"], name=op.f("fk_contact_confirmations_ticket_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_contact_confirmations")),
        sa.UniqueConstraint("token", name=op.f("uq_contact_confirmations_token")),
    )
    for columns in (("address",), ("ticket_id",), ("mailbox", "asked_at"), ("caller", "asked_at")):
        op.create_index(f"ix_contact_confirmations_{'_'.join(columns)}", "contact_confirmations", list(columns))


def downgrade() -> None:
    """Deliveries that were held or dropped are given up: older code would send them to an address that nobody has
    confirmed."""
    for name in ("screened", "summary_id", "held", "due", "fresh"):
        drop_index(f"ix_deliveries_{name}")
    op.drop_table("contact_confirmations")
    op.execute("DELETE FROM deliveries WHERE kind = 'CONFIRM_ADDRESS'")
    op.execute("""
        UPDATE deliveries SET state = 'DEAD', finished_at = coalesce(finished_at, now())
        WHERE state IN ('HELD', 'DROPPED')""")
    op.execute(f"""
        ALTER TABLE deliveries
            DROP COLUMN screened_at, DROP COLUMN summary_id,
            DROP CONSTRAINT {_FINISHED_HAS_TIME}, DROP CONSTRAINT {_FINISHED_IS_FREE}, ALTER state DROP DEFAULT""")
    op.execute("ALTER TYPE delivery_state RENAME TO delivery_state_before")
    op.execute("CREATE TYPE delivery_state AS ENUM ('PENDING', 'SENT', 'DEAD')")
    op.execute("ALTER TYPE notice_kind RENAME TO notice_kind_before")
    op.execute(f"CREATE TYPE notice_kind AS ENUM ({_KINDS})")
    op.execute("""
        ALTER TABLE deliveries
            ALTER state TYPE delivery_state USING state::text::delivery_state,
            ALTER kind TYPE notice_kind USING kind::text::notice_kind""")
    op.execute(f"""
        ALTER TABLE deliveries
            ALTER state SET DEFAULT 'PENDING',
            ADD CONSTRAINT {_FINISHED_HAS_TIME} CHECK ((state = 'PENDING') = (finished_at IS NULL)),
            ADD CONSTRAINT {_FINISHED_IS_FREE} CHECK (state = 'PENDING' OR claimed_until IS NULL)""")
    op.create_index(
        "ix_deliveries_due", "deliveries", ["channel", "due_at", "id"], postgresql_where=sa.text("state = 'PENDING'")
    )
    op.execute("""
        ALTER TABLE support_settings
            ALTER email_kinds DROP DEFAULT, ALTER google_chat_kinds DROP DEFAULT,
            ALTER email_kinds TYPE notice_kind[] USING email_kinds::text[]::notice_kind[],
            ALTER google_chat_kinds TYPE notice_kind[] USING google_chat_kinds::text[]::notice_kind[],
            ALTER email_kinds SET DEFAULT '{CREATED,ASSIGNED,UNASSIGNED,NOTE_ADDED,RESOLVED}',
            ALTER google_chat_kinds SET DEFAULT '{CREATED,ASSIGNED}'""")
    op.execute("DROP TYPE delivery_state_before")
    op.execute("DROP TYPE notice_kind_before")
