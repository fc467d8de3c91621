"""A GraphQL request, from HTTP or a WebSocket (GraphQL over HTTP, working draft, "Request Parameters")."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


class InvalidRequest(ValueError):
    """A parameter of the request has the wrong type. The message names it, without a full stop."""


@dataclass(frozen=True, slots=True)
class GraphQLRequest:
    query: str
    variables: dict[str, Any] | None
    operation_name: str | None


def parse_request(content: dict[str, Any]) -> GraphQLRequest:
    """Returns the request in the JSON object `content`. Raises `InvalidRequest`."""
    query, variables, name = content.get("query"), content.get("variables"), content.get("operationName")
    if not isinstance(query, str):
        raise InvalidRequest("`query` must be a string: the document")
    if not isinstance(variables, dict | None):
        raise InvalidRequest("`variables` must be an object")
    if not isinstance(name, str | None):
        raise InvalidRequest("`operationName` must be a string")
    if not isinstance(content.get("extensions"), dict | None):
        raise InvalidRequest("`extensions` must be an object")
    return GraphQLRequest(query, variables, name or None)
