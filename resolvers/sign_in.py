"""Signing in by a link that is mailed to a person's address. It works once, and for `VALID`.

Whoever asks learns nothing: the answer is the same for any address, and mail leaves after it. An address is that of one
admin, technician or customer at most; if it is that of several, the first of these is meant, because their pages show
more. `docs/decisions/sessions.md` says why.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Interval,
    Text,
    func,
    insert,
    literal,
    literal_column,
    null,
    select,
    union_all,
    update,
)
from sqlalchemy import bindparam as bind

from db import models
from db.enums import Role
from db.postgres.pool import Database
from db.postgres.statement import Queryable, Statement
from db.retention import SIGN_IN_LINKS_COUNT
from db.sql import table
from resolvers.identity import folded
from resolvers.mutation import Transaction
from resolvers.session import PERSON_COLUMNS, KnownPerson, hash_of

VALID: Final = timedelta(minutes=15)
UNUSED_MAX: Final = ((timedelta(hours=1), 3), (SIGN_IN_LINKS_COUNT, 6))
"""How many links a person gets in a time without using them; further ones are not sent. Whoever asks may be a stranger,
who would fill the person's mailbox."""

UNUSED_MAX_OF_KNOWN: Final = ((VALID, 3),)
"""The same in a browser in which the person has signed in before: no stranger can keep them out there."""

NEXT_PATH_MAX: Final = 500

_LINKS: Final = table(models.SignInLinkRow)
_ADMINS: Final = table(models.AdminRow)
_TECHNICIANS: Final = table(models.TechnicianRow)
_CUSTOMERS: Final = table(models.CustomerRow)
_PEOPLE: Final = {
    Role.ADMIN: (_ADMINS, _ADMINS.c.active),
    Role.TECHNICIAN: (_TECHNICIANS, _TECHNICIANS.c.active),
    Role.CUSTOMER: (_CUSTOMERS, _CUSTOMERS.c.erased_at.is_(None)),
}


def _columns(role: Role, people: Any) -> list[ColumnElement[Any]]:
    return [literal_column(f"'{role}'", Text()).label("role"), people.c.id, people.c.name, people.c.email]


_OF_ADDRESS: Final = Statement(
    union_all(
        *(
            select(*_columns(role, people)).where(
                func.lower(people.c.email) == func.lower(bind("email", type_=Text())), with_access
            )
            for role, (people, with_access) in _PEOPLE.items()
        )
    )
)


def _unused(column: str, time: timedelta) -> ColumnElement[int]:
    """The number of the links of a person in this time that they have not used."""
    return (
        select(func.count())
        .select_from(_LINKS)
        .where(
            _LINKS.c[column] == bind("person_id", type_=_LINKS.c[column].type),
            _LINKS.c.created_at > func.now() - literal(time, Interval()),
            _LINKS.c.used_at.is_(None),
        )
        .scalar_subquery()
    )


def _insert(role: Role, unused_max: tuple[tuple[timedelta, int], ...]) -> Statement:
    of_person = {
        column: bind("person_id", type_=_LINKS.c[column].type) if each is role else null()
        for each, column in PERSON_COLUMNS.items()
    }
    row = select(bind("hash", type_=_LINKS.c.secret_hash.type), *of_person.values(), bind("next_path", type_=Text()))
    allowed = (_unused(PERSON_COLUMNS[role], time) < most for time, most in unused_max)
    inserted = insert(_LINKS).from_select(["secret_hash", *of_person, "next_path"], row.where(*allowed))
    return Statement(inserted.returning(_LINKS.c.created_at))


_ONE_AT_A_TIME: Final = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))"
"""Has the links of one person made one after the other: each counts those before."""

_INSERT: Final = {role: _insert(role, UNUSED_MAX) for role in PERSON_COLUMNS}
_INSERT_OF_KNOWN: Final = {role: _insert(role, UNUSED_MAX_OF_KNOWN) for role in PERSON_COLUMNS}
_IS_VALID: Final = (
    _LINKS.c.secret_hash == bind("hash", type_=_LINKS.c.secret_hash.type),
    _LINKS.c.used_at.is_(None),
    _LINKS.c.created_at > func.now() - bind("valid", type_=Interval()),
)
_LOOK: Final = Statement(select(_LINKS).where(*_IS_VALID))
_USE: Final = Statement(update(_LINKS).where(*_IS_VALID).values(used_at=func.now()).returning(*_LINKS.c))
_PERSON: Final = {
    role: Statement(
        select(*_columns(role, people)).where(people.c.id == bind("id", type_=people.c.id.type), with_access)
    )
    for role, (people, with_access) in _PEOPLE.items()
}


@dataclass(frozen=True, slots=True)
class SignInLink:
    """A link to be mailed to `email`; `secret` is in its URL."""

    email: str
    name: str
    secret: str


async def admin_with(database: Queryable, email: str) -> KnownPerson | None:
    """The active admin with this address, if there is one. Raises the database's errors."""
    for row in await _with_address(database, email):
        if row["role"] == Role.ADMIN:
            return KnownPerson(Role.ADMIN, str(row["id"]), row["name"])
    return None


async def make_link(database: Database, email: str, next_path: str, known: str | None) -> SignInLink | None:
    """Makes a link for the person with this address. None if there is nobody, or if they have got too many
    (`UNUSED_MAX`). `known` is the subject of who has signed in before in the browser that asks. Raises the database's
    errors."""
    rows = await _with_address(database, email)
    if not rows:
        return None
    row = min(rows, key=lambda row: list(_PEOPLE).index(Role(row["role"])))
    person = KnownPerson(Role(row["role"]), str(row["id"]), row["name"])
    statements = _INSERT_OF_KNOWN if known == person.subject else _INSERT
    secret = secrets.token_urlsafe(32)
    given = {"person_id": person.key, "next_path": next_path[:NEXT_PATH_MAX]}
    async with database.transaction() as transaction:
        await transaction.execute(_ONE_AT_A_TIME, f"sign-in link of {person.subject}")
        made = await statements[person.role].fetchval(transaction, hash=hash_of(secret), **given)
    return None if made is None else SignInLink(row["email"], person.name, secret)


async def use_link(transaction: Transaction, secret: str) -> tuple[KnownPerson, str] | None:
    """Uses a link up, and returns the person with the path to go to. None if it is not valid, or not any more."""
    link = await _USE.fetchrow(transaction, hash=hash_of(secret), valid=VALID)
    person = None if link is None else await person_of(transaction, link)
    return None if person is None else (person, link["next_path"])


async def look_at(database: Queryable, secret: str) -> KnownPerson | None:
    """The person whom a link signs in, which stays as it is. None if it is not valid, or not any more."""
    link = await _LOOK.fetchrow(database, hash=hash_of(secret), valid=VALID)
    return None if link is None else await person_of(database, link)


async def person_of(database: Queryable, row: Mapping[str, Any]) -> KnownPerson | None:
    """The person whom a row names by `PERSON_COLUMNS`; None if they have no access."""
    role, key = _person_of(row)
    person = await _PERSON[role].fetchrow(database, id=key)
    return None if person is None else KnownPerson(role, key, person["name"])


async def _with_address(database: Queryable, email: str) -> list[Any]:
    found = await _OF_ADDRESS.fetch(database, email=email.strip())
    return [row for row in found if folded(row["email"]) == folded(email)]


def _person_of(row: Mapping[str, Any]) -> tuple[Role, str]:
    role = next(role for role, column in PERSON_COLUMNS.items() if row[column] is not None)
    return role, str(row[PERSON_COLUMNS[role]])
