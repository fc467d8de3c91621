"""Who may read the schema by a query, and is given its names by error messages: with the default setting, the staff."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from callout.execution.documents import InvalidDocument
from callout.execution.prepare import Preparer
from callout.settings import load
from db.enums import EVERYONE, STAFF, Role
from db.errors import Forbidden
from db.viewer import Viewer
from schema import graphql_schema, schema
from tests.helpers.api import Api, Server
from tests.helpers.budgets import free_charge
from tests.helpers.graphql_ws_client import WITHIN, live

INTROSPECTING = {
    "the schema": "{ __schema { queryType { name } } }",
    "a type": '{ __type(name: "Ticket") { fields { name } } }',
    "under an alias": "{ me { name } a: __schema { types { name } } }",
    "in a fragment": "{ ...F } fragment F on Query { ... { __schema { types { name } } } }",
    "skipped": "{ me { name } __schema @skip(if: true) { types { name } } }",
    "by a variable": "query($no: Boolean! = false) { me { name } __schema @include(if: $no) { types { name } } }",
    "in one of several operations": "query A { __schema { types { name } } } query B { me { name } }",
}

MISSPELT: dict[str, tuple[str, Mapping[str, Any]]] = {
    "a root field": ("{ tickts { totalCount } }", {}),
    "a field": ("{ tickets { nodes { subjct } } }", {}),
    "a field of another type": ('{ node(id: "x") { subject } }', {}),
    "an argument": ("{ tickets(frst: 1) { totalCount } }", {}),
    "an argument of a directive": ("{ me { name @skip(iff: true) } }", {}),
    "a type": ("{ node(id: 5) { ... on Tickt { id } } }", {}),
    "the type of a variable": ("query($f: TicketFiltr) { tickets(filter: $f) { totalCount } }", {}),
    "an input field": ("{ tickets(filter: {statuss: OPEN}) { totalCount } }", {}),
    "an enum value": ("{ tickets(filter: {status: [OPN]}) { totalCount } }", {}),
    "an enum value in a variable": (
        "query($s: [TicketStatus!]) { tickets(filter: {status: $s}) { totalCount } }",
        {"s": ["OPN"]},
    ),
    "an input field in a variable": (
        "query($f: TicketFilter) { tickets(filter: $f) { totalCount } }",
        {"f": {"statuss": ["OPEN"]}},
    ),
    "something in a long document": ("{ tickts { totalCount } " + " " * 1_000 + "}", {}),
}


@pytest.fixture
async def viewers(api: Api) -> AsyncIterator[dict[Role, Api]]:
    technician, customer = await api.new_technician(), await api.new_customer()
    async with api.technician(technician) as tess, api.customer(customer) as cora, api.service() as chatbot:
        yield {Role.ADMIN: api, Role.TECHNICIAN: tess, Role.CUSTOMER: cora, Role.SERVICE: chatbot}


async def answers(viewer: Api, document: str, variables: Mapping[str, Any]) -> list[str]:
    """Returns the answers to the request over HTTP, a WebSocket and server-sent events, as text."""
    name = "A" if "query A" in document else None
    body = {"query": document, "variables": dict(variables), "operationName": name}
    posted = await viewer.http.post("/graphql", json=body)
    streamed = await viewer.http.post("/graphql/stream", json=body)
    async with live(viewer) as client:
        await client.send(type="subscribe", id="1", payload=body)
        async with asyncio.timeout(WITHIN):
            message = json.loads(await client.connection.recv())
    return [posted.text, streamed.text, json.dumps(message["payload"])]


@pytest.mark.parametrize("document", INTROSPECTING.values(), ids=INTROSPECTING)
async def test_staff_introspect_and_others_do_not(viewers: dict[Role, Api], document: str) -> None:
    """An admin's request first: the document that is kept from it gives nobody else the right."""
    for role, viewer in viewers.items():
        for answer in await answers(viewer, document, {}):
            assert ("FORBIDDEN" in answer) == (role not in STAFF), (role, answer)
            assert ("__schema" in answer or "__type" in answer) <= (role in STAFF)


async def test_the_other_operation_of_a_document_that_introspects_is_for_everybody(viewers: dict[Role, Api]) -> None:
    body = {"query": INTROSPECTING["in one of several operations"], "operationName": "B"}
    for viewer in viewers.values():
        assert (await viewer.http.post("/graphql", json=body)).json()["data"]["me"]


async def test_typenames_are_for_everybody(viewers: dict[Role, Api]) -> None:
    for viewer in viewers.values():
        found = await viewer("{ __typename me { __typename } tickets { nodes { __typename } } }")
        assert (found["__typename"], found["me"]["__typename"]) == ("Query", "Viewer")


@pytest.mark.parametrize(("document", "variables"), MISSPELT.values(), ids=MISSPELT)
async def test_only_staff_are_given_suggestions(
    viewers: dict[Role, Api], document: str, variables: Mapping[str, Any]
) -> None:
    for role, viewer in viewers.items():
        for answer in await answers(viewer, document, variables):
            assert "GRAPHQL_VALIDATION_FAILED" in answer or "BAD_USER_INPUT" in answer
            assert ("Did you mean" in answer) == (role in STAFF), (role, answer)


def test_the_setting_chooses_the_roles(server: Server) -> None:
    secret, url = server.settings.jwt_secret, server.database_url
    for given, roles in {"on": EVERYONE, "staff": STAFF, "off": frozenset(), "OFF": frozenset()}.items():
        chosen = load(env="production", database_url=url, jwt_secret=secret, introspection=given)
        assert chosen.introspecting == roles
    assert load(env="production", database_url=url, jwt_secret=secret).introspecting == STAFF


async def test_nobody_may_introspect_if_it_is_off() -> None:
    preparer = Preparer(graphql_schema(schema), frozenset())
    for role in Role:
        for document in INTROSPECTING.values():
            name = "A" if "query A" in document else None
            fetched = await preparer.fetch_operation(document, name, role, free_charge())
            assert preparer.prepared(*fetched) is None
            with pytest.raises(Forbidden):
                await preparer.bind_unprepared(*fetched, {}, Viewer(role, "x", "X"), free_charge())
        with pytest.raises(InvalidDocument) as refused:
            await preparer.fetch_operation("{ tickts { totalCount } }", None, role, free_charge())
        assert [error.message for error in refused.value.errors] == ["Cannot query field 'tickts' on type 'Query'."]
