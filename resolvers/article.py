"""Knowledge base articles, written by hand or made of a resolved ticket."""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.dialects.postgresql import UUID

from db import limits, models
from db.postgres.statement import Statement
from db.sql import table
from resolvers import crud as records
from resolvers.checks import Checks
from resolvers.mutation import Call, Input, Outcome, Transaction, UserError, UserErrorCode

_TABLE = table(models.Article)
_TICKETS = table(models.Ticket)
_MISSING = UserError(UserErrorCode.NOT_FOUND, "There is no such article.", ("articleId",))
# Locked, so that a ticket that is being reopened becomes an article before or not at all.
_SOURCE = Statement(
    select(_TICKETS.c.subject, _TICKETS.c.resolution)
    .where(_TICKETS.c.id == bindparam("id", type_=UUID(as_uuid=False)))
    .with_for_update(read=True)
)


async def create(call: Call, input: Input) -> Outcome:
    checks = Checks()
    return await records.create(call, "articleCreate", input, _TABLE, _values(input, checks), {}, checks)


async def create_from_ticket(call: Call, input: Input) -> Outcome:
    """The ticket's subject becomes the problem, its resolution the solution; once per ticket."""
    checks = Checks()
    values = {"source_ticket_id": checks.key(input["ticketId"], "tkt", "ticket", "ticketId")}
    unique = {"source_ticket_id": "ticketId"}
    return await records.create(call, "articleCreateFromTicket", input, _TABLE, values, unique, checks, _look_up_ticket)


async def _look_up_ticket(transaction: Transaction, values: dict[str, Any], checks: Checks) -> None:
    checks.finish()
    ticket = await _SOURCE.fetchrow(transaction, id=values["source_ticket_id"])
    if ticket is None:
        checks.object_to(UserErrorCode.NOT_FOUND, "There is no such ticket.", "ticketId")
    elif ticket["resolution"] is None:
        message = "Only a ticket with a resolution becomes an article."
        checks.object_to(UserErrorCode.RESOLUTION_REQUIRED, message, "ticketId")
    else:
        values |= {"problem": ticket["subject"], "solution": ticket["resolution"]}


async def update(call: Call, input: Input) -> Outcome:
    checks = Checks()
    article_id = checks.key(input["articleId"], "art", "article", "articleId")
    return await records.change(call, _TABLE, article_id, _values(input, checks), {}, _MISSING, checks)


def _values(input: Input, checks: Checks) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if "problem" in input:
        values["problem"] = checks.line(input["problem"], limits.PROBLEM_MAX, "problem")
    if "solution" in input:
        values["solution"] = checks.text(input["solution"], limits.SOLUTION_MAX, "solution")
    if input.get("published") is not None:
        values["published"] = input["published"]
    elif "published" in input:
        checks.object_to(UserErrorCode.REQUIRED, "An article is published or not.", "published")
    return values
