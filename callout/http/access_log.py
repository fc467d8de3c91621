"""The access log: one line for each request, from the logger `callout.access`."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final, NamedTuple

from starlette.types import Scope

from callout.http.context import RequestInfo

logger = logging.getLogger("callout.access")

DELAY_SECONDS: Final = 0.05
PATH_LOGGED: Final = 200  # characters


class _Entry(NamedTuple):
    at: float
    method: str
    path: str
    status: int
    seconds: float
    request: RequestInfo


class AccessLog:
    """Writes the lines of several requests in a row, up to `DELAY_SECONDS` after the first.

    A line that is written between the other work of its request costs three times as much as one among other lines, a
    sixth of a short query. `flush` must be called before the process ends."""

    def __init__(self) -> None:
        self._entries: list[_Entry] = []
        self._timer: asyncio.TimerHandle | None = None

    def add(self, scope: Scope, status: int, seconds: float, request: RequestInfo) -> None:
        """Logs a request that is over. A fault is written at once, with all lines before it."""
        if not logger.isEnabledFor(_level(status)):
            return
        self._entries.append(
            _Entry(time.time(), scope["method"], scope["path"][:PATH_LOGGED], status, seconds, request)
        )
        if status >= 500:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(DELAY_SECONDS, self.flush)

    def flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        entries, self._entries = self._entries, []
        for entry in entries:
            logger.handle(_record(entry))


def _level(status: int) -> int:
    return logging.INFO if status < 500 else logging.ERROR


def _record(entry: _Entry) -> logging.LogRecord:
    request, viewer = entry.request, entry.request.viewer
    # Not `logger.info`: it would search the stack for the caller, which is always this line.
    record = logging.LogRecord(logger.name, _level(entry.status), "", 0, "request", (), None)
    record.created = entry.at
    record.fields = {
        "requestId": request.id,
        "method": entry.method,
        "path": entry.path,
        "status": entry.status,
        "ms": round(entry.seconds * 1000, 3),
        "operation": request.operation,
        "role": viewer.role.value if viewer else None,
        "viewer": viewer.id if viewer else None,
        "code": request.code,
        "reason": request.reason,
        "cost": None if request.cost is None else round(request.cost, 1),
    }
    return record
