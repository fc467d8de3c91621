"""The viewer: how `me` is read."""

from __future__ import annotations

from sqlalchemy import Text, bindparam, cast, literal_column, null, select
from sqlalchemy.dialects.postgresql import UUID

from db.compiler.selection import VIEWER_NAME, Render, Selection
from db.enums import Role
from db.sql import Condition, Row


def me(render: Render, selection: Selection) -> tuple[Row, list[Condition]]:
    """One row: the viewer's `role`, `name`, and `technician_id` or `customer_id`, if they are one."""
    asker = render.asker
    no_id = cast(null(), UUID(as_uuid=False))
    viewer = select(
        literal_column(f"'{asker.role}'", Text()).label("role"),
        bindparam(VIEWER_NAME, type_=Text()).label("name"),
        (asker.uuid if asker.role is Role.TECHNICIAN else no_id).label("technician_id"),
        (asker.uuid if asker.role is Role.CUSTOMER else no_id).label("customer_id"),
    )
    return viewer.subquery("viewer"), []
