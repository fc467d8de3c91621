"""Sessions: the type, its list, and the mutation that ends one."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import strawberry

from db.entities import ADMIN, CUSTOMER, SESSION, SESSIONS, TECHNICIAN
from db.enums import PEOPLE
from resolvers import session
from schema.common import Connection, Edge, Node, Payload
from schema.fields import IDEMPOTENCY, argument, column, connection, given, global_id, mutation, one, optional, part

if TYPE_CHECKING:
    from schema.admin import Admin
    from schema.customer import Customer
    from schema.technician import Technician


@strawberry.type(name="Session", description="A browser in which a person is signed in.")
class BrowserSession(Node):
    id: strawberry.ID = global_id(SESSION, "The session's id.")
    admin: Annotated[Admin, strawberry.lazy("schema.admin")] | None = one(
        ADMIN, "admin_id", "The admin who is signed in; null if it is somebody else."
    )
    technician: Annotated[Technician, strawberry.lazy("schema.technician")] | None = one(
        TECHNICIAN, "technician_id", "The technician who is signed in; null if it is somebody else."
    )
    customer: Annotated[Customer, strawberry.lazy("schema.customer")] | None = one(
        CUSTOMER, "customer_id", "The customer who is signed in; null if it is somebody else."
    )
    user_agent: str = column("user_agent", "What the browser said of itself when the session began.")
    created_at: datetime = column("created_at", "When the session began.")
    used_at: datetime = column("used_at", "When the session was last used, up to a minute ago.")


@strawberry.type(name="SessionEdge", description="A session in a list, with its cursor.")
class BrowserSessionEdge(Edge):
    node: BrowserSession = part("The session.")


@strawberry.type(name="SessionConnection", description="A page of sessions.")
class BrowserSessionConnection(Connection):
    nodes: list[BrowserSession] = part("The sessions on this page.")
    edges: list[BrowserSessionEdge] = part("The sessions on this page, with their cursors.")


@strawberry.type
class SessionQueries:
    sessions: BrowserSessionConnection = connection(
        SESSION,
        SESSIONS,
        "The sessions that you can see, newest first: your own, and for admins everybody's.",
        arguments=[
            argument("adminId", strawberry.ID | None, "Only those of this admin."),
            argument("technicianId", strawberry.ID | None, "Only those of this technician."),
            argument("customerId", strawberry.ID | None, "Only those of this customer."),
        ],
        roles=PEOPLE,
    )


@strawberry.input(description="The session to end.")
class SessionRevokeInput:
    session_id: strawberry.ID = given("The session's id.")
    idempotency_key: str | None = optional(IDEMPOTENCY)


@strawberry.type(description="The result of ending a session.")
class SessionRevokePayload(Payload): ...


@strawberry.type
class SessionMutations:
    session_revoke: SessionRevokePayload = mutation(
        session.revoke,
        SessionRevokeInput,
        "Ends a session that you can see: the browser is signed out within a second.",
        roles=PEOPLE,
    )
