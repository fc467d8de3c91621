"""The history of a ticket leaves out no change that it should show."""

from __future__ import annotations

from db.models import TicketRow
from resolvers.event import SHOWN_COLUMNS

# Never changed, or changed along with what the history shows.
NOT_SHOWN = {
    *("id", "reference", "version", "source", "creator_kind", "creator_id", "search_text"),
    *("created_at", "updated_at", "public_updated_at", "resolved_at", "closed_at"),
}


def test_each_column_of_a_ticket_is_shown_or_left_out_on_purpose() -> None:
    columns = {column.name for column in TicketRow.__table__.columns}
    assert columns == SHOWN_COLUMNS.keys() | NOT_SHOWN
    assert SHOWN_COLUMNS.keys() & NOT_SHOWN == set()
