"""The access log, from the logger `callout.access`: one line for each request; one for each operation over a WebSocket,
when it ends; and one for each WebSocket that the server has refused or closed."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final, NamedTuple

from starlette.types import Scope

from callout.http.context import RequestInfo

logger = logging.getLogger("callout.access")

DELAY_SECONDS: Final = 0.05
AT_ONCE: Final = 200  # lines in one turn of the event loop: thousands of sockets may close together
PATH_LOGGED: Final = 200  # characters
NAME_LOGGED: Final = 200  # characters of an operation's name
RENEWAL: Final = ("presenceSet",)
"""The mutations of a request that renews a presence."""
PROBES: Final = {"/healthz", "/readyz"}


class _Entry(NamedTuple):
    at: float
    message: str
    method: str
    path: str
    status: int | None
    seconds: float
    request: RequestInfo


class AccessLog:
    """Writes the lines of several requests in a row, `DELAY_SECONDS` after the first.

    A line that is written between the other work of its request costs three times as much as one among other lines, a
    sixth of a short query. `flush` must be called before the process ends."""

    def __init__(self) -> None:
        self._entries: list[_Entry] = []
        self._timer: asyncio.TimerHandle | None = None

    def add(self, scope: Scope, status: int, seconds: float, request: RequestInfo) -> None:
        """Logs a request that is over. A fault is written at once, with all lines before it. Probes and renewals of
        presence come every few seconds; they are logged at the level `debug`."""
        level = _level(status, scope["path"], request)
        if not logger.isEnabledFor(level):
            return
        self._entries.append(
            _Entry(time.time(), "request", scope["method"], scope["path"][:PATH_LOGGED], status, seconds, request)
        )
        if status >= 500:
            self.flush()
        elif self._timer is None:
            self._write_later(DELAY_SECONDS)

    def add_operation(self, scope: Scope, seconds: float, request: RequestInfo) -> None:
        """Logs an operation over a WebSocket that is over."""
        self._add_live("operation", scope, seconds, request)

    def add_connection(self, scope: Scope, seconds: float, request: RequestInfo) -> None:
        """Logs a WebSocket that the server has refused or closed; `request` has the code and the reason."""
        self._add_live("connection", scope, seconds, request)

    def flush(self) -> None:
        """Writes all lines."""
        self._write(len(self._entries))

    def _add_live(self, message: str, scope: Scope, seconds: float, request: RequestInfo) -> None:
        if logger.isEnabledFor(_level(None, scope["path"], request)):
            path = scope["path"][:PATH_LOGGED]
            self._entries.append(_Entry(time.time(), message, "WEBSOCKET", path, None, seconds, request))
            if self._timer is None:
                self._write_later(DELAY_SECONDS)

    def _write_later(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._write_some)

    def _write_some(self) -> None:
        self._write(AT_ONCE)
        if self._entries:
            self._write_later(0.0)

    def _write(self, most: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        entries, self._entries = self._entries[:most], self._entries[most:]
        for entry in entries:
            logger.handle(_record(entry))


def _level(status: int | None, path: str, request: RequestInfo) -> int:
    if status is not None and status >= 500:
        return logging.ERROR
    renews = request.mutations == RENEWAL and request.code is None
    return logging.DEBUG if path in PROBES or renews else logging.INFO


def _record(entry: _Entry) -> logging.LogRecord:
    request, viewer = entry.request, entry.request.viewer
    # Not `logger.info`: it would search the stack for the caller, which is always this line.
    level = _level(entry.status, entry.path, request)
    record = logging.LogRecord(logger.name, level, "", 0, entry.message, (), None)
    record.created = entry.at
    record.fields = {
        "requestId": request.id,
        "traceId": request.trace_id,
        "method": entry.method,
        "path": entry.path,
        "status": entry.status,
        "ms": round(entry.seconds * 1000, 3),
        "operation": request.operation and request.operation[:NAME_LOGGED],
        "mutations": request.mutations,
        "role": viewer.role.value if viewer else None,
        "viewer": viewer.id if viewer else None,
        "client": request.client,
        "code": request.code,
        "reason": request.reason,
        "cost": None if request.cost is None else round(request.cost, 1),
    }
    return record
