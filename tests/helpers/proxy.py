"""A TCP proxy that can go silent, and that can add TLS."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from urllib.parse import parse_qs, urlsplit

WORDS = 1_000  # bytes

Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


class Proxy:
    """A proxy that can go silent, as when a phone or a firewall loses track of a connection: existing connections stay
    open but pass no more bytes; new ones work."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._writers: list[asyncio.StreamWriter] = []
        self._first_words: list[bytes] = []
        self._silent: set[int] = set()
        self._held = asyncio.Event()
        self._open = asyncio.Event()
        self._open.set()

    def fall_silent(self, *connections: int) -> None:
        """Silences these connections, by number, or all that exist."""
        self._silent.update(connections or range(len(self._first_words)))

    def hold(self) -> None:
        """From now on, holds back what the server sends until it is released."""
        self._open.clear()
        self._held.clear()

    async def held(self) -> None:
        """Waits until something is held back."""
        await self._held.wait()

    def release(self) -> None:
        self._open.set()

    async def close(self) -> None:
        """Closes all connections; new ones work."""
        for writer in self._writers:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in self._writers), return_exceptions=True)
        self._writers.clear()

    def named(self, name: str) -> list[int]:
        """Returns the numbers of the connections whose first bytes contain this."""
        return [number for number, words in enumerate(self._first_words) if name.encode() in words]

    @asynccontextmanager
    async def running(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
        """A running proxy. With `tls` it speaks TLS to its clients, but not to the server behind it."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=tls)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            await self.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = len(self._first_words)
        self._first_words.append(b"")
        try:
            server_reader, server_writer = await self._connect()
        except OSError:  # as if the proxy did not listen
            writer.close()
            return
        self._writers += [writer, server_writer]
        there = self._pass_on(number, reader, server_writer)
        back = self._pass_on(number, server_reader, writer, self._open)
        await asyncio.gather(there, back)

    async def _pass_on(
        self,
        number: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        gate: asyncio.Event | None = None,
    ) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                self._first_words[number] += data[: WORDS - len(self._first_words[number])]
                if gate is not None and not gate.is_set():
                    self._held.set()
                    await gate.wait()
                if number not in self._silent:
                    writer.write(data)
        if number not in self._silent:
            writer.close()


def connector(url: str) -> Connect:
    parts = urlsplit(url)
    if parts.scheme == "redis":
        return partial(asyncio.open_connection, parts.hostname, parts.port)
    return partial(asyncio.open_unix_connection, f"{parse_qs(parts.query)['host'][0]}/.s.PGSQL.5432")


def through(port: int, url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f"{parts.username or ''}@127.0.0.1:{port}", query="").geturl()
