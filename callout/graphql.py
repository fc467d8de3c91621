"""`/graphql`: GraphQL over HTTP.

Follows the GraphQL over HTTP specification (working draft): POST of JSON and GET of queries; in
`application/graphql-response+json` a request that was never executed has a 4xx status, in the older
`application/json` it has 200 as clients of that type expect.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

import orjson
from graphql import OperationType
from starlette.types import Receive, Scope, Send
from strawberry.http.ides import get_graphql_ide_html

from callout.auth import Authenticator
from callout.documents import InvalidDocument
from callout.errors import HttpError
from callout.execution import Answer, Engine, refusal
from callout.http import read_body
from callout.request import RequestInfo, request_of
from db.errors import ClientError

MODERN = b"application/graphql-response+json; charset=utf-8"
LEGACY = b"application/json; charset=utf-8"

_STATUS = {"FORBIDDEN": 403}


class BadBody(HttpError):
    """The body is not a GraphQL request."""

    status = 400
    code = "BAD_REQUEST"
    default = "The body must be a JSON object with the document in `query`."


class UnsupportedMediaType(HttpError):
    """The body is not JSON."""

    status = 415
    code = "UNSUPPORTED_MEDIA_TYPE"
    default = "The body must be application/json, in UTF-8."


class NotAcceptable(HttpError):
    """The client takes none of the types that there are."""

    status = 406
    code = "NOT_ACCEPTABLE"
    default = "Accept application/graphql-response+json or application/json."


class MethodNotAllowed(HttpError):
    """Neither GET nor POST, or a GET that would change something."""

    status = 405
    code = "METHOD_NOT_ALLOWED"
    default = "Use POST; GET is for queries alone."
    headers = ((b"allow", b"GET, POST"),)


@dataclass(frozen=True, slots=True)
class GraphQLRequest:
    query: str
    variables: dict[str, Any] | None
    operation_name: str | None


class GraphQLEndpoint:
    """The ASGI application behind `/graphql`. `ide` is whether a browser gets the IDE."""

    def __init__(self, engine: Engine, authenticator: Authenticator, *, ide: bool) -> None:
        self._engine = engine
        self._authenticator = authenticator
        self._ide = get_graphql_ide_html(graphql_ide="graphiql").encode() if ide else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = scope["method"]
        authorization = content_type = None
        accept = b""
        for name, value in scope["headers"]:
            if name == b"authorization":
                authorization = value.decode("latin-1")
            elif name == b"content-type":
                content_type = value
            elif name == b"accept":
                accept = accept + b"," + value if accept else value
        if method == "GET" and self._ide is not None and b"text/html" in accept and not scope["query_string"]:
            await _send(send, 200, b"text/html; charset=utf-8", self._ide)
            return
        media_type = _negotiated(accept)
        info = request_of(scope)
        info.viewer = viewer = await self._authenticator.authenticate(authorization)
        if method == "POST":
            _check_content_type(content_type)
            request = _from_body(await read_body(scope, receive))
        elif method == "GET":
            request = _from_query(scope["query_string"])
        else:
            raise MethodNotAllowed
        try:
            document, node = self._engine.operation(request.query, request.operation_name)
        except InvalidDocument as error:
            answer = refusal(error.errors, info.id, error.extension_code)
        except ClientError as error:
            answer = refusal([error], info.id)
        else:
            info.operation = node.name.value if node.name else None
            if method == "GET" and node.operation is not OperationType.QUERY:
                raise MethodNotAllowed
            answer = await self._engine.execute(document, node, request.variables, viewer, info.id)
        await _send(send, _status(answer, media_type, info), media_type, answer.body)


def _status(answer: Answer, media_type: bytes, info: RequestInfo) -> int:
    if answer.codes:
        info.code = answer.codes[0]
    if answer.executed or media_type is LEGACY:
        return 200
    return _STATUS.get(answer.codes[0], 400)


async def _send(send: Send, status: int, media_type: bytes, body: bytes) -> None:
    headers = [(b"content-type", media_type), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _negotiated(accept: bytes) -> bytes:
    """The type to answer in: the one that the client prefers, the newer of equals. Of the ranges that match a type the
    most specific decides (RFC 9110, section 12.5.1). Raises `NotAcceptable`."""
    if not accept or accept == b"*/*":
        return MODERN
    qualities = dict(_ranges(accept.lower()))

    def quality(name: bytes) -> float:
        return next((qualities[range_] for range_ in (name, b"application/*", b"*/*") if range_ in qualities), 0.0)

    modern, legacy = quality(b"application/graphql-response+json"), quality(b"application/json")
    if not modern and not legacy:
        raise NotAcceptable
    return MODERN if modern >= legacy else LEGACY


def _ranges(accept: bytes) -> Iterator[tuple[bytes, float]]:
    """The media ranges in an `Accept` header with their qualities; one that is malformed counts as refused."""
    for entry in accept.split(b","):
        name, *parameters = (part.strip() for part in entry.split(b";"))
        quality = 1.0
        for parameter in parameters:
            if parameter.startswith(b"q="):
                try:
                    quality = float(parameter[2:])
                except ValueError:
                    quality = 0.0
        yield name, quality if 0 <= quality <= 1 else 0.0


def _check_content_type(content_type: bytes | None) -> None:
    if content_type == b"application/json":
        return
    name, *parameters = (part.strip() for part in (content_type or b"").lower().split(b";"))
    charsets = [parameter[8:].strip(b'"') for parameter in parameters if parameter.startswith(b"charset=")]
    if name != b"application/json" or any(charset not in (b"utf-8", b"utf8") for charset in charsets):
        raise UnsupportedMediaType


def _from_body(body: bytes) -> GraphQLRequest:
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise BadBody("The body is not JSON.") from None
    if not isinstance(content, dict):
        raise BadBody
    return _request(content)


def _from_query(query_string: bytes) -> GraphQLRequest:
    try:
        parameters = parse_qs(
            query_string.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(query_string),
            errors="strict",
            max_num_fields=10,
        )
        content: dict[str, Any] = {name: values[-1] for name, values in parameters.items() if values[-1]}
        for name in ("variables", "extensions"):
            if name in content:
                content[name] = orjson.loads(content[name])
    except ValueError:
        raise BadBody("The query string is not a GraphQL request.") from None
    return _request(content)


def _request(content: dict[str, Any]) -> GraphQLRequest:
    query, variables, name = content.get("query"), content.get("variables"), content.get("operationName")
    if not isinstance(query, str):
        raise BadBody("`query` must be a string: the document.")
    if variables is not None and not isinstance(variables, dict):
        raise BadBody("`variables` must be an object.")
    if name is not None and not isinstance(name, str):
        raise BadBody("`operationName` must be a string.")
    if not isinstance(content.get("extensions"), dict | None):
        raise BadBody("`extensions` must be an object.")
    return GraphQLRequest(query, variables, name or None)
