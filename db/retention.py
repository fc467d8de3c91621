"""How long rows are kept that nothing needs any more: deliveries, inbound messages and idempotency keys. Events, which
streams read, are pruned by `db/events/log.py`.

Rows are deleted a thousand at a time, each time in a transaction of their own, the oldest first. One that somebody
has locked is left for the next round, so nobody waits.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

AT_ONCE: Final = 1000


@dataclass(frozen=True, slots=True)
class Retained:
    """Rows that are kept for a time: their `name`, their table and its primary key, and the column with the time from
    which on it counts, or null."""

    name: str
    table: str
    key: str
    since: str

    async def prune(self, connection: Any, kept: timedelta) -> int:
        """Deletes the rows that are older than `kept`, and returns their number. Any number of processes may call it.
        `connection` must not be in a transaction."""
        deleted = 0
        while True:
            status: str = await connection.execute(self._statement, kept)
            number = int(status.split()[1])
            deleted += number
            if number < AT_ONCE:
                return deleted

    @property
    def _statement(self) -> str:
        return f"""DELETE FROM {self.table} WHERE ({self.key}) IN (
            SELECT {self.key} FROM {self.table} WHERE {self.since} < now() - $1::interval
            ORDER BY {self.since} LIMIT {AT_ONCE} FOR UPDATE SKIP LOCKED)"""


DELIVERIES: Final = Retained("deliveries", "deliveries", "id", "finished_at")
"""The finished ones: those that were sent or given up."""

INBOUND_MESSAGES: Final = Retained("inbound messages", "inbound_messages", "id", "received_at")

IDEMPOTENCY_KEYS: Final = Retained("idempotency keys", "idempotency_keys", "caller, key", "created_at")
