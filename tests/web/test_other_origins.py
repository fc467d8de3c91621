"""A page of another origin in a real browser: what it can do if its origin is allowed, and that it gets nothing by any
way if it is not."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.async_api import BrowserContext, Error, Page

from callout.auth.authenticator import mint
from db.enums import Role
from tests.helpers.api import Api, Server
from tests.helpers.chromium import pages
from tests.helpers.process import Process, callout_process, free_port

DIRECTORY = Path(__file__).parent
CREATE = """mutation { ticketCreate(input: {
    subject: "By another origin", description: "-", contact: {name: "Eve", email: "eve@example.com"}
}) { userErrors { code } } }"""
COUNT = '{ tickets(filter: {search: "by another origin"}) { totalCount } }'
WAYS = {"socket": "followBySocket", "fetch": "followByFetch", "events": "followByEventSource"}

# The headers that clients add by themselves.
APOLLO = {
    "accept": "application/graphql-response+json,application/json;q=0.9",
    "apollo-require-preflight": "true",
    "apollographql-client-name": "dashboard",
    "apollographql-client-version": "1.0",
    "x-apollo-operation-name": "List",
}
URQL = {"accept": "application/graphql-response+json, application/graphql+json, application/json, text/event-stream"}
RELAY = {"x-requested-with": "XMLHttpRequest", "x-relay-debug-name": "List"}
GRAPHQL_SSE = {"accept": "text/event-stream, application/json", "x-graphql-event-stream-token": "1"}
OPEN_TELEMETRY = {
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "tracestate": "a=1",
    "baggage": "b=2",
    "b3": "0",
    "x-b3-traceid": "0af7651916cd43dd8448eb211c80319c",
    "x-b3-spanid": "b7ad6b7169203331",
    "x-b3-sampled": "1",
}
SENTRY = {"sentry-trace": "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1", "baggage": "sentry-release=1"}


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    """The origin that may use the API."""
    with pages(DIRECTORY) as origin:
        yield origin


@pytest.fixture(scope="module")
def stranger() -> Iterator[str]:
    """Another origin, with the same page."""
    with pages(DIRECTORY) as origin:
        yield origin


@pytest.fixture(scope="module")
def server_settings(origin: str) -> dict[str, str]:
    return {"allowed_origins": origin}


@pytest.fixture
def viewer(server: Server) -> dict[str, Any]:
    """What the page is given: the API's URL, and the token of an admin."""
    return {"api": server.url, "token": mint(server.settings, role=Role.ADMIN, subject="boss", name="Boss", ttl=3600)}


async def opened(context: BrowserContext, origin: str) -> Page:
    page = await context.new_page()
    await page.goto(f"{origin}/dashboard.html")
    await page.wait_for_function("window.ask !== undefined")
    return page


async def ask(page: Page, viewer: dict[str, Any], query: str, **more: Any) -> Any:
    return await page.evaluate("options => ask(options)", viewer | {"query": query} | more)


async def follow(page: Page, way: str, options: dict[str, Any]) -> None:
    """Starts to follow, and does not wait for it."""
    await page.evaluate(f"options => {{ {WAYS[way]}(options) }}", options)


async def until(page: Page, condition: str, argument: Any = None) -> None:
    await page.wait_for_function(condition, arg=argument)


async def received(page: Page, way: str) -> list[tuple[str, str]]:
    """What has changed, and how, in order. There must have been no reset."""
    messages = await page.evaluate("way => received[way]", way)
    assert {each["resumed"] for each in messages if each["__typename"] == "StreamReady"} == {True}
    assert not [each for each in messages if each["__typename"] == "StreamReset"]
    return [(each["ticketId"], each["change"]) for each in messages if each["__typename"] == "TicketChange"]


async def test_an_allowed_page_lists_and_changes(
    context: BrowserContext, origin: str, viewer: dict[str, Any], api: Api
) -> None:
    ticket = await api.new_ticket(subject="Keypad is dead")
    page = await opened(context, origin)
    listed = await ask(page, viewer, "{ tickets(first: 1) { nodes { id subject } } }")
    assert listed["body"] == {"data": {"tickets": {"nodes": [{"id": ticket, "subject": "Keypad is dead"}]}}}
    assert listed["requestId"]
    change = "mutation($id: ID!) { ticketUpdate(input: {ticketId: $id, priority: URGENT}) { ticket { priority } } }"
    changed = await ask(page, viewer, change, variables={"id": ticket})
    assert changed["body"] == {"data": {"ticketUpdate": {"ticket": {"priority": "URGENT"}}}}
    refused = await ask(page, viewer | {"token": "nonsense"}, "{ me { name } }")
    assert (refused["status"], refused["body"]["errors"][0]["extensions"]["code"]) == (401, "UNAUTHENTICATED")


@pytest.mark.parametrize("headers", [APOLLO, URQL, RELAY, GRAPHQL_SSE, OPEN_TELEMETRY, SENTRY])
async def test_an_allowed_page_may_send_the_headers_of_its_libraries(
    context: BrowserContext, origin: str, viewer: dict[str, Any], headers: dict[str, str]
) -> None:
    page = await opened(context, origin)
    answer = await ask(page, viewer, "{ me { role } }", more=headers)
    assert answer["body"] == {"data": {"me": {"role": "ADMIN"}}}


async def test_the_browser_asks_once_before_many_requests(
    context: BrowserContext, origin: str, viewer: dict[str, Any]
) -> None:
    page = await opened(context, origin)
    devtools = await context.new_cdp_session(page)
    asked: list[str] = []

    def note(event: dict[str, Any]) -> None:
        if event["request"]["url"].startswith(viewer["api"]):
            asked.append(event["request"]["method"])

    devtools.on("Network.requestWillBeSent", note)
    await devtools.send("Network.enable")
    for _ in range(3):
        await ask(page, viewer, "{ me { role } }")
    assert sorted(asked) == ["OPTIONS", "POST", "POST", "POST"]


async def test_an_allowed_page_follows_by_every_way_through_a_kill_of_its_server(
    context: BrowserContext, origin: str, api: Api, tmp_path: Path
) -> None:
    """The server that it follows is killed, and started again; another one goes on writing."""
    port = str(free_port())
    settings = {"database_url": api.server.database_url, "jwt_secret": api.server.settings.jwt_secret or ""}

    def start(name: str) -> AbstractContextManager[Process]:
        directory = tmp_path / name
        directory.mkdir()
        return callout_process(directory, port=port, allowed_origins=origin, **settings)

    mine = {"search": "followed in a browser"}
    page = await opened(context, origin)
    changes: list[tuple[str, str]] = []

    async def write(number: int) -> None:
        for _ in range(number):
            changes.append((await api.new_ticket(subject="Followed in a browser"), "ENTERED"))
            await api.done("ticketUpdate", "ticket { id }", ticketId=changes[-1][0], priority="LOW")
            changes.append((changes[-1][0], "UPDATED"))

    async def all_have(condition: str, argument: Any = None) -> None:
        await until(page, f"argument => Object.keys(received).every(way => {condition})", argument)

    with ExitStack() as stack:
        process = await asyncio.to_thread(stack.enter_context, start("first"))
        after = (await api("{ tickets(first: 1) { streamCursor } }"))["tickets"]["streamCursor"]
        await write(1)
        options = {"api": process.url, "token": api.http.headers["authorization"].removeprefix("Bearer ")}
        for way in WAYS:
            await follow(page, way, options | {"filter": mine, "after": after})
        await all_have("received[way].some(each => each.__typename === 'StreamReady')")
        await write(2)
        await all_have("received[way].length >= argument", len(changes) + 1)
        os.kill(process.pid, signal.SIGKILL)
        await all_have("failures[way] > 0")
        await write(2)
        await asyncio.to_thread(stack.enter_context, start("second"))
        await all_have("received[way].filter(each => each.__typename === 'StreamReady').length > 1")
        await write(2)
        await all_have("received[way].length >= argument", len(changes) + 2)
        for way in WAYS:
            assert await received(page, way) == changes


async def test_a_page_that_is_not_allowed_gets_nothing_by_any_way(
    context: BrowserContext, stranger: str, viewer: dict[str, Any], api: Api
) -> None:
    """Though it has a token, and a stream ticket."""
    cursor = (await api("{ tickets(first: 1) { streamCursor } }"))["tickets"]["streamCursor"]
    ticket = (await api.http.post("/graphql/stream/ticket")).json()["streamTicket"]
    await api.new_ticket()
    page = await opened(context, stranger)
    for query in ("{ me { role } }", CREATE):
        with pytest.raises(Error, match="Failed to fetch"):
            await ask(page, viewer, query)
    for way in WAYS:
        await follow(page, way, viewer | {"after": cursor, "ticket": ticket})
    await until(page, "() => Object.values(failures).every(number => number > 1)")
    assert await page.evaluate("received") == {"socket": [], "fetch": [], "events": []}
    assert (await api(COUNT))["tickets"]["totalCount"] == 0


@pytest.mark.parametrize(
    "type_", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
async def test_a_request_that_needs_no_permission_changes_nothing(
    context: BrowserContext, origin: str, stranger: str, viewer: dict[str, Any], api: Api, type_: str
) -> None:
    """A browser sends requests of these types without asking first, for any page; so the server refuses them."""
    body = json.dumps({"query": CREATE})
    allowed, other = await opened(context, origin), await opened(context, stranger)
    refused: list[int] = []
    other.on("response", lambda response: refused.append(response.status))
    for path in ("/graphql", "/graphql/stream"):
        options = {"url": f"{api.server.url}{path}", "method": "POST", "type": type_, "body": body}
        await other.evaluate("options => sendSimply(options)", options)
        answer = await allowed.evaluate(
            "([url, body, headers]) => fetch(url, { method: 'POST', body, headers }).then((answer) => answer.status)",
            [options["url"], body, {"content-type": type_, "authorization": f"Bearer {viewer['token']}"}],
        )
        assert answer == 415
    ticket = (await api.http.post("/graphql/stream/ticket")).json()["streamTicket"]
    url = f"{api.server.url}/graphql/stream?{urlencode({'query': CREATE, 'streamTicket': ticket})}"
    await other.evaluate("options => sendSimply(options)", {"url": url, "method": "GET"})
    assert refused == [401, 401, 405]
    assert (await api(COUNT))["tickets"]["totalCount"] == 0
