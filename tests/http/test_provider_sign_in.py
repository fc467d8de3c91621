"""Signing in in a browser at a provider of OpenID Connect: who gets in, and what is refused."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest

from callout.auth.issuers import parse_issuers
from callout.http import provider_sign_in, session_cookie
from tests.helpers.api import Api, Server
from tests.helpers.database_checks import Database
from tests.helpers.openid_provider import CLIENT, SECRET, OpenIdProvider
from tests.helpers.providers import Providers, providers
from tests.helpers.sessions import headers, new_admin, some_address

ROLES = {"staff": "admin", "field": "technician", "robot": "service"}
STARTED = "/sign-in/with/acme"


def settings_of(name: str, **more: Any) -> dict[str, Any]:
    browser = {"client_id": CLIENT, "client_secret": SECRET, "label": "Acme & Sons"}
    claims = {"role": "groups", "roles": ROLES, "link_by_email": True}
    return {"name": name, "audience": "callout", "claims": claims, "browser": browser, **more}


@pytest.fixture(scope="module")
def running() -> Iterator[Providers]:
    with providers() as found:
        yield found


@pytest.fixture(scope="module")
def acme(running: Providers) -> OpenIdProvider:
    return running.add_as(OpenIdProvider, "/acme", settings_of("acme", require={"tenant": "one"}))


@pytest.fixture(scope="module")
def other(running: Providers) -> OpenIdProvider:
    """Another provider, whose ID tokens are short, and whose secret is in a file."""
    provider = running.add_as(OpenIdProvider, "/other", settings_of("other"))
    provider.configuration["userinfo_endpoint"] = f"{provider.issuer}/userinfo"
    return provider


@pytest.fixture(scope="module")
def server_settings(
    running: Providers, acme: OpenIdProvider, other: OpenIdProvider, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    file = tmp_path_factory.mktemp("secrets") / "client"
    file.write_text(SECRET + "\n")
    browser = other.settings["browser"]
    other.settings["browser"] = {"client_id": browser["client_id"], "client_secret_file": str(file)}
    return {
        "jwt_issuers": running.setting,
        "public_url": "https://callout.example",
        "trusted_proxies": "127.0.0.1",  # so that each browser has attempts of its own
    }


@dataclass
class Browser:
    """A browser that keeps cookies, at pages of this server, with an address of its own."""

    client: httpx.AsyncClient
    cookies: dict[str, str] = field(default_factory=dict)
    address: str = field(default_factory=some_address)

    async def get(self, url: str, **more: str) -> httpx.Response:
        """Opens a page of the server, by whatever name of a host."""
        path = url.removeprefix("https://callout.example")
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        given = {"cookie": cookies, "x-forwarded-for": self.address}
        answer = await self.client.get(path, headers=given | more)
        for line in answer.headers.get_list("set-cookie"):
            name, _, rest = line.partition("=")
            assert name.startswith("__Host-") and "; Secure; HttpOnly; SameSite=Lax" in rest
            self.cookies[name] = rest.partition(";")[0]
            if "Max-Age=0;" in rest:
                del self.cookies[name]
        return answer

    async def begins(self, path: str = STARTED) -> str:
        """Begins to sign in, and returns the URL of the provider."""
        answer = await self.get(path)
        assert answer.status_code == 303, answer.text
        return answer.headers["location"]

    @property
    def secret(self) -> str | None:
        return self.cookies.get(session_cookie.NAME)

    async def who(self) -> str | None:
        """The id of the person who is signed in."""
        given = headers(self.secret or "")
        answer = await self.client.post("/graphql", json={"query": "{ me { id: subject } }"}, headers=given)
        return str(answer.json()["data"]["me"]["id"]) if answer.status_code == 200 else None


@pytest.fixture
async def browser(server: Server) -> Any:
    async with httpx.AsyncClient(base_url=server.url, verify=False) as client:
        yield Browser(client)


def claims_of(subject: str, groups: list[str], email: str, **more: Any) -> dict[str, Any]:
    return {
        "sub": subject,
        "name": "Grace Hopper",
        "email": email,
        "email_verified": True,
        "groups": groups,
        "tenant": "one",
        **more,
    }


@pytest.fixture
async def admin(server: Server) -> dict[str, Any]:
    """The claims of an admin who is known here."""
    key = await new_admin(server.database_url)
    return claims_of(f"subject of {key}", ["everybody", "staff"], f"{key[:8]}@admins.example") | {"_key": key}


async def email_of(database: Database, technician: str) -> str:
    return str(await database.fetchval(f"SELECT email FROM technicians WHERE id = '{technician[4:]}'"))


async def test_an_admin_signs_in(
    browser: Browser, acme: OpenIdProvider, admin: dict[str, Any], database: Database
) -> None:
    url = await browser.begins(f"{STARTED}?next=/tickets/TKT-A1B2C3")
    done = await browser.get(acme.signs_in(url, admin), **{"sec-fetch-site": "cross-site"})
    assert (done.status_code, done.headers["location"]) == (303, "/tickets/TKT-A1B2C3")
    assert await browser.who() == f"adm_{admin['_key']}"
    assert provider_sign_in.COOKIE not in browser.cookies
    session = "SELECT actor_id FROM audit_entries WHERE object_kind = 'SESSION' AND action = 'CREATED' ORDER BY at DESC"
    assert await database.fetchval(session) == f"adm_{admin['_key']}"


async def test_a_technician_is_linked_once_and_stays_who_they_are(
    browser: Browser, acme: OpenIdProvider, api: Api, database: Database
) -> None:
    technician = await api.new_technician()
    claims = claims_of("field-1", ["field"], await email_of(database, technician))
    done = await browser.get(acme.signs_in(await browser.begins(), claims))
    assert done.headers["location"] == "/tech"
    assert await browser.who() == technician
    moved = claims_of("field-1", ["field"], "another@address.example")
    await browser.get(acme.signs_in(await browser.begins(), moved))
    assert await browser.who() == technician
    identity = await database.fetchval("SELECT id FROM identities WHERE subject = 'field-1'")
    await api.done("identityRevoke", "__typename", identityId=f"idn_{identity}")
    assert await database.fetchval(f"SELECT count(*) FROM sessions WHERE technician_id = '{technician[4:]}'") == 0
    assert (await browser.get(acme.signs_in(await browser.begins(), moved))).status_code == 403


async def test_what_an_id_token_lacks_is_asked_for(
    browser: Browser, other: OpenIdProvider, admin: dict[str, Any]
) -> None:
    other.more = admin
    short = {"sub": admin["sub"]}
    done = await browser.get(other.signs_in(await browser.begins("/sign-in/with/other"), short))
    assert done.status_code == 303, done.text
    assert await browser.who() == f"adm_{admin['_key']}"
    other.more = admin | {"sub": "somebody else"}
    refused = await browser.get(other.signs_in(await browser.begins("/sign-in/with/other"), short))
    assert refused.status_code == 403


NOW = int(time.time())
_REFUSED: dict[str, dict[str, Any]] = {
    "another nonce": {"nonce": "another"},
    "no nonce": {"nonce": None},
    "expired": {"iat": NOW - 4_000, "exp": NOW - 60},
    "issued in the future": {"iat": NOW + 600, "exp": NOW + 4_000},
    "for another client": {"aud": "another"},
    "for other clients as well": {"aud": [CLIENT, "another"]},
    "by another party": {"azp": "another"},
    "of another issuer": {"iss": "https://another.example"},
    "of another tenant": {"tenant": "two"},
    "an address that is not verified": {"email_verified": False},
    "an address of which nothing is said": {"email_verified": None},
    "an unknown address": {"email": "nobody@admins.example"},
    "a role that was withdrawn": {"groups": ["everybody"]},
    "the least of several roles": {"groups": ["staff", "field"]},
    "a program": {"groups": ["robot"]},
}


@pytest.mark.parametrize("wrong", _REFUSED.values(), ids=_REFUSED)
async def test_an_id_token_that_is_not_right_signs_nobody_in(
    browser: Browser, acme: OpenIdProvider, admin: dict[str, Any], wrong: dict[str, Any]
) -> None:
    refused = await browser.get(acme.signs_in(await browser.begins(), admin | wrong))
    assert refused.status_code == 403
    assert "You are not signed in" in refused.text and "Acme &amp; Sons" in refused.text
    assert browser.cookies == {}


async def test_only_keys_of_the_provider_count(
    browser: Browser,
    acme: OpenIdProvider,
    other: OpenIdProvider,
    admin: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for algorithm, key in (("none", ""), ("HS256", SECRET * 2), ("ES256", None)):
        with monkeypatch.context() as patch:
            if key is None:
                patch.setattr(acme, "algorithm", algorithm)
            else:
                patch.setattr(acme, "token", lambda claims, a=algorithm, k=key: _signed(acme, claims, k, a))
            refused = await browser.get(acme.signs_in(await browser.begins(), admin))
        assert refused.status_code == 403, algorithm
        assert browser.secret is None


def _signed(provider: OpenIdProvider, claims: Mapping[str, Any], key: str, algorithm: str) -> str:
    now = int(time.time())
    return jwt.encode(
        {"iss": provider.issuer, "iat": now, "exp": now + 60, **claims}, key, algorithm, {"kid": provider.kid}
    )


async def test_an_admin_who_was_deactivated_does_not_sign_in(
    browser: Browser, acme: OpenIdProvider, admin: dict[str, Any], database: Database
) -> None:
    await database.execute(f"UPDATE admins SET active = false WHERE id = '{admin['_key']}'")
    refused = await browser.get(acme.signs_in(await browser.begins(), admin))
    assert (refused.status_code, browser.secret) == (403, None)


async def test_one_signs_in_only_where_one_has_begun_to(
    browser: Browser, server: Server, acme: OpenIdProvider, admin: dict[str, Any]
) -> None:
    """Otherwise a link could sign somebody in as its author."""
    url = acme.signs_in(await browser.begins(), admin)
    async with httpx.AsyncClient(base_url=server.url, verify=False) as client:
        victim = Browser(client)
        assert (await victim.get(url)).status_code == 400
        await victim.begins()
        assert (await victim.get(url)).status_code == 400
        begun = dict(victim.cookies)
        assert begun == {}
        await victim.begins("/sign-in/with/other")
        assert (await victim.get(url)).status_code == 400
        for nonsense in ("", "e30", "bnVsbA", "W10", "%"):
            victim.cookies = {provider_sign_in.COOKIE: nonsense}
            assert (await victim.get(url)).status_code == 400
        assert victim.secret is None
    assert (await browser.get(url)).status_code == 303
    again = await browser.get(url)
    assert again.status_code == 400


async def test_a_code_works_once(browser: Browser, acme: OpenIdProvider, admin: dict[str, Any]) -> None:
    url = acme.signs_in(await browser.begins(), admin)
    begun = dict(browser.cookies)
    assert (await browser.get(url)).status_code == 303
    browser.cookies = begun
    refused = await browser.get(url)
    assert refused.status_code == 403
    assert "has refused: The code is not valid &lt;any more&gt;." in refused.text


async def test_what_the_provider_says_is_shown_in_words(browser: Browser, acme: OpenIdProvider) -> None:
    for error, words in (
        ("access_denied&error_description=x", "You, or Acme &amp; Sons, have declined."),
        ("server_error&error_description=Out+of+<b>order", "Acme &amp; Sons says: Out of &lt;b&gt;order"),
        ("temporarily_unavailable", "Acme &amp; Sons says: temporarily_unavailable"),
    ):
        state = parse_qs(urlsplit(await browser.begins()).query)["state"][0]
        elsewhere = await browser.get(f"{STARTED}/back?state=x&error={error}")
        assert words not in elsewhere.text  # anybody could have made that link
        state = parse_qs(urlsplit(await browser.begins()).query)["state"][0]
        shown = await browser.get(f"{STARTED}/back?state={state}&error={error}")
        assert (shown.status_code, words in shown.text) == (403, True)


async def test_a_provider_that_is_away_is_said_to_be(
    browser: Browser, acme: OpenIdProvider, other: OpenIdProvider, admin: dict[str, Any]
) -> None:
    url = acme.signs_in(await browser.begins(), admin)
    acme.behaviour = "fails"
    try:
        away = await browser.get(url)
    finally:
        acme.behaviour = "well"
    assert (away.status_code, browser.secret) == (503, None)
    assert "Nobody can sign in at the moment." in away.text


@pytest.mark.parametrize(
    "path",
    ["https://other.example/", "//other.example", "/\\other.example", "/sign-in", "\n/x", f"/tickets?q={'x' * 3_000}"],
)
async def test_nobody_is_sent_to_another_site(
    browser: Browser, acme: OpenIdProvider, admin: dict[str, Any], path: str
) -> None:
    begun = await browser.get(str(httpx.URL(STARTED, params={"next": path})))
    done = await browser.get(acme.signs_in(begun.headers["location"], admin))
    assert (done.status_code, done.headers["location"]) == (303, "/")


async def test_a_page_of_another_site_begins_nothing(browser: Browser) -> None:
    for site in ("cross-site", "same-site"):
        answer = await browser.get(f"{STARTED}?next=/x", **{"sec-fetch-site": site})
        assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?next=/x")
        assert browser.cookies == {}


async def test_the_page_has_a_button_for_each_provider(browser: Browser) -> None:
    page = await browser.get("/sign-in?next=/a%22%3E")
    assert "Sign in with Acme &amp; Sons</a>" in page.text and "Sign in with other</a>" in page.text
    assert 'href="/sign-in/with/acme?next=/a%22%3E"' in page.text
    assert "<form" not in page.text  # this server sends no mail
    assert (await browser.get("/sign-in/with/nobody")).status_code == 404
    assert (await browser.get("/sign-in/with/nobody/back")).status_code == 404


def test_the_secret_is_shown_to_nobody(server: Server, server_settings: dict[str, str]) -> None:
    issuers = parse_issuers(server_settings["jwt_issuers"])
    assert SECRET not in repr(issuers) and SECRET not in repr([each.browser for each in issuers])
    assert [each.browser and each.browser.client_secret for each in issuers] == [SECRET, SECRET]
    assert SECRET not in server.process.log()
