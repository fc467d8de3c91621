"""Add the assignee to the indexes of a customer's and a property's tickets.

Add the assignee and the creator to the indexes of the ticket search, and an index of the pairs of characters in
customers' names.

Revision ID: 0008
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_OWNERS = ("customer_id", "property_id")
_SEARCHED = ("status", "priority", "category", "source")


def upgrade() -> None:
    for owner in _OWNERS:
        _of_owner(owner, "created_at", "id", "technician_id")
    _of_search(*_SEARCHED, "technician_id", "creator_id")
    pairs = [sa.text("search_pairs(name_form)")]
    op.create_index("ix_customers_name_pairs", "customers", pairs, postgresql_using="gin")


def downgrade() -> None:
    op.drop_index("ix_customers_name_pairs", "customers")
    _of_search(*_SEARCHED)
    for owner in _OWNERS:
        _of_owner(owner, "created_at", "id")


def _of_owner(owner: str, *columns: str) -> None:
    name = f"ix_tickets_{owner}_created_at_id"
    op.drop_index(name, "tickets")
    op.create_index(name, "tickets", [owner, *columns])


def _of_search(*columns: str) -> None:
    op.drop_index("ix_tickets_search", "tickets")
    op.drop_index("ix_tickets_search_pairs", "tickets")
    op.create_index(
        "ix_tickets_search",
        "tickets",
        ["search_text", *columns],
        postgresql_using="gin",
        postgresql_ops={"search_text": "gin_trgm_ops"},
    )
    op.create_index(
        "ix_tickets_search_pairs",
        "tickets",
        [sa.literal_column("search_pairs(search_text)"), *columns],
        postgresql_using="gin",
    )
