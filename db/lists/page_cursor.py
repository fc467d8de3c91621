"""Page cursors: the sort values and id of a row (keyset pagination), and the list's order, so that a cursor from a list
with another order is refused. They are opaque to clients, and checked when a client sends one back."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from db.errors import BadInput
from db.ids import is_uuid, shown

_LONGEST = 2_000  # characters; a page cursor with a 200-character name in it has about 400


def decode_page_cursor(cursor: str, order: str, parsers: Sequence[Callable[[Any], Any]]) -> list[Any]:
    """The values in a page cursor of the list with this `order`, each parsed by the parser in its place.

    Raises `BadInput` if the cursor is malformed, or from a list with another order.
    """
    try:
        if len(cursor) > _LONGEST:
            raise ValueError
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        fingerprint, *values = orjson.loads(raw)
    except (ValueError, TypeError, binascii.Error):
        raise BadInput(f"{shown(cursor)} is not a valid cursor.") from None
    if fingerprint != order:
        raise BadInput("The cursor is from a list with a different order; start again without it.")
    try:
        return [parse(value) for parse, value in zip(parsers, values, strict=True)]
    except (ValueError, TypeError):
        raise BadInput(f"{shown(cursor)} is not a valid cursor.") from None


def parse_time(value: Any) -> datetime:
    """An ISO 8601 time with its offset, in UTC. Raises `ValueError` or `TypeError` if it is not one, or if it is out of
    range in UTC."""
    time = datetime.fromisoformat(value)
    if time.tzinfo is None:
        raise ValueError
    try:
        return time.astimezone(UTC)
    except OverflowError:
        raise ValueError from None


def parse_text(value: Any) -> str:
    """A text that PostgreSQL can store. Raises `ValueError`, as the parsers below do."""
    if not isinstance(value, str) or "\0" in value:
        raise ValueError
    return value


def parse_int(value: Any) -> int:
    """A number of 32 bits."""
    if not isinstance(value, int) or isinstance(value, bool) or not -(2**31) <= value < 2**31:
        raise ValueError
    return value


def parse_uuid(value: Any) -> str:
    """A key, as in `db/ids.py`."""
    if not isinstance(value, str) or not is_uuid(value):
        raise ValueError
    return value
