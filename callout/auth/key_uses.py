"""When API keys, sessions and the tokens of people were last used. A request only notes it; this process's one task
writes it down."""

from __future__ import annotations

import asyncio
import logging
import math
from time import monotonic
from typing import Final

from db.postgres.outage import is_logged
from db.postgres.pool import OUTAGE
from db.postgres.statement import Queryable

logger = logging.getLogger(__name__)

NOTED_SECONDS: Final = 61.0  # between two notes of one key: over the minute of `_WRITE`, so that none is in vain
PEOPLE_NOTED_SECONDS: Final = 3_600.0  # a note that the database did not take is made up for within the hour

# At most one write a minute for each row, however many processes it is used with. A locked row is left alone: it is
# being revoked or changed, or another process is writing this.
_WRITE: Final = """
UPDATE {table} SET {column} = now() WHERE id IN (
    SELECT id FROM {table}
    WHERE id = ANY ($1::uuid[]) AND ({column} IS NULL OR {column} <= now() - interval '1 minute')
    ORDER BY id FOR UPDATE SKIP LOCKED
)"""

# What reads with the rights of people who sign in elsewhere goes on for as long as they do (`renewed_at`); at most one
# write a day. Nobody is warned any more who is back in time.
_WRITE_PEOPLE: Final = """
WITH renewed AS (
    UPDATE webhooks SET renewed_at = now(), notice_due_at = CASE state WHEN 'SUSPENDED' THEN notice_due_at END
    WHERE id IN (
        SELECT id FROM webhooks
        WHERE author_role || ':' || author_id = ANY ($1::text[]) AND renewed_at <= now() - interval '1 day'
        ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
    )
)
UPDATE push_subscriptions SET renewed_at = now() WHERE id IN (
    SELECT id FROM push_subscriptions WHERE owner = ANY ($1::text[]) AND renewed_at <= now() - interval '1 day'
    ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
)"""


class KeyUses:
    """The uses of API keys, or of what else `statement` writes down; one for each process. Run `write()` for as long as
    it serves."""

    def __init__(
        self,
        database: Queryable,
        statement: str = _WRITE.format(table="api_keys", column="last_used_at"),
        what: str = "API keys",
        seconds: float = NOTED_SECONDS,
    ) -> None:
        """`statement` has the noted keys as its parameter. One that is noted again within `seconds` is not written."""
        self._database = database
        self._statement = statement
        self._what = what
        self._seconds = seconds
        self._noted_at: dict[str, float] = {}
        self._waiting: set[str] = set()
        self._some = asyncio.Event()

    def note(self, key: str) -> None:
        """Notes that this is being used."""
        now = monotonic()
        if now >= self._noted_at.get(key, -math.inf) + self._seconds:
            self._noted_at[key] = now
            self._waiting.add(key)
            self._some.set()

    async def write(self) -> None:
        """Writes down what is noted, forever. What the database does not take is lost until the key's next note."""
        while True:
            await self._some.wait()
            self._some.clear()
            keys, self._waiting = sorted(self._waiting), set()
            try:
                await self._database.execute(self._statement, keys)
            except OUTAGE as error:
                if not is_logged(error):
                    logger.warning("cannot write down the use of %s: %s", self._what, error or type(error).__name__)


def session_uses(database: Queryable) -> KeyUses:
    """The uses of sessions, by their keys."""
    return KeyUses(database, _WRITE.format(table="sessions", column="used_at"), "sessions")


def people_uses(database: Queryable) -> KeyUses:
    """The uses of tokens, by the `role_and_id` of those who show them."""
    return KeyUses(database, _WRITE_PEOPLE, "people's tokens", PEOPLE_NOTED_SECONDS)
