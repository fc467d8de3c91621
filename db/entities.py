"""The entities: table, id prefix and visibility of each, and how each is listed. The next kind of thing starts here."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Integer, and_, cast, func, literal_column, or_

from db import models, visibility
from db.connection import Listing, Ranking, SortKey, by_column, by_text, by_time
from db.cursors import parse_time
from db.enums import Role, TicketPriority, TicketStatus
from db.filters import (
    Assignee,
    Contains,
    Criteria,
    In,
    Is,
    Matches,
    Refers,
    Within,
    containing,
    form_of,
    having_word,
    starting,
)
from db.mapping import Entity
from db.visibility import Asker, Condition, Row, table

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


def _customer_tiers(row: Row, term: ColumnElement[Any], asker: Asker) -> list[Condition]:
    """How well a customer matches, from the account number itself to any part of a word. A service, which may not
    read e-mail addresses and account numbers, does not find anybody by them."""
    name, email, account = row.c.name_form, row.c.email_form, row.c.account_number_form
    # The first condition is for the index of trigrams, the second keeps to the name.
    word = and_(row.c.search_text.like(having_word(term)), name.like(having_word(term)))
    if asker.role is Role.SERVICE:
        return [starting(name, term), word, name.like(containing(term))]
    anywhere = row.c.search_text.like(containing(term))
    exact = account == form_of(term)
    return [exact, starting(account, term), starting(name, term), starting(email, term), word, anywhere]


def _matching_customer(row: Row, term: ColumnElement[Any], asker: Asker) -> Condition:
    return or_(*_customer_tiers(row, term, asker))


CUSTOMERS = Listing(
    keys={"NAME": by_text("name_form")},
    default=(("NAME", False),),
    criteria=Criteria({"search": Matches(_matching_customer)}),
    ranking=Ranking(("search",), tiers=_customer_tiers),
)

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


def _article_query(term: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.plainto_tsquery(literal_column("'english'"), term)


def _matching_article(row: Row, term: ColumnElement[Any], asker: Asker) -> Condition:
    matches: Condition = row.c.search_vector.op("@@", is_comparison=True)(_article_query(term))
    return matches


def _article_rank(row: Row, term: ColumnElement[Any]) -> ColumnElement[int]:
    """From 0, a perfect match, to a million."""
    relevance = func.ts_rank(row.c.search_vector, _article_query(term), literal_column("32"))
    return cast(literal_column("1000000") * (literal_column("1") - relevance), Integer)


ARTICLES = Listing(
    keys={"CREATED_AT": by_time("created_at")},
    default=(("CREATED_AT", True),),
    criteria=Criteria({"search": Matches(_matching_article), "published": Is("published")}),
    ranking=Ranking(("search",), number=_article_rank),
)

API_KEYS = Listing(keys={"CREATED_AT": by_time("created_at")}, default=(("CREATED_AT", True),))
