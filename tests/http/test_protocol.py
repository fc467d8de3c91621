"""The additions of `callout serve` to uvicorn's HTTP protocol, without a network."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send
from uvicorn import Config
from uvicorn.server import ServerState

from callout.http.connection_limits import ConnectionLimits
from callout.http.server import ENDING, HEAD_MAX, LIMITS, BoundedProtocol
from tests.helpers.wire import settled, until

REFUSAL = b"HTTP/1.1 431 "
HEAD_SECONDS = 0.2


class FakeTransport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: Any) -> None:
        assert not self.closed, "written to a closed connection"
        self.written += data

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class Requests:
    """An application that answers each request at once, except that `/for-ever` is answered when the server ends."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.paths.append(scope["path"])
        if scope["path"] == "/for-ever":
            await scope.setdefault(ENDING, asyncio.Event()).wait()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})


@pytest.fixture
async def requests() -> Requests:
    return Requests()


@pytest.fixture
async def protocol(requests: Requests) -> BoundedProtocol:
    config = Config(
        requests, http=BoundedProtocol, log_config=None, lifespan="off", access_log=False, timeout_keep_alive=75
    )
    config.load()
    protocol = BoundedProtocol(config, ServerState(), {LIMITS: ConnectionLimits(head_seconds=HEAD_SECONDS)})
    protocol.connection_made(FakeTransport())
    return protocol


def transport_of(protocol: BoundedProtocol) -> FakeTransport:
    assert isinstance(protocol.transport, FakeTransport)
    return protocol.transport


def receive(protocol: BoundedProtocol, data: bytes) -> None:
    """Passes the data on in pieces, as a network would."""
    for start in range(0, len(data), 1_000):
        protocol.data_received(data[start : start + 1_000])


def head(size: int, more: bytes = b"") -> bytes:
    start = b"POST / HTTP/1.1\r\nhost: x\r\n" + more + b"x: "
    return start + b"y" * (size - len(start) - 4) + b"\r\n\r\n"


async def test_each_request_on_a_connection_may_have_a_head_of_the_maximum_size(
    protocol: BoundedProtocol, requests: Requests
) -> None:
    for _ in range(3):
        receive(protocol, head(HEAD_MAX))
        await until(lambda: transport_of(protocol).written.startswith(b"HTTP/1.1 204"))
        transport_of(protocol).written = b""
    assert requests.paths == ["/"] * 3
    assert not transport_of(protocol).closed


async def test_a_head_beyond_the_maximum_size_is_refused_once(protocol: BoundedProtocol, requests: Requests) -> None:
    endless = head(HEAD_MAX + 3_000)[:-4]
    receive(protocol, endless[:HEAD_MAX])
    assert transport_of(protocol).written == b""
    receive(protocol, endless[HEAD_MAX:])
    assert transport_of(protocol).written.startswith(REFUSAL)
    assert transport_of(protocol).written.count(REFUSAL) == 1
    assert transport_of(protocol).closed
    await settled()
    assert requests.paths == []


async def test_a_body_does_not_count_as_head(protocol: BoundedProtocol, requests: Requests) -> None:
    size = 3 * HEAD_MAX
    receive(protocol, head(500, b"content-length: %d\r\n" % size))
    receive(protocol, b"z" * size)
    await until(lambda: transport_of(protocol).written.startswith(b"HTTP/1.1 204"))
    assert not transport_of(protocol).closed


async def test_an_endless_response_ends_when_the_server_shuts_down(
    protocol: BoundedProtocol, requests: Requests
) -> None:
    receive(protocol, b"GET /for-ever HTTP/1.1\r\nhost: x\r\n\r\n")
    await settled()
    assert transport_of(protocol).written == b""
    protocol.shutdown()
    await until(lambda: transport_of(protocol).written.startswith(b"HTTP/1.1 204"))


@pytest.mark.parametrize("requests_before", [0, 1])
async def test_an_idle_connection_is_closed_when_the_server_shuts_down(
    protocol: BoundedProtocol, requests_before: int
) -> None:
    for _ in range(requests_before):
        receive(protocol, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        await until(lambda: transport_of(protocol).written)
    protocol.shutdown()
    assert transport_of(protocol).closed


@pytest.mark.parametrize("dripped", [b"", b"x"])
async def test_the_rest_of_a_body_that_was_answered_must_arrive_in_time(
    protocol: BoundedProtocol, requests: Requests, dripped: bytes
) -> None:
    receive(protocol, head(500, b"content-length: 1000000\r\n"))
    await until(lambda: transport_of(protocol).written.startswith(b"HTTP/1.1 204"))
    for _ in range(1_000):
        if transport_of(protocol).closed:
            break
        if dripped:
            protocol.data_received(dripped)
        await asyncio.sleep(0.01)
    assert transport_of(protocol).closed
    assert requests.paths == ["/"]


async def test_an_answer_may_take_longer_than_a_request(protocol: BoundedProtocol) -> None:
    """Also if the next request has begun to arrive meanwhile; its time starts with the end of the answer."""
    receive(protocol, b"GET /for-ever HTTP/1.1\r\nhost: x\r\n\r\nGET / HT")
    await asyncio.sleep(2 * HEAD_SECONDS)
    assert (transport_of(protocol).written, transport_of(protocol).closed) == (b"", False)
    protocol.cycle.scope[ENDING].set()  # type: ignore[typeddict-item]
    await until(lambda: transport_of(protocol).written.startswith(b"HTTP/1.1 204"))
    assert not transport_of(protocol).closed
    for _ in range(1_000):
        if not transport_of(protocol).closed:
            await asyncio.sleep(0.01)
    assert transport_of(protocol).written.endswith(
        b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
    )


async def test_a_connection_may_idle_after_the_rest_of_a_body_has_arrived(
    protocol: BoundedProtocol, requests: Requests
) -> None:
    """As long as after any request; a client may send a body a moment after its head, and be answered in between."""
    receive(protocol, head(500, b"content-length: 10\r\n"))
    await until(lambda: transport_of(protocol).written.startswith(b"HTTP/1.1 204"))
    receive(protocol, b"y" * 10)
    await asyncio.sleep(3 * HEAD_SECONDS)
    assert not transport_of(protocol).closed
    assert protocol.timeout_keep_alive_task is not None
    receive(protocol, head(500))
    await until(lambda: requests.paths == ["/", "/"])
