"""The requests that are timed at a million tickets: every sort at several depths, searches of every frequency with and
without filters, the customer search letter by letter, and the status tabs.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from itertools import product
from random import Random
from typing import Any, TypeAlias

import orjson

from bench.cases import Connection
from bench.load import ask, post
from bench.servers import Server
from db.enums import Role

PAGE_MS, TYPE_AHEAD_MS, TABS_MS = 50.0, 30.0, 10.0
SORTED_SEARCH_MS = 250.0  # a search in another order than the default

PAGE = """query Page($filter: TicketFilter, $orderBy: [TicketOrder!], $first: Int, $after: String, $last: Int,
    $before: String) {
  tickets(filter: $filter, orderBy: $orderBy, first: $first, after: $after, last: $last, before: $before) {
    nodes {
      id reference subject status priority category createdAt
      customer { id name } property { id address } technician { id name }
    }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    streamCursor
  }
}"""
PEOPLE = {
    "customers": "query Customers { customers(%s: 50) { nodes { id name } pageInfo { hasNextPage endCursor } } }",
    "properties": "query Properties { properties(%s: 50) { nodes { id address } pageInfo { hasNextPage endCursor } } }",
    "technicians": "query Technicians { technicians(%s: 50) { nodes { id name } pageInfo { hasNextPage endCursor } } }",
}
CURSOR = """query Cursor($filter: TicketFilter, $orderBy: [TicketOrder!]) {
  tickets(filter: $filter, orderBy: $orderBy, first: 1) { edges { cursor } }
}"""
TOTAL = "query Total($filter: TicketFilter) { tickets(filter: $filter, first: 1) { totalCount } }"
TYPE_AHEAD = """query TypeAhead($search: String) {
  customers(search: $search, first: 10) { nodes { id accountNumber name email phone } }
}"""
TYPE_AHEAD_OF_NAMES = """query TypeAhead($search: String) {
  customers(search: $search, first: 10) { nodes { id name } }
}"""
TABS = """query Tabs($filter: TicketFilter) {
  ticketCounts(filter: $filter) { all open inProgress resolved closed unassigned }
}"""

Order: TypeAlias = tuple[tuple[str, str], ...]

FIELDS = ("CREATED_AT", "UPDATED_AT", "REFERENCE", "STATUS", "PRIORITY")
COMBINED: tuple[Order, ...] = (
    (("STATUS", "ASC"), ("CREATED_AT", "DESC")),
    (("PRIORITY", "DESC"), ("CREATED_AT", "ASC")),
    (("STATUS", "ASC"), ("PRIORITY", "DESC")),
    (("STATUS", "DESC"), ("PRIORITY", "ASC"), ("UPDATED_AT", "DESC")),
)
NEWEST_FIRST: Order = (("CREATED_AT", "DESC"),)
ORDERS: tuple[Order, ...] = (
    *(((field, direction),) for field, direction in product(FIELDS, ("ASC", "DESC"))),
    *COMBINED,
)


@dataclass(frozen=True)
class Probe:
    """A request to time. `name` identifies it in its `group`; `target` is in milliseconds, or None."""

    group: str
    name: str
    target: float | None
    document: str
    variables: bytes  # JSON
    viewer: str | None = None
    """The name of the viewer who sends it, among the server's viewers; None for an admin."""

    def request(self, server: Server) -> bytes:
        token = server.token if self.viewer is None else server.viewers[self.viewer]
        return post(self.document, orjson.loads(self.variables), token)


def probe(
    group: str,
    name: str,
    target: float | None,
    document: str,
    variables: dict[str, Any],
    viewer: str | None = None,
) -> Probe:
    return Probe(group, name, target, document, orjson.dumps(variables), viewer)


async def all_probes(connection: Connection, server: Server) -> list[Probe]:
    filters = await filters_of(connection)
    cursors = await cursors_of(connection, server)
    terms = await terms_of(connection)
    return [
        *pages(cursors),
        *filtered_pages(filters),
        *searches(terms, filters),
        *await type_aheads(connection),
        *status_tabs("status tabs"),
        *totals(terms, filters),
        *of_others(server, terms),
        *people_of_others(server, await typed(connection)),
    ]


def order_by(order: Order) -> list[dict[str, str]]:
    return [{"field": field, "direction": direction} for field, direction in order]


def described(order: Order) -> str:
    return ", ".join(f"{field} {direction}" for field, direction in order)


# Pages


async def cursors_of(connection: Connection, server: Server) -> dict[tuple[Order, str], str]:
    """Page cursors by order and start: of the oldest ticket, the newest, and a random one of each status."""
    references = {
        "newest": await connection.fetchval("SELECT reference FROM tickets ORDER BY created_at DESC LIMIT 1"),
        "oldest": await connection.fetchval("SELECT reference FROM tickets ORDER BY created_at LIMIT 1"),
    }
    for status in ("OPEN", "IN_PROGRESS", "RESOLVED", "CLOSED"):
        references[f"some {status}"] = await connection.fetchval(
            "SELECT reference FROM tickets WHERE status = $1 ORDER BY random() LIMIT 1", status
        )
    cursors = {}
    for order, (start, reference) in product(ORDERS, references.items()):
        variables = {"filter": {"search": reference}, "orderBy": order_by(order)}
        answer = orjson.loads(await ask(server.port, post(CURSOR, variables, server.token)))
        cursors[order, start] = answer["data"]["tickets"]["edges"][0]["cursor"]
    return cursors


def pages(cursors: dict[tuple[Order, str], str]) -> list[Probe]:
    wanted: list[tuple[Order, str, dict[str, Any]]] = []
    for order in ORDERS:
        wanted += [(order, "first", {"first": 50}), (order, "last", {"last": 50})]
    for (order, start), cursor in cursors.items():
        wanted += [
            (order, f"after {start}", {"first": 50, "after": cursor}),
            (order, f"before {start}", {"last": 50, "before": cursor}),
        ]
    return [
        probe(page_group(order), f"{described(order)}, {start}", PAGE_MS, PAGE, {"orderBy": order_by(order), **where})
        for order, start, where in wanted
    ]


def page_group(order: Order) -> str:
    return "page" if len(order) == 1 else "page, by several fields"


async def filters_of(connection: Connection) -> dict[str, dict[str, Any]]:
    """Filters by name, which many, few or hardly any tickets match."""
    ranked = "SELECT technician_id FROM tickets WHERE technician_id IS NOT NULL GROUP BY 1 ORDER BY count(*)"
    busiest = await connection.fetchval(f"{ranked} DESC LIMIT 1")
    idlest = await connection.fetchval(f"{ranked} LIMIT 1")
    customer = await connection.fetchval("SELECT customer_id FROM tickets GROUP BY 1 ORDER BY count(*) DESC OFFSET 1")
    first = await connection.fetchval("SELECT min(created_at) FROM tickets")
    return {
        "OPEN": {"status": ["OPEN"]},
        "CLOSED": {"status": ["CLOSED"]},
        "OPEN, HIGH": {"status": ["OPEN"], "priority": ["HIGH"]},
        "OPEN or IN_PROGRESS, URGENT, INTERCOM": {
            "status": ["OPEN", "IN_PROGRESS"],
            "priority": ["URGENT"],
            "category": ["INTERCOM"],
        },
        "CLOSED, LOW, CCTV": {"status": ["CLOSED"], "priority": ["LOW"], "category": ["CCTV"]},
        "unassigned": {"assignee": {"unassigned": True}},
        "unassigned, RESOLVED": {"assignee": {"unassigned": True}, "status": ["RESOLVED"]},
        "busiest technician": {"assignee": {"technicianId": f"tec_{busiest}"}},
        "busiest technician, OPEN": {"assignee": {"technicianId": f"tec_{busiest}"}, "status": ["OPEN"]},
        "idlest technician": {"assignee": {"technicianId": f"tec_{idlest}"}},
        "a customer": {"customerId": f"cus_{customer}"},
        "from EMAIL": {"source": ["EMAIL"]},
        "the first week": {"createdAt": {"from": first.isoformat(), "until": (first + timedelta(days=7)).isoformat()}},
        "not CLOSED": {"not": {"status": ["CLOSED"]}},
        "URGENT or INTERCOM": {"or": [{"priority": ["URGENT"]}, {"category": ["INTERCOM"]}]},
    }


def filtered_pages(filters: dict[str, dict[str, Any]]) -> list[Probe]:
    ends: dict[str, dict[str, Any]] = {"first": {"first": 50}, "last": {"last": 50}}
    found = []
    for (name, filter), order, (end, where) in product(filters.items(), ORDERS, ends.items()):
        variables = {"filter": filter, "orderBy": order_by(order), **where}
        found.append(
            probe(f"{page_group(order)}, with filters", f"{name}, {described(order)}, {end}", PAGE_MS, PAGE, variables)
        )
    return found


# Searches


async def terms_of(connection: Connection) -> dict[str, int]:
    """Search terms with their numbers of matches, from terms in no ticket to terms in nearly all of them."""
    rows = await connection.fetch("SELECT searchable, reference, contact_name FROM tickets TABLESAMPLE SYSTEM (1)")
    words: Counter[str] = Counter()
    pieces: Counter[str] = Counter()
    for text, _, _ in rows:
        words.update(set(re.findall(r"\w{3,}", text)))
        pieces.update({text[start : start + size] for size in (1, 2) for start in range(len(text) - size + 1)})
    _, reference, name = rows[0]
    ranked = spread(words, 10)
    several = [f"{last} {first}" for first, last in zip(ranked, ranked[::-1], strict=True)]
    chosen = ["qzxwv", reference, reference[4:8], name, "power beeping after", "613-555-0199", *ranked, *several]
    chosen += spread(Counter({piece: n for piece, n in pieces.items() if not piece.isspace()}), 10)
    return {
        term: await connection.fetchval(
            "SELECT count(*) FROM tickets WHERE searchable LIKE ALL (search_patterns($1))", term
        )
        for term in dict.fromkeys(chosen)
    }


def spread(found: Counter[str], count: int) -> list[str]:
    """`count` of the terms, with frequencies spread evenly, on a logarithmic scale, between the rarest and the most
    common."""
    rarest, commonest = min(found.values()), max(found.values())
    wanted = [rarest * (commonest / rarest) ** (index / (count - 1)) for index in range(count)]
    return [min(sorted(found), key=lambda term: abs(found[term] - near)) for near in wanted]


def searches(terms: dict[str, int], filters: dict[str, dict[str, Any]]) -> list[Probe]:
    """Each term in every order, and with every filter in a random order."""
    random = Random(0)
    found = []
    for term, matches in terms.items():
        wanted: list[tuple[str, dict[str, Any], Order]] = [("", {}, order) for order in ORDERS]
        wanted += [(f", {name}", filter, random.choice(ORDERS)) for name, filter in filters.items()]
        for narrowed, filter, order in wanted:
            group = search_group(term, matches) + (", with filters" if filter else "")
            name = f"{term!r} ({matches:,} matches){narrowed}, {described(order)}"
            where = {"filter": {**filter, "search": term}, "orderBy": order_by(order), "first": 50}
            found.append(probe(group, name, search_target(order), PAGE, where))
    return found


def search_target(order: Order) -> float:
    return PAGE_MS if order == NEWEST_FIRST else SORTED_SEARCH_MS


def search_group(term: str, matches: int) -> str:
    if len(term) <= 2:
        return "search of 1 or 2 characters"
    return "search, rare" if matches < 200 else "search, in between" if matches < 100_000 else "search, common"


# Type-ahead


async def type_aheads(connection: Connection) -> list[Probe]:
    return [
        probe("type-ahead", repr(text), TYPE_AHEAD_MS, TYPE_AHEAD, {"search": text}) for text in await typed(connection)
    ]


async def typed(connection: Connection) -> list[str]:
    """The texts that arise, letter by letter, while the name, e-mail address or account number of some customers is
    typed."""
    rows = await connection.fetch("SELECT name, email, account_number FROM customers ORDER BY random() LIMIT 8")
    pieces = {text[:length] for row in rows for text in row.values() for length in range(1, min(len(text), 12) + 1)}
    pieces |= {row["name"].split()[-1].lower() for row in rows} | {"qzxwv", "example", "@", "0"}
    return sorted(text for text in pieces if text.strip())


# Counts


def status_tabs(group: str) -> list[Probe]:
    wanted: dict[str, dict[str, Any]] = {
        "all": {},
        "HIGH": {"priority": ["HIGH"]},
        "CCTV": {"category": ["CCTV"]},
        "HIGH or URGENT, ALARM": {"priority": ["HIGH", "URGENT"], "category": ["ALARM"]},
        "unassigned": {"assignee": {"unassigned": True}},
        "unassigned, LOW": {"assignee": {"unassigned": True}, "priority": ["LOW"]},
    }
    return [probe(group, name, TABS_MS, TABS, {"filter": filter}) for name, filter in wanted.items()]


def totals(terms: dict[str, int], filters: dict[str, dict[str, Any]]) -> list[Probe]:
    """Totals, which have no target: with some filters the rows have to be counted."""
    searched = {f"{term!r} ({matches:,} matches)": {"search": term} for term, matches in terms.items()}
    wanted: tuple[tuple[str, str, dict[str, dict[str, Any]]], ...] = (
        ("totalCount", TOTAL, {"all": {}}),
        ("totalCount, with filters", TOTAL, filters),
        ("totalCount of a search", TOTAL, searched),
        ("status tabs of a search", TABS, searched),
    )
    return [
        probe(group, name, None, document, {"filter": filter})
        for group, document, each in wanted
        for name, filter in each.items()
    ]


# Viewers who do not see everything


async def viewers_of(connection: Connection) -> dict[str, tuple[Role, str]]:
    """For each role but admin, the viewer who sees the most tickets; and the technician who sees the fewest."""

    async def found(column: str, end: str, condition: str = "true") -> str:
        ranked = f"SELECT {column} FROM tickets WHERE {column} IS NOT NULL AND {condition} GROUP BY 1"
        return str(await connection.fetchval(f"{ranked} ORDER BY count(*) {end} LIMIT 1"))

    return {
        "busiest technician": (Role.TECHNICIAN, f"tec_{await found('technician_id', 'DESC')}"),
        "idlest technician": (Role.TECHNICIAN, f"tec_{await found('technician_id', 'ASC')}"),
        "customer": (Role.CUSTOMER, f"cus_{await found('customer_id', 'DESC')}"),
        "service": (Role.SERVICE, await found("creator_id", "DESC", "creator_kind = 'SERVICE'")),
    }


def of_others(server: Server, terms: dict[str, int]) -> list[Probe]:
    """The lists, searches and status tabs of each viewer."""
    filters: dict[str, dict[str, Any]] = {
        "all": {},
        "OPEN": {"status": ["OPEN"]},
        "not CLOSED": {"not": {"status": ["CLOSED"]}},
        "URGENT, CCTV": {"priority": ["URGENT"], "category": ["CCTV"]},
    }
    searched = list(terms)[::4]
    found = []
    for viewer in server.viewers:
        for (name, filter), order, end in product(filters.items(), ORDERS, ("first", "last")):
            variables = {"filter": filter, "orderBy": order_by(order), end: 50}
            found.append(
                probe(f"page of a {viewer}", f"{name}, {described(order)}, {end}", PAGE_MS, PAGE, variables, viewer)
            )
        for term, order in product(searched, ORDERS):
            name = f"{term!r} ({terms[term]:,} matches of all), {described(order)}"
            variables = {"filter": {"search": term}, "orderBy": order_by(order), "first": 50}
            found.append(probe(f"search of a {viewer}", name, search_target(order), PAGE, variables, viewer))
        for name, filter in filters.items():
            found.append(probe(f"status tabs of a {viewer}", name, TABS_MS, TABS, {"filter": filter}, viewer))
    return found


def people_of_others(server: Server, typed: list[str]) -> list[Probe]:
    """The lists of customers, properties and technicians, and the customer search, for each viewer."""
    found = []
    for viewer in server.viewers:
        # Customers and services may not list technicians.
        seen = [name for name in PEOPLE if name != "technicians" or "technician" in viewer]
        for name, end in product(seen, ("first", "last")):
            group = f"customers and the like of a {viewer}"
            found.append(probe(group, f"{name}, {end}", PAGE_MS, PEOPLE[name] % end, {}, viewer))
        group = f"type-ahead of a {viewer}"
        for text in typed[::3]:
            found.append(probe(group, repr(text), TYPE_AHEAD_MS, TYPE_AHEAD_OF_NAMES, {"search": text}, viewer))
    return found
