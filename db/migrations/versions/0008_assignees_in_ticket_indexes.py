"""Add the assignee to the indexes of a customer's and a property's tickets.

Add the assignee and the creator to the indexes of the ticket search, and an index of the pairs of characters in
customers' names.

Revision ID: 0008
"""

from __future__ import annotations

from db.postgres.indexes import drop_index, make_index

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

oldest_code = "0001"
oldest_database = "0005"

_SEARCHED = "status, priority, category, source"


def upgrade() -> None:
    _index_owners("created_at, id, technician_id")
    _index_search(f"{_SEARCHED}, technician_id, creator_id")
    make_index("ix_customers_name_pairs", "customers USING gin (search_pairs(name_form))")


def downgrade() -> None:
    drop_index("ix_customers_name_pairs")
    _index_search(_SEARCHED)
    _index_owners("created_at, id")


def _index_owners(columns: str) -> None:
    for owner in ("customer_id", "property_id"):
        make_index(f"ix_tickets_{owner}_created_at_id", f"tickets USING btree ({owner}, {columns})")


def _index_search(columns: str) -> None:
    make_index("ix_tickets_search", f"tickets USING gin (search_text gin_trgm_ops, {columns})")
    make_index("ix_tickets_search_pairs", f"tickets USING gin (search_pairs(search_text), {columns})")
