"""Where a notification leads: the ticket's page in the dashboard or portal, which is the operator's own."""

from __future__ import annotations

from notifiers.notification import Notification


def link_of(notification: Notification, public_url: str | None) -> str | None:
    """`{public_url}/tickets/{reference}`; None if there is nothing to lead to."""
    if public_url is None or notification.ticket is None:
        return None
    return f"{public_url}/tickets/{notification.ticket.reference}"
