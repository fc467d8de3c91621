"""Inbound messages: recipients, and the text of those that wait for a review.

Revision ID: 0019
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import text

from db.postgres.indexes import drop_index, make_index

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

oldest_code = "0001"
oldest_database = "0019"

_RECIPIENTS = "ck_inbound_messages_recipients_count"
_TEXT = "ck_inbound_messages_text_length"
_FINAL = "audit_entries_final"
_KINDS = "'CUSTOMER', 'PROPERTY', 'TECHNICIAN', 'ARTICLE', 'SUPPORT_SETTINGS', 'API_KEY', 'TOKEN'"
_OUTCOMES = "'TICKET_CREATED', 'NOTE_ADDED', 'DUPLICATE', 'IGNORED', 'KEPT_ASIDE'"

# What is dropped before the type of a column changes, and made again afterwards, as it names the type.
_CHECKS_OF_OUTCOMES = """
SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint
WHERE conrelid = 'inbound_messages'::regclass AND contype = 'c' AND pg_get_constraintdef(oid) LIKE '%inbound_outcome%'
ORDER BY conname"""
_INDEXES_OF_OUTCOMES = """
SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index
WHERE indrelid = 'inbound_messages'::regclass AND pg_get_indexdef(indexrelid) LIKE '%inbound_outcome%'
ORDER BY indexrelid"""


def upgrade() -> None:
    with op.get_context().autocommit_block():  # a transaction cannot use a value that it has added
        op.execute("ALTER TYPE inbound_outcome ADD VALUE IF NOT EXISTS 'DISCARDED'")
        op.execute("ALTER TYPE audit_object_kind ADD VALUE IF NOT EXISTS 'INBOUND_MESSAGE'")
    make_index(
        "ix_inbound_messages_ignored",
        "inbound_messages USING btree (COALESCE(lower(from_address), ''::text), received_at)"
        " WHERE (outcome = 'IGNORED'::inbound_outcome)",
    )
    op.execute(f"""
        ALTER TABLE inbound_messages
            ADD COLUMN IF NOT EXISTS recipients text[] NOT NULL DEFAULT '{{}}',
            ADD COLUMN IF NOT EXISTS text text,
            DROP CONSTRAINT IF EXISTS {_RECIPIENTS},
            DROP CONSTRAINT IF EXISTS {_TEXT},
            ADD CONSTRAINT {_RECIPIENTS} CHECK (cardinality(recipients) <= 50) NOT VALID,
            ADD CONSTRAINT {_TEXT} CHECK (length(text) <= 100000) NOT VALID""")
    with op.get_context().autocommit_block():
        op.execute(f"ALTER TABLE inbound_messages VALIDATE CONSTRAINT {_RECIPIENTS}")
        op.execute(f"ALTER TABLE inbound_messages VALIDATE CONSTRAINT {_TEXT}")


def downgrade() -> None:
    """What an admin has discarded counts as ignored. The audit trail forgets what was done to messages."""
    drop_index("ix_inbound_messages_ignored")
    op.execute("UPDATE inbound_messages SET outcome = 'IGNORED' WHERE outcome = 'DISCARDED'")
    op.execute("ALTER TABLE inbound_messages DROP COLUMN recipients, DROP COLUMN text")
    _take_value_from_outcomes()
    op.execute("ALTER TABLE audit_entries DISABLE TRIGGER USER")
    op.execute("DELETE FROM audit_entries WHERE object_kind = 'INBOUND_MESSAGE'")
    op.execute("ALTER TABLE audit_entries ENABLE TRIGGER USER")
    _take_value_from_object_kinds()


def _take_value_from_outcomes() -> None:
    checks = op.get_bind().execute(text(_CHECKS_OF_OUTCOMES)).all()
    indexes = op.get_bind().execute(text(_INDEXES_OF_OUTCOMES)).all()
    for name, _ in indexes:
        op.execute(f"DROP INDEX {name}")
    for name, _ in checks:
        op.execute(f"ALTER TABLE inbound_messages DROP CONSTRAINT {name}")
    op.execute("ALTER TYPE inbound_outcome RENAME TO inbound_outcome_before")
    op.execute(f"CREATE TYPE inbound_outcome AS ENUM ({_OUTCOMES})")
    op.execute("ALTER TABLE inbound_messages ALTER outcome TYPE inbound_outcome USING outcome::text::inbound_outcome")
    for name, definition in checks:
        op.execute(f"ALTER TABLE inbound_messages ADD CONSTRAINT {name} {definition}")
    for _, definition in indexes:
        op.execute(definition)
    op.execute("DROP TYPE inbound_outcome_before")


def _take_value_from_object_kinds() -> None:
    final = op.get_bind().scalar(text(f"SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgname = '{_FINAL}'"))
    op.execute(f"DROP TRIGGER {_FINAL} ON audit_entries")
    op.execute("ALTER TYPE audit_object_kind RENAME TO audit_object_kind_before")
    op.execute(f"CREATE TYPE audit_object_kind AS ENUM ({_KINDS})")
    op.execute(
        "ALTER TABLE audit_entries ALTER object_kind TYPE audit_object_kind USING object_kind::text::audit_object_kind"
    )
    op.execute(str(final))
    op.execute("DROP TYPE audit_object_kind_before")
