"""A receiver of webhooks on a loopback port: a real HTTP server, which checks each signature with the libraries
`standardwebhooks` and `svix`, and misbehaves as a test wants."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeAlias

import standardwebhooks
import svix

from tests.helpers.process import serving

WITHIN = 20.0  # seconds, after which a waiting test fails


@dataclass(frozen=True, slots=True)
class Got:
    """A message that has arrived: its `webhook-id`, its headers in lower case, and its JSON."""

    id: str
    headers: dict[str, str]
    message: dict[str, Any]
    at: float = field(default_factory=time.monotonic)

    @property
    def data(self) -> Any:
        """The value of the one root field."""
        ((_, value),) = self.message["data"].items()
        return value


Answer: TypeAlias = Callable[[Got], int | tuple[int, dict[str, str]] | str]
"""What a receiver answers to a message: a status, with headers if there are any; `hangs` or `drops`, without answering;
or `floods`, without end."""


class Receiver:
    """`answer` answers each message. `got` has all that has arrived, in order; `taken` what was answered with 2xx. If
    there is a `secret`, the signatures are checked, and `unsigned` has the ids of those that are wrong."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.secret: str | None = None
        self.answer: Answer = lambda got: 204
        self.got: list[Got] = []
        self.taken: list[Got] = []
        self.unsigned: list[str] = []
        self.changed = threading.Condition()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def receive(self, headers: dict[str, str], body: bytes) -> tuple[Got, int | tuple[int, dict[str, str]] | str]:
        got = Got(headers["webhook-id"], headers, json.loads(body))
        if self.secret is not None and not is_signed(self.secret, headers, body):
            self.unsigned.append(got.id)
        answer = self.answer(got)
        with self.changed:
            self.got.append(got)
            status = answer if isinstance(answer, int) else answer[0]
            if isinstance(status, int) and 200 <= status < 300:
                self.taken.append(got)
            self.changed.notify_all()
        return got, answer

    def wait(self, condition: Callable[[], bool], within: float = WITHIN) -> None:
        """Waits until the condition holds. Call it in a thread."""
        with self.changed:
            assert self.changed.wait_for(condition, within), f"timed out; got {[got.message for got in self.got]}"


def is_signed(secret: str, headers: dict[str, str], body: bytes) -> bool:
    """Whether both libraries accept the signature."""
    try:
        standardwebhooks.Webhook(secret).verify(body, headers)
        svix.Webhook(secret).verify(body, headers)
    except (standardwebhooks.WebhookVerificationError, svix.webhooks.WebhookVerificationError):
        return False
    return True


@contextmanager
def receiver() -> Iterator[Receiver]:
    stopping = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            _, answer = state.receive({name.lower(): value for name, value in self.headers.items()}, body)
            match answer:
                case "hangs":
                    stopping.wait(60)
                    self.close_connection = True
                case "drops":
                    self.close_connection = True
                case "floods":
                    self._flood()
                case int(status):
                    self._respond(status, {})
                case (int(status), headers):
                    self._respond(status, headers)

        def do_GET(self) -> None:
            raise AssertionError("a redirect was followed")

        def _respond(self, status: int, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in ({"content-length": "0"} | headers).items():
                self.send_header(name, value)
            self.end_headers()

        def _flood(self) -> None:
            self.send_response(200)
            self.send_header("connection", "close")
            self.end_headers()
            self.close_connection = True
            try:
                while not stopping.is_set():
                    self.wfile.write(b"x" * 65_536)
            except OSError:
                return

        def log_message(self, *_: Any) -> None:
            pass

    class Listener(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

    server = Listener(("127.0.0.1", 0), Handler)
    state = Receiver(server.server_port)
    with serving(server, stopping):
        yield state
