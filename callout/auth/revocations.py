"""The revocations of tokens, as this process knows them.

A token carries no id, and admins are not in the database, so a token is revoked by its subject and the time at which it
was issued. Every process reads the revocations twice a second. Then checking a token needs neither the database nor a
word to other processes, and an admin is still admitted while the database is away.
"""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Final

from sqlalchemy import Interval, bindparam, func, select

from db.models import TokenRevocationRow
from db.postgres.statement import Queryable, Statement
from db.viewer import Issued

READING_SECONDS: Final = 0.5  # between two readings; with the time to clear what is remembered, less than a second

_READ = Statement(
    select(TokenRevocationRow.subject, func.max(TokenRevocationRow.revoked_at).label("at"))
    .where(TokenRevocationRow.revoked_at > func.now() - bindparam("kept", type_=Interval))
    .group_by(TokenRevocationRow.subject)
)


class Revocations:
    """The latest revocation of each subject's tokens, and of everybody's. They only ever increase, so a reading that
    comes late takes nothing back."""

    def __init__(self, database: Queryable, lifetime: timedelta, leeway: int) -> None:
        """`lifetime` is the longest that a token may have: older revocations are of tokens that have expired. `leeway`
        is by how many seconds the issuer's clock may differ from ours."""
        self._database = database
        self._leeway = leeway
        self._kept = lifetime + timedelta(seconds=2 * leeway)
        self._latest: dict[str | None, float] = {}

    async def read(self) -> bool:
        """Returns whether there are new ones. Raises the database's errors."""
        rows = await _READ.fetch(self._database, kept=self._kept)
        read = {row["subject"]: row["at"].timestamp() for row in rows}
        new = {subject: at for subject, at in read.items() if at > self._latest.get(subject, -math.inf)}
        self._latest |= new
        return bool(new)

    def cover(self, issued: Issued) -> bool:
        """Whether the token is revoked: it may have been issued before the revocation.

        The issuer's clock may be ahead by the leeway, because tokens are accepted that far in advance, and a time of
        issue has whole seconds. So a token that is issued within these seconds after the revocation is revoked, too.
        """
        latest = max(self._latest.get(None, -math.inf), self._latest.get(issued.subject, -math.inf))
        return issued.at <= latest + self._leeway
