"""Connections that have not shown a token: they must speak in time, and leave room for others.

The tests do not assert how quickly something happens, only that it does not happen too early and does happen.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from secrets import token_urlsafe
from typing import Any
from urllib.parse import urlsplit

import pytest

from callout.http.client_address import ClientAddresses, parse_network
from callout.http.connection_limits import RESERVED, ConnectionLimits
from callout.settings import Settings
from tests.helpers.api import Api, Server
from tests.helpers.graphql_ws_client import WITHIN, following, live, masked
from tests.helpers.process import callout_process

HEAD_SECONDS = 0.8
PER_ADDRESS = 30
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: callout\r\n\r\n"
HANDSHAKE = (
    b"GET /graphql HTTP/1.1\r\nHost: callout\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
)
BODY = b" HTTP/1.1\r\nHost: callout\r\nContent-Length: 1000\r\n\r\n"

Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture(scope="module")
def server(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("server")
    given = {"database_url": database_url, "jwt_secret": token_urlsafe(48)}
    short = {"request_head_seconds": str(HEAD_SECONDS), "connections_per_address": str(PER_ADDRESS)}
    with callout_process(directory, **given, **short) as process:
        settings = Settings(env="production", data_dir=Path(directory), **given)  # type: ignore[arg-type]
        yield Server(process.url, settings, database_url, process)


@asynccontextmanager
async def connection(server: Server) -> AsyncIterator[Client]:
    address = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def rest(client: Client) -> bytes:
    """Returns what the server sends until it closes the connection."""
    received = b""
    async with asyncio.timeout(WITHIN):
        try:
            while piece := await client[0].read(65_536):
                received += piece
        except ConnectionResetError:
            pass
    return received


async def response(client: Client) -> tuple[int, bytes]:
    """Returns the status and body of a response with a length."""
    async with asyncio.timeout(WITHIN):
        head = (await client[0].readuntil(b"\r\n\r\n")).decode()
        (length,) = (line.split(":")[1] for line in head.lower().splitlines() if line.startswith("content-length"))
        return int(head.split()[1]), await client[0].readexactly(int(length))


async def drip(client: Client, pieces: Sequence[bytes]) -> None:
    """Sends a piece every tenth of the time, over and over."""
    while True:
        for piece in pieces:
            client[1].write(piece)
            await asyncio.sleep(HEAD_SECONDS / 10)


# What a client says, what it then drips, and how the server's answer begins.
SLOW = {
    "nothing": (b"", [], b""),
    "line breaks": (b"", [b"\r\n"], b""),
    "half a head": (b"GET /healthz HTTP/1.1\r\n", [], b"HTTP/1.1 408 "),
    "a dripping line": (b"GET /", [b"x"], b"HTTP/1.1 408 "),
    "dripping headers": (b"GET / HTTP/1.1\r\n", [b"a", b": ", b"b", b"\r\n"], b"HTTP/1.1 408 "),
    "a dripping handshake": (HANDSHAKE[:-2], [b"a", b": ", b"b", b"\r\n"], b"HTTP/1.1 408 "),
    "a body for /graphql": (b"POST /graphql" + BODY, [b"x"], b"HTTP/1.1 401 "),
    "a body for /graphql/stream": (b"POST /graphql/stream" + BODY, [b"x"], b"HTTP/1.1 401 "),
    "a body for /healthz": (b"POST /healthz" + BODY, [b"x"], b"HTTP/1.1 405 "),
    "a body for nobody": (b"POST /nowhere" + BODY, [b"x"], b"HTTP/1.1 404 "),
}


async def closed(server: Server, name: str, requests_before: int) -> None:
    """Behaves as `SLOW` says until the server closes the connection."""
    said, dripped, answer = SLOW[name]
    async with connection(server) as client:
        for _ in range(requests_before):
            client[1].write(HEALTH)
            assert (await response(client))[0] == 200
        client[1].write(said)
        dripping = asyncio.create_task(drip(client, dripped)) if dripped else None
        received = await rest(client)
        assert received.startswith(answer) and bool(received) == bool(answer), (name, received)
        if dripping is not None:
            dripping.cancel()


async def test_a_connection_whose_request_does_not_arrive_is_closed(server: Server) -> None:
    """Whether it is its first request or not; only a connection that has said something may then be silent."""
    first = [closed(server, name, 0) for name in SLOW]
    later = [closed(server, name, 1) for name in SLOW if name != "nothing"]
    await asyncio.gather(*first, *later)


async def test_connections_that_have_spoken_stay_open_for_longer(api: Api, server: Server) -> None:
    """A connection between two requests, one whose request took most of the time, a socket, and a stream of events."""
    body = {"query": "subscription { ticketCountsChanged { all } }"}
    async with (
        connection(server) as idle,
        connection(server) as slow,
        live(api) as socket,
        api.http.stream("POST", "/graphql/stream", json=body) as stream,
    ):
        idle[1].write(HEALTH)
        assert (await response(idle))[0] == 200
        for piece in (HEALTH[:10], HEALTH[10:]):
            slow[1].write(piece)
            await asyncio.sleep(HEAD_SECONDS / 3)
        assert (await response(slow))[0] == 200
        await asyncio.sleep(3 * HEAD_SECONDS)
        for client in (idle, slow):
            client[1].write(HEALTH)
            assert (await response(client))[0] == 200
        await socket.subscribe("1", "{ me { role } }")
        assert await socket.next() == {"role": "ADMIN"}
        parts = stream.aiter_bytes()
        await anext(parts)
        await api.new_ticket()
        async with asyncio.timeout(WITHIN):
            while b'"all" : 1' not in await anext(parts):
                pass


async def test_an_address_has_a_limited_number_of_connections(server: Server) -> None:
    """Sockets count until they are closed, like other connections."""
    async with AsyncExitStack() as others:
        clients = [await others.enter_async_context(connection(server)) for _ in range(PER_ADDRESS)]
        for client in clients:
            client[1].write(HANDSHAKE)
            assert (await client[0].readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        for _ in range(2):
            async with connection(server) as refused:
                status, body = await response(refused)
                assert (status, json.loads(body)["errors"][0]["extensions"]["code"]) == (429, "LIMIT_EXCEEDED")
                assert await rest(refused) == b""
        clients[0][1].write(masked('{"type":"ping"}'))
        assert b"pong" in await clients[0][0].readuntil(b"}")
        (line,) = [record for record in logged(server) if "as many connections" in record["message"]]
        assert line["address"] == "127.0.0.1"
    await accepted(server)


def test_addresses_count_alone_and_proxies_not_at_all() -> None:
    """IPv6 addresses count by their /64, and mapped ones as those of IPv4."""
    limits = ConnectionLimits(per_address=2, is_proxy=ClientAddresses([parse_network("10.0.0.0/8")]).trusts)

    def opened(address: str) -> asyncio.BaseTransport | None:
        transport = asyncio.BaseTransport({"peername": (address, 5_000)})
        return None if limits.enter(transport) else transport

    for same in (("192.0.2.1", "::ffff:192.0.2.1"), ("2001:db8::1", "2001:db8::2:1%eth0")):
        open_ = [opened(address) for address in same]
        assert None not in open_
        assert [opened(address) for address in same] == [None, None]
        assert open_[0] is not None
        limits.leave(open_[0])
        assert opened(same[1]) is not None
    assert None not in [opened(address) for address in ("192.0.2.2", "2001:db8:0:1::1")]
    assert None not in [opened(address) for address in 5 * ("10.1.2.3", "::ffff:10.1.2.3")]
    assert limits.enter(asyncio.BaseTransport({"peername": ""})) is None, "a Unix socket"


def test_an_address_has_no_more_than_half_of_the_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (20, 4_096))
    limits = ConnectionLimits(per_address=1_000)
    peers = [asyncio.BaseTransport({"peername": ("192.0.2.1", port)}) for port in range(15)]
    assert [limits.enter(peer) is None for peer in peers] == [True] * 10 + [False] * 5


def logged(server: Server) -> list[dict[str, Any]]:
    return server.process.records("callout.http.connection_limits")


async def accepted(server: Server) -> None:
    """Waits until a new connection is accepted."""
    async with asyncio.timeout(WITHIN):
        while True:
            async with connection(server) as client:
                client[1].write(HEALTH)
                try:
                    if (await response(client))[0] == 200:
                        return
                except (ConnectionError, asyncio.IncompleteReadError):
                    pass
            await asyncio.sleep(0.05)


# File descriptors


@pytest.fixture
def poor(database_url: str, tmp_path: Path) -> Iterator[Server]:
    """A server of its own, whose descriptors a test takes away."""
    given = {"database_url": database_url, "jwt_secret": token_urlsafe(48)}
    with callout_process(tmp_path, **given) as process:
        settings = Settings(env="production", data_dir=tmp_path, **given)  # type: ignore[arg-type]
        yield Server(process.url, settings, database_url, process)


def limit_descriptors(server: Server, number: int | None) -> None:
    hard = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)[1]
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (hard if number is None else number, hard))


def descriptors(server: Server) -> int:
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux limits another process")
async def test_established_connections_are_served_while_descriptors_run_low(poor: Server) -> None:
    """First a few are left, which are kept for the database; then none, so that nothing can be accepted."""
    async with Api(poor) as api, following(api) as screen, AsyncExitStack() as others:
        await api.new_ticket()
        assert (await screen.next())["change"] == "ENTERED"
        few = (descriptors(poor) + 10) * 4 // 3  # ten, and a quarter of all, which is kept
        assert few < 4 * RESERVED
        for number in (few, descriptors(poor) - 3):
            limit_descriptors(poor, number)
            clients = [await others.enter_async_context(connection(poor)) for _ in range(40)]
            refusals = [await rest(client) for client in clients[20:]]
            assert all(refusal[:13] in (b"HTTP/1.1 503 ", b"") for refusal in refusals)
            assert number != few or any(b'"UNAVAILABLE"' in refusal for refusal in refusals)
            await api.new_ticket()  # on a connection from before
            assert (await screen.next())["change"] == "ENTERED"
        for _ in range(400):
            if not logged(poor):
                await asyncio.sleep(0.05)
        limit_descriptors(poor, None)
        await accepted(poor)
        (line,) = logged(poor)
        assert "file descriptors" in line["message"]
