"""Hostile documents and variables: each is refused with the right code, at little more than the cost of reading it.

The cost is measured as CPU time of the server's process, because other work on the machine affects it less than the
elapsed time. A request that takes longer than `CPU_SECONDS` would hold up all others.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from callout.execution.documents import ERRORS_MAX, KEY_MAX, REPEATS_MAX, TOKENS_MAX
from db import limits
from tests.helpers.api import Api, Refusal, Server
from tests.helpers.database_checks import Database, dump

CPU_SECONDS = 0.5
ANSWER_BYTES = 20_000  # the limit of a refusal, even of a long request

LIMIT, INVALID, PARSE = "LIMIT_EXCEEDED", "GRAPHQL_VALIDATION_FAILED", "GRAPHQL_PARSE_FAILED"
INPUT, REQUEST = "BAD_USER_INPUT", "BAD_REQUEST"

TICKETS = "query($filter: TicketFilter) { tickets(filter: $filter) { totalCount } }"
NODES = "query($ids: [ID!]!) { nodes(ids: $ids) { id } }"
NOTHING = "tkt_00000000-0000-7000-8000-000000000000"


def times(count: int, text: str) -> str:
    """Returns the text this many times, with the number in place of each `#`."""
    return " ".join(text.replace("#", str(number)) for number in range(count))


def nest(depth: int, opening: str, inside: str, closing: str) -> str:
    return opening * depth + inside + closing * depth


def doubled(count: int, type_: str, opening: str = "", closing: str = "") -> str:
    """Returns fragments that each spread the next one twice, so that they expand to 2 to the power of `count`."""
    spreads = (f"fragment F{n} on {type_} {{ {opening} ...F{n + 1} ...F{n + 1} {closing} }}" for n in range(count))
    return " ".join((*spreads, f"fragment F{count} on {type_} {{ __typename }}"))


def circle(count: int) -> str:
    """Returns fragments that each spread all of them."""
    all_ = times(count, "...F#")
    return " ".join(f"fragment F{n} on Query {{ {all_} }}" for n in range(count))


def filters(depth: int, step: str) -> Any:
    """Returns a filter nested to this depth."""
    inner: Any = {}
    for _ in range(depth):
        inner = {step: inner if step == "not" else [inner]}
    return inner


FRAGMENTS = {
    "2^40 spread": (LIMIT, "{ ...F0 } " + doubled(40, "Query")),
    "2^40 spread in fields": (
        LIMIT,
        "{ me { customer { ...F0 } } } " + doubled(40, "Customer", "tickets { nodes { customer {", "} } }"),
    ),
    "2^40 that nobody spreads": (LIMIT, "{ __typename } " + doubled(40, "Query")),
    "one that spreads itself": (INVALID, "{ ...A } fragment A on Query { ...A }"),
    "one that spreads itself in a field": (
        INVALID,
        "{ me { customer { ...A } } } fragment A on Customer { tickets { nodes { customer { ...A } } } }",
    ),
    "twenty that spread each other": (INVALID, "{ ...F0 } " + circle(20)),
}

DEEP = {
    "a level too many": (
        LIMIT,
        "{ me { customer { " + nest(6, "tickets(first: 1) { nodes { customer { ", "id", " } } }") + " } } }",
    ),
    "inline fragments": (LIMIT, nest(500, "{ ... ", "{ __typename }", "}")),
    "selections": (LIMIT, nest(600, "{ a ", "{ a }", "}")),
    "lists": (LIMIT, "{ node(id: " + nest(600, "[", "", "]") + ") { id } }"),
    "objects": (LIMIT, "{ tickets(filter: " + nest(400, "{ not: ", "{}", "}") + ") { totalCount } }"),
    "objects, but fewer": (
        LIMIT,
        "{ tickets(filter: " + nest(185, "{ not: ", "{}", "}") + ") { totalCount } }",
    ),
    "types": (LIMIT, "query($a: " + nest(600, "[", "ID", "]") + ") { __typename }"),
    "brackets that never close": (LIMIT, "{ a " * 200_000),
}

LONG = {
    "500,000 tokens": (LIMIT, "{" + "a " * 500_000 + "}"),
    "300,000 comments": (LIMIT, "{ __typename } " + "#\n" * 300_000),
    "a name": (LIMIT, "{ " + "a" * 1_000_000 + " }"),
    "an alias": (LIMIT, "{ " + "a" * 1_000_000 + ": __typename }"),
    "an alias by a letter": (LIMIT, "{ " + "a" * (KEY_MAX + 1) + ": __typename }"),
    "a text": (INPUT, '{ tickets(filter: {customerId: "' + "a" * 1_000_000 + '"}) { totalCount } }'),
    "a text of 300,000 lines": (
        INPUT,
        '{ tickets(filter: {customerId: """' + "\n " * 300_000 + 'x"""}) { totalCount } }',
    ),
    "a text that never ends": (PARSE, '{ node(id: """' + "\n " * 300_000),
}

REPEATED = {
    "1,100 fields by fragments": (
        LIMIT,
        "{ " + times(11, "a#: me { ...F }") + " } fragment F on Viewer { " + times(99, "a#: name") + " }",
    ),
    "one field": (LIMIT, "{ " + "__typename " * (REPEATS_MAX + 1) + "}"),
    "one field that nobody spreads": (LIMIT, "{ __typename } fragment F on Query { " + "me { name } " * 480 + "}"),
    "one field by fragments": (
        LIMIT,
        "{ " + times(40, "...F#") + " } " + times(40, "fragment F# on Query { " + "me { name } " * 10 + "}"),
    ),
    "the schema": (LIMIT, "{ " + times(100, "a#: __schema { types { fields { args { name } } } }") + " }"),
    "the schema by fragments": (
        LIMIT,
        "{ "
        + times(60, "...F#")
        + " } "
        + times(60, "fragment F# on Query { a#: __schema { types { ...G } } }")
        + " fragment G on __Type { name fields { name args { name } } }",
    ),
    "the types": (LIMIT, "{ " + times(100, 'a#: __type(name: "Ticket") { fields { args { name } } }') + " }"),
    "the schema in itself": (
        INVALID,
        "{ __schema { types { " + nest(4, "fields { type { ", "name", " } }") + " } } }",
    ),
    "the schema in itself by fragments": (
        INVALID,
        "{ __schema { types { ...F0 } } } "
        + times(4, "fragment F# on __Type { fields { type { ...F#1 } } }")
        .replace("F01", "F1")
        .replace("F11", "F2")
        .replace("F21", "F3")
        .replace("F31", "F4")
        + " fragment F4 on __Type { name }",
    ),
    "@skip": (INVALID, "{ __typename " + "@skip(if: true) " * 200 + "}"),
    "unknown directives": (INVALID, "{ __typename " + "@a " * 900 + "}"),
    "unknown fields": (INVALID, "{ " + times(900, "tickts#") + " }"),
    "unknown words": (INVALID, "{ tickets(filter: { status: [" + "OPN " * 1_800 + "] }) { totalCount } }"),
    "one argument": (INVALID, "{ node(" + 'id: "a" ' * 600 + ") { id } }"),
    "one variable": (INVALID, "query(" + "$a: ID " * 390 + ") { __typename }"),
    "undefined variables": (INVALID, "{ " + times(150, "a#: node(id: $v#) { id }") + " }"),
    "one operation": (INVALID, "query A { __typename } " * 390),
    "operations of which none is named": (REQUEST, times(390, "query A# { __typename }")),
}

PAGE = "tickets(first: 100) { nodes { %s } }"
COSTLY = {
    "lists in lists": (
        LIMIT,
        "{ " + PAGE % ("customer { " + PAGE % "notes(first: 100) { nodes { id } }" + " }") + " }",
    ),
    "lists in lists by fragments": (
        LIMIT,
        "{ tickets(first: 100) { ...A } } fragment A on TicketConnection { edges { node { customer { ...B } } } } "
        "fragment B on Customer { tickets(last: 100) { ...C } } "
        "fragment C on TicketConnection { edges { node { history(first: 100) { nodes { id } } } } }",
    ),
    "lists side by side": (LIMIT, "{ " + times(120, "a#: " + PAGE % "id customer { id }") + " }"),
    "lists side by side by fragments": (
        LIMIT,
        "{ ...F0 ...F1 ...F2 } "
        + times(3, "fragment F# on Query { a#: " + PAGE % "notes(first: 100) { nodes { id } }" + " }"),
    ),
    "one page under aliases": (LIMIT, "{ tickets(first: 100) { " + times(400, "a#: nodes { id }") + " } }"),
    "one page's edges under aliases": (
        LIMIT,
        "{ tickets(first: 100) { " + times(250, "a#: edges { node { id } }") + " } }",
    ),
    "a neighbour under aliases": (LIMIT, "{ " + PAGE % times(300, "a#: customer { id }") + " }"),
    "neighbours' neighbours": (
        LIMIT,
        "{ " + PAGE % ("customer { " + PAGE % "customer { id } property { id } technician { id }" + " }") + " }",
    ),
    "a text under aliases": (
        LIMIT,
        "{ " + PAGE % ("customer { tickets(first: 90) { nodes { " + times(600, "a#: description") + " } } }") + " }",
    ),
    "lists beside the schema": (
        LIMIT,
        "{ __schema { queryType { name } } " + times(4, "a#: " + PAGE % "notes(first: 90) { nodes { id } }") + " }",
    ),
}

GROUPS = {"fragments": FRAGMENTS, "deep": DEEP, "long": LONG, "repeated": REPEATED, "costly": COSTLY}
DOCUMENTS = {f"{group}: {name}": case for group, cases in GROUPS.items() for name, case in cases.items()}
VARIABLES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "lists in lists": (
        LIMIT,
        "query($n: Int) { tickets(first: $n) { nodes { notes(first: $n) { nodes { ticket { "
        "history(first: $n) { nodes { id } } } } } } } }",
        {"n": 100},
    ),
    "lists below an interface": (
        LIMIT,
        "query($ids: [ID!]!) { nodes(ids: $ids) { ... on Customer { tickets(first: 100) { nodes { id } } } "
        "... on Property { tickets(first: 100) { nodes { notes(first: 3) { nodes { id } } } } } } }",
        {"ids": [NOTHING] * 100},
    ),
    "101 conditions in each other": (LIMIT, TICKETS, {"filter": filters(101, "not")}),
    "190 conditions in each other": (LIMIT, TICKETS, {"filter": filters(190, "not")}),
    "300 conditions in each other": (INPUT, TICKETS, {"filter": filters(300, "not")}),
    "300 alternatives in each other": (INPUT, TICKETS, {"filter": filters(300, "and")}),
    "101 alternatives": (LIMIT, TICKETS, {"filter": {"or": [{}] * 101}}),
    "200,000 alternatives": (LIMIT, TICKETS, {"filter": {"or": [{}] * 200_000}}),
    "200,000 conditions": (LIMIT, TICKETS, {"filter": {"and": [{}] * 200_000}}),
    "10 times 10 alternatives": (LIMIT, TICKETS, {"filter": {"or": [{"and": [{}] * 10}] * 10}}),
    "34 times three conditions": (
        LIMIT,
        TICKETS,
        {"filter": {"and": [{"status": ["OPEN"], "priority": ["LOW"], "search": "a"}] * 34}},
    ),
    "unknown conditions": (LIMIT, TICKETS, {"filter": {f"k{number}": 1 for number in range(70_000)}}),
    "unknown words": (LIMIT, TICKETS, {"filter": {"status": ["OPN"] * 100_000}}),
    "101 ids": (INPUT, NODES, {"ids": [NOTHING] * 101}),
    "150,000 ids": (LIMIT, NODES, {"ids": ["a"] * 150_000}),
    "ids that are none": (LIMIT, NODES, {"ids": [1.5] * 150_000}),
    "an id of 900 lists": (INPUT, NODES, {"ids": json.loads(nest(900, "[", "", "]"))}),
    "an id of a megabyte": (INPUT, TICKETS, {"filter": {"customerId": "cus_" + "a" * 1_000_000}}),
    "a cursor of a megabyte": (
        INPUT,
        "query($after: String) { tickets(after: $after) { totalCount } }",
        {"after": "A" * 1_000_000},
    ),
    "a search of a megabyte": (INPUT, TICKETS, {"filter": {"search": "a " * 500_000}}),
    "a page of a billion": (INPUT, "query($n: Int) { tickets(first: $n) { totalCount } }", {"n": 1_000_000_000}),
}
ALL: dict[str, tuple[str, str, dict[str, Any]]] = {name: (*case, {}) for name, case in DOCUMENTS.items()} | {
    f"variables: {name}": case for name, case in VARIABLES.items()
}


@pytest.fixture(scope="module")
async def admin(server: Server) -> AsyncIterator[Api]:
    async with Api(server) as api:
        yield api


@pytest.fixture(scope="module")
def process(server: Server) -> psutil.Process:
    """The server's process."""
    return psutil.Process(server.process.pid)


def spent(process: psutil.Process) -> float:
    used = process.cpu_times()
    return float(used.user + used.system)


async def refused(admin: Api, code: str, query: str, variables: dict[str, Any]) -> None:
    content = json.dumps({"query": query, "variables": variables}).encode()
    response = await admin.http.post("/graphql", content=content, headers={"content-type": "application/json"})
    body = response.json()
    assert list(body) == ["errors"]
    assert {error["extensions"]["code"] for error in body["errors"]} == {code}, body["errors"][0]
    assert len(body["errors"]) <= ERRORS_MAX + 1
    assert response.status_code == 400
    assert len(response.content) < ANSWER_BYTES


@pytest.mark.parametrize("name", ALL)
async def test_hostile_requests_are_refused_at_little_cost(admin: Api, process: psutil.Process, name: str) -> None:
    before = spent(process)
    await refused(admin, *ALL[name])
    assert spent(process) - before < CPU_SECONDS


async def test_other_requests_are_answered_meanwhile(admin: Api) -> None:
    async def ask() -> list[str]:
        return [(await admin("{ me { name } }"))["me"]["name"] for _ in range(20)]

    names, *_ = await asyncio.gather(ask(), *(refused(admin, *case) for case in ALL.values()))
    assert names == ["The Boss"] * 20


async def test_a_refused_document_changes_nothing(admin: Api, database: Database) -> None:
    create = 'customerCreate(input: { name: "x", email: "x@example.com", accountNumber: "x" }) { __typename }'
    costly = (
        "ticketCreate(input: $input) { ticket { " + "notes(first: 100) { nodes { ticket { " * 3 + "id" + " } } }" * 3
    )
    before = await dump(database)
    for rest in (costly + " } }", "__typename " * 101):
        with pytest.raises(Refusal) as refusal:
            await admin(
                f"mutation($input: TicketCreateInput!) {{ {create} {rest} }}",
                input={"subject": "x", "description": "x", "contact": {"name": "x", "email": "x@example.com"}},
            )
        assert refusal.value.codes == [LIMIT]
    assert await dump(database) == before


async def test_requests_at_the_limits_are_answered(admin: Api) -> None:
    chain = nest(5, "tickets(first: 1) { nodes { customer { ", "tickets { nodes { id } }", " } } }")
    viewers = "{ " + times(10, "a#: me { ...F }") + " } fragment F on Viewer { " + times(99, "a#: name") + " }"
    for document in (
        "{ tickets(filter: { status: [" + "OPEN " * (TOKENS_MAX - 17) + "] }) { totalCount } }",
        "{ me { customer { " + chain + " } } }",
        viewers,
        "{ " + "__typename " * REPEATS_MAX + "}",
        "{ " + "a" * KEY_MAX + ": __typename }",
        "{ __typename " + " " * 1_000_000 + "}",
        "{ " + PAGE % "customer { tickets(first: 90) { nodes { id } } }" + " }",
    ):
        await admin(document)
    await admin(TICKETS, filter=filters(49, "and"))
    await admin(TICKETS, filter={"search": "a" * limits.SEARCH_MAX})
    assert await admin.seen(NODES, ids=[NOTHING] * limits.PAGE_MAX) == {"nodes": [None] * limits.PAGE_MAX}


async def test_the_error_names_the_limit(admin: Api) -> None:
    for document, words in (
        ("{" + "a " * 3_000 + "}", "2000 tokens"),
        (nest(300, "{ ... ", "{ __typename }", "}"), "nested too deeply"),
        (
            "{ " + times(11, "a#: me { ...F }") + " } fragment F on Viewer { " + times(99, "a#: name") + " }",
            "1000 fields",
        ),
        (
            "{ " + PAGE % "customer { tickets(first: 100) { edges { node { id } } nodes { id } } }" + " }",
            "20,000 are allowed",
        ),
    ):
        with pytest.raises(Refusal) as refusal:
            await admin(document)
        assert words in refusal.value.response["errors"][0]["message"]


@pytest.mark.parametrize("line", [b"a", b"\r\nheader: x"], ids=["one header", "many headers"])
async def test_an_endless_head_is_refused(server: Server, line: bytes) -> None:
    """It needs no token, so it is the cheapest attack."""
    address = urlsplit(server.url)
    for size, end, status in ((60_000, b"\r\n\r\n", b"HTTP/1.1 200 "), (150_000, b"", b"HTTP/1.1 431 ")):
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        try:
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nx: " + line * (size // len(line)) + end)
            assert await asyncio.wait_for(reader.read(13), 5) == status
        finally:
            writer.close()
