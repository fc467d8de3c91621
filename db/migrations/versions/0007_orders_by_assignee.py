"""Add the assignee to the indexes for sorting tickets.

Add indexes for sorting by the `updatedAt` that customers and services see, the creator's kind to the index of creators,
and an index of the tickets that technicians created for others.

Revision ID: 0007
"""

from __future__ import annotations

from db.postgres.indexes import drop_index, make_index

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

oldest_code = "0001"
oldest_database = "0005"

_PARTS = ((), ("status",), ("priority",), ("status", "priority"))
_ORDERS = (
    *((*part, "id") for part in _PARTS if part),
    *((*part, "created_at", "id") for part in _PARTS if part),
    *((*part, "updated_at", "id") for part in _PARTS),
)
_PUBLIC_ORDERS = tuple((*part, "public_updated_at", "id") for part in _PARTS)
_OF_CREATORS = "ix_tickets_creator_id_created_at_id"


def upgrade() -> None:
    for order in (*_ORDERS, *_PUBLIC_ORDERS):
        make_index(_name(order), _tickets(*order, "technician_id"))
    make_index(_OF_CREATORS, _tickets("creator_id", "creator_kind", "created_at", "id"))
    make_index(
        "ix_tickets_created_for_others",
        "tickets USING btree (creator_id, created_at, id)"
        " WHERE ((creator_kind = 'TECHNICIAN'::actor_kind) AND ((technician_id)::text IS DISTINCT FROM creator_id))",
    )


def downgrade() -> None:
    drop_index("ix_tickets_created_for_others")
    make_index(_OF_CREATORS, _tickets("creator_id", "created_at", "id"))
    for order in _PUBLIC_ORDERS:
        drop_index(_name(order))
    for order in _ORDERS:
        make_index(_name(order), _tickets(*order))


def _name(order: tuple[str, ...]) -> str:
    return f"ix_tickets_{'_'.join(order)}"


def _tickets(*columns: str) -> str:
    return f"tickets USING btree ({', '.join(columns)})"
