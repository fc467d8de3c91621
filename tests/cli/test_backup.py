"""`callout backup` and `callout restore`, on embedded databases of their own."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import asyncpg
import pytest

from callout.backup import DIGEST_BYTES, MAGIC
from db.enums import Role
from db.events.position import NOW
from db.events.stream_cursor import StreamCursors
from db.ids import new_id
from db.postgres import embedded, migrate
from db.viewer import Viewer
from tests.helpers.api import Api
from tests.helpers.change_pages import fetch_page
from tests.helpers.clusters import Cluster, ask, clusters, until_true
from tests.helpers.database_checks import write_ticket
from tests.helpers.small_disk import small_disk
from tests.helpers.stress import SECRET, server_of, server_process
from tests.helpers.terminal import Terminal

pytestmark = pytest.mark.slow

BOSS = Viewer(Role.ADMIN, "boss", "The Boss")
WRITERS = 4
SECONDS = 60.0


@dataclass(frozen=True)
class BackedUp:
    """A database that was backed up while it was written to; it still runs."""

    source: Cluster
    file: Path
    printed: str
    cursors: list[str]
    """From before the backup, and from after it."""


def terminal(data_dir: Path) -> Terminal:
    return Terminal(data_dir=str(data_dir), jwt_secret=SECRET)  # with a secret, no command has to write one there


@pytest.fixture(scope="module")
async def backed_up(migrated: Cluster, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[BackedUp]:
    file = tmp_path_factory.mktemp("backups") / "callout.backup"
    with clusters(1) as (source,):
        source.copy_from(migrated)
        await source.start()
        ended = asyncio.Event()
        writing = [asyncio.create_task(write_pairs(source.url, ended.is_set)) for _ in range(WRITERS)]
        cursors = [await cursor_of(source.url)]
        await until_more_tickets(source.url, 50)
        done = await asyncio.to_thread(terminal(source.directory), "backup", str(file))
        await until_more_tickets(source.url, 50)
        ended.set()
        await asyncio.gather(*writing)
        cursors.append(await cursor_of(source.url))
        assert done.exit_code == 0, done.stderr
        yield BackedUp(source, file, done.stdout, cursors)


async def write_pairs(url: str, has_ended: Callable[[], bool]) -> None:
    """Writes two tickets with the same subject in each transaction."""
    connection = await asyncpg.connect(url)
    while not has_ended():
        async with connection.transaction():
            subject = new_id()
            for _ in range(2):
                await write_ticket(connection, BOSS, subject)
    await connection.close()


async def cursor_of(url: str) -> str:
    cursors = StreamCursors(str(await ask(url, "SELECT identity FROM event_log")))
    return cursors.seal(str(await ask(url, f"SELECT {NOW}")))


async def until_more_tickets(url: str, more: int) -> None:
    start = await tickets(url)
    async with asyncio.timeout(SECONDS):
        while await tickets(url) < start + more:  # noqa: ASYNC110 (there is no event to wait for)
            await asyncio.sleep(0.02)


async def tickets(url: str) -> int:
    return int(str(await ask(url, "SELECT count(*) FROM tickets")))


def refusal(data_dir: Path, *arguments: str) -> str:
    """Returns what a command that must fail prints."""
    done = terminal(data_dir)(*arguments)
    assert (done.exit_code, done.stdout) == (1, ""), done.output
    assert done.stderr.startswith("Error: ")
    return done.stderr


async def test_a_backup_taken_while_tickets_are_written_is_restored_whole(backed_up: BackedUp, tmp_path: Path) -> None:
    """And cursors from the other database are answered with a reset, whether from before the backup or after it."""
    assert stat.S_IMODE(backed_up.file.stat().st_mode) == 0o600
    with clusters(1) as (fresh,):
        done = await asyncio.to_thread(terminal(fresh.directory), "restore", str(backed_up.file))
        assert done.exit_code == 0, done.stderr
        await fresh.start()
        restored = await tickets(fresh.url)
        assert f" {restored:,} tickets" in backed_up.printed and f" {restored:,} tickets" in done.stdout
        assert f"now copy 'objects' in the folder {backed_up.source.directory}/files.\n" in backed_up.printed
        assert 50 <= restored < await tickets(backed_up.source.url)
        for nothing in (
            "SELECT subject FROM tickets GROUP BY subject HAVING count(*) <> 2",
            "SELECT FROM ticket_events FULL JOIN tickets ON ticket_id = tickets.id WHERE after IS DISTINCT FROM "
            "to_jsonb(tickets.*)",
        ):
            assert await ask(fresh.url, f"SELECT count(*) FROM ({nothing}) AS rows") == 0
        with server_process(tmp_path, fresh.url) as process:
            async with Api(server_of(process, fresh.url)) as api:
                assert (await api("{ ticketCounts { all } }"))["ticketCounts"]["all"] == restored
                for cursor in backed_up.cursors:
                    assert (await fetch_page(api, after=cursor))["reset"] == "CURSOR_UNKNOWN"
                page = await fetch_page(api)
                ticket = await api.new_ticket()
                later = await fetch_page(api, after=page["cursor"])
                assert ([node["ticketId"] for node in later["nodes"]], later["reset"]) == ([ticket], None)


async def test_a_backup_during_which_the_database_crashes_leaves_no_file_and_says_why(
    migrated: Cluster, tmp_path: Path
) -> None:
    with clusters(1) as (source,):
        source.copy_from(migrated)
        await source.start()
        holding = await asyncpg.connect(source.url)
        await holding.execute("BEGIN; LOCK TABLE notes")
        command = terminal(source.directory).start("backup", str(tmp_path / "file"), stderr=subprocess.PIPE)
        waiting = (
            "EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'pg_dump' AND wait_event_type = 'Lock')"
        )
        with command:
            await until_true(source.url, waiting)
            await source.crash()
            _, printed = await asyncio.to_thread(command.communicate, timeout=SECONDS)
        assert command.returncode == 1
        assert printed.startswith("Error: ") and "Traceback" not in printed
        assert os.listdir(tmp_path) == []


async def test_a_restore_that_is_killed_leaves_no_database_and_can_be_repeated(backed_up: BackedUp) -> None:
    with clusters(1) as (fresh,):
        callout = terminal(fresh.directory)
        with callout.start("restore", str(backed_up.file)) as process:
            deadline = time.monotonic() + SECONDS
            while not (fresh.directory / embedded.DRAFT / "postgres" / "postmaster.pid").exists():
                assert process.poll() is None and time.monotonic() < deadline
                await asyncio.sleep(0.01)
            process.kill()
        assert not fresh.pgdata.exists()
        done = await asyncio.to_thread(callout, "restore", str(backed_up.file))
        assert done.exit_code == 0, done.stderr
        assert not (fresh.directory / embedded.DRAFT).exists()
        await fresh.start()
        assert f" {await tickets(fresh.url):,} tickets" in backed_up.printed


def test_postgresqls_own_program_reads_the_dump_in_a_backup(backed_up: BackedUp) -> None:
    """Even though the checksum follows it."""
    after_the_line = backed_up.file.read_bytes().partition(b"\n")[2]
    program = embedded._binaries() / "pg_restore"
    done = subprocess.run([program, "--file=-"], input=after_the_line, capture_output=True, check=True)
    assert b"CREATE TABLE public.tickets " in done.stdout and b"database dump complete" in done.stdout
    assert done.stderr == b""


def test_a_backup_that_is_cut_short_or_altered_is_refused_before_anything_is_touched(
    backed_up: BackedUp, tmp_path: Path
) -> None:
    whole = backed_up.file.read_bytes()
    line, end = whole.index(b"\n") + 1, len(whole)
    file, target = tmp_path / "file", tmp_path / "target"
    for length in (0, 5, len(MAGIC), line - 1, line, line + DIGEST_BYTES, end // 2, end - DIGEST_BYTES, end - 1):
        file.write_bytes(whole[:length])
        assert "not a backup" in (said := refusal(target, "restore", str(file))) or "cut short" in said, length
    for place in (0, len(MAGIC) - 2, line - 3, line, end // 2, end - DIGEST_BYTES - 1, end - 1):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert "not a backup" in (said := refusal(target, "restore", str(file))) or "damaged" in said, place
    file.write_bytes(whole + b"\n")
    assert "damaged" in refusal(target, "restore", str(file))
    assert not target.exists()


@pytest.mark.parametrize(
    "content", [b"PGDMP\x01\x10\x00", b"\x1f\x8b\x08" + bytes(9000), b"-- PostgreSQL database dump\n"]
)
def test_a_file_of_another_program_is_refused(tmp_path: Path, content: bytes) -> None:
    file, target = tmp_path / "file", tmp_path / "target"
    file.write_bytes(content)
    assert "not a backup" in refusal(target, "restore", str(file))
    assert not target.exists()


def test_a_backup_of_a_newer_version_is_refused_if_this_one_does_not_work_with_it(
    backed_up: BackedUp, tmp_path: Path
) -> None:
    file, target = tmp_path / "file", tmp_path / "target"
    line, _, rest = backed_up.file.read_bytes().removeprefix(MAGIC).partition(b"\n")
    newer = json.dumps(json.loads(line) | {"revision": "9999", "oldest_code": "9998"}).encode()
    content = MAGIC + newer + b"\n" + rest[:-DIGEST_BYTES]
    file.write_bytes(content + sha256(content).digest())
    assert f"revision 9999, which needs code of 9998 or newer, not {migrate.head()}" in refusal(
        target, "restore", str(file)
    )
    assert not target.exists()


async def test_neither_a_database_nor_a_file_is_replaced(backed_up: BackedUp, tmp_path: Path) -> None:
    directory, before = backed_up.source.directory, await tickets(backed_up.source.url)
    said = await asyncio.to_thread(refusal, directory, "restore", str(backed_up.file))
    assert f"{directory / 'postgres'} exists already" in said
    assert await tickets(backed_up.source.url) == before
    file = tmp_path / "file"
    file.write_text("mine")
    assert "add --force" in await asyncio.to_thread(refusal, directory, "backup", str(file))
    assert file.read_text() == "mine"
    done = await asyncio.to_thread(terminal(directory), "backup", "--force", str(file))
    assert done.exit_code == 0 and file.read_bytes().startswith(MAGIC)


async def test_a_dump_that_fails_leaves_no_file(
    backed_up: BackedUp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here because a table is locked for too long."""
    monkeypatch.setattr(embedded, "DUMP_OPTIONS", (*embedded.DUMP_OPTIONS, "--lock-wait-timeout=100ms"))
    connection = await asyncpg.connect(backed_up.source.url)
    async with connection.transaction():
        await connection.execute("LOCK TABLE notes IN ACCESS EXCLUSIVE MODE")
        said = await asyncio.to_thread(refusal, backed_up.source.directory, "backup", str(tmp_path / "callout.backup"))
    await connection.close()
    assert "pg_dump: " in said and "notes" in said
    assert os.listdir(tmp_path) == []


async def test_a_backup_that_does_not_fit_on_the_disk_leaves_nothing(backed_up: BackedUp) -> None:
    with small_disk(1) as disk:
        disk.fill()
        file = disk.path / "callout.backup"
        said = await asyncio.to_thread(refusal, backed_up.source.directory, "backup", str(file))
        assert f"{file} cannot be written: No space left on device" in said
        assert os.listdir(disk.path) == ["filling"]


def test_a_database_that_is_not_there_or_not_embedded_cannot_be_backed_up(tmp_path: Path) -> None:
    file, target = str(tmp_path / "file"), tmp_path / "target"
    assert f"There is no database in {target}" in refusal(target, "backup", file)
    assert os.listdir(tmp_path) == []
    done = Terminal(database_url="postgresql://127.0.0.1:1/callout", jwt_secret=SECRET)("backup", file)
    assert (done.exit_code, "use `pg_dump`" in done.stderr) == (1, True)
