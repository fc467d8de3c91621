"""examples/device.ts under Node, with an IndexedDB in memory: it behaves like examples/device.py. Its types are checked
strictly. `make test-node` runs these tests, and installs what they need."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import pytest

from tests.helpers.api import Api
from tests.helpers.database_checks import Database
from tests.helpers.devices import (
    EXAMPLE_MODULE,
    check_malformed_commands,
    check_offline_work,
    check_photos,
    check_under_fire,
    compile_device,
    needs_compiler,
    node_device,
    token_of,
)
from tests.helpers.node_client import script
from tests.helpers.process import free_port

pytestmark = needs_compiler


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("device")
    asyncio.run(compile_device(directory))
    (directory / "package.json").write_text('{"type": "module"}')
    return script(directory, "device.mjs")


@pytest.fixture
async def technician(api: Api) -> str:
    return await api.new_technician()


async def test_what_was_done_offline_shows_at_once_and_is_sent_once(
    api: Api, technician: str, database: Database, program: Path
) -> None:
    await check_offline_work(api, technician, database, partial(node_device, program))


async def test_a_command_that_the_server_cannot_read_holds_up_no_other(
    api: Api, technician: str, database: Database, program: Path
) -> None:
    await check_malformed_commands(api, technician, database, partial(node_device, program))


async def test_a_photo_that_was_taken_offline_is_uploaded_and_goes_on_where_the_line_was_cut(
    api: Api, technician: str, database: Database, program: Path
) -> None:
    await check_photos(api, technician, database, partial(node_device, program))


async def test_a_device_says_why_it_cannot_go_on(api: Api, technician: str, program: Path) -> None:
    """Its queue is kept, whatever the reason."""
    ticket = await api.new_ticket(technicianId=technician)
    async with api.technician(technician) as tess:
        async with node_device(program, "away", f"http://127.0.0.1:{free_port()}", token_of(tess)) as device:
            await device.do("note", ticketId=ticket, body="Called.")
            with pytest.raises(EXAMPLE_MODULE.NotNow):
                await device.sync()
            assert len(await device.waiting()) == 1
        async with node_device(program, "signed out", api.server.url, "wrong") as device:
            await device.do("note", ticketId=ticket, body="Called.")
            with pytest.raises(EXAMPLE_MODULE.SignedOut):
                await device.sync()
            assert len(await device.waiting()) == 1


async def test_a_reset_makes_it_read_the_list_anew(api: Api, technician: str, program: Path) -> None:
    gone, mine = [await api.new_ticket(technicianId=technician) for _ in range(2)]
    async with (
        api.technician(technician) as tess,
        node_device(program, "reset", api.server.url, token_of(tess)) as device,
    ):
        await device.sync()
        await api.done("ticketAssign", "__typename", ticketId=gone, technicianId=None)
        await device.set_cursor("of another database")
        await device.sync()
        assert [ticket["id"] for ticket in await device.tickets()] == [mine]
        await api.done("ticketAssign", "__typename", ticketId=mine, technicianId=None)
        await device.sync()  # from the list's cursor
        assert await device.tickets() == []


@pytest.mark.slow
async def test_each_command_has_one_effect_or_one_reported_conflict_under_fire(
    tmp_path: Path, fresh_url: str, program: Path
) -> None:
    await check_under_fire(tmp_path, fresh_url, partial(node_device, program))
