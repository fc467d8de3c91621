"""Add the assignee to the indexes for sorting tickets.

Add indexes for sorting by the `updatedAt` that customers and services see, the creator's kind to the index of creators,
and an index of the tickets that technicians created for others.

Revision ID: 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_PARTS = ((), ("status",), ("priority",), ("status", "priority"))
_ORDERS = (
    *((*part, "id") for part in _PARTS if part),
    *((*part, "created_at", "id") for part in _PARTS if part),
    *((*part, "updated_at", "id") for part in _PARTS),
)
_PUBLIC_ORDERS = tuple((*part, "public_updated_at", "id") for part in _PARTS)


def upgrade() -> None:
    for order in _ORDERS:
        op.drop_index(_name(*order), "tickets")
    for order in (*_ORDERS, *_PUBLIC_ORDERS):
        op.create_index(_name(*order), "tickets", [*order, "technician_id"])
    op.drop_index(_name("creator_id", "created_at", "id"), "tickets")
    creators = ["creator_id", "creator_kind", "created_at", "id"]
    op.create_index(_name("creator_id", "created_at", "id"), "tickets", creators)
    op.create_index(
        "ix_tickets_created_for_others",
        "tickets",
        ["creator_id", "created_at", "id"],
        postgresql_where=sa.text("creator_kind = 'TECHNICIAN' AND technician_id::text IS DISTINCT FROM creator_id"),
    )


def downgrade() -> None:
    op.drop_index("ix_tickets_created_for_others", "tickets")
    op.drop_index(_name("creator_id", "created_at", "id"), "tickets")
    op.create_index(_name("creator_id", "created_at", "id"), "tickets", ["creator_id", "created_at", "id"])
    for order in (*_ORDERS, *_PUBLIC_ORDERS):
        op.drop_index(_name(*order), "tickets")
    for order in _ORDERS:
        op.create_index(_name(*order), "tickets", [*order])


def _name(*columns: str) -> str:
    return f"ix_tickets_{'_'.join(columns)}"
