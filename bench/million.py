"""A million tickets: how long the database takes for pages, searches, type-aheads and status tabs.

The requests go through Callout's own server, one at a time, with statements prepared and repeated as in production. The
times are PostgreSQL's, which logs how long it parsed, planned and ran each statement (`log_min_duration_statement=0`).
Requests that miss their target are sent once more to a server whose connections log their plans (`auto_explain`).
"""

from __future__ import annotations

import asyncio
import re
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from math import inf
from pathlib import Path
from random import Random
from statistics import median

import asyncpg

from bench import database, probes, servers
from bench.cases import CASES, Connection, draw_set_status, graphql_request
from bench.load import Failed, ask, drive
from bench.probes import Probe
from bench.report import Row, print_table, show
from bench.servers import Server
from db.enums import Role
from db.postgres import embedded

TICKETS = 1_000_000
WARM_UPS = 5  # after five executions PostgreSQL may switch to a generic plan
ROUNDS = 3
VERY_LONG = 1_000  # milliseconds
CHANGES = 2_000  # events that are not folded into the stored counts when the status tabs are measured again

TIMED = "log_min_duration_statement=0&log_parameter_max_length=0"
EXPLAINED = (
    "session_preload_libraries=auto_explain&auto_explain.log_min_duration=0&auto_explain.log_analyze=on"
    "&auto_explain.log_buffers=on&auto_explain.log_parameter_max_length=200"
)
DURATION = re.compile(rb"LOG:  duration: ([\d.]+) ms  (?:parse|bind|execute|statement)")
# The duration; the statement's text, which is skipped; and the plan, whose first line has a cost. The next entry of the
# log starts at the margin.
EXPLANATION = re.compile(r"duration: ([\d.]+) ms  plan:\n.*?(^[^\n]*\(cost=.*?)(?=^\S|\Z)", re.DOTALL | re.MULTILINE)


class Log:
    """The part of the server's log that has not been read yet."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = path.stat().st_size

    def rest(self) -> bytes:
        with self._path.open("rb") as file:
            file.seek(self._read)
            lines = file.read()
        self._read += len(lines)
        return lines


@dataclass(frozen=True)
class Timed:
    """A request and its median time in the database, in milliseconds."""

    probe: Probe
    milliseconds: float

    @property
    def missed(self) -> bool:
        return self.probe.target is not None and self.milliseconds > self.probe.target


HEADER = ("what", "requests", "median ms", "worst ms", "target ms", "", "the worst one")


def run(data_dir: Path) -> None:
    """Prints a row for each group of requests, and the plan of the worst request of each group that misses its
    target."""
    with database.prepared(data_dir, tickets=TICKETS) as url:
        log = Log(data_dir / "postgres" / embedded.LOG)
        viewers = asyncio.run(_viewers(url))
        with servers.callout(f"{url}&{TIMED}", data_dir / "callout.log", viewers) as server:
            timed = asyncio.run(_time(url, server, log))
        groups = dict.fromkeys(each.probe.group for each in timed)
        print_table(HEADER, [row([each for each in timed if each.probe.group == group]) for group in groups])
        missed = worst_of_each_group([each for each in timed if each.missed])
        if missed:
            with servers.callout(f"{url}&{EXPLAINED}", data_dir / "callout.log", viewers) as server:
                asyncio.run(explain(server, log, missed))


async def _viewers(url: str) -> dict[str, tuple[Role, str]]:
    connection = await asyncpg.connect(url)
    found = await probes.viewers_of(connection)
    await connection.close()
    return found


async def _time(url: str, server: Server, log: Log) -> list[Timed]:
    connection = await asyncpg.connect(url)
    timed = await time_all(server, log, await probes.all_probes(connection, server))
    await change_statuses(connection, server)
    timed += await time_all(server, log, probes.status_tabs(f"status tabs, {CHANGES:,} changes later"))
    await connection.close()
    return timed


async def time_all(server: Server, log: Log, wanted: Iterable[Probe]) -> list[Timed]:
    """Times each request, `WARM_UPS` plus `ROUNDS` times, in a different order each round; one that takes very long is
    not repeated."""
    times: dict[Probe, list[float]] = {probe: [] for probe in wanted}
    for turn in range(WARM_UPS + ROUNDS):
        going = [probe for probe, each in times.items() if not each or each[-1] < VERY_LONG]
        Random(turn).shuffle(going)
        for index, probe in enumerate(going):
            show(f"round {turn + 1}", index + 1, len(going))
            times[probe].append(await milliseconds(server, log, probe))
    return [Timed(probe, median(each[-ROUNDS:])) for probe, each in times.items()]


async def milliseconds(server: Server, log: Log, probe: Probe) -> float:
    """The time in the database for the request; infinity if it failed, as by a timeout."""
    log.rest()
    try:
        await ask(server.port, probe.request(server))
    except Failed:
        return inf
    return sum(float(duration) for duration in DURATION.findall(log.rest()))


async def change_statuses(connection: Connection, server: Server) -> None:
    [case] = [case for case in CASES if case.draw is draw_set_status]
    draws = await case.draw(connection, CHANGES)
    await drive(server.port, [graphql_request(case, draw, server) for draw in draws])


def row(timed: list[Timed]) -> Row:
    worst = max(timed, key=lambda each: each.milliseconds)
    target = worst.probe.target
    return (
        worst.probe.group,
        str(len(timed)),
        f"{median(each.milliseconds for each in timed):.1f}",
        f"{worst.milliseconds:.1f}",
        "" if target is None else f"{target:.0f}",
        "" if target is None else f"{sum(each.missed for each in timed)} MISS" if worst.missed else "pass",
        worst.probe.name,
    )


def worst_of_each_group(missed: list[Timed]) -> list[Timed]:
    worst = {each.probe.group: each for each in sorted(missed, key=lambda each: each.milliseconds)}
    return list(worst.values())


async def explain(server: Server, log: Log, missed: list[Timed]) -> None:
    """Prints the plan of each request's longest statement, or the error."""
    for each in missed:
        print(f"{each.probe.group}, {each.probe.name}: {each.milliseconds:.1f} ms\n")
        log.rest()
        try:
            await ask(server.port, each.probe.request(server))
        except Failed as error:
            print(textwrap.indent(str(error), "    "))
        plans = EXPLANATION.findall(log.rest().decode(errors="replace"))
        if plans:
            _, longest = max(plans, key=lambda plan: float(plan[0]))
            print(textwrap.indent(textwrap.dedent(longest.expandtabs()), "    "))
