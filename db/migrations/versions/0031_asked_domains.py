"""The domain of each address that was asked to be confirmed, so that a domain's addresses can be counted.

Revision ID: 0031
"""

from __future__ import annotations

from alembic import op

from db.postgres.indexes import drop_index, make_index

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

oldest_code = "0001"
oldest_database = "0031"

_INDEX = "ix_contact_confirmations_domain_asked_at"


def upgrade() -> None:
    op.execute("ALTER TABLE contact_confirmations ADD COLUMN IF NOT EXISTS domain bytea")
    make_index(_INDEX, "contact_confirmations USING btree (domain, asked_at)")


def downgrade() -> None:
    drop_index(_INDEX)
    op.drop_column("contact_confirmations", "domain")
