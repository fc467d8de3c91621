"""The portal, as customers use it: on a phone, in their language, and while the staff work on their requests."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from playwright.async_api import Browser, FilePayload, expect

from callout.http.console import DIRECTORY, MANIFEST
from db.enums import Role
from tests.helpers.api import Api, Server
from tests.helpers.attached_files import attach
from tests.helpers.axe import problems
from tests.helpers.console import PHONE, person_at, with_answers_lost, without_connection
from tests.helpers.database_checks import key
from tests.helpers.photos import photo as photo_of

pytestmark = pytest.mark.skipif(
    not (DIRECTORY / MANIFEST).is_file(), reason="needs the console that make console builds"
)


@pytest.fixture
async def customer(api: Api) -> str:
    return await api.new_customer()


async def test_a_customer_reports_something_with_a_photo(
    browser: Browser, server: Server, api: Api, customer: str
) -> None:
    await api.new_property(customer, address="12 Elm Street, Ottawa")
    async with person_at(browser, server, Role.CUSTOMER, key(customer), **PHONE) as page:
        await page.goto("/portal")
        await expect(page.get_by_text("You have no requests yet")).to_be_visible()
        await page.get_by_role("link", name="New request").first.click()
        await expect(page.get_by_label("Where?")).to_have_value(re.compile("prp_|pro_|.+_"))
        await page.get_by_label("What is it about?").select_option("Alarm")
        await page.get_by_label("In short").fill("Panel beeps")
        await page.get_by_role("button", name="Send the request").click()
        await expect(page.get_by_label("What happens?")).to_have_attribute("aria-invalid", "true")
        await expect(page.get_by_label("What happens?")).to_be_focused()
        await page.get_by_label("What happens?").fill("Since the outage. <b>Low battery</b>")
        photo = FilePayload(name="panel.jpg", mimeType="image/jpeg", buffer=photo_of())
        await page.get_by_label("Photos or files").set_input_files(photo)
        await page.get_by_role("button", name="Send the request").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Panel beeps")
        await expect(page.get_by_text("Since the outage. <b>Low battery</b>")).to_be_visible()
        await expect(page.get_by_role("img", name="panel.jpg")).to_be_visible()
    found = (await api("{ tickets(first: 1) { nodes { subject category source property { address } } } }"))["tickets"]
    assert found["nodes"] == [
        {
            "subject": "Panel beeps",
            "category": "ALARM",
            "source": "CUSTOMER",
            "property": {"address": "12 Elm Street, Ottawa"},
        }
    ]


async def test_a_request_follows_what_the_staff_do(browser: Browser, server: Server, api: Api, customer: str) -> None:
    ticket = await api.new_ticket(customerId=customer, subject="Camera is dark")
    technician = await api.new_technician(name="Tess Tremblay")
    async with person_at(browser, server, Role.CUSTOMER, key(customer)) as page:
        await page.goto("/portal")
        await page.get_by_role("link", name="Camera is dark").click()
        await expect(page.get_by_text("We have your request")).to_be_visible()
        await api.done("noteAdd", "__typename", ticketId=ticket, body="Nobody outside may read this.")
        await api.done("noteAdd", "__typename", ticketId=ticket, body="We come on Thursday.", internalOnly=False)
        await expect(page.get_by_text("We come on Thursday.")).to_be_visible()
        await expect(page.get_by_text("Nobody outside")).to_have_count(0)
        await api.done("ticketAssign", "__typename", ticketId=ticket, technicianId=technician)
        assignment = (await api("query($id: ID!) { ticket(by: {id: $id}) { assignment { id } } }", id=ticket))["ticket"]
        step = {"assignmentId": assignment["assignment"]["id"], "to": "EN_ROUTE"}
        async with api.technician(technician) as tess:
            await tess.done("assignmentAdvance", "__typename", **step)
        await expect(page.get_by_text("Tess Tremblay is on the way.")).to_be_visible()
        await api.done("ticketResolve", "__typename", ticketId=ticket, resolution="Replaced the cable.")
        await expect(page.get_by_text("Replaced the cable.")).to_be_visible()
        await page.get_by_role("button", name="It is not fixed: reopen").click()
        await expect(page.get_by_text("We have your request")).to_be_visible()
        await api.done("ticketResolve", "__typename", ticketId=ticket, resolution="Replaced the camera.")
        await page.get_by_role("button", name="It works: close the request").click()
        await expect(page.get_by_text("This request is closed.")).to_be_visible()


async def test_an_answer_is_sent_once_although_the_line_is_cut(
    browser: Browser, server: Server, api: Api, customer: str
) -> None:
    ticket = await api.new_ticket(customerId=customer, subject="Gate stays open")
    async with person_at(browser, server, Role.CUSTOMER, key(customer)) as page:
        await page.goto("/portal")
        await page.get_by_role("link", name="Gate stays open").click()
        answer = page.get_by_label("Your answer")
        await answer.fill("It closes by hand.")
        send = page.get_by_role("button", name="Send", exact=True)
        async with without_connection(page):
            await send.click()
            await expect(page.get_by_role("alert")).to_be_visible()
        await page.reload()
        await expect(answer).to_have_value("It closes by hand.")
        async with with_answers_lost(page, "noteAdd"):
            await send.click()
            await expect(page.get_by_role("alert")).to_be_visible()
        await send.click()
        await expect(answer).to_have_value("")
        await expect(page.get_by_text("It closes by hand.")).to_have_count(1)
    notes = "query($id: ID!) { ticket(by: {id: $id}) { notes { totalCount } } }"
    assert (await api(notes, id=ticket))["ticket"]["notes"]["totalCount"] == 1


async def test_nobody_sees_the_requests_of_another(browser: Browser, server: Server, api: Api, customer: str) -> None:
    other = await api.new_customer()
    ticket = await api.new_ticket(customerId=other, subject="Safe does not lock")
    reference = (await api("query($id: ID!) { ticket(by: {id: $id}) { reference } }", id=ticket))["ticket"]["reference"]
    async with person_at(browser, server, Role.CUSTOMER, key(customer)) as page:
        await page.goto(f"/portal/tickets/{reference}")
        await expect(page.get_by_role("heading", level=1)).to_have_text("There is no such request")
        await page.goto("/tickets")
        await expect(page).to_have_url(re.compile("/portal$"))
        await expect(page.get_by_text("You have no requests yet")).to_be_visible()


async def test_the_portal_speaks_french_and_keeps_it(browser: Browser, server: Server, customer: str) -> None:
    async with person_at(browser, server, Role.CUSTOMER, key(customer)) as page:
        await page.goto("/portal")
        await page.get_by_role("button", name="Français").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Vos demandes")
        await expect(page.locator("html")).to_have_attribute("lang", "fr")
        await page.goto("/portal/properties")
        await expect(page.get_by_role("heading", level=1)).to_have_text("Vos lieux")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_no_page_has_a_barrier(browser: Browser, server: Server, api: Api, customer: str, scheme: str) -> None:
    await api.new_property(customer)
    ticket = await api.new_ticket(customerId=customer, subject="Door stays open")
    await api.done("noteAdd", "__typename", ticketId=ticket, body="We look at it.", internalOnly=False)
    await attach(api, b"a plan", ticketId=ticket, name="plan.txt", internalOnly=False)
    async with person_at(browser, server, Role.CUSTOMER, key(customer), color_scheme=scheme, **PHONE) as page:
        await page.goto("/portal")
        await page.get_by_role("link", name="Door stays open").wait_for()
        assert await problems(page) == []
        await page.get_by_role("link", name="Door stays open").click()
        await page.get_by_text("We look at it.").wait_for()
        assert await problems(page) == []
        for path, text in (("/portal/new", "What happens?"), ("/portal/properties", "Account number")):
            await page.goto(path)
            await page.get_by_text(text).first.wait_for()
            assert await problems(page) == []


async def test_signing_out_ends_the_session(browser: Browser, server: Server, customer: str) -> None:
    async with person_at(browser, server, Role.CUSTOMER, key(customer)) as page:
        await page.goto("/portal")
        await page.get_by_role("button", name="Sign out").click()
        await expect(page).to_have_url(re.compile("/sign-in"))
        await page.goto("/portal")
        await expect(page).to_have_url(re.compile("/sign-in\\?next=/portal$"))


def test_the_portal_is_small_and_has_nothing_of_the_staffs() -> None:
    entry = json.loads((DIRECTORY / MANIFEST).read_bytes())["entries"]["portal"]
    assert entry["bytes"] < 60 * 1024
    loaded = "".join((Path(DIRECTORY) / name).read_text() for name in (entry["script"], *entry["preloads"]))
    for words in ("ticketsBulkUpdate", "internalOnly:!0", "deliveries", "supportSettings", "TicketListBulk"):
        assert words not in loaded
