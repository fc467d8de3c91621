"""Reads a GraphQL request from HTTP: JSON in the body of a POST, or the parameters of a GET (GraphQL over HTTP, working
draft)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, TypeAlias
from urllib.parse import parse_qs

import orjson
from starlette.types import Receive, Scope, Send

from callout.execution.budgets import Charge
from callout.execution.cost import price_of_bytes, price_of_request
from callout.execution.request import GraphQLRequest, InvalidRequest, parse_request
from callout.http import session_cookie
from callout.http.coding import decompressed
from callout.http.errors import BodyTooLarge, HttpError
from callout.http.guard import BODY_MAX, read_body

METHODS: Final = "GET, HEAD, OPTIONS, POST"
"""The methods of the endpoints for GraphQL, as in `Allow`."""

_FIELDS_MAX = 10  # in a query string
_NO_QUERY = "The query string is not a GraphQL request."


class BadBody(HttpError):
    """The body is not a GraphQL request."""

    status = 400
    code = "BAD_REQUEST"
    default = "The body must be a JSON object with the document in `query`."


class UnsupportedMediaType(HttpError):
    """The body is not declared as JSON in UTF-8."""

    status = 415
    code = "UNSUPPORTED_MEDIA_TYPE"
    default = "The body must be application/json, in UTF-8."


class NotAcceptable(HttpError):
    """The client accepts none of the types that the endpoint can send."""

    status = 406
    code = "NOT_ACCEPTABLE"
    default = "Accept application/graphql-response+json or application/json."


class MethodNotAllowed(HttpError):
    """The method is none of those in `allow`, or a GET asks for an operation that needs POST."""

    status = 405
    code = "METHOD_NOT_ALLOWED"
    default = "Use POST; GET is for queries only."

    def __init__(self, message: str | None = None, *, allow: str = METHODS) -> None:
        super().__init__(message)
        self.headers = ((b"allow", allow.encode()),)


class RequestHeaders(NamedTuple):
    """The headers that matter here. `accept` and `accept_encoding` have all lines of theirs, joined."""

    authorization: str | None
    content_type: bytes | None
    content_coding: bytes | None
    accept: bytes
    accept_encoding: bytes


def headers_of(scope: Scope) -> RequestHeaders:
    """The headers of a request. Without an `Authorization`, a session's cookie stands for one. Raises `CrossSite`."""
    has_cookie = False
    authorization = content_type = content_coding = None
    accept = accept_encoding = b""
    for name, value in scope["headers"]:
        if name == b"authorization":
            authorization = value.decode("latin-1")
        elif name == b"content-type":
            content_type = value
        elif name == b"accept":
            accept = accept + b"," + value if accept else value
        elif name == b"accept-encoding":
            accept_encoding = accept_encoding + b"," + value if accept_encoding else value
        elif name == b"content-encoding":
            content_coding = value if content_coding is None else content_coding + b"," + value
        elif name == b"cookie":
            has_cookie = True
    if authorization is None and has_cookie:
        authorization = session_cookie.authorization_in(scope["headers"])
    return RequestHeaders(authorization, content_type, content_coding, accept, accept_encoding)


RequestBatch: TypeAlias = Sequence[GraphQLRequest | BadBody]
"""Several requests that were sent at once; an error stands in the place of one that is none."""


async def read_content(scope: Scope, receive: Receive, headers: RequestHeaders, charge: Charge) -> Any:
    """Reads the JSON of a POST's body, or the parameters of a GET's query string, which are paid before they are
    parsed. Raises `MethodNotAllowed`, `UnsupportedMediaType`, `UnsupportedCoding`, `BadBody`, `BadCoding`,
    `RateLimited`, and the errors of `read_body`."""
    if scope["method"] == "POST":
        _check_content_type(headers.content_type)
        body = await read_body(scope, receive)
        charge.spend(price_of_request(len(body)))
        if headers.content_coding is not None:
            body = _decompressed(body, headers.content_coding, charge)
        return _parsed(body)
    if scope["method"] in ("GET", "HEAD"):
        charge.spend(price_of_request(len(scope["query_string"])))
        return _of_query(scope["query_string"])
    raise MethodNotAllowed


def requests_in(content: object, most: int) -> GraphQLRequest | RequestBatch:
    """The request in this JSON, or the batch of up to `most`. Raises `BadBody`."""
    return _batch(content, most) if isinstance(content, list) and most else request_in(content)


def _decompressed(body: bytes, coding: bytes, charge: Charge) -> bytes:
    """The body without its coding, which has the same limit as others. Raises `BodyTooLarge`, too."""
    found = decompressed(body, coding, BODY_MAX)
    charge.owe(price_of_bytes(max(0, len(found) - len(body))))  # the work is done
    if len(found) > BODY_MAX:
        raise BodyTooLarge
    return found


def _batch(content: list[Any], most: int) -> RequestBatch:
    if not 1 <= len(content) <= most:
        raise BadBody(f"A batch can have 1 to {most} requests.")
    if not all(isinstance(each, dict) for each in content):
        raise BadBody("Each request of a batch must be an object.")
    return [_request_or_error(each) for each in content]


def _request_or_error(content: dict[str, Any]) -> GraphQLRequest | BadBody:
    try:
        return request_in(content)
    except BadBody as error:
        return error


def _check_content_type(content_type: bytes | None) -> None:
    if content_type == b"application/json":
        return
    name, *parameters = (part.strip() for part in (content_type or b"").lower().split(b";"))
    charsets = [parameter[8:].strip(b'"') for parameter in parameters if parameter.startswith(b"charset=")]
    if name != b"application/json" or any(charset not in (b"utf-8", b"utf8") for charset in charsets):
        raise UnsupportedMediaType


def _parsed(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise BadBody("The body is not JSON.") from None


def parameter(scope: Scope, name: str) -> str | None:
    """The last value of a parameter in the query string; None if there is none. Raises `BadBody`."""
    return _parameters(scope["query_string"]).get(name)


def _of_query(query_string: bytes) -> dict[str, Any]:
    content: dict[str, Any] = {**_parameters(query_string)}
    try:
        for name in ("variables", "extensions"):
            if name in content:
                content[name] = orjson.loads(content[name])
    except orjson.JSONDecodeError:
        raise BadBody(_NO_QUERY) from None
    return content


def _parameters(query_string: bytes) -> dict[str, str]:
    """The parameters that are not empty."""
    try:
        parameters = parse_qs(
            query_string.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(query_string),
            errors="strict",
            max_num_fields=_FIELDS_MAX,
        )
    except ValueError:
        raise BadBody(_NO_QUERY) from None
    return {name: values[-1] for name, values in parameters.items() if values[-1]}


def request_in(content: object) -> GraphQLRequest:
    """The request in this JSON. Raises `BadBody`."""
    if not isinstance(content, dict):
        raise BadBody
    try:
        return parse_request(content)
    except InvalidRequest as error:
        raise BadBody(f"{error}.") from None


async def send_methods(send: Send, allow: str = METHODS) -> None:
    """Answers OPTIONS."""
    await send({"type": "http.response.start", "status": 204, "headers": [(b"allow", allow.encode())]})
    await send({"type": "http.response.body", "body": b""})
