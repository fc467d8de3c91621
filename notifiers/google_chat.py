"""Cards in a Google Chat space, sent to its incoming webhook: one thread for each ticket.

The webhook's URL is a secret (`notifiers/posting.py`).

https://developers.google.com/workspace/chat/quickstart/webhooks, …/chat/api/reference/rest/v1/cards
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from html import escape
from time import monotonic
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

import httpx

from db.enums import NoticeKind
from notifiers.links import TicketLinks
from notifiers.notification import Channel, Notice, Notification, SummaryLine, TicketFacts, Unavailable, Undeliverable
from notifiers.posting import client_for, in_words, is_temporary, retry_after
from notifiers.public_addresses import NotPublic, names_private_host
from notifiers.text import one_line, shortened, tidy

PER_MINUTE = 60  # messages that a space accepts: https://developers.google.com/workspace/chat/limits
SEND_SECONDS = 10.0
PATIENCE_SECONDS = 3.0  # the longest wait for a turn within `send`; for a longer one the delivery is retried later
PROMISE_SECONDS = 600.0  # how long a reserved turn is kept after it was due
EXCERPT_MAX = 1_000  # characters of a note, description or resolution; a message may have 32,000 bytes
LISTED_MAX = 50  # tickets of a summary that are listed, the most urgent ones

_HEADLINES = {
    NoticeKind.CREATED: "New ticket",
    NoticeKind.ASSIGNED: "Ticket assigned",
    NoticeKind.UNASSIGNED: "Ticket unassigned",
    NoticeKind.DECLINED: "Ticket declined",
    NoticeKind.OVERDUE: "Technician has not answered",
    NoticeKind.NOTE_ADDED: "New note",
    NoticeKind.CUSTOMER_ANSWERED: "Customer answered",
    NoticeKind.RESOLVED: "Ticket resolved",
    NoticeKind.REOPENED: "Ticket reopened",
    NoticeKind.CONFIRM_ADDRESS: "Address to be confirmed",
    NoticeKind.TEST: "Google Chat works",
}
NOT_PUBLIC = "The webhook must be on the public internet, unless CALLOUT_WEBHOOK_PRIVATE_HOSTS allows others."


class GoogleChat(Channel):
    """Sends at most `per_minute` messages (2 or more) to a space in any minute; each may take `seconds`. The webhook
    must have a public address, unless `private_hosts` are allowed."""

    def __init__(
        self,
        links: TicketLinks,
        *,
        private_hosts: bool = False,
        per_minute: int = PER_MINUTE,
        seconds: float = SEND_SECONDS,
    ) -> None:
        self._links = links
        self._per_minute = per_minute
        self._seconds = seconds
        self._private_hosts = private_hosts
        self._client: httpx.AsyncClient | None = None  # until it is needed: making it reads the certificates
        self._spaces: dict[str, Space] = {}

    async def send(self, notification: Notification) -> str:
        threaded = notification.ticket is not None and not notification.summary
        address, turns = await self._turn(notification.webhook_url, notification.delivery_id, threaded=threaded)
        return await self._posted(address, _message(notification, self._links.of(notification)), turns)

    async def announce(self, notice: Notice) -> str:
        address, turns = await self._turn(notice.webhook_url, notice.id, threaded=False)
        text = _formatted("\n".join(filter(None, notice.lines)))
        card = _card(notice.subject, one_line(notice.subject), [{"textParagraph": {"text": text}}])
        return await self._posted(address, card, turns)

    async def _turn(self, url: str | None, id: str, *, threaded: bool) -> tuple[httpx.URL, Space]:
        """Waits until the space accepts the message with this id. Returns the URL to post to, and the space."""
        if not url:
            raise Undeliverable("No webhook URL is set.")
        try:
            address, space = _address(url, threaded=threaded)
        except (ValueError, httpx.InvalidURL):
            raise Undeliverable("The webhook URL is not valid.") from None
        if self.objection(url):
            raise Undeliverable(NOT_PUBLIC)
        turns = self._spaces.setdefault(space, Space(self._per_minute))
        while wait := turns.wait(id, monotonic()):
            if wait > PATIENCE_SECONDS:
                raise Unavailable("The space's rate limit is reached.", wait)
            await asyncio.sleep(wait)
        return address, turns

    async def _posted(self, address: httpx.URL, message: dict[str, Any], turns: Space) -> str:
        status, after = await self._post(address, message)
        said = in_words(status)
        if 200 <= status < 300:
            return said
        if is_temporary(status):
            if after is not None:
                turns.rest_until(monotonic() + after)
            raise Unavailable(said, after)
        raise Undeliverable(said)

    def objection(self, webhook_url: str) -> str | None:
        host = urlsplit(webhook_url).hostname or ""
        return NOT_PUBLIC if names_private_host(host) and not self._private_hosts else None

    async def _post(self, url: httpx.URL, message: dict[str, Any]) -> tuple[int, float | None]:
        """The response's status and the pause it asks for, in seconds. The body is not read."""
        if self._client is None:
            self._client = client_for(private_hosts=self._private_hosts)
        try:
            async with asyncio.timeout(self._seconds), self._client.stream("POST", url, json=message) as response:
                return response.status_code, retry_after(response.headers.get("retry-after"))
        except NotPublic:
            raise Undeliverable(NOT_PUBLIC) from None
        except TimeoutError:
            raise Unavailable(f"Google Chat did not respond within {self._seconds:g} seconds.") from None
        except httpx.HTTPError as error:
            raise Unavailable(f"Google Chat cannot be reached ({type(error).__name__}).") from None

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()


class Space:
    """A space's token bucket, which reserves tokens in advance: a delivery that has to wait gets a turn of its own, so
    that a thousand waiting messages come back once each, instead of all competing for the next token.

    The bucket holds a third of a minute's messages and refills by the other two thirds in a minute, so that no minute
    has more messages than allowed.
    """

    def __init__(self, per_minute: int) -> None:
        burst = max(1, per_minute // 3)
        self._interval = 60 / (per_minute - burst)
        self._tolerance = (burst - 1) * self._interval
        self._next = -math.inf  # when the bucket will be full but for one token (GCRA's theoretical arrival time)
        self._resting_until = -math.inf
        self._promised: dict[str, float] = {}

    def wait(self, delivery_id: str, now: float) -> float:
        """Seconds until this delivery's turn. At 0 the turn is taken; the next call reserves another one."""
        turn = self._promised.pop(delivery_id, None)
        if turn is None:
            turn = max(now, self._next - self._tolerance)
            self._next = max(now, self._next) + self._interval
        due = max(turn, self._resting_until)
        if due <= now:
            return 0.0
        self._promised = {who: when for who, when in self._promised.items() if when > now - PROMISE_SECONDS}
        self._promised[delivery_id] = turn
        return due - now

    def rest_until(self, when: float) -> None:
        self._resting_until = max(self._resting_until, when)


def _address(webhook_url: str, *, threaded: bool) -> tuple[httpx.URL, str]:
    """The URL to post to, which keeps the webhook's own query, and a key for the space. Raises `ValueError` if it is
    not an HTTP URL."""
    parts = urlsplit(webhook_url)
    option = {"messageReplyOption": "REPLY_MESSAGE_FALLBACK_TO_NEW_THREAD"} if threaded else {}
    query = "&".join(filter(None, [parts.query, urlencode(option)]))
    url = httpx.URL(urlunsplit((parts.scheme, parts.netloc, parts.path, query, "")))
    if url.scheme not in ("https", "http") or not url.host:
        raise ValueError("no HTTP URL")
    return url, f"{url.host}{parts.path}"


def _message(notification: Notification, link: str | None) -> dict[str, Any]:
    headline = _HEADLINES[notification.kind]
    if notification.ticket is None:
        text = "Callout can post to this space."
        return _card(headline, f"{headline}. {text}", [{"textParagraph": {"text": text}}])
    if notification.summary:
        return _summary(notification.summary)
    ticket = notification.ticket
    title = f"{ticket.reference} · {headline}"
    widgets = [
        {"decoratedText": {"topLabel": label, "text": _formatted(text), "wrapText": True}}
        for label, text in _facts(notification, ticket)
    ]
    if excerpt := _excerpt(notification, ticket):
        widgets.append({"textParagraph": {"text": _formatted(excerpt)}})
    if link is not None:
        button = {"text": "Open the ticket", "onClick": {"openLink": {"url": link}}}
        widgets.append({"buttonList": {"buttons": [button]}})
    # The fallback text can mention people and has no escaping: `<users/all>` would notify everyone in the space.
    plain = one_line(ticket.subject).translate({ord("<"): "\u2039", ord(">"): "\u203a"})
    return _card(title, f"{title}: {plain}", widgets) | {"thread": {"threadKey": ticket.id}}


def _summary(lines: Sequence[SummaryLine]) -> dict[str, Any]:
    title = f"{len(lines)} new tickets"
    said = [
        f"{each.reference} · {each.priority.capitalize()} · {one_line(each.subject)}" for each in lines[:LISTED_MAX]
    ]
    if len(lines) > LISTED_MAX:
        said.append(f"… and {len(lines) - LISTED_MAX} more")
    return _card(title, title, [{"textParagraph": {"text": _formatted("\n".join(said))}}])


def _card(title: str, fallback: str, widgets: list[dict[str, Any]]) -> dict[str, Any]:
    card = {"header": {"title": title}, "sections": [{"widgets": widgets}]}
    return {"fallbackText": fallback, "cardsV2": [{"cardId": "notification", "card": card}]}


def _facts(notification: Notification, ticket: TicketFacts) -> list[tuple[str, str]]:
    return [
        ("Subject", one_line(ticket.subject)),
        ("Priority", ticket.priority.value.capitalize()),
        ("Customer", one_line(ticket.customer_name or ticket.contact_name)),
        ("Property", one_line(ticket.property_address or "none")),
        ("Technician", one_line(ticket.technician_name or "Not assigned")),
        ("By", one_line(notification.actor_name)),
    ]


def _excerpt(notification: Notification, ticket: TicketFacts) -> str:
    match notification.kind:
        case NoticeKind.CREATED:
            text = notification.note or ticket.description
        case NoticeKind.DECLINED:
            text = notification.note or ""
        case NoticeKind.NOTE_ADDED | NoticeKind.CUSTOMER_ANSWERED | NoticeKind.REOPENED:
            text = notification.note or "\n".join(one_line(file.name) for file in notification.files)
        case NoticeKind.RESOLVED:
            text = ticket.resolution or ""
        case _:
            text = ""
    return shortened(tidy(text), EXCERPT_MAX)


def _formatted(text: str) -> str:
    """Text for a widget. Widgets understand some HTML, so everything that looks like it is escaped."""
    return escape(text, quote=False).replace("\n", "<br>")
