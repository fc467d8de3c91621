"""Uploads by the clients of the tus protocol, which are cut off again and again, and whose server is killed. The
JavaScript client runs under Node; `make test-node` installs it."""

from __future__ import annotations

import asyncio
import io
import json
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from tusclient.client import TusClient

from callout.settings import Settings
from tests.helpers.api import Api, Server
from tests.helpers.attached_files import announce, ask, checked, reached, url_of
from tests.helpers.paths import ROOT
from tests.helpers.process import callout_process, free_port

MODULES = Path(sys.prefix) / "node" / "node_modules"
DRIVER = ROOT / "tests" / "node" / "upload.mjs"

SIZE = 3 * 2**20
CUT_AFTER = 300_000  # bytes of a connection
WITHIN = 60.0  # seconds, after which a waiting test fails

Client = Callable[[str, Path], Coroutine[Any, Any, None]]


async def tuspy(url: str, file: Path) -> None:
    """Uploads the file by tuspy, which runs in a thread."""

    def upload() -> None:
        stream = io.BytesIO(file.read_bytes())  # it leaves files open
        TusClient("").uploader(file_stream=stream, url=url, retries=1_000, retry_delay=0.1).upload()

    await asyncio.to_thread(upload)


async def tus_js_client(url: str, file: Path) -> None:
    """Uploads the file by tus-js-client, which needs its modules beside the script."""
    script = Path(shutil.copy(DRIVER, file.parent))
    (file.parent / "node_modules").symlink_to(MODULES)
    options = json.dumps({"url": url, "path": str(file)})
    process = await asyncio.create_subprocess_exec("node", script, options, stderr=asyncio.subprocess.PIPE)
    _, said = await process.communicate()
    assert process.returncode == 0, said.decode()


@asynccontextmanager
async def cutting_proxy(port: int) -> AsyncIterator[int]:
    """A proxy in front of a port that ends each connection when so many bytes have come from the client."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            there, onwards = await asyncio.open_connection("127.0.0.1", port)
            answering = asyncio.create_task(pass_on(there, writer, sys.maxsize))
            await pass_on(reader, onwards, CUT_AFTER)
            await answering
        writer.close()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: int) -> None:
        with suppress(ConnectionError):
            while left and (data := await reader.read(min(left, 65_536))):
                left -= len(data)
                writer.write(data)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@pytest.mark.parametrize(
    "client",
    [
        tuspy,
        pytest.param(
            tus_js_client,
            marks=pytest.mark.skipif(
                shutil.which("node") is None or not (MODULES / "tus-js-client").exists(),
                reason="needs Node and the client that `make test-node` installs",
            ),
        ),
    ],
)
async def test_an_upload_goes_on_wherever_it_was_cut_off(database_url: str, tmp_path: Path, client: Client) -> None:
    data, port = os.urandom(SIZE), free_port()
    file = tmp_path / "photo.jpg"
    file.write_bytes(data)
    settings = {"database_url": database_url, "jwt_secret": "s" * 48}
    known = Settings(env="production", data_dir=tmp_path, database_url=database_url, jwt_secret="s" * 48)
    async with cutting_proxy(port) as front:
        with callout_process(tmp_path, port=str(port), **settings) as process:
            async with Api(Server(process.url, known, database_url, process)) as api:
                attachment, url = await announce(api, data, ticketId=await api.new_ticket())
                uploading = asyncio.create_task(client(f"http://127.0.0.1:{front}{url}", file))
                async with asyncio.timeout(WITHIN):
                    while True:
                        if await reached(api, url) >= 2**20 or uploading.done():
                            break
                        await asyncio.sleep(0.02)
                for child in psutil.Process(process.pid).children(recursive=True):
                    child.kill()
                os.kill(process.pid, signal.SIGKILL)
        with callout_process(tmp_path, port=str(port), **settings) as process:
            async with Api(Server(process.url, known, database_url, process)) as api, asyncio.timeout(WITHIN):
                await uploading
                assert await checked(api, attachment) == "READY"
                assert (await ask(api, "GET", await url_of(api, attachment))).content == data
