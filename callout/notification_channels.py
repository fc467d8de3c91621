"""Makes the notification channels from the settings."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from callout.settings import InvalidSettings, Settings, variable
from db.enums import DeliveryChannel
from notifiers.google_chat import PER_MINUTE, GoogleChat
from notifiers.mail import Composer
from notifiers.mail_folder import MailFolder
from notifiers.notification import Channel
from notifiers.rendering import Templates
from notifiers.smtp import Smtp

logger = logging.getLogger(__name__)

MAIL_IS_OFF = f"Mail is off: {variable('smtp_url')} is not set."
NOBODY_CONFIRMS = (
    f"Nobody can confirm an address: neither {variable('public_url')} nor {variable('confirm_url')} is set."
)


def channels_of(settings: Settings) -> Mapping[DeliveryChannel, Channel]:
    """Returns the configured notification channels. Logs configuration problems that keep mail from being sent. Raises
    `InvalidSettings` if the library for notices to devices is needed and not there."""
    # Processes don't know each other's rate, so each may use only its share of what a space accepts.
    per_minute = max(2, PER_MINUTE // settings.workers)
    made: dict[DeliveryChannel, Channel] = {
        DeliveryChannel.GOOGLE_CHAT: GoogleChat(
            settings.ticket_links, private_hosts=settings.webhook_private_hosts == "allow", per_minute=per_minute
        )
    }
    mail = _mail(settings)
    if mail is not None:
        made[DeliveryChannel.EMAIL] = mail
    push = _push(settings)
    if push is not None:
        made[DeliveryChannel.PUSH] = push
    return made


def templates(settings: Settings) -> Templates:
    return Templates(
        settings.templates_dir,
        links=settings.ticket_links,
        confirm_url=settings.confirm_base,
        company=settings.company,
    )


def _push(settings: Settings) -> Channel | None:
    if settings.push_key is None:
        return None
    try:
        from notifiers.web_push import WebPush  # what it needs is an extra, and slow to load
    except ImportError:
        message = f"{variable('push_private_key')} needs pywebpush: install `callout[push]`, or unset it."
        raise InvalidSettings([message]) from None
    return WebPush(
        settings.push_key,
        settings.push_contact_url,
        settings.ticket_links,
        private_hosts=settings.push_private_hosts == "allow",
    )


def _mail(settings: Settings) -> Channel | None:
    if settings.smtp_server is None and settings.production:
        logger.warning(MAIL_IS_OFF)
        return None
    texts = templates(settings)
    for problem in texts.problems():
        logger.error("a mail template is broken; its mail waits", extra={"fields": {"problem": problem}})
    composer = Composer(texts, settings.sender, settings.reply_to)
    if settings.smtp_server is not None:
        if settings.confirm_base is None:
            logger.warning(NOBODY_CONFIRMS)
        return Smtp(settings.smtp_server, composer)
    logger.info("mail is written to a folder, not sent", extra={"fields": {"folder": str(settings.mail_folder)}})
    return MailFolder(settings.mail_folder, composer)
