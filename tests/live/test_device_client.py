"""examples/device.py: a device that was offline is in step again, and each of its commands has had one effect or one
reported conflict, whatever happens to the server and to the line."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import random
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import asyncpg
import httpx
import pytest

from tests.helpers.api import Api, Server
from tests.helpers.database_checks import Database
from tests.helpers.graphql_ws_client import WITHIN
from tests.helpers.paths import ROOT
from tests.helpers.process import free_port
from tests.helpers.proxy import Proxy
from tests.helpers.stress import server_of, server_process

EXAMPLE = ROOT / "examples" / "device.py"
SECONDS = 6.0  # under fire
MINE = """{ tickets(filter: {assignee: {me: true}, not: {status: [CLOSED]}}, first: 100) {
  nodes { id version reference subject description status priority resolution } } }"""


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("device", EXAMPLE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


EXAMPLE_MODULE = load()


def token_of(viewer: Api) -> str:
    return str(viewer.http.headers["authorization"]).removeprefix("Bearer ")


@pytest.fixture
async def technician(api: Api) -> str:
    return await api.new_technician()


async def test_what_was_done_offline_shows_at_once_and_is_sent_once(
    api: Api, technician: str, database: Database, tmp_path: Path
) -> None:
    mine, taken = [await api.new_ticket(technicianId=technician) for _ in range(2)]
    async with api.technician(technician) as tess, httpx.AsyncClient() as client:
        device = EXAMPLE_MODULE.Device(str(tmp_path / "db"), api.server.url, lambda: token_of(tess), client)
        await device.sync()
        assert {ticket["id"] for ticket in device.tickets()} == {mine, taken}

        device.do("note", ticketId=mine, body="The battery is flat.")
        device.do("resolve", ticketId=mine, resolution="Replaced the battery.")
        device.do("status", ticketId=taken, status="IN_PROGRESS")
        shown = {ticket["id"]: ticket["status"] for ticket in device.tickets()}
        assert shown == {mine: "RESOLVED", taken: "IN_PROGRESS"}
        await api.done("ticketResolve", "__typename", ticketId=taken, resolution="By phone.")

        await device.sync()
        assert device.waiting() == []
        ((command, result),) = device.unsettled()
        assert (command["status"]["ticketId"], result["outcome"]) == (taken, "CONFLICT")
        assert result["conflicts"] == ["status", "resolution"]
        device.forget(command["status"]["key"])
        assert device.unsettled() == []
        assert device.tickets() == sorted((await tess(MINE))["tickets"]["nodes"], key=lambda ticket: ticket["id"])
        assert await database.fetchval("SELECT count(*) FROM notes WHERE ticket_id = $1::uuid", mine[4:]) == 1

        await device.sync()  # nothing is left to do
        await api.done("ticketAssign", "__typename", ticketId=mine, technicianId=None)
        await device.sync()
        assert [ticket["id"] for ticket in device.tickets()] == [taken]


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
            *(sys.executable, EXAMPLE, api.server.url, tmp_path / "db", *command),
            env=os.environ | {"DEVICE_TOKEN": token_of(tess)},
            stdout=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(WITHIN):
            printed, _ = await program.communicate()
    first, last = printed.decode().splitlines()
    assert (first.endswith(" OPEN Beeping panel"), last) == (True, "0 waiting")


# Under fire


@dataclass
class Phone:
    """A device behind a line of its own. `keys` has the key of each command that it was given, by its kind."""

    device: Any
    line: Proxy
    keys: dict[str, str]

    async def run(self, tickets: Sequence[str], until: Callable[[], bool]) -> None:
        while not until():
            kind = random.choice(("note", "status", "resolve"))
            given = {"body": "Called."} if kind == "note" else {"status": random.choice(("OPEN", "IN_PROGRESS"))}
            if kind == "resolve":
                given = {"resolution": "Done."}
            self.keys[self.device.do(kind, ticketId=random.choice(tickets), **given)] = kind
            if random.random() < 0.5:
                await self.try_once()

    async def try_once(self) -> bool:
        try:
            await self.device.sync()
        except EXAMPLE_MODULE.NotNow:
            await asyncio.sleep(0.05)
            return False
        return True

    async def cut(self, until: Callable[[], bool]) -> None:
        """Cuts the line now and then, wherever a request is."""
        while not until():
            await asyncio.sleep(random.uniform(0.0, 0.3))
            await self.line.close()


@pytest.mark.slow
async def test_each_command_has_one_effect_or_one_reported_conflict_under_fire(tmp_path: Path, fresh_url: str) -> None:
    """Two devices of one technician and one of another work on the same tickets. Their lines are cut again and again,
    and their server is killed with kill -9 and comes back."""
    port = free_port()
    with ExitStack() as processes:

        def start() -> Server:
            return server_of(processes.enter_context(server_process(tmp_path, fresh_url, port=str(port))), fresh_url)

        server = await asyncio.to_thread(start)
        async with Api(server) as boss, AsyncExitStack() as stack:
            technicians = [await boss.new_technician() for _ in range(2)]
            tickets = {each: [await boss.new_ticket(technicianId=each) for _ in range(3)] for each in technicians}
            phones = []
            for number, technician in enumerate((technicians[0], technicians[0], technicians[1])):
                line = Proxy(partial(asyncio.open_connection, "127.0.0.1", port))
                url = f"http://127.0.0.1:{await stack.enter_async_context(line.running())}"
                viewer = await stack.enter_async_context(boss.technician(technician))
                client = await stack.enter_async_context(httpx.AsyncClient(timeout=WITHIN))
                device = EXAMPLE_MODULE.Device(str(tmp_path / f"{number}.db"), url, partial(token_of, viewer), client)
                phones.append((Phone(device, line, {}), viewer, technician))
            ended = asyncio.Event()

            async def disturb() -> None:
                running = server
                for _ in range(2):
                    await asyncio.sleep(SECONDS / 3)
                    assert running.process is not None
                    os.kill(running.process.pid, signal.SIGKILL)
                    running = await asyncio.to_thread(start)
                await asyncio.sleep(SECONDS / 3)
                ended.set()

            async with asyncio.TaskGroup() as group:
                group.create_task(disturb())
                for phone, _, technician in phones:
                    group.create_task(phone.run(tickets[technician], ended.is_set))
                    group.create_task(phone.cut(ended.is_set))
            async with asyncio.timeout(3 * WITHIN):
                for phone, _, _ in phones:
                    while not await phone.try_once():
                        """Its line is whole now, but may have been cut just before."""
                for phone, viewer, _ in phones:  # what another device has changed since
                    assert await phone.try_once()
                    listed = (await viewer(MINE))["tickets"]["nodes"]
                    assert phone.device.tickets() == sorted(listed, key=lambda ticket: ticket["id"])
            await _check_effects([phone for phone, _, _ in phones], fresh_url)


async def _check_effects(phones: Sequence[Phone], url: str) -> None:
    database = await asyncpg.connect(url)
    rows = await database.fetch("SELECT idempotency_key FROM ticket_events WHERE idempotency_key IS NOT NULL")
    await database.close()
    written = [row["idempotency_key"] for row in rows]
    assert len(written) == len(set(written))
    reported: set[str] = set()
    notes: set[str] = set()
    for phone in phones:
        assert phone.device.waiting() == []
        results = {result["key"]: result for _, result in phone.device.unsettled()}
        assert all(phone.keys[key] != "note" for key in results), "a note is never in conflict"
        reported |= results.keys()
        notes |= {key for key, kind in phone.keys.items() if kind == "note"}
    keys = {key for phone in phones for key in phone.keys}
    assert len(notes) > 20 and notes <= set(written)
    assert reported.isdisjoint(written)
    # A status that the ticket has already is no change, so it has no event.
    assert set(written) <= keys
