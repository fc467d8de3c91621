"""Passkeys, with which people sign in.

Revision ID: 0040
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy import text
from sqlalchemy.dialects import postgresql

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None

oldest_code = "0001"
oldest_database = "0040"

_FINAL = "audit_entries_final"
_PEOPLE = ("admin", "technician", "customer")


def upgrade() -> None:
    with op.get_context().autocommit_block():  # a transaction cannot use a value that it has added
        op.execute("ALTER TYPE audit_object_kind ADD VALUE IF NOT EXISTS 'PASSKEY'")
    op.create_table(
        "passkeys",
        sa.Column("id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("credential_id", postgresql.BYTEA(), nullable=False),
        sa.Column("public_key", postgresql.BYTEA(), nullable=False),
        sa.Column("sign_count", sa.BigInteger(), nullable=False),
        *(sa.Column(f"{person}_id", sa.UUID(as_uuid=False), nullable=True) for person in _PEOPLE),
        sa.Column("user_agent", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("length(user_agent) <= 300", name=op.f("ck_passkeys_user_agent_length")),
        sa.CheckConstraint(
            "num_nonnulls(admin_id, technician_id, customer_id) = 1", name=op.f("ck_passkeys_of_one_person")
        ),
        *(
            sa.ForeignKeyConstraint([f"{person}_id"], [f"{person}s.id"], name=op.f(f"fk_passkeys_{person}_id"))
            for person in _PEOPLE
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_passkeys")),
        sa.UniqueConstraint("credential_id", name=op.f("uq_passkeys_credential_id")),
    )
    for person in _PEOPLE:
        op.create_index(f"ix_passkeys_{person}_id", "passkeys", [f"{person}_id"])


def downgrade() -> None:
    """Passkeys are gone. PostgreSQL cannot remove values of an enum, so the type is made anew: no server may run
    meanwhile."""
    op.drop_table("passkeys")
    op.execute("ALTER TABLE audit_entries DISABLE TRIGGER USER")
    op.execute("DELETE FROM audit_entries WHERE object_kind = 'PASSKEY'")
    op.execute("ALTER TABLE audit_entries ENABLE TRIGGER USER")
    final = op.get_bind().scalar(text(f"SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgname = '{_FINAL}'"))
    op.execute(f"DROP TRIGGER {_FINAL} ON audit_entries")
    labels = op.get_bind().scalar(
        text(
            "SELECT string_agg(quote_literal(enumlabel), ', ' ORDER BY enumsortorder) FROM pg_enum"
            " WHERE enumtypid = 'audit_object_kind'::regtype AND enumlabel <> 'PASSKEY'"
        )
    )
    op.execute("ALTER TYPE audit_object_kind RENAME TO audit_object_kind_before")
    op.execute(f"CREATE TYPE audit_object_kind AS ENUM ({labels})")
    op.execute(
        "ALTER TABLE audit_entries ALTER object_kind TYPE audit_object_kind USING object_kind::text::audit_object_kind"
    )
    op.execute("DROP TYPE audit_object_kind_before")
    op.execute(str(final))
