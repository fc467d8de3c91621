"""Pages of ticket changes, for clients that poll instead of subscribing. They have the same events and the same cursors
as the stream."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from callout.execution.budgets import Charge
from callout.execution.cost import EVENT, REPLAY, STATEMENT
from db.compiler.fields import Constant
from db.compiler.selection import Selection
from db.enums import StreamResetReason
from db.events.position import NOW, TICKETS
from db.events.stream_cursor import Reset, StreamCursors, StreamPosition, check_cursor
from db.postgres.pool import Database
from db.ticket_stream import Reader, StreamedEvent


class Pages:
    def __init__(self, database: Database, cursors: StreamCursors, mark: str) -> None:
        """`mark` is the placeholder for the cursor in the JSON that statements return."""
        self._database = database
        self._cursors = cursors
        self._mark = mark.encode()

    async def page(
        self, root: Selection, reader: Reader, after: str | None, size: int, at_once: int, charge: Charge
    ) -> bytes:
        """Returns the JSON of a `TicketChangePage`: the first `size` events after the cursor, or none if `after` is
        None. Events are looked up `at_once` at a time, and paid afterwards, because their number is not known before.
        Raises the database's errors."""

        async def of(events: Sequence[str]) -> list[StreamedEvent]:
            charge.owe(STATEMENT + len(events) * EVENT)
            return await reader.of(events)

        reset: StreamResetReason | None = None
        found: list[tuple[StreamPosition, StreamedEvent]] = []
        if after is None:
            end = StreamPosition(await self._database.fetchval(f"SELECT {NOW}"))
        else:
            charge.owe(REPLAY)
            checked = await check_cursor(after, self._cursors, self._database, logs=[TICKETS])
            end = StreamPosition(checked.now)
            if isinstance(checked, Reset):
                reset = checked.reason
            else:
                async for portion in checked.portions(of, at_once):
                    found += portion
                    if len(found) > size:
                        break
        more = len(found) > size
        if more:
            found = found[:size]
            end, _ = found[-1]
        return self._written(root, found, end, more, reset)

    def _written(
        self,
        root: Selection,
        found: list[tuple[StreamPosition, StreamedEvent]],
        end: StreamPosition,
        more: bool,
        reset: StreamResetReason | None,
    ) -> bytes:
        parts = []
        aliases = 0
        for part in root.fields:
            match part.name:
                case "nodes":
                    nodes = (self._with_cursor(position, event.documents[aliases]) for position, event in found)
                    value = b"[%b]" % b",".join(nodes)
                    aliases += 1
                case "cursor":
                    value = orjson.dumps(end.sealed(self._cursors))
                case "hasMore":
                    value = orjson.dumps(more)
                case "reset":
                    value = orjson.dumps(reset)
                case _:
                    assert isinstance(part.mapping, Constant)
                    value = orjson.dumps(part.mapping.word)
            parts.append(b'"%b":%b' % (part.key.encode(), value))
        return b"{%b}" % b",".join(parts)

    def _with_cursor(self, place: StreamPosition, document: bytes) -> bytes:
        return document.replace(self._mark, place.sealed(self._cursors).encode())
