"""The feed of a live window: the list as its subscribers have it, and the messages that keep them in step."""

from __future__ import annotations

from collections.abc import Sequence

from callout.execution.budgets import Budget
from callout.execution.prepare import BoundStream
from callout.execution.run import Sign
from callout.live.feed_parts import is_shared, key_of
from callout.live.window_messages import WindowMessages
from db.events.event import Event
from db.events.position import Position
from db.events.stream_cursor import Unsettled
from db.postgres.pool import Database
from db.ticket_window import CompiledWindow, Window, WindowReader, WindowRow
from db.viewer import Viewer
from pubsub.operations import Insert, Move, Operation, Remove, Replace, operations
from pubsub.windows import WindowFeed


class TicketWindowFeed(WindowFeed):
    """A window on a list of tickets: `ticketsLive`."""

    def __init__(
        self, bound: BoundStream, viewer: Viewer, budget: Budget, database: Database, mark: str, sign: Sign
    ) -> None:
        mapping, compiled = bound.selection.mapping, bound.compiled
        assert isinstance(mapping, Window)
        assert isinstance(compiled, CompiledWindow)
        filter = mapping.filter(bound.bounds[0])
        self.key = key_of(bound, viewer)
        self.routes = filter.routes(viewer)
        self.quick_test = filter.quick_test(viewer)
        self.quota = budget.live
        self.position = ""
        self._points = 0.0 if is_shared(bound, viewer) else bound.points  # nobody pays for what many share
        self._budget = budget
        self._reader = WindowReader(bound.selection, compiled, bound.bounds, viewer, database)
        self._messages = WindowMessages(bound.selection, mark)
        self._sign = sign if compiled.has_links else None
        self._viewer = viewer
        self._rows: Sequence[WindowRow] | None = None
        self._total = 0

    async def read(self, now: str) -> bytes | None:
        self._budget.owe(self._points)
        async with self.quota.lookups:
            read = await self._reader.whole()
        if not Position.parse(read.position).covers(Position.parse(now)):
            raise Unsettled("the database has another history than the server's position")
        rows = [row for row in read.rows if row.edges is not None]
        self.position = read.position
        return self._patch(rows, read.total)

    async def update(self, events: Sequence[Event], now: str) -> bytes | None:
        return await self.read(now)

    def _patch(self, rows: Sequence[WindowRow], total: int) -> bytes | None:
        """The patch that leads to these rows, which are shown from now on; None if nothing has changed."""
        shown, self._rows = self._rows, rows
        total_before, self._total = self._total, total
        if shown is None:
            return None
        given = operations_of(shown, rows)
        return self._signed(self._messages.patch(given, total)) if given or total != total_before else None

    def snapshot(self) -> bytes:
        assert self._rows is not None
        return self._signed(self._messages.snapshot(self._rows, self._total))

    def with_cursor(self, payload: bytes, cursor: str) -> bytes:
        return self._messages.with_cursor(payload, cursor)

    def _signed(self, payload: bytes) -> bytes:
        return payload if self._sign is None else self._sign(payload, self._viewer)


def operations_of(shown: Sequence[WindowRow], rows: Sequence[WindowRow]) -> list[Operation[WindowRow]]:
    """The operations between two states of a window, with the rows of the second."""
    edges = {row.id: row.edges for row in shown}
    changed = frozenset(row.id for row in rows if row.id in edges and edges[row.id] != row.edges)
    by_id = {row.id: row for row in rows}
    given: list[Operation[WindowRow]] = []
    for operation in operations([row.id for row in shown], [row.id for row in rows], changed):
        match operation:
            case Insert(index, id):
                given.append(Insert(index, by_id[id]))
            case Move(origin, index, id):
                given.append(Move(origin, index, by_id[id]))
            case Replace(index, id):
                given.append(Replace(index, by_id[id]))
            case Remove(index):
                given.append(Remove(index))
    return given
