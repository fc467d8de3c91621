"""The indexes of a customer's and of a property's tickets know the assignee too; pairs of characters are looked up in
customers' names alone as well.

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


def upgrade() -> None:
    for owner in _OWNERS:
        _make_anew(owner, "created_at", "id", "technician_id")
    pairs = [sa.text("search_pairs(name_form)")]
    op.create_index("ix_customers_name_pairs", "customers", pairs, postgresql_using="gin")


def downgrade() -> None:
    op.drop_index("ix_customers_name_pairs", "customers")
    for owner in _OWNERS:
        _make_anew(owner, "created_at", "id")


def _make_anew(owner: str, *columns: str) -> None:
    name = f"ix_tickets_{owner}_created_at_id"
    op.drop_index(name, "tickets")
    op.create_index(name, "tickets", [owner, *columns])
