"""The entities: table, id prefix and visibility of each, and how each is listed. The next kind of thing starts here."""

from __future__ import annotations

from sqlalchemy import ColumnElement

from db import models, visibility
from db.connection import Listing, SortKey, by_column, by_text, by_time
from db.cursors import parse_time
from db.enums import Role, TicketPriority, TicketStatus
from db.filters import Assignee, Contains, Criteria, In, Is, Refers, Within
from db.mapping import Entity
from db.visibility import Asker, Row, table

TICKET = Entity("Ticket", table(models.Ticket), "tkt", visibility.ticket)
NOTE = Entity("Note", table(models.Note), "not", visibility.note)
EVENT = Entity("TicketEvent", table(models.TicketEvent), "evt", visibility.event)
CUSTOMER = Entity("Customer", table(models.Customer), "cus", visibility.customer)
PROPERTY = Entity("Property", table(models.Property), "prp", visibility.site)
TECHNICIAN = Entity("Technician", table(models.Technician), "tec", visibility.technician)
ARTICLE = Entity("Article", table(models.Article), "art", visibility.article)
API_KEY = Entity("ApiKey", table(models.ApiKey), "key", visibility.staff_only)

NODES = (TICKET, NOTE, EVENT, CUSTOMER, PROPERTY, TECHNICIAN, ARTICLE)
"""What `node(id)` finds."""


def updated_at(row: Row, asker: Asker) -> ColumnElement[object]:
    """When the ticket last changed as far as the viewer may know: an internal note moves it for staff alone."""
    internal = asker.role in (Role.ADMIN, Role.TECHNICIAN)
    return row.c.updated_at if internal else row.c.public_updated_at


TICKETS = Listing(
    keys={
        "CREATED_AT": by_time("created_at"),
        "UPDATED_AT": SortKey(updated_at, parse_time),
        "REFERENCE": by_text("reference"),
        "STATUS": by_column("status", TicketStatus),
        "PRIORITY": by_column("priority", TicketPriority),
    },
    default=(("CREATED_AT", True),),
    criteria=Criteria(
        {
            "filter": Criteria(
                {
                    "status": In("status"),
                    "priority": In("priority"),
                    "category": In("category"),
                    "source": In("source"),
                    "assignee": Assignee(),
                    "customerId": Refers("customer_id", "cus", "customer"),
                    "propertyId": Refers("property_id", "prp", "property"),
                    "createdAt": Within(lambda row, asker: row.c.created_at),
                    "updatedAt": Within(updated_at),
                    "search": Contains("search_text"),
                },
                nested=True,
            )
        }
    ),
    search=("filter", "search"),
    selective=(("filter", "assignee"), ("filter", "customerId"), ("filter", "propertyId")),
    partition=("filter", "status"),
    partitioned=frozenset({"CREATED_AT", "UPDATED_AT"}),
)

NOTES = Listing(keys={"CREATED_AT": by_time("created_at")}, default=(("CREATED_AT", False),))

EVENTS = Listing(keys={"AT": by_time("at")}, default=(("AT", False),))

CUSTOMERS = Listing(keys={"NAME": by_text("name")}, default=(("NAME", False),))

PROPERTIES = Listing(
    keys={"ADDRESS": by_text("address")},
    default=(("ADDRESS", False),),
    criteria=Criteria({"customerId": Refers("customer_id", "cus", "customer")}),
)

TECHNICIANS = Listing(
    keys={"NAME": by_text("name")},
    default=(("NAME", False),),
    criteria=Criteria({"active": Is("active")}),
)

ARTICLES = Listing(
    keys={"CREATED_AT": by_time("created_at")},
    default=(("CREATED_AT", True),),
    criteria=Criteria({"published": Is("published")}),
)

API_KEYS = Listing(keys={"CREATED_AT": by_time("created_at")}, default=(("CREATED_AT", True),))
