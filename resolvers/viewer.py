"""The viewer: how the field `me` is read."""

from __future__ import annotations

from sqlalchemy import Text, bindparam, cast, literal_column, null, select
from sqlalchemy.dialects.postgresql import UUID

from db.compiler.snippets import VIEWER_NAME, VIEWER_ZONE, Draft
from db.enums import Role
from db.sql import Condition, Row


def me(draft: Draft) -> tuple[Row, list[Condition]]:
    """One row: the viewer's `role`, `name` and `time_zone`, and `technician_id` or `customer_id` if they have one."""
    viewer = draft.viewer
    no_id = cast(null(), UUID(as_uuid=False))
    row = select(
        literal_column(f"'{viewer.role}'", Text()).label("role"),
        bindparam(VIEWER_NAME, type_=Text()).label("name"),
        bindparam(VIEWER_ZONE, type_=Text()).label("time_zone"),
        (viewer.uuid if viewer.role is Role.TECHNICIAN else no_id).label("technician_id"),
        (viewer.uuid if viewer.role is Role.CUSTOMER else no_id).label("customer_id"),
    )
    return row.subquery("viewer"), []
