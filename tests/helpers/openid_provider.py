"""A provider of OpenID Connect at which tests decide what it answers, rightly or not."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from tests.helpers.providers import Provider

CLIENT = "the-console"
SECRET = "the secret of the console"


class OpenIdProvider(Provider):
    """`more` is what it says by UserInfo, `authorization` what clients show for a secret. A code works once."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.configuration |= {
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
        }
        self.more: dict[str, Any] | None = None
        self._codes: dict[str, tuple[str, str, str]] = {}

    def signs_in(self, url: str, claims: Mapping[str, Any], **header: Any) -> str:
        """Somebody has come to this URL and signs in; the URL that they are sent back to. The ID token has the claims
        that it should, and these."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        assert url.startswith(f"{self.issuer}/authorize?")
        assert (asked["response_type"], asked["client_id"], asked["code_challenge_method"]) == ("code", CLIENT, "S256")
        assert "openid" in asked["scope"].split()
        token = self.token({"aud": CLIENT, "nonce": asked["nonce"], **claims}, **header)
        code = secrets.token_urlsafe(16)
        self._codes[code] = (token, asked["code_challenge"], asked["redirect_uri"])
        return f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}"

    def answer(self, path: str) -> tuple[int, bytes]:
        if path.endswith("/userinfo"):
            return 200, json.dumps(self.more).encode()
        return super().answer(path)

    def answer_form(self, path: str, form: Mapping[str, str], authorization: str | None) -> tuple[int, bytes]:
        self.asked.append(path)
        shown = base64.b64decode((authorization or "").removeprefix("Basic ")).decode()
        if shown != f"{CLIENT}:{SECRET}":
            return 401, b'{"error": "invalid_client", "error_description": "Who are you?"}'
        token, challenge, redirect_uri = self._codes.pop(form["code"], ("", "", ""))
        verifier = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if base64.urlsafe_b64encode(verifier).decode().rstrip("=") != challenge or form["redirect_uri"] != redirect_uri:
            return 400, b'{"error": "invalid_grant", "error_description": "The code is not valid <any more>."}'
        return 200, json.dumps({"access_token": "a", "token_type": "Bearer", "id_token": token}).encode()
