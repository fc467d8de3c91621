"""A technician's phone without a connection, and while its server is killed: what they do is kept, sent once, and
reported if it was in conflict."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.async_api import Browser, FilePayload, Route, expect

from callout.http.console import DIRECTORY, MANIFEST
from db.enums import Role
from tests.helpers.api import Api
from tests.helpers.axe import problems_in_both_themes
from tests.helpers.database_checks import Database, key, until
from tests.helpers.phone import all_is_sent, go_offline, opened, phone_of
from tests.helpers.photos import photo
from tests.helpers.process import Process, callout_process, free_port
from tests.helpers.push_service import SETTINGS
from tests.helpers.sessions import sign_in

pytestmark = pytest.mark.skipif(not (DIRECTORY / MANIFEST).is_file(), reason="needs what `make console` builds")

DATABASES = "async () => (await indexedDB.databases()).map(({ name }) => name)"
KEPT = """async () => {
  const [{ name }] = await indexedDB.databases()
  const opening = indexedDB.open(name)
  await new Promise((resolve) => opening.onsuccess = resolve)
  const { result: database } = opening
  const found = await Promise.all(['tickets', 'commands'].map((store) => new Promise((resolve) => {
    database.transaction(store).objectStore(store).getAll().onsuccess = ({ target }) => resolve(target.result)
  })))
  database.close()
  return found
}"""
FAST_CLOCK = """globalThis.Date = class extends Date {
  static now() { return super.now() + 3_600_000 }
  constructor(...given) { given.length > 0 ? super(...given) : super(new.target.now()) }
}"""
SHOWN = """async () => {
  const registration = await navigator.serviceWorker.ready
  for (;;) {
    const shown = await registration.getNotifications()
    if (shown.length > 0) return shown.map(({ title, body, tag, data }) => ({ title, body, tag, url: data.url }))
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}"""


@pytest.fixture
def server_url(api: Api) -> str:
    return api.server.url


@pytest.fixture
async def technician(api: Api) -> str:
    return await api.new_technician(name="Tess Tech")


class Restarted:
    """A server on a port of its own, which can be killed and started again. Others write by another server."""

    def __init__(self, api: Api, directory: Path, stack: ExitStack) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        self._api, self._directory, self._stack = api, directory, stack
        self._process: Process | None = None
        self._starts = 0

    async def start(self) -> None:
        self._starts += 1
        directory = self._directory / str(self._starts)
        directory.mkdir()
        server = self._api.server
        settings = {"database_url": server.database_url, "jwt_secret": server.settings.jwt_secret or "", **SETTINGS}
        opening = callout_process(directory, port=self.url.rpartition(":")[2], **settings)
        self._process = await asyncio.to_thread(self._stack.enter_context, opening)

    def kill(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGKILL)


@pytest.fixture
async def restarted(api: Api, tmp_path: Path) -> AsyncIterator[Restarted]:
    with ExitStack() as stack:
        server = Restarted(api, tmp_path, stack)
        await server.start()
        yield server


async def test_a_day_in_the_basement(
    browser: Browser, restarted: Restarted, api: Api, technician: str, database: Database
) -> None:
    """Without a connection the pages open, show the tickets and take all that is done. The server is killed meanwhile,
    and a colleague resolves one of the tickets."""
    customer = await api.new_customer()
    place = await api.new_property(customer, address="12 Elm Street", accessNotes="Key at the desk.")
    given = {"customerId": customer, "propertyId": place, "technicianId": technician}
    mine = await api.new_ticket(subject="Panel beeps", **given)
    shared = await api.new_ticket(subject="Gate is stuck", technicianId=technician)
    async with phone_of(browser, restarted.url, api, technician) as phone:
        page = await opened(phone)
        await expect(page.get_by_role("link", name="Gate is stuck")).to_be_visible()
        await go_offline(phone, page)
        restarted.kill()
        await page.reload()
        await page.get_by_role("link", name="Panel beeps").tap()
        await expect(page.get_by_text("Key at the desk.")).to_be_visible()
        await page.get_by_role("button", name="Accept").tap()
        await expect(page.get_by_text("Accepted", exact=True)).to_be_visible()
        await page.get_by_label("New note").fill("Battery is flat.")
        await page.get_by_role("button", name="Add Note").tap()
        await expect(page.get_by_role("listitem").filter(has_text="Battery is flat.")).to_contain_text(
            "Waits to be sent"
        )
        file = FilePayload(name="battery.jpg", mimeType="image/jpeg", buffer=photo())
        await page.locator("input[type=file]").set_input_files(file)
        await expect(page.get_by_text("battery.jpg · Waits to be sent")).to_be_visible()
        await page.get_by_text("Add what the next visitor should know").tap()
        await page.get_by_label("Add what the next visitor should know").fill("Ring twice.")
        await page.get_by_role("button", name="Add", exact=True).tap()
        await expect(page.get_by_text("Ring twice.")).to_be_visible()
        await page.get_by_label("What was done?").fill("Replaced the battery.")
        await page.get_by_role("button", name="Mark Resolved").tap()
        await expect(page.get_by_role("heading", name="Resolved")).to_be_visible()

        await page.goto("/tech")
        await expect(page.get_by_role("link", name="Panel beeps")).to_have_count(0)
        await page.get_by_role("link", name="Gate is stuck").tap()
        await page.get_by_label("What was done?").fill("Oiled the gate.")
        await page.get_by_role("button", name="Mark Resolved").tap()
        await expect(page.get_by_role("heading", name="Resolved")).to_be_visible()
        await page.get_by_role("link", name="to be sent").tap()
        for text in ("Accepted", "Note", "Photo or file", "How to get in", "Replaced the battery.", "Oiled the gate."):
            await expect(page.get_by_role("list").get_by_text(text, exact=True)).to_be_visible()
        assert await problems_in_both_themes(page) == []

        await api.done("ticketResolve", "__typename", ticketId=shared, resolution="It opens again by itself.")
        await restarted.start()
        await phone.set_offline(False)
        conflict = page.get_by_role("listitem").filter(has_text="Oiled the gate.")
        await expect(conflict).to_contain_text("Meanwhile somebody else has written: “It opens again by itself.”")
        assert await problems_in_both_themes(page) == []
        await conflict.get_by_role("button", name="Do it all the same").tap()
        await expect(page.get_by_text("Everything has been sent")).to_be_visible()
        await page.goto("/tech")
        await expect(page.get_by_text("Nothing to do at the moment")).to_be_visible()
    condition = "(SELECT resolution FROM tickets WHERE id = '{}') = '{}'"
    await until(database, condition.format(key(mine), "Replaced the battery."))
    await until(database, condition.format(key(shared), "Oiled the gate."))
    await until(database, "(SELECT count(*) FROM notes WHERE body = 'Battery is flat.') = 1")
    await until(database, "(SELECT count(*) FROM attachments WHERE name = 'battery.jpg' AND state = 'READY') = 1")
    await until(database, "(SELECT access_notes LIKE '%Ring twice.%' FROM properties WHERE access_notes IS NOT NULL)")


async def test_two_tabs_show_and_send_the_same(
    browser: Browser, server_url: str, api: Api, technician: str, database: Database
) -> None:
    ticket = await api.new_ticket(subject="Siren sounds", technicianId=technician)
    async with phone_of(browser, server_url, api, technician) as phone:
        page, tab = await opened(phone), await opened(phone)
        await page.get_by_role("link", name="Siren sounds").tap()
        await tab.get_by_role("link", name="Siren sounds").tap()
        await go_offline(phone, page)
        await page.get_by_label("New note").fill("It is the wind.")
        await page.get_by_role("button", name="Add Note").tap()
        await expect(tab.get_by_text("It is the wind.")).to_be_visible()
        await page.close()
        await phone.set_offline(False)
        await all_is_sent(tab, database, ticket)
        await api.done("noteAdd", "__typename", ticketId=ticket, body="Then close the door.")
        await expect(tab.get_by_text("Then close the door.")).to_be_visible()
    assert await database.fetchval("SELECT count(*) FROM notes WHERE body = 'It is the wind.'") == 1


async def test_signing_out_leaves_nothing_on_the_phone(
    browser: Browser, server_url: str, api: Api, technician: str, database: Database
) -> None:
    ticket = await api.new_ticket(subject="Camera is dark", technicianId=technician)
    async with phone_of(browser, server_url, api, technician) as phone:
        page = await opened(phone)
        await page.get_by_role("link", name="Camera is dark").tap()
        await page.get_by_label("What was done?").fill("Half a sen")
        await all_is_sent(page, database, ticket)
        await go_offline(phone, page)
        page.on("dialog", lambda dialog: asyncio.ensure_future(dialog.accept()))
        async with page.expect_event("dialog") as dialog:
            await page.get_by_role("button", name="Sign out").tap()
        assert (await dialog.value).message.startswith("You cannot sign out without a connection.")
        await phone.set_offline(False)
        await expect(page.get_by_text("Not connected.")).to_have_count(0)
        async with page.expect_event("dialog") as dialog:
            await page.get_by_role("button", name="Sign out").tap()
        assert "1 change has not been sent, and would be lost." in (await dialog.value).message
        await expect(page).to_have_url(re.compile("/sign-in"))
        assert await page.evaluate(DATABASES) == []
        assert await page.evaluate("Object.keys(localStorage).filter((name) => name.includes('draft'))") == []
        assert await page.evaluate("localStorage.getItem('callout.tech')") is None


async def test_a_long_day_by_a_clock_that_is_an_hour_fast(
    browser: Browser, server_url: str, api: Api, technician: str, database: Database
) -> None:
    """Everything arrives, however much it is, once each, although fingers tap twice, and with the time at which it was
    done."""
    ticket = await api.new_ticket(subject="Lift is stuck", technicianId=technician)
    async with phone_of(browser, server_url, api, technician) as phone:
        await phone.add_init_script(FAST_CLOCK)
        page = await opened(phone)
        await page.get_by_role("link", name="Lift is stuck").tap()
        await all_is_sent(page, database, ticket)
        await page.get_by_role("button", name="Accept").dblclick()
        await expect(page.get_by_text("Accepted", exact=True)).to_be_visible()
        await go_offline(phone, page)
        await page.get_by_label("New note").fill("Note 0.")
        await page.get_by_role("button", name="Add Note").dblclick()
        for number in range(1, 40):
            await expect(page.get_by_label("New note")).to_have_value("")
            await page.get_by_label("New note").fill(f"Note {number}.")
            await page.get_by_label("New note").press("Tab")
            await page.get_by_role("button", name="Add Note").press("Enter")
        await expect(page.get_by_role("link", name="40 changes wait to be sent")).to_be_visible()
        await phone.set_offline(False)
        await expect(page.get_by_role("link", name="to be sent")).to_have_count(0)
        await expect(page.get_by_role("link", name="not made")).to_have_count(0)
    mine = f"ticket_id = '{key(ticket)}'"
    assert (
        await database.fetchval(
            f"SELECT count(*) FROM notes WHERE {mine} AND abs(extract(epoch FROM created_at - occurred_at)) < 600"
        )
        == 40
    )
    assert await database.fetchval(f"SELECT state FROM assignments WHERE {mine}") == "ACCEPTED"


async def test_a_photo_is_uploaded_once_it_is_the_server_that_answers(
    browser: Browser, server_url: str, api: Api, technician: str, database: Database
) -> None:
    """What a proxy says in the server's place does not make the phone send the photo without end."""
    await api.new_ticket(subject="Light flickers", technicianId=technician)
    methods: list[str] = []
    asked_again = asyncio.Event()

    async def answer(route: Route) -> None:
        methods.append(route.request.method)
        if len(methods) > 1:
            asked_again.set()
        await route.fulfill(body="<p>Please accept our terms.</p>")

    async with phone_of(browser, server_url, api, technician) as phone:
        page = await opened(phone)
        await page.get_by_role("link", name="Light flickers").tap()
        await page.route("**/uploads/**", answer)
        file = FilePayload(name="light.jpg", mimeType="image/jpeg", buffer=photo())
        await page.locator("input[type=file]").set_input_files(file)
        await asyncio.wait_for(asked_again.wait(), 30)
        assert methods[:2] == ["HEAD", "HEAD"]
        await page.unroute("**/uploads/**")
        await until(database, "(SELECT count(*) FROM attachments WHERE name = 'light.jpg' AND state = 'READY') = 1")


async def test_what_one_has_done_is_not_sent_in_the_name_of_the_next(
    browser: Browser, server_url: str, api: Api, technician: str, database: Database
) -> None:
    """The phone has sent nothing yet, so the server does not know whose it is."""
    other = await api.new_technician(name="Otto Other")
    ticket = await api.new_ticket(subject="Mast leans", technicianId=technician)
    async with phone_of(browser, server_url, api, technician) as phone:
        page = await opened(phone)
        await expect(page.get_by_role("link", name="Mast leans")).to_be_visible()
        await go_offline(phone, page)
        await page.get_by_role("link", name="Mast leans").tap()
        await page.get_by_label("New note").fill("It is the storm.")
        await page.get_by_role("button", name="Add Note").tap()
        await expect(page.get_by_role("link", name="2 changes wait to be sent")).to_be_visible()
        await page.goto("about:blank")
        await api.done("ticketAssign", "__typename", ticketId=ticket, technicianId=other)
        await phone.set_offline(False)
        await sign_in(phone, server_url, api.server.database_url, Role.TECHNICIAN, key(other))
        await page.goto("/tech")
        await expect(page.get_by_text("Otto Other")).to_be_attached()
        await page.get_by_role("link", name="Mast leans").tap()
        await all_is_sent(page, database, ticket)
        await sign_in(phone, server_url, api.server.database_url, Role.TECHNICIAN, key(technician))
        await page.goto("/tech")
        await expect(page.get_by_role("link", name="2 changes were not made")).to_be_visible()
    assert await database.fetchval("SELECT count(*) FROM notes WHERE body = 'It is the storm.'") == 0


async def test_who_loses_access_keeps_only_what_they_have_done(
    browser: Browser, server_url: str, api: Api, technician: str, database: Database
) -> None:
    ticket = await api.new_ticket(subject="Door is open", technicianId=technician)
    async with phone_of(browser, server_url, api, technician) as phone:
        page = await opened(phone)
        await page.get_by_role("link", name="Door is open").tap()
        await all_is_sent(page, database, ticket)
        await go_offline(phone, page)
        await page.get_by_label("What was done?").fill("Closed it.")
        await page.get_by_role("button", name="Mark Resolved").tap()
        await expect(page.get_by_role("heading", name="Resolved")).to_be_visible()
        await api.done("ticketResolve", "__typename", ticketId=ticket, resolution="It is meant to be open.")
        await phone.set_offline(False)
        await expect(page.get_by_role("link", name="1 change was not made")).to_be_visible()
        await go_offline(phone, page)
        await page.get_by_label("New note").fill("It was the cat.")
        await page.get_by_role("button", name="Add Note").tap()
        await expect(page.get_by_text("It was the cat.")).to_be_visible()
        await api.done("technicianUpdate", "__typename", technicianId=technician, active=False)
        while (await phone.request.get("/tech", max_redirects=0)).ok:  # noqa: ASYNC110 (it is remembered for a second)
            await asyncio.sleep(0.1)
        await phone.set_offline(False)
        await expect(page).to_have_url(re.compile("/sign-in"))
        tickets, commands = await page.evaluate(KEPT)
        kept = json.dumps(commands)
        assert (tickets, len(commands)) == ([], 2)
        assert "Closed it." in kept and "It was the cat." in kept
        assert "Door is open" not in kept and "meant to be open" not in kept


async def test_a_notice_leads_to_its_ticket(browser: Browser, server_url: str, api: Api, technician: str) -> None:
    ticket = await api.new_ticket(subject="Fence is down", technicianId=technician)
    reference = (await api("query($id: ID!) { ticket(by: {id: $id}) { reference } }", id=ticket))["ticket"]["reference"]
    async with phone_of(browser, server_url, api, technician) as phone:
        await phone.grant_permissions(["notifications"])
        page = await opened(phone)
        chromium = await phone.new_cdp_session(page)
        registered: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        def remember(event: dict[str, list[dict[str, str]]]) -> None:
            for registration in event["registrations"]:
                if not registered.done():
                    registered.set_result(registration["registrationId"])

        chromium.on("ServiceWorker.workerRegistrationUpdated", remember)
        await chromium.send("ServiceWorker.enable")
        notice = {"title": reference, "body": "A ticket for you", "tag": ticket, "url": None, "reference": reference}
        push = {"origin": server_url, "registrationId": await registered, "data": json.dumps(notice | {"token": None})}
        await chromium.send("ServiceWorker.deliverPushMessage", push)
        expected = {"title": reference, "body": "A ticket for you", "tag": ticket, "url": f"/tech/tickets/{reference}"}
        assert await page.evaluate(SHOWN) == [expected]
