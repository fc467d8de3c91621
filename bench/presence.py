"""Renewals of presence: the server's CPU for a thousand a second, over WebSockets and over HTTP, where nobody watches
and where other staff do.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final

from bench import cpu, database, servers
from bench.load import drive, post
from bench.report import print_table, show
from bench.servers import Server
from bench.sockets import Follower, followed, frame
from bench.technicians import TECHNICIANS, TICKETS, prepare
from db.enums import Role

RENEWALS_A_SECOND: Final = 1_000
SECONDS: Final = 10
TARGET: Final = 10.0  # percent of a core

RENEW: Final = """mutation($input: PresenceSetInput!) { presenceSet(input: $input) { userErrors { code message } } }"""
OPENING: Final = "{ me { role } }"


def run(data_dir: Path, *, rounds: int) -> None:
    with database.prepared(data_dir, tickets=TICKETS) as url:
        of_technician = asyncio.run(prepare(url))
        viewers = {key: (Role.TECHNICIAN, f"tec_{key}") for key in of_technician}
        with servers.callout(url, data_dir / "callout.log", viewers) as server:
            asyncio.run(_run(server, list(of_technician.values()), rounds))


async def _run(server: Server, tickets: Sequence[str], rounds: int) -> None:
    turns: dict[str, Callable[[], Awaitable[float]]] = {
        "WebSocket": partial(_over_sockets, server, tickets),
        "HTTP": partial(_over_http, server, tickets),
    }
    used: dict[str, list[float]] = {name: [] for name in turns}
    for turn in range(rounds):
        for index, (name, measure) in enumerate(turns.items()):
            used[name].append(await measure())
            show(f"turn {turn + 1}", index + 1, len(turns))
    print(f"{RENEWALS_A_SECOND:,} renewals a second by {TECHNICIANS} technicians, {SECONDS} s\n")
    print_table(
        ("over", "CPU µs a renewal", "% of a core", "target"),
        [
            (
                name,
                f"{median(each) * 1e6:.0f}",
                f"{(percent := median(each) * RENEWALS_A_SECOND * 100):.1f}",
                f"{TARGET:.0f} {'pass' if percent <= TARGET else 'MISS'}",
            )
            for name, each in used.items()
        ],
    )


async def _over_sockets(server: Server, tickets: Sequence[str]) -> float:
    """The server's CPU seconds for each renewal, with a socket for each technician."""
    done = 0

    def count(text: bytes) -> None:
        nonlocal done
        if b'"next"' in text:
            assert b'"userErrors":[]' in text, text
            done += 1

    sockets = await asyncio.gather(*(followed(server.port, token, OPENING, count) for token in server.viewers.values()))
    total = RENEWALS_A_SECOND * SECONDS
    messages = [_renewal(number, tickets[number % len(tickets)]) for number in range(total)]
    await _send(sockets, messages[:RENEWALS_A_SECOND])  # warms up
    await asyncio.sleep(1)
    done, before = 0, cpu.seconds(server.pid)
    await _send(sockets, messages)
    async with asyncio.timeout(60):
        while done < total:  # noqa: ASYNC110 (there is no event to wait for)
            await asyncio.sleep(0.01)
    used = cpu.seconds(server.pid) - before
    for socket in sockets:
        socket.transport.abort()
    await asyncio.sleep(1)
    return used / total


async def _send(sockets: Sequence[Follower], messages: Sequence[bytes]) -> None:
    began = time.perf_counter()
    for number, message in enumerate(messages):
        pause = began + number / RENEWALS_A_SECOND - time.perf_counter()
        if pause > 0:
            await asyncio.sleep(pause)
        sockets[number % len(sockets)].transport.write(message)


def _renewal(number: int, ticket: str) -> bytes:
    payload = {"query": RENEW, "variables": _variables(ticket)}
    return frame({"id": f"r{number}", "type": "subscribe", "payload": payload})


def _variables(ticket: str) -> dict[str, object]:
    return {"input": {"ticketId": f"tkt_{ticket}", "state": "VIEWING"}}


async def _over_http(server: Server, tickets: Sequence[str]) -> float:
    """The server's CPU seconds for each renewal."""
    tokens = server.viewers.values()
    each = [post(RENEW, _variables(ticket), token) for ticket, token in zip(tickets, tokens, strict=True)]
    requests = each * (RENEWALS_A_SECOND * SECONDS // len(each))
    await drive(server.port, each, a_second=RENEWALS_A_SECOND)
    await asyncio.sleep(1)
    before = cpu.seconds(server.pid)
    await drive(server.port, requests, connections=50, a_second=RENEWALS_A_SECOND)
    return (cpu.seconds(server.pid) - before) / len(requests)
