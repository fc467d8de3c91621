"""The IDE in a real browser: it opens without any other host, runs its examples, and survives a reload."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from playwright.async_api import Browser, BrowserContext, Page, Request, WebSocket

from callout.http.ide import DIRECTORY, ENTRY
from tests.helpers.chromium import WITHIN_MILLISECONDS
from tests.helpers.database_checks import Database
from tests.helpers.process import callout_process

SECRET = "a secret of these tests, of thirty-two bytes at least"
ME = "query Mine { me { name } }"

pytestmark = pytest.mark.skipif(not (DIRECTORY / ENTRY).is_file(), reason="needs the IDE that `make ide` builds")


@pytest.fixture(scope="module")
def url(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory = tmp_path_factory.mktemp("development")
    settings = {"env": "development", "database_url": database_url, "jwt_secret": SECRET}
    with callout_process(directory, console="off", **settings) as process:
        yield process.url


class Ide:
    """The IDE in a window. At the end of a test the browser must have complained of nothing, and asked no other host
    for anything."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.complaints: list[str] = []
        self.sockets: list[str] = []
        page.on("console", lambda message: self._note(message.type, message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", self._check)
        page.on("websocket", self._connected)

    async def open(self, address: str = "/graphql") -> None:
        await self.page.goto(self.url + address)
        await self._ready()

    async def reload(self) -> None:
        await self.page.reload()
        await self._ready()

    async def run(self, tab: str | None = None) -> None:
        if tab is not None:
            await self.page.get_by_role("tab", name=tab).click()
        await self.page.click(".graphiql-execute-button")

    async def shows(self, text: str) -> None:
        """Waits until the answer contains the text."""
        await self.page.locator(".graphiql-response", has_text=text).wait_for()

    async def text(self) -> str:
        """The query on display."""
        return await self.page.locator(".graphiql-query-editor .view-lines").inner_text()

    async def shows_its_token(self) -> None:
        await self.page.locator(".graphiql-editor-tool .view-line", has_text="Bearer eyJ").wait_for()

    async def in_address(self, text: str) -> None:
        await self.page.wait_for_function("text => decodeURIComponent(location.href).includes(text)", arg=text)

    async def _ready(self) -> None:
        await self.page.wait_for_selector(".graphiql-query-editor .view-line")
        await self.page.wait_for_selector(".graphiql-execute-button")

    def _note(self, type_: str, text: str) -> None:
        if type_ in ("error", "warning"):
            self.complaints.append(text)

    def _check(self, request: Request) -> None:
        if not request.url.startswith((f"{self.url}/", "data:")):
            self.complaints.append(f"asks {request.url}")

    def _connected(self, socket: WebSocket) -> None:
        self.sockets.append(socket.url)


@pytest.fixture
async def ide(context: BrowserContext, url: str) -> AsyncIterator[Ide]:
    ide = Ide(await context.new_page(), url)
    yield ide
    assert ide.complaints == []


async def test_the_examples_run_as_they_are(ide: Ide, context: BrowserContext, browser: Browser) -> None:
    await ide.open()
    await ide.shows_its_token()
    await ide.run()
    await ide.shows('"totalCount": 0')
    second = await browser.new_context()
    second.set_default_timeout(WITHIN_MILLISECONDS)
    other = Ide(await second.new_page(), ide.url)
    await other.open()
    await other.run("Follow")
    await other.shows('"resumed": false')
    assert other.sockets == [ide.url.replace("http", "ws", 1) + "/graphql"]
    await ide.run("Create")
    await ide.shows('"status": "OPEN"')
    await other.shows('"Lobby camera is dark"')
    assert other.complaints == []
    await second.close()
    await ide.run("List")
    await ide.shows('"totalCount": 1')


async def test_the_schema_is_there_to_read(ide: Ide) -> None:
    await ide.open()
    await ide.page.get_by_label("Show Documentation Explorer").click()
    await (
        ide.page.get_by_text("The subscription root of Callout", exact=False)
        .or_(ide.page.get_by_role("link", name="Subscription"))
        .first.wait_for()
    )


async def test_a_query_in_the_address_is_shown_and_stays_through_a_reload(ide: Ide) -> None:
    variables = json.dumps({"first": 3})
    asked = "query Asked($first: Int) { tickets(first: $first) { nodes { id } } }"
    await ide.open(f"/graphql?{urlencode({'query': asked, 'variables': variables})}")
    assert "Asked" in await ide.text()
    await ide.run()
    await ide.shows('"nodes"')
    await ide.page.click(".graphiql-query-editor .view-lines")
    await ide.page.keyboard.press("Control+A")
    # At once: the editor closes brackets that are typed, and offers words, sooner or later.
    await ide.page.keyboard.insert_text("query Changed { me { role } }")
    await ide.in_address("query+Changed+{+me+{+role+}+}")
    for _ in range(2):
        await ide.reload()
        assert "Changed" in await ide.text()
    await ide.run()
    await ide.shows('"role": "ADMIN"')
    address = parse_qs(urlsplit(ide.page.url).query)
    assert set(address) <= {"query", "variables"} and "Bearer" not in ide.page.url


async def test_the_token_is_not_kept_in_the_browser(ide: Ide) -> None:
    await ide.open()
    await ide.run("Create")
    await ide.shows('"status"')
    await ide.in_address("mutation+Create")
    kept = "() => Object.entries(localStorage).flat().join()"
    await ide.page.wait_for_function("() => localStorage.getItem('callout:graphiql:tabState')?.includes('Create')")
    assert "Bearer" not in await ide.page.evaluate(kept)
    await ide.reload()
    await ide.shows_its_token()
    await ide.page.get_by_label("Show History").click()
    await ide.page.locator(".graphiql-history-item-label", has_text="Create").first.click()
    await ide.run()
    await ide.shows('"status"')


async def test_the_address_with_a_slash_works_too(ide: Ide) -> None:
    await ide.open(f"/graphql/?{urlencode({'query': ME})}")
    await ide.run()
    await ide.shows('"Demo admin"')


async def test_the_front_page_leads_to_the_ide(ide: Ide) -> None:
    await ide.page.goto(ide.url)
    await ide.page.get_by_role("link", name="/graphql").first.click()
    await ide._ready()


async def test_the_token_is_issued_once_and_audited(ide: Ide, url: str, database: Database) -> None:
    await ide.open(f"/graphql?{urlencode({'query': ME})}")
    await ide.reload()
    await ide.run()
    await ide.shows('"Demo admin"')
    issued = "SELECT count(*) FROM audit_entries WHERE object_kind = 'TOKEN' AND object_id = 'demo-admin'"
    assert await database.fetchval(issued) == 2  # with the one that the server printed


async def test_the_ide_has_no_token_in_production(context: BrowserContext, database_url: str, tmp_path: Path) -> None:
    with callout_process(tmp_path, database_url=database_url, jwt_secret=SECRET, ide="on") as process:
        page = await context.new_page()
        await page.goto(f"{process.url}/graphql")
        await page.locator(".graphiql-editor-tool .view-line", has_text="Authorization").wait_for()
        await page.click(".graphiql-execute-button")
        await page.locator(".graphiql-response", has_text="UNAUTHENTICATED").wait_for()
