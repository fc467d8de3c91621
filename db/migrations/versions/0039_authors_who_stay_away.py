"""When tokens of the authors of webhooks and of the owners of devices were seen, and webhooks suspended on request. And
short pending lists of the indexes that searches use.

Revision ID: 0039
"""

from __future__ import annotations

from alembic import op

from db.postgres.indexes import drop_index, make_index

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None

oldest_code = "0001"
oldest_database = "0039"

_ADDED = ("AUTHOR_AWAY", "ON_REQUEST")
_BEFORE = ("FAILING", "GONE", "ACCESS_LOST", "INVALID", "TOO_LARGE", "ERASED")


def upgrade() -> None:
    with op.get_context().autocommit_block():  # a transaction cannot use a value that it has added
        for value in _ADDED:
            op.execute(f"ALTER TYPE webhook_suspension ADD VALUE IF NOT EXISTS '{value}'")
    for column in ("author_email text", "renewed_at timestamptz", "warned_at timestamptz"):
        op.execute(f"ALTER TABLE webhooks ADD COLUMN IF NOT EXISTS {column}")
    op.execute("ALTER TABLE push_subscriptions ADD COLUMN IF NOT EXISTS renewed_at timestamptz")
    make_index("ix_push_subscriptions_renewed_at", "push_subscriptions USING btree (renewed_at)")
    # Only now, when nobody is locked out any more. Whose access ends here by itself has no time: those of API keys, and
    # of admins who sign in here. Of a technician it is not known how they have signed in, unless they have never done
    # so here.
    op.execute(
        "UPDATE webhooks SET renewed_at = now() WHERE renewed_at IS NULL"
        r" AND api_key_id IS NULL AND NOT (author_role = 'ADMIN' AND author_id LIKE 'adm\_%')"
    )
    op.execute(
        "UPDATE push_subscriptions SET renewed_at = now() WHERE renewed_at IS NULL"
        r" AND (owner LIKE 'ADMIN:%' AND owner NOT LIKE 'ADMIN:adm\_%' OR owner LIKE 'TECHNICIAN:%'"
        " AND NOT EXISTS (SELECT FROM sessions WHERE 'TECHNICIAN:' || technician_id = owner))"
    )

    # As 0024 makes them now; before, the longest write waited for seconds.
    for index in ("ix_tickets_search", "ix_tickets_search_pairs"):
        op.execute(f"ALTER INDEX {index} SET (gin_pending_list_limit='512')")


def downgrade() -> None:
    """What is suspended for the new reasons can be resumed as if access had been lost."""
    drop_index("ix_push_subscriptions_renewed_at")
    op.drop_column("push_subscriptions", "renewed_at")
    for name in ("author_email", "renewed_at", "warned_at"):
        op.drop_column("webhooks", name)
    op.execute("UPDATE webhooks SET suspension = 'ACCESS_LOST' WHERE suspension::text IN ('AUTHOR_AWAY', 'ON_REQUEST')")
    op.execute("ALTER TYPE webhook_suspension RENAME TO webhook_suspension_before")
    op.execute(f"CREATE TYPE webhook_suspension AS ENUM ({', '.join(map(repr, _BEFORE))})")
    op.execute(
        "ALTER TABLE webhooks ALTER suspension TYPE webhook_suspension USING suspension::text::webhook_suspension"
    )
    op.execute("DROP TYPE webhook_suspension_before")
