"""How many tickets there are: from the kept counts where a filter allows it, else by counting.

`ticket_counts` keeps the number of tickets by status, priority, category and technician. An admin's filter over these
four is answered from there, whatever the number of tickets; anything else is counted row by row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, FromClause, func, literal_column, select

from db.counts import counted, kept
from db.entities import TICKET, TICKETS
from db.enums import Role, TicketStatus
from db.filters import Parameter
from db.visibility import Asker

_KEPT = frozenset({"status", "priority", "category", "technician_id"})


def _from_kept_counts(shape: Any) -> bool:
    """Whether a filter's shape is over nothing but what the counts are kept by."""
    return TICKETS.criteria.columns(shape) <= _KEPT


def ticket_total(shape: Any, asker: Asker, parameter: Parameter) -> ColumnElement[int] | None:
    """The total of a list by the kept counts, if they can tell it."""
    if asker.role is not Role.ADMIN or not _from_kept_counts(shape):
        return None
    counts = counted()
    total = func.coalesce(func.sum(counts.c.n), 0).label("total")
    return select(total).where(TICKETS.criteria.build(counts, shape, parameter, asker)).scalar_subquery()


def ticket_counts(shape: Any, asker: Asker, parameter: Parameter) -> FromClause:
    """One row: how many tickets match in all, in each status (a column each), and without an assignee."""
    if asker.role is Role.ADMIN and _from_kept_counts(shape):
        rows: FromClause = counted()
        number: ColumnElement[Any] = rows.c.n
        conditions = [TICKETS.criteria.build(rows, shape, parameter, asker)]
    else:
        rows = TICKET.table.alias()
        number = literal_column("1")
        conditions = [
            TICKET.visible(rows, asker),
            TICKETS.criteria.build(rows, shape, parameter, asker),
            *TICKETS.looked_up(rows, shape, parameter),
        ]
    total = func.coalesce(func.sum(number), 0)
    columns = [total.label("all")]
    for status in TicketStatus:
        columns.append(func.coalesce(func.sum(number).filter(rows.c.status == status), 0).label(status.value))
    columns.append(func.coalesce(func.sum(number).filter(rows.c.technician_id.is_(None)), 0).label("unassigned"))
    return select(*columns).where(*conditions).subquery("totals")


def _tally(shapes: Mapping[str, Any], asker: Asker, parameter: Parameter) -> FromClause:
    counts = kept()
    sums = []
    for name, shape in shapes.items():
        about = TICKETS.criteria.about(_KEPT, shape)
        fulfilled = TICKETS.criteria.build(counts, about, parameter, asker)
        sums.append(func.coalesce(func.sum(counts.c.n).filter(fulfilled), 0).label(name))
    return select(*sums).subquery()


ALL_TICKETS = replace(TICKETS, total=ticket_total, tally=_tally, tallied=_KEPT)
"""The list of all tickets, whose total needs no counting where the kept counts can tell it."""
