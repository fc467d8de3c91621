"""The object store, in a folder and at a server that speaks S3's protocol."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from db.ids import new_id
from db.object_store import PIECE, Different, Missing, ObjectStore, StoreError, StoreFull, Taken, UploadPart
from tests.helpers.s3_server import s3_server


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    with s3_server("callout-files") as url:
        yield url


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "folder":
        return ObjectStore(None, tmp_path)
    return ObjectStore(f"{request.getfixturevalue('s3')}/{new_id()}", tmp_path)


async def pieces(store: ObjectStore, digest: bytes, start: int = 0, end: int | None = None) -> bytes:
    return b"".join([piece async for piece in store.read(digest, start, end)])


async def test_an_object_is_stored_by_its_contents(store: ObjectStore) -> None:
    data = os.urandom(3 * PIECE + 1)
    before = datetime.now(UTC) - timedelta(seconds=5)
    stored = await store.put(data)
    assert (stored.digest, stored.size) == (hashlib.sha256(data).digest(), len(data))
    assert await store.put(data) == stored
    assert await store.get(stored.digest) == data
    assert await pieces(store, stored.digest, 5, 9) == data[5:9]
    assert await pieces(store, stored.digest, 2 * PIECE) == data[2 * PIECE :]
    assert await pieces(store, stored.digest, 5, 5) == b""
    assert await store.size(stored.digest) == len(data)
    ((digest, at),) = [each async for batch in store.digests(stored.digest[0]) for each in batch]
    assert digest == stored.digest and at == await store.stored_at(digest) and at >= before
    await store.delete(stored.digest)
    await store.delete(stored.digest)
    assert [await store.holds(digest), await store.size(digest), await store.stored_at(digest)] == [False, None, None]
    with pytest.raises(Missing):
        await store.get(digest)


async def test_parts_of_an_upload_are_joined_if_they_are_the_announced_file(store: ObjectStore) -> None:
    data, upload = os.urandom(2 * PIECE + 7), new_id()
    assert (await store.parts(upload), await store.uploads()) == ([], [])
    for start in range(0, len(data), PIECE):
        await store.put_part(upload, start, data[start : start + PIECE])
    with pytest.raises(Taken):
        await store.put_part(upload, PIECE, b"x")
    parts = await store.parts(upload)
    assert parts == [UploadPart(0, PIECE), UploadPart(PIECE, PIECE), UploadPart(2 * PIECE, 7)]
    digest = hashlib.sha256(data).digest()
    with pytest.raises(Different):
        await store.join(upload, parts, hashlib.sha256(b"another").digest())
    assert not await store.holds(hashlib.sha256(b"another").digest())
    await store.join(upload, parts, digest)
    await store.join(upload, parts, digest)
    assert await store.get(digest) == data
    assert await store.uploads() == [upload]
    await store.drop(upload)
    await store.drop(upload)
    assert (await store.parts(upload), await store.uploads()) == ([], [])


async def test_what_comes_after_a_gap_does_not_count(store: ObjectStore) -> None:
    upload = new_id()
    await store.put_part(upload, 3, b"def")
    assert await store.parts(upload) == []
    await store.put_part(upload, 0, b"ab")
    assert await store.parts(upload) == [UploadPart(0, 2)]


async def test_a_store_can_be_checked(store: ObjectStore) -> None:
    await store.check()
    assert await store.uploads() == []


# The folder


async def test_nobody_else_can_read_the_folder(tmp_path: Path) -> None:
    store = ObjectStore(None, tmp_path / "files")
    stored = await store.put(b"file")
    await store.put_part(new_id(), 0, b"part")
    assert stat.S_IMODE((tmp_path / "files").stat().st_mode) == 0o700
    files = [path for path in (tmp_path / "files").rglob("*") if path.is_file()]
    assert [stat.S_IMODE(path.stat().st_mode) for path in files] == [0o600, 0o600]
    assert {path.name for path in files} >= {stored.digest.hex()}


async def test_files_of_writers_that_were_killed_are_deleted_after_a_day(tmp_path: Path) -> None:
    store = ObjectStore(None, tmp_path)
    stored = await store.put(b"file")
    name = stored.digest.hex()
    old, young = (tmp_path / "objects" / name[:2] / f"{name}#{number}" for number in (1, 2))
    for path in (old, young):
        path.write_bytes(b"half of a")
    os.utime(old, (0, 0))
    await store.tidy()
    assert (old.exists(), young.exists()) == (False, True)
    assert [digest async for batch in store.digests(stored.digest[0]) for digest, _ in batch] == [stored.digest]


async def test_a_folder_that_cannot_be_used_is_an_error_until_it_can(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_bytes(b"in the way")
    store = ObjectStore(place.as_uri(), tmp_path)
    with pytest.raises(StoreError):
        await store.put(b"file")
    place.unlink()
    assert await store.holds((await store.put(b"file")).digest)
    assert store.place == f"the folder {place}"


@pytest.mark.parametrize(("number", "error"), [(28, StoreFull), (122, StoreFull), (5, StoreError)])
async def test_a_full_disk_and_a_broken_one_are_different_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, error: type[StoreError]
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    store = ObjectStore(None, tmp_path)
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StoreError) as raised:
        await store.put(b"file")
    assert type(raised.value) is error


# S3


async def test_a_bucket_that_is_not_there_is_an_error(s3: str, tmp_path: Path) -> None:
    store = ObjectStore("s3://nothing-here", tmp_path)
    with pytest.raises(StoreError):
        await store.put(b"file")
    assert store.place == "s3://nothing-here"


async def test_an_upload_that_is_not_the_announced_file_leaves_nothing_in_the_bucket(s3: str, tmp_path: Path) -> None:
    """Not even the beginning of a large object."""
    store, upload = ObjectStore(f"{s3}/{new_id()}", tmp_path), new_id()
    for start in range(0, 12 * PIECE, PIECE):
        await store.put_part(upload, start, bytes(PIECE))
    with pytest.raises(Different):
        await store.join(upload, await store.parts(upload), bytes(32))
    async with httpx.AsyncClient(trust_env=False, verify=False) as client:
        listed = await client.get(f"{os.environ['AWS_ENDPOINT_URL']}/{s3.partition('://')[2]}?uploads")
    assert "<ListMultipartUploadsResult" in listed.text
    assert "<UploadId>" not in listed.text
