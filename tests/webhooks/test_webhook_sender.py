"""One attempt to post a message, to receivers that hang, drop, redirect or are not where they should be."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from notifiers import public_addresses
from notifiers.webhook_sender import NOT_PUBLIC, Endpoint, Posted, WebhookSender
from tests.helpers.process import free_port
from tests.helpers.webhook_receiver import Receiver, receiver

SECRET = bytes(32)


@pytest.fixture(scope="module")
def hook() -> Iterator[Receiver]:
    with receiver() as running:
        yield running


async def posted(url: str, *, private_hosts: bool = True) -> Posted:
    sender = WebhookSender(private_hosts=private_hosts, seconds=0.5)
    async with sender.connected() as client:
        return await sender.post(client, Endpoint(url, [SECRET]), "an id", b"{}")


@pytest.mark.parametrize(
    ("answer", "status", "said"),
    [
        (201, 201, "HTTP 201 Created"),
        (410, 410, "HTTP 410 Gone"),
        ((302, {"location": "https://elsewhere.invalid/"}), 302, "HTTP 302 Found, and redirects are not followed"),
        ("hangs", None, "The receiver did not answer within 0.5 seconds."),
        ("drops", None, "The receiver cannot be reached (RemoteProtocolError)."),
        ("floods", 200, "HTTP 200 OK"),
    ],
)
async def test_the_status_says_whether_a_message_was_acknowledged(
    hook: Receiver, answer: Any, status: int | None, said: str
) -> None:
    hook.answer = lambda got: answer
    made = await posted(hook.url)
    assert (made.status, made.said) == (status, said)
    assert made.acknowledged is (status in (200, 201))
    assert made.gone is (status == 410)


async def test_a_pause_that_is_asked_for_is_bounded(hook: Receiver) -> None:
    for header, seconds in (("7", 7.0), ("9" * 400, 3_600.0), ("soon", None)):
        hook.answer = lambda got, header=header: (503, {"retry-after": header})  # type: ignore[misc]
        assert (await posted(hook.url)).after == seconds


@pytest.mark.parametrize("url", ["https://hooks.invalid/", "https://[x/", "https://a\u0000b/", "https://127.0.0.1:0/"])
async def test_a_wrong_address_is_a_failure(url: str) -> None:
    made = await posted(url)
    assert (made.acknowledged, made.status) == (False, None)
    assert made.said.startswith("The receiver cannot be reached") or made.said.startswith("The URL")


async def test_a_refused_connection_is_a_failure() -> None:
    made = await posted(f"http://127.0.0.1:{free_port()}/")
    assert made.said == "The receiver cannot be reached (ConnectError)."


async def test_nothing_is_posted_to_a_host_that_is_not_public(hook: Receiver) -> None:
    before = len(hook.got)
    assert (await posted(hook.url, private_hosts=False)).said == NOT_PUBLIC
    assert len(hook.got) == before


async def test_a_name_that_leads_to_a_private_host_gets_nothing(
    hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if it led elsewhere when it was entered; it is looked up once, and the connection made to that address."""
    before, real, looked_up = len(hook.got), socket.getaddrinfo, []

    def getaddrinfo(host: Any, port: Any, *options: Any, **more: Any) -> Any:
        looked_up.append(host)
        answer = "127.0.0.2" if len(looked_up) == 1 else "127.0.0.1"
        return real(answer if host == "hooks.example" else host, port, *options, **more)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    url = f"https://hooks.example:{hook.port}/"
    assert (await posted(url, private_hosts=False)).said == NOT_PUBLIC
    public = public_addresses.is_public
    monkeypatch.setattr(public_addresses, "is_public", lambda address: str(address) == "127.0.0.2" or public(address))
    looked_up.clear()
    assert (await posted(url, private_hosts=False)).said == "The receiver cannot be reached (ConnectError)."
    assert looked_up == ["hooks.example"]
    assert len(hook.got) == before
