"""`me`: the viewer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import strawberry

from db.entities import CUSTOMER, SESSION, TECHNICIAN
from db.enums import CHATBOTS, Role
from resolvers import viewer
from schema.fields import column, one, root

if TYPE_CHECKING:
    from schema.customer import Customer
    from schema.session import BrowserSession
    from schema.technician import Technician


@strawberry.type(name="Viewer", description="The authenticated person or program that sends the request.")
class Me:
    role: Role = column("role", "Your role.")
    subject: str = column("subject", "By what you are known here: your id, or for an admin with a token its subject.")
    name: str = column("name", "Your name.")
    email: str | None = column("email", "Your e-mail address, if your session or token has one.")
    time_zone: str = column(
        "time_zone",
        "The time zone that you read times in, a name of the IANA database: the `zoneinfo` claim of your token, or "
        "else the company's zone.",
    )
    session: Annotated[BrowserSession, strawberry.lazy("schema.session")] | None = one(
        SESSION, "session_id", "The session in which you are signed in; null if you have shown a token."
    )
    technician: Annotated[Technician, strawberry.lazy("schema.technician")] | None = one(
        TECHNICIAN, "technician_id", "The technician that you are authenticated as; null for other roles."
    )
    customer: Annotated[Customer, strawberry.lazy("schema.customer")] | None = one(
        CUSTOMER, "customer_id", "The customer that you are authenticated as; null for other roles."
    )


@strawberry.type
class ViewerQueries:
    me: Me = root(viewer.me, "The authenticated viewer.", scopes=CHATBOTS)
