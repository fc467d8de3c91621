"""Positions in the event log: comparing them, and sealing them in cursors."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta, timezone

import pytest

from db.events.position import Snapshot
from db.events.stream_cursor import StreamCursors, StreamPosition
from db.ids import new_id

CURSORS = StreamCursors(new_id())
AT = datetime(2026, 3, 1, 12, 30, 15, 123456, UTC)
WEST = datetime(2026, 11, 20, tzinfo=timezone(timedelta(hours=-5)))


def test_a_snapshot_sees_transactions_below_its_end_that_were_not_running() -> None:
    snapshot = Snapshot.parse("5:9:5,7")
    assert [xid for xid in range(3, 11) if snapshot.sees(xid)] == [3, 4, 6, 8]
    assert (snapshot.xmin, snapshot.xmax) == (5, 9)
    assert [xid for xid in range(3, 11) if Snapshot.parse("5:5:").sees(xid)] == [3, 4]


@pytest.mark.parametrize(
    ("later", "earlier", "covers"),
    [
        ("5:9:5,7", "5:9:5,7", True),
        ("9:9:", "5:9:5,7", True),
        ("5:9:5,7", "9:9:", False),
        ("5:9:5", "5:9:5,7", True),
        ("5:9:5,7", "5:9:5", False),  # the earlier one sees 7
        ("9:9:", "9:10:", False),  # 9 may still be assigned
        ("9:10:9", "9:9:", True),
        ("5:12:5,10", "5:9:5", True),
        ("5:12:8,10", "5:9:5", False),
        ("7:9:7", "5:9:6,7", True),  # 6 has ended since
        ("5:9:6,7", "7:9:7", False),  # the other way round
        ("5:9:5", "9:9:", False),
        ("8:8:", "9:9:", False),
        ("8:10:8", "9:9:", False),
    ],
)
def test_a_snapshot_covers_those_that_see_no_more_than_it(later: str, earlier: str, covers: bool) -> None:
    assert Snapshot.parse(later).covers(Snapshot.parse(earlier)) is covers


@pytest.mark.parametrize("text", ["", "5", "5:9", "5:9:x", "5:9:5:7", "a:9:"])
def test_an_invalid_snapshot_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Snapshot.parse(text)


@pytest.mark.parametrize(
    "position",
    [
        StreamPosition("5:9:5,7/0"),
        StreamPosition("5:9:5,7/12", "9:12:/-9223372036854775808", AT, new_id()),
        StreamPosition("5:9:/-1", "9:9:/1"),
        StreamPosition("9:9:/9223372036854775807", "9:10:9/3", WEST, new_id()),
    ],
)
def test_a_position_is_unchanged_by_sealing_and_opening(position: StreamPosition) -> None:
    cursor = position.sealed(CURSORS)
    assert StreamPosition.opened(cursor, CURSORS) == position
    assert StreamPosition.opened(cursor, StreamCursors(new_id())) is None
    assert position.sealed(CURSORS) != cursor


def test_a_position_without_an_event_precedes_every_unseen_event() -> None:
    position = StreamPosition("5:9:5,7/3")
    assert position.until is None
    assert position.at < datetime(1, 1, 3, tzinfo=UTC)


def test_a_cursor_with_any_change_does_not_open() -> None:
    cursor = StreamPosition("5:9:5,7/3", "9:12:/7", AT, new_id()).sealed(CURSORS)
    raw = base64.urlsafe_b64decode(cursor)
    for at in range(len(raw)):
        broken = bytearray(raw)
        broken[at] ^= 1
        assert CURSORS.open(base64.urlsafe_b64encode(broken).decode()) is None
        assert CURSORS.open(base64.urlsafe_b64encode(raw[:at]).decode()) is None
    for written_otherwise in (
        cursor + "!",
        cursor[:8] + "\n" + cursor[8:],
        " " + cursor,
        cursor + cursor,
        "é" + cursor,
    ):
        assert CURSORS.open(written_otherwise) is None
    assert CURSORS.open(base64.urlsafe_b64encode(raw + b"\0").decode()) is None
    assert CURSORS.open(cursor) is not None
