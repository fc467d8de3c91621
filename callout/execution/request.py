"""A GraphQL request, from HTTP or a WebSocket (GraphQL over HTTP, working draft, "Request Parameters")."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


class InvalidRequest(ValueError):
    """A parameter of the request has the wrong type. The message names it, without a full stop."""


@dataclass(frozen=True, slots=True)
class GraphQLRequest:
    """`asks_for_cost` and `asks_for_trace` say that the response shall have its cost, or the id of its trace, because
    the request has the extension `cost` or `trace`."""

    query: str
    variables: dict[str, Any] | None
    operation_name: str | None
    asks_for_cost: bool = False
    asks_for_trace: bool = False


def parse_request(content: dict[str, Any]) -> GraphQLRequest:
    """Returns the request in the JSON object `content`. Raises `InvalidRequest`."""
    query, variables, name = content.get("query"), content.get("variables"), content.get("operationName")
    if not isinstance(query, str):
        raise InvalidRequest("`query` must be a string: the document")
    if not isinstance(variables, dict | None):
        raise InvalidRequest("`variables` must be an object")
    if not isinstance(name, str | None):
        raise InvalidRequest("`operationName` must be a string")
    extensions = content.get("extensions")
    if not isinstance(extensions, dict | None):
        raise InvalidRequest("`extensions` must be an object")
    asked = extensions or {}
    return GraphQLRequest(query, variables, name or None, asked.get("cost") is True, asked.get("trace") is True)
