"""The viewer: how the field `me` is read."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Text, bindparam, cast, literal_column, null, select
from sqlalchemy.dialects.postgresql import UUID

from db.compiler.snippets import VIEWER_EMAIL, VIEWER_NAME, VIEWER_SESSION, VIEWER_ZONE, Draft
from db.entities import API_KEY, CUSTOMER, TECHNICIAN
from db.enums import Role
from db.sql import Condition, Row

_PREFIXES: Final = {
    Role.ADMIN: "",
    Role.TECHNICIAN: f"{TECHNICIAN.prefix}_",
    Role.CUSTOMER: f"{CUSTOMER.prefix}_",
    Role.SERVICE: f"{API_KEY.prefix}_",
}
"""What comes before the viewer's id: that of an admin is the subject of their token, or already a global id."""


def me(draft: Draft) -> tuple[Row, list[Condition]]:
    """One row: the viewer's `role`, `subject`, `name`, `email` and `time_zone`, `session_id` if they are signed in with
    a browser, and `technician_id` or `customer_id` if they have one."""
    viewer = draft.viewer
    no_id = cast(null(), UUID(as_uuid=False))
    row = select(
        literal_column(f"'{viewer.role}'", Text()).label("role"),
        (literal_column(f"'{_PREFIXES[viewer.role]}'", Text()) + viewer.id).label("subject"),
        bindparam(VIEWER_EMAIL, type_=Text()).label("email"),
        bindparam(VIEWER_SESSION, type_=UUID(as_uuid=False)).label("session_id"),
        bindparam(VIEWER_NAME, type_=Text()).label("name"),
        bindparam(VIEWER_ZONE, type_=Text()).label("time_zone"),
        (viewer.uuid if viewer.role is Role.TECHNICIAN else no_id).label("technician_id"),
        (viewer.uuid if viewer.role is Role.CUSTOMER else no_id).label("customer_id"),
    )
    return row.subquery("viewer"), []
