"""Customers: the people and companies whose systems we look after."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import bindparam, select

from db import limits, models
from db.enums import AuditAction, AuditObjectKind
from db.erasure import steps
from db.postgres.statement import Statement
from db.sql import Expression, Row, table
from db.visibility import ViewerParameter
from resolvers import audit, crud
from resolvers.checks import Checks
from resolvers.mutation import Call, Input, MutationError, Outcome, Refused, Transaction, UserErrorCode

ERASING_SECONDS: Final = 5.0
_OPEN_SHOWN: Final = 10  # references in the refusal

_TABLE = table(models.CustomerRow)
_UNIQUE = {"email": "email", "account_number": "accountNumber"}
# Locked, so that an erasure at the same time comes before the change, which is then refused, or after it.
_ERASED = Statement(
    select(_TABLE.c.erased_at.is_not(None))
    .where(_TABLE.c.id == bindparam("id", type_=_TABLE.c.id.type))
    .with_for_update()
)
_MISSING = MutationError(UserErrorCode.NOT_FOUND, "There is no such customer.", ("customerId",))


async def create(call: Call, input: Input) -> Outcome:
    checks = Checks()
    return await crud.create(call, _TABLE, _values(input, checks), _UNIQUE, checks)


async def update(call: Call, input: Input) -> Outcome:
    checks = Checks()
    customer_id = checks.key(input["customerId"], "cus", "customer", "customerId")
    values = _values(input, checks)
    return await crud.change(call, _TABLE, customer_id, values, _UNIQUE, _MISSING, checks, _refuse_erased)


async def _refuse_erased(transaction: Transaction, values: dict[str, Any], checks: Checks) -> None:
    if await _ERASED.fetchval(transaction, id=values["id"]):
        checks.object_to(UserErrorCode.NOT_ALLOWED, "The customer has been erased.", "customerId")


async def erase(call: Call, input: Input) -> Outcome:
    """Begin to erase a customer, and go on with it for `ERASING_SECONDS`; the servers do the rest in the background.
    The same again changes nothing, and says how far it has come. Raises `Refused` while the customer has open
    tickets."""
    checks = Checks()
    customer_id = checks.key(input["customerId"], "cus", "customer", "customerId")
    checks.finish()
    assert customer_id is not None
    async with call.transaction() as transaction:
        begun = await steps.begin(transaction, customer_id, call.viewer, _OPEN_SHOWN)
        if isinstance(begun, steps.Begun):
            await audit.record(
                transaction, call, AuditAction.ERASED, AuditObjectKind.CUSTOMER, customer_id, None, begun.placeholders
            )
    if begun is None:
        raise Refused(_MISSING)
    if isinstance(begun, steps.OpenTickets):
        raise Refused(_open(begun), object_id=customer_id)
    return await _proceed(call, customer_id)


async def erase_again(call: Call, earlier: Outcome) -> Outcome:
    """The outcome of `erase` for a request that is repeated."""
    return await _proceed(call, str(earlier.object_id))


async def _proceed(call: Call, customer_id: str) -> Outcome:
    await steps.proceed(call.database, customer_id, ERASING_SECONDS)
    progress = await steps.progress(call.database, customer_id)
    return Outcome(customer_id, extra={"done": progress.done, "tickets_left": progress.tickets_left})


def _open(unfinished: steps.OpenTickets) -> MutationError:
    more = unfinished.number - len(unfinished.references)
    listed = ", ".join(unfinished.references) + (f" and {more} more" if more else "")
    message = f"The customer has open tickets: {listed}. Resolve or close them first."
    return MutationError(UserErrorCode.NOT_ALLOWED, message, ("customerId",))


def is_erased(outcome: Row, viewer: ViewerParameter) -> Expression:
    """Whether the erasure in the outcome is finished; null if it was refused."""
    done: Expression = outcome.c.extra["done"].as_boolean()
    return done


def tickets_to_erase(outcome: Row, viewer: ViewerParameter) -> Expression:
    """The number of the customer's tickets that are still to be rewritten; null if the erasure was refused."""
    left: Expression = outcome.c.extra["tickets_left"].as_integer()
    return left


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
