"""An excerpt of a long text is taken from one stretch of it; notes of chatbots say so.

Revision ID: 0037
"""

from __future__ import annotations

from alembic import op

from db import ddl_texts

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None

oldest_code = "0001"
oldest_database = "0037"


def upgrade() -> None:
    with op.get_context().autocommit_block():  # a transaction cannot use a value that it has added
        op.execute("ALTER TYPE note_via ADD VALUE IF NOT EXISTS 'CHATBOT'")
    for statement in ddl_texts.EXCERPT:
        op.execute(statement)


def downgrade() -> None:
    """Leaves the functions: earlier code makes its excerpts by them."""
    op.execute("ALTER TYPE note_via RENAME TO note_via_before")
    op.execute("CREATE TYPE note_via AS ENUM ('WEB', 'EMAIL')")
    op.execute("""
        ALTER TABLE notes ALTER via DROP DEFAULT, ALTER via TYPE note_via
            USING (CASE via WHEN 'CHATBOT' THEN 'WEB' ELSE via::text END)::note_via,
            ALTER via SET DEFAULT 'WEB'""")
    op.execute("DROP TYPE note_via_before")
