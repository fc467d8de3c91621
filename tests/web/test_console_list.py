"""The list of tickets in the console: each sentence of the guide about it, and how it stays right, and still under the
pointer, while others work."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from playwright.async_api import Browser, Locator, Page, WebSocketRoute, expect

from callout.http.console import DIRECTORY, MANIFEST
from tests.helpers.api import Api, Server
from tests.helpers.axe import problems_in_both_themes
from tests.helpers.console import admin_at, before, without_connection

pytestmark = pytest.mark.skipif(
    not (DIRECTORY / MANIFEST).is_file(), reason="needs the console that `make console` builds"
)

REACHED_ROWS = """() => {
  const reached = new Set()
  const left = [document.getElementById('console').__k]
  while (left.length > 0) {
    const one = left.pop()
    if (typeof one !== 'object' || one === null || one instanceof Node || reached.has(one)) continue
    reached.add(one)
    if (Array.isArray(one)) left.push(...one)
    else left.push(one.__k, one.__, one.props?.children)
  }
  return [...reached].filter(({ type, props }) => type === 'tr' && props['data-id'] !== undefined).length
}"""
"""How many virtual rows Preact reaches from the page: by children (`__k`), parents (`__`) and given children."""

DESK = {"width": 1440, "height": 900}
FIRST = 100  # rows of the live window


@pytest.fixture
async def ann(browser: Browser, server: Server) -> AsyncIterator[Page]:
    async with admin_at(browser, server, "Ann Admin", viewport=DESK) as page:
        yield page


@pytest.fixture
async def bob(browser: Browser, server: Server) -> AsyncIterator[Page]:
    async with admin_at(browser, server, "Bob Admin", viewport=DESK) as page:
        yield page


async def add(api: Api, *subjects: str, **given: Any) -> list[str]:
    return [await api.new_ticket(subject=subject, **given) for subject in subjects]


async def reference_of(api: Api, ticket: str) -> str:
    found = await api("query($id: ID!) { ticket(by: {id: $id}) { reference } }", id=ticket)
    return str(found["ticket"]["reference"])


async def set_status(api: Api, ticket: str, status: str) -> None:
    given = {"resolution": "Repaired."} if status == "RESOLVED" else {}
    await api.done("ticketSetStatus", "ticket { id }", ticketId=ticket, status=status, **given)


def row(page: Page, text: str) -> Locator:
    return page.get_by_role("row").filter(has_text=text)


def link(page: Page, subject: str) -> Locator:
    return page.get_by_role("cell").get_by_role("link", name=subject, exact=True)


def tab(page: Page, name: str) -> Locator:
    return page.get_by_role("navigation", name="Status").get_by_role("link", name=re.compile(f"^{name} "))


def waiting(page: Page) -> Locator:
    return page.get_by_role("button", name=re.compile("^Show "))


def shortcut_bar(page: Page) -> Locator:
    return page.get_by_role("region", name="Selected tickets")


async def shows(page: Page, *subjects: str) -> None:
    """Waits until the list shows these subjects, in this order, and nothing else."""
    await expect(page.locator(".list[aria-busy=true]")).to_have_count(0)
    await expect(page.locator(".row-link")).to_have_text(list(subjects))


async def open_list(page: Page, query: str, *subjects: str) -> None:
    await page.goto(f"/tickets{query}")
    await shows(page, *subjects)


# What the guide says


async def test_the_list_shows_what_the_guide_says_of_each_ticket(api: Api, ann: Page) -> None:
    customer = await api.new_customer(name="Elena Vasquez")
    home = await api.new_property(customer, address="12 Elm Street, Ottawa")
    (ticket,) = await add(api, "Shown camera is dark", customerId=customer, propertyId=home, priority="URGENT")
    await ann.goto("/")
    await expect(ann.get_by_role("navigation", name="Main").get_by_role("link", name="Tickets")).to_be_visible()
    await ann.get_by_role("navigation", name="Main").get_by_role("link", name="Tickets").click()
    shown = row(ann, "Shown camera is dark")
    for text in (await reference_of(api, ticket), "Elena Vasquez", "12 Elm Street, Ottawa", "Urgent", "Open"):
        await expect(shown.get_by_role("cell", name=text, exact=True)).to_be_visible()
    await expect(shown.locator("time")).to_have_attribute("title", re.compile(r"20\d\d"))
    headers = ("Reference", "Subject", "Customer", "Address", "Priority", "Status", "Date")
    for header in headers:
        await expect(ann.get_by_role("columnheader", name=header)).to_be_visible()
    await link(ann, "Shown camera is dark").click()
    await expect(ann.get_by_role("heading", level=1, name="Shown camera is dark")).to_be_visible()


async def test_tabs_show_the_tickets_with_a_status_and_live_numbers(api: Api, ann: Page) -> None:
    opened, begun, resolved = await add(api, "Tabby open", "Tabby begun", "Tabby resolved")
    await set_status(api, begun, "IN_PROGRESS")
    await set_status(api, resolved, "RESOLVED")
    await open_list(ann, "?q=Tabby", "Tabby resolved", "Tabby begun", "Tabby open")
    await expect(tab(ann, "All")).to_have_attribute("aria-current", "page")
    for name, number, subject in (
        ("Open", 1, "Tabby open"),
        ("In Progress", 1, "Tabby begun"),
        ("Resolved", 1, "Tabby resolved"),
    ):
        await expect(tab(ann, name)).to_have_text(f"{name} {number}")
        await tab(ann, name).click()
        await shows(ann, subject)
        await expect(tab(ann, name)).to_have_attribute("aria-current", "page")
    await set_status(api, opened, "IN_PROGRESS")
    await expect(tab(ann, "In Progress")).to_have_text("In Progress 2")
    await expect(tab(ann, "Open")).to_have_text("Open 0")
    await expect(tab(ann, "All")).to_have_text("All 3")


async def test_search_finds_references_subjects_and_customers_by_enter_or_the_icon(api: Api, ann: Page) -> None:
    customer = await api.new_customer(name="Zebedee Quill")
    (ticket, _) = await add(api, "Searched panel", "Searched other")
    await add(api, "Quill's gate", customerId=customer)
    await ann.goto("/tickets")
    search = ann.get_by_role("searchbox", name="Search")
    await search.fill("searched panel")
    await search.press("Enter")
    await shows(ann, "Searched panel")
    await search.fill((await reference_of(api, ticket)).lower())
    await ann.get_by_role("button", name="Search now").click()
    await shows(ann, "Searched panel")
    await search.fill("zebedee")
    await search.press("Enter")
    await shows(ann, "Quill's gate")
    await expect(ann).to_have_url(re.compile(r"q=zebedee"))


async def test_dropdowns_filter_by_priority_category_and_technician(api: Api, ann: Page) -> None:
    terry = await api.new_technician(name="Terry Filter")
    await add(api, "Sifted plain")
    await add(api, "Sifted urgent", priority="URGENT", category="CCTV")
    await add(api, "Sifted assigned", technicianId=terry)
    await open_list(ann, "?q=Sifted", "Sifted assigned", "Sifted urgent", "Sifted plain")
    options = {
        "Priority": ["All Priorities", "Low", "Medium", "High", "Urgent"],
        "Category": ["All Categories", "Alarm", "CCTV", "Access Control", "Intercom", "General"],
    }
    for label, expected in options.items():
        await expect(ann.get_by_label(label, exact=True).locator("option")).to_have_text(expected)
    await ann.get_by_label("Priority", exact=True).select_option("Urgent")
    await shows(ann, "Sifted urgent")
    await ann.get_by_label("Priority", exact=True).select_option("All Priorities")
    await ann.get_by_label("Category", exact=True).select_option("CCTV")
    await shows(ann, "Sifted urgent")
    await ann.get_by_label("Category", exact=True).select_option("All Categories")
    assigned = ann.get_by_label("Assigned To", exact=True)
    await assigned.select_option("Terry Filter")
    await shows(ann, "Sifted assigned")
    await assigned.select_option("Unassigned")
    await shows(ann, "Sifted urgent", "Sifted plain")
    await ann.get_by_role("link", name="Clear all filters").click()
    await expect(ann).to_have_url(re.compile(r"/tickets$"))


async def test_a_technician_without_access_can_be_filtered_by_but_not_assigned(api: Api, ann: Page) -> None:
    gone = await api.new_technician(name="Gone Technician")
    await add(api, "Left behind", technicianId=gone)
    await api.done("technicianUpdate", "technician { id }", technicianId=gone, active=False)
    await open_list(ann, f"?q=Left+behind&assignee={gone}", "Left behind")
    await expect(ann.get_by_label("Assigned To", exact=True).locator("option:checked")).to_have_text(
        "Gone Technician (inactive)"
    )
    await ann.get_by_label(re.compile("^Select TKT")).check()
    assign = shortcut_bar(ann).get_by_label("Assign", exact=True)
    await expect(assign.locator("option", has_text="Unassigned")).to_have_count(1)
    await expect(assign.locator("option", has_text="Gone Technician")).to_have_count(0)


async def test_column_headers_sort_and_reverse(api: Api, ann: Page) -> None:
    first, second = await add(api, "Ordered one", "Ordered two")
    await set_status(api, first, "IN_PROGRESS")
    await open_list(ann, "?q=Ordered", "Ordered two", "Ordered one")
    by_reference = ["Ordered one", "Ordered two"]
    if await reference_of(api, first) > await reference_of(api, second):
        by_reference.reverse()
    for header, ascending, expected in (
        ("Date", "ascending", ["Ordered one", "Ordered two"]),
        ("Date", "descending", ["Ordered two", "Ordered one"]),
        ("Reference", "ascending", by_reference),
        ("Reference", "descending", by_reference[::-1]),
        ("Status", "ascending", ["Ordered two", "Ordered one"]),
        ("Status", "descending", ["Ordered one", "Ordered two"]),
    ):
        column = ann.get_by_role("columnheader", name=header)
        await column.get_by_role("link").click()
        await expect(column).to_have_attribute("aria-sort", ascending)
        await shows(ann, *expected)
    await expect(ann.get_by_role("columnheader", name="Date")).to_have_attribute("aria-sort", "none")


async def test_the_address_has_it_all_so_that_back_and_a_shared_link_work(api: Api, ann: Page, bob: Page) -> None:
    await add(api, "Linked low", priority="LOW")
    await add(api, "Linked high", priority="HIGH")
    await open_list(ann, "?q=Linked", "Linked high", "Linked low")
    await ann.get_by_label("Priority", exact=True).select_option("Low")
    await shows(ann, "Linked low")
    await tab(ann, "Resolved").click()
    await expect(ann.get_by_text("No ticket matches")).to_be_visible()
    await ann.go_back()
    await shows(ann, "Linked low")
    await open_list(bob, ann.url.removeprefix(ann.url.split("/tickets")[0]).removeprefix("/tickets"), "Linked low")
    await ann.go_back()
    await shows(ann, "Linked high", "Linked low")
    await expect(ann.get_by_label("Priority", exact=True).locator("option:checked")).to_have_text("All Priorities")
    await ann.go_forward()
    await shows(ann, "Linked low")
    await expect(ann.get_by_role("searchbox")).to_have_value("Linked")


async def test_what_was_typed_into_the_search_is_not_lost_by_another_filter(api: Api, ann: Page) -> None:
    await add(api, "Typed thing", priority="HIGH")
    await ann.goto("/tickets")
    await ann.get_by_role("searchbox").fill("Typed thing")
    await ann.get_by_label("Priority", exact=True).select_option("High")
    await shows(ann, "Typed thing")


# What others do meanwhile


async def test_what_one_does_another_sees(api: Api, ann: Page, bob: Page) -> None:
    first, _ = await add(api, "Both first", "Both second")
    await open_list(ann, "?q=Both&status=open", "Both second", "Both first")
    await open_list(bob, "?q=Both", "Both second", "Both first")
    await row(bob, "Both first").get_by_role("checkbox").check()
    await shortcut_bar(bob).get_by_label("Set priority").select_option("Urgent")
    await expect(row(ann, "Both first").get_by_text("Urgent")).to_be_visible()
    await row(bob, "Both second").get_by_role("checkbox").check()
    await shortcut_bar(bob).get_by_label("Set status").select_option("In Progress")
    await shows(ann, "Both first")
    await add(api, "Both third")
    await shows(ann, "Both third", "Both first")
    await set_status(api, first, "CLOSED")
    await shows(ann, "Both third")


async def test_rows_stay_under_the_pointer_while_new_ones_wait(api: Api, ann: Page) -> None:
    (first, second) = await add(api, "Still one", "Still two")
    await open_list(ann, "?q=Still&status=open", "Still two", "Still one")
    await link(ann, "Still one").hover()
    await add(api, "Still three", "Still four")
    await expect(waiting(ann)).to_have_text("Show 2 new tickets")
    await shows(ann, "Still two", "Still one")
    await api.done("ticketUpdate", "ticket { id }", ticketId=first, priority="URGENT")
    await expect(row(ann, "Still one").get_by_text("Urgent")).to_be_visible()
    await set_status(api, second, "CLOSED")
    await expect(row(ann, "Still two").get_by_text("no longer in this list")).to_be_visible()
    await shows(ann, "Still two", "Still one")
    await waiting(ann).click()
    await shows(ann, "Still four", "Still three", "Still one")
    await expect(waiting(ann)).to_have_count(0)


async def test_waiting_rows_come_when_the_pointer_leaves(api: Api, ann: Page) -> None:
    await add(api, "Left alone")
    await open_list(ann, "?q=Left+alone", "Left alone")
    await link(ann, "Left alone").hover()
    await add(api, "Left alone too")
    await expect(waiting(ann)).to_be_visible()
    await ann.get_by_role("heading", name="Tickets").hover()
    await shows(ann, "Left alone too", "Left alone")


async def test_rows_stay_while_the_focus_is_in_them(api: Api, ann: Page) -> None:
    await add(api, "Focused one")
    await open_list(ann, "?q=Focused", "Focused one")
    await ann.keyboard.press("j")
    await expect(link(ann, "Focused one")).to_be_focused()
    await add(api, "Focused two")
    await expect(waiting(ann)).to_have_text("Show 1 new ticket")
    await expect(link(ann, "Focused one")).to_be_focused()
    await ann.keyboard.press("Escape")
    await shows(ann, "Focused two", "Focused one")


async def test_the_list_says_who_is_on_a_ticket(api: Api, ann: Page, bob: Page) -> None:
    (ticket,) = await add(api, "Attended camera")
    await open_list(ann, "?q=Attended", "Attended camera")
    await bob.goto(f"/tickets/{await reference_of(api, ticket)}")
    await expect(row(ann, "Attended camera").get_by_text("Bob Admin looks at it")).to_be_visible()
    await bob.get_by_label("Note Text").press_sequentially("On it")
    await expect(row(ann, "Attended camera").get_by_text("Bob Admin edits it")).to_be_visible()
    await bob.get_by_role("navigation", name="Main").get_by_role("link", name="Tickets").click()
    await expect(row(ann, "Attended camera").get_by_text("Bob Admin")).to_have_count(0)


# Long lists


@pytest.fixture(scope="module")
async def many(server: Server) -> None:
    """450 tickets, from “Many 0” to the newest, “Many 449”."""
    async with Api(server) as api:
        await add(api, "Many 0")
    columns = (
        "description, priority, category, source, creator_kind, creator_id, contact_name, contact_email, searchable"
    )
    database = await asyncpg.connect(server.database_url)
    try:
        await database.execute(
            f"""INSERT INTO tickets (id, reference, subject, created_at, {columns})
                SELECT gen_random_uuid(), 'TKT-' || translate(lpad(n::text, 6, '0'), '01', 'AB'), 'Many ' || n,
                    created_at + n * interval '1 millisecond', {columns}
                FROM tickets, generate_series(1, 449) AS n WHERE subject = 'Many 0'"""
        )
    finally:
        await database.close()


async def scroll_to(page: Page, subject: str) -> None:
    """Scrolls down as a wheel does, until the row is in sight."""
    await page.mouse.move(700, 500)
    while not await link(page, subject).count():
        await page.mouse.wheel(0, 1_500)
        await page.wait_for_function("() => new Promise(requestAnimationFrame)")
    await link(page, subject).scroll_into_view_if_needed()


@pytest.mark.usefixtures("many")
async def test_a_long_list_is_read_on_while_one_scrolls_and_each_row_is_shown_once(ann: Page) -> None:
    await ann.goto("/tickets?q=Many")
    await expect(ann.get_by_text("450 tickets").first).to_be_attached()
    await expect(link(ann, "Many 449")).to_be_visible()
    seen: list[str] = []
    await ann.mouse.move(700, 500)
    while "Many 0" not in seen:
        await ann.wait_for_function("() => new Promise(requestAnimationFrame)")
        rows = await ann.locator(".row-link").all_text_contents()
        assert len(rows) < 80
        seen += [one for one in rows if one not in seen]
        await ann.mouse.wheel(0, 400)
    assert seen == [f"Many {n}" for n in reversed(range(450))]
    await expect(ann.get_by_role("row").last).to_have_attribute("aria-rowindex", "451")


@pytest.mark.usefixtures("many")
async def test_rows_far_below_are_live_and_stay_right_when_the_window_changes(api: Api, ann: Page) -> None:
    await ann.goto("/tickets?q=Many&status=open")
    await expect(link(ann, "Many 449")).to_be_visible()
    await scroll_to(ann, "Many 200")
    found = await api("""{ tickets(filter: {search: "Many 200"}) { nodes { id subject } } }""")
    (ticket,) = [one["id"] for one in found["tickets"]["nodes"] if one["subject"] == "Many 200"]
    await api.done("ticketUpdate", "ticket { id }", ticketId=ticket, priority="HIGH")
    await expect(row(ann, "Many 200").get_by_text("High")).to_be_visible()
    newest = await add(api, "Many more")
    await expect(waiting(ann)).to_have_text("Show 1 new ticket")
    await expect(link(ann, "Many 200")).to_be_in_viewport()
    await set_status(api, ticket, "IN_PROGRESS")
    await expect(row(ann, "Many 200").get_by_text("no longer in this list")).to_be_visible()
    await waiting(ann).click()
    await expect(link(ann, "Many more")).to_be_in_viewport()
    await scroll_to(ann, "Many 199")
    await expect(link(ann, "Many 200")).to_have_count(0)
    await expect(link(ann, "Many 201")).to_have_count(1)
    await set_status(api, newest[0], "CLOSED")
    await set_status(api, ticket, "OPEN")


@pytest.mark.usefixtures("many")
async def test_whoever_comes_back_is_where_they_were(ann: Page) -> None:
    await ann.goto("/tickets?q=Many")
    await expect(link(ann, "Many 449")).to_be_visible()
    await scroll_to(ann, "Many 300")
    await link(ann, "Many 300").click()
    await expect(ann.get_by_role("heading", level=1, name="Many 300")).to_be_visible()
    await ann.go_back()
    await expect(link(ann, "Many 300")).to_be_in_viewport()


# Selecting and changing


async def test_selected_tickets_are_changed_at_once_with_a_result_for_each(api: Api, ann: Page) -> None:
    _, closed, _ = await add(api, "Bulk one", "Bulk two", "Bulk three")
    await set_status(api, closed, "CLOSED")
    await open_list(ann, "?q=Bulk", "Bulk three", "Bulk two", "Bulk one")
    await row(ann, "Bulk three").get_by_role("checkbox").check()
    await row(ann, "Bulk one").get_by_role("checkbox").click(modifiers=["Shift"])
    bar = shortcut_bar(ann)
    await expect(bar.get_by_text("3 selected")).to_be_visible()
    await bar.get_by_label("Set status").select_option("Resolved")
    await expect(bar.get_by_label("Resolution for all of them")).to_be_focused()
    await ann.keyboard.type("Replaced the battery.")
    await bar.get_by_role("button", name="Apply").click()
    results = ann.get_by_role("region", name="Results")
    await expect(results.get_by_role("alert")).to_contain_text("1 ticket was not changed")
    await expect(results.get_by_role("listitem")).to_have_count(3)
    refused = results.get_by_role("listitem").first
    await expect(refused).to_contain_text(await reference_of(api, closed))
    await expect(refused).not_to_contain_text("changed")
    await expect(row(ann, "Bulk one").get_by_text("Resolved")).to_be_visible()
    await expect(row(ann, "Bulk two").get_by_text("Closed")).to_be_visible()
    await expect(bar.get_by_text("1 selected")).to_be_visible()
    await expect(bar.get_by_label("Resolution for all of them")).to_have_value("Replaced the battery.")
    await expect(row(ann, "Bulk two").get_by_role("checkbox")).to_be_checked()


async def test_selected_tickets_are_assigned_and_unassigned(api: Api, ann: Page) -> None:
    await api.new_technician(name="Ada Bulkhead")
    await add(api, "Handed one", "Handed two")
    await open_list(ann, "?q=Handed", "Handed two", "Handed one")
    for name in ("Ada Bulkhead", "Unassigned"):
        await ann.get_by_label("Select all that are shown").check()
        await shortcut_bar(ann).get_by_label("Assign", exact=True).select_option(name)
        for subject in ("Handed one", "Handed two"):
            await expect(row(ann, subject).get_by_role("cell", name=name, exact=True)).to_be_visible()
        await expect(shortcut_bar(ann)).to_have_count(0)
        await ann.get_by_role("region", name="Results").get_by_role("button", name="Close").click()


async def test_a_change_of_many_is_kept_over_a_lost_connection(api: Api, ann: Page) -> None:
    (ticket,) = await add(api, "Lossy change")
    await open_list(ann, "?q=Lossy", "Lossy change")
    await row(ann, "Lossy change").get_by_role("checkbox").check()
    async with without_connection(ann):
        await shortcut_bar(ann).get_by_label("Set priority").select_option("Urgent")
        await expect(shortcut_bar(ann)).to_have_attribute("aria-busy", "true")
    await expect(row(ann, "Lossy change").get_by_text("Urgent")).to_be_visible()
    history = await api("query($id: ID!) { ticket(by: {id: $id}) { history { nodes { kind } } } }", id=ticket)
    assert [one["kind"] for one in history["ticket"]["history"]["nodes"]].count("UPDATED") == 1


async def test_all_goes_by_keyboard(api: Api, ann: Page) -> None:
    await add(api, "Keyed one", "Keyed two", "Keyed three")
    await open_list(ann, "?q=Keyed", "Keyed three", "Keyed two", "Keyed one")
    keys = ann.keyboard
    await keys.press("j")
    await expect(link(ann, "Keyed three")).to_be_focused()
    await keys.press("j")
    await expect(link(ann, "Keyed two")).to_be_focused()
    await keys.press("k")
    await expect(link(ann, "Keyed three")).to_be_focused()
    await keys.press("x")
    await expect(row(ann, "Keyed three").get_by_role("checkbox")).to_be_checked()
    await keys.press("j")
    await expect(link(ann, "Keyed two")).to_be_focused()
    await keys.press("j")
    await expect(link(ann, "Keyed one")).to_be_focused()
    await keys.press("Shift+X")
    await expect(shortcut_bar(ann).get_by_text("3 selected")).to_be_visible()
    await keys.press("e")
    await expect(shortcut_bar(ann).get_by_label("Set status")).to_be_focused()
    await link(ann, "Keyed one").focus()
    await keys.press("Escape")
    await expect(shortcut_bar(ann)).to_have_count(0)
    await keys.press("/")
    await expect(ann.get_by_role("searchbox")).to_be_focused()
    await link(ann, "Keyed one").focus()
    await keys.press("o")
    await expect(ann.get_by_role("heading", level=1, name="Keyed one")).to_be_visible()
    await ann.go_back()
    await keys.press("c")
    await expect(ann.get_by_role("heading", level=1, name="New Ticket")).to_be_visible()


async def test_a_quick_change_is_shown_at_once_and_taken_back_with_a_reason(api: Api, ann: Page) -> None:
    (ticket,) = await add(api, "Quick camera")
    await open_list(ann, "?q=Quick", "Quick camera")
    await link(ann, "Quick camera").focus()
    async with without_connection(ann):
        await ann.keyboard.press("4")
        await expect(row(ann, "Quick camera").get_by_text("Urgent")).to_be_visible()
    await expect(row(ann, "Quick camera").get_by_text("Urgent")).to_be_visible()
    await ann.keyboard.press("i")
    await expect(row(ann, "Quick camera").get_by_text("In Progress")).to_be_visible()

    async def another_closes_it() -> None:
        await set_status(api, ticket, "CLOSED")

    await before(ann, "ticketsBulkUpdate", another_closes_it)
    await ann.keyboard.press("i")
    await expect(row(ann, "Quick camera").get_by_text("In Progress")).to_be_visible()


# What can go wrong


async def test_an_empty_list_helps(ann: Page) -> None:
    await ann.goto("/tickets?q=nothinglikethis")
    await expect(ann.get_by_text("No ticket matches")).to_be_visible()
    await expect(ann.get_by_role("main").get_by_role("link", name="Clear all filters").last).to_have_attribute(
        "href", "/tickets"
    )


async def test_a_wrong_address_shows_what_is_wrong_and_a_way_out(ann: Page) -> None:
    await ann.goto("/tickets?assignee=nobody")
    await expect(ann.get_by_role("alert")).to_contain_text("The list cannot be shown")
    await ann.get_by_role("alert").get_by_role("link", name="Clear all filters").click()
    await expect(ann).to_have_url(re.compile(r"/tickets$"))
    await expect(ann.get_by_role("alert")).to_have_count(0)
    await ann.goto("/tickets?status=lost&priority=7&sort=id&order=up")
    await expect(tab(ann, "All")).to_have_attribute("aria-current", "page")
    await expect(ann.get_by_role("columnheader", name="Date")).to_have_attribute("aria-sort", "descending")


async def test_the_rows_stay_without_a_connection_and_are_brought_up_to_date(api: Api, ann: Page) -> None:
    cut: list[WebSocketRoute] = []
    is_cut = False

    async def route(socket: WebSocketRoute) -> None:
        if is_cut:
            await socket.close(code=1013)
            return
        cut.append(socket)
        socket.connect_to_server()

    await ann.route_web_socket(re.compile("/graphql"), route)
    first, second = await add(api, "Severed one", "Severed two")
    await open_list(ann, "?q=Severed", "Severed two", "Severed one")
    is_cut = True
    await cut[-1].close(code=1012)
    await expect(ann.get_by_text("Not connected.")).to_be_visible()
    await shows(ann, "Severed two", "Severed one")
    await add(api, "Severed three")
    await set_status(api, second, "IN_PROGRESS")
    is_cut = False
    await ann.evaluate("dispatchEvent(new Event('online'))")
    await shows(ann, "Severed three", "Severed two", "Severed one")
    await expect(row(ann, "Severed two").get_by_text("In Progress")).to_be_visible()
    await expect(ann.get_by_text("Not connected.")).to_have_count(0)
    await set_status(api, first, "CLOSED")
    await expect(row(ann, "Severed one").get_by_text("Closed")).to_be_visible()


async def test_rows_that_were_replaced_are_forgotten(api: Api, ann: Page) -> None:
    """What Preact still reaches does not grow with the changes that have been shown."""
    tickets = await add(api, *(f"Replaced {number}" for number in range(4)))
    await open_list(ann, "?q=Replaced", *(f"Replaced {number}" for number in reversed(range(4))))
    await set_status(api, tickets[0], "IN_PROGRESS")  # the numbers on the tabs change, and so the whole page
    await expect(row(ann, "Replaced 0").get_by_text("In Progress")).to_be_visible()
    for priority in ("URGENT", "LOW"):
        for number, ticket in enumerate(tickets):
            await api.done("ticketUpdate", "__typename", ticketId=ticket, priority=priority)
            await expect(row(ann, f"Replaced {number}").get_by_text(priority.capitalize())).to_be_visible()
    assert await ann.evaluate(REACHED_ROWS) <= 2 * len(tickets)


async def test_an_overdrawn_budget_is_said_with_its_seconds_and_passes(api: Api, ann: Page) -> None:
    refused = 0
    error = '{"message": "You have asked for too much.", "extensions": {"code": "RATE_LIMITED", "retryAfter": 2}}'

    async def route(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()

        def pass_on(message: str | bytes) -> None:
            nonlocal refused
            text = message if isinstance(message, str) else message.decode()
            if "subscription TicketList(" in text and refused == 0:
                refused += 1
                id_ = re.search(r'"id":"([^"]+)"', text)
                assert id_ is not None
                socket.send(f'{{"type": "error", "id": "{id_[1]}", "payload": [{error}]}}')
            else:
                server.send(message)

        socket.on_message(pass_on)

    await ann.route_web_socket(re.compile("/graphql"), route)
    await add(api, "Overdrawn one")
    await ann.goto("/tickets?q=Overdrawn")
    await expect(ann.get_by_text("You have asked for too much.")).to_contain_text("in 2 seconds")
    await shows(ann, "Overdrawn one")
    await expect(ann.get_by_text("You have asked for too much.")).to_have_count(0)


async def test_texts_of_customers_are_only_texts(api: Api, ann: Page) -> None:
    await add(api, "Hostile <img src=x onerror=alert(1)> \u202egnp.exe")
    await ann.goto("/tickets?q=Hostile")
    await expect(ann.locator(".row-link")).to_contain_text("<img src=x onerror=alert(1)>")
    await expect(ann.locator("main img")).to_have_count(0)


async def test_nothing_keeps_people_out(api: Api, ann: Page) -> None:
    first, second = await add(api, "Open to all one", "Open to all two")
    await set_status(api, first, "CLOSED")
    await open_list(ann, "?q=Open+to+all", "Open to all two", "Open to all one")
    assert await problems_in_both_themes(ann) == []
    await ann.get_by_label("Select all that are shown").check()
    await shortcut_bar(ann).get_by_label("Set status").select_option("Resolved")
    await ann.keyboard.type("Repaired.")
    await shortcut_bar(ann).get_by_role("button", name="Apply").click()
    await expect(ann.get_by_role("region", name="Results")).to_be_visible()
    await add(api, "Open to all three")
    await expect(waiting(ann)).to_be_visible()
    await set_status(api, second, "OPEN")
    assert await problems_in_both_themes(ann) == []
    await ann.set_viewport_size({"width": 390, "height": 844})
    assert await problems_in_both_themes(ann) == []
    for address, text in (
        ("?q=nothinglikethis", "No ticket matches"),
        ("?assignee=nobody", "The list cannot be shown"),
    ):
        await ann.goto(f"/tickets{address}")
        await expect(ann.get_by_text(text).first).to_be_visible()
        assert await problems_in_both_themes(ann) == []


async def test_on_a_phone_each_ticket_has_all_that_the_list_says(api: Api, ann: Page) -> None:
    customer = await api.new_customer(name="Pocket Customer")
    home = await api.new_property(customer, address="7 Pocket Lane")
    (ticket,) = await add(api, "Pocket camera", customerId=customer, propertyId=home)
    await ann.set_viewport_size({"width": 390, "height": 844})
    await open_list(ann, "?q=Pocket", "Pocket camera")
    shown = row(ann, "Pocket camera")
    for text in (await reference_of(api, ticket), "Pocket Customer", "7 Pocket Lane", "Medium", "Open"):
        await expect(shown.get_by_role("cell", name=text, exact=True)).to_be_in_viewport()
    assert await ann.evaluate("document.documentElement.scrollWidth <= innerWidth")
