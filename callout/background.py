"""Work that goes on beside the requests, for as long as the process serves."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

from db.events import counts
from db.events import log as event_log
from db.postgres.pool import OUTAGE, Database

logger = logging.getLogger(__name__)

COUNTING_SECONDS = 2.0  # between two foldings; so many events at the most are added up when counts are read
PRUNING_SECONDS = 600.0
ANNOUNCED = timedelta(seconds=PRUNING_SECONDS)  # before it is gone: by then, whoever was reading it has done so


@asynccontextmanager
async def background(work: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Runs `work`, which never returns by itself, during the block. If it fails all the same, the process is told to
    stop: half a server is worse than none."""
    task = asyncio.ensure_future(work())
    task.add_done_callback(_stop_if_failed)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task}, timeout=5)


def _stop_if_failed(task: asyncio.Future[None]) -> None:
    if not task.cancelled():
        logger.critical("work in the background has ended; the process stops", exc_info=task.exception())
        os.kill(os.getpid(), signal.SIGTERM)


async def keep_counted(database: Database) -> None:
    """Takes the events into the kept counts, again and again. Several processes may do so; a database that does not
    answer only makes it wait."""
    while True:
        try:
            async with database.acquire() as connection:
                await counts.fold(connection)
        except OUTAGE as error:
            logger.warning("the counts cannot be brought up to date: %s", error or type(error).__name__)
        await asyncio.sleep(COUNTING_SECONDS)


async def keep_pruned(database: Database, kept: timedelta) -> None:
    """Lets go of events that are older than `kept`, again and again. Several processes may do so."""
    while True:
        try:
            async with database.acquire() as connection:
                deleted = await event_log.prune(connection, kept, ANNOUNCED)
            if deleted:
                logger.info("events older than %s were deleted: %d", kept, deleted)
        except OUTAGE as error:
            logger.warning("old events cannot be deleted: %s", error or type(error).__name__)
        await asyncio.sleep(PRUNING_SECONDS)
