"""Notifications as the process has them: which channels there are, and the worker that sends by them."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TypeAlias

from callout.settings import Settings, variable
from db.engine import Database
from db.enums import DeliveryChannel
from notifiers.google_chat import PER_MINUTE, GoogleChat
from notifiers.mail import Composer
from notifiers.mail_folder import MailFolder
from notifiers.notice import Channel
from notifiers.rendering import Templates
from notifiers.smtp import Smtp
from notifiers.worker import Pace, Worker
from pubsub.bell import Bell

logger = logging.getLogger(__name__)

MAIL_IS_OFF = f"Mail is off: {variable('smtp_url')} is not set."

Channels: TypeAlias = Mapping[DeliveryChannel, Channel]

CONNECTIONS = 2  # of a worker by itself
HOUR = 3600.0


def channels(settings: Settings) -> Channels:
    """The ways to tell that these settings give. What of the configuration will keep mail from being sent is logged."""
    # Each process keeps its part of what a space takes, as they don't know of each other.
    per_minute = max(2, PER_MINUTE // settings.workers)
    made: dict[DeliveryChannel, Channel] = {
        DeliveryChannel.GOOGLE_CHAT: GoogleChat(settings.link_base, per_minute=per_minute)
    }
    mail = _mail(settings)
    if mail is not None:
        made[DeliveryChannel.EMAIL] = mail
    return made


def templates(settings: Settings) -> Templates:
    return Templates(settings.templates_dir, public_url=settings.link_base)


def _mail(settings: Settings) -> Channel | None:
    texts = templates(settings)
    for problem in texts.problems():
        logger.error("a mail template is broken, and its mail waits", extra={"fields": {"problem": problem}})
    composer = Composer(texts, settings.sender, settings.reply_to)
    if settings.smtp_server is not None:
        return Smtp(settings.smtp_server, composer)
    if settings.production:
        logger.warning(MAIL_IS_OFF)
        return None
    logger.info("mail is not sent: it is written to a folder", extra={"fields": {"folder": str(settings.mail_folder)}})
    return MailFolder(settings.mail_folder, composer)


@asynccontextmanager
async def opened(make: Callable[[Settings], Channels], settings: Settings) -> AsyncIterator[Channels]:
    """The channels for the length of the block."""
    made = make(settings)
    try:
        yield made
    finally:
        for channel in made.values():
            await channel.close()


def worker(settings: Settings, database: Database, channels: Channels, bell: Bell, pace: Pace | None = None) -> Worker:
    patience = pace or Pace(give_up=settings.notify_give_up * HOUR)
    return Worker(database, channels, domain=settings.sender.domain, heard=bell.ear().wait, pace=patience)


async def notify(
    settings: Settings,
    database_url: str,
    make: Callable[[Settings], Channels] = channels,
    pace: Pace | None = None,
) -> None:
    """A worker by itself, until SIGINT or SIGTERM. Raises what it dies of."""
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    database = await Database.open(database_url, size=CONNECTIONS)
    try:
        async with (
            opened(make, settings) as channels,
            Bell.open(settings.pubsub_url or "postgres://", database_url) as bell,
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
