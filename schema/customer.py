"""Customers: the type, its list with the type-ahead search, and the mutations."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import strawberry

from db.entities import CUSTOMER, CUSTOMERS, FOUND_CUSTOMER, PROPERTIES, PROPERTY, TICKET, TICKETS
from db.enums import ADMINS, NO_SCOPE, STAFF, Role
from db.limits import ACCOUNT_NUMBER_MAX, LOOKED_UP_HOURS, NAME_MAX, PHONE_MAX, SEARCH_MAX
from resolvers import customer, customer_look_up
from schema.common import Connection, Edge, Node, Payload
from schema.fields import (
    IDEMPOTENCY,
    argument,
    column,
    connection,
    given,
    global_id,
    items,
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
TECHNICIANS = frozenset({Role.TECHNICIAN})


@strawberry.type(description="A customer, either a person or a company.")
class Customer(Node):
    id: strawberry.ID = global_id(CUSTOMER, "The customer's id.")
    account_number: str = column("account_number", "The customer's account number, which is unique.", roles=THEMSELVES)
    name: str = column("name", "The full name of the person or company.")
    email: str = column("email", "The customer's e-mail address, which is unique.", roles=THEMSELVES)
    phone: str | None = column("phone", "The customer's phone number; null if there is none.", roles=THEMSELVES)
    properties: Annotated[PropertyConnection, strawberry.lazy("schema.property")] = connection(
        PROPERTY,
        PROPERTIES,
        "The customer's properties, sorted by address.",
        referenced_by="customer_id",
        roles=THEMSELVES,
    )
    tickets: Annotated[TicketConnection, strawberry.lazy("schema.ticket")] = connection(
        TICKET,
        TICKETS,
        "The customer's tickets that you can see.",
        referenced_by="customer_id",
        arguments=TICKET_LIST,
    )
    created_at: datetime = column("created_at", "When the customer was created.")
    erased_at: datetime | None = column(
        "erased_at",
        "When the customer's personal data were erased, or began to be; null for all others.",
        roles=STAFF,
    )


@strawberry.type(description="A customer in a list, with the cursor.")
class CustomerEdge(Edge):
    node: Customer = part("The customer.")


@strawberry.type(description="A page of customers.")
class CustomerConnection(Connection):
    nodes: list[Customer] = part("The customers on this page.")
    edges: list[CustomerEdge] = part("The customers on this page, with their cursors.")


@strawberry.type
class CustomerQueries:
    customers: CustomerConnection = connection(
        CUSTOMER,
        CUSTOMERS,
        "The customers that you can see: best match first with a search, otherwise sorted by name.",
        arguments=[
            argument(
                "search",
                str | None,
                "Words, in any order, each in the name, e-mail address, phone or account number, or the address or "
                f"account number of a property; at most {SEARCH_MAX} characters. Case, accents and apostrophes make no "
                "difference, nor does how a phone number is written. Technicians do not search properties. Services "
                "search names only.",
            )
        ],
        scopes=NO_SCOPE,
    )


@strawberry.input(description="The customer to create.")
class CustomerCreateInput:
    name: str = given(f"The full name; one line, at most {NAME_MAX} characters.")
    email: str = given("The e-mail address; must be unique among customers.")
    phone: str | None = optional(f"The phone number, at most {PHONE_MAX} characters.")
    account_number: str = given(f"The account number; at most {ACCOUNT_NUMBER_MAX} characters, unique among customers.")
    idempotency_key: str | None = optional(IDEMPOTENCY)


@strawberry.input(description="The changes to a customer. Fields that are left out keep their values.")
class CustomerUpdateInput:
    customer_id: strawberry.ID = given("The customer's id.")
    name: str | None = optional(f"The full name; one line, at most {NAME_MAX} characters.")
    email: str | None = optional("The e-mail address; must be unique among customers.")
    phone: str | None = optional(f"The phone number, at most {PHONE_MAX} characters; null clears it.")
    account_number: str | None = optional(
        f"The account number; at most {ACCOUNT_NUMBER_MAX} characters, unique among customers."
    )
    idempotency_key: str | None = optional(IDEMPOTENCY)


@strawberry.type(description="The customer that a mutation created or changed, and the errors.")
class CustomerPayload(Payload):
    customer: Customer | None = one(CUSTOMER, "object_id", "The customer as they are now; null if the mutation failed.")


@strawberry.type(description="The result of creating a customer.")
class CustomerCreatePayload(CustomerPayload): ...


@strawberry.type(description="The result of updating a customer.")
class CustomerUpdatePayload(CustomerPayload): ...


@strawberry.input(description="The customer to erase.")
class CustomerEraseInput:
    customer_id: strawberry.ID = given("The customer's id. They must not have open tickets.")
    idempotency_key: str | None = optional(IDEMPOTENCY)


@strawberry.type(description="The result of erasing a customer's personal data.")
class CustomerErasePayload(CustomerPayload):
    done: bool | None = column(
        customer.is_erased,
        "Whether everything has been erased. If not, the servers go on with it; repeat the mutation to see how far "
        "they are. Null if the mutation failed.",
    )
    tickets_left: int | None = column(
        customer.tickets_to_erase,
        "The number of the customer's tickets that are still to be erased. The rest of the database is searched after "
        "them. Null if the mutation failed.",
    )


@strawberry.input(
    description="What to look a customer up by; exactly this, regardless of case and of how a number is written. Set "
    "exactly one field.",
)
class CustomerLookUpInput:
    account_number: str | None = optional("The account number of the customer, or of one of their properties.")
    email: str | None = optional("The e-mail address.")
    phone: str | None = optional("The phone number, with or without the country code.")
    idempotency_key: str | None = optional(IDEMPOTENCY)


@strawberry.type(description="A property of a customer who was looked up.")
class FoundProperty:
    property_id: strawberry.ID = global_id(PROPERTY, "The property's id, for a new ticket.", column="property_id")
    address: str = column("address", "The address.")
    account_number: str = column("account_number", "The property's account number.")


@strawberry.type(description="A customer who was looked up: as much as a ticket for them takes.")
class FoundCustomer:
    customer_id: strawberry.ID = global_id(FOUND_CUSTOMER, "The customer's id, for a new ticket.")
    name: str = column("name", "The full name of the person or company.")
    properties: list[FoundProperty] = items(
        customer_look_up.properties,
        f"The customer's properties, sorted by address; the first {customer_look_up.PROPERTIES_SHOWN}.",
        most=customer_look_up.PROPERTIES_SHOWN,
    )


@strawberry.type(description="The result of looking a customer up.")
class CustomerLookUpPayload(Payload):
    customer: FoundCustomer | None = one(
        FOUND_CUSTOMER, "object_id", "The customer; null if the look-up found nobody, or more than one."
    )


@strawberry.type
class CustomerMutations:
    customer_create: CustomerCreatePayload = mutation(
        customer.create, CustomerCreateInput, "Creates a customer.", roles=ADMINS
    )
    customer_update: CustomerUpdatePayload = mutation(
        customer.update, CustomerUpdateInput, "Updates a customer.", roles=ADMINS
    )
    customer_erase: CustomerErasePayload = mutation(
        customer.erase,
        CustomerEraseInput,
        "Erases a customer's personal data: name, addresses, numbers and contact details are replaced by placeholders "
        "wherever they occur. It cannot be undone. Repeating it is safe, and says how far it has come.",
        again=customer.erase_again,
        apart=True,
        roles=ADMINS,
    )
    customer_look_up: CustomerLookUpPayload = mutation(
        customer_look_up.look_up,
        CustomerLookUpInput,
        "Looks a customer up, for a technician on site, who can create tickets for them for "
        f"{LOOKED_UP_HOURS} hours. At most {customer_look_up.LOOK_UPS_AN_HOUR} an hour. If the customer was not "
        "visible before, the audit trail says who has looked them up.",
        roles=TECHNICIANS,
    )
