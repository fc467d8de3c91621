"""A push service on a loopback port, with devices that subscribe there and decrypt what they get.

It checks each message as a push service does (RFC 8030, RFC 8292), and misbehaves on command.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import threading
import time
from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal, TypeAlias

import http_ece  # type: ignore[import-untyped]
import jwt
import trustme
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from callout import notification_worker
from callout.settings import Settings
from db.enums import DeliveryChannel
from db.postgres.pool import Database
from notifiers.links import TicketLinks
from notifiers.notification import PushTarget
from notifiers.vapid import VapidKey, encoded
from notifiers.web_push import WebPush
from notifiers.worker import Pace
from pubsub.bell import Bell
from tests.helpers.process import serving

KEY = VapidKey.generate()
CONTACT = "mailto:ops@company.test"
SETTINGS = {"push_private_key": KEY.text, "push_contact": CONTACT}
"""Those of a server that sends notices to devices."""

SUBSCRIPTION = {
    "deviceId": "phone",
    "endpoint": "https://push.example.test/1",
    "p256dh": KEY.public,  # any point of the curve
    "auth": "A" * 22,
}
"""The input of `pushSubscriptionSet` for a device that nobody notifies."""

SIZE_MAX = 4096  # bytes of a body, which each push service must take (RFC 8030, section 7.2)

Answer: TypeAlias = tuple[int, dict[str, str]] | Literal["hangs", "babbles", "drops"]


@dataclass(frozen=True, slots=True)
class Pushed:
    """A message as it arrived. `claims` are those of its signature, which has been verified."""

    path: str
    headers: dict[str, str]
    claims: dict[str, Any]
    body: bytes


class PushService:
    """`answer` decides on each message. `problems` has what is wrong with those that no push service would take."""

    def __init__(self, port: int) -> None:
        self.origin = f"https://127.0.0.1:{port}"
        self.pushed: list[Pushed] = []
        self.problems: list[str] = []
        self.answer: Callable[[Pushed], Answer] = lambda pushed: (201, {})

    def to(self, device: Device) -> list[Pushed]:
        return [each for each in self.pushed if self.origin + each.path == device.endpoint]

    def shown_by(self, device: Device) -> list[Pushed]:
        """What a device shows that was off until now: of each topic the last message (RFC 8030, section 5.4)."""
        kept = {pushed.headers["topic"]: pushed for pushed in self.to(device)}
        return list(kept.values())

    def check(self, pushed: Pushed) -> None:
        headers = {name.lower(): value for name, value in pushed.headers.items()}
        self._require(headers.get("content-encoding") == "aes128gcm", "the coding of the content")
        self._require(headers.get("ttl", "").isdecimal(), "the TTL")
        self._require(headers.get("urgency") in ("very-low", "low", "normal", "high"), "the urgency")
        topic = headers.get("topic", "")
        self._require(0 < len(topic) <= 32 and topic.replace("-", "").replace("_", "").isalnum(), "the topic")
        self._require(0 < len(pushed.body) <= SIZE_MAX, "the size")
        self._require(pushed.claims.get("aud") == self.origin, "the audience")
        self._require(0 < pushed.claims.get("exp", 0) - time.time() <= 86_400, "the expiry")
        self._require(pushed.claims.get("sub") == CONTACT, "the contact")

    def _require(self, holds: bool, what: str) -> None:
        if not holds:
            self.problems.append(what)


class Device:
    """A browser on a device, with the subscription that it has made."""

    def __init__(self, service: PushService, name: str) -> None:
        self.id = name
        self.endpoint = f"{service.origin}/push/{name}"
        self._private = ec.generate_private_key(ec.SECP256R1())
        self._secret = os.urandom(16)

    @property
    def input(self) -> dict[str, str]:
        """The input of `pushSubscriptionSet`."""
        target = self.target
        return {
            "deviceId": self.id,
            "endpoint": target.endpoint,
            "p256dh": encoded(target.p256dh),
            "auth": encoded(target.auth),
        }

    @property
    def target(self) -> PushTarget:
        point = self._private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return PushTarget(self.endpoint, point, self._secret)

    def read(self, pushed: Pushed) -> dict[str, Any]:
        """The notice, decrypted."""
        content = http_ece.decrypt(pushed.body, private_key=self._private, auth_secret=self._secret)
        notice: dict[str, Any] = json.loads(content)
        return notice


@contextmanager
def push_service(directory: Path) -> Iterator[PushService]:
    """A push service with a certificate, whose authority is in `authority.pem` of the directory."""
    stopping = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            pushed = Pushed(self.path, dict(self.headers.items()), _claims(self.headers["authorization"]), body)
            service.check(pushed)
            service.pushed.append(pushed)
            match service.answer(pushed):
                case (status, headers):
                    self.send_response(status)
                    for name, value in ({"content-length": "0"} | headers).items():
                        self.send_header(name, value)
                    self.end_headers()
                case "hangs":
                    stopping.wait(60)
                case "babbles":
                    self.wfile.write(b"220 mail.example.test ESMTP\r\n")
                case "drops":
                    self.close_connection = True

        def do_GET(self) -> None:
            raise AssertionError("a redirect was followed")

        def log_message(self, *_: Any) -> None:
            pass

    class Listener(ThreadingHTTPServer):
        daemon_threads = True

    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(directory / "authority.pem"))
    server = Listener(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    service = PushService(server.server_port)
    with serving(server, stopping):
        yield service


def _claims(authorization: str) -> dict[str, Any]:
    """The claims of `vapid t=…, k=…`, signed by the key that it names, which must be ours."""
    scheme, _, parameters = authorization.partition(" ")
    given = dict(part.strip().split("=", 1) for part in parameters.split(","))
    assert (scheme, given["k"]) == ("vapid", KEY.public)
    point = urlsafe_b64decode(given["k"] + "=")
    public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    claims: dict[str, Any] = jwt.decode(given["t"], public, algorithms=["ES256"], options={"verify_aud": False})
    return claims


def channel(*, private_hosts: bool = True, seconds: float = 10.0) -> WebPush:
    links = TicketLinks.below("https://desk.example.test")
    return WebPush(KEY, CONTACT, links, private_hosts=private_hosts, seconds=seconds)


@asynccontextmanager
async def notifying(settings: Settings, pace: Pace, seconds: float = 10.0) -> AsyncIterator[None]:
    """Runs a worker that notifies devices for the length of the block; each send may take `seconds`."""
    assert settings.database_url is not None
    database, push = await Database.open(settings.database_url, size=2), channel(seconds=seconds)
    async with Bell.open(settings.database_url) as bell:
        worker = notification_worker.worker(settings, database, {DeliveryChannel.PUSH: push}, bell, pace)
        running = asyncio.create_task(worker.run())
        try:
            yield
        finally:
            running.cancel()
            await asyncio.wait({running})
            await push.close()
            await database.close()
    assert running.cancelled(), running.exception()
