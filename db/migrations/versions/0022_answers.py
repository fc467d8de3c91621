"""Notifications of customers' answers and of reopened tickets, for how long an answer reopens one, and tickets that
follow up others.

The notifications are on in existing databases too, so that somebody hears of an answer.

Revision ID: 0022
"""

from __future__ import annotations

from alembic import op

from db.postgres.indexes import drop_index, make_index

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

oldest_code = "0001"
oldest_database = "0022"

_FOLLOWS = "fk_tickets_follows_id"
_KINDS_BEFORE = ("CREATED", "ASSIGNED", "UNASSIGNED", "NOTE_ADDED", "RESOLVED", "CONFIRM_ADDRESS", "TEST")
_NEW = "'CUSTOMER_ANSWERED', 'REOPENED'"
_DEFAULTS = {
    "email_kinds": "'{CREATED,ASSIGNED,UNASSIGNED,NOTE_ADDED,CUSTOMER_ANSWERED,RESOLVED,REOPENED}'",
    "google_chat_kinds": "'{CREATED,ASSIGNED,CUSTOMER_ANSWERED,REOPENED}'",
}
_DEFAULTS_BEFORE = {
    "email_kinds": "'{CREATED,ASSIGNED,UNASSIGNED,NOTE_ADDED,RESOLVED}'",
    "google_chat_kinds": "'{CREATED,ASSIGNED}'",
}


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("ALTER TYPE notice_kind ADD VALUE IF NOT EXISTS 'CUSTOMER_ANSWERED' BEFORE 'RESOLVED'")
        op.execute("ALTER TYPE notice_kind ADD VALUE IF NOT EXISTS 'REOPENED' BEFORE 'CONFIRM_ADDRESS'")
    op.execute("ALTER TABLE tickets ADD COLUMN IF NOT EXISTS follows_id uuid")
    op.execute(f"ALTER TABLE tickets DROP CONSTRAINT IF EXISTS {_FOLLOWS}")
    op.execute(
        f"ALTER TABLE tickets ADD CONSTRAINT {_FOLLOWS} FOREIGN KEY (follows_id) REFERENCES tickets (id) NOT VALID"
    )
    with op.get_context().autocommit_block():
        op.execute(f"ALTER TABLE tickets VALIDATE CONSTRAINT {_FOLLOWS}")
    make_index(
        "ix_tickets_follows_id_created_at_id",
        "tickets USING btree (follows_id, created_at, id) WHERE (follows_id IS NOT NULL)",
    )
    op.execute("ALTER TABLE support_settings ADD COLUMN reopen_days integer DEFAULT 14 NOT NULL")
    op.execute("""
        ALTER TABLE support_settings ADD CONSTRAINT ck_support_settings_reopen_days_bounded
            CHECK (reopen_days BETWEEN 0 AND 3650)""")
    for column, kinds in _DEFAULTS.items():
        op.execute(f"ALTER TABLE support_settings ALTER {column} SET DEFAULT {kinds}")
        op.execute(f"UPDATE support_settings SET {column} = {column} || ARRAY[{_NEW}]::notice_kind[]")


def downgrade() -> None:
    """PostgreSQL cannot remove values of an enum, so the type is made anew: no server may run meanwhile."""
    drop_index("ix_tickets_follows_id_created_at_id")
    drop_index("ix_deliveries_screened")
    op.execute("ALTER TABLE tickets DROP COLUMN follows_id")
    op.execute("ALTER TABLE support_settings DROP COLUMN reopen_days")
    op.execute(f"DELETE FROM deliveries WHERE kind IN ({_NEW})")
    for column in _DEFAULTS:
        op.execute(f"ALTER TABLE support_settings ALTER {column} DROP DEFAULT")
        op.execute(f"""
            UPDATE support_settings
            SET {column} = ARRAY(SELECT kind FROM unnest({column}) WITH ORDINALITY AS on_ (kind, ord)
                WHERE kind NOT IN ({_NEW}) ORDER BY ord)""")
    op.execute("ALTER TYPE notice_kind RENAME TO notice_kind_after")
    op.execute(f"CREATE TYPE notice_kind AS ENUM {_KINDS_BEFORE}")
    op.execute("ALTER TABLE deliveries ALTER kind TYPE notice_kind USING kind::text::notice_kind")
    for column, kinds in _DEFAULTS_BEFORE.items():
        op.execute(
            f"ALTER TABLE support_settings ALTER {column} TYPE notice_kind[] USING {column}::text[]::notice_kind[]"
        )
        op.execute(f"ALTER TABLE support_settings ALTER {column} SET DEFAULT {kinds}")
    op.execute("DROP TYPE notice_kind_after")
    make_index(
        "ix_deliveries_screened",
        "deliveries USING btree (lower(recipient), screened_at) WHERE ((kind = 'CREATED'::notice_kind)"
        " AND (channel = 'EMAIL'::delivery_channel) AND (screened_at IS NOT NULL))",
    )
