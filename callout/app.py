"""The ASGI application: everything is wired together here, inside the lifespan, and nothing at import."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TypedDict

import asyncpg
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from callout import health, logs
from callout.auth import Authenticator
from callout.background import background, keep_counted
from callout.database import DatabaseUnusable
from callout.execution import Engine
from callout.graphql import GraphQLEndpoint
from callout.http import RequestGuard, on_http_exception
from callout.settings import Settings, load, variable
from db import event_log, migrate
from db.cursors import StreamCursors
from db.engine import open_pool
from schema import schema

CLOSING_SECONDS = 5.0


class State(TypedDict):
    """What lives as long as the process serves."""

    readiness: health.Readiness
    graphql: GraphQLEndpoint


def create_app(settings: Settings | None = None) -> Starlette:
    """The application; its settings come from the environment if none are given."""
    chosen = load() if settings is None else settings
    logs.configure(chosen)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[State]:
        async with AsyncExitStack() as stack:
            yield await _wire(chosen, stack)

    return Starlette(
        routes=[Route("/graphql", _graphql), *health.ROUTES],
        middleware=[Middleware(RequestGuard)],
        exception_handlers={HTTPException: on_http_exception},
        lifespan=lifespan,
    )


async def _wire(settings: Settings, stack: AsyncExitStack) -> State:
    if settings.database_url is None:
        raise DatabaseUnusable(f"{variable('database_url')} is not set; `callout serve` starts an embedded server.")
    pool = await open_pool(settings.database_url, size=settings.pool_size)
    stack.push_async_callback(_close, pool)
    authenticator = Authenticator(settings, pool)
    stack.push_async_callback(authenticator.close)
    readiness = health.Readiness(pool, migrate.head())
    stack.push_async_callback(readiness.close)
    await stack.enter_async_context(background(lambda: keep_counted(pool)))
    engine = Engine(schema, pool, StreamCursors(await event_log.identity(pool)))
    return State(readiness=readiness, graphql=GraphQLEndpoint(engine, authenticator, ide=not settings.production))


async def _close(pool: asyncpg.Pool[asyncpg.Record]) -> None:
    """A database that has fallen silent must not keep the process."""
    try:
        async with asyncio.timeout(CLOSING_SECONDS):
            await pool.close()
    except TimeoutError:
        pool.terminate()


class _GraphQL:
    """The route to the endpoint that the lifespan has made. (An instance, because Starlette takes a function for a
    request handler.)"""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint: GraphQLEndpoint = scope["state"]["graphql"]
        await endpoint(scope, receive, send)


_graphql = _GraphQL()
