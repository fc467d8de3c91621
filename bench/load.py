"""The load: a few keep-alive connections on the loopback interface, each of which sends its next request when the last
one is answered.

It runs in the benchmark's own process, so its CPU does not count as the server's.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator, Mapping, Sequence
from time import perf_counter
from typing import Any, Final

import orjson

CONNECTIONS: Final = 8


class Failed(Exception):
    """The answer to a request was not a 200 without errors, so that its measurement would be meaningless."""


def post(document: str, variables: Mapping[str, Any], token: str | None) -> bytes:
    """The bytes of a GraphQL request over HTTP."""
    body = orjson.dumps({"query": document, "variables": variables})
    authorization = f"Authorization: Bearer {token}\r\n" if token else ""
    return (
        f"POST /graphql HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n{authorization}"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


async def drive(
    port: int, requests: Sequence[bytes], *, connections: int = CONNECTIONS, a_second: float = math.inf
) -> list[float]:
    """Sends all requests, at most `a_second` per second. Returns the seconds that each took, or raises `Failed`."""
    waiting = iter([(n / a_second, request) for n, request in enumerate(requests)])
    began = perf_counter()
    seconds: list[float] = []
    async with asyncio.TaskGroup() as group:
        for _ in range(min(connections, len(requests))):
            group.create_task(_connection(port, began, waiting, seconds))
    return seconds


async def ask(port: int, request: bytes) -> bytes:
    """Sends one request and returns the body of the answer, or raises `Failed`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        return await _exchange(reader, writer, request)
    finally:
        writer.close()


async def _connection(port: int, began: float, waiting: Iterator[tuple[float, bytes]], seconds: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for due, request in waiting:
        await asyncio.sleep(began + due - perf_counter())
        started = perf_counter()
        await _exchange(reader, writer, request)
        seconds.append(perf_counter() - started)
    writer.close()


async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> bytes:
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    _, _, length = head.partition(b"content-length:")
    body = await reader.readexactly(int(length.split(b"\r\n", 1)[0]))
    if not head.startswith(b"http/1.1 200") or b'"errors"' in body:
        raise Failed((head + body[:2_000]).decode())
    return body
