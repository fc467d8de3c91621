"""How long rows are kept that nothing needs any more: deliveries, inbound messages, idempotency keys, devices, rejected
files, entries of the audit trail, push subscriptions, attempts to deliver webhooks and used stream tickets; and the raw
mail of inbound messages.
Events, which streams replay, are pruned by `db/events/log.py`.

Rows are deleted a thousand at a time, each time in a transaction of their own, the oldest first. One that somebody
has locked is left for the next round, so nobody waits.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

AT_ONCE: Final = 1000

# A trigger lets entries of the audit trail be deleted in a transaction that says so.
_NAME: Final = "SELECT set_config('callout.pruning', $1, true)"


@dataclass(frozen=True, slots=True)
class Retained:
    """Rows that are kept for a time: their `name`, their table and its primary key, the column with the time from
    which on it counts, or null; and a condition for those that are meant, if it is not all. If there is an `emptied`
    column, the rows stay, and lose what it has."""

    name: str
    table: str
    key: str
    since: str
    which: str = "true"
    emptied: str | None = None

    async def prune(self, connection: Any, kept: timedelta) -> int:
        """Deletes the rows that are older than `kept`, and returns their number. Any number of processes may call it.
        `connection` must not be in a transaction."""
        deleted = 0
        while True:
            async with connection.transaction():
                await connection.execute(_NAME, self.table)
                status: str = await connection.execute(self._statement, kept)
            number = int(status.split()[1])
            deleted += number
            if number < AT_ONCE:
                return deleted

    @property
    def _statement(self) -> str:
        change = f"UPDATE {self.table} SET {self.emptied} = NULL" if self.emptied else f"DELETE FROM {self.table}"
        return f"""{change} WHERE ({self.key}) IN (
            SELECT {self.key} FROM {self.table} WHERE {self.which} AND {self.since} < now() - $1::interval
            ORDER BY {self.since} LIMIT {AT_ONCE} FOR UPDATE SKIP LOCKED)"""


DELIVERIES: Final = Retained("deliveries", "deliveries", "id", "finished_at")
"""The finished ones: those that were sent or given up."""

INBOUND_MESSAGES: Final = Retained("inbound messages", "inbound_messages", "id", "received_at")

RAW_MAIL: Final = Retained(
    "raw mail",
    "inbound_messages",
    "id",
    "received_at",
    "raw IS NOT NULL AND outcome <> 'KEPT_ASIDE'",
    emptied="raw",
)
"""As it arrived. What waits for an admin is kept, because nothing else has its text."""

AUDIT_ENTRIES: Final = Retained("entries of the audit trail", "audit_entries", "id", "at")

REJECTED_ATTACHMENTS: Final = Retained("rejected files", "attachments", "id", "finished_at", "state = 'REJECTED'")

IDEMPOTENCY_KEYS: Final = Retained("idempotency keys", "idempotency_keys", "caller, key", "created_at")

WEBHOOK_DELIVERIES: Final = Retained("attempts to deliver webhooks", "webhook_deliveries", "id", "at")

DEVICES: Final = Retained("devices", "devices", "digest", "used_at")

PUSH_SUBSCRIPTIONS: Final = Retained("push subscriptions", "push_subscriptions", "id", "set_at")
"""Those of devices that have not been used for long."""

PUSH_OF_ABSENT: Final = Retained("push subscriptions of absent people", "push_subscriptions", "id", "renewed_at")
"""Those of technicians and admins whose tokens come from elsewhere, and who have shown none for long."""

USED_STREAM_TICKETS: Final = Retained("used stream tickets", "used_stream_tickets", "id", "expires_at")
"""Those that have expired: they could not be used again anyway."""

SESSIONS: Final = Retained("sessions", "sessions", "id", "used_at")
"""Those that have ended because nobody has used them."""

SIGN_IN_LINKS: Final = Retained("sign-in links", "sign_in_links", "secret_hash", "created_at")
"""Those that have been used or have expired, and that limit no further ones."""

SIGN_IN_LINKS_COUNT: Final = timedelta(days=1)
"""For how long a link counts among those that its person has got."""
