"""What is around the staff's pages: the sidebar, the palette, the keys, the help, the theme, the language, and what is
shown when there is no such page or when one fails."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, Route, expect

from callout.http.console import DIRECTORY, MANIFEST
from tests.helpers.api import Api, Server
from tests.helpers.axe import problems, problems_in_both_themes
from tests.helpers.console import PHONE, admin_at, sends, without_connection

pytestmark = pytest.mark.skipif(not (DIRECTORY / MANIFEST).is_file(), reason="needs what `make console` builds")


@pytest.fixture
async def ann(browser: Browser, server: Server) -> AsyncIterator[Page]:
    async with admin_at(browser, server, "Ann Admin") as page:
        yield page


async def test_the_keyboard_alone_leads_from_the_list_to_a_note(ann: Page, api: Api) -> None:
    ticket = await api.new_ticket(subject="Siren sounds at night")
    await ann.goto("/tickets")
    await expect(ann.get_by_role("link", name="Siren sounds at night")).to_be_visible()
    await ann.keyboard.press("Tab")
    await expect(ann.get_by_role("link", name="Skip to the content")).to_be_focused()
    await ann.keyboard.press("Enter")
    await ann.keyboard.press("j")
    await expect(ann.get_by_role("link", name="Siren sounds at night")).to_be_focused()
    await ann.keyboard.press("Enter")
    await expect(ann.get_by_role("heading", name="Siren sounds at night")).to_be_visible()
    await expect(ann.get_by_label("Note Text")).to_be_editable()
    await ann.keyboard.press("n")
    await expect(ann.get_by_label("Note Text")).to_be_focused()
    await ann.keyboard.type("Called, nobody there.")
    await ann.keyboard.press("Tab")
    await expect(ann.get_by_label("Internal Only").first).to_be_focused()
    await ann.keyboard.press("Space")
    await ann.keyboard.press("Tab")
    await ann.keyboard.press("Enter")
    await expect(ann.get_by_role("listitem").filter(has_text="Called, nobody there.")).to_contain_text("Ann Admin")
    notes = "query($id: ID!) { ticket(by: {id: $id}) { notes { nodes { body internalOnly } } } }"
    found = (await api(notes, id=ticket))["ticket"]["notes"]["nodes"]
    assert found == [{"body": "Called, nobody there.", "internalOnly": False}]


async def test_the_palette_finds_pages_and_tickets_and_says_when_it_cannot(ann: Page, api: Api) -> None:
    await api.new_ticket(subject="Keypad is dead")
    await ann.goto("/tickets")
    palette = ann.get_by_role("combobox", name="Go to…")
    status = ann.get_by_role("dialog", name="Go to…").get_by_role("status")
    await ann.keyboard.press("Control+k")
    assert await problems_in_both_themes(ann) == []
    await palette.fill("knowl")
    await ann.keyboard.press("Enter")
    await expect(ann.get_by_role("heading", name="Knowledge Base")).to_be_visible()
    await ann.keyboard.press("Control+k")
    held: asyncio.Queue[Route] = asyncio.Queue()

    async def hold(route: Route) -> None:
        if sends("ShellFind")(route):
            held.put_nowait(route)
        else:
            await route.continue_()

    await ann.route("**/graphql", hold)
    await palette.fill("keypad")
    await expect(status).to_have_text("Searching the tickets…")
    await (await held.get()).abort()
    await ann.unroute("**/graphql")
    async with without_connection(ann):
        await palette.fill("keypa")
        await expect(status).to_have_text("The tickets cannot be searched at the moment.")
    await palette.fill("zebra")
    await expect(status).to_have_text("Nothing found")
    await palette.fill("keypad")
    await expect(ann.get_by_role("option", name="Keypad is dead")).to_be_visible()
    await ann.keyboard.press("Enter")
    await expect(ann.get_by_role("heading", name="Keypad is dead")).to_be_visible()


async def test_the_keys_are_in_the_help_and_can_be_switched_off(ann: Page) -> None:
    await ann.goto("/tickets")
    await ann.get_by_role("heading", name="Tickets").wait_for()
    help = ann.get_by_role("dialog", name="Keyboard shortcuts")
    await ann.keyboard.press("?")
    await expect(help.get_by_text("Go to the tickets")).to_be_visible()
    await expect(help.get_by_text("New Ticket")).to_be_visible()
    assert await problems_in_both_themes(ann) == []
    await help.get_by_label("Use the keys of this list").uncheck()
    await help.get_by_role("button", name="Close").click()
    await ann.reload()
    await ann.get_by_role("heading", name="Tickets").wait_for()
    await ann.keyboard.press("c")
    await ann.keyboard.press("?")
    await ann.keyboard.press("Control+k")
    await expect(ann.get_by_role("dialog", name="Go to…")).to_be_visible()
    await ann.keyboard.press("Escape")
    await expect(ann).to_have_url(re.compile("/tickets$"))
    await expect(help).to_have_count(0)
    await ann.get_by_text("Ann Admin").click()
    await ann.get_by_role("button", name="Keyboard shortcuts").click()
    await help.get_by_label("Use the keys of this list").check()
    await ann.keyboard.press("Escape")
    await ann.keyboard.press("c")
    await expect(ann.get_by_role("heading", name="New Ticket")).to_be_visible()
    await ann.get_by_role("heading", name="New Ticket").click()
    await ann.keyboard.press("g")
    await ann.keyboard.press("t")
    await expect(ann).to_have_url(re.compile("/tickets$"))


async def test_the_menu_closes_and_keeps_theme_and_language(ann: Page) -> None:
    asked: list[str] = []
    ann.on("request", lambda request: asked.append(request.url))
    await ann.goto("/tickets")
    menu = ann.get_by_role("group").filter(has=ann.get_by_text("Ann Admin"))
    theme = ann.get_by_label("Theme")
    await ann.get_by_text("Ann Admin").click()
    assert await problems_in_both_themes(ann) == []
    await theme.focus()
    await ann.keyboard.press("Escape")
    await expect(theme).to_be_hidden()
    await expect(menu.get_by_text("Ann Admin")).to_be_focused()
    await ann.keyboard.press("Enter")
    await expect(theme).to_be_visible()
    await ann.get_by_role("heading", name="Tickets").click()
    await expect(theme).to_be_hidden()
    await ann.get_by_text("Ann Admin").click()
    await theme.select_option("Dark")
    await ann.get_by_label("Language").select_option("Français")
    await expect(ann.get_by_role("heading", level=1)).to_have_text("Billets")
    await expect(ann.locator("html")).to_have_attribute("lang", "fr")
    await expect(ann.locator("html")).to_have_attribute("data-theme", "dark")
    assert not [url for url in asked if url.endswith("/demo")]
    # Before the console itself is loaded.
    await ann.route(re.compile("/console/staff-.*js"), lambda route: route.abort())
    await ann.reload()
    await expect(ann.locator("html")).to_have_attribute("data-theme", "dark")


async def test_a_missing_page_and_one_that_fails_say_so(ann: Page, api: Api) -> None:
    await ann.goto("/tickets/a/b")
    await expect(ann.get_by_role("heading", name="There is no such page")).to_be_visible()
    await ann.get_by_role("main").get_by_role("link", name="Tickets").click()
    await expect(ann.get_by_role("heading", name="Tickets")).to_be_visible()
    customer = await api.new_customer(name="Elm Dental")

    async def spoil(route: Route) -> None:
        if not sends("CustomerPage")(route):
            return await route.continue_()
        answer = await route.fetch()
        content = await answer.json()
        content["data"]["node"]["properties"] = None
        await route.fulfill(response=answer, body=json.dumps(content), headers=answer.headers | {"x-request-id": "r-7"})

    await ann.route("**/graphql", spoil)
    await ann.goto(f"/customers/{customer}")
    alert = ann.get_by_role("alert")
    await expect(ann.get_by_role("heading", level=1)).to_have_text("This page does not work at the moment")
    await expect(alert).to_contain_text("r-7")
    assert await problems_in_both_themes(ann) == []
    await ann.unroute_all(behavior="wait")
    await alert.get_by_role("button", name="Load again").click()
    await expect(ann.get_by_role("heading", name="Elm Dental")).to_be_visible()


async def test_a_phone_has_the_pages_in_a_drawer_and_room_for_fingers(
    browser: Browser, server: Server, api: Api
) -> None:
    ticket = await api.new_ticket(subject="Doorbell is silent")
    found = await api("query($id: ID!) { ticket(by: {id: $id}) { reference } }", id=ticket)
    path_of_ticket = f"/tickets/{found['ticket']['reference']}"
    async with admin_at(browser, server, "Ann Admin", **PHONE) as ann:
        await ann.goto("/tickets")
        await ann.get_by_role("button", name="Menu").tap()
        drawer = ann.get_by_role("dialog", name="Menu")
        await expect(drawer.get_by_role("link", name="Tickets")).to_have_attribute("aria-current", "page")
        assert await problems(ann) == []
        await drawer.get_by_text("Ann Admin").tap()
        small = await ann.evaluate(SMALL)
        await drawer.get_by_role("link", name="Customers").tap()
        await expect(ann.get_by_role("heading", name="Customers")).to_be_visible()
        await expect(drawer).to_have_count(0)
        await ann.get_by_role("button", name="Menu").tap()
        await ann.keyboard.press("Escape")
        await expect(drawer).to_have_count(0)
        for path, heading in (
            ("/customers/new", "New customer"),
            ("/tickets/new", "New Ticket"),
            (path_of_ticket, "Doorbell is silent"),
        ):
            await ann.goto(path)
            await ann.get_by_role("heading", name=heading).wait_for()
            await ann.get_by_role("textbox").first.wait_for()
            small += await ann.evaluate(SMALL)
        assert small == []
        letters = "[...document.querySelectorAll('input, select, textarea')].map(one => getComputedStyle(one).fontSize)"
        assert set(await ann.evaluate(letters)) == {"16px"}


SMALL = """() => [...document.querySelectorAll("button, select, summary, nav a, .button, input:not([type=checkbox])")]
    .map((one) => [one, one.getBoundingClientRect()])
    .filter(([one, { width, height }]) => one.checkVisibility() && width > 1 && (width < 43.5 || height < 43.5))
    .map(([one, { width, height }]) => `${one.outerHTML.slice(0, 100)} ${width}x${height}`)"""


@pytest.mark.parametrize(("wing", "kilobytes"), [("staff", 90), ("tech", 60)])
def test_what_a_page_loads_first_is_small(wing: str, kilobytes: int) -> None:
    """The portal's is in its own tests."""
    entry = json.loads((Path(DIRECTORY) / MANIFEST).read_bytes())["entries"][wing]
    assert entry["bytes"] < kilobytes * 1024
