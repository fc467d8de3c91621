"""What a note's mail quoted, and the raw message of every inbound message, which is kept for a time.

Revision ID: 0018
"""

from __future__ import annotations

from alembic import op

from db.postgres.indexes import drop_index, make_index

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

oldest_code = "0001"
oldest_database = "0018"

_KEPT = "ck_inbound_messages_kept_aside_is_kept"
_LENGTH = "ck_notes_quoted_length"

# A PostgreSQL that was built without lz4 goes on with its own compression, which is slower.
_COMPRESS = """
DO $$ BEGIN
    ALTER TABLE inbound_messages ALTER raw SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported THEN
    NULL;
END $$"""


def upgrade() -> None:
    make_index(
        "ix_inbound_messages_raw",
        "inbound_messages USING btree (received_at)"
        " WHERE ((raw IS NOT NULL) AND (outcome <> 'KEPT_ASIDE'::inbound_outcome))",
    )
    op.execute(f"""
        ALTER TABLE notes
            ADD COLUMN IF NOT EXISTS quoted text,
            DROP CONSTRAINT IF EXISTS {_LENGTH},
            ADD CONSTRAINT {_LENGTH} CHECK (length(quoted) <= 50000) NOT VALID""")
    op.execute(f"""
        ALTER TABLE inbound_messages
            DROP CONSTRAINT IF EXISTS {_KEPT},
            ADD CONSTRAINT {_KEPT} CHECK (outcome <> 'KEPT_ASIDE' OR raw IS NOT NULL) NOT VALID""")
    op.execute(_COMPRESS)
    with op.get_context().autocommit_block():
        op.execute(f"ALTER TABLE notes VALIDATE CONSTRAINT {_LENGTH}")
        op.execute(f"ALTER TABLE inbound_messages VALIDATE CONSTRAINT {_KEPT}")


def downgrade() -> None:
    """The raw messages that older code does not keep are dropped."""
    drop_index("ix_inbound_messages_raw")
    op.execute("UPDATE inbound_messages SET raw = NULL WHERE outcome <> 'KEPT_ASIDE' AND raw IS NOT NULL")
    op.execute(f"""
        ALTER TABLE inbound_messages
            ALTER raw SET COMPRESSION default,
            DROP CONSTRAINT {_KEPT},
            ADD CONSTRAINT {_KEPT} CHECK ((outcome = 'KEPT_ASIDE') = (raw IS NOT NULL))""")
    op.execute("ALTER TABLE notes DROP COLUMN quoted")
