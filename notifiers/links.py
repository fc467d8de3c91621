"""The links in notifications: to the ticket's page in the operator's own dashboard or portal, and to Callout's page
that confirms an address."""

from __future__ import annotations

from notifiers.notification import Notification


def link_of(notification: Notification, public_url: str | None) -> str | None:
    """Returns `{public_url}/tickets/{reference}`, or None if there is no public URL or no ticket."""
    if public_url is None or notification.ticket is None:
        return None
    return f"{public_url}/tickets/{notification.ticket.reference}"


def confirmation_link(notification: Notification, confirm_url: str | None) -> str | None:
    """Returns `{confirm_url}?token=…`, or None if there is no URL or nothing to confirm."""
    if confirm_url is None or notification.confirmation_token is None:
        return None
    return f"{confirm_url}?token={notification.confirmation_token}"
