"""The entities, each with its table, id prefix and visibility, and how each is listed. A new entity starts here."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ColumnElement,
    Double,
    FromClause,
    Text,
    and_,
    column,
    func,
    literal_column,
    or_,
    select,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import ARRAY, TSQUERY

from db import models, visibility
from db.entity import Entity
from db.enums import STAFF, DeliveryState, Role, TicketPriority, TicketStatus
from db.lists.criteria import (
    Among,
    Assignee,
    Contains,
    Criteria,
    Equals,
    Flag,
    In,
    Is,
    Matches,
    Ranked,
    References,
    Same,
    Term,
    VisibleBy,
    Within,
    first_part,
)
from db.lists.listing import QUERY, Listing, Ranking, SortKey, Stage, Tier, by_column, by_text, by_time
from db.lists.page_cursor import parse_text, parse_time
from db.lists.texts import HasText
from db.sql import Condition, Row, table
from db.visibility import ViewerParameter

TICKET = Entity(
    "Ticket",
    table(models.TicketRow),
    "tkt",
    visibility.ticket,
    revealed=dict.fromkeys(("customer_id", "property_id"), visibility.reveals_customer),
)
NOTE = Entity("Note", table(models.NoteRow), "not", visibility.note)
ATTACHMENT = Entity("Attachment", table(models.AttachmentRow), "att", visibility.attachment)
ASSIGNMENT = Entity("Assignment", table(models.AssignmentRow), "asg", visibility.assignment)
EVENT = Entity("TicketEvent", table(models.TicketEventRow), "evt", visibility.event)
CUSTOMER = Entity("Customer", table(models.CustomerRow), "cus", visibility.customer, visibility.customer, on_few=True)
FOUND_CUSTOMER = Entity("FoundCustomer", CUSTOMER.table, CUSTOMER.prefix, visibility.customer_to_choose)
PROPERTY = Entity("Property", table(models.PropertyRow), "prp", visibility.site, visibility.site, on_few=True)
TECHNICIAN = Entity("Technician", table(models.TechnicianRow), "tec", visibility.technician, visibility.technician)
ARTICLE = Entity("Article", table(models.ArticleRow), "art", visibility.article)
DELIVERY = Entity("Delivery", table(models.DeliveryRow), "dlv", visibility.delivery)
API_KEY = Entity("ApiKey", table(models.ApiKeyRow), "key", visibility.admins_only)
IDENTITY = Entity("Identity", table(models.IdentityRow), "idn", visibility.admins_only)
ADMIN = Entity("Admin", table(models.AdminRow), "adm", visibility.admins_only)
SESSION = Entity("Session", table(models.SessionRow), "ses", visibility.session)
INBOUND_MESSAGE = Entity("InboundMessage", table(models.InboundMessageRow), "inb", visibility.admins_only)
AUDIT_ENTRY = Entity("AuditEntry", table(models.AuditEntryRow), "aud", visibility.admins_only)
WEBHOOK = Entity("Webhook", table(models.WebhookRow), "whk", visibility.webhook)
WEBHOOK_DELIVERY = Entity("WebhookDelivery", table(models.WebhookDeliveryRow), "whd", visibility.webhook_delivery)

NODES = (
    TICKET,
    NOTE,
    ATTACHMENT,
    ASSIGNMENT,
    EVENT,
    CUSTOMER,
    PROPERTY,
    TECHNICIAN,
    ARTICLE,
    DELIVERY,
    API_KEY,
    IDENTITY,
    ADMIN,
    SESSION,
    INBOUND_MESSAGE,
    AUDIT_ENTRY,
    WEBHOOK,
    WEBHOOK_DELIVERY,
)
"""The entities that `node(id)` finds: all that have ids."""

FEDERATED = (TICKET, CUSTOMER, PROPERTY, TECHNICIAN)
"""The entities that other subgraphs of a supergraph may extend (Apollo Federation 2)."""


def _updated_column(role: Role) -> str:
    return "updated_at" if role in STAFF else "public_updated_at"


def updated_at(row: Row, viewer: ViewerParameter) -> ColumnElement[object]:
    """When the ticket last changed, as far as the viewer may know: an internal note changes it for staff only."""
    return row.c[_updated_column(viewer.role)]


def _assigned_at(row: Row, viewer: ViewerParameter) -> ColumnElement[object]:
    """Since when the ticket has been with its technician, or unassigned, which only staff may know; to others the time
    of its creation."""
    return row.c["assigned_at" if viewer.role in STAFF else "created_at"]


TICKETS = Listing(
    keys={
        "CREATED_AT": by_time("created_at"),
        "UPDATED_AT": SortKey(updated_at, parse_time, column=_updated_column),
        "ASSIGNED_AT": SortKey(_assigned_at, parse_time),
        "REFERENCE": SortKey(
            lambda row, viewer: row.c.reference, parse_text, unique=True, column=lambda role: "reference"
        ),
        "STATUS": by_column("status", TicketStatus),
        "PRIORITY": by_column("priority", TicketPriority),
    },
    default=(("CREATED_AT", True),),
    criteria=Criteria(
        {
            "filter": Criteria(
                {
                    "ids": Among("tkt", "ticket"),
                    "status": In("status"),
                    "priority": In("priority"),
                    "category": In("category"),
                    "source": In("source"),
                    "assignee": Assignee(),
                    "assignmentState": In("assignment_state", staff_only=True),
                    "overdue": Flag("assignment_overdue"),
                    "customerId": References("customer_id", "cus", "customer", TICKET.revealed["customer_id"]),
                    "propertyId": References("property_id", "prp", "property", TICKET.revealed["property_id"]),
                    "createdAt": Within(lambda role: "created_at"),
                    "updatedAt": Within(_updated_column),
                    "search": Contains(),
                    "text": HasText(),
                },
                nested=True,
            ),
            "assigned": VisibleBy(visibility.assigned, frozenset({"technician_id"})),
            "createdForOthers": VisibleBy(
                visibility.created_for_others, frozenset({"creator_id", "creator_kind"}), frozenset({"technician_id"})
            ),
            "created": VisibleBy(visibility.created, frozenset({"creator_id", "creator_kind"})),
            "owned": VisibleBy(visibility.owned, frozenset({"customer_id"})),
        }
    ),
    own={Role.TECHNICIAN: ("assigned", "createdForOthers"), Role.CUSTOMER: ("owned",), Role.SERVICE: ("created",)},
    search=("filter", "search"),
    text=("filter", "text"),
    selective=tuple(
        ("filter", name)
        for name in (
            *("ids", "assignee", "assignmentState", "overdue"),
            *("customerId", "propertyId", "createdAt", "updatedAt"),
        )
    ),
    enumerated={"STATUS": "status", "PRIORITY": "priority"},
    index_suffix=frozenset({"technician_id"}),
    owners=frozenset({"technician_id", "customer_id", "property_id"}),
    owner_suffix=frozenset({"status"}),
)

FOLLOW_UPS = Listing(keys={"CREATED_AT": by_time("created_at")}, default=(("CREATED_AT", False),))

NOTES = Listing(keys={"CREATED_AT": by_time("created_at")}, default=(("CREATED_AT", False),))

ATTACHMENTS = Listing(keys={"CREATED_AT": by_time("created_at")}, default=(("CREATED_AT", False),))

EVENTS = Listing(keys={"AT": by_time("at")}, default=(("AT", False),))


def _customer_tiers(row: Row, term: Term, viewer: ViewerParameter) -> list[Tier]:
    """The tiers of the customer search, from the exact account number down to any part of a word. A service cannot read
    e-mail addresses, phones and account numbers, so it cannot search by them either."""
    name, email, account = (_line(row, number) for number in (1, 2, 3))
    by_name = Tier(term.begins(name), name, term.range(name), ordered=True)
    by_word = Tier(term.begins_word(name), name, term.begins_word_index_condition(name))
    if viewer.role is Role.SERVICE:
        return [by_name, by_word, Tier(term.is_in(name), name, term.index_condition(name))]
    return [
        Tier(account == term.phrase, account, account == term.phrase, ordered=True),
        Tier(term.begins(account), account, term.range(account), ordered=True),
        by_name,
        Tier(term.begins(email), email, term.range(email), ordered=True),
        by_word,
        Tier(_contains_words(row, term, viewer), name, term.index_condition(row.c.searchable)),
    ]


def _line(row: Row, number: int) -> ColumnElement[Any]:
    line = func.split_part(row.c.searchable, literal_column("chr(10)"), literal_column(str(number)))
    return type_coerce(line, row.c.searchable.type)


def _contains_words(row: Row, term: Term, viewer: ViewerParameter) -> Condition:
    """The customer has all words of the term; for a technician, who does not see all properties, without these."""
    searchable = row.c.searchable
    return term.is_in(first_part(searchable) if viewer.role is Role.TECHNICIAN else searchable)


def _matching_customer(row: Row, term: Term, viewer: ViewerParameter) -> Condition:
    if viewer.role is Role.SERVICE:
        return or_(*(tier.condition for tier in _customer_tiers(row, term, viewer)))
    return _contains_words(row, term, viewer)


CUSTOMERS = Listing(
    keys={"NAME": by_text("name_form")},
    default=(("NAME", False),),
    criteria=Criteria({"search": Matches(_matching_customer)}),
    ranking=Ranking(("search",), tiers=_customer_tiers),
)


def _matching_property(row: Row, term: Term, viewer: ViewerParameter) -> Condition:
    """The property has all words of the term in its address and account number. So does the text of its customer, for
    which there is an index."""
    own = func.concat(" ", func.searchable_form(row.c.address + " " + row.c.account_number), type_=Text())
    customers = CUSTOMER.table.alias()
    found = select(customers.c.id).where(term.index_condition(customers.c.searchable))
    return and_(row.c.customer_id.in_(found), term.is_in(own))


PROPERTIES = Listing(
    keys={"ADDRESS": by_text("address")},
    default=(("ADDRESS", False),),
    criteria=Criteria(
        {
            "customerId": References("customer_id", "cus", "customer"),
            "search": Matches(_matching_property),
        }
    ),
)

ADMINS_LISTED = Listing(
    keys={"NAME": by_text("name")},
    default=(("NAME", False),),
    criteria=Criteria({"active": Is("active")}),
)

SESSIONS = Listing(
    keys={"CREATED_AT": by_time("created_at")},
    default=(("CREATED_AT", True),),
    criteria=Criteria(
        {
            "adminId": References("admin_id", "adm", "admin"),
            "technicianId": References("technician_id", "tec", "technician"),
            "customerId": References("customer_id", "cus", "customer"),
        }
    ),
    selective=(("adminId",), ("technicianId",), ("customerId",)),
)

TECHNICIANS = Listing(
    keys={"NAME": by_text("name")},
    default=(("NAME", False),),
    criteria=Criteria({"active": Is("active")}),
)


def _asked_all(term: Term, viewer: ViewerParameter) -> FromClause:
    return select(func.article_query_of_all(term.typed, type_=TSQUERY()).label(QUERY)).subquery()


def _asked_some(term: Term, viewer: ViewerParameter) -> FromClause:
    """Typing mistakes are corrected, and words weighed, by the articles that the viewer may read, so that this reveals
    nothing of an unpublished one."""
    staff: ColumnElement[bool] = literal_column(str(viewer.role in STAFF).lower())
    asked = func.article_search_of_some(term.typed, staff)
    return asked.table_valued(
        column(QUERY, TSQUERY()),
        column("as_typed", TSQUERY()),
        column("words", ARRAY(TSQUERY())),
        column("weights", ARRAY(Double())),
    ).render_derived()


# With all words, relevance grows with their proximity (`ts_rank_cd`, which normalisation 32 maps to 0..1).
_ARTICLE_STAGES = (
    Stage(_asked_all, lambda vector, asked: func.ts_rank_cd(vector, asked(QUERY), literal_column("32"))),
    Stage(
        _asked_some,
        lambda vector, asked: func.article_relevance(vector, *map(asked, (QUERY, "as_typed", "words", "weights"))),
    ),
)

ARTICLES = Listing(
    keys={"CREATED_AT": by_time("created_at")},
    default=(("CREATED_AT", True),),
    criteria=Criteria({"search": Ranked(), "published": Is("published")}),
    ranking=Ranking(("search",), stages=_ARTICLE_STAGES),
)

API_KEYS = Listing(keys={"CREATED_AT": by_time("created_at")}, default=(("CREATED_AT", True),))

IDENTITIES = Listing(
    keys={"CREATED_AT": by_time("created_at")},
    default=(("CREATED_AT", True),),
    criteria=Criteria(
        {
            "technicianId": References("technician_id", "tec", "technician"),
            "customerId": References("customer_id", "cus", "customer"),
        }
    ),
    selective=(("technicianId",), ("customerId",)),
)

DELIVERIES = Listing(
    keys={"CREATED_AT": by_time("created_at"), "STATE": by_column("state", DeliveryState)},
    default=(("CREATED_AT", True),),
    criteria=Criteria(
        {
            "filter": Criteria(
                {
                    "state": In("state"),
                    "channel": In("channel"),
                    "kind": In("kind"),
                    "audience": In("audience"),
                    "ticketId": References("ticket_id", "tkt", "ticket"),
                    "recipient": Same("recipient"),
                    "createdAt": Within(lambda role: "created_at"),
                }
            )
        }
    ),
    selective=(("filter", "ticketId"), ("filter", "recipient"), ("filter", "createdAt")),
    enumerated={"STATE": "state"},
)

TICKET_DELIVERIES = Listing(keys={"CREATED_AT": by_time("created_at")}, default=(("CREATED_AT", False),))
INBOUND_MESSAGES = Listing(
    keys={"RECEIVED_AT": by_time("received_at")},
    default=(("RECEIVED_AT", True),),
    criteria=Criteria({"filter": Criteria({"outcome": In("outcome")})}),
)

AUDIT_ENTRIES = Listing(
    keys={"AT": by_time("at")},
    default=(("AT", True),),
    criteria=Criteria(
        {
            "filter": Criteria(
                {
                    "objectKind": In("object_kind"),
                    "objectId": Equals("object_id"),
                    "action": In("action"),
                    "actorKind": In("actor_kind"),
                    "actorId": Equals("actor_id"),
                    "at": Within(lambda role: "at"),
                }
            )
        }
    ),
    selective=(("filter", "objectId"), ("filter", "actorId"), ("filter", "at")),
)

WEBHOOKS = Listing(keys={"CREATED_AT": by_time("created_at")}, default=(("CREATED_AT", True),))

WEBHOOK_DELIVERIES = Listing(
    keys={"AT": by_time("at")},
    default=(("AT", True),),
    criteria=Criteria(
        {
            "filter": Criteria(
                {
                    "webhookId": References("webhook_id", "whk", "webhook"),
                    "outcome": In("outcome"),
                    "kind": In("kind"),
                    "at": Within(lambda role: "at"),
                }
            )
        }
    ),
    selective=(("filter", "webhookId"), ("filter", "at")),
)
