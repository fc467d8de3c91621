"""What is known of the HTTP request being served: its id for errors and logs, and what its access line will say."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass

from starlette.types import Scope

from db.viewer import Viewer


@dataclass(slots=True)
class RequestInfo:
    """`RequestGuard` makes one for each request; whoever learns the rest fills it in. `code` is the first error's
    that the client was told, and `reason` what it was not."""

    id: str
    operation: str | None = None
    viewer: Viewer | None = None
    code: str | None = None
    reason: str | None = None


SCOPE_KEY = "callout.http.context"
CURRENT: ContextVar[RequestInfo | None] = ContextVar("callout_request", default=None)


def request_of(scope: Scope) -> RequestInfo:
    """The info of the request of this ASGI scope, which has passed the `RequestGuard`."""
    info: RequestInfo = scope[SCOPE_KEY]
    return info
