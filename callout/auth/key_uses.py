"""When API keys and sessions were last used. A request only notes it; this process's one task writes it down."""

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

# At most one write a minute for each row, however many processes it is used with. A locked row is left alone: it is
# being revoked or changed, or another process is writing this.
_WRITE: Final = """
UPDATE {table} SET {column} = now() WHERE id IN (
    SELECT id FROM {table}
    WHERE id = ANY ($1::uuid[]) AND ({column} IS NULL OR {column} <= now() - interval '1 minute')
    ORDER BY id FOR UPDATE SKIP LOCKED
)"""


class KeyUses:
    """The uses of API keys, or of the rows of another table with the time in `column`; one for each process. Run
    `write()` for as long as it serves."""

    def __init__(self, database: Queryable, table: str = "api_keys", column: str = "last_used_at") -> None:
        self._database = database
        self._statement = _WRITE.format(table=table, column=column)
        self._what = "API keys" if table == "api_keys" else table
        self._noted_at: dict[str, float] = {}
        self._waiting: set[str] = set()
        self._some = asyncio.Event()

    def note(self, key: str) -> None:
        """Notes that a row, by its id, is being used."""
        now = monotonic()
        if now >= self._noted_at.get(key, -math.inf) + NOTED_SECONDS:
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
