"""Idempotency keys: a request that is sent twice is carried out once, and both get the same answer.

Whatever a mutation writes commits together with the key's row, which keeps its outcome. A second request with the same
key waits for the first, and then gets its outcome; the payload is read anew, as the viewer sees it now. A key belongs
to its caller, and reusing it for a different request is a conflict. A request that was refused has written nothing and
has not used its key, so it may be sent again.

Handlers know nothing of it: the database of such a call is a `_OneTransaction`.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, Self, TypeVar
from weakref import WeakValueDictionary

import asyncpg
import orjson
from sqlalchemy import ColumnElement, LargeBinary, Text, bindparam, delete, literal_column, select, text, update
from sqlalchemy.dialects.postgresql import JSON, UUID, insert

from db import limits, models
from db.compiler.fields import MutationField
from db.events.log import Origin, Part
from db.postgres.pool import Connection
from db.postgres.statement import Queryable, Statement, Transactional
from db.sql import table
from db.viewer import Viewer
from resolvers.checks import Checks
from resolvers.mutation import Call, Input, MutationError, Outcome, Refused, UserErrorCode, without_key

T = TypeVar("T")

_OUTSIDE: Final[WeakValueDictionary[tuple[str, str], asyncio.Lock]] = WeakValueDictionary()
"""Held by calls of this process that do something slow outside of their transaction, by caller and key."""

_NO_OBJECT: Final = "00000000-0000-0000-0000-000000000000"
_KEYS = table(models.IdempotencyKeyRow)
_PRIMARY_KEY: Final = "pk_idempotency_keys"
_OF_REQUEST = (
    _KEYS.c.caller == bindparam("kept_caller", type_=Text()),
    _KEYS.c.key == bindparam("kept_key", type_=Text()),
)
_OBJECT_ID = bindparam("kept_object_id", type_=UUID(as_uuid=False))
_EXTRA = bindparam("kept_extra", type_=JSON())
_CLAIMED: dict[str, ColumnElement[Any]] = {
    "caller": bindparam("kept_caller", type_=Text()),
    "key": bindparam("kept_key", type_=Text()),
    "request_hash": bindparam("kept_hash", type_=LargeBinary()),
    "device": bindparam("kept_device", type_=LargeBinary()),
}
_CLAIM = Statement(
    insert(_KEYS)
    .values(_CLAIMED | {"object_id": _OBJECT_ID, "extra": _EXTRA})
    .on_conflict_do_nothing()
    .returning(literal_column("true"))
)
_KEEP = Statement(update(_KEYS).where(*_OF_REQUEST).values(object_id=_OBJECT_ID, extra=_EXTRA))
_FORGET = Statement(delete(_KEYS).where(*_OF_REQUEST))
_FOUND = Statement(select(_KEYS.c.request_hash, _KEYS.c.object_id, _KEYS.c.extra).where(*_OF_REQUEST))
# As a part of the statement that writes a ticket's event; the outcome is that ticket.
_KEPT_WITH_EVENT = Statement(
    insert(_KEYS).from_select(
        [*_CLAIMED, "object_id"],
        select(*_CLAIMED.values(), literal_column("event.ticket_id", UUID(as_uuid=False))).select_from(text("event")),
    )
)


@dataclass(frozen=True, slots=True)
class KeyedRequest:
    """What identifies a request: its caller and key. `digest` is that of its content, and `device` that of the device
    that sent it as a command, if one did."""

    caller: str
    key: str
    digest: bytes
    device: bytes | None = None

    @classmethod
    def of(cls, viewer: Viewer, key: str, name: str, content: Mapping[str, Any], device: bytes | None = None) -> Self:
        """The request with this key for the mutation or command `name`. The order of its fields does not matter."""
        digest = hashlib.sha256(orjson.dumps([name, content], option=orjson.OPT_SORT_KEYS)).digest()
        return cls(viewer.role_and_id, key, digest, device)

    @property
    def parameters(self) -> dict[str, Any]:
        named = {"kept_caller": self.caller, "kept_key": self.key, "kept_hash": self.digest}
        return named | {"kept_device": self.device}


async def carry_out(call: Call, name: str, mutation: MutationField, input: Input) -> Outcome:
    """Carry out a mutation whose input may have an `idempotencyKey` and say when it `occurredAt`. Raises `Refused`."""
    occurred_at = input.get("occurredAt")
    if occurred_at is not None:
        occurred_at = min(occurred_at, datetime.now(UTC))
    if input.get("idempotencyKey") is None:
        outcome: Outcome = await mutation.handler(replace(call, origin=Origin(occurred_at=occurred_at)), input)
        return outcome
    key = checked_key(input["idempotencyKey"], "idempotencyKey")
    request = KeyedRequest.of(call.viewer, key, name, without_key(input))
    call = replace(call, origin=Origin(key, occurred_at))
    run = _apart if mutation.apart else once
    outcome = await run(call, request, lambda keyed: mutation.handler(keyed, input))
    if outcome.repeated and mutation.again is not None:
        outcome = await mutation.again(call, outcome)
    return outcome


def checked_key(key: str | None, *field: str) -> str:
    """The key without blanks around it. Raises `Refused` if it cannot be one."""
    checks = Checks()
    checked = checks.line(key, limits.IDEMPOTENCY_KEY_MAX, *field)
    checks.finish()
    return checked


async def once(call: Call, request: KeyedRequest, handler: Callable[[Call], Awaitable[Outcome]]) -> Outcome:
    """Run the handler in one transaction with the key's row, or return the outcome of the equal request that has used
    the key before, as `repeated`. Raises `Refused` for the handler's errors, and if the key was used for a different
    request."""
    try:
        return await _attempt(call, request, handler)
    except asyncpg.DeadlockDetectedError:  # `at_once` locks the ticket before the key, others after it
        return await _attempt(call, request, handler)


async def _attempt(call: Call, request: KeyedRequest, handler: Callable[[Call], Awaitable[Outcome]]) -> Outcome:
    transaction = _OneTransaction(call.database, request)
    try:
        outcome = await handler(replace(call, database=transaction, keeping=transaction))
        await (transaction.refuse() if outcome.repeated else transaction.keep(outcome))
    except _Repeated as repeated:
        return repeated.outcome
    except Refused:
        # A check may have failed only now, such as that of a time: the request may have been carried out before.
        earlier = None if await transaction.refuse() else await _find(call.database, request)
        if earlier is None:
            raise
        return earlier
    except BaseException as error:
        await transaction.roll_back(error)
        raise
    finally:
        transaction.let_others()
    return outcome


async def _apart(call: Call, request: KeyedRequest, handler: Callable[[Call], Awaitable[Outcome]]) -> Outcome:
    """The same for a handler that needs several transactions, and that has no second effect by itself. If the process
    ends before the outcome is kept, an equal request runs the handler again."""
    earlier = await _find(call.database, request)
    if earlier is not None:
        return earlier
    outcome = await handler(call)
    if not await _claim(call.database, request, outcome):
        return await _find(call.database, request) or outcome
    return outcome


class _Repeated(Exception):
    """The request has been carried out before, with this outcome."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__()
        self.outcome = outcome


class _OneTransaction:
    """The database of a call with an idempotency key: all that the call writes is one transaction, which first claims
    the key. It begins when the call first uses the database, and `keep` ends it.

    A block of `transaction` that raises takes back what was written in it, as it does on the pool. If the block had
    begun the transaction, that ends, and the call goes on outside of it."""

    def __init__(self, database: Transactional, request: KeyedRequest) -> None:
        self._database = database
        self._request = request
        self._context: AbstractAsyncContextManager[Connection] | None = None
        self._connection: Connection | None = None
        self._has_ended = False
        self._has_claimed = False
        self._has_kept = False
        self._expected = Outcome()
        self._turn: asyncio.Lock | None = None

    def expect(self, object_id: str | None) -> None:
        """Says which object the outcome will have, before the transaction begins."""
        if self._connection is None:
            self._expected = Outcome(object_id)

    async def outside(self) -> Transactional:
        """The database without the transaction, which would hold a connection and the key's row meanwhile. Ends the
        call at once if its request has been carried out before. An equal request waits for this one, if both came to
        this process."""
        if self._turn is None:
            turn = _OUTSIDE.setdefault((self._request.caller, self._request.key), asyncio.Lock())
            await turn.acquire()
            self._turn = turn
        earlier = await _find(self._database, self._request)
        if earlier is not None:
            raise _Repeated(earlier)
        return self._database

    def let_others(self) -> None:
        """Lets an equal request go on that waits for this one."""
        if self._turn is not None:
            self._turn.release()

    async def fetch(self, query: str, *args: Any) -> list[Any]:
        return await (await self._executor()).fetch(query, *args)

    async def fetchrow(self, query: str, *args: Any) -> Any:
        return await (await self._executor()).fetchrow(query, *args)

    async def fetchval(self, query: str, *args: Any) -> Any:
        return await (await self._executor()).fetchval(query, *args)

    async def execute(self, query: str, *args: Any) -> str:
        return await (await self._executor()).execute(query, *args)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        if self._has_ended:
            async with self._database.transaction() as connection:
                yield connection
        elif self._connection is not None:
            async with self._connection.transaction():
                yield self._connection
        else:
            connection = await self._begin()
            try:
                yield connection
            except BaseException as error:
                await self.roll_back(error)
                raise

    async def at_once(self, write: Callable[[Queryable, Part], Awaitable[T | None]]) -> T | None:
        """Runs `write`, which executes one statement with the part that keeps the key, with the written event's ticket
        as the outcome. Returns None, with nothing written, if `write` does or if the key has been used."""
        try:
            written = await write(self._database, Part(_KEPT_WITH_EVENT, self._request.parameters))
        except asyncpg.UniqueViolationError as error:
            if error.constraint_name != _PRIMARY_KEY:
                raise
            return None
        self._has_kept = written is not None
        return written

    async def keep(self, outcome: Outcome) -> None:
        """Commits the outcome with what the call has written. Raises the database's errors."""
        if self._has_kept:
            return
        if self._connection is None:
            await _claim(self._database, self._request, outcome)
            return
        if _kept(outcome) != _kept(self._expected):
            await _KEEP.execute(self._connection, **self._request.parameters, **_kept(outcome))
        await self._end()

    async def refuse(self) -> bool:
        """Ends a call that was refused, or whose effect was there already, and gives up its key. What it has written
        outside of the blocks of `transaction` stays. Returns whether it had claimed the key."""
        if self._connection is not None:
            await _FORGET.execute(self._connection, **self._request.parameters)
            await self._end()
        return self._has_claimed

    async def roll_back(self, error: BaseException) -> None:
        """Ends the transaction, if there is one, because of an error."""
        if self._context is not None:
            await self._end(error)

    async def _executor(self) -> Queryable:
        if self._has_ended:
            return self._database
        return self._connection or await self._begin()

    async def _begin(self) -> Connection:
        self._context = self._database.transaction()
        try:
            self._connection = await self._context.__aenter__()
        except BaseException:
            self._context = None
            raise
        try:
            if not await _claim(self._connection, self._request, self._expected):
                raise _Repeated(await self._earlier(self._connection))
        except BaseException as error:
            await self.roll_back(error)
            raise
        self._has_claimed = True
        return self._connection

    async def _earlier(self, connection: Connection) -> Outcome:
        earlier = await _find(connection, self._request)
        if earlier is None:  # pruned between the two statements
            raise asyncpg.DeadlockDetectedError("the key was pruned meanwhile")
        return earlier

    async def _end(self, error: BaseException | None = None) -> None:
        context, self._context, self._connection = self._context, None, None
        self._has_ended = True
        assert context is not None
        await context.__aexit__(type(error) if error else None, error, error.__traceback__ if error else None)


async def _claim(connection: Queryable, request: KeyedRequest, outcome: Outcome) -> bool:
    """Writes the key's row. Returns False if there is one."""
    return bool(await _CLAIM.fetchval(connection, **request.parameters, **_kept(outcome)))


async def _find(connection: Queryable, request: KeyedRequest) -> Outcome | None:
    """The outcome of the request that has used the key; None if there was none. Raises `Refused` if it was a different
    one."""
    row = await _FOUND.fetchrow(connection, **request.parameters)
    if row is None:
        return None
    if row["request_hash"] != request.digest:
        message = "This idempotency key was already used for a different request; use a new one."
        raise Refused(MutationError(UserErrorCode.IDEMPOTENCY_CONFLICT, message, ("idempotencyKey",)))
    object_id = None if str(row["object_id"]) == _NO_OBJECT else str(row["object_id"])
    return Outcome(object_id, extra=orjson.loads(row["extra"]) if row["extra"] else {}, repeated=True)


def _kept(outcome: Outcome) -> dict[str, Any]:
    return {"kept_object_id": outcome.object_id or _NO_OBJECT, "kept_extra": dict(outcome.extra) or None}
