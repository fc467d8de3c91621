"""A mailbox that is read with access tokens: a real IMAP server, and an OAuth server of this machine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from notifiers.inbound.imap import Account, ImapMailbox, LoginRefused, MailboxUnavailable, OAuthClient
from notifiers.inbound.oauth import AccessTokens
from tests.helpers.inbound_mail import OURS, ImapServer, Pipe, at_most, environment, imap_server, message
from tests.helpers.oauth_server import OAuthServer, oauth_server


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("oauth")


@pytest.fixture(scope="module")
def running(directory: Path) -> Iterator[OAuthServer]:
    with oauth_server(directory) as server:
        yield server


@pytest.fixture
def oauth(running: OAuthServer) -> Iterator[OAuthServer]:
    running.tokens.write_text("")
    running.refresh, running.lifetime, running.answer = "refresh-0", 3_600, None
    running.asked.clear()
    yield running


@pytest.fixture(scope="module")
def mailbox(directory: Path, running: OAuthServer) -> Iterator[ImapServer]:
    with imap_server(directory, running.tokens) as server:
        yield server


@pytest.fixture
def reader(database_url: str, directory: Path, oauth: OAuthServer, mailbox: ImapServer) -> Pipe:
    settings = {"database_url": database_url, "data_dir": str(directory), "mail_from": f"Callout <{OURS}>"}
    settings |= {"imap_url": f"imap://{mailbox.user}@127.0.0.1:{mailbox.port}/INBOX", "imap_oauth_client_id": "callout"}
    settings |= {"imap_oauth_token_url": oauth.url, "imap_oauth_client_secret": "s3cret", "env": "production"}
    return Pipe(environment(**settings, jwt_secret="s" * 48))


async def test_a_mailbox_is_emptied_with_a_refresh_token(reader: Pipe, oauth: OAuthServer, mailbox: ImapServer) -> None:
    with_token = Pipe(reader.environment | {"CALLOUT_IMAP_OAUTH_REFRESH_TOKEN": "refresh-0"})
    mailbox.put(message("ann@bell.test", "By token."))
    done = await asyncio.to_thread(with_token, b"", "--imap", "--once")
    assert (done.returncode, done.stdout.split()[0]) == (0, b"TICKET_CREATED"), done.stderr
    assert mailbox.count("UNSEEN") == 0
    grant = {"grant_type": "refresh_token", "refresh_token": "refresh-0"}
    assert oauth.asked == [{"client_id": "callout", "client_secret": "s3cret", **grant}]


async def test_a_mailbox_is_emptied_with_client_credentials(reader: Pipe, oauth: OAuthServer) -> None:
    scope = "https://outlook.office365.com/.default"
    done = await asyncio.to_thread(
        Pipe(reader.environment | {"CALLOUT_IMAP_OAUTH_SCOPE": scope}), b"", "--imap", "--once"
    )
    assert done.returncode == 0, done.stderr
    grant = {"grant_type": "client_credentials", "scope": scope}
    assert oauth.asked == [{"client_id": "callout", "client_secret": "s3cret", **grant}]


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"CLIENT_SECRET": "wr0ng"}, b"The OAuth server has refused an access token: invalid_client."),
        ({"REFRESH_TOKEN": "wr0ng"}, b"The OAuth server has refused an access token: invalid_grant."),
        ({"TOKEN_URL": "http://127.0.0.1:1/wr0ng"}, b"The OAuth server cannot be reached (ConnectError)."),
    ],
)
async def test_a_failure_is_reported_without_secrets(reader: Pipe, changed: dict[str, str], why: bytes) -> None:
    named = {f"CALLOUT_IMAP_OAUTH_{name}": value for name, value in changed.items()}
    done = await asyncio.to_thread(Pipe(reader.environment | named), b"", "--imap", "--once")
    assert (done.returncode, why in done.stderr) == (1, True), done.stderr
    assert b"wr0ng" not in done.stderr and b"s3cret" not in done.stderr


async def test_a_token_serves_until_it_is_refused(reader: Pipe, oauth: OAuthServer, mailbox: ImapServer) -> None:
    """It is fetched once, then used for each look into the mailbox; after a refusal another one is fetched, by the
    refresh token that came with the first."""
    with_token = Pipe(reader.environment | {"CALLOUT_IMAP_OAUTH_REFRESH_TOKEN": "refresh-0"})
    with with_token.start("--imap", "--every", "1s") as child, at_most(60, child):
        assert child.stdout is not None and child.stderr is not None
        try:
            for n in range(2):
                mailbox.put(message("ann@bell.test", f"Look {n}."))
                assert (await asyncio.to_thread(child.stdout.readline)).startswith(b"TICKET_CREATED")
            assert len(oauth.asked) == 1
            oauth.tokens.write_text("")
            mailbox.put(message("ann@bell.test", "After a revocation."))
            assert (await asyncio.to_thread(child.stdout.readline)).startswith(b"TICKET_CREATED")
            assert b"trying again" in await asyncio.to_thread(child.stderr.readline)
        finally:
            child.terminate()
    assert [form["refresh_token"] for form in oauth.asked] == ["refresh-0", "refresh-1"]


def client_of(oauth: OAuthServer) -> OAuthClient:
    return OAuthClient(oauth.url, "callout", "s3cret", None, None)


def test_a_token_is_replaced_a_minute_before_it_expires(oauth: OAuthServer, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens, now = AccessTokens(client_of(oauth)), time.monotonic()
    got = []
    for later in (0, 3_530, 3_550, 7_080):
        monkeypatch.setattr(time, "monotonic", lambda later=later: now + later)
        got.append(tokens.get())
    assert got == ["access-1", "access-1", "access-2", "access-2"]


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        (200, b"[]", "has no access token"),
        (200, b"{", "has no access token"),
        (200, b'{"access_token": "a\\u0001b"}', "has no access token"),
        (200, b'{"access_token": 5}', "has no access token"),
        (302, b"", "HTTP 302"),
        (500, b'{"error": "a b\\r\\n<c>"}', "HTTP 500"),
        (400, b'{"error": "invalid_scope"}', "invalid_scope"),
    ],
)
def test_an_unusable_answer_is_a_failure(oauth: OAuthServer, status: int, body: bytes, why: str) -> None:
    oauth.answer = (status, body)
    with pytest.raises(MailboxUnavailable, match=why):
        AccessTokens(client_of(oauth)).get()


def test_a_refused_login_differs_from_a_server_that_is_down(mailbox: ImapServer) -> None:
    account = Account.of(f"imap://{mailbox.user}@127.0.0.1:{mailbox.port}")
    with pytest.raises(LoginRefused), ImapMailbox.open(account, "no such token"):
        pass
    nobody = Account.of("imap://support@127.0.0.1:1")
    with pytest.raises(MailboxUnavailable) as down, ImapMailbox.open(nobody, "x"):
        pass
    assert not isinstance(down.value, LoginRefused)
    assert "no such token" not in repr(Account.of("imap://u:no%20such%20token@h")) + repr(account)
