"""Technicians: the type, its list, and the mutations."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import strawberry

from db.entities import TECHNICIAN, TECHNICIANS, TICKET, TICKETS
from db.enums import ADMINS, STAFF
from resolvers import technician
from schema.common import Connection, Edge, Node, Payload
from schema.fields import IDEMPOTENCY, argument, column, connection, given, global_id, mutation, one, optional, part
from schema.ticket import TICKET_LIST

if TYPE_CHECKING:
    from schema.ticket import TicketConnection


@strawberry.type(description="Someone whom tickets are assigned to.")
class Technician(Node):
    id: strawberry.ID = global_id(TECHNICIAN)
    name: str = column("name", "Full name.")
    email: str = column("email", "E-mail address.", roles=STAFF)
    phone: str | None = column("phone", "Telephone number.", roles=STAFF)
    active: bool = column("active", "Whether tickets can be assigned to them.", roles=STAFF)
    tickets: Annotated[TicketConnection, strawberry.lazy("schema.ticket")] = connection(
        TICKET,
        TICKETS,
        "The tickets assigned to them, as far as you see them.",
        referenced_by="technician_id",
        arguments=TICKET_LIST,
        roles=STAFF,
    )
    open_ticket_count: int = column(
        technician.open_ticket_count, "How many of those are open or in progress, as far as you see them.", roles=STAFF
    )
    created_at: datetime = column("created_at", "When they were entered.", roles=STAFF)


@strawberry.type(description="A technician's place in a list.")
class TechnicianEdge(Edge):
    node: Technician = part("The technician.")


@strawberry.type(description="A page of technicians.")
class TechnicianConnection(Connection):
    nodes: list[Technician] = part("The page's technicians.")
    edges: list[TechnicianEdge] = part("The page's technicians with their cursors.")


@strawberry.type
class TechnicianQueries:
    technicians: TechnicianConnection = connection(
        TECHNICIAN,
        TECHNICIANS,
        "Technicians that you see, by name.",
        arguments=[argument("active", bool | None, "Only those who are active, or only those who are not.")],
        roles=STAFF,
    )


@strawberry.input(description="A new technician, who is active.")
class TechnicianCreateInput:
    name: str = given("Full name, up to 200 characters.")
    email: str = given("E-mail address; no other technician has it.")
    phone: str | None = optional("Telephone number.")
    idempotency_key: str | None = optional(IDEMPOTENCY)


@strawberry.input(description="Changes of a technician: what is left out stays, null clears.")
class TechnicianUpdateInput:
    technician_id: strawberry.ID = given("Which technician.")
    name: str | None = optional("Full name, up to 200 characters.")
    email: str | None = optional("E-mail address; no other technician has it.")
    phone: str | None = optional("Telephone number.")
    active: bool | None = optional("With false they lose access within a second and get no new tickets.")


@strawberry.type(description="A technician, and what speaks against the mutation.")
class TechnicianPayload(Payload):
    technician: Technician | None = one(TECHNICIAN, "object_id", "The technician as they are now.")


@strawberry.type(description="What `technicianCreate` answers.")
class TechnicianCreatePayload(TechnicianPayload): ...


@strawberry.type(description="What `technicianUpdate` answers.")
class TechnicianUpdatePayload(TechnicianPayload): ...


@strawberry.type
class TechnicianMutations:
    technician_create: TechnicianCreatePayload = mutation(
        technician.create, TechnicianCreateInput, "Enter a technician.", roles=ADMINS
    )
    technician_update: TechnicianUpdatePayload = mutation(
        technician.update, TechnicianUpdateInput, "Change a technician's details.", roles=ADMINS
    )
