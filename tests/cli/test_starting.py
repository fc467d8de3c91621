"""How servers start and end: what they say of a database that they cannot use, what they wait for, and that workers end
with their parent."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import psutil
import pytest

from callout import database as databases
from callout.app import create_app
from callout.database import DatabaseUnusable, wait_for
from callout.settings import Settings
from db.postgres import migrate
from tests.helpers.process import environment_of, free_port, lives, start
from tests.helpers.stress import SECRET, server_process
from tests.helpers.terminal import Terminal

pytestmark = pytest.mark.slow

SECONDS = 60.0
HEALTH_CHECK_SECONDS = 5.0  # uvicorn's own limit


@contextmanager
def starting(directory: Path, url: str, **settings: str) -> Iterator[tuple[BaseProcess, Callable[[], str]]]:
    """Starts `callout serve`. Yields its process, and a function that returns what it has printed."""
    given = {"env": "production", "port": str(free_port()), "jwt_secret": SECRET, "data_dir": str(directory)} | settings
    log = directory / "log"
    log.touch()
    child = start(("callout", "serve"), environment_of(database_url=url, **given), log)
    try:
        yield child, log.read_text
    finally:
        child.terminate()
        child.join(SECONDS)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(SECONDS):
        while not condition():  # noqa: ASYNC110 (there is no event to wait for)
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("env", ["production", "development"])
@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (
            "UPDATE alembic_version SET version_num = '9999', oldest_code = '9998'",
            "revision 9999, which needs code of 9998 or newer",
        ),
        ("ALTER DATABASE {name} SET default_transaction_read_only = on", "is read-only: reset"),
    ],
)
async def test_an_unusable_database_is_reported_in_a_sentence(
    tmp_path: Path, fresh_url: str, env: str, made: str, sentence: str
) -> None:
    connection = await asyncpg.connect(fresh_url)
    await connection.execute(made.format(name=await connection.fetchval("SELECT current_database()")))
    await connection.close()
    with starting(tmp_path, fresh_url, env=env, database_wait="0") as (child, printed):
        await asyncio.to_thread(child.join, SECONDS)
        (line,) = printed().splitlines()
        assert (child.exitcode, line.startswith("Error: The database "), sentence in line) == (1, True, True)


async def test_a_database_that_cannot_be_reached_is_reported_in_a_sentence(tmp_path: Path, fresh_url: str) -> None:
    for url, sentence in (
        (f"postgresql://u:swordfish@127.0.0.1:{free_port()}/callout", "cannot be reached ("),
        (fresh_url.replace("postgres@", "nobody:swordfish@"), 'cannot be reached (role "nobody" does not exist): corr'),
        (urlsplit(fresh_url)._replace(path="/nowhere").geturl(), '"nowhere" does not exist): start it, or correct'),
    ):
        terminal = Terminal(database_url=url, jwt_secret=SECRET, data_dir=str(tmp_path), database_wait="0")
        done = await asyncio.to_thread(terminal, "migrate")
        assert (done.exit_code, done.stdout) == (1, "")
        (line,) = done.stderr.splitlines()
        assert line.startswith("Error: The database ") and sentence in line
        assert "swordfish" not in line


async def test_an_older_postgresql_is_refused(fresh_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases, "OLDEST_SERVER", 1_000_000)
    with pytest.raises(DatabaseUnusable, match="Callout needs 14 or newer: upgrade it"):
        await wait_for(fresh_url, SECONDS, writable=True)


async def test_a_server_waits_until_its_database_is_there_and_migrated(tmp_path: Path, fresh_url: str) -> None:
    admin = await asyncpg.connect(fresh_url, database="postgres")
    name = urlsplit(fresh_url).path.strip("/")
    connection = await asyncpg.connect(fresh_url)
    await connection.execute("DELETE FROM alembic_version")
    await connection.close()
    await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    with starting(tmp_path, fresh_url, database_wait=str(SECONDS)) as (child, printed):
        await until(lambda: "waiting for the database, for up to 60 s" in printed())
        await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        connection = await asyncpg.connect(fresh_url)
        await connection.execute("INSERT INTO alembic_version VALUES ($1)", migrate.head())
        await connection.close()
        await until(lambda: "Application startup complete" in printed())
        assert printed().count("waiting for the database") == 1
        assert child.is_alive()
    assert child.exitcode == 0
    await admin.close()


async def test_a_server_gives_up_a_database_that_is_never_migrated(tmp_path: Path, fresh_url: str) -> None:
    connection = await asyncpg.connect(fresh_url)
    await connection.execute("DELETE FROM alembic_version")
    await connection.close()
    with starting(tmp_path, fresh_url, database_wait="0.7") as (child, printed):
        await asyncio.to_thread(child.join, SECONDS)
        waiting, last = printed().splitlines()
        assert "waiting for the database, for up to 0.7 s: The database is at revision none" in waiting
        assert last.startswith("Error: The database is at revision none, not ")
        assert last.endswith(": run `callout migrate`.")
        assert child.exitcode == 1


async def test_a_worker_that_cannot_start_says_why_without_a_traceback(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("callout.logs.configure", lambda settings: None)  # it would replace pytest's log handlers
    url = f"postgresql://127.0.0.1:{free_port()}/callout"
    settings = Settings(env="production", database_url=url, jwt_secret=SECRET, data_dir=tmp_path, database_wait=0)
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "lifespan.startup"}

    async def send(message: Any) -> None:
        sent.append(message)

    with pytest.raises(DatabaseUnusable):
        await create_app(settings)({"type": "lifespan", "state": {}}, receive, send)
    assert sent == [{"type": "lifespan.startup.failed", "message": ""}]
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert (record.levelname, record.exc_info) == ("CRITICAL", None)
    assert record.getMessage().startswith("cannot start: The database of CALLOUT_DATABASE_URL cannot be reached (")


async def test_workers_are_left_alone_while_they_are_slow_and_end_with_their_parent(
    tmp_path: Path, fresh_url: str
) -> None:
    with server_process(tmp_path, fresh_url, workers="2") as process:
        parent = psutil.Process(process.pid)
        workers = parent.children(recursive=True)
        for worker in workers:
            worker.suspend()  # as on a machine that is so loaded that it does not get its turn
        await asyncio.sleep(HEALTH_CHECK_SECONDS + 1)
        for worker in workers:
            worker.resume()
        assert parent.children(recursive=True) == workers
        os.kill(process.pid, signal.SIGKILL)
        await until(lambda: not any(map(lives, workers)))
        assert "the parent process has ended" in process.log()
        socket.create_server(("127.0.0.1", urlsplit(process.url).port or 0)).close()
