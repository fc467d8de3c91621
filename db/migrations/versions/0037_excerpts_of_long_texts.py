"""An excerpt of a long text is taken from one stretch of it, which takes a tenth of the time.

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
oldest_database = "0036"


def upgrade() -> None:
    for statement in ddl_texts.EXCERPT:
        op.execute(statement)


def downgrade() -> None:
    """Leaves the functions: earlier code makes its excerpts by them."""
