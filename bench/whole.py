"""Starlette sockets that send a whole list again on each change. The list is encoded once for all of them, and not even
read from a database: the least that sending it can cost."""

from __future__ import annotations

import asyncio

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

_queues: set[asyncio.Queue[str]] = set()


async def listen(socket: WebSocket) -> None:
    """Answers the opening messages of a follower, then sends the lists."""
    await socket.accept("graphql-transport-ws")
    for answer in ('{"type":"connection_ack"}', '{"id":"1","type":"next","payload":{}}'):
        await socket.receive_text()
        await socket.send_text(answer)
    queue: asyncio.Queue[str] = asyncio.Queue()
    _queues.add(queue)
    try:
        while True:
            await socket.send_text(await queue.get())
    finally:
        _queues.discard(queue)


async def changed(request: Request) -> JSONResponse:
    page = (await request.json())["variables"]["page"]
    text = orjson.dumps({"id": "1", "type": "next", "payload": page}).decode()
    for queue in _queues:
        queue.put_nowait(text)
    return JSONResponse({"data": None})


app = Starlette(routes=[Route("/graphql", changed, methods=["POST"]), WebSocketRoute("/graphql", listen)])
