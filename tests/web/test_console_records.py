"""Customers and the knowledge base, as an admin keeps them in the console."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, Page, expect

from callout.http.console import DIRECTORY, MANIFEST
from tests.helpers.api import Api, Server
from tests.helpers.axe import problems_in_both_themes
from tests.helpers.console import admin_at

pytestmark = pytest.mark.skipif(not (DIRECTORY / MANIFEST).is_file(), reason="needs what `make console` builds")


@pytest.fixture
async def ann(browser: Browser, server: Server) -> AsyncIterator[Page]:
    async with admin_at(browser, server, "Ann Admin") as page:
        yield page


async def test_a_customer_is_added_found_and_changed(ann: Page, api: Api) -> None:
    await api.new_customer(accountNumber="A-1")
    await ann.goto("/customers")
    await ann.get_by_role("link", name="New customer").click()
    await ann.get_by_label("Name").fill("Elm Dental")
    await ann.get_by_label("Email").fill("not an address")
    await ann.get_by_label("Account number").fill("A-1")
    await ann.get_by_role("button", name="Add the customer").click()
    await expect(ann.get_by_label("Email")).to_have_attribute("aria-invalid", "true")
    await expect(ann.get_by_label("Account number")).to_have_attribute("aria-invalid", "true")
    await expect(ann.get_by_label("Email")).to_be_focused()
    await ann.reload()
    await expect(ann.get_by_label("Name")).to_have_value("Elm Dental")
    await ann.get_by_label("Email").fill("desk@elm.example")
    await ann.get_by_label("Account number").fill("ELM-77")
    await ann.get_by_role("button", name="Add the customer").click()
    await expect(ann.get_by_role("heading", level=1)).to_have_text("Elm Dental")
    adding = ann.get_by_role("group").filter(has_text="Add a property")
    await adding.get_by_text("Add a property").first.click()
    await adding.get_by_label("Address").fill("12 Elm Street")
    await adding.get_by_label("Account number").fill("P-77")
    await adding.get_by_role("button", name="Add a property").click()
    await expect(ann.get_by_role("link", name="12 Elm Street")).to_be_visible()
    await ann.get_by_label("Phone").fill("613-555-0123")
    await ann.get_by_role("button", name="Save").click()
    await expect(ann.get_by_role("status").get_by_text("Saved")).to_be_visible()
    await ann.get_by_role("link", name="Customers").click()
    await ann.get_by_label("Search").fill("elm-77")
    await ann.keyboard.press("Enter")
    await expect(ann.get_by_text("1 customer", exact=True)).to_be_visible()
    await ann.get_by_role("link", name="Elm Dental").click()
    await expect(ann.get_by_label("Phone")).to_have_value("613-555-0123")


async def test_a_property_is_found_and_changed_while_a_colleague_changes_it(ann: Page, api: Api) -> None:
    customer = await api.new_customer(name="Fir Florist")
    property = await api.new_property(customer, address="12 Fir Street, Ottawa", accountNumber="F-77")
    await api.new_ticket(customerId=customer, propertyId=property, subject="Gate stays open")
    await ann.goto("/tickets")
    await ann.get_by_role("link", name="Properties").click()
    await ann.get_by_label("Search").fill("ottawa f-77")
    await ann.keyboard.press("Enter")
    await expect(ann.get_by_text("1 property", exact=True)).to_be_visible()
    await ann.get_by_role("link", name="12 Fir Street").click()
    await expect(ann.get_by_role("link", name="Gate stays open")).to_be_visible()
    notes = ann.get_by_label("Access notes")
    await notes.fill("Key at the desk.")
    await api.done("propertyUpdate", "__typename", propertyId=property, address="14 Fir Street, Ottawa")
    await expect(ann.get_by_role("heading", level=1)).to_have_text("14 Fir Street, Ottawa")
    await expect(ann.get_by_label("Address")).to_have_value("14 Fir Street, Ottawa")
    await expect(notes).to_have_value("Key at the desk.")
    await api.done("propertyUpdate", "__typename", propertyId=property, accessNotes="Ring twice.")
    await expect(notes).to_have_accessible_description(re.compile("A colleague has changed this.*“Ring twice.”"))
    await ann.get_by_label("Account number").fill("")
    await ann.get_by_role("button", name="Save").click()
    await expect(ann.get_by_label("Account number")).to_be_focused()
    await ann.get_by_label("Account number").fill("F-78")
    await ann.get_by_role("button", name="Save").click()
    await expect(ann.get_by_role("status").get_by_text("Saved")).to_be_visible()
    await expect(notes).to_have_value("Key at the desk.")
    found = "query($id: ID!) { node(id: $id) { ... on Property { address accountNumber accessNotes } } }"
    assert (await api(found, id=property))["node"] == {
        "address": "14 Fir Street, Ottawa",
        "accountNumber": "F-78",
        "accessNotes": "Key at the desk.",
    }
    await ann.get_by_role("main").get_by_role("link", name="Fir Florist").click()
    await expect(ann.get_by_role("link", name="14 Fir Street")).to_be_visible()
    await api.new_property(customer, address="9 Spruce Lane")
    await expect(ann.get_by_role("link", name="9 Spruce Lane")).to_be_visible()
    for number in range(21):
        await api.new_ticket(customerId=customer, subject=f"Many {number:02}")
    await expect(ann.get_by_role("heading", name="22 tickets")).to_be_visible()
    await expect(ann.get_by_role("link", name="Gate stays open")).to_have_count(0)
    await ann.get_by_role("button", name="Show more").click()
    await expect(ann.get_by_role("link", name="Gate stays open")).to_be_visible()


async def test_a_customer_is_erased_only_by_who_types_their_account_number(ann: Page, api: Api) -> None:
    customer = await api.new_customer(name="Ivy Interiors", accountNumber="IVY-1")
    ticket = await api.new_ticket(customerId=customer)
    await ann.goto(f"/customers/{customer}")
    await ann.get_by_text("Erase this customer's personal data").click()
    await expect(ann.get_by_text("This cannot be undone")).to_be_visible()
    assert await problems_in_both_themes(ann) == []
    confirmation = ann.get_by_label("To confirm, type the account number IVY-1")
    await confirmation.fill("IVY-2")
    await ann.get_by_role("button", name="Erase for good").click()
    await expect(ann.get_by_text("This is not the account number.")).to_be_visible()
    await expect(confirmation).to_be_focused()
    await confirmation.fill("ivy-1")
    await ann.get_by_role("button", name="Erase for good").click()
    await expect(ann.get_by_text("The customer has open tickets")).to_be_visible()
    await api.done("ticketResolve", "__typename", ticketId=ticket, resolution="Done.")
    await ann.get_by_role("button", name="Erase for good").click()
    await expect(ann.get_by_text("Everything has been erased.")).to_be_visible()
    await expect(ann.get_by_text("This customer's data were erased.")).to_be_visible()
    await expect(ann.get_by_role("heading", level=1)).to_have_text("Erased customer")
    await expect(ann.get_by_text("Ivy Interiors")).to_have_count(0)


async def test_an_article_is_written_and_published(ann: Page, api: Api) -> None:
    await ann.goto("/articles/new")
    await ann.get_by_role("button", name="Add the article").click()
    await expect(ann.get_by_label("Problem")).to_have_attribute("aria-invalid", "true")
    await ann.get_by_label("Problem").fill("Panel beeps")
    await ann.get_by_label("Solution").fill("Replace the battery.")
    await ann.get_by_role("button", name="Add the article").click()
    await expect(ann.get_by_role("heading", level=1)).to_have_text("Panel beeps")
    async with api.service() as chatbot:
        assert (await chatbot("{ articles { totalCount } }"))["articles"]["totalCount"] == 0
        await ann.get_by_label("Published").check()
        await ann.get_by_role("button", name="Save").click()
        await expect(ann.get_by_role("status").get_by_text("Saved")).to_be_visible()
        await ann.reload()
        await expect(ann.get_by_label("Published")).to_be_checked()
        assert (await chatbot("{ articles { totalCount } }"))["articles"]["totalCount"] == 1
    await ann.get_by_role("link", name="Knowledge Base").click()
    await expect(ann.get_by_role("link", name="Panel beeps")).to_contain_text("Published")


async def test_further_customers_are_shown_when_asked_for(ann: Page, api: Api) -> None:
    for number in range(52):
        await api.new_customer(name=f"Many {number:02}")
    await ann.goto("/customers?q=many")
    await expect(ann.get_by_role("link", name="Many")).to_have_count(50)
    await ann.get_by_role("button", name="Show more").click()
    await expect(ann.get_by_role("link", name="Many")).to_have_count(52)


async def test_what_does_not_exist_says_so(ann: Page) -> None:
    await ann.goto("/customers/cus_00000000-0000-7000-8000-000000000000")
    await expect(ann.get_by_text("It does not exist any more").or_(ann.get_by_role("alert"))).to_be_visible()


async def test_a_colleagues_change_of_another_field_stays(ann: Page, api: Api) -> None:
    customer = await api.new_customer(name="Birch Books", phone="613-555-0100")
    await ann.goto(f"/customers/{customer}")
    await ann.get_by_label("Name").fill("Birch Bookshop")
    await api.done("customerUpdate", "__typename", customerId=customer, phone="613-555-0199")
    await ann.get_by_role("button", name="Save").click()
    await expect(ann.get_by_role("heading", level=1)).to_have_text("Birch Bookshop")
    await expect(ann.get_by_label("Phone")).to_have_value("613-555-0199")


async def test_no_page_has_a_barrier(ann: Page, api: Api) -> None:
    customer = await api.new_customer(name="Oak Bakery")
    property = await api.new_property(customer)
    await api.new_ticket(customerId=customer, propertyId=property)
    for path, text in (
        ("/customers?q=oak", "Oak Bakery"),
        (f"/customers/{customer}", "On file"),
        ("/properties", "Oak Bakery"),
        (f"/properties/{property}", "Access notes"),
        ("/articles", "Knowledge Base"),
        ("/articles/new", "Solution"),
    ):
        await ann.goto(path)
        await ann.get_by_text(text).first.wait_for()
        assert await problems_in_both_themes(ann) == []
