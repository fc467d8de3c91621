"""Properties: the places whose systems we look after. A property stays its customer's."""

from __future__ import annotations

from typing import Any

import asyncpg

from db import limits, models
from db.visibility import table
from resolvers import records
from resolvers.call import Call, Input, Outcome, Refused, UserError, UserErrorCode
from resolvers.checks import Checks

_TABLE = table(models.Property)
_UNIQUE = {"account_number": "accountNumber"}
_MISSING = UserError(UserErrorCode.NOT_FOUND, "There is no such property.", ("propertyId",))
_NO_CUSTOMER = UserError(UserErrorCode.NOT_FOUND, "There is no such customer.", ("customerId",))


async def create(call: Call, input: Input) -> Outcome:
    checks = Checks()
    values = _values(input, checks) | {"customer_id": checks.key(input["customerId"], "cus", "customer", "customerId")}
    try:
        return await records.create(call, "propertyCreate", input, _TABLE, values, _UNIQUE, checks)
    except asyncpg.ForeignKeyViolationError as error:
        raise Refused(_NO_CUSTOMER) from error


async def update(call: Call, input: Input) -> Outcome:
    checks = Checks()
    property_id = checks.key(input["propertyId"], "prp", "property", "propertyId")
    return await records.change(call, _TABLE, property_id, _values(input, checks), _UNIQUE, _MISSING, checks)


def _values(input: Input, checks: Checks) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if "address" in input:
        values["address"] = checks.line(input["address"], limits.ADDRESS_MAX, "address")
    if "accountNumber" in input:
        values["account_number"] = checks.line(input["accountNumber"], limits.ACCOUNT_NUMBER_MAX, "accountNumber")
    return values
