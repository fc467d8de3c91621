"""Reads a GraphQL request from HTTP: JSON in the body of a POST, or the parameters of a GET (GraphQL over HTTP, working
draft)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs

import orjson
from starlette.types import Receive, Scope

from callout.execution.budgets import Charge
from callout.execution.cost import price_of_request
from callout.execution.request import GraphQLRequest, InvalidRequest, parse_request
from callout.http.errors import HttpError
from callout.http.guard import read_body

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

    def __init__(self, message: str | None = None, *, allow: str = "GET, POST") -> None:
        super().__init__(message)
        self.headers = ((b"allow", allow.encode()),)


def headers_of(scope: Scope) -> tuple[str | None, bytes, bytes | None]:
    """Returns the request's `Authorization`, `Accept` (all lines joined) and `Content-Type`."""
    authorization = content_type = None
    accept = b""
    for name, value in scope["headers"]:
        if name == b"authorization":
            authorization = value.decode("latin-1")
        elif name == b"content-type":
            content_type = value
        elif name == b"accept":
            accept = accept + b"," + value if accept else value
    return authorization, accept, content_type


async def read_request(scope: Scope, receive: Receive, content_type: bytes | None, charge: Charge) -> GraphQLRequest:
    """Reads the request from a POST's body or a GET's query string, which is paid before it is parsed. Raises
    `MethodNotAllowed`, `UnsupportedMediaType`, `BadBody`, `RateLimited`, and the errors of `read_body`."""
    if scope["method"] == "POST":
        _check_content_type(content_type)
        body = await read_body(scope, receive)
        charge.spend(price_of_request(len(body)))
        return _from_body(body)
    if scope["method"] == "GET":
        charge.spend(price_of_request(len(scope["query_string"])))
        return _from_query(scope["query_string"])
    raise MethodNotAllowed


def ranges(accept: bytes) -> Iterator[tuple[bytes, float]]:
    """Yields the media ranges in an `Accept` header with their qualities, from 0 to 1. A malformed quality counts as
    0: not acceptable."""
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


def parameter(scope: Scope, name: str) -> str | None:
    """The last value of a parameter in the query string; None if there is none. Raises `BadBody`."""
    return _parameters(scope["query_string"]).get(name)


def _from_query(query_string: bytes) -> GraphQLRequest:
    content: dict[str, Any] = {**_parameters(query_string)}
    try:
        for name in ("variables", "extensions"):
            if name in content:
                content[name] = orjson.loads(content[name])
    except orjson.JSONDecodeError:
        raise BadBody(_NO_QUERY) from None
    return _request(content)


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


def _request(content: dict[str, Any]) -> GraphQLRequest:
    try:
        return parse_request(content)
    except InvalidRequest as error:
        raise BadBody(f"{error}.") from None
