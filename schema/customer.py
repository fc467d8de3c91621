"""Customers: the type, its list with the type-ahead search, and the mutations."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import strawberry

from db.entities import CUSTOMER, CUSTOMERS, PROPERTIES, PROPERTY, TICKET, TICKETS
from db.enums import ADMINS, STAFF, Role
from resolvers import customer
from schema.common import Connection, Edge, Node, Payload
from schema.fields import (
    IDEMPOTENCY,
    argument,
    column,
    connection,
    given,
    global_id,
    mutation,
    one,
    optional,
    part,
)
from schema.ticket import TICKET_LIST

if TYPE_CHECKING:
    from schema.property import PropertyConnection
    from schema.ticket import TicketConnection

THEMSELVES = STAFF | {Role.CUSTOMER}


@strawberry.type(description="Someone whose systems the company looks after.")
class Customer(Node):
    id: strawberry.ID = global_id(CUSTOMER)
    account_number: str = column("account_number", "The account number.", roles=THEMSELVES)
    name: str = column("name", "Full name, of a person or a firm.")
    email: str = column("email", "E-mail address.", roles=THEMSELVES)
    phone: str | None = column("phone", "Telephone number.", roles=THEMSELVES)
    properties: Annotated[PropertyConnection, strawberry.lazy("schema.property")] = connection(
        PROPERTY,
        PROPERTIES,
        "Their properties, by address.",
        referenced_by="customer_id",
        roles=THEMSELVES,
    )
    tickets: Annotated[TicketConnection, strawberry.lazy("schema.ticket")] = connection(
        TICKET,
        TICKETS,
        "Their tickets, as far as you see them.",
        referenced_by="customer_id",
        arguments=TICKET_LIST,
    )
    created_at: datetime = column("created_at", "When they were entered.")


@strawberry.type(description="A customer's place in a list.")
class CustomerEdge(Edge):
    node: Customer = part("The customer.")


@strawberry.type(description="A page of customers.")
class CustomerConnection(Connection):
    nodes: list[Customer] = part("The page's customers.")
    edges: list[CustomerEdge] = part("The page's customers with their cursors.")


@strawberry.type
class CustomerQueries:
    customers: CustomerConnection = connection(
        CUSTOMER,
        CUSTOMERS,
        "Customers that you see: best match first if searched for, else by name.",
        arguments=[argument("search", str | None, "Part of the name, e-mail address or account number, any case.")],
    )


@strawberry.input(description="A new customer.")
class CustomerCreateInput:
    name: str = given("Full name, up to 200 characters.")
    email: str = given("E-mail address; no other customer has it.")
    phone: str | None = optional("Telephone number.")
    account_number: str = given("Account number, up to 40 characters; no other customer has it.")
    idempotency_key: str | None = optional(IDEMPOTENCY)


@strawberry.input(description="Changes of a customer: what is left out stays, null clears.")
class CustomerUpdateInput:
    customer_id: strawberry.ID = given("Which customer.")
    name: str | None = optional("Full name, up to 200 characters.")
    email: str | None = optional("E-mail address; no other customer has it.")
    phone: str | None = optional("Telephone number.")
    account_number: str | None = optional("Account number, up to 40 characters; no other customer has it.")


@strawberry.type(description="A customer, and what speaks against the mutation.")
class CustomerPayload(Payload):
    customer: Customer | None = one(CUSTOMER, "object_id", "The customer as they are now.")


@strawberry.type(description="What `customerCreate` answers.")
class CustomerCreatePayload(CustomerPayload): ...


@strawberry.type(description="What `customerUpdate` answers.")
class CustomerUpdatePayload(CustomerPayload): ...


@strawberry.type
class CustomerMutations:
    customer_create: CustomerCreatePayload = mutation(
        customer.create, CustomerCreateInput, "Enter a customer.", roles=ADMINS
    )
    customer_update: CustomerUpdatePayload = mutation(
        customer.update, CustomerUpdateInput, "Change a customer's details.", roles=ADMINS
    )
