"""Upgrading a database with a million tickets while servers use it: how long each step takes, and how long the longest
read and the longest write wait meanwhile."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random

import asyncpg

from bench import database
from bench.cases import Connection
from bench.report import Row, print_table, show
from db.postgres import embedded, migrate

TICKETS = 1_000_000
FROM = "0011"  # before the audit trail; the steps until then are older than the first database that was kept
TARGET = 1_000  # milliseconds that a read or write may wait
HEADER = ("step", "seconds", "reads", "longest ms", "writes", "longest ms", "")

READ = "SELECT id, reference, subject FROM tickets ORDER BY created_at DESC, id DESC LIMIT 50"
# As every version of the code changes a ticket: the row, and its event with both images, in one statement that locks
# the tables in this order, as the migrations do.
WRITE = """
WITH before AS (SELECT to_jsonb(tickets.*) AS image FROM tickets WHERE id = $1), changed AS (
    UPDATE tickets SET version = version + 1, updated_at = now(), contact_phone = $2 WHERE id = $1 RETURNING *
), event AS (
    INSERT INTO ticket_events (ticket_id, kind, actor_kind, actor_id, actor_name, before, after)
    SELECT id, 'UPDATED', 'ADMIN', 'boss', 'The Boss', image, to_jsonb(changed.*) FROM changed, before RETURNING id)
SELECT id FROM event"""

Work = Callable[[Connection], Awaitable[object]]


def run(data_dir: Path) -> None:
    """Upgrades a copy of the database in `data_dir`, which is filled the first time, and prints a row for each step."""
    with database.prepared(data_dir, tickets=TICKETS):
        pass
    copy = data_dir.with_name(f"{data_dir.name}-upgrading")
    shutil.rmtree(copy, ignore_errors=True)
    try:
        subprocess.run(["cp", "-a", data_dir, copy], check=True)  # keeps the owner, whom root is not
        with embedded.running(copy) as url:
            show(f"downgrade to {FROM}", 0, 1)
            migrate.downgrade(url, FROM)
            print_table(HEADER, asyncio.run(_each_step(url)))
    finally:
        shutil.rmtree(copy, ignore_errors=True)


async def _each_step(url: str) -> list[Row]:
    connection = await asyncpg.connect(url)
    ids = [id_ for (id_,) in await connection.fetch("SELECT id FROM tickets ORDER BY created_at DESC LIMIT 10000")]
    await connection.close()
    drawn = Random(1)

    async def read(connection: Connection) -> None:
        await connection.fetch(READ)

    async def write(connection: Connection) -> None:
        await connection.execute(WRITE, drawn.choice(ids), f"613-555-{drawn.randrange(10_000):04}")

    rows: list[Row] = []
    revisions = migrate.code().revisions
    for revision in revisions[revisions.index(FROM) + 1 :]:
        ended = asyncio.Event()
        working = [asyncio.create_task(_repeat(url, work, ended)) for work in (read, read, write, write)]
        start = time.monotonic()
        try:
            await asyncio.to_thread(migrate.upgrade, url, revision)
        finally:
            seconds = time.monotonic() - start
            ended.set()
            one, two, three, four = await asyncio.gather(*working)
        reads, writes = one + two, three + four
        verdict = "pass" if max(reads + writes) <= TARGET else "MISS"
        longest = [f"{max(times):.0f}" for times in (reads, writes)]
        rows.append((revision, f"{seconds:.1f}", str(len(reads)), longest[0], str(len(writes)), longest[1], verdict))
    return rows


async def _repeat(url: str, work: Work, ended: asyncio.Event) -> list[float]:
    """Repeats the work until `ended`, and returns the milliseconds that each took."""
    connection = await asyncpg.connect(url)
    times = []
    while not ended.is_set():
        start = time.monotonic()
        await work(connection)
        times.append((time.monotonic() - start) * 1000)
    await connection.close()
    return times
