"""Properties: the places whose systems we look after. A property never changes its customer."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Any

from sqlalchemy import Text, bindparam, literal_column, select
from sqlalchemy.dialects.postgresql import UUID

from db import limits, models, visibility
from db.enums import Role
from db.postgres.statement import Statement
from db.sql import table
from db.visibility import ViewerParameter
from resolvers import crud
from resolvers.checks import Checks
from resolvers.mutation import Call, Input, MutationError, Outcome, Refused, Transaction, UserErrorCode

_TABLE = table(models.PropertyRow)
_UNIQUE = {"account_number": "accountNumber"}
_MISSING = MutationError(UserErrorCode.NOT_FOUND, "There is no such property.", ("propertyId",))
_CUSTOMERS = table(models.CustomerRow)
# The customer is locked, so that an erasure at the same time finds the property, or comes before it.
_CUSTOMER = Statement(
    select(literal_column("true"))
    .where(_CUSTOMERS.c.id == bindparam("id", type_=UUID(as_uuid=False)), _CUSTOMERS.c.erased_at.is_(None))
    .with_for_update(read=True)
)
_ERASED = Statement(
    select(_CUSTOMERS.c.erased_at.is_not(None))
    .select_from(_CUSTOMERS.join(_TABLE, _TABLE.c.customer_id == _CUSTOMERS.c.id))
    .where(_TABLE.c.id == bindparam("id", type_=UUID(as_uuid=False)))
    .with_for_update(read=True, of=_CUSTOMERS)
)


async def create(call: Call, input: Input) -> Outcome:
    checks = Checks()
    values = {"customer_id": checks.key(input["customerId"], "cus", "customer", "customerId")} | _values(input, checks)
    return await crud.create(call, _TABLE, values, _UNIQUE, checks, _look_up_customer)


async def _look_up_customer(transaction: Transaction, values: dict[str, Any], checks: Checks) -> None:
    customer_id = values["customer_id"]
    if customer_id is not None and not await _CUSTOMER.fetchval(transaction, id=customer_id):
        checks.object_to(UserErrorCode.NOT_FOUND, "There is no such customer.", "customerId")


async def update(call: Call, input: Input) -> Outcome:
    checks = Checks()
    property_id = checks.key(input["propertyId"], "prp", "property", "propertyId")
    values = _values(input, checks)
    return await crud.change(call, _TABLE, property_id, values, _UNIQUE, _MISSING, checks, _refuse_erased)


async def _refuse_erased(transaction: Transaction, values: dict[str, Any], checks: Checks) -> None:
    if await _ERASED.fetchval(transaction, id=values["id"]):
        checks.object_to(UserErrorCode.NOT_ALLOWED, "The customer has been erased.", "propertyId")


async def add_access_note(call: Call, input: Input) -> Outcome:
    """Put a note before the property's access notes, with the day and the author. Raises `Refused` if they would get
    too long."""
    checks = Checks()
    property_id = checks.key(input["propertyId"], "prp", "property", "propertyId")
    body = checks.text(input["body"], limits.ACCESS_NOTE_MAX, "body")
    checks.occurred_at(input)
    checks.finish()
    day = (call.origin.occurred_at or datetime.now(UTC)).date()
    async with call.transaction(property_id) as transaction:
        present = await _locked(call.viewer.role).fetchrow(transaction, id=property_id, viewer=call.viewer.id)
        if present is None:
            raise Refused(_MISSING)
        await _refuse_erased(transaction, {"id": property_id}, checks)
        notes = "\n\n".join(filter(None, [f"{day}, {call.viewer.name}: {body}", present["access_notes"]]))
        if len(notes) > limits.ACCESS_NOTES_MAX:
            message = (
                f"The access notes of a property can have {limits.ACCESS_NOTES_MAX:,} characters; an admin can shorten"
                " them."
            )
            checks.object_to(UserErrorCode.TOO_LONG, message, "body")
        checks.finish()
        await crud.write_change(transaction, call, _TABLE, property_id, {"access_notes": notes})
    return Outcome(property_id)


@cache
def _locked(role: Role) -> Statement:
    """The access notes of a property that the viewer sees, locked."""
    viewer = ViewerParameter(role, bindparam("viewer", type_=Text()))
    seen = _TABLE.c.id == bindparam("id", type_=UUID(as_uuid=False)), visibility.site(_TABLE, viewer)
    return Statement(select(_TABLE.c.access_notes).where(*seen).with_for_update(key_share=True, of=_TABLE))


def _values(input: Input, checks: Checks) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if "address" in input:
        values["address"] = checks.line(input["address"], limits.ADDRESS_MAX, "address")
    if "accountNumber" in input:
        values["account_number"] = checks.line(input["accountNumber"], limits.ACCOUNT_NUMBER_MAX, "accountNumber")
    if "accessNotes" in input:
        values["access_notes"] = checks.optional_text(input["accessNotes"], limits.ACCESS_NOTES_MAX, "accessNotes")
    return values
