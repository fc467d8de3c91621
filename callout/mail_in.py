"""`callout mail-in`: a message from standard input, as a mail server pipes it, or those of a mailbox.

A mail server throws away what was taken and tries again what was not, and tells the two by the exit code alone. So
whatever goes wrong here is `EX_TEMPFAIL`, and only what is committed is done; a message that comes twice does nothing.
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
from db.postgres.embedded import EmbeddedServerError
from db.postgres.pool import OUTAGE, Database
from db.viewer import Viewer
from notifiers.inbound.imap import Account, ImapMailbox, MailboxUnavailable
from notifiers.inbound.reading import BYTES_MAX
from pubsub.bell import ring_once
from resolvers.inbound import GATEWAY, Received, receive
from resolvers.mutation import Call

logger = logging.getLogger(__name__)

EX_TEMPFAIL = 75  # sysexits.h: try again later
RETRY_SECONDS_MAX = 300.0
EXPECTED = (MailboxUnavailable, DatabaseUnusable, EmbeddedServerError, *OUTAGE)
"""What can be the matter with the mailbox and the database; the text says what."""

_AT_ONCE = 65_536  # bytes that are read and thrown away

Show = Callable[[str], None]


def read_message(source: BinaryIO) -> bytes:
    """All of it, or of a huge one so much that it is seen to be. The rest is read too: a mail server that cannot get
    rid of it takes that for a failure."""
    raw = source.read(BYTES_MAX + 1)
    while source.read(_AT_ONCE):
        pass
    return raw


async def take(settings: Settings, url: str, raw: bytes) -> str:
    """Takes one message; returns what became of it, in a line. Raises what the database does."""
    database = await Database.open(url, size=1)
    try:
        received = await receive(_call(settings, database), raw)
        await ring_once(settings.bell_url, url)
        return await _line(database, received)
    finally:
        await database.close()


async def empty(settings: Settings, url: str, account: Account, show: Show, pause: float | None) -> None:
    """Takes what nobody has seen in a mailbox, and looks again after `pause` seconds, for ever; or once, if that is
    None. Then it raises `MailboxUnavailable` or what the database does, where otherwise it tries again."""
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
    """One that the database refuses stays where it is, and does not stand in the way of the others."""
    refused: asyncpg.PostgresError | None = None
    database = await Database.open(url, size=1)
    try:
        call = _call(settings, database)
        for uid in uids:
            raw = await asyncio.to_thread(mailbox.read, uid)
            if raw is None:
                continue
            try:
                show(await _line(database, await receive(call, raw)))
            except asyncpg.PostgresError as error:
                refused = error
            else:
                await asyncio.to_thread(mailbox.mark, uid)
    finally:
        await ring_once(settings.bell_url, url)
        await database.close()
    if refused is not None:
        raise refused


def _call(settings: Settings, database: Database) -> Call:
    return Call(Viewer(Role.SERVICE, GATEWAY, "Mail in"), database, {}, settings.own_mail)


async def _line(database: Database, received: Received) -> str:
    reference = await database.fetchval("SELECT reference FROM tickets WHERE id = $1", received.ticket_id)
    return " ".join(filter(None, (received.outcome, reference, received.reason)))
