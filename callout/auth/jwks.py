"""The issuer's public keys, read from its JWKS URL (RFC 7517) and kept.

A known key costs a dictionary lookup. The issuer is asked at most once every `COOLDOWN` seconds, whatever keys the
tokens name, by one request at a time, in a thread. A key that the issuer has withdrawn is trusted for `FRESH`
seconds more; while the issuer cannot be reached the last keys it gave are, for up to `STALE` seconds.
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

logger = logging.getLogger(__name__)

ALGORITHMS = ["RS256", "ES256"]
FRESH = 300.0
STALE = 3_600.0
COOLDOWN = 5.0
FETCH_SECONDS = 3.0
SIZE_MAX = 512 * 1024  # bytes


class KeySet:
    """The keys behind `url`, fetched when the first token asks."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._keys: dict[str, jwt.PyJWK] = {}
        self._read_at = -math.inf
        self._tried_at = -math.inf
        self._fetch: asyncio.Task[None] | None = None

    async def find(self, kid: str) -> jwt.PyJWK | None:
        """The key called `kid`, or None if the issuer has none of that name; raises `AuthenticationUnavailable`
        if that cannot be told. Waits for the issuer only if the key is not at hand, for `FETCH_SECONDS` at most."""
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
            raise AuthenticationUnavailable(reason="the issuer does not answer")
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
        except (OSError, http.client.HTTPException, ValueError) as error:
            logger.error("the issuer's keys could not be read", extra={"fields": {"error": repr(error)}})
        finally:
            self._fetch = None


def _download(url: str) -> bytes:
    """Redirects are not followed and nothing but HTTP is spoken: the keys come from where the operator said."""
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
                raise TimeoutError("the key set does not arrive")
        return bytes(chunks)


def _usable(document: bytes) -> dict[str, jwt.PyJWK]:
    """The signature keys of the set by name. Others in it, symmetric ones above all, are passed over."""
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
