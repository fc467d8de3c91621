"""The link in a notification, to the ticket's page in the operator's own dashboard or portal."""

from __future__ import annotations

from notifiers.notification import Notification


def link_of(notification: Notification, public_url: str | None) -> str | None:
    """Returns `{public_url}/tickets/{reference}`, or None if there is no public URL or no ticket."""
    if public_url is None or notification.ticket is None:
        return None
    return f"{public_url}/tickets/{notification.ticket.reference}"
