"""What answers over HTTP say besides their bodies, which nobody here reads."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

RETRY_AFTER_MAX: Final = 3_600.0  # seconds; a longer Retry-After is cut to this


def retry_after(value: str | None) -> float | None:
    """The seconds in a Retry-After header, a number or a date (RFC 9110, section 10.2.3), or None if it has neither."""
    if value is None:
        return None
    value = value.strip()
    if value.isdecimal() and value.isascii():
        seconds = float(value[:9])
    else:
        try:
            when = parsedate_to_datetime(value)
        except ValueError:
            return None
        seconds = (when.replace(tzinfo=when.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return min(max(0.0, seconds), RETRY_AFTER_MAX)


def phrase(status: int) -> str:
    """The status in words: `HTTP 404 Not Found`."""
    try:
        return f"HTTP {status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"HTTP {status}"
