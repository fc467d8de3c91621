"""A technician's device that was offline for a day: how soon it has sent what was done on it, and has caught up.

It needs two requests: its commands, and a stream from its cursor that replays the missed events, its own among them.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, Final

import asyncpg
import httpx
import orjson

from bench import cpu, database, servers
from bench.load import ask, drive, post
from bench.report import print_table
from bench.servers import Server
from bench.technicians import CHANGE, TICKETS
from db.enums import Role

EVENTS: Final = 200
COMMANDS: Final = 30
TARGET: Final = 1.0  # seconds for both requests

CURSOR = "{ tickets(first: 1) { streamCursor } }"
COPY = (
    """{ tickets(filter: {assignee: {me: true}, status: [OPEN]}, first: 40) { streamCursor nodes { id version } } }"""
)
APPLY = """mutation($input: CommandsApplyInput!) { commandsApply(input: $input) {
  userErrors { code } results { key outcome conflicts userErrors { code message } ticket { id version status } } } }"""
FOLLOW = """subscription($after: String) { ticketChanged(filter: {assignee: {me: true}}, after: $after) { __typename
  ... on StreamReady { cursor resumed } ... on TicketChange { cursor change kind key ticketId
    ticket { id version reference subject description status priority allowedStatuses } } } }"""

# The technician with the most tickets that are open.
_TECHNICIAN: Final = """
SELECT technician_id::text FROM tickets JOIN technicians ON technicians.id = technician_id
WHERE status = 'OPEN' AND active GROUP BY technician_id ORDER BY count(*) DESC LIMIT 1"""
_ASSIGN: Final = """
SELECT id::text FROM tickets WHERE status = 'OPEN' AND technician_id IS DISTINCT FROM $1::uuid ORDER BY id LIMIT $2"""
_ASSIGN_ALL: Final = """mutation($input: TicketsBulkUpdateInput!) {
  ticketsBulkUpdate(input: $input) { userErrors { code } } }"""


def run(data_dir: Path, *, rounds: int) -> None:
    with database.prepared(data_dir, tickets=TICKETS) as url:
        technician = asyncio.run(_technician(url))
        viewers = {"device": (Role.TECHNICIAN, f"tec_{technician}")}
        with servers.callout(url, data_dir / "callout.log", viewers) as server:
            measured = asyncio.run(_measured(server, url, technician, rounds))
    print(f"A device comes back with {COMMANDS} commands, {EVENTS} events behind; median of {rounds} turns\n")
    sent, caught_up, used, received = (median(each) for each in zip(*measured, strict=True))
    verdict = "pass" if sent + caught_up <= TARGET else "MISS"
    header = ("s until the commands are answered", "s until it is live", "together", "target", "CPU s", "messages")
    print_table(
        header,
        [
            (
                f"{sent:.2f}",
                f"{caught_up:.2f}",
                f"{sent + caught_up:.2f}",
                f"{TARGET:.0f} {verdict}",
                f"{used:.2f}",
                f"{received:.0f}",
            )
        ],
    )


async def _technician(url: str) -> str:
    connection = await asyncpg.connect(url)
    technician: str = await connection.fetchval(_TECHNICIAN)
    await connection.close()
    return technician


async def _measured(server: Server, url: str, technician: str, rounds: int) -> list[Sequence[float]]:
    """For each turn the seconds of both requests, the server's CPU seconds, and the number of messages."""
    token = server.viewers["device"]
    measured: list[Sequence[float]] = []
    for _ in range(rounds):
        await _assign(server, url, technician)
        copy = orjson.loads(await ask(server.port, post(COPY, {}, token)))["data"]["tickets"]
        await _change(server, copy["nodes"])
        commands = _commands(copy["nodes"])
        used, began = cpu.seconds(server.pid), perf_counter()
        answer = await ask(server.port, post(APPLY, {"input": {"deviceId": "bench", "commands": commands}}, token))
        sent = perf_counter() - began
        received = await _caught_up(server, token, copy["streamCursor"])
        caught_up = perf_counter() - began - sent
        results = orjson.loads(answer)["data"]["commandsApply"]["results"]
        assert [each["outcome"] for each in results] == ["APPLIED"] * COMMANDS, results
        measured.append((sent, caught_up, cpu.seconds(server.pid) - used, received))
    return measured


async def _assign(server: Server, url: str, technician: str) -> None:
    """Assigns open tickets to the technician, because each turn resolves some."""
    connection = await asyncpg.connect(url)
    rows = await connection.fetch(_ASSIGN, technician, COMMANDS)
    await connection.close()
    input = {"ticketIds": [f"tkt_{row['id']}" for row in rows], "technicianId": f"tec_{technician}"}
    await ask(server.port, post(_ASSIGN_ALL, {"input": input}, server.token))


async def _change(server: Server, tickets: Sequence[Any]) -> None:
    """What happens while the device is offline."""
    inputs = [
        {"ticketId": tickets[n % len(tickets)]["id"], "subject": f"Changed {os.urandom(4).hex()}"}
        for n in range(EVENTS)
    ]
    await drive(server.port, [post(CHANGE, {"input": each}, server.token) for each in inputs])


def _commands(tickets: Sequence[Any]) -> list[dict[str, Any]]:
    """A note, a status and a resolution for each of some tickets, all based on the version that the device has seen."""
    commands: list[dict[str, Any]] = []
    for ticket in tickets[: COMMANDS // 3]:
        based = {"ticketId": ticket["id"], "baseVersion": ticket["version"]}
        for name, given in (
            ("note", {"body": "Checked the panel; the battery was flat."}),
            ("status", {"status": "IN_PROGRESS"}),
            ("resolve", {"resolution": "Replaced the battery and tested all zones."}),
        ):
            commands.append({name: {"key": os.urandom(16).hex(), **based, **given}})
    return commands


async def _caught_up(server: Server, token: str, cursor: str) -> int:
    """Follows from the cursor until all missed events have been replayed; returns the number of messages."""
    headers = {"Authorization": f"Bearer {token}", "Accept": "text/event-stream"}
    body = {"query": FOLLOW, "variables": {"after": cursor}}
    received = 0
    async with (
        httpx.AsyncClient(headers=headers, timeout=60) as client,
        client.stream("POST", f"http://127.0.0.1:{server.port}/graphql/stream", json=body) as response,
    ):
        async for line in response.aiter_lines():
            received += line.startswith("data: {")
            if '"StreamReady"' in line:
                return received
    raise AssertionError("the stream has ended")
