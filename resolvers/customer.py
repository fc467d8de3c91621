"""Customers: the people and companies whose systems we look after."""

from __future__ import annotations

from typing import Any

from db import limits, models
from db.sql import table
from resolvers import crud
from resolvers.checks import Checks
from resolvers.mutation import Call, Input, MutationError, Outcome, UserErrorCode

_TABLE = table(models.CustomerRow)
_UNIQUE = {"email": "email", "account_number": "accountNumber"}
_MISSING = MutationError(UserErrorCode.NOT_FOUND, "There is no such customer.", ("customerId",))


async def create(call: Call, input: Input) -> Outcome:
    checks = Checks()
    return await crud.create(call, "customerCreate", input, _TABLE, _values(input, checks), _UNIQUE, checks)


async def update(call: Call, input: Input) -> Outcome:
    checks = Checks()
    customer_id = checks.key(input["customerId"], "cus", "customer", "customerId")
    return await crud.change(call, _TABLE, customer_id, _values(input, checks), _UNIQUE, _MISSING, checks)


def _values(input: Input, checks: Checks) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if "name" in input:
        values["name"] = checks.line(input["name"], limits.NAME_MAX, "name")
    if "email" in input:
        values["email"] = checks.email(input["email"], "email")
    if "phone" in input:
        values["phone"] = checks.phone(input["phone"], "phone")
    if "accountNumber" in input:
        values["account_number"] = checks.line(input["accountNumber"], limits.ACCOUNT_NUMBER_MAX, "accountNumber")
    return values
