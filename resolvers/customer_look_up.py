"""A technician looks a customer up, on site: by exactly their account number, e-mail address or phone number.
Creating a ticket for an address that they have typed is a look-up too, because the ticket shows whose address it is.

Whoever could ask often enough could walk through the account numbers, so a technician has `LOOK_UPS_AN_HOUR`, right or
wrong. A look-up that reveals a customer is in the audit trail. That entry lets the technician create tickets for them
for a while (`visibility.customer_to_choose`).
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final

from phonenumbers import MatchType, is_number_match
from sqlalchemy import FromClause, Text, bindparam, func, select

from db import limits, models, visibility
from db.enums import AuditAction, AuditObjectKind, Role
from db.errors import RateLimited
from db.lists.criteria import only_one
from db.planner import number
from db.postgres.statement import Queryable, Statement
from db.sql import Condition, Row, table
from db.visibility import ViewerParameter
from resolvers import audit
from resolvers.checks import Checks
from resolvers.mutation import Call, Input, Outcome, UserErrorCode, without_key

LOOK_UPS_AN_HOUR: Final = 30
PROPERTIES_SHOWN: Final = 100

_CANDIDATES_MAX: Final = 50  # customers whose phone numbers end alike
_DIGITS_MIN: Final = 7
_EXTENSION: Final = re.compile(r"[A-Za-z#*,;].*")
_SAME: Final = (MatchType.EXACT_MATCH, MatchType.NSN_MATCH)  # NSN_MATCH: one of them without its country code

_CUSTOMERS = table(models.CustomerRow)
_PROPERTIES = table(models.PropertyRow)

# Returns no row if the technician has none left. It is committed before the look-up, which may be refused.
_COUNT: Final = f"""
INSERT INTO tracking_guesses AS old (subject, remaining, until)
VALUES ('look-up ' || $1, {LOOK_UPS_AN_HOUR} - 1, now() + interval '1 hour')
ON CONFLICT (subject) DO UPDATE SET
    remaining = CASE WHEN old.until > now() THEN old.remaining - 1 ELSE excluded.remaining END,
    until = CASE WHEN old.until > now() THEN old.until ELSE excluded.until END
WHERE old.remaining > 0 OR old.until <= now()
RETURNING remaining"""
_WAIT: Final = "SELECT extract(epoch FROM until - now())::float8 FROM tracking_guesses WHERE subject = 'look-up ' || $1"


async def look_up(call: Call, input: Input) -> Outcome:
    """Find the one customer with this account number, e-mail address or phone number. Raises `Refused` if there is
    none, or more than one, and `RateLimited` after `LOOK_UPS_AN_HOUR`."""
    field, given = only_one(without_key(input))
    checks = Checks()
    value = _checked(field, given, checks)
    checks.finish()
    await _count(call.database, call.viewer.id)
    async with call.transaction() as transaction:
        rows = await _candidates(field).fetch(transaction, value=value, viewer=call.viewer.id)
        found = [row for row in rows if field != "phone" or _is_same_phone(value, row["phone"])]
        if not found:
            checks.object_to(UserErrorCode.NOT_FOUND, "There is no such customer.", field)
        elif len(found) > 1:
            message = "Several customers match. Look up the account number or the e-mail address."
            checks.object_to(UserErrorCode.INVALID, message, field)
        checks.finish()
        customer = found[0]
        if not customer["seen"]:
            await record(transaction, call, str(customer["id"]), field)
    return Outcome(str(customer["id"]))


async def of_typed_address(executor: Queryable, call: Call, email: str) -> tuple[str | None, bool]:
    """The id of the customer with the address that a technician has typed as a new ticket's contact, and whether the
    ticket will reveal them (`record`). It counts as a look-up, also if nobody has the address, unless the transaction
    is rolled back. Raises `RateLimited`."""
    await _count(executor, call.viewer.id)
    row = await _candidates("email").fetchrow(executor, value=email, viewer=call.viewer.id)
    return (None, False) if row is None else (str(row["id"]), not row["seen"])


async def record(transaction: Queryable, call: Call, customer_id: str, field: str) -> None:
    """Write in the audit trail that the technician has looked up a customer whom they did not see before."""
    by = {"looked_up_by": field}
    await audit.record(transaction, call, AuditAction.LOOKED_UP, AuditObjectKind.CUSTOMER, customer_id, None, by)


def _checked(field: str, given: str, checks: Checks) -> str:
    if field == "email":
        return checks.email(given, field)
    if field == "accountNumber":
        return checks.line(given, limits.ACCOUNT_NUMBER_MAX, field)
    number = _EXTENSION.sub("", checks.phone(given, field) or "")
    if checks.accepts(field) and sum(map(str.isdigit, number)) < _DIGITS_MIN:
        checks.object_to(UserErrorCode.INVALID, "Phone must be a whole phone number.", field)
    return number


async def _count(executor: Queryable, technician_id: str) -> None:
    if await executor.fetchrow(_COUNT, technician_id) is None:
        wait = await executor.fetchrow(_WAIT, technician_id)
        message = (
            f"You have looked up {LOOK_UPS_AN_HOUR} customers within an hour. Try again later, or ask an admin."
            " A ticket with the customer id null looks nobody up."
        )
        raise RateLimited(message, 1.0 if wait is None else wait[0])


@cache
def _candidates(field: str) -> Statement:
    """The customers who may have the `value`: their `id`, their `phone`, and whether the viewer has `seen` them."""
    viewer = ViewerParameter(Role.TECHNICIAN, bindparam("viewer", type_=Text()))
    seen = visibility.customer(_CUSTOMERS, viewer, visibility.ONE_BY_ONE)
    found = select(_CUSTOMERS.c.id, _CUSTOMERS.c.phone, seen.label("seen"))
    return Statement(found.where(_has(field), _CUSTOMERS.c.erased_at.is_(None)).limit(number(_CANDIDATES_MAX)))


def _has(field: str) -> Condition:
    value = bindparam("value", type_=Text())
    if field == "email":
        return func.lower(_CUSTOMERS.c.email) == func.lower(value)
    if field == "phone":
        condition: Condition = func.phone_end(_CUSTOMERS.c.phone) == func.phone_end(value)
        return condition
    customers = _CUSTOMERS.alias()
    own = select(customers.c.id).where(customers.c.account_number_form == func.search_form(value))
    of_property = select(_PROPERTIES.c.customer_id).where(func.lower(_PROPERTIES.c.account_number) == func.lower(value))
    return _CUSTOMERS.c.id.in_(own.union_all(of_property))


def _is_same_phone(given: str, stored: str) -> bool:
    return is_number_match(given, _EXTENSION.sub("", stored)) in _SAME


def properties(row: Row, viewer: ViewerParameter) -> FromClause:
    """The properties of a customer who was looked up, by address: `property_id`, `address` and `account_number`."""
    sites = _PROPERTIES.alias()
    listed = (
        select(
            sites.c.id.label("property_id"),
            sites.c.address,
            sites.c.account_number,
            func.row_number().over(order_by=(sites.c.address, sites.c.id)).label("ord"),
        )
        .where(sites.c.customer_id == row.c.id, visibility.site_to_choose(sites, viewer))
        .order_by(sites.c.address, sites.c.id)
        .limit(number(PROPERTIES_SHOWN))
    )
    return listed.correlate(row).subquery("found_properties")
