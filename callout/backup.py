"""`callout backup` and `callout restore`: the embedded database in one file; and `callout upgrade-database`, which does
both at once. `docs/decisions/backups.md` says why so.

A backup is a line that describes it, a dump in the custom format of `pg_dump`, and the SHA-256 of all that. So
`tail -n +2 FILE | pg_restore` reads the dump without Callout.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from io import FileIO
from pathlib import Path
from typing import BinaryIO, Final

import asyncpg

from db.errors import Failure
from db.postgres import embedded, migrate
from db.postgres.revisions import STATE

MAGIC: Final = b"Callout backup 1 "
"""The file's first bytes, with the number of the format."""
LINE_MAX: Final = 4096
DIGEST_BYTES: Final = 32
CHUNK: Final = 1024 * 1024

_DESCRIPTION: Final = f"""
SELECT version_num AS revision, oldest_code, (SELECT count(*) FROM tickets) AS tickets,
    to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS taken_at
FROM ({STATE}) AS state"""


class BackupUnusable(Failure):
    """A backup cannot be written or restored. The message says why."""


@dataclass(frozen=True)
class Contents:
    """The database in a backup, as the first line describes it."""

    taken_at: str
    revision: str
    oldest_code: str | None
    tickets: int

    def line(self) -> bytes:
        return MAGIC + json.dumps(asdict(self)).encode() + b"\n"


def write(data_dir: Path, path: Path, *, overwrite: bool) -> Contents:
    """Writes a backup of the embedded database, which may be in use. Its file exists once it is complete. Raises
    `BackupUnusable`, and `EmbeddedServerError` if the server cannot be used."""
    if not overwrite and os.path.lexists(path):
        raise BackupUnusable(f"{path} exists already: choose another name, or add --force.")
    if not embedded.has_database(data_dir):
        raise BackupUnusable(f"There is no database in {data_dir}.")
    with _named_errors(path, "cannot be written"), _complete_file(path) as file, embedded.running(data_dir) as url:
        if migrate.current(url) is None:
            raise BackupUnusable(f"The database in {data_dir} is empty: it has not been migrated.")
        return asyncio.run(_write(url, file))


def restore(data_dir: Path, path: Path) -> Contents:
    """Restores a backup into a data directory that has no database. The database is there once it is complete. Raises
    `BackupUnusable` before anything is changed, and `EmbeddedServerError` if there is a database or no server."""
    with _named_errors(path, "cannot be restored"), path.open("rb", buffering=0) as file:
        contents = _verify(file, path)
        code = migrate.code()
        problem = code.misfit(contents.revision, contents.oldest_code)
        if problem and not code.knows(contents.revision):  # an older one is migrated when it is served
            raise BackupUnusable(f"The backup {path} is {problem}.")
        with embedded.new_database(data_dir) as url:
            embedded.load(url, file)
        return contents


def upgrade(data_dir: Path, programs: Path | None) -> tuple[Contents, Path]:
    """Brings the embedded database from an older major version of PostgreSQL, whose `programs` are in this folder, to
    this one's. Returns what it has, and the directory that keeps the old database. Raises `BackupUnusable` or
    `EmbeddedServerError`, and then everything is as before."""
    if not embedded.has_database(data_dir):
        raise BackupUnusable(f"There is no database in {data_dir}.")
    kept = embedded.kept_directory(data_dir)
    with (
        _named_errors(data_dir, "cannot be upgraded"),
        embedded.upgrading(data_dir, programs) as (old, new),
        tempfile.TemporaryFile(dir=data_dir) as file,
    ):
        if migrate.current(old) is None:
            raise BackupUnusable(f"The database in {data_dir} is empty: it has not been migrated.")
        contents = asyncio.run(_write(old, file))
        file.flush()
        os.lseek(file.fileno(), len(contents.line()), os.SEEK_SET)  # `load` reads by the descriptor
        embedded.load(new, file)
    return contents, kept


async def _write(url: str, file: BinaryIO) -> Contents:
    digest = sha256()

    def add(piece: bytes) -> None:
        file.write(piece)
        digest.update(piece)

    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            described = await connection.fetchrow(_DESCRIPTION)
            assert described is not None
            contents = Contents(**described)
            snapshot = await connection.fetchval("SELECT pg_export_snapshot()")
            add(contents.line())
            await embedded.dump(url, snapshot, add)
    finally:
        await connection.close()
    file.write(digest.digest())
    return contents


def _verify(file: FileIO, path: Path) -> Contents:
    """Reads the whole backup, and returns to the begin of its dump. Raises `BackupUnusable` if it is not a backup, or
    not as it was written."""
    line = file.readline(LINE_MAX)
    if not line.startswith(MAGIC):
        raise BackupUnusable(f"{path} is not a backup that this version of Callout can read. Nothing has been changed.")
    digest = sha256(line)
    left = os.fstat(file.fileno()).st_size - len(line) - DIGEST_BYTES
    while left > 0 and (piece := file.read(min(left, CHUNK))):
        digest.update(piece)
        left -= len(piece)
    if left or file.read(DIGEST_BYTES) != digest.digest():
        raise BackupUnusable(f"{path} is cut short or damaged. Nothing has been changed.")
    file.seek(len(line))
    return Contents(**json.loads(line.removeprefix(MAGIC)))


@contextmanager
def _complete_file(path: Path) -> Iterator[BinaryIO]:
    """A file that only its owner can read. It gets its name at the end of the block, when it is on the disk; if the
    block raises, nothing of it is left."""
    descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
        embedded.sync_directory(path.parent)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(draft)
        raise


@contextmanager
def _named_errors(path: Path, problem: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BackupUnusable(f"{path} {problem}: {error.strerror or error}.") from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        raise BackupUnusable(f"{path} {problem}: the database failed meanwhile.") from error
