"""The changes that a ticket event made, computed from the ticket's images before and after it."""

from __future__ import annotations

from sqlalchemy import FromClause, Text, and_, case, cast, func, literal_column, select, true
from sqlalchemy.dialects.postgresql import UUID, aggregate_order_by, array

from db import models
from db.entities import CUSTOMER
from db.enums import Role
from db.sql import EMPTY, Expression, Row, table
from db.visibility import ViewerParameter

SHOWN_COLUMNS = {
    "subject": "subject",
    "description": "description",
    "status": "status",
    "priority": "priority",
    "category": "category",
    "contact_name": "contactName",
    "contact_email": "contactEmail",
    "contact_phone": "contactPhone",
    "customer_id": "customer",
    "property_id": "property",
    "technician_id": "technician",
    "resolution": "resolution",
}
"""The columns whose changes the history shows, each with its field name in the schema."""

# A reference is shown as the name, or the address, of the row that it refers to.
_REFERRED_TO = {
    "customer_id": (table(models.CustomerRow), "name"),
    "property_id": (table(models.PropertyRow), "address"),
    "technician_id": (table(models.TechnicianRow), "name"),
}


def changes(row: Row, viewer: ViewerParameter) -> FromClause:
    """A row for each column that differs between the event's images: `field`, `before` and `after` as text.

    A customer does not see changes from a time when the ticket was not theirs."""
    columns = (
        func.unnest(
            array([literal_column(f"'{name}'", Text) for name in SHOWN_COLUMNS]),
            array([literal_column(f"'{field}'", Text) for field in SHOWN_COLUMNS.values()]),
        )
        .table_valued("column_name", "field", with_ordinality="ord")
        .render_derived()
    )
    before, after = row.c.before, row.c.after
    name = columns.c.column_name
    values = [
        case(*((name == literal_column(f"'{key}'"), _value(row, image, key, viewer)) for key in SHOWN_COLUMNS))
        for image in (before, after)
    ]
    differs = before.op("->>")(name).is_distinct_from(after.op("->>")(name))
    theirs = before["customer_id"].astext == viewer.id if viewer.role is Role.CUSTOMER else true()
    changed = select(columns.c.field, values[0].label("before"), values[1].label("after"), columns.c.ord).where(
        and_(before.is_not(None), differs, theirs)
    )
    return changed.correlate(row).subquery("changed")


def _value(row: Row, image: Expression, name: str, viewer: ViewerParameter) -> Expression:
    """A column's value in one of the row's images, as text. The name of a customer whom a service cannot see is
    null."""
    value: Expression = image[name].astext
    if name not in _REFERRED_TO:
        return value
    target, shown = _REFERRED_TO[name]
    other = target.alias()
    named = select(other.c[shown]).where(other.c.id == cast(value, UUID(as_uuid=False)))
    if name == "customer_id" and viewer.role is Role.SERVICE:
        named = named.where(CUSTOMER.visible_alone(other, viewer))
    return named.correlate(row).scalar_subquery()


def changed_fields(row: Row, viewer: ViewerParameter) -> Expression:
    """The names of the fields that an event changed, a JSON array; empty if the viewer cannot see the ticket."""
    changed = changes(row, viewer)
    names = func.json_agg(aggregate_order_by(changed.c.field, changed.c.ord))
    listed = select(func.coalesce(names, EMPTY)).select_from(changed).correlate(row).scalar_subquery()
    return case((row.c.shown, listed), else_=EMPTY)
