"""A Callout server in a process of its own, for tests that need other settings than the shared server's, or its log."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
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


@contextmanager
def callout_process(directory: Path, **settings: str) -> Iterator[Process]:
    """`callout serve` in production with these settings (`jwt_issuer="…"` is `CALLOUT_JWT_ISSUER`); it logs into
    `directory`."""
    given = {"env": "production", "data_dir": str(directory), "port": str(free_port())} | settings
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CALLOUT_")}
    environment |= {f"CALLOUT_{name.upper()}": value for name, value in given.items()}
    command = [sys.executable, "-m", "callout", "serve", "--host", "127.0.0.1"]
    log_file = directory / "log"
    with log_file.open("wb") as log, subprocess.Popen(command, env=environment, stderr=log) as child:
        process = Process(f"http://127.0.0.1:{given['port']}", log_file, child.pid)
        try:
            _wait_until_alive(process, child)
            yield process
        finally:
            child.terminate()
            child.wait(15)


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
