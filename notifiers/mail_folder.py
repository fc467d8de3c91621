"""Mail written to a folder, as `.eml` files that any mail program opens: the e-mail channel for development."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from db.private_files import FILE_MODE, make_mail_folder
from notifiers.mail import Composer, Mail
from notifiers.notification import Channel, Notice, Notification, Unavailable

logger = logging.getLogger(__name__)


class MailFolder(Channel):
    """Writes one file for each delivery, completely or not at all. The names sort by the time of the event. A second
    attempt writes the same file again."""

    def __init__(self, folder: Path, composer: Composer) -> None:
        self._folder = folder
        if folder.is_dir():
            with suppress(OSError):  # each attempt to send reports it
                make_mail_folder(folder)
        self._composer = composer

    async def send(self, notification: Notification) -> str:
        mail = self._composer.compose(notification)
        about = "test" if notification.ticket is None else notification.ticket.reference
        return await self._keep(mail, notification.at, f"{about}-{notification.delivery_id}")

    async def announce(self, notice: Notice) -> str:
        return await self._keep(self._composer.compose_notice(notice), notice.at, f"notice-{notice.id}")

    async def _keep(self, mail: Mail, at: datetime, name: str) -> str:
        path = self._folder / f"{at.astimezone(UTC):%Y%m%dT%H%M%S.%f}Z-{name}.eml"
        try:
            await asyncio.to_thread(_write, path, mail.octets)
        except OSError as error:
            raise Unavailable(f"Cannot write {path}: {error.strerror}.") from error
        logger.info("mail written to a file", extra={"fields": {"path": str(path)}})
        return f"written to {path}"


def _write(path: Path, octets: bytes) -> None:
    if not path.parent.is_dir():
        make_mail_folder(path.parent)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")  # its own for each writer
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE), "wb") as file:
            file.write(octets)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
