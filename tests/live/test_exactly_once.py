"""Clients receive each event exactly once and in each ticket's order, while writers pause, roll back and hold
transactions open, clients disconnect, and connections, servers and databases are killed.

Each client's events are compared with the event log at the end, and its disconnections with those that the disturbance
allows (`tests/helpers/stress.py`): only a server that ends, or an outage while the client connects.
"""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest

from db.enums import TicketEventKind
from db.events import log as event_log
from db.postgres import embedded, migrate
from pubsub.bell import Bell
from pubsub.tail import LOOKING_SECONDS
from tests.helpers.api import Api, Server
from tests.helpers.database_checks import key, until
from tests.helpers.graphql_ws_client import WITHIN, following
from tests.helpers.stress import ABNORMAL, BOSS, OVERLOADED, REFUSED, SECONDS, Follower, ends_of, served, under_fire
from tests.helpers.valkey import Valkey

pytestmark = pytest.mark.slow


async def test_each_event_is_received_once_with_one_server(tmp_path: Path, fresh_url: str) -> None:
    """Its bell does not ring for these writers, so the tail finds the events on its own."""
    async with served(tmp_path, fresh_url, 1, "memory://") as servers:
        undisturbed(await under_fire(servers, fresh_url, lambda: None))


async def test_each_event_is_received_once_with_two_workers(tmp_path: Path, fresh_url: str) -> None:
    """A client may reach another worker process each time it connects."""
    async with served(tmp_path, fresh_url, 1, "postgres://", workers="2") as servers, Bell.open(fresh_url) as bell:
        connection = await asyncpg.connect(fresh_url)
        tails = "FROM pg_stat_activity WHERE application_name = 'callout tail' AND datname = current_database()"
        await until(connection, f"count(*) = 2 {tails}")
        await connection.close()
        undisturbed(await under_fire(servers, fresh_url, bell.ring))


async def test_each_event_is_received_once_while_connections_are_killed(tmp_path: Path, fresh_url: str) -> None:
    kills = 3

    async def kill() -> None:
        connection = await asyncpg.connect(fresh_url)
        for _ in range(kills):
            await asyncio.sleep(SECONDS / 5)
            killed = await connection.fetch(
                """SELECT application_name, pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE datname = current_database() AND application_name LIKE 'callout%'"""
            )
            assert {name for name, _ in killed} >= {"callout", "callout bell"}
        await connection.close()

    async with served(tmp_path, fresh_url, 2, "postgres://") as servers, Bell.open(fresh_url) as bell:
        *steady, restless = ends_of(await under_fire(servers, fresh_url, bell.ring, kill))
        assert steady == [{}, {}, {}]
        assert restless.total() == restless[OVERLOADED] <= 2 * kills
        assert all(warned(server, "pubsub.tail", "cannot read the event log") for server in servers)


async def test_each_event_is_received_once_while_valkey_restarts(
    tmp_path: Path, fresh_url: str, valkey: Valkey
) -> None:
    async def restart() -> None:
        await asyncio.sleep(SECONDS / 3)
        await asyncio.to_thread(valkey.kill)
        await asyncio.sleep(SECONDS / 3)
        assert all(warned(server, "pubsub.bell", "the bell is disconnected") for server in servers)
        await asyncio.to_thread(valkey.start)

    async with served(tmp_path, fresh_url, 2, valkey.url) as servers, Bell.open(valkey.url) as bell:
        undisturbed(await under_fire(servers, fresh_url, bell.ring, restart))


async def test_each_event_is_received_once_after_a_server_is_killed(tmp_path: Path, fresh_url: str) -> None:
    async with served(tmp_path, fresh_url, 2, "postgres://") as servers, Bell.open(fresh_url) as bell:

        async def kill() -> None:
            await asyncio.sleep(SECONDS / 2)
            os.kill(servers.pop().process.pid, signal.SIGKILL)

        *steady, restless = ends_of(await under_fire(servers, fresh_url, bell.ring, kill))
        assert steady == [{}, {ABNORMAL: 1}, {ABNORMAL: 1}]  # two started at the killed server
        assert restless.total() == restless[ABNORMAL] + restless[REFUSED] <= 1


@pytest.fixture(scope="module")
def cluster() -> Iterator[Path]:
    """The data directory of a durable PostgreSQL for these tests. As in `conftest.py`, it is not below pytest's own.
    Its first database is migrated, and copied for each test."""
    with tempfile.TemporaryDirectory(prefix="callout-tests-") as name:
        directory = Path(name)
        with embedded.running(directory) as url:
            migrate.upgrade(url)
        yield directory


async def copied(url: str, name: str) -> str:
    """Copies the migrated database; returns the URL of the copy."""
    connection = await asyncpg.connect(url.replace("/callout?", "/postgres?"))
    await connection.execute(f"CREATE DATABASE {name} TEMPLATE callout")
    await connection.close()
    return url.replace("/callout?", f"/{name}?")


async def test_each_event_is_received_once_while_postgresql_is_killed_and_recovers(
    cluster: Path, tmp_path: Path
) -> None:
    """Twice, with the writers running. PostgreSQL is durable here, so committed events survive."""

    async def restart() -> None:
        for _ in range(2):
            await asyncio.sleep(SECONDS / 4)
            await stop_at_once(cluster)
            await asyncio.to_thread(start_again, cluster)

    with embedded.running(cluster) as first_url:
        url = await copied(first_url, "stopped")
        async with served(tmp_path, url, 2, "postgres://") as servers, Bell.open(url) as bell:
            *steady, restless = ends_of(await under_fire(servers, url, bell.ring, restart))
            assert steady == [{}, {}, {}]
            assert restless.total() == restless[OVERLOADED]  # connected while PostgreSQL was down
            assert all(warned(server, "pubsub.tail", "cannot read the event log") for server in servers)


async def test_a_transaction_id_reused_after_a_crash_is_not_treated_as_seen(cluster: Path, tmp_path: Path) -> None:
    """A crash forgets transactions that were rolled back, so that later ones get the same ids."""
    with embedded.running(cluster) as first_url:
        url = await copied(first_url, "crashed")
        connection = await asyncpg.connect(url)
        # So that the rolled back transactions are not written to disk before the crash.
        await connection.execute("ALTER SYSTEM SET wal_writer_delay = '10s'")
        await connection.execute("SELECT pg_reload_conf()")
        async with served(tmp_path, url, 1, "postgres://") as (server,), Api(server) as api, following(api) as screen:
            ticket = await api.new_ticket()
            await screen.next()
            for _ in range(50):
                with suppress(ZeroDivisionError):
                    async with connection.transaction():
                        await connection.fetchval("SELECT pg_current_xact_id()")
                        raise ZeroDivisionError
            await asyncio.sleep(1.5 * LOOKING_SECONDS)
            cursor = (await api("{ tickets(first: 1) { streamCursor } }"))["tickets"]["streamCursor"]
            await stop_at_once(cluster)
            await asyncio.to_thread(start_again, cluster)
            connection = await asyncpg.connect(url)
            await event_log.change(connection, BOSS, key(ticket), TicketEventKind.UPDATED, {"subject": "After it"}, {})
            await connection.close()
            assert (await screen.next())["ticket"]["subject"] == "After it"
            async with following(api, after=cursor) as other:
                assert (await other.next())["ticket"]["subject"] == "After it"


def undisturbed(followers: Sequence[Follower]) -> None:
    assert ends_of(followers) == [{}] * 4


def warned(server: Server, logger: str, text: str) -> bool:
    return any(record["message"].startswith(text) for record in server.process.records(logger))


def start_again(data_dir: Path) -> None:
    with embedded.running(data_dir):
        """Keeps running for the block that started it first."""


async def stop_at_once(data_dir: Path) -> None:
    """Runs PostgreSQL's immediate shutdown, as if it crashed: the next start is a recovery."""
    lock = data_dir / "postgres" / "postmaster.pid"
    os.kill(int(lock.read_text().split()[0]), signal.SIGQUIT)
    async with asyncio.timeout(WITHIN):
        while lock.exists():  # noqa: ASYNC110 (there is no event to wait for)
            await asyncio.sleep(0.01)
