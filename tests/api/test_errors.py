"""Errors as clients see them: a code and a sentence for each kind, without internal details."""

from __future__ import annotations

import logging
import socket

import asyncpg
import orjson
import pytest
from graphql import GraphQLError

from callout.execution.answer import client_error, refusal
from db.errors import BadInput, ClientError, Forbidden, LimitExceeded, RateLimited
from db.postgres.pool import Replaced

SECRET = "relation swordfish of 10.0.0.7 does not like row 4711"

# One error of each known branch of PostgreSQL's, asyncpg's and the system's errors, and their nearest relatives.
CODES: dict[type[Exception], str] = {
    asyncpg.QueryCanceledError: "TIMEOUT",
    TimeoutError: "TIMEOUT",
    asyncpg.LockNotAvailableError: "BUSY",
    asyncpg.DeadlockDetectedError: "BUSY",
    asyncpg.SerializationError: "BUSY",
    asyncpg.TooManyConnectionsError: "UNAVAILABLE",
    asyncpg.PostgresConnectionError: "UNAVAILABLE",
    asyncpg.ConnectionDoesNotExistError: "UNAVAILABLE",
    asyncpg.ConnectionFailureError: "UNAVAILABLE",
    asyncpg.ClientCannotConnectError: "UNAVAILABLE",
    asyncpg.InterfaceError: "UNAVAILABLE",
    asyncpg.InternalClientError: "UNAVAILABLE",
    asyncpg.OperatorInterventionError: "UNAVAILABLE",
    asyncpg.AdminShutdownError: "UNAVAILABLE",
    asyncpg.CrashShutdownError: "UNAVAILABLE",
    asyncpg.CannotConnectNowError: "UNAVAILABLE",
    OSError: "UNAVAILABLE",
    ConnectionRefusedError: "UNAVAILABLE",
    ConnectionResetError: "UNAVAILABLE",
    BrokenPipeError: "UNAVAILABLE",
    socket.gaierror: "UNAVAILABLE",
    Replaced: "UNAVAILABLE",
    asyncpg.PostgresError: "INTERNAL",
    asyncpg.CheckViolationError: "INTERNAL",
    asyncpg.UniqueViolationError: "INTERNAL",
    asyncpg.UndefinedTableError: "INTERNAL",
    asyncpg.InsufficientPrivilegeError: "INTERNAL",
    asyncpg.ConfigurationLimitExceededError: "INTERNAL",
    KeyError: "INTERNAL",
    AssertionError: "INTERNAL",
}
MESSAGES = {
    "TIMEOUT": "The request timed out.",
    "BUSY": "Another request is changing the same data; try again.",
    "UNAVAILABLE": "The database is temporarily unavailable; try again.",
    "INTERNAL": "Something went wrong on the server.",
}
LEVELS = {"TIMEOUT": logging.WARNING, "BUSY": logging.WARNING, "UNAVAILABLE": logging.ERROR, "INTERNAL": logging.ERROR}


@pytest.mark.parametrize("kind", CODES, ids=[kind.__name__ for kind in CODES])
def test_a_client_gets_the_code_of_an_error_and_the_log_its_details(
    kind: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    error, code = kind(SECRET), CODES[kind]
    for raised in (error, GraphQLError(SECRET, original_error=error)):
        caplog.clear()
        shown = client_error(raised)
        assert (shown.extension_code, shown.message) == (code, MESSAGES[code])
        (record,) = caplog.records
        assert record.levelno == LEVELS[code]
        assert record.exc_info is not None and record.exc_info[1] is error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ClientError("Like this."), "BAD_REQUEST"),
        (ClientError("Like this.", code="TEAPOT"), "TEAPOT"),
        (BadInput("Like this."), "BAD_USER_INPUT"),
        (Forbidden("Like this."), "FORBIDDEN"),
        (LimitExceeded("Like this."), "LIMIT_EXCEEDED"),
        (RateLimited("Like this.", 2.5), "RATE_LIMITED"),
        (GraphQLError("Like this."), "BAD_USER_INPUT"),
        (GraphQLError("Around it.", original_error=Forbidden("Like this.")), "FORBIDDEN"),
    ],
)
def test_an_error_for_the_client_is_returned_and_not_logged(
    error: Exception, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    shown = client_error(error)
    assert (shown.extension_code, shown.message, caplog.records) == (code, "Like this.", [])


def test_a_refusal_for_a_rate_says_when_to_try_again() -> None:
    refused = refusal([RateLimited("Slow down.", 2.1), GraphQLError("", original_error=RateLimited("Wait.", 0))], "r1")
    errors = orjson.loads(refused.body)["errors"]
    assert [error["extensions"] for error in errors] == [
        {"code": "RATE_LIMITED", "requestId": "r1", "retryAfter": 3},
        {"code": "RATE_LIMITED", "requestId": "r1", "retryAfter": 1},
    ]
    assert (refused.executed, refused.codes, refused.retry_after) == (False, ("RATE_LIMITED",) * 2, 3)
