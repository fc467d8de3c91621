"""A daemon that speaks ClamAV's protocol, as far as Callout uses it, and finds EICAR's test file."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Final, Self

# In two halves, so that no scanner takes this file for the test file.
EICAR: Final = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD" + rb"-ANTIVIRUS-TEST-FILE!$H+H*"


class Clamd:
    """Listens at `path`, or at a port of its own, for the length of the block.

    `scanned` has the sizes of the files that it has read, and `asked` is set when it has read one. With `answer`, it
    gives that answer to everything; while it `hangs`, none to files.
    """

    def __init__(self, path: Path | None = None, limit: int = 1 << 25, port: int = 0) -> None:
        self.scanned: list[int] = []
        self.asked = asyncio.Event()
        self.answer: bytes | None = None
        self.hangs = False
        self.url = ""
        self._path = path
        self._limit = limit
        self._port = port

    async def __aenter__(self) -> Self:
        if self._path is not None:
            self._server = await asyncio.start_unix_server(self._serve, self._path)
            self.url = f"unix://{self._path}"
        else:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
            self.url = f"tcp://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *error: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            command = await reader.readuntil(b"\0")
            answer = b"PONG\0" if command == b"zPING\0" else await self._scan(reader)
            writer.write(answer if self.answer is None else self.answer)
            await writer.drain()
        writer.close()

    async def _scan(self, reader: asyncio.StreamReader) -> bytes:
        content = bytearray()
        while size := int.from_bytes(await reader.readexactly(4)):
            if len(content) + size > self._limit:
                return b"INSTREAM size limit exceeded. ERROR\0"
            content += await reader.readexactly(size)
        self.scanned.append(len(content))
        self.asked.set()
        if self.hangs:
            await reader.read()  # until the other side gives up
        return b"stream: Eicar-Signature FOUND\0" if EICAR in content else b"stream: OK\0"
