"""Admins who sign in here: the type, its list, and the mutations. Only admins use them."""

from __future__ import annotations

from datetime import datetime

import strawberry

from db.entities import ADMIN, ADMINS_LISTED
from db.enums import ADMINS
from db.limits import NAME_MAX
from resolvers import admin
from schema.common import Connection, Edge, Node, Payload
from schema.fields import IDEMPOTENCY, argument, column, connection, given, global_id, mutation, one, optional, part


@strawberry.type(
    description="An admin who signs in here. Somebody whose token has the role ADMIN is an admin too, and has no such "
    "object."
)
class Admin(Node):
    id: strawberry.ID = global_id(ADMIN, "The admin's id.")
    name: str = column("name", "The admin's full name.")
    email: str = column("email", "The address to which sign-in links are sent, which is unique among admins.")
    active: bool = column("active", "Whether the admin can sign in.")
    created_at: datetime = column("created_at", "When the admin was created.")


@strawberry.type(description="An admin in a list, with the cursor.")
class AdminEdge(Edge):
    node: Admin = part("The admin.")


@strawberry.type(description="A page of admins.")
class AdminConnection(Connection):
    nodes: list[Admin] = part("The admins on this page.")
    edges: list[AdminEdge] = part("The admins on this page, with their cursors.")


@strawberry.type
class AdminQueries:
    admins: AdminConnection = connection(
        ADMIN,
        ADMINS_LISTED,
        "The admins who sign in here, sorted by name.",
        arguments=[
            argument("active", bool | None, "Whether to list the active admins or, with false, the inactive ones."),
        ],
        roles=ADMINS,
    )


@strawberry.input(description="The admin to create, who is active at first.")
class AdminCreateInput:
    name: str = given(f"The full name; one line, at most {NAME_MAX} characters.")
    email: str = given("The e-mail address; must be unique among admins.")
    idempotency_key: str | None = optional(IDEMPOTENCY)


@strawberry.input(description="The changes to an admin. Fields that are left out keep their values.")
class AdminUpdateInput:
    admin_id: strawberry.ID = given("The admin's id.")
    name: str | None = optional(f"The full name; one line, at most {NAME_MAX} characters.")
    email: str | None = optional("The e-mail address; must be unique among admins.")
    active: bool | None = optional(
        "Whether the admin is active. False ends their sessions within a second. The last active admin cannot be made "
        "inactive."
    )
    idempotency_key: str | None = optional(IDEMPOTENCY)


@strawberry.type(description="The admin that a mutation created or changed, and the errors.")
class AdminPayload(Payload):
    admin: Admin | None = one(ADMIN, "object_id", "The admin as they are now; null if the mutation failed.")


@strawberry.type(description="The result of creating an admin.")
class AdminCreatePayload(AdminPayload): ...


@strawberry.type(description="The result of updating an admin.")
class AdminUpdatePayload(AdminPayload): ...


@strawberry.type
class AdminMutations:
    admin_create: AdminCreatePayload = mutation(
        admin.create, AdminCreateInput, "Creates an admin, who signs in here by a link in a mail.", roles=ADMINS
    )
    admin_update: AdminUpdatePayload = mutation(admin.update, AdminUpdateInput, "Updates an admin.", roles=ADMINS)
