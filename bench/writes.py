"""Writers at full speed: what the event log and the bell add to a change of a ticket.

The same change is written three ways, through the same pool and in a transaction of the same shape: the row is locked,
updated as the API updates it, and committed. Alone; with its event, in the one statement that the API has for both; and
with its event and the bell rung after the commit, heard by a server of which somebody follows all tickets.
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
# What `event_log.change` does to the row.
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
    """Seconds on the clock, and CPU seconds of PostgreSQL, for each write."""

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
    told: list[int] = []
    assert server.token is not None
    screen = await followed(server.port, server.token, ALL, lambda text: told.append(len(text)))
    pool = await Database.open(url, size=WRITERS)
    samples: dict[str, list[Sample]] = {way.name: [] for way in WAYS}
    async with Bell.open("postgres://", url) as bell:
        for way in WAYS:
            await _write(pool, bell, way, tickets, WARM_UP)
        for turn in range(rounds):
            for place, way in enumerate(WAYS):
                used, began = cpu.seconds(postmaster), perf_counter()
                await _write(pool, bell, way, tickets, WRITES)
                clock = perf_counter() - began
                samples[way.name].append(Sample(clock / WRITES, (cpu.seconds(postmaster) - used) / WRITES))
                show(f"turn {turn + 1}", place + 1, len(WAYS))
                await asyncio.sleep(2)  # the server has looked, and the next way has the database to itself
    assert len(told) == (WARM_UP + rounds * WRITES) * 2, f"{len(told):,} events were told"
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
