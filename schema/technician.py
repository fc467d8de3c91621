"""Technicians: the type, its list, and the mutations."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import strawberry

from db.entities import TECHNICIAN, TECHNICIANS, TICKET, TICKETS
from db.enums import ADMINS, STAFF
from db.limits import NAME_MAX, PHONE_MAX
from resolvers import technician
from schema.common import Connection, Edge, Node, Payload
from schema.fields import IDEMPOTENCY, argument, column, connection, given, global_id, mutation, one, optional, part
from schema.ticket import TICKET_LIST

if TYPE_CHECKING:
    from schema.ticket import TicketConnection


@strawberry.type(description="A technician, who works on the tickets assigned to them.")
class Technician(Node):
    id: strawberry.ID = global_id(TECHNICIAN, "The technician's id.")
    name: str = column("name", "The technician's full name.")
    email: str = column("email", "The technician's e-mail address, which is unique.", roles=STAFF)
    phone: str | None = column("phone", "The technician's phone number; null if there is none.", roles=STAFF)
    active: bool = column("active", "Whether the technician has access and can be assigned tickets.", roles=STAFF)
    tickets: Annotated[TicketConnection, strawberry.lazy("schema.ticket")] = connection(
        TICKET,
        TICKETS,
        "The tickets assigned to the technician, limited to those that you can see.",
        referenced_by="technician_id",
        arguments=TICKET_LIST,
        roles=STAFF,
    )
    open_ticket_count: int = column(
        technician.open_ticket_count,
        "The number of OPEN and IN_PROGRESS tickets assigned to the technician, limited to those that you can see.",
        roles=STAFF,
    )
    created_at: datetime = column("created_at", "When the technician was created.", roles=STAFF)


@strawberry.type(description="A technician in a list, with the cursor.")
class TechnicianEdge(Edge):
    node: Technician = part("The technician.")


@strawberry.type(description="A page of technicians.")
class TechnicianConnection(Connection):
    nodes: list[Technician] = part("The technicians on this page.")
    edges: list[TechnicianEdge] = part("The technicians on this page, with their cursors.")


@strawberry.type
class TechnicianQueries:
    technicians: TechnicianConnection = connection(
        TECHNICIAN,
        TECHNICIANS,
        "The technicians that you can see, sorted by name.",
        arguments=[
            argument(
                "active",
                bool | None,
                "Whether to list the active technicians or, with false, the inactive ones; by default, both.",
            )
        ],
        roles=STAFF,
    )


@strawberry.input(description="The technician to create, who is active at first.")
class TechnicianCreateInput:
    name: str = given(f"The full name; one line, at most {NAME_MAX} characters.")
    email: str = given("The e-mail address; must be unique among technicians.")
    phone: str | None = optional(f"The phone number, at most {PHONE_MAX} characters.")
    idempotency_key: str | None = optional(IDEMPOTENCY)


@strawberry.input(description="The changes to a technician. Fields that are left out keep their values.")
class TechnicianUpdateInput:
    technician_id: strawberry.ID = given("The technician's id.")
    name: str | None = optional(f"The full name; one line, at most {NAME_MAX} characters.")
    email: str | None = optional("The e-mail address; must be unique among technicians.")
    phone: str | None = optional(f"The phone number, at most {PHONE_MAX} characters; null clears it.")
    active: bool | None = optional(
        "Whether the technician is active. False revokes access within a second and prevents new assignments."
    )
    idempotency_key: str | None = optional(IDEMPOTENCY)


@strawberry.type(description="The technician that a mutation created or changed, and the errors.")
class TechnicianPayload(Payload):
    technician: Technician | None = one(
        TECHNICIAN, "object_id", "The technician as they are now; null if the mutation failed."
    )


@strawberry.type(description="The result of creating a technician.")
class TechnicianCreatePayload(TechnicianPayload): ...


@strawberry.type(description="The result of updating a technician.")
class TechnicianUpdatePayload(TechnicianPayload): ...


@strawberry.type
class TechnicianMutations:
    technician_create: TechnicianCreatePayload = mutation(
        technician.create, TechnicianCreateInput, "Creates a technician.", roles=ADMINS
    )
    technician_update: TechnicianUpdatePayload = mutation(
        technician.update, TechnicianUpdateInput, "Updates a technician.", roles=ADMINS
    )
