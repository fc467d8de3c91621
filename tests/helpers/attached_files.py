"""Attached files: as a client announces, uploads and downloads them; and for code that is called without a server."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx

from db.object_store import ObjectStore
from db.viewer import Viewer
from resolvers.attachment_rules import FileLimits
from resolvers.file_links import FileLinks
from resolvers.files import Files
from tests.helpers.api import Api

DAY = timedelta(days=1)
LIMITS = FileLimits(2**20, 10, 2**24, 100, 2**30, 1_000, 2**34, DAY)

WAIT_SECONDS = 60.0

PATCH = {"content-type": "application/offset+octet-stream"}
TUS = {"tus-resumable": "1.0.0"}


def files_in(folder: Path) -> Files:
    return Files(ObjectStore(None, folder), LIMITS)


def some_links() -> FileLinks:
    return FileLinks("a log", "https://api.example", DAY)


def unsigned(document: bytes, viewer: Viewer) -> bytes:
    """Leaves the URLs of files as the statement has returned them."""
    return document


def announced(data: bytes, **given: Any) -> dict[str, Any]:
    """The input of `attachmentCreate` for a file, besides the ticket or note."""
    digest = hashlib.sha256(data).hexdigest()
    return {"name": "photo.jpg", "contentType": "image/jpeg", "size": len(data), "sha256": digest} | given


async def announce(api: Api, data: bytes, **given: Any) -> tuple[str, str]:
    """Creates an attachment. Returns its id and the URL to upload it to."""
    payload = await api.done("attachmentCreate", "attachment { id } uploadUrl", **announced(data, **given))
    return payload["attachment"]["id"], payload["uploadUrl"]


async def ask(api: Api, method: str, url: str, data: bytes | None = None, **headers: str) -> httpx.Response:
    """Sends a request without a token: the URL of a file is the credential."""
    # As in `Api`: plain HTTP needs no certificates, which take 60 ms to read.
    async with httpx.AsyncClient(base_url=api.server.url, timeout=30, trust_env=False, verify=False) as client:
        return await client.request(method, url, content=data, headers=headers)


async def patch(api: Api, url: str, offset: int, data: bytes, **headers: str) -> httpx.Response:
    """Sends a part of a file."""
    return await ask(api, "PATCH", url, data, **TUS | PATCH | {"upload-offset": str(offset)} | headers)


async def reached(api: Api, url: str) -> int:
    """Returns the offset that an upload has reached."""
    response = await ask(api, "HEAD", url, None, **TUS)
    assert response.status_code == 200, response
    return int(response.headers["upload-offset"])


async def attach(api: Api, data: bytes, **given: Any) -> str:
    """Attaches a file, uploads it, and waits until it has been checked. Returns the attachment's id."""
    attachment = await upload(api, data, **given)
    await checked(api, attachment)
    return attachment


async def checked(api: Api, attachment: str) -> str:
    """Waits until a file that has arrived has been checked. Returns the attachment's state."""
    async with asyncio.timeout(WAIT_SECONDS):
        while (state := str((await attached(api, attachment, "state"))["state"])) == "SCANNING":  # noqa: ASYNC110 (the server does it)
            await asyncio.sleep(0.02)
    return state


async def upload(api: Api, data: bytes, **given: Any) -> str:
    """Attaches a file, and uploads it. Returns the attachment's id."""
    attachment, url = await announce(api, data, **given)
    response = await patch(api, url, 0, data)
    assert response.status_code == 204, response.text
    return attachment


async def attached(api: Api, attachment: str, selection: str = "state url thumbnailUrl") -> Any:
    """Returns fields of an attachment; None if the viewer does not see it."""
    document = f"query($id: ID!) {{ node(id: $id) {{ ... on Attachment {{ {selection} }} }} }}"
    return (await api.seen(document, id=attachment))["node"]


async def url_of(api: Api, attachment: str) -> str:
    await checked(api, attachment)
    url: str = (await attached(api, attachment))["url"]
    return url
