"""Signing in to the console and out of it, as people do it in a browser: by a mailed link, and at a provider."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from html import escape
from pathlib import Path

import pytest
from playwright.async_api import Browser, BrowserContext, Page, expect

from callout.http.console import DIRECTORY, MANIFEST
from db.enums import Role
from tests.helpers.api import Api, Server
from tests.helpers.axe import problems_in_both_themes
from tests.helpers.chromium import WITHIN_MILLISECONDS, pages
from tests.helpers.console import person_at
from tests.helpers.database_checks import Database
from tests.helpers.mail_server import MailServer, mail_server
from tests.helpers.oidc_mock import OidcMock, oidc_mock
from tests.helpers.process import free_port
from tests.helpers.sessions import new_admin, sign_in

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
        "public_url": f"http://localhost:{port}",  # passkeys belong to a name
        "smtp_url": smtp.url,
        "mail_from": "support@callout.example",
        "jwt_issuers": json.dumps([issuer]),
    }


@pytest.fixture
def home(server: Server) -> str:
    """The URL of the console, by the name of the host."""
    return server.url.replace("127.0.0.1", "localhost")


@pytest.fixture
async def page(context: BrowserContext, home: str) -> Page:
    await context.route("https://cdn.jsdelivr.net/**", lambda route: route.abort())  # the provider's style sheet
    page = await context.new_page()
    await page.goto(home)
    return page


async def at_provider(page: Page, subject: str) -> None:
    """Signs in at the provider, which asks for the subject alone."""
    await page.get_by_role("link", name="Sign in with Acme").click()
    await page.get_by_placeholder("sub").fill(subject)
    await page.get_by_role("button", name="Authorize").click()


async def test_people_sign_in_at_their_company(page: Page, server: Server, home: str, acme: OidcMock) -> None:
    key = await new_admin(server.database_url, "Ada Admin")
    email = {"email": f"{key[:8]}@admins.example", "email_verified": True}
    await page.goto(f"{home}/customers")
    assert await problems_in_both_themes(page) == []
    acme.has("ada", {"name": "Ada", "role": "staff", **email, "email_verified": False})
    await at_provider(page, "ada")
    await expect(page.get_by_role("heading", name="You are not signed in")).to_be_visible()
    acme.has("ada", {"name": "Ada", "role": "staff", **email})
    await page.goto(f"{home}/customers")
    await at_provider(page, "ada")
    await expect(page.get_by_role("heading", level=1, name="Customers")).to_be_visible()
    await expect(page).to_have_url(f"{home}/customers")
    await expect(page.get_by_text("Ada Admin").first).to_be_visible()


async def mailed(page: Page, smtp: MailServer, email: str) -> str:
    """Asks for a link, on the page on which one does so, and returns it."""
    got = len(smtp.received)
    await page.get_by_label("Your e-mail address").fill(email)
    await page.get_by_role("button", name="Send me a link").click()
    await expect(page.get_by_role("heading", name="Check your e-mail")).to_be_visible()
    async with asyncio.timeout(WITHIN_MILLISECONDS / 1000):
        while len(smtp.received) == got:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    mail = smtp.received[-1]
    body = mail.message.get_body(("plain",))
    assert mail.recipients == [email] and body is not None
    found = re.search(r"http://\S+/sign-in/link\?token=\S+", body.get_content())
    assert found is not None
    return found[0]


async def by_mail(page: Page, smtp: MailServer, email: str) -> str:
    """Signs in by a link, and returns it."""
    link = await mailed(page, smtp, email)
    await page.goto(link)
    await page.get_by_role("button", name="Sign in").click()
    return link


async def test_a_link_signs_in_and_nothing_typed_is_lost_when_the_session_ends(
    page: Page, server: Server, home: str, api: Api, smtp: MailServer
) -> None:
    key = await new_admin(server.database_url, "Grace Hopper")
    email = f"{key[:8]}@admins.example"
    await page.goto(f"{home}/tickets/new")
    link = await by_mail(page, smtp, email)
    await expect(page).to_have_url(f"{home}/tickets/new")
    await page.get_by_label("Subject", exact=True).fill("Panel beeps")
    await page.get_by_label("Description", exact=True).fill("Since the outage.")
    await page.get_by_label("Name", exact=True).fill("John Smith")
    await page.get_by_label("Email", exact=True).fill("john@example.com")

    tab = await page.context.new_page()
    for wrong in (link, link[:-3]):
        await tab.goto(wrong)
        await expect(tab.get_by_role("heading", name="This link does not work")).to_be_visible()
        assert await problems_in_both_themes(tab) == []

    # An admin ends the session just before the form is sent.
    found = (await api("{ sessions { nodes { id admin { name } } } }"))["sessions"]["nodes"]
    (mine,) = [each["id"] for each in found if each["admin"] == {"name": "Grace Hopper"}]
    await api.done("sessionRevoke", "__typename", sessionId=mine)
    await page.get_by_role("button", name="Create Ticket").click()
    await page.wait_for_url("**/sign-in?next=%2Ftickets%2Fnew")
    await tab.goto(await mailed(page, smtp, email))
    await expect(tab.get_by_text("You sign in as Grace Hopper, an admin")).to_be_visible()
    assert await problems_in_both_themes(tab) == []
    await tab.get_by_role("button", name="Sign in").click()
    await expect(tab.get_by_label("Subject", exact=True)).to_have_value("Panel beeps")

    # Somebody signs out in another tab.
    await page.goto(f"{home}/customers")
    page.on("dialog", lambda dialog: dialog.accept())
    await page.get_by_text("Grace Hopper").first.click()
    await page.get_by_role("button", name="Sign out").click()
    await tab.get_by_role("button", name="Create Ticket").click()
    await tab.wait_for_url("**/sign-in?next=%2Ftickets%2Fnew")
    await by_mail(tab, smtp, email)
    await expect(tab.get_by_label("Description", exact=True)).to_have_value("Since the outage.")
    await tab.get_by_role("button", name="Create Ticket").click()
    await expect(tab.get_by_role("heading", name="Panel beeps")).to_be_visible()
    assert (await api('{ tickets(filter: {search: "Panel beeps"}) { totalCount } }'))["tickets"]["totalCount"] == 1


async def test_a_page_of_another_origin_does_nothing_in_the_name_of_who_is_signed_in(
    browser: Browser, server: Server, database: Database, tmp_path: Path
) -> None:
    """It is on the same host, so `SameSite` lets the cookie go with what it sends."""
    mutation = 'mutation { adminCreate(input: {name: "Eve", email: "eve@evil.example"}) { __typename } }'
    start = json.dumps({"query": mutation})[:-1] + ', "x": "'  # the form adds a sign between the name and the value
    (tmp_path / "index.html").write_text(
        f"""<!DOCTYPE html><title>Another origin</title>
<form method="post" action="{server.url}/sign-out"><button>Win a prize</button></form>
<form method="post" action="{server.url}/graphql" enctype="text/plain">
<input name="{escape(start)}" value="{escape('"}')}"><button>Win another</button></form>
"""
    )
    key = await new_admin(server.database_url, "Vera Victim")
    sends = """async ({url, query, headers}) => {
        const init = {method: "POST", credentials: "include", body: JSON.stringify({query}), headers};
        return await fetch(url + "/graphql", init).then((answer) => answer.text(), (error) => error.name);
    }"""
    opens = """(url) => new Promise((resolve) => {
        const socket = new WebSocket(url.replace("http", "ws") + "/graphql", "graphql-transport-ws");
        socket.onopen = () => resolve("open");
        socket.onclose = () => resolve("closed");
    })"""
    with pages(tmp_path) as elsewhere:
        async with person_at(browser, server, Role.ADMIN, key) as vera:
            for button in ("Win a prize", "Win another"):
                await vera.goto(elsewhere)
                await vera.get_by_role("button", name=button).click()
                await expect(vera.get_by_text('"code"')).to_be_visible()
            await vera.goto(elsewhere)
            for more in ({}, {"content-type": "application/json"}, {"x-requested-with": "callout"}):
                given = {"url": server.url, "query": mutation, "headers": more}
                assert await vera.evaluate(sends, given) == "TypeError"
            assert await vera.evaluate(opens, server.url) == "closed"
            await vera.goto("/customers")
            await expect(vera.get_by_text("Vera Victim").first).to_be_visible()
    assert await database.fetchval(f"SELECT count(*) FROM sessions WHERE admin_id = '{key}'") == 1
    assert await database.fetchval("SELECT count(*) FROM admins WHERE name = 'Eve'") == 0


async def test_a_technician_signs_in_at_their_company(
    page: Page, home: str, api: Api, database: Database, acme: OidcMock
) -> None:
    technician = await api.new_technician(name="Tess Tremblay")
    email = await database.fetchval(f"SELECT email FROM technicians WHERE id = '{technician[4:]}'")
    acme.has("tess", {"role": "field", "email": email, "email_verified": True})
    await at_provider(page, "tess")
    await expect(page).to_have_url(f"{home}/tech")
    await expect(page.get_by_role("heading", level=1)).to_be_visible()


async def test_a_passkey_signs_in_until_it_is_removed(
    page: Page, server: Server, home: str, api: Api, smtp: MailServer, database: Database
) -> None:
    key = await new_admin(server.database_url, "Katherine Johnson")
    email = f"{key[:8]}@admins.example"
    devtools = await page.context.new_cdp_session(page)
    await devtools.send("WebAuthn.enable")
    options = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True}
    options |= {"isUserVerified": True, "automaticPresenceSimulation": True}
    device = (await devtools.send("WebAuthn.addVirtualAuthenticator", {"options": options}))["authenticatorId"]
    await page.get_by_role("button", name="Sign in with a passkey").click()
    await expect(page.get_by_role("alert")).to_have_text(re.compile("That did not work."))
    assert await problems_in_both_themes(page) == []

    # She makes one, soon after she has signed in.
    await sign_in(page.context, home, server.database_url, Role.ADMIN, key)
    await database.execute("UPDATE sessions SET created_at = now() - interval '16 minutes'")
    await page.goto(f"{home}/customers")
    await page.get_by_text("Katherine Johnson").first.click()
    await page.get_by_role("link", name="Passkeys").click()
    await page.get_by_role("link", name="sign in once more").click()
    await by_mail(page, smtp, email)
    await expect(page.get_by_text("You have none yet.")).to_be_visible()
    await page.get_by_role("button", name="Make a passkey").click()
    await expect(page.get_by_text("never used")).to_be_visible()
    assert await problems_in_both_themes(page) == []

    async def signs_out_and_in() -> None:
        await page.request.post(f"{home}/sign-out", headers={"origin": home})
        await page.goto(f"{home}/customers")
        await page.get_by_role("button", name="Sign in with a passkey").click()

    await signs_out_and_in()
    await expect(page).to_have_url(f"{home}/customers")
    await expect(page.get_by_text("Katherine Johnson").first).to_be_visible()
    await page.goto(f"{home}/passkeys")
    await expect(page.get_by_text("last used on")).to_be_visible()

    # Whoever records what the browser sends cannot send it again, nor can a device that does not know its owner.
    async with page.expect_request("**/passkeys/sign-in") as sent:
        await signs_out_and_in()
    await expect(page.get_by_text("Katherine Johnson").first).to_be_visible()
    request = await sent.value
    recorded, data = await request.all_headers(), request.post_data or ""
    again = await page.request.post(f"{home}/passkeys/sign-in", headers=recorded, data=data)
    assert (again.status, await again.json()) == (403, {})
    await devtools.send("WebAuthn.setUserVerified", {"authenticatorId": device, "isUserVerified": False})
    await signs_out_and_in()
    await expect(page.get_by_role("alert")).to_have_text(re.compile("That did not work."))
    await devtools.send("WebAuthn.setUserVerified", {"authenticatorId": device, "isUserVerified": True})
    await page.get_by_role("button", name="Sign in with a passkey").click()
    await expect(page).to_have_url(f"{home}/customers")

    await page.goto(f"{home}/passkeys")
    await page.get_by_role("button", name="Remove").click()
    await expect(page.get_by_text("You have none yet.")).to_be_visible()
    await signs_out_and_in()
    await expect(page.get_by_role("alert")).to_have_text(re.compile("That did not work."))
    entries = "{ auditEntries(filter: {objectKind: [PASSKEY]}) { nodes { action actorId } } }"
    assert [each["action"] for each in (await api(entries))["auditEntries"]["nodes"]] == ["REVOKED", "CREATED"]
