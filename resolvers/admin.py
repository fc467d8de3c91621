"""Admins who sign in here. Making one inactive ends their sessions; one active admin must always be left."""

from __future__ import annotations

from typing import Any, Final

import asyncpg
from sqlalchemy import Text, bindparam, func, insert, select
from sqlalchemy import update as sql_update

from db import limits, models
from db.entities import ADMIN
from db.enums import AuditAction, AuditObjectKind, Role
from db.errors import Failure
from db.ids import new_id
from db.postgres.statement import Statement
from db.sql import table
from resolvers import audit, crud, passkey, push, session
from resolvers.checks import Checks
from resolvers.mutation import Call, Input, MutationError, Outcome, Transaction, UserErrorCode

_TABLE = table(models.AdminRow)
_REVOCATIONS = table(models.TokenRevocationRow)
_UNIQUE = {"email": "email"}
_MISSING = MutationError(UserErrorCode.NOT_FOUND, "There is no such admin.", ("adminId",))
# Locked, so that two admins cannot make each other inactive at the same time.
_ACTIVE = Statement(select(_TABLE.c.id).where(_TABLE.c.active).order_by(_TABLE.c.id).with_for_update())

_LISTED: Final = Statement(select(_TABLE).order_by(_TABLE.c.name, _TABLE.c.id))
_INSERT: Final = Statement(
    insert(_TABLE).values({name: bindparam(name, type_=_TABLE.c[name].type) for name in ("id", "name", "email")})
)
_OF_EMAIL: Final = Statement(
    select(_TABLE).where(func.lower(_TABLE.c.email) == func.lower(bindparam("email", type_=Text())), _TABLE.c.active)
)
# What reads with the admin's rights ends like that of revoked tokens.
_REVOKE_TOKENS: Final = Statement(
    insert(_REVOCATIONS).values(
        id=bindparam("id", type_=_REVOCATIONS.c.id.type), subject=bindparam("subject", type_=Text())
    )
)
_DEACTIVATE: Final = Statement(
    sql_update(_TABLE).where(_TABLE.c.id == bindparam("admin_id", type_=_TABLE.c.id.type)).values(active=False)
)


class AdminNotChanged(Failure):
    """The admin was not added or changed. The message says why."""


async def create(call: Call, input: Input) -> Outcome:
    checks = Checks()
    return await crud.create(call, _TABLE, _values(input, checks), _UNIQUE, checks)


async def update(call: Call, input: Input) -> Outcome:
    """Change an admin. Raises `Refused` if there is no such admin, or it is the last active one."""
    checks = Checks()
    admin_id = checks.key(input["adminId"], "adm", "admin", "adminId")
    values = _values(input, checks)
    return await crud.change(call, _TABLE, admin_id, values, _UNIQUE, _MISSING, checks, _end_access)


async def _end_access(transaction: Transaction, values: dict[str, Any], checks: Checks) -> None:
    if values.get("active") is not False:
        return
    active = {str(row["id"]) for row in await _ACTIVE.fetch(transaction)}
    if active == {str(values["id"])}:
        checks.object_to(UserErrorCode.NOT_ALLOWED, "This is the last active admin.", "active")
    else:
        await _end(transaction, str(values["id"]))


async def _end(transaction: Transaction, admin_id: str) -> None:
    """Ends what an admin has who has lost access: sessions, webhooks that read with their rights, and devices."""
    subject = f"{ADMIN.prefix}_{admin_id}"
    await session.end_of(transaction, Role.ADMIN, admin_id)
    await passkey.end_of(transaction, Role.ADMIN, admin_id)
    await _REVOKE_TOKENS.execute(transaction, id=new_id(), subject=subject)
    await push.end_of_subject(transaction, subject)


def _values(input: Input, checks: Checks) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if "name" in input:
        values["name"] = checks.line(input["name"], limits.NAME_MAX, "name")
    if "email" in input:
        values["email"] = checks.email(input["email"], "email")
    if input.get("active") is not None:
        values["active"] = input["active"]
    elif "active" in input:
        checks.object_to(UserErrorCode.REQUIRED, "Active must be true or false.", "active")
    return values


# By the command line


async def add_by_operator(transaction: Transaction, name: str, email: str) -> str:
    """Adds an admin and returns their global id. Raises `AdminNotChanged`."""
    checks = Checks()
    values = _values({"name": name, "email": email}, checks)
    if checks.errors:
        raise AdminNotChanged(" ".join(error.message for error in checks.errors))
    admin_id = new_id()
    try:
        async with transaction.transaction():
            await _INSERT.execute(transaction, id=admin_id, **values)
    except asyncpg.UniqueViolationError:
        raise AdminNotChanged(f"There is an admin with the address {email} already.") from None
    author, created = audit.Author.operator(), AuditAction.CREATED
    await audit.record_by(transaction, author, created, AuditObjectKind.ADMIN, admin_id, None, values)
    return f"{ADMIN.prefix}_{admin_id}"


async def deactivate_by_operator(transaction: Transaction, email: str) -> None:
    """Makes an admin inactive, also the last one. Raises `AdminNotChanged` if no active admin has the address."""
    row = await _OF_EMAIL.fetchrow(transaction, email=email.strip())
    if row is None:
        raise AdminNotChanged(f"No active admin has the address {email}.")
    admin_id = str(row["id"])
    await _DEACTIVATE.execute(transaction, admin_id=admin_id)
    await _end(transaction, admin_id)
    author, updated, kind = audit.Author.operator(), AuditAction.UPDATED, AuditObjectKind.ADMIN
    await audit.record_by(transaction, author, updated, kind, admin_id, {"active": True}, {"active": False})


async def listed(transaction: Transaction) -> list[str]:
    """A line for each admin: id, address, name, and whether they are inactive."""
    return [
        f"{ADMIN.prefix}_{row['id']}  {row['email']}  {row['name']}{'' if row['active'] else '  (inactive)'}"
        for row in await _LISTED.fetch(transaction)
    ]
