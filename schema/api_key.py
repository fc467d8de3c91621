"""API keys of services: the type, its list, and the mutations. Only admins use them."""

from __future__ import annotations

from datetime import datetime

import strawberry

from db.entities import API_KEY, API_KEYS
from db.enums import ADMINS
from db.limits import NAME_MAX
from resolvers import api_key
from schema.common import Connection, Edge, Payload
from schema.fields import column, connection, given, global_id, mutation, one, outcome_extra, part


@strawberry.type(description="A key that authenticates a service, such as the chatbot or the e-mail gateway.")
class ApiKey:
    id: strawberry.ID = global_id(API_KEY, "The API key's id.")
    name: str = column("name", "The name of the service that uses the key.")
    prefix: str = column("prefix", "The first characters of the key, by which it can be recognized.")
    created_at: datetime = column("created_at", "When the key was created.")
    revoked_at: datetime | None = column("revoked_at", "When the key was revoked; null if it is active.")


@strawberry.type(description="An API key in a list, with its cursor.")
class ApiKeyEdge(Edge):
    node: ApiKey = part("The API key.")


@strawberry.type(description="A page of API keys.")
class ApiKeyConnection(Connection):
    nodes: list[ApiKey] = part("The API keys on this page.")
    edges: list[ApiKeyEdge] = part("The API keys on this page, with their cursors.")


@strawberry.type
class ApiKeyQueries:
    api_keys: ApiKeyConnection = connection(API_KEY, API_KEYS, "All API keys, newest first.", roles=ADMINS)


@strawberry.input(description="The API key to create.")
class ApiKeyCreateInput:
    name: str = given(f"The name of the service that will use the key; one line, at most {NAME_MAX} characters.")


@strawberry.input(description="The API key to revoke.")
class ApiKeyRevokeInput:
    api_key_id: strawberry.ID = given("The API key's id.")


@strawberry.type(description="The result of creating an API key.")
class ApiKeyCreatePayload(Payload):
    api_key: ApiKey | None = one(API_KEY, "object_id", "The new API key; null if the mutation failed.")
    secret: str | None = outcome_extra(
        "secret",
        "The key itself, which is shown only once; null if the mutation failed.",
    )


@strawberry.type(description="The result of revoking an API key.")
class ApiKeyRevokePayload(Payload):
    api_key: ApiKey | None = one(API_KEY, "object_id", "The revoked API key; null if the mutation failed.")


@strawberry.type
class ApiKeyMutations:
    api_key_create: ApiKeyCreatePayload = mutation(
        api_key.create, ApiKeyCreateInput, "Creates an API key for a service.", roles=ADMINS
    )
    api_key_revoke: ApiKeyRevokePayload = mutation(
        api_key.revoke,
        ApiKeyRevokeInput,
        "Revokes an API key permanently. The key stops working within a second.",
        roles=ADMINS,
    )
