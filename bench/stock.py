"""Strawberry's own subscriptions, as its documentation teaches them: an async generator as the resolver, and the
selection executed for each client and each event. Events arrive by POST; there is no database.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import strawberry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from strawberry.asgi import GraphQL
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL


@strawberry.type
class Ticket:
    id: strawberry.ID
    version: int
    reference: str
    subject: str
    status: str
    priority: str


@strawberry.type
class TicketChange:
    cursor: str
    change: str
    ticket_id: strawberry.ID
    ticket: Ticket


@strawberry.type
class Query:
    ready: bool = True


_listeners: set[asyncio.Queue[dict[str, Any]]] = set()


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def ticket_changed(self) -> AsyncGenerator[TicketChange, None]:
        queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        _listeners.add(queue)
        try:
            while True:
                variables = await queue.get()
                id = strawberry.ID(variables["id"])
                ticket = Ticket(
                    id=id,
                    version=1,
                    reference="TKT-A1B2C3",
                    subject=variables["subject"],
                    status="OPEN",
                    priority="HIGH",
                )
                yield TicketChange(cursor="x" * 120, change="UPDATED", ticket_id=id, ticket=ticket)
        finally:
            _listeners.discard(queue)


async def changed(request: Request) -> JSONResponse:
    variables = (await request.json())["variables"]
    for queue in _listeners:
        queue.put_nowait(variables)
    return JSONResponse({"data": None})


_graphql: GraphQL[None, None] = GraphQL(
    strawberry.Schema(Query, subscription=Subscription), subscription_protocols=[GRAPHQL_TRANSPORT_WS_PROTOCOL]
)
app = Starlette(routes=[Route("/graphql", changed, methods=["POST"]), WebSocketRoute("/graphql", _graphql)])
