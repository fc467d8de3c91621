"""The access log of operations over WebSockets and server-sent events, and of sockets that are refused; and the
client's address in it, here behind a trusted proxy."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from callout.http import access_log
from callout.http.access_log import AT_ONCE, AccessLog
from callout.http.context import RequestInfo
from callout.settings import Settings
from tests.helpers.api import Api, Server
from tests.helpers.graphql_ws_client import live, socket
from tests.helpers.process import callout_process

CLIENT = "203.0.113.9"
FORWARDED = {"x-forwarded-for": f"198.51.100.1, {CLIENT}"}
TICKETS = "subscription Follow { ticketChanged { __typename } }"


@pytest.fixture(scope="module")
def server(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server behind a proxy, which the tests are."""
    directory, secret = tmp_path_factory.mktemp("server"), secrets.token_urlsafe(48)
    settings = {"database_url": database_url, "jwt_secret": secret}
    with callout_process(directory, trusted_proxies="127.0.0.1", **settings) as process:
        known = Settings(env="production", database_url=database_url, jwt_secret=secret, data_dir=Path(directory))
        yield Server(process.url, known, database_url, process)


@pytest.fixture
async def api(server: Server) -> AsyncIterator[Api]:
    async with Api(server) as admin:
        admin.http.headers.update(FORWARDED)
        yield admin


async def line(server: Server, **fields: object) -> dict[str, Any]:
    """Returns the only line of the access log with these fields, once it is there."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        lines = server.process.records("callout.access")
        found = [each for each in lines if fields.items() <= each.items()]
        if found:
            assert len(found) == 1
            return found[0]
        await asyncio.sleep(0.05)
    raise AssertionError(f"no line with {fields}")


async def test_each_operation_on_a_socket_has_a_line(api: Api, server: Server) -> None:
    async with live(api, additional_headers=FORWARDED) as screen:
        await screen.subscribe("q", "query Ask { me { name } }")
        assert [(await screen.receive())["type"] for _ in range(2)] == ["next", "complete"]
        asked = await line(server, operation="Ask")
        assert asked.pop("time") and len(asked.pop("requestId")) == 16 and 0 < asked.pop("ms") < 10_000
        assert 1 < asked.pop("cost") < 100
        assert asked == {
            "level": "INFO",
            "logger": "callout.access",
            "message": "operation",
            "method": "WEBSOCKET",
            "path": "/graphql",
            "operation": "Ask",
            "role": "ADMIN",
            "viewer": "boss",
            "client": CLIENT,
        }
        await screen.subscribe("s", TICKETS)
        began = time.monotonic()
        assert (await screen.next())["__typename"] == "StreamReady"
        assert "Follow" not in str(server.process.records("callout.access"))  # it lasts
        await asyncio.sleep(0.1)
        await screen.send(id="s", type="complete")
        followed = await line(server, operation="Follow")
        assert 100 <= followed["ms"] <= (time.monotonic() - began) * 1000
        assert "code" not in followed


async def test_refused_operations_on_a_socket_have_a_line(api: Api, server: Server) -> None:
    async with live(api.technician(await api.new_technician())) as screen:
        for number, (document, code) in enumerate(
            (
                ("query A0 { nothing }", "GRAPHQL_VALIDATION_FAILED"),
                ("query A1 { apiKeys { totalCount } }", "FORBIDDEN"),
                ("subscription A2 { auditEntryAdded { __typename } }", "FORBIDDEN"),
                ('query A3 { tickets(filter: {customerId: "nonsense"}) { totalCount } }', "BAD_USER_INPUT"),
            )
        ):
            await screen.subscribe(str(number), document)
            refused = await screen.receive()
            assert refused["type"] == "error"
            [error] = refused["payload"]
            logged = await line(server, requestId=error["extensions"]["requestId"])
            assert (logged["message"], logged["code"], logged["role"]) == ("operation", code, "TECHNICIAN")


async def test_mutations_are_named_wherever_they_come_from(api: Api, server: Server) -> None:
    mutations = """mutation %s {
        a: technicianCreate(input: {name: "", email: "x"}) { userErrors { code } } ...More
        b: technicianCreate(input: {name: "", email: "x"}) { userErrors { code } }
    } fragment More on Mutation { __typename apiKeyCreate(input: {name: ""}) { userErrors { code } } }"""
    await api(mutations % "Posted")
    async with live(api) as screen:
        await screen.subscribe("m", mutations % "Sent")
        await screen.receive()
    async with httpx.AsyncClient(base_url=server.url, headers=api.http.headers, trust_env=False) as http:
        await http.post("/graphql/stream", json={"query": mutations % "Streamed"})
    for operation in ("Posted", "Sent", "Streamed"):
        assert (await line(server, operation=operation))["mutations"] == ["technicianCreate", "apiKeyCreate"]


async def test_operations_over_server_sent_events_have_a_line(api: Api, server: Server) -> None:
    bodies = {"Right": "query Right { me { name } }", None: "query { nothing }"}
    for operation, document in bodies.items():
        id = secrets.token_hex(8)
        await api.http.post("/graphql/stream", json={"query": document}, headers={"x-request-id": id})
        logged = await line(server, requestId=id)
        assert (logged["message"], logged["path"], logged["status"]) == ("request", "/graphql/stream", 200)
        assert (logged.get("operation"), logged["viewer"], logged["client"]) == (operation, "boss", CLIENT)
        assert ("code" in logged) is (operation is None)


async def test_refused_sockets_have_a_line(api: Api, server: Server) -> None:
    async with socket(server.url, additional_headers={"x-forwarded-for": "203.0.113.10"}) as stranger:
        await stranger.send(type="connection_init", payload={"Authorization": "Bearer nonsense"})
        assert (await stranger.closed())[0] == 4403
    refused = await line(server, client="203.0.113.10")
    assert (refused["message"], refused["code"], refused["reason"]) == (
        "connection",
        "UNAUTHENTICATED",
        "DecodeError: Not enough segments",
    )
    async with socket(server.url, additional_headers={"x-forwarded-for": "203.0.113.11"}) as unruly:
        await unruly.send(type="nonsense")
        assert (await unruly.closed())[0] == 4400
    closed = await line(server, client="203.0.113.11")
    assert (closed["message"], closed["code"], closed["reason"]) == ("connection", "4400", "Unknown message type")
    with pytest.raises(InvalidStatus):
        async with socket(
            server.url, origin="https://elsewhere.test", additional_headers={"x-forwarded-for": "203.0.113.12"}
        ):
            pass
    assert (await line(server, client="203.0.113.12"))["code"] == "FORBIDDEN"


async def test_a_subscription_that_the_server_ends_has_a_line(api: Api, server: Server) -> None:
    """Here because the viewer has lost access; the socket has one too, which says why."""
    technician = await api.new_technician()
    async with live(api.technician(technician)) as device:
        await device.subscribe("1", "subscription Doomed { ticketChanged { __typename } }")
        await device.next()
        await api.done("technicianUpdate", "__typename", technicianId=technician, active=False)
        assert await device.closed() == (4403, "Forbidden")
    viewer = technician.partition("_")[2]
    assert (await line(server, operation="Doomed"))["viewer"] == viewer
    assert (await line(server, message="connection", viewer=viewer))["code"] == "4403"


async def test_the_clients_address_is_in_the_audit_trail(api: Api) -> None:
    first = await api.new_technician()
    async with live(api, additional_headers=FORWARDED) as screen:
        await screen.subscribe(
            "m", f'mutation {{ technicianUpdate(input: {{technicianId: "{first}", name: "New"}}) {{ __typename }} }}'
        )
        await screen.receive()
    found = await api("query($id: ID!) { auditEntries(filter: {objectId: $id}) { nodes { client } } }", id=first)
    assert found["auditEntries"]["nodes"] == [{"client": CLIENT}, {"client": CLIENT}]


async def test_many_lines_at_once_do_not_hold_the_loop(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As when a server that has thousands of subscriptions loses them together: others run in between."""
    caplog.set_level(logging.INFO, access_log.logger.name)
    monkeypatch.setattr(access_log, "DELAY_SECONDS", 0.0)
    written: list[object] = []
    monkeypatch.setattr(access_log.logger, "handle", written.append)
    lines = AccessLog()
    for number in range(2 * AT_ONCE + 1):
        lines.add_operation({"path": "/graphql"}, 1.0, RequestInfo(str(number)))
    seen = []
    while len(written) < 2 * AT_ONCE + 1:
        await asyncio.sleep(0)
        seen.append(len(written))
    assert {AT_ONCE, 2 * AT_ONCE} <= set(seen)
    lines.add_operation({"path": "/graphql"}, 1.0, RequestInfo("last"))
    lines.flush()
    assert len(written) == 2 * AT_ONCE + 2
