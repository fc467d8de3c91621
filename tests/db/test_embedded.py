"""The embedded PostgreSQL: sharing it between processes, and starting it again after any end of the last ones."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest

from db.postgres import embedded
from db.postgres.embedded import EmbeddedServerError
from tests.helpers.process import lives

pytestmark = pytest.mark.slow

USER = """
import sys
from pathlib import Path
from db.postgres import embedded
with embedded.running(Path(sys.argv[1])):
    print("up", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("data")
    with embedded.running(directory):
        pass
    return directory


@contextmanager
def another_process(data_dir: Path) -> Iterator[subprocess.Popen[str]]:
    """Runs a process that uses the server until its input ends."""
    command = [sys.executable, "-c", USER, str(data_dir)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "up\n"
        try:
            yield process
        finally:
            process.communicate()


def postmaster(data_dir: Path) -> int | None:
    """Returns the id of the server's main process, or None if it does not run."""
    try:
        pid = int((data_dir / "postgres" / "postmaster.pid").read_text().split()[0])
        return pid if lives(psutil.Process(pid)) else None
    except (FileNotFoundError, psutil.NoSuchProcess):
        return None


def kill(pid: int | None) -> None:
    assert pid is not None
    process = psutil.Process(pid)
    process.kill()
    deadline = time.monotonic() + 10
    while lives(process):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def ask(url: str, query: str) -> Any:
    async def run() -> Any:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetchval(query)
        finally:
            await connection.close()

    return asyncio.run(run())


def test_the_last_user_stops_the_server(data_dir: Path) -> None:
    with embedded.running(data_dir), another_process(data_dir):
        running = postmaster(data_dir)
    assert running is not None
    assert postmaster(data_dir) is None
    with another_process(data_dir):
        with embedded.running(data_dir):
            running = postmaster(data_dir)
        assert postmaster(data_dir) == running
    assert postmaster(data_dir) is None


def test_a_server_left_by_a_killed_process_is_reused_and_stopped(data_dir: Path) -> None:
    with another_process(data_dir) as process:
        process.kill()
    left = postmaster(data_dir)
    assert left is not None
    with embedded.running(data_dir) as url:
        assert postmaster(data_dir) == left
        assert ask(url, "SELECT 1") == 1
    assert postmaster(data_dir) is None


def test_a_killed_server_starts_again_with_all_committed_data(data_dir: Path) -> None:
    with another_process(data_dir) as process, embedded.running(data_dir) as url:
        ask(url, "CREATE TABLE kept AS SELECT 42 AS answer")
        kill(postmaster(data_dir))
        process.kill()
    with embedded.running(data_dir) as url:
        assert ask(url, "SELECT answer FROM kept") == 42


def test_a_process_that_reuses_a_killed_servers_pid_is_not_mistaken_for_it(data_dir: Path) -> None:
    with another_process(data_dir) as process:
        kill(postmaster(data_dir))
        process.kill()
    for name in ("postmaster.pid", ".s.PGSQL.5432.lock"):
        path = data_dir / "postgres" / name
        if path.exists():
            _, *others = path.read_text().splitlines(keepends=True)
            path.write_text("".join([f"{os.getpid()}\n", *others]))
    with embedded.running(data_dir) as url:
        assert ask(url, "SELECT 1") == 1


@pytest.mark.parametrize("name", ["with space, comma & $(sign)", "x" * 120])
def test_any_path_can_be_used(tmp_path: Path, name: str) -> None:
    with embedded.running(tmp_path / name, durable=False) as url:
        assert ask(url, "SELECT current_database()") == "callout"


def test_letters_of_all_languages_are_recognised(data_dir: Path) -> None:
    # In the operating system's C locale `É` would not be a letter, and a search could not find it.
    with embedded.running(data_dir) as url:
        assert ask(url, "SELECT lower('ÉCLAIR')") == "éclair"
        assert ask(url, "SELECT 'é' ~ '^[[:alpha:]]$'")
        ask(url, "CREATE EXTENSION pg_trgm")
        assert ask(url, "SELECT show_trgm('É') <> '{}' AND show_trgm('É') = show_trgm('é')")


def test_other_users_cannot_reach_the_server(data_dir: Path) -> None:
    with embedded.running(data_dir) as url:
        assert ask(url, "SHOW listen_addresses") == ""
        assert ask(url, "SHOW unix_socket_permissions") == "0700"
    assert (data_dir / "postgres").stat().st_mode & 0o077 == 0
    # If root starts the server, the server's user, who is another one, passes through.
    assert data_dir.stat().st_mode & (0o077 if os.geteuid() else 0o067) == 0


def test_a_directory_with_other_files_is_left_alone(tmp_path: Path) -> None:
    precious = tmp_path / "postgres" / "precious"
    precious.parent.mkdir()
    precious.touch()
    with pytest.raises(EmbeddedServerError, match="not empty"), embedded.running(tmp_path):
        pass
    assert precious.exists()


def test_a_failed_start_reports_its_cause(tmp_path: Path) -> None:
    with embedded.running(tmp_path, durable=False):
        pass
    with (tmp_path / "postgres" / "postgresql.conf").open("a") as file:
        file.write("max_connections = many\n")
    with pytest.raises(EmbeddedServerError, match="max_connections"), embedded.running(tmp_path):
        pass


def test_a_data_directory_of_another_major_version_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with embedded.running(tmp_path, durable=False):
        pass
    version = tmp_path / "postgres" / "PG_VERSION"
    version.write_text("17\n")
    with (
        pytest.raises(
            EmbeddedServerError, match=r"PostgreSQL 17, and .* has 1[89].*: .*`callout upgrade-database`"
        ) as refused,
        embedded.running(tmp_path),
    ):
        pass
    assert "\n" not in str(refused.value)
    assert version.read_text() == "17\n"
