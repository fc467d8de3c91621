"""The revocations of tokens, as this process knows them.

A token carries no id, and admins are not in the database, so a token is revoked by its subject and the time at which it
was issued. Every process reads the revocations twice a second, with a connection of its own: then checking a token
needs no query, an admin is still admitted while the database is away, and nobody delays their own revocation by keeping
the pool busy.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from datetime import timedelta
from typing import Final

import asyncpg
from sqlalchemy import Interval, bindparam, func, select

from db.models import TokenRevocationRow
from db.postgres.outage import OutageLog
from db.postgres.pool import OUTAGE, normalised
from db.postgres.statement import Queryable, Statement
from db.viewer import Issued

logger = logging.getLogger(__name__)

READING_SECONDS: Final = 0.5  # between two readings, and before the next attempt after a failure
ANSWER_SECONDS: Final = 5.0  # after which a silent database counts as unavailable

_READ = Statement(
    select(TokenRevocationRow.subject, func.max(TokenRevocationRow.revoked_at).label("at"))
    .where(TokenRevocationRow.revoked_at > func.now() - bindparam("kept", type_=Interval))
    .group_by(TokenRevocationRow.subject)
)


class Revocations:
    """The latest revocation of each subject's tokens, and of everybody's. They only ever increase, so a reading that
    comes late takes nothing back."""

    def __init__(self, lifetime: timedelta, leeway: int) -> None:
        """`lifetime` is the longest that a token may have: older revocations are of tokens that have expired. `leeway`
        is by how many seconds the issuer's clock may differ from ours."""
        self._leeway = leeway
        self._kept = lifetime + timedelta(seconds=2 * leeway)
        self._latest: dict[str | None, float] = {}
        self._outage = OutageLog(logger, "cannot read which tokens are revoked", "the revoked tokens can be read again")

    async def read(self, database: Queryable) -> bool:
        """Returns whether there are new ones. Raises the database's errors."""
        rows = await _READ.fetch(database, kept=self._kept)
        read = {row["subject"]: row["at"].timestamp() for row in rows}
        new = {subject: at for subject, at in read.items() if at > self._latest.get(subject, -math.inf)}
        self._latest |= new
        return bool(new)

    async def follow(self, url: str, on_new: Callable[[], None]) -> None:
        """Reads them forever, and calls `on_new` when there are new ones. While the database is away, those that have
        been read apply."""
        while True:
            connection = None
            try:
                connection = await _connect(url)
                while True:
                    if await self.read(connection):
                        on_new()
                    self._outage.worked()
                    await asyncio.sleep(READING_SECONDS)
            except OUTAGE as error:
                self._outage.failed(error)
            finally:
                if connection is not None:
                    connection.terminate()
            await asyncio.sleep(READING_SECONDS)

    def cover(self, issued: Issued) -> bool:
        """Whether the token is revoked: it may have been issued before the revocation.

        The issuer's clock may be ahead by the leeway, because tokens are accepted that far in advance, and a time of
        issue has whole seconds. So a token that is issued within these seconds after the revocation is revoked, too.
        """
        latest = max(self._latest.get(name, -math.inf) for name in (None, issued.subject, *issued.also))
        return issued.at <= latest + self._leeway


async def _connect(url: str) -> asyncpg.Connection[asyncpg.Record]:
    return await asyncpg.connect(
        normalised(url),
        timeout=ANSWER_SECONDS,
        command_timeout=ANSWER_SECONDS,
        server_settings={"application_name": "callout tokens", "timezone": "UTC", "jit": "off"},
    )
