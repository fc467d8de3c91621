"""Admins who sign in here. Making one inactive ends their sessions; one active admin must always be left."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from db import limits, models
from db.postgres.statement import Statement
from db.sql import table
from resolvers import crud, session
from resolvers.checks import Checks
from resolvers.mutation import Call, Input, MutationError, Outcome, Transaction, UserErrorCode

_TABLE = table(models.AdminRow)
_UNIQUE = {"email": "email"}
_MISSING = MutationError(UserErrorCode.NOT_FOUND, "There is no such admin.", ("adminId",))
# Locked, so that two admins cannot make each other inactive at the same time.
_ACTIVE = Statement(select(_TABLE.c.id).where(_TABLE.c.active).order_by(_TABLE.c.id).with_for_update())


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
        await session.end_of_admin(transaction, str(values["id"]))


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
