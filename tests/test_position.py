"""Positions in the event log: what a snapshot sees, and that a cursor comes back as the place that it was made of."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from db.cursors import StreamCursors
from pubsub.position import Place, Snapshot


def test_a_snapshot_sees_what_was_over_when_it_was_taken() -> None:
    snapshot = Snapshot.parse("5:9:6,7")
    assert snapshot == Snapshot(5, 9, frozenset({6, 7}))
    assert [xid for xid in range(12) if snapshot.sees(xid)] == [0, 1, 2, 3, 4, 5, 8]
    assert Snapshot.parse("9:9:") == Snapshot(9, 9, frozenset())


@pytest.mark.parametrize("text", ["", "5", "5:9", "5:9:6:7", "a:9:", "5:9:six"])
def test_what_is_no_snapshot_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Snapshot.parse(text)


@pytest.mark.parametrize(
    ("later", "earlier", "covers"),
    [
        ("9:9:", "9:9:", True),
        ("5:9:6,7", "5:9:6,7", True),
        ("9:9:", "5:9:6,7", True),  # both have ended since
        ("7:9:7", "5:9:6,7", True),  # one of them has
        ("5:9:6,7", "7:9:7", False),  # the other way round
        ("5:9:5", "9:9:", False),
        ("8:8:", "9:9:", False),
        ("10:10:", "9:9:", True),
        ("9:10:9", "9:9:", True),  # what runs has begun since
        ("8:10:8", "9:9:", False),
    ],
)
def test_a_snapshot_covers_another_if_it_sees_whatever_that_one_does(later: str, earlier: str, covers: bool) -> None:
    assert Snapshot.parse(later).covers(Snapshot.parse(earlier)) is covers


@pytest.mark.parametrize(
    "place",
    [
        Place("5:9:6,7"),
        Place("5:9:6,7", "9:9:"),
        Place("5:9:6,7", "9:9:", datetime(2026, 11, 20, 10, 0, 0, 123456, UTC), "018f0000-0000-7000-8000-000000000001"),
        Place("9:9:", "9:10:9", datetime(2026, 11, 20, tzinfo=timezone(timedelta(hours=-5))), "an event"),
    ],
)
def test_a_cursor_comes_back_as_its_place(place: Place) -> None:
    cursors = StreamCursors("a log")
    assert Place.opened(place.sealed(cursors), cursors) == place
    assert Place.opened(place.sealed(StreamCursors("another log")), cursors) is None
