"""Stream cursors: positions in the event log, sealed for clients to hold.

A position is a snapshot of PostgreSQL's (`db/events/position.py`). The events between two positions are those of the
transactions that the second sees and the first does not. A client may be disconnected in the middle of a batch, so a
cursor can also name the last event that the client has received of the batch.

Cursors are sealed because a snapshot would reveal the number of transactions, and because this recognises a cursor of
another log.
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
    """Seals and opens the cursors of one event log (AES-GCM, NIST SP 800-38D). The key is derived from the log's
    identity, so that a cursor of another log does not open. Each cursor has a fresh nonce, so that equal positions look
    different."""

    def __init__(self, log_identity: str) -> None:
        self._cipher = AESGCM(hashlib.sha256(b"callout stream cursor " + log_identity.encode()).digest())

    def seal(self, snapshot: str) -> str:
        nonce = os.urandom(12)
        return base64.urlsafe_b64encode(nonce + self._cipher.encrypt(nonce, snapshot.encode(), None)).decode()

    def open(self, cursor: str) -> str | None:
        """The position in `cursor`, or None if this log has not sealed it."""
        try:
            raw = base64.b64decode(cursor, altchars=b"-_", validate=True)
            return self._cipher.decrypt(raw[:12], raw[12:], None).decode()
        except (binascii.Error, InvalidTag, ValueError):
            return None


_START = datetime(1, 1, 2).astimezone()
_NO_ID = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True)
class StreamPosition:
    """Where a stream resumes: at the snapshot `origin`; or, if `until` is given, after the event `event` of time `at`,
    among those that `until` sees and `origin` does not."""

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
        """The position in `cursor`, or None if this log has not sealed it."""
        text = cursors.open(cursor)
        if text is None:
            return None
        origin, *rest = text.split("|")
        if not rest:
            return cls(origin)
        until, at, event = rest
        return cls(origin, until, datetime.fromisoformat(at), event)
