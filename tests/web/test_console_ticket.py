"""The page of a ticket in the console, as the guide describes it, and what happens when two people, a lost connection
or a hostile text come in between."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Browser, Dialog, Locator, Page, Route, WebSocketRoute, expect

from callout.http.console import DIRECTORY, MANIFEST
from db.enums import Role
from tests.helpers.api import Api, Server
from tests.helpers.axe import problems_in_both_themes
from tests.helpers.console import admin_at, before, person_at, with_answers_lost, without_connection
from tests.helpers.database_checks import Database, key
from tests.helpers.photos import photo
from tests.helpers.sessions import new_admin, sign_in

pytestmark = pytest.mark.skipif(
    not (DIRECTORY / MANIFEST).is_file(), reason="needs the console that `make console` builds"
)

STATE = """query($id: ID!) { ticket(by: {id: $id}) {
    reference status priority category technician { name } resolution notes { nodes { body internalOnly } }
} }"""


@pytest.fixture
async def ann(browser: Browser, server: Server) -> AsyncIterator[Page]:
    async with admin_at(browser, server, "Ann Admin") as page:
        yield page


@pytest.fixture
async def bob(browser: Browser, server: Server) -> AsyncIterator[Page]:
    async with admin_at(browser, server, "Bob Admin") as page:
        yield page


async def state_of(api: Api, ticket: str) -> dict[str, Any]:
    return dict((await api(STATE, id=ticket))["ticket"])


async def opened(page: Page, api: Api, ticket: str) -> None:
    """Opens the ticket's page, and waits until it is live."""
    reference = (await state_of(api, ticket))["reference"]
    await page.goto(f"/tickets/{reference}")
    await expect(page.get_by_label("Status", exact=True)).to_be_visible()


def re_of(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.DOTALL)


async def shows(select: Locator, label: str) -> None:
    await expect(select.locator("option:checked")).to_have_text(label)


async def test_the_page_shows_everything_about_a_ticket(api: Api, ann: Page) -> None:
    customer = await api.new_customer(name="Elena Vasquez", email="elena@page.example", phone="(613) 555-1234")
    home = await api.new_property(customer, address="12 Elm Street, Ottawa", accessNotes="Key under the mat.")
    ticket = await api.new_ticket(customerId=customer, propertyId=home, category="CCTV", subject="Lobby camera is dark")
    await opened(ann, api, ticket)
    await expect(ann.get_by_role("heading", level=1)).to_have_text("Lobby camera is dark")
    await expect(ann.get_by_text((await state_of(api, ticket))["reference"])).to_be_visible()
    await expect(ann.get_by_text("Since the power outage.")).to_be_visible()
    await expect(ann.get_by_role("link", name="Elena Vasquez")).to_be_visible()
    await expect(ann.get_by_role("link", name="elena@page.example")).to_have_attribute(
        "href", "mailto:elena@page.example"
    )
    await expect(ann.get_by_role("link", name="(613) 555-1234")).to_have_attribute("href", "tel:6135551234")
    await expect(ann.get_by_text("12 Elm Street, Ottawa")).to_be_visible()
    await expect(ann.get_by_role("link", name="Directions")).to_have_attribute("href", re_of("12%20Elm%20Street"))
    await expect(ann.get_by_text("Key under the mat.")).to_be_visible()
    await shows(ann.get_by_label("Category"), "CCTV")
    await shows(ann.get_by_label("Assign To"), "Unassigned")
    await expect(ann.locator("dt", has_text="Created").locator("+ dd time")).to_have_attribute(
        "title", re_of(r"20\d\d")
    )


async def test_the_transcript_of_a_chat_is_shown(api: Api, ann: Page) -> None:
    messages = [
        {"author": "CUSTOMER", "body": "My panel beeps", "at": "2026-11-01T10:00:00Z"},
        {"author": "BOT", "body": "Which model is it?", "at": "2026-11-01T10:00:10Z"},
    ]
    async with api.service() as chatbot:
        contact = {"name": "Carl", "email": "carl@chat.example"}
        ticket = await chatbot.new_ticket(contact=contact, chat={"messages": messages})
    await opened(ann, api, ticket)
    chat = ann.get_by_role("group").filter(has_text="Chat History")
    await expect(chat.get_by_role("listitem")).to_have_text(
        [re_of("Customer.*My panel beeps"), re_of("Chatbot.*Which model")]
    )


async def test_a_ticket_that_does_not_exist_says_so(ann: Page) -> None:
    await ann.goto("/tickets/TKT-AAAAAA")
    await expect(ann.get_by_role("heading", name="There is no ticket TKT-AAAAAA.")).to_be_visible()


async def test_the_dropdowns_save_at_once_and_the_colleague_sees_it(api: Api, ann: Page, bob: Page) -> None:
    tech = await api.new_technician(name="Tess Technician")
    ticket = await api.new_ticket()
    for page in (ann, bob):
        await opened(page, api, ticket)
    wanted = {"Status": "In Progress", "Priority": "Urgent", "Category": "Alarm", "Assign To": "Tess Technician"}
    for label, value in wanted.items():
        await ann.get_by_label(label, exact=True).select_option(label=value)
    for label, value in wanted.items():
        await shows(bob.get_by_label(label, exact=True), value)
        await shows(ann.get_by_label(label, exact=True), value)
    await expect(ann.get_by_text("Saved", exact=True)).to_have_count(4)
    await expect(bob.get_by_text("Changed by Ann Admin")).to_have_count(4)
    state = await state_of(api, ticket)
    assert (state["status"], state["priority"], state["category"]) == ("IN_PROGRESS", "URGENT", "ALARM")
    assert state["technician"] == {"name": "Tess Technician"}
    async with api.technician(tech) as tess:
        await step(tess, api, ticket, "ACCEPTED")
    await expect(bob.locator("li", has_text="Accepted").locator("time")).to_be_visible()
    await bob.get_by_label("Assign To").select_option(label="Unassigned")
    await shows(ann.get_by_label("Assign To"), "Unassigned")


async def step(technician: Api, api: Api, ticket: str, action: str, **given: str) -> None:
    query = "query($id: ID!) { ticket(by: {id: $id}) { assignment { id } } }"
    assignment = (await api(query, id=ticket))["ticket"]["assignment"]["id"]
    await technician.done("assignmentAdvance", "assignment { state }", assignmentId=assignment, to=action, **given)


async def test_a_change_is_saved_once_the_connection_is_back(api: Api, ann: Page) -> None:
    ticket = await api.new_ticket()
    await opened(ann, api, ticket)
    priority = ann.get_by_label("Priority")
    async with without_connection(ann):
        await priority.select_option(label="High")
        await expect(ann.get_by_text("No connection. It is saved as soon as")).to_be_visible()
        await shows(priority, "High")
        assert await asks_before_leaving(ann)
    await expect(ann.get_by_text("Saved", exact=True)).to_be_visible()
    assert not await asks_before_leaving(ann)
    assert (await state_of(api, ticket))["priority"] == "HIGH"


async def asks_before_leaving(page: Page) -> bool:
    """Whether the page would have the browser ask before it is closed."""
    return bool(await page.evaluate("() => !window.dispatchEvent(new Event('beforeunload', { cancelable: true }))"))


async def test_a_colleagues_change_is_shown_and_not_overwritten(api: Api, ann: Page) -> None:
    ticket = await api.new_ticket()
    await opened(ann, api, ticket)
    priority = ann.get_by_label("Priority")
    await before(ann, "ticketUpdate", lambda: api.done("ticketUpdate", "__typename", ticketId=ticket, priority="LOW"))
    await priority.select_option(label="Urgent")
    conflict = "Not saved: The Boss has set it to Low meanwhile. You wanted Urgent."
    await expect(ann.get_by_text(conflict)).to_be_visible()
    await shows(priority, "Low")
    assert (await state_of(api, ticket))["priority"] == "LOW"
    await ann.get_by_role("button", name="Set to Urgent").click()
    await expect(priority).to_be_focused()
    await expect(ann.get_by_text("Saved", exact=True)).to_be_visible()
    assert (await state_of(api, ticket))["priority"] == "URGENT"


async def test_a_colleagues_change_of_something_else_does_not_stop_mine(api: Api, ann: Page) -> None:
    ticket = await api.new_ticket()
    await opened(ann, api, ticket)
    await before(ann, "ticketUpdate", lambda: api.done("ticketUpdate", "__typename", ticketId=ticket, category="CCTV"))
    await ann.get_by_label("Priority").select_option(label="Urgent")
    await expect(ann.get_by_text("Saved", exact=True)).to_be_visible()
    await shows(ann.get_by_label("Category"), "CCTV")
    assert (await state_of(api, ticket))["priority"] == "URGENT"


async def test_a_change_that_is_refused_is_rolled_back_with_its_reason(api: Api, ann: Page) -> None:
    leaving = await api.new_technician(name="Leo Leaving")
    ticket = await api.new_ticket()
    await opened(ann, api, ticket)
    left = lambda: api.done("technicianUpdate", "__typename", technicianId=leaving, active=False)  # noqa: E731
    await before(ann, "ticketAssign", left)
    await ann.get_by_label("Assign To").select_option(label="Leo Leaving")
    await expect(ann.get_by_text("Not saved:")).to_be_visible()
    await shows(ann.get_by_label("Assign To"), "Unassigned")


async def test_notes_are_internal_by_default_and_public_ones_look_different(api: Api, ann: Page, bob: Page) -> None:
    customer = await api.new_customer()
    ticket = await api.new_ticket(customerId=customer)
    for page in (ann, bob):
        await opened(page, api, ticket)
    notes = ann.get_by_role("region", name="Notes")
    internal_only = notes.get_by_label("Internal Only")
    await expect(internal_only).to_be_checked()
    await notes.get_by_role("button", name="Add Note").click()
    await expect(notes.get_by_label("Note Text")).to_have_accessible_description(re_of("Type a note first"))
    await expect(notes.get_by_label("Note Text")).to_be_focused()
    await notes.get_by_label("Note Text").fill("Called customer, scheduled site visit for Thursday 10am.")
    await notes.get_by_role("button", name="Add Note").click()
    await expect(notes.get_by_label("Note Text")).to_have_value("")
    await internal_only.uncheck()
    await expect(notes.get_by_text("The customer will see this note")).to_be_visible()
    await notes.get_by_label("Note Text").fill("We come on Thursday at 10.")
    await notes.get_by_role("button", name="Add Note").click()
    for page in (ann, bob):
        items = page.get_by_role("region", name="Notes").get_by_role("listitem")
        await expect(items).to_have_text([re_of("Ann Admin.*Internal.*Called"), re_of("Ann Admin.*Public.*We come")])
        await expect(items.first.locator("time")).to_be_visible()
    await expect(internal_only).to_be_checked()
    async with api.customer(customer) as elena:
        assert [one["body"] for one in (await state_of(elena, ticket))["notes"]["nodes"]] == [
            "We come on Thursday at 10."
        ]


async def test_a_note_whose_answer_is_lost_is_added_once(api: Api, ann: Page) -> None:
    ticket = await api.new_ticket()
    await opened(ann, api, ticket)
    text = ann.get_by_label("Note Text")
    async with with_answers_lost(ann, "noteAdd"):
        await text.fill("Only once")
        await ann.get_by_role("button", name="Add Note").click()
        await expect(ann.get_by_text("No connection. It is saved as soon as")).to_be_visible()
    await expect(text).to_have_value("")
    assert [one["body"] for one in (await state_of(api, ticket))["notes"]["nodes"]] == ["Only once"]


async def test_a_note_that_was_changed_after_its_answer_was_lost_is_kept(api: Api, ann: Page) -> None:
    ticket = await api.new_ticket()
    await opened(ann, api, ticket)
    text = ann.get_by_label("Note Text")
    async with with_answers_lost(ann, "noteAdd"):
        await text.fill("First version")
        await ann.get_by_role("button", name="Add Note").click()
        await expect(ann.get_by_text("No connection. It is saved as soon as")).to_be_visible()
        await ann.reload()
    await text.fill("Second version")
    await ann.get_by_role("button", name="Add Note").click()
    await expect(text).to_have_accessible_description(re_of("Your note was already added"))
    await expect(text).to_have_value("Second version")
    await ann.get_by_role("button", name="Add Note").click()
    await expect(text).to_have_value("")
    bodies = [one["body"] for one in (await state_of(api, ticket))["notes"]["nodes"]]
    assert bodies == ["First version", "Second version"]


async def test_quoted_history_is_folded(api: Api, ann: Page, database: Database) -> None:
    ticket = await api.new_ticket()
    await database.execute(
        """INSERT INTO notes (id, ticket_id, body, quoted, internal_only, author_kind, author_id, author_name, via)
            VALUES (gen_random_uuid(), $1, 'See below.', $2, false, 'CUSTOMER', 'carl', 'Carl', 'EMAIL')""",
        key(ticket),
        "> On Monday you wrote\n> <script>",
    )
    await opened(ann, api, ticket)
    await expect(ann.get_by_text("> On Monday you wrote")).to_be_hidden()
    await ann.get_by_text("Quoted text").click()
    await expect(ann.get_by_text("> On Monday you wrote")).to_be_visible()
    await expect(ann.get_by_text("The sender of this e-mail is not verified.")).to_be_visible()


async def test_resolving_closing_and_reopening_by_the_rules(api: Api, ann: Page, bob: Page) -> None:
    ticket = await api.new_ticket(subject="Panel beeps after outage")
    for page in (ann, bob):
        await opened(page, api, ticket)
    resolution, status = ann.get_by_role("textbox", name="Resolution"), ann.get_by_label("Status", exact=True)
    await ann.get_by_role("button", name="Mark Resolved").click()
    await expect(resolution).to_have_accessible_description(re_of("Describe how the issue was resolved"))
    await status.select_option(label="Resolved")
    await expect(resolution).to_be_focused()
    await shows(status, "Open")
    await ann.keyboard.type("Replaced backup battery.")
    await ann.get_by_role("button", name="Mark Resolved").click()
    for page in (ann, bob):
        await shows(page.get_by_label("Status", exact=True), "Resolved")
        await expect(page.get_by_text("Replaced backup battery.")).to_be_visible()
        await expect(page.get_by_role("button", name="Mark Resolved")).to_have_count(0)
    await expect(ann.get_by_role("heading", name="Resolution")).to_be_focused()
    await expect(ann.get_by_text("Not saved:")).to_have_count(0)
    await ann.get_by_role("button", name="Add to Knowledge Base").click()
    await expect(ann.get_by_role("link", name="Edit in the Knowledge Base")).to_be_focused()
    await expect(ann.get_by_role("link", name="Edit in the Knowledge Base")).to_have_attribute(
        "href", re_of("/articles/art_")
    )
    await status.select_option(label="Closed")
    await shows(bob.get_by_label("Status", exact=True), "Closed")
    await status.select_option(label="Open")
    await shows(bob.get_by_label("Status", exact=True), "Open")
    await expect(bob.get_by_role("button", name="Mark Resolved")).to_be_visible()
    articles = (await api('{ articles(search: "panel beeps") { nodes { problem solution published } } }'))["articles"]
    expected = {"problem": "Panel beeps after outage", "solution": "Replaced backup battery.", "published": False}
    assert articles["nodes"] == [expected]


async def test_a_colleagues_resolution_is_not_overwritten_and_mine_not_lost(api: Api, ann: Page) -> None:
    ticket = await api.new_ticket()
    await opened(ann, api, ticket)
    await ann.get_by_role("textbox", name="Resolution").fill("Mine.")
    theirs = lambda: api.done("ticketResolve", "__typename", ticketId=ticket, resolution="Theirs.")  # noqa: E731
    await before(ann, "ticketResolve", theirs)
    await ann.get_by_role("button", name="Mark Resolved").click()
    await expect(ann.get_by_text("This is what you had typed when a colleague resolved the ticket.")).to_be_visible()
    resolution = ann.get_by_role("region", name="Resolution")
    await expect(resolution.get_by_text("Theirs.")).to_be_visible()
    assert (await state_of(api, ticket))["resolution"] == "Theirs."
    await resolution.get_by_role("button", name="Replace the resolution with mine").click()
    await expect(resolution.get_by_text("Theirs.")).to_have_count(0)
    await expect(resolution.get_by_text("Mine.")).to_have_count(1)
    assert (await state_of(api, ticket))["resolution"] == "Mine."


async def test_what_was_typed_survives_reloads_and_the_end_of_the_session(api: Api, server: Server, ann: Page) -> None:
    ticket = await api.new_ticket()
    await opened(ann, api, ticket)
    await ann.get_by_label("Note Text").fill("Half a note")
    await ann.get_by_role("textbox", name="Resolution").fill("Half a resolution")
    await ann.get_by_role("region", name="Notes").get_by_label("Internal Only").uncheck()
    await ann.reload()
    await expect(ann.get_by_label("Note Text")).to_have_value("Half a note")
    await expect(ann.get_by_role("textbox", name="Resolution")).to_have_value("Half a resolution")
    await expect(ann.get_by_role("region", name="Notes").get_by_label("Internal Only")).not_to_be_checked()
    reference = (await state_of(api, ticket))["reference"]
    mine = await ann.context.cookies()
    await ann.context.clear_cookies()
    await ann.get_by_role("button", name="Add Note").click()
    await ann.wait_for_url(f"**/sign-in?next=%2Ftickets%2F{reference}")
    other = await ann.context.new_page()
    await sign_in(ann.context, server.url, server.database_url, Role.ADMIN, await new_admin(server.database_url, "Eve"))
    await opened(other, api, ticket)
    await expect(other.get_by_label("Note Text")).to_be_editable()
    await expect(other.get_by_label("Note Text")).to_have_value("")
    await other.close()
    await ann.context.add_cookies(mine)  # type: ignore[arg-type]
    await opened(ann, api, ticket)
    await expect(ann.get_by_label("Note Text")).to_have_value("Half a note")
    assert (await state_of(api, ticket))["notes"]["nodes"] == []


async def test_what_is_open_survives_a_sign_out_in_another_tab(api: Api, browser: Browser, server: Server) -> None:
    """Signing out deletes the other drafts, after a question."""
    admin = await new_admin(server.database_url, "Ann Admin")
    async with person_at(browser, server, Role.ADMIN, admin) as ann:
        ticket, closed = await api.new_ticket(), await api.new_ticket()
        await opened(ann, api, closed)
        await ann.get_by_label("Note Text").fill("Not open any more")
        await opened(ann, api, ticket)
        await ann.get_by_label("Note Text").fill("Half a note")
        questions: list[str] = []

        async def answer(dialog: Dialog) -> None:
            questions.append(dialog.message)
            await dialog.accept()

        tab = await ann.context.new_page()
        tab.on("dialog", answer)
        await tab.goto("/tickets/new")
        await tab.get_by_text("Ann Admin").click()
        await tab.get_by_role("button", name="Sign out").click()
        await tab.wait_for_url("**/sign-in*")
        await ann.wait_for_url("**/sign-in*")
        assert questions == ["2 drafts that you have not sent will be deleted. Sign out?"]
        await sign_in(ann.context, server.url, server.database_url, Role.ADMIN, admin)
        await opened(ann, api, ticket)
        await expect(ann.get_by_label("Note Text")).to_have_value("Half a note")
        await opened(ann, api, closed)
        await expect(ann.get_by_label("Note Text")).to_be_editable()
        await expect(ann.get_by_label("Note Text")).to_have_value("")


async def test_two_tabs_have_a_draft_each(api: Api, ann: Page) -> None:
    ticket = await api.new_ticket()
    await opened(ann, api, ticket)
    await ann.get_by_label("Note Text").fill("First tab")
    second = await ann.context.new_page()
    await opened(second, api, ticket)
    await expect(second.get_by_label("Note Text")).to_be_editable()
    await expect(second.get_by_label("Note Text")).to_have_value("")
    await second.get_by_label("Note Text").fill("Second tab")
    await ann.reload()
    await expect(ann.get_by_label("Note Text")).to_have_value("First tab")
    await second.close()


HOSTILE = (
    "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'> javascript:alert(1) "
    "https://good.example/a?b=<b> \u202eevil\u202c \u05e9\u05dc\u05d5\u05dd " + "W" * 5_000
)


async def test_hostile_texts_are_texts(api: Api, browser: Browser, server: Server) -> None:
    name = "<img src=x onerror='window.hacked = 3'>" + "N" * 150
    customer = await api.new_customer(name=name)
    home = await api.new_property(customer, address="\u202e12 <b>Elm</b>" + "A" * 150, accessNotes=HOSTILE[:3_000])
    ticket = await api.new_ticket(customerId=customer, propertyId=home, subject=HOSTILE[:200], description=HOSTILE)
    await api.done("noteAdd", "__typename", ticketId=ticket, body=HOSTILE)
    async with admin_at(browser, server, "<b>Ann</b>", viewport={"width": 390, "height": 800}) as ann:
        await opened(ann, api, ticket)
        await expect(ann.get_by_text("<script>window.hacked").first).to_be_visible()
        assert await ann.evaluate("window.hacked") is None
        links = await ann.get_by_role("region", name="Notes").get_by_role("link").all()
        assert [await link.get_attribute("href") for link in links] == ["https://good.example/a?b="]
        width = await ann.evaluate("document.documentElement.scrollWidth")
        assert width <= 390


async def test_a_file_is_uploaded_cut_off_and_goes_on(api: Api, ann: Page, bob: Page) -> None:
    customer = await api.new_customer()
    ticket = await api.new_ticket(customerId=customer)
    for page in (ann, bob):
        await opened(page, api, ticket)
    files = ann.get_by_role("region", name="Attachments")
    await expect(files.get_by_label("Internal Only")).to_be_checked()
    patches = 0

    async def cut(route: Route) -> None:
        nonlocal patches
        patches += route.request.method == "PATCH"
        await (route.abort() if route.request.method == "PATCH" and patches == 1 else route.continue_())

    await ann.route("**/uploads/**", cut)
    await choose(ann, {"name": "panel.jpg", "mimeType": "image/jpeg", "buffer": photo()})
    for page in (ann, bob):
        await expect(page.get_by_role("button", name="Open panel.jpg")).to_be_visible()
    assert patches >= 2
    await expect(files.get_by_role("progressbar")).to_have_count(0)
    await bob.get_by_role("button", name="Open panel.jpg").click()
    lightbox = bob.get_by_role("dialog", name="panel.jpg")
    await expect(lightbox.get_by_role("img", name="panel.jpg")).to_have_js_property("naturalWidth", 40)
    await bob.keyboard.press("Escape")
    await expect(lightbox).to_have_count(0)
    await expect(bob.get_by_role("button", name="Open panel.jpg")).to_be_focused()
    query = "query($id: ID!) { ticket(by: {id: $id}) { attachments { totalCount } } }"
    async with api.customer(customer) as elena:
        assert (await elena(query, id=ticket))["ticket"]["attachments"]["totalCount"] == 0


async def test_files_can_be_dropped_pasted_paused_and_given_up(api: Api, ann: Page) -> None:
    ticket = await api.new_ticket()
    await opened(ann, api, ticket)
    files = ann.get_by_role("region", name="Attachments")
    await files.get_by_label("Internal Only").uncheck()
    await hand_over(ann, "drop", "dropped.txt", "dropped")
    await expect(files.get_by_role("link", name="Download dropped.txt")).to_be_visible()
    await hand_over(ann, "paste", "pasted.txt", "pasted")
    await expect(files.get_by_role("link", name="Download pasted.txt")).to_be_visible()
    await ann.route("**/uploads/**", lambda route: route.abort())
    await hand_over(ann, "drop", "slow.txt", "slow")
    await files.get_by_role("button", name="Pause slow.txt").click()
    await expect(files.get_by_text("Paused")).to_be_visible()
    await files.get_by_role("button", name="Resume slow.txt").click()
    await expect(files.get_by_text("Waiting for the connection")).to_be_visible()
    await ann.unroute("**/uploads/**")
    await files.get_by_role("button", name="Remove slow.txt").click()
    await expect(files.get_by_role("progressbar")).to_have_count(0)
    await hand_over(ann, "drop", "empty.txt", "")
    await expect(files.get_by_text("The file is empty.")).to_be_visible()
    nodes = await api(
        "query($id: ID!) { ticket(by: {id: $id}) { attachments { nodes { name internalOnly } } } }", id=ticket
    )
    named = {one["name"]: one["internalOnly"] for one in nodes["ticket"]["attachments"]["nodes"]}
    assert named["dropped.txt"] is False and named["pasted.txt"] is False


async def hand_over(page: Page, way: str, name: str, contents: str) -> None:
    """Drops a file onto the page, or pastes it."""
    await page.evaluate(
        """([way, name, contents]) => {
            const data = new DataTransfer();
            data.items.add(new File([contents], name, { type: "text/plain" }));
            const options = { bubbles: true, cancelable: true };
            document.body.dispatchEvent(
                way === "drop"
                    ? new DragEvent("drop", { ...options, dataTransfer: data })
                    : new ClipboardEvent("paste", { ...options, clipboardData: data }),
            );
        }""",
        [way, name, contents],
    )


async def test_colleagues_see_who_is_here_and_who_writes(api: Api, ann: Page, bob: Page) -> None:
    ticket = await api.new_ticket()
    await opened(ann, api, ticket)
    await opened(bob, api, ticket)
    here = ann.get_by_role("status", name="Who is here")
    await expect(here).to_have_text("Bob Admin is viewing")
    await bob.get_by_label("Note Text").fill("I am on it")
    await expect(here).to_have_text("Bob Admin is editing")
    await bob.goto("about:blank")
    await expect(here).to_have_text("")


async def test_history_and_notifications_are_live_and_sent_again(api: Api, ann: Page, database: Database) -> None:
    await api.done("supportSettingsUpdate", "__typename", adminRecipients=["boss@callout.example"])
    ticket = await api.new_ticket()
    await database.execute(
        "UPDATE deliveries SET state = 'DEAD', said = 'No such mailbox', finished_at = now() "
        "WHERE ticket_id = $1 AND audience = 'ADMIN'",
        key(ticket),
    )
    await opened(ann, api, ticket)
    await ann.get_by_text("History").click()
    await expect(ann.get_by_text("The Boss created the ticket")).to_be_visible()
    await ann.get_by_label("Status", exact=True).select_option(label="In Progress")
    await expect(ann.locator("li", has_text="Ann Admin changed the status").last).to_contain_text(
        "Status: Open → In Progress"
    )
    await ann.get_by_text("Notifications").click()
    dead = ann.get_by_role("listitem").filter(has_text="boss@callout.example")
    await expect(dead).to_contain_text("Failed")
    await expect(dead).to_contain_text("No such mailbox")
    await dead.get_by_role("button", name="Send again").click()
    await expect(dead).to_contain_text("Waiting")


async def test_what_was_missed_arrives_when_the_connection_is_back(api: Api, ann: Page) -> None:
    ticket = await api.new_ticket()
    sockets: list[WebSocketRoute] = []
    cut = False

    async def connect(socket: WebSocketRoute) -> None:
        if cut:
            await socket.close(code=1012, reason="cut")
        else:
            socket.connect_to_server()
            sockets.append(socket)

    await ann.route_web_socket("**/graphql", connect)
    await opened(ann, api, ticket)
    await api.done("noteAdd", "__typename", ticketId=ticket, body="Before the cut")
    await expect(ann.get_by_text("Before the cut")).to_be_visible()
    cut = True
    await sockets[-1].close(code=1012, reason="cut")
    await expect(ann.get_by_text("What you see may be out of date")).to_be_visible()
    await api.done("noteAdd", "__typename", ticketId=ticket, body="During the cut")
    cut = False
    await expect(ann.get_by_text("During the cut")).to_have_count(1)
    await expect(ann.get_by_text("Before the cut")).to_have_count(1)
    await expect(ann.get_by_text("What you see may be out of date")).to_have_count(0)


async def test_an_upload_that_was_left_goes_on_with_the_same_file(api: Api, ann: Page) -> None:
    """The page is left in the middle of a file of two pieces. The same file, chosen again, is the same attachment."""
    ticket = await api.new_ticket()
    await opened(ann, api, ticket)
    contents = {"name": "film.bin", "mimeType": "application/octet-stream", "buffer": b"a film" * 500_000}
    offsets: list[str | None] = []

    async def stop(route: Route) -> None:
        offset = await route.request.header_value("upload-offset")
        offsets.append(offset)
        await (route.abort() if offset not in (None, "0") else route.continue_())

    await ann.route("**/uploads/**", stop)
    await choose(ann, contents)
    await expect(ann.get_by_text("Waiting for the connection")).to_be_visible()
    ann.on("dialog", lambda dialog: dialog.accept())
    await ann.reload()
    await ann.unroute("**/uploads/**")
    await expect(ann.get_by_text("Being uploaded")).to_be_visible()
    offsets.clear()
    ann.on("request", lambda request: offsets.append(request.headers.get("upload-offset")))
    await choose(ann, contents)
    await expect(ann.get_by_role("link", name="Download film.bin")).to_have_count(1)
    assert [offset for offset in offsets if offset is not None] == [str(2 * 2**20)]


async def choose(page: Page, contents: Any) -> None:
    async with page.expect_file_chooser() as choosing:
        await page.get_by_role("button", name="Add files").click()
    await (await choosing.value).set_files(contents)


async def test_a_technician_who_declines_or_is_silent_is_seen(api: Api, ann: Page, database: Database) -> None:
    tech = await api.new_technician(name="Dan Declines")
    ticket = await api.new_ticket(technicianId=tech)
    await database.execute("UPDATE tickets SET assignment_overdue = true WHERE id = $1", key(ticket))
    await opened(ann, api, ticket)
    await expect(ann.get_by_text("No answer in time")).to_be_visible()
    async with api.technician(tech) as dan:
        await step(dan, api, ticket, "DECLINED", reason="On holiday")
    await expect(ann.get_by_text("Dan Declines declined: On holiday")).to_be_visible()
    await expect(ann.get_by_text("No answer in time")).to_have_count(0)
    await shows(ann.get_by_label("Assign To"), "Unassigned")


async def test_axe_finds_nothing_in_any_state(api: Api, ann: Page, database: Database) -> None:
    customer = await api.new_customer()
    home = await api.new_property(customer, accessNotes="Key under the mat.")
    tech = await api.new_technician(name="Axel Axe")
    ticket = await api.new_ticket(customerId=customer, propertyId=home, technicianId=tech)
    await database.execute("UPDATE tickets SET assignment_overdue = true WHERE id = $1", key(ticket))
    for internal in (True, False):
        await api.done("noteAdd", "__typename", ticketId=ticket, body="See https://a.example", internalOnly=internal)
    await opened(ann, api, ticket)
    await choose(ann, {"name": "panel.jpg", "mimeType": "image/jpeg", "buffer": photo()})
    await expect(ann.get_by_role("button", name="Open panel.jpg")).to_be_visible()
    await ann.get_by_text("History").click()
    await ann.get_by_text("Notifications").click()
    await expect(ann.get_by_text("created the ticket")).to_be_visible()
    assert await problems_in_both_themes(ann) == []
    await hand_over(ann, "drop", "empty.txt", "")
    await ann.get_by_role("button", name="Add Note").click()
    await ann.get_by_role("button", name="Mark Resolved").click()
    await ann.get_by_role("region", name="Notes").get_by_label("Internal Only").uncheck()
    await before(ann, "ticketUpdate", lambda: api.done("ticketUpdate", "__typename", ticketId=ticket, priority="LOW"))
    await ann.get_by_label("Priority").select_option(label="Urgent")
    await expect(ann.get_by_role("button", name="Set to Urgent")).to_be_visible()
    assert await problems_in_both_themes(ann) == []
    await ann.get_by_role("button", name="Open panel.jpg").click()
    await expect(ann.get_by_role("dialog")).to_be_visible()
    assert await problems_in_both_themes(ann) == []
    await ann.keyboard.press("Escape")
    await api.done("ticketResolve", "__typename", ticketId=ticket, resolution="Done.")
    await ann.get_by_role("button", name="Add to Knowledge Base").click()
    await expect(ann.get_by_role("link", name="Edit in the Knowledge Base")).to_be_visible()
    assert await problems_in_both_themes(ann) == []


async def test_the_keys_lead_to_what_is_done_most(api: Api, ann: Page) -> None:
    await opened(ann, api, await api.new_ticket())
    places = {"n": "Note Text", "s": "Status", "p": "Priority", "a": "Assign To", "r": "Resolution"}
    for letter, label in places.items():
        await ann.locator("body").evaluate("() => document.activeElement.blur()")
        await ann.keyboard.press(letter)
        await expect(ann.get_by_label(label, exact=True).and_(ann.locator("select, textarea"))).to_be_focused()
    await expect(ann.get_by_label("Note Text")).to_have_value("")


async def test_earlier_notes_are_read_when_asked_for(api: Api, ann: Page) -> None:
    ticket = await api.new_ticket()
    for number in range(60):
        await api.done("noteAdd", "__typename", ticketId=ticket, body=f"Note number {number}.")
    await opened(ann, api, ticket)
    notes = ann.get_by_role("region", name="Notes").get_by_role("listitem")
    await expect(notes).to_have_count(50)
    await ann.get_by_role("button", name="Show earlier notes").click()
    await expect(notes).to_have_count(60)
    await expect(notes.first).to_contain_text("Note number 0.")
    await expect(notes.last).to_contain_text("Note number 59.")
    await expect(ann.get_by_role("button", name="Show earlier notes")).to_have_count(0)


async def test_after_a_reset_the_ticket_is_read_again(api: Api, ann: Page) -> None:
    """As after a failover that has lost events: the cursor of the page is of no use any more."""
    ticket = await api.new_ticket()

    async def connect(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()

        async def pass_on(message: str | bytes) -> None:
            sent = json.loads(message)
            if "ticketFollow" in str(sent) and sent["payload"]["variables"].get("after"):
                await api.done("noteAdd", "__typename", ticketId=ticket, body="Not in the stream")
                sent["payload"]["variables"]["after"] = "of another log"
            server.send(json.dumps(sent))

        socket.on_message(pass_on)

    await ann.route_web_socket("**/graphql", connect)
    await opened(ann, api, ticket)
    await expect(ann.get_by_text("Not in the stream")).to_have_count(1)
