"""The GraphQL schema. A test compares it with the printed `schema.graphql` beside this file."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any

import strawberry
from graphql import GraphQLError, GraphQLResolveInfo, GraphQLSchema, is_input_object_type, is_object_type
from strawberry.schema.config import StrawberryConfig
from strawberry.types.field import StrawberryField
from strawberry.types.scalar import ScalarDefinition

from db.compiler.selection import MAPPING, FieldMapping
from db.enums import Role
from db.lists.page_cursor import parse_time
from schema.admin import AdminMutations, AdminQueries
from schema.api_key import ApiKeyMutations, ApiKeyQueries
from schema.article import ArticleMutations, ArticleQueries
from schema.assignment import Assignment, AssignmentMutations
from schema.attachment import Attachment, AttachmentMutations
from schema.audit import AuditQueries
from schema.command import CommandMutations
from schema.customer import CustomerMutations, CustomerQueries
from schema.delivery import DeliveryMutations, DeliveryQueries
from schema.event import TicketEvent
from schema.executor import Executor
from schema.federation import REPRESENTATION, FederationQueries, Representation
from schema.identity import IdentityMutations, IdentityQueries
from schema.inbound import InboundMutations, InboundQueries
from schema.node import NodeQueries
from schema.note import Note, NoteMutations
from schema.presence import PresenceMutations
from schema.property import PropertyMutations, PropertyQueries
from schema.push import PushMutations, PushQueries
from schema.session import SessionMutations, SessionQueries
from schema.stream import StreamQueries, Subscription
from schema.support_settings import SupportSettingsMutations, SupportSettingsQueries
from schema.technician import TechnicianMutations, TechnicianQueries
from schema.ticket import TicketMutations, TicketQueries
from schema.token import TokenMutations
from schema.viewer import ViewerQueries
from schema.webhook import WebhookMutations, WebhookQueries


@strawberry.type(description="The query root of Callout's API.")
class Query(
    NodeQueries,
    ViewerQueries,
    TicketQueries,
    StreamQueries,
    CustomerQueries,
    PropertyQueries,
    TechnicianQueries,
    ArticleQueries,
    DeliveryQueries,
    SupportSettingsQueries,
    PushQueries,
    ApiKeyQueries,
    IdentityQueries,
    AdminQueries,
    SessionQueries,
    InboundQueries,
    AuditQueries,
    WebhookQueries,
    FederationQueries,
): ...


@strawberry.type(description="The mutation root of Callout's API. Each mutation runs in one transaction.")
class Mutation(
    TicketMutations,
    NoteMutations,
    PresenceMutations,
    CustomerMutations,
    PropertyMutations,
    TechnicianMutations,
    ArticleMutations,
    AssignmentMutations,
    AttachmentMutations,
    CommandMutations,
    DeliveryMutations,
    SupportSettingsMutations,
    PushMutations,
    ApiKeyMutations,
    TokenMutations,
    IdentityMutations,
    AdminMutations,
    SessionMutations,
    InboundMutations,
    WebhookMutations,
): ...


def _parse_time(value: Any) -> datetime:
    """Raises `GraphQLError` unless `value` is a date and time with a UTC offset (RFC 3339)."""
    try:
        return parse_time(value)
    except (TypeError, ValueError):
        raise GraphQLError("Expected a date, a time and the offset from UTC, such as 2026-11-23T08:15:00Z.") from None


DATE_TIME = ScalarDefinition(
    name="DateTime",
    description="A date and time with a UTC offset (ISO 8601), such as `2026-11-23T08:15:00Z`. Answers have always six "
    "digits of a second: `2026-11-23T08:15:00.000000+00:00`.",
    specified_by_url="https://datatracker.ietf.org/doc/html/rfc3339",
    serialize=partial(datetime.isoformat, timespec="microseconds"),
    parse_value=_parse_time,
    parse_literal=None,
)


def build() -> strawberry.Schema:
    built = strawberry.Schema(
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        types=[Note, Attachment, Assignment, TicketEvent],
        config=StrawberryConfig(scalar_map={datetime: DATE_TIME, Representation: REPRESENTATION}),
        execution_context_class=Executor,
    )
    core = graphql_schema(built)
    for type_ in core.type_map.values():
        declared_as = type_.extensions.get("strawberry-definition")
        if is_input_object_type(type_) and getattr(declared_as, "is_one_of", False):
            type_.is_one_of = True  # Strawberry checks this in an extension of its own; graphql-core can do it
        if is_object_type(type_):
            for field in type_.fields.values():
                declared = field.extensions.get("strawberry-definition")
                if isinstance(declared, StrawberryField) and MAPPING in declared.metadata:
                    field.extensions[MAPPING] = declared.metadata[MAPPING]
                    if type_ in (core.query_type, core.mutation_type):
                        field.resolve = _answer
    for root in filter(None, (core.query_type, core.mutation_type, core.subscription_type)):
        for name, field in root.fields.items():
            if name != "_service":  # a description of the schema, as `__schema` is
                check_scopes(f"{root.name}.{name}", field.extensions[MAPPING])
    return built


def check_scopes(field: str, mapping: FieldMapping) -> None:
    """Raises `TypeError` if services may use the root field and it does not declare with which scopes, so that a new
    field is never open to all of them by omission."""
    if Role.SERVICE in mapping.roles and mapping.scopes is None:
        raise TypeError(f"{field} is for services, but declares no scopes")


async def _answer(_: object, info: GraphQLResolveInfo[Any], **arguments: Any) -> Any:
    """Resolves a root field where graphql-core executes the operation. The context reads the arguments itself."""
    return await info.context.answer(info)


def graphql_schema(built: strawberry.Schema) -> GraphQLSchema:
    """The graphql-core schema that Strawberry wraps."""
    return built._schema


schema = build()
