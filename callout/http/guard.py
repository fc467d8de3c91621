"""The outermost HTTP layer: `RequestGuard` around the application, and `read_body` for bounded bodies.

Each request gets an id, which is in its response, its errors and every log record that is written for it, and one line
in the access log, without tokens, variables, query strings or bodies. An unhandled exception becomes a 500 response
with that id and no details.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from collections.abc import Awaitable
from time import perf_counter
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from callout.http.access_log import AccessLog
from callout.http.client_address import ClientAddresses
from callout.http.context import CURRENT, SCOPE_KEY, RequestInfo, request_of
from callout.http.errors import BodyTimeout, BodyTooLarge, HttpError, Internal, TooManyRequests, error_body
from callout.http.server import ARRIVED
from callout.monitoring.operations import OPERATIONS, responded
from db.errors import RateLimited
from db.timing import SPENT

logger = logging.getLogger(__name__)

BODY_MAX = 1024 * 1024  # bytes
BODY_SECONDS = 10.0
CLIENT_LEFT = 499  # as nginx logs it; never sent

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_NO_SNIFFING = (b"x-content-type-options", b"nosniff")
_NO_STORE = (b"cache-control", b"no-store")

OWN_CACHE_CONTROL: Final = "callout.cache_control"
"""The key that stands in a request's scope if its response has a `Cache-Control` of its own."""

_GRAPHQL_TYPE = b"application/graphql-response+json"
_CODES = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}


class ClientDisconnected(Exception):
    """The client disconnected before its request was complete."""


class RequestGuard:
    """ASGI middleware, which must be the outermost. WebSockets, which only get their `RequestInfo`, and lifespan pass
    through."""

    def __init__(self, app: ASGIApp, access_log: AccessLog, addresses: ClientAddresses) -> None:
        self._app = app
        self._access_log = access_log
        self._addresses = addresses

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        started = perf_counter()
        request_id = _request_id(scope)
        request = scope[SCOPE_KEY] = RequestInfo(request_id.decode("ascii"), self._addresses.of(scope))
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        context = CURRENT.set(request)
        SPENT.set(request.spent)
        added = ((b"x-request-id", request_id), _NO_SNIFFING)
        status = 0

        def send_marked(message: Message) -> Awaitable[None]:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *added]
                if OWN_CACHE_CONTROL not in scope:
                    message["headers"].append(_NO_STORE)
            return send(message)

        try:
            await self._app(scope, receive, send_marked)
        except ClientDisconnected:
            status = status or CLIENT_LEFT
        except Exception as error:
            if isinstance(error, RateLimited):
                error = TooManyRequests(error)
            elif not isinstance(error, HttpError):
                logger.exception("unhandled exception")
                error = Internal()
            request.code, request.reason = error.extension_code, error.reason
            if not status:
                await refuse(scope, send_marked, error)
        finally:
            status, seconds = status or CLIENT_LEFT, perf_counter() - started
            self._access_log.add(scope, status, seconds, request)
            responded(scope["path"], status)
            if request.type is not None:
                OPERATIONS.ended(request, seconds, left=status == CLIENT_LEFT)
            CURRENT.reset(context)


async def read_body(scope: Scope, receive: Receive) -> bytes:
    """Returns the request's whole body, of up to `BODY_MAX` bytes.

    Raises `BodyTooLarge` as soon as the body is known to be larger, `BodyTimeout` if it has not arrived within
    `BODY_SECONDS`, and `ClientDisconnected` if the client disconnects first.
    """
    for name, value in scope["headers"]:
        if name == b"content-length" and (len(value) > 7 or int(value) > BODY_MAX):
            raise BodyTooLarge
    if ARRIVED in scope:  # nothing to wait for; a timer would cost a tenth of a short query
        body = await _whole(receive)
    else:
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await _whole(receive)
        except TimeoutError:
            raise BodyTimeout from None
    if len(body) > BODY_MAX:
        raise BodyTooLarge
    return body


async def _whole(receive: Receive) -> bytes:
    """Returns the whole body, or what has been received when it exceeds `BODY_MAX`."""
    body, more = _part(await receive())
    if not more:
        return body
    parts, size = [body], len(body)
    while more and size <= BODY_MAX:
        body, more = _part(await receive())
        parts.append(body)
        size += len(body)
    return b"".join(parts)


def _part(message: Message) -> tuple[bytes, bool]:
    if message["type"] != "http.request":
        raise ClientDisconnected
    return message.get("body", b""), message.get("more_body", False)


async def on_http_exception(request: Request, error: Exception) -> Response:
    """An exception handler that gives Starlette's own errors (unknown path, wrong method) the form of ours."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405 and request.method == "OPTIONS":
        return Response(status_code=204, headers={"allow": f"{(error.headers or {}).get('Allow', '')}, OPTIONS"})
    info = request_of(request.scope)
    info.code = _CODES.get(error.status_code, "BAD_REQUEST")
    body = error_body(error.detail, info.code, info.id)
    return Response(body, error.status_code, error.headers, media_type="application/json")


async def refuse(scope: Scope, send: Send, error: HttpError) -> None:
    """Sends the response to a request that is refused with the error."""
    accepts_graphql = any(name == b"accept" and _GRAPHQL_TYPE in value for name, value in scope["headers"])
    body = error_body(error.message, error.extension_code, request_of(scope).id)
    headers = [
        (b"content-type", _GRAPHQL_TYPE if accepts_graphql else b"application/json"),
        (b"content-length", b"%d" % len(body)),
        *error.headers,
    ]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _request_id(scope: Scope) -> bytes:
    """Returns the client's `X-Request-ID` if it is safe to log, or else 96 random bits."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return bytes(value)
    return secrets.token_hex(12).encode()
