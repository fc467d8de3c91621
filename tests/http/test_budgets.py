"""Budgets through the front door: what is refused with RATE_LIMITED, how each transport says so, and that others and
ordinary clients do not notice."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from pubsub.quota import DIFFERENT_MAX, SUBSCRIPTIONS_MAX
from tests.helpers.api import Api
from tests.helpers.database_checks import Database, dump, until_blocked
from tests.helpers.graphql_ws_client import WITHIN, live

MODERN, LEGACY = "application/graphql-response+json", "application/json"
BUDGET = 300
ME = "{ me { name } }"
LIST = "query($filter: TicketFilter) { tickets(filter: $filter, first: 5) { nodes { id } } }"
CONTINUE = """subscription($after: String, $filter: TicketFilter) {
  ticketChanged(after: $after, filter: $filter) { __typename } }"""
FOLLOW = "subscription($filter: TicketFilter) { ticketChanged(filter: $filter) { __typename } }"


@pytest.fixture(scope="module")
def server_settings() -> dict[str, str]:
    """Customers have few points, and technicians one connection at a time."""
    return {"budget_customer": str(BUDGET), "concurrency_technician": "1", "pool_size": "3"}


async def post(viewer: Api, query: str, accept: str = MODERN, path: str = "/graphql", **body: Any) -> httpx.Response:
    return await viewer.http.post(path, json={"query": query, **body}, headers={"accept": accept})


async def exhaust(viewer: Api) -> httpx.Response:
    """Sends documents that the server has not seen until one is refused. Returns its response."""
    async with asyncio.timeout(WITHIN):
        while (response := await post(viewer, f"{ME} # {secrets.token_hex(5_000)}")).status_code == 200:
            """The budget is not used up yet."""
    return response


def code_of(response: httpx.Response) -> str:
    (error,) = response.json()["errors"]
    return str(error["extensions"]["code"])


async def cost_of(viewer: Api, query: str, **variables: Any) -> float:
    response = await post(viewer, query, variables=variables, extensions={"cost": True})
    return float(response.json()["extensions"]["cost"]["requested"])


async def test_a_request_over_the_budget_is_429_with_retry_after(api: Api) -> None:
    async with api.customer(await api.new_customer()) as viewer:
        refused = await exhaust(viewer)
        assert (refused.status_code, code_of(refused)) == (429, "RATE_LIMITED")
        wait = int(refused.headers["retry-after"])
        assert 1 <= wait <= 60
        (error,) = refused.json()["errors"]
        assert error["extensions"]["retryAfter"] == wait
        assert "Try again in" in error["message"]


async def test_the_older_media_type_has_200_and_retry_after(api: Api) -> None:
    async with api.customer(await api.new_customer()) as viewer:
        await exhaust(viewer)
        refused = await post(viewer, f"{ME} # {'x' * 10_000}", LEGACY)
        assert (refused.status_code, code_of(refused)) == (200, "RATE_LIMITED")
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.headers["content-type"].startswith(LEGACY)


async def test_a_refused_mutation_changes_nothing_and_other_viewers_are_served(api: Api, database: Database) -> None:
    customer = await api.new_customer()
    ticket = await api.new_ticket(customerId=customer)
    async with api.customer(customer) as viewer, api.customer(await api.new_customer()) as other:
        await exhaust(viewer)
        before = await dump(database)
        note = f'mutation {{ noteAdd(input: {{ticketId: "{ticket}", body: "Hi"}}) {{ note {{ id }} }} }}'
        refused = await post(viewer, f"{note} # {'x' * 10_000}")
        assert code_of(refused) == "RATE_LIMITED"
        assert await dump(database) == before
        assert (await post(other, ME)).status_code == 200


async def test_the_budget_is_the_viewers_over_all_tokens_and_transports(api: Api) -> None:
    customer = await api.new_customer()
    async with api.customer(customer) as viewer:
        await exhaust(viewer)
    async with api.customer(customer) as again, live(again) as socket:
        long = f"{ME} # {'x' * 10_000}"
        assert code_of(await post(again, long)) == "RATE_LIMITED"
        for id, query in (("1", long), ("2", f"subscription {{ ticketChanged {{ __typename }} }} # {'x' * 10_000}")):
            await socket.subscribe(id, query)
            message = await socket.receive()
            assert (message["id"], message["type"]) == (id, "error")
            (error,) = message["payload"]
            assert error["extensions"]["code"] == "RATE_LIMITED"
            assert error["extensions"]["retryAfter"] >= 1
        stream = await post(again, long, "text/event-stream", "/graphql/stream")
        assert (stream.status_code, code_of(stream)) == (429, "RATE_LIMITED")
        assert int(stream.headers["retry-after"]) >= 1


async def test_a_large_message_over_the_budget_closes_the_socket(api: Api) -> None:
    async with api.customer(await api.new_customer()) as viewer, live(viewer) as socket:
        await exhaust(viewer)
        await socket.send(type="ping", payload={"x": "x" * 1_000_000})
        assert await socket.closed() == (1013, "Rate limited")


async def test_the_cost_is_shown_on_request(api: Api) -> None:
    async with api.customer(await api.new_customer()) as viewer:
        plain = await post(viewer, ME)
        assert list(plain.json()) == ["data"]
        response = await post(viewer, ME, extensions={"cost": True})
        cost = response.json()["extensions"]["cost"]
        assert list(cost) == ["requested", "remaining", "resetAt"]
        assert 1 < cost["requested"] < 5
        assert 0 < cost["remaining"] < BUDGET
        assert datetime.fromisoformat(cost["resetAt"]) > datetime.now(UTC)
        by_get = await viewer.http.get("/graphql", params={"query": ME, "extensions": '{"cost":true}'})
        assert list(by_get.json()["extensions"]["cost"]) == list(cost)
        failed = await post(viewer, "{ nothing }", extensions={"cost": True})
        assert failed.json()["extensions"]["cost"]["requested"] > 2
        async with live(viewer) as socket:
            await socket.send(id="1", type="subscribe", payload={"query": ME, "extensions": {"cost": True}})
            socket._asked["1"] = (ME, {})
            payload = (await socket.receive())["payload"]
            assert list(payload["extensions"]["cost"]) == list(cost)
            assert (await socket.receive())["type"] == "complete"
            wrong = {"query": "query($n: Int) { tickets(first: $n) { totalCount } }", "variables": {"n": "x"}}
            await socket.send(id="2", type="subscribe", payload=wrong | {"extensions": {"cost": True}})
            refused = await socket.receive()
            assert (refused["type"], refused["payload"][0]["extensions"]["code"]) == ("error", "BAD_USER_INPUT")


async def test_the_cost_counts_conditions_times_roots_and_what_must_be_built(api: Api) -> None:
    def lists(number: int) -> str:
        roots = " ".join(f"a{n}: tickets(filter: $f, first: 1) {{ nodes {{ id }} }}" for n in range(number))
        return f"query($f: TicketFilter) {{ {roots} }}"

    async with api.service("costs") as viewer:
        filter = {"or": [{"status": ["OPEN"], "search": f"word {n}"} for n in range(20)]}
        first, again = [await cost_of(viewer, lists(1), f=filter) for _ in range(2)]
        assert first > again + 40, "a new shape of 60 conditions had to be built"
        await cost_of(viewer, lists(20), f=filter)
        assert await cost_of(viewer, lists(20), f=filter) > 5 * again


async def test_what_costs_more_than_a_whole_budget_is_refused_for_good(api: Api) -> None:
    roots = " ".join(f"a{n}: tickets(filter: $f, first: 5) {{ nodes {{ id }} }}" for n in range(100))
    filter = {"or": [{"status": ["OPEN"], "search": f"word {n}"} for n in range(32)]}
    async with api.customer(await api.new_customer()) as viewer:
        refused = await post(viewer, f"query($f: TicketFilter) {{ {roots} }}", variables={"f": filter})
        assert (refused.status_code, code_of(refused)) == (400, "LIMIT_EXCEEDED")
        assert "retry-after" not in refused.headers
        assert (await post(viewer, ME)).status_code == 200


async def test_a_viewer_who_waits_for_a_lock_holds_one_connection_and_queues_in_turn(
    api: Api, database: Database
) -> None:
    technician = await api.new_technician()
    ticket = await api.new_ticket(technicianId=technician)
    async with api.technician(technician) as viewer, api.technician(await api.new_technician()) as other:
        async with database.transaction():
            await database.execute("SELECT FROM tickets WHERE id = $1::uuid FOR UPDATE", ticket[4:])
            notes = [
                asyncio.create_task(viewer.done("noteAdd", "note { body }", ticketId=ticket, body=f"Note {n}"))
                for n in range(5)
            ]
            await until_blocked(database)
            roots = " ".join(f'a{n}: ticket(by: {{id: "{ticket}"}}) {{ id }}' for n in range(5))
            query = asyncio.create_task(viewer(f"{{ {roots} }}"))
            assert (await other(ME))["me"]["name"]
            assert (await api(LIST))["tickets"]["nodes"]
            assert not query.done()
        async with asyncio.timeout(WITHIN):
            bodies = [(await note)["note"]["body"] for note in notes]
            assert len(await query) == 5
        assert bodies == [f"Note {n}" for n in range(5)]


async def test_a_viewer_can_have_100_different_subscriptions_over_all_connections(api: Api) -> None:
    async with Api(api.server, subject="different") as viewer, live(viewer) as one, live(viewer) as two:
        for number in range(DIFFERENT_MAX):
            socket = (one, two)[number % 2]
            await socket.subscribe(str(number), FOLLOW, filter={"search": f"word {number}"})
            assert (await socket.next())["__typename"] == "StreamReady"
        await two.subscribe("more", FOLLOW, filter={"search": "another word"})
        message = await two.receive()
        assert (message["type"], message["payload"][0]["extensions"]["code"]) == ("error", "LIMIT_EXCEEDED")
        await one.subscribe("same", FOLLOW, filter={"search": "word 1"})
        assert (await one.next())["__typename"] == "StreamReady"
        await one.send(id="0", type="complete")
        await one.send(type="ping")
        assert await one.receive() == {"type": "pong"}
        await two.subscribe("more", FOLLOW, filter={"search": "another word"})
        assert (await two.next())["__typename"] == "StreamReady"


async def test_a_viewer_can_have_300_subscriptions_over_all_connections(api: Api) -> None:
    async with Api(api.server, subject="many") as viewer, AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(live(viewer)) for _ in range(4)]
        for number in range(SUBSCRIPTIONS_MAX):
            socket = sockets[number % 4]
            await socket.subscribe(str(number), FOLLOW)
            assert (await socket.next())["__typename"] == "StreamReady"
        await sockets[0].subscribe("more", FOLLOW)
        message = await sockets[0].receive()
        assert (message["type"], message["payload"][0]["extensions"]["code"]) == ("error", "LIMIT_EXCEEDED")
        stream = await post(viewer, FOLLOW, "text/event-stream", "/graphql/stream")
        assert '"LIMIT_EXCEEDED"' in stream.text


async def test_a_dashboard_that_reconnects_with_20_subscriptions_is_not_refused(api: Api) -> None:
    async with Api(api.server, subject="dashboard") as viewer:
        cursor = (await viewer("{ tickets(first: 1) { streamCursor } }"))["tickets"]["streamCursor"]
        for _ in range(5):
            async with live(viewer) as socket:
                for number in range(20):
                    await socket.subscribe(str(number), CONTINUE, after=cursor, filter={"search": f"w{number}"})
                ready = [await socket.receive() for _ in range(20)]
                assert {message["type"] for message in ready} == {"next"}
        assert await cost_of(viewer, ME) < 5
