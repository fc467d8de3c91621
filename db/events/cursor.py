"""Stream cursors: where in the event log a stream stands, sealed for a client to hold.

A position is a snapshot of PostgreSQL's (`db/events/position.py`). What lies between two positions is the events of the
transactions that the second sees and the first does not. A client may be cut off in the middle of it; so its cursor
can also say up to which event it has received what lies between.

A cursor is sealed because a snapshot shows how many transactions there have been, and that is nobody's business;
sealing also recognises a cursor of another log.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from dataclasses import dataclass
from datetime import datetime

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM


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


_START = datetime(1, 1, 2).astimezone()
_NO_ID = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True)
class StreamPosition:
    """The event after which a stream goes on, among those that `until` sees and `origin` does not."""

    origin: str
    until: str | None = None
    at: datetime = _START
    event: str = _NO_ID

    def sealed(self, cursors: StreamCursors) -> str:
        if self.until is None:
            return cursors.seal(self.origin)
        return cursors.seal("|".join((self.origin, self.until, self.at.isoformat(), self.event)))

    @classmethod
    def opened(cls, cursor: str, cursors: StreamCursors) -> StreamPosition | None:
        """None for a cursor that this log has not made."""
        text = cursors.open(cursor)
        if text is None:
            return None
        origin, *rest = text.split("|")
        if not rest:
            return cls(origin)
        until, at, event = rest
        return cls(origin, until, datetime.fromisoformat(at), event)
