"""The form of a new ticket in the console, as the guide describes it, and what is left of it after an error, a reload
or a lost answer."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Browser, Locator, Page, expect

from callout.http.console import DIRECTORY, MANIFEST
from tests.helpers.api import Api, Server
from tests.helpers.axe import problems_in_both_themes
from tests.helpers.console import admin_at, before, with_answers_lost, without_connection

pytestmark = pytest.mark.skipif(
    not (DIRECTORY / MANIFEST).is_file(), reason="needs the console that `make console` builds"
)

TICKETS = """query($search: String!) { tickets(filter: {search: $search}) { nodes {
    reference subject description status category priority source
    customer { name } property { address } technician { name } contact { name email phone }
} } }"""


@pytest.fixture
async def form(browser: Browser, server: Server) -> AsyncIterator[Page]:
    async with admin_at(browser, server, "Ann Admin") as page:
        await page.goto("/tickets/new")
        await expect(page.get_by_role("heading", name="New Ticket")).to_be_visible()
        yield page


async def tickets(api: Api, subject: str) -> list[dict[str, Any]]:
    return list((await api(TICKETS, search=subject))["tickets"]["nodes"])


async def fill(form: Page, **values: str) -> None:
    for label, value in values.items():
        await form.get_by_label(label, exact=True).fill(value)


async def fill_required(form: Page, subject: str) -> None:
    await fill(form, Name="John Smith", Email="john@example.com", Subject=subject, Description="Since last night.")


async def create(form: Page) -> None:
    await form.get_by_role("button", name="Create Ticket").click()


def search(form: Page) -> Locator:
    return form.get_by_role("combobox", name="Customer Search")


async def has_error(form: Page, label: str, text: str) -> None:
    field = form.get_by_label(label, exact=True)
    await expect(field).to_have_attribute("aria-invalid", "true")
    await expect(field).to_have_accessible_description(re.compile(text))


async def test_a_ticket_for_a_customer_who_is_searched_for(api: Api, form: Page) -> None:
    contact = {"name": "Northgate Mall", "email": "desk@northgate.example", "phone": "613-555-7788"}
    customer = await api.new_customer(**contact, accountNumber="N-4711")
    await api.new_property(customer, address="1 North Gate, Ottawa", accountNumber="P-4711")
    await api.new_property(customer, address="2 South Gate, Ottawa", accountNumber="P-4712")
    await api.new_technician(name="Tess Technician")
    await form.reload()
    for term in ("northg", "desk@northgate", "n-4711"):
        await search(form).fill("")
        await expect(form.get_by_role("option", name="Northgate Mall")).to_have_count(0)
        await search(form).fill(term)
        await expect(form.get_by_role("option", name="Northgate Mall")).to_be_visible()
    await form.keyboard.press("ArrowDown")
    await form.keyboard.press("Enter")
    for label, value in (("Name", contact["name"]), ("Email", contact["email"]), ("Phone", contact["phone"])):
        await expect(form.get_by_label(label, exact=True)).to_have_value(value)
    home = form.get_by_label("Property")
    names = ["No property", "1 North Gate, Ottawa (P-4711)", "2 South Gate, Ottawa (P-4712)"]
    await expect(home.locator("option")).to_have_text(names)
    await expect(home.locator("option:checked")).to_have_text("No property")
    await home.select_option(label=names[2])
    await fill(form, Subject="Gate stays open", Description="It does not close.")
    await form.get_by_label("Category").select_option(label="Access Control")
    await form.get_by_label("Priority").select_option(label="High")
    await form.get_by_label("Assign To").select_option(label="Tess Technician")
    await create(form)
    await expect(form.get_by_role("heading", name="Gate stays open")).to_be_visible()
    [made] = await tickets(api, "Gate stays open")
    await form.wait_for_url(f"**/tickets/{made['reference']}")
    assert made == {
        "reference": made["reference"],
        "subject": "Gate stays open",
        "description": "It does not close.",
        "status": "OPEN",
        "category": "ACCESS_CONTROL",
        "priority": "HIGH",
        "source": "ADMIN",
        "customer": {"name": "Northgate Mall"},
        "property": {"address": "2 South Gate, Ottawa"},
        "technician": {"name": "Tess Technician"},
        "contact": contact,
    }


async def test_a_ticket_by_hand_with_the_defaults(api: Api, form: Page) -> None:
    for label, text in (("Category", "General"), ("Priority", "Medium"), ("Assign To", "Unassigned")):
        await expect(form.get_by_label(label).locator("option:checked")).to_have_text(text)
    examples = {"Name": "John Smith", "Email": "john@example.com", "Phone": "613-555-1234", "Subject": "beeping"}
    for label, example in examples.items():
        await expect(form.get_by_label(label, exact=True)).to_have_accessible_description(re.compile(example))
    await fill_required(form, "By hand")
    await create(form)
    await expect(form.get_by_role("heading", name="By hand")).to_be_visible()
    [made] = await tickets(api, "By hand")
    assert (made["category"], made["priority"], made["technician"]) == ("GENERAL", "MEDIUM", None)
    assert made["contact"] == {"name": "John Smith", "email": "john@example.com", "phone": None}
    await form.goto("/tickets/new")
    await expect(form.get_by_label("Subject")).to_have_value("")


async def test_change_clears_the_customer_and_searches_again(api: Api, form: Page) -> None:
    await api.new_customer(name="First Choice")
    await api.new_customer(name="Second Choice", phone=None)
    await search(form).fill("first choice")
    await form.get_by_role("option", name="First Choice").click()
    await expect(form.get_by_role("button", name="Change")).to_be_focused()
    await form.get_by_role("button", name="Change").click()
    await expect(search(form)).to_be_focused()
    for label in ("Name", "Email"):
        await expect(form.get_by_label(label, exact=True)).to_have_value("")
    await expect(form.get_by_label("Property")).to_have_count(0)
    await form.keyboard.type("second choice")
    await form.get_by_role("option", name="Second Choice").click()
    await expect(form.get_by_label("Name", exact=True)).to_have_value("Second Choice")


async def test_nobody_is_found_and_the_search_is_closed_with_escape(api: Api, form: Page) -> None:
    await search(form).fill("nobody of this name")
    await expect(form.get_by_text("No customer found.")).to_be_visible()
    await api.new_customer(name="Esc Escher")
    await search(form).fill("escher")
    await expect(form.get_by_role("option", name="Esc Escher")).to_be_visible()
    await form.keyboard.press("Escape")
    await expect(form.get_by_role("option", name="Esc Escher")).to_have_count(0)


async def test_all_errors_are_shown_at_once_each_at_its_field(form: Page) -> None:
    await create(form)
    for label in ("Name", "Email", "Subject", "Description"):
        await has_error(form, label, "This field is required.")
    await expect(form.get_by_label("Name", exact=True)).to_be_focused()
    await expect(form.get_by_role("alert")).to_have_text("4 fields need another look.")
    await fill(form, Subject="Beeping")
    await expect(form.get_by_role("alert")).to_have_text("3 fields need another look.")
    await expect(form.get_by_label("Subject", exact=True)).to_be_focused()
    await fill(form, Subject="")
    await fill(form, Name="N" * 201, Email="nobody", Phone="5" * 41, Subject="S" * 201, Description="D")
    await create(form)
    for label, text in (("Name", "200"), ("Email", "not an e-mail"), ("Phone", "40"), ("Subject", "200")):
        await has_error(form, label, text)
    await expect(form.get_by_label("Description")).not_to_have_attribute("aria-invalid", "true")


async def test_the_servers_errors_are_shown_where_it_was_typed(api: Api, form: Page) -> None:
    leaving = await api.new_technician(name="Leo Leaving")
    await form.reload()
    await fill_required(form, "Refused at first")
    await form.get_by_label("Email").fill("john@example..com")
    await form.get_by_label("Assign To").select_option(label="Leo Leaving")
    gone = lambda: api.done("technicianUpdate", "__typename", technicianId=leaving, active=False)  # noqa: E731
    await before(form, "ticketCreate", gone)
    await create(form)
    await has_error(form, "Email", ".")
    await has_error(form, "Assign To", ".")
    await expect(form.get_by_label("Email")).to_be_focused()
    await expect(form.get_by_label("Subject")).to_have_value("Refused at first")
    await form.get_by_label("Email").fill("john@example.com")
    await form.get_by_label("Assign To").select_option(label="Unassigned")
    await create(form)
    await expect(form.get_by_role("heading", name="Refused at first")).to_be_visible()


async def test_a_draft_survives_a_reload_and_can_be_discarded(api: Api, form: Page) -> None:
    await api.new_customer(name="Drafted Customer", email="drafted@example.com")
    await search(form).fill("drafted")
    await form.get_by_role("option", name="Drafted Customer").click()
    await fill(form, Subject="Half a subject", Description="Half a description")
    await form.get_by_label("Priority").select_option(label="Low")
    await form.reload()
    await expect(form.get_by_text("This is what you had typed before.")).to_be_visible()
    await expect(form.get_by_role("group", name="Customer")).to_contain_text("Drafted Customer")
    for label, value in (("Subject", "Half a subject"), ("Description", "Half a description"), ("Priority", "LOW")):
        await expect(form.get_by_label(label, exact=True)).to_have_value(value)
    await form.get_by_role("button", name="Discard draft").click()
    await expect(form.get_by_label("Subject")).to_have_value("")
    await form.reload()
    await expect(search(form)).to_be_visible()
    await expect(form.get_by_text("This is what you had typed before.")).to_have_count(0)


async def test_a_retry_after_a_lost_answer_makes_one_ticket(api: Api, form: Page) -> None:
    await fill_required(form, "Only one of these")
    async with with_answers_lost(form, "ticketCreate"):
        await create(form)
        await expect(form.get_by_text("No connection. The ticket is created as soon as")).to_be_visible()
    await expect(form.get_by_role("heading", name="Only one of these")).to_be_visible()
    assert len(await tickets(api, "Only one of these")) == 1


async def test_a_reload_after_a_lost_answer_makes_one_ticket_and_keeps_what_was_changed(api: Api, form: Page) -> None:
    await fill_required(form, "Was it created")
    async with with_answers_lost(form, "ticketCreate"):
        await create(form)
        await expect(form.get_by_text("No connection. The ticket is created as soon as")).to_be_visible()
        await form.reload()
    await form.get_by_label("Description").fill("Another description.")
    await create(form)
    [made] = await tickets(api, "Was it created")
    await expect(form.get_by_role("alert").filter(has_text="was already created")).to_contain_text(made["reference"])
    await expect(form.get_by_label("Description")).to_have_value("Another description.")
    await form.get_by_role("link", name=f"Open {made['reference']}").click()
    await expect(form.get_by_role("heading", name="Was it created")).to_be_visible()


async def test_a_ticket_is_created_once_the_connection_is_back(api: Api, form: Page) -> None:
    await fill_required(form, "Created offline")
    async with without_connection(form):
        await create(form)
        await expect(form.get_by_text("No connection. The ticket is created as soon as")).to_be_visible()
    await expect(form.get_by_role("heading", name="Created offline")).to_be_visible()
    assert len(await tickets(api, "Created offline")) == 1


async def test_the_form_works_by_keyboard_alone(api: Api, form: Page) -> None:
    await search(form).focus()
    await form.keyboard.press("Tab")
    for value in ("Kay Board", "kay@example.com", "", "By keyboard", "Typed."):
        await form.keyboard.type(value)
        await form.keyboard.press("Tab")
    for letter in ("A", "U", ""):
        await form.keyboard.type(letter)
        await form.keyboard.press("Tab")
    await expect(form.get_by_role("button", name="Create Ticket")).to_be_focused()
    await form.keyboard.press("Enter")
    await expect(form.get_by_role("heading", name="By keyboard")).to_be_visible()
    [made] = await tickets(api, "By keyboard")
    assert (made["contact"]["name"], made["priority"]) == ("Kay Board", "URGENT")


async def test_the_form_is_in_french_for_those_who_read_french(browser: Browser, server: Server) -> None:
    async with admin_at(browser, server, "Anne", locale="fr-CA") as form:
        await form.goto("/tickets/new")
        await expect(form.get_by_role("heading", name="Nouveau billet")).to_be_visible()
        await expect(form.get_by_label("Priorité").locator("option:checked")).to_have_text("Moyenne")
        await form.get_by_role("button", name="Créer le billet").click()
        await has_error(form, "Sujet", "obligatoire")


async def test_axe_finds_nothing_in_any_state(api: Api, form: Page) -> None:
    assert await problems_in_both_themes(form) == []
    customer = await api.new_customer(name="Accessible Customer")
    await api.new_property(customer)
    await search(form).fill("accessible")
    await expect(form.get_by_role("option", name="Accessible Customer")).to_be_visible()
    await form.keyboard.press("ArrowDown")
    assert await problems_in_both_themes(form) == []
    await form.keyboard.press("Enter")
    await expect(form.get_by_label("Property")).to_be_visible()
    await create(form)
    await has_error(form, "Subject", "required")
    assert await problems_in_both_themes(form) == []
