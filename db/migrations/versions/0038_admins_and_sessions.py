"""Admins who sign in here, sessions of browsers, and links that are mailed to sign in.

Revision ID: 0038
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy import text
from sqlalchemy.dialects import postgresql

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None

oldest_code = "0001"
oldest_database = "0038"

_FINAL = "audit_entries_final"
_PEOPLE = ("admin", "technician", "customer")


def upgrade() -> None:
    with op.get_context().autocommit_block():  # a transaction cannot use a value that it has added
        op.execute("ALTER TYPE audit_object_kind ADD VALUE IF NOT EXISTS 'ADMIN'")
        op.execute("ALTER TYPE audit_object_kind ADD VALUE IF NOT EXISTS 'SESSION'")
    op.create_table(
        "admins",
        sa.Column("id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        *(
            sa.CheckConstraint(
                f"btrim({column}, E' \\t\\n\\r') <> '' AND length({column}) <= {maximum}",
                name=op.f(f"ck_admins_{column}_length"),
            )
            for column, maximum in (("name", 200), ("email", 254))
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_admins")),
    )
    op.create_index("uq_admins_email", "admins", [sa.text("lower(email)")], unique=True)
    op.create_index("ix_admins_name_id", "admins", ["name", "id"])
    op.create_table(
        "sessions",
        sa.Column("id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("secret_hash", postgresql.BYTEA(), nullable=False),
        sa.Column("previous_hash", postgresql.BYTEA(), nullable=True),
        *(sa.Column(f"{person}_id", sa.UUID(as_uuid=False), nullable=True) for person in _PEOPLE),
        sa.Column("user_agent", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("renewed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("length(user_agent) <= 300", name=op.f("ck_sessions_user_agent_length")),
        *_of_one_person("sessions"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
        sa.UniqueConstraint("secret_hash", name=op.f("uq_sessions_secret_hash")),
    )
    op.create_index("ix_sessions_previous_hash", "sessions", ["previous_hash"])
    op.create_index("ix_sessions_used_at", "sessions", ["used_at"])
    op.create_index("ix_sessions_created_at_id", "sessions", ["created_at", "id"])
    for person in _PEOPLE:
        columns = [f"{person}_id", "created_at", "id"]
        op.create_index(f"ix_sessions_{person}_id_created_at_id", "sessions", columns)
    op.create_table(
        "sign_in_links",
        sa.Column("secret_hash", postgresql.BYTEA(), nullable=False),
        *(sa.Column(f"{person}_id", sa.UUID(as_uuid=False), nullable=True) for person in _PEOPLE),
        sa.Column("next_path", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        *_of_one_person("sign_in_links"),
        sa.PrimaryKeyConstraint("secret_hash", name=op.f("pk_sign_in_links")),
    )
    op.create_index("ix_sign_in_links_created_at", "sign_in_links", ["created_at"])


def _of_one_person(table: str) -> list[sa.Constraint]:
    return [
        sa.CheckConstraint(
            "num_nonnulls(admin_id, technician_id, customer_id) = 1", name=op.f(f"ck_{table}_of_one_person")
        ),
        *(
            sa.ForeignKeyConstraint([f"{person}_id"], [f"{person}s.id"], name=op.f(f"fk_{table}_{person}_id"))
            for person in _PEOPLE
        ),
    ]


def downgrade() -> None:
    """Nobody is signed in any more. PostgreSQL cannot remove values of an enum, so the type is made anew: no server may
    run meanwhile."""
    op.drop_table("sign_in_links")
    op.drop_table("sessions")
    op.drop_table("admins")
    op.execute("ALTER TABLE audit_entries DISABLE TRIGGER USER")
    op.execute("DELETE FROM audit_entries WHERE object_kind IN ('ADMIN', 'SESSION')")
    op.execute("ALTER TABLE audit_entries ENABLE TRIGGER USER")
    final = op.get_bind().scalar(text(f"SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgname = '{_FINAL}'"))
    op.execute(f"DROP TRIGGER {_FINAL} ON audit_entries")
    labels = op.get_bind().scalar(
        text(
            "SELECT string_agg(quote_literal(enumlabel), ', ' ORDER BY enumsortorder) FROM pg_enum"
            " WHERE enumtypid = 'audit_object_kind'::regtype AND enumlabel NOT IN ('ADMIN', 'SESSION')"
        )
    )
    op.execute("ALTER TYPE audit_object_kind RENAME TO audit_object_kind_before")
    op.execute(f"CREATE TYPE audit_object_kind AS ENUM ({labels})")
    op.execute(
        "ALTER TABLE audit_entries ALTER object_kind TYPE audit_object_kind USING object_kind::text::audit_object_kind"
    )
    op.execute("DROP TYPE audit_object_kind_before")
    op.execute(str(final))
