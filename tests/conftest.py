"""Fixtures: a migrated PostgreSQL database, a Callout server in a process of its own, and clients over HTTP.

Each module has its own database, a copy of a migrated and empty one, and its own server on it, so that modules can run
in parallel and never see each other's data.
"""

from __future__ import annotations

import asyncio
import gc
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

import asyncpg
import pytest

from callout.settings import Settings
from db.postgres import embedded, migrate
from tests.helpers.api import Api, Server
from tests.helpers.clusters import Cluster, clusters, migrate_and_stop
from tests.helpers.inbound_mail import SERVER
from tests.helpers.paths import databases
from tests.helpers.process import callout_process
from tests.helpers.valkey import Valkey

TEMPLATE = "callout_template"
TEMPLATE_LOCK = 20_261_123  # only one process creates the template


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an embedded PostgreSQL that all test processes share. Its database serves only to create others."""
    with embedded.running(_data_dir(tmp_path_factory), durable=False) as url:
        asyncio.run(_make_template(url))
        yield url


def _data_dir(factory: pytest.TempPathFactory) -> Path:
    """Returns the data directory for all processes of a test run. It is outside pytest's own directory: if root runs
    the tests, PostgreSQL runs as another user, who loses access to that one with the next run."""
    base = factory.getbasetemp()
    run = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    directory = Path(databases()) / f"callout-tests-{sha256(os.fsencode(run)).hexdigest()[:12]}"
    directory.mkdir(exist_ok=True)
    return directory


def pytest_collection_finish() -> None:
    """Excludes the modules and the collected tests, which live until the process ends, from garbage collection. Without
    this, each full collection takes 0.2 s, and there are several when the process ends."""
    gc.freeze()


def pytest_unconfigure(config: pytest.Config) -> None:
    """In the main process, removes the data directory; the last fixture has stopped the server by then."""
    factory: pytest.TempPathFactory | None = getattr(config, "_tmp_path_factory", None)
    if "PYTEST_XDIST_WORKER" not in os.environ and factory is not None:
        shutil.rmtree(_data_dir(factory), ignore_errors=True)


async def _make_template(url: str) -> None:
    connection = await asyncpg.connect(at(url, "postgres"))
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", TEMPLATE_LOCK)
        if not await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", TEMPLATE):
            draft = f"{TEMPLATE}_draft"
            await connection.execute(f"DROP DATABASE IF EXISTS {draft}")
            await connection.execute(f"CREATE DATABASE {draft} TEMPLATE callout")
            await asyncio.to_thread(migrate.upgrade, at(url, draft))
            await connection.execute(f"ALTER DATABASE {draft} RENAME TO {TEMPLATE}")
    finally:
        await connection.close()


def at(url: str, database: str) -> str:
    """Returns the URL of another database on the same server."""
    return url.replace("/callout?", f"/{quote(database)}?")


@pytest.fixture(scope="module")
def database_url(postgres: str) -> Iterator[str]:
    """A migrated, empty database for the module."""
    with _database(postgres) as url:
        yield url


@pytest.fixture
def fresh_url(postgres: str) -> Iterator[str]:
    """A migrated, empty database for one test."""
    with _database(postgres) as url:
        yield url


@pytest.fixture
def empty_database(postgres: str) -> Iterator[str]:
    """A database for one test that has not been migrated."""
    with _database(postgres, template="template1") as url:
        yield url


@contextmanager
def _database(postgres: str, template: str = TEMPLATE) -> Iterator[str]:
    name = f"callout_{secrets.token_hex(6)}"
    asyncio.run(_run(at(postgres, "postgres"), f"CREATE DATABASE {name} TEMPLATE {template}"))
    yield at(postgres, name)
    asyncio.run(_run(at(postgres, "postgres"), f"DROP DATABASE {name} WITH (FORCE)"))


async def _run(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture(scope="module")
def server_settings() -> dict[str, str]:
    """Settings of the module's server besides the usual ones; a module replaces this fixture."""
    return {}


@pytest.fixture(scope="module")
def server(
    database_url: str, server_settings: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server on the module's database."""
    directory = tmp_path_factory.mktemp("server")
    secret = secrets.token_urlsafe(48)
    settings = {"database_url": database_url, "jwt_secret": secret, "mail_authserv_id": SERVER}
    with callout_process(directory, **settings, **server_settings) as process:
        known = Settings(env="production", database_url=database_url, jwt_secret=secret, data_dir=Path(directory))
        yield Server(process.url, known, database_url, process)


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    server = Valkey(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture
async def api(server: Server) -> AsyncIterator[Api]:
    """A client of the API as an admin; `api.technician()` and the like create other viewers."""
    async with Api(server) as admin:
        yield admin


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A connection to the module's database, to check or break something behind the API."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@pytest.fixture(scope="session")
async def migrated() -> AsyncIterator[Cluster]:
    with clusters(1) as (cluster,):
        await migrate_and_stop(cluster)
        yield cluster


@pytest.fixture
def two(migrated: Cluster) -> Iterator[list[Cluster]]:
    """Two clusters, of which the first has a migrated database."""
    with clusters(2) as pair:
        pair[0].copy_from(migrated)
        yield pair
