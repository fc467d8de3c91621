"""People in front of the console, each in a browser of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final

from playwright.async_api import Browser, Page, Route, expect

from db.enums import Role
from tests.helpers.api import Server
from tests.helpers.chromium import WITHIN_MILLISECONDS
from tests.helpers.sessions import new_admin, sign_in

expect.set_options(timeout=WITHIN_MILLISECONDS)

PHONE: Final[dict[str, Any]] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
"""The options of a browser on a phone."""


@asynccontextmanager
async def person_at(
    browser: Browser, server: Server, role: Role, key: str, **context_options: Any
) -> AsyncIterator[Page]:
    """The person with this role and key, in a browser of their own. At the end their page must not have failed."""
    context = await browser.new_context(base_url=server.url, **context_options)
    context.set_default_timeout(WITHIN_MILLISECONDS)
    await sign_in(context, server.url, server.database_url, role, key)
    page = await context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    try:
        yield page
        assert faults == []
    finally:
        await context.close()


@asynccontextmanager
async def admin_at(browser: Browser, server: Server, name: str, **context_options: Any) -> AsyncIterator[Page]:
    """A new admin with this name, as `person_at` has people."""
    key = await new_admin(server.database_url, name)
    async with person_at(browser, server, Role.ADMIN, key, **context_options) as page:
        yield page


def sends(mutation: str) -> Callable[[Route], bool]:
    """Whether a request to the API contains this mutation."""
    return lambda route: mutation in (route.request.post_data or "")


async def before(page: Page, mutation: str, happens: Callable[[], Coroutine[Any, Any, object]]) -> None:
    """Lets something happen before the page's next request with this mutation reaches the server."""
    done = False

    async def handle(route: Route) -> None:
        nonlocal done
        if sends(mutation)(route) and not done:
            done = True
            await happens()
        await route.continue_()

    await page.route("**/graphql", handle)


@asynccontextmanager
async def without_connection(page: Page) -> AsyncIterator[None]:
    """The page's requests to the API get no answer, and do not reach it."""
    await page.route("**/graphql", lambda route: route.abort())
    try:
        yield
    finally:
        await page.unroute("**/graphql")


@asynccontextmanager
async def with_answers_lost(page: Page, mutation: str) -> AsyncIterator[None]:
    """The page's requests with this mutation reach the API, but their answers are lost."""

    async def handle(route: Route) -> None:
        if sends(mutation)(route):
            await route.fetch()
            await route.abort()
        else:
            await route.continue_()

    await page.route("**/graphql", handle)
    try:
        yield
    finally:
        await page.unroute("**/graphql")
