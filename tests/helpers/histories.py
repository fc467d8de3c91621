"""Clients that watch the event log while its history changes, and what each of them must have received.

The truth is computed from the two histories of the log. A position is lost if it sees an event of the old history that
the new one does not have; then its holder must be reset, and otherwise must not. From its last reset on, or else from
its start, a client must have received exactly the events of the new history after that position.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from db.events.position import Position, Snapshot
from db.events.stream_cursor import StreamCursors, StreamPosition
from tests.helpers.api import Api, Server
from tests.helpers.change_pages import fetch_page
from tests.helpers.graphql_ws_client import WITHIN, following
from tests.helpers.stress import end_of

UNKNOWN = "CURSOR_UNKNOWN"
PAGE = 100


@dataclass(frozen=True)
class Logged:
    """An event of the log; `priorities` are those of its ticket before and after."""

    id: str
    xid: int
    ticket: str
    at: str
    priorities: frozenset[str]


@dataclass(frozen=True)
class Log:
    """The event log as it was at one time."""

    events: list[Logged]
    cursors: StreamCursors

    @classmethod
    async def read(cls, url: str) -> Log:
        connection = await asyncpg.connect(url, server_settings={"timezone": "UTC"})
        try:
            identity = str(await connection.fetchval("SELECT identity FROM event_log"))
            rows = await connection.fetch(
                """SELECT id::text, xid::text::bigint, 'tkt_' || ticket_id,
                    to_char(at, 'YYYY-MM-DD"T"HH24:MI:SS.USTZH:TZM'),
                    array_remove(ARRAY[before ->> 'priority', after ->> 'priority'], NULL)
                FROM ticket_events ORDER BY ticket_events.at, id"""
            )
        finally:
            await connection.close()
        events = [Logged(id, xid, ticket, at, frozenset(priorities)) for id, xid, ticket, at, priorities in rows]
        return cls(events, StreamCursors(identity))

    def lacking_in(self, later: Log) -> list[Logged]:
        """Returns the events of this history that the later one does not have."""
        kept = {event.id for event in later.events}
        return [event for event in self.events if event.id not in kept]

    def seen_by(self, cursor: str) -> Snapshot:
        """Returns what the cursor sees, including its whole batch."""
        return Snapshot.parse(Position.parse(self._position(cursor).end).snapshot)

    def after(self, cursor: str, filter: Any = None) -> Counter[tuple[str, str]]:
        """Returns the events after the cursor that match a filter by priority: those that it does not see, and those of
        its batch behind its event."""
        position = self._position(cursor)
        origin, end = (Snapshot.parse(Position.parse(at).snapshot) for at in (position.origin, position.end))
        delivered = (position.at, position.event)
        wanted = set(filter["priority"]) if filter else {"LOW", "MEDIUM", "HIGH", "URGENT"}
        return Counter(
            (event.ticket, event.at)
            for event in self.events
            if not origin.sees(event.xid)
            and (not end.sees(event.xid) or (datetime.fromisoformat(event.at), event.id) > delivered)
            and event.priorities & wanted
        )

    def _position(self, cursor: str) -> StreamPosition:
        position = StreamPosition.opened(cursor, self.cursors)
        assert position is not None
        return position


class Watcher:
    """A client that follows tickets from a cursor on. It connects to one server after another: when it is disconnected,
    or after each `moves` messages."""

    def __init__(self, servers: Sequence[Server], start: str, filter: Any = None, moves: int | None = None) -> None:
        self.filter = filter
        self.origin = self.cursor = start
        """Where it has started: at its first cursor, or at that of the last reset."""
        self.received: Counter[tuple[str, str]] = Counter()
        """The events since `origin`."""
        self.resets: list[str] = []
        self.ends: list[str] = []
        self.ready = 0
        self.connections = 0
        self._servers = servers
        self._moves = moves

    async def run(self) -> None:
        while True:
            server = self._servers[self.connections % len(self._servers)]
            try:
                await self._follow(server)
            except ConnectionClosed as closed:
                self.ends.append(end_of(closed))
            except (OSError, InvalidHandshake) as error:
                self.ends.append(type(error).__name__)
            await asyncio.sleep(0.05)

    async def _follow(self, server: Server) -> None:
        self.connections += 1
        async with Api(server) as viewer, following(viewer, self.filter, self.cursor, max_queue=None) as screen:
            taken = 0
            while self._moves is None or taken < self._moves:
                with suppress(TimeoutError):  # nothing has happened for a while
                    self._take(await screen.next())
                    taken += 1

    def _take(self, message: Any) -> None:
        self.cursor = message["cursor"]
        match message["__typename"]:
            case "StreamReset":
                self.resets.append(message["reason"])
                self.origin = self.cursor
                self.received.clear()
            case "StreamReady":
                self.ready += 1
            case _:
                self.received[message["ticketId"], message["at"]] += 1

    async def has(self, log: Log) -> None:
        """Waits until it has received exactly the log's events after its origin."""
        try:
            async with asyncio.timeout(WITHIN):
                while self.received != log.after(self.origin, self.filter):  # noqa: ASYNC110 (there is no event)
                    await asyncio.sleep(0.05)
        except TimeoutError:
            wanted = log.after(self.origin, self.filter)
            raise AssertionError(
                f"of {wanted.total()}, missing: {wanted - self.received}; unexpected: {self.received - wanted}"
            ) from None


class Watchers:
    """Watchers that run at the same time."""

    def __init__(self, *watchers: Watcher) -> None:
        self._watchers = watchers
        self._running: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> None:
        self._running = [asyncio.create_task(watcher.run()) for watcher in self._watchers]
        async with asyncio.timeout(WITHIN):
            while not all(watcher.ready for watcher in self._watchers):  # noqa: ASYNC110 (there is no event to wait for)
                await asyncio.sleep(0.02)

    async def __aexit__(self, *_: object) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)


async def visit(viewer: Api, cursor: str) -> tuple[str | None, Counter[tuple[str, str]]]:
    """Returns the reason of the reset that a cursor is answered with; or None, and the events after it in pages."""
    found: Counter[tuple[str, str]] = Counter()
    while True:
        page = await fetch_page(viewer, after=cursor, first=PAGE)
        if page["reset"] is not None:
            return page["reset"], Counter()
        found.update((node["ticketId"], node["at"]) for node in page["nodes"])
        cursor = page["cursor"]
        if not page["hasMore"]:
            return None, found


def is_lost(log: Log, cursor: str, lost: Sequence[Logged]) -> bool:
    """Whether the cursor, which is of this log, sees an event that is lost."""
    snapshot = log.seen_by(cursor)
    return any(snapshot.sees(event.xid) for event in lost)
