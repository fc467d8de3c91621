"""Client sockets for the benchmarks, by the thousand: each is a bare asyncio protocol, which costs little compared to
the server.

A follower sends its opening messages one by one, each after the answer to the one before, and then passes on the
messages that it receives.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import orjson

OPENING_SECONDS: Final = 120

HANDSHAKE: Final = (
    b"GET /graphql HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
)

OnMessage = Callable[[bytes], None]
"""Takes the text of a `next` message."""


def frame(message: object) -> bytes:
    """A client's text frame (RFC 6455, section 5.2), masked with zeros."""
    data = orjson.dumps(message)
    length = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + len(data).to_bytes(2, "big")
    return b"\x81" + length + bytes(4) + data


PONG: Final = frame({"type": "pong"})


class Follower(asyncio.Protocol):
    """A client with one subscription. `ready` is done when its first message has arrived, which says that it is up to
    date."""

    def __init__(self, words: Sequence[bytes], on_message: OnMessage) -> None:
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._words = list(words)
        self._on_message = on_message
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(HANDSHAKE)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.ready.done():
            self.ready.set_exception(ConnectionError("the server closed the connection"))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._buffer.startswith(b"HTTP"):
            _, end, rest = self._buffer.partition(b"\r\n\r\n")
            if not end:
                return
            self._buffer = rest
            self.transport.write(self._words.pop(0))
        while (text := self._next()) is not None:
            self._take(text)

    def _next(self) -> bytes | None:
        """The text of the next complete frame, or None. A server's frames are not masked."""
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        start, length = 2, buffer[1]
        if length == 126:
            start, length = 4, int.from_bytes(buffer[2:4], "big")
        elif length == 127:
            start, length = 10, int.from_bytes(buffer[2:10], "big")
        if len(buffer) < start + length:
            return None
        self._buffer = buffer[start + length :]
        return buffer[start : start + length]

    def _take(self, text: bytes) -> None:
        if text == b'{"type":"ping"}':
            self.transport.write(PONG)
        elif self._words:
            self.transport.write(self._words.pop(0))
        elif not self.ready.done():
            self.ready.set_result(None)
        else:
            self._on_message(text)


async def followed(port: int, token: str, query: str, on_message: OnMessage) -> Follower:
    """A follower that is up to date. `query` is a subscription whose first message says so. Raises `ConnectionError` if
    the server closes the connection, `TimeoutError` after `OPENING_SECONDS`."""
    init = {"type": "connection_init", "payload": {"Authorization": f"Bearer {token}"}}
    words = [frame(init), frame({"id": "1", "type": "subscribe", "payload": {"query": query}})]
    make = partial(Follower, words, on_message)
    _, follower = await asyncio.get_running_loop().create_connection(make, "127.0.0.1", port)
    async with asyncio.timeout(OPENING_SECONDS):
        await follower.ready
    return follower
