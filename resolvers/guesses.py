"""Wrong guesses of `ticketTrack`, which are limited: each caller's, and over all callers those of a reference and those
of an e-mail address. A guess beyond a limit gets the same answer as a wrong one, also if it is right.

The database counts them, so that all processes know them, also after a restart. The look-up itself tests the counts;
only a wrong guess costs a second statement. References and addresses are hashed, because nobody needs to read them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from hashlib import sha256
from time import monotonic
from typing import Final, TypeVar
from weakref import WeakValueDictionary

from sqlalchemy import exists, func, literal_column

from db import models
from db.postgres.pool import OUTAGE, Database
from db.sql import Condition, Expression, table
from db.viewer import Viewer

logger = logging.getLogger(__name__)

T = TypeVar("T")

OF_CALLER: Final = 200
CALLER_SECONDS: Final = 600
"""A caller's limit must be high, because it refuses everybody who asks through that caller, and for a short time."""

OF_SUBJECT: Final = 10
SUBJECT_SECONDS: Final = 3_600
"""Different addresses for a reference, or different references for an address: a person's typing errors are fewer."""

UNHURRIED: Final = 3
"""Wrong guesses of a reference or an address that are answered at once; each further one takes `PAUSE_SECONDS`."""

PAUSE_SECONDS: Final = 1.0
UNCOUNTED_SECONDS: Final = 0.25
"""How long a wrong guess holds up its caller's next one while the database cannot be written to and so cannot count."""

REMINDER_SECONDS: Final = 60.0

_CALLER: Final = "caller "
_TABLE = table(models.TrackingGuessRow)

# `known` has the counts before this guess. The same pair again is no new guess. The rows are locked in one order.
_COUNT: Final = f"""
WITH given (subject, most, seconds) AS (
    VALUES ('{_CALLER}' || $1, {OF_CALLER}, {CALLER_SECONDS}),
        ($2, {OF_SUBJECT}, {SUBJECT_SECONDS}),
        ($3, {OF_SUBJECT}, {SUBJECT_SECONDS})
), known AS (
    SELECT given.*, coalesce(remaining, most) AS remaining
    FROM given LEFT JOIN tracking_guesses AS old ON old.subject = given.subject AND until > now()
), pair AS (
    INSERT INTO tracking_guesses AS old (subject, remaining, until)
    SELECT $4, 1, now() + interval '{SUBJECT_SECONDS} seconds'
    WHERE NOT EXISTS (SELECT FROM known WHERE remaining <= 0)
    ON CONFLICT (subject) DO UPDATE SET until = excluded.until WHERE old.until <= now()
    RETURNING 1
), counted AS (
    INSERT INTO tracking_guesses AS old (subject, remaining, until)
    SELECT subject, most - 1, now() + seconds * interval '1 second' FROM given WHERE EXISTS (SELECT FROM pair)
    ORDER BY subject
    ON CONFLICT (subject) DO UPDATE SET
        remaining = CASE WHEN old.until > now() THEN old.remaining - 1 ELSE excluded.remaining END,
        until = CASE WHEN old.until > now() THEN old.until ELSE excluded.until END
)
SELECT bool_or(remaining <= 0) AS refused, max(most - remaining) FILTER (WHERE most = {OF_SUBJECT}) AS earlier
FROM known"""

_FORGET: Final = "DELETE FROM tracking_guesses WHERE until <= now()"


def subjects(reference: str, email: str) -> tuple[str, str]:
    """The names by which wrong guesses of a reference and of an address are counted."""
    return _hashed("reference", reference), _hashed("address", email)


def refused(caller: Expression, *subjects: Expression) -> Condition:
    """Whether one of the limits has been reached. It depends on no row, so the statement tests it first, and looks for
    no ticket if it is true: right and wrong guesses then take the same time."""
    counted = (literal_column(f"'{_CALLER}'") + caller, *subjects)
    return exists().where(_TABLE.c.subject.in_(counted), _TABLE.c.remaining <= 0, _TABLE.c.until > func.now())


class Guesses:
    """Counts the wrong guesses that come to a process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._looking: set[asyncio.Task[object]] = set()
        self._reminded_at = -REMINDER_SECONDS

    async def counted(
        self, viewer: Viewer, reference: str, email: str, look_up: Callable[[], Awaitable[T | None]]
    ) -> T | None:
        """Returns what `look_up` finds. If that is nothing, the guess is counted, even if the caller hangs up
        meanwhile."""
        looking = asyncio.create_task(self._in_turn(viewer, reference, email, look_up))
        self._looking.add(looking)
        looking.add_done_callback(self._looking.discard)
        found, pause = await asyncio.shield(looking)
        if pause:
            await asyncio.sleep(pause)
        return found

    async def _in_turn(
        self, viewer: Viewer, reference: str, email: str, look_up: Callable[[], Awaitable[T | None]]
    ) -> tuple[T | None, float]:
        """Returns what is found, and the pause before it may be known. A caller's guesses take turns: otherwise any
        number of them would be looked up before the first is counted."""
        async with self._turns.setdefault(viewer.id, asyncio.Lock()):
            found = await look_up()
            if found is not None:
                return found, 0.0
            try:
                return None, await self._count(viewer, reference, email)
            except OUTAGE:  # a standby still answers; the pool logs that nothing can be written
                await asyncio.sleep(UNCOUNTED_SECONDS)
                return None, 0.0

    async def _count(self, viewer: Viewer, reference: str, email: str) -> float:
        pair = _hashed("pair", f"{reference}\0{email}")
        row = await self._database.fetchrow(_COUNT, viewer.id, *subjects(reference, email), pair)
        assert row is not None
        if row["refused"]:
            self._remind(viewer)
            return 0.0
        return PAUSE_SECONDS if row["earlier"] >= UNHURRIED else 0.0

    def _remind(self, viewer: Viewer) -> None:
        now = monotonic()
        if now >= self._reminded_at + REMINDER_SECONDS:
            self._reminded_at = now
            fields = {"viewer": viewer.id, "name": viewer.name}
            logger.warning("guesses of tickets are refused for a while", extra={"fields": fields})


async def forget(database: Database) -> None:
    """Deletes the counts whose time is over. Raises the database's errors."""
    await database.execute(_FORGET)


def _hashed(kind: str, text: str) -> str:
    return f"{kind} {sha256(text.encode()).hexdigest()}"
