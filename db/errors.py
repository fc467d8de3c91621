"""The errors that a client may read. Each carries a machine-readable code; everything else that goes wrong is a
fault, which the client learns of only as `INTERNAL`."""

from __future__ import annotations

from typing import ClassVar


class ClientError(Exception):
    """A request that cannot be served, told to the client as it stands."""

    code: ClassVar[str] = "BAD_REQUEST"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.extension_code = code or self.code


class BadInput(ClientError):
    """An argument's value cannot be used: a malformed cursor, an id of the wrong kind, text that cannot be stored."""

    code = "BAD_USER_INPUT"


class Forbidden(ClientError):
    """The viewer's role may not do or read this."""

    code = "FORBIDDEN"


class LimitExceeded(ClientError):
    """The document asks for more than one request may."""

    code = "LIMIT_EXCEEDED"
