"""Tickets of all kinds to list, and the expected lists.

The tickets' data are kept in Python too, so that each list can be compared with the one that plain Python computes.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeAlias

import asyncpg
import pytest

from tests.helpers import paging
from tests.helpers.api import Api, Refusal, Server

Filter: TypeAlias = dict[str, Any]
Order: TypeAlias = list[dict[str, str]]

STATUSES = ("OPEN", "IN_PROGRESS", "RESOLVED", "CLOSED")
PRIORITIES = ("LOW", "MEDIUM", "HIGH", "URGENT")
CATEGORIES = ("ALARM", "CCTV", "ACCESS_CONTROL", "INTERCOM", "GENERAL")
SOURCES = ("ADMIN", "TECHNICIAN", "CHATBOT", "EMAIL", "CUSTOMER")
FIELDS = ("CREATED_AT", "UPDATED_AT", "ASSIGNED_AT", "REFERENCE", "STATUS", "PRIORITY")
START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
TICKETS = 75
NOBODY = "00000000-0000-7000-8000-000000000000"

LIST = """
query($filter: TicketFilter, $orderBy: [TicketOrder!], $first: Int, $after: String, $last: Int, $before: String) {
  tickets(filter: $filter, orderBy: $orderBy, first: $first, after: $after, last: $last, before: $before) {
    nodes { id } edges { cursor node { id } } totalCount
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }
"""


@dataclass
class Ticket:
    """A ticket as it should be in the database."""

    n: int
    id: str = ""
    reference: str = ""
    technician: str | None = None
    customer: str | None = None
    property_id: str | None = None

    @property
    def source(self) -> str:
        return SOURCES[self.n % 5]

    @property
    def status(self) -> str:
        return STATUSES[self.n * 7 // 3 % 4]

    @property
    def priority(self) -> str:
        return PRIORITIES[self.n * 5 // 2 % 4]

    @property
    def category(self) -> str:
        return CATEGORIES[self.n * 3 // 4 % 5]

    @property
    def subject(self) -> str:
        return f"{('Beeping panel', 'Dark camera', 'Stuck door')[self.n % 3]} no. {self.n}"

    @property
    def description(self) -> str:
        return f"{('Battery', 'Cable', 'Motor')[self.n // 4 % 3]} of unit {self.n}"

    @property
    def created_at(self) -> datetime:
        """One of 12 times, so that there are ties."""
        return START + timedelta(days=self.n * 5 % 12, microseconds=self.n % 2)

    @property
    def updated_at(self) -> datetime:
        return self.created_at + timedelta(hours=1 + self.n % 4)

    @property
    def assigned_at(self) -> datetime:
        return self.created_at + timedelta(hours=self.n % 5)

    @property
    def assignment_state(self) -> str | None:
        return None if self.technician is None else ("OFFERED", "ACCEPTED", "EN_ROUTE")[self.n % 3]

    @property
    def overdue(self) -> bool:
        return self.assignment_state == "OFFERED" and self.n % 2 == 0

    @property
    def public_updated_at(self) -> datetime:
        return self.created_at + timedelta(minutes=self.n % 3)


@dataclass
class World:
    tickets: list[Ticket]
    technicians: list[str]
    customers: list[str]
    properties: list[str]

    def of(self, technician: str) -> list[Ticket]:
        """Returns the tickets that the technician sees. The first technician is the one who creates tickets."""
        maker = technician == self.technicians[0]
        return [t for t in self.tickets if t.technician == technician or (maker and t.source == "TECHNICIAN")]


async def make_world(server: Server) -> World:
    """Creates the tickets, by every role that can create some."""
    async with Api(server) as admin:
        technicians = [await admin.new_technician() for _ in range(3)]
        customers = [await admin.new_customer(name=f"Customer {word}") for word in ("A", "B", "C")]
        properties = [await admin.new_property(customer) for customer in customers for _ in range(2)]
        world = World([Ticket(n) for n in range(TICKETS)], technicians, customers, properties)
        for ticket in world.tickets:
            ticket.technician = (None, *technicians)[ticket.n % 4]
            if ticket.source == "CUSTOMER":
                ticket.customer = customers[0]
            elif ticket.source == "ADMIN":
                ticket.customer = (None, *customers)[ticket.n // 5 % 4]
            if ticket.customer and ticket.n % 7:
                ticket.property_id = properties[customers.index(ticket.customer) * 2 + ticket.n // 3 % 2]
        makers = {
            "ADMIN": admin,
            "TECHNICIAN": admin.technician(technicians[0]),
            "CUSTOMER": admin.customer(customers[0]),
            "CHATBOT": admin.service(),
            "EMAIL": admin.service("gateway"),
        }
        turn = asyncio.Semaphore(8)

        async def make(ticket: Ticket) -> None:
            given: dict[str, Any] = {name: getattr(ticket, name) for name in ("subject", "description", "category")}
            if ticket.source == "EMAIL":
                given["source"] = "EMAIL"
            if ticket.customer:
                given |= {"customerId": ticket.customer, "propertyId": ticket.property_id}
            async with turn:
                ticket.id = await makers[ticket.source].new_ticket(**given)

        await asyncio.gather(*map(make, world.tickets))
        for status, priority, technician in itertools.product(STATUSES, PRIORITIES, (None, *technicians)):
            chosen = [
                t.id for t in world.tickets if (t.status, t.priority, t.technician) == (status, priority, technician)
            ]
            if chosen:
                change = {"status": status, "priority": priority, "technicianId": technician}
                if status == "RESOLVED":
                    change["resolution"] = "Done."
                await admin.done("ticketsBulkUpdate", "results { userErrors { code } }", ticketIds=chosen, **change)
        for maker in makers.values():
            await maker.close()
    await _set_times(server, world.tickets)
    return world


async def _set_times(server: Server, tickets: Sequence[Ticket]) -> None:
    """Sets the tickets' times by SQL, because the API cannot. Returns their references."""
    connection = await asyncpg.connect(server.database_url)
    try:
        rows = await connection.fetch(
            """UPDATE tickets SET created_at = given.c, updated_at = given.u, public_updated_at = given.p,
                assigned_at = given.a, assignment_state = given.s::assignment_state, assignment_overdue = given.o
            FROM unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[], $4::timestamptz[], $5::timestamptz[],
                $6::text[], $7::boolean[]) AS given(id, c, u, p, a, s, o)
            WHERE tickets.id = given.id RETURNING tickets.id, reference""",
            [t.id.removeprefix("tkt_") for t in tickets],
            [t.created_at for t in tickets],
            [t.updated_at for t in tickets],
            [t.public_updated_at for t in tickets],
            [t.assigned_at for t in tickets],
            [t.assignment_state for t in tickets],
            [t.overdue for t in tickets],
        )
    finally:
        await connection.close()
    references = {f"tkt_{row['id']}": row["reference"] for row in rows}
    for ticket in tickets:
        ticket.reference = references[ticket.id]


def ids(tickets: Sequence[Ticket]) -> list[str]:
    return [ticket.id for ticket in tickets]


def by(*keys: tuple[str, str]) -> Order:
    return [{"field": field, "direction": direction} for field, direction in keys]


NEWEST_FIRST = by(("CREATED_AT", "DESC"))
MIXED = [
    by(("STATUS", "ASC"), ("PRIORITY", "DESC")),
    by(("PRIORITY", "DESC"), ("STATUS", "DESC"), ("CREATED_AT", "ASC")),
    by(("CREATED_AT", "ASC"), ("PRIORITY", "ASC")),
    by(("STATUS", "DESC"), ("UPDATED_AT", "ASC"), ("PRIORITY", "DESC"), ("REFERENCE", "ASC"), ("CREATED_AT", "DESC")),
]


def in_order(tickets: Sequence[Ticket], order: Order, *, public: bool = False) -> list[str]:
    """Returns the ids in the order that the schema promises: ties are broken by id, in the direction of the last
    key."""
    value: dict[str, Callable[[Ticket], Any]] = {
        "CREATED_AT": lambda t: t.created_at,
        "UPDATED_AT": lambda t: t.public_updated_at if public else t.updated_at,
        "ASSIGNED_AT": lambda t: t.created_at if public else t.assigned_at,
        "REFERENCE": lambda t: t.reference,
        "STATUS": lambda t: STATUSES.index(t.status),
        "PRIORITY": lambda t: PRIORITIES.index(t.priority),
    }
    found = sorted(tickets, key=lambda t: t.id, reverse=order[-1]["direction"] == "DESC")
    for key in reversed(order):
        found.sort(key=value[key["field"]], reverse=key["direction"] == "DESC")
    return ids(found)


async def page(api: Api, **arguments: Any) -> dict[str, Any]:
    """Returns one page, after checking that its nodes and edges agree."""
    connection: dict[str, Any] = (await api(LIST, **arguments))["tickets"]
    assert [edge["node"] for edge in connection["edges"]] == connection["nodes"]
    cursors = [edge["cursor"] for edge in connection["edges"]]
    info = connection["pageInfo"]
    assert (info["startCursor"], info["endCursor"]) == ((cursors[0], cursors[-1]) if cursors else (None, None))
    connection["ids"] = [node["id"] for node in connection["nodes"]]
    return connection


async def forwards(api: Api, size: int, **arguments: Any) -> list[str]:
    """Returns all ids of the list, read page by page from the start."""
    return [node["id"] for node in await paging.forwards(partial(page, api, **arguments), size)]


async def backwards(api: Api, size: int, **arguments: Any) -> list[str]:
    """Returns all ids of the list, read page by page from the end."""
    return [node["id"] for node in await paging.backwards(partial(page, api, **arguments), size)]


async def matching(api: Api, filter: Filter | None) -> set[str]:
    """Returns the ids that the filter matches, after checking that `totalCount` is their number."""
    got = await page(api, filter=filter, first=100)
    assert got["totalCount"] == len(got["ids"]) == len(set(got["ids"]))
    return set(got["ids"])


async def refusal(api: Api, **arguments: Any) -> str:
    """Returns the message of the one error, after checking that it is the client's mistake, not the server's."""
    with pytest.raises(Refusal) as refused:
        await api(LIST, **arguments)
    assert refused.value.codes == ["BAD_USER_INPUT"]
    assert "data" not in refused.value.response
    return str(refused.value.response["errors"][0]["message"])
