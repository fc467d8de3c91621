"""Clients that come back at once, as after a deployment: how soon all of them are live again, and how long the
queries of others take meanwhile.

Each client continues from a stream cursor with `EVENTS` events after it. The queries come from a process of their own,
because the clients keep this one busy.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median
from threading import Event
from time import perf_counter, sleep
from typing import Any, Final

import asyncpg
import httpx
import orjson

from bench import cpu, database, servers
from bench.load import ask, drive, post
from bench.report import print_table, show
from bench.servers import Server
from bench.sockets import Follower, frame
from bench.technicians import CHANGE, TICKETS

CLIENTS: Final = 2_000
EVENTS: Final = 100
QUERIES_A_SECOND: Final = 20
SECONDS_MAX: Final = 120
LIVE_TARGET: Final = 15.0  # seconds until all clients are live
QUERY_TARGET: Final = 500.0  # milliseconds that a query may take meanwhile

QUERY = """{ tickets(filter: {status: [OPEN], priority: [HIGH]}, first: 20) {
  nodes { reference subject customer { name } } } }"""
CURSOR = "{ tickets(first: 1) { streamCursor } }"
SUBSCRIPTION = """subscription($after: String%s) { ticketChanged(after: $after%s) { __typename ... on TicketChange {
  cursor change ticketId ticket { id version reference subject status priority } } } }"""
ALIKE = SUBSCRIPTION % ("", "")
DIFFERENT = SUBSCRIPTION % (", $filter: TicketFilter", ", filter: $filter")


def run(data_dir: Path) -> None:
    with (
        database.prepared(data_dir, tickets=TICKETS) as url,
        servers.callout(url, data_dir / "callout.log") as server,
        multiprocessing.Manager() as manager,
        ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as others,
    ):
        rows = [
            asyncio.run(_measured(server, url, others, manager.Event(), different=different))
            for different in (False, True)
        ]
    print(f"{CLIENTS:,} clients come back, {EVENTS} events behind\n")
    header = (
        "filters",
        "seconds until all are live",
        "target",
        "ms a query meanwhile, median",
        "worst",
        "target",
        "CPU s",
    )
    print_table(header, rows)


async def _measured(
    server: Server, url: str, others: ProcessPoolExecutor, ended: Event, *, different: bool
) -> Sequence[str]:
    cursor = orjson.loads(await ask(server.port, post(CURSOR, {}, server.token)))["data"]["tickets"]["streamCursor"]
    await _change(server, url)
    querying = asyncio.get_running_loop().run_in_executor(others, partial(_query, server.port, server.token, ended))
    await asyncio.sleep(2)  # until the process has started
    used, began = cpu.seconds(server.pid), perf_counter()
    followers = await _return(server, cursor, different=different)
    seconds = perf_counter() - began
    used = cpu.seconds(server.pid) - used
    ended.set()
    taken = [1e3 * each for started, each in await querying if started >= began]
    for follower in followers:
        follower.transport.abort()
    await asyncio.sleep(2)
    return (
        "of their own" if different else "the same",
        f"{seconds:.1f}",
        f"{LIVE_TARGET:.0f} {'pass' if seconds <= LIVE_TARGET else 'MISS'}",
        f"{median(taken):.0f}",
        f"{max(taken):.0f}",
        f"{QUERY_TARGET:.0f} {'pass' if max(taken) <= QUERY_TARGET else 'MISS'}",
        f"{used:.1f}",
    )


async def _change(server: Server, url: str) -> None:
    connection = await asyncpg.connect(url)
    keys = [row["id"] for row in await connection.fetch("SELECT id::text FROM tickets ORDER BY id LIMIT $1", EVENTS)]
    await connection.close()
    inputs = [{"ticketId": f"tkt_{key}", "subject": f"Changed {os.urandom(4).hex()}"} for key in keys]
    await drive(server.port, [post(CHANGE, {"input": each}, server.token) for each in inputs])


async def _return(server: Server, cursor: str, *, different: bool) -> list[Follower]:
    """Connects all clients at once, and returns when each has received every event and is live."""
    received = [0] * CLIENTS
    live = asyncio.Event()
    missing = CLIENTS

    def count(number: int, text: bytes) -> None:
        nonlocal missing
        received[number] += 1
        if received[number] == EVENTS:  # the first message is not counted, the last one is `StreamReady`
            assert b"StreamReady" in text, text
            missing -= 1
            show("live", CLIENTS - missing, CLIENTS)
            if not missing:
                live.set()

    loop = asyncio.get_running_loop()
    connecting = []
    for number in range(CLIENTS):
        variables: dict[str, Any] = {"after": cursor}
        if different:  # a filter that matches all tickets and differs from the others'
            variables["filter"] = {"createdAt": {"from": f"1990-01-01T00:00:00.{number:06}Z"}}
        payload = {"query": DIFFERENT if different else ALIKE, "variables": variables}
        token = server.tokens[number % len(server.tokens)]
        words = [
            frame({"type": "connection_init", "payload": {"Authorization": f"Bearer {token}"}}),
            frame({"id": "1", "type": "subscribe", "payload": payload}),
        ]
        make = partial(Follower, words, partial(count, number))
        connecting.append(loop.create_connection(make, "127.0.0.1", server.port))
    async with asyncio.timeout(SECONDS_MAX):
        connected = await asyncio.gather(*connecting)
        await live.wait()
    return [follower for _, follower in connected]


def _query(port: int, token: str | None, ended: Event) -> list[tuple[float, float]]:
    """Sends a query again and again, over one connection, until `ended`. Returns when each started, and the seconds
    that it took."""
    taken = []
    with httpx.Client(headers={"Authorization": f"Bearer {token}"}, timeout=SECONDS_MAX) as client:
        while not ended.is_set():
            started = perf_counter()
            response = client.post(f"http://127.0.0.1:{port}/graphql", json={"query": QUERY})
            taken.append((started, perf_counter() - started))
            assert response.status_code == 200 and b'"errors"' not in response.content, response.text
            sleep(1 / QUERIES_A_SECOND)
    return taken
