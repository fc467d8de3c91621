"""Identities: the accounts at identity providers with which technicians and customers sign in.

An account is a *subject* of an *issuer*, as its tokens say. It is linked to a person once: by an admin, or, if the
settings of the issuer say so, at the first sign-in by the e-mail address that the provider has verified. From then on
the address does not matter, so whoever changes theirs at the provider becomes nobody else. What an admin has revoked is
linked again by an admin alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from sqlalchemy import Text, bindparam, case, func, insert, select, update
from sqlalchemy.dialects.postgresql import UUID
from sqlalchemy.dialects.postgresql import insert as upsert

from db import limits, models
from db.entities import CUSTOMER, IDENTITY, TECHNICIAN
from db.enums import AuditAction, AuditObjectKind, Role
from db.ids import new_id
from db.postgres.statement import Queryable, Statement
from db.sql import table
from resolvers import audit, push, session
from resolvers.checks import Checks
from resolvers.mutation import Call, Input, MutationError, Outcome, Refused, Transaction, UserErrorCode

_TABLE = table(models.IdentityRow)
_REVOCATIONS = table(models.TokenRevocationRow)
_TECHNICIANS, _CUSTOMERS = TECHNICIAN.table, CUSTOMER.table

_ID: Final = UUID(as_uuid=False)
_OF_SUBJECT: Final = (
    _TABLE.c.issuer == bindparam("issuer", type_=Text()),
    _TABLE.c.subject == bindparam("subject", type_=Text()),
)
_MISSING: Final = MutationError(UserErrorCode.NOT_FOUND, "There is no such identity.", ("identityId",))

_KNOWN: Final = Statement(
    select(
        _TABLE.c.id,
        _TABLE.c.technician_id,
        _TABLE.c.customer_id,
        _TABLE.c.revoked_at,
        func.coalesce(_TECHNICIANS.c.name, _CUSTOMERS.c.name).label("name"),
        case((_TECHNICIANS.c.id.is_not(None), _TECHNICIANS.c.active), else_=_CUSTOMERS.c.erased_at.is_(None)).label(
            "active"
        ),
    )
    .select_from(
        _TABLE.outerjoin(_TECHNICIANS, _TECHNICIANS.c.id == _TABLE.c.technician_id).outerjoin(
            _CUSTOMERS, _CUSTOMERS.c.id == _TABLE.c.customer_id
        )
    )
    .where(*_OF_SUBJECT)
)

# Locked, so that two accounts with one address are not linked at the same time, and an erasure comes before or after.
_WITH_ADDRESS: Final = {
    role: Statement(
        select(people.c.id, people.c.name, people.c.email)
        .where(func.lower(people.c.email) == func.lower(bindparam("email", type_=Text())), with_access)
        .with_for_update(key_share=True)
    )
    for role, people, with_access in (
        (Role.TECHNICIAN, _TECHNICIANS, _TECHNICIANS.c.active),
        (Role.CUSTOMER, _CUSTOMERS, _CUSTOMERS.c.erased_at.is_(None)),
    )
}
_COLUMNS: Final = {Role.TECHNICIAN: "technician_id", Role.CUSTOMER: "customer_id"}
_OTHERS: Final = {
    role: Statement(
        select(func.count())
        .select_from(_TABLE)
        .where(
            _TABLE.c[column] == bindparam("person_id", type_=_ID), _TABLE.c.issuer == bindparam("issuer", type_=Text())
        )
    )
    for role, column in _COLUMNS.items()
}
_INSERT: Final = Statement(
    upsert(_TABLE)
    .values(
        {
            column.name: bindparam(column.name, type_=column.type)
            for column in _TABLE.c
            if column.name not in ("created_at", "revoked_at")
        }
    )
    .on_conflict_do_nothing()
    .returning(_TABLE.c.id)
)
_LOCK: Final = Statement(select(_TABLE).where(*_OF_SUBJECT).with_for_update())
_LOCK_BY_ID: Final = Statement(select(_TABLE).where(_TABLE.c.id == bindparam("id", type_=_ID)).with_for_update())
_LINK_AGAIN: Final = Statement(
    update(_TABLE)
    .where(_TABLE.c.id == bindparam("identity_id", type_=_ID))
    .values(
        technician_id=bindparam("technician_id", type_=_ID),
        customer_id=bindparam("customer_id", type_=_ID),
        revoked_at=None,
    )
)
_REVOKE: Final = Statement(
    update(_TABLE)
    .where(_TABLE.c.id == bindparam("identity_id", type_=_ID))
    .values(revoked_at=func.clock_timestamp())
    .returning(_TABLE.c.revoked_at)
)
# The live connections of the identity end like those of revoked tokens.
_REVOKE_TOKENS: Final = Statement(
    insert(_REVOCATIONS).values(id=bindparam("id", type_=_ID), subject=bindparam("subject", type_=Text()))
)
_PERSON: Final = {
    "technician_id": Statement(
        select(_TECHNICIANS.c.active)
        .where(_TECHNICIANS.c.id == bindparam("id", type_=_ID))
        .with_for_update(key_share=True)
    ),
    "customer_id": Statement(
        select(_CUSTOMERS.c.erased_at.is_(None))
        .where(_CUSTOMERS.c.id == bindparam("id", type_=_ID))
        .with_for_update(key_share=True)
    ),
}


@dataclass(frozen=True, slots=True)
class Known:
    """An identity with its person, who has access unless it is not `active`."""

    id: str
    role: Role
    person_id: str
    name: str
    active: bool
    revoked: bool

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        role = Role.CUSTOMER if row["technician_id"] is None else Role.TECHNICIAN
        person = row[_COLUMNS[role]]
        return cls(str(row["id"]), role, str(person), row["name"], row["active"], row["revoked_at"] is not None)

    @property
    def global_id(self) -> str:
        return f"{IDENTITY.prefix}_{self.id}"


async def find(database: Queryable, issuer: str, subject: str) -> Known | None:
    """Returns the identity of a subject, revoked or not. Raises the database's errors."""
    row = await _KNOWN.fetchrow(database, issuer=issuer, subject=subject)
    return None if row is None else Known.of(row)


async def link_by_email(
    transaction: Transaction, role: Role, issuer: str, subject: str, email: str, client: str | None
) -> str | None:
    """Links a subject that has no identity to the one technician or customer with this address, which the provider has
    verified. Returns why not, for the log; None if it has one now. Raises the database's errors."""
    rows = await _WITH_ADDRESS[role].fetch(transaction, email=email)
    people = [row for row in rows if folded(row["email"]) == folded(email)]
    if len(people) != 1:
        return f"no active {role.lower()} has the address of the token"
    person = str(people[0]["id"])
    if await _OTHERS[role].fetchval(transaction, person_id=person, issuer=issuer):
        return (
            f"the {role.lower()} with the address of the token is linked to another subject of this issuer, or was, and"
            " only an admin links a further one"
        )
    identity = await _insert(transaction, issuer, subject, {_COLUMNS[role]: person})
    if identity is not None:
        author = audit.Author.person(role, person, people[0]["name"], client)
        image = _image(issuer, subject, {_COLUMNS[role]: person})
        created, kind = AuditAction.CREATED, AuditObjectKind.IDENTITY
        await audit.record_by(transaction, author, created, kind, identity, None, image)
    return None


def folded(email: str) -> str:
    """In lower case as far as it is ASCII: PostgreSQL finds more addresses equal, such as one with the sign for kelvin
    in the place of a K, which may be somebody else's."""
    return "".join(character.lower() if character.isascii() else character for character in email.strip())


async def link(call: Call, input: Input) -> Outcome:
    """Link a subject to a technician or customer, also one that was revoked. The same again changes nothing. Raises
    `Refused` if the subject is somebody else's."""
    checks = Checks()
    issuer = checks.line(input["issuer"], limits.ISSUER_MAX, "issuer")
    subject = checks.line(input["subject"], limits.TOKEN_SUBJECT_MAX, "subject")
    person = _person(input["person"], checks)
    checks.finish()
    async with call.transaction() as transaction:
        await _check_person(transaction, person)
        identity = await _insert(transaction, issuer, subject, person)
        if identity is not None:
            created, kind = AuditAction.CREATED, AuditObjectKind.IDENTITY
            image = _image(issuer, subject, person)
            await audit.record(transaction, call, created, kind, identity, None, image)
            return Outcome(identity)
        return await _link_again(transaction, call, issuer, subject, person)


async def _link_again(
    transaction: Transaction, call: Call, issuer: str, subject: str, person: Mapping[str, str]
) -> Outcome:
    row = await _LOCK.fetchrow(transaction, issuer=issuer, subject=subject)
    identity, before = str(row["id"]), _image_of(row)
    same = all(before[column] == person.get(column) for column in _COLUMNS.values())
    if row["revoked_at"] is None:
        if same:
            return Outcome(identity)
        message = "The subject is linked to somebody else: revoke that identity first."
        raise Refused(MutationError(UserErrorCode.TAKEN, message, ("subject",)), object_id=identity)
    columns = {column: person.get(column) for column in _COLUMNS.values()}
    await _LINK_AGAIN.execute(transaction, identity_id=identity, **columns)
    updated, kind = AuditAction.UPDATED, AuditObjectKind.IDENTITY
    after = _image(issuer, subject, person)
    await audit.record(transaction, call, updated, kind, identity, before, after)
    return Outcome(identity)


async def revoke(call: Call, input: Input) -> Outcome:
    """Revoke an identity: within a second its tokens are refused and its connections closed. Raises `Refused` if it
    does not exist."""
    checks = Checks()
    identity = checks.key(input["identityId"], IDENTITY.prefix, "identity", "identityId")
    checks.finish()
    async with call.transaction() as transaction:
        row = await _LOCK_BY_ID.fetchrow(transaction, id=identity)
        if row is None:
            raise Refused(_MISSING)
        if row["revoked_at"] is None:
            assert identity is not None
            revoked_at = await _REVOKE.fetchval(transaction, identity_id=identity)
            subject = f"{IDENTITY.prefix}_{identity}"
            await _REVOKE_TOKENS.execute(transaction, id=new_id(), subject=subject)
            await push.end_of_subject(transaction, subject)
            # Which of the person's sessions the account has begun is not known.
            role = Role.CUSTOMER if row["technician_id"] is None else Role.TECHNICIAN
            await session.end_of(transaction, role, str(row[_COLUMNS[role]]))
            revoked, kind = AuditAction.REVOKED, AuditObjectKind.IDENTITY
            before = _image_of(row)
            await audit.record(transaction, call, revoked, kind, identity, before, before | {"revoked_at": revoked_at})
    return Outcome(identity)


def _person(input: Input, checks: Checks) -> dict[str, str]:
    """The column of the person with their key."""
    kinds = (("technicianId", TECHNICIAN, "technician_id"), ("customerId", CUSTOMER, "customer_id"))
    for name, entity, column in kinds:
        if name in input:
            key = checks.key(input[name], entity.prefix, entity.name.lower(), "person", name)
            return {column: key or ""}
    raise AssertionError("the input has exactly one of them")


async def _check_person(transaction: Transaction, person: Mapping[str, str]) -> None:
    ((column, key),) = person.items()
    field = ("person", "technicianId" if column == "technician_id" else "customerId")
    has_access = await _PERSON[column].fetchval(transaction, id=key)
    if has_access is None:
        kind = "technician" if column == "technician_id" else "customer"
        raise Refused(MutationError(UserErrorCode.NOT_FOUND, f"There is no such {kind}.", field))
    if not has_access and column == "technician_id":
        raise Refused(MutationError(UserErrorCode.INACTIVE, "The technician is inactive.", field))
    if not has_access:
        raise Refused(MutationError(UserErrorCode.NOT_ALLOWED, "The customer has been erased.", field))


async def _insert(transaction: Transaction, issuer: str, subject: str, person: Mapping[str, str]) -> str | None:
    """Returns the key of the new identity; None if the subject has one."""
    columns = {column: person.get(column) for column in _COLUMNS.values()}
    row = await _INSERT.fetchval(transaction, id=new_id(), issuer=issuer, subject=subject, **columns)
    return None if row is None else str(row)


def _image(issuer: str, subject: str, person: Mapping[str, str]) -> dict[str, Any]:
    columns = {column: person.get(column) for column in _COLUMNS.values()}
    return {"issuer": issuer, "subject": subject, **columns, "revoked_at": None}


def _image_of(row: Mapping[str, Any]) -> dict[str, Any]:
    person = {column: str(row[column]) for column in _COLUMNS.values() if row[column] is not None}
    return _image(row["issuer"], row["subject"], person) | {"revoked_at": row["revoked_at"]}
