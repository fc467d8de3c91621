"""Exactly once, in each ticket's order, under fire: writers that pause, roll back and hold transactions open, clients
that are cut off, connections, servers and databases that are killed.

What a client received is compared with what the event log holds in the end, and how often it was cut off with what
the disturbance allows (`tests/helpers/stress.py`): nobody, but by a server that ends, and whoever comes during an
outage.
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


async def test_one_server(tmp_path: Path, fresh_url: str) -> None:
    """Its bell never rings for what is written beside it, so it looks by itself."""
    async with served(tmp_path, fresh_url, 1, "memory://") as servers:
        undisturbed(await under_fire(servers, fresh_url, lambda: None))


async def test_one_server_of_two_workers(tmp_path: Path, fresh_url: str) -> None:
    """Each connection of a client may be another process' than the last."""
    async with served(tmp_path, fresh_url, 1, "postgres://", workers="2") as servers, Bell.open(fresh_url) as bell:
        connection = await asyncpg.connect(fresh_url)
        tails = "FROM pg_stat_activity WHERE application_name = 'callout tail' AND datname = current_database()"
        await until(connection, f"count(*) = 2 {tails}")
        await connection.close()
        undisturbed(await under_fire(servers, fresh_url, bell.ring))


async def test_two_servers_whose_connections_are_killed(tmp_path: Path, fresh_url: str) -> None:
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


async def test_two_servers_whose_valkey_is_restarted(tmp_path: Path, fresh_url: str, valkey: Valkey) -> None:
    async def restart() -> None:
        await asyncio.sleep(SECONDS / 3)
        await asyncio.to_thread(valkey.kill)
        await asyncio.sleep(SECONDS / 3)
        assert all(warned(server, "pubsub.bell", "the bell is disconnected") for server in servers)
        await asyncio.to_thread(valkey.start)

    async with served(tmp_path, fresh_url, 2, valkey.url) as servers, Bell.open(valkey.url) as bell:
        undisturbed(await under_fire(servers, fresh_url, bell.ring, restart))


async def test_a_server_that_is_killed_leaves_its_clients_to_the_other(tmp_path: Path, fresh_url: str) -> None:
    async with served(tmp_path, fresh_url, 2, "postgres://") as servers, Bell.open(fresh_url) as bell:

        async def kill() -> None:
            await asyncio.sleep(SECONDS / 2)
            os.kill(servers.pop().process.pid, signal.SIGKILL)

        *steady, restless = ends_of(await under_fire(servers, fresh_url, bell.ring, kill))
        assert steady == [{}, {ABNORMAL: 1}, {ABNORMAL: 1}]  # two began at the server that was killed
        assert restless.total() == restless[ABNORMAL] + restless[REFUSED] <= 1


@pytest.fixture(scope="module")
def cluster() -> Iterator[Path]:
    """Where a durable PostgreSQL of these tests' own keeps its data: not below pytest's directory, as in `conftest.py`.
    Its first database is migrated, and copied for each test."""
    with tempfile.TemporaryDirectory(prefix="callout-tests-") as name:
        directory = Path(name)
        with embedded.running(directory) as url:
            migrate.upgrade(url)
        yield directory


async def copied(url: str, name: str) -> str:
    """The URL of a copy of the migrated database."""
    connection = await asyncpg.connect(url.replace("/callout?", "/postgres?"))
    await connection.execute(f"CREATE DATABASE {name} TEMPLATE callout")
    await connection.close()
    return url.replace("/callout?", f"/{name}?")


async def test_postgresql_is_stopped_at_once_and_recovers(cluster: Path, tmp_path: Path) -> None:
    """Twice, under all that is going on. It is a durable one: what was committed is still there afterwards."""

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
            assert restless.total() == restless[OVERLOADED]  # as often as it came while PostgreSQL was away
            assert all(warned(server, "pubsub.tail", "cannot read the event log") for server in servers)


async def test_an_id_that_a_crash_has_given_back_is_not_taken_for_seen(cluster: Path, tmp_path: Path) -> None:
    """Transactions that were rolled back, and of which the crash has left nothing, so that others get their ids."""
    with embedded.running(cluster) as first_url:
        url = await copied(first_url, "crashed")
        connection = await asyncpg.connect(url)
        await connection.execute("ALTER SYSTEM SET wal_writer_delay = '10s'")  # until then nothing of them is written
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
        """It goes on for whoever had started it first."""


async def stop_at_once(data_dir: Path) -> None:
    """PostgreSQL's immediate shutdown: nothing is finished, and the next start is a recovery."""
    lock = data_dir / "postgres" / "postmaster.pid"
    os.kill(int(lock.read_text().split()[0]), signal.SIGQUIT)
    async with asyncio.timeout(WITHIN):
        while lock.exists():  # noqa: ASYNC110 (nobody tells)
            await asyncio.sleep(0.01)
