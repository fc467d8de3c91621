"""The kept counts of tickets (being written)."""

from __future__ import annotations

from sqlalchemy import FromClause, select

from db import models
from db.visibility import table


def counted() -> FromClause:
    counts = table(models.TicketCount)
    return select(counts.c.status, counts.c.priority, counts.c.category, counts.c.technician_id, counts.c.n).subquery()
