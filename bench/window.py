"""Dashboards that show the same list while its tickets change: what keeping it in step costs, in CPU and in bytes.

Callout sends patches (`ticketsLive`). Beside it a server sends the whole list again on each change (`bench/whole.py`),
as live queries elsewhere do. And technicians with windows of their own: whether they cost anything while the tickets of
others change.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

import orjson

from bench import cpu, database, servers
from bench.load import ask, drive, post
from bench.report import print_table, show
from bench.servers import Server
from bench.sockets import Follower, followed
from bench.technicians import FEW, TECHNICIANS, TICKETS, prepare
from db.enums import Role

DASHBOARDS: Final = 1_000
ROWS: Final = 50
CHANGES_A_SECOND: Final = 20
SECONDS: Final = 10
WHOLE_CHANGES: Final = 20
CPU_TARGET: Final = 25.0  # microseconds for each delivery
BYTES_TARGET: Final = 1 / 20  # of the whole list, for each change

ROW = "cursor node { id version reference subject status priority updatedAt customer { name } technician { name } }"
LIVE = """subscription { ticketsLive(%s) { __typename
  ... on WindowSnapshot { totalCount edges { %s } }
  ... on WindowPatch { totalCount operations { __typename
    ... on WindowInsert { index edge { %s } } ... on WindowMove { from to edge { %s } }
    ... on WindowReplace { index edge { %s } } ... on WindowRemove { index } } } } }"""
LIST = "query { tickets(%s) { totalCount edges { %s } } }"
SHARED = f"filter: {{status: [OPEN]}}, orderBy: [{{field: UPDATED_AT, direction: DESC}}], first: {ROWS}"
OWN = f"filter: {{assignee: {{me: true}}}}, orderBy: [{{field: UPDATED_AT, direction: DESC}}], first: {ROWS}"
CHANGE = """mutation($input: TicketUpdateInput!) { ticketUpdate(input: $input) { ticket { version } } }"""


@dataclass
class Arrivals:
    """How many messages have arrived, and their size in bytes."""

    messages: int = 0
    size: int = 0

    def add(self, text: bytes) -> None:
        self.messages += 1
        self.size += len(text)


@dataclass(frozen=True)
class Sample:
    """CPU seconds for each delivered message, without those of the changes themselves and with them; messages for each
    change, and the bytes that each change costs a client."""

    cpu: float
    with_changes: float
    messages: float
    bytes: float


def run(data_dir: Path, *, rounds: int) -> None:
    with database.prepared(data_dir, tickets=TICKETS) as url:
        technicians = asyncio.run(prepare(url))
        viewers = {key: (Role.TECHNICIAN, f"tec_{key}") for key in technicians}
        with (
            servers.callout(url, data_dir / "callout.log", viewers) as callout,
            servers.baseline("whole", url, data_dir / "whole.log") as whole,
        ):
            asyncio.run(_run(callout, whole, list(technicians.values()), rounds))


async def _run(callout: Server, whole: Server, tickets: Sequence[str], rounds: int) -> None:
    page = orjson.loads(await ask(callout.port, post(LIST % (SHARED, ROW), {}, callout.token)))
    shown = [edge["node"]["id"] for edge in page["data"]["tickets"]["edges"]]
    size = len(orjson.dumps({"id": "1", "type": "next", "payload": page}))
    patches, lists = [], []
    for turn in range(rounds):
        patches.append(await _patches(callout, shown))
        lists.append(await _lists(whole, page))
        show(f"turn {turn + 1}", 2, 2)
    print(f"{DASHBOARDS:,} dashboards, one window of {ROWS}, {CHANGES_A_SECOND} changes a second\n")
    print_table(
        (
            "",
            "CPU µs a delivery",
            "target",
            "with the changes",
            "messages a change",
            "bytes a change",
            "of the list",
            "target",
        ),
        [_row("patches", patches, size, has_targets=True), _row("the whole list", lists, size, has_targets=False)],
    )
    costs: dict[int, list[float]] = {FEW: [], TECHNICIANS: []}
    for turn in range(rounds):
        for index, number in enumerate(costs):
            costs[number].append(await _windows(callout, tickets[:FEW], number))
            show(f"turn {turn + 1}", index + 1, len(costs))
    few, all_ = costs.values()
    ratios = [more / less for less, more in zip(few, all_, strict=True)]
    print_table(
        (f"CPU µs a change, {FEW} technicians with windows", f"{TECHNICIANS}", "ratio", "spread"),
        [
            (
                f"{median(few) * 1e6:.0f}",
                f"{median(all_) * 1e6:.0f}",
                f"{median(ratios):.2f}",
                f"{min(ratios):.2f} to {max(ratios):.2f}",
            )
        ],
    )


def _row(name: str, samples: Sequence[Sample], size: int, *, has_targets: bool) -> tuple[str, ...]:
    used = median(sample.cpu for sample in samples) * 1e6
    sent = median(sample.bytes for sample in samples)
    messages = median(sample.messages for sample in samples)
    return (
        name,
        f"{used:.1f}",
        f"{CPU_TARGET:.0f} {'pass' if used <= CPU_TARGET else 'MISS'}" if has_targets else "",
        f"{median(sample.with_changes for sample in samples) * 1e6:.1f}",
        f"{messages:.2f}",
        f"{sent:,.0f}",
        f"{sent / size:.3f}",
        f"{BYTES_TARGET} {'pass' if sent / size <= BYTES_TARGET else 'MISS'}" if has_targets else "",
    )


async def _patches(server: Server, shown: Sequence[str]) -> Sample:
    """The tickets of the window change, and so move to its top."""
    arrivals = Arrivals()
    query = LIVE % (SHARED, *[ROW] * 4)
    tokens = [server.tokens[n % len(server.tokens)] for n in range(DASHBOARDS)]
    followers = [await followed(server.port, token, query, arrivals.add) for token in tokens]
    await asyncio.sleep(2)
    changes = [_change(random.choice(shown), server.token) for _ in range(CHANGES_A_SECOND * SECONDS)]
    used = await _used(server, changes, arrivals)
    _hang_up(followers)
    await asyncio.sleep(1)
    alone = await _used(server, changes, Arrivals())
    assert arrivals.messages and not arrivals.messages % DASHBOARDS, "a client has missed a message"
    return Sample(
        (used - alone) / arrivals.messages,
        used / arrivals.messages,
        arrivals.messages / DASHBOARDS / len(changes),
        arrivals.size / DASHBOARDS / len(changes),
    )


async def _lists(server: Server, page: object) -> Sample:
    """Each change waits for all clients, because the server could not keep up with 20 a second."""
    arrivals = Arrivals()
    followers = [await followed(server.port, "", "", arrivals.add) for _ in range(DASHBOARDS)]
    request = post("", {"page": page}, None)
    used = cpu.seconds(server.pid)
    for change in range(1, WHOLE_CHANGES + 1):
        await ask(server.port, request)
        async with asyncio.timeout(60):
            while arrivals.messages < change * DASHBOARDS:  # noqa: ASYNC110 (there is no event to wait for)
                await asyncio.sleep(0.01)
    used = cpu.seconds(server.pid) - used
    _hang_up(followers)
    await asyncio.sleep(1)
    return Sample(used / arrivals.messages, used / arrivals.messages, 1.0, arrivals.size / DASHBOARDS / WHOLE_CHANGES)


async def _windows(server: Server, tickets: Sequence[str], technicians: int) -> float:
    """The server's CPU seconds for each change, less what the same sockets cost while nothing changes. Only `tickets`
    are changed, which belong to the first technicians."""
    arrivals = Arrivals()
    query = LIVE % (OWN, *[ROW] * 4)
    followers = [
        await followed(server.port, token, query, arrivals.add) for token in list(server.viewers.values())[:technicians]
    ]
    await asyncio.sleep(2)
    changes = [_change(f"tkt_{random.choice(tickets)}", server.token) for _ in range(CHANGES_A_SECOND * SECONDS)]
    used = await _used(server, changes, arrivals)
    _hang_up(followers)
    await asyncio.sleep(1)
    assert arrivals.messages > len(changes) / 2
    return used / len(changes)


async def _used(server: Server, changes: Sequence[bytes], arrivals: Arrivals) -> float:
    """The server's CPU seconds while these changes are made, less what it uses while nothing changes."""
    at_rest = await _resting(server)
    used, began = cpu.seconds(server.pid), time.perf_counter()
    await drive(server.port, changes, a_second=CHANGES_A_SECOND)
    await _silent(arrivals)
    return cpu.seconds(server.pid) - used - at_rest * (time.perf_counter() - began)


async def _resting(server: Server) -> float:
    """The server's CPU seconds per second while nothing changes."""
    before = cpu.seconds(server.pid)
    await asyncio.sleep(3)
    return (cpu.seconds(server.pid) - before) / 3


async def _silent(arrivals: Arrivals) -> None:
    """Waits until nothing has arrived for a second."""
    before = -1
    while arrivals.messages > before:
        before = arrivals.messages
        await asyncio.sleep(1)


def _change(ticket: str, token: str | None) -> bytes:
    return post(CHANGE, {"input": {"ticketId": ticket, "subject": f"Changed {os.urandom(4).hex()}"}}, token)


def _hang_up(followers: Sequence[Follower]) -> None:
    for follower in followers:
        follower.transport.abort()
