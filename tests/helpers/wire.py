"""One WebSocket without a network: the client's end, and a line to the server that a test can block.

The server's end is the tested sockets, with uvicorn's protocol as in `callout serve`. A real client's parser reads what
the server writes, so an incomplete frame is noticed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Self

import orjson
from uvicorn import Config
from uvicorn.server import ServerState
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from callout.http.access_log import AccessLog
from callout.http.client_address import ClientAddresses
from callout.http.guard import RequestGuard
from callout.http.server import FramingProtocol
from callout.live.websocket import SUBPROTOCOL, Sockets

TURNS = 200  # of the event loop; more of them change nothing


async def until(condition: Callable[[], object]) -> None:
    """Lets other tasks run until the condition is true. Independent of time."""
    for _ in range(TURNS):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("the condition never became true")


async def settled() -> None:
    """Lets other tasks run until nothing more can happen."""
    for _ in range(TURNS // 4):
        await asyncio.sleep(0)


class Wire(asyncio.Transport):
    """A connected client; `texts` has the messages that have arrived."""

    def __init__(self, sockets: Sockets, headers: dict[str, str]) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._read = 0
        self._closing = False
        app = RequestGuard(sockets, AccessLog(), ClientAddresses(()))
        config = Config(app, ws=FramingProtocol, ws_per_message_deflate=False, log_config=None, lifespan="off")
        config.load()
        state = ServerState()
        self.protocol = FramingProtocol(config, state, {})
        self._tasks = state.tasks
        self._client = ClientProtocol(parse_uri("ws://callout.test/graphql"), subprotocols=[SUBPROTOCOL])  # type: ignore[list-item]
        self.protocol.connection_made(self)
        request = self._client.connect()
        request.headers.update(headers)
        self._client.send_request(request)
        self._flush()

    @classmethod
    async def open(cls, sockets: Sockets, **headers: str) -> Self:
        wire = cls(sockets, headers)
        await until(lambda: wire._client.state is State.OPEN)
        return wire

    # The client's end

    def send(self, **message: Any) -> None:
        self._client.send_text(orjson.dumps(message))
        self._flush()

    async def receive(self) -> Any:
        """Returns the next message."""
        await until(lambda: len(self.texts) > self._read)
        self._read += 1
        return orjson.loads(self.texts[self._read - 1])

    def unread(self) -> list[Any]:
        """Returns the messages that have arrived but have not been received."""
        start, self._read = self._read, len(self.texts)
        return [orjson.loads(text) for text in self.texts[start:]]

    @property
    def closed(self) -> tuple[int, str] | None:
        """The code and reason with which the server has closed, or None."""
        received = self._client.close_rcvd
        return None if received is None else (received.code, received.reason)

    @property
    def is_open(self) -> bool:
        return bool(self._tasks) and self.closed is None

    async def gone(self) -> tuple[int, str] | None:
        """Waits until the server has ended all tasks for this client."""
        await until(lambda: not self._tasks)
        return self.closed

    def close_politely(self) -> None:
        self._client.send_close(1000)
        self._flush()

    def hang_up(self) -> None:
        if not self.protocol.disconnected:
            self._closing = True
            self.protocol.connection_lost(None)

    def cancel(self) -> None:
        """Cancels the server's tasks, as at the end of a shutdown's grace period."""
        for task in self._tasks:
            task.cancel()

    # The line

    def block(self) -> None:
        """Simulates a client that reads nothing, with all buffers full."""
        self.protocol.pause_writing()

    def unblock(self) -> None:
        self.protocol.resume_writing()

    def write(self, data: Any) -> None:
        assert not self._closing, "written to a closed connection"
        self._client.receive_data(bytes(data))
        for event in self._client.events_received():
            if isinstance(event, Frame) and event.opcode is not Opcode.CLOSE:
                assert (event.opcode, event.fin) == (Opcode.TEXT, True), event
                self.texts.append(bytes(event.data).decode())
        assert self._client.parser_exc is None, self._client.parser_exc
        if self._client.close_rcvd is not None:
            asyncio.get_running_loop().call_soon(self._flush)  # the client's answer to the close

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            asyncio.get_running_loop().call_soon(self.hang_up)

    def is_closing(self) -> bool:
        return self._closing

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def _flush(self) -> None:
        for data in self._client.data_to_send():
            self.protocol.data_received(data)
