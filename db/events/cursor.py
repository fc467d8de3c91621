"""Cursors: opaque to a client, checked when they come back.

A *page cursor* is the sort values and id of a row (keyset pagination), with the list's order, so that a cursor of
another list is refused. A *stream cursor* is a position in the event log: sealed, because a snapshot tells how many
transactions there have been, and that is nobody's business; sealing also recognises a cursor of another log.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from db.errors import BadInput
from db.ids import is_uuid, shown

_LONGEST = 2_000  # characters; a page cursor with a 200-character name in it has about 400


def decode_page_cursor(cursor: str, order: str, parsers: Sequence[Callable[[Any], Any]]) -> list[Any]:
    """The values in a page cursor of the list ordered by `order`, each put through its parser.

    Raises `BadInput` for a cursor that is malformed, or of a list with another order.
    """
    try:
        if len(cursor) > _LONGEST:
            raise ValueError
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        fingerprint, *values = orjson.loads(raw)
    except (ValueError, TypeError, binascii.Error):
        raise BadInput(f"{shown(cursor)} is not a cursor.") from None
    if fingerprint != order:
        raise BadInput("The cursor belongs to a list with another order; start again without it.")
    try:
        return [parse(value) for parse, value in zip(parsers, values, strict=True)]
    except (ValueError, TypeError):
        raise BadInput(f"{shown(cursor)} is not a cursor.") from None


def parse_time(value: Any) -> datetime:
    """A moment with its offset from UTC, which UTC can express too. Raises `ValueError` or `TypeError`."""
    time = datetime.fromisoformat(value)
    if time.tzinfo is None:
        raise ValueError
    try:
        return time.astimezone(UTC)
    except OverflowError:
        raise ValueError from None


def parse_text(value: Any) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError
    return value


def parse_int(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not -(2**31) <= value < 2**31:
        raise ValueError
    return value


def parse_uuid(value: Any) -> str:
    if not isinstance(value, str) or not is_uuid(value):
        raise ValueError
    return value


class StreamCursors:
    """Seals and opens positions of one event log. The log's identity is the key, so a cursor of another log does
    not open; a fresh nonce each time, so that equal positions look different (AES-GCM, NIST SP 800-38D)."""

    def __init__(self, log_identity: str) -> None:
        self._cipher = AESGCM(hashlib.sha256(b"callout stream cursor " + log_identity.encode()).digest())

    def seal(self, snapshot: str) -> str:
        nonce = os.urandom(12)
        return base64.urlsafe_b64encode(nonce + self._cipher.encrypt(nonce, snapshot.encode(), None)).decode()

    def open(self, cursor: str) -> str | None:
        """The snapshot in `cursor`, or None if this log did not seal it."""
        try:
            raw = base64.b64decode(cursor, altchars=b"-_", validate=True)
            return self._cipher.decrypt(raw[:12], raw[12:], None).decode()
        except (binascii.Error, InvalidTag, ValueError):
            return None
