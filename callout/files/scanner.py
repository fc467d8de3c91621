"""Scans files for malware by a ClamAV daemon, in the protocol of clamd(8): `INSTREAM` and `PING`, over TCP or a local
socket.

Written by hand: `clamd` 1.0.2 (2014) and `pyclamd` 0.4 (2017) block the event loop and are not maintained.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

CONNECTING_SECONDS: Final = 5.0
SCANNING_SECONDS: Final = 120.0  # ClamAV's own limit, `MaxScanTime`
PORT: Final = 3310

_CHUNK: Final = 1 << 16  # bytes
_ANSWER_MAX: Final = 4_096  # bytes
_FOUND: Final = re.compile(r"stream: (.{1,200}?)(\([0-9a-f]+:\d+\))? FOUND", re.DOTALL)


class ScannerUnavailable(Exception):
    """The scanner cannot be reached, or does not answer as ClamAV does. Try again later."""


class Unscannable(Exception):
    """The scanner does not take this file, because it is larger than its `StreamMaxLength`."""


@dataclass(frozen=True, slots=True)
class Scanner:
    """A ClamAV daemon: at a host and port, or at the path of a socket."""

    path: str | None = None
    host: str = ""
    port: int = PORT

    @classmethod
    def parse(cls, url: str) -> Scanner:
        """The scanner at `tcp://host:3310` or `unix:///run/clamav/clamd.ctl`. Raises `ValueError`."""
        parts = urlsplit(url)
        if parts.scheme == "unix" and parts.path and not parts.netloc:
            return cls(path=parts.path)
        if parts.scheme == "tcp" and parts.hostname and parts.path in ("", "/") and not parts.username:
            return cls(host=parts.hostname, port=parts.port or PORT)
        raise ValueError("must be tcp://host:3310 or unix:///path")

    async def infection(self, file: AsyncIterator[bytes]) -> str | None:
        """The name of the malware in the file, or None. Raises `ScannerUnavailable` or `Unscannable`."""
        async with self._session(SCANNING_SECONDS) as (reader, writer):
            writer.write(b"zINSTREAM\0")
            answering = asyncio.create_task(_answer(reader))
            try:
                await _send(writer, file, answering)
                answer = await answering
            finally:
                answering.cancel()
        found = _FOUND.fullmatch(answer)
        if found is not None:
            return found[1]
        if "size limit exceeded" in answer:
            raise Unscannable
        if answer != "stream: OK":
            raise ScannerUnavailable(f"it answers {answer[:200]!r}")
        return None

    async def check(self) -> None:
        """Raises `ScannerUnavailable` unless the daemon answers."""
        async with self._session(CONNECTING_SECONDS) as (reader, writer):
            writer.write(b"zPING\0")
            answer = await _answer(reader)
        if answer != "PONG":
            raise ScannerUnavailable(f"it answers {answer[:200]!r}")

    @asynccontextmanager
    async def _session(self, seconds: float) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        try:
            async with asyncio.timeout(CONNECTING_SECONDS):
                reader, writer = await self._connect()
        except OSError as error:
            raise ScannerUnavailable(f"it cannot be reached: {error or type(error).__name__}") from None
        try:
            async with asyncio.timeout(seconds):
                yield reader, writer
        except OSError as error:
            raise ScannerUnavailable(f"the connection failed: {error or type(error).__name__}") from None
        finally:
            writer.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self.path is not None:
            return await asyncio.open_unix_connection(self.path)
        return await asyncio.open_connection(self.host, self.port)


async def _send(writer: asyncio.StreamWriter, file: AsyncIterator[bytes], answering: asyncio.Task[str]) -> None:
    """Sends the file, until the daemon answers: it does so early if the file is too large, and ends the connection."""
    with suppress(ConnectionError):
        async for piece in file:
            for start in range(0, len(piece), _CHUNK):
                if answering.done():
                    return
                chunk = piece[start : start + _CHUNK]
                writer.write(len(chunk).to_bytes(4) + chunk)
                await writer.drain()
        writer.write(bytes(4))
        await writer.drain()


async def _answer(reader: asyncio.StreamReader) -> str:
    """The daemon's answer, up to its NUL or the end of the connection."""
    answer = bytearray()
    while b"\0" not in answer and len(answer) < _ANSWER_MAX:
        chunk = await reader.read(_ANSWER_MAX)
        if not chunk:
            break
        answer += chunk
    return bytes(answer).partition(b"\0")[0].decode(errors="replace").strip()
