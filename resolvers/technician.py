"""Technicians: the people that tickets are assigned to. Making one inactive ends their access at once."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, or_, select

from db import limits, models
from db.entities import TICKET
from db.enums import Role, TicketStatus
from db.sql import Expression, Row, table
from db.visibility import ViewerParameter
from resolvers import crud, passkey, push, session
from resolvers.checks import Checks
from resolvers.mutation import Call, Input, MutationError, Outcome, Transaction, UserErrorCode

_TABLE = table(models.TechnicianRow)
_UNIQUE = {"email": "email"}
_MISSING = MutationError(UserErrorCode.NOT_FOUND, "There is no such technician.", ("technicianId",))


async def create(call: Call, input: Input) -> Outcome:
    checks = Checks()
    return await crud.create(call, _TABLE, _values(input, checks), _UNIQUE, checks)


async def update(call: Call, input: Input) -> Outcome:
    checks = Checks()
    technician_id = checks.key(input["technicianId"], "tec", "technician", "technicianId")
    values = _values(input, checks)
    return await crud.change(call, _TABLE, technician_id, values, _UNIQUE, _MISSING, checks, _end_devices)


async def _end_devices(transaction: Transaction, values: dict[str, Any], checks: Checks) -> None:
    if values.get("active") is False:
        await push.end_of_technician(transaction, str(values["id"]))
        await session.end_of(transaction, Role.TECHNICIAN, str(values["id"]))
        await passkey.end_of(transaction, Role.TECHNICIAN, str(values["id"]))


def _values(input: Input, checks: Checks) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if "name" in input:
        values["name"] = checks.line(input["name"], limits.NAME_MAX, "name")
    if "email" in input:
        values["email"] = checks.email(input["email"], "email")
    if "phone" in input:
        values["phone"] = checks.phone(input["phone"], "phone")
    if input.get("active") is not None:
        values["active"] = input["active"]
    elif "active" in input:
        checks.object_to(UserErrorCode.REQUIRED, "Active must be true or false.", "active")
    return values


def open_ticket_count(row: Row, viewer: ViewerParameter) -> Expression:
    """The number of the technician's tickets that are OPEN or IN_PROGRESS and that the viewer sees."""
    ticket = TICKET.table.alias()
    unfinished = or_(ticket.c.status == TicketStatus.OPEN, ticket.c.status == TicketStatus.IN_PROGRESS)
    counted = select(func.count()).select_from(ticket)
    return (
        counted.where(ticket.c.technician_id == row.c.id, unfinished, TICKET.visible(ticket, viewer))
        .correlate(row)
        .scalar_subquery()
    )
