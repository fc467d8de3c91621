"""Idle sockets, each with a subscription and no messages: memory per socket, and CPU for all of them."""

from __future__ import annotations

import asyncio
import resource
from pathlib import Path
from typing import Final

import psutil

from bench import cpu, database, servers
from bench.report import print_table, show
from bench.servers import Server
from bench.sockets import Follower, followed
from bench.technicians import TICKETS

SOCKETS: Final = 5_000
OPENED_AT_ONCE: Final = 50
SPARE_FILES: Final = 200  # for the files that a process has open besides its sockets
SETTLING_SECONDS: Final = 5
SECONDS: Final = 60  # long enough for at least two pings on each socket

FOLLOWED = "subscription { ticketChanged { __typename ... on TicketChange { cursor change ticketId } } }"


def run(data_dir: Path) -> None:
    sockets = min(SOCKETS, _open_files() - SPARE_FILES)
    with (
        database.prepared(data_dir, tickets=TICKETS) as url,
        servers.callout(url, data_dir / "callout.log") as server,
    ):
        asyncio.run(_measure(server, sockets))


def _open_files() -> int:
    """Raises the limit of open files, for this process and the server that it starts, as far as the system allows and
    the sockets need. Returns the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = SOCKETS + SPARE_FILES
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    return max(soft, wanted)


async def _measure(server: Server, count: int) -> None:
    process = psutil.Process(server.pid)
    # The first sockets make the server load and compile things that no single socket should be charged for.
    first = await _open(server, OPENED_AT_ONCE, 0)
    await asyncio.sleep(SETTLING_SECONDS)
    before, few_at_rest = process.memory_info().rss, await _resting(server)
    followers = first + await _open(server, count, OPENED_AT_ONCE)
    await asyncio.sleep(SETTLING_SECONDS)
    at_rest = await _resting(server)
    after = process.memory_info().rss
    gone = sum(follower.transport.is_closing() for follower in followers)
    assert not gone, f"{gone:,} of {count:,} sockets were closed"
    print(f"{count:,} sockets of {SOCKETS:,} wanted, each with a subscription, for {SECONDS} s\n")
    print_table(
        ("KiB a socket", "MiB before", "MiB after", f"% of a core, {OPENED_AT_ONCE} sockets", f"{count:,} sockets"),
        [
            (
                f"{(after - before) / (count - OPENED_AT_ONCE) / 1024:.1f}",
                f"{before / 2**20:.0f}",
                f"{after / 2**20:.0f}",
                f"{few_at_rest:.2f}",
                f"{at_rest:.2f}",
            )
        ],
    )
    for follower in followers:
        follower.transport.abort()


async def _open(server: Server, count: int, opened: int) -> list[Follower]:
    """Opens further sockets, from `opened` up to `count` in all."""
    followers: list[Follower] = []
    for start in range(opened, count, OPENED_AT_ONCE):
        numbers = range(start, min(start + OPENED_AT_ONCE, count))
        tokens = [server.tokens[number % len(server.tokens)] for number in numbers]
        followers += await asyncio.gather(*(followed(server.port, token, FOLLOWED, _unexpected) for token in tokens))
        show("sockets", numbers.stop, count)
    return followers


def _unexpected(text: bytes) -> None:
    raise AssertionError(f"nothing changes, and yet a message arrived: {text!r}")


async def _resting(server: Server) -> float:
    """The server's CPU use while nothing happens, in percent of a core."""
    before = cpu.seconds(server.pid)
    await asyncio.sleep(SECONDS)
    return (cpu.seconds(server.pid) - before) / SECONDS * 100
