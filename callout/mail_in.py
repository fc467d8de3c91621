"""`callout mail-in`: receives a message from standard input, as a mail server pipes it, or the messages of a mailbox.

A mail server discards a message that was accepted and retries one that was not, and it goes by the exit code alone. So
every failure exits with `EX_TEMPFAIL`, and success means that the message is committed. A retry is harmless: receiving
the same message twice changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import BinaryIO

import asyncpg

from callout.database import DatabaseUnusable
from callout.settings import Settings
from db.enums import Role
from db.object_store import StoreError
from db.postgres.embedded import EmbeddedServerError
from db.postgres.migrate import NotMigrated
from db.postgres.pool import OUTAGE, Database
from db.viewer import Viewer
from notifiers.inbound.imap import Account, ImapMailbox, MailboxUnavailable
from notifiers.inbound.reading import BYTES_MAX
from pubsub.bell import ring_once
from resolvers.files import Files
from resolvers.inbound import GATEWAY, Received, receive
from resolvers.mutation import Call

logger = logging.getLogger(__name__)

EX_TEMPFAIL = 75  # in sysexits.h: try again later
RETRY_SECONDS_MAX = 300.0
EXPECTED = (MailboxUnavailable, DatabaseUnusable, EmbeddedServerError, NotMigrated, StoreError, *OUTAGE)
"""Failures of the mailbox, the database or the object store. The operator can be shown their messages as they are."""

_AT_ONCE = 65_536  # bytes; the rest of a message that is too large is discarded in such chunks

Show = Callable[[str], None]


def read_message(source: BinaryIO) -> bytes:
    """Returns the message, or the first `BYTES_MAX` + 1 bytes of a larger one, enough to recognise it as too large.

    The rest is read and discarded, because a mail server that cannot write all of it takes that for a failure.
    """
    raw = source.read(BYTES_MAX + 1)
    while source.read(_AT_ONCE):
        pass
    return raw


async def take(settings: Settings, url: str, raw: bytes) -> str:
    """Receives one message. Returns a line with its outcome, ticket and reason. Raises the database's errors."""
    database = await Database.open(url, size=1)
    try:
        received = await receive(_call(settings, database), raw)
        await ring_once(settings.bell_url, url)
        return await _line(database, received)
    finally:
        await database.close()


async def empty(settings: Settings, url: str, account: Account, show: Show, pause: float | None) -> None:
    """Receives the unseen messages of a mailbox every `pause` seconds, forever, and retries after failures.

    With `pause` None it checks once, and raises `MailboxUnavailable` or the database's errors.
    """
    failures = 0
    while True:
        try:
            await _empty_once(settings, url, account, show)
            failures = 0
        except EXPECTED as error:
            if pause is None:
                raise
            logger.warning("%s; trying again", error or type(error).__name__)
            failures += 1
        if pause is None:
            return
        await asyncio.sleep(
            min(pause * 2.0 ** min(failures, 10), max(pause, RETRY_SECONDS_MAX)) * random.uniform(0.8, 1)
        )


async def _empty_once(settings: Settings, url: str, account: Account, show: Show) -> None:
    opened = ImapMailbox.open(account)
    mailbox = await asyncio.to_thread(opened.__enter__)
    try:
        uids = await asyncio.to_thread(mailbox.unseen)
        if uids:
            await _take_each(settings, url, mailbox, uids, show)
    finally:
        await asyncio.to_thread(opened.__exit__, None, None, None)


async def _take_each(settings: Settings, url: str, mailbox: ImapMailbox, uids: list[str], show: Show) -> None:
    """Receives each message and marks it as seen. One that the database or the object store refuses stays unseen and
    does not keep the others from being received; its error is raised in the end."""
    refused: asyncpg.PostgresError | StoreError | None = None
    database = await Database.open(url, size=1)
    try:
        call = _call(settings, database)
        for uid in uids:
            raw = await asyncio.to_thread(mailbox.read, uid)
            if raw is None:
                continue
            try:
                show(await _line(database, await receive(call, raw)))
            except (asyncpg.PostgresError, StoreError) as error:
                refused = error
            else:
                await asyncio.to_thread(mailbox.mark, uid)
    finally:
        await ring_once(settings.bell_url, url)
        await database.close()
    if refused is not None:
        raise refused


def _call(settings: Settings, database: Database) -> Call:
    viewer = Viewer(Role.SERVICE, GATEWAY, "Mail in")
    return Call(viewer, database, {}, settings.own_mail, Files(settings.object_store, settings.file_limits))


async def _line(database: Database, received: Received) -> str:
    reference = await database.fetchval("SELECT reference FROM tickets WHERE id = $1", received.ticket_id)
    return " ".join(filter(None, (received.outcome, reference, received.reason)))
