"""The headers with which a client says what it accepts (RFC 9110, section 12.4)."""

from __future__ import annotations

from collections.abc import Iterator


def ranges(accept: bytes) -> Iterator[tuple[bytes, float]]:
    """Yields the media ranges in an `Accept` header, or the codings in `Accept-Encoding`, with their qualities, from 0
    to 1. A malformed quality counts as 0: not acceptable."""
    for entry in accept.split(b","):
        name, *parameters = (part.strip() for part in entry.split(b";"))
        quality = 1.0
        for parameter in parameters:
            if parameter.startswith(b"q="):
                try:
                    quality = float(parameter[2:])
                except ValueError:
                    quality = 0.0
        yield name, quality if 0 <= quality <= 1 else 0.0
