"""Properties: the places whose systems we look after. A property never changes its customer."""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, literal_column, select
from sqlalchemy.dialects.postgresql import UUID

from db import limits, models
from db.postgres.statement import Statement
from db.sql import table
from resolvers import crud
from resolvers.checks import Checks
from resolvers.mutation import Call, Input, MutationError, Outcome, Transaction, UserErrorCode

_TABLE = table(models.PropertyRow)
_UNIQUE = {"account_number": "accountNumber"}
_MISSING = MutationError(UserErrorCode.NOT_FOUND, "There is no such property.", ("propertyId",))
_CUSTOMERS = table(models.CustomerRow)
_CUSTOMER = Statement(
    select(literal_column("true")).where(
        _CUSTOMERS.c.id == bindparam("id", type_=UUID(as_uuid=False)), _CUSTOMERS.c.erased_at.is_(None)
    )
)


async def create(call: Call, input: Input) -> Outcome:
    checks = Checks()
    values = {"customer_id": checks.key(input["customerId"], "cus", "customer", "customerId")} | _values(input, checks)
    return await crud.create(call, "propertyCreate", input, _TABLE, values, _UNIQUE, checks, _look_up_customer)


async def _look_up_customer(transaction: Transaction, values: dict[str, Any], checks: Checks) -> None:
    customer_id = values["customer_id"]
    if customer_id is not None and not await _CUSTOMER.fetchval(transaction, id=customer_id):
        checks.object_to(UserErrorCode.NOT_FOUND, "There is no such customer.", "customerId")


async def update(call: Call, input: Input) -> Outcome:
    checks = Checks()
    property_id = checks.key(input["propertyId"], "prp", "property", "propertyId")
    return await crud.change(call, _TABLE, property_id, _values(input, checks), _UNIQUE, _MISSING, checks)


def _values(input: Input, checks: Checks) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if "address" in input:
        values["address"] = checks.line(input["address"], limits.ADDRESS_MAX, "address")
    if "accountNumber" in input:
        values["account_number"] = checks.line(input["accountNumber"], limits.ACCOUNT_NUMBER_MAX, "accountNumber")
    return values
