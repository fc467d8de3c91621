"""Failing mail servers: what is retried, what is not, and that nothing is lost or leaked to an untrusted server."""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import trustme

from notifiers import smtp
from notifiers.notification import NotSent, Unavailable, Undeliverable
from notifiers.smtp import CONNECTIONS_MAX, Smtp
from notifiers.smtp_server import SmtpServer
from tests.helpers.mail_server import PASSWORD, USER, MailServer, mail_server, talker
from tests.helpers.notifications import composer, notification
from tests.helpers.process import free_port

SOON = 0.5  # seconds to wait for a server that will not answer


def channel_to(url: str, **options: Any) -> Smtp:
    return Smtp(SmtpServer.parse(url), composer(), **options)


@pytest.fixture(scope="module")
def shared() -> Iterator[MailServer]:
    with mail_server() as running:
        yield running


@pytest.fixture
def server(shared: MailServer) -> MailServer:
    shared.received.clear()
    shared.replies.clear()
    shared.once.clear()
    shared.asked.clear()
    shared.connections = 0
    return shared


@pytest.fixture
async def channel(server: MailServer) -> AsyncIterator[Smtp]:
    made = channel_to(server.url)
    yield made
    await made.close()


# Replies


@pytest.mark.parametrize(
    ("command", "reply", "outcome"),
    [
        ("RCPT", "550 5.1.1 No such user", Undeliverable),
        ("RCPT", "553 5.1.3 Bad address", Undeliverable),
        ("RCPT", "450 4.2.0 Greylisted", Unavailable),
        ("RCPT", "421 4.3.2 Going down", Unavailable),
        ("RCPT", "452 4.2.2 Mailbox full", Unavailable),
        ("RCPT", "500 5.5.2 Syntax error", Undeliverable),
        ("RCPT", "599 5.7.1 No", Undeliverable),
        *(("RCPT", f"{code} 5.7.0 Authentication required", Unavailable) for code in (530, 534, 535, 538)),
        ("DATA", "554 5.7.1 Looks like spam", Undeliverable),
        ("DATA", "552 5.3.4 Too large", Undeliverable),
        ("DATA", "451 4.3.0 Try again", Unavailable),
        ("DATA", "421 4.3.2 Going down", Unavailable),
        # These are about the sender, which is our configuration: mail must not be given up because of it.
        ("MAIL", "553 5.7.1 Sender not owned by user", Unavailable),
        ("MAIL", "530 5.7.0 Authentication required", Unavailable),
        ("MAIL", "451 4.3.0 Try again", Unavailable),
        ("MAIL", "421 4.3.2 Going down", Unavailable),
        ("MAIL", "552 5.3.4 Too large", Undeliverable),
    ],
)
async def test_the_reply_determines_whether_to_retry(
    channel: Smtp, server: MailServer, command: str, reply: str, outcome: type[NotSent]
) -> None:
    server.replies[command] = reply
    with pytest.raises(NotSent) as refusal:
        await channel.send(notification())
    assert type(refusal.value) is outcome or (outcome is Unavailable and isinstance(refusal.value, Unavailable))
    assert refusal.value.said == reply
    assert server.received == []

    server.replies.clear()
    await channel.send(notification())  # the next mail is sent
    assert len(server.received) == 1


async def test_the_servers_reply_is_returned_as_one_line(channel: Smtp, server: MailServer) -> None:
    assert (await channel.send(notification())).startswith("250 ")
    server.replies["RCPT"] = "550-5.1.1 No such user.\r\n550-\x1b[31mred\x00 \r\n550 " + "x" * 400
    with pytest.raises(Undeliverable) as refusal:
        await channel.send(notification())
    assert refusal.value.said.startswith("550 5.1.1 No such user. [31mred x")
    assert refusal.value.said.isprintable()
    assert len(refusal.value.said) <= 300


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["554 5.7.1 You are blocked"], "554 5.7.1 You are blocked"),
        (["421 4.3.2 Too many connections"], "421 4.3.2"),
        (["220 hello", "550 5.5.1 No EHLO here"], "550 5.5.1"),
        (["HTTP/1.1 400 Bad Request"], "HTTP"),
        ([], "within"),  # no greeting
        (["220 hello"], "within"),
        (["220 hello", "250 fine"], "within"),
    ],
)
async def test_a_server_that_is_not_ready_is_retried(lines: list[str], said: str) -> None:
    with talker(*lines) as port:
        channel = channel_to(f"smtp://127.0.0.1:{port}", seconds=SOON)
        with pytest.raises(Unavailable, match=said):
            await channel.send(notification())
        await channel.close()


async def test_a_refused_connection_is_retried() -> None:
    channel = channel_to(f"smtp://127.0.0.1:{free_port()}")
    with pytest.raises(Unavailable, match="Error connecting to 127"):
        await channel.send(notification())


@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA"])
async def test_a_hanging_server_times_out(server: MailServer, command: str) -> None:
    channel = channel_to(server.url, seconds=SOON)
    await channel.send(notification())
    server.replies[command] = "hang"
    with pytest.raises(Unavailable, match="within"):
        await channel.send(notification())
    server.replies.clear()
    await channel.send(notification())  # not on the connection that still owes an answer
    assert server.connections == 2
    await channel.close()


async def test_the_time_limit_covers_the_whole_mail(server: MailServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Including the wait for a connection: fifteen mails hang on five connections, and one mail never gets any."""
    server.replies["RCPT"] = "hang"
    channel = channel_to(server.url, seconds=SOON)
    said = await asyncio.gather(
        *(channel.send(notification()) for _ in range(3 * CONNECTIONS_MAX)), return_exceptions=True
    )
    assert all(isinstance(each, Unavailable) for each in said)
    await channel.close()

    monkeypatch.setattr(smtp, "CONNECTIONS_MAX", 0)
    channel = channel_to(server.url, seconds=SOON)
    async with asyncio.timeout(10):
        with pytest.raises(Unavailable, match="within"):
            await channel.send(notification())
    await channel.close()


@pytest.mark.parametrize("command", ["MAIL", "RCPT"])
async def test_a_connection_lost_before_the_data_is_retried(channel: Smtp, server: MailServer, command: str) -> None:
    server.replies[command] = "drop"
    with pytest.raises(Unavailable):
        await channel.send(notification())
    assert server.received == []


async def test_a_connection_lost_after_the_data_may_duplicate_the_mail(channel: Smtp, server: MailServer) -> None:
    samples = notification()
    server.replies["DATA"] = "drop"
    with pytest.raises(Unavailable):
        await channel.send(samples)
    server.replies.clear()
    await channel.send(samples)
    first, second = server.received
    assert first == second
    assert first.message["message-id"]


# Connections


async def test_many_mails_share_few_connections(channel: Smtp, server: MailServer) -> None:
    samples = [notification(recipient=f"person{n}@example.com") for n in range(200)]
    await asyncio.gather(*map(channel.send, samples))
    assert server.connections <= CONNECTIONS_MAX
    # Each mail has one recipient and is sent once.
    assert Counter(tuple(mail.recipients) for mail in server.received) == {(each.recipient,): 1 for each in samples}


async def test_a_connection_that_the_server_closed_is_replaced(channel: Smtp, server: MailServer) -> None:
    await channel.send(notification())
    server.hang_up()
    await asyncio.gather(*(channel.send(notification()) for _ in range(10)))
    assert len(server.received) == 11


async def test_an_idle_connection_is_closed(server: MailServer) -> None:
    channel = channel_to(server.url, idle_seconds=0.2)
    for _ in range(2):  # also those opened afterwards
        await asyncio.gather(*(channel.send(notification()) for _ in range(20)))
        assert server.open_connections() > 0
        async with asyncio.timeout(10):
            while server.open_connections() > 0:  # noqa: ASYNC110 (another thread closes them)
                await asyncio.sleep(0.05)
    await channel.send(notification())
    await channel.close()
    assert len(server.received) == 41


async def test_a_connection_closed_on_reuse_loses_no_mail(channel: Smtp, server: MailServer) -> None:
    await channel.send(notification())
    for reply in ("drop", "421 4.4.2 Idle for too long"):
        server.once["MAIL"] = reply
        await channel.send(notification())
    assert len(server.received) == 3
    assert server.connections == 3


async def test_a_refused_recipient_keeps_the_connection(channel: Smtp, server: MailServer) -> None:
    server.replies["RCPT"] = "550 5.1.1 No such user"
    for _ in range(5):
        with pytest.raises(Undeliverable):
            await channel.send(notification())
    server.replies.clear()
    await channel.send(notification())
    assert server.connections == 1
    assert server.received[0].recipients == [notification().recipient]


async def test_a_cancelled_send_leaves_no_partial_mail(channel: Smtp, server: MailServer) -> None:
    server.replies["RCPT"] = "hang"
    task = asyncio.create_task(channel.send(notification()))
    await server.is_asked("RCPT")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    server.replies.clear()
    await channel.send(notification(recipient="other@example.com"))
    assert [mail.recipients for mail in server.received] == [["other@example.com"]]


# TLS and authentication


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def secured(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture
def trusting(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trusts the authority, by the setting that an operator would use."""
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))


def login(user: str = USER, password: str = PASSWORD) -> str:
    return f"{quote(user, safe='')}:{quote(password, safe='')}"


@pytest.mark.usefixtures("trusting")
async def test_mail_is_sent_over_starttls_with_a_password(secured: ssl.SSLContext) -> None:
    with mail_server(starttls=secured) as server:
        channel = channel_to(f"smtp://{login()}@127.0.0.1:{server.port}?tls=starttls")
        await channel.send(notification())
        await channel.close()
    assert len(server.received) == 1
    assert server.authenticated == 1


@pytest.mark.usefixtures("trusting")
async def test_mail_is_sent_over_tls_with_a_password(secured: ssl.SSLContext) -> None:
    with mail_server(tls=secured) as server:
        channel = channel_to(f"smtps://{login()}@127.0.0.1:{server.port}")
        await channel.send(notification())
        await channel.close()
    assert len(server.received) == 1
    assert server.authenticated == 1


@pytest.mark.usefixtures("trusting")
async def test_a_wrong_password_is_retried_and_never_shown(secured: ssl.SSLContext) -> None:
    with mail_server(starttls=secured) as server:
        channel = channel_to(f"smtp://{login(password='tr0ubador')}@127.0.0.1:{server.port}?tls=starttls")
        with pytest.raises(Unavailable) as refusal:
            await channel.send(notification())
        assert refusal.value.said == "535: The mail server rejected the user or password."
        assert "tr0ubador" not in repr(refusal.value.__cause__)
        assert "tr0ubador" not in repr(channel_to(f"smtp://{login(password='tr0ubador')}@127.0.0.1")._server)
    assert server.received == []


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
async def test_an_untrusted_server_gets_neither_mail_nor_password(secured: ssl.SSLContext, scheme: str) -> None:
    kind = {"smtp": "starttls", "smtps": "tls"}[scheme]
    with mail_server(**{kind: secured}) as server:  # type: ignore[arg-type]
        option = "?tls=starttls" if scheme == "smtp" else ""
        channel = channel_to(f"{scheme}://{login()}@127.0.0.1:{server.port}{option}")
        with pytest.raises(Unavailable, match=r"certificate|CERTIFICATE"):
            await channel.send(notification())
    assert (server.received, server.authenticated) == ([], 0)


async def test_a_server_without_starttls_gets_neither_mail_nor_password(server: MailServer) -> None:
    channel = channel_to(f"smtp://{login()}@127.0.0.1:{server.port}?tls=starttls")
    with pytest.raises(Unavailable, match="STARTTLS"):
        await channel.send(notification())
    assert (server.received, server.authenticated, server.asked) == ([], 0, [])


async def test_a_server_without_authentication_is_reported(server: MailServer) -> None:
    channel = channel_to(f"smtp://{login()}@127.0.0.1:{server.port}")
    with pytest.raises(Unavailable, match="AUTH"):
        await channel.send(notification())
    assert server.received == []


# The URL


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://mail.example.com", SmtpServer("mail.example.com", 587, "starttls")),
        ("smtp://mail.example.com:25/?tls=none", SmtpServer("mail.example.com", 25, "none")),
        ("smtps://mail.example.com", SmtpServer("mail.example.com", 465, "tls")),
        ("smtp://localhost:1025", SmtpServer("localhost", 1025, "none")),
        ("smtp://[::1]:25", SmtpServer("::1", 25, "none")),
        (
            "smtp://a%40b.c:p%2F%C3%A4%3A@mail.example.com:2525",
            SmtpServer("mail.example.com", 2525, "starttls", "a@b.c", "p/ä:"),
        ),
    ],
)
def test_a_url_is_parsed_into_a_server(url: str, server: SmtpServer) -> None:
    assert SmtpServer.parse(url) == server


@pytest.mark.parametrize(
    "url",
    [
        "mail.example.com",
        "http://tr0ubador@mail.example.com",
        "smtp://",
        "smtp://user:tr0ub/ador@mail.example.com",
        "smtp://user:tr0ub#ador@mail.example.com",
        "smtp://user:tr0ubador@mail.example.com:99999",
        "smtp://user:tr0ubador@mail.example.com?tls=none",
        "smtp://user:tr0ubador@mail.example.com?tls=maybe",
        "smtp://user:tr0ubador@mail.example.com?starttls=1",
        "smtps://user:tr0ubador@mail.example.com?tls=none",
        "smtp://user:tr0ubador@mail.example.com/inbox",
        "smtp://user:tr0ubador@[mail",
    ],
)
def test_an_invalid_url_is_refused_without_its_secret(url: str) -> None:
    with pytest.raises(ValueError) as refusal:
        SmtpServer.parse(url)
    assert "tr0ub" not in str(refusal.value) + repr(refusal.value.__cause__)
