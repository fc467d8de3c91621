"""The object store: the bytes of attached files, in a folder of this machine, or at S3, Google Cloud Storage or Azure.

An *object* is addressed by its contents: its name is their SHA-256, so the same file is stored once. Objects are never
changed. A row of `attachments` may name an object only once it is there for good (`sync`, in a folder), and whoever
deletes one must hold its lock (`resolvers/attachment.py: hold_object`).

An *upload* is a file that arrives in parts, each stored under the offset of its first byte. Nothing else is remembered
of it, so it survives the process, and any server can go on with it. A part is written only if there is none at its
offset: of two writers one gets `Taken`.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import re
import shutil
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, from_url

from db.ids import new_id
from db.private_files import FILE_MODE, make_files_folder

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import ClientConfig, RetryConfig

PIECE: Final = 1024 * 1024
"""The most bytes that are held in memory for one file that is read or written."""

SCHEMES: Final = ("s3", "gs", "az")

# Plain HTTP is used only where the operator has set an endpoint that has it.
_CLIENT: Final[ClientConfig] = {
    "connect_timeout": "5s",
    "timeout": "30s",
    "user_agent": "callout",
    "allow_http": True,
}
_RETRIES: Final[RetryConfig] = {"max_retries": 3, "retry_timeout": timedelta(seconds=15)}
_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_OS_ERROR: Final = re.compile(r"\(os error (\d+)\)")
_DRAFT_AGE: Final = timedelta(days=1)


class StoreError(Exception):
    """The store cannot be used at the moment. Nothing that was acknowledged is lost."""


class StoreFull(StoreError):
    """There is no space left."""


class Missing(StoreError):
    """There is no such object."""


class Taken(Exception):
    """Another writer has written this part."""


class Different(Exception):
    """The contents do not have the digest that was announced."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An object: the SHA-256 of its contents, and its size in bytes."""

    digest: bytes
    size: int


@dataclass(frozen=True, slots=True)
class UploadPart:
    """A part of an upload: the offset of its first byte, and its size in bytes."""

    start: int
    size: int


class ObjectStore:
    """Raises `StoreError` from every method, unless it says more."""

    def __init__(self, url: str | None, folder: Path) -> None:
        """The store at the URL (`s3://bucket/prefix`, `gs://…`, `az://…`, `file:///…`), or without one in the folder.
        The credentials of a cloud come from its usual environment variables. It is opened when it is first used."""
        self._url = url
        if url is None or url.startswith("file:"):
            self._folder: Path | None = folder if url is None else Path(unquote(urlsplit(url).path))
        else:
            self._folder = None

    @property
    def place(self) -> str:
        """Where the objects are, in words for people."""
        if self._folder is not None:
            return f"the folder {self._folder}"
        parts = urlsplit(str(self._url))
        return f"{parts.scheme}://{parts.hostname}{parts.path}"

    async def check(self) -> None:
        """Stores some bytes as an upload, and deletes them."""
        probe = new_id()
        await self.put_part(probe, 0, b"Can files be stored here?")
        await self.drop(probe)

    @cached_property
    def _store(self) -> Any:
        if self._folder is not None:
            make_files_folder(self._folder)
            return LocalStore(prefix=self._folder)
        return from_url(str(self._url), client_options=_CLIENT, retry_config=_RETRIES)

    # Objects

    async def put(self, data: bytes) -> Stored:
        """Stores the contents."""
        digest = hashlib.sha256(data).digest()
        await self._put(_name(digest), data)
        return Stored(digest, len(data))

    async def holds(self, digest: bytes) -> bool:
        return await self._meta(digest) is not None

    async def get(self, digest: bytes) -> bytes:
        """The whole contents, which must be known to be small enough. Raises `Missing`."""
        return b"".join([piece async for piece in self.read(digest)])

    async def read(self, digest: bytes, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """Yields the bytes from `start` up to `end`, exclusive, in pieces. Raises `Missing`, before the first one."""
        async for piece in self._read(_name(digest), start, end):
            yield piece

    async def digests(self, first: int) -> AsyncIterator[list[tuple[bytes, datetime]]]:
        """Yields the digests whose first byte this is, with the times at which they were stored, in batches."""
        with _errors():
            async for page in obstore.list(self._store, prefix=f"objects/{first:02x}", chunk_size=500):
                found = ((meta["path"].rpartition("/")[2], meta["last_modified"]) for meta in page)
                yield [(bytes.fromhex(name), at) for name, at in found if re.fullmatch(r"[0-9a-f]{64}", name)]

    async def size(self, digest: bytes) -> int | None:
        """The size of the object in bytes; None if there is none."""
        meta = await self._meta(digest)
        return None if meta is None else meta["size"]

    async def stored_at(self, digest: bytes) -> datetime | None:
        """When the object was last stored; None if there is none."""
        meta = await self._meta(digest)
        return None if meta is None else meta["last_modified"]

    async def delete(self, digest: bytes) -> None:
        """Deletes the object, if there is one. The caller holds its lock."""
        await self._delete(_name(digest))

    # Uploads

    async def put_part(self, upload: str, start: int, data: bytes) -> None:
        """Stores a part, of at most `PIECE` bytes. Raises `Taken`."""
        await self._put(f"uploads/{upload}/{start:020d}", data, mode="create")

    async def parts(self, upload: str) -> list[UploadPart]:
        """The parts that follow each other from the start of the file."""
        found: list[UploadPart] = []
        with _errors():
            async for page in obstore.list(self._store, prefix=f"uploads/{upload}"):
                found += [UploadPart(int(meta["path"].rpartition("/")[2]), meta["size"]) for meta in page]
        found.sort(key=lambda part: part.start)
        return list(_contiguous(found))

    async def join(self, upload: str, parts: Sequence[UploadPart], digest: bytes) -> None:
        """Stores the parts as the object with this digest. Raises `Different`, and then stores nothing."""
        await self._put(_name(digest), self._joined(upload, parts, digest))

    async def uploads(self) -> list[str]:
        """All uploads that have parts."""
        with _errors():
            listed = await obstore.list_with_delimiter_async(self._store, prefix="uploads")
        return [prefix.rpartition("/")[2] for prefix in listed["common_prefixes"]]

    async def drop(self, upload: str) -> None:
        """Deletes the upload's parts, if there are any."""
        if self._folder is not None:
            # Besides the parts it has what a process that was killed has left.
            with _errors(), suppress(FileNotFoundError):
                await asyncio.to_thread(shutil.rmtree, self._folder / "uploads" / upload)
            return
        with _errors():
            async for page in obstore.list(self._store, prefix=f"uploads/{upload}"):
                await obstore.delete_async(self._store, [meta["path"] for meta in page])

    async def tidy(self) -> None:
        """Deletes what a process that was killed while it stored objects has left in the folder. The clouds do this by
        rules of the bucket for incomplete multipart uploads."""
        if self._folder is not None:
            with _errors():
                await asyncio.to_thread(_delete_drafts, self._folder / "objects")

    # Steps of the methods above

    async def _joined(self, upload: str, parts: Sequence[UploadPart], digest: bytes) -> AsyncIterator[bytes]:
        """Yields the parts. The last piece is yielded only if all have the digest; otherwise the writer, which stores
        nothing before the end, gets `Different`."""
        found = hashlib.sha256()
        held = b""
        for part in parts:
            async for piece in self._read(f"uploads/{upload}/{part.start:020d}", 0, part.size):
                await asyncio.to_thread(found.update, piece)
                if held:
                    yield held
                held = piece
        if found.digest() != digest:
            raise Different
        yield held

    async def _read(self, path: str, start: int, end: int | None) -> AsyncIterator[bytes]:
        if end is not None and end <= start:
            return
        with _errors():
            try:
                options: Any = {"range": {"offset": start} if end is None else (start, end)}
                result = await obstore.get_async(
                    self._store, path, options=options if (start, end) != (0, None) else None
                )
            except FileNotFoundError:
                raise Missing from None
            async for piece in result.stream(min_chunk_size=PIECE):
                yield bytes(piece)

    async def _meta(self, digest: bytes) -> ObjectMeta | None:
        with _errors():
            try:
                return await obstore.head_async(self._store, _name(digest))
            except FileNotFoundError:
                return None

    async def _put(self, path: str, data: bytes | AsyncIterator[bytes], *, mode: Any = "overwrite") -> None:
        with _errors():
            try:
                if isinstance(data, bytes):
                    await obstore.put_async(self._store, path, data, mode=mode, use_multipart=False)
                else:
                    await obstore.put_async(self._store, path, data, chunk_size=5 * PIECE, max_concurrency=1)
            except AlreadyExistsError:
                raise Taken from None
            if self._folder is not None:
                await asyncio.to_thread(_sync, self._folder, path)

    async def _delete(self, path: str) -> None:
        with _errors(), suppress(FileNotFoundError):
            await obstore.delete_async(self._store, path)


def _name(digest: bytes) -> str:
    name = digest.hex()
    return f"objects/{name[:2]}/{name}"


def _contiguous(parts: Sequence[UploadPart]) -> Iterator[UploadPart]:
    reached = 0
    for part in parts:
        if part.start != reached:
            return
        yield part
        reached += part.size


def _sync(folder: Path, path: str) -> None:
    """Writes the file, and the directories on the way to it, to the disk, and closes the file to others."""
    file = folder / path
    file.chmod(FILE_MODE)
    for place in (file, *file.relative_to(folder).parents):
        descriptor = os.open(folder / place, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _delete_drafts(objects: Path) -> None:
    """Deletes old files that never got their name: `object_store` gives them a suffix `#` and a number."""
    old = (datetime.now(UTC) - _DRAFT_AGE).timestamp()
    for draft in objects.glob("*/*#*"):
        with suppress(FileNotFoundError):
            if draft.stat().st_mtime < old:
                draft.unlink()


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except BaseError as error:
        raise _translated(error) from error
    except OSError as error:
        raise (StoreFull if error.errno in _FULL else StoreError)(error.strerror or str(error)) from error


def _translated(error: BaseError) -> StoreError:
    number = _OS_ERROR.search(str(error))
    if number is not None and int(number[1]) in _FULL:
        return StoreFull(os.strerror(int(number[1])))
    return StoreError(_brief(error))


def _brief(error: BaseError) -> str:
    """The first line: those that follow are of the library's insides."""
    return str(error).partition("\n")[0]
