"""Starlette sockets that send a prepared text: what a message costs if it does not have to be computed."""

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
    await socket.accept("graphql-transport-ws")
    queue: asyncio.Queue[str] = asyncio.Queue()
    _queues.add(queue)
    try:
        while True:
            await socket.send_text(await queue.get())
    finally:
        _queues.discard(queue)


async def changed(request: Request) -> JSONResponse:
    variables = (await request.json())["variables"]
    ticket = {"id": variables["id"], "version": 1, "reference": "TKT-A1B2C3", "subject": variables["subject"]}
    ticket |= {"status": "OPEN", "priority": "HIGH"}
    change = {"cursor": "x" * 120, "change": "UPDATED", "ticketId": variables["id"], "ticket": ticket}
    text = orjson.dumps({"id": "1", "type": "next", "payload": {"data": {"ticketChanged": change}}}).decode()
    for queue in _queues:
        queue.put_nowait(text)
    return JSONResponse({"data": None})


app = Starlette(routes=[Route("/graphql", changed, methods=["POST"]), WebSocketRoute("/graphql", listen)])
