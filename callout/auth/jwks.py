"""The issuer's public keys, fetched from its JWKS URL (RFC 7517) and cached.

A cached key costs a dictionary lookup. The key set is fetched in a thread, by one request at a time and at most once
every `COOLDOWN` seconds, whatever keys the tokens name. A key that the issuer has withdrawn is trusted for up to
`FRESH` seconds; while the issuer cannot be reached, its last keys are trusted for up to `STALE` seconds.
"""

from __future__ import annotations

import asyncio
import http.client
import logging
import math
import urllib.error
import urllib.request
from time import monotonic
from typing import Any

import jwt
import orjson

from callout.http.errors import AuthenticationUnavailable
from db.metrics import Counter

logger = logging.getLogger(__name__)

ALGORITHMS = ["RS256", "ES256"]
FRESH = 300.0
STALE = 3_600.0
COOLDOWN = 5.0
FETCH_SECONDS = 3.0
SIZE_MAX = 512 * 1024  # bytes

_READS = Counter(
    "callout_issuer_key_reads",
    "Readings of the issuer's keys, by whether they succeeded.",
    ("succeeded",),
    known=[("true",), ("false",)],
)


class KeySet:
    """The keys at `url`, fetched when the first token needs one."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._keys: dict[str, jwt.PyJWK] = {}
        self._read_at = -math.inf
        self._tried_at = -math.inf
        self._fetch: asyncio.Task[None] | None = None

    async def find(self, kid: str) -> jwt.PyJWK | None:
        """Returns the key with the id `kid`, or None if the issuer has no such key.

        Waits for the issuer only if the key is not cached, for up to `FETCH_SECONDS`. Raises
        `AuthenticationUnavailable` if the issuer does not answer.
        """
        now = monotonic()
        key = self._keys.get(kid)
        if key is not None and now < self._read_at + FRESH:
            return key
        if self._fetch is None and now >= self._tried_at + COOLDOWN:
            self._tried_at = now
            self._fetch = asyncio.create_task(self._refresh())
        if key is not None and now < self._read_at + STALE:
            return key
        if self._fetch is not None:
            await asyncio.wait({self._fetch}, timeout=max(0.0, self._tried_at + FETCH_SECONDS - now))
        if self._read_at < self._tried_at:
            raise AuthenticationUnavailable(reason="the issuer is not responding")
        return self._keys.get(kid)

    async def close(self) -> None:
        if self._fetch is not None:
            self._fetch.cancel()
            await asyncio.wait({self._fetch})

    async def _refresh(self) -> None:
        try:
            document = await asyncio.to_thread(_download, self._url)
            self._keys = _usable(document)
            self._read_at = monotonic()
            _READS.add("true")
        except (OSError, http.client.HTTPException, ValueError) as error:
            _READS.add("false")
            logger.error("cannot read the issuer's keys", extra={"fields": {"error": repr(error)}})
        finally:
            self._fetch = None


def _download(url: str) -> bytes:
    """Returns the key set's text. Follows no redirects and allows only HTTP and HTTPS, so that the keys come from the
    configured URL. Raises `OSError`, `http.client.HTTPException` or `ValueError`."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    deadline = monotonic() + FETCH_SECONDS
    with opener.open(url, timeout=FETCH_SECONDS) as body:
        chunks = bytearray()
        while chunk := body.read1(65_536):
            chunks += chunk
            if len(chunks) > SIZE_MAX:
                raise ValueError("the key set is too large")
            if monotonic() > deadline:
                raise TimeoutError("the key set did not arrive in time")
        return bytes(chunks)


def _usable(document: bytes) -> dict[str, jwt.PyJWK]:
    """Returns the set's signature keys by id. Ignores all others, above all symmetric ones: anyone who can read the set
    could sign with them. Raises `ValueError` if the document is not a key set."""
    parsed: Any = orjson.loads(document)
    if not isinstance(parsed, dict) or not isinstance(parsed.get("keys"), list):
        raise ValueError("not a key set")
    keys: dict[str, jwt.PyJWK] = {}
    for entry in parsed["keys"]:
        if not isinstance(entry, dict) or entry.get("use", "sig") != "sig" or entry.get("kty") not in ("RSA", "EC"):
            continue
        kid = entry.get("kid")
        if not isinstance(kid, str):
            continue
        try:
            key = jwt.PyJWK(entry)
        except jwt.PyJWTError:
            continue
        if key.algorithm_name in ALGORITHMS:
            keys[kid] = key
    return keys
