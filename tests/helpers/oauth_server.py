"""An OAuth server (RFC 6749) that issues access tokens for a mailbox, and rotates refresh tokens as Microsoft does."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl


@dataclass
class OAuthServer:
    """`tokens` is the file with the access tokens that count; `refresh` is the refresh token that is taken next; tokens
    last for `lifetime` seconds. `answer` replaces the next answers: a status and a body."""

    url: str
    tokens: Path
    refresh: str = "refresh-0"
    lifetime: int = 3_600
    answer: tuple[int, bytes] | None = None
    asked: list[dict[str, str]] = field(default_factory=list)

    def issue(self, form: dict[str, str]) -> tuple[int, bytes]:
        self.asked.append(form)
        if self.answer is not None:
            return self.answer
        if form.get("grant_type") == "refresh_token" and form.get("refresh_token") != self.refresh:
            return 400, json.dumps({"error": "invalid_grant", "error_description": str(form)}).encode()
        if form.get("client_secret", "s3cret") != "s3cret":
            return 401, b'{"error": "invalid_client"}'
        self.refresh = f"refresh-{len(self.asked)}"
        token = f"access-{len(self.asked)}"
        self.tokens.write_text(f"{self.tokens.read_text()}{token}\n")
        given = {"access_token": token, "token_type": "Bearer", "expires_in": self.lifetime}
        return 200, json.dumps(given | {"refresh_token": self.refresh}).encode()


@contextmanager
def oauth_server(directory: Path) -> Iterator[OAuthServer]:
    tokens = directory / "tokens"
    tokens.write_text("")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = self.rfile.read(int(self.headers["Content-Length"])).decode()
            status, body = running.issue(dict(parse_qsl(form)))
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running = OAuthServer(f"http://127.0.0.1:{server.server_address[1]}/token", tokens)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield running
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
