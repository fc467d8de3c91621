"""API keys of services. For admins alone."""

from __future__ import annotations

from datetime import datetime

import strawberry

from db.entities import API_KEY, API_KEYS
from db.enums import ADMINS
from resolvers import api_key
from schema.common import Connection, Edge, Payload
from schema.fields import column, connection, given, global_id, mutation, one, outcome_extra, part


@strawberry.type(description="What a service, the chatbot or the e-mail gateway, identifies itself with.")
class ApiKey:
    id: strawberry.ID = global_id(API_KEY)
    name: str = column("name", "Which service it is for.")
    prefix: str = column("prefix", "How the key begins, to tell keys apart.")
    created_at: datetime = column("created_at", "When it was made.")
    revoked_at: datetime | None = column("revoked_at", "When it was revoked.")


@strawberry.type(description="An API key's place in a list.")
class ApiKeyEdge(Edge):
    node: ApiKey = part("The API key.")


@strawberry.type(description="A page of API keys.")
class ApiKeyConnection(Connection):
    nodes: list[ApiKey] = part("The page's API keys.")
    edges: list[ApiKeyEdge] = part("The page's API keys with their cursors.")


@strawberry.type
class ApiKeyQueries:
    api_keys: ApiKeyConnection = connection(API_KEY, API_KEYS, "All API keys, newest first.", roles=ADMINS)


@strawberry.input(description="A new API key.")
class ApiKeyCreateInput:
    name: str = given("Which service it is for, up to 200 characters.")


@strawberry.input(description="An API key to revoke.")
class ApiKeyRevokeInput:
    api_key_id: strawberry.ID = given("Which key.")


@strawberry.type(description="What `apiKeyCreate` answers.")
class ApiKeyCreatePayload(Payload):
    api_key: ApiKey | None = one(API_KEY, "object_id", "The new key; null if none was made.")
    secret: str | None = outcome_extra(
        "secret",
        "The key itself. It is shown this once and cannot be shown again.",
    )


@strawberry.type(description="What `apiKeyRevoke` answers.")
class ApiKeyRevokePayload(Payload):
    api_key: ApiKey | None = one(API_KEY, "object_id", "The revoked key; null if there is none.")


@strawberry.type
class ApiKeyMutations:
    api_key_create: ApiKeyCreatePayload = mutation(
        api_key.create, ApiKeyCreateInput, "Make an API key for a service.", roles=ADMINS
    )
    api_key_revoke: ApiKeyRevokePayload = mutation(
        api_key.revoke, ApiKeyRevokeInput, "Revoke an API key; it stops working within a second.", roles=ADMINS
    )
