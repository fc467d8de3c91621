"""Writers at full speed: what the event log and the bell add to the cost of changing a ticket.

The same change is written in three ways, through the same pool and in the same kind of transaction: lock the row,
update it as the API does, commit. First alone; then with its event, in the single statement that the API uses for both;
then also ringing the bell after the commit, which wakes a server with one subscriber to all tickets.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Final

import asyncpg

from bench import cpu, database, servers
from bench.report import print_table, show
from bench.servers import Server
from bench.sockets import followed
from bench.technicians import ALL, TICKETS
from db.enums import Role, TicketEventKind
from db.events import log as event_log
from db.postgres.pool import Connection, Database
from db.viewer import Viewer
from pubsub.bell import Bell

WRITERS: Final = 8
WRITES: Final = 4_000  # in one measurement
WARM_UP: Final = 400
SOMEBODY: Final = Viewer(Role.ADMIN, "bench", "Bench")

LOCK = "SELECT FROM tickets WHERE id = $1 FOR NO KEY UPDATE"
# Changes the row as `event_log.change` does.
ALONE = """UPDATE tickets SET subject = $2, version = version + 1, (updated_at, public_updated_at) = (
    SELECT at, at FROM greatest(statement_timestamp(), updated_at + interval '1 microsecond') AS at) WHERE id = $1"""

Write = Callable[[Connection, str, str], Awaitable[object]]


@dataclass(frozen=True)
class Way:
    name: str
    write: Write
    rings: bool = False


@dataclass(frozen=True)
class Sample:
    """Wall-clock seconds, and PostgreSQL's CPU seconds, per write."""

    clock: float
    database: float


async def _alone(connection: Connection, ticket: str, subject: str) -> None:
    await connection.execute(ALONE, ticket, subject)


async def _with_event(connection: Connection, ticket: str, subject: str) -> None:
    await event_log.change(connection, SOMEBODY, ticket, TicketEventKind.UPDATED, {"subject": subject}, {})


WAYS = (
    Way("the change alone", _alone),
    Way("with its event", _with_event),
    Way("with its event and the bell", _with_event, rings=True),
)


def run(data_dir: Path, *, rounds: int) -> None:
    with (
        database.prepared(data_dir, tickets=TICKETS) as url,
        servers.callout(url, data_dir / "callout.log") as server,
    ):
        samples = asyncio.run(_measure(url, server, rounds))
    alone = samples[WAYS[0].name]
    rows = []
    for name, each in samples.items():
        clock = [sample.clock / base.clock for sample, base in zip(each, alone, strict=True)]
        used = [sample.database / base.database for sample, base in zip(each, alone, strict=True)]
        rows.append(
            (
                name,
                f"{1 / median(sample.clock for sample in each):,.0f}",
                f"{median(clock):.2f}",
                f"{min(clock):.2f} to {max(clock):.2f}",
                f"{median(sample.database for sample in each) * 1e6:.0f}",
                f"{median(used):.2f}",
            )
        )
    print(f"{WRITERS} writers at full speed, {WRITES:,} writes a turn\n")
    print_table(("write", "a second", "time, ratio", "spread", "database CPU µs", "ratio"), rows)


async def _measure(url: str, server: Server, rounds: int) -> dict[str, list[Sample]]:
    connection = await asyncpg.connect(url)
    postmaster = await database.postmaster(connection)
    tickets = [row["id"] for row in await connection.fetch("SELECT id::text FROM tickets ORDER BY id LIMIT 1000")]
    await connection.close()
    lengths: list[int] = []
    assert server.token is not None
    screen = await followed(server.port, server.token, ALL, lambda text: lengths.append(len(text)))
    pool = await Database.open(url, size=WRITERS)
    samples: dict[str, list[Sample]] = {way.name: [] for way in WAYS}
    async with Bell.open("postgres://", url) as bell:
        for way in WAYS:
            await _write(pool, bell, way, tickets, WARM_UP)
        for turn in range(rounds):
            for index, way in enumerate(WAYS):
                used, began = cpu.seconds(postmaster), perf_counter()
                await _write(pool, bell, way, tickets, WRITES)
                clock = perf_counter() - began
                samples[way.name].append(Sample(clock / WRITES, (cpu.seconds(postmaster) - used) / WRITES))
                show(f"turn {turn + 1}", index + 1, len(WAYS))
                await asyncio.sleep(2)  # until the server has read the events, so that it does not disturb the next way
    assert len(lengths) == (WARM_UP + rounds * WRITES) * 2, f"{len(lengths):,} events were delivered"
    screen.transport.abort()
    await pool.close()
    return samples


async def _write(pool: Database, bell: Bell, way: Way, tickets: Sequence[str], writes: int) -> None:
    waiting = iter(range(writes))

    async def writer() -> None:
        for _ in waiting:
            ticket = random.choice(tickets)
            async with pool.acquire() as connection, connection.transaction():
                await connection.execute(LOCK, ticket)
                await way.write(connection, ticket, f"Changed {os.urandom(4).hex()}")
            if way.rings:
                bell.ring()

    async with asyncio.TaskGroup() as group:
        for _ in range(WRITERS):
            group.create_task(writer())
