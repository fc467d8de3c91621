"""An issuer's public keys, fetched from its JWKS URL (RFC 7517) and cached.

A cached key costs a dictionary lookup. The key set is fetched in a thread, by one request at a time and at most once
every `COOLDOWN` seconds, whatever keys the tokens name. A key that the issuer has withdrawn is trusted for up to
`FRESH` seconds; while the issuer cannot be reached, its last keys are trusted for up to `STALE` seconds.

The URL is given, or found by OpenID discovery: then the provider's configuration is fetched with the keys, at most once
every `DISCOVERED` seconds as long as they can be fetched from where it says.
"""

from __future__ import annotations

import asyncio
import http.client
import logging
import math
import urllib.request
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Any, Final
from urllib.parse import urlsplit

import jwt
import orjson

from callout.auth.issuers import DEFAULT_ALGORITHMS
from callout.http.errors import AuthenticationUnavailable
from db.metrics import Counter
from db.postgres.outage import OutageLog

logger = logging.getLogger(__name__)

FRESH = 300.0
STALE = 3_600.0
DISCOVERED = 3_600.0
COOLDOWN = 5.0
FETCH_SECONDS = 3.0
SIZE_MAX = 512 * 1024  # bytes
KEYS_MAX = 100

_CURVES: Final = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "Ed25519": "EdDSA"}

UNREADABLE: Final = (OSError, http.client.HTTPException, ValueError)
"""What is raised if the keys cannot be read; the texts say why."""

Keys = Mapping[str, jwt.PyJWK]
"""What one key is for: the key for each algorithm that may be used with it."""


class Discovery:
    """The configuration that an OpenID provider publishes (OpenID Connect Discovery 1.0, section 4)."""

    def __init__(self, issuer: str) -> None:
        self._issuer = issuer
        self._found: str | None = None
        self._read_at = -math.inf

    def jwks_url(self, deadline: float) -> str:
        """Returns where the provider's keys are. Blocks until `deadline` at most. Raises one of
        `UNREADABLE`, also if it is not the configuration of exactly this issuer."""
        if self._found is None or monotonic() >= self._read_at + DISCOVERED:
            self._found = self._read(deadline)
            self._read_at = monotonic()
        return self._found

    def forget(self) -> None:
        """Reads the configuration again the next time, because the keys may have moved."""
        self._read_at = -math.inf

    def _read(self, deadline: float) -> str:
        document = download(self._issuer.rstrip("/") + "/.well-known/openid-configuration", deadline)
        configuration: Any = _json(document)
        if not isinstance(configuration, dict):
            raise ValueError("its configuration is not a JSON object")
        if configuration.get("issuer") != self._issuer:
            raise ValueError(f"its configuration is that of another issuer, {configuration.get('issuer')!r:.200}")
        url = configuration.get("jwks_uri")
        secure = ("https",) if self._issuer.startswith("https:") else ("https", "http")
        if not isinstance(url, str) or urlsplit(url).scheme not in secure:
            raise ValueError(f"its configuration has no {secure[0]} URL of its keys: jwks_uri is {url!r:.200}")
        return url


_READS = Counter(
    "callout_issuer_key_reads",
    "Readings of the issuer's keys, by whether they succeeded.",
    ("succeeded",),
    known=[("true",), ("false",)],
)


class KeySet:
    """The keys of an issuer, fetched when the first token needs one. `name` is the issuer's in the log."""

    def __init__(
        self, url: str | Discovery, algorithms: Sequence[str] = DEFAULT_ALGORITHMS, name: str = "the issuer"
    ) -> None:
        self._url = url
        self._algorithms = algorithms
        self._name = name
        self._keys: dict[str, Keys] = {}
        self._read_at = -math.inf
        self._tried_at = -math.inf
        self._fetch: asyncio.Task[None] | None = None
        # Of its own: a provider that hangs must not take the threads of the others.
        self._thread = ThreadPoolExecutor(1, "keys")
        self._outage = OutageLog(logger, f"cannot read the keys of {name}", f"the keys of {name} can be read again")

    async def find(self, kid: str) -> Keys | None:
        """Returns the key with the id `kid`, or None if the issuer has no such key for these algorithms.

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
            raise AuthenticationUnavailable(reason=f"the keys of {self._name} cannot be read")
        return self._keys.get(kid)

    async def check(self) -> int:
        """Fetches the keys now. Returns how many can be used, or raises one of `UNREADABLE`."""
        return len(_usable(await self._read(), self._algorithms))

    async def close(self) -> None:
        if self._fetch is not None:
            self._fetch.cancel()
            await asyncio.wait({self._fetch})
        self._thread.shutdown(wait=False)

    async def _refresh(self) -> None:
        try:
            self._keys = _usable(await self._read(), self._algorithms)
            self._read_at = monotonic()
            self._outage.worked()
            _READS.add("true")
        except UNREADABLE as error:
            if isinstance(self._url, Discovery):
                self._url.forget()
            self._outage.failed(error)
            _READS.add("false")
        finally:
            self._fetch = None

    async def _read(self) -> bytes:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._download)

    def _download(self) -> bytes:
        deadline = monotonic() + FETCH_SECONDS
        url = self._url if isinstance(self._url, str) else self._url.jwks_url(deadline)
        return download(url, deadline)


def download(url: str, deadline: float) -> bytes:
    """Returns the content at `url`. Follows no redirects and allows only HTTP and HTTPS, so that it comes from the URL
    that was asked for. Raises one of `UNREADABLE`."""
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
    left = deadline - monotonic()
    if left <= 0:
        raise TimeoutError(f"{url} was not asked in time")
    with opener.open(url, timeout=left) as body:
        chunks = bytearray()
        while chunk := body.read1(65_536):
            chunks += chunk
            if len(chunks) > SIZE_MAX:
                raise ValueError(f"what {url} sends is too large")
            if monotonic() > deadline:
                raise TimeoutError(f"{url} did not arrive in time")
        return bytes(chunks)


def _json(document: bytes) -> object:
    try:
        return orjson.loads(document)
    except ValueError:
        raise ValueError("what it sends is not JSON") from None


def _usable(document: bytes, algorithms: Sequence[str]) -> dict[str, Keys]:
    """Returns the set's signature keys by id. Ignores all others, above all symmetric ones: anyone who can read the set
    could sign with them. Raises `ValueError` if the document is not a key set."""
    parsed: Any = _json(document)
    if not isinstance(parsed, dict) or not isinstance(parsed.get("keys"), list):
        raise ValueError("what it sends is not a key set")
    keys: dict[str, Keys] = {}
    for entry in parsed["keys"][:KEYS_MAX]:
        if not isinstance(entry, dict) or entry.get("use", "sig") != "sig" or not isinstance(entry.get("kid"), str):
            continue
        if key := _key(entry, algorithms):
            keys[entry["kid"]] = {**keys.get(entry["kid"], {}), **key}
    return keys


def _key(entry: dict[str, Any], algorithms: Sequence[str]) -> dict[str, jwt.PyJWK]:
    """The key for each of the algorithms that fit it. An issuer need not name one: a key of RSA may have several."""
    fitting = [each for each in algorithms if _fits(entry, each) and entry.get("alg", each) == each]
    try:
        return {algorithm: jwt.PyJWK(entry, algorithm) for algorithm in fitting}
    except jwt.PyJWTError:
        return {}


def _fits(entry: dict[str, Any], algorithm: str) -> bool:
    match entry.get("kty"):
        case "RSA":
            return algorithm[:2] in ("RS", "PS")
        case "EC" | "OKP":
            curve = entry.get("crv")
            return isinstance(curve, str) and _CURVES.get(curve) == algorithm
        case _:
            return False
