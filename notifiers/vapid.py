"""The key by which push services know this server (VAPID, RFC 8292).

A device subscribes for the public key, and its push service takes messages from nobody else. So all servers have one
key, and another key ends all subscriptions.
"""

from __future__ import annotations

import hashlib
import hmac
import time
import uuid
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

VALID_SECONDS: Final = 12 * 3600  # of a signature; RFC 8292, section 2, allows a day
_PRIVATE_SIZE, _SIGNATURE_SIZE = 32, 16


@dataclass(frozen=True, slots=True)
class VapidKey:
    """A key of the curve P-256."""

    private: ec.EllipticCurvePrivateKey

    @classmethod
    def generate(cls) -> Self:
        return cls(ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def parse(cls, text: str) -> Self:
        """The key that `text` gives. Raises `ValueError` for anything else."""
        try:
            secret = decoded(text)
            if len(secret) != _PRIVATE_SIZE:
                raise ValueError("another size")
            return cls(ec.derive_private_key(int.from_bytes(secret), ec.SECP256R1()))
        except ValueError:
            raise ValueError("must be a private key as `callout push-keys` prints it") from None

    @property
    def text(self) -> str:
        """The private key, a secret: 32 bytes in URL-safe base64."""
        return encoded(self.private.private_numbers().private_value.to_bytes(_PRIVATE_SIZE))

    @property
    def public(self) -> str:
        """The public key as browsers take it (`applicationServerKey`): a point of 65 bytes in URL-safe base64."""
        return encoded(self.private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))

    def authorization(self, endpoint: str, contact: str) -> str:
        """The header `Authorization` of a message to the endpoint. `contact` is where the push service reaches whoever
        runs this server, a `mailto:` or `https:` URL."""
        parts = urlsplit(endpoint)
        claims = {
            "aud": f"{parts.scheme}://{parts.netloc}",
            "exp": int(time.time()) + VALID_SECONDS,
            "sub": contact,
        }
        return f"vapid t={jwt.encode(claims, self.private, algorithm='ES256')}, k={self.public}"

    # Receipts: the token by which a device acknowledges a delivery, without a login

    def receipt(self, delivery_id: str) -> str:
        """The token of a delivery, 43 characters, which nobody else can make."""
        key = uuid.UUID(delivery_id).bytes
        return encoded(key + self._signature(key))

    def acknowledged(self, token: str) -> str | None:
        """The id of the delivery whose token this is; None if it is none."""
        try:
            given = decoded(token)
        except ValueError:
            return None
        key, signature = given[:16], given[16:]
        if len(key) != 16 or not hmac.compare_digest(self._signature(key), signature):
            return None
        return str(uuid.UUID(bytes=key))

    def _signature(self, delivery: bytes) -> bytes:
        secret = hashlib.sha256(b"callout push receipt 1 " + self.text.encode()).digest()
        return hmac.digest(secret, delivery, hashlib.sha256)[:_SIGNATURE_SIZE]


def encoded(data: bytes) -> str:
    """In URL-safe base64 without padding (RFC 7515, section 2), as Web Push has its keys."""
    return urlsafe_b64encode(data).decode().rstrip("=")


def decoded(text: str) -> bytes:
    """The bytes, with or without padding. Raises `ValueError` for anything else."""
    bare = text.rstrip("=")
    try:
        data = urlsafe_b64decode(bare.encode("ascii") + b"=" * (-len(bare) % 4))
    except (Error, UnicodeEncodeError):
        raise ValueError("is not URL-safe base64") from None
    if encoded(data) != bare:  # the decoder ignores other characters
        raise ValueError("is not URL-safe base64")
    return data
