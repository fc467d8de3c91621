"""`/graphql/stream`: operations over plain HTTP with results as server-sent events, for clients behind proxies that
break WebSockets.

Implements the distinct connections mode of graphql-sse (enisdenjo/graphql-sse, PROTOCOL.md): one request for each
operation, `next` events and a final `complete`. If a stream ends without `complete`, because its token has expired, the
client reads too slowly or the server restarts, the client should reconnect with its last cursor. The path is separate
from `/graphql` because some clients list `text/event-stream` in `Accept` and cannot read it.

The `id` of a subscription's event is its stream cursor. A client that sends `Last-Event-ID`, as generic clients of
server-sent events do when they reconnect, continues after it, whatever `after` its variables still have.

A browser's `EventSource` sends a GET without headers of its own: `stream_tickets.py` says how it gets in.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from graphql import OperationType
from starlette.types import Receive, Scope, Send

from callout.execution.budgets import Charge, hold_back
from callout.execution.request import GraphQLRequest
from callout.http.context import request_of
from callout.http.errors import HttpError, retry_after
from callout.http.ranges import ranges
from callout.http.request import (
    MethodNotAllowed,
    NotAcceptable,
    headers_of,
    parameter,
    read_content,
    request_in,
    send_methods,
)
from callout.http.server import ENDING
from callout.live.operations import Answered, Following, LiveApplication, Rejected, Reply
from callout.live.stream_tickets import StreamTickets
from callout.monitoring.tracing import began
from pubsub.connections import Connections, LiveConnection, Session, Times
from pubsub.hub import Hub
from pubsub.send_queue import SendQueue
from pubsub.subscriber import Subscriber, SubscriptionHandle

_NEXT: Final = b"event: next\ndata: %b\n\n"
_ID: Final = b"id: %b\n"
_COMPLETE: Final = b"event: complete\ndata:\n\n"
_BEAT: Final = b":\n\n"
_START: Final = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/event-stream; charset=utf-8"), (b"x-accel-buffering", b"no")],
}


class TooManyConnections(HttpError):
    """The viewer already has `CONNECTIONS_MAX` live connections."""

    status = 429
    code = "LIMIT_EXCEEDED"
    default = "You have too many live connections."


class EventStreams:
    """The ASGI application at `/graphql/stream`."""

    def __init__(
        self, live: LiveApplication, hub: Hub, connections: Connections, times: Times, tickets: StreamTickets
    ) -> None:
        self._tickets = tickets
        self._live = live
        self._hub = hub
        self._connections = connections
        self._times = times

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "OPTIONS":
            await send_methods(send)
            return
        headers = headers_of(scope)
        accept = headers.accept
        if accept and not any(quality and range_ in _ACCEPTED for range_, quality in ranges(accept.lower())):
            raise NotAcceptable("Accept text/event-stream.")
        info = request_of(scope)
        try:
            session = await self._live.admit(headers.authorization or await self._of_ticket(scope), info.client)
            info.viewer = session.viewer
        finally:
            began(info, scope["headers"])
        with self._live.charge(session) as charge:
            request = request_in(await read_content(scope, receive, headers, charge))
            if scope["method"] != "POST" and await self._mutates(session, request, charge):
                raise MethodNotAllowed("Use POST; GET is for queries and subscriptions.")
        if scope["method"] == "HEAD":
            await send(dict(_START))
            await send({"type": "http.response.body", "body": b""})
            return
        stream = _EventStream(scope, receive, send, self._times.beat)
        self._connections.enter(stream)
        try:
            if not self._connections.admit(stream, session):
                raise TooManyConnections
            with charge:
                reply = await self._live.reply(session, request, info, charge)
            await stream.run(reply, self._hub)
        finally:
            self._connections.leave(stream)

    async def _of_ticket(self, scope: Scope) -> str | None:
        """The header that the stream ticket in the URL stands for; None if there is none."""
        ticket = parameter(scope, "streamTicket") if scope["method"] == "GET" else None
        return None if ticket is None else await self._tickets.redeem(ticket)

    async def _mutates(self, session: Session, request: GraphQLRequest, charge: Charge) -> bool:
        return await self._live.operation_type(session, request, charge) is OperationType.MUTATION


_ACCEPTED: Final = (b"text/event-stream", b"text/*", b"*/*")


class _EventStream(LiveConnection, Subscriber):
    transport = "event_stream"

    def __init__(self, scope: Scope, receive: Receive, send: Send, beat_seconds: float) -> None:
        self._receive = receive
        self._send = send
        self._beat_seconds = beat_seconds
        self.queue = SendQueue()
        self._last_event_id = _last_event_id(scope)
        self._subscription: SubscriptionHandle | None = None
        self._ending: asyncio.Event = scope.setdefault(ENDING, asyncio.Event())
        self._sending: asyncio.Task[None] | None = None

    async def run(self, reply: Reply, hub: Hub) -> None:
        """Sends the reply; returns when it is complete, the client has disconnected, or the stream must end."""
        match reply:
            case Rejected(errors, int(seconds)):
                # Not as an event: clients try again by themselves after this status.
                await hold_back()
                headers = [(b"content-type", b"application/json"), *retry_after(seconds)]
                await self._send({"type": "http.response.start", "status": 429, "headers": headers})
                await self._finish(b'{"errors":%b}' % errors)
            case Rejected(errors):
                await self._send(dict(_START))
                await self._finish(_NEXT % (b'{"errors":%b}' % errors) + _COMPLETE)
            case Answered(payload):
                await self._send(dict(_START))
                await self._finish(_NEXT % _line(payload) + _COMPLETE)
            case Following(feed, after):
                if self._last_event_id is not None and feed.resumable:
                    after = self._last_event_id
                self._subscription = hub.subscribe(feed, self, after)
                try:
                    await self._send(dict(_START))
                    await self._follow()
                finally:
                    self._subscription.end()
                await self._finish(b"")

    # Called by the hub and by `Connections`

    def deliver(self, payload: bytes) -> None:
        cursor = None if self._subscription is None else self._subscription.cursor()
        id_ = b"" if cursor is None else _ID % cursor.encode()
        if not (self._ending.is_set() or self.queue.put(id_ + _NEXT % _line(payload))):
            self._ending.set()

    async def drained(self) -> None:
        await self.queue.drained()

    @property
    def is_behind(self) -> bool:
        return len(self.queue) > 0

    def fail(self) -> None:
        self._ending.set()

    def forbid(self) -> None:
        self._ending.set()

    def check(self, now: float) -> None:
        if self._sending is not None and self.queue.stalled(now):
            self._sending.cancel()
        elif self.session is not None and self.session.expired:
            self._ending.set()

    # Tasks

    async def _follow(self) -> None:
        """Sends what is delivered; returns when the client has disconnected or the stream must end."""
        self._sending = asyncio.create_task(self._write())
        tasks = (self._sending, asyncio.create_task(self._gone()), asyncio.create_task(self._ended()))
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()

    async def _write(self) -> None:
        while True:
            event = self.queue.take() if self.queue else _BEAT
            await self.queue.sent(self._send({"type": "http.response.body", "body": event, "more_body": True}))
            if not self.queue:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._beat_seconds):
                        await self.queue.filled()

    async def _gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _ended(self) -> None:
        await self._ending.wait()

    async def _finish(self, last: bytes) -> None:
        await self._send({"type": "http.response.body", "body": last})


def _last_event_id(scope: Scope) -> str | None:
    """The request's `Last-Event-ID`; None if it has none, or an empty one, which stands for none in the standard."""
    return next((value.decode("latin-1") for name, value in scope["headers"] if name == b"last-event-id"), "") or None


def _line(payload: bytes) -> bytes:
    """Puts JSON on one line, which an event needs. JSON has line breaks only between its values: inside strings they
    are escaped."""
    return payload.replace(b"\n", b" ").replace(b"\r", b" ")
