"""What every mutation receives and returns: the call with its viewer and transaction, the outcome, the user errors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, TypeVar

import asyncpg
from sqlalchemy import FromClause, Text
from sqlalchemy.dialects.postgresql import JSON

from db.enums import DeliveryChannel, DocumentedEnum, Role
from db.errors import Forbidden
from db.events.log import PLAIN, Origin, Part
from db.postgres.pool import LOST, WITHOUT_EFFECT, Connection
from db.postgres.statement import Queryable, Transactional
from db.sql import Row, json_rows
from db.viewer import Viewer
from db.visibility import ViewerParameter
from notifiers.message_ids import OwnMail
from notifiers.notification import Channel
from resolvers.file_links import FileLinks
from resolvers.files import Files
from resolvers.staff_presence import StaffPresence
from resolvers.webhook_office import WebhookOffice

T = TypeVar("T")

Transaction: TypeAlias = Connection
"""A connection with an open transaction."""


Input: TypeAlias = Mapping[str, Any]
"""A mutation's input, coerced, under the schema's field names. A field that the client has not sent is absent."""


def without_key(input: Input) -> dict[str, Any]:
    """The input without its idempotency key."""
    return {name: value for name, value in input.items() if name != "idempotencyKey"}


class UserErrorCode(DocumentedEnum):
    """The code of a user error."""

    REQUIRED = "REQUIRED", "A value is missing or blank."
    TOO_LONG = "TOO_LONG", "A text or a list is too long."
    INVALID = "INVALID", "A value has the wrong format or is not allowed here."
    NOT_FOUND = "NOT_FOUND", "The object does not exist, or you cannot see it."
    TAKEN = "TAKEN", "The value must be unique and is already in use."
    MISMATCH = (
        "MISMATCH",
        "Two values contradict each other, such as a property and a customer it does not belong to.",
    )
    INACTIVE = "INACTIVE", "The technician is inactive."
    NOT_ALLOWED = "NOT_ALLOWED", "Your role or the object's current state does not allow this."
    RESOLUTION_REQUIRED = "RESOLUTION_REQUIRED", "The ticket needs a resolution."
    SUPERSEDED = (
        "SUPERSEDED",
        "The ticket was unassigned, reassigned or reopened since; the payload has the assignment.",
    )
    STALE = "STALE", "The ticket has changed since `ifVersion`; the payload has the current ticket."
    IDEMPOTENCY_CONFLICT = "IDEMPOTENCY_CONFLICT", "The idempotency key was already used for a different request."


@dataclass(frozen=True, slots=True)
class MutationError:
    """One user error. `field` is the path of the input field it is about, in the schema's names."""

    code: UserErrorCode
    message: str
    field: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {"code": self.code, "message": self.message, "field": ["input", *self.field]}


@dataclass(frozen=True, slots=True)
class Outcome:
    """A mutation's result: the key of its object, which the payload reads again; the errors, if it was refused; and
    `extra` values that only this mutation's payload shows. `unkept` are more of these, such as secrets, that are not
    kept for a repetition of the request. `answer` is the payload's JSON, if it has been read by the statement that
    wrote the object. `repeated` says that all was there already, because the request, or one with the same effect, had
    been carried out before."""

    object_id: str | None = None
    errors: tuple[MutationError, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    unkept: Mapping[str, Any] = field(default_factory=dict)
    answer: bytes | None = None
    repeated: bool = False


class Refused(Exception):
    """The mutation is refused with user errors, and its transaction rolled back. `object_id` is the key of the object
    that the payload shows all the same, if any."""

    def __init__(self, *errors: MutationError, object_id: str | None = None) -> None:
        super().__init__(*(error.message for error in errors))
        self.errors = errors
        self.object_id = object_id


class Keeping(Protocol):
    """The transaction of a call with an idempotency key (`resolvers/idempotency.py`)."""

    async def at_once(self, write: Callable[[Queryable, Part], Awaitable[T | None]]) -> T | None: ...

    def expect(self, object_id: str | None) -> None: ...

    async def outside(self) -> Transactional: ...


@dataclass(frozen=True, slots=True)
class Peer:
    """Where a request comes from: the `client`'s address, or None; and the `socket`, if it came over a WebSocket, as
    something that is the same for all that comes over it."""

    client: str | None = None
    socket: Hashable = None


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a mutation: the viewer, the database, the notification channels, how to recognise our own mail, and
    the files. `links` makes the URLs of files; None if there is no client to use them.
    `answer` makes the part that reads the payload in the statement that writes the ticket with this key; None if the
    payload must be read afterwards. `client` and `socket` are those of the request's `Peer`. `origin` is what the
    request says about itself, and `keeping` keeps its idempotency key, if it has one. `presence` is the staff's
    presence on tickets; None where there is no server. `webhooks` tries the documents of webhooks; None if the call
    cannot be of one of their mutations."""

    viewer: Viewer
    database: Transactional
    channels: Mapping[DeliveryChannel, Channel]
    own_mail: OwnMail
    files: Files
    links: FileLinks | None = None
    answer: Callable[[str], Part | None] = lambda ticket_id: None
    client: str | None = None
    socket: Hashable = None
    presence: StaffPresence | None = None
    origin: Origin = PLAIN
    keeping: Keeping | None = None
    webhooks: WebhookOffice | None = None

    @asynccontextmanager
    async def transaction(self, object_id: str | None = None) -> AsyncIterator[Transaction]:
        """One transaction, committed at the end of the block, rolled back by any exception; with an idempotency key,
        committed with its outcome. If it says beforehand which `object_id` that will have, the key is written once."""
        if self.keeping is not None:
            self.keeping.expect(object_id)
        async with self.database.transaction() as connection:
            yield connection

    async def outside(self) -> Transactional:
        """The database for what is read before something slow, such as a request to another server: no transaction is
        begun, not even with an idempotency key."""
        return self.database if self.keeping is None else await self.keeping.outside()

    async def in_one_statement(self, write: Callable[[Queryable], Awaitable[T]]) -> T:
        """Runs `write`, which executes one statement, without a transaction around it. If its connection turns out to
        be closed, runs it again in a transaction; a second effect must be impossible."""
        try:
            return await write(self.database)
        except (*LOST, asyncpg.InternalClientError) as lost:
            try:
                async with self.transaction() as transaction:
                    return await write(transaction)
            except WITHOUT_EFFECT as error:
                raise lost from error  # only the second attempt is sure to have had no effect

    def require(self, *roles: Role) -> None:
        """Raises `Forbidden` unless the caller has one of the roles."""
        if self.viewer.role not in roles:
            raise Forbidden(f"The role {self.viewer.role.lower()} cannot do this.")


Handler: TypeAlias = Callable[[Call, Input], Awaitable[Outcome]]
"""Carries out a mutation. Raises `Refused` with the user errors, if there are any, and the errors of the database."""


def user_errors(row: Row, viewer: ViewerParameter) -> FromClause:
    """The user errors in the row's column `errors`, in order: `field` (a JSON array), `message` and `code`."""
    return json_rows(row.c.errors, field=JSON, message=Text, code=Text)
