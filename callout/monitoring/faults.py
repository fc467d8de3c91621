"""Faults, reported to Sentry if `CALLOUT_SENTRY_DSN` is set: unhandled exceptions, and what is logged as an error.

A report says where in the code something failed, in which operation, and under which request id the log has the rest.
It has nothing of the request, of local variables, of what was logged with the message, or of the exception's own words:
PostgreSQL's quote rows.
"""

from __future__ import annotations

import logging
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

from starlette.types import ASGIApp, Receive, Scope, Send

from callout.http.context import CURRENT
from callout.settings import InvalidSettings, Settings, variable
from db.postgres.outage import is_repetition

if TYPE_CHECKING:
    from sentry_sdk.types import Event, Hint

KEPT: Final = frozenset({"event_id", "timestamp", "level", "platform", "logger", "release", "environment", "sdk"})
"""The parts of a report that are kept as they are. Others are rebuilt or left out, also those that a later version of
Sentry's library adds."""

OURS: Final = frozenset({"callout", "db", "notifiers", "pubsub", "resolvers", "schema"})
"""The loggers whose messages have values only as arguments. asyncio's, for one, quotes exceptions."""

KEPT_OF_FRAMES: Final = frozenset(
    {"filename", "abs_path", "module", "function", "lineno", "context_line", "pre_context", "post_context", "in_app"}
)


def start(settings: Settings) -> None:
    """Starts reporting, if the settings ask for it. Raises `InvalidSettings`."""
    if settings.sentry_dsn is None:
        return
    try:
        import sentry_sdk
    except ImportError:
        message = f"{variable('sentry_dsn')} needs sentry-sdk: install `callout[sentry]`, or unset it."
        raise InvalidSettings([message]) from None
    from sentry_sdk.integrations.atexit import AtexitIntegration
    from sentry_sdk.integrations.dedupe import DedupeIntegration
    from sentry_sdk.integrations.excepthook import ExcepthookIntegration
    from sentry_sdk.integrations.logging import LoggingIntegration, ignore_logger
    from sentry_sdk.utils import BadDsn

    ignore_logger("callout.access")  # a request that failed has been logged by itself
    try:
        sentry_sdk.init(
            settings.sentry_dsn,
            release=f"callout@{version('callout')}",
            environment=settings.env,
            default_integrations=False,  # others read the command line, and what is sent and received
            auto_enabling_integrations=False,
            integrations=[
                AtexitIntegration(callback=lambda pending, timeout: None),
                DedupeIntegration(),
                ExcepthookIntegration(),
                LoggingIntegration(level=None, event_level=logging.ERROR),
            ],
            before_send=_scrubbed,
            include_local_variables=False,
            max_breadcrumbs=0,
            max_request_body_size="never",
            auto_session_tracking=False,
        )
    except BadDsn:
        raise InvalidSettings([f"{variable('sentry_dsn')} is not a DSN of Sentry."]) from None


class FaultReports:
    """ASGI middleware: what is reported during an HTTP request belongs to it. WebSockets pass, because the layers below
    write to them directly; their operations are known by the current request."""

    def __init__(self, app: ASGIApp) -> None:
        from sentry_sdk.integrations.asgi import SentryAsgiMiddleware

        self._app = app
        self._reporting = SentryAsgiMiddleware(app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (self._reporting if scope["type"] == "http" else self._app)(scope, receive, send)


def _scrubbed(event: Event, hint: Hint) -> Event | None:
    """Leaves of a report only what cannot have personal data. Of an outage, only its beginning is reported."""
    record = hint.get("log_record")
    if record is not None and is_repetition(record):
        return None
    found: dict[str, Any] = dict(event)
    kept = {name: value for name, value in found.items() if name in KEPT}
    if record is not None and record.name.partition(".")[0] in OURS:
        kept["logentry"] = {"message": str(record.msg)}  # without its arguments
    if values := (found.get("exception") or {}).get("values"):
        kept["exception"] = {"values": [_exception(value) for value in values]}
    if request := CURRENT.get():
        kept["tags"] = {
            "request_id": request.id,
            "operation": request.operation and request.operation[:80],
            "role": None if request.viewer is None else request.viewer.role.value,
        }
    scrubbed: Any = kept
    return scrubbed  # type: ignore[no-any-return]


def _exception(value: dict[str, Any]) -> dict[str, Any]:
    frames = (value.get("stacktrace") or {}).get("frames") or []
    return {
        "type": value.get("type"),
        "module": value.get("module"),
        "stacktrace": {"frames": [{name: frame[name] for name in KEPT_OF_FRAMES if name in frame} for frame in frames]},
    }
