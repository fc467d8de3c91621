"""Inbound mail: messages, `callout mail-in` as a mail server runs it, and a real IMAP server."""

from __future__ import annotations

import imaplib
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.helpers.process import START_SECONDS, free_port, start

OURS = "support@callout.test"
SERVER = "mx.callout.test"
"""The authserv-id of the mail server whose Authentication-Results count."""


def message(
    sender: str | bytes = "Ann Bell <ann@bell.test>",
    body: str | bytes = "The panel beeps.",
    /,
    **headers: str | bytes | None,
) -> bytes:
    """Returns a message. `in_reply_to="…"` sets the header In-Reply-To; None omits a header."""
    given: dict[str, str | bytes | None] = {"from": sender, "to": OURS, "subject": "Beeping panel", **headers}
    head = b"".join(
        name.replace("_", "-").title().encode() + b": " + as_bytes(value) + b"\r\n"
        for name, value in given.items()
        if value is not None
    )
    return head + b"\r\n" + as_bytes(body)


def received(raw: bytes, dmarc: str | None, domain: str = "bell.test") -> bytes:
    """Returns the message as our mail server passes it on, with this result of DMARC; None for a server that reports
    only SPF."""
    result = "" if dmarc is None else f"; dmarc={dmarc} (p=reject dis=none) header.from={domain}"
    head = f"Authentication-Results: {SERVER}; spf=pass smtp.mailfrom=a.test{result}\r\n"
    return head.encode() + b"Received: from a.test by " + SERVER.encode() + b"\r\n" + raw


def as_bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text


def environment(**settings: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CALLOUT_")}
    return inherited | {f"CALLOUT_{name.upper()}": value for name, value in settings.items()}


@contextmanager
def at_most(seconds: float, child: subprocess.Popen[bytes]) -> Iterator[None]:
    """Kills the child after that time, so that no test waits forever for its output."""
    timer = threading.Timer(seconds, child.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@dataclass(frozen=True)
class Pipe:
    """Runs `callout mail-in` in processes of its own, with these settings."""

    environment: dict[str, str]

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "callout", "mail-in", *arguments]
        pipes = subprocess.PIPE
        return subprocess.Popen(command, env=self.environment, stdin=pipes, stdout=pipes, stderr=pipes)

    def __call__(self, raw: bytes, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        """Runs the command until it exits. Forked, which saves the time to import it, with files instead of pipes."""
        with tempfile.TemporaryDirectory() as directory:
            given, printed, log = (Path(directory) / name for name in ("stdin", "stdout", "stderr"))
            given.write_bytes(raw)
            child = start(("callout", "mail-in", *arguments), self.environment, log, given, printed)
            child.join(60)
            child.kill()
            child.join()
            assert child.exitcode is not None
            return subprocess.CompletedProcess(arguments, child.exitcode, printed.read_bytes(), log.read_bytes())

    def take(self, raw: bytes) -> str:
        """Receives a message and returns the command's output."""
        done = self(raw)
        assert (done.returncode, done.stderr) == (0, b""), done
        (line,) = done.stdout.decode().splitlines()
        return line


@dataclass(frozen=True)
class ImapServer:
    port: int
    user: str = "support"
    password: str = "p@ss/word #1"

    def connect(self) -> imaplib.IMAP4:
        connection = imaplib.IMAP4("127.0.0.1", self.port, timeout=10)
        connection.login(self.user, self.password)
        connection.select("INBOX")
        return connection

    def put(self, *messages: bytes) -> None:
        with self.connect() as connection:
            for raw in messages:
                assert connection.append("INBOX", "", "", raw)[0] == "OK"

    def count(self, criterion: str) -> int:
        with self.connect() as connection:
            _, found = connection.uid("SEARCH", criterion)
        return len(found[0].split())


@contextmanager
def imap_server(directory: Path, tokens: Path | None = None) -> Iterator[ImapServer]:
    """A pymap server with an empty mailbox. It also takes the access tokens in the file `tokens`, if one is given."""
    server = ImapServer(free_port())
    program = [str(Path(sys.executable).with_name("pymap"))]
    if tokens is not None:
        program = [sys.executable, "-m", "tests.helpers.oauth_imap", str(tokens)]
    command = [*program, "--host", "127.0.0.1", "--port", str(server.port)]
    command += ["--no-tls", "dict", "--demo-user", server.user, "--demo-password", server.password]
    with (directory / "imap.log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as child:
        try:
            _wait_until_connected(server, child, directory / "imap.log")
            yield server
        finally:
            child.terminate()
            child.wait(15)


def _wait_until_connected(server: ImapServer, child: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while child.poll() is None and time.monotonic() < deadline:
        try:
            server.connect().logout()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"the IMAP server did not start:\n{log.read_text()}")
