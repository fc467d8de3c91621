"""The notification worker of a process, and the channels that it sends through."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TypeAlias

from callout.notification_channels import channels_of
from callout.settings import MEBIBYTE, Settings
from db.enums import DeliveryChannel
from db.postgres.pool import Database
from notifiers.notification import Channel
from notifiers.worker import Pace, Worker
from pubsub.bell import Bell

Channels: TypeAlias = Mapping[DeliveryChannel, Channel]

CONNECTIONS = 2  # database connections of a standalone worker
HOUR = 3600.0


@asynccontextmanager
async def opened(make: Callable[[Settings], Channels], settings: Settings) -> AsyncIterator[Channels]:
    """Yields the channels, and closes them after the block."""
    made = make(settings)
    try:
        yield made
    finally:
        for channel in made.values():
            await channel.close()


def worker(settings: Settings, database: Database, channels: Channels, bell: Bell, pace: Pace | None = None) -> Worker:
    patience = pace or Pace(give_up=settings.notify_give_up * HOUR, settling=settings.push_wait_seconds)
    return Worker(
        database,
        channels,
        domain=settings.sender.domain,
        heard=bell.ear().wait,
        recorded=bell.ring,
        pace=patience,
        limits=settings.mail_limits,
        store=settings.object_store,
        carried_max=settings.mail_files_mib * MEBIBYTE,
    )


async def notify(
    settings: Settings,
    direct_url: str,
    make: Callable[[Settings], Channels] = channels_of,
    pace: Pace | None = None,
) -> None:
    """Runs a standalone worker until SIGINT or SIGTERM. Raises the worker's exception if it fails."""
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    database = await Database.open(settings.database_url or direct_url, size=CONNECTIONS)
    try:
        async with (
            opened(make, settings) as channels,
            Bell.open(settings.bell_url, direct_url) as bell,
        ):
            working = asyncio.create_task(worker(settings, database, channels, bell, pace).run())
            stopping = asyncio.create_task(stopped.wait())
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            working.cancel()
            await asyncio.wait({working})
            if not working.cancelled():
                working.result()
    finally:
        await database.close()
