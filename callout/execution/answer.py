"""Answers to requests, and the one place where exceptions become the errors that clients see."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import asyncpg
import orjson
from graphql import (
    GraphQLError,
)

from callout.execution.budgets import Charge
from callout.execution.request import GraphQLRequest
from db.errors import ClientError, RateLimited
from db.object_store import StoreError
from db.postgres.outage import REPETITION, is_logged
from db.postgres.pool import UNWRITABLE, Replaced

logger = logging.getLogger(__name__)

UNAVAILABLE = "The database is temporarily unavailable; try again."


class BadRequest(ClientError):
    """The request does not name an operation that can be executed here."""

    code = "BAD_REQUEST"


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a request: the response's JSON and the codes of its errors. `executed` is false if the request was
    refused before anything ran; `retry_after` then says after how many seconds it may succeed, if that is known. One
    that `has_secrets` must not be compressed."""

    body: bytes
    executed: bool
    codes: tuple[str, ...] = ()
    retry_after: int | None = None
    has_secrets: bool = False

    def extended(self, request: GraphQLRequest, charge: Charge, trace_id: str | None) -> Answer:
        """The answer with the `extensions` that the request asks for."""
        if not (request.asks_for_cost or request.asks_for_trace):
            return self
        extensions: dict[str, Any] = {}
        if request.asks_for_cost:
            extensions["cost"] = charge.shown()
        if request.asks_for_trace and trace_id is not None:
            extensions["traceId"] = trace_id
        if not extensions:
            return self
        return replace(self, body=b'%b,"extensions":%b}' % (self.body[:-1], orjson.dumps(extensions)))


class InvalidVariables(Exception):
    """The variables do not fit the operation; `errors` say which and why."""

    def __init__(self, errors: list[GraphQLError]) -> None:
        super().__init__()
        self.errors = errors


def refusal(errors: Sequence[ClientError | GraphQLError], request_id: str, code: str | None = None) -> Answer:
    """Returns the answer to a request that was not executed. `code` is for errors that have none of their own; by
    default it is BAD_USER_INPUT."""
    located = [e if isinstance(e, GraphQLError) else GraphQLError(e.message, original_error=e) for e in errors]
    formatted, codes = formatted_errors(located, request_id, code)
    waits = [e.original_error.seconds for e in located if isinstance(e.original_error, RateLimited)]
    return Answer(orjson.dumps({"errors": formatted}), False, codes, max(waits, default=None))


def together(answers: Sequence[Answer]) -> Answer:
    """The answer to a batch: a JSON array of the answers to its requests, in their order."""
    waits = [answer.retry_after for answer in answers if answer.retry_after is not None]
    return Answer(
        b"[%b]" % b",".join(answer.body for answer in answers),
        True,
        tuple(code for answer in answers for code in answer.codes),
        max(waits, default=None),
        any(answer.has_secrets for answer in answers),
    )


def formatted_errors(
    errors: Sequence[GraphQLError], request_id: str, code: str | None = None
) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    formatted = []
    codes = []
    for error in errors:
        original = error.original_error
        known = original.extension_code if isinstance(original, ClientError) else (code or "BAD_USER_INPUT")
        codes.append(known)
        extensions: dict[str, Any] = {"code": known, "requestId": request_id}
        if isinstance(original, RateLimited):
            extensions["retryAfter"] = original.seconds
        formatted.append({**error.formatted, "message": _without_value(error.message), "extensions": extensions})
    return formatted, tuple(codes)


# The part of graphql-core's messages that quotes the value.
_QUOTED = re.compile(r"(, found|(?<=cannot represent)[^:]*): .*", re.DOTALL)


def _without_value(message: str) -> str:
    """Removes the quoted value from graphql-core's message: a secret value, such as a webhook's URL, must not appear in
    an error."""
    return _QUOTED.sub(lambda quoted: quoted[1].removesuffix(", found") + ".", message)


class NotDone(ClientError):
    """The database cannot be used, and the request has surely changed nothing."""

    code = "UNAVAILABLE"


def fault() -> ClientError:
    return ClientError("Something went wrong on the server.", code="INTERNAL")


def client_error(error: Exception) -> ClientError:
    """Returns the error that the client sees for an exception. Details that clients must not see are only logged."""
    original = error.original_error if isinstance(error, GraphQLError) and error.original_error else error
    extra = REPETITION if is_logged(original) else None
    match original:
        case ClientError():
            return original
        case GraphQLError():
            return ClientError(original.message, code="BAD_USER_INPUT")
        case asyncpg.QueryCanceledError() | TimeoutError():
            logger.warning("a statement timed out", exc_info=original, extra=extra)
            return ClientError("The request timed out.", code="TIMEOUT")
        case asyncpg.LockNotAvailableError() | asyncpg.DeadlockDetectedError() | asyncpg.SerializationError():
            logger.warning("a transaction failed because of a concurrent one", exc_info=original)
            return ClientError("Another request is changing the same data; try again.", code="BUSY")
        case (
            OSError()
            | asyncpg.PostgresConnectionError()
            | asyncpg.InterfaceError()
            | asyncpg.InternalClientError()  # raised when a connection ends in the middle of a statement
            | asyncpg.OperatorInterventionError()
            | asyncpg.IdleInTransactionSessionTimeoutError()
            | asyncpg.TooManyConnectionsError()
        ):
            logger.error("the database cannot be reached", exc_info=original, extra=extra)
            return ClientError(UNAVAILABLE, code="UNAVAILABLE")
        case Replaced():
            logger.error("the database was restored during a transaction", exc_info=original)
            return ClientError(UNAVAILABLE, code="UNAVAILABLE")
        case StoreError():
            logger.error("the store of files cannot be used: %s", original, extra=extra)
            return ClientError("Files are temporarily unavailable; try again.", code="UNAVAILABLE")
        case _ if isinstance(original, UNWRITABLE):
            logger.error("the database cannot be written to", exc_info=original, extra=extra)
            return ClientError(UNAVAILABLE, code="UNAVAILABLE")
        case _:
            logger.error("unhandled exception", exc_info=original)
            return fault()
