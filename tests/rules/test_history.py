"""The history of a ticket shows every column that can change."""

from __future__ import annotations

from db.models import TicketRow
from resolvers.event import SHOWN_COLUMNS

# These never change, or only together with a column that the history shows.
NOT_SHOWN = {
    *("id", "reference", "version", "source", "sender_verified", "creator_kind", "creator_id"),
    *("search_text", "searchable", "customer_linked", "follows_id"),
    *("assignment_id", "assigned_at", "assignment_overdue"),
    *("created_at", "updated_at", "public_updated_at", "resolved_at", "closed_at"),
}


def test_the_history_shows_or_deliberately_omits_each_column_of_a_ticket() -> None:
    columns = {column.name for column in TicketRow.__table__.columns}
    assert columns == SHOWN_COLUMNS.keys() | NOT_SHOWN
    assert SHOWN_COLUMNS.keys() & NOT_SHOWN == set()
