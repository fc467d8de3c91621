"""Exactly once, in each ticket's order, under fire: writers that pause, roll back and hold transactions open, clients
that are cut off, connections, servers and databases that are killed.

What a client received is compared with what the event log holds in the end (`tests/fire.py`).
"""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import asyncpg

from pubsub.bell import Bell
from tests.fire import SECONDS, served, under_fire
from tests.valkey import Valkey


async def test_one_server(tmp_path: Path, fresh_url: str) -> None:
    """Its bell never rings for what is written beside it, so it looks by itself."""
    async with served(tmp_path, fresh_url, 1, "memory://") as servers:
        await under_fire(servers, fresh_url, lambda: None)


async def test_two_servers_of_two_workers_each(tmp_path: Path, fresh_url: str) -> None:
    """Each connection of a client may be another process' than the last."""
    async with served(tmp_path, fresh_url, 2, "postgres://", workers="2") as servers, Bell.open(fresh_url) as bell:
        await under_fire(servers, fresh_url, bell.ring)


async def test_two_servers_whose_connections_are_killed(tmp_path: Path, fresh_url: str) -> None:
    async def kill() -> None:
        connection = await asyncpg.connect(fresh_url)
        for _ in range(3):
            await asyncio.sleep(SECONDS / 5)
            killed = await connection.fetchval(
                """SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                WHERE datname = current_database() AND application_name LIKE 'callout%'"""
            )
            assert killed > 0
        await connection.close()

    async with served(tmp_path, fresh_url, 2, "postgres://") as servers, Bell.open(fresh_url) as bell:
        await under_fire(servers, fresh_url, bell.ring, kill)


async def test_two_servers_whose_valkey_is_restarted(tmp_path: Path, fresh_url: str, valkey: Valkey) -> None:
    async def restart() -> None:
        await asyncio.sleep(SECONDS / 3)
        await asyncio.to_thread(valkey.kill)
        await asyncio.sleep(SECONDS / 3)
        await asyncio.to_thread(valkey.start)

    async with served(tmp_path, fresh_url, 2, valkey.url) as servers, Bell.open(valkey.url) as bell:
        await under_fire(servers, fresh_url, bell.ring, restart)


async def test_a_server_that_is_killed_leaves_its_clients_to_the_other(tmp_path: Path, fresh_url: str) -> None:
    async with served(tmp_path, fresh_url, 2, "postgres://") as servers, Bell.open(fresh_url) as bell:

        async def kill() -> None:
            await asyncio.sleep(SECONDS / 2)
            os.kill(servers.pop().process.pid, signal.SIGKILL)

        await under_fire(servers, fresh_url, bell.ring, kill)
