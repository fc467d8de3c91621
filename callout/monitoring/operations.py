"""Operations and requests that are over: counted, timed, and logged if they were slow.

The names of operations come from clients, so only the first `NAMES_MAX` have a label of their own; the others are
`other`. Only a viewer's operation that was executed can add its name. Each role has a share of the names, and so has
each viewer of it but an admin: whoever invents names crowds out nobody of another role, and alone nobody of their own.
"""

from __future__ import annotations

import logging
from collections import Counter as Numbers
from hashlib import sha256
from math import inf
from typing import Final

from callout.http.context import RequestInfo
from callout.monitoring.tracing import ended
from db.enums import Role
from db.metrics import Counter, Histogram
from db.viewer import Viewer

logger = logging.getLogger("callout.slow")

NAMES_OF_ROLE: Final = {Role.ADMIN: 40, Role.TECHNICIAN: 20, Role.CUSTOMER: 20, Role.SERVICE: 20}
NAMES_OF_VIEWER: Final = {Role.ADMIN: 40, Role.TECHNICIAN: 10, Role.CUSTOMER: 4, Role.SERVICE: 10}
NAMES_MAX: Final = sum(NAMES_OF_ROLE.values())
NAME_LENGTH_MAX: Final = 80
OTHER: Final = "other"
ANONYMOUS: Final = "anonymous"
BATCH: Final = "batch"
"""The type of a request with several operations, each of which is counted as well."""
OK: Final = "OK"
CLIENT_LEFT: Final = "CLIENT_LEFT"

_OPERATIONS: Final = Counter(
    "callout_operations",
    "GraphQL operations that are over, by the code of their first error; OK if they had none.",
    ("operation", "type", "role", "outcome"),
)
_SECONDS: Final = Histogram(
    "callout_operation_seconds",
    "How long queries and mutations took. Those that were refused or failed are apart from the others.",
    ("operation", "type", "succeeded"),
)
_RESPONSES: Final = Counter(
    "callout_http_responses", "HTTP responses, by the first part of the path.", ("route", "status")
)

_ROUTES: Final = {f"/{name}": name for name in ("graphql", "healthz", "readyz", "version", "confirm-address")}
_ROUTES_BELOW: Final = ("graphql", "uploads", "files")


class OperationNames:
    """The names of operations that have a label."""

    def __init__(self) -> None:
        self._labels: dict[str | None, str] = {None: ANONYMOUS}
        self._added: Numbers[Role] = Numbers()
        self._added_by: Numbers[tuple[Role, str]] = Numbers()

    def label(self, name: str | None, viewer: Viewer | None, *, executed: bool) -> str:
        label = self._labels.get(name)
        if label is None:
            return self._added_label(name or "", viewer) if executed and viewer is not None else OTHER
        return label

    def _added_label(self, name: str, viewer: Viewer) -> str:
        role, key = viewer.role, (viewer.role, viewer.id)
        full = self._added[role] >= NAMES_OF_ROLE[role] or self._added_by[key] >= NAMES_OF_VIEWER[role]
        if full or len(name) > NAME_LENGTH_MAX:
            return OTHER
        self._added[role] += 1
        self._added_by[key] += 1
        self._labels[name] = name
        return name


class Operations:
    """One for each process, `OPERATIONS`. Operations that take longer than `slow_seconds` are logged."""

    def __init__(self) -> None:
        self.slow_seconds = inf
        self._names = OperationNames()

    def ended(self, request: RequestInfo, seconds: float, *, left: bool = False) -> None:
        """Counts an operation that is over. `left` says that the client did not wait for its end."""
        outcome = request.code or (CLIENT_LEFT if left else OK)
        ended(request, outcome)
        type_ = request.type or ""
        named = None if type_ is BATCH else request.operation
        name = self._names.label(named, request.viewer, executed=outcome is OK)
        role = "" if request.viewer is None else request.viewer.role.value
        _OPERATIONS.add(name, type_, role, outcome)
        if type_ != "subscription":
            _SECONDS.observe(seconds, name, type_, "true" if outcome is OK else "false")
            if seconds > self.slow_seconds:
                _log(request, outcome, seconds)


OPERATIONS: Final = Operations()


def responded(path: str, status: int) -> None:
    """Counts an HTTP response."""
    _RESPONSES.add(_ROUTES.get(path) or _route(path), str(status))


def _route(path: str) -> str:
    first = path[1:].partition("/")[0]
    return first if first in _ROUTES_BELOW else OTHER


def _log(request: RequestInfo, outcome: str, seconds: float) -> None:
    """Logs a slow operation without its variables. The digest of its document is the one that persisted queries use."""
    spent, viewer = request.spent, request.viewer
    fields = {
        "requestId": request.id,
        "traceId": request.trace_id,
        "operation": request.operation and request.operation[:NAME_LENGTH_MAX],
        "type": request.type,
        "document": None if request.document is None else sha256(request.document.encode()).hexdigest(),
        "role": None if viewer is None else viewer.role.value,
        "outcome": outcome,
        "ms": round(seconds * 1000, 1),
        "preparingMs": round(spent.preparing * 1000, 1),
        "waitingMs": round(spent.waiting * 1000, 1),
        "databaseMs": round(spent.database * 1000, 1),
        "cost": None if request.cost is None else round(request.cost, 1),
    }
    logger.warning("a slow operation", extra={"fields": fields})
