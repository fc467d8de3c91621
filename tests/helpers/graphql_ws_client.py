"""A minimal client of `graphql-transport-ws`, which sends whatever a test wants, valid or not."""

from __future__ import annotations

import asyncio
import json
import socket as plain
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.helpers.api import SCHEMA, Api
from tests.helpers.response_checker import departures

WITHIN = 20.0  # seconds, after which a waiting test fails

DESCRIPTIONS = "subscription { ticketChanged { ... on TicketChange { ticket { description } } } }"
INIT = '{"type":"connection_init","payload":{"Authorization":"%s"}}'
CHANGES = """
subscription($filter: TicketFilter, $after: String) {
  ticketChanged(filter: $filter, after: $after) {
    __typename
    ... on TicketChange {
      cursor change kind ticketId changedFields at actor { kind name }
      ticket { id version subject status technician { id } }
    }
    ... on StreamReady { cursor resumed }
    ... on StreamReset { cursor reason }
  }
}"""


OBJECT_CHANGES = {"CustomerChange", "PropertyChange", "TechnicianChange", "ArticleChange"}
"""The types of messages of `customerChanged` and the like."""

OF_STREAMS = {
    *("Subscription", "TicketChange", "TicketPresence", "NoteAdded", "AuditEntryAdded", "StreamReady", "StreamReset"),
    *("DeliveryChange", *OBJECT_CHANGES),
}
OF_WINDOWS = {"WindowSnapshot", "WindowPatch", "WindowInsert", "WindowMove", "WindowReplace", "WindowRemove"}
"""The types that only subscriptions answer with: those of streams, and of live windows."""


class Socket:
    """One connection. Checks every operation's results against the schema; `seen` has the fields that had a value. Its
    pongs are `echoing` the payloads of pings, unless the test says otherwise."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.echoing = True
        self.seen: set[str] = set()
        self._asked: dict[str, tuple[str, dict[str, Any]]] = {}

    async def send(self, **message: Any) -> None:
        await self.connection.send(orjson.dumps(message).decode())

    async def receive(self) -> dict[str, Any]:
        """Returns the next message; answers and skips pings."""
        while True:
            async with asyncio.timeout(WITHIN):
                frame = await self.connection.recv()
            assert isinstance(frame, str), "frames are text"
            message: dict[str, Any] = orjson.loads(frame)
            if message["type"] == "next":
                document, variables = self._asked[message["id"]]
                assert departures(SCHEMA, document, variables, message["payload"]["data"], self.seen) == []
            if message["type"] != "ping":
                return message
            await self.send(type="pong", **({"payload": message["payload"]} if self._echoes(message) else {}))

    def _echoes(self, ping: dict[str, Any]) -> bool:
        return self.echoing and "payload" in ping

    async def subscribe(self, id: str, query: str, /, **variables: Any) -> None:
        self._asked[id] = (query, variables)
        await self.send(id=id, type="subscribe", payload={"query": query, "variables": variables})

    async def next(self) -> Any:
        """Returns the value of the one root field in the next message."""
        message = await self.receive()
        assert message["type"] == "next", message
        ((_, value),) = message["payload"]["data"].items()
        return value

    async def quiet(self, seconds: float = 0.4) -> None:
        """Fails if a message other than a ping arrives within this time."""
        try:
            async with asyncio.timeout(seconds):
                raise AssertionError(await self.receive())
        except TimeoutError:
            return

    async def closed(self) -> tuple[int, str]:
        """Returns the code and reason that the server closes with; ignores the messages before."""
        try:
            async with asyncio.timeout(WITHIN):
                while True:
                    await self.connection.recv()
        except ConnectionClosed as closed:
            assert closed.rcvd is not None, "the connection ended without a close frame"
            return closed.rcvd.code, closed.rcvd.reason


@asynccontextmanager
async def socket(url: str, **options: Any) -> AsyncIterator[Socket]:
    """A connection that has not sent anything yet."""
    options = {"subprotocols": ["graphql-transport-ws"], "proxy": None, "ping_interval": None} | options
    connection = await connect(url.replace("http", "ws", 1) + "/graphql", **options)
    try:
        async with connection:
            yield Socket(connection)
    finally:
        connection.transport.abort()  # a task that is cancelled during the close would leave it open


@asynccontextmanager
async def live(
    viewer: Api, url: str | None = None, device: dict[str, str] | None = None, **options: Any
) -> AsyncIterator[Socket]:
    """A viewer's acknowledged connection. `device` is `{"deviceId": …}`, for one that names its device."""
    async with socket(url or viewer.server.url, **options) as opened:
        given = {"Authorization": viewer.http.headers["authorization"], **(device or {})}
        await opened.send(type="connection_init", payload=given)
        assert (await opened.receive())["type"] == "connection_ack"
        yield opened


@asynccontextmanager
async def following(
    viewer: Api, filter: Any = None, after: str | None = None, url: str | None = None, **options: Any
) -> AsyncIterator[Socket]:
    """A connection that follows tickets. If it starts from now, `StreamReady` has been received."""
    async with live(viewer, url, **options) as opened:
        await opened.subscribe("1", CHANGES, filter=filter, after=after)
        if after is None:
            assert (await opened.next())["__typename"] == "StreamReady"
        yield opened


def narrow(url: str) -> plain.socket:
    """A connection with small receive buffers on the client's side."""
    server = httpx.URL(url)
    client = plain.socket()
    client.setsockopt(plain.SOL_SOCKET, plain.SO_RCVBUF, 4096)
    client.connect((server.host, server.port))
    return client


async def stalled(api: Api, query: str = DESCRIPTIONS) -> plain.socket:
    """A client that follows tickets with their descriptions, and stops reading after the first message."""
    url = httpx.URL(api.server.url)
    client = narrow(api.server.url)
    subscribe = {
        "id": "1",
        "type": "subscribe",
        "payload": {"query": query},
    }
    handshake = (
        b"GET /graphql HTTP/1.1\r\nHost: %b\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n" % f"{url.host}:{url.port}".encode()
    )
    for message in (handshake, masked(INIT % api.http.headers["authorization"]), masked(json.dumps(subscribe))):
        client.sendall(message)
        await asyncio.to_thread(client.recv, 4096)
    return client


def masked(text: str) -> bytes:
    """Returns a client's frame (RFC 6455, section 5.2), masked with zeros."""
    data = text.encode()
    return (
        b"\x81\xfe" + len(data).to_bytes(2, "big") + bytes(4) + data
        if len(data) > 125
        else (b"\x81" + bytes([0x80 | len(data)]) + bytes(4) + data)
    )
