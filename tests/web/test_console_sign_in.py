"""Signing in to the console and out of it, as people do it in a browser: by a mailed link, and at a provider."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from playwright.async_api import BrowserContext, Page, expect

from callout.http.console import DIRECTORY, MANIFEST
from tests.helpers.api import Api, Server
from tests.helpers.axe import problems_in_both_themes
from tests.helpers.database_checks import Database
from tests.helpers.mail_server import MailServer, mail_server
from tests.helpers.oidc_mock import OidcMock, oidc_mock
from tests.helpers.process import free_port
from tests.helpers.sessions import new_admin

pytestmark = pytest.mark.skipif(
    not (DIRECTORY / MANIFEST).is_file(), reason="needs the console that `make console` builds"
)


@pytest.fixture(scope="module")
def smtp() -> Iterator[MailServer]:
    with mail_server() as running:
        yield running


@pytest.fixture(scope="module")
def acme(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OidcMock]:
    with oidc_mock(tmp_path_factory.mktemp("provider")) as running:
        yield running


@pytest.fixture(scope="module")
def server_settings(smtp: MailServer, acme: OidcMock) -> dict[str, str]:
    port = free_port()
    issuer = {
        "issuer": acme.issuer,
        "name": "acme",
        "audience": "callout",
        "claims": {"link_by_email": True, "roles": {"staff": "admin", "field": "technician"}},
        "browser": {"client_id": "console", "client_secret": "a secret", "label": "Acme"},
    }
    return {
        "port": str(port),
        "public_url": f"http://127.0.0.1:{port}",
        "smtp_url": smtp.url,
        "mail_from": "support@callout.example",
        "jwt_issuers": json.dumps([issuer]),
    }


@pytest.fixture
async def page(context: BrowserContext, server: Server) -> Page:
    await context.route("https://cdn.jsdelivr.net/**", lambda route: route.abort())  # the provider's style sheet
    page = await context.new_page()
    await page.goto(server.url)
    return page


async def at_provider(page: Page, subject: str) -> None:
    """Signs in at the provider, which asks for the subject alone."""
    await page.get_by_role("link", name="Sign in with Acme").click()
    await page.get_by_placeholder("sub").fill(subject)
    await page.get_by_role("button", name="Authorize").click()


async def test_people_sign_in_at_their_company(page: Page, server: Server, api: Api, acme: OidcMock) -> None:
    key = await new_admin(server.database_url, "Ada Admin")
    email = {"email": f"{key[:8]}@admins.example", "email_verified": True}
    await page.goto(f"{server.url}/customers")
    assert await problems_in_both_themes(page) == []
    acme.has("ada", {"name": "Ada", "role": "staff", **email, "email_verified": False})
    await at_provider(page, "ada")
    await expect(page.get_by_role("heading", name="You are not signed in")).to_be_visible()
    acme.has("ada", {"name": "Ada", "role": "staff", **email})
    await page.goto(f"{server.url}/customers")
    await at_provider(page, "ada")
    await expect(page.get_by_role("heading", level=1, name="Customers")).to_be_visible()
    await expect(page).to_have_url(f"{server.url}/customers")
    await expect(page.get_by_text("Ada Admin").first).to_be_visible()


async def test_a_technician_signs_in_at_their_company(
    page: Page, server: Server, api: Api, database: Database, acme: OidcMock
) -> None:
    technician = await api.new_technician(name="Tess Tremblay")
    email = await database.fetchval(f"SELECT email FROM technicians WHERE id = '{technician[4:]}'")
    acme.has("tess", {"role": "field", "email": email, "email_verified": True})
    await at_provider(page, "tess")
    await expect(page).to_have_url(f"{server.url}/tech")
    await expect(page.get_by_role("heading", level=1)).to_be_visible()
