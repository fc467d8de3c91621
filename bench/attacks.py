"""One viewer who takes as much as they can, in several ways: how long another viewer's list and `/healthz` take
meanwhile.

The attacker is this process; the other viewer is a process of their own, which sends its requests at fixed times,
whether or not the last one has been answered.
"""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
import random
from base64 import b64encode
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import quantiles
from time import perf_counter
from typing import Any, Final, TypeAlias

import asyncpg
import orjson

from bench import cpu, database, servers
from bench.load import ask, post
from bench.report import Row, print_table
from bench.servers import Server
from bench.sockets import Follower, frame
from bench.technicians import TICKETS
from bench.vary import DOCUMENTS, FIELDS, FIELDS_OF_A_DOCUMENT
from callout.settings import Settings
from db.enums import Role, TicketPriority, TicketStatus
from db.limits import BULK_MAX, CHAT_BODY_MAX, PAGE_MAX

SECONDS: Final = 30
REQUESTS_A_SECOND: Final = 20  # of the other viewer, for each of the two
LIST_TARGET: Final = 250.0  # milliseconds at the 95th percentile
HEALTH_TARGET: Final = 100.0

CONDITIONS, ALIASES = 96, 100
SOCKETS, SUBSCRIPTIONS = 40, 100
CONNECTIONS: Final = 8
CHANGES: Final = 20

LIST = """{ tickets(filter: {status: [OPEN], priority: [HIGH]}, first: 20) {
  nodes { reference subject customer { name } } } }"""
NOTE = "mutation($i: NoteAddInput!) { noteAdd(input: $i) { note { id } } }"
CREATE = "mutation($i: TicketCreateInput!) { ticketCreate(input: $i) { ticket { id } userErrors { code } } }"
BULK = "mutation($i: TicketsBulkUpdateInput!) { ticketsBulkUpdate(input: $i) { results { ticketId } } }"
INGEST = "mutation($i: InboundEmailIngestInput!) { inboundEmailIngest(input: $i) { outcome } }"
SCHEMA = "{ __schema { types { name fields { name type { name ofType { name ofType { name } } } args { name } } } } }"
PAGE = """query($after: String!) { ticketEvents(after: $after, first: 100, filter: {search: "nothing has this"}) {
  hasMore } }"""

_SHOWN = "{ __typename ... on TicketChange { change ticket { subject notes(first: 5) { nodes { body } } } } }"

Outcomes: TypeAlias = Counter[str]


@dataclass(frozen=True)
class Target:
    """The server, and what an attacker knows: their tokens and tickets, and an old stream cursor."""

    server: Server
    customer: str
    admin: str
    service: str
    tickets: Sequence[str]
    own_tickets: Sequence[str]
    cursor: str

    def post(self, document: str, token: str, **variables: Any) -> bytes:
        return post(document, variables, token)


Attack: TypeAlias = Callable[[Target, float], Awaitable[Outcomes]]
"""Attacks until the time of `perf_counter`."""


# Attacks


async def nothing(target: Target, until: float) -> Outcomes:
    """For comparison."""
    await asyncio.sleep(until - perf_counter())
    return Counter()


async def shapes(target: Target, until: float) -> Outcomes:
    """A list under 100 aliases, with a filter of 96 conditions in a shape that was never seen."""
    roots = " ".join(f"a{n}: tickets(filter: $f, first: 5) {{ nodes {{ id }} }}" for n in range(ALIASES))
    document = f"query($f: TicketFilter) {{ {roots} }}"
    requests = (target.post(document, target.customer, f=_new_filter()) for _ in itertools.count())
    return await _hammer(target, requests, until, connections=2)


async def single_shapes(target: Target, until: float) -> Outcomes:
    """The same filters, one list a request."""
    document = "query($f: TicketFilter) { tickets(filter: $f, first: 5) { nodes { id } } }"
    requests = (target.post(document, target.customer, f=_new_filter()) for _ in itertools.count())
    return await _hammer(target, requests, until)


async def subscriptions(target: Target, until: float) -> Outcomes:
    """40 sockets with 100 different subscriptions each, and a note a second."""
    outcomes: Outcomes = Counter()
    numbers = itertools.count()
    async with _sockets(target, lambda: f"subscription S{next(numbers)} {{ ticketChanged {_SHOWN} }}", outcomes):
        notes = (
            target.post(NOTE, target.customer, i={"ticketId": target.own_tickets[0], "body": f"Note {n}"})
            for n in itertools.count()
        )
        return outcomes + await _hammer(target, notes, until, connections=1, pause=1.0)


async def replays(target: Target, until: float) -> Outcomes:
    """40 sockets with 100 subscriptions each that continue from an old cursor, closed and opened again."""
    outcomes: Outcomes = Counter()
    document = f'subscription {{ ticketChanged(after: "{target.cursor}") {_SHOWN} }}'
    while perf_counter() < until:
        async with _sockets(target, lambda: document, outcomes):
            await asyncio.sleep(2)
    return outcomes


async def documents(target: Target, until: float) -> Outcomes:
    """Documents that were never seen."""

    def never_seen() -> Iterator[bytes]:
        for number in itertools.count(DOCUMENTS):
            fields = "\n".join(random.sample(FIELDS, FIELDS_OF_A_DOCUMENT))
            document = f"query A{number} {{ tickets(first: 10) {{ nodes {{\n{fields}\n}} }} }}"
            yield target.post(document, target.customer)

    return await _hammer(target, never_seen(), until)


async def introspection(target: Target, until: float) -> Outcomes:
    """The whole schema, again and again."""
    return await _hammer(target, itertools.repeat(target.post(SCHEMA, target.customer)), until)


async def payloads(target: Target, until: float) -> Outcomes:
    """Tickets with transcripts of nearly a megabyte."""
    messages = [{"author": "CUSTOMER", "body": "x" * CHAT_BODY_MAX, "at": "2026-11-24T08:15:00Z"} for _ in range(100)]

    def large() -> Iterator[bytes]:
        for number in itertools.count():
            chat = {"conversationId": f"{random.getrandbits(64)} {number}", "messages": messages}
            contact = {"name": "A", "email": "a@example.com"}
            given = {"subject": "Large", "description": "x", "contact": contact, "chat": chat}
            yield target.post(CREATE, target.service, i=given)

    return await _hammer(target, large(), until)


async def mails(target: Target, until: float) -> Outcomes:
    """Inbound mail of 700 KB."""

    def large() -> Iterator[bytes]:
        for _ in itertools.count():
            number = random.getrandbits(64)
            head = f"From: a@example.com\r\nTo: b@example.com\r\nMessage-ID: <{number}@x>\r\nSubject: {number}\r\n\r\n"
            raw = head.encode() + b"word " * 140_000
            yield target.post(INGEST, target.service, i={"message": {"encoded": b64encode(raw).decode()}})

    return await _hammer(target, large(), until)


async def bulk(target: Target, until: float) -> Outcomes:
    """100 tickets changed at once, over and over, while the attacker's own dashboards follow them."""
    priorities = itertools.cycle(TicketPriority)
    chosen = target.tickets[:BULK_MAX]
    changes = (
        target.post(BULK, target.admin, i={"ticketIds": list(chosen), "priority": priority}) for priority in priorities
    )
    return await _hammer(target, changes, until)


async def large_lists(target: Target, until: float) -> Outcomes:
    """Lists of nearly as many objects as a request may return."""
    document = f"""{{ technicians(first: {PAGE_MAX}) {{ nodes {{ tickets(first: 45) {{
      nodes {{ reference customer {{ name }} property {{ address }} }} }} }} }} }}"""
    return await _hammer(target, itertools.repeat(target.post(document, target.admin)), until, connections=32)


async def pages(target: Target, until: float) -> Outcomes:
    """Pages of changes since an old cursor that no event matches."""
    request = target.post(PAGE, target.customer, after=target.cursor)
    return await _hammer(target, itertools.repeat(request), until, connections=32)


async def small_requests(target: Target, until: float) -> Outcomes:
    """The smallest query, over many connections."""
    return await _hammer(
        target, itertools.repeat(target.post("{ __typename }", target.customer)), until, connections=64
    )


ATTACKS: Final[Mapping[str, Attack]] = {
    "none": nothing,
    "100 × 96 conditions in new shapes": shapes,
    "40 × 100 subscriptions and notes": subscriptions,
    "documents never seen": documents,
    "96 conditions in new shapes": single_shapes,
    "replays from an old cursor": replays,
    "introspection": introspection,
    "payloads of a megabyte": payloads,
    "large inbound mail": mails,
    "bulk updates of 100": bulk,
    "large lists": large_lists,
    "pages of changes": pages,
    "small requests": small_requests,
}


# Running them


def run(data_dir: Path, *, seconds: int, budgets: bool, only: str | None) -> None:
    """Runs each attack, or `only` the one of this name, for so many seconds each, with the default budgets or without
    any, and prints the table."""
    chosen = {name: attack for name, attack in ATTACKS.items() if only in (None, name)}
    settings = {
        name: str(field.default)
        for name, field in Settings.model_fields.items()
        if name.startswith(("budget_", "concurrency_"))
    }
    with database.prepared(data_dir, tickets=TICKETS) as url:
        customer, own_tickets, tickets = asyncio.run(_known(url))
        viewers = {"customer": (Role.CUSTOMER, f"cus_{customer}"), "service": (Role.SERVICE, "attacker")}
        rows = []
        for name, attack in chosen.items():
            with (
                servers.callout(url, data_dir / "callout.log", viewers, budgets=str(budgets), **settings) as server,
                ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as others,
            ):
                rows.append(asyncio.run(_measured(name, attack, server, own_tickets, tickets, others, seconds)))
    print(f"{seconds} s of each attack, {'with the default budgets' if budgets else 'without budgets'}\n")
    header = ("attack", "list p50", "p95", "max", "target", "/healthz p50", "p95", "max", "target", "answers", "CPU s")
    print_table(header, rows)


async def _known(url: str) -> tuple[str, list[str], list[str]]:
    """The customer with the most tickets, these tickets' ids, and those of others."""
    connection = await asyncpg.connect(url)
    customer = await connection.fetchval(
        "SELECT customer_id::text FROM tickets WHERE customer_id IS NOT NULL GROUP BY 1 ORDER BY count(*) DESC LIMIT 1"
    )
    own = "SELECT id::text FROM tickets WHERE customer_id = $1::uuid AND status <> 'CLOSED' ORDER BY id LIMIT 100"
    own_tickets = [f"tkt_{row['id']}" for row in await connection.fetch(own, customer)]
    tickets = [f"tkt_{row['id']}" for row in await connection.fetch("SELECT id::text FROM tickets LIMIT 100")]
    await connection.close()
    return customer, own_tickets, tickets


async def _measured(
    name: str,
    attack: Attack,
    server: Server,
    own_tickets: Sequence[str],
    tickets: Sequence[str],
    others: ProcessPoolExecutor,
    seconds: int,
) -> Row:
    cursor = await _old_cursor(server, own_tickets)
    viewers, admin = server.viewers, server.tokens[1]
    target = Target(server, viewers["customer"], admin, viewers["service"], tickets, own_tickets, cursor)
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(others, _time_requests, server.port, server.token, 1)  # until the process has started
    used = cpu.seconds(server.pid)
    timing = loop.run_in_executor(others, _time_requests, server.port, server.token, seconds)
    outcomes = await attack(target, perf_counter() + seconds)
    lists, checks = await timing
    used = cpu.seconds(server.pid) - used
    answers = ", ".join(f"{number:,} {code}" for code, number in outcomes.most_common())
    return (name, *_row(lists, LIST_TARGET), *_row(checks, HEALTH_TARGET), answers, f"{used:.1f}")


def _row(taken: Sequence[float], target: float) -> Row:
    milliseconds = sorted(1e3 * each for each in taken)
    percentiles = quantiles(milliseconds, n=100)
    p50, p95 = percentiles[49], percentiles[94]
    verdict = f"≤ {target:.0f} {'pass' if p95 <= target else 'MISS'}"
    return f"{p50:.0f}", f"{p95:.0f}", f"{milliseconds[-1]:.0f}", verdict


async def _old_cursor(server: Server, tickets: Sequence[str]) -> str:
    """A stream cursor, after which an admin changes the attacker's tickets `CHANGES` times."""
    answer = await ask(server.port, post("{ tickets(first: 1) { streamCursor } }", {}, server.tokens[2]))
    for priority in itertools.islice(itertools.cycle(TicketPriority), CHANGES):
        given = {"ticketIds": list(tickets), "priority": priority}
        await ask(server.port, post(BULK, {"i": given}, server.tokens[2]))
    cursor: str = orjson.loads(answer)["data"]["tickets"]["streamCursor"]
    return cursor


def _time_requests(port: int, token: str | None, seconds: int) -> tuple[list[float], list[float]]:
    """The seconds from when each list and each health check was due until its answer."""
    requests = post(LIST, {}, token), b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"

    async def both() -> list[list[float]]:
        return await asyncio.gather(*(_timed(port, request, seconds) for request in requests))

    lists, checks = asyncio.run(both())
    return lists, checks


async def _timed(port: int, request: bytes, seconds: int) -> list[float]:
    """Sends the requests when they are due, over as many connections as that takes."""
    free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    began, taken = perf_counter(), []

    async def send(due: float) -> None:
        reader, writer = free.pop() if free else await asyncio.open_connection("127.0.0.1", port)
        status, body = await _exchange(reader, writer, request)
        taken.append(perf_counter() - due)
        free.append((reader, writer))
        assert status == 200 and b'"errors"' not in body, body

    async with asyncio.TaskGroup() as group:
        for number in range(seconds * REQUESTS_A_SECOND):
            due = began + number / REQUESTS_A_SECOND
            await asyncio.sleep(max(0, due - perf_counter()))
            group.create_task(send(due))
    for _, writer in free:
        writer.close()
    return taken


# Attackers' connections


async def _hammer(
    target: Target, requests: Iterator[bytes], until: float, *, connections: int = CONNECTIONS, pause: float = 0.0
) -> Outcomes:
    """Sends the requests as fast as they are answered. Returns how many had which code."""
    outcomes: Outcomes = Counter()

    async def connection() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", target.server.port)
        for request in requests:
            _, body = await _exchange(reader, writer, request)
            outcomes[_code(body)] += 1
            await asyncio.sleep(pause)

    with suppress(TimeoutError):
        async with asyncio.timeout(until - perf_counter()), asyncio.TaskGroup() as group:
            for _ in range(connections):
                group.create_task(connection())
    return outcomes


async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> tuple[int, bytes]:
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    _, _, length = head.partition(b"content-length:")
    body = await reader.readexactly(int(length.split(b"\r\n", 1)[0]))
    return int(head.split(b" ", 2)[1]), body


def _code(body: bytes) -> str:
    if b'"errors":' not in body:
        return "answered"
    code: str = orjson.loads(body)["errors"][0]["extensions"]["code"]
    return code


@asynccontextmanager
async def _sockets(target: Target, document: Callable[[], str], outcomes: Outcomes) -> AsyncIterator[None]:
    """`SOCKETS` sockets of the customer, each with `SUBSCRIPTIONS` subscriptions."""

    def count(text: bytes) -> None:
        message = orjson.loads(text)
        if message["type"] == "error":
            outcomes[message["payload"][0]["extensions"]["code"]] += 1
        elif message["type"] == "next":
            outcomes["messages"] += 1

    loop, opened = asyncio.get_running_loop(), []
    for _ in range(SOCKETS):
        words = [frame({"type": "connection_init", "payload": {"Authorization": f"Bearer {target.customer}"}})]
        subscribing = [
            frame({"id": str(n), "type": "subscribe", "payload": {"query": document()}}) for n in range(SUBSCRIPTIONS)
        ]
        words.append(b"".join(subscribing))
        make = partial(Follower, words, count)
        transport, follower = await loop.create_connection(make, "127.0.0.1", target.server.port)
        follower.ready.add_done_callback(lambda ready: ready.exception())  # the server may close it: nobody waits
        opened.append(transport)
    try:
        yield
    finally:
        for transport in opened:
            transport.abort()


def _new_filter() -> dict[str, Any]:
    """A filter of `CONDITIONS` conditions in a shape that was never seen."""

    def condition() -> dict[str, Any]:
        match random.randrange(4):
            case 0:
                return {"status": random.sample(list(TicketStatus), random.randint(1, 3))}
            case 1:
                return {"priority": random.sample(list(TicketPriority), random.randint(1, 3))}
            case 2:
                return {"createdAt": {"from": "2020-01-01T00:00:00Z"}}
        return {"search": f"word {random.getrandbits(16)}"}

    conditions = [condition() for _ in range(CONDITIONS)]
    half = CONDITIONS // 2
    return {"or": conditions[:half], "and": [{"not": each} for each in conditions[half:]]}
