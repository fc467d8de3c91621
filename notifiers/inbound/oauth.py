"""Access tokens for a mailbox by OAuth 2.0 (RFC 6749), as Microsoft 365 and Gmail demand them instead of a password.

With a refresh token (section 6) a mailbox is read in the name of the person who has consented once. Without one, the
program itself must be allowed to read it (client credentials, section 4.4), which Microsoft offers.
"""

from __future__ import annotations

import logging
import re
import time

import httpx

from notifiers.inbound.imap import MailboxUnavailable, OAuthClient

ANSWER_SECONDS = 30.0
EARLY_SECONDS = 60.0
"""A token is replaced so long before it expires."""

_LIFETIME_SECONDS = 300.0  # of a token whose answer does not say
_TOKEN = re.compile(r"[!-~]{1,10000}")
_ERROR = re.compile(r"[a-zA-Z_.-]{1,60}")


class AccessTokens:
    """The current token, which is fetched when it is needed and kept until shortly before it expires. For one thread at
    a time."""

    def __init__(self, client: OAuthClient) -> None:
        for library in ("httpx", "httpcore"):  # each request is a line of their log
            logging.getLogger(library).setLevel(logging.WARNING)
        self._client = client
        self._refresh_token = client.refresh_token
        self._token: str | None = None
        self._until = 0.0

    def get(self) -> str:
        """Returns a token that is valid for a minute or more. Raises `MailboxUnavailable`, whose text has no secret."""
        if self._token is None or time.monotonic() >= self._until:
            self._fetch()
        assert self._token is not None
        return self._token

    def forget(self) -> None:
        """The server has refused the token."""
        self._token = None

    def _fetch(self) -> None:
        answer = self._answer()
        token = answer.get("access_token")
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise MailboxUnavailable("The OAuth server's answer has no access token.")
        lifetime = answer.get("expires_in")
        seconds = float(lifetime) if isinstance(lifetime, (int, float)) else _LIFETIME_SECONDS
        self._token, self._until = token, time.monotonic() + seconds - EARLY_SECONDS
        renewed = answer.get("refresh_token")  # Microsoft gives a new one each time, and the old one ends some day
        if self._refresh_token is not None and isinstance(renewed, str) and renewed:
            self._refresh_token = renewed

    def _answer(self) -> dict[str, object]:
        form = self._client.request(self._refresh_token)
        try:
            response = httpx.post(self._client.token_url, data=form, timeout=ANSWER_SECONDS, follow_redirects=False)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise MailboxUnavailable(f"The OAuth server cannot be reached ({type(error).__name__}).") from None
        try:
            answer = response.json()
        except ValueError:
            answer = None
        answer = answer if isinstance(answer, dict) else {}
        if response.status_code != httpx.codes.OK:
            said = answer.get("error")
            why = said if isinstance(said, str) and _ERROR.fullmatch(said) else f"HTTP {response.status_code}"
            raise MailboxUnavailable(f"The OAuth server has refused an access token: {why}.")
        return answer
