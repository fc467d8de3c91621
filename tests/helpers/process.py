"""A Callout server in a process of its own, for tests that need their own settings or the server's log."""

from __future__ import annotations

import multiprocessing
import os
import random
import runpy
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from socketserver import BaseServer
from typing import Any

import httpx
import orjson
import psutil

START_SECONDS, STOP_SECONDS = 60.0, 15.0


@dataclass(frozen=True)
class Process:
    url: str
    log_file: Path
    pid: int

    def log(self) -> str:
        return self.log_file.read_text()

    def records(self, logger: str) -> list[dict[str, Any]]:
        """Returns this logger's records from the log; every line of the log must be a JSON record."""
        lines = [orjson.loads(line) for line in self.log().splitlines()]
        return [line for line in lines if line["logger"] == logger]


def free_port() -> int:
    """Returns a port that is not in use now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def free_ports(number: int) -> int:
    """Returns the first of so many ports in a row that are not in use now. They are below those that the system hands
    out by itself, so that nobody gets one meanwhile."""
    while True:
        first = random.randrange(20_000, 32_000, number)
        with ExitStack() as stack:
            try:
                for port in range(first, first + number):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
        return first


SERVE = ("callout", "serve", "--host", "127.0.0.1")

# Servers are forked from a process that has already imported their modules: importing takes longer than most tests.
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload([__name__, "tests.helpers.preloaded"])


NOTHING = Path(os.devnull)


def start(
    module: Sequence[str],
    environment: Mapping[str, str],
    log: Path,
    given: Path = NOTHING,
    printed: Path | None = None,
) -> BaseProcess:
    """Starts `python -m module`, with its arguments and in this environment, in a process of its own. `log` gets its
    stderr, `given` is its stdin, and `printed` gets its stdout, which is inherited by default."""
    child = _FORKS.Process(target=_become, args=(list(module), dict(environment), log, given, printed))
    child.start()
    return child


def _become(module: list[str], environment: dict[str, str], log: Path, given: Path, printed: Path | None) -> None:
    os.environ.clear()
    os.environ.update(environment)
    with given.open("rb") as source, log.open("wb") as logged:
        os.dup2(source.fileno(), 0)
        os.dup2(logged.fileno(), 2)
    if printed is not None:
        with printed.open("wb") as target:
            os.dup2(target.fileno(), 1)
    sys.stdin = os.fdopen(0, closefd=False)  # uvicorn's worker processes open its number, and the forked one is not 0
    sys.argv[:] = module
    runpy.run_module(module[0], run_name="__main__", alter_sys=True)


@contextmanager
def callout_process(directory: Path, module: Sequence[str] = SERVE, **settings: str) -> Iterator[Process]:
    """Runs `callout serve` in production with these settings (`jwt_issuer="…"` sets `CALLOUT_JWT_ISSUER`) for the
    length of the block; its log is in `directory`. It sends no notifications unless `notify` is set, and carries no
    webhooks unless `webhooks` is. `module` replaces
    the command by another module with its arguments."""
    given = {"env": "production", "data_dir": str(directory), "port": str(free_port()), "notify": "false"}
    given |= {"webhooks": "false"} | settings
    log = directory / "log"
    child = start(module, environment_of(**given), log)
    assert child.pid is not None
    process = Process(f"http://127.0.0.1:{given['port']}", log, child.pid)
    try:
        _wait_until_alive(process, child)
        yield process
    finally:
        child.terminate()
        child.join(STOP_SECONDS)
        child.kill()


def environment_of(**settings: str) -> dict[str, str]:
    """Returns this process's environment with these settings of Callout and no others."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CALLOUT_")}
    return environment | {f"CALLOUT_{name.upper()}": value for name, value in settings.items()}


def _wait_until_alive(process: Process, child: BaseProcess) -> None:
    deadline = time.monotonic() + START_SECONDS
    with httpx.Client(trust_env=False, verify=False) as client:
        while child.exitcode is None and time.monotonic() < deadline:
            try:
                client.get(f"{process.url}/healthz")
            except httpx.TransportError:
                time.sleep(0.05)
            else:
                return
    raise AssertionError(f"the server did not start:\n{process.log()}")


def lives(process: psutil.Process) -> bool:
    """Whether the process is running. A zombie is not, nor is one that ends during the check."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@contextmanager
def serving(server: BaseServer, stopping: threading.Event) -> Iterator[None]:
    """Runs a server of the standard library in a thread for the length of the block; then sets `stopping`, to release
    waiting handlers."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        server.shutdown()
        server.server_close()
        thread.join()
