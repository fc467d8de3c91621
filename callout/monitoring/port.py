"""`/metrics`, on a port of its own: its readers are not the API's, and the public port has nothing to protect.

Each process has a port, `callout notify` one behind those of the servers, so what Prometheus stores is right whichever
of them restarts: it adds the numbers of several targets, and knows when one starts again at 0.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from callout.http.connection_limits import ConnectionLimits
from callout.http.server import LIMITS, BoundedProtocol
from callout.monitoring.exposition import Exposition
from callout.settings import Settings, variable
from db.errors import Failure

logger = logging.getLogger(__name__)

PATH: Final = "/metrics"
CONNECTIONS_MAX: Final = 20  # of one address


class NoMetricsPort(Failure):
    """All ports for metrics are taken."""


class MetricsEndpoint:
    """The ASGI application on the port."""

    def __init__(self, exposition: Exposition, token: str | None) -> None:
        self._exposition = exposition
        self._authorization = None if token is None else b"Bearer " + token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        if scope["path"] != PATH:
            await _send(send, 404, b"The metrics are at /metrics.\n")
        elif scope["method"] not in ("GET", "HEAD"):
            await _send(send, 405, b"Use GET.\n", more=((b"allow", b"GET, HEAD"),))
        elif not self._admits(headers.get(b"authorization", b"")):
            await _send(send, 401, b"Send the token of the metrics.\n", more=((b"www-authenticate", b"Bearer"),))
        else:
            text, media_type = await self._exposition.text(headers.get(b"accept", b"").decode("latin-1"))
            await _send(send, 200, text, media_type)

    def _admits(self, authorization: bytes) -> bool:
        return self._authorization is None or hmac.compare_digest(authorization, self._authorization)


async def _send(
    send: Send,
    status: int,
    body: bytes,
    media_type: str = "text/plain; charset=utf-8",
    more: tuple[tuple[bytes, bytes], ...] = (),
) -> None:
    headers = [(b"content-type", media_type.encode()), (b"content-length", b"%d" % len(body))]
    headers += [(b"cache-control", b"no-store"), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def metrics_served(
    settings: Settings, exposition: Exposition, ports: int, *, behind: int = 0
) -> AsyncIterator[None]:
    """Serves `/metrics` for the length of the block, if the settings name a port: on the first of so many `ports` that
    is free, beginning `behind` the one in the settings. Raises `NoMetricsPort`."""
    if settings.metrics_port is None:
        yield
        return
    listener = _listen(settings.metrics_host, settings.metrics_port + behind, ports)
    config = uvicorn.Config(
        MetricsEndpoint(exposition, settings.metrics_token),
        http=BoundedProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
    )
    config.load()
    state, limits = ServerState(), {LIMITS: ConnectionLimits(settings.request_head_seconds, CONNECTIONS_MAX)}

    def protocol() -> asyncio.Protocol:
        return BoundedProtocol(config=config, server_state=state, app_state=limits)

    server = await asyncio.get_running_loop().create_server(protocol, sock=listener)
    logger.info("metrics are served on port %d", listener.getsockname()[1])
    try:
        yield
    finally:
        server.close()
        for connection in list(state.connections):
            connection.shutdown()


def _listen(host: str, first: int, ports: int) -> socket.socket:
    """Binds the first free of so many ports. Raises `NoMetricsPort`."""
    problem = "there is no such port"
    for port in range(first, min(first + ports, 65_536)):
        try:
            family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            return socket.create_server(address, family=family)
        except OSError as error:
            problem = error.strerror or str(error)
    raise NoMetricsPort(
        f"cannot listen on {host}, port {first}, for metrics ({problem}): choose another {variable('metrics_port')}."
    )
