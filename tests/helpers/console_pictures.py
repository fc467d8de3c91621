"""`make screenshots`: takes the pictures of the console for `README.md` and `docs/console.md`, of a new demo company.
It needs Chromium, at the path in `CHROMIUM` or named `chromium`, and what `make console` builds."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Literal

from playwright.async_api import Browser, Page

from tests.helpers.chromium import WITHIN_MILLISECONDS, chromium
from tests.helpers.paths import ROOT
from tests.helpers.process import callout_process

DOCS = ROOT / "docs"
Scheme = Literal["light", "dark"]


async def take(url: str) -> None:
    async with chromium() as browser:
        page = await opened(browser, url, 1280, 760, "light")
        await page.goto("/tickets")
        await page.locator(".row-link").first.wait_for()
        await page.screenshot(path=DOCS / "console-list.png")
        await page.locator(".row-link", has_text="Footage").click()
        await page.get_by_role("heading", name="Notes", exact=True).wait_for()
        await page.screenshot(path=DOCS / "console-ticket.png")
        phone = await opened(browser, url, 390, 760, "dark")
        await look_as(phone, "TECHNICIAN")
        await phone.locator("a.row").first.click()
        await phone.get_by_role("heading", name="Description").wait_for()
        await phone.screenshot(path=DOCS / "console-phone.png")


async def opened(browser: Browser, url: str, width: int, height: int, scheme: Scheme) -> Page:
    """A page of the demo's admin, whom a development server signs in at once."""
    context = await browser.new_context(
        base_url=url, viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce"
    )
    context.set_default_timeout(WITHIN_MILLISECONDS)
    page = await context.new_page()
    await page.goto("/")
    await page.locator(".row-link").first.wait_for()
    return page


async def look_as(page: Page, role: str) -> None:
    """From a page on a phone."""
    await page.get_by_role("button", name="Menu").click()
    await page.locator(".person summary").click()
    await page.get_by_role("button", name=role.title()).first.click()
    await page.wait_for_url("**/tech")


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as directory,
        callout_process(Path(directory), env="development") as process,
    ):
        asyncio.run(take(process.url))


if __name__ == "__main__":
    main()
