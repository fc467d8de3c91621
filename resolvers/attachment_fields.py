"""The computed fields of attachments."""

from __future__ import annotations

from sqlalchemy import and_, literal_column

from db.enums import AttachmentState
from db.sql import Condition, Row


def is_ready(row: Row) -> Condition:
    """The file can be downloaded."""
    return row.c.state == literal_column(f"'{AttachmentState.READY}'")


def has_thumbnail(row: Row) -> Condition:
    """There is a thumbnail that can be downloaded."""
    return and_(is_ready(row), row.c.thumbnail.is_not(None))
