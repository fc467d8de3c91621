"""Runs pymap with XOAUTH2: `python -m tests.helpers.oauth_imap TOKENS …`, where the file TOKENS has the access tokens
that count now, one on a line. pymap knows the mechanism, but neither offers it nor checks a token."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pymap.config import IMAPConfig
from pymap.main import main
from pysasl import SASLAuth
from pysasl.creds.server import ServerCredentials
from pysasl.mechanism.oauth import OAuth2Mechanism
from pysasl.mechanism.plain import PlainMechanism

TOKENS = Path(sys.argv.pop(1))


class Token(ServerCredentials):
    def __init__(self, user: str, token: str) -> None:
        self.user, self.token = user, token

    @property
    def authcid(self) -> str:
        return self.user

    @property
    def authzid(self) -> str:
        return self.user

    def verify(self, identity: Any) -> bool:
        return self.token in TOKENS.read_text().split()


class CheckedMechanism(OAuth2Mechanism):
    def server_attempt(self, responses: Sequence[Any]) -> Any:
        credentials, _ = super().server_attempt(responses)
        return Token(credentials.authzid, str(credentials._token)), None


IMAPConfig.tls_auth = SASLAuth([PlainMechanism(), CheckedMechanism()])  # type: ignore[assignment,method-assign]

if __name__ == "__main__":
    main()
