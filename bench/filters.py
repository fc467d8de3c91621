"""The cost of live filters: the CPU time of a change if all dashboards have the same filter, if each has a different
one, and if no filter matches.

The baseline is `bench/raw.py`, which sends a prepared text to the same number of sockets in the same run.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final

import asyncpg
import orjson

from bench import cpu, database, servers
from bench.fanout import Client, Counted
from bench.load import ask, post
from bench.report import print_table, show
from bench.servers import Server
from bench.sockets import HANDSHAKE, frame
from db.enums import DocumentedEnum, TicketCategory, TicketPriority, TicketSource, TicketStatus

TICKETS: Final = 20_000
EVENTS: Final = 50
WARM_UP: Final = 5

SUBSCRIPTION = """subscription($filter: TicketFilter) { ticketChanged(filter: $filter) { ... on TicketChange {
  cursor change ticketId ticket { id version reference subject status priority } } } }"""
CHANGE = """mutation($input: TicketUpdateInput!) { ticketUpdate(input: $input) { ticket { version } } }"""

Filter = dict[str, Any]

ENUMS: Final[Mapping[str, type[DocumentedEnum]]] = {
    "status": TicketStatus,
    "priority": TicketPriority,
    "category": TicketCategory,
    "source": TicketSource,
}


@dataclass(frozen=True)
class Case:
    """A number of clients and of different filters among them. Either all filters match the changed ticket or none
    does. `targets` are the CPU milliseconds per event of the server and of the database."""

    clients: int
    filters: int
    match: bool = True
    targets: tuple[float, float] | None = None

    @property
    def name(self) -> str:
        return f"{self.clients} / {self.filters}{'' if self.match else ', none matches'}"


CASES: Final = (
    Case(300, 1),
    Case(100, 100),
    Case(300, 300, targets=(15, 6)),
    Case(300, 300, match=False, targets=(4, 2)),
)


@dataclass(frozen=True)
class Sample:
    """CPU seconds per event."""

    server: float
    database: float


@dataclass(frozen=True)
class Bench:
    """The servers, the pid of PostgreSQL's main process, and the ticket that changes."""

    callout: Server
    raw: Server
    postmaster: int
    ticket: Mapping[str, str]


def run(data_dir: Path, *, rounds: int) -> None:
    with (
        database.prepared(data_dir, tickets=TICKETS) as url,
        servers.callout(url, data_dir / "callout.log") as callout,
        servers.baseline("raw", url, data_dir / "raw.log") as raw,
    ):
        samples, alone = asyncio.run(_measure(url, callout, raw, rounds))
    rows = []
    for case in CASES:
        ours, baseline = samples[case], alone[case.clients]
        server, database_ = median(each.server for each in ours) * 1e3, median(each.database for each in ours) * 1e3
        targets = case.targets or (None, None)
        rows.append(
            (
                case.name,
                f"{server:.1f}",
                _verdict(server, targets[0]),
                f"{database_:.1f}",
                _verdict(database_, targets[1]),
                f"{median(baseline) * 1e3:.1f}" if case.match else "",
            )
        )
    print(f"{EVENTS} changes of one ticket; CPU ms per change, including its mutation\n")
    print_table(("clients / filters", "server", "target", "database", "target", "raw"), rows)


def _verdict(measured: float, target: float | None) -> str:
    return "" if target is None else f"{target:.0f} {'pass' if measured <= target else 'MISS'}"


async def _measure(
    url: str, callout: Server, raw: Server, rounds: int
) -> tuple[dict[Case, list[Sample]], dict[int, list[float]]]:
    connection = await asyncpg.connect(url)
    ticket = await connection.fetchrow(
        "SELECT id::text, status::text, priority::text, category::text, source::text FROM tickets"
        " WHERE status = 'OPEN' ORDER BY id LIMIT 1"
    )
    assert ticket is not None
    bench = Bench(callout, raw, await database.postmaster(connection), dict(ticket))
    await connection.close()
    samples: dict[Case, list[Sample]] = {case: [] for case in CASES}
    alone: dict[int, list[float]] = {case.clients: [] for case in CASES}
    for turn in range(rounds):
        for done, case in enumerate(CASES, start=1):
            samples[case].append(await _sample(bench, case))
            show(f"turn {turn + 1}", done, len(CASES))
        for clients, each in alone.items():
            each.append(await _baseline(bench, clients))
    return samples, alone


async def _sample(bench: Bench, case: Case) -> Sample:
    filters = list(_different_filters(bench.ticket, case.filters, match=case.match))
    tokens = bench.callout.tokens
    hellos = [_hello(tokens[n % len(tokens)], filters[n % len(filters)]) for n in range(case.clients)]
    change = partial(_change, bench.callout, bench.ticket["id"])
    used = await _events(bench, bench.callout, hellos, change, messages=case.clients if case.match else 0)
    return Sample(used.server, used.database)


async def _baseline(bench: Bench, clients: int) -> float:
    change = partial(_change_raw, bench.raw, bench.ticket["id"])
    return (await _events(bench, bench.raw, [[HANDSHAKE, b""]] * clients, change, messages=clients)).server


async def _events(
    bench: Bench, server: Server, hellos: Sequence[list[bytes]], change: Callable[[], Any], *, messages: int
) -> Sample:
    """Subscribes a client for each of the `hellos`, changes the ticket, and returns the CPU seconds per change. Each
    change must send `messages` messages."""
    loop, counted = asyncio.get_running_loop(), Counted()
    transports = []
    for hello in hellos:
        transport, _ = await loop.create_connection(partial(Client, hello, counted), "127.0.0.1", server.port)
        transports.append(transport)
    async with asyncio.timeout(60):
        while counted.clients < len(hellos):  # noqa: ASYNC110 (there is no event to wait for)
            await asyncio.sleep(0.1)
    await asyncio.sleep(2)
    for event in range(WARM_UP):
        await change()
        await counted.reach((event + 1) * messages)
    before = cpu.seconds(server.pid), cpu.seconds(bench.postmaster)
    for event in range(WARM_UP, WARM_UP + EVENTS):
        await change()
        await counted.reach((event + 1) * messages)
    await asyncio.sleep(0.5)  # until filters that do not match have processed the last event
    after = cpu.seconds(server.pid), cpu.seconds(bench.postmaster)
    for transport in transports:
        transport.abort()
    await asyncio.sleep(1)
    assert counted.messages == (WARM_UP + EVENTS) * messages, f"{server.name} sent {counted.messages:,} messages"
    return Sample((after[0] - before[0]) / EVENTS, (after[1] - before[1]) / EVENTS)


def _hello(token: str, filter: Filter) -> list[bytes]:
    """Returns the messages of a client's handshake; it sends each after the server's response to the previous one."""
    init = {"type": "connection_init", "payload": {"Authorization": f"Bearer {token}"}}
    payload = {"query": SUBSCRIPTION, "variables": {"filter": filter}}
    return [HANDSHAKE, frame(init), frame({"id": "1", "type": "subscribe", "payload": payload})]


async def _change(server: Server, ticket: str) -> None:
    given = {"ticketId": f"tkt_{ticket}", "subject": f"Changed {os.urandom(4).hex()}"}
    await ask(server.port, post(CHANGE, {"input": given}, server.token))


async def _change_raw(server: Server, ticket: str) -> None:
    await ask(server.port, post("", {"id": ticket, "subject": f"Changed {os.urandom(4).hex()}"}, None))


def _different_filters(ticket: Mapping[str, str], number: int, *, match: bool) -> Iterator[Filter]:
    """Yields `number` different filters. Either all match the ticket or none does. Each has statuses and priorities;
    some have categories, sources or a time of creation."""
    draw = random.Random(7)
    drawn: set[bytes] = set()
    while len(drawn) < number:
        names = ["status", "priority", *(name for name in ("category", "source") if draw.random() < 0.4)]
        filter: Filter = {name: _words(draw, name, ticket[name], inside=True) for name in names}
        if draw.random() < 0.3:
            filter["createdAt"] = {"from": f"20{draw.randrange(10, 20)}-01-{draw.randrange(1, 29):02}T00:00:00Z"}
        if not match:
            name = draw.choice(names)
            filter[name] = _words(draw, name, ticket[name], inside=False)
        if (text := orjson.dumps(filter, option=orjson.OPT_SORT_KEYS)) not in drawn:
            drawn.add(text)
            yield filter


def _words(draw: random.Random, name: str, word: str, *, inside: bool) -> list[str]:
    """Returns one to three values of an enum, with or without `word`."""
    others = [each.value for each in ENUMS[name] if each.value != word]
    chosen = draw.sample(others, draw.randint(0 if inside else 1, 2))
    return sorted([word, *chosen] if inside else chosen)
