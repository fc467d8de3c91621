"""Extensions of uvicorn's protocols.

Over HTTP/1.1: bounds on the request line and headers, on their length and their time, because the parser reads them
before a token is checked; limits of connections; turns for clients that open sockets; a mark on requests that have
arrived completely; and a signal that ends endless responses at shutdown. Over WebSockets: writing ready-made frames, so
that a frame for many sockets is made once.
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

from callout.http.connection_limits import ConnectionLimits

HEAD_MAX = 64 * 1024  # bytes; may be exceeded by one read from the socket

ENDING: Final = "callout.ending"
"""The key in an endless response's scope for the `asyncio.Event` that ends it at shutdown."""

ARRIVED: Final = "callout.arrived"
"""The key that stands in a request's scope once its whole body has arrived."""

UPGRADES_AT_ONCE: Final = 10
"""The most sockets that are opened in one turn of the event loop. Each takes half a millisecond, and the requests that
have arrived meanwhile wait for the end of the turn."""

GRACE_SECONDS: Final = 0.05

LIMITS: Final = "connection_limits"
"""The key of the process's `ConnectionLimits` in the state of the application."""

_DEFAULT_LIMITS: Final = ConnectionLimits()  # for an application without a state

_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


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
    """Keeps to the `ConnectionLimits` of the process. Answers 431 and closes the connection if the request line and
    headers exceed `HEAD_MAX`, and 408 if they take too long. Opens a few sockets at a time, so that thousands of
    clients that return together do not hold up the requests of others. Marks requests as `ARRIVED`. At shutdown, ends
    the response that is under way if its scope has `ENDING`."""

    # The client owes us something if it has sent a part of a request while we are not answering one: then it has
    # `head_seconds` for the rest of the headers, or of a body that nobody reads any more. The time of a body that the
    # application reads is limited there, and that of a connection between two requests by uvicorn.

    _reading_head = False
    _head_size = 0
    _upgrading = False
    _arrived = True  # the last request that began
    _due: asyncio.TimerHandle | None = None

    @property
    def _limits(self) -> ConnectionLimits:
        limits: ConnectionLimits = self.app_state.get(LIMITS, _DEFAULT_LIMITS)
        return limits

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        refusal = self._limits.enter(transport)
        if refusal is None:
            self._expect()
        else:
            transport.write(refusal)
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._limits.leave(self.transport)
        self._stop_expecting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        arrived = self._arrived
        super().data_received(data)
        if self._reading_head:
            self._head_size += len(data)
            if self._head_size > HEAD_MAX and not self.transport.is_closing():
                self.transport.write(_TOO_LARGE)
                self.transport.close()
        if (self.cycle is None or self.cycle.response_complete) and not self._upgrading:
            if self._arrived and not arrived:
                self._idle()
            else:
                self._expect()

    def _idle(self) -> None:
        """Lets the connection idle, as uvicorn does after a response. It does not if the end of the request comes after
        the response."""
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def _expect(self) -> None:
        """Closes the connection if what the client owes does not arrive in time."""
        if self._due is None and not self.transport.is_closing():
            self._due = self.loop.call_later(self._limits.head_seconds, self._give_up)

    def _stop_expecting(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def _give_up(self) -> None:
        # What has arrived while the event loop was busy is read first.
        self._due = self.loop.call_later(GRACE_SECONDS, self._refuse)

    def _refuse(self) -> None:
        if not self.transport.is_closing():
            if self._reading_head:
                self.transport.write(_TOO_SLOW)
            self.transport.close()

    def handle_websocket_upgrade(self) -> None:
        self._upgrading = True
        self.transport.pause_reading()  # what follows is for the socket
        _upgrades.add(self._upgrade)

    def _upgrade(self) -> None:
        if not self.transport.is_closing():
            super().handle_websocket_upgrade()
            self.transport.resume_reading()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._reading_head, self._head_size, self._arrived = True, 0, False

    def on_headers_complete(self) -> None:
        self._reading_head = False
        self._stop_expecting()
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self._arrived and self.cycle.response_complete:
            self._expect()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._arrived = True
        self._stop_expecting()
        if self.cycle is not None:
            self.cycle.scope[ARRIVED] = True  # type: ignore[typeddict-unknown-key]

    def shutdown(self) -> None:
        super().shutdown()
        scope: Scope | None = self.cycle.scope if self.cycle is not None else None  # type: ignore[assignment]
        if scope is not None and ENDING in scope:
            scope[ENDING].set()


class FramingProtocol(WebSocketsSansIOProtocol):
    """Lets the sockets write ready-made frames."""

    def connection_lost(self, exc: Exception | None) -> None:
        limits: ConnectionLimits = self.app_state.get(LIMITS, _DEFAULT_LIMITS)
        limits.leave(self.transport)
        super().connection_lost(exc)

    def write_frame(self, frame: bytes) -> bool:
        """Writes a whole frame (RFC 6455, section 5.2), or several, immediately and returns True. Never blocks.

        Returns False, and writes nothing, if earlier data still waits to be written or the connection is closing; then
        send the message through ASGI, which waits or reports the error.
        """
        if self.disconnected or not self.writable.is_set() or self.conn.state is not State.OPEN:
            return False
        self.transport.write(frame)
        return True
