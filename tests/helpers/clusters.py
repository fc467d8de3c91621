"""Clusters of PostgreSQL that fail over and are restored: standbys, copies, dumps, and an address that moves."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import psutil

from db.postgres import embedded, migrate
from tests.helpers.graphql_ws_client import WITHIN
from tests.helpers.paths import databases
from tests.helpers.proxy import Proxy, connector, through


class Cluster:
    """A data directory, and the server that runs on it within `running`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.url = ""
        self._server = ExitStack()

    @property
    def pgdata(self) -> Path:
        return self.directory / "postgres"

    async def start(self) -> None:
        self.url = await asyncio.to_thread(self._server.enter_context, embedded.running(self.directory, durable=False))

    async def stop(self) -> None:
        """Stops it in order: a standby that is connected has received everything."""
        await asyncio.to_thread(self._server.close)

    async def crash(self) -> None:
        """Stops it at once, as if the machine had failed."""
        lock = self.pgdata / "postmaster.pid"
        postmaster = psutil.Process(int(lock.read_text().split()[0]))
        os.kill(postmaster.pid, signal.SIGQUIT)
        await asyncio.to_thread(postmaster.wait, WITHIN)
        await asyncio.to_thread(self._server.close)

    def clear(self) -> None:
        shutil.rmtree(self.pgdata, ignore_errors=True)

    def copy_from(self, other: Cluster) -> None:
        """Copies the files of a cluster that is stopped, in place of its own."""
        self.clear()
        shutil.copytree(other.pgdata, self.pgdata)
        owner = other.pgdata.stat()
        for folder, _, files in os.walk(self.pgdata):
            for path in (folder, *(os.path.join(folder, name) for name in files)):
                os.chown(path, owner.st_uid, owner.st_gid)

    async def back_up(self, other: Cluster, *options: str) -> None:
        """Takes a base backup of another cluster, which is running."""
        self.pgdata.mkdir(mode=0o700)
        give_to_server(self.pgdata, other)
        self.directory.chmod(0o711)
        source = f"--dbname=host={socket_of(other.url)} user={embedded.SUPERUSER}"
        await run(self.pgdata, "pg_basebackup", "--pgdata=.", source, "--checkpoint=fast", "--no-sync", *options)
        for lock in self.pgdata.glob(".s.PGSQL.*"):  # of the other cluster's socket, which is in its data directory
            lock.unlink()

    async def follow(self, port: int) -> None:
        """Starts it as an asynchronous standby of the primary at this port."""
        self.configure(
            primary_conninfo=f"host=127.0.0.1 port={port} user={embedded.SUPERUSER}",
            wal_retrieve_retry_interval="100ms",
        )
        await self.start()

    def configure(self, **settings: str) -> None:
        """Changes settings of the server, which is stopped."""
        with (self.pgdata / "postgresql.auto.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())

    async def promote(self) -> None:
        assert await ask(self.url, "SELECT pg_promote()")


def give_to_server(path: Path, cluster: Cluster) -> None:
    """Makes the user of the cluster's server the owner of the path."""
    owner = cluster.pgdata.stat()
    os.chown(path, owner.st_uid, owner.st_gid)


@contextmanager
def clusters(number: int) -> Iterator[list[Cluster]]:
    """Returns so many clusters that have no data yet; stops them at the end. They are outside pytest's directory, as in
    `conftest.py`."""
    with tempfile.TemporaryDirectory(prefix="callout-tests-", dir=databases()) as name:
        Path(name).chmod(0o711)
        made = []
        for place in range(number):
            directory = Path(name) / str(place)
            directory.mkdir()
            made.append(Cluster(directory))
        try:
            yield made
        finally:
            for cluster in made:
                cluster._server.close()


async def migrate_and_stop(cluster: Cluster) -> None:
    """Gives the cluster a migrated database, and stops it, to be copied. Commits wait for the WAL, unlike in the other
    tests, so that a standby can have them all."""
    await cluster.start()
    await asyncio.to_thread(migrate.upgrade, cluster.url)
    await ask(cluster.url, "ALTER SYSTEM SET synchronous_commit = 'local'")
    await cluster.stop()


class Address:
    """An address of the primary that moves: new connections reach the cluster that it points to."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.proxy = Proxy(self._connect)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await connector(self._url)()

    def move(self, cluster: Cluster) -> None:
        self._url = cluster.url

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """The URL of the database at this address."""
        url = self._url
        async with self.proxy.running() as port:
            yield through(port, url)


async def run(pgdata: Path, program: str, *arguments: str, input: str = "") -> None:
    """Runs one of PostgreSQL's programs, as the owner of the data directory and within it."""
    await asyncio.to_thread(embedded._run, pgdata, program, *arguments, input=input)


def socket_of(url: str) -> str:
    return parse_qs(urlsplit(url).query)["host"][0]


async def ask(url: str, query: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def until_true(url: str, condition: str) -> None:
    async with asyncio.timeout(WITHIN):
        while not await ask(url, f"SELECT {condition}"):  # noqa: ASYNC110 (there is no event to wait for)
            await asyncio.sleep(0.05)
