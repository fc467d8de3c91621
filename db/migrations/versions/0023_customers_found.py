"""Customers who are found by what somebody types: the ticket says so, and technicians look them up.

Revision ID: 0023
"""

from __future__ import annotations

from alembic import op

from db.postgres.indexes import drop_index, make_index

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

oldest_code = "0001"
oldest_database = "0023"

_PHONE_END = """
CREATE OR REPLACE FUNCTION phone_end(phone text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN right(regexp_replace(regexp_replace(phone, '[A-Za-z#*,;].*$', ''), '[^0-9]', '', 'g'), 7)"""

_INDEXES = {
    "ix_customers_phone_end": "customers USING btree (phone_end(phone))",
    "ix_properties_account_number": "properties USING btree (lower(account_number))",
}


# It names the column `action`, whose type the way down changes.
_FINAL = """
CREATE TRIGGER audit_entries_final
BEFORE UPDATE OF id, at, action, object_kind, object_id, actor_kind, actor_id, actor_name, client, changed, before,
    after OR TRUNCATE ON audit_entries
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('an entry of the audit trail is never changed')"""


def upgrade() -> None:
    with op.get_context().autocommit_block():  # a transaction cannot use a value that it has added
        op.execute("ALTER TYPE audit_action ADD VALUE IF NOT EXISTS 'LOOKED_UP'")
    op.execute(_PHONE_END)
    for name, on in _INDEXES.items():
        make_index(name, on)
    op.execute("ALTER TABLE tickets ADD COLUMN IF NOT EXISTS customer_linked boolean DEFAULT false NOT NULL")


def downgrade() -> None:
    for name in _INDEXES:
        drop_index(name)
    op.execute("DROP FUNCTION IF EXISTS phone_end(text)")
    op.execute("ALTER TABLE tickets DROP COLUMN IF EXISTS customer_linked")
    op.execute("DROP TRIGGER audit_entries_final ON audit_entries")
    op.execute("ALTER TYPE audit_action RENAME TO audit_action_before")
    op.execute("CREATE TYPE audit_action AS ENUM ('CREATED', 'UPDATED', 'REVOKED', 'ERASED')")
    op.execute("""
        ALTER TABLE audit_entries ALTER action TYPE audit_action
            USING (CASE action WHEN 'LOOKED_UP' THEN 'UPDATED' ELSE action::text END)::audit_action""")
    op.execute("DROP TYPE audit_action_before")
    op.execute(_FINAL)
