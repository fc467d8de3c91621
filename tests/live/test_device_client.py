"""examples/device.py: a device that was offline is in step again, and each of its commands has had one effect or one
reported conflict, whatever happens to the server and to the line."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.helpers.api import Api
from tests.helpers.database_checks import Database
from tests.helpers.devices import (
    EXAMPLE_MODULE,
    PYTHON,
    check_malformed_commands,
    check_offline_work,
    check_under_fire,
    python_device,
    token_of,
)
from tests.helpers.graphql_ws_client import WITHIN
from tests.helpers.process import free_port
from tests.helpers.proxy import Proxy


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


class CuttingWriter:
    """A connection's writer that cuts it once the client has sent so many bytes."""

    def __init__(self, writer: asyncio.StreamWriter, left: int) -> None:
        self._writer, self._left = writer, left

    def __getattr__(self, name: str) -> Any:
        return getattr(self._writer, name)

    def write(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left < 0:
            self._writer.close()
            raise ConnectionResetError
        self._writer.write(data)


async def test_a_photo_that_was_taken_offline_is_uploaded_and_goes_on_where_the_line_was_cut(
    api: Api, technician: str, database: Database, tmp_path: Path
) -> None:
    ticket = await api.new_ticket(technicianId=technician)
    photo = b"\x89PNG\r\n" + os.urandom(3_000_000)
    lefts = [2_200_000, 10_000_000]
    sent = []

    async def connect() -> tuple[asyncio.StreamReader, Any]:
        reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(api.server.url).port)
        return reader, CuttingWriter(writer, lefts[0] if len(lefts) > 1 else lefts[-1])

    async def noted(request: httpx.Request) -> None:
        sent.append((request.method, request.headers.get("upload-offset")))

    line = Proxy(connect)
    async with (
        api.technician(technician) as tess,
        line.running() as port,
        httpx.AsyncClient(timeout=WITHIN, event_hooks={"request": [noted]}) as client,
    ):

        def opened() -> Any:
            return EXAMPLE_MODULE.Device(
                str(tmp_path / "db"), f"http://127.0.0.1:{port}", lambda: token_of(tess), client
            )

        described = {"name": "panel.bin", "contentType": "application/octet-stream", "ticketId": ticket}
        note = opened().do("note", ticketId=ticket, body="See the photo.", internalOnly=False)
        key = opened().attach(photo, noteKey=note, **described)
        with pytest.raises(EXAMPLE_MODULE.NotNow):
            await opened().sync()
        assert (opened().waiting(), opened().uploads()) == ([], [key])  # its description has arrived, and it is kept
        lefts.pop(0)
        await opened().sync()
        assert (opened().waiting(), opened().uploads(), opened().unsettled()) == ([], [], [])
        patches = [offset for method, offset in sent if method == "PATCH"]
        assert patches[0] == "0"
        assert 0 < int(patches[1]) < len(photo)
        sha256 = await database.fetchval("SELECT sha256 FROM attachments WHERE ticket_id = $1::uuid", ticket[4:])
        assert sha256 == hashlib.sha256(photo).digest()

        # One whose upload has expired meanwhile is attached anew; one that the server refuses is the user's to see.
        expired = opened().attach(photo, **described)
        lefts[:] = [2_200_000, 10_000_000]
        with pytest.raises(EXAMPLE_MODULE.NotNow):
            await opened().sync()
        await database.execute("DELETE FROM attachments WHERE state = 'UPLOADING'")
        lefts.pop(0)
        await opened().sync()
        assert await database.fetchval("SELECT count(*) FROM attachments WHERE ticket_id = $1::uuid", ticket[4:]) == 2
        assert expired not in opened().uploads()
        refused = opened().attach(b"", **described)
        await opened().sync()
        ((_, result),) = opened().unsettled()
        assert (result["key"], result["outcome"], opened().uploads()) == (refused, "REJECTED", [refused])
        opened().forget(refused)
        assert opened().uploads() == []


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
