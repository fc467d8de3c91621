"""Notifications: how many deliveries one worker sends per second, and how much a hanging channel slows down
mutations."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from secrets import token_urlsafe
from statistics import median
from time import perf_counter

import asyncpg
from aiosmtpd.smtp import SMTP, Envelope, Session

from bench import database, servers
from bench.load import drive, post
from bench.report import print_table, show
from bench.servers import Server
from callout.settings import variable

TICKETS = 20_000
DELIVERIES = 10_000
RATE_TARGET = 200.0  # a second
CREATIONS = 400  # in each turn
RATIO_TARGET = 1.1

CREATE = """mutation($input: TicketCreateInput!) {
  ticketCreate(input: $input) { ticket { id reference version } userErrors { code } } }"""

# One delivery for each of the newest tickets, as if the ticket had just been resolved: mail to a customer's own
# address, which needs no confirmation, and of a kind without a limit.
_QUEUE = """
INSERT INTO deliveries
    (event_id, ticket_id, kind, channel, audience, recipient, recipient_name, actor_name, created_at)
SELECT event.id, ticket.id, 'RESOLVED', 'EMAIL', 'CUSTOMER', customer.email, ticket.contact_name, actor_name, now()
FROM ticket_events AS event JOIN tickets AS ticket ON ticket.id = event.ticket_id
JOIN customers AS customer ON customer.id = ticket.customer_id
WHERE event.kind = 'CREATED' ORDER BY event.at DESC LIMIT $1"""


class Sink:
    """A mail server that accepts every message, or, while it `hangs`, answers none."""

    def __init__(self) -> None:
        self.settings: dict[str, str] = {}
        self.hangs = False
        self.taken = 0
        self.first_at = 0.0

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.hangs:
            await asyncio.Event().wait()  # until the other side gives up
        self.first_at = self.first_at or perf_counter()
        self.taken += 1
        return "250 Taken"


@asynccontextmanager
async def _sink() -> AsyncIterator[Sink]:
    sink = Sink()
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(sink, hostname="sink", enable_SMTPUTF8=True), "127.0.0.1", 0
    )
    port = server.sockets[0].getsockname()[1]
    sink.settings = {"smtp_url": f"smtp://127.0.0.1:{port}", "mail_from": "Bench <bench@callout.example>"}
    yield sink
    server.close()


def run(data_dir: Path, *, rounds: int) -> None:
    with database.prepared(data_dir, tickets=TICKETS) as url:
        rate, ratios = asyncio.run(_measure(url, data_dir, rounds))
    print(f"{DELIVERIES:,} deliveries, one worker; {CREATIONS} tickets created by turns, {rounds} turns\n")
    ratio = median(ratios)
    print_table(
        ("what", "measured", "target"),
        (
            ("deliveries a second", f"{rate:,.0f}", f"{RATE_TARGET:.0f} {'pass' if rate >= RATE_TARGET else 'MISS'}"),
            (
                "ticketCreate while the channel hangs / while it does not",
                f"{ratio:.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
                f"{RATIO_TARGET:.1f} {'pass' if ratio <= RATIO_TARGET else 'MISS'}",
            ),
        ),
    )


async def _measure(url: str, data_dir: Path, rounds: int) -> tuple[float, list[float]]:
    connection = await asyncpg.connect(url)
    async with _sink() as sink:
        await connection.execute("DELETE FROM deliveries")
        rate = await _drained(connection, sink, url, data_dir)
        with servers.callout(url, data_dir / "callout.log", **sink.settings) as server:
            ratios = [await _slowed(server, sink, turn, rounds) for turn in range(rounds)]
        await connection.execute("DELETE FROM deliveries")
    await connection.close()
    return rate, ratios


async def _drained(connection: asyncpg.Connection[asyncpg.Record], sink: Sink, url: str, data_dir: Path) -> float:
    """Deliveries per second, from the first one sent until all are recorded as sent."""
    await connection.execute(_QUEUE, DELIVERIES)
    with _worker(url, data_dir / "worker.log", sink) as worker:
        waiting = DELIVERIES
        while waiting:
            await asyncio.sleep(0.1)
            waiting = await connection.fetchval("SELECT count(*) FROM deliveries WHERE state <> 'SENT'")
            show("sent", DELIVERIES - waiting, DELIVERIES)
            assert worker.poll() is None, "the worker has exited"
        seconds = perf_counter() - sink.first_at
    assert sink.taken == DELIVERIES, f"{sink.taken:,} were sent"
    return DELIVERIES / seconds


@contextmanager
def _worker(url: str, log: Path, sink: Sink) -> Iterator[subprocess.Popen[bytes]]:
    settings = {"env": "production", "database_url": url, "jwt_secret": token_urlsafe(48)} | sink.settings
    given = {variable(name): value for name, value in settings.items()}
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [sys.executable, "-m", "callout", "notify"], env={**os.environ, **given}, stdout=output, stderr=output
        ) as worker,
    ):
        yield worker
        worker.terminate()


async def _slowed(server: Server, sink: Sink, turn: int, turns: int) -> float:
    """The median latency of `ticketCreate` while the channel hangs, as a multiple of the median while it does not."""
    medians = {}
    for hangs in (False, True) if turn % 2 else (True, False):
        sink.hangs = hangs
        await drive(server.port, [_creation(server)] * 50)
        medians[hangs] = median(await drive(server.port, [_creation(server)] * CREATIONS))
    show("turn", turn + 1, turns)
    return medians[True] / medians[False]


def _creation(server: Server) -> bytes:
    contact = {"name": "John Smith", "email": "john@example.com"}
    input = {"subject": "Alarm panel beeping", "description": "Since the power outage.", "contact": contact}
    return post(CREATE, {"input": input}, server.token)
