"""The benchmarks' databases: embedded servers, each with its own data directory, which is filled once and kept."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg

from bench.cases import Connection
from bench.report import show
from db.postgres import embedded, migrate
from db.seed import demo as seed


@contextmanager
def prepared(data_dir: Path, *, tickets: int) -> Iterator[str]:
    """The URL of a migrated database with this many tickets. The first time, filling it takes minutes."""
    with embedded.running(data_dir) as url:
        migrate.upgrade(url)
        asyncio.run(_fill(url, tickets))
        yield url


async def _fill(url: str, tickets: int) -> None:
    connection = await asyncpg.connect(url)
    try:
        if not await connection.fetchval("SELECT EXISTS (SELECT FROM tickets)"):
            await seed.bulk(connection, tickets=tickets, progress=show)
        # Vacuum before measuring, so that autovacuum does not start in the middle of it.
        await connection.execute("ALTER SYSTEM SET autovacuum = off")
        await connection.execute("SELECT pg_reload_conf()")
        await connection.execute("VACUUM ANALYZE")
        await connection.execute("CHECKPOINT")
        counts = [
            f"{await connection.fetchval(f'SELECT count(*) FROM {table}'):,} {table}"
            for table in ("tickets", "notes", "customers", "properties", "technicians", "ticket_events")
        ]
        print(f"PostgreSQL {await connection.fetchval('SHOW server_version')} with {', '.join(counts)}\n", flush=True)
    finally:
        await connection.close()


async def postmaster(connection: Connection) -> int:
    """The pid of the server's main process, whose children do the work."""
    return int(await connection.fetchval("SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)"))
