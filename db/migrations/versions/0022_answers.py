"""Tickets that follow up others.

Revision ID: 0022
"""

from __future__ import annotations

from alembic import op

from db.postgres.indexes import drop_index, make_index

revision = "0022"
down_revision = "0017"
branch_labels = None
depends_on = None

oldest_code = "0001"
oldest_database = "0022"

_FOLLOWS = "fk_tickets_follows_id"


def upgrade() -> None:
    op.execute("ALTER TABLE tickets ADD COLUMN follows_id uuid")
    op.execute(
        f"ALTER TABLE tickets ADD CONSTRAINT {_FOLLOWS} FOREIGN KEY (follows_id) REFERENCES tickets (id) NOT VALID"
    )
    with op.get_context().autocommit_block():
        op.execute(f"ALTER TABLE tickets VALIDATE CONSTRAINT {_FOLLOWS}")
    make_index(
        "ix_tickets_follows_id_created_at_id",
        "tickets USING btree (follows_id, created_at, id) WHERE (follows_id IS NOT NULL)",
    )


def downgrade() -> None:
    drop_index("ix_tickets_follows_id_created_at_id")
    op.execute("ALTER TABLE tickets DROP COLUMN follows_id")
