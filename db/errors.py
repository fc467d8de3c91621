"""The errors whose message and code a client may see. Any other exception is a bug or an outage, of which the client
sees only a code, such as `INTERNAL`."""

from __future__ import annotations

from math import ceil
from typing import ClassVar


class ClientError(Exception):
    """A request that cannot be served. The client receives `message` unchanged, and `extension_code` in the error's
    `extensions.code`."""

    code: ClassVar[str] = "BAD_REQUEST"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.extension_code = code or self.code


class BadInput(ClientError):
    """An argument's value cannot be used, such as a malformed cursor, an id of the wrong kind, or text that cannot be
    stored."""

    code = "BAD_USER_INPUT"


class NoSuchObject(ClientError):
    """No object has the id, or the viewer does not see it."""

    code = "NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("There is no such object, or you cannot see it.")


class Forbidden(ClientError):
    """The viewer's role may not read this field or call this mutation."""

    code = "FORBIDDEN"


class LimitExceeded(ClientError):
    """The request asks for more than a single request may."""

    code = "LIMIT_EXCEEDED"


class RateLimited(ClientError):
    """Too much has been asked for lately. Nothing was done, and the same request may succeed after `retry_after`
    seconds."""

    code = "RATE_LIMITED"

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after

    @property
    def seconds(self) -> int:
        """`retry_after` in whole seconds, at least 1, as `Retry-After` has it (RFC 9110, section 10.2.3)."""
        return max(1, ceil(self.retry_after))


class Failure(Exception):
    """What a program was asked to do has failed. The message is for its operator: it says why, and has no secret."""
