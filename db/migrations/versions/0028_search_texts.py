"""The words of descriptions, resolutions, notes and transcripts, by which tickets are found.

Revision ID: 0028
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from db import ddl_texts
from db.postgres.fill import fill_from
from db.postgres.indexes import make_index

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

oldest_code = "0001"
oldest_database = "0028"

_PARTS = ("DESCRIPTION", "RESOLUTION", "NOTE", "TRANSCRIPT", "QUOTED")

# Of each ticket in `batch`. A row that there is has been written by a trigger meanwhile.
_TEXTS = """
INSERT INTO ticket_texts (ticket_id, text_id, part, internal_only, customer_id, words)
SELECT batch.id, text_id, part, internal_only, customer_id, text_vector(value)
FROM batch, LATERAL (
    VALUES (id, 'DESCRIPTION', false, NULL::uuid, description), (id, 'RESOLUTION', false, NULL, resolution)
    UNION ALL
    SELECT ticket_id, 'TRANSCRIPT', false, NULL, coalesce(transcript_text(messages), '')
    FROM ticket_chats WHERE ticket_id = batch.id
    UNION ALL
    SELECT notes.id, each.part, internal_only, customer_id, each.value
    FROM notes, LATERAL (VALUES ('NOTE', body), ('QUOTED', quoted)) AS each (part, value) WHERE ticket_id = batch.id
) AS texts (text_id, part, internal_only, customer_id, value)
WHERE value IS NOT NULL
ON CONFLICT DO NOTHING"""


def upgrade() -> None:
    op.create_table(
        "ticket_texts",
        sa.Column("ticket_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("text_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("part", sa.Text(), nullable=False),
        sa.Column("internal_only", sa.Boolean(), nullable=False),
        sa.Column("customer_id", sa.UUID(as_uuid=False)),
        sa.Column("words", postgresql.TSVECTOR(), nullable=False),
        sa.CheckConstraint(f"part IN {_PARTS}", name=op.f("ck_ticket_texts_part_known")),
        sa.PrimaryKeyConstraint("ticket_id", "text_id", "part", name=op.f("pk_ticket_texts")),
        if_not_exists=True,
    )
    # The planner cannot use them, and they would repeat what customers wrote.
    op.execute("ALTER TABLE ticket_texts ALTER words SET STATISTICS 0")
    for statement in (*ddl_texts.FUNCTIONS, *ddl_texts.TRIGGER_FUNCTIONS, *ddl_texts.TRIGGERS):
        op.execute(statement)
    fill_from("tickets", "id, description, resolution", _TEXTS)
    make_index("ix_ticket_texts_words", "ticket_texts USING gin (words) WITH (gin_pending_list_limit='512')")


def downgrade() -> None:
    for statement in ddl_texts.DROP:
        op.execute(statement)
