"""examples/device.py: a device that was offline is in step again, and each of its commands has had one effect or one
reported conflict, whatever happens to the server and to the line."""

from __future__ import annotations

import asyncio
import os
import sys
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.helpers.api import Api
from tests.helpers.database_checks import Database
from tests.helpers.devices import (
    EXAMPLE_MODULE,
    PYTHON,
    check_malformed_commands,
    check_offline_work,
    check_photos,
    check_under_fire,
    python_device,
    token_of,
)
from tests.helpers.graphql_ws_client import WITHIN
from tests.helpers.process import free_port


@pytest.fixture
async def technician(api: Api) -> str:
    return await api.new_technician()


async def test_what_was_done_offline_shows_at_once_and_is_sent_once(
    api: Api, technician: str, database: Database, tmp_path: Path
) -> None:
    await check_offline_work(api, technician, database, partial(python_device, tmp_path))


async def test_a_command_that_the_server_cannot_read_holds_up_no_other(
    api: Api, technician: str, database: Database, tmp_path: Path
) -> None:
    await check_malformed_commands(api, technician, database, partial(python_device, tmp_path))


async def test_a_photo_that_was_taken_offline_is_uploaded_and_goes_on_where_the_line_was_cut(
    api: Api, technician: str, database: Database, tmp_path: Path
) -> None:
    await check_photos(api, technician, database, partial(python_device, tmp_path))


async def test_a_device_says_why_it_cannot_go_on(api: Api, technician: str, tmp_path: Path) -> None:
    """Its queue is kept, whatever the reason."""
    ticket = await api.new_ticket(technicianId=technician)
    async with api.technician(technician) as tess, httpx.AsyncClient() as client:
        away = f"http://127.0.0.1:{free_port()}"
        device = EXAMPLE_MODULE.Device(str(tmp_path / "db"), away, lambda: token_of(tess), client)
        device.do("note", ticketId=ticket, body="Called.")
        with pytest.raises(EXAMPLE_MODULE.NotNow):
            await device.sync()
        again = EXAMPLE_MODULE.Device(str(tmp_path / "db"), api.server.url, lambda: "wrong", client)
        with pytest.raises(EXAMPLE_MODULE.SignedOut):
            await again.sync()
        assert len(again.waiting()) == 1


async def test_the_program_prints_the_copy(api: Api, technician: str, tmp_path: Path) -> None:
    ticket = await api.new_ticket(technicianId=technician, subject="Beeping panel")
    async with api.technician(technician) as tess:
        command = ("note", f"ticketId={ticket}", "body=Called.")
        program = await asyncio.create_subprocess_exec(
            *(sys.executable, PYTHON, api.server.url, tmp_path / "db", *command),
            env=os.environ | {"DEVICE_TOKEN": token_of(tess)},
            stdout=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(WITHIN):
            printed, _ = await program.communicate()
    first, last = printed.decode().splitlines()
    assert (first.endswith(" OPEN Beeping panel"), last) == (True, "0 waiting")


@pytest.mark.slow
async def test_each_command_has_one_effect_or_one_reported_conflict_under_fire(tmp_path: Path, fresh_url: str) -> None:
    await check_under_fire(tmp_path, fresh_url, partial(python_device, tmp_path))
