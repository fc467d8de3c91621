"""Posts JSON over HTTP/1.1 on connections that stay open. Requests are most of what the test processes do, and httpx
takes 1.5 ms of CPU for one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, TypeAlias

import httpx

SECONDS = 30.0

Connection: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Poster:
    """Posts to one URL, which is not encrypted. Raises httpx's errors."""

    def __init__(self, url: httpx.URL) -> None:
        self._host, self._port = url.host, url.port or 80
        authority = url.netloc.decode("ascii")
        self._head = f"POST {url.raw_path.decode('ascii')} HTTP/1.1\r\nhost: {authority}\r\n".encode("ascii")
        self._idle: list[Connection] = []

    async def post(self, body: Any, headers: Mapping[str, str]) -> Any:
        """Returns the JSON of the response, whatever its status."""
        content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        fields = {**headers, "content-type": "application/json", "content-length": str(len(content))}
        fields.pop("accept-encoding", None)
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        async with asyncio.timeout(SECONDS):
            reader, writer = connection = await self._connection()
            try:
                writer.write(self._head + lines.encode("latin-1") + b"\r\n" + content)
                answer, stays = await _response(reader)
            except (OSError, EOFError) as error:
                writer.close()
                raise httpx.RemoteProtocolError(repr(error)) from error
            except BaseException:
                writer.close()
                raise
        if stays:
            self._idle.append(connection)
        else:
            writer.close()
        return json.loads(answer)

    async def _connection(self) -> Connection:
        while self._idle:
            reader, writer = self._idle.pop()
            if not (reader.at_eof() or writer.is_closing()):
                return reader, writer
            writer.close()
        try:
            return await asyncio.open_connection(self._host, self._port)
        except OSError as error:
            raise httpx.ConnectError(str(error)) from error

    def close(self) -> None:
        for _, writer in self._idle:
            writer.close()
        self._idle.clear()

    def __del__(self) -> None:
        """Most viewers' clients are never closed, which asyncio would warn of."""
        with suppress(RuntimeError):  # the event loop is closed
            self.close()


async def _response(reader: asyncio.StreamReader) -> tuple[bytes, bool]:
    """Returns the body, and whether the connection stays open."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if line)
    return await reader.readexactly(int(fields["content-length"])), fields.get("connection") != "close"
