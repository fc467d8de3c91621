"""The stored counts of tickets that services created, by creator.

Revision ID: 0009
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

oldest_code = "0001"
oldest_database = "0009"

_KEY = ("creator_id", "creator_kind", "status", "priority", "category", "technician_id")

# The position is the snapshot in which the tickets were counted, so that later events are added to the counts.
_COUNT = """
WITH added AS (
    INSERT INTO service_ticket_counts
    SELECT creator_id, creator_kind, status, priority, category,
        coalesce(technician_id, '00000000-0000-0000-0000-000000000000'), count(*)
    FROM tickets WHERE creator_kind = 'SERVICE' GROUP BY 1, 2, 3, 4, 5, 6
)
SELECT pg_current_snapshot()::text"""

_REFUSE = """
CREATE OR REPLACE FUNCTION refuse_uncounted_pruning() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM pruned, event_log, LATERAL (VALUES (counted), (service_counted)) AS taken_in (up_to)
        WHERE NOT pg_visible_in_snapshot(pruned.xid, up_to)
    ) THEN
        RAISE EXCEPTION 'an event is kept until the counts of tickets have taken it in' USING
            ERRCODE = 'restrict_violation', CONSTRAINT = TG_NAME, TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
    END IF;
    RETURN NULL;
END
$$"""

_REFUSE_BEFORE = """
CREATE OR REPLACE FUNCTION refuse_uncounted_pruning() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM pruned, event_log WHERE NOT pg_visible_in_snapshot(pruned.xid, event_log.counted)) THEN
        RAISE EXCEPTION 'an event is kept until ticket_counts has taken it in' USING
            ERRCODE = 'restrict_violation', CONSTRAINT = TG_NAME, TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
    END IF;
    RETURN NULL;
END
$$"""


def upgrade() -> None:
    op.create_table(
        "service_ticket_counts",
        sa.Column("creator_id", sa.Text(), nullable=False),
        *(
            sa.Column(name, postgresql.ENUM(name=type_, create_type=False), nullable=False)
            for name, type_ in (
                ("creator_kind", "actor_kind"),
                ("status", "ticket_status"),
                ("priority", "ticket_priority"),
                ("category", "ticket_category"),
            )
        ),
        sa.Column("technician_id", postgresql.UUID(as_uuid=False), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(*_KEY, name=op.f("pk_service_ticket_counts")),
    )
    # Counted before `event_log` is locked, which every reader of counts and cursors reads.
    position = op.get_bind().scalar(sa.text(_COUNT))
    # A position of its own, because a server of the previous version, which may still be running, advances only the
    # other one.
    op.execute(f"ALTER TABLE event_log ADD COLUMN service_counted pg_snapshot NOT NULL DEFAULT '{position}'")
    op.execute("ALTER TABLE event_log ALTER COLUMN service_counted DROP DEFAULT")
    op.execute(_REFUSE)


def downgrade() -> None:
    op.execute(_REFUSE_BEFORE)
    op.execute("ALTER TABLE event_log DROP COLUMN service_counted")
    op.drop_table("service_ticket_counts")
