"""The technicians' pages on a phone: a day's work on a ticket, while the office works on it too."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Browser, FilePayload, expect

from callout.http.console import DIRECTORY, MANIFEST
from db.enums import Role
from tests.helpers.api import Api, Server
from tests.helpers.axe import problems_in_both_themes
from tests.helpers.console import PHONE, person_at, with_answers_lost
from tests.helpers.database_checks import Database, key, until
from tests.helpers.phone import all_is_sent
from tests.helpers.photos import photo

pytestmark = pytest.mark.skipif(not (DIRECTORY / MANIFEST).is_file(), reason="needs what `make console` builds")

STATE = """query($id: ID!) {
  ticket(by: {id: $id}) { status resolution assignment { state eta seenAt } technician { id } }
}"""


@pytest.fixture
async def technician(api: Api) -> str:
    return await api.new_technician()


async def test_a_technician_works_on_a_ticket(
    browser: Browser, server: Server, api: Api, technician: str, database: Database
) -> None:
    async with person_at(browser, server, Role.TECHNICIAN, key(technician), **PHONE) as page:
        await page.goto("/tech")
        await expect(page.get_by_text("Nothing to do at the moment")).to_be_visible()
        customer = await api.new_customer(name="Elm Dental", phone="613-555-0123")
        place = await api.new_property(customer, address="12 Elm Street, Ottawa", accessNotes="Key at the desk.")
        given = {"customerId": customer, "propertyId": place, "technicianId": technician}
        ticket = await api.new_ticket(subject="Panel beeps", **given)
        await expect(page.get_by_role("heading", name="Waiting for your answer")).to_be_visible()
        await page.get_by_role("link", name="Panel beeps").tap()
        await expect(page.get_by_text("Key at the desk.")).to_be_visible()
        await expect(page.get_by_role("link", name="Call 613-555-0123")).to_have_attribute("href", "tel:6135550123")
        await expect(page.get_by_role("link", name="Directions")).to_have_attribute(
            "href", re.compile("12%20Elm%20Street")
        )
        await page.get_by_role("button", name="Accept").tap()
        await page.get_by_label("Arrival").select_option("30")
        await page.get_by_role("button", name="I am on my way").tap()
        await expect(page.get_by_text("On the way", exact=True)).to_be_visible()
        await all_is_sent(page, database, ticket)
        found = (await api(STATE, id=ticket))["ticket"]
        assert found["assignment"]["state"] == "EN_ROUTE"
        assert found["assignment"]["eta"] is not None
        assert found["assignment"]["seenAt"] is not None
        await page.get_by_role("button", name="I am on site").tap()
        await expect(page.get_by_text("On site", exact=True)).to_be_visible()
        await page.get_by_label("New note").fill("Battery is flat.")
        await expect(page.get_by_label("Internal Only")).to_be_checked()
        await page.get_by_role("button", name="Add Note").tap()
        await expect(page.get_by_text("Battery is flat.")).to_be_visible()
        file = FilePayload(name="battery.jpg", mimeType="image/jpeg", buffer=photo())
        await page.locator("input[type=file]").set_input_files(file)
        await expect(page.get_by_role("img", name="battery.jpg")).to_be_visible()
        await page.get_by_label("What was done?").fill("Replaced the battery.")
        await page.get_by_role("button", name="Mark Resolved").tap()
        await expect(page.get_by_role("heading", name="Resolved")).to_be_visible()
        await all_is_sent(page, database, ticket)
        found = (await api(STATE, id=ticket))["ticket"]
        assert (found["status"], found["resolution"]) == ("RESOLVED", "Replaced the battery.")
        await page.goto("/tech")
        await expect(page.get_by_text("Nothing to do at the moment")).to_be_visible()


async def test_a_technician_declines_with_a_reason(browser: Browser, server: Server, api: Api, technician: str) -> None:
    ticket = await api.new_ticket(subject="Gate is stuck", technicianId=technician)
    async with person_at(browser, server, Role.TECHNICIAN, key(technician), **PHONE) as page:
        await page.goto("/tech")
        await page.get_by_role("link", name="Gate is stuck").tap()
        await page.get_by_role("button", name="Decline").tap()
        await page.get_by_label("Why not?").fill("I am in Toronto.")
        await page.get_by_role("button", name="Decline the ticket").tap()
        await expect(page.get_by_role("heading", name="There is no such ticket")).to_be_visible()
    assert (await api(STATE, id=ticket))["ticket"]["technician"] is None


async def test_a_technician_creates_a_ticket_for_whoever_is_at_the_door(
    browser: Browser, server: Server, api: Api, technician: str
) -> None:
    customer = await api.new_customer(name="Elm Dental", accountNumber="DOOR-9")
    place = await api.new_property(customer, address="12 Elm Street, Ottawa")
    async with person_at(browser, server, Role.TECHNICIAN, key(technician), **PHONE) as page:
        await page.goto("/tech")
        await page.get_by_role("link", name="New ticket").tap()
        await page.get_by_label("Customer").fill("DOOR-8")
        await page.get_by_role("button", name="Look up").tap()
        await expect(page.get_by_text("No customer has that.")).to_be_visible()
        await page.get_by_role("button", name="Create Ticket").tap()
        await expect(page.get_by_text("This field is required.")).to_have_count(4)
        await expect(page.get_by_label("Name")).to_be_focused()
        assert await problems_in_both_themes(page) == []
        await page.get_by_label("Customer").fill("door-9")
        await page.get_by_role("button", name="Look up").tap()
        await expect(page.get_by_text("Found: Elm Dental")).to_be_visible()
        await page.get_by_label("Subject").fill("Door does not lock")
        await page.reload()
        await expect(page.get_by_label("Subject")).to_have_value("Door does not lock")
        await page.get_by_label("Description").fill("Since this morning.")
        await page.get_by_label("Priority").select_option(label="Urgent")
        await page.get_by_role("button", name="Create Ticket").tap()
        await expect(page.get_by_role("heading", name="Door does not lock")).to_be_visible()
        await expect(page.get_by_text("12 Elm Street, Ottawa")).to_be_visible()
    created = "{ tickets(first: 1) { nodes { priority technician { id } property { id } customer { id } } } }"
    (found,) = (await api(created))["tickets"]["nodes"]
    assert found == {
        "priority": "URGENT",
        "technician": {"id": technician},
        "property": {"id": place},
        "customer": {"id": customer},
    }


async def test_a_ticket_that_is_taken_away_leaves_the_list(
    browser: Browser, server: Server, api: Api, technician: str
) -> None:
    ticket = await api.new_ticket(subject="Door is open", technicianId=technician)
    async with person_at(browser, server, Role.TECHNICIAN, key(technician), **PHONE) as page:
        await page.goto("/tech")
        await expect(page.get_by_role("link", name="Door is open")).to_be_visible()
        await api.done("ticketAssign", "__typename", ticketId=ticket, technicianId=None)
        await expect(page.get_by_role("link", name="Door is open")).to_have_count(0)


async def test_a_note_is_added_once_although_its_answer_is_lost(
    browser: Browser, server: Server, api: Api, technician: str, database: Database
) -> None:
    ticket = await api.new_ticket(subject="Camera is dark", technicianId=technician)
    async with person_at(browser, server, Role.TECHNICIAN, key(technician), **PHONE) as page:
        await page.goto("/tech")
        await page.get_by_role("link", name="Camera is dark").tap()
        await page.get_by_label("New note").fill("Cable is cut.")
        async with with_answers_lost(page, "Cable is cut"):
            await page.get_by_role("button", name="Add Note").tap()
            await until(database, "EXISTS (SELECT FROM notes WHERE body = 'Cable is cut.')")
            await expect(page.get_by_role("listitem").filter(has_text="Cable is cut.")).to_have_count(1)
            await all_is_sent(page, database, ticket)  # its own event says so
    notes = "query($id: ID!) { ticket(by: {id: $id}) { notes { totalCount } } }"
    assert (await api(notes, id=ticket))["ticket"]["notes"]["totalCount"] == 1


async def test_who_loses_access_is_sent_to_the_sign_in_page(
    browser: Browser, server: Server, api: Api, technician: str
) -> None:
    async with person_at(browser, server, Role.TECHNICIAN, key(technician), **PHONE) as page:
        await page.goto("/tech")
        await expect(page.get_by_text("Nothing to do at the moment")).to_be_visible()
        await api.done("technicianUpdate", "__typename", technicianId=technician, active=False)
        await expect(page).to_have_url(re.compile(r"/sign-in\?next=%2Ftech$"))


async def test_no_page_has_a_barrier(browser: Browser, server: Server, api: Api, technician: str) -> None:
    ticket = await api.new_ticket(subject="Siren sounds", technicianId=technician)
    await api.done("noteAdd", "__typename", ticketId=ticket, body="Take the ladder.")
    async with person_at(browser, server, Role.TECHNICIAN, key(technician), **PHONE) as page:
        await page.goto("/tech")
        await page.get_by_role("link", name="Siren sounds").wait_for()
        assert await problems_in_both_themes(page) == []
        await page.get_by_role("link", name="Siren sounds").tap()
        await page.get_by_text("Take the ladder.").wait_for()
        assert await problems_in_both_themes(page) == []
        await page.get_by_role("button", name="Decline").tap()
        assert await problems_in_both_themes(page) == []
