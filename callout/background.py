"""Background work that runs for as long as the process serves."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import TypeAlias

from db.erasure import steps
from db.events import counts
from db.events import log as event_log
from db.object_store import StoreError
from db.postgres.outage import is_logged
from db.postgres.pool import OUTAGE, Database
from db.retention import Retained
from resolvers import guesses, object_sweep, overdue
from resolvers import upload as uploads
from resolvers.files import Files

logger = logging.getLogger(__name__)

COUNTING_SECONDS = 2.0  # between two foldings; readers of the counts add up the events since the last one
PRUNING_SECONDS = 600.0
ANSWERING_SECONDS = 2.0  # between two looks for assignments that were not answered in time
ERASING_SECONDS = 2.0  # of work on an erasure, and between two looks whether there is one
_SHARDS = 256  # of the objects, by the first byte of their digests
_SHARDS_AT_ONCE = 4
ANNOUNCED = timedelta(seconds=PRUNING_SECONDS)  # from advancing the horizon to pruning, so that running replays finish

Work: TypeAlias = Callable[[], Awaitable[None]]
"""Background work, which never returns."""


@asynccontextmanager
async def background(work: Work) -> AsyncIterator[None]:
    """Runs `work`, which must never return, for the length of the block.

    If it returns or fails, the process receives SIGTERM: without its background work a server is worse than none.
    """
    task = asyncio.ensure_future(work())
    task.add_done_callback(_stop_if_failed)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task}, timeout=5)


def _stop_if_failed(task: asyncio.Future[None]) -> None:
    if not task.cancelled():
        logger.critical("background work has ended; stopping the process", exc_info=task.exception())
        os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def _outage_logged(work: str) -> Iterator[None]:
    """Ends the block if the database, or the store of files, is unavailable, and logs which work it keeps from being
    done."""
    try:
        yield
    except (*OUTAGE, StoreError) as error:
        if not is_logged(error):
            logger.warning("cannot %s: %s", work, error or type(error).__name__)


async def keep_counted(database: Database) -> None:
    """Folds new events into the stored counts every `COUNTING_SECONDS`, forever; and adopts the rows of another cluster
    that a restore has put here meanwhile. Several processes may do so at once. Waits while the database is
    unavailable."""
    while True:
        with _outage_logged("update the counts"):
            async with database.acquire() as connection:
                await event_log.adopt(connection)
                await counts.fold(connection)
        await asyncio.sleep(COUNTING_SECONDS)


async def keep_erasing(database: Database, written: Callable[[], None], forget: Callable[[], None]) -> None:
    """Goes on with erasures that are not finished, every `ERASING_SECONDS`, forever. Several processes may do so at
    once. Calls `written` when it may have written events; and `forget` when an erasure has been finished, by whatever
    process, because this one may have erased values in memory. Waits while the database is unavailable."""
    known = None
    while True:
        try:
            unfinished, finished = await steps.all_of(database)
            if finished != known:
                forget()
            known = finished
            random.shuffle(unfinished)  # so that none waits for another that fails
            for customer_id in unfinished:
                await steps.proceed(database, customer_id, ERASING_SECONDS)
                written()
        except OUTAGE as error:
            if not is_logged(error):  # by its name alone: PostgreSQL quotes rows in its messages
                logger.warning("cannot go on with an erasure: %s", type(error).__name__)
        await asyncio.sleep(ERASING_SECONDS)


async def keep_retained(database: Database, kept: Mapping[Retained, timedelta]) -> None:
    """Prunes these rows every `PRUNING_SECONDS`, forever. Several processes may do so at once. Waits while the database
    is unavailable."""
    while True:
        for retained, age in kept.items():
            with _outage_logged(f"delete old {retained.name}"):
                async with database.acquire() as connection:
                    deleted = await retained.prune(connection, age)
                if deleted:
                    logger.info("deleted %s older than %s: %d", retained.name, age, deleted)
        await asyncio.sleep(PRUNING_SECONDS)


async def keep_swept(database: Database, files: Files, written: Callable[[], None]) -> None:
    """Finishes or deletes uploads that have taken too long, and deletes objects that nothing names, every
    `PRUNING_SECONDS`, forever; of the objects a part each time, all of them within a day. Calls `written` when it may
    have written events. Several processes may do so at once. Waits while the database or the store is unavailable."""
    first = random.randrange(_SHARDS)
    while True:
        with _outage_logged("delete old uploads"):
            expired = await uploads.expire(database, files.store, files.limits.upload_time)
            written()
            if expired:
                logger.info("deleted uploads that were not finished within %s: %d", files.limits.upload_time, expired)
            await object_sweep.sweep_uploads(database, files.store)
            await files.store.tidy()
        for _ in range(_SHARDS_AT_ONCE):
            with _outage_logged("delete files that are no longer attached"):
                deleted = await object_sweep.sweep(database, files.store, first)
                if deleted:
                    logger.info("deleted files that are no longer attached: %d", deleted)
            first = (first + 1) % _SHARDS
        await asyncio.sleep(PRUNING_SECONDS)


async def keep_answered(database: Database, written: Callable[[], None]) -> None:
    """Marks assignments that were not answered in time, every `ANSWERING_SECONDS`, forever. Calls `written` when it has
    written events. Several processes may do so at once. Waits while the database is unavailable."""
    while True:
        with _outage_logged("look for overdue assignments"):
            if await overdue.mark_overdue(database):
                written()
        await asyncio.sleep(ANSWERING_SECONDS)


async def keep_forgetting(database: Database) -> None:
    """Deletes old counts of guesses every `PRUNING_SECONDS`, forever. Waits while the database is unavailable."""
    while True:
        with _outage_logged("delete old counts of guesses"):
            await guesses.forget(database)
        await asyncio.sleep(PRUNING_SECONDS)


async def keep_pruned(database: Database, kept: timedelta) -> None:
    """Prunes events that are older than `kept` every `PRUNING_SECONDS`, forever. Several processes may do so at once.
    Waits while the database is unavailable."""
    while True:
        with _outage_logged("delete old events"):
            async with database.acquire() as connection:
                deleted = await event_log.prune(connection, kept, ANNOUNCED)
            if deleted:
                logger.info("deleted events older than %s: %d", kept, deleted)
        await asyncio.sleep(PRUNING_SECONDS)
