"""Texts that clients hold and can neither read nor forge."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM


class Seal:
    """Seals and opens texts of one purpose and one event log (AES-GCM, NIST SP 800-38D). The key is derived from both,
    so that a text of another purpose or log does not open. Each has a fresh nonce, so that equal texts look
    different."""

    def __init__(self, purpose: str, log_identity: str) -> None:
        self._cipher = AESGCM(hashlib.sha256(f"callout {purpose} {log_identity}".encode()).digest())

    def seal(self, text: str) -> str:
        nonce = os.urandom(12)
        return base64.urlsafe_b64encode(nonce + self._cipher.encrypt(nonce, text.encode(), None)).decode()

    def open(self, sealed: str) -> str | None:
        """The text in `sealed`, or None if it was not sealed by this purpose and log."""
        try:
            raw = base64.b64decode(sealed, altchars=b"-_", validate=True)
            return self._cipher.decrypt(raw[:12], raw[12:], None).decode()
        except (binascii.Error, InvalidTag, ValueError):
            return None
