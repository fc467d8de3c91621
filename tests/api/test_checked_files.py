"""From an upload to a file that can be downloaded: what the worker makes of it, and what survives an outage."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from callout.settings import Settings
from tests.helpers.api import Api, Server
from tests.helpers.attached_files import WAIT_SECONDS, ask, attach, attached, upload
from tests.helpers.attached_files import checked as settled
from tests.helpers.clamd import Clamd
from tests.helpers.database_checks import Database, key
from tests.helpers.photos import PLACE, decoded, photo
from tests.helpers.process import callout_process

SELECTION = "state name contentType size width height rejectedBecause url thumbnailUrl"


async def checked(api: Api, data: bytes, **given: Any) -> dict[str, Any]:
    """The attachment with this file, once it has been checked."""
    found: dict[str, Any] = await attached(api, await attach(api, data, **given), SELECTION)
    return found


async def test_a_phone_s_photo_is_served_upright_and_without_its_place(api: Api) -> None:
    ticket = await api.new_ticket()
    file = await checked(api, photo(), ticketId=ticket, internalOnly=False)
    assert (file["state"], file["contentType"], file["width"], file["height"]) == ("READY", "image/jpeg", 40, 60)
    for url in (file["url"], file["thumbnailUrl"]):
        response = await ask(api, "GET", url)
        assert response.headers["content-type"] == "image/jpeg"
        assert decoded(response.content).size == (40, 60)
        assert PLACE.encode() not in response.content and b"Exif" not in response.content
    assert file["size"] == len((await ask(api, "GET", file["url"])).content)


async def test_a_page_that_says_it_is_a_photo_is_never_shown(api: Api) -> None:
    ticket = await api.new_ticket()
    for data in (b"<html><script>alert(1)</script>", b"<svg onload='alert(1)'/>", b"MZ\x90\0" + bytes(100)):
        file = await checked(api, data, ticketId=ticket)
        assert (file["state"], file["contentType"], file["thumbnailUrl"]) == ("READY", "application/octet-stream", None)
        response = await ask(api, "GET", file["url"])
        assert response.content == data
        assert response.headers["content-disposition"].startswith("attachment")
        assert response.headers["content-type"] == "application/octet-stream"
        assert response.headers["x-content-type-options"] == "nosniff"


@pytest.fixture
async def apart(fresh_url: str) -> AsyncIterator[Database]:
    """The database of servers with a folder of their own: the module's server would not find their files."""
    connection = await asyncpg.connect(fresh_url)
    yield connection
    await connection.close()


@pytest.mark.slow
async def test_a_file_is_checked_by_another_server_when_one_is_killed(
    fresh_url: str, tmp_path: Path, apart: Database
) -> None:
    """The first one is killed while it waits for the scanner."""
    settings = {"database_url": fresh_url, "jwt_secret": "s" * 48, "files_url": f"file://{tmp_path}/files"}
    known = Settings(env="production", database_url=fresh_url, jwt_secret="s" * 48, data_dir=tmp_path)
    async with Clamd() as clamd:
        clamd.hangs = True
        with callout_process(tmp_path, **settings, clamd_url=clamd.url) as process:
            async with Api(Server(process.url, known, fresh_url, process)) as api:
                ticket = await api.new_ticket()
                attachment = await upload(api, photo(), ticketId=ticket)
                async with asyncio.timeout(WAIT_SECONDS):
                    await clamd.asked.wait()
                assert (await attached(api, attachment))["state"] == "SCANNING"
            os.kill(process.pid, signal.SIGKILL)
        clamd.hangs = False
        await apart.execute("UPDATE attachments SET due_at = now() WHERE id = $1", key(attachment))
        with callout_process(tmp_path, **settings, clamd_url=clamd.url) as process:
            async with Api(Server(process.url, known, fresh_url, process)) as api:
                async with asyncio.timeout(WAIT_SECONDS):
                    while (await attached(api, attachment, "state"))["state"] != "READY":  # noqa: ASYNC110 (the server does it)
                        await asyncio.sleep(0.05)
    assert await apart.fetchval("SELECT attempts FROM attachments WHERE id = $1", key(attachment)) == 2


@pytest.mark.parametrize("lost", ["unreadable", "missing"])
async def test_a_file_that_cannot_be_read_is_given_up_and_delays_no_other(
    fresh_url: str, tmp_path: Path, apart: Database, lost: str
) -> None:
    """The pauses between the attempts grow. While the whole store is away, nothing counts against a file."""
    files = tmp_path / "files"
    settings = {"database_url": fresh_url, "jwt_secret": "s" * 48, "files_url": f"file://{files}"}
    known = Settings(env="production", database_url=fresh_url, jwt_secret="s" * 48, data_dir=tmp_path)
    paused = "SELECT attempts = 3 AND due_at > now() + interval '1 minute' FROM attachments WHERE id = $1"
    with callout_process(tmp_path, **settings) as process:
        async with Api(Server(process.url, known, fresh_url, process)) as api:
            ticket = await api.new_ticket()
            bad = await attach(api, b"bad " * 50, ticketId=ticket)
            (stored,) = [each for each in files.rglob("*") if each.is_file() and each.stat().st_size == 200]
            stored.unlink()
            if lost == "unreadable":
                stored.symlink_to(stored)  # which can be read no more than a bad block
            again = """UPDATE attachments SET state = 'SCANNING', finished_at = NULL, attempts = $2, due_at = now(),
                created_at = created_at - interval '2 hours' WHERE id = $1"""
            await apart.execute(again, key(bad), 2)
            async with asyncio.timeout(WAIT_SECONDS):
                while not await apart.fetchval(paused, key(bad)):  # noqa: ASYNC110 (the server does it)
                    await asyncio.sleep(0.05)
            assert (await checked(api, b"good", ticketId=ticket))["state"] == "READY"
            await apart.execute("UPDATE attachments SET attempts = 5, due_at = now() WHERE id = $1", key(bad))
            await settled(api, bad)
            found = await attached(api, bad, SELECTION)
            assert (found["state"], found["rejectedBecause"]) == ("REJECTED", "The file could not be checked.")
