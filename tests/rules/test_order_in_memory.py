"""The order of a list in memory. `tests/live/test_window.py` compares it with the database's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from db.entities import TICKETS
from db.enums import Role, TicketPriority
from db.lists.listing import Listing, Order, SortKey, by_column, by_text
from db.lists.order_in_memory import InMemoryOrder

START = datetime(2026, 3, 1, tzinfo=UTC)
IDS = [f"00000000-0000-7000-8000-00000000000{digit}" for digit in "019af"]


def in_order(order: Order, rows: list[dict[str, Any]], role: Role = Role.ADMIN) -> list[Any]:
    """The ids' last digits, sorted."""
    known = InMemoryOrder.of(TICKETS, order, role)
    assert known is not None
    return [row["id"][-1] for row in sorted(rows, key=lambda row: known.key(row.__getitem__))]


def test_rows_are_sorted_by_each_key_in_its_direction_and_then_by_id() -> None:
    priorities, times = ("LOW", "URGENT", "URGENT", "MEDIUM", "URGENT"), (0, 1, 2, 3, 1)
    rows = [
        {"id": id, "priority": priority, "created_at": START + timedelta(microseconds=time)}
        for id, priority, time in zip(IDS, priorities, times, strict=True)
    ]
    assert in_order((("PRIORITY", True), ("CREATED_AT", False)), rows) == ["1", "f", "9", "a", "0"]
    assert in_order((("PRIORITY", False), ("CREATED_AT", True)), rows) == ["0", "a", "9", "f", "1"]


def test_a_text_is_sorted_by_its_characters() -> None:
    references = ("TKT-B", "TKT-A", "TKT-AB", "TKT-2", "TKT-Z")
    rows = [{"id": id, "reference": reference} for id, reference in zip(IDS, references, strict=True)]
    assert in_order((("REFERENCE", False),), rows) == ["a", "1", "9", "0", "f"]
    assert in_order((("REFERENCE", True),), rows)[:2] == ["f", "0"]


def test_a_customer_does_not_see_internal_notes_move_a_ticket() -> None:
    rows = [
        {"id": id, "updated_at": START + timedelta(days=n), "public_updated_at": START - timedelta(days=n)}
        for n, id in enumerate(IDS)
    ]
    newest = (("UPDATED_AT", True),)
    assert in_order(newest, rows) == in_order(newest, rows, Role.CUSTOMER)[::-1]


def test_a_value_that_this_version_does_not_know_comes_last() -> None:
    rows = [{"id": IDS[0], "priority": "APOCALYPTIC"}, {"id": IDS[1], "priority": "URGENT"}]
    assert in_order((("PRIORITY", False),), rows) == ["1", "0"]


def test_only_the_database_sorts_by_what_an_image_does_not_have() -> None:
    keys = {
        "SUBJECT": by_text("subject"),
        "PRIORITY": by_column("priority", TicketPriority),
        "COMPUTED": SortKey(lambda row, viewer: row.c.priority, TicketPriority),
    }
    listing = Listing(keys=keys, default=(("PRIORITY", True),))
    assert InMemoryOrder.of(listing, (("PRIORITY", True),), Role.ADMIN) is not None
    for name in ("SUBJECT", "COMPUTED"):
        assert InMemoryOrder.of(listing, (("PRIORITY", True), (name, True)), Role.ADMIN) is None
