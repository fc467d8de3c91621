"""The inbound messages and their outcomes.

Revision ID: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

oldest_code = "0001"
oldest_database = "0004"

OUTCOME = postgresql.ENUM(
    "TICKET_CREATED",
    "NOTE_ADDED",
    "DUPLICATE",
    "IGNORED",
    "KEPT_ASIDE",
    name="inbound_outcome",
    create_type=False,
)


def upgrade() -> None:
    op.execute(postgresql.CreateEnumType(OUTCOME))
    op.create_table(
        "inbound_messages",
        sa.Column("id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("key", postgresql.BYTEA(), nullable=False),
        sa.Column("content", postgresql.BYTEA(), nullable=False),
        sa.Column("message_id", sa.Text(collation="C"), nullable=True),
        sa.Column("from_address", sa.Text(), nullable=True),
        sa.Column("from_name", sa.Text(), nullable=True),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("outcome", OUTCOME, nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("ticket_id", sa.UUID(as_uuid=False), nullable=True),
        sa.Column("note_id", sa.UUID(as_uuid=False), nullable=True),
        sa.Column("raw", postgresql.BYTEA(), nullable=True),
        sa.CheckConstraint("length(message_id) <= 500", name=op.f("ck_inbound_messages_message_id_length")),
        sa.CheckConstraint("length(from_address) <= 254", name=op.f("ck_inbound_messages_from_address_length")),
        sa.CheckConstraint("length(from_name) <= 200", name=op.f("ck_inbound_messages_from_name_length")),
        sa.CheckConstraint("length(subject) <= 200", name=op.f("ck_inbound_messages_subject_length")),
        sa.CheckConstraint("length(reason) <= 500", name=op.f("ck_inbound_messages_reason_length")),
        sa.CheckConstraint("outcome <> 'DUPLICATE'", name=op.f("ck_inbound_messages_once")),
        sa.CheckConstraint(
            "(outcome IN ('TICKET_CREATED', 'NOTE_ADDED')) = (ticket_id IS NOT NULL)",
            name=op.f("ck_inbound_messages_has_ticket"),
        ),
        sa.CheckConstraint(
            "(outcome = 'NOTE_ADDED') = (note_id IS NOT NULL)", name=op.f("ck_inbound_messages_has_note")
        ),
        sa.CheckConstraint(
            "(outcome = 'KEPT_ASIDE') = (raw IS NOT NULL)", name=op.f("ck_inbound_messages_kept_aside_is_kept")
        ),
        sa.CheckConstraint(
            "outcome NOT IN ('IGNORED', 'KEPT_ASIDE') OR reason IS NOT NULL",
            name=op.f("ck_inbound_messages_has_reason"),
        ),
        sa.ForeignKeyConstraint(["ticket_id"], ["tickets.id"], name=op.f("fk_inbound_messages_ticket_id")),
        sa.ForeignKeyConstraint(["note_id"], ["notes.id"], name=op.f("fk_inbound_messages_note_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inbound_messages")),
        sa.UniqueConstraint("key", name=op.f("uq_inbound_messages_key")),
    )
    op.create_index("ix_inbound_messages_message_id", "inbound_messages", ["message_id"])
    op.create_index("ix_inbound_messages_content_received_at", "inbound_messages", ["content", "received_at"])
    op.create_index("ix_inbound_messages_received_at_id", "inbound_messages", ["received_at", "id"])
    op.create_index("ix_inbound_messages_outcome_received_at_id", "inbound_messages", ["outcome", "received_at", "id"])


def downgrade() -> None:
    op.drop_table("inbound_messages")
    op.execute(postgresql.DropEnumType(OUTCOME))
