"""When technicians' devices are known to have received their assignments: a device that comes back with a stream cursor
has what was before it. That costs no call and no time of its stream: the receipts are gathered, and written together.

A device counts as having an assignment if its stream, or page of changes, certainly has the ticket among its own, and
starts from a cursor behind the event that has offered the assignment.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from db.enums import Role
from db.events.event import IMAGES, READ, Event, Image
from db.events.position import Position
from db.events.stream_cursor import StreamPosition
from db.ids import is_uuid
from db.postgres.outage import is_logged
from db.postgres.pool import OUTAGE, Database
from db.viewer import Viewer
from resolvers.assignment import delivered

logger = logging.getLogger(__name__)

GATHERING_SECONDS: Final = 0.5
AT_ONCE: Final = 100  # receipts that are looked up together
KEPT_MAX: Final = 10_000
"""At most this many receipts wait; the oldest are forgotten, and the devices come back with others."""
OFFERS_MAX: Final = 200  # of a technician that are looked up for a receipt, the newest

# $1 to $5: for each receipt the technician, and the parts of its position.
_COVERED: Final = f"""
SELECT receipt.ord, {READ}
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::uuid[])
    WITH ORDINALITY AS receipt (technician_id, origin, until, at, event, ord)
CROSS JOIN LATERAL (
    SELECT ticket_id, offered_at, xid FROM assignments
    WHERE assignments.technician_id = receipt.technician_id AND delivered_at IS NULL AND state = 'OFFERED'
    ORDER BY offered_at DESC LIMIT {OFFERS_MAX}
) AS offer
JOIN ticket_events AS event ON event.ticket_id = offer.ticket_id AND event.at = offer.offered_at
{IMAGES}
WHERE pg_visible_in_snapshot(offer.xid, receipt.origin::pg_snapshot)
    OR pg_visible_in_snapshot(offer.xid, receipt.until::pg_snapshot)
        AND (event.at, event.id) <= (receipt.at, receipt.event)"""


@dataclass(frozen=True, slots=True)
class Receipt:
    """A technician has come back with a cursor at this position, to a stream of the tickets that `covers` is true
    for."""

    technician_id: str
    position: StreamPosition
    covers: Callable[[Image], bool]


class Receipts:
    """The receipts that have not been written yet; one for each process. `run()` it for the whole life of the
    process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: deque[Receipt] = deque(maxlen=KEPT_MAX)
        self._news = asyncio.Event()

    def add(self, viewer: Viewer, position: StreamPosition, covers: Callable[[Image], bool]) -> None:
        """Notes that the viewer has come back. Of others than technicians nothing is noted."""
        if viewer.role is Role.TECHNICIAN and is_uuid(viewer.id):
            self._waiting.append(Receipt(viewer.id, position, covers))
            self._news.set()

    async def run(self) -> None:
        """Writes receipts, forever. Those that come while the database is unavailable are lost; the devices come back
        with others."""
        while True:
            await self._news.wait()
            await asyncio.sleep(GATHERING_SECONDS)
            self._news.clear()
            try:
                while self._waiting:
                    await self._write([self._waiting.popleft() for _ in range(min(AT_ONCE, len(self._waiting)))])
            except OUTAGE as error:
                if not is_logged(error):
                    logger.warning("cannot note what was delivered: %s", error or type(error).__name__)

    async def _write(self, receipts: Sequence[Receipt]) -> None:
        places = [receipt.position for receipt in receipts]
        rows = await self._database.fetch(
            _COVERED,
            [receipt.technician_id for receipt in receipts],
            [Position.parse(place.origin).snapshot for place in places],
            [None if place.until is None else Position.parse(place.until).snapshot for place in places],
            [place.at for place in places],
            [place.event for place in places],
        )
        received = set()
        for row in rows:
            receipt, event = receipts[row["ord"] - 1], Event.of(row)
            if receipt.covers(event.after):
                received.add((receipt.technician_id, event.id))
        if received:
            await delivered(self._database, received)
