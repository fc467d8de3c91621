"""Add the status to the indexes of a technician's, a customer's and a property's tickets.

Revision ID: 0010
"""

from __future__ import annotations

from db.postgres.indexes import make_index

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

oldest_code = "0001"
oldest_database = "0009"

_COLUMNS = {
    "technician_id": "technician_id, created_at, id",
    "customer_id": "customer_id, created_at, id, technician_id",
    "property_id": "property_id, created_at, id, technician_id",
}


def upgrade() -> None:
    _replace(", status")


def downgrade() -> None:
    _replace("")


def _replace(end: str) -> None:
    for owner, columns in _COLUMNS.items():
        make_index(f"ix_tickets_{owner}_created_at_id", f"tickets USING btree ({columns}{end})")
