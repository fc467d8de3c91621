"""Identities: the type, its list, and the mutations. Only admins use them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import strawberry

from db.entities import CUSTOMER, IDENTITIES, IDENTITY, TECHNICIAN
from db.enums import ADMINS
from db.limits import ISSUER_MAX, TOKEN_SUBJECT_MAX
from resolvers import identity
from schema.common import Connection, Edge, Node, Payload
from schema.fields import IDEMPOTENCY, argument, column, connection, given, global_id, mutation, one, optional, part

if TYPE_CHECKING:
    from schema.customer import Customer
    from schema.technician import Technician


@strawberry.type(
    description="The account with which a technician or customer signs in at an identity provider, `subject` of "
    "`issuer`."
)
class Identity(Node):
    id: strawberry.ID = global_id(IDENTITY, "The identity's id.")
    issuer: str = column("issuer", "The provider, as the claim `iss` of its tokens has it.")
    subject: str = column("subject", "The account, as the claim of the provider's tokens has it: `sub` as a rule.")
    technician: Annotated[Technician, strawberry.lazy("schema.technician")] | None = one(
        TECHNICIAN, "technician_id", "The technician who signs in with the account; null if it is a customer's."
    )
    customer: Annotated[Customer, strawberry.lazy("schema.customer")] | None = one(
        CUSTOMER, "customer_id", "The customer who signs in with the account; null if it is a technician's."
    )
    created_at: datetime = column("created_at", "When the account was first linked.")
    revoked_at: datetime | None = column(
        "revoked_at", "When the identity was revoked; null if the account can be used."
    )


@strawberry.type(description="An identity in a list, with its cursor.")
class IdentityEdge(Edge):
    node: Identity = part("The identity.")


@strawberry.type(description="A page of identities.")
class IdentityConnection(Connection):
    nodes: list[Identity] = part("The identities on this page.")
    edges: list[IdentityEdge] = part("The identities on this page, with their cursors.")


@strawberry.type
class IdentityQueries:
    identities: IdentityConnection = connection(
        IDENTITY,
        IDENTITIES,
        "All identities, newest first.",
        arguments=[
            argument("technicianId", strawberry.ID | None, "Only those of this technician."),
            argument("customerId", strawberry.ID | None, "Only those of this customer."),
        ],
        roles=ADMINS,
    )


@strawberry.input(description="A technician or a customer. Set exactly one field.", one_of=True)
class PersonInput:
    technician_id: strawberry.ID | None = optional("The technician's id.")
    customer_id: strawberry.ID | None = optional("The customer's id.")


@strawberry.input(description="The account to link, and the person who signs in with it.")
class IdentityLinkInput:
    issuer: str = given(f"The provider, exactly as in the claim `iss` of its tokens; at most {ISSUER_MAX} characters.")
    subject: str = given(
        f"The account, exactly as in the provider's tokens: `sub` as a rule; at most {TOKEN_SUBJECT_MAX} characters."
    )
    person: PersonInput = given("The technician, who must be active, or the customer.")
    idempotency_key: str | None = optional(IDEMPOTENCY)


@strawberry.input(description="The identity to revoke.")
class IdentityRevokeInput:
    identity_id: strawberry.ID = given("The identity's id.")
    idempotency_key: str | None = optional(IDEMPOTENCY)


@strawberry.type(description="The result of linking an account.")
class IdentityLinkPayload(Payload):
    identity: Identity | None = one(
        IDENTITY, "object_id", "The identity; null if the mutation failed, but for an account that is somebody else's."
    )


@strawberry.type(description="The result of revoking an identity.")
class IdentityRevokePayload(Payload):
    identity: Identity | None = one(IDENTITY, "object_id", "The identity; null if it does not exist.")


@strawberry.type
class IdentityMutations:
    identity_link: IdentityLinkPayload = mutation(
        identity.link,
        IdentityLinkInput,
        "Links an account at an identity provider to a technician or customer, who from then on signs in with it. An "
        "identity that was revoked is linked again. The same again changes nothing.",
        roles=ADMINS,
    )
    identity_revoke: IdentityRevokePayload = mutation(
        identity.revoke,
        IdentityRevokeInput,
        "Revokes an identity: nobody signs in with the account any more, until an admin links it again. Within a "
        "second its tokens are refused and its live connections closed.",
        roles=ADMINS,
    )
