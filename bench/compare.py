"""Compares Callout with the floor and plain Strawberry: CPU per request, of the server and of the database.

The three take turns, so that other load on the machine affects them alike. Ratios are taken within one turn. Plain
Strawberry takes part in the first load only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

import asyncpg
import orjson

from bench import cpu, database, servers
from bench.cases import CASES, Case, Connection, Draw, bare_request, graphql_request
from bench.load import Failed, ask, drive
from bench.report import Row, print_table, show
from bench.servers import Server

TICKETS = 200_000
LOADS = (8, 16, 64)  # connections; from the second on, there are more than connections to the database
WARM_UP = 0.25  # the share of a measurement's requests that are sent beforehand


@dataclass(frozen=True)
class Sample:
    """One measurement: CPU seconds of server and database per request, and the median latency in seconds."""

    server: float
    database: float
    latency: float


def run(data_dir: Path, *, rounds: int, only: str | None = None) -> None:
    """Measures each case in `rounds` turns and prints the table; `only` limits it to the case of this name. If a case
    cannot be measured, the others still are, and the exit status is 1."""
    with (
        database.prepared(data_dir, tickets=TICKETS) as url,
        servers.baseline("floor", url, data_dir / "floor.log") as floor,
        servers.callout(url, data_dir / "callout.log") as callout,
        servers.baseline("plain", url, data_dir / "plain.log") as plain,
    ):
        cases = [case for case in CASES if only in (None, case.name)]
        rows = asyncio.run(_compare(url, cases, (floor, callout, plain), rounds))
    print_table(HEADER, rows)
    if len(rows) < len(cases) * len(LOADS):
        raise SystemExit(1)


async def _compare(url: str, cases: Sequence[Case], contenders: Sequence[Server], rounds: int) -> list[Row]:
    rows = []
    connection = await asyncpg.connect(url)
    postmaster = await database.postmaster(connection)
    for case in cases:
        try:
            await check(connection, case, contenders)
            for load in LOADS:
                taking_part = contenders if load == LOADS[0] else contenders[:2]
                samples = await measure(connection, postmaster, case, load, taking_part, rounds)
                rows.append(row(case, load, samples))
        except* (Failed, Differs) as failures:
            print(f"{case.name} could not be measured: {failures.exceptions[0]}\n", flush=True)
    await connection.close()
    return rows


HEADER = (
    "case",
    "connections",
    "floor ms",
    "callout ms",
    "ratio",
    "spread",
    "target",
    "",
    "plain ms",
    "plain ratio",
    "db ms floor/callout/plain",
    "p50 ms floor/callout/plain",
)


def row(case: Case, load: int, samples: Sequence[Sequence[Sample]]) -> Row:
    """The case's row of the table for a load. `samples` has a sequence for each server: floor, Callout, and for the
    first load plain Strawberry."""
    floor, callout, *plain = ([sample.server for sample in each] for each in samples)
    ratios = _ratios(callout, floor)
    ratio = median(ratios)
    return (
        case.name,
        str(load),
        f"{median(floor) * 1000:.3f}",
        f"{median(callout) * 1000:.3f}",
        f"{ratio:.2f}",
        f"{min(ratios):.2f} to {max(ratios):.2f}",
        f"≤ {case.target:.1f}",
        "pass" if ratio <= case.target else "MISS",
        f"{median(plain[0]) * 1000:.2f}" if plain else "",
        f"{median(_ratios(plain[0], floor)):.0f}" if plain else "",
        " / ".join(f"{median(sample.database for sample in each) * 1000:.2f}" for each in samples),
        " / ".join(f"{median(sample.latency for sample in each) * 1000:.1f}" for each in samples),
    )


def _ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    return [one / other for one, other in zip(ours, theirs, strict=True)]


async def measure(
    connection: Connection, postmaster: int, case: Case, load: int, contenders: Sequence[Server], rounds: int
) -> list[list[Sample]]:
    """Returns the samples of each server, one for each turn, with `load` connections."""
    counts = [case.plain_requests if server.name == "plain" else case.requests for server in contenders]
    for server, count in zip(contenders, counts, strict=True):
        warm_up = await requests(connection, case, server, max(1, int(count * WARM_UP)))
        await drive(server.port, warm_up, connections=load)
    samples: list[list[Sample]] = [[] for _ in contenders]
    for turn in range(rounds):
        for done in range(len(contenders)):
            chosen = (turn + done) % len(contenders)
            server, count = contenders[chosen], counts[chosen]
            prepared = await requests(connection, case, server, count)
            used = cpu.seconds(server.pid), cpu.seconds(postmaster)
            latencies = await drive(server.port, prepared, connections=load)
            now = cpu.seconds(server.pid), cpu.seconds(postmaster)
            show(f"{case.name}, {load} connections, turn {turn + 1}", done + 1, len(contenders))
            samples[chosen].append(Sample((now[0] - used[0]) / count, (now[1] - used[1]) / count, median(latencies)))
    return samples


async def requests(connection: Connection, case: Case, server: Server, count: int) -> list[bytes]:
    return [request(case, server, draw) for draw in await case.draw(connection, count)]


def request(case: Case, server: Server, draw: Draw) -> bytes:
    return bare_request(draw) if server.name == "floor" else graphql_request(case, draw, server)


async def check(connection: Connection, case: Case, contenders: Sequence[Server], requests: int = 1) -> None:
    """Checks that all servers respond with the same data to this many requests; otherwise a comparison is meaningless.
    Raises `Differs`."""
    for draw in await case.draw(connection, requests):
        first, *others = [await _answer(case, server, draw, contenders[0]) for server in contenders]
        for server, answer in zip(contenders[1:], others, strict=True):
            if answer != first:
                raise Differs(
                    f"{case.name}: {server.name} responds {answer}\nbut {contenders[0].name} responds {first}"
                )


async def _answer(case: Case, server: Server, draw: Draw, floor: Server) -> Any:
    answer = comparable(orjson.loads(await ask(server.port, request(case, server, draw)))["data"])
    if case.undo is not None:
        await ask(floor.port, bare_request(case.undo(draw)))
    return answer


class Differs(Exception):
    """Two servers respond differently to the same request."""


def comparable(value: Any, name: str = "") -> Any:
    """Returns the value with its times parsed and without the fields that differ when a mutation runs twice."""
    if isinstance(value, dict):
        return {key: comparable(item, key) for key, item in value.items() if key not in {"version", "updatedAt"}}
    if isinstance(value, list):
        return [comparable(item) for item in value]
    return datetime.fromisoformat(value) if value is not None and name.endswith("At") else value
