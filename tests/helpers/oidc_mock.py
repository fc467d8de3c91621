"""A provider of OpenID Connect that is not ours, `oidc-provider-mock`, in a process of its own. It has a page on which
people sign in by their subjects alone."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.helpers.process import START_SECONDS, STOP_SECONDS, free_port, start


class OidcMock:
    """`issuer` is its URL."""

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer

    def has(self, subject: str, claims: Mapping[str, Any]) -> None:
        """From now on there is somebody with this subject, whose claims these are."""
        httpx.put(f"{self.issuer}/users/{subject}", json=claims, trust_env=False).raise_for_status()


@contextmanager
def oidc_mock(directory: Path) -> Iterator[OidcMock]:
    """Runs the provider for the length of the block; its log is in the directory."""
    port = free_port()
    child = start(["oidc_provider_mock", "--port", str(port), "--require-nonce"], os.environ, directory / "oidc")
    running = OidcMock(f"http://127.0.0.1:{port}")
    try:
        _wait(running.issuer)
        yield running
    finally:
        child.terminate()
        child.join(STOP_SECONDS)
        child.kill()


def _wait(issuer: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            httpx.get(f"{issuer}/.well-known/openid-configuration", trust_env=False).raise_for_status()
        except httpx.TransportError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
