"""The signature of webhooks' messages, and how a carrier moves its position."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any, cast

import pytest
import standardwebhooks
import svix

from callout.execution.budgets import Allowance, Budget
from callout.webhooks.carrier import Carrier
from callout.webhooks.pace import WebhookPace
from callout.webhooks.turns import Turns
from notifiers.webhook_queue import HeldWebhook
from notifiers.webhook_sender import Endpoint, WebhookSender, new_secret, parse_secret, shown_secret, signed_headers

BODY = '{"type":"ticketChanged","data":{"ticketChanged":{"subject":"日"}}}'.encode()
NOW = 1_764_534_892


def test_both_libraries_accept_the_signature_of_each_secret() -> None:
    previous, current = new_secret(), new_secret()
    headers = signed_headers([current, previous], "0198f0c2", int(time.time()), BODY)
    for secret in (previous, current):
        shown = shown_secret(secret)
        standardwebhooks.Webhook(shown).verify(BODY, headers)
        svix.Webhook(shown).verify(BODY, headers)
        for changed in (headers | {"webhook-id": "another"}, headers | {"webhook-timestamp": str(NOW)}):
            with pytest.raises(standardwebhooks.WebhookVerificationError):
                standardwebhooks.Webhook(shown).verify(BODY, changed)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(shown_secret(new_secret())).verify(BODY, headers)


def test_the_signature_is_that_of_the_specification() -> None:
    """With the secret, id, time and body of its examples."""
    secret = parse_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signed_headers([secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b'{"test": 2432232314}')
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    "secret",
    ["", "whsec_", "whsec_c2hvcnQ=", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_é", "whsec_" + "A" * 92, "whsec_A"],
)
def test_a_secret_that_is_none_is_refused(secret: str) -> None:
    with pytest.raises(ValueError):
        parse_secret(secret)


def test_pauses_double_up_to_a_bound() -> None:
    pace = WebhookPace(retry=5)
    for failures, seconds in ((1, 5), (2, 10), (5, 80), (11, 3_600), (10_000, 3_600)):
        assert 0.5 * seconds <= pace.pause(failures) <= 1.5 * seconds


@pytest.mark.parametrize(
    ("url", "private_hosts", "accepted"),
    [
        ("https://hooks.example.com/x", False, True),
        ("http://hooks.example.com/x", True, False),
        ("https://127.0.0.1/", False, False),
        ("https://[::ffff:10.0.0.1]/", False, False),
        ("https://2130706433/", False, False),
        ("https://localhost/", False, False),
        ("http://127.0.0.1:8080/", True, True),
    ],
)
def test_urls_lead_to_the_public_internet_by_tls(url: str, private_hosts: bool, accepted: bool) -> None:
    assert (WebhookSender(private_hosts=private_hosts).objection(url) is None) is accepted


def carrier(position: str, tools: Any = None) -> Carrier:
    author = {"author_role": "ADMIN", "author_id": "boss", "author_name": "The Boss", "author_scope": None}
    row = {"id": "0", "claim": 1, "position": position, "author_time_zone": "UTC"} | author
    return Carrier(row, cast(Any, tools))


def test_an_idle_webhook_moves_along_with_the_log_and_never_back() -> None:
    idle = carrier("5:5:/1")
    assert idle.reached("9:9:/2") is None  # it is new, and has not looked yet
    idle._news.clear()
    assert idle.reached("9:9:/2") == "9:9:/2"
    assert idle.reached("7:7:/3") == "9:9:/2"
    idle.store("9:9:/2")
    assert idle.reached("9:9:/2") is None


async def test_a_webhook_reads_nothing_before_its_author_has_paid_for_what_it_has_read() -> None:
    budget = Budget(Allowance(6_000.0, 2))
    feed = SimpleNamespace(overdrawn=0.0)
    paused: list[float] = []

    async def pause(seconds: float) -> None:
        paused.append(seconds)
        feed.overdrawn = 0.0

    paying = carrier("5:5:/1", SimpleNamespace(turns=Turns(1)))
    paying._pause = pause  # type: ignore[method-assign]
    for owed in (0.0, 9_000.0):
        budget.owe(owed)
        feed.overdrawn = budget.overdrawn
        async with paying._turn(feed):  # type: ignore[arg-type]
            pass
    assert len(paused) == 1
    assert 29 < paused[0] <= 30


async def test_a_webhook_whose_message_has_failed_keeps_its_position_until_it_is_acknowledged() -> None:
    """However long it waits for the next attempt, and whatever happens meanwhile."""
    looked = asyncio.Event()

    async def look(webhook_id: str, claim: int) -> HeldWebhook:
        looked.set()
        return HeldWebhook("5:5:/1", Endpoint("https://hooks.invalid/", []), 1, 60.0, lost=None)

    async def nothing(*_: object) -> Any:
        return SimpleNamespace(feed=SimpleNamespace(routes=frozenset(), quick_test=None))

    hub = SimpleNamespace(watch=lambda watch: None, unwatch=lambda watch: None, awake=nothing)
    tools = SimpleNamespace(queue=SimpleNamespace(look=look), hub=hub)
    failing = carrier("5:5:/1", tools)
    failing._subscription = nothing  # type: ignore[method-assign]
    running = asyncio.create_task(failing.run())
    await looked.wait()
    await asyncio.sleep(0)
    assert not failing.idle
    failing._wake("7:7:/2")
    assert failing.reached("9:9:/3") is None
    failing.stop()
    await running


def test_a_webhook_that_is_woken_keeps_its_position_until_it_has_looked() -> None:
    woken = carrier("5:5:/1")
    woken._news.clear()
    woken._wake("7:7:/2")
    assert woken.reached("9:9:/3") is None
    woken._news.clear()
    assert woken.reached("7:7:/2") == "7:7:/2"
