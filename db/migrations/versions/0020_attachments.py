"""Attachments.

Revision ID: 0020
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0020"
down_revision = "0018"
branch_labels = None
depends_on = None

oldest_code = "0001"
oldest_database = "0020"

_STATE = postgresql.ENUM(
    "UPLOADING", "SCANNING", "READY", "REJECTED", "ERASED", name="attachment_state", create_type=False
)
_ACTOR_KIND = postgresql.ENUM(name="actor_kind", create_type=False)

_KINDS = (
    "'CREATED', 'RESOLVED', 'CLOSED', 'REOPENED', 'STATUS_CHANGED', 'ASSIGNED', 'UNASSIGNED', 'UPDATED', 'NOTE_ADDED'"
)

_FINAL = """
CREATE OR REPLACE TRIGGER ticket_events_final
BEFORE UPDATE OF {columns} OR TRUNCATE ON ticket_events
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('what an event says is never changed')"""
_COLUMNS = "id, ticket_id, kind, actor_kind, actor_id, actor_name, at, before, after, note_id, public"

_OF_ERASED = (
    """
CREATE FUNCTION refuse_erased_owner() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM customers WHERE erased_at IS NOT NULL
            AND (id = NEW.customer_id OR NEW.creator_kind = 'CUSTOMER' AND id::text = NEW.creator_id)
    ) THEN
        RAISE EXCEPTION 'the customer has been erased' USING ERRCODE = 'serialization_failure';
    END IF;
    RETURN NEW;
END
$$""",
    """
CREATE TRIGGER attachments_of_erased BEFORE INSERT ON attachments FOR EACH ROW
EXECUTE FUNCTION refuse_erased_owner()""",
)


def upgrade() -> None:
    with op.get_context().autocommit_block():  # a transaction cannot use a value that it has added
        op.execute("ALTER TYPE ticket_event_kind ADD VALUE IF NOT EXISTS 'ATTACHMENT_ADDED' AFTER 'NOTE_ADDED'")
        op.execute(
            "ALTER TYPE ticket_event_kind ADD VALUE IF NOT EXISTS 'ATTACHMENT_REJECTED' AFTER 'ATTACHMENT_ADDED'"
        )
    _STATE.create(op.get_bind())
    op.execute("LOCK TABLE tickets, ticket_events, notes, customers IN SHARE ROW EXCLUSIVE MODE")
    op.create_table(
        "attachments",
        sa.Column("id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("ticket_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("note_id", sa.UUID(as_uuid=False), nullable=True),
        sa.Column("customer_id", sa.UUID(as_uuid=False), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("content_type", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("upload_size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", postgresql.BYTEA(), nullable=True),
        sa.Column("internal_only", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("state", _STATE, server_default="UPLOADING", nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("width", sa.Integer(), nullable=True),
        sa.Column("height", sa.Integer(), nullable=True),
        sa.Column("thumbnail", postgresql.BYTEA(), nullable=True),
        sa.Column("creator_kind", _ACTOR_KIND, nullable=False),
        sa.Column("creator_id", sa.Text(), nullable=False),
        sa.Column("creator_name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            r"btrim(name, E' \t\n\r') <> '' AND length(name) <= 255", name=op.f("ck_attachments_name_length")
        ),
        sa.CheckConstraint(
            r"btrim(content_type, E' \t\n\r') <> '' AND length(content_type) <= 127",
            name=op.f("ck_attachments_content_type_length"),
        ),
        sa.CheckConstraint("length(reason) <= 500", name=op.f("ck_attachments_reason_length")),
        sa.CheckConstraint("size >= 0", name=op.f("ck_attachments_size_not_negative")),
        sa.CheckConstraint(
            "length(sha256) = 32 AND length(thumbnail) = 32", name=op.f("ck_attachments_digests_length")
        ),
        sa.CheckConstraint("(state = 'ERASED') = (sha256 IS NULL)", name=op.f("ck_attachments_erased_has_no_object")),
        sa.CheckConstraint(
            "(state IN ('UPLOADING', 'SCANNING')) = (finished_at IS NULL)",
            name=op.f("ck_attachments_finished_has_time"),
        ),
        sa.CheckConstraint(
            "(state = 'REJECTED') = (reason IS NOT NULL)", name=op.f("ck_attachments_rejected_has_reason")
        ),
        sa.CheckConstraint(
            "thumbnail IS NULL OR state <> 'ERASED'", name=op.f("ck_attachments_erased_has_no_thumbnail")
        ),
        sa.CheckConstraint(
            "(width IS NULL) = (height IS NULL) AND width > 0 AND height > 0",
            name=op.f("ck_attachments_image_has_size"),
        ),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.id"], name=op.f("fk_attachments_customer_id")),
        sa.ForeignKeyConstraint(["note_id"], ["notes.id"], name=op.f("fk_attachments_note_id")),
        sa.ForeignKeyConstraint(["ticket_id"], ["tickets.id"], name=op.f("fk_attachments_ticket_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attachments")),
    )
    for columns, where in {
        ("ticket_id", "created_at", "id"): None,
        ("note_id", "created_at", "id"): "note_id IS NOT NULL",
        ("creator_id", "created_at"): None,
        ("sha256",): None,
        ("thumbnail",): "thumbnail IS NOT NULL",
    }.items():
        op.create_index(
            f"ix_attachments_{'_'.join(columns)}",
            "attachments",
            list(columns),
            postgresql_where=None if where is None else sa.text(where),
        )
    op.create_index(
        "ix_attachments_unfinished",
        "attachments",
        ["state", "created_at"],
        postgresql_where=sa.text("finished_at IS NULL"),
    )
    op.create_index(
        "ix_attachments_rejected", "attachments", ["finished_at"], postgresql_where=sa.text("state = 'REJECTED'")
    )
    for statement in _OF_ERASED:
        op.execute(statement)
    op.execute("ALTER TABLE ticket_events ADD COLUMN attachment_id uuid")
    op.execute(_FINAL.format(columns=f"{_COLUMNS}, attachment_id"))


def downgrade() -> None:
    """The attachments are lost, and their events become UPDATED ones, which changed nothing. This rewrites the events
    under a lock: stop the servers before."""
    op.drop_table("attachments")
    op.execute("DROP FUNCTION refuse_erased_owner()")
    _STATE.drop(op.get_bind())
    op.execute("DROP TRIGGER ticket_events_final ON ticket_events")
    op.execute("ALTER TYPE ticket_event_kind RENAME TO ticket_event_kind_before")
    op.execute(f"CREATE TYPE ticket_event_kind AS ENUM ({_KINDS})")
    op.execute("""
        ALTER TABLE ticket_events DROP COLUMN attachment_id, ALTER kind TYPE ticket_event_kind
            USING (CASE WHEN kind::text LIKE 'ATTACHMENT%' THEN 'UPDATED' ELSE kind::text END)::ticket_event_kind""")
    op.execute("DROP TYPE ticket_event_kind_before")
    op.execute(_FINAL.format(columns=_COLUMNS))
