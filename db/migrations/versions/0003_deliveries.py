"""The queue of deliveries, and the settings for the kinds of notifications that are sent.

Revision ID: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

oldest_code = "0001"
oldest_database = "0003"

KIND = postgresql.ENUM(
    "CREATED", "ASSIGNED", "UNASSIGNED", "NOTE_ADDED", "RESOLVED", "TEST", name="notice_kind", create_type=False
)
CHANNEL = postgresql.ENUM("EMAIL", "GOOGLE_CHAT", name="delivery_channel", create_type=False)
AUDIENCE = postgresql.ENUM("ADMIN", "CUSTOMER", "TECHNICIAN", "SPACE", name="delivery_audience", create_type=False)
STATE = postgresql.ENUM("PENDING", "SENT", "DEAD", name="delivery_state", create_type=False)
ENUMS = (KIND, CHANNEL, AUDIENCE, STATE)


def upgrade() -> None:
    for enum in ENUMS:
        op.execute(postgresql.CreateEnumType(enum))
    op.add_column(
        "support_settings",
        sa.Column(
            "email_kinds",
            postgresql.ARRAY(KIND),
            server_default=sa.text("'{CREATED,ASSIGNED,UNASSIGNED,NOTE_ADDED,RESOLVED}'"),
            nullable=False,
        ),
    )
    op.add_column(
        "support_settings",
        sa.Column(
            "google_chat_kinds",
            postgresql.ARRAY(KIND),
            server_default=sa.text("'{CREATED,ASSIGNED}'"),
            nullable=False,
        ),
    )
    op.create_table(
        "deliveries",
        sa.Column("id", sa.UUID(as_uuid=False), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("event_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("ticket_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("note_id", sa.UUID(as_uuid=False), nullable=True),
        sa.Column("technician_id", sa.UUID(as_uuid=False), nullable=True),
        sa.Column("kind", KIND, nullable=False),
        sa.Column("channel", CHANNEL, nullable=False),
        sa.Column("audience", AUDIENCE, nullable=False),
        sa.Column("recipient", sa.Text(), nullable=False),
        sa.Column("recipient_name", sa.Text(), nullable=False),
        sa.Column("actor_name", sa.Text(), nullable=False),
        sa.Column("state", STATE, server_default="PENDING", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("said", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("queued_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("claimed_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(audience = 'SPACE') = (channel = 'GOOGLE_CHAT')", name=op.f("ck_deliveries_space_has_its_channel")
        ),
        sa.CheckConstraint(
            "(audience = 'TECHNICIAN') = (technician_id IS NOT NULL)", name=op.f("ck_deliveries_technician_has_id")
        ),
        sa.CheckConstraint("(channel = 'EMAIL') = (recipient <> '')", name=op.f("ck_deliveries_email_has_recipient")),
        sa.CheckConstraint("(state = 'PENDING') = (finished_at IS NULL)", name=op.f("ck_deliveries_finished_has_time")),
        sa.CheckConstraint("attempts >= 0", name=op.f("ck_deliveries_attempts_not_negative")),
        sa.CheckConstraint("length(recipient) <= 254", name=op.f("ck_deliveries_recipient_length")),
        sa.CheckConstraint("length(said) <= 1000", name=op.f("ck_deliveries_said_length")),
        sa.CheckConstraint("state = 'PENDING' OR claimed_until IS NULL", name=op.f("ck_deliveries_finished_is_free")),
        sa.ForeignKeyConstraint(["note_id"], ["notes.id"], name=op.f("fk_deliveries_note_id")),
        sa.ForeignKeyConstraint(["technician_id"], ["technicians.id"], name=op.f("fk_deliveries_technician_id")),
        sa.ForeignKeyConstraint(["ticket_id"], ["tickets.id"], name=op.f("fk_deliveries_ticket_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
    )
    op.create_index(
        "uq_deliveries_event_id_channel_recipient",
        "deliveries",
        ["event_id", "channel", sa.literal_column("lower(recipient)")],
        unique=True,
    )
    op.create_index(
        "ix_deliveries_due",
        "deliveries",
        ["channel", "due_at", "id"],
        postgresql_where=sa.text("state = 'PENDING'"),
    )
    op.create_index("ix_deliveries_ticket_id_created_at_id", "deliveries", ["ticket_id", "created_at", "id"])
    op.create_index("ix_deliveries_created_at_id", "deliveries", ["created_at", "id"])
    op.create_index("ix_deliveries_state_created_at_id", "deliveries", ["state", "created_at", "id"])
    op.create_index(
        "ix_deliveries_recipient_created_at_id",
        "deliveries",
        [sa.literal_column("lower(recipient)"), "created_at", "id"],
    )


def downgrade() -> None:
    """Pending deliveries are lost: nobody is notified of them."""
    op.drop_table("deliveries")
    op.drop_column("support_settings", "google_chat_kinds")
    op.drop_column("support_settings", "email_kinds")
    for enum in reversed(ENUMS):
        op.execute(postgresql.DropEnumType(enum))
