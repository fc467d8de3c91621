"""Properties: the type, its list, and the mutations."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import strawberry

from db.entities import CUSTOMER, PROPERTIES, PROPERTY, TICKET, TICKETS
from db.enums import ADMINS
from resolvers import property as property_resolver
from schema.common import Connection, Edge, Node, Payload
from schema.fields import IDEMPOTENCY, argument, column, connection, given, global_id, mutation, one, optional, part
from schema.ticket import TICKET_LIST

if TYPE_CHECKING:
    from schema.customer import Customer
    from schema.ticket import TicketConnection


@strawberry.type(description="A place with systems that the company looks after.")
class Property(Node):
    id: strawberry.ID = global_id(PROPERTY)
    address: str = column("address", "Postal address.")
    account_number: str = column("account_number", "The place's own account number.")
    customer: Annotated[Customer, strawberry.lazy("schema.customer")] = one(CUSTOMER, "customer_id", "Whose it is.")
    tickets: Annotated[TicketConnection, strawberry.lazy("schema.ticket")] = connection(
        TICKET,
        TICKETS,
        "The tickets about it, as far as you see them.",
        referenced_by="property_id",
        arguments=TICKET_LIST,
    )
    created_at: datetime = column("created_at", "When it was entered.")


@strawberry.type(description="A property's place in a list.")
class PropertyEdge(Edge):
    node: Property = part("The property.")


@strawberry.type(description="A page of properties.")
class PropertyConnection(Connection):
    nodes: list[Property] = part("The page's properties.")
    edges: list[PropertyEdge] = part("The page's properties with their cursors.")


@strawberry.type
class PropertyQueries:
    properties: PropertyConnection = connection(
        PROPERTY,
        PROPERTIES,
        "Properties that you see, by address.",
        arguments=[argument("customerId", strawberry.ID | None, "Of this customer.")],
    )


@strawberry.input(description="A new property of a customer.")
class PropertyCreateInput:
    customer_id: strawberry.ID = given("Whose it is; that stays.")
    address: str = given("Postal address, one line of up to 500 characters.")
    account_number: str = given("Account number, up to 40 characters; no other property has it.")
    idempotency_key: str | None = optional(IDEMPOTENCY)


@strawberry.input(description="Changes of a property: what is left out stays.")
class PropertyUpdateInput:
    property_id: strawberry.ID = given("Which property.")
    address: str | None = optional("Postal address, one line of up to 500 characters.")
    account_number: str | None = optional("Account number, up to 40 characters; no other property has it.")


@strawberry.type(description="A property, and what speaks against the mutation.")
class PropertyPayload(Payload):
    property: Property | None = one(PROPERTY, "object_id", "The property as it is now.")


@strawberry.type(description="What `propertyCreate` answers.")
class PropertyCreatePayload(PropertyPayload): ...


@strawberry.type(description="What `propertyUpdate` answers.")
class PropertyUpdatePayload(PropertyPayload): ...


@strawberry.type
class PropertyMutations:
    property_create: PropertyCreatePayload = mutation(
        property_resolver.create, PropertyCreateInput, "Enter a property of a customer.", roles=ADMINS
    )
    property_update: PropertyUpdatePayload = mutation(
        property_resolver.update, PropertyUpdateInput, "Change a property's details.", roles=ADMINS
    )
