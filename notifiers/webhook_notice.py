"""Notifies the admins that a webhook was suspended: the admin recipients by mail, and the Google Chat space. And its
author that it will be, because they have shown no token for long: by mail if their address is known, or else the
admins.

These are no deliveries, which belong to tickets. A notice waits in the webhook's row, so that none is lost while a mail
server is away; those to several recipients are sent again together, with the same Message-IDs.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from datetime import UTC
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID, uuid5

from db.enums import DeliveryChannel, DeliveryState
from db.postgres.statement import Queryable
from notifiers.attempt import attempt
from notifiers.notification import Channel, Notice
from notifiers.webhook_queue import ADMINS, WebhookQueue

logger = logging.getLogger(__name__)

SENDING_SECONDS: Final = 15.0


async def notify(database: Queryable, queue: WebhookQueue, channels: Mapping[DeliveryChannel, Channel]) -> None:
    """Sends the notices that are due. Those that could not be sent are due again later. Raises the database's
    errors."""
    rows = await queue.notices()
    if not rows:
        return
    admins = await database.fetchrow(ADMINS)
    for row in rows:
        unsent = False
        for channel, notice in _notices(row, admins, channels):
            made = await attempt(channel.announce(notice), SENDING_SECONDS)
            unsent = unsent or made.state is DeliveryState.PENDING
            if made.state is not DeliveryState.SENT:
                fields = {"webhook": row["id"], "said": made.said}
                logger.warning("a notice of a webhook was not sent", extra={"fields": fields})
        if not unsent:
            await queue.noticed(row["id"], row["suspended_at"])


def _notices(
    row: Mapping[str, Any], admins: Mapping[str, Any], channels: Mapping[DeliveryChannel, Channel]
) -> Iterator[tuple[Channel, Notice]]:
    host = urlsplit(row["url"]).hostname or "?"
    is_warning = row["suspended_at"] is None
    at = (row["renewed_at"] if is_warning else row["suspended_at"]).astimezone(UTC)
    if is_warning:
        subject, lines = f"A webhook to {host} will be suspended", _warning(row, host)
    else:
        subject = f"A webhook to {host} was suspended"
        lines = (
            f"The webhook whk_{row['id']}, which posts to {host}, was suspended at {at:%Y-%m-%d %H:%M} UTC.",
            row["suspended_said"] or "",
            "Its position is kept: webhookResume continues where it stopped, as long as the events are kept.",
        )

    def notice(recipient: str, webhook_url: str | None = None) -> Notice:
        id = str(uuid5(UUID(row["id"]), f"{at.isoformat()} {recipient}"))
        return Notice(id, recipient, subject, lines, at, webhook_url)

    mail, chat = channels.get(DeliveryChannel.EMAIL), channels.get(DeliveryChannel.GOOGLE_CHAT)
    if is_warning and mail is not None and row["author_email"] is not None:
        yield mail, notice(row["author_email"])
        return
    if mail is not None:
        yield from ((mail, notice(address)) for address in admins["admin_recipients"])
    if chat is not None and admins["webhook_url"] is not None:
        yield chat, notice("", admins["webhook_url"])


def _warning(row: Mapping[str, Any], host: str) -> tuple[str, ...]:
    return (
        f"The webhook whk_{row['id']}, which posts to {host}, will be suspended at"
        f" {row['ends_at'].astimezone(UTC):%Y-%m-%d %H:%M} UTC.",
        f"It reads with the rights of {row['author_name'] or 'its author'}, who has not shown a valid token since"
        f" {row['renewed_at'].astimezone(UTC):%Y-%m-%d}.",
        "It goes on if they sign in before. Or another admin calls webhookResume, and answers for it from then on.",
    )
