"""What an HTTP request can be refused with before GraphQL sees it, and the one form in which clients read it.

    {"errors": [{"message": "…", "extensions": {"code": "…", "requestId": "…"}}]}

Raise an `HttpError` anywhere below `callout.http.RequestGuard`, which sends it.
"""

from __future__ import annotations

from typing import ClassVar

import orjson

from db.errors import ClientError

RETRY = ((b"retry-after", b"1"),)


class HttpError(ClientError):
    """A refusal with a status. `reason` is for the log alone: it may say what the client must not learn."""

    status: ClassVar[int]
    default: ClassVar[str]
    headers: ClassVar[tuple[tuple[bytes, bytes], ...]] = ()

    def __init__(self, message: str | None = None, *, reason: str | None = None) -> None:
        super().__init__(message or self.default)
        self.reason = reason


class Unauthenticated(HttpError):
    """No token, or one that proves nothing. A client learns only whether its token has run out."""

    status = 401
    code = "UNAUTHENTICATED"
    default = "The credentials are not valid."
    headers = ((b"www-authenticate", b'Bearer realm="callout"'),)


class AuthenticationUnavailable(HttpError):
    """Whether a token is good cannot be told now: the database or the issuer does not answer."""

    status = 503
    code = "AUTHENTICATION_UNAVAILABLE"
    default = "The credentials cannot be checked at the moment."
    headers = RETRY


class BodyTooLarge(HttpError):
    status = 413
    code = "BODY_TOO_LARGE"
    default = "The request's body is too large."


class BodyTimeout(HttpError):
    status = 408
    code = "BODY_TIMEOUT"
    default = "The request's body did not arrive in time."
    headers = ((b"connection", b"close"),)


class Internal(HttpError):
    """A fault of ours. The log has the rest, under the same request id."""

    status = 500
    code = "INTERNAL"
    default = "Something went wrong on the server."


def error_body(message: str, code: str, request_id: str) -> bytes:
    return orjson.dumps({"errors": [{"message": message, "extensions": {"code": code, "requestId": request_id}}]})
