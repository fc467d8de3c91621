"""How a note came in, and whether the sender of mail was verified.

Notes from before count as written through the API: they cannot be changed.

Revision ID: 0014
"""

from __future__ import annotations

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

oldest_code = "0001"
oldest_database = "0014"


def upgrade() -> None:
    op.execute("CREATE TYPE note_via AS ENUM ('WEB', 'EMAIL')")
    op.execute("ALTER TABLE tickets ADD COLUMN sender_verified boolean")
    op.execute("""
        ALTER TABLE notes
            ADD COLUMN via note_via NOT NULL DEFAULT 'WEB',
            ADD COLUMN sender_verified boolean""")


def downgrade() -> None:
    op.execute("ALTER TABLE tickets DROP COLUMN sender_verified")
    op.execute("ALTER TABLE notes DROP COLUMN via, DROP COLUMN sender_verified")
    op.execute("DROP TYPE note_via")
