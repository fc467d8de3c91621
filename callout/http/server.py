"""Extensions of uvicorn's protocols.

Over HTTP/1.1: a bound on the request line and headers, because the parser reads any length of them before a token is
checked; turns for clients that open sockets; a mark on requests that have arrived completely; and a signal that ends
endless responses at shutdown. Over WebSockets: writing ready-made frames, so that a frame for many sockets is made
once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import State

HEAD_MAX = 64 * 1024  # bytes; may be exceeded by one read from the socket

ENDING: Final = "callout.ending"
"""The key in an endless response's scope for the `asyncio.Event` that ends it at shutdown."""

ARRIVED: Final = "callout.arrived"
"""The key that stands in a request's scope once its whole body has arrived."""

UPGRADES_AT_ONCE: Final = 10
"""The most sockets that are opened in one turn of the event loop. Each takes half a millisecond, and the requests that
have arrived meanwhile wait for the end of the turn."""

_REFUSAL = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class _Turns:
    """Runs callbacks in order, at most `UPGRADES_AT_ONCE` in each turn of the event loop."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()
        self._running = False

    def add(self, callback: Callable[[], None]) -> None:
        self._waiting.append(callback)
        if not self._running:
            self._running = True
            asyncio.get_running_loop().call_soon(self._run)

    def _run(self) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(min(UPGRADES_AT_ONCE, len(self._waiting))):
            loop.call_soon(self._waiting.popleft())
        self._running = bool(self._waiting)
        if self._running:
            loop.call_soon(self._run)


_upgrades = _Turns()


class BoundedProtocol(HttpToolsProtocol):
    """Answers 431 and closes the connection if the request line and headers exceed `HEAD_MAX`. Opens a few sockets at a
    time, so that thousands of clients that return together do not hold up the requests of others. Marks requests as
    `ARRIVED`. At shutdown, ends the response that is under way if its scope has `ENDING`."""

    _reading_head = False
    _head_size = 0

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._reading_head:
            self._head_size += len(data)
            if self._head_size > HEAD_MAX and not self.transport.is_closing():
                self.transport.write(_REFUSAL)
                self.transport.close()

    def handle_websocket_upgrade(self) -> None:
        self.transport.pause_reading()  # what follows is for the socket
        _upgrades.add(self._upgrade)

    def _upgrade(self) -> None:
        if not self.transport.is_closing():
            super().handle_websocket_upgrade()
            self.transport.resume_reading()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._reading_head, self._head_size = True, 0

    def on_headers_complete(self) -> None:
        self._reading_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        if self.cycle is not None:
            self.cycle.scope[ARRIVED] = True  # type: ignore[typeddict-unknown-key]

    def shutdown(self) -> None:
        super().shutdown()
        scope: Scope | None = self.cycle.scope if self.cycle is not None else None  # type: ignore[assignment]
        if scope is not None and ENDING in scope:
            scope[ENDING].set()


class FramingProtocol(WebSocketsSansIOProtocol):
    """Lets the sockets write ready-made frames."""

    def write_frame(self, frame: bytes) -> bool:
        """Writes a whole frame (RFC 6455, section 5.2) immediately and returns True. Never blocks.

        Returns False, and writes nothing, if earlier data still waits to be written or the connection is closing; then
        send the message through ASGI, which waits or reports the error.
        """
        if self.disconnected or not self.writable.is_set() or self.conn.state is not State.OPEN:
            return False
        self.transport.write(frame)
        return True
