"""What uvicorn's protocols lack: over HTTP/1.1 a bound on what comes before a body (the parser reads request lines and
headers of any length, and whoever sends them needs no token) and a word to responses that never end when the server
does; over WebSockets a way to write a frame that many sockets are sent, made once."""

from __future__ import annotations

from typing import Final

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import State

HEAD_MAX = 64 * 1024  # bytes; one read from the socket may go beyond it

ENDING: Final = "callout.ending"
"""Where a response that goes on for ever keeps, in its scope, the `asyncio.Event` by which it is told to end."""

_REFUSAL = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class BoundedProtocol(HttpToolsProtocol):
    """Answers 431 to a head of more than `HEAD_MAX`, and closes the connection."""

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

    def shutdown(self) -> None:
        super().shutdown()
        scope: Scope | None = self.cycle.scope if self.cycle is not None else None  # type: ignore[assignment]
        if scope is not None and ENDING in scope:
            scope[ENDING].set()


class FramingProtocol(WebSocketsSansIOProtocol):
    def write_frame(self, frame: bytes) -> bool:
        """Writes a whole frame (RFC 6455, section 5.2) at once, if nothing waits to be written, and never blocks. False
        if it has not: then there is a reason to send it in the ordinary way, and to learn what has become of it."""
        if self.disconnected or not self.writable.is_set() or self.conn.state is not State.OPEN:
            return False
        self.transport.write(frame)
        return True
