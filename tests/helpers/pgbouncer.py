"""The real PgBouncer, in front of a database of the tests."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from tests.helpers.clusters import ask, socket_of
from tests.helpers.process import free_port

PROGRAM = os.environ.get("PGBOUNCER") or shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
SECONDS = 30.0

_SETTINGS = """
[databases]
* = host={socket} user={role}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
admin_users = console
pool_mode = {mode}
logfile = {directory}/log
"""


@dataclass(frozen=True)
class PgBouncer:
    """A running PgBouncer. Its sessions belong to a role of its own, whose settings a test can change."""

    url: str
    role: str
    direct_url: str

    async def alter(self, *statements: str) -> None:
        """Executes the statements as the role. All sessions are new from then on."""
        connection = await asyncpg.connect(self.direct_url, user=self.role)
        for statement in statements:
            await connection.execute(statement)
        await connection.close()
        console = await asyncpg.connect(self.url, user="console", database="pgbouncer")
        await console.execute("RECONNECT")
        await console.close()


def remembers_statements() -> bool:
    """Whether this version knows prepared statements, as 1.21 and later ones do."""
    assert PROGRAM is not None
    version = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    return tuple(map(int, version.split(".")[:2])) >= (1, 21)


@asynccontextmanager
async def pgbouncer(direct_url: str, mode: str, *, statements: int = 0) -> AsyncIterator[PgBouncer]:
    """Runs PgBouncer in front of the database; it remembers so many prepared statements of each session."""
    assert PROGRAM is not None
    role, port, socket = f"pooled_{secrets.token_hex(6)}", free_port(), socket_of(direct_url)
    with tempfile.TemporaryDirectory(prefix="callout-tests-") as name:
        directory = Path(name)
        settings = _SETTINGS.format(socket=socket, role=role, port=port, mode=mode, directory=directory)
        if remembers_statements():
            settings += f"max_prepared_statements = {statements}\n"
        (directory / "pgbouncer.ini").write_text(settings)
        owner = os.stat(socket)  # who alone can reach PostgreSQL's socket; and root is refused
        os.chown(directory, owner.st_uid, -1)
        await ask(direct_url, f"CREATE ROLE {role} LOGIN SUPERUSER")
        process = await asyncio.create_subprocess_exec(
            PROGRAM, "-q", directory / "pgbouncer.ini", user=owner.st_uid, group=owner.st_gid
        )
        try:
            running = PgBouncer(_through(port, direct_url), role, direct_url)
            await _until_it_answers(running.url)
            yield running
        finally:
            process.kill()
            await process.wait()
            await ask(direct_url, f"DROP ROLE {role}")


def _through(port: int, url: str) -> str:
    return f"postgresql://postgres@127.0.0.1:{port}{urlsplit(url).path}"


async def _until_it_answers(url: str) -> None:
    async with asyncio.timeout(SECONDS):
        while True:
            try:
                connection = await asyncpg.connect(url)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                return await connection.close()
