"""Sample notifications."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

from db.enums import Audience, NoticeKind
from notifiers.addresses import Mailbox
from notifiers.links import TicketLinks
from notifiers.mail import Composer
from notifiers.notification import Notification
from notifiers.rendering import Templates
from notifiers.samples import sample_notification

DOMAIN = "callout.test"
PUBLIC_URL = "https://callout.test/app"
LINKS = TicketLinks.below(PUBLIC_URL)


def notification(
    kind: NoticeKind = NoticeKind.CREATED, audience: Audience = Audience.CUSTOMER, *, ticket: Any = None, **given: Any
) -> Notification:
    """Returns the sample notification with a new delivery; `given` and `ticket` replace its fields and its ticket's."""
    made = replace(sample_notification(kind, audience), delivery_id=str(uuid.uuid4()), **given)
    return made if ticket is None or made.ticket is None else replace(made, ticket=replace(made.ticket, **ticket))


def composer(templates: Templates | None = None) -> Composer:
    sender, reply_to = Mailbox.parse(f"Callout <support@{DOMAIN}>"), Mailbox.parse(f"answers@{DOMAIN}")
    return Composer(templates or Templates(links=LINKS), sender, reply_to)
