"""Repeating a create with its idempotency key has one effect and returns one result."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import asyncpg
import pytest
from graphql import get_named_type, is_object_type

from db.enums import Role
from tests.helpers.api import Api, Refusal
from tests.helpers.attached_files import announce, announced, attach
from tests.helpers.database_checks import Database, dump
from tests.helpers.graphql_ws_client import live
from tests.helpers.push_service import SETTINGS, SUBSCRIPTION
from tests.helpers.schema_walker import input_fields, root_fields
from tests.helpers.sessions import new_admin, signed_in

Inputs: TypeAlias = Callable[[Api], Awaitable[dict[str, Any]]]

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def server_settings() -> dict[str, str]:
    return SETTINGS


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


# Other mutations: an input, and the change that makes it a different request.


async def a_status(api: Api) -> dict[str, Any]:
    return {"ticketId": await api.new_ticket(), "status": "IN_PROGRESS"}


async def a_resolution(api: Api) -> dict[str, Any]:
    return {"ticketId": await api.new_ticket(), "resolution": "Replaced the battery."}


async def an_update(api: Api) -> dict[str, Any]:
    return {"ticketId": await api.new_ticket(), "subject": "Another", "contact": {"email": "new@example.com"}}


async def an_assignment(api: Api) -> dict[str, Any]:
    return {"ticketId": await api.new_ticket(), "technicianId": await api.new_technician()}


async def several_tickets(api: Api) -> dict[str, Any]:
    open_, closed = await api.new_ticket(), await api.new_ticket()
    await api.done("ticketSetStatus", "__typename", ticketId=closed, status="CLOSED")
    return {"ticketIds": [open_, closed], "status": "RESOLVED", "resolution": "Done."}


async def a_customers_change(api: Api) -> dict[str, Any]:
    return {"customerId": await api.new_customer(), "name": "Ann Lee"}


async def a_customer_to_erase(api: Api) -> dict[str, Any]:
    return {"customerId": await api.new_customer()}


async def a_customer_to_look_up(api: Api) -> dict[str, Any]:
    email = f"found{next(_numbers)}@example.com"
    await api.new_customer(email=email)
    return {"email": email}


async def a_propertys_change(api: Api) -> dict[str, Any]:
    return {"propertyId": await api.new_property(await api.new_customer()), "address": "2 Elm Street"}


async def an_access_note(api: Api) -> dict[str, Any]:
    return {"propertyId": await api.new_property(await api.new_customer()), "body": "Mind the dog."}


async def a_technicians_change(api: Api) -> dict[str, Any]:
    return {"technicianId": await api.new_technician(), "name": "Tess Okafor"}


async def an_articles_change(api: Api) -> dict[str, Any]:
    made = await api.done("articleCreate", "article { id }", problem="p", solution="s")
    return {"articleId": made["article"]["id"], "solution": "Better."}


async def settings(api: Api) -> dict[str, Any]:
    return {"reopenDays": next(_numbers)}


async def a_step(api: Api) -> dict[str, Any]:
    ticket = await api.new_ticket(technicianId=await api.new_technician())
    found = await api("query($id: ID!) { ticket(by: {id: $id}) { assignment { id } } }", id=ticket)
    return {"assignmentId": found["ticket"]["assignment"]["id"], "to": "ACCEPTED"}


async def a_device(api: Api) -> dict[str, Any]:
    n = next(_numbers)
    return SUBSCRIPTION | {"deviceId": f"device {n}", "endpoint": f"https://push.example.test/{n}"}


async def a_subscribed_device(api: Api) -> dict[str, Any]:
    device = await a_device(api)
    await api.done("pushSubscriptionSet", "__typename", **device)
    return {"deviceId": device["deviceId"]}


async def an_api_key(api: Api) -> dict[str, Any]:
    return {"name": f"Key {next(_numbers)}"}


async def a_webhook(api: Api) -> dict[str, Any]:
    return {"url": "https://hooks.invalid/", "document": "subscription { ticketChanged { __typename } }"}


async def an_existing_webhook(api: Api) -> dict[str, Any]:
    made = await api.done("webhookCreate", "webhook { id }", **await a_webhook(api))
    return {"webhookId": made["webhook"]["id"]}


async def a_webhook_to_replay(api: Api) -> dict[str, Any]:
    cursor = (await api("{ ticketEvents { cursor } }"))["ticketEvents"]["cursor"]
    return await an_existing_webhook(api) | {"after": cursor}


async def an_existing_api_key(api: Api) -> dict[str, Any]:
    made = await api.done("apiKeyCreate", "apiKey { id }", name="Key")
    return {"apiKeyId": made["apiKey"]["id"]}


async def an_api_keys_change(api: Api) -> dict[str, Any]:
    return await an_existing_api_key(api) | {"name": "Renamed"}


async def a_subject(api: Api) -> dict[str, Any]:
    return {"subject": f"somebody {next(_numbers)}"}


async def an_account(api: Api) -> dict[str, Any]:
    person = {"technicianId": await api.new_technician()}
    return {"issuer": "https://id.example", "subject": f"account {next(_numbers)}", "person": person}


async def an_identity(api: Api) -> dict[str, Any]:
    made = await api.done("identityLink", "identity { id }", **await an_account(api))
    return {"identityId": made["identity"]["id"]}


async def an_admin(api: Api) -> dict[str, Any]:
    return {"name": "Ada", "email": f"ada{next(_numbers)}@admins.test"}


async def an_admins_change(api: Api) -> dict[str, Any]:
    made = await api.done("adminCreate", "admin { id }", **await an_admin(api))
    return {"adminId": made["admin"]["id"], "name": "Ada King"}


async def a_session(api: Api) -> dict[str, Any]:
    await signed_in(api.server.database_url, Role.ADMIN, await new_admin(api.server.database_url))
    return {"sessionId": (await api("{ sessions(first: 1) { nodes { id } } }"))["sessions"]["nodes"][0]["id"]}


async def a_mail(api: Api) -> dict[str, Any]:
    n = next(_numbers)
    return {"message": {"text": f"From: Mia <mia@example.com>\nSubject: Beeping {n}\nMessage-ID: <{n}@x>\n\nIt beeps."}}


async def an_automatic_mail(api: Api) -> dict[str, Any]:
    n = next(_numbers)
    text = f"From: Ada <ada{n}@x.test>\nSubject: Away\nMessage-ID: <{n}@x>\nPrecedence: bulk\n\nAway {n}."
    await api.done("inboundEmailIngest", "__typename", message={"text": text})
    newest = await api("{ inboundMessages(first: 1) { nodes { id } } }")
    return {"inboundMessageId": newest["inboundMessages"]["nodes"][0]["id"]}


async def a_dead_delivery(api: Api) -> dict[str, Any]:
    """That of a new ticket, because the test's server sends no mail."""
    ticket = await api.new_ticket(contact={"name": "n", "email": f"dead{next(_numbers)}@example.com"})
    database = await asyncpg.connect(api.server.database_url)
    given_up = "UPDATE deliveries SET state = 'DEAD', finished_at = now() WHERE ticket_id = $1::uuid RETURNING id::text"
    delivery = await database.fetchval(given_up, ticket.removeprefix("tkt_"))
    await database.close()
    return {"deliveryId": f"dlv_{delivery}"}


NOBODY = "00000000-0000-7000-8000-000000000000"
CHANGES: dict[str, tuple[Inputs, dict[str, Any]]] = {
    "ticketUpdate": (an_update, {"subject": "Third"}),
    "ticketAssign": (an_assignment, {"technicianId": None}),
    "ticketSetStatus": (a_status, {"status": "CLOSED"}),
    "ticketResolve": (a_resolution, {"resolution": "Nothing to do."}),
    "ticketsBulkUpdate": (several_tickets, {"status": "CLOSED"}),
    "customerUpdate": (a_customers_change, {"name": "Bob Lee"}),
    "customerErase": (a_customer_to_erase, {"customerId": f"cus_{NOBODY}"}),
    "customerLookUp": (a_customer_to_look_up, {"email": "nobody@example.com"}),
    "propertyUpdate": (a_propertys_change, {"address": "3 Elm Street"}),
    "propertyAccessNoteAdd": (an_access_note, {"body": "The key is under the mat."}),
    "technicianUpdate": (a_technicians_change, {"name": "Tess Ruiz"}),
    "articleUpdate": (an_articles_change, {"solution": "Best."}),
    "assignmentAdvance": (a_step, {"to": "EN_ROUTE"}),
    "pushSubscriptionSet": (a_device, {"deviceId": "another device"}),
    "pushSubscriptionRemove": (a_subscribed_device, {"deviceId": "another device"}),
    "deliveryRetry": (a_dead_delivery, {"deliveryId": f"dlv_{NOBODY}"}),
    "supportSettingsUpdate": (settings, {"reopenDays": 0}),
    "apiKeyCreate": (an_api_key, {"name": "Another"}),
    "apiKeyUpdate": (an_api_keys_change, {"name": "Another"}),
    "apiKeyRevoke": (an_existing_api_key, {"apiKeyId": f"key_{NOBODY}"}),
    "tokensRevoke": (a_subject, {"subject": "somebody else"}),
    "identityLink": (an_account, {"subject": "another"}),
    "identityRevoke": (an_identity, {"identityId": f"idn_{NOBODY}"}),
    "adminCreate": (an_admin, {"name": "Grace"}),
    "adminUpdate": (an_admins_change, {"name": "Ada Lovelace"}),
    "sessionRevoke": (a_session, {"sessionId": f"ses_{NOBODY}"}),
    "inboundEmailIngest": (a_mail, {"message": {"text": "From: Bob <bob@example.com>\n\nHello"}}),
    "inboundMessageAccept": (an_automatic_mail, {"contactEmail": "bob@example.com"}),
    "inboundMessageDiscard": (an_automatic_mail, {"inboundMessageId": f"inb_{NOBODY}"}),
    "webhookCreate": (a_webhook, {"url": "https://other.invalid/"}),
    "webhookUpdate": (an_existing_webhook, {"webhookId": f"whk_{NOBODY}"}),
    "webhookRotateSecret": (an_existing_webhook, {"webhookId": f"whk_{NOBODY}"}),
    "webhookSuspend": (an_existing_webhook, {"webhookId": f"whk_{NOBODY}"}),
    "webhookResume": (an_existing_webhook, {"webhookId": f"whk_{NOBODY}"}),
    "webhookReplay": (a_webhook_to_replay, {"webhookId": f"whk_{NOBODY}"}),
    "webhookTest": (an_existing_webhook, {"webhookId": f"whk_{NOBODY}"}),
    "webhookDelete": (an_existing_webhook, {"webhookId": f"whk_{NOBODY}"}),
    **{mutation: (inputs, other) for mutation, (_, _, inputs, other) in CREATES.items()},
}
COUNTING = {"article_words", "tracking_guesses"}

SHOWN_ONCE = {"apiKeyCreate": "secret", "webhookCreate": "secret", "webhookRotateSecret": "secret"}
"""What the answer to a repeated request does not show any more."""


def test_every_mutation_takes_an_idempotency_key() -> None:
    names = set(root_fields("Mutation"))
    # The commands of `commandsApply` have a key each, and to repeat `presenceSet` is to renew a presence.
    keyed = names - {"commandsApply", "presenceSet"}
    assert {name for name in names if "idempotencyKey" in input_fields(name)} == keyed
    # tests/mail/test_delivery.py repeats a test message: nothing can be sent here.
    assert keyed - {"supportSettingsTest"} == CHANGES.keys()


def payload_of(mutation: str) -> str:
    """The fields of a mutation's payload, with the ids of its objects, and without what each answer has anew."""
    selected = []
    payload = get_named_type(root_fields("Mutation")[mutation].type)
    assert is_object_type(payload)
    for name, field in payload.fields.items():
        type_ = get_named_type(field.type)
        if name in ("userErrors", "streamCursor", "uploadUrl", "ticketsLeft", "done"):
            continue
        below = ""
        if is_object_type(type_):
            ids = [each for each in type_.fields if each in ("id", "customerId", "ticketId", "reopenDays", "status")]
            below = f" {{ __typename {' '.join(ids)} }}"
        selected.append(name + below)
    return " ".join(selected)


async def rows(database: Database) -> Counter[str]:
    """The number of rows in each table, but for those that have one for each word or each caller."""
    found = await dump(database)
    return Counter({table: number for table, (number, _) in found.items() if table not in COUNTING})


def viewer_of(api: Api, mutation: str, technician: str) -> Api:
    return api.technician(technician) if mutation == "customerLookUp" else api


@pytest.mark.parametrize("mutation", CHANGES)
async def test_concurrent_repetitions_have_one_effect_and_one_answer(
    api: Api, database: Database, mutation: str
) -> None:
    inputs, other = CHANGES[mutation]
    technician = await api.new_technician()
    async with viewer_of(api, mutation, technician) as viewer:

        async def effect(times: int) -> tuple[Counter[str], list[Any], dict[str, Any]]:
            input = await inputs(api) | {"idempotencyKey": key()}
            before = await rows(database)
            answers = await asyncio.gather(
                *(viewer.done(mutation, payload_of(mutation), **input) for _ in range(times))
            )
            return await rows(database) - before, answers, input

        once, _, _ = await effect(1)
        several, answers, input = await effect(6)
        assert several == once
        shown = [answer.pop(SHOWN_ONCE.get(mutation, ""), None) for answer in answers]
        assert len(set(filter(None, shown))) == len(SHOWN_ONCE.keys() & {mutation})
        assert all(answer == answers[0] for answer in answers)
        # A later repetition changes nothing and answers the same.
        before = await dump(database)
        again = await viewer.done(mutation, payload_of(mutation), **input)
        assert again.pop(SHOWN_ONCE.get(mutation, ""), None) is None
        assert again == answers[0]
        refused = await viewer.refused(mutation, **input | other)
        assert refused == [("IDEMPOTENCY_CONFLICT", "idempotencyKey")]
        if mutation != "customerErase":  # which goes on meanwhile
            assert await dump(database) == before


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


async def test_equal_inputs_of_two_mutations_are_different_requests(api: Api) -> None:
    ticket = await api.new_ticket()
    same = {"ticketId": ticket, "resolution": "Done.", "idempotencyKey": key()}
    await api.done("ticketResolve", "__typename", **same)
    assert await api.refused("ticketUpdate", **same) == [("IDEMPOTENCY_CONFLICT", "idempotencyKey")]


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


async def test_a_repetition_is_answered_even_if_a_check_fails_by_now(api: Api) -> None:
    expires = datetime.now(UTC) + timedelta(seconds=1)
    input = {"name": "Short-lived", "expiresAt": expires.isoformat(), "idempotencyKey": key()}
    made = await api.done("apiKeyCreate", "apiKey { id }", **input)
    await asyncio.sleep((expires - datetime.now(UTC)).total_seconds() + 0.05)
    assert await api.done("apiKeyCreate", "apiKey { id }", **input) == made
    assert await api.refused("apiKeyCreate", **input | {"idempotencyKey": key()}) == [("INVALID", "expiresAt")]


async def test_a_secret_is_shown_once_and_kept_nowhere(api: Api, database: Database) -> None:
    """A repetition shows the key without it."""
    input = {"name": "Chatbot", "idempotencyKey": key()}
    made = await api.done("apiKeyCreate", "apiKey { id } secret", **input)
    again = await api.done("apiKeyCreate", "apiKey { id } secret", **input)
    assert (again["apiKey"], again["secret"]) == (made["apiKey"], None)
    kept = "SELECT count(*) FROM idempotency_keys AS kept WHERE kept::text LIKE '%' || $1 || '%'"
    assert await database.fetchval(kept, input["idempotencyKey"]) == 1
    assert await database.fetchval(kept, made["secret"][12:]) == 0
    _, url = await announce(api, b"x", ticketId=await api.new_ticket(), idempotencyKey=key())
    assert await database.fetchval(kept, url.rpartition("?")[2][:20]) == 0


async def test_look_ups_with_keys_are_counted(api: Api) -> None:
    """Those that find nobody, too; but none that is repeated."""
    email = (await a_customer_to_look_up(api))["email"]
    async with api.technician(await api.new_technician()) as tess:
        found = {"email": email, "idempotencyKey": key()}
        for _ in range(35):
            await tess.done("customerLookUp", "customer { customerId }", **found)
        for _ in range(29):
            wrong = await tess.refused("customerLookUp", email="nobody@example.com", idempotencyKey=key())
            assert wrong == [("NOT_FOUND", "email")]
        with pytest.raises(Refusal) as refusal:
            await tess.do("customerLookUp", "__typename", email="nobody@example.com", idempotencyKey=key())
        assert refusal.value.codes == ["RATE_LIMITED"]
        await tess.done("customerLookUp", "customer { customerId }", **found)


async def test_an_answer_shows_only_what_the_viewer_still_sees(api: Api) -> None:
    technician = await api.new_technician()
    ticket = await api.new_ticket(technicianId=technician)
    async with api.technician(technician) as tess:
        input = {"ticketId": ticket, "status": "IN_PROGRESS", "idempotencyKey": key()}
        assert (await tess.done("ticketSetStatus", "ticket { id }", **input))["ticket"] == {"id": ticket}
        await api.done("ticketAssign", "__typename", ticketId=ticket, technicianId=None)
        assert (await tess.done("ticketSetStatus", "ticket { id }", **input))["ticket"] is None


@pytest.mark.parametrize("mutation", [name for name in CHANGES if "occurredAt" in input_fields(name)])
async def test_a_mutation_says_when_it_was_done(api: Api, database: Database, mutation: str) -> None:
    """At most thirty days ago, and not in the future but for a clock that is a minute fast."""
    inputs, _ = CHANGES[mutation]
    input = await inputs(api)
    wrong = (timedelta(days=-30, minutes=-1), timedelta(minutes=1, seconds=5), timedelta(days=365))
    before = await dump(database)
    for ago in wrong:
        at = (datetime.now(UTC) + ago).isoformat()
        assert await api.refused(mutation, **input, occurredAt=at) == [("INVALID", "occurredAt")]
    with pytest.raises(Refusal) as refusal:
        await api.do(mutation, "__typename", **input, occurredAt="yesterday")
    assert refusal.value.codes == ["BAD_USER_INPUT"]
    assert await dump(database) == before
    done = datetime.now(UTC) - timedelta(days=29)
    used = key()
    await api.done(mutation, "__typename", **input, occurredAt=done.isoformat(), idempotencyKey=used)
    rows = "SELECT occurred_at, idempotency_key FROM {} WHERE idempotency_key = $1"
    if mutation == "attachmentCreate":  # whose event is written once the file has arrived
        assert [tuple(row) for row in await database.fetch(rows.format("attachments"), used)] == [(done, used)]
    elif mutation != "propertyAccessNoteAdd":  # in which the day stands
        assert [tuple(row) for row in await database.fetch(rows.format("ticket_events"), used)] == [(done, used)]


async def test_a_file_is_in_the_history_with_the_time_and_key_of_its_request(api: Api) -> None:
    ticket, used = await api.new_ticket(), key()
    taken = datetime.now(UTC) - timedelta(hours=5)
    cursor = (await api("{ tickets(first: 1) { streamCursor } }"))["tickets"]["streamCursor"]
    await attach(api, b"panel", ticketId=ticket, occurredAt=taken.isoformat(), idempotencyKey=used)
    document = "query($after: String!) { ticketEvents(after: $after) { nodes { kind key occurredAt } } }"
    (event,) = (await api(document, after=cursor))["ticketEvents"]["nodes"]
    assert (event["kind"], event["key"]) == ("ATTACHMENT_ADDED", used)
    assert datetime.fromisoformat(event["occurredAt"]) == taken


KEYS = """subscription { ticketChanged { __typename ... on StreamReady { cursor }
  ... on TicketChange { key kind ticketId } } }"""


async def test_an_event_shows_its_key_to_its_author_alone(api: Api) -> None:
    """Also among admins, who share what is the same for all of them; and among viewers of one name."""
    technician = await api.new_technician()
    ticket, used = await api.new_ticket(technicianId=technician), key()
    async with (
        Api(api.server, subject="another boss") as other,
        api.technician(technician) as tess,
        live(api) as one,
        live(other) as two,
        live(tess) as three,
    ):
        screens = (one, two, three)
        for screen in screens:
            await screen.subscribe("1", KEYS)
            assert (await screen.next())["__typename"] == "StreamReady"
        await api.done("noteAdd", "__typename", ticketId=ticket, body="b", idempotencyKey=used)
        await tess.done("ticketSetStatus", "__typename", ticketId=ticket, status="IN_PROGRESS", idempotencyKey=used)
        await api.done("ticketUpdate", "__typename", ticketId=ticket, subject="Without a key")
        seen = [[(await screen.next())["key"] for _ in range(3)] for screen in screens]
    assert seen == [[used, None, None], [None, None, None], [None, used, None]]
