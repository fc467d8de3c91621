"""A page of the console that is older than the server, as after an update."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from callout.http.console import DIRECTORY, MANIFEST
from callout.settings import Settings
from db.enums import Role
from tests.helpers.api import Api, Server
from tests.helpers.axe import problems_in_both_themes
from tests.helpers.console import person_at
from tests.helpers.other_console import copy, remove_document
from tests.helpers.phone import opened, phone_of
from tests.helpers.process import Process, callout_process, free_port
from tests.helpers.sessions import new_admin

KEPT = """async (name) => {
  for (;;) {
    const page = await caches.match('/tech')
    if ((await page?.text())?.includes(`/${name}-`)) return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}"""
"""Waits until the page that is kept is of this version."""

pytestmark = pytest.mark.skipif(not (DIRECTORY / MANIFEST).is_file(), reason="needs what `make console` builds")


async def test_a_new_version_is_offered_and_nothing_typed_is_lost(
    browser: Browser, database_url: str, tmp_path: Path
) -> None:
    console, port = tmp_path / "console", str(free_port())
    (tmp_path / "trusted.json").write_text(json.dumps({}))

    def serving() -> AbstractContextManager[Process]:
        return callout_process(
            tmp_path,
            module=("tests.helpers.other_console", str(console), "serve", "--host", "127.0.0.1"),
            database_url=database_url,
            jwt_secret="s" * 64,
            port=port,
            trusted_documents=str(tmp_path / "trusted.json"),
            trusted_documents_only="true",
        )

    copy(console, "first")
    admin = await new_admin(database_url)
    with ExitStack() as running:
        process = running.enter_context(serving())
        known = Settings(env="production", database_url=database_url, jwt_secret="s" * 64, data_dir=tmp_path)
        async with person_at(browser, Server(process.url, known, database_url, process), Role.ADMIN, admin) as page:
            offer = page.get_by_role("button", name="Load it")
            list_is_there = expect(page.get_by_text("No tickets yet"))

            # A page that has not been loaded yet is gone.
            await page.goto("/customers/new")
            await page.get_by_label("Name").fill("Half a name")
            copy(console, "second")
            await page.get_by_role("link", name="Knowledge Base").click()
            await expect(page.get_by_role("heading", name="This page could not be loaded")).to_be_visible()
            await expect(page.get_by_text("A new version is there.")).to_be_visible()
            assert await problems_in_both_themes(page) == []
            await offer.click()
            await expect(page.get_by_role("heading", name="Knowledge Base")).to_be_visible()
            await expect(offer).to_have_count(0)
            await page.goto("/customers/new")
            await expect(page.get_by_label("Name")).to_have_value("Half a name")

            # The connection was lost meanwhile.
            await page.goto("/tickets")
            await list_is_there.to_be_visible()
            copy(console, "third")
            await page.context.set_offline(True)
            await page.context.set_offline(False)
            await offer.click()
            await list_is_there.to_be_visible()
            await expect(offer).to_have_count(0)

            # The server does not know an operation any more.
            running.close()
            remove_document(console, "ShellFind")
            running.enter_context(serving())
            await page.keyboard.press("Control+k")
            await page.get_by_role("combobox", name="Go to…").fill("beeps")
            await expect(page.get_by_text("The tickets cannot be searched at the moment.")).to_be_visible()
            await page.keyboard.press("Escape")
            await expect(offer).to_be_visible()


async def test_a_phone_without_a_connection_begins_with_the_newest_version(
    browser: Browser, database_url: str, tmp_path: Path, api: Api
) -> None:
    """The service worker of the new version takes the place of the one before, with all its files."""
    console = tmp_path / "console"
    copy(console, "first")
    technician = await api.new_technician()
    await api.new_ticket(subject="Panel beeps", technicianId=technician)
    with ExitStack() as running:
        process = running.enter_context(
            callout_process(
                tmp_path,
                module=("tests.helpers.other_console", str(console), "serve", "--host", "127.0.0.1"),
                database_url=database_url,
                jwt_secret="s" * 64,
            )
        )
        async with phone_of(browser, process.url, api, technician) as phone:
            page = await opened(phone)
            await expect(page.get_by_role("link", name="Panel beeps")).to_be_visible()
            copy(console, "second")
            await page.reload()
            await page.evaluate(KEPT, "second")
            running.close()
            await page.reload()
            await expect(page.get_by_role("link", name="Panel beeps")).to_be_visible()
            script = "document.querySelector('script[type=module]').src"
            assert "/second-" in await page.evaluate(script)
            await page.get_by_role("link", name="Panel beeps").tap()
            await expect(page.get_by_role("heading", name="Panel beeps")).to_be_visible()
