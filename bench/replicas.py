"""Queries that are read from two replicas: what is left for the primary, and what it costs to ask how far they are.

The same requests go to a server without replicas and to one with two, at each number of connections in turn. Another
run writes a hundred tickets a second meanwhile, so that the replicas always have something to replay.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from shutil import rmtree
from statistics import median
from time import perf_counter
from typing import Final
from urllib.parse import parse_qs, urlsplit

import asyncpg

from bench import cpu, database, servers
from bench.load import drive, post
from bench.report import print_table
from bench.servers import Server
from bench.technicians import TICKETS
from db.postgres import embedded

REQUESTS: Final = 1_200
CONNECTIONS: Final = (8, 16, 64)
WRITES_A_SECOND: Final = 100

LIST: Final = """query($filter: TicketFilter, $first: Int) { tickets(filter: $filter, first: $first) { totalCount
  nodes { id reference subject status priority createdAt customer { name } technician { name } } } }"""
WRITE: Final = "mutation($input: TicketUpdateInput!) { ticketUpdate(input: $input) { userErrors { code } } }"


def run(data_dir: Path) -> None:
    with ExitStack() as stack:
        url = stack.enter_context(database.prepared(data_dir, tickets=TICKETS))
        standbys = [stack.enter_context(_standby(url, data_dir, data_dir / f"standby-{n}")) for n in (1, 2)]
        alone = stack.enter_context(servers.callout(url, data_dir / "alone.log"))
        settings = {"database_replica_urls": ",".join(standbys)}
        beside = stack.enter_context(servers.callout(url, data_dir / "beside.log", **settings))
        rows = asyncio.run(_measured(url, standbys, {"none": alone, "two": beside}))
    header = (
        *("writes a second", "connections", "replicas", "requests a second", "median ms", "server CPU ms"),
        *("primary's CPU ms", "replicas' CPU ms"),
    )
    print(f"{REQUESTS:,} lists with another filter and page size each, and their counts, of {TICKETS:,} tickets\n")
    print_table(header, rows)


@contextmanager
def _standby(url: str, of: Path, directory: Path) -> Iterator[str]:
    """A streaming standby in this directory, which is made anew."""
    rmtree(directory, ignore_errors=True)
    pgdata = directory / "postgres"
    pgdata.mkdir(parents=True, mode=0o700)
    owner = (of / "postgres").stat()
    os.chown(pgdata, owner.st_uid, owner.st_gid)
    directory.chmod(0o711)
    source = f"--dbname=host={parse_qs(urlsplit(url).query)['host'][0]} user={embedded.SUPERUSER}"
    embedded._run(pgdata, "pg_basebackup", "--pgdata=.", source, "--checkpoint=fast", "--write-recovery-conf")
    for lock in pgdata.glob(".s.PGSQL.*"):  # of the primary's socket, which is in its data directory
        lock.unlink()
    with embedded.running(directory) as own:
        yield own


async def _measured(url: str, standbys: Sequence[str], measured: dict[str, Server]) -> list[Sequence[str]]:
    primary, *replicas = [await _postmaster(each) for each in (url, *standbys)]
    connection = await asyncpg.connect(url)
    tickets = [f"tkt_{row['id']}" for row in await connection.fetch("SELECT id::text FROM tickets LIMIT 500")]
    await connection.close()
    await asyncio.sleep(3)  # until the replicas have been compared
    rows: list[Sequence[str]] = []
    for writes in (0, WRITES_A_SECOND):
        for connections in CONNECTIONS:
            for name, server in measured.items():
                requests = _requests(server, random.Random(connections))
                await drive(server.port, requests[:200], connections=connections)
                idle = asyncio.create_task(_write(server, tickets, writes))
                processes = (server.pid, primary, *replicas)
                used = [cpu.seconds(pid) for pid in processes]
                began = perf_counter()
                seconds = await drive(server.port, requests, connections=connections)
                took = perf_counter() - began
                spent = [cpu.seconds(pid) - before for pid, before in zip(processes, used, strict=True)]
                idle.cancel()
                own, primarys, *others = (1000 * each / REQUESTS for each in spent)
                rows.append(
                    (
                        *(str(writes), str(connections), name, f"{REQUESTS / took:,.0f}"),
                        *(f"{1000 * median(seconds):.1f}", f"{own:.2f}", f"{primarys:.3f}", f"{sum(others):.2f}"),
                    )
                )
    return rows


async def _write(server: Server, tickets: Sequence[str], a_second: int) -> None:
    """Changes tickets until it is cancelled."""
    if not a_second:
        return
    for number in range(10**9):
        ticket, priority = random.choice(tickets), ("LOW", "HIGH")[number % 2]
        variables = {"input": {"ticketId": ticket, "priority": priority}}
        await drive(server.port, [post(WRITE, variables, server.token)])
        await asyncio.sleep(1 / a_second)


def _requests(server: Server, source: random.Random) -> list[bytes]:
    def variables() -> dict[str, object]:
        statuses = source.sample(["OPEN", "IN_PROGRESS", "RESOLVED"], source.randint(1, 2))
        priorities = source.sample(["LOW", "MEDIUM", "HIGH", "URGENT"], source.randint(1, 2))
        return {"filter": {"status": statuses, "priority": priorities}, "first": source.randint(10, 50)}

    return [post(LIST, variables(), server.token) for _ in range(REQUESTS)]


async def _postmaster(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        return await database.postmaster(connection)
    finally:
        await connection.close()
