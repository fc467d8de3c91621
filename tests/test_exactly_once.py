"""Exactly once, in each ticket's order, under fire: writers that pause, roll back and hold transactions open, clients
that are cut off, connections and servers that are killed.

What a client received is compared with what the event log holds in the end: every event that its filter matches, and
nothing twice.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from callout.settings import Settings
from db import event_log
from db.enums import Role, TicketEventKind
from db.ids import new_id
from db.viewer import Viewer
from pubsub.bell import Bell
from tests.api import Api, Server
from tests.live import WITHIN, following
from tests.process import callout_process
from tests.valkey import Valkey

WRITERS = 8
SECONDS = 4.0
BOSS = Viewer(Role.ADMIN, "boss", "The Boss")
URGENT = {"priority": ["HIGH", "URGENT"]}
SECRET = "a secret of these tests, of thirty-two bytes at least"


@dataclass
class Received:
    """What a client has been told, over all its connections."""

    events: list[tuple[str, str]] = field(default_factory=list)
    versions: dict[str, int] = field(default_factory=dict)
    cursor: str = ""

    def take(self, message: dict[str, Any]) -> None:
        assert message["__typename"] != "StreamReset", message
        self.cursor = message["cursor"]
        if message["__typename"] == "TicketChange":
            self.events.append((message["ticketId"], message["at"]))
            version = message["ticket"]["version"]
            assert version >= self.versions.get(message["ticketId"], 0), "a ticket went back"
            self.versions[message["ticketId"]] = version


class Client:
    """Follows tickets, from one connection to the next, until it is told to stop."""

    def __init__(self, viewer: Callable[[], Api], filter: Any, start: str, *, cut: float = 0.0) -> None:
        self.received = Received(cursor=start)
        self._viewer = viewer
        self._filter = filter
        self.cut = cut
        self.connections = 0

    async def run(self) -> None:
        while True:
            try:
                await self._follow()
            except (OSError, ConnectionClosed, InvalidHandshake):
                await asyncio.sleep(0.1)

    async def _follow(self) -> None:
        limit = random.uniform(0.0, self.cut) if self.cut else None
        async with self._viewer() as viewer:
            try:
                async with asyncio.timeout(limit), following(viewer, self._filter, self.received.cursor) as screen:
                    self.connections += 1
                    while True:
                        self.received.take(await screen.next())
            except TimeoutError:
                return  # it is cut off, or nothing has come for long


async def write(url: str, tickets: list[str], ring: Callable[[], None], until: float, seed: int) -> None:
    """One writer: transactions of one to four changes, some in savepoints, some rolled back, some slow."""
    drawn = random.Random(seed)
    connection = await asyncpg.connect(url)
    while asyncio.get_running_loop().time() < until:
        transaction = connection.transaction()
        await transaction.start()
        # As whoever locks several does, in order, so that nobody waits in a circle.
        for ticket in sorted(drawn.sample(tickets, drawn.randint(1, 4))):
            savepoint = connection.transaction()
            await savepoint.start()
            await connection.execute("SELECT FROM tickets WHERE id = $1 FOR NO KEY UPDATE", ticket)
            await change(connection, drawn, ticket)
            await (savepoint.rollback() if drawn.random() < 0.2 else savepoint.commit())
            if drawn.random() < 0.3:
                await asyncio.sleep(drawn.uniform(0, 0.01))
        await (transaction.rollback() if drawn.random() < 0.2 else transaction.commit())
        ring()
        await asyncio.sleep(drawn.uniform(0, 0.01))
    await connection.close()


async def change(connection: asyncpg.Connection[asyncpg.Record], drawn: random.Random, ticket: str) -> None:
    if drawn.random() < 0.2:
        await event_log.note(connection, BOSS, ticket, new_id(), "Looked at it.", internal_only=True)
    else:
        priority = drawn.choice(["LOW", "MEDIUM", "HIGH", "URGENT"])
        values = {"priority": priority, "subject": f"Number {drawn.random()}"}
        await event_log.change(connection, BOSS, ticket, TicketEventKind.UPDATED, values, {})


async def hold_open(url: str, ticket: str, seconds: float) -> None:
    """A transaction that has written and takes its time."""
    connection = await asyncpg.connect(url)
    async with connection.transaction():
        await connection.execute("SELECT FROM tickets WHERE id = $1 FOR NO KEY UPDATE", ticket)
        await event_log.change(connection, BOSS, ticket, TicketEventKind.UPDATED, {"subject": "Held open"}, {})
        await asyncio.sleep(seconds)
    await connection.close()


async def committed(url: str, filter: Any) -> list[tuple[str, str]]:
    """The events after the tickets' creation, in order, that a filter by priority matches before or after."""
    connection = await asyncpg.connect(url, server_settings={"timezone": "UTC"})
    wanted = (filter or {"priority": ["LOW", "MEDIUM", "HIGH", "URGENT"]})["priority"]
    rows = await connection.fetch(
        """SELECT 'tkt_' || ticket_id AS ticket, to_json(at) #>> '{}' AS at FROM ticket_events
        WHERE kind <> 'CREATED' AND (before ->> 'priority' = ANY ($1) OR after ->> 'priority' = ANY ($1))
        ORDER BY ticket_id, at""",
        wanted,
    )
    await connection.close()
    return [(row["ticket"], row["at"]) for row in rows]


def by_ticket(events: list[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for ticket, at in events:
        found.setdefault(ticket, []).append(at)
    return found


async def under_fire(
    servers: list[Server], url: str, ring: Callable[[], None], disturb: Callable[[], Coroutine[Any, Any, None]]
) -> None:
    """Writers and clients for some seconds, with a disturbance in the middle; then everything is compared."""
    async with Api(servers[0]) as api:
        tickets = [(await api.new_ticket()).partition("_")[2] for _ in range(12)]
        start = (await api("{ tickets(first: 1) { streamCursor } }"))["tickets"]["streamCursor"]

    def somewhere() -> Api:
        return Api(random.choice(servers))

    clients = [
        Client(somewhere, None, start),
        Client(somewhere, URGENT, start),
        Client(somewhere, None, start, cut=0.4),
    ]
    running = [asyncio.create_task(client.run()) for client in clients]
    until = asyncio.get_running_loop().time() + SECONDS
    async with asyncio.TaskGroup() as work:
        for seed in range(WRITERS):
            work.create_task(write(url, tickets[:-1], ring, until, seed))
        work.create_task(hold_open(url, tickets[-1], SECONDS / 2))
        work.create_task(disturb())
    for client in clients:
        client.cut = 0.0
    for client, filter in zip(clients, (None, URGENT, None), strict=True):
        expected = by_ticket(await committed(url, filter))
        assert sum(map(len, expected.values())) > 100
        try:
            async with asyncio.timeout(WITHIN):
                while by_ticket(client.received.events) != expected:
                    assert len(client.received.events) <= sum(map(len, expected.values())), "something came twice"
                    await asyncio.sleep(0.1)
        except TimeoutError:
            assert by_ticket(client.received.events) == expected
    await asyncio.sleep(0.5)  # for what should not come
    for client, filter in zip(clients, (None, URGENT, None), strict=True):
        assert by_ticket(client.received.events) == by_ticket(await committed(url, filter))
    assert clients[2].connections > 5
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


@asynccontextmanager
async def served(directory: Path, database_url: str, count: int, pubsub_url: str) -> AsyncIterator[list[Server]]:
    """So many servers on one database."""
    known = Settings(env="production", database_url=database_url, jwt_secret=SECRET, data_dir=directory)
    with ExitStack() as stack:
        servers = []
        for n in range(count):
            below = directory / str(n)
            below.mkdir()
            settings = {"database_url": database_url, "jwt_secret": SECRET, "pubsub_url": pubsub_url}
            process = stack.enter_context(callout_process(below, **settings))
            servers.append(Server(process.url, known, database_url, process))
        yield servers


async def nothing() -> None:
    """No disturbance."""


async def test_one_server(tmp_path: Path, fresh_url: str) -> None:
    """Its bell never rings for what is written beside it, so it looks by itself."""
    async with served(tmp_path, fresh_url, 1, "memory://") as servers:
        await under_fire(servers, fresh_url, lambda: None, nothing)


async def test_two_servers_whose_connections_are_killed(tmp_path: Path, fresh_url: str) -> None:
    async def kill() -> None:
        connection = await asyncpg.connect(fresh_url)
        for _ in range(3):
            await asyncio.sleep(SECONDS / 5)
            killed = await connection.fetchval(
                """SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                WHERE datname = current_database() AND application_name LIKE 'callout%'"""
            )
            assert killed > 0
        await connection.close()

    async with served(tmp_path, fresh_url, 2, "postgres://") as servers, Bell.open(fresh_url) as bell:
        await under_fire(servers, fresh_url, bell.ring, kill)


async def test_two_servers_whose_valkey_is_restarted(tmp_path: Path, fresh_url: str, valkey: Valkey) -> None:
    async def restart() -> None:
        await asyncio.sleep(SECONDS / 3)
        await asyncio.to_thread(valkey.kill)
        await asyncio.sleep(SECONDS / 3)
        await asyncio.to_thread(valkey.start)

    async with served(tmp_path, fresh_url, 2, valkey.url) as servers, Bell.open(valkey.url) as bell:
        await under_fire(servers, fresh_url, bell.ring, restart)


async def test_a_server_that_is_killed_leaves_its_clients_to_the_other(tmp_path: Path, fresh_url: str) -> None:
    async with served(tmp_path, fresh_url, 2, "postgres://") as servers, Bell.open(fresh_url) as bell:

        async def kill() -> None:
            await asyncio.sleep(SECONDS / 2)
            os.kill(servers.pop().process.pid, signal.SIGKILL)

        await under_fire(servers, fresh_url, bell.ring, kill)
