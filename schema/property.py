"""Properties: the type, its list, and the mutations."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import strawberry

from db.entities import CUSTOMER, PROPERTIES, PROPERTY, TICKET, TICKETS
from db.enums import ADMINS, NO_SCOPE, STAFF
from db.limits import ACCESS_NOTE_MAX, ACCESS_NOTES_MAX, ACCOUNT_NUMBER_MAX, ADDRESS_MAX, SEARCH_MAX
from resolvers import property as property_resolver
from schema.common import Connection, Edge, Node, Payload
from schema.fields import (
    IDEMPOTENCY,
    OCCURRED_AT,
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
    from schema.customer import Customer
    from schema.ticket import TicketConnection


@strawberry.type(description="A place whose systems the company looks after.")
class Property(Node):
    id: strawberry.ID = global_id(PROPERTY, "The property's id.")
    address: str = column("address", "The postal address.")
    account_number: str = column("account_number", "The property's own account number, which is unique.")
    customer: Annotated[Customer, strawberry.lazy("schema.customer")] = one(
        CUSTOMER, "customer_id", "The customer that the property belongs to."
    )
    tickets: Annotated[TicketConnection, strawberry.lazy("schema.ticket")] = connection(
        TICKET,
        TICKETS,
        "The property's tickets that you can see.",
        referenced_by="property_id",
        arguments=TICKET_LIST,
    )
    created_at: datetime = column("created_at", "When the property was created.")
    access_notes: str | None = column(
        "access_notes",
        "What to know before going there: where the key is, whom to call, which dog. The newest first, those that "
        "technicians have added with the day and their name; null if there are none.",
        roles=STAFF,
    )


@strawberry.type(description="A property in a list, with its cursor.")
class PropertyEdge(Edge):
    node: Property = part("The property.")


@strawberry.type(description="A page of properties.")
class PropertyConnection(Connection):
    nodes: list[Property] = part("The properties on this page.")
    edges: list[PropertyEdge] = part("The properties on this page, with their cursors.")


@strawberry.type
class PropertyQueries:
    properties: PropertyConnection = connection(
        PROPERTY,
        PROPERTIES,
        "The properties that you can see, sorted by address.",
        arguments=[
            argument("customerId", strawberry.ID | None, "Only properties of this customer."),
            argument(
                "search",
                str | None,
                "Only properties whose address or account number contains these words, in any order; at most "
                f"{SEARCH_MAX} characters. Case, accents and apostrophes make no difference.",
            ),
        ],
        scopes=NO_SCOPE,
    )


ACCESS_NOTES = (
    f"What to know before going there, for staff only; at most {ACCESS_NOTES_MAX:,} characters, null for none."
)


@strawberry.input(description="The property to create.")
class PropertyCreateInput:
    customer_id: strawberry.ID = given(
        "The id of the customer that the property belongs to. It cannot be changed later."
    )
    address: str = given(f"The postal address; one line, at most {ADDRESS_MAX} characters.")
    account_number: str = given(
        f"The account number; at most {ACCOUNT_NUMBER_MAX} characters, unique among properties."
    )
    access_notes: str | None = optional(ACCESS_NOTES)
    idempotency_key: str | None = optional(IDEMPOTENCY)


@strawberry.input(description="The changes to a property. Fields that are left out keep their values.")
class PropertyUpdateInput:
    property_id: strawberry.ID = given("The property's id.")
    address: str | None = optional(f"The postal address; one line, at most {ADDRESS_MAX} characters.")
    account_number: str | None = optional(
        f"The account number; at most {ACCOUNT_NUMBER_MAX} characters, unique among properties."
    )
    access_notes: str | None = optional(ACCESS_NOTES)
    idempotency_key: str | None = optional(IDEMPOTENCY)


@strawberry.input(description="The note to add to a property's access notes.")
class PropertyAccessNoteAddInput:
    property_id: strawberry.ID = given("The property's id.")
    body: str = given(f"The text of the note, at most {ACCESS_NOTE_MAX:,} characters.")
    occurred_at: datetime | None = optional(OCCURRED_AT)
    idempotency_key: str | None = optional(IDEMPOTENCY)


@strawberry.type(description="The property that a mutation created or changed, and the errors.")
class PropertyPayload(Payload):
    property: Property | None = one(PROPERTY, "object_id", "The property as it is now; null if the mutation failed.")


@strawberry.type(description="The result of creating a property.")
class PropertyCreatePayload(PropertyPayload): ...


@strawberry.type(description="The result of updating a property.")
class PropertyUpdatePayload(PropertyPayload): ...


@strawberry.type(description="The result of adding to a property's access notes.")
class PropertyAccessNoteAddPayload(PropertyPayload): ...


@strawberry.type
class PropertyMutations:
    property_create: PropertyCreatePayload = mutation(
        property_resolver.create, PropertyCreateInput, "Creates a property of a customer.", roles=ADMINS
    )
    property_update: PropertyUpdatePayload = mutation(
        property_resolver.update, PropertyUpdateInput, "Updates a property.", roles=ADMINS
    )
    property_access_note_add: PropertyAccessNoteAddPayload = mutation(
        property_resolver.add_access_note,
        PropertyAccessNoteAddInput,
        "Adds a note to the access notes of a property that you can see. Nothing that is there is changed.",
        roles=STAFF,
    )
