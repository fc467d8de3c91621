"""Assignments: tickets that were given to technicians, and the technicians' steps.

Triggers begin them, also for older code. A ticket that is assigned and unresolved gets one that counts as accepted, so
that no old ticket becomes overdue.

Revision ID: 0033
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy import text
from sqlalchemy.dialects import postgresql

from db import ddl_assignments
from db.models import Xid8
from db.postgres.fill import BATCH, in_batches
from db.postgres.indexes import drop_index, make_index

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

oldest_code = "0001"
oldest_database = "0033"

_STATES = ("OFFERED", "ACCEPTED", "DECLINED", "EN_ROUTE", "ON_SITE", "LEFT", "SUPERSEDED")
_STATE = postgresql.ENUM(*_STATES, name="assignment_state", create_type=False)

_TICKET_COLUMNS = {
    "assignment_id": "uuid",
    "assignment_state": "assignment_state",
    "assigned_at": "timestamptz DEFAULT now() NOT NULL",
    "assignment_eta": "timestamptz",
    "assignment_overdue": "boolean DEFAULT false NOT NULL",
}
_INDEXES = {
    "ix_tickets_assigned_at_id": "(assigned_at, id, technician_id)",
    "ix_tickets_status_assigned_at_id": "(status, assigned_at, id, technician_id)",
    "ix_tickets_priority_assigned_at_id": "(priority, assigned_at, id, technician_id)",
    "ix_tickets_status_priority_assigned_at_id": "(status, priority, assigned_at, id, technician_id)",
    "ix_tickets_assignment_state_created_at_id": (
        "(assignment_state, created_at, id) WHERE (assignment_state IS NOT NULL)"
    ),
    "ix_tickets_assignment_overdue": "(created_at, id) WHERE assignment_overdue",
    "ix_tickets_unanswered": (
        "(priority, assigned_at) WHERE ((assignment_state = 'OFFERED'::assignment_state)"
        " AND (status = 'OPEN'::ticket_status) AND (NOT assignment_overdue))"
    ),
}
_FILL = f"""
WITH batch AS (
    SELECT id FROM tickets WHERE id > :after
    AND technician_id IS NOT NULL AND status < 'RESOLVED' AND assignment_id IS NULL
    ORDER BY id LIMIT {BATCH} FOR NO KEY UPDATE
), written AS (
    UPDATE tickets SET assignment_id = gen_random_uuid(), assignment_state = 'ACCEPTED'
    FROM batch WHERE tickets.id = batch.id
    RETURNING tickets.id, technician_id, assignment_id, assigned_at
), begun AS (
    INSERT INTO assignments (id, ticket_id, technician_id, state, offered_at)
    SELECT assignment_id, id, technician_id, 'ACCEPTED', assigned_at FROM written
)
SELECT id FROM written ORDER BY id DESC LIMIT 1"""

_EVENT_KINDS_BEFORE = (
    *("CREATED", "RESOLVED", "CLOSED", "REOPENED", "STATUS_CHANGED", "ASSIGNED", "UNASSIGNED", "UPDATED"),
    *("NOTE_ADDED", "ATTACHMENT_ADDED", "ATTACHMENT_REJECTED"),
)
_FINAL = "ticket_events_final"

_NOTICE_KINDS_BEFORE = (
    *("CREATED", "ASSIGNED", "UNASSIGNED", "NOTE_ADDED", "CUSTOMER_ANSWERED", "RESOLVED", "REOPENED"),
    *("CONFIRM_ADDRESS", "TEST"),
)
_NEW_KINDS = "'DECLINED', 'OVERDUE'"
_DEFAULTS = {
    "email_kinds": "'{CREATED,ASSIGNED,UNASSIGNED,DECLINED,OVERDUE,NOTE_ADDED,CUSTOMER_ANSWERED,RESOLVED,REOPENED}'",
    "google_chat_kinds": "'{CREATED,ASSIGNED,DECLINED,OVERDUE,CUSTOMER_ANSWERED,REOPENED}'",
}
_DEFAULTS_BEFORE = {
    "email_kinds": "'{CREATED,ASSIGNED,UNASSIGNED,NOTE_ADDED,CUSTOMER_ANSWERED,RESOLVED,REOPENED}'",
    "google_chat_kinds": "'{CREATED,ASSIGNED,CUSTOMER_ANSWERED,REOPENED}'",
}
_MINUTES = {
    "overdue_minutes_low": None,
    "overdue_minutes_medium": None,
    "overdue_minutes_high": 120,
    "overdue_minutes_urgent": 30,
}


def upgrade() -> None:
    with op.get_context().autocommit_block():  # a transaction cannot use a value that it has added
        for kind, before in (("DECLINED", "NOTE_ADDED"), ("OVERDUE", "NOTE_ADDED")):
            op.execute(f"ALTER TYPE notice_kind ADD VALUE IF NOT EXISTS '{kind}' BEFORE '{before}'")
        for kind in ("ASSIGNMENT_ADVANCED", "ASSIGNMENT_OVERDUE"):
            op.execute(f"ALTER TYPE ticket_event_kind ADD VALUE IF NOT EXISTS '{kind}'")
    _STATE.create(op.get_bind(), checkfirst=True)
    _create_table()
    for statement in ddl_assignments.FUNCTIONS:
        op.execute(statement)
    columns = (f"ADD COLUMN IF NOT EXISTS {name} {definition}" for name, definition in _TICKET_COLUMNS.items())
    op.execute(f"ALTER TABLE tickets {', '.join(columns)}")
    for statement in ddl_assignments.TRIGGERS:
        op.execute(statement)
    in_batches(_FILL)
    for name, on in _INDEXES.items():
        make_index(name, f"tickets USING btree {on}")
    changes = [f"ALTER {column} SET DEFAULT {kinds}" for column, kinds in _DEFAULTS.items()]
    for name, minutes in _MINUTES.items():
        default = "" if minutes is None else f" DEFAULT {minutes}"
        changes.append(f"ADD COLUMN {name} integer{default}")
        check = f"CHECK ({name} BETWEEN 0 AND 525600)"
        changes.append(f"ADD CONSTRAINT ck_support_settings_{name}_bounded {check}")
    op.execute(f"ALTER TABLE support_settings {', '.join(changes)}")
    switched_on = (f"{column} = {column} || ARRAY[{_NEW_KINDS}]::notice_kind[]" for column in _DEFAULTS)
    op.execute(f"UPDATE support_settings SET {', '.join(switched_on)}")


def _create_table() -> None:
    times = ("delivered_at", "seen_at", "accepted_at", "en_route_at", "on_site_at", "left_at", "eta")
    op.create_table(
        "assignments",
        sa.Column("id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("ticket_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("technician_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("state", _STATE, nullable=False),
        sa.Column("offered_at", sa.DateTime(timezone=True), nullable=False),
        *(sa.Column(name, sa.DateTime(timezone=True)) for name in times),
        sa.Column("reason", sa.Text()),
        sa.Column("xid", Xid8(), server_default=sa.text("pg_current_xact_id()"), nullable=False),
        sa.CheckConstraint(
            r"btrim(reason, E' \t\n\r') <> '' AND length(reason) <= 500", name=op.f("ck_assignments_reason_length")
        ),
        sa.CheckConstraint(
            "(state = 'DECLINED') = (reason IS NOT NULL)", name=op.f("ck_assignments_declined_has_reason")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_assignments")),
        if_not_exists=True,
    )
    op.create_index("ix_assignments_ticket_id", "assignments", ["ticket_id"], if_not_exists=True)
    op.create_index(
        "ix_assignments_undelivered",
        "assignments",
        ["technician_id"],
        postgresql_where=sa.text("delivered_at IS NULL AND state = 'OFFERED'"),
        if_not_exists=True,
    )


def downgrade() -> None:
    """The assignments are lost, and their events become UPDATED ones. PostgreSQL cannot remove values of an enum, so
    the types are made anew: no server may run meanwhile."""
    for name in _INDEXES:
        drop_index(name)
    drop_index("ix_deliveries_screened")
    for statement in ddl_assignments.DROP:
        op.execute(statement)
    op.drop_table("assignments")
    op.execute(f"ALTER TABLE tickets {', '.join(f'DROP COLUMN {name}' for name in _TICKET_COLUMNS)}")
    _STATE.drop(op.get_bind())
    for name in _MINUTES:
        op.drop_column("support_settings", name)
    _remove_event_kinds()
    _remove_notice_kinds()
    make_index(
        "ix_deliveries_screened",
        "deliveries USING btree (lower(recipient), screened_at) WHERE ((kind = 'CREATED'::notice_kind)"
        " AND (channel = 'EMAIL'::delivery_channel) AND (screened_at IS NOT NULL))",
    )


def _remove_event_kinds() -> None:
    final = op.get_bind().scalar(text(f"SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgname = '{_FINAL}'"))
    op.execute(f"DROP TRIGGER {_FINAL} ON ticket_events")
    op.execute("ALTER TYPE ticket_event_kind RENAME TO ticket_event_kind_after")
    op.execute(f"CREATE TYPE ticket_event_kind AS ENUM {_EVENT_KINDS_BEFORE}")
    op.execute("""
        ALTER TABLE ticket_events ALTER kind TYPE ticket_event_kind
            USING (CASE WHEN kind::text LIKE 'ASSIGNMENT%' THEN 'UPDATED' ELSE kind::text END)::ticket_event_kind""")
    op.execute("DROP TYPE ticket_event_kind_after")
    op.execute(str(final))


def _remove_notice_kinds() -> None:
    op.execute(f"DELETE FROM deliveries WHERE kind IN ({_NEW_KINDS})")
    for column in _DEFAULTS:
        op.execute(f"ALTER TABLE support_settings ALTER {column} DROP DEFAULT")
        op.execute(f"""
            UPDATE support_settings
            SET {column} = ARRAY(SELECT kind FROM unnest({column}) WITH ORDINALITY AS on_ (kind, ord)
                WHERE kind NOT IN ({_NEW_KINDS}) ORDER BY ord)""")
    op.execute("ALTER TYPE notice_kind RENAME TO notice_kind_after")
    op.execute(f"CREATE TYPE notice_kind AS ENUM {_NOTICE_KINDS_BEFORE}")
    op.execute("ALTER TABLE deliveries ALTER kind TYPE notice_kind USING kind::text::notice_kind")
    for column, kinds in _DEFAULTS_BEFORE.items():
        op.execute(
            f"ALTER TABLE support_settings ALTER {column} TYPE notice_kind[] USING {column}::text[]::notice_kind[]"
        )
        op.execute(f"ALTER TABLE support_settings ALTER {column} SET DEFAULT {kinds}")
    op.execute("DROP TYPE notice_kind_after")
