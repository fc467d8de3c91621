"""`/graphql`: GraphQL over HTTP.

Follows the GraphQL over HTTP specification (working draft): POST of JSON, and GET for queries. A request that was not
executed has a 4xx status in `application/graphql-response+json`, or 503 with `Retry-After` if the database cannot be
used, and 200 in the older `application/json`, as clients of that type expect. Status 429 has `Retry-After`, too; in the
older type the header comes with 200.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from graphql import OperationType
from starlette.types import Receive, Scope, Send

from callout.auth.authenticator import Authenticator
from callout.execution.answer import Answer, refusal
from callout.execution.budgets import Budgets, Charge, hold_back
from callout.execution.documents import InvalidDocument
from callout.execution.prepare import Preparer
from callout.execution.request import GraphQLRequest
from callout.execution.run import Engine
from callout.http import ide
from callout.http.context import RequestInfo, request_of
from callout.http.errors import RETRY, retry_after
from callout.http.request import MethodNotAllowed, NotAcceptable, headers_of, ranges, read_request
from callout.monitoring.tracing import began
from db.errors import ClientError, RateLimited
from db.viewer import Viewer

MODERN = b"application/graphql-response+json; charset=utf-8"
LEGACY = b"application/json; charset=utf-8"

_STATUS = {"FORBIDDEN": 403, "RATE_LIMITED": 429, "UNAVAILABLE": 503}


class GraphQLEndpoint:
    """The ASGI application at `/graphql`. With `with_ide`, browsers get the IDE."""

    def __init__(
        self, preparer: Preparer, engine: Engine, authenticator: Authenticator, budgets: Budgets, *, with_ide: bool
    ) -> None:
        self._budgets = budgets
        self._preparer = preparer
        self._engine = engine
        self._authenticator = authenticator
        self._with_ide = with_ide

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = scope["method"]
        authorization, accept, content_type = headers_of(scope)
        if method == "GET" and self._with_ide and b"text/html" in accept and not scope["query_string"]:
            await _send(send, 200, b"text/html; charset=utf-8", ide.PAGE, ide.HEADERS)
            return
        media_type = _negotiated(accept)
        info = request_of(scope)
        began(info, scope["headers"])
        info.viewer = viewer = await self._authenticator.authenticate(authorization)
        charge = self._budgets.of(viewer).request()
        try:
            with charge:
                request = await read_request(scope, receive, content_type, charge)
                answer = await self._answer(request, method, viewer, info, charge)
        except RateLimited as error:
            answer = refusal([error], info.id)
        info.cost = charge.requested
        if answer.retry_after is not None:
            await hold_back()
        more = () if answer.retry_after is None else retry_after(answer.retry_after)
        await _send(send, _status(answer, media_type, info), media_type, answer.body, more)

    async def _answer(
        self, request: GraphQLRequest, method: str, viewer: Viewer, info: RequestInfo, charge: Charge
    ) -> Answer:
        try:
            document, node = await self._preparer.fetch_operation(
                request.query, request.operation_name, viewer.role, charge
            )
        except InvalidDocument as error:
            answer = refusal(error.errors, info.id, error.extension_code)
        except ClientError as error:
            answer = refusal([error], info.id)
        else:
            info.operation = node.name.value if node.name else None
            info.type, info.document = node.operation.value, document.text
            if node.operation is OperationType.MUTATION:
                info.mutations = self._preparer.mutations(document, node)
            if method == "GET" and node.operation is not OperationType.QUERY:
                raise MethodNotAllowed
            answer = await self._engine.execute(document, node, request.variables, viewer, info.id, info.client, charge)
        return answer.extended(request, charge, info.trace_id)


def _status(answer: Answer, media_type: bytes, info: RequestInfo) -> int:
    if answer.codes:
        info.code = answer.codes[0]
    if answer.executed or media_type is LEGACY:
        return 200
    return _STATUS.get(answer.codes[0], 400)


async def _send(
    send: Send, status: int, media_type: bytes, body: bytes, more: Sequence[tuple[bytes, bytes]] = ()
) -> None:
    headers = [(b"content-type", media_type), (b"content-length", b"%d" % len(body)), *more]
    if status == 503 and not more:
        headers += RETRY
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@lru_cache(maxsize=64)  # a client sends the same each time
def _negotiated(accept: bytes) -> bytes:
    """Returns the media type for the response: the one that the client prefers, or the newer one if both are equal. The
    most specific range that matches a type gives its quality (RFC 9110, section 12.5.1). Raises `NotAcceptable`."""
    if not accept or accept == b"*/*":
        return MODERN
    qualities = dict(ranges(accept.lower()))

    def quality(name: bytes) -> float:
        return next((qualities[range_] for range_ in (name, b"application/*", b"*/*") if range_ in qualities), 0.0)

    modern, legacy = quality(b"application/graphql-response+json"), quality(b"application/json")
    if not modern and not legacy:
        raise NotAcceptable
    return MODERN if modern >= legacy else LEGACY
