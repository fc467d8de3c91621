"""`/files/{attachment}/file` and `/files/{attachment}/thumbnail`: downloads of attached files.

What a person has uploaded is never trusted: only pictures are shown by a browser, everything else is saved; nothing is
sniffed, and a page that is opened all the same has no origin and runs no scripts. A browser keeps a file, but asks each
time whether it still may.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from callout.execution.cost import REQUEST, STATEMENT
from callout.http.errors import HttpError
from callout.http.file_endpoint import FileEndpoint, Headers, NotFound, answer
from callout.http.guard import OWN_CACHE_CONTROL, ClientDisconnected
from db.object_store import Missing
from resolvers import upload as uploads
from resolvers.file_links import FILE, THUMBNAIL

PATH: Final = "/files/{attachment_id}/{kind}"

SHOWN_TYPES: Final = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp", "image/avif"})
"""The media types that a browser may show; it runs nothing in them."""
THUMBNAIL_TYPE: Final = "image/jpeg"

SENDING_SECONDS: Final = 60.0
"""The longest that a client may take to receive the next piece."""

_POINTS_FOR_A_MEBIBYTE: Final = 5.0
_MEBIBYTE: Final = 2**20

_SAFE: Final[Headers] = (
    (b"content-security-policy", b"sandbox; default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),  # the URL is a credential
    (b"cache-control", b"private, no-cache"),
    (b"accept-ranges", b"bytes"),
)
_RANGE: Final = re.compile(rb"bytes=(\d{0,15})-(\d{0,15})")
_PLAIN: Final = re.compile(r"[^A-Za-z0-9 !#$&'()+,.;=@\[\]^_`{}~-]")


class RangeNotSatisfiable(HttpError):
    """The range begins after the end of the file."""

    status = 416
    code = "RANGE_NOT_SATISFIABLE"
    default = "The file has no such range."

    def __init__(self, size: int) -> None:
        super().__init__()
        self.headers = ((b"content-range", b"bytes */%d" % size),)


class Lost(HttpError):
    """A row names an object that is not there."""

    status = 500
    code = "INTERNAL"
    default = "The file cannot be found on the server."


class Downloads(FileEndpoint):
    methods = "GET, HEAD"

    async def respond(
        self, scope: Scope, method: str, headers: dict[bytes, bytes], receive: Receive, send: Send
    ) -> None:
        kind = scope["path_params"]["kind"]
        if kind not in (FILE, THUMBNAIL):
            raise NotFound
        attachment_id, grant = self.granted(scope, kind)
        with self.charge(scope, grant) as charge:
            charge.spend(REQUEST + STATEMENT)
            async with charge.budget.statements:
                row = await uploads.find_readable(self._database, grant.role, grant.viewer_id, attachment_id)
            if row is None or (kind == THUMBNAIL and row["thumbnail"] is None):
                raise NotFound
            digest: bytes = row["thumbnail"] if kind == THUMBNAIL else row["sha256"]
            size = row["size"] if kind == FILE else await self._files.store.size(digest)
            if size is None:
                raise Lost(reason="the object is missing")
            scope[OWN_CACHE_CONTROL] = True
            described = [*_SAFE, *_described(row, kind), (b"etag", etag := b'"%b"' % digest.hex()[:32].encode())]
            if etag in headers.get(b"if-none-match", b"").replace(b" ", b"").split(b","):
                await answer(send, 304, described)
                return
            start, end = _range(headers, size, etag)
            charge.owe(_POINTS_FOR_A_MEBIBYTE * (end - start) / _MEBIBYTE)
            if (start, end) != (0, size):
                described.append((b"content-range", b"bytes %d-%d/%d" % (start, end - 1, size)))
            await self._send(send, method, described, digest, start, end, partial=(start, end) != (0, size))

    async def _send(
        self, send: Send, method: str, headers: Headers, digest: bytes, start: int, end: int, *, partial: bool
    ) -> None:
        """Sends the bytes from `start` up to `end`. An object that is missing is noticed before the response begins,
        unless it is empty."""
        begin = {
            "type": "http.response.start",
            "status": 206 if partial else 200,
            "headers": [*headers, (b"content-length", b"%d" % (end - start))],
        }
        begun = False
        try:
            if method == "GET":
                async for piece in self._files.store.read(digest, start, end):
                    if not begun:
                        await send(begin)
                        begun = True
                    async with asyncio.timeout(SENDING_SECONDS):
                        await send({"type": "http.response.body", "body": piece, "more_body": True})
        except Missing:
            raise Lost(reason="the object is missing") from None
        except TimeoutError:
            raise ClientDisconnected from None  # the client does not take it; what it has been sent is cut short
        if not begun:
            await send(begin)
        await send({"type": "http.response.body", "body": b""})


def _described(row: Mapping[str, Any], kind: str) -> Headers:
    type_ = THUMBNAIL_TYPE if kind == THUMBNAIL else row["content_type"]
    return [(b"content-type", type_.encode()), (b"content-disposition", disposition(row["name"], type_).encode())]


def disposition(name: str, type_: str) -> str:
    """The `Content-Disposition` (RFC 6266) of a file: the name in ASCII, and if that is not all of it, also in UTF-8
    (RFC 8187)."""
    how = "inline" if type_ in SHOWN_TYPES else "attachment"
    plain = _PLAIN.sub("_", name)
    full = "" if plain == name else f"; filename*=UTF-8''{quote(name, safe='')}"
    return f'{how}; filename="{plain}"{full}'


def _range(headers: dict[bytes, bytes], size: int, etag: bytes) -> tuple[int, int]:
    """The first byte to send, and the one after the last (RFC 9110, section 14). All of them if no range is asked for,
    several are, or only one of another state of the file. Raises `RangeNotSatisfiable`."""
    asked = _RANGE.fullmatch(headers.get(b"range", b""))
    if asked is None or not (asked[1] or asked[2]) or headers.get(b"if-range", etag) != etag:
        return 0, size
    if not asked[1]:
        start, end = max(0, size - int(asked[2])), size
    else:
        start, end = int(asked[1]), min(int(asked[2]) + 1, size) if asked[2] else size
        if asked[2] and int(asked[2]) < int(asked[1]):
            return 0, size
    if start >= size:
        raise RangeNotSatisfiable(size)
    return start, end


class _DownloadRoute:
    """An ASGI application: for a function, Starlette would make a request, and allow GET alone."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint: Downloads = scope["state"]["downloads"]
        await endpoint(scope, receive, send)


ROUTES: Final = [Route(PATH, _DownloadRoute())]
