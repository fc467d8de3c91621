"""Signing in at an identity provider in a browser: OpenID Connect Core 1.0, section 3.1 (authorization code flow), with
PKCE (RFC 7636). Authlib speaks it; here is what we expect of a provider beyond the protocol.

Only an installation with such a provider loads this module, and so Authlib.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2
from authlib.common.errors import AuthlibBaseError  # type: ignore[import-untyped]
from authlib.integrations.starlette_client import OAuthError, StarletteOAuth2App  # type: ignore[import-untyped]
from joserfc.errors import JoseError

from callout.auth.claims import find, in_words, said
from callout.auth.issuers import BrowserClient, TrustedIssuer
from callout.auth.jwks import FRESH
from callout.auth.verifier import LEEWAY_SECONDS, Verified, check_required
from callout.http.errors import AuthenticationUnavailable, Unauthenticated

ANSWER_SECONDS: Final = 5.0
"""For each answer of the provider; twice that for all of a sign-in."""

_UNTRUSTED: Final = "What {label} has answered is not valid."


@dataclass(frozen=True, slots=True)
class BegunSignIn:
    """A sign-in that has begun in a browser, which alone knows this: the name of the provider, what its answer must
    have, and the path to go to in the end."""

    provider: str
    state: str
    nonce: str
    code_verifier: str
    next_path: str


class OpenIdClient:
    """The client of one provider. `base` is the URL that ours begin with."""

    def __init__(self, issuer: TrustedIssuer, browser: BrowserClient, base: str) -> None:
        self.issuer = issuer
        self.label = browser.label or issuer.name
        self._browser = browser
        self._redirect_uri = f"{base}{callback_path(issuer.name)}"
        self._trust = ssl.create_default_context()
        self._app: Any = None
        self._read_at = 0.0

    async def begin(self, next_path: str) -> tuple[str, BegunSignIn]:
        """Returns the provider's URL that the browser goes to. Raises `AuthenticationUnavailable` and
        `Unauthenticated`."""
        made = await self._ask(self._begin())
        return made["url"], BegunSignIn(
            self.issuer.name, made["state"], made["nonce"], made["code_verifier"], next_path
        )

    async def finish(self, begun: BegunSignIn, code: str) -> Verified:
        """Returns what the ID token says that the provider gives for the code. Raises `Unauthenticated`, with a message
        for the person, if there is none or it is not valid, and `AuthenticationUnavailable`."""
        verified = Verified(await self._ask(self._claims(begun, code)), self.issuer.claims, self.issuer)
        check_required(verified.claims, self.issuer)
        return verified

    async def _begin(self) -> Any:
        return await (await self._configured()).create_authorization_url(self._redirect_uri)

    async def _claims(self, begun: BegunSignIn, code: str) -> dict[str, Any]:
        app = await self._configured()
        token = await app.fetch_access_token(self._redirect_uri, code=code, code_verifier=begun.code_verifier)
        expected = {
            "iss": {"essential": True, "value": self.issuer.issuer},
            "aud": {"essential": True, "value": self._browser.client_id},
        }
        claims = await app.parse_id_token(token, begun.nonce, expected, leeway=LEEWAY_SECONDS)
        if claims is None:
            raise ValueError("there is no ID token")
        if self._lacks_claims(claims) and "userinfo_endpoint" in app.server_metadata:
            more = await app.userinfo(token=token)
            if more.get("sub") != claims["sub"]:  # OpenID Connect Core 1.0, section 5.3.2
                raise ValueError(f"UserInfo is about {said(more.get('sub'))}, and the ID token {said(claims['sub'])}")
            return {**more, **claims}
        return dict(claims)

    def _lacks_claims(self, claims: Mapping[str, Any]) -> bool:
        """Whether there may be more in the UserInfo response: some providers keep ID tokens short."""
        mapping = self.issuer.claims
        read: Sequence[Sequence[str]] = (mapping.role, mapping.email, mapping.email_verified, mapping.name)
        return any(all(find(claims, path) is None for path in paths) for paths in read)

    async def _configured(self) -> Any:
        """Authlib's client, with the provider's configuration, which is read again with the keys after `FRESH`
        seconds."""
        if self._app is None or monotonic() > self._read_at + FRESH:
            app = StarletteOAuth2App(
                None,
                self.issuer.name,
                client_id=self._browser.client_id,
                client_secret=self._browser.client_secret,
                server_metadata_url=self.issuer.issuer.rstrip("/") + "/.well-known/openid-configuration",
                client_kwargs={
                    "scope": " ".join(self._browser.scopes),
                    "code_challenge_method": "S256",
                    "timeout": ANSWER_SECONDS,
                    "verify": self._trust,
                },
            )
            app.server_metadata = self._checked(await app.load_server_metadata())
            self._app, self._read_at = app, monotonic()
        return self._app

    def _checked(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The configuration as far as it is used. Raises `ValueError` if it is that of another issuer, or names
        endpoints that are not as private as the issuer."""
        if given.get("issuer") != self.issuer.issuer:
            raise ValueError(f"its configuration is that of another issuer, {said(given.get('issuer'))}")
        found = {name: given[name] for name in (*_NEEDED, "userinfo_endpoint") if name in given}
        if self.issuer.jwks_url is not None:
            found["jwks_uri"] = self.issuer.jwks_url
        secure = ("https",) if self.issuer.issuer.startswith("https:") else ("https", "http")
        for name in (*_NEEDED, *found):
            url = found.get(name)
            if not isinstance(url, str) or urlsplit(url).scheme not in secure:
                raise ValueError(f"its configuration has no {secure[0]} URL in {name}: {said(url)}")
        return {
            **found,
            "_loaded_at": given["_loaded_at"],
            "id_token_signing_alg_values_supported": list(self.issuer.algorithms),
            "token_endpoint_auth_method": self._way_to_show_the_secret(given),
        }

    def _way_to_show_the_secret(self, given: Mapping[str, Any]) -> str:
        if self._browser.client_secret is None:
            return "none"
        ways = given.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        return "client_secret_basic" if "client_secret_basic" in ways else "client_secret_post"

    async def _ask(self, asking: Any) -> Any:
        try:
            async with asyncio.timeout(2 * ANSWER_SECONDS):
                return await asking
        except OAuthError as error:
            raise self._refused(error.error, error.description) from None
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError) as error:
            raise AuthenticationUnavailable(reason=f"{self.issuer.name}: {error or type(error).__name__}") from None
        # Authlib takes the form of what it is sent for granted.
        except (JoseError, AuthlibBaseError, ValueError, LookupError, TypeError, AttributeError) as error:
            reason = f"{self.issuer.name}: {type(error).__name__}: {str(error)[:200]}"
            raise Unauthenticated(_UNTRUSTED.format(label=self.label), reason=reason) from None

    def _refused(self, code: object, description: object) -> Unauthenticated:
        words = f"{self.label} has refused: {in_words(description or code)}"
        return Unauthenticated(words, reason=f"{self.issuer.name} answers {said(code)}: {said(description)}")


_NEEDED: Final = ("authorization_endpoint", "token_endpoint", "jwks_uri")


def callback_path(name: str) -> str:
    """Where a provider sends the browser back to. Each has a path of its own, so that the answer of one is not taken
    for another's (RFC 9700, section 4.4)."""
    return f"/sign-in/with/{name}/back"
