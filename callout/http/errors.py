"""The errors that refuse an HTTP request before it is executed. All have the same form:

    {"errors": [{"message": "…", "extensions": {"code": "…", "requestId": "…"}}]}

Raise an `HttpError` anywhere below `callout.http.guard.RequestGuard`, which sends it.
"""

from __future__ import annotations

from typing import ClassVar

import orjson

from db.errors import ClientError, RateLimited

RETRY = ((b"retry-after", b"1"),)


class HttpError(ClientError):
    """An error with an HTTP status. `reason` is only logged: it may contain details that clients must not see."""

    status: ClassVar[int]
    default: ClassVar[str]
    headers: tuple[tuple[bytes, bytes], ...] = ()

    def __init__(self, message: str | None = None, *, reason: str | None = None) -> None:
        super().__init__(message or self.default)
        self.reason = reason


class Unauthenticated(HttpError):
    """The token is missing or invalid. The client learns which claim is wrong if the signature is good."""

    status = 401
    code = "UNAUTHENTICATED"
    default = "The credentials are not valid."
    headers = ((b"www-authenticate", b'Bearer realm="callout"'),)


class AuthenticationUnavailable(HttpError):
    """The token cannot be checked now, because the database or the issuer is not responding."""

    status = 503
    code = "AUTHENTICATION_UNAVAILABLE"
    default = "The credentials cannot be checked at the moment; try again."
    headers = RETRY


class BodyTooLarge(HttpError):
    """The body has more than `BODY_MAX` bytes."""

    status = 413
    code = "BODY_TOO_LARGE"
    default = "The request's body is too large."


class BodyTimeout(HttpError):
    """The body did not arrive within `BODY_SECONDS`."""

    status = 408
    code = "BODY_TIMEOUT"
    default = "The request's body did not arrive in time."
    headers = ((b"connection", b"close"),)


class TooManyRequests(HttpError):
    """A `RateLimited` that was raised outside the execution of an operation."""

    status = 429
    code = RateLimited.code

    def __init__(self, error: RateLimited) -> None:
        super().__init__(error.message)
        self.headers = retry_after(error.seconds)


class Internal(HttpError):
    """An unhandled exception. The log has its traceback, with the same request id."""

    status = 500
    code = "INTERNAL"
    default = "Something went wrong on the server."


def retry_after(seconds: int) -> tuple[tuple[bytes, bytes], ...]:
    return ((b"retry-after", b"%d" % seconds),)


def error_body(message: str, code: str, request_id: str) -> bytes:
    return orjson.dumps({"errors": [{"message": message, "extensions": {"code": code, "requestId": request_id}}]})
