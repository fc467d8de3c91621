"""Stress tests: writers and clients run during disturbances; in the end each client must have received exactly the
events in the event log that its filter matches, none of them twice.

A client is any `Follower`: a bare one, or one that uses a library. Each records how its connections end: a client that
reconnects misses nothing, and so would hide a server that closes connections without need.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import tempfile
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import orjson
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from callout.settings import Settings
from db.enums import Role, TicketEventKind
from db.events import log as event_log
from db.ids import new_id
from db.viewer import Viewer
from pubsub.bell import Bell
from tests.helpers.api import Api, Server
from tests.helpers.graphql_ws_client import CHANGES, WITHIN, following
from tests.helpers.process import Process, callout_process, free_port

WRITERS = 8
SECONDS = 3.0
BOSS = Viewer(Role.ADMIN, "boss", "The Boss")
URGENT = {"priority": ["HIGH", "URGENT"]}
SECRET = "a secret of these tests, of thirty-two bytes at least"

ABNORMAL = "1006"  # the connection ended without a close frame
RESTARTING = "1012"
OVERLOADED = "1013 Try again later"
COMPLETED = "completed"  # a response that the server ended: it restarts, or the client cannot go on listening
REFUSED = "refused"  # no server listened, or it stopped before the connection was open

GONE = (OSError, asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError, asyncpg.InterfaceError)
"""A writer's errors while PostgreSQL is stopped or still starting."""


@dataclass
class Received:
    """The messages that a client has received over all its connections."""

    events: list[tuple[str, str]] = field(default_factory=list)
    versions: dict[str, int] = field(default_factory=dict)
    cursor: str = ""
    ready: int = 0
    """How many replays have been completed."""

    def take(self, message: dict[str, Any]) -> None:
        assert message["__typename"] != "StreamReset", message
        self.cursor = message["cursor"]
        self.ready += message["__typename"] == "StreamReady"
        if message["__typename"] == "TicketChange":
            self.events.append((message["ticketId"], message["at"]))
            version = message["ticket"]["version"]
            assert version >= self.versions.get(message["ticketId"], 0), "a ticket's version decreased"
            self.versions[message["ticketId"]] = version


class Follower(ABC):
    """A client that follows tickets until it is cancelled, and reconnects whenever it is disconnected."""

    def __init__(self, filter: Any, start: str) -> None:
        self.filter = filter
        self.received = Received(cursor=start)
        self.ends: list[str] = []
        """How its connections ended, in order, except for those that the client itself closed: a close code and its
        reason, or `REFUSED`."""
        self.hung_up = 0
        """How many connections the client itself closed."""

    @abstractmethod
    async def run(self) -> None: ...


class BareClient(Follower):
    """Connects to one server after another, starting with the one at index `number`. With `cut`, it closes each
    connection itself after a random time of up to so many seconds."""

    def __init__(
        self, servers: Sequence[Server], number: int, filter: Any, start: str, *, cut: float | None = None
    ) -> None:
        super().__init__(filter, start)
        self.connections = 0
        self.connections_min = 6 if cut else 1
        self._servers = servers
        self._next = number
        self.cut = cut

    async def run(self) -> None:
        while True:
            try:
                await self._follow()
            except ConnectionClosed as closed:
                self.ends.append(end_of(closed))
                await asyncio.sleep(0.1)
            except (OSError, InvalidHandshake):
                self.ends.append(REFUSED)
                await asyncio.sleep(0.1)

    async def _follow(self) -> None:
        limit = random.uniform(0.0, self.cut) if self.cut else None
        joining = asyncio.timeout(
            limit if random.random() < 0.5 else None
        )  # not always: a slow machine would hardly ever connect
        showing = asyncio.timeout(limit)
        server = self._servers[self._next % len(self._servers)]
        self._next += 1
        async with Api(server) as viewer:
            # Without a bound on its queue: while closing, the library must read on to receive the close frame.
            line = following(viewer, self.filter, self.received.cursor, max_queue=None)
            try:
                async with joining, line as screen, showing:
                    self.connections += 1
                    while True:
                        self.received.take(await screen.next())
            except TimeoutError:
                assert joining.expired() or showing.expired(), "no message has arrived in time"
                self.hung_up += 1


class StreamClient(Follower):
    """Follows over server-sent events, always on the last of the servers."""

    def __init__(self, servers: Sequence[Server], filter: Any, start: str) -> None:
        super().__init__(filter, start)
        self._servers = servers

    async def run(self) -> None:
        while True:
            async with Api(self._servers[-1]) as viewer:
                self.ends.append(await self._follow(viewer))
            await asyncio.sleep(0.1)

    async def _follow(self, viewer: Api) -> str:
        body = {"query": CHANGES, "variables": {"filter": self.filter, "after": self.received.cursor}}
        try:
            async with viewer.http.stream("POST", "/graphql/stream", json=body) as response:
                assert response.status_code == 200
                async for line in response.aiter_lines():
                    if line.startswith("data: "):
                        self.received.take(orjson.loads(line[6:])["data"]["ticketChanged"])
        except httpx.ConnectError:
            return REFUSED
        except httpx.TransportError:
            return ABNORMAL
        return COMPLETED


def bare_clients(servers: Sequence[Server], start: str) -> list[Follower]:
    """Returns four clients: the first starts at the first server, the next two at the last; the fourth keeps closing
    its connections."""
    return [
        BareClient(servers, 0, None, start),
        BareClient(servers, -1, URGENT, start),
        StreamClient(servers, None, start),
        BareClient(servers, 0, None, start, cut=0.4),
    ]


def end_of(closed: ConnectionClosed) -> str:
    return ABNORMAL if closed.rcvd is None else f"{closed.rcvd.code} {closed.rcvd.reason}".rstrip()


def ends_of(followers: Sequence[Follower]) -> list[Counter[str]]:
    return [Counter(follower.ends) for follower in followers]


async def write(url: str, tickets: list[str], done: Callable[[], None], goes_on: Callable[[], bool], seed: int) -> None:
    """One writer, which reconnects after an outage."""
    drawn = random.Random(seed)
    while goes_on():
        try:
            connection = await asyncpg.connect(url)
        except GONE:
            await asyncio.sleep(0.05)
            continue
        try:
            while goes_on():
                await transact(connection, drawn, tickets)
                done()
                await asyncio.sleep(drawn.uniform(0, 0.01))
        except GONE:
            await asyncio.sleep(0.05)
        finally:
            connection.terminate()


async def transact(
    connection: asyncpg.Connection[asyncpg.Record], drawn: random.Random, tickets: Sequence[str]
) -> None:
    """Runs a transaction of one to four changes; some use savepoints, some roll back, some are slow."""
    transaction = connection.transaction()
    await transaction.start()
    # Locked in order, as the application does, to avoid deadlocks.
    for ticket in sorted(drawn.sample(tickets, drawn.randint(1, 4))):
        savepoint = connection.transaction()
        await savepoint.start()
        await connection.execute("SELECT FROM tickets WHERE id = $1 FOR NO KEY UPDATE", ticket)
        await change(connection, drawn, ticket)
        await (savepoint.rollback() if drawn.random() < 0.2 else savepoint.commit())
        if drawn.random() < 0.3:
            await asyncio.sleep(drawn.uniform(0, 0.01))
    await (transaction.rollback() if drawn.random() < 0.2 else transaction.commit())


async def change(connection: asyncpg.Connection[asyncpg.Record], drawn: random.Random, ticket: str) -> None:
    if drawn.random() < 0.2:
        await event_log.note(connection, BOSS, ticket, new_id(), "Looked at it.", internal_only=True)
    else:
        priority = drawn.choice(["LOW", "MEDIUM", "HIGH", "URGENT"])
        values = {"priority": priority, "subject": f"Number {drawn.random()}"}
        await event_log.change(connection, BOSS, ticket, TicketEventKind.UPDATED, values, {})


async def hold_open(url: str, ticket: str, seconds: float) -> None:
    """Keeps a transaction open after it has written."""
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            await connection.execute("SELECT FROM tickets WHERE id = $1 FOR NO KEY UPDATE", ticket)
            await event_log.change(connection, BOSS, ticket, TicketEventKind.UPDATED, {"subject": "Held open"}, {})
            await asyncio.sleep(seconds)
    except GONE:
        return
    finally:
        connection.terminate()


async def committed(url: str, filter: Any) -> list[tuple[str, str]]:
    """Returns the events after the tickets' creation, in order, whose image before or after matches the filter by
    priority."""
    connection = await asyncpg.connect(url, server_settings={"timezone": "UTC"})
    wanted = (filter or {"priority": ["LOW", "MEDIUM", "HIGH", "URGENT"]})["priority"]
    rows = await connection.fetch(
        """SELECT 'tkt_' || ticket_id AS ticket, to_char(at, 'YYYY-MM-DD"T"HH24:MI:SS.USTZH:TZM') AS at
        FROM ticket_events
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


async def until_connected_often(client: BareClient) -> None:
    async with asyncio.timeout(WITHIN):
        while client.connections < client.connections_min:  # noqa: ASYNC110 (there is no event to wait for)
            await asyncio.sleep(0.05)


async def nothing() -> None:
    """No disturbance."""


async def under_fire(
    servers: list[Server],
    url: str,
    ring: Callable[[], None],
    disturb: Callable[[], Coroutine[Any, Any, None]] = nothing,
    *,
    clients: Callable[[Sequence[Server], str], Sequence[Follower]] = bare_clients,
    writers: int = WRITERS,
) -> Sequence[Follower]:
    """Runs writers and clients for some seconds, with a disturbance in the middle, then compares the clients' events
    with the log's. `clients` makes the clients from the servers and the cursor to start from. Returns them, so that the
    test can assert how their connections ended."""
    async with Api(servers[0]) as api:
        tickets = [(await api.new_ticket()).partition("_")[2] for _ in range(12)]
        start = (await api("{ tickets(first: 1) { streamCursor } }"))["tickets"]["streamCursor"]
    followers = clients(servers, start)
    running = [asyncio.create_task(follower.run()) for follower in followers]
    try:
        await ready(followers, 1)
        await all_at_once(url, tickets, ring, disturb, writers)
        for follower in followers:
            if isinstance(follower, BareClient):
                await until_connected_often(follower)
                follower.cut = None
        for follower in followers:
            await has_all(follower, by_ticket(await committed(url, follower.filter)))
        await asyncio.sleep(0.5)  # for messages that should not arrive
        for follower, task in zip(followers, running, strict=True):
            assert not task.done(), task.exception()
            assert by_ticket(follower.received.events) == by_ticket(await committed(url, follower.filter))
            assert follower.received.ready <= 1 + len(follower.ends) + follower.hung_up
        return followers
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def all_at_once(
    url: str,
    tickets: list[str],
    ring: Callable[[], None],
    disturb: Callable[[], Coroutine[Any, Any, None]],
    writers: int,
) -> None:
    """Runs the writers and the disturbance: until that is over, the time is up, and enough is written, which takes
    longer on a busy machine."""
    until = asyncio.get_running_loop().time() + SECONDS
    transactions = 0

    def goes_on() -> bool:
        return not disturbance.done() or transactions < 150 or asyncio.get_running_loop().time() < until

    def done() -> None:
        nonlocal transactions
        transactions += 1
        ring()

    async with asyncio.TaskGroup() as work:
        disturbance = work.create_task(disturb())
        for seed in range(writers):
            work.create_task(write(url, tickets[:-1], done, goes_on, seed))
        work.create_task(hold_open(url, tickets[-1], SECONDS / 2))


async def ready(followers: Sequence[Follower], times: int) -> None:
    """Waits until each follower has completed so many replays."""
    async with asyncio.timeout(WITHIN):
        while any(follower.received.ready < times for follower in followers):  # noqa: ASYNC110 (there is no event to wait for)
            await asyncio.sleep(0.05)


async def has_all(follower: Follower, expected: dict[str, list[str]]) -> None:
    """Waits until a follower has received exactly the expected events."""
    total = sum(map(len, expected.values()))
    assert total > 100
    try:
        async with asyncio.timeout(WITHIN):
            while by_ticket(follower.received.events) != expected:
                assert len(follower.received.events) <= total, "an event arrived twice"
                await asyncio.sleep(0.1)
    except TimeoutError:
        wanted = Counter((ticket, at) for ticket, times in expected.items() for at in times)
        missing, more = wanted - Counter(follower.received.events), Counter(follower.received.events) - wanted
        raise AssertionError(
            f"of {total}, {len(missing)} are missing: {sorted(missing)}, and {len(more)} are unexpected: {sorted(more)}"
        ) from None


@asynccontextmanager
async def served(
    directory: Path, database_url: str, count: int, pubsub_url: str, **settings: str
) -> AsyncIterator[list[Server]]:
    """Runs so many servers on one database."""
    with ExitStack() as stack:
        servers = []
        for _ in range(count):
            process = stack.enter_context(server_process(directory, database_url, pubsub_url=pubsub_url, **settings))
            servers.append(server_of(process, database_url))
        yield servers


async def through_restarts(
    directory: Path, database_url: str, client: Callable[[Server, Any, str], Follower], writers: int = 4
) -> None:
    """Follows with two clients, made from a server, a filter and a cursor, while their server is killed, later stopped
    with SIGTERM, and each time restarted on the same port. Nothing else may disconnect the clients."""
    port = str(free_port())
    with ExitStack() as stack:

        def start() -> Process:
            return stack.enter_context(server_process(directory, database_url, port=port))

        async def restart() -> None:
            running = process
            for times, chosen in enumerate((signal.SIGKILL, signal.SIGTERM), 1):
                await ready(followers, times)
                await asyncio.sleep(0.5)
                os.kill(running.pid, chosen)
                await asyncio.sleep(0.5)  # the events of this time are replayed later
                running = await asyncio.to_thread(start)
            await ready(followers, 3)

        def clients(servers: Sequence[Server], cursor: str) -> Sequence[Follower]:
            followers.extend(client(servers[0], filter, cursor) for filter in (None, URGENT))
            return followers

        followers: list[Follower] = []
        process = await asyncio.to_thread(start)
        async with Bell.open(database_url) as bell:
            await under_fire(
                [server_of(process, database_url)], database_url, bell.ring, restart, clients=clients, writers=writers
            )
        for follower in followers:
            assert [end for end in follower.ends if end != REFUSED] == [ABNORMAL, RESTARTING]
            assert follower.received.ready == 3


def server_process(directory: Path, database_url: str, **settings: str) -> AbstractContextManager[Process]:
    below = Path(tempfile.mkdtemp(dir=directory))
    return callout_process(below, database_url=database_url, jwt_secret=SECRET, **settings)


def server_of(process: Process, database_url: str) -> Server:
    directory = process.log_file.parent
    settings = Settings(env="production", database_url=database_url, jwt_secret=SECRET, data_dir=directory)
    return Server(process.url, settings, database_url, process)
