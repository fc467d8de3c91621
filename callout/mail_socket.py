"""The socket on which a server receives the messages that `callout mail-in` hands over (`callout/mail_hand_over.py`).

Only its owner can connect: whoever can may write any message, as with the command itself.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from callout.mail_hand_over import ANSWER_MAX, EX_TEMPFAIL
from callout.mail_in import EXPECTED, line_of
from callout.settings import variable
from db.errors import Failure
from db.limits import MAIL_BYTES_MAX
from resolvers.inbound import receive
from resolvers.mutation import Call

logger = logging.getLogger(__name__)

AT_A_TIME: Final = 4
"""Messages are received at a time, of `MAIL_BYTES_MAX` each; the others wait."""

READING_SECONDS: Final = 60.0
_LENGTH_MAX: Final = 20  # bytes of the line with the length


class NoMailSocket(Failure):
    """The socket cannot be made."""


@asynccontextmanager
async def mail_received(path: Path | None, call: Call, ring: Callable[[], None]) -> AsyncIterator[None]:
    """Receives the messages that are handed over at `path`, if it is given, for the length of the block. `ring` rings
    the bell. Raises `NoMailSocket`.

    Of several server processes the last to start takes the path; `callout mail-in` does without if that one has just
    ended."""
    if path is None:
        yield
        return
    listener, identity = _listen(path)
    slots = asyncio.Semaphore(AT_A_TIME)

    async def receive_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with slots:
                answer = await _answer(call, reader)
            if answer is not None:
                ring()
                writer.write(answer)
                await writer.drain()
        except OSError:
            pass  # the client is gone; its mail server tries again
        finally:
            writer.close()

    server = await asyncio.start_unix_server(receive_one, sock=listener)
    try:
        yield
    finally:
        _remove(path, identity)
        server.close()


def _listen(path: Path) -> tuple[socket.socket, tuple[int, int]]:
    """Listens at the path, in the place of what listens there, and returns the file's identity. The socket gets its
    name when it is complete, so that there is one at all times."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    listener = socket.socket(socket.AF_UNIX)
    try:
        draft.unlink(missing_ok=True)
        listener.bind(str(draft))
        draft.chmod(0o600)
        listener.listen(100)
        draft.replace(path)
        return listener, _identity(path)
    except OSError as error:
        listener.close()
        problem = error.strerror or str(error)
        raise NoMailSocket(f"cannot listen at {path}, the {variable('mail_socket')}: {problem}.") from error


def _remove(path: Path, identity: tuple[int, int]) -> None:
    """Removes the socket, unless another server has taken its place."""
    with suppress(OSError):
        if _identity(path) == identity:
            path.unlink()


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


async def _answer(call: Call, reader: asyncio.StreamReader) -> bytes | None:
    """Receives a message and returns the answer, or None if it has not arrived whole."""
    try:
        async with asyncio.timeout(READING_SECONDS):
            raw = await _read(reader)
    except (ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
        return None
    try:
        line = f"0 {await line_of(call.database, await receive(call, raw))}"
    except Exception as error:
        if not isinstance(error, EXPECTED):
            logger.exception("a message could not be received")
        line = f"{EX_TEMPFAIL} {error or type(error).__name__}"
    return " ".join(line.split()).encode()[: ANSWER_MAX - 1] + b"\n"


async def _read(reader: asyncio.StreamReader) -> bytes:
    """Raises `ValueError`, `IncompleteReadError`."""
    length = int(await reader.readuntil(b"\n"))
    if not 0 <= length <= MAIL_BYTES_MAX + 1:
        raise ValueError(length)
    return await reader.readexactly(length)
