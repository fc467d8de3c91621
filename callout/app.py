"""The ASGI application: everything is wired together here, inside the lifespan, and nothing at import."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import TypedDict

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from callout import health, logs, notices
from callout.auth import Authenticator
from callout.background import background, keep_counted, keep_pruned
from callout.channels import channels_of
from callout.database import DatabaseUnusable
from callout.event_stream import EventStreams
from callout.execution import Engine
from callout.graphql import GraphQLEndpoint
from callout.http import RequestGuard, on_http_exception
from callout.live import LiveApplication
from callout.settings import Settings, load, variable
from db import event_log, migrate
from db.cursors import StreamCursors
from db.engine import Database
from pubsub.bell import Bell
from pubsub.connections import Connections
from pubsub.hub import Hub
from pubsub.websocket import Sockets
from schema import schema


class State(TypedDict):
    """What lives as long as the process serves."""

    readiness: health.Readiness
    graphql: GraphQLEndpoint
    sockets: Sockets
    event_streams: EventStreams


def create_app(
    settings: Settings | None = None, channels: Callable[[Settings], notices.Channels] = channels_of
) -> Starlette:
    """The application; its settings come from the environment if none are given. `channels` makes the ways to tell."""
    chosen = load() if settings is None else settings
    logs.configure(chosen)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[State]:
        async with AsyncExitStack() as stack:
            state = await _wire(chosen, channels, stack)
            gc.collect()
            gc.freeze()  # what is there now stays, and need not be looked through again and again
            yield state

    return Starlette(
        routes=health.ROUTES,
        middleware=[Middleware(RequestGuard), Middleware(_GraphQLFirst)],
        exception_handlers={HTTPException: on_http_exception},
        lifespan=lifespan,
    )


async def _wire(
    settings: Settings, make_channels: Callable[[Settings], notices.Channels], stack: AsyncExitStack
) -> State:
    if settings.database_url is None:
        raise DatabaseUnusable(f"{variable('database_url')} is not set; `callout serve` starts an embedded server.")
    database = await Database.open(settings.database_url, size=settings.pool_size)
    stack.push_async_callback(database.close)
    authenticator = Authenticator(settings, database)
    stack.push_async_callback(authenticator.close)
    readiness = health.Readiness(database, migrate.head())
    stack.push_async_callback(readiness.close)
    await stack.enter_async_context(background(lambda: keep_counted(database)))
    if settings.event_retention_days is not None:
        kept = timedelta(days=settings.event_retention_days)
        await stack.enter_async_context(background(lambda: keep_pruned(database, kept)))
    cursors = StreamCursors(await event_log.identity(database))
    bell = await stack.enter_async_context(Bell.open(settings.bell_url, settings.database_url))
    channels = await stack.enter_async_context(notices.opened(make_channels, settings))
    if settings.notify:
        worker = notices.worker(settings, database, channels, bell)
        await stack.enter_async_context(background(worker.run))
    engine = Engine(schema, database, cursors, channels, settings.own_mail, written=bell.ring)
    hub = Hub(database, settings.database_url, bell, cursors)
    await stack.enter_async_context(background(hub.follow))
    live = LiveApplication(engine, authenticator, database, settings.allowed_origins)
    connections = Connections(live.gone, settings.times.watch)
    await stack.enter_async_context(background(connections.watch))
    return State(
        readiness=readiness,
        graphql=GraphQLEndpoint(engine, authenticator, ide=not settings.production),
        sockets=Sockets(live, hub, connections, settings.times),
        event_streams=EventStreams(live, authenticator, hub, connections, settings.times),
    )


class _GraphQLFirst:
    """Sends `/graphql` and `/graphql/stream` to their endpoints, past Starlette's router, for whom they are two routes
    among others."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/graphql":
            endpoint: GraphQLEndpoint = scope["state"]["graphql"]
            await endpoint(scope, receive, send)
        elif scope["type"] == "websocket" and scope["path"] == "/graphql":
            await scope["state"]["sockets"](scope, receive, send)
        elif scope["type"] == "http" and scope["path"] == "/graphql/stream":
            await scope["state"]["event_streams"](scope, receive, send)
        else:
            await self._app(scope, receive, send)
