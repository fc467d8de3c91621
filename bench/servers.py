"""The servers under measurement, each in its own process on a free port of the loopback interface."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from secrets import token_urlsafe
from time import monotonic, sleep
from typing import Final

from callout.auth.authenticator import mint
from callout.settings import load, variable
from db.enums import Role

START_SECONDS: Final = 60
_AMPLE: Final = {f"budget_{role.lower()}": str(10**9) for role in Role} | {
    f"concurrency_{role.lower()}": "200" for role in Role
}
ADMINS: Final = 200


@dataclass(frozen=True)
class Server:
    name: str
    port: int
    pid: int
    token: str | None = None
    tokens: tuple[str, ...] = ()
    """Tokens of `ADMINS` admins, because the number of sockets of a single one is limited."""
    viewers: Mapping[str, str] = field(default_factory=dict)
    """The tokens of the requested viewers, by their names."""


@contextmanager
def baseline(name: str, url: str, log: Path) -> Iterator[Server]:
    """The app of `bench.<name>`, served like Callout, but without an access log."""
    command = ["uvicorn", f"bench.{name}:app", "--loop=uvloop", "--http=httptools", "--no-access-log"]
    command.append("--timeout-graceful-shutdown=1")
    with _running(name, command, {"BENCH_DATABASE_URL": url}, log) as server:
        yield server


@contextmanager
def callout(
    url: str,
    log: Path,
    viewers: Mapping[str, tuple[Role, str]] | None = None,
    /,
    **others: str,
) -> Iterator[Server]:
    """Callout as in production, with authentication and access log, and tokens for admins and for these viewers, each
    given by role and subject. Their budgets are larger than the load. `others` are further settings, such as
    `smtp_url="…"`."""
    settings = {
        "CALLOUT_ENV": "production",
        "CALLOUT_DATABASE_URL": url,
        "CALLOUT_JWT_SECRET": token_urlsafe(48),
        "CALLOUT_CONNECTIONS_PER_ADDRESS": "0",
    }
    production = load(env="production", database_url=url, jwt_secret=settings["CALLOUT_JWT_SECRET"])
    tokens = tuple(
        mint(production, role=Role.ADMIN, subject=f"bench {n}", name="Bench", ttl=24 * 3600) for n in range(ADMINS)
    )
    named = {
        name: mint(production, role=role, subject=subject, name="V", ttl=24 * 3600)
        for name, (role, subject) in (viewers or {}).items()
    }
    with _running("callout", ["callout", "serve"], settings | _variables(_AMPLE | others), log) as server:
        yield replace(server, token=tokens[0], tokens=tokens, viewers=named)


@contextmanager
def _running(name: str, module: Sequence[str], settings: Mapping[str, str], log: Path) -> Iterator[Server]:
    port = _free_port()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *module, "--host=127.0.0.1", f"--port={port}"],
            env={**os.environ, **settings},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _await_answer(name, process, port, log)
        yield Server(name, port, process.pid)
    finally:
        process.terminate()
        process.wait()


def _variables(settings: Mapping[str, str]) -> dict[str, str]:
    return {variable(name): value for name, value in settings.items()}


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _await_answer(name: str, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = monotonic() + START_SECONDS
    while True:
        if process.poll() is not None or monotonic() > deadline:
            raise RuntimeError(f"{name} does not accept connections:\n{log.read_text(errors='replace')}")
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            sleep(0.1)
        else:
            return
