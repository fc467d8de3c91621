"""examples/device.ts in a real browser, with its IndexedDB and its locks. Needs what `make test-node` installs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
from playwright.async_api import BrowserContext, Page

from tests.helpers.api import Api
from tests.helpers.chromium import pages
from tests.helpers.database_checks import Database
from tests.helpers.devices import Device, check_offline_work, compile_device, needs_compiler, token_of

OPEN = """async ([name, url, token]) => {
  const { Device } = await import('/device.js')
  window.device = await Device.open(name, { url, headers: () => ({ Authorization: `Bearer ${token}` }) })
}"""
CALL = "async ([method, ...given]) => (await window.device[method](...given)) ?? null"

pytestmark = needs_compiler


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory = tmp_path_factory.mktemp("device")
    asyncio.run(compile_device(directory))
    (directory / "index.html").write_text("<!doctype html><title>A device</title>")
    with pages(directory) as origin:
        yield origin


@pytest.fixture(scope="module")
def server_settings(origin: str) -> dict[str, str]:
    return {"allowed_origins": origin}


class BrowserDevice(Device):
    def __init__(self, page: Page) -> None:
        self._page = page

    async def _call(self, method: str, *arguments: str | bytes, **command: Any) -> Any:
        return await self._page.evaluate(CALL, [method, *arguments, *([command] if command else [])])


@asynccontextmanager
async def browser_device(
    context: BrowserContext, origin: str, name: str, url: str, token: str
) -> AsyncIterator[BrowserDevice]:
    page = await context.new_page()
    await page.goto(origin)
    await page.evaluate(OPEN, [name, url, token])
    yield BrowserDevice(page)
    await page.close()


async def test_what_was_done_offline_shows_at_once_and_is_sent_once(
    api: Api, database: Database, context: BrowserContext, origin: str
) -> None:
    technician = await api.new_technician()
    await check_offline_work(api, technician, database, partial(browser_device, context, origin))


async def test_the_queue_outlasts_its_page_and_tabs_share_it(api: Api, context: BrowserContext, origin: str) -> None:
    technician = await api.new_technician()
    ticket = await api.new_ticket(technicianId=technician)
    async with api.technician(technician) as tess:
        opened = partial(browser_device, context, origin, "phone", api.server.url, token_of(tess))
        async with opened() as device:
            await device.sync()
            await device.do("resolve", ticketId=ticket, resolution="Replaced the battery.")
        async with opened() as device, opened() as tab:
            assert [shown["status"] for shown in await tab.tickets()] == ["RESOLVED"]
            await asyncio.gather(device.sync(), tab.sync())
            assert (await device.waiting(), await device.unsettled()) == ([], [])
            assert await device.tickets() == await tab.tickets()
            assert [shown["status"] for shown in await device.tickets()] == ["RESOLVED"]
