"""What every mutation gets and gives: the caller, the transaction, the outcome, and what there is to object."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from sqlalchemy import FromClause, Text
from sqlalchemy.dialects.postgresql import JSON

from db.enums import DeliveryChannel, DocumentedEnum, Role
from db.errors import Forbidden
from db.postgres.pool import Connection, Database
from db.sql import Row, json_rows
from db.viewer import Viewer
from db.visibility import ViewerParameter
from notifiers.message_ids import OwnMail
from notifiers.notification import Channel

Transaction: TypeAlias = Connection
"""A connection with a transaction on it."""


Input: TypeAlias = Mapping[str, Any]
"""A mutation's input as the client sent it, coerced: the schema's names; what was not given is absent."""


class UserErrorCode(DocumentedEnum):
    """Why a mutation was not done."""

    REQUIRED = "REQUIRED", "A value is missing or blank."
    TOO_LONG = "TOO_LONG", "A text or list is longer than it may be."
    INVALID = "INVALID", "A value is not of the form that it must have."
    NOT_FOUND = "NOT_FOUND", "There is no such thing, or none that you may see."
    TAKEN = "TAKEN", "Another one has this value already, and it must be unique."
    MISMATCH = (
        "MISMATCH",
        (
            "Two values do not belong together: a property of another customer, an account number of another than the "
            "e-mail address."
        ),
    )
    INACTIVE = "INACTIVE", "The technician is no longer active."
    NOT_ALLOWED = "NOT_ALLOWED", "The present state or your role does not allow it."
    RESOLUTION_REQUIRED = "RESOLUTION_REQUIRED", "A resolved ticket needs a resolution."
    STALE = "STALE", "The ticket has changed since the version you named; it is returned as it is now."
    IDEMPOTENCY_CONFLICT = "IDEMPOTENCY_CONFLICT", "The idempotency key was used for another request."


@dataclass(frozen=True, slots=True)
class MutationError:
    """One objection: `field` is the path of the input field it is about, in the client's names."""

    code: UserErrorCode
    message: str
    field: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {"code": self.code, "message": self.message, "field": ["input", *self.field]}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a mutation did: the object it was about (its key; the payload reads it again), the objections if it was not
    done, and whatever else its payload shows."""

    object_id: str | None = None
    errors: tuple[MutationError, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)


class Refused(Exception):
    """Something speaks against the mutation; the transaction is rolled back. `object_id` names what to show."""

    def __init__(self, *errors: MutationError, object_id: str | None = None) -> None:
        super().__init__(*(error.message for error in errors))
        self.errors = errors
        self.object_id = object_id


@dataclass(frozen=True, slots=True)
class Call:
    """A mutation's caller and database, the ways to tell that this server has, and what mail of our own is known by."""

    viewer: Viewer
    database: Database
    channels: Mapping[DeliveryChannel, Channel]
    own_mail: OwnMail

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """One transaction, committed at the end of the block, rolled back by any exception."""
        async with self.database.acquire() as connection, connection.transaction():
            yield connection

    def require(self, *roles: Role) -> None:
        """Raises `Forbidden` unless the caller has one of the roles."""
        if self.viewer.role not in roles:
            raise Forbidden(f"This is not for the role {self.viewer.role.lower()}.")


Handler: TypeAlias = Callable[[Call, Input], Awaitable[Outcome]]
"""Does a mutation. Raises `Refused` where something speaks against it, and what the database does."""


def user_errors(row: Row, viewer: ViewerParameter) -> FromClause:
    """The objections in the row's column `errors`, in order: `field` (a JSON array), `message` and `code`."""
    return json_rows(row.c.errors, field=JSON, message=Text, code=Text)
