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
from tests.helpers.api import Server
from tests.helpers.axe import problems_in_both_themes
from tests.helpers.console import person_at
from tests.helpers.other_console import copy, remove_document
from tests.helpers.process import Process, callout_process, free_port
from tests.helpers.sessions import new_admin

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
