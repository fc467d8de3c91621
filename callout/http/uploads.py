"""`/uploads/{attachment}`: the resumable upload of an attached file, by the tus protocol 1.0.0
(https://tus.io/protocols/resumable-upload) with its extensions for expiration and termination.

`attachmentCreate` takes the place of tus's creation. What has arrived is stored a mebibyte at a time, so a client that
is cut off, or whose server is killed, goes on from there, at any server. A body that arrives too slowly is cut off too.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from email.utils import format_datetime
from time import monotonic
from typing import Final

from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from callout.execution.budgets import Budgets, Charge
from callout.execution.cost import REQUEST, STATEMENT
from callout.http.errors import BodyTimeout, BodyTooLarge, HttpError
from callout.http.file_endpoint import FileEndpoint, FilesUnavailable, Headers, NotFound, answer
from callout.http.guard import ClientDisconnected
from db.enums import AttachmentState
from db.object_store import PIECE, Taken, UploadPart
from db.postgres.pool import Database
from resolvers import upload as uploads
from resolvers.file_links import UPLOAD, FileLinks, Grant
from resolvers.files import Files
from resolvers.upload import Upload

VERSION: Final = b"1.0.0"
PATH: Final = "/uploads/{attachment_id}"

IDLE_SECONDS: Final = 10.0
"""The longest that the next bytes of a body may take."""
BYTES_A_SECOND: Final = 1_024
"""The least that a body must bring on average, after the first `IDLE_SECONDS`."""

AT_ONCE: Final = 64
"""Bodies that a process receives at a time; each takes up to two mebibytes of memory."""
AT_ONCE_OF_VIEWER: Final = 6

_POINTS_FOR_A_MEBIBYTE: Final = 10.0
_PARTS_FOR_A_POINT: Final = 100

_ARRIVED: Final = (AttachmentState.SCANNING, AttachmentState.READY)


class WrongVersion(HttpError):
    """The client does not speak this version of the protocol."""

    status = 412
    code = "PRECONDITION_FAILED"
    default = "Send `Tus-Resumable: 1.0.0`."
    headers = ((b"tus-version", VERSION),)


class NotFromAnOffset(HttpError):
    """The body of a PATCH has another type."""

    status = 415
    code = "UNSUPPORTED_MEDIA_TYPE"
    default = "The body must be application/offset+octet-stream."


class BadOffset(HttpError):
    """`Upload-Offset` is missing or no number."""

    status = 400
    code = "BAD_REQUEST"
    default = "Upload-Offset must be the number of bytes that have arrived."


class OtherOffset(HttpError):
    """The upload has reached another offset; HEAD says which."""

    status = 409
    code = "CONFLICT"
    default = "The upload has reached another offset; ask for it with HEAD."


class Gone(HttpError):
    """The file was rejected."""

    status = 410
    code = "REJECTED"
    default = "The file was rejected."


class OtherFile(HttpError):
    """The file does not have the digest that was announced."""

    status = 422
    code = "DIGEST_MISMATCH"
    default = uploads.MISMATCH


class Uploads(FileEndpoint):
    methods = "HEAD, PATCH, DELETE"

    def __init__(
        self, database: Database, files: Files, links: FileLinks, budgets: Budgets, written: Callable[[], None]
    ) -> None:
        """`written` is called when a file has arrived, or an event has been written."""
        super().__init__(database, files, links, budgets)
        self._written = written
        self._receiving: Counter[Grant] = Counter()

    def method(self, method: str, headers: dict[bytes, bytes]) -> str:
        overriding = headers.get(b"x-http-method-override")
        return method if overriding is None else overriding.decode("latin-1").upper()

    def headers(self) -> Headers:
        return [(b"tus-resumable", VERSION)]

    def options(self) -> Headers:
        return [
            (b"tus-version", VERSION),
            (b"tus-extension", b"expiration,termination"),
            (b"tus-max-size", b"%d" % self._files.limits.file_bytes),
        ]

    async def respond(
        self, scope: Scope, method: str, headers: dict[bytes, bytes], receive: Receive, send: Send
    ) -> None:
        if headers.get(b"tus-resumable") != VERSION:
            raise WrongVersion
        attachment_id, grant = self.granted(scope, UPLOAD)
        with self.charge(scope, grant) as charge:
            charge.spend(REQUEST + STATEMENT)
            async with charge.budget.statements:
                upload = await uploads.find(self._database, grant.role, grant.viewer_id, attachment_id)
            if upload is None:
                raise NotFound
            if upload.state not in (*_ARRIVED, AttachmentState.UPLOADING):
                raise Gone
            if method == "HEAD":
                await answer(send, 200, await self._head(upload, charge))
            elif method == "PATCH":
                reached = await self._patch(upload, grant, headers, receive, charge)
                await answer(send, 204, [*_offset(reached), *self._expires(upload)])
            else:
                await self._delete(upload)
                await answer(send, 204, ())

    # The methods

    async def _head(self, upload: Upload, charge: Charge) -> Headers:
        length = (b"upload-length", b"%d" % upload.size)
        if upload.state in _ARRIVED:
            return [length, *_offset(upload.size)]
        parts = await self._parts(upload, charge)
        reached = uploads.reached(parts)
        if reached == upload.size:
            await self._finish(upload, parts)
        return [length, *_offset(reached), *self._expires(upload)]

    async def _patch(
        self, upload: Upload, grant: Grant, headers: dict[bytes, bytes], receive: Receive, charge: Charge
    ) -> int:
        """Receives the body. Returns the offset that the upload has reached."""
        offset = _given_offset(headers)
        if upload.state in _ARRIVED:
            if offset == upload.size:
                return offset
            raise OtherOffset
        parts = await self._parts(upload, charge)
        reached = uploads.reached(parts)
        if offset != reached:
            raise OtherOffset
        if reached < upload.size:
            if uploads.is_in_pieces(upload, parts):
                await uploads.reject(self._database, self._files.store, upload, uploads.IN_PIECES)
                self._written()
                raise Gone(uploads.IN_PIECES)
            _check_length(headers, upload.size - offset)
            with self._turn(grant):
                reached, problem = await self._receive(upload, offset, receive, charge)
            if reached < upload.size:
                if problem is not None:
                    raise problem
                return reached
            parts = await self._parts(upload, charge)
        await self._finish(upload, parts)
        return reached

    async def _delete(self, upload: Upload) -> None:
        terminated = await uploads.terminate(self._database, self._files.store, upload)
        if not terminated:
            raise NotFound("The file has arrived already.")

    # Steps

    async def _parts(self, upload: Upload, charge: Charge) -> list[UploadPart]:
        parts = await self._files.store.parts(upload.id)
        charge.owe(len(parts) / _PARTS_FOR_A_POINT)
        return parts

    async def _finish(self, upload: Upload, parts: list[UploadPart]) -> None:
        matches = await uploads.finish(self._database, self._files.store, upload, parts)
        self._written()
        if not matches:
            raise OtherFile

    @contextmanager
    def _turn(self, grant: Grant) -> Iterator[None]:
        """Limits the bodies that are received at a time. A client that is refused tries again, as after any 503."""
        if self._receiving[grant] >= AT_ONCE_OF_VIEWER or self._receiving.total() >= AT_ONCE:
            raise FilesUnavailable("There are too many uploads at the moment; try again.", reason="uploads at once")
        self._receiving[grant] += 1
        try:
            yield
        finally:
            self._receiving[grant] -= 1
            if not self._receiving[grant]:
                del self._receiving[grant]

    async def _receive(
        self, upload: Upload, offset: int, receive: Receive, charge: Charge
    ) -> tuple[int, Exception | None]:
        """Stores the body as parts of the upload. Returns the offset that it has reached; and if it was cut off the
        reason. Whatever has arrived is stored in any case, unless it is more than was announced."""
        held = bytearray()
        problem: Exception | None = None
        started, received, more = monotonic(), 0, True
        while more and problem is None:
            body, more, problem = await _next(receive)
            received += len(body)
            if offset + len(held) + len(body) > upload.size:
                raise BodyTooLarge("The file is larger than was announced.")
            held += body
            if monotonic() - started > IDLE_SECONDS + received / BYTES_A_SECOND:
                problem = BodyTimeout()
            while len(held) >= PIECE or (held and (problem is not None or not more)):
                piece = bytes(held[:PIECE])
                charge.owe(_POINTS_FOR_A_MEBIBYTE * len(piece) / PIECE)
                try:
                    await self._files.store.put_part(upload.id, offset, piece)
                except Taken:
                    raise OtherOffset from None
                offset += len(piece)
                del held[:PIECE]
        return offset, problem

    def _expires(self, upload: Upload) -> Headers:
        expires: datetime = upload.created_at + self._files.limits.upload_time
        return [(b"upload-expires", format_datetime(expires, usegmt=True).encode())]


async def _next(receive: Receive) -> tuple[bytes, bool, Exception | None]:
    """The next bytes of the body; whether there are more; and why it ended early, if it did."""
    try:
        async with asyncio.timeout(IDLE_SECONDS):
            message = await receive()
    except TimeoutError:
        return b"", False, BodyTimeout()
    if message["type"] != "http.request":
        return b"", False, ClientDisconnected()
    return message.get("body", b""), message.get("more_body", False), None


def _offset(reached: int) -> Headers:
    return [(b"upload-offset", b"%d" % reached)]


def _given_offset(headers: dict[bytes, bytes]) -> int:
    """The offset at which a PATCH goes on. Raises `HttpError`."""
    if headers.get(b"content-type", b"").lower() != b"application/offset+octet-stream":
        raise NotFromAnOffset
    given = headers.get(b"upload-offset", b"")
    if not given.isdigit() or len(given) > 15:
        raise BadOffset
    return int(given)


def _check_length(headers: dict[bytes, bytes], left: int) -> None:
    """Raises `BodyTooLarge` if the body is known to be larger than what is left of the file."""
    length = headers.get(b"content-length", b"0")
    if len(length) > 15 or int(length) > left:
        raise BodyTooLarge("The file is larger than was announced.")


class _UploadRoute:
    """An ASGI application: for a function, Starlette would make a request, and allow GET alone."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint: Uploads = scope["state"]["uploads"]
        await endpoint(scope, receive, send)


ROUTES: Final = [Route(PATH, _UploadRoute())]
