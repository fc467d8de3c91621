"""The device clients of the examples, and what each of them has to withstand."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import json
import os
import random
import re
import shutil
import signal
from abc import ABC, abstractmethod
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from inspect import isawaitable
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import asyncpg
import httpx
import pytest

from tests.helpers.api import Api, Server
from tests.helpers.database_checks import Database
from tests.helpers.graphql_ws_client import WITHIN
from tests.helpers.node_client import MODULES
from tests.helpers.paths import ROOT
from tests.helpers.process import free_port
from tests.helpers.proxy import Proxy
from tests.helpers.stress import server_of, server_process

PYTHON = ROOT / "examples" / "device.py"
TYPESCRIPT = ROOT / "examples" / "device.ts"
STRICT = (
    *("--strict", "--noUncheckedIndexedAccess", "--erasableSyntaxOnly", "--noUnusedLocals", "--noUnusedParameters"),
    *("--target", "es2022", "--module", "esnext", "--lib", "es2022,dom,dom.iterable"),
)
SECONDS = 6.0  # under fire
MINE = """{ tickets(filter: {assignee: {me: true}, not: {status: [CLOSED]}}, first: 100) {
  nodes { id version reference subject description status priority resolution } } }"""


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("device", PYTHON)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


EXAMPLE_MODULE = load()

needs_compiler = pytest.mark.skipif(
    shutil.which("node") is None or not all((MODULES / name).exists() for name in ("typescript", "fake-indexeddb")),
    reason="needs Node and what `make test-node` installs",
)


class Device(ABC):
    """A device of either example. Its errors are those of `EXAMPLE_MODULE`."""

    async def do(self, kind: str, **command: Any) -> str:
        return str(await self._call("do", kind, **command))

    async def attach(self, data: bytes, **command: Any) -> str:
        return str(await self._call("attach", data, **command))

    async def tickets(self) -> list[dict[str, Any]]:
        return list(await self._call("tickets"))

    async def waiting(self) -> list[Any]:
        return list(await self._call("waiting"))

    async def unsettled(self) -> list[Sequence[dict[str, Any]]]:
        """Returns pairs: a command, and its result."""
        return list(await self._call("unsettled"))

    async def forget(self, key: str) -> None:
        await self._call("forget", key)

    async def sync(self) -> None:
        await self._call("sync")

    @abstractmethod
    async def _call(self, method: str, *arguments: str | bytes, **command: Any) -> Any: ...


OpenDevice = Callable[[str, str, str], AbstractAsyncContextManager[Device]]
"""Opens the device with this name, for the server at this address, with this token."""


class PythonDevice(Device):
    def __init__(self, device: Any) -> None:
        self._device = device

    async def _call(self, method: str, *arguments: str | bytes, **command: Any) -> Any:
        answer = getattr(self._device, method)(*arguments, **command)
        return await answer if isawaitable(answer) else answer


@asynccontextmanager
async def python_device(directory: Path, name: str, url: str, token: str) -> AsyncIterator[Device]:
    async with httpx.AsyncClient(timeout=WITHIN) as client:
        yield PythonDevice(EXAMPLE_MODULE.Device(str(directory / name), url, lambda: token, client))


class NodeDevice(Device):
    """A device in a process of its own, which `tests/node/device.mjs` runs. It takes one call at a time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def set_cursor(self, cursor: str) -> None:
        await self._call("setCursor", cursor)

    async def _call(self, method: str, *arguments: str | bytes, **command: Any) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        texts = [b64encode(each).decode() if isinstance(each, bytes) else each for each in arguments]
        call = [method, *texts, *([command] if command else [])]
        self._process.stdin.write(json.dumps(call).encode() + b"\n")
        async with asyncio.timeout(3 * WITHIN):
            line = await self._process.stdout.readline()
        assert line, "the device's process has ended"
        answer = json.loads(line)
        if "error" in answer:
            raise getattr(EXAMPLE_MODULE, answer["error"], AssertionError)(answer["message"])
        return answer["result"]


@asynccontextmanager
async def node_device(script: Path, name: str, url: str, token: str) -> AsyncIterator[NodeDevice]:
    """A device of the script `device.mjs`, beside what `compile_device` has made."""
    options = json.dumps({"name": name, "url": url, "token": token})
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec("node", script, options, stdin=pipe, stdout=pipe, limit=2**22)
    try:
        yield NodeDevice(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def compile_device(directory: Path) -> None:
    """Checks the types of `examples/device.ts`, strictly, and compiles it to a module in this directory."""
    compiler = MODULES / "typescript" / "bin" / "tsc"
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *("node", compiler, *STRICT, "--outDir", directory, TYPESCRIPT), stdout=pipe, cwd=directory
    )
    printed, _ = await process.communicate()
    assert process.returncode == 0, printed.decode()


def token_of(viewer: Api) -> str:
    return str(viewer.http.headers["authorization"]).removeprefix("Bearer ")


async def check_offline_work(api: Api, technician: str, database: Database, open_device: OpenDevice) -> None:
    """What was done offline shows at once, and is sent once."""
    mine, taken = [await api.new_ticket(technicianId=technician) for _ in range(2)]
    async with (
        api.technician(technician) as tess,
        open_device("phone", api.server.url, token_of(tess)) as device,
    ):
        await device.sync()
        assert {ticket["id"] for ticket in await device.tickets()} == {mine, taken}

        await device.do("note", ticketId=mine, body="The battery is flat.")
        await device.do("resolve", ticketId=mine, resolution="Replaced the battery.")
        await device.do("status", ticketId=taken, status="IN_PROGRESS")
        shown = {ticket["id"]: ticket["status"] for ticket in await device.tickets()}
        assert shown == {mine: "RESOLVED", taken: "IN_PROGRESS"}
        await api.done("ticketResolve", "__typename", ticketId=taken, resolution="By phone.")

        await device.sync()
        assert await device.waiting() == []
        ((command, result),) = await device.unsettled()
        assert (command["status"]["ticketId"], result["outcome"]) == (taken, "CONFLICT")
        assert result["conflicts"] == ["status", "resolution"]
        await device.forget(command["status"]["key"])
        assert await device.unsettled() == []
        listed = (await tess(MINE))["tickets"]["nodes"]
        assert await device.tickets() == sorted(listed, key=lambda ticket: ticket["id"])
        assert await database.fetchval("SELECT count(*) FROM notes WHERE ticket_id = $1::uuid", mine[4:]) == 1

        await device.sync()  # nothing is left to do
        await api.done("ticketAssign", "__typename", ticketId=mine, technicianId=None)
        await device.sync()
        assert [ticket["id"] for ticket in await device.tickets()] == [taken]


class Cut:
    """A connection's writer that cuts it once the client has sent more than `left` bytes over all of them. `offsets`
    has those from which the client has uploaded."""

    left, sent = 0, 0
    offsets: ClassVar[list[int]] = []

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._writer, name)

    def write(self, data: bytes) -> None:
        if Cut.sent + len(data) > Cut.left:
            self._writer.close()
            raise ConnectionResetError
        Cut.sent += len(data)
        Cut.offsets += map(int, re.findall(rb"\r\nupload-offset: (\d+)\r\n", data.lower()))
        self._writer.write(data)

    @classmethod
    def after(cls, left: int) -> None:
        cls.left, cls.sent, cls.offsets = left, 0, []


async def in_step(device: Device) -> None:
    """Tries until nothing waits: the server may be busy with what was cut off, and an upload may begin anew."""
    async with asyncio.timeout(WITHIN):
        while await device.waiting():
            try:
                await device.sync()
            except EXAMPLE_MODULE.NotNow:
                await asyncio.sleep(0.05)


async def check_photos(api: Api, technician: str, database: Database, open_device: OpenDevice) -> None:
    """A photo that was taken offline is uploaded, and the upload goes on where the line was cut. One that has expired
    is attached anew; one that the server refuses is the user's to see."""
    ticket = await api.new_ticket(technicianId=technician)
    photo = b"\x89PNG\r\n" + os.urandom(3_000_000)
    Cut.after(2_200_000)

    async def connect() -> tuple[asyncio.StreamReader, Any]:
        reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(api.server.url).port)
        return reader, Cut(writer)

    line = Proxy(connect)
    async with (
        api.technician(technician) as tess,
        line.running() as port,
        open_device("camera", f"http://127.0.0.1:{port}", token_of(tess)) as device,
    ):
        described = {"name": "panel.bin", "contentType": "application/octet-stream", "ticketId": ticket}
        note = await device.do("note", ticketId=ticket, body="See the photo.", internalOnly=False)
        await device.attach(photo, noteKey=note, **described)
        with pytest.raises(EXAMPLE_MODULE.NotNow):
            await device.sync()
        assert len(await device.waiting()) == 1  # the file: its description and the note have arrived
        Cut.after(20_000_000)
        await in_step(device)
        assert (await device.waiting(), await device.unsettled()) == ([], [])
        assert 0 not in Cut.offsets
        sha256 = await database.fetchval("SELECT sha256 FROM attachments WHERE ticket_id = $1::uuid", ticket[4:])
        assert sha256 == hashlib.sha256(photo).digest()

        await device.attach(photo, **described)
        Cut.after(2_200_000)
        with pytest.raises(EXAMPLE_MODULE.NotNow):
            await device.sync()
        await database.execute("DELETE FROM attachments WHERE state = 'UPLOADING'")
        Cut.after(20_000_000)
        await in_step(device)
        arrived = "SELECT count(*) FROM attachments WHERE ticket_id = $1::uuid AND state <> 'UPLOADING'"
        assert (await device.waiting(), await database.fetchval(arrived, ticket[4:])) == ([], 2)

        refused = await device.attach(b"", **described)
        await device.sync()
        ((_, result),) = await device.unsettled()
        assert (result["key"], result["outcome"], await device.waiting()) == (refused, "REJECTED", [])


async def check_malformed_commands(api: Api, technician: str, database: Database, open_device: OpenDevice) -> None:
    """Commands that the server cannot read are set aside with the reason, and hold up none of the others."""
    ticket = await api.new_ticket(technicianId=technician)
    async with (
        api.technician(technician) as tess,
        open_device("malformed", api.server.url, token_of(tess)) as device,
    ):
        bodies = [f"Note {number}." for number in range(5)]
        malformed = [await device.do("note", ticketId=ticket, body=7)]
        for body in bodies:
            await device.do("note", ticketId=ticket, body=body)
        malformed.append(await device.do("status", ticketId=ticket, status="NEARLY"))
        malformed.append(await device.do("note", ticketId=ticket, body="x" * 1_500_000))
        await device.sync()
        assert await device.waiting() == []
        results = [result for _, result in await device.unsettled()]
        assert [(result["key"], result["outcome"]) for result in results] == [(key, "REJECTED") for key in malformed]
        assert all(result["userErrors"][0]["message"] for result in results)
        rows = await database.fetch("SELECT body FROM notes WHERE ticket_id = $1::uuid ORDER BY created_at", ticket[4:])
        assert [row["body"] for row in rows] == bodies
        assert [each["id"] for each in await device.tickets()] == [ticket]


@dataclass
class Phone:
    """A device behind a line of its own. `keys` has the key of each command that it was given, by its kind."""

    device: Device
    line: Proxy
    keys: dict[str, str]

    async def run(self, tickets: Sequence[str], until: Callable[[], bool]) -> None:
        while not until():
            kind = random.choice(("note", "status", "resolve"))
            given = {"body": "Called."} if kind == "note" else {"status": random.choice(("OPEN", "IN_PROGRESS"))}
            if kind == "resolve":
                given = {"resolution": "Done."}
            self.keys[await self.device.do(kind, ticketId=random.choice(tickets), **given)] = kind
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


async def check_under_fire(directory: Path, url: str, open_device: OpenDevice) -> None:
    """Two devices of one technician and one of another work on the same tickets. Their lines are cut again and again,
    and their server, on the database at `url`, is killed with kill -9 and comes back."""
    port = free_port()
    with ExitStack() as processes:

        def start() -> Server:
            return server_of(processes.enter_context(server_process(directory, url, port=str(port))), url)

        server = await asyncio.to_thread(start)
        async with Api(server) as boss, AsyncExitStack() as stack:
            technicians = [await boss.new_technician() for _ in range(2)]
            tickets = {each: [await boss.new_ticket(technicianId=each) for _ in range(3)] for each in technicians}
            phones = []
            for number, technician in enumerate((technicians[0], technicians[0], technicians[1])):
                line = Proxy(partial(asyncio.open_connection, "127.0.0.1", port))
                address = f"http://127.0.0.1:{await stack.enter_async_context(line.running())}"
                viewer = await stack.enter_async_context(boss.technician(technician))
                opening = open_device(f"phone {number}", address, token_of(viewer))
                phones.append((Phone(await stack.enter_async_context(opening), line, {}), viewer, technician))
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
                    assert await phone.device.tickets() == sorted(listed, key=lambda ticket: ticket["id"])
            await _check_effects([phone for phone, _, _ in phones], url)


async def _check_effects(phones: Sequence[Phone], url: str) -> None:
    database = await asyncpg.connect(url)
    rows = await database.fetch("SELECT idempotency_key FROM ticket_events WHERE idempotency_key IS NOT NULL")
    await database.close()
    written = [row["idempotency_key"] for row in rows]
    assert len(written) == len(set(written))
    reported: set[str] = set()
    notes: set[str] = set()
    for phone in phones:
        assert await phone.device.waiting() == []
        results = {result["key"]: result for _, result in await phone.device.unsettled()}
        assert all(phone.keys[key] != "note" for key in results), "a note is never in conflict"
        reported |= results.keys()
        notes |= {key for key, kind in phone.keys.items() if kind == "note"}
    keys = {key for phone in phones for key in phone.keys}
    assert len(notes) > 20 and notes <= set(written)
    assert reported.isdisjoint(written)
    # A status that the ticket has already is no change, so it has no event.
    assert set(written) <= keys
