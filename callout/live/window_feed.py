"""The feed of a live window: the list as its subscribers have it, and the messages that keep them in step.

The list is kept in memory (`pubsub/kept_list.py`). The images of an event say whether its ticket enters or leaves the
list, and where it belongs; then only this ticket is read, or nothing if that is below the window. Whenever an event
leaves that open, because the database alone can decide about the filter or the order, or because the rows that are kept
run out, the whole list is read again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence, Set
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Final

from callout.execution.budgets import Budget
from callout.execution.cost import STATEMENT
from callout.execution.prepare import BoundStream
from callout.execution.run import Sign
from callout.live.feed_parts import is_shared, key_of
from callout.live.window_messages import WindowMessages
from db.events.event import Entry, Event, object_route
from db.events.position import Position, Snapshot
from db.events.stream_cursor import Unsettled
from db.postgres.pool import Database
from db.ticket_window import CompiledWindow, Window, WindowReader, WindowRow, selects_total, shown_objects
from db.viewer import Viewer
from pubsub.kept_list import KeptList
from pubsub.operations import Insert, Move, Operation, Remove, Replace, operations
from pubsub.windows import WindowFeed, WindowMessage

REREAD_SECONDS: Final = 60.0
"""A window that changes reads the whole list again after this time, for what no event says of its rows: the state of a
delivery, for instance."""


PAUSE_SECONDS_MAX: Final = 10.0
"""The longest that the viewers of a window wait for a patch because their budgets are overdrawn."""


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
        shown, others = shown_objects(bound.selection), filter.depends_on(viewer)
        self.routes = filter.routes(viewer) | set(map(object_route, shown.referenced | shown.further | others))
        self._objects = frozenset(map(object_route, shown.further | others))
        self.quick_test = filter.quick_test(viewer)
        self.quota = budget.live
        self.position = ""
        self._is_shared = is_shared(bound, viewer)  # so nobody pays for the tickets that events change
        self._points = bound.points
        self._budget = budget
        self._payers: Counter[Budget] = Counter()
        self._reader = WindowReader(bound.selection, compiled, bound.bounds, viewer, database)
        self._messages = WindowMessages(bound.selection, mark)
        self._sign = sign if compiled.has_links else None
        self._viewer = viewer
        self._test = filter.test(viewer)
        self._counts = selects_total(bound.selection)
        self._size = bound.bounds[0].size
        self._rows: Sequence[WindowRow] | None = None  # as the members have them, without their edges
        self._total = 0
        self._kept: KeptList | None = None
        self._seen = Snapshot.parse("1:1:")
        self._read_at = 0.0

    @property
    def tickets(self) -> Collection[str]:
        return [row.id for row in self._rows or ()]

    @property
    def pause(self) -> float:
        return min(*(budget.overdrawn for budget in self._budgets), PAUSE_SECONDS_MAX)

    def admit(self, feed: WindowFeed) -> None:
        assert isinstance(feed, TicketWindowFeed)
        self._payers[feed._budget] += 1

    def dismiss(self, feed: WindowFeed) -> None:
        assert isinstance(feed, TicketWindowFeed)
        self._payers[feed._budget] -= 1
        self._payers = +self._payers

    @property
    def _budgets(self) -> Collection[Budget]:
        """Those of the viewers who have the window. They share the price of a reading, and none waits for one of them
        who owes more."""
        return self._payers.keys() or (self._budget,)

    async def read(self, now: str) -> WindowMessage:
        budgets = self._budgets
        for budget in budgets:
            budget.owe(self._points / len(budgets))
        async with self.quota.lookups:
            read = await self._reader.whole()
        if not Position.parse(read.position).covers(Position.parse(now)):
            raise Unsettled("the database has another history than the server's position")
        self._read_at = monotonic()
        self._seen = Snapshot.parse(Position.parse(read.position).snapshot)
        rows = read.rows[: self._size]
        if self._reader.order is not None:
            kept = [row.without_edges for row in read.rows]
            self._kept = KeptList(kept, self._size, self._reader.most, is_whole=read.is_whole)
        self.position = read.position
        return WindowMessage(self._patch(rows, read.total), self._signed(self._messages.snapshot(rows, read.total)))

    async def update(self, events: Sequence[Event], now: str) -> bytes | None:
        kept, changes = self._kept, self._changes(events)
        is_due = monotonic() - self._read_at > REREAD_SECONDS
        if kept is None or changes is None or len(changes.ids) > self._size or is_due:
            return (await self.read(now)).patch
        ids: Collection[str] = changes.ids
        while ids:
            if not self._is_shared:
                self._budget.owe(self._points_of(len(ids)))
            async with self.quota.lookups:
                rows = await self._reader.of_ids(ids)
            kept.put(ids, rows)
            if kept.is_exhausted:
                return (await self.read(now)).patch
            ids = kept.missing
        self.position = now
        patch = self._patch(kept.shown, self._total + changes.more)
        kept.forget_edges()
        return patch

    def _changes(self, events: Sequence[Event]) -> _Changes | None:
        """What the events change; None if the database alone can say it."""
        kept, order = self._kept, self._reader.order
        if kept is None or order is None:
            return None
        ids, more = set(), 0
        for event in events:
            if self._seen.sees(event.xid):
                continue
            was = event.before is not None and self._test(event.before)
            now = self._test(event.after)
            if was is None or now is None:
                if self._counts:
                    return None
                ids.add(event.ticket_id)
                continue
            more += now - was
            if event.ticket_id in kept or (now and kept.reaches(order.key(partial(getattr, event.after)))):
                ids.add(event.ticket_id)
        return _Changes(ids, more)

    def _points_of(self, rows: int) -> float:
        """The price of reading this many of the window's rows."""
        return min(self._points, STATEMENT + self._points * rows / self._size)

    def depends_on(self, entry: Entry) -> bool:
        references = (id for row in self._rows or () for id in row.references)
        return not entry.routes.isdisjoint(self._objects) or any(object_route(id) in entry.routes for id in references)

    def _patch(self, rows: Sequence[WindowRow], total: int) -> bytes | None:
        """The patch that leads to these rows, which are shown from now on; None if nothing has changed."""
        shown, self._rows = self._rows, [row.without_edges for row in rows]
        total_before, self._total = self._total, total
        if shown is None:
            return None
        given = operations_of(shown, rows)
        return self._signed(self._messages.patch(given, total)) if given or total != total_before else None

    def with_cursor(self, payload: bytes, cursor: str) -> bytes:
        return self._messages.with_cursor(payload, cursor)

    def _signed(self, payload: bytes) -> bytes:
        return payload if self._sign is None else self._sign(payload, self._viewer)


@dataclass(frozen=True, slots=True)
class _Changes:
    """The tickets that may have a place in the window, or have had one, and by how much the total has grown."""

    ids: Set[str]
    more: int


def operations_of(shown: Sequence[WindowRow], rows: Sequence[WindowRow]) -> list[Operation[WindowRow]]:
    """The operations between two states of a window, with the rows of the second. Those that have not been read again
    have no edges; they still are in the same order, so none of them is moved."""
    digests = {row.id: row.digest for row in shown}
    changed = frozenset(row.id for row in rows if row.id in digests and digests[row.id] != row.digest)
    read_again = frozenset(row.id for row in rows if row.edges is not None)
    at_hand = read_again if len(read_again) < len(rows) else frozenset[str]()
    by_id = {row.id: row for row in rows}
    given: list[Operation[WindowRow]] = []
    for operation in operations([row.id for row in shown], [row.id for row in rows], changed, at_hand):
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
