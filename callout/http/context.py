"""The context of the current HTTP request: its id for errors and logs, and the fields of its access log line."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from starlette.types import Scope

from db.timing import Spent
from db.viewer import Viewer

if TYPE_CHECKING:
    from opentelemetry.trace import Span


@dataclass(slots=True)
class RequestInfo:
    """`RequestGuard` makes one for each request and each WebSocket, and a socket one for each of its operations; later
    layers fill in what they learn. `client` is the address that the request comes from, `type` is that of a GraphQL
    operation, empty if it is not known, and None if the request is no GraphQL, `document` is its text, `mutations`
    names those that it consists of, `code` is the first error's code that the client received, `reason` is for the log
    alone, `cost` is in points (`callout/execution/cost.py`), and `trace_id` that of a trace that is recorded."""

    id: str
    client: str | None = None
    type: str | None = None
    operation: str | None = None
    document: str | None = None
    mutations: tuple[str, ...] | None = None
    viewer: Viewer | None = None
    code: str | None = None
    reason: str | None = None
    cost: float | None = None
    spent: Spent = field(default_factory=Spent)
    trace_id: str | None = None
    span: Span | None = None


SCOPE_KEY = "callout.http.context"
CURRENT: ContextVar[RequestInfo | None] = ContextVar("callout_request", default=None)


def request_of(scope: Scope) -> RequestInfo:
    """Returns the info of the request with this ASGI scope, which must have passed through `RequestGuard`."""
    info: RequestInfo = scope[SCOPE_KEY]
    return info
