"""One change sent to a thousand clients: the server's CPU per delivered message, and how long the last one takes.

Three servers send the same message: Callout, Strawberry's own subscriptions (`bench/stock.py`), and Starlette sockets
that send a prepared text (`bench/raw.py`), the least that a Starlette server can do.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter

import asyncpg

from bench import cpu, database, servers
from bench.load import Failed, ask, post
from bench.report import print_table, show
from bench.servers import Server
from bench.sockets import HANDSHAKE, frame

CLIENTS = 1_000
EVENTS = 100
TARGET = 20.0  # microseconds of CPU for each delivery
LATENCY_TARGET = 50.0  # milliseconds from the request to the last client, at the median

SUBSCRIPTION = """subscription { ticketChanged { ... on TicketChange {
  cursor change ticketId ticket { id version reference subject status priority } } } }"""
STOCK_SUBSCRIPTION = """subscription { ticketChanged {
  cursor change ticketId ticket { id version reference subject status priority } } }"""
CHANGE = """mutation($input: TicketUpdateInput!) { ticketUpdate(input: $input) { ticket { version } } }"""


class Client(asyncio.Protocol):
    """Subscribes, and counts the messages that arrive without parsing them."""

    def __init__(self, hello: list[bytes], counted: Counted) -> None:
        self._hello = hello
        self._counted = counted
        self._tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._hello[0])

    def data_received(self, data: bytes) -> None:
        if len(self._hello) > 1:  # each answer is followed by the next step of the handshake
            self._hello = self._hello[1:]
            self._transport.write(self._hello[0])
            if len(self._hello) == 1:
                self._counted.joined()
            return
        text = self._tail + data
        self._tail = text[-len(MARKER) + 1 :]
        self._counted.add(text.count(MARKER))


MARKER = b'"version"'


class Counted:
    """Counts the subscribed clients, and the messages that have arrived at all of them."""

    def __init__(self) -> None:
        self.messages = 0
        self.clients = 0
        self._wanted = 0
        self._reached = asyncio.Event()

    def joined(self) -> None:
        self.clients += 1

    def add(self, number: int) -> None:
        self.messages += number
        if self.messages >= self._wanted:
            self._reached.set()

    async def reach(self, number: int) -> None:
        """Waits until this many messages have arrived. Raises `TimeoutError` after 15 seconds."""
        self._wanted = number
        self._reached.clear()
        if self.messages < number:
            async with asyncio.timeout(15):
                await self._reached.wait()


def hello(server: Server, number: int) -> list[bytes]:
    """The steps of client `number`'s handshake, one for each answer of the server."""
    if server.name == "raw":
        return [HANDSHAKE, b""]
    query = SUBSCRIPTION if server.name == "callout" else STOCK_SUBSCRIPTION
    token = server.tokens[number % len(server.tokens)] if server.tokens else None
    init = {"type": "connection_init", "payload": {"Authorization": f"Bearer {token}"}}
    return [HANDSHAKE, frame(init), frame({"id": "1", "type": "subscribe", "payload": {"query": query}})]


@dataclass(frozen=True)
class Sample:
    """CPU seconds per delivered message, and the median of the seconds from the request to the last client."""

    cpu: float
    latency: float


def run(data_dir: Path, *, rounds: int) -> None:
    with (
        database.prepared(data_dir, tickets=200_000) as url,
        servers.callout(url, data_dir / "callout.log") as callout,
        servers.baseline("stock", url, data_dir / "stock.log") as stock,
        servers.baseline("raw", url, data_dir / "raw.log") as raw,
    ):
        samples = asyncio.run(_measure(url, [raw, callout, stock], rounds))
    rows = []
    for name, each in samples.items():
        used, latency = median(s.cpu for s in each) * 1e6, median(s.latency for s in each) * 1e3
        ours = name == "callout"
        rows.append(
            (
                name,
                f"{used:.1f}",
                f"{TARGET:.0f} {'pass' if used <= TARGET else 'MISS'}" if ours else "",
                f"{latency:.1f}",
                f"{LATENCY_TARGET:.0f} {'pass' if latency <= LATENCY_TARGET else 'MISS'}" if ours else "",
            )
        )
    print(f"{CLIENTS:,} clients, one document, {EVENTS} changes\n")
    print_table(("server", "CPU µs a delivery", "target", "ms to the last client, median", "target"), rows)


def _same(client: Client) -> Client:
    return client


async def _measure(url: str, contenders: list[Server], rounds: int) -> dict[str, list[Sample]]:
    connection = await asyncpg.connect(url)
    ticket = await connection.fetchval("SELECT id::text FROM tickets WHERE status = 'OPEN' LIMIT 1")
    await connection.close()
    samples: dict[str, list[Sample]] = {server.name: [] for server in contenders}
    for turn in range(rounds):
        for index, server in enumerate(contenders):
            samples[server.name].append(await _sample(server, ticket))
            show(f"turn {turn + 1}", index + 1, len(contenders))
    return samples


async def _sample(server: Server, ticket: str) -> Sample:
    loop = asyncio.get_running_loop()
    counted = Counted()
    transports = []
    for number in range(CLIENTS):
        client = Client(hello(server, number), counted)
        transport, _ = await loop.create_connection(partial(_same, client), "127.0.0.1", server.port)
        transports.append(transport)
    async with asyncio.timeout(60):
        while counted.clients < CLIENTS:  # noqa: ASYNC110 (there is no event to wait for)
            await asyncio.sleep(0.1)
    await asyncio.sleep(2)
    change = _changing(server, ticket)
    latencies = []
    used = cpu.seconds(server.pid)
    for event in range(1, EVENTS + 1):
        started = perf_counter()
        await change()
        try:
            await counted.reach(event * CLIENTS)
        except TimeoutError:
            raise Failed(f"{server.name} sent {counted.messages:,} messages by change {event}") from None
        latencies.append(perf_counter() - started)
    used = cpu.seconds(server.pid) - used
    for transport in transports:
        transport.abort()
    await asyncio.sleep(2)
    assert counted.messages == EVENTS * CLIENTS, f"{server.name} sent {counted.messages:,} messages"
    return Sample(used / counted.messages, median(latencies))


def _changing(server: Server, ticket: str) -> Callable[[], Awaitable[object]]:
    def request() -> bytes:
        subject = f"Changed {os.urandom(4).hex()}"
        if server.name == "callout":
            return post(CHANGE, {"input": {"ticketId": f"tkt_{ticket}", "subject": subject}}, server.token)
        return post("", {"id": ticket, "subject": subject}, None)

    return lambda: ask(server.port, request())
