"""The connections to the database, as the program holds them."""

from __future__ import annotations

import asyncio

import asyncpg

from db.engine import Database

TERMINATED = """SELECT bool_and(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'callout'"""  # returns once they are gone


async def test_connections_that_end_while_they_rest_fail_no_statement(
    database_url: str, database: asyncpg.Connection[asyncpg.Record]
) -> None:
    pool = await Database.open(database_url, size=3)
    try:
        for _ in range(2):
            await asyncio.gather(*(pool.fetchval("SELECT true FROM pg_sleep(0.05)") for _ in range(3)))
            assert await database.fetchval(TERMINATED)
            await asyncio.sleep(0.05)  # by then their ends have been seen here
            assert await asyncio.gather(*(pool.fetchval("SELECT 1") for _ in range(3))) == [1, 1, 1]
    finally:
        await pool.close()
