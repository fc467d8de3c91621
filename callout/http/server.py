"""Extensions of uvicorn's protocols.

Over HTTP/1.1: a bound on the request line and headers, because the parser reads any length of them before a token is
checked; a mark on requests that have arrived completely; and a signal that ends endless responses at shutdown. Over
WebSockets: writing ready-made frames, so that a frame for many sockets is made once.
"""

from __future__ import annotations

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

_REFUSAL = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class BoundedProtocol(HttpToolsProtocol):
    """Answers 431 and closes the connection if the request line and headers exceed `HEAD_MAX`. Marks requests as
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
