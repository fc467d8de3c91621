"""The grace period in which a customer's answer reopens a closed ticket. Later it is followed up by another one."""

from __future__ import annotations

from sqlalchemy import func, literal_column, select

from db import models
from db.sql import Condition, Row, table

_SETTINGS = table(models.SupportSettingsRow)


def in_grace(ticket: Row) -> Condition:
    """Whether the ticket is closed, and was so for less than the days of the support settings."""
    settings = _SETTINGS.alias()
    period = settings.c.reopen_days * literal_column("interval '24 hours'")
    began = select(func.now() - period).select_from(settings).scalar_subquery()
    return func.coalesce(ticket.c.closed_at > began, literal_column("false"))
