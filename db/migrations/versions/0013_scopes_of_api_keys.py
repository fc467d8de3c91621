"""API keys with a scope, an expiry, a creator and the time of their last use; and revocations of tokens.

The keys that there are have no scope: they may do what they could before.

Revision ID: 0013
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

oldest_code = "0001"
oldest_database = "0013"

SCOPE = postgresql.ENUM("CHATBOT", "MAIL_GATEWAY", name="service_scope", create_type=False)


def upgrade() -> None:
    op.execute(postgresql.CreateEnumType(SCOPE))
    op.create_table(
        "token_revocations",
        sa.Column("id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column(
            "revoked_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.CheckConstraint(
            "btrim(subject, E' \\t\\n\\r') <> '' AND length(subject) <= 200",
            name=op.f("ck_token_revocations_subject_length"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_token_revocations")),
    )
    op.create_index("ix_token_revocations_revoked_at", "token_revocations", ["revoked_at"])
    op.execute("""
        ALTER TABLE api_keys
            ADD COLUMN scope service_scope,
            ADD COLUMN expires_at timestamptz,
            ADD COLUMN creator_id text,
            ADD COLUMN creator_name text,
            ADD COLUMN last_used_at timestamptz""")


def downgrade() -> None:
    op.execute("""
        ALTER TABLE api_keys
            DROP COLUMN scope,
            DROP COLUMN expires_at,
            DROP COLUMN creator_id,
            DROP COLUMN creator_name,
            DROP COLUMN last_used_at""")
    op.drop_table("token_revocations")
    op.execute(postgresql.DropEnumType(SCOPE))
