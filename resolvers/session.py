"""Sessions: the browsers in which people are signed in. The secret of a session is in a cookie; only its hash is kept.

A session ends when it has not been used for `CALLOUT_SESSION_DAYS`, when it is revoked, or when its person loses
access. Then its row is gone: within a second every process has forgotten the session and closed its live connections.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Text, and_, delete, func, insert, or_, select, text, update
from sqlalchemy import bindparam as bind
from sqlalchemy.dialects.postgresql import UUID

from db import limits, models
from db.entities import ADMIN, CUSTOMER, SESSION, TECHNICIAN
from db.enums import PEOPLE, AuditAction, AuditObjectKind, Role
from db.ids import new_id
from db.postgres.statement import Queryable, Statement
from db.sql import table
from db.visibility import ViewerParameter
from resolvers import audit
from resolvers.checks import Checks
from resolvers.mutation import Call, Input, MutationError, Outcome, Refused, Transaction, UserErrorCode

PREVIOUS_VALID: Final = text("interval '1 day'")
"""How long the secret of a session is valid after another has taken its place: the answer that had the other one may
have been lost on its way."""

SECRET_PREFIX: Final = "callout_session_"
PERSON_COLUMNS: Final = {Role.ADMIN: "admin_id", Role.TECHNICIAN: "technician_id", Role.CUSTOMER: "customer_id"}
"""The columns of sessions and sign-in links that name the person."""

_ENTITIES: Final = {Role.ADMIN: ADMIN, Role.TECHNICIAN: TECHNICIAN, Role.CUSTOMER: CUSTOMER}
_TABLE: Final = table(models.SessionRow)
_ID: Final = UUID(as_uuid=False)
_MISSING: Final = MutationError(UserErrorCode.NOT_FOUND, "There is no such session.", ("sessionId",))

_INSERT: Final = Statement(
    insert(_TABLE).values(
        {
            name: bind(name, type_=_TABLE.c[name].type)
            for name in ("id", "secret_hash", *PERSON_COLUMNS.values(), "user_agent")
        }
    )
)
_SURPLUS: Final = {
    role: Statement(
        select(_TABLE.c.id)
        .where(_TABLE.c[column] == bind("person_id", type_=_ID))
        .order_by(_TABLE.c.used_at.desc())
        .offset(limits.SESSIONS_MAX - 1)
    )
    for role, column in PERSON_COLUMNS.items()
}
_OF_PERSON: Final = {
    role: Statement(select(_TABLE.c.id).where(_TABLE.c[column] == bind("person_id", type_=_ID)))
    for role, column in PERSON_COLUMNS.items()
}
_HASH: Final = bind("hash", type_=_TABLE.c.secret_hash.type)
_OF_SECRET: Final = Statement(
    select(_TABLE).where(
        or_(
            _TABLE.c.secret_hash == _HASH,
            and_(_TABLE.c.previous_hash == _HASH, _TABLE.c.renewed_at > func.now() - PREVIOUS_VALID),
        )
    )
)
_RENEW: Final = Statement(
    update(_TABLE)
    .where(
        or_(
            and_(_TABLE.c.secret_hash == _HASH, _TABLE.c.renewed_at < func.now() - text("interval '1 day'")),
            # The browser has not received the other one. But a page that was loaded at the same moment may have.
            and_(
                _TABLE.c.previous_hash == _HASH,
                _TABLE.c.renewed_at > func.now() - PREVIOUS_VALID,
                _TABLE.c.renewed_at < func.now() - text("interval '1 minute'"),
            ),
        )
    )
    .values(
        secret_hash=bind("new_hash", type_=_TABLE.c.secret_hash.type),
        previous_hash=_HASH,
        renewed_at=func.now(),
        used_at=func.now(),
    )
    .returning(_TABLE.c.id)
)
_VISIBLE: Final = {
    role: Statement(
        select(_TABLE)
        .where(
            _TABLE.c.id == bind("id", type_=_ID),
            SESSION.visible(_TABLE, ViewerParameter(role, bind("viewer", type_=Text()))),
        )
        .with_for_update()
    )
    for role in PEOPLE
}
_DELETE: Final = Statement(delete(_TABLE).where(_TABLE.c.id == bind("id", type_=_ID)).returning(_TABLE.c.id))
_NAME: Final = {
    role: Statement(select(entity.table.c.name).where(entity.table.c.id == bind("id", type_=_ID)))
    for role, entity in _ENTITIES.items()
}


@dataclass(frozen=True, slots=True)
class KnownPerson:
    """A person who may sign in: their role, their key, and their name."""

    role: Role
    key: str
    name: str

    @property
    def subject(self) -> str:
        """By what the audit trail and revocations know the person."""
        return f"{_ENTITIES[self.role].prefix}_{self.key}"

    @property
    def column(self) -> dict[str, str | None]:
        """The columns that name the person in a row; all but one are null."""
        return {column: self.key if role is self.role else None for role, column in PERSON_COLUMNS.items()}


def new_secret() -> str:
    """A secret of 256 random bits, of the characters that a bearer token may have."""
    return SECRET_PREFIX + secrets.token_urlsafe(32)


def hash_of(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def shown(user_agent: str) -> str:
    """What a browser says of itself, as it is kept."""
    return "".join(filter(str.isprintable, user_agent))[: limits.USER_AGENT_MAX]


async def begin(transaction: Transaction, person: KnownPerson, user_agent: str, client: str | None) -> str:
    """Signs a person in and returns the session's secret. Of too many sessions, those used longest ago are ended."""
    for row in await _SURPLUS[person.role].fetch(transaction, person_id=person.key):
        await _end(transaction, str(row["id"]))
    secret, session_id = new_secret(), new_id()
    agent = shown(user_agent)
    await _INSERT.execute(transaction, id=session_id, secret_hash=hash_of(secret), user_agent=agent, **person.column)
    author = audit.Author.person(person.role, person.key, person.name, client)
    created, kind = AuditAction.CREATED, AuditObjectKind.SESSION
    await audit.record_by(transaction, author, created, kind, session_id, None, {**person.column})
    return secret


async def renew(database: Queryable, secret: str) -> str | None:
    """Gives a session whose secret is a day old, or was replaced without the browser's knowing, another one, which it
    returns. None if the session has ended, or its secret is newer."""
    new = new_secret()
    found = await _RENEW.fetchval(database, hash=hash_of(secret), new_hash=hash_of(new))
    return None if found is None else new


async def end(transaction: Transaction, secret: str, client: str | None) -> None:
    """Signs out. A session that has ended already stays so."""
    row = await _OF_SECRET.fetchrow(transaction, hash=hash_of(secret))
    if row is None or not await _end(transaction, str(row["id"])):
        return
    role = next(role for role, column in PERSON_COLUMNS.items() if row[column] is not None)
    key = str(row[PERSON_COLUMNS[role]])
    name = await _NAME[role].fetchval(transaction, id=key)
    author = audit.Author.person(role, key, name, client)
    revoked, kind = AuditAction.REVOKED, AuditObjectKind.SESSION
    await audit.record_by(transaction, author, revoked, kind, str(row["id"]), _image(row), {})


async def revoke(call: Call, input: Input) -> Outcome:
    """End a session that the viewer sees: within a second it is refused, and its connections are closed. Raises
    `Refused` if there is none."""
    checks = Checks()
    session_id = checks.key(input["sessionId"], SESSION.prefix, "session", "sessionId")
    checks.finish()
    async with call.transaction() as transaction:
        row = await _VISIBLE[call.viewer.role].fetchrow(transaction, id=session_id, viewer=call.viewer.id)
        if row is None:
            raise Refused(_MISSING)
        await _end(transaction, str(session_id))
        revoked, kind = AuditAction.REVOKED, AuditObjectKind.SESSION
        await audit.record(transaction, call, revoked, kind, str(session_id), _image(row), {})
    return Outcome()


async def end_of(transaction: Transaction, role: Role, person_id: str) -> None:
    """Ends all sessions of a person who has lost access."""
    for row in await _OF_PERSON[role].fetch(transaction, person_id=person_id):
        await _end(transaction, str(row["id"]))


async def _end(transaction: Transaction, session_id: str) -> bool:
    """Returns whether it was there."""
    return await _DELETE.fetchval(transaction, id=session_id) is not None


def _image(row: Any) -> dict[str, Any]:
    return {column: row[column] and str(row[column]) for column in PERSON_COLUMNS.values()}
