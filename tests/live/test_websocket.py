"""`graphql-transport-ws`, as its protocol document describes it, and messages that violate it."""

from __future__ import annotations

import asyncio
import socket as plain
from contextlib import AsyncExitStack
from typing import Any

import httpx
import orjson
import psutil
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from callout.http.server import UPGRADES_AT_ONCE
from pubsub.send_queue import QUEUE_BYTES_MAX
from tests.helpers.api import Api, Server
from tests.helpers.graphql_ws_client import CHANGES, INIT, WITHIN, Socket, following, live, socket, stalled

STALLED = 10
HANDSHAKE = (
    b"GET /graphql HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
)


@pytest.fixture
def init(api: Api) -> str:
    return INIT % api.http.headers["authorization"]


async def opened(api: Api, client: Socket, init: str) -> None:
    await client.connection.send(init)
    assert await client.receive() == {"type": "connection_ack"}


@pytest.mark.parametrize(
    "frame",
    [
        "null", "[]", '"text"', "5", "NaN", "{", "", "\ufeff{}", "[" * 100_000, "9" * 5_000, "{}", '{"type":null}',
        '{"type":["ping"]}', '{"type":"start"}', '{"type":"ping","payload":5}', '{"type":"pong","payload":"x"}',
        '{"type":"connection_init","payload":"x"}', '{"type":"connection_init","payload":[]}',
        '{"type":"connection_init","payload":{"authorization":5}}', '{"type":"subscribe"}', '{"type":"complete"}',
        '{"type":"complete","id":""}', '{"type":"complete","id":5}', b"binary", b"\xff",
    ],
)  # fmt: skip
@pytest.mark.parametrize("acknowledged", [False, True])
async def test_an_invalid_message_closes_with_4400(api: Api, init: str, frame: str | bytes, acknowledged: bool) -> None:
    async with socket(api.server.url) as client:
        if acknowledged:
            await opened(api, client, init)
        await client.connection.send(frame)
        code, reason = await client.closed()
        if acknowledged and isinstance(frame, str) and "connection_init" in frame:
            assert code in (4400, 4429)
        else:
            assert code == 4400
        assert 0 < len(reason.encode()) <= 123


@pytest.mark.parametrize(
    ("id", "payload"),
    [
        ("", {"query": "{ me { role } }"}), (5, {"query": "{ me { role } }"}), ([], {"query": "{ me { role } }"}),
        (None, {"query": "{ me { role } }"}), ("x" * 201, {"query": "{ me { role } }"}), ("1", None), ("1", "x"),
        ("1", []), ("1", {}), ("1", {"query": 5}), ("1", {"query": None}), ("1", {"query": "{ a }", "variables": "x"}),
        ("1", {"query": "{ a }", "variables": []}), ("1", {"query": "{ a }", "operationName": 5}),
        ("1", {"query": "{ a }", "extensions": 5}),
    ],
)  # fmt: skip
async def test_a_malformed_subscribe_closes_with_4400(api: Api, id: Any, payload: Any) -> None:
    async with live(api) as client:
        await client.send(type="subscribe", id=id, payload=payload)
        assert (await client.closed())[0] == 4400


async def test_pings_are_answered_before_and_after_the_acknowledgement(api: Api, init: str) -> None:
    async with socket(api.server.url) as client:
        await client.send(type="ping")
        assert await client.receive() == {"type": "pong"}
        await opened(api, client, init)
        for payload in (None, {}, {"any": "thing"}):
            await client.send(type="ping", payload=payload)
            assert await client.receive() == {"type": "pong"}
        await client.send(type="pong")
        await client.send(type="complete", id="none of that id")
        await client.quiet()


async def test_the_token_may_be_in_the_header(api: Api) -> None:
    authorization = api.http.headers["authorization"]
    async with socket(api.server.url, additional_headers={"Authorization": authorization}) as client:
        await client.connection.send('{"type":"connection_init","payload":null}')
        assert await client.receive() == {"type": "connection_ack"}


@pytest.mark.parametrize("payload", [None, {}, {"Authorization": "Bearer nonsense"}, {"authorization": ""}])
async def test_a_client_without_valid_credentials_is_closed_with_4403(api: Api, payload: Any) -> None:
    async with socket(api.server.url) as client:
        await client.send(type="connection_init", payload=payload)
        assert (await client.closed())[0] == 4403


async def test_an_operation_before_the_acknowledgement_closes_with_4401(api: Api) -> None:
    async with socket(api.server.url) as client:
        await client.subscribe("1", "{ me { role } }")
        assert await client.closed() == (4401, "Unauthorized")


async def test_a_second_initialisation_closes_with_4429(api: Api, init: str) -> None:
    async with socket(api.server.url) as client:
        await opened(api, client, init)
        await client.connection.send(init)
        assert await client.closed() == (4429, "Too many initialisation requests")


async def test_a_second_operation_with_the_same_id_closes_with_4409(api: Api) -> None:
    async with live(api) as client:
        await client.subscribe("same", CHANGES)
        await client.next()
        await client.subscribe("same", CHANGES)
        assert await client.closed() == (4409, "Subscriber for same already exists")


async def test_the_reason_of_a_close_is_shortened_to_fit_the_frame(api: Api) -> None:
    async with live(api) as client:
        for _ in range(2):
            await client.subscribe("ключ" * 50, CHANGES)
        code, reason = await client.closed()
        assert code == 4409
        assert reason == "Subscriber for " + ("ключ" * 50)[:54]


@pytest.mark.parametrize("offered", [[], ["graphql-ws"], ["mqtt", "graphql-ws"]])
async def test_an_unknown_subprotocol_is_closed_with_4406(api: Api, offered: list[str]) -> None:
    async with socket(api.server.url, subprotocols=offered or None) as client:
        assert await client.closed() == (4406, "Subprotocol not acceptable")


async def test_the_subprotocol_is_chosen_among_several(api: Api) -> None:
    async with socket(api.server.url, subprotocols=["graphql-ws", "graphql-transport-ws"]) as client:
        assert client.connection.subprotocol == "graphql-transport-ws"


async def test_a_socket_from_a_foreign_page_is_refused(api: Api) -> None:
    evil = api.server.url + ".evil.example"
    for origin in ("https://evil.example", "null", evil, "http://127.0.0.1:1", "http://[", "nonsense", ""):
        with pytest.raises(InvalidStatus) as refused:
            async with socket(api.server.url, origin=origin):
                pass
        assert refused.value.response.status_code == 403
        (error,) = orjson.loads(refused.value.response.body)["errors"]
        assert error["extensions"]["code"] == "FORBIDDEN"
        host = httpx.URL(api.server.url).netloc.decode()
        assert f"the origin {origin!r} may not" in error["message"] and f"Host is {host!r}" in error["message"]
    async with socket(api.server.url, origin=api.server.url) as client:
        await client.send(type="ping")
        assert await client.receive() == {"type": "pong"}


async def test_compression_is_not_negotiated(api: Api) -> None:
    async with socket(api.server.url, compression="deflate") as client:
        assert client.connection.response is not None
        assert "Sec-WebSocket-Extensions" not in client.connection.response.headers


async def test_sockets_are_refused_on_other_paths(api: Api) -> None:
    for path in ("/", "/graphql/", "/healthz"):
        with pytest.raises(InvalidStatus):
            async with socket(api.server.url + path):
                pass


async def test_a_query_that_cannot_be_executed_is_answered_with_an_error(api: Api) -> None:
    query = "query($of: ID!) { customer: tickets(filter: {customerId: $of}) { __typename } }"
    async with live(api) as client:
        for variables in ({}, {"of": "nonsense"}):
            await client.subscribe("1", query, **variables)
            message = await client.receive()
            assert (message["id"], message["type"]) == ("1", "error"), message
            assert [error["extensions"]["code"] for error in message["payload"]] == ["BAD_USER_INPUT"]
        await client.subscribe("1", query, of=await api.new_customer())
        assert await client.next() == {"__typename": "TicketConnection"}


async def test_a_null_in_a_required_argument_is_an_error_of_the_operation_alone(api: Api) -> None:
    """Neither the document nor the variable's type rules it out."""
    query = 'subscription($of: ID = "tkt_1") { noteAdded(ticketId: $of) { __typename } }'
    async with live(api) as client:
        await client.subscribe("1", query, of=None)
        message = await client.receive()
        assert (message["id"], message["type"]) == ("1", "error"), message
        assert [error["extensions"]["code"] for error in message["payload"]] == ["BAD_USER_INPUT"]


async def test_a_connection_has_at_most_a_hundred_operations(api: Api) -> None:
    async with live(api) as client:
        for n in range(101):
            await client.subscribe(str(n), CHANGES)
        refused = [message for message in [await client.receive() for _ in range(101)] if message["type"] == "error"]
        assert [(each["id"], each["payload"][0]["extensions"]["code"]) for each in refused] == [
            ("100", "LIMIT_EXCEEDED")
        ]


async def test_a_viewer_has_at_most_fifty_sockets(api: Api) -> None:
    viewer = api.technician(await api.new_technician())
    authorization = viewer.http.headers["authorization"]

    async def another() -> str:
        async with socket(api.server.url) as client:
            await client.send(type="connection_init", payload={"Authorization": authorization})
            try:
                return str((await client.receive())["type"])
            except ConnectionClosed as closed:
                assert closed.rcvd is not None and closed.rcvd.code == 1013
                return closed.rcvd.reason

    async with AsyncExitStack() as sockets:
        for _ in range(49):
            await sockets.enter_async_context(live(viewer))
        async with live(viewer):
            assert await another() == "Too many connections"
        async with asyncio.timeout(WITHIN):
            while await another() != "connection_ack":  # once the server has noticed that one has left
                pass


@pytest.mark.slow
async def test_a_client_that_stops_reading_is_closed_without_delaying_others(api: Api) -> None:
    """Several clients stop reading; a client that continues from their cursor receives everything."""
    async with following(api) as quick:
        slow = [await stalled(api) for _ in range(STALLED)]
        try:
            ticket = await api.new_ticket()
            created = await quick.next()
            for n in range(450):
                description = f"{n} {'x' * 15_000}"
                await api.done("ticketUpdate", "ticket { id }", ticketId=ticket, description=description)
                assert (await quick.next())["ticket"]["version"] == n + 2
            async with asyncio.timeout(WITHIN):
                while not all(is_gone(client, api.server.url) for client in slow):  # noqa: ASYNC110 (there is no event)
                    await asyncio.sleep(0.2)
        finally:
            for client in slow:
                client.close()
        async with following(api, after=created["cursor"]) as again:
            assert [(await again.next())["ticket"]["version"] for _ in range(450)] == list(range(2, 452))
        await api.done("ticketUpdate", "ticket { id }", ticketId=ticket, description="Short.")
        assert (await quick.next())["changedFields"] == ["description"]


@pytest.mark.slow
async def test_clients_that_stop_reading_use_bounded_memory(api: Api, server: Server) -> None:
    """Until they are closed, after some seconds."""
    many = " ".join(f"d{n}: description" for n in range(30))
    document = f"subscription {{ ticketChanged {{ ... on TicketChange {{ ticket {{ {many} }} }} }} }}"
    process = psutil.Process(server.process.pid)
    ticket = await api.new_ticket()
    async with following(api) as quick:
        slow = [await stalled(api, document) for _ in range(STALLED)]
        try:
            before = process.memory_info().rss
            for n in range(60):
                description = f"{n} {'x' * 15_000}"
                await api.done("ticketUpdate", "ticket { id }", ticketId=ticket, description=description)
                assert (await quick.next())["ticket"]["version"] == n + 2
            grown = process.memory_info().rss - before
        finally:
            for client in slow:
                client.close()
    size = 30 * 15_000
    bound = 1.5 * STALLED * (QUEUE_BYTES_MAX + size) + 32 * 2**20
    assert grown < bound < STALLED * 60 * size / 2


async def test_clients_that_connect_together_are_all_served_except_those_that_left(api: Api) -> None:
    """Sockets are opened a few at a time; the first request of a client waits for its turn."""
    number, url = 10 * UPGRADES_AT_ONCE, httpx.URL(api.server.url)
    connections = [await asyncio.open_connection(url.host, url.port) for _ in range(number)]
    for _, writer in connections:
        writer.write(HANDSHAKE)
    for _, writer in connections[1::2]:
        writer.transport.abort()
    for reader, writer in connections[::2]:
        async with asyncio.timeout(WITHIN):
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        writer.transport.abort()
    async with following(api) as screen:
        await screen.quiet()


def is_gone(client: plain.socket, url: str) -> bool:
    """Returns whether the server's end of a connection is gone: if the system gives it up, the client's end stays.
    Connections to other servers may have the same port at the client's end, open or in TIME_WAIT."""
    server = httpx.URL(url)
    ends = {(*connection.laddr, *connection.raddr) for connection in psutil.net_connections("tcp")}
    return (server.host, server.port, *client.getsockname()) not in ends
