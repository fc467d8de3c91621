"""Posts the messages of webhooks, signed by the scheme of Standard Webhooks
(https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md).

A receiver is anybody's machine. It gets a limited time, no redirect of its is followed, only a little of its answer is
read, and nothing of that is kept: an answer may quote what was posted.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import secrets
import ssl
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

import httpx

from db.limits import WEBHOOK_SECRET_BYTES
from db.metrics import SLOW, Counter, Histogram
from notifiers.posting import client_for, in_words, retry_after
from notifiers.public_addresses import NotPublic, names_private_host

SEND_SECONDS: Final = 15.0
DRAINED_BYTES: Final = 64 * 1024
"""How much of an answer is read, so that the connection can be used again; after a longer one it is closed."""
DRAINED_SECONDS: Final = 1.0
MESSAGE_BYTES_MAX: Final = 4 * 2**20

NOT_PUBLIC: Final = "The URL must lead to the public internet, unless CALLOUT_WEBHOOK_PRIVATE_HOSTS allows other hosts."
SECRET_PREFIX: Final = "whsec_"

_HEADERS: Final = {"content-type": "application/json", "user-agent": "Callout-Webhooks/1"}
_ATTEMPTS: Final = Counter(
    "callout_webhook_attempts",
    "Attempts to deliver a message of a webhook: acknowledged, answered otherwise, or not answered.",
    ("outcome",),
    known=[("acknowledged",), ("refused",), ("unanswered",)],
)
_SECONDS: Final = Histogram(
    "callout_webhook_attempt_seconds", "How long attempts to deliver a message of a webhook took.", bounds=SLOW
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a webhook posts to, and the secrets that sign its messages: more than one while they are rotated."""

    url: str
    secrets: Sequence[bytes] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Posted:
    """The result of an attempt. `status` is None if there was no answer; `said` is a sentence of our own. `after` is
    the pause in seconds that the receiver has asked for, if it has."""

    acknowledged: bool
    status: int | None
    said: str
    after: float | None
    milliseconds: int

    @property
    def gone(self) -> bool:
        return self.status == HTTPStatus.GONE


class WebhookSender:
    """Posts messages. One for each process."""

    def __init__(self, *, private_hosts: bool, seconds: float = SEND_SECONDS) -> None:
        """An attempt may take `seconds`. Receivers must have public addresses, unless `private_hosts` are allowed;
        these need no TLS."""
        self._private_hosts = private_hosts
        self._seconds = seconds

    def objection(self, url: str) -> str | None:
        """Returns why nothing can be posted to this URL, a sentence, or None. What its name leads to is only checked
        when it is used."""
        try:
            parts = urlsplit(url)
            is_private = names_private_host(parts.hostname or "")
        except ValueError:
            return "The URL is not valid."
        if is_private and not self._private_hosts:
            return NOT_PUBLIC
        if parts.scheme == "https" or (parts.scheme == "http" and is_private):
            return None
        return "The URL must begin with https://."

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[httpx.AsyncClient]:
        """A client for messages to one receiver, which keeps its connection for the length of the block."""
        async with client_for(private_hosts=self._private_hosts, verify=_certificates()) as client:
            yield client

    async def post(self, client: httpx.AsyncClient, endpoint: Endpoint, message_id: str, body: bytes) -> Posted:
        """Makes one attempt. Raises nothing that the receiver has caused."""
        began = time.monotonic()
        status, said, after = await self._answer(client, endpoint, message_id, body)
        seconds = time.monotonic() - began
        acknowledged = status is not None and 200 <= status < 300
        _ATTEMPTS.add("acknowledged" if acknowledged else "unanswered" if status is None else "refused")
        _SECONDS.observe(seconds)
        return Posted(acknowledged, status, said, after, round(seconds * 1000))

    async def _answer(
        self, client: httpx.AsyncClient, endpoint: Endpoint, message_id: str, body: bytes
    ) -> tuple[int | None, str, float | None]:
        headers = _HEADERS | signed_headers(endpoint.secrets, message_id, int(time.time()), body)
        objection = self.objection(endpoint.url)  # the settings may have changed since it was entered
        if objection is not None:
            return None, objection, None
        try:
            async with asyncio.timeout(self._seconds):
                request = client.build_request("POST", endpoint.url, headers=headers, content=body)
                response = await client.send(request, stream=True)
        except NotPublic:
            return None, NOT_PUBLIC, None
        except TimeoutError:
            return None, f"The receiver did not answer within {self._seconds:g} seconds.", None
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            return None, f"The receiver cannot be reached ({type(error).__name__}).", None
        await _drain(response)
        status = response.status_code
        return status, in_words(status), retry_after(response.headers.get("retry-after"))


async def _drain(response: httpx.Response) -> None:
    read = 0
    with suppress(TimeoutError, httpx.HTTPError):
        async with asyncio.timeout(DRAINED_SECONDS):
            async for part in response.aiter_raw():
                read += len(part)
                if read > DRAINED_BYTES:
                    break
    with suppress(httpx.HTTPError):
        await response.aclose()


@cache
def _certificates() -> ssl.SSLContext:
    return httpx.create_ssl_context()  # reading them takes 60 ms, so the clients share them


def signed_headers(secrets: Sequence[bytes], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers by which a receiver recognises the message, and its author: with a signature by each secret."""
    signed = b"%b.%d.%b" % (message_id.encode(), timestamp, body)
    signatures = (base64.b64encode(hmac.digest(secret, signed, "sha256")).decode() for secret in secrets)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }


def new_secret() -> bytes:
    return secrets.token_bytes(32)


def shown_secret(secret: bytes) -> str:
    """The secret as receivers are given it."""
    return SECRET_PREFIX + base64.b64encode(secret).decode()


def parse_secret(shown: str) -> bytes:
    """Raises `ValueError` unless it is `whsec_` and 24 to 64 bytes in base64."""
    if not shown.startswith(SECRET_PREFIX):
        raise ValueError("no prefix")
    try:
        secret = base64.b64decode(shown.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise ValueError("not base64") from error
    fewest, most = WEBHOOK_SECRET_BYTES
    if not fewest <= len(secret) <= most:
        raise ValueError("too short or too long")
    return secret
