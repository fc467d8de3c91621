"""Google Chat cards, posted to a real webhook: content, failures, rate limits, and the secrecy of the URL."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import socket
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from db.enums import Audience, NoticeKind, TicketPriority
from notifiers import public_addresses
from notifiers.google_chat import PER_MINUTE, GoogleChat, Space
from notifiers.links import TicketLinks
from notifiers.notification import NotSent, SummaryLine, Unavailable, Undeliverable
from tests.helpers.notifications import LINKS, PUBLIC_URL, notification
from tests.helpers.process import free_port
from tests.helpers.webhook import SECRET, Webhook, webhook

SOON = 0.5  # seconds to wait for an answer that will not come


@pytest.fixture(scope="module")
def shared() -> Iterator[Webhook]:
    with webhook() as running:
        yield running


@pytest.fixture
def space(shared: Webhook) -> Webhook:
    shared.posted.clear()
    shared.answer = (200, {})
    return shared


@pytest.fixture
async def chat() -> AsyncIterator[GoogleChat]:
    made = GoogleChat(LINKS, private_hosts=True, seconds=SOON)
    yield made
    await made.close()


def to_space(url: str | None, kind: NoticeKind = NoticeKind.CREATED, **given: Any) -> Any:
    return notification(kind, Audience.SPACE, recipient="", webhook_url=url, **given)


def widgets_of(message: dict[str, Any]) -> list[dict[str, Any]]:
    (card,) = message["cardsV2"]
    (section,) = card["card"]["sections"]
    widgets: list[dict[str, Any]] = section["widgets"]
    return widgets


def facts_of(message: dict[str, Any]) -> dict[str, str]:
    found = (widget.get("decoratedText") for widget in widgets_of(message))
    return {fact["topLabel"]: fact["text"] for fact in found if fact}


# Content


async def test_a_card_shows_the_facts_of_the_ticket(chat: GoogleChat, space: Webhook) -> None:
    assert await chat.send(to_space(space.url(), NoticeKind.ASSIGNED)) == "HTTP 200 OK"
    (posted,) = space.posted
    assert posted.message["cardsV2"][0]["card"]["header"] == {"title": "TKT-A2B4C3 · Ticket assigned"}
    assert facts_of(posted.message) == {
        "Subject": "Alarm panel beeping after power outage",
        "Priority": "High",
        "Customer": "Maple Court Condominiums",
        "Property": "400 Maple Court, Tower 1, Ottawa",
        "Technician": "Dev Patel",
        "By": "Rosa Lind",
    }
    (button,) = widgets_of(posted.message)[-1]["buttonList"]["buttons"]
    assert button["onClick"] == {"openLink": {"url": f"{PUBLIC_URL}/tickets/TKT-A2B4C3"}}
    assert posted.message["fallbackText"] == ("TKT-A2B4C3 · Ticket assigned: Alarm panel beeping after power outage")


async def test_messages_of_a_ticket_share_a_thread(chat: GoogleChat, space: Webhook) -> None:
    for kind in (NoticeKind.CREATED, NoticeKind.NOTE_ADDED, NoticeKind.RESOLVED, NoticeKind.TEST):
        await chat.send(to_space(space.url(), kind))
    option = "messageReplyOption=REPLY_MESSAGE_FALLBACK_TO_NEW_THREAD"
    path = f"/v1/spaces/AAA/messages?{SECRET}"  # unchanged, including its escapes
    assert [posted.path for posted in space.posted] == [*[f"{path}&{option}"] * 3, path]
    ticket = to_space(space.url()).ticket
    thread = {"threadKey": ticket.id}
    assert [posted.message.get("thread") for posted in space.posted] == [thread, thread, thread, None]


async def test_the_card_has_the_text_of_its_kind(chat: GoogleChat, space: Webhook) -> None:
    for kind, text in (
        (NoticeKind.CREATED, "low battery warning"),
        (NoticeKind.NOTE_ADDED, "Dev will be with you on Thursday at 10."),
        (NoticeKind.RESOLVED, "panel.<br>Tested all zones"),
        (NoticeKind.UNASSIGNED, None),
        (NoticeKind.TEST, "Callout can post to this space."),
    ):
        await chat.send(to_space(space.url(), kind))
        shown = [
            each["textParagraph"]["text"] for each in widgets_of(space.posted[-1].message) if "textParagraph" in each
        ]
        assert len(shown) == (text is not None)
        assert text is None or text in shown[0]


async def test_markup_and_mentions_in_texts_are_escaped(chat: GoogleChat, space: Webhook) -> None:
    evil = "<users/all> <script>alert(1)</script> <https://evil.example|click> <b>& &lt;"
    facts = ("subject", "description", "resolution", "contact_name", "customer_name", "property_address")
    for kind in NoticeKind:
        ticket = dict.fromkeys([*facts, "technician_name"], evil)
        await chat.send(to_space(space.url(), kind, ticket=ticket, note=evil, actor_name=evil, recipient_name=evil))
        message = space.posted[-1].message
        assert "<users" not in json.dumps(message)
        assert "<script" not in json.dumps(message)
        assert "<https" not in json.dumps(message)
        if kind is not NoticeKind.TEST:
            assert facts_of(message)["Subject"] == (
                "&lt;users/all&gt; &lt;script&gt;alert(1)&lt;/script&gt; &lt;https://evil.example|click&gt; &lt;b&gt;"
                "&amp; &amp;lt;"
            )


async def test_long_texts_are_shortened_to_fit_a_message(chat: GoogleChat, space: Webhook) -> None:
    await chat.send(to_space(space.url(), ticket={"description": "<&>日" * 5_000, "subject": "日" * 200}))
    assert int(space.posted[-1].headers["Content-Length"]) < 32_000


async def test_a_summary_lists_new_tickets_up_to_a_number_and_belongs_to_no_thread(
    chat: GoogleChat, space: Webhook
) -> None:
    for number in (2, 60):
        lines = tuple(SummaryLine(f"TKT-{n:06}", TicketPriority.HIGH, f"<b> {n}") for n in range(number))
        await chat.send(to_space(space.url(), summary=lines))
        posted = space.posted[-1]
        (widget,) = posted.message["cardsV2"][0]["card"]["sections"][0]["widgets"]
        listed = widget["textParagraph"]["text"].split("<br>")
        assert listed[0] == "TKT-000000 · High · &lt;b&gt; 0"
        assert listed[2:] == ([] if number == 2 else [*listed[2:50], "… and 10 more"])
        assert posted.message["fallbackText"] == f"{number} new tickets"
        assert "thread" not in posted.message


async def test_without_a_public_url_there_is_no_button(space: Webhook) -> None:
    chat = GoogleChat(TicketLinks(), private_hosts=True)
    await chat.send(to_space(space.url()))
    assert "buttonList" not in json.dumps(space.posted[-1].message)
    await chat.close()


# Failures


@pytest.mark.parametrize(
    ("status", "headers", "outcome", "after"),
    [
        (429, {"Retry-After": "40"}, Unavailable, 40),
        (429, {"Retry-After": " 0 "}, Unavailable, 0),
        (429, {}, Unavailable, None),
        (429, {"Retry-After": "soon"}, Unavailable, None),
        (429, {"Retry-After": "-5"}, Unavailable, None),
        (429, {"Retry-After": "9" * 400}, Unavailable, 3_600),
        (429, {"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}, Unavailable, 0),
        (503, {"Retry-After": "7"}, Unavailable, 7),
        (500, {}, Unavailable, None),
        (502, {}, Unavailable, None),
        (408, {}, Unavailable, None),
        (400, {}, Undeliverable, None),
        (401, {}, Undeliverable, None),
        (403, {}, Undeliverable, None),
        (404, {}, Undeliverable, None),
    ],
)
async def test_the_status_determines_whether_to_retry(
    space: Webhook, status: int, headers: dict[str, str], outcome: type[NotSent], after: float | None
) -> None:
    chat = GoogleChat(LINKS, private_hosts=True)
    space.answer = (status, headers)
    with pytest.raises(outcome, match=f"HTTP {status} ") as refusal:
        await chat.send(to_space(space.url()))
    assert getattr(refusal.value, "after", None) == after
    await chat.close()


async def test_a_retry_after_date_is_understood(chat: GoogleChat, space: Webhook) -> None:
    space.answer = (429, {"Retry-After": format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)})
    with pytest.raises(Unavailable) as refusal:
        await chat.send(to_space(space.url()))
    assert refusal.value.after is not None
    assert 60 < refusal.value.after <= 90


async def test_a_redirect_is_not_followed(chat: GoogleChat, space: Webhook) -> None:
    for status in (301, 302, 303, 307, 308):
        space.answer = (status, {"Location": space.url("elsewhere")})
        with pytest.raises(Undeliverable, match="redirects are not followed"):
            await chat.send(to_space(space.url()))
    assert len(space.posted) == 5


@pytest.mark.parametrize(
    ("answer", "said"), [("hangs", "did not respond within"), ("babbles", "cannot"), ("drops", "cannot")]
)
async def test_a_missing_or_invalid_answer_is_retried(chat: GoogleChat, space: Webhook, answer: str, said: str) -> None:
    space.answer = answer
    with pytest.raises(Unavailable, match=said):
        await chat.send(to_space(space.url()))


async def test_a_refused_connection_is_retried(chat: GoogleChat) -> None:
    with pytest.raises(Unavailable, match="ConnectError"):
        await chat.send(to_space(f"http://127.0.0.1:{free_port()}/v1/spaces/AAA/messages?{SECRET}"))


@pytest.mark.parametrize(
    "url", [None, "", "no url", "ftp://chat.example/x", "https://", "https://[x/", "//x", "http://a:b/"]
)
async def test_an_invalid_webhook_url_is_undeliverable(chat: GoogleChat, url: str | None) -> None:
    with pytest.raises(Undeliverable):
        await chat.send(to_space(url))


async def test_the_url_is_never_shown_or_logged(
    chat: GoogleChat, space: Webhook, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    texts = []
    urls = [space.url(), f"http://127.0.0.1:{free_port()}/spaces/AAA?{SECRET}", f"http://[{SECRET}", f"x{space.url()}"]
    answers: list[Any] = [
        (200, {}),
        (404, {}),
        (302, {"Location": space.url()}),
        (429, {}),
        "hangs",
        "babbles",
        "drops",
    ]
    for url in urls:
        for answer in answers if url == space.url() else answers[:1]:
            space.answer = answer
            try:
                texts.append(await chat.send(to_space(url)))
            except NotSent as error:
                texts += [error.said, repr(error), "".join(traceback.format_exception(error))]
        texts.append(repr(to_space(url)))
    texts += [f"{record.getMessage()} {record.args!r}" for record in caplog.records]
    assert len(texts) > 20
    assert not any("tr0ub" in text or "/spaces/" in text for text in texts)


# Private hosts


@pytest.fixture
async def public_chat(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[GoogleChat]:
    """A channel with the default settings, in a world in which 127.0.0.2 is a public address."""
    public = public_addresses.is_public
    monkeypatch.setattr(public_addresses, "is_public", lambda address: str(address) == "127.0.0.2" or public(address))
    made = GoogleChat(LINKS, seconds=SOON)
    yield made
    await made.close()


def name_server(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Makes every look-up of `chat.example` give the next of the answers, the last one for ever. Returns the hosts that
    are looked up."""
    real = socket.getaddrinfo
    looked_up: list[str] = []

    def getaddrinfo(host: Any, port: Any, *options: Any, **more: Any) -> Any:
        host = host.decode() if isinstance(host, bytes) else host
        looked_up.append(host)
        if host != "chat.example":
            return real(host, port, *options, **more)
        given = answers[min(looked_up.count(host), len(answers)) - 1]
        return [found for address in given for found in real(address, port, *options, **more)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return looked_up


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "0x7f.1", "2130706433", "localhost", "127.0.0.1."])
async def test_nothing_is_posted_to_a_private_host(public_chat: GoogleChat, space: Webhook, host: str) -> None:
    with pytest.raises(Undeliverable, match="CALLOUT_WEBHOOK_PRIVATE_HOSTS"):
        await public_chat.send(to_space(space.url().replace("127.0.0.1", host)))
    assert space.posted == []


async def test_nothing_is_posted_to_a_name_with_private_addresses(
    public_chat: GoogleChat, space: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    name_server(monkeypatch, ["127.0.0.1", "::1", "10.0.0.1"])
    with pytest.raises(Undeliverable, match="CALLOUT_WEBHOOK_PRIVATE_HOSTS"):
        await public_chat.send(to_space(space.url().replace("127.0.0.1", "chat.example")))
    assert space.posted == []


async def test_a_name_that_changes_its_address_after_the_check_gets_nothing(
    public_chat: GoogleChat, space: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody listens at its public address, and the space at its private one."""
    looked_up = name_server(monkeypatch, ["127.0.0.2"], ["127.0.0.1"])
    with pytest.raises(Unavailable, match="ConnectError"):
        await public_chat.send(to_space(space.url().replace("127.0.0.1", "chat.example")))
    assert space.posted == []
    assert looked_up.count("chat.example") == 1


async def test_the_next_public_address_of_a_name_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one refuses connections; the private one in between is left out."""
    monkeypatch.setattr(public_addresses, "is_public", lambda address: str(address) != "127.0.0.3")
    chat = GoogleChat(LINKS, seconds=SOON)
    with webhook() as space:
        name_server(monkeypatch, ["127.0.0.2", "127.0.0.3", "127.0.0.1"])
        await chat.send(to_space(space.url().replace("127.0.0.1", "chat.example")))
        (posted,) = space.posted
        assert posted.headers["Host"] == f"chat.example:{space.port}"
    await chat.close()


async def test_a_name_that_is_not_found_is_tried_again(public_chat: GoogleChat) -> None:
    with pytest.raises(Unavailable, match="ConnectError"):
        await public_chat.send(to_space(f"https://nowhere.invalid/v1/spaces/AAA/messages?{SECRET}"))


# Rate limits


async def test_the_rate_limit_of_one_space_does_not_delay_others(space: Webhook) -> None:
    chat = GoogleChat(LINKS, private_hosts=True, per_minute=6)  # a burst of two, then one every fifteen seconds
    outcomes = await asyncio.gather(
        *(chat.send(to_space(space.url(name))) for name in "AAAAABB"), return_exceptions=True
    )
    assert Counter(posted.path[:12] for posted in space.posted) == {"/v1/spaces/A": 2, "/v1/spaces/B": 2}
    waits = [outcome.after for outcome in outcomes if isinstance(outcome, Unavailable)]
    assert [round(wait or 0) for wait in waits] == [15, 30, 45]  # each has a turn of its own
    await chat.close()


async def test_a_short_wait_for_a_turn_delays_the_send(space: Webhook) -> None:
    # A burst of a hundred, then one every 0.3 seconds.
    chat = GoogleChat(LINKS, private_hosts=True, per_minute=300)
    await asyncio.gather(*(chat.send(to_space(space.url())) for _ in range(102)))
    assert len(space.posted) == 102
    await chat.close()


async def test_a_retry_after_pauses_the_whole_space(space: Webhook) -> None:
    chat = GoogleChat(LINKS, private_hosts=True)
    space.answer = (429, {"Retry-After": "30"})
    first = to_space(space.url())
    with pytest.raises(Unavailable):
        await chat.send(first)
    space.answer = (200, {})
    for message in (first, to_space(space.url())):
        with pytest.raises(Unavailable) as refusal:
            await chat.send(message)
        assert refusal.value.after is not None
        assert 20 < refusal.value.after <= 30
    assert len(space.posted) == 1
    await chat.send(to_space(space.url("BBB")))
    assert len(space.posted) == 2
    await chat.close()


def test_a_thousand_messages_each_get_a_turn_within_the_rate_limit() -> None:
    turns = Space(PER_MINUTE)
    chance = random.Random(7)
    # Each message asks for a turn, gets the seconds to wait, and asks again then or a little later.
    coming = [(0.0, f"d{n}") for n in range(1_000)]
    asked: Counter[str] = Counter()
    went: list[float] = []
    while coming:
        coming.sort(reverse=True)
        now, delivery = coming.pop()
        asked[delivery] += 1
        if wait := turns.wait(delivery, now):
            coming.append((now + wait + chance.random() / 10, delivery))
        else:
            went.append(now)
    assert len(went) == 1_000
    assert max(asked.values()) == 2
    assert all(later - earlier >= 60 - 0.11 for earlier, later in zip(went, went[PER_MINUTE:], strict=False))
    assert went[-1] < 1_000 * 60 / PER_MINUTE * 1.5 + 60
