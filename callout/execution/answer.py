"""Answers to a request, and how an exception becomes an error that its client may read."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
import orjson
from graphql import (
    GraphQLError,
)

from db.errors import ClientError

logger = logging.getLogger(__name__)


class BadRequest(ClientError):
    """The request names no operation that can be executed."""

    code = "BAD_REQUEST"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request is answered with. `executed` is false where the request was refused before anything ran."""

    body: bytes
    executed: bool
    codes: tuple[str, ...] = ()


class InvalidVariables(Exception):
    def __init__(self, errors: list[GraphQLError]) -> None:
        super().__init__()
        self.errors = errors


def refusal(errors: Sequence[ClientError | GraphQLError], request_id: str, code: str | None = None) -> Answer:
    """A request that is answered without having been executed."""
    located = [e if isinstance(e, GraphQLError) else GraphQLError(e.message, original_error=e) for e in errors]
    formatted, codes = formatted_errors(located, request_id, code)
    return Answer(orjson.dumps({"errors": formatted}), False, codes)


def formatted_errors(
    errors: Sequence[GraphQLError], request_id: str, code: str | None = None
) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    formatted = []
    codes = []
    for error in errors:
        original = error.original_error
        known = original.extension_code if isinstance(original, ClientError) else (code or "BAD_USER_INPUT")
        codes.append(known)
        formatted.append(
            {
                **error.formatted,
                "message": _without_value(error.message),
                "extensions": {"code": known, "requestId": request_id},
            }
        )
    return formatted, tuple(codes)


# Where graphql-core's messages quote the value that they are about.
_QUOTED = re.compile(r"(, found|(?<=cannot represent)[^:]*): .*", re.DOTALL)


def _without_value(message: str) -> str:
    """graphql-core's message without the value: a webhook's URL, say, must not come back in an error."""
    return _QUOTED.sub(lambda quoted: quoted[1].removesuffix(", found") + ".", message)


def fault() -> ClientError:
    return ClientError("Something went wrong on the server.", code="INTERNAL")


def client_error(error: Exception) -> ClientError:
    """What the client is told of an exception; what it must not learn goes to the log alone."""
    original = error.original_error if isinstance(error, GraphQLError) and error.original_error else error
    match original:
        case ClientError():
            return original
        case GraphQLError():
            return ClientError(original.message, code="BAD_USER_INPUT")
        case asyncpg.QueryCanceledError() | TimeoutError():
            logger.warning("a statement took too long", exc_info=original)
            return ClientError("This took too long and was given up.", code="TIMEOUT")
        case asyncpg.LockNotAvailableError() | asyncpg.DeadlockDetectedError() | asyncpg.SerializationError():
            logger.warning("a transaction was given up", exc_info=original)
            return ClientError("Somebody else is changing this at the moment; try again.", code="BUSY")
        case (
            OSError()
            | asyncpg.PostgresConnectionError()
            | asyncpg.InterfaceError()
            | asyncpg.InternalClientError()  # of a connection that ends in the middle of a statement
            | asyncpg.OperatorInterventionError()
        ):
            logger.error("the database cannot be reached", exc_info=original)
            return ClientError("The database cannot be reached at the moment; try again.", code="UNAVAILABLE")
        case asyncpg.TooManyConnectionsError():
            logger.error("the database has no connection left", exc_info=original)
            return ClientError("The database cannot be reached at the moment; try again.", code="UNAVAILABLE")
        case _:
            logger.error("unhandled exception", exc_info=original)
            return fault()
