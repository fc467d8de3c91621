"""The support settings, technicians, admins and sessions, as an admin keeps them in the console."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest
from playwright.async_api import Browser, Locator, Page, expect

from callout.http.console import DIRECTORY, MANIFEST
from db.enums import Role
from tests.helpers.api import Api, Server
from tests.helpers.axe import problems_in_both_themes
from tests.helpers.console import admin_at, person_at
from tests.helpers.mail_server import MailServer, mail_server
from tests.helpers.sessions import new_admin, signed_in
from tests.helpers.webhook import SECRET, Webhook, webhook

pytestmark = pytest.mark.skipif(not (DIRECTORY / MANIFEST).is_file(), reason="needs what `make console` builds")

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0"
SETTINGS = """{ supportSettings { adminRecipients googleChatEnabled googleChatConfigured reopenDays
    overdueMinutes { low medium high urgent } notices { kind email googleChat push } } }"""


@pytest.fixture(scope="module")
def smtp() -> Iterator[MailServer]:
    with mail_server() as running:
        yield running


@pytest.fixture(scope="module")
def server_settings(smtp: MailServer) -> dict[str, str]:
    return {"smtp_url": smtp.url, "mail_from": "Callout <support@callout.example>", "webhook_private_hosts": "allow"}


@pytest.fixture
def space() -> Iterator[Webhook]:
    with webhook() as running:
        yield running


@pytest.fixture
async def ann(browser: Browser, server: Server) -> AsyncIterator[Page]:
    async with admin_at(browser, server, "Ann Admin") as page:
        page.on("dialog", lambda dialog: dialog.accept())
        yield page


def part(page: Page, heading: str) -> Locator:
    """The part of the page under this heading."""
    return page.get_by_role("region", name=heading)


async def save(part: Locator) -> None:
    """Saves what is in the part's form."""
    await part.get_by_role("button", name="Save", exact=True).click()
    await expect(part.get_by_role("status").get_by_text("Saved")).to_be_visible()


async def test_mail_is_set_up_and_tested(ann: Page, api: Api, smtp: MailServer) -> None:
    await ann.goto("/settings")
    mail = part(ann, "E-mail")
    recipients = mail.get_by_label("Admin recipients")
    await recipients.fill("ann@company.example\nnot an address")
    await mail.get_by_role("button", name="Save", exact=True).click()
    await expect(recipients).to_have_attribute("aria-invalid", "true")
    await expect(mail.get_by_text("address: ")).to_be_visible()
    await ann.reload()
    await expect(recipients).to_have_value("ann@company.example\nnot an address")
    await recipients.fill("ann@company.example")
    await api.done("supportSettingsUpdate", "__typename", adminRecipients=["cem@company.example"])
    await expect(recipients).to_have_accessible_description(re.compile("A colleague has changed this.*“cem@company"))
    await save(mail)
    assert (await api(SETTINGS))["supportSettings"]["adminRecipients"] == ["ann@company.example"]
    test = mail.get_by_role("button", name="Send a test mail")
    await test.click()
    await expect(mail.get_by_text("Sent to ann@company.example. The mail server said: 250")).to_be_visible()
    assert [mail.recipients for mail in smtp.received] == [["ann@company.example"]]
    smtp.once["RCPT"] = "550 5.1.1 There is no such mailbox"
    await test.click()
    await expect(mail.get_by_text("Not sent to ann@company.example: 550 5.1.1 There is no such")).to_be_visible()
    assert await problems_in_both_themes(ann) == []


async def test_google_chat_is_set_up_and_tested(
    ann: Page, api: Api, space: Webhook, database: asyncpg.Connection[asyncpg.Record]
) -> None:
    await ann.goto("/settings")
    chat = part(ann, "Google Chat")
    url = chat.get_by_label("webhook URL")
    await url.fill(f"http://chat.example/?{SECRET}")
    await chat.get_by_role("button", name="Save the URL").click()
    await expect(url).to_have_attribute("aria-invalid", "true")
    await url.fill(f"https://chat.example/?{SECRET}")
    await chat.get_by_role("button", name="Save the URL").click()
    await expect(chat.get_by_text("A webhook URL is set")).to_be_visible()
    await expect(url).to_have_value("")
    await expect(chat.get_by_role("status").get_by_text("Saved")).to_be_visible()
    assert SECRET not in await ann.evaluate("JSON.stringify(localStorage)")
    await chat.get_by_label("Post notifications to Google Chat").check()
    await save(chat.locator("form").last)
    # The API takes no URL of a server without TLS, such as the tests'.
    await database.execute("UPDATE support_settings SET google_chat_webhook_url = $1", space.url())
    test = chat.get_by_role("button", name="Post a test message")
    await test.click()
    await expect(chat.get_by_text("Posted to the space. Google Chat said: HTTP 200")).to_be_visible()
    assert len(space.posted) == 1
    space.answer = (404, {})
    await test.click()
    await expect(chat.get_by_text("Not posted: HTTP 404")).to_be_visible()
    await chat.get_by_role("button", name="Remove the URL").click()
    await expect(chat.get_by_text("No webhook URL is set yet")).to_be_visible()
    settings = (await api(SETTINGS))["supportSettings"]
    assert (settings["googleChatConfigured"], settings["googleChatEnabled"]) == (False, False)
    await part(ann, "Devices").get_by_role("button").click()
    await expect(part(ann, "Devices").get_by_text("This server does not notify devices")).to_be_visible()


async def test_what_people_are_notified_of_and_when_is_changed(ann: Page, api: Api) -> None:
    before = (await api(SETTINGS))["supportSettings"]
    await ann.goto("/settings")
    notices = part(ann, "What people are notified of")
    await notices.get_by_label("A ticket is created: E-mail").uncheck()
    await notices.get_by_label("A ticket is resolved: Google Chat").check()
    colleagues = [{"kind": "CREATED", "push": True}, {"kind": "DECLINED", "email": False}]
    await api.done("supportSettingsUpdate", "__typename", notices=colleagues)
    await expect(notices.get_by_label("A technician declines a ticket: E-mail")).not_to_be_checked()
    await save(notices)
    answers = part(ann, "Answers to closed tickets")
    days = answers.get_by_label("Reopening days")
    await days.fill("a month")
    await answers.get_by_role("button", name="Save", exact=True).click()
    await expect(days).to_have_attribute("aria-invalid", "true")
    await days.fill("30")
    await save(answers)
    overdue = part(ann, "Overdue assignments")
    await overdue.get_by_label("Urgent").fill("-1")
    await overdue.get_by_label("High").fill("")
    await overdue.get_by_role("button", name="Save", exact=True).click()
    await expect(overdue.get_by_label("Urgent")).to_have_attribute("aria-invalid", "true")
    await overdue.get_by_label("Urgent").fill("15")
    await api.done("supportSettingsUpdate", "__typename", overdueMinutes={"low": 600})
    await expect(overdue.get_by_label("Low")).to_have_value("600")
    await save(overdue)
    after = (await api(SETTINGS))["supportSettings"]
    assert after["reopenDays"] == 30
    assert after["overdueMinutes"] == {"low": 600, "medium": None, "high": None, "urgent": 15}
    changed = {
        "CREATED": {"email": False, "push": True},
        "RESOLVED": {"googleChat": True},
        "DECLINED": {"email": False},
    }
    assert after["notices"] == [one | changed.get(one["kind"], {}) for one in before["notices"]]


async def test_a_technician_is_added_found_changed_and_deactivated(ann: Page, api: Api, server: Server) -> None:
    await api.new_technician(name="Bea Berg", email="bea@company.example")
    await ann.goto("/settings")
    await ann.get_by_role("navigation", name="Settings").get_by_role("link", name="Technicians").click()
    await ann.get_by_role("link", name="New technician").click()
    await ann.get_by_label("Email").fill("bea@company.example")
    await ann.get_by_role("button", name="Add the technician").click()
    await expect(ann.get_by_label("Name")).to_have_attribute("aria-invalid", "true")
    await expect(ann.get_by_label("Email")).to_have_attribute("aria-invalid", "true")
    await ann.get_by_label("Name").fill("Renée Côté")
    await ann.get_by_label("Email").fill("renee@company.example")
    await ann.get_by_role("button", name="Add the technician").click()
    await expect(ann.get_by_role("heading", level=1)).to_have_text("Renée Côté")
    technician = ann.url.rsplit("/", 1)[1]
    await ann.get_by_label("Phone").fill("613-555-0177")
    await api.done("technicianUpdate", "__typename", technicianId=technician, phone="613-555-0188", name="Renée Roy")
    await expect(ann.get_by_role("heading", level=1)).to_have_text("Renée Roy")
    phone = ann.get_by_label("Phone")
    await expect(phone).to_have_accessible_description(re.compile("A colleague has changed this.*“613-555-0188”"))
    await save(part(ann, "On file"))
    await expect(phone).to_have_value("613-555-0177")
    ticket = await api.new_ticket(subject="Panel beeps", technicianId=technician)
    await signed_in(server.database_url, Role.TECHNICIAN, technician.removeprefix("tec_"), user_agent=FIREFOX)
    await ann.get_by_role("link", name="Technicians").click()
    await ann.get_by_label("Search").fill("rene 5550177")
    await ann.keyboard.press("Enter")
    await expect(ann.get_by_text("1 technician", exact=True)).to_be_visible()
    assert await problems_in_both_themes(ann) == []
    await ann.get_by_role("link", name="1 open ticket").click()
    await expect(ann.get_by_role("link", name="Panel beeps")).to_be_visible()
    await ann.go_back()
    await ann.get_by_role("link", name="Renée Roy").click()
    await expect(ann.get_by_role("link", name="Open: 1")).to_have_attribute("href", re.compile(technician))
    await expect(ann.get_by_text("Their 1 open ticket stays assigned to them")).to_be_visible()
    await expect(ann.get_by_text("Firefox on Linux")).to_be_visible()
    assert await problems_in_both_themes(ann) == []
    await ann.get_by_role("button", name="Deactivate the technician").click()
    await expect(ann.get_by_role("button", name="Reactivate the technician")).to_be_visible()
    found = await api("query($id: ID!) { ticket(by: {id: $id}) { technician { active } } }", id=ticket)
    assert found["ticket"]["technician"] == {"active": False}
    await ann.get_by_role("link", name="Technicians").click()
    await expect(ann.get_by_role("link", name="Bea Berg")).to_be_visible()
    await expect(ann.get_by_role("link", name="Renée Roy")).to_have_count(0)
    await ann.get_by_label("Active or inactive").select_option("Inactive")
    await ann.get_by_role("link", name="Renée Roy").click()
    await ann.get_by_role("button", name="Reactivate the technician").click()
    await expect(ann.get_by_role("button", name="Deactivate the technician")).to_be_visible()
    await expect(ann.get_by_text("Not signed in anywhere.")).to_be_visible()


async def test_an_admin_is_added_changed_and_deactivated(browser: Browser, server: Server) -> None:
    async with admin_at(browser, server, "Zoe Zed") as zoe:
        zoe.on("dialog", lambda dialog: dialog.accept())
        await zoe.goto("/admins")
        await zoe.get_by_role("link", name="New admin").click()
        await zoe.get_by_label("Name").fill("Carla Cruz")
        await zoe.get_by_label("Email").fill("nowhere")
        await zoe.get_by_role("button", name="Add the admin").click()
        await expect(zoe.get_by_label("Email")).to_have_attribute("aria-invalid", "true")
        await zoe.get_by_label("Email").fill("carla@company.example")
        await zoe.get_by_role("button", name="Add the admin").click()
        await expect(zoe.get_by_role("heading", level=1)).to_have_text("Carla Cruz")
        await zoe.get_by_label("Name").fill("Carla Diaz")
        await zoe.get_by_role("button", name="Save", exact=True).click()
        await expect(zoe.get_by_role("heading", level=1)).to_have_text("Carla Diaz")
        await zoe.get_by_role("button", name="Deactivate the admin").click()
        await expect(zoe.get_by_role("button", name="Reactivate the admin")).to_be_visible()
        assert await problems_in_both_themes(zoe) == []
        await zoe.get_by_role("link", name="Admins").click()
        assert await problems_in_both_themes(zoe) == []
        # Whoever is the last active admin stays one.
        others = await asyncpg.connect(server.database_url)
        await others.execute("UPDATE admins SET active = false WHERE name <> 'Zoe Zed'")
        await others.close()
        await zoe.get_by_role("link", name="Zoe Zed").click()
        await zoe.get_by_role("button", name="Deactivate the admin").click()
        await expect(zoe.get_by_role("alert").get_by_text("This is the last active admin.")).to_be_visible()


async def test_an_admin_signs_out_everywhere_else(browser: Browser, server: Server) -> None:
    key = await new_admin(server.database_url, "Dora Dean")
    for _ in range(2):
        await signed_in(server.database_url, Role.ADMIN, key, user_agent=FIREFOX)
    await signed_in(server.database_url, Role.ADMIN, await new_admin(server.database_url), user_agent=FIREFOX)
    async with (
        person_at(browser, server, Role.ADMIN, key) as phone,
        person_at(browser, server, Role.ADMIN, key) as dora,
    ):
        dora.on("dialog", lambda dialog: dialog.accept())
        await phone.goto("/tickets")
        await dora.goto("/tickets")
        await dora.get_by_text("Dora Dean").click()
        await dora.get_by_role("link", name="Where you are signed in").click()
        sessions = dora.get_by_role("listitem").filter(has_text="Last used")
        await expect(sessions).to_have_count(4)
        await expect(sessions.filter(has_text="This browser")).to_have_count(1)
        assert await problems_in_both_themes(dora) == []
        await dora.get_by_role("button", name="Sign out: Firefox on Linux").first.click()
        await expect(dora.get_by_role("status").get_by_text("Signed out in 1 browser.")).to_be_visible()
        await expect(sessions).to_have_count(3)
        await dora.get_by_role("button", name="Sign out everywhere else").click()
        await expect(dora.get_by_role("status").get_by_text("Signed out in 2 browsers.")).to_be_visible()
        await expect(sessions).to_have_count(1)
        await expect(phone).to_have_url(re.compile("/sign-in"))
