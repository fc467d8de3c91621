"""The fingerprint of the event log, by which a position recognises the events that it sees.

It starts with a random value: only the events from now on matter, because no cursor has a fingerprint yet.

Revision ID: 0011
"""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

oldest_code = "0001"
oldest_database = "0011"

_REFUSE = """
CREATE OR REPLACE FUNCTION refuse_uncounted_pruning() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM pruned, event_log,
            LATERAL (VALUES (counted), (service_counted), (fingerprinted)) AS taken_in (up_to)
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


def upgrade() -> None:
    # A position of its own, because a server of the previous version, which may still be running, advances only those
    # of the counts.
    op.execute("""
        ALTER TABLE event_log
            ADD COLUMN fingerprint bigint NOT NULL DEFAULT uuid_hash_extended(gen_random_uuid(), 0),
            ADD COLUMN fingerprinted pg_snapshot NOT NULL DEFAULT pg_current_snapshot()""")
    op.execute("ALTER TABLE event_log ALTER fingerprint DROP DEFAULT, ALTER fingerprinted DROP DEFAULT")
    op.execute(_REFUSE)


def downgrade() -> None:
    op.execute(_REFUSE_BEFORE)
    op.execute("ALTER TABLE event_log DROP COLUMN fingerprint, DROP COLUMN fingerprinted")
