"""A token issuer on a loopback port: it publishes keys as an OpenID provider does, counts requests, and simulates a
provider's failures."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, TypeAlias

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.helpers.process import serving

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
RSA_KEY = rsa.generate_private_key(65_537, 2_048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
Behaviour: TypeAlias = Literal["well", "hangs", "fails", "redirects", "babbles", "floods"]


class ProviderHandler(BaseHTTPRequestHandler):
    """Answers as a provider does that behaves well, or not."""

    def behave(
        self, behaviour: Behaviour, well: Callable[[], tuple[int, bytes]], elsewhere: str, stopping: threading.Event
    ) -> None:
        """Sends what `well` returns if the provider behaves well. It redirects to `elsewhere`, and hangs until
        `stopping` is set."""
        match behaviour:
            case "hangs":
                stopping.wait(60)
            case "fails":
                self.answer(500, b"")
            case "redirects":
                self.answer(302, b"", location=elsewhere)
            case "babbles":
                self.answer(200, b"<html>")
            case "floods":
                self.answer(200, b" " * 2_000_000)
            case "well":
                self.answer(*well())

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in (headers | {"content-length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


class Issuer:
    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/keys"
        self.keys: list[Any] = []
        self.seconds = 0.0
        """How long it takes to answer, where it behaves well."""
        self.asked = 0
        self.behaviour: Behaviour = "well"

    def publish(self, **keys: PrivateKey) -> None:
        """Publishes exactly these keys, under these names."""
        self.keys = [public_jwk(key) | {"kid": kid, "use": "sig"} for kid, key in keys.items()]


def public_jwk(key: PrivateKey) -> dict[str, Any]:
    algorithm = jwt.get_algorithm_by_name("RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256")
    document: dict[str, Any] = json.loads(algorithm.to_jwk(key.public_key()))
    return document


def public_pem(key: PrivateKey) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


@contextmanager
def issuer() -> Iterator[Issuer]:
    stopping = threading.Event()

    class Handler(ProviderHandler):
        def do_GET(self) -> None:
            state.asked += 1
            self.behave(state.behaviour, self.keys, state.url, stopping)

        def keys(self) -> tuple[int, bytes]:
            stopping.wait(state.seconds)
            return 200, json.dumps({"keys": state.keys}).encode()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state = Issuer(server.server_port)
    with serving(server, stopping):
        yield state
