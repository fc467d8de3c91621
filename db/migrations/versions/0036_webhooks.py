"""Webhooks, the processes that carry them, and the attempts to deliver their messages.

Revision ID: 0036
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy import text
from sqlalchemy.dialects import postgresql

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None

oldest_code = "0001"
oldest_database = "0036"

_FINAL = "audit_entries_final"
_ENUMS = {
    "webhook_state": ("ACTIVE", "SUSPENDED"),
    "webhook_suspension": ("FAILING", "GONE", "ACCESS_LOST", "INVALID", "TOO_LARGE", "ERASED"),
    "webhook_message_kind": ("EVENT", "RESET", "TEST"),
    "webhook_outcome": ("ACKNOWLEDGED", "FAILED"),
}
_ADDED = {"audit_action": ("REPLAYED", "DELETED"), "audit_object_kind": ("WEBHOOK",)}
_COLUMNS = {"audit_action": "action", "audit_object_kind": "object_kind"}


def _enum(name: str) -> postgresql.ENUM:
    return postgresql.ENUM(name=name, create_type=False)


def _time(name: str, *, now: bool = False, nullable: bool = True) -> sa.Column[object]:
    default = sa.text("now()") if now else None
    return sa.Column(name, sa.DateTime(timezone=True), server_default=default, nullable=nullable and not now)


def upgrade() -> None:
    with op.get_context().autocommit_block():  # a transaction cannot use a value that it has added
        for enum, values in _ADDED.items():
            for value in values:
                op.execute(f"ALTER TYPE {enum} ADD VALUE IF NOT EXISTS '{value}'")
    for enum, values in _ENUMS.items():
        op.execute(f"CREATE TYPE {enum} AS ENUM ({', '.join(map(repr, values))})")
    _create_webhooks()
    op.create_table(
        "webhook_workers",
        sa.Column("id", sa.UUID(as_uuid=False), nullable=False),
        _time("alive_until", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_workers")),
    )
    _create_deliveries()


def _create_webhooks() -> None:
    op.create_table(
        "webhooks",
        sa.Column("id", sa.UUID(as_uuid=False), nullable=False),
        _time("created_at", now=True),
        _time("updated_at", now=True),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("variables", sa.Text(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("previous_secret", sa.LargeBinary(), nullable=True),
        _time("previous_until"),
        sa.Column("author_role", _enum("actor_kind"), nullable=False),
        sa.Column("author_id", sa.Text(), nullable=False),
        sa.Column("author_name", sa.Text(), nullable=False),
        sa.Column("author_names", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("author_scope", _enum("service_scope"), nullable=True),
        sa.Column("author_time_zone", sa.Text(), nullable=False),
        sa.Column("api_key_id", sa.UUID(as_uuid=False), nullable=True),
        _time("authorized_at", now=True),
        sa.Column("state", _enum("webhook_state"), server_default="ACTIVE", nullable=False),
        sa.Column("suspension", _enum("webhook_suspension"), nullable=True),
        sa.Column("suspended_said", sa.Text(), nullable=True),
        _time("suspended_at"),
        _time("notice_due_at"),
        sa.Column("position", sa.Text(), nullable=False),
        sa.Column("claim", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("worker_id", sa.UUID(as_uuid=False), nullable=True),
        sa.Column("failures", sa.Integer(), server_default=sa.text("0"), nullable=False),
        _time("failing_since"),
        _time("next_attempt_at"),
        _time("acknowledged_at"),
        sa.CheckConstraint(
            "btrim(url, E' \\t\\n\\r') <> '' AND length(url) <= 2000", name=op.f("ck_webhooks_url_length")
        ),
        sa.CheckConstraint("length(document) <= 10000", name=op.f("ck_webhooks_document_length")),
        sa.CheckConstraint("length(variables) <= 10000", name=op.f("ck_webhooks_variables_length")),
        sa.CheckConstraint("length(suspended_said) <= 1000", name=op.f("ck_webhooks_suspended_said_length")),
        sa.CheckConstraint("author_role IN ('ADMIN', 'SERVICE')", name=op.f("ck_webhooks_author_may")),
        sa.CheckConstraint(
            "(state = 'SUSPENDED') = (suspension IS NOT NULL)", name=op.f("ck_webhooks_suspended_has_reason")
        ),
        sa.CheckConstraint(
            "(state = 'SUSPENDED') = (suspended_at IS NOT NULL)", name=op.f("ck_webhooks_suspended_has_time")
        ),
        sa.CheckConstraint("(failures > 0) = (failing_since IS NOT NULL)", name=op.f("ck_webhooks_failing_has_time")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhooks")),
    )
    op.create_index("ix_webhooks_created_at_id", "webhooks", ["created_at", "id"])


def _create_deliveries() -> None:
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("webhook_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("message_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("kind", _enum("webhook_message_kind"), nullable=False),
        sa.Column("outcome", _enum("webhook_outcome"), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("said", sa.Text(), nullable=False),
        sa.Column("cursor", sa.Text(), nullable=True),
        _time("at", now=True),
        sa.Column("milliseconds", sa.Integer(), nullable=False),
        sa.CheckConstraint("length(said) <= 1000", name=op.f("ck_webhook_deliveries_said_length")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_deliveries")),
    )
    op.create_index("ix_webhook_deliveries_at_id", "webhook_deliveries", ["at", "id"])
    op.create_index("ix_webhook_deliveries_webhook_id_at_id", "webhook_deliveries", ["webhook_id", "at", "id"])


def downgrade() -> None:
    """The webhooks are gone, and the audit trail forgets them."""
    for name in ("webhook_deliveries", "webhook_workers", "webhooks"):
        op.drop_table(name)
    for enum in _ENUMS:
        op.execute(f"DROP TYPE {enum}")
    op.execute("ALTER TABLE audit_entries DISABLE TRIGGER USER")
    op.execute("DELETE FROM audit_entries WHERE object_kind = 'WEBHOOK' OR action IN ('REPLAYED', 'DELETED')")
    op.execute("ALTER TABLE audit_entries ENABLE TRIGGER USER")
    final = op.get_bind().scalar(text(f"SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgname = '{_FINAL}'"))
    op.execute(f"DROP TRIGGER {_FINAL} ON audit_entries")
    for enum, values in _ADDED.items():
        _remove(enum, values)
    op.execute(str(final))


def _remove(enum: str, values: tuple[str, ...]) -> None:
    """Creates an enum of the audit trail anew, without these values."""
    left = op.get_bind().scalars(
        text("SELECT enumlabel FROM pg_enum WHERE enumtypid = CAST(:enum AS regtype) ORDER BY enumsortorder"),
        {"enum": enum},
    )
    labels = ", ".join(f"'{label}'" for label in left if label not in values)
    op.execute(f"ALTER TYPE {enum} RENAME TO {enum}_before")
    op.execute(f"CREATE TYPE {enum} AS ENUM ({labels})")
    column = _COLUMNS[enum]
    op.execute(f"ALTER TABLE audit_entries ALTER {column} TYPE {enum} USING {column}::text::{enum}")
    op.execute(f"DROP TYPE {enum}_before")
