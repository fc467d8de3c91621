"""Processes photos, each in a process of its own that has little memory, little time, and nothing of this one's."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from callout.files.content_type import PHOTOS

SECONDS: Final = 60.0  # for one photo
OUTPUT_MAX: Final = 64 * 1024 * 1024  # bytes of a processed photo
UNPROCESSABLE: Final = "The image could not be processed: it takes too much memory or time, or is damaged."

PROGRAM: Final = Path(__file__).with_name("photo_program.py")  # not imported: decoders stay out of this process
_HEADER_MAX: Final = 1_000  # bytes


@dataclass(frozen=True, slots=True)
class Photo:
    """A processed photo: upright, without metadata. `width` and `height` are in pixels; the thumbnail is a JPEG."""

    content_type: str
    width: int
    height: int
    data: bytes
    thumbnail: bytes


class UnfitPhoto(Exception):
    """The photo cannot be shown. The message is a sentence that says why."""


async def processed(data: bytes, content_type: str) -> Photo:
    """Process a photo whose type is one of `PHOTOS`. Raises `UnfitPhoto`; or `OSError`, if no process can be started
    here at the moment."""
    # -I: no environment variable and no file of the working directory changes what it imports. And the environment is
    # empty, because ours has secrets.
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", str(PROGRAM), content_type, str(OUTPUT_MAX),
        stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env={}, cwd="/",
    )  # fmt: skip
    try:
        async with asyncio.timeout(SECONDS):
            _, output = await asyncio.gather(_write(process, data), _read(process))
            await process.wait()
    except TimeoutError:
        raise UnfitPhoto(UNPROCESSABLE) from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return _photo(output)


async def _write(process: Process, data: bytes) -> None:
    assert process.stdin is not None
    process.stdin.write(data)
    try:
        await process.stdin.drain()
        process.stdin.close()
    except ConnectionError:  # it has ended without reading everything, and its output says why
        return


async def _read(process: Process) -> bytes:
    """All that the process writes, or more than the maximum of it."""
    assert process.stdout is not None
    output = bytearray()
    while len(output) <= _HEADER_MAX + 2 * OUTPUT_MAX:
        chunk = await process.stdout.read(1 << 20)
        if not chunk:
            break
        output += chunk
    else:
        process.kill()
    return bytes(output)


def _photo(output: bytes) -> Photo:
    line, _, parts = output.partition(b"\n")
    try:
        header = orjson.loads(line)
        if "refused" in header:
            raise UnfitPhoto(str(header["refused"])[:_HEADER_MAX])
        end = int(header["photo"])
        photo, thumbnail = parts[:end], parts[end:]
        made = Photo(header["type"], int(header["width"]), int(header["height"]), photo, thumbnail)
        if made.content_type not in PHOTOS or min(made.width, made.height) < 1 or len(thumbnail) != header["thumbnail"]:
            raise UnfitPhoto(UNPROCESSABLE)
        return made
    except (ValueError, LookupError, TypeError):  # killed, or crashed
        raise UnfitPhoto(UNPROCESSABLE) from None
