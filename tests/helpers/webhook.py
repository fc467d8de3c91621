"""A webhook on a loopback port: a real HTTP server that records requests and simulates a webhook's failures."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.helpers.process import serving

SECRET = "key=AIzaSy-tr0ubador&token=tr0ub%2Fador%3D"


@dataclass(frozen=True, slots=True)
class Posted:
    path: str  # including the query string
    headers: dict[str, str]
    message: dict[str, Any]


class Webhook:
    """`answer` is a status with headers, or `hangs`, `babbles` or `drops`."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.posted: list[Posted] = []
        self.answer: tuple[int, dict[str, str]] | str = (200, {})

    def url(self, space: str = "AAA") -> str:
        return f"http://127.0.0.1:{self.port}/v1/spaces/{space}/messages?{SECRET}"


@contextmanager
def webhook() -> Iterator[Webhook]:
    stopping = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            state.posted.append(Posted(self.path, dict(self.headers.items()), json.loads(body)))
            match state.answer:
                case (status, headers):
                    self.respond(status, headers)
                case "hangs":
                    stopping.wait(60)
                case "babbles":
                    self.wfile.write(b"220 mail.example.test ESMTP\r\n")
                case "drops":
                    self.close_connection = True

        def do_GET(self) -> None:
            raise AssertionError("a redirect was followed")

        def respond(self, status: int, headers: dict[str, str]) -> None:
            self.send_response(status)
            body = json.dumps(
                {"error": {"message": f"{self.path} is to blame"}}
            ).encode()  # quotes the secret URL, which must not be logged
            for name, value in (headers | {"content-length": str(len(body))}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    class Listener(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128  # a burst arrives at once

    server = Listener(("127.0.0.1", 0), Handler)
    state = Webhook(server.server_port)
    with serving(server, stopping):
        yield state
