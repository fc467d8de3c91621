"""Repeating a create with its idempotency key has one effect and returns one result."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from db.enums import Role
from db.ids import new_id
from db.viewer import Viewer
from notifiers.message_ids import OwnMail
from resolvers.idempotency import claim
from resolvers.mutation import Call, Refused
from tests.helpers.api import Api
from tests.helpers.attached_files import announced, files_in
from tests.helpers.database_checks import Database, dump
from tests.helpers.schema_walker import input_fields, root_fields

Inputs: TypeAlias = Callable[[Api], Awaitable[dict[str, Any]]]

_numbers = itertools.count(1)


async def a_ticket(api: Api) -> dict[str, Any]:
    customer, technician = await api.new_customer(), await api.new_technician()
    return {"subject": "s", "description": "d", "customerId": customer, "technicianId": technician, "priority": "HIGH"}


async def a_note(api: Api) -> dict[str, Any]:
    return {"ticketId": await api.new_ticket(), "body": "Called."}


async def a_file(api: Api) -> dict[str, Any]:
    return announced(b"file", ticketId=await api.new_ticket())


async def a_customer(api: Api) -> dict[str, Any]:
    n = next(_numbers)
    return {"name": "Ann Lee", "email": f"ann{n}@lee.test", "accountNumber": f"I-{n}", "phone": None}


async def a_property(api: Api) -> dict[str, Any]:
    return {"customerId": await api.new_customer(), "address": "1 Elm Street", "accountNumber": f"I-{next(_numbers)}"}


async def a_technician(api: Api) -> dict[str, Any]:
    return {"name": "Tess Okafor", "email": f"tess{next(_numbers)}@company.test"}


async def an_article(api: Api) -> dict[str, Any]:
    return {"problem": "p", "solution": "s", "published": True}


async def an_article_from_a_ticket(api: Api) -> dict[str, Any]:
    ticket = await api.new_ticket()
    await api.done("ticketResolve", "__typename", ticketId=ticket, resolution="Done.")
    return {"ticketId": ticket}


CREATES: dict[str, tuple[str, str, Inputs, dict[str, Any]]] = {
    # The object that it creates, the table, an input, and a change that makes a different request.
    "ticketCreate": ("ticket", "tickets", a_ticket, {"priority": "LOW"}),
    "noteAdd": ("note", "notes", a_note, {"internalOnly": True}),
    "attachmentCreate": ("attachment", "attachments", a_file, {"name": "other.jpg"}),
    "customerCreate": ("customer", "customers", a_customer, {"phone": "613-555-1234"}),
    "propertyCreate": ("property", "properties", a_property, {"address": "2 Elm Street"}),
    "technicianCreate": ("technician", "technicians", a_technician, {"name": "Tess Ruiz"}),
    "articleCreate": ("article", "articles", an_article, {"published": False}),
    "articleCreateFromTicket": (
        "article",
        "articles",
        an_article_from_a_ticket,
        {"ticketId": "tkt_00000000-0000-7000-8000-000000000000"},
    ),
}


def test_the_tests_cover_each_mutation_with_an_idempotency_key() -> None:
    assert CREATES.keys() == {name for name in root_fields("Mutation") if "idempotencyKey" in input_fields(name)}


def key() -> str:
    return f"request {next(_numbers)}"


@pytest.mark.parametrize("mutation", CREATES)
async def test_twenty_concurrent_retries_have_one_effect_and_one_result(
    api: Api, database: Database, mutation: str
) -> None:
    kind, table, inputs, _ = CREATES[mutation]
    input = await inputs(api) | {"idempotencyKey": key()}
    count, events = await counts(database, table)
    answers = await asyncio.gather(*(api.done(mutation, f"{kind} {{ id }}", **input) for _ in range(20)))
    assert len({answer[kind]["id"] for answer in answers}) == 1
    logged = 1 if kind in ("ticket", "note") else 0
    assert await counts(database, table) == (count + 1, events + logged)
    # A later retry returns the same.
    assert await api.done(mutation, f"{kind} {{ id }}", **input) == answers[0]
    assert await counts(database, table) == (count + 1, events + logged)


async def counts(database: Database, table: str) -> tuple[int, int]:
    row = await database.fetchrow(f"SELECT (SELECT count(*) FROM {table}), (SELECT count(*) FROM ticket_events)")
    assert row is not None
    return row[0], row[1]


@pytest.mark.parametrize("mutation", CREATES)
async def test_a_key_used_for_another_request_is_a_conflict(api: Api, database: Database, mutation: str) -> None:
    kind, _, inputs, other = CREATES[mutation]
    input = await inputs(api) | {"idempotencyKey": key()}
    await api.done(mutation, "__typename", **input)
    before = await dump(database)
    payload = await api.do(mutation, f"{kind} {{ id }}", **input | other)
    assert payload[kind] is None
    assert [(e["code"], e["field"]) for e in payload["userErrors"]] == [
        ("IDEMPOTENCY_CONFLICT", ["input", "idempotencyKey"])
    ]
    assert await dump(database) == before


async def test_a_key_used_for_another_mutation_is_a_conflict(api: Api) -> None:
    ticket, used = await api.new_ticket(), key()
    await api.done("ticketResolve", "__typename", ticketId=ticket, resolution="Done.")
    await api.done("articleCreateFromTicket", "__typename", ticketId=ticket, idempotencyKey=used)
    refused = await api.refused("noteAdd", ticketId=ticket, body="b", idempotencyKey=used)
    assert refused == [("IDEMPOTENCY_CONFLICT", "idempotencyKey")]


async def test_equal_inputs_of_two_mutations_are_different_requests(database: Any) -> None:
    """Regardless of the order of fields. No two mutations have the same input today, so this test calls `claim`."""
    own_mail, files = OwnMail(frozenset(), ""), files_in(Path("/nowhere"))
    call = Call(Viewer(Role.ADMIN, "boss", "Boss"), None, {}, own_mail, files)  # type: ignore[arg-type]
    request, made = {"idempotencyKey": key(), "ticketId": "tkt_1", "body": "b"}, new_id()
    assert await claim(database, call, "noteAdd", request, made) is None
    assert await claim(database, call, "noteAdd", dict(reversed(request.items())), new_id()) == made
    with pytest.raises(Refused) as refused:
        await claim(database, call, "ticketResolve", request, new_id())
    assert [error.code for error in refused.value.errors] == ["IDEMPOTENCY_CONFLICT"]


async def test_one_of_two_concurrent_requests_with_the_same_key_succeeds(api: Api, database: Database) -> None:
    used = key()
    inputs = [{"problem": f"p{n % 2}", "solution": "s", "idempotencyKey": used} for n in range(12)]
    payloads = await asyncio.gather(*(api.do("articleCreate", "article { id problem }", **input) for input in inputs))
    done = [payload["article"] for payload in payloads if payload["article"]]
    assert len(done) == 6
    assert len({article["id"] for article in done}) == 1
    refused = [error["code"] for payload in payloads for error in payload["userErrors"]]
    assert refused == ["IDEMPOTENCY_CONFLICT"] * 6


async def test_a_key_belongs_to_its_caller(api: Api) -> None:
    """It does not collide with another viewer's, even of the same name in another role."""
    technician, customer = await api.new_technician(), await api.new_customer()
    input = {"subject": "s", "description": "d", "contact": {"name": "n", "email": "n@example.com"}}
    input["idempotencyKey"] = key()
    async with (
        api.technician(technician) as tess,
        api.customer(customer) as cora,
        api.service("boss") as namesake,
        Api(api.server, Role.ADMIN, "another boss", "The Boss") as other,
    ):
        made = [
            (await viewer.done("ticketCreate", "ticket { id }", **input))["ticket"]["id"]
            for viewer in (api, tess, cora, namesake, other)
        ]
        assert len(set(made)) == 5
        again = await tess.done("ticketCreate", "ticket { id }", **input)
        assert again["ticket"]["id"] == made[1]


@pytest.mark.parametrize(
    ("mutation", "code", "wrong"),
    [
        ("ticketCreate", "NOT_FOUND", {"technicianId": "tec_00000000-0000-7000-8000-000000000000"}),
        ("noteAdd", "NOT_FOUND", {"ticketId": "tkt_00000000-0000-7000-8000-000000000000"}),
        ("customerCreate", "TAKEN", {"email": "taken@example.com"}),
        ("propertyCreate", "NOT_FOUND", {"customerId": "cus_00000000-0000-7000-8000-000000000000"}),
        ("technicianCreate", "INVALID", {"email": "nobody"}),
        ("articleCreate", "REQUIRED", {"solution": " "}),
        ("articleCreateFromTicket", "NOT_FOUND", {"ticketId": "tkt_00000000-0000-7000-8000-000000000000"}),
    ],
)
async def test_a_refused_request_does_not_use_its_key(
    api: Api, mutation: str, code: str, wrong: dict[str, str]
) -> None:
    if mutation == "customerCreate":
        await api.new_customer(email="taken@example.com")
    kind, _, inputs, _ = CREATES[mutation]
    input = await inputs(api) | {"idempotencyKey": key()}
    (field,) = wrong
    for _ in range(2):
        assert await api.refused(mutation, "__typename", **input | wrong) == [(code, field)]
    assert (await api.done(mutation, f"{kind} {{ id }}", **input))[kind]["id"]


async def test_a_retry_returns_the_first_result_even_if_it_is_no_longer_possible(api: Api) -> None:
    """The first request succeeded, so later changes do not matter."""
    input = await a_ticket(api) | {"idempotencyKey": key()}
    made = (await api.done("ticketCreate", "ticket { id }", **input))["ticket"]["id"]
    await api.done("technicianUpdate", "__typename", technicianId=input["technicianId"], active=False)
    await api.done("ticketUpdate", "__typename", ticketId=made, subject="Another")
    again = (await api.done("ticketCreate", "ticket { id subject version }", **input))["ticket"]
    assert again == {"id": made, "subject": "Another", "version": 2}

    from_ticket = await an_article_from_a_ticket(api) | {"idempotencyKey": key()}
    article = (await api.done("articleCreateFromTicket", "article { id }", **from_ticket))["article"]
    await api.done("ticketSetStatus", "__typename", ticketId=from_ticket["ticketId"], status="OPEN")
    assert (await api.done("articleCreateFromTicket", "article { id }", **from_ticket))["article"] == article


async def test_the_order_of_fields_and_spaces_around_the_key_are_ignored(api: Api) -> None:
    used = key()
    document = """mutation { articleCreate(input: {%s}) { article { id } userErrors { code } } }"""
    fields = ['problem: "p"', 'solution: "s"', f'idempotencyKey: "{used}"']
    first = await api(document % ", ".join(fields))
    assert first["articleCreate"]["userErrors"] == []
    assert await api(document % ", ".join(reversed(fields))) == first
    assert (await api.done("articleCreate", "article { id }", problem="p", solution="s", idempotencyKey=f" {used} "))[
        "article"
    ] == first["articleCreate"]["article"]


async def test_requests_without_a_key_are_independent(api: Api) -> None:
    made = [
        (await api.done("articleCreate", "article { id }", problem="p", solution="s", **given))["article"]["id"]
        for given in ({}, {}, {"idempotencyKey": None}, {"idempotencyKey": None})
    ]
    assert len(set(made)) == 4


@pytest.mark.parametrize("mutation", CREATES)
async def test_a_bad_key_is_refused(api: Api, database: Database, mutation: str) -> None:
    _, _, inputs, _ = CREATES[mutation]
    input = await inputs(api)
    before = await dump(database)
    for bad, code in (("", "REQUIRED"), (" ", "REQUIRED"), ("x" * 201, "TOO_LONG"), ("a\0b", "INVALID")):
        assert await api.refused(mutation, "__typename", **input, idempotencyKey=bad) == [(code, "idempotencyKey")]
    assert await dump(database) == before


async def test_a_key_can_be_used_once_within_a_document(api: Api) -> None:
    document = """mutation($k: String!) {
      a: articleCreate(input: {problem: "a", solution: "s", idempotencyKey: $k}) { article { id } userErrors { code } }
      b: articleCreate(input: {problem: "b", solution: "s", idempotencyKey: $k}) { article { id } userErrors { code } }
      c: articleCreate(input: {problem: "a", solution: "s", idempotencyKey: $k}) { article { id } userErrors { code } }
    }"""
    answer = await api(document, k=key())
    assert [error["code"] for error in answer["b"]["userErrors"]] == ["IDEMPOTENCY_CONFLICT"]
    assert answer["a"]["userErrors"] == []
    assert answer["a"] == answer["c"]
