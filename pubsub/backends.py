"""The bell's line to the other processes: broadcaster's `Broadcast`, with backends that report their failures.

Our backends live as long as their connections. They never reconnect by themselves, because that would hide that
messages may have been missed: they raise, `Line` passes the exception on, and the bell opens another line.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import asyncpg
from broadcaster import Broadcast, BroadcastBackend, Event
from broadcaster._base import Subscriber

from db.postgres.pool import normalised

APPLICATION_NAME = "callout bell"  # as pg_stat_activity shows these connections


class Line(Broadcast):
    """A `Broadcast` that does not fail silently.

    In broadcaster's own, subscribers wait forever once the backend has failed, `disconnect` then leaves the backend
    open, and a subscription that is cancelled or fails raises `KeyError`.
    """

    @asynccontextmanager
    async def subscribe(self, channel: str) -> AsyncIterator[Subscriber]:
        try:
            async with super().subscribe(channel) as subscriber:
                yield subscriber
        except KeyError as error:
            raise error.__context__ or error from None

    async def _listener(self) -> None:
        try:
            await super()._listener()
        finally:
            for queues in self._subscribers.values():
                for queue in queues:
                    queue.put_nowait(None)  # `Subscriber.get` raises on it

    async def disconnect(self) -> None:
        """Closes the backend even if the listener failed, then raises the listener's exception if it failed."""
        self._listener_task.cancel()
        (error,) = await asyncio.gather(self._listener_task, return_exceptions=True)
        await self._backend.disconnect()
        if isinstance(error, Exception):
            raise error


def line_to(url: str) -> Line:
    """Returns a line that is not connected yet. Raises `ValueError` or `ImportError` if the URL can never work."""
    match urlsplit(url).scheme:
        case "postgres" | "postgresql" | "postgresql+asyncpg":
            return Line(backend=PostgresBackend(url))
        case "redis" | "rediss":
            return Line(backend=RedisBackend(url))
        case _:
            return Line(url)


class PostgresBackend(BroadcastBackend):
    """LISTEN and NOTIFY on one dedicated connection. One is enough, because messages are published one after the
    other."""

    def __init__(self, url: str) -> None:
        self._url = normalised(url)
        # In order. Equal messages merge, so the size of rings and beats is bounded by the number of senders.
        self._received: dict[tuple[str, str], None] = {}
        self._wake = asyncio.Event()

    async def connect(self) -> None:
        settings = {"application_name": APPLICATION_NAME, "synchronous_commit": "off"}
        self._connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(
            self._url, server_settings=settings
        )
        self._connection.add_termination_listener(self._closed)

    async def disconnect(self) -> None:
        self._connection.terminate()  # not `close`, which would wait for a server that may have gone silent

    async def subscribe(self, group: str) -> None:
        await self._connection.add_listener(group, self._notified)

    async def unsubscribe(self, group: str) -> None:
        """Does nothing: the line is closed next."""

    async def publish(self, channel: str, message: str) -> None:
        await self._connection.execute("SELECT pg_notify($1, $2)", channel, message)

    async def next_published(self) -> Event:
        while not self._received:
            if self._connection.is_closed():
                raise ConnectionError("the connection to PostgreSQL was closed")
            await self._wake.wait()
            self._wake.clear()
        channel, message = next(iter(self._received))
        del self._received[channel, message]
        return Event(channel, message)

    def _notified(self, connection: Any, pid: int, channel: str, payload: object) -> None:
        self._received[channel, str(payload)] = None
        self._wake.set()

    def _closed(self, connection: Any) -> None:
        self._wake.set()


class RedisBackend(BroadcastBackend):
    """Redis or Valkey: a connection that subscribes, and one that publishes."""

    def __init__(self, url: str) -> None:
        from redis.asyncio import Redis  # slow to load, and few servers need it
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff

        self._client = Redis.from_url(
            url, decode_responses=True, encoding_errors="replace", retry=Retry(NoBackoff(), retries=0)
        )
        self._messages = self._client.pubsub()
        self._subscribed = asyncio.Event()

    async def connect(self) -> None:
        """Does nothing: broadcaster does not close a backend whose `connect` fails, but it closes one whose `subscribe`
        fails. So `subscribe` connects."""

    async def disconnect(self) -> None:
        await self._messages.aclose()  # type: ignore[no-untyped-call]
        await self._client.aclose()

    async def subscribe(self, group: str) -> None:
        """Returns once the server has confirmed the subscription: from then on no message is missed."""
        await self._messages.subscribe(group)
        while (await self._message())["type"] != "subscribe":
            pass
        self._subscribed.set()

    async def unsubscribe(self, group: str) -> None:
        """Does nothing: the line is closed next."""

    async def publish(self, channel: str, message: str) -> None:
        await self._client.publish(channel, message)

    async def next_published(self) -> Event:
        await self._subscribed.wait()  # broadcaster listens before it subscribes
        while (message := await self._message())["type"] != "message":
            pass
        return Event(message["channel"], message["data"])

    async def _message(self) -> dict[str, str]:
        await asyncio.sleep(0)  # lets the consumer take the previous message first, so that none pile up
        message: dict[str, str] | None = None
        while message is None:
            message = await self._messages.get_message(timeout=None)
        return message
