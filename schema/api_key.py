"""API keys of services: the type, its list, and the mutations. Only admins use them."""

from __future__ import annotations

from datetime import datetime

import strawberry

from db.entities import API_KEY, API_KEYS
from db.enums import ADMINS, ServiceScope
from db.limits import NAME_MAX
from resolvers import api_key
from schema.common import Connection, Edge, Node, Payload
from schema.fields import (
    IDEMPOTENCY,
    column,
    connection,
    given,
    global_id,
    mutation,
    one,
    optional,
    outcome_extra,
    part,
)


@strawberry.type(description="A key that authenticates a service, such as the chatbot or the e-mail gateway.")
class ApiKey(Node):
    id: strawberry.ID = global_id(API_KEY, "The API key's id.")
    name: str = column("name", "The name of the service that uses the key.")
    prefix: str = column("prefix", "The first characters of the key, by which it can be recognized.")
    scope: ServiceScope | None = column(
        "scope",
        "What the service may do. Null for a key that was created before keys had scopes, which may do everything that "
        "a service may.",
    )
    created_at: datetime = column("created_at", "When the key was created.")
    created_by: str | None = column("creator_name", "The name of the admin who created the key; null if not known.")
    creator_subject: str | None = column(
        "creator_id", "The subject (`sub`) of the token of the admin who created the key; null if not known."
    )
    expires_at: datetime | None = column(
        "expires_at", "When the key stops, or has stopped, working; null if it does not expire."
    )
    last_used_at: datetime | None = column(
        "last_used_at", "When the key was last used, up to a minute ago at the time; null if it has not been used."
    )
    revoked_at: datetime | None = column("revoked_at", "When the key was revoked; null if it is not.")


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
    scope: ServiceScope | None = optional("What the service may do; CHATBOT by default.")
    expires_at: datetime | None = optional("When the key stops working, in the future; by default never.")
    idempotency_key: str | None = optional(IDEMPOTENCY)


@strawberry.input(description="The changes to an API key. Fields that are left out keep their values.")
class ApiKeyUpdateInput:
    api_key_id: strawberry.ID = given("The API key's id. The key must not be revoked.")
    name: str | None = optional(f"The name of the service that uses the key; one line, at most {NAME_MAX} characters.")
    scope: ServiceScope | None = optional("What the service may do.")
    expires_at: datetime | None = optional("When the key stops working, in the future; null for never.")
    idempotency_key: str | None = optional(IDEMPOTENCY)


@strawberry.input(description="The API key to revoke.")
class ApiKeyRevokeInput:
    api_key_id: strawberry.ID = given("The API key's id.")
    idempotency_key: str | None = optional(IDEMPOTENCY)


@strawberry.type(description="The result of creating an API key.")
class ApiKeyCreatePayload(Payload):
    api_key: ApiKey | None = one(API_KEY, "object_id", "The new API key; null if the mutation failed.")
    secret: str | None = outcome_extra(
        "secret",
        "The key itself, which is shown only once; null if the mutation failed.",
    )


@strawberry.type(description="The result of updating an API key.")
class ApiKeyUpdatePayload(Payload):
    api_key: ApiKey | None = one(API_KEY, "object_id", "The API key; null if it does not exist.")


@strawberry.type(description="The result of revoking an API key.")
class ApiKeyRevokePayload(Payload):
    api_key: ApiKey | None = one(API_KEY, "object_id", "The revoked API key; null if the mutation failed.")


@strawberry.type
class ApiKeyMutations:
    api_key_create: ApiKeyCreatePayload = mutation(
        api_key.create, ApiKeyCreateInput, "Creates an API key for a service.", roles=ADMINS
    )
    api_key_update: ApiKeyUpdatePayload = mutation(
        api_key.update,
        ApiKeyUpdateInput,
        "Updates an API key. What it may do changes within a second, and its live connections are closed then, to be "
        "opened anew.",
        roles=ADMINS,
    )
    api_key_revoke: ApiKeyRevokePayload = mutation(
        api_key.revoke,
        ApiKeyRevokeInput,
        "Revokes an API key permanently. The key stops working within a second.",
        roles=ADMINS,
    )
