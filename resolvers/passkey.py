"""Passkeys, with which people sign in instead of by a link in a mail. What is kept of one is its public key; the rest
never leaves the device, or the account in which its owner keeps theirs.

A person who has lost access has no passkeys any more, so that a device that was stolen does not get in when they come
back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import bindparam as bind
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.dialects.postgresql import UUID

from db import limits, models
from db.enums import AuditAction, AuditObjectKind, Role
from db.ids import new_id
from db.postgres.statement import Queryable, Statement
from db.sql import table
from resolvers import audit, sign_in
from resolvers.mutation import Transaction
from resolvers.session import PERSON_COLUMNS, KnownPerson, shown

_TABLE: Final = table(models.PasskeyRow)
_ID: Final = UUID(as_uuid=False)
_CREDENTIAL: Final = bind("credential_id", type_=_TABLE.c.credential_id.type)
_OF_PERSON: Final = {role: _TABLE.c[column] == bind("person_id", type_=_ID) for role, column in PERSON_COLUMNS.items()}
_LIST: Final = {
    role: Statement(select(_TABLE).where(of_person).order_by(_TABLE.c.created_at, _TABLE.c.id))
    for role, of_person in _OF_PERSON.items()
}
_INSERT: Final = Statement(
    insert(_TABLE).values(
        {
            column.name: bind(column.name, type_=column.type)
            for column in _TABLE.c
            if column.name not in ("created_at", "used_at")
        }
    )
)
_FIND: Final = Statement(select(_TABLE).where(_TABLE.c.credential_id == _CREDENTIAL))
_USE: Final = Statement(
    update(_TABLE)
    .where(
        _TABLE.c.id == bind("passkey_id", type_=_ID),
        _TABLE.c.sign_count == bind("before", type_=_TABLE.c.sign_count.type),
    )
    .values(sign_count=bind("after", type_=_TABLE.c.sign_count.type), used_at=func.now())
    .returning(_TABLE.c.id)
)
_DELETE: Final = {
    role: Statement(
        delete(_TABLE).where(_TABLE.c.id == bind("passkey_id", type_=_ID), of_person).returning(_TABLE.c.id)
    )
    for role, of_person in _OF_PERSON.items()
}
_DELETE_ALL: Final = {role: Statement(delete(_TABLE).where(of_person)) for role, of_person in _OF_PERSON.items()}


@dataclass(frozen=True, slots=True)
class Passkey:
    id: str
    credential_id: bytes
    user_agent: str
    created_at: datetime
    used_at: datetime | None


@dataclass(frozen=True, slots=True)
class Found:
    """A passkey with which somebody wants to sign in, and who that is."""

    id: str
    public_key: bytes
    sign_count: int
    person: KnownPerson


async def of(database: Queryable, person: KnownPerson) -> Sequence[Passkey]:
    """The person's passkeys, the oldest first."""
    rows = await _LIST[person.role].fetch(database, person_id=person.key)
    return [
        Passkey(str(row["id"]), row["credential_id"], row["user_agent"], row["created_at"], row["used_at"])
        for row in rows
    ]


async def add(
    transaction: Transaction,
    person: KnownPerson,
    credential_id: bytes,
    public_key: bytes,
    sign_count: int,
    user_agent: str,
    client: str | None,
) -> bool:
    """Returns whether it was added: nobody has more than `PASSKEYS_MAX`, and none is added twice."""
    there = await _LIST[person.role].fetch(transaction, person_id=person.key)
    if len(there) >= limits.PASSKEYS_MAX or await _FIND.fetchrow(transaction, credential_id=credential_id):
        return False
    key = new_id()
    given: dict[str, Any] = {"credential_id": credential_id, "public_key": public_key, "sign_count": sign_count}
    await _INSERT.execute(transaction, id=key, user_agent=shown(user_agent), **given, **person.column)
    await _record(transaction, person, AuditAction.CREATED, key, client)
    return True


async def find(database: Queryable, credential_id: bytes) -> Found | None:
    """The passkey with this id, of a person who has access."""
    row = await _FIND.fetchrow(database, credential_id=credential_id)
    person = None if row is None else await sign_in.person_of(database, row)
    return None if person is None else Found(str(row["id"]), row["public_key"], row["sign_count"], person)


async def use(transaction: Transaction, found: Found, sign_count: int) -> bool:
    """Notes that the passkey was used. Returns whether it is still there as it was found: it may have been removed or
    used meanwhile."""
    used = await _USE.fetchval(transaction, passkey_id=found.id, before=found.sign_count, after=sign_count)
    return used is not None


async def remove(transaction: Transaction, person: KnownPerson, passkey_id: str, client: str | None) -> None:
    """Removes a passkey of the person, if they have it."""
    if await _DELETE[person.role].fetchval(transaction, passkey_id=passkey_id, person_id=person.key) is not None:
        await _record(transaction, person, AuditAction.REVOKED, passkey_id, client)


async def end_of(transaction: Transaction, role: Role, person_id: str) -> None:
    """Removes all passkeys of a person who has lost access."""
    await _DELETE_ALL[role].execute(transaction, person_id=person_id)


async def _record(
    transaction: Transaction, person: KnownPerson, action: AuditAction, key: str, client: str | None
) -> None:
    author = audit.Author.person(person.role, person.key, person.name, client)
    before, after = (None, person.column) if action is AuditAction.CREATED else (person.column, {})
    await audit.record_by(transaction, author, action, AuditObjectKind.PASSKEY, key, before, after)
