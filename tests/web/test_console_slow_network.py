"""The console over a network as in a parking garage: a second for an answer, and fifty kilobytes a second."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser, Page, expect

from callout.http.console import DIRECTORY, MANIFEST
from tests.helpers.api import Api, Server
from tests.helpers.console import admin_at

pytestmark = pytest.mark.skipif(not (DIRECTORY / MANIFEST).is_file(), reason="needs what `make console` builds")

SLOW = {"offline": False, "latency": 1_000, "downloadThroughput": 50_000, "uploadThroughput": 50_000}
"""Milliseconds, and bytes a second."""


async def slow_down(page: Page) -> None:
    chromium = await page.context.new_cdp_session(page)
    await chromium.send("Network.enable")
    await chromium.send("Network.emulateNetworkConditions", SLOW)


async def test_work_goes_on_over_a_slow_network(browser: Browser, server: Server, api: Api) -> None:
    """The list says that it is loading, and what is typed before an answer has come is neither lost nor sent twice."""
    ticket = await api.new_ticket(subject="Panel beeps")
    async with admin_at(browser, server, "Ann Admin") as page:
        await slow_down(page)
        await page.goto("/tickets", wait_until="commit")
        await expect(page.locator("[aria-busy=true]").or_(page.locator(".skeleton")).first).to_be_visible()
        await page.get_by_role("link", name="Panel beeps").click()
        await page.get_by_label("Note Text").fill("Called the customer.")
        await page.get_by_role("button", name="Add Note").click()
        await expect(page.get_by_role("listitem").filter(has_text="Called the customer.")).to_have_count(1)
        await page.get_by_label("Priority").select_option(label="Urgent")
        await expect(page.get_by_label("Priority")).to_have_value("URGENT")
        await expect(page.get_by_text("Not connected")).to_have_count(0)
    notes = "query($id: ID!) { ticket(by: {id: $id}) { notes { totalCount } } }"
    assert (await api(notes, id=ticket))["ticket"]["notes"]["totalCount"] == 1
