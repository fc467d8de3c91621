"""Notices on devices by Web Push (RFC 8030): encrypted for the device (RFC 8291), signed with our key (RFC 8292).

A notice is shown on a locked screen, so it has the ticket's reference and what to do, and nothing of the customer's.
The push service keeps only the last one of each ticket for a device that is asleep, by its topic.

The endpoint is a URL that a client has given, and a secret (`notifiers/posting.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import orjson
from pywebpush import WebPusher  # type: ignore[import-untyped]

from db.enums import Audience, NoticeKind, TicketPriority
from notifiers.links import TicketLinks
from notifiers.notification import Channel, DeviceGone, Notification, PushTarget, Unavailable, Undeliverable
from notifiers.posting import client_for, in_words, is_temporary, retry_after
from notifiers.public_addresses import NotPublic, names_private_host
from notifiers.vapid import VapidKey, encoded

SEND_SECONDS: Final = 10.0
NOT_PUBLIC: Final = "The endpoint must be on the public internet, unless CALLOUT_PUSH_PRIVATE_HOSTS allows others."
ENDED: Final = "The device is no longer subscribed."
TOO_OLD: Final = "Too late for a notice: see the ticket."

_GONE: Final = (HTTPStatus.NOT_FOUND, HTTPStatus.GONE)  # RFC 8030, section 7.3
# The less urgent, the longer a notice is worth showing to a device that comes back, and the longer that it may wait for
# a better moment of the battery (RFC 8030, sections 5.2 and 5.3).
_KEPT: Final = {
    TicketPriority.LOW: timedelta(days=7),
    TicketPriority.MEDIUM: timedelta(days=3),
    TicketPriority.HIGH: timedelta(days=1),
    TicketPriority.URGENT: timedelta(days=1),
}
_URGENCY: Final = {
    TicketPriority.LOW: "low",
    TicketPriority.MEDIUM: "normal",
    TicketPriority.HIGH: "high",
    TicketPriority.URGENT: "high",
}
_TEST_KEPT: Final = timedelta(minutes=5)

_WORDS: Final[Mapping[Audience, Mapping[NoticeKind, str]]] = {
    Audience.TECHNICIAN: {
        NoticeKind.ASSIGNED: "Assigned to you. Open the ticket.",
        NoticeKind.UNASSIGNED: "No longer assigned to you.",
        NoticeKind.CUSTOMER_ANSWERED: "The customer has answered. Read the answer.",
        NoticeKind.REOPENED: "Reopened. Look at it again.",
    },
    Audience.ADMIN: {
        NoticeKind.CREATED: "New ticket. Assign it.",
        NoticeKind.CUSTOMER_ANSWERED: "The customer has answered, and nobody is assigned.",
        NoticeKind.REOPENED: "Reopened, and nobody is assigned.",
    },
    Audience.CUSTOMER: {
        NoticeKind.CREATED: "We have your request.",
        NoticeKind.NOTE_ADDED: "We have answered. Read the answer.",
        NoticeKind.RESOLVED: "Resolved. Check that everything works.",
    },
}
_OTHERWISE: Final = "There is news. Open the ticket."


class WebPush(Channel):
    """Sends each notice within `seconds`. `key` signs them, and `contact` says to push services who sends them. An
    endpoint must have a public address, unless `private_hosts` are allowed."""

    def __init__(
        self,
        key: VapidKey,
        contact: str,
        links: TicketLinks,
        *,
        private_hosts: bool = False,
        seconds: float = SEND_SECONDS,
    ) -> None:
        self._key = key
        self._contact = contact
        self._links = links
        self._private_hosts = private_hosts
        self._seconds = seconds
        self._client = client_for(private_hosts=private_hosts)

    async def send(self, notification: Notification) -> str:
        target = notification.device
        if target is None:
            raise Undeliverable(ENDED)
        if objection := self.objection(target.endpoint):
            raise Undeliverable(objection)
        headers = self._headers(notification, target.endpoint)
        notice = orjson.dumps(_notice(notification, self._links.of(notification), self._key))
        status, after = await self._post(target.endpoint, headers, _encrypted(notice, target))
        said = in_words(status)
        if 200 <= status < 300:
            return said
        if status in _GONE:
            raise DeviceGone(f"{said}: the device is no longer subscribed")
        if is_temporary(status):
            raise Unavailable(said, after)
        raise Undeliverable(said)

    def objection(self, webhook_url: str) -> str | None:
        host = urlsplit(webhook_url).hostname or ""
        return NOT_PUBLIC if names_private_host(host) and not self._private_hosts else None

    def _headers(self, notification: Notification, endpoint: str) -> dict[str, str]:
        ticket = notification.ticket
        kept, urgency = (
            (_TEST_KEPT, "normal") if ticket is None else (_KEPT[ticket.priority], _URGENCY[ticket.priority])
        )
        left = int((notification.at + kept - datetime.now(UTC)).total_seconds())
        if left <= 0:
            raise Undeliverable(TOO_OLD)
        return {
            "authorization": self._key.authorization(endpoint, self._contact),
            "content-encoding": "aes128gcm",
            "content-type": "application/octet-stream",
            "ttl": str(left),
            "urgency": urgency,
            "topic": _topic(notification),
        }

    async def _post(self, endpoint: str, headers: Mapping[str, str], body: bytes) -> tuple[int, float | None]:
        """The response's status and the pause it asks for, in seconds. The body is not read."""
        try:
            async with (
                asyncio.timeout(self._seconds),
                self._client.stream("POST", endpoint, content=body, headers=headers) as response,
            ):
                return response.status_code, retry_after(response.headers.get("retry-after"))
        except NotPublic:
            raise Undeliverable(NOT_PUBLIC) from None
        except TimeoutError:
            raise Unavailable(f"The push service did not respond within {self._seconds:g} seconds.") from None
        except httpx.InvalidURL:
            raise Undeliverable("The endpoint is not a valid URL.") from None
        except httpx.HTTPError as error:
            raise Unavailable(f"The push service cannot be reached ({type(error).__name__}).") from None

    async def close(self) -> None:
        await self._client.aclose()


def _encrypted(notice: bytes, target: PushTarget) -> bytes:
    keys = {"p256dh": encoded(target.p256dh), "auth": encoded(target.auth)}
    body: bytes = WebPusher({"endpoint": target.endpoint, "keys": keys}).encode(notice, "aes128gcm")["body"]
    return body


def _topic(notification: Notification) -> str:
    """One of each ticket: 32 characters, the most that a topic may have (RFC 8030, section 5.4)."""
    return "test" if notification.ticket is None else notification.ticket.id.replace("-", "")


def _notice(notification: Notification, link: str | None, key: VapidKey) -> dict[str, Any]:
    """What the device's service worker receives. A notice with the same `tag` replaces the one that is shown."""
    shared = {"kind": notification.kind, "at": notification.at, "tag": _topic(notification)}
    ticket = notification.ticket
    if ticket is None:
        return {**shared, "title": "Callout", "body": "Notices arrive on this device."}
    words = _WORDS.get(notification.audience, {}).get(notification.kind, _OTHERWISE)
    return {
        **shared,
        "title": ticket.reference,
        "body": words,
        "reference": ticket.reference,
        "ticketId": f"tkt_{ticket.id}",
        "url": link,
        "token": key.receipt(notification.delivery_id),
    }
