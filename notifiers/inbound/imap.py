"""A mailbox read over IMAP (RFC 3501): its unseen messages, each marked as seen once it is processed.

The standard library's calls block, so they run in a thread, one at a time. Nobody else may use the mailbox: a message
that is opened elsewhere is marked as seen, and never processed here.
"""

from __future__ import annotations

import imaplib
import re
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import unquote

from db.errors import Failure
from db.postgres.url import server_url

ANSWER_SECONDS = 30.0

_PORTS = {"imap": 143, "imaps": 993}
_PRINTABLE = re.compile(r"[ -~]+")


class MailboxUnavailable(Failure):
    """The mailbox cannot be read now. The text is the reason, and never contains the password."""


class LoginRefused(MailboxUnavailable):
    """The server does not take the credentials."""


@dataclass(frozen=True, slots=True)
class Account:
    """A mailbox on a server, and the credentials for it. Without a password it takes a token (`oauth.py`)."""

    encrypted: bool
    host: str
    port: int
    user: str
    password: str | None = field(repr=False)
    mailbox: str

    @classmethod
    def of(cls, url: str) -> Self:
        """Parse `imaps://user:password@host:port/mailbox`, in which the password may be missing. Raises `ValueError`,
        whose text contains no password, if it is not of this form."""
        parts = server_url(url)
        if parts.scheme not in _PORTS:
            raise ValueError("must start with imaps://")
        if not (parts.hostname and parts.username):
            raise ValueError("must contain a user and a host: imaps://user:password@host/INBOX")
        mailbox = unquote(parts.path.lstrip("/")) or "INBOX"
        user, password = unquote(parts.username), unquote(parts.password or "") or None
        if not all(map(_PRINTABLE.fullmatch, filter(None, (user, password, mailbox)))):
            raise ValueError("must have only printable ASCII characters in user, password and mailbox")
        return cls(
            encrypted=parts.scheme == "imaps",
            host=parts.hostname,
            port=parts.port or _PORTS[parts.scheme],
            user=user,
            password=password,
            mailbox=mailbox,
        )


@dataclass(frozen=True, slots=True)
class OAuthClient:
    """How to ask an OAuth server for access tokens. The `secret` may be None for a public client."""

    token_url: str
    id: str
    secret: str | None = field(repr=False)
    refresh_token: str | None = field(repr=False)
    scope: str | None

    def request(self, refresh_token: str | None) -> dict[str, str]:
        """The form to send."""
        form = {"client_id": self.id}
        if self.secret is not None:
            form["client_secret"] = self.secret
        if self.scope is not None:
            form["scope"] = self.scope
        if refresh_token is None:
            return form | {"grant_type": "client_credentials"}
        return form | {"grant_type": "refresh_token", "refresh_token": refresh_token}


class ImapMailbox:
    """An open mailbox. Every method raises `MailboxUnavailable` if the server fails."""

    def __init__(self, connection: imaplib.IMAP4) -> None:
        self._connection = connection

    @classmethod
    @contextmanager
    def open(cls, account: Account, token: str | None = None) -> Iterator[Self]:
        """Connect, log in with the password or the access token, and select the mailbox; log out at the end of the
        block. Raises `MailboxUnavailable`, and `LoginRefused` if the server does not take the credentials."""
        with _said():
            if account.encrypted:
                context = ssl.create_default_context()
                connection: imaplib.IMAP4 = imaplib.IMAP4_SSL(
                    account.host, account.port, ssl_context=context, timeout=ANSWER_SECONDS
                )
            else:
                connection = imaplib.IMAP4(account.host, account.port, timeout=ANSWER_SECONDS)
        try:
            with _said():
                _log_in(connection, account, token)
                _done(connection.select(_quoted(account.mailbox)))
            yield cls(connection)
        finally:
            with suppress(imaplib.IMAP4.error, OSError):
                connection.logout()

    def unseen(self) -> list[str]:
        """Returns the UIDs of the unseen messages, oldest first."""
        with _said():
            found = _done(self._connection.uid("SEARCH", "UNSEEN"))
        return [uid.decode("ascii") for part in found if isinstance(part, bytes) for uid in part.split()]

    def read(self, uid: str, most: int) -> bytes | None:
        """Returns a message's first `most` bytes without marking it as seen, or None if it is gone."""
        with _said():
            answer = _done(self._connection.uid("FETCH", uid, f"(BODY.PEEK[]<0.{most}>)"))
        return next((part[1] for part in answer if isinstance(part, tuple)), None)

    def mark(self, uid: str) -> None:
        """Mark a message as seen, so that `unseen` no longer returns it."""
        with _said():
            _done(self._connection.uid("STORE", uid, "+FLAGS.SILENT", r"(\Seen)"))


def _log_in(connection: imaplib.IMAP4, account: Account, token: str | None) -> None:
    try:
        if token is None:
            connection.login(_quoted(account.user), account.password or "")
        else:
            connection.authenticate("XOAUTH2", _xoauth2(account.user, token))
    except imaplib.IMAP4.abort:
        raise
    except imaplib.IMAP4.error as error:
        raise LoginRefused(f"The mailbox cannot be read: {_text(error)}") from error


def _xoauth2(user: str, token: str) -> Callable[[bytes], bytes]:
    """Answers the server's challenges as Google and Microsoft define it. The first is empty; another one is a refusal,
    which is answered by nothing so that the server ends the exchange."""

    def answer(challenge: bytes) -> bytes:
        return b"" if challenge else f"user={user}\1auth=Bearer {token}\1\1".encode()

    return answer


@contextmanager
def _said() -> Iterator[None]:
    try:
        yield
    except (imaplib.IMAP4.error, OSError) as error:
        raise MailboxUnavailable(f"The mailbox cannot be read: {_text(error)}") from error


def _text(error: Exception) -> str:
    said = error.args[0] if error.args and isinstance(error, imaplib.IMAP4.error) else error
    text = said.decode("ascii", "replace") if isinstance(said, bytes) else str(said)
    return text[:200] or type(error).__name__


def _done(answer: tuple[str, list[Any]]) -> list[Any]:
    status, data = answer
    if status != "OK":
        raise imaplib.IMAP4.error(data[0] if data else status)
    return data


def _quoted(text: str) -> str:
    """A quoted string of IMAP (RFC 3501, section 4.3), for a text without line ends."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
