"""What a connection may take before it has shown a token: the time for the heads of its requests to arrive, its place
among the connections that an address may have, and no file descriptor that others need.

A refused connection gets an HTTP response at once, and is closed.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import sys
from collections import Counter
from collections.abc import Callable
from time import monotonic
from typing import Final

import orjson

from callout.http.client_address import Address, network_of, parsed

logger = logging.getLogger(__name__)

RESERVED: Final = 64
"""File descriptors that are kept for connections to the database and to mail servers, and for files; a quarter of all
if that is less."""

WATCH_SECONDS: Final = 1.0
REMINDER_SECONDS: Final = 60.0


def _refusal(status: str, code: str, message: str, *headers: str) -> bytes:
    body = orjson.dumps({"errors": [{"message": message, "extensions": {"code": code}}]})
    head = (f"HTTP/1.1 {status}", "connection: close", "content-type: application/json", *headers)
    return "\r\n".join((*head, f"content-length: {len(body)}", "", "")).encode() + body


TOO_MANY: Final = _refusal(
    "429 Too Many Requests",
    "LIMIT_EXCEEDED",
    "There are too many open connections from your address; close some, and connect again.",
    "retry-after: 1",
)
OVERLOADED: Final = _refusal(
    "503 Service Unavailable", "UNAVAILABLE", "The server has too many connections; try again.", "retry-after: 1"
)


class ConnectionLimits:
    """The open connections of a process, by their peers' addresses."""

    def __init__(
        self,
        head_seconds: float = 10.0,
        per_address: int = 0,
        is_proxy: Callable[[Address], bool] = lambda address: False,
    ) -> None:
        """A request's line and headers may take `head_seconds` to arrive, and so may a new connection's first byte. An
        address may have `per_address` connections, but not more than half of the file descriptors; or any number if
        `per_address` is 0 or the address is that of a proxy."""
        self.head_seconds = head_seconds
        self._per_address = per_address
        self._is_proxy = is_proxy
        self._addresses: dict[asyncio.BaseTransport, bytes] = {}
        self._open: Counter[bytes] = Counter()
        self._low = _Reminder("file descriptors are running low; new connections are refused")
        self._full = _Reminder(
            "an address has as many connections as it may have; if it is your proxy's, set CALLOUT_TRUSTED_PROXIES"
        )

    def enter(self, transport: asyncio.BaseTransport) -> bytes | None:
        """Counts a new connection. Returns the response with which it must be refused, or None."""
        peer = transport.get_extra_info("socket")
        if peer is not None and _is_low(peer.fileno()):
            self._low.remind()
            return OVERLOADED
        address = self._counted(transport)
        if address is None:
            return None
        if self._open[address] >= min(self._per_address, _descriptors() // 2):
            self._full.remind(address=str(transport.get_extra_info("peername")[0]))
            return TOO_MANY
        self._open[address] += 1
        self._addresses[transport] = address
        return None

    def leave(self, transport: asyncio.BaseTransport) -> None:
        """Ends the count of a connection; does nothing for one that is not counted."""
        address = self._addresses.pop(transport, None)
        if address is not None:
            self._open[address] -= 1
            if not self._open[address]:
                del self._open[address]

    async def watch(self) -> None:
        """Logs it when file descriptors run low, forever; also if nobody connects meanwhile, or nobody can."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            try:
                probe = os.open(os.devnull, os.O_RDONLY)
            except OSError:
                self._low.remind()
                continue
            os.close(probe)
            if _is_low(probe):
                self._low.remind()

    def _counted(self, transport: asyncio.BaseTransport) -> bytes | None:
        """Returns the address by which the connection is counted, or None if it is not."""
        name = transport.get_extra_info("peername")
        if not self._per_address or not isinstance(name, tuple):
            return None
        address = parsed(name[0])
        if address is None or self._is_proxy(address):
            return None
        return network_of(address)


class _Reminder:
    """An error in the log, at most once in `REMINDER_SECONDS`."""

    def __init__(self, message: str) -> None:
        self._message = message
        self._reminded_at = -REMINDER_SECONDS

    def remind(self, **fields: object) -> None:
        now = monotonic()
        if now >= self._reminded_at + REMINDER_SECONDS:
            self._reminded_at = now
            logger.error(self._message, extra={"fields": fields})


def _is_low(descriptor: int) -> bool:
    """Whether few are left, going by one that was just opened: the system gives out the lowest free number."""
    limit = _descriptors()
    return descriptor >= limit - min(RESERVED, limit // 4)


def _descriptors() -> int:
    """The number of file descriptors that the process may have."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if limit == resource.RLIM_INFINITY else limit
