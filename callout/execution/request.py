"""A GraphQL request, from HTTP or a WebSocket (GraphQL over HTTP, working draft, "Request Parameters" and the appendix
on persisted documents)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

ID_MAX: Final = 200
"""The most characters of a document's id."""

_IDS: Final = ("documentId", "doc_id", "id")  # the appendix's name for it, and those that Relay's users choose


class InvalidRequest(ValueError):
    """A parameter of the request has the wrong type. The message names it, without a full stop."""


@dataclass(frozen=True, slots=True)
class GraphQLRequest:
    """The document is in `query`, or is one that the server has, with `document_id` or `hash`. With both `query` and
    `hash`, the server shall keep the document under its hash, as Apollo's automatic persisted queries ask.
    `asks_for_cost` and `asks_for_trace` say that the response shall have its cost, or the id of its trace, because the
    request has the extension `cost` or `trace`."""

    query: str | None
    variables: dict[str, Any] | None
    operation_name: str | None
    asks_for_cost: bool = False
    asks_for_trace: bool = False
    document_id: str | None = None
    hash: str | None = None


def parse_request(content: dict[str, Any]) -> GraphQLRequest:
    """Returns the request in the JSON object `content`. Raises `InvalidRequest`."""
    query, variables, name = content.get("query"), content.get("variables"), content.get("operationName")
    if not isinstance(query, str | None):
        raise InvalidRequest("`query` must be a string: the document")
    if not isinstance(variables, dict | None):
        raise InvalidRequest("`variables` must be an object")
    if not isinstance(name, str | None):
        raise InvalidRequest("`operationName` must be a string")
    extensions = content.get("extensions")
    if extensions is None and query is not None:
        return GraphQLRequest(query, variables, name or None)
    if not isinstance(extensions, dict | None):
        raise InvalidRequest("`extensions` must be an object")
    asked = extensions or {}
    cost, trace, hash = asked.get("cost") is True, asked.get("trace") is True, _hash(asked.get("persistedQuery"))
    if query or (query is not None and hash is None):
        return GraphQLRequest(query, variables, name or None, cost, trace, None, hash)
    id = None if hash is not None else _id(content)
    return GraphQLRequest(None, variables, name or None, cost, trace, id, hash)


def _hash(persisted: object) -> str | None:
    """The hash in the extension `persistedQuery`; None if there is none."""
    hash = persisted.get("sha256Hash") if isinstance(persisted, dict) else None
    if hash is None:
        return None
    if not _is_id(hash):
        raise InvalidRequest("`extensions.persistedQuery.sha256Hash` must be a string: the document's hash")
    assert isinstance(persisted, dict)
    if persisted.get("version") != 1:
        raise InvalidRequest("`extensions.persistedQuery.version` must be 1")
    return str(hash)


def _id(content: dict[str, Any]) -> str:
    id = next((content[name] for name in _IDS if content.get(name) is not None), None)
    if id is None:
        raise InvalidRequest("`query` must be a string: the document")
    if not _is_id(id):
        raise InvalidRequest("`documentId` must be a string: the document's id")
    return str(id)


def _is_id(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= ID_MAX
