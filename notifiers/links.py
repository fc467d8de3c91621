"""The links in notifications: to the ticket's page in the operator's own portal, dashboard or app for devices, and to
Callout's page that confirms an address."""

from __future__ import annotations

from dataclasses import dataclass

from db.enums import Audience
from notifiers.notification import Notification

REFERENCE, ID = "{reference}", "{id}"


@dataclass(frozen=True, slots=True)
class TicketLinks:
    """Where the links to a ticket lead: customers' to the portal, technicians' to the device, those of admins and of
    the chat space to the dashboard. `{reference}` and `{id}` in a URL stand for the ticket's; None is for no link."""

    portal: str | None = None
    dashboard: str | None = None
    device: str | None = None

    @classmethod
    def below(cls, url: str) -> TicketLinks:
        """All three lead to `{url}/tickets/{reference}`."""
        pattern = ticket_page(url)
        return cls(pattern, pattern, pattern)

    def of(self, notification: Notification) -> str | None:
        """The link of a notification, or None if there is no URL for its audience or no ticket."""
        match notification.audience:
            case Audience.CUSTOMER:
                url = self.portal
            case Audience.TECHNICIAN:
                url = self.device
            case Audience.ADMIN | Audience.SPACE:
                url = self.dashboard
        ticket = notification.ticket
        if url is None or ticket is None:
            return None
        return url.replace(REFERENCE, ticket.reference).replace(ID, f"tkt_{ticket.id}")


def ticket_page(url: str) -> str:
    """The URL itself if it says where the ticket goes, or else `{url}/tickets/{reference}`."""
    return url if REFERENCE in url or ID in url else f"{url.rstrip('/')}/tickets/{REFERENCE}"


def confirmation_link(notification: Notification, confirm_url: str | None) -> str | None:
    """Returns `{confirm_url}?token=…`, or None if there is no URL or nothing to confirm."""
    if confirm_url is None or notification.confirmation_token is None:
        return None
    return f"{confirm_url}?token={notification.confirmation_token}"
