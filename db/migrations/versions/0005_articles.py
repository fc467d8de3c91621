"""The words of the articles, which a search uses to correct typing mistakes.

Revision ID: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from db import ddl

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

oldest_code = "0001"
oldest_database = "0005"


def upgrade() -> None:
    op.create_table(
        "article_words",
        sa.Column("word", sa.Text(collation="C"), nullable=False),
        sa.Column("published", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("word", name=op.f("pk_article_words")),
    )
    for statement in (*ddl.ARTICLE_FUNCTIONS, *ddl.ARTICLE_TRIGGERS):
        op.execute(statement)
    op.execute(
        "INSERT INTO article_words (word, published) SELECT word, bool_or(published)"
        " FROM articles, unnest(article_words_of(problem, solution)) AS word GROUP BY word"
    )


def downgrade() -> None:
    for statement in ddl.ARTICLE_DROP:
        op.execute(statement)
    op.drop_table("article_words")
