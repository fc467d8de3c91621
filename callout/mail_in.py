"""`callout mail-in`: receives a message from standard input, as a mail server pipes it, or the messages of a mailbox.

A mail server discards a message that was accepted and retries one that was not, and it goes by the exit code alone. So
every failure exits with 75 (`callout/mail_hand_over.py`), and success means that the message is committed. A retry is
harmless: receiving the same message twice changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import TYPE_CHECKING

import asyncpg

from callout.settings import Settings
from db.enums import Role
from db.errors import Failure
from db.object_store import StoreError
from db.postgres.pool import OUTAGE, Database
from db.postgres.statement import Queryable
from db.viewer import Viewer
from notifiers.inbound.imap import Account, ImapMailbox, LoginRefused, OAuthClient
from notifiers.inbound.reading import BYTES_MAX
from pubsub.bell import ring_once
from resolvers.files import Files
from resolvers.inbound import GATEWAY, Received, receive
from resolvers.mutation import Call

if TYPE_CHECKING:
    from notifiers.inbound.oauth import AccessTokens

logger = logging.getLogger(__name__)

RETRY_SECONDS_MAX = 300.0
EXPECTED = (Failure, StoreError, *OUTAGE)
"""Failures of the mailbox, the database or the object store. The operator can be shown their messages as they are."""

Show = Callable[[str], None]


async def take(settings: Settings, url: str, raw: bytes) -> str:
    """Receives one message. Returns a line with its outcome, ticket and reason. Raises the database's errors."""
    database = await Database.open(url, size=1)
    try:
        received = await receive(call_of(settings, database), raw)
        await ring_once(settings.bell_url, url)
        return await line_of(database, received)
    finally:
        await database.close()


async def empty(
    settings: Settings, url: str, account: Account, client: OAuthClient | None, show: Show, pause: float | None
) -> None:
    """Receives the unseen messages of a mailbox every `pause` seconds, forever, and retries after failures. With an
    OAuth `client`, access tokens take the place of the password.

    With `pause` None it checks once, and raises `MailboxUnavailable` or the database's errors.
    """
    from notifiers.inbound.oauth import AccessTokens  # not for a single message

    tokens = None if client is None else AccessTokens(client)
    failures = 0
    while True:
        try:
            await _empty_once(settings, url, account, tokens, show)
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


async def _empty_once(settings: Settings, url: str, account: Account, tokens: AccessTokens | None, show: Show) -> None:
    token = None if tokens is None else await asyncio.to_thread(tokens.get)
    opened = ImapMailbox.open(account, token)
    try:
        mailbox = await asyncio.to_thread(opened.__enter__)
    except LoginRefused:
        if tokens is not None:  # it may have been revoked before its time
            tokens.forget()
        raise
    try:
        uids = await asyncio.to_thread(mailbox.unseen)
        if uids:
            await _take_each(settings, url, mailbox, uids, show)
    finally:
        await asyncio.to_thread(opened.__exit__, None, None, None)


async def _take_each(settings: Settings, url: str, mailbox: ImapMailbox, uids: list[str], show: Show) -> None:
    """Receives each message and marks it as seen. One that exceeds `BYTES_MAX` is read to one byte more, which
    shows that it is too large. One that the database or the object store refuses stays unseen and does not keep the
    others from being received; its error is raised in the end."""
    refused: asyncpg.PostgresError | StoreError | None = None
    database = await Database.open(url, size=1)
    try:
        call = call_of(settings, database)
        for uid in uids:
            raw = await asyncio.to_thread(mailbox.read, uid, BYTES_MAX + 1)
            if raw is None:
                continue
            try:
                show(await line_of(database, await receive(call, raw)))
            except (asyncpg.PostgresError, StoreError) as error:
                refused = error
            else:
                await asyncio.to_thread(mailbox.mark, uid)
    finally:
        await ring_once(settings.bell_url, url)
        await database.close()
    if refused is not None:
        raise refused


def call_of(settings: Settings, database: Database) -> Call:
    """The call of the mail gateway, for which messages are received."""
    viewer = Viewer(Role.SERVICE, GATEWAY, "Mail in")
    return Call(viewer, database, {}, settings.own_mail, Files(settings.object_store, settings.file_limits))


async def line_of(database: Queryable, received: Received) -> str:
    """The outcome of a message with its ticket and reason, on a line."""
    reference = await database.fetchval("SELECT reference FROM tickets WHERE id = $1", received.ticket_id)
    return " ".join(filter(None, (received.outcome, reference, received.reason)))
