"""What the endpoints for uploads and downloads of attached files have in common: who asks, and what becomes of errors.

The URL is the credential (`resolvers/file_links.py`), so no header is needed. One that was altered or has expired, that
of an attachment that the viewer no longer sees, and that of one which does not exist get the same answer.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, TypeAlias
from urllib.parse import parse_qsl

from starlette.types import Message, Receive, Scope, Send

from callout.execution.answer import client_error
from callout.execution.budgets import Budgets, Charge
from callout.http.context import request_of
from callout.http.errors import RETRY, HttpError, Internal, TooManyRequests
from callout.http.guard import ClientDisconnected, refuse
from callout.http.request import MethodNotAllowed
from db.errors import RateLimited
from db.object_store import StoreError, StoreFull
from db.postgres.outage import OutageLog
from db.postgres.pool import Database
from db.viewer import Viewer
from resolvers.file_links import FileLinks, Grant
from resolvers.files import Files

logger = logging.getLogger(__name__)

Headers: TypeAlias = Sequence[tuple[bytes, bytes]]

QUERY_MAX: Final = 2_000  # bytes

_TEMPORARY: Final = ("UNAVAILABLE", "BUSY", "TIMEOUT")


class NotFound(HttpError):
    """There is no such file for this viewer."""

    status = 404
    code = "NOT_FOUND"
    default = "There is no such file, or its URL has expired."


class Full(HttpError):
    """There is no space left for files."""

    status = 507
    code = "STORAGE_FULL"
    default = "There is no space left for files at the moment; go on later."
    headers = RETRY


class FilesUnavailable(HttpError):
    """The database or the store cannot be used at the moment, or too much is asked of it."""

    status = 503
    code = "UNAVAILABLE"
    default = "Files are temporarily unavailable; try again."
    headers = RETRY


class FileEndpoint(ABC):
    """An ASGI application for files."""

    methods: str
    """The methods, as in `Allow`, without OPTIONS."""

    def __init__(self, database: Database, files: Files, links: FileLinks, budgets: Budgets) -> None:
        self._database = database
        self._files = files
        self._links = links
        self._budgets = budgets
        self._outage = OutageLog(logger, "the store of files cannot be used", "the store of files can be used again")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        marked = _with_headers(send, self.headers())
        try:
            method = self.method(scope["method"], headers)
            if method == "OPTIONS":
                await answer(marked, 204, self.options())
            elif method not in self.methods.split(", "):
                raise MethodNotAllowed("The method is not allowed here.", allow=f"{self.methods}, OPTIONS")
            else:
                with self._translated():
                    await self.respond(scope, method, headers, receive, marked)
        except HttpError as error:
            info = request_of(scope)
            info.code, info.reason = error.extension_code, error.reason
            await refuse(scope, marked, error)

    @abstractmethod
    async def respond(
        self, scope: Scope, method: str, headers: dict[bytes, bytes], receive: Receive, send: Send
    ) -> None:
        """Answers a request. Raises `HttpError`, before it has begun to, and the errors of the database and store."""

    def method(self, method: str, headers: dict[bytes, bytes]) -> str:
        return method

    def headers(self) -> Headers:
        """The headers of every response."""
        return ()

    def options(self) -> Headers:
        """The headers of the answer to OPTIONS."""
        return ()

    def granted(self, scope: Scope, kind: str) -> tuple[str, Grant]:
        """The key of the attachment that the URL is for, and whom it was issued to. Raises `NotFound`."""
        attachment_id, query = str(scope["path_params"]["attachment_id"]), scope["query_string"]
        given = dict(parse_qsl(query.decode("latin-1"), max_num_fields=10)) if len(query) <= QUERY_MAX else {}
        grant = self._links.grant(kind, attachment_id, given)
        if grant is None:
            raise NotFound
        return attachment_id, grant

    def charge(self, scope: Scope, grant: Grant) -> Charge:
        """The charge of a request by the viewer, who also gets into the access log."""
        viewer = Viewer(grant.role, grant.viewer_id, "")
        request_of(scope).viewer = viewer
        return self._budgets.of(viewer).request()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (HttpError, ClientDisconnected):
            raise
        except RateLimited as error:
            raise TooManyRequests(error) from error
        except StoreError as error:
            self._outage.failed(error)
            raise (Full if isinstance(error, StoreFull) else FilesUnavailable)(reason=str(error)) from error
        except Exception as error:
            known = client_error(error)
            raise (FilesUnavailable() if known.extension_code in _TEMPORARY else Internal()) from error
        else:
            self._outage.worked()


async def answer(send: Send, status: int, headers: Headers, body: bytes = b"") -> None:
    length = [(b"content-length", b"%d" % len(body))] if status not in (204, 304) else []
    await send({"type": "http.response.start", "status": status, "headers": [*headers, *length]})
    await send({"type": "http.response.body", "body": body})


def _with_headers(send: Send, headers: Headers) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *headers]
        await send(message)

    return send_with_headers
