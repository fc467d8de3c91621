"""`callout upgrade-database`, with a data directory that another major version of PostgreSQL has made.

`make test-upgrade-database` runs these tests. All but one need an older PostgreSQL from Debian's packages, such as
postgresql-15.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from db.postgres import embedded, migrate
from tests.cli.test_backup import BOSS, refusal, terminal, tickets
from tests.helpers.clusters import Cluster, clusters
from tests.helpers.database_checks import write_ticket

pytestmark = pytest.mark.slow

CURRENT = embedded.major_version(embedded._binaries())
OLDER = sorted(
    folder
    for folder in embedded.DEBIAN_PROGRAMS.glob("[0-9]*/bin")
    if 14 <= int(folder.parent.name) < int(CURRENT) and (folder / "initdb").exists()
)
WRITTEN = 20


async def write_tickets(url: str) -> None:
    connection = await asyncpg.connect(url)
    for number in range(WRITTEN):
        await write_ticket(connection, BOSS, f"Überwachung {number}")
    await connection.close()


def serve_old(cluster: Cluster, programs: Path) -> str:
    """Starts the server of this version over the cluster's data directory, and returns its URL."""
    return f"postgresql://{embedded.SUPERUSER}@/postgres?host={embedded._ensure_running(cluster.pgdata, programs)}"


def make_old(cluster: Cluster, programs: Path) -> None:
    cluster.pgdata.mkdir(mode=0o700)
    cluster.directory.chmod(0o711)
    if cluster.directory.owner() == "root":
        user = embedded._system_user()
        os.chown(cluster.pgdata, user.pw_uid, user.pw_gid)
    options = ("--pgdata=.", f"--username={embedded.SUPERUSER}", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8")
    embedded._run(cluster.pgdata, "initdb", *options, "--no-sync", programs=programs)


@pytest.fixture(params=OLDER, ids=lambda programs: programs.parent.name)
async def old(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Cluster, str]]:
    """A stopped cluster of an older major version, with some tickets; and that version."""
    programs: Path = request.param
    with clusters(1) as (cluster,):
        await asyncio.to_thread(make_old, cluster, programs)
        url = await asyncio.to_thread(serve_old, cluster, programs)
        connection = await asyncpg.connect(url)
        await connection.execute(f"CREATE DATABASE {embedded.DATABASE}")
        await connection.close()
        url = url.replace("/postgres?", f"/{embedded.DATABASE}?")
        await asyncio.to_thread(migrate.upgrade, url)
        await write_tickets(url)
        await asyncio.to_thread(embedded._stop, cluster.pgdata)
        yield cluster, programs.parent.name


async def test_the_data_of_an_older_version_is_served_by_this_one(old: tuple[Cluster, str]) -> None:
    cluster, version = old
    with pytest.raises(embedded.EmbeddedServerError, match=f"made by PostgreSQL {version}.*callout upgrade-database"):
        await cluster.start()
    done = await asyncio.to_thread(terminal(cluster.directory), "upgrade-database")
    assert done.exit_code == 0, done.output
    kept = cluster.directory / f"postgres-{version}"
    assert f" {WRITTEN} tickets" in done.stdout and str(kept) in done.stdout
    assert (cluster.pgdata / "PG_VERSION").read_text().strip() == CURRENT
    assert (kept / "PG_VERSION").read_text().strip() == version and not (kept / "postmaster.pid").exists()
    await cluster.start()
    assert await tickets(cluster.url) == WRITTEN
    assert await asyncio.to_thread(migrate.current, cluster.url) == migrate.code().newest
    assert f"is of PostgreSQL {CURRENT}, as" in refusal(cluster.directory, "upgrade-database")


async def test_an_upgrade_that_cannot_be_done_leaves_everything_as_it_was(
    old: tuple[Cluster, str], tmp_path: Path
) -> None:
    cluster, version = old
    current = str(embedded._binaries())
    assert f"are of {CURRENT}" in refusal(cluster.directory, "upgrade-database", f"--programs={current}")
    assert "has no programs" in refusal(cluster.directory, "upgrade-database", f"--programs={tmp_path}")
    kept = cluster.directory / f"postgres-{version}"
    kept.mkdir()
    assert "exists already" in refusal(cluster.directory, "upgrade-database")
    kept.rmdir()
    with embedded._locked(cluster.directory / "postgres.users") as users:
        fcntl.flock(users, fcntl.LOCK_SH)
        assert "A process is using" in refusal(cluster.directory, "upgrade-database")
    assert (cluster.pgdata / "PG_VERSION").read_text().strip() == version
    assert not (cluster.directory / embedded.DRAFT).exists() and not (cluster.pgdata / "postmaster.pid").exists()


async def test_an_upgrade_that_ended_between_its_two_steps_is_not_taken_for_an_empty_database() -> None:
    with clusters(1) as (cluster,):
        kept = cluster.directory / "postgres-17"
        kept.mkdir()
        with pytest.raises(embedded.EmbeddedServerError, match=f"An upgrade was interrupted: rename {kept}"):
            await cluster.start()
        assert not cluster.pgdata.exists()
