"""Fixtures of the tests in a real browser, which `make test-web` runs."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, BrowserContext

from tests.helpers.chromium import WITHIN_MILLISECONDS, chromium


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


@pytest.fixture
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    """A browser without cookies, caches or stored data, for one test."""
    context = await browser.new_context()
    context.set_default_timeout(WITHIN_MILLISECONDS)
    yield context
    await context.close()
