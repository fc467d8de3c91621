"""A technician's phone: the pages at `/tech`, which keep a copy and a queue."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, BrowserContext, Page, expect

from db.enums import Role
from tests.helpers.api import Api
from tests.helpers.chromium import WITHIN_MILLISECONDS
from tests.helpers.database_checks import Database, key, until
from tests.helpers.sessions import sign_in


@asynccontextmanager
async def phone_of(browser: Browser, url: str, api: Api, technician: str) -> AsyncIterator[BrowserContext]:
    """The phone of a technician who is signed in at the server with this URL."""
    context = await browser.new_context(
        base_url=url, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    context.set_default_timeout(WITHIN_MILLISECONDS)
    await sign_in(context, url, api.server.database_url, Role.TECHNICIAN, key(technician))
    yield context
    await context.close()


async def opened(phone: BrowserContext) -> Page:
    """The technician's list, once it can be opened without a connection."""
    page = await phone.new_page()
    await page.goto("/tech")
    await page.evaluate("navigator.serviceWorker.ready")
    return page


async def go_offline(phone: BrowserContext, page: Page) -> None:
    await phone.set_offline(True)
    await expect(page.get_by_text("Not connected.")).to_be_visible()


async def all_is_sent(page: Page, database: Database, ticket: str) -> None:
    """Waits until nothing is left in the queue, and it is known that the technician has seen the ticket."""
    await until(database, f"EXISTS (SELECT FROM assignments WHERE ticket_id = '{key(ticket)}' AND seen_at IS NOT NULL)")
    await expect(page.get_by_role("link", name="to be sent")).to_have_count(0)
