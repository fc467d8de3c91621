"""A Callout server in a process of its own, for tests that need other settings than the shared server's, or its log."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from socketserver import BaseServer
from typing import Any

import httpx
import orjson

START_SECONDS = 60.0


@dataclass(frozen=True)
class Process:
    url: str
    log_file: Path
    pid: int

    def log(self) -> str:
        return self.log_file.read_text()

    def records(self, logger: str) -> list[dict[str, Any]]:
        """The log's records of this logger; every line of the log must be one."""
        lines = [orjson.loads(line) for line in self.log().splitlines()]
        return [line for line in lines if line["logger"] == logger]


def free_port() -> int:
    """One that nobody listens on now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


SERVE = ("callout", "serve", "--host", "127.0.0.1")


@contextmanager
def callout_process(directory: Path, module: Sequence[str] = SERVE, **settings: str) -> Iterator[Process]:
    """`callout serve` in production with these settings (`jwt_issuer="…"` is `CALLOUT_JWT_ISSUER`); it logs into
    `directory`. It sends no notifications unless it is told to. `module` is another server, with its arguments."""
    given = {"env": "production", "data_dir": str(directory), "port": str(free_port()), "notify": "false"} | settings
    command = [sys.executable, "-m", *module]
    environment = environment_of(**given)
    log_file = directory / "log"
    with log_file.open("wb") as log, subprocess.Popen(command, env=environment, stderr=log) as child:
        process = Process(f"http://127.0.0.1:{given['port']}", log_file, child.pid)
        try:
            _wait_until_alive(process, child)
            yield process
        finally:
            child.terminate()
            child.wait(15)


def environment_of(**settings: str) -> dict[str, str]:
    """This process' environment with these settings of Callout and no others."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CALLOUT_")}
    return environment | {f"CALLOUT_{name.upper()}": value for name, value in settings.items()}


def _wait_until_alive(process: Process, child: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while child.poll() is None and time.monotonic() < deadline:
        try:
            httpx.get(f"{process.url}/healthz")
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"the server does not start:\n{process.log()}")


@contextmanager
def serving(server: BaseServer, stopping: threading.Event) -> Iterator[None]:
    """A server of the standard library's, in a thread; at the end `stopping` is set, for its handlers that wait."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        server.shutdown()
        server.server_close()
        thread.join()
