"""Technicians who follow their own tickets, and dashboards that follow all tickets, while tickets change constantly:
how soon a change is delivered, and whether it costs more with more technicians whom it does not concern.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import median, quantiles
from typing import Final

import asyncpg
import orjson

from bench import cpu, database, servers
from bench.load import drive, post
from bench.report import print_table, show
from bench.servers import Server
from bench.sockets import Follower, followed
from db.enums import Role
from db.ids import new_id

TICKETS: Final = 20_000
TECHNICIANS, FEW, DASHBOARDS = 200, 50, 5
CHANGES_A_SECOND: Final = 50
SECONDS: Final = 60
TURN_SECONDS: Final = 10  # the length of each turn, with few technicians or with all of them
TARGET: Final = 100.0  # milliseconds from the change to the client, at the 99th percentile

MESSAGE = (
    "__typename ... on TicketChange { at change ticketId ticket { id version reference subject status priority } }"
)
OWN = f"subscription {{ ticketChanged(filter: {{assignee: {{me: true}}}}) {{ {MESSAGE} }} }}"
ALL = f"subscription {{ ticketChanged {{ {MESSAGE} }} }}"
CHANGE = """mutation($input: TicketUpdateInput!) { ticketUpdate(input: $input) { ticket { version } } }"""


@dataclass
class Arrivals:
    """The messages with their times of arrival. They are parsed only at the end, so that parsing delays none."""

    arrived: list[tuple[float, bytes]] = field(default_factory=list)

    def add(self, text: bytes) -> None:
        self.arrived.append((time.time(), text))

    def seconds(self) -> list[float]:
        return [arrived - _changed_at(text) for arrived, text in self.arrived]


def _changed_at(text: bytes) -> float:
    """The time of the change: the start of the statement that made it, which is before its commit."""
    changed = orjson.loads(text)["payload"]["data"]["ticketChanged"]
    return datetime.fromisoformat(changed["at"]).timestamp()


def run(data_dir: Path, *, rounds: int) -> None:
    with database.prepared(data_dir, tickets=TICKETS) as url:
        of_technician = asyncio.run(prepare(url))
        viewers = {key: (Role.TECHNICIAN, f"tec_{key}") for key in of_technician}
        with servers.callout(url, data_dir / "callout.log", viewers) as server:
            asyncio.run(_run(server, list(of_technician.values()), rounds))


async def prepare(url: str) -> dict[str, str]:
    """Assigns a ticket to each of `TECHNICIANS` technicians, after adding those that are missing. Returns the tickets'
    keys by the technicians'."""
    connection = await asyncpg.connect(url)
    count = await connection.fetchval("SELECT count(*) FROM technicians")
    added = [(new_id(), f"Technician {n}", f"technician.{n}@bench.example") for n in range(count, TECHNICIANS)]
    await connection.executemany("INSERT INTO technicians (id, name, email) VALUES ($1, $2, $3)", added)
    technicians = await connection.fetch("SELECT id::text FROM technicians ORDER BY id LIMIT $1", TECHNICIANS)
    tickets = await connection.fetch("SELECT id::text FROM tickets ORDER BY id LIMIT $1", TECHNICIANS)
    chosen = {technician["id"]: ticket["id"] for technician, ticket in zip(technicians, tickets, strict=True)}
    await connection.executemany("UPDATE tickets SET technician_id = $1 WHERE id = $2", list(chosen.items()))
    await connection.close()
    return chosen


async def _run(server: Server, tickets: Sequence[str], rounds: int) -> None:
    delays, _ = await _turn(server, tickets, TECHNICIANS, SECONDS)
    milliseconds = [1e3 * each for each in delays]
    p99 = quantiles(milliseconds, n=100)[98]
    print(f"{TECHNICIANS} technicians, {DASHBOARDS} dashboards, {CHANGES_A_SECOND} changes a second, {SECONDS} s\n")
    print_table(
        ("messages", "ms from change to client, median", "p99", "target", "worst"),
        [
            (
                f"{len(delays):,}",
                f"{median(milliseconds):.1f}",
                f"{p99:.1f}",
                f"{TARGET:.0f} {'pass' if p99 <= TARGET else 'MISS'}",
                f"{max(milliseconds):.1f}",
            )
        ],
    )
    costs: dict[int, list[float]] = {FEW: [], TECHNICIANS: []}
    for turn in range(rounds):
        for index, number in enumerate(costs):
            _, cost = await _turn(server, tickets[:FEW], number, TURN_SECONDS)
            costs[number].append(cost)
            show(f"turn {turn + 1}", index + 1, len(costs))
    few, all_ = costs.values()
    ratios = [more / less for less, more in zip(few, all_, strict=True)]
    print_table(
        (f"CPU µs a change, {FEW} technicians", f"{TECHNICIANS} technicians", "ratio", "spread"),
        [
            (
                f"{median(few) * 1e6:.0f}",
                f"{median(all_) * 1e6:.0f}",
                f"{median(ratios):.2f}",
                f"{min(ratios):.2f} to {max(ratios):.2f}",
            )
        ],
    )


async def _turn(server: Server, tickets: Sequence[str], technicians: int, seconds: int) -> tuple[list[float], float]:
    """The seconds from each change to each of its messages, and the server's CPU seconds per change, less what it uses
    with the same sockets while nothing changes. Only `tickets` are changed, which belong to the first technicians."""
    arrivals = Arrivals()
    tokens = list(server.viewers.values())[:technicians]
    followers = [await followed(server.port, token, OWN, arrivals.add) for token in tokens]
    followers += [await followed(server.port, server.tokens[n], ALL, arrivals.add) for n in range(DASHBOARDS)]
    await asyncio.sleep(2)
    at_rest = await _resting(server)
    changes = [_change(random.choice(tickets), server.token) for _ in range(CHANGES_A_SECOND * seconds)]
    used, began = cpu.seconds(server.pid), time.perf_counter()
    await drive(server.port, changes, a_second=CHANGES_A_SECOND)
    await _all_received(arrivals, len(changes) * (1 + DASHBOARDS))
    used = cpu.seconds(server.pid) - used - at_rest * (time.perf_counter() - began)
    _hang_up(followers)
    await asyncio.sleep(1)
    return arrivals.seconds(), used / len(changes)


async def _resting(server: Server) -> float:
    """The server's CPU seconds per second while nothing changes."""
    before = cpu.seconds(server.pid)
    await asyncio.sleep(5)
    return (cpu.seconds(server.pid) - before) / 5


def _change(ticket: str, token: str | None) -> bytes:
    return post(CHANGE, {"input": {"ticketId": f"tkt_{ticket}", "subject": f"Changed {os.urandom(4).hex()}"}}, token)


async def _all_received(arrivals: Arrivals, number: int) -> None:
    async with asyncio.timeout(30):
        while len(arrivals.arrived) < number:  # noqa: ASYNC110 (there is no event to wait for)
            await asyncio.sleep(0.01)
    assert len(arrivals.arrived) == number, f"{len(arrivals.arrived):,} messages arrived instead of {number:,}"


def _hang_up(followers: Sequence[Follower]) -> None:
    for follower in followers:
        follower.transport.abort()
