"""The numbers of tickets: totals and the counts on status tabs, from the stored counts (`db/events/counts.py`) if the
filter allows it, and otherwise by counting rows.

The stored counts are by status, priority, category and technician, and for tickets created by services also by creator.
A filter over only these four columns is answered from them, at a cost that does not depend on the number of tickets:
entirely for admins and services; for technicians, the few tickets that they created for others are counted and added.
Everything else is counted row by row.
"""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import BigInteger, ColumnElement, FromClause, func, literal_column, select, union_all

from db import visibility
from db.entities import TICKET, TICKETS
from db.enums import Role, TicketStatus
from db.events import counts
from db.lists.criteria import Parameters
from db.lists.shapes import CriteriaShape
from db.visibility import ViewerParameter

_KEPT = frozenset(counts.COLUMNS)


def _from_stored_counts(shape: CriteriaShape) -> bool:
    """Whether a filter reads only columns by which the counts are kept."""
    return TICKETS.criteria.columns(shape) <= _KEPT


def _stored_for(viewer: ViewerParameter) -> FromClause | None:
    """Rows of the columns that are counted by, with a number `n`, whose sum is the number of tickets that the viewer
    sees. None if there are no stored counts for the role."""
    match viewer.role:
        case Role.ADMIN:
            return counts.ALL.counted()
        case Role.SERVICE:
            created = counts.OF_SERVICES.counted()
            return select(created).where(visibility.created(created, viewer)).subquery("stored_for")
        case Role.TECHNICIAN:
            assigned, tickets = counts.ALL.counted(), TICKET.table.alias()
            of_tickets = [tickets.c[name] for name in counts.COLUMNS]
            return union_all(
                select(assigned).where(visibility.assigned(assigned, viewer)),
                select(*of_tickets, literal_column("1", BigInteger).label("n")).where(
                    visibility.created_for_others(tickets, viewer)
                ),
            ).subquery("stored_for")
        case Role.CUSTOMER:
            return None


def ticket_total(shape: CriteriaShape, viewer: ViewerParameter, parameters: Parameters) -> ColumnElement[int] | None:
    """The total of a list from the stored counts; None if they do not have it."""
    stored_for = _stored_for(viewer) if _from_stored_counts(shape) else None
    if stored_for is None:
        return None
    total = func.coalesce(func.sum(stored_for.c.n), 0).label("total")
    return select(total).where(TICKETS.criteria.build(stored_for, shape, parameters, viewer)).scalar_subquery()


def ticket_counts(shape: CriteriaShape, viewer: ViewerParameter, parameters: Parameters) -> FromClause:
    """One row with the number of matching tickets: `all`, a column for each status, and `unassigned`."""
    stored_for = _stored_for(viewer) if _from_stored_counts(shape) else None
    if stored_for is not None:
        rows, number = stored_for, stored_for.c.n
        conditions = [TICKETS.criteria.build(rows, shape, parameters, viewer)]
    else:
        rows, number = TICKET.table.alias(), literal_column("1", BigInteger)
        conditions = [
            TICKET.visible(rows, viewer),
            TICKETS.criteria.build(rows, shape, parameters, viewer),
            *TICKETS.index_conditions(rows, shape, parameters, viewer),
        ]
    total = func.coalesce(func.sum(number), 0)
    columns = [total.label("all")]
    for status in TicketStatus:
        columns.append(func.coalesce(func.sum(number).filter(rows.c.status == status), 0).label(status.value))
    columns.append(func.coalesce(func.sum(number).filter(rows.c.technician_id.is_(None)), 0).label("unassigned"))
    return select(*columns).where(*conditions).subquery("totals")


ALL_TICKETS = replace(TICKETS, total=ticket_total, counted=_KEPT)
"""The list of tickets, with its total from the stored counts."""
