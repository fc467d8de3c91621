"""The identities of technicians and customers at identity providers.

Revision ID: 0030
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy import text

revision = "0030"
down_revision = "0028"
branch_labels = None
depends_on = None

oldest_code = "0001"
oldest_database = "0030"

_FINAL = "audit_entries_final"
_KINDS = "'CUSTOMER', 'PROPERTY', 'TECHNICIAN', 'ARTICLE', 'SUPPORT_SETTINGS', 'API_KEY', 'TOKEN', 'INBOUND_MESSAGE'"


def upgrade() -> None:
    with op.get_context().autocommit_block():  # a transaction cannot use a value that it has added
        op.execute("ALTER TYPE audit_object_kind ADD VALUE IF NOT EXISTS 'IDENTITY'")
    op.create_table(
        "identities",
        sa.Column("id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("technician_id", sa.UUID(as_uuid=False), nullable=True),
        sa.Column("customer_id", sa.UUID(as_uuid=False), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        *(
            sa.CheckConstraint(
                f"btrim({column}, E' \\t\\n\\r') <> '' AND length({column}) <= 200",
                name=op.f(f"ck_identities_{column}_length"),
            )
            for column in ("issuer", "subject")
        ),
        sa.CheckConstraint(
            "(technician_id IS NULL) <> (customer_id IS NULL)", name=op.f("ck_identities_of_one_person")
        ),
        sa.ForeignKeyConstraint(["technician_id"], ["technicians.id"], name=op.f("fk_identities_technician_id")),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.id"], name=op.f("fk_identities_customer_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_identities")),
    )
    op.create_index("uq_identities_subject_issuer", "identities", ["subject", "issuer"], unique=True)
    op.create_index("ix_identities_created_at_id", "identities", ["created_at", "id"])
    for person in ("technician_id", "customer_id"):
        op.create_index(f"ix_identities_{person}_created_at_id", "identities", [person, "created_at", "id"])


def downgrade() -> None:
    """Nobody whom a provider knows can sign in any more, and the audit trail forgets who could."""
    op.drop_table("identities")
    op.execute("ALTER TABLE audit_entries DISABLE TRIGGER USER")
    op.execute("DELETE FROM audit_entries WHERE object_kind = 'IDENTITY'")
    op.execute("ALTER TABLE audit_entries ENABLE TRIGGER USER")
    final = op.get_bind().scalar(text(f"SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgname = '{_FINAL}'"))
    op.execute(f"DROP TRIGGER {_FINAL} ON audit_entries")
    op.execute("ALTER TYPE audit_object_kind RENAME TO audit_object_kind_before")
    op.execute(f"CREATE TYPE audit_object_kind AS ENUM ({_KINDS})")
    op.execute(
        "ALTER TABLE audit_entries ALTER object_kind TYPE audit_object_kind USING object_kind::text::audit_object_kind"
    )
    op.execute(str(final))
    op.execute("DROP TYPE audit_object_kind_before")
