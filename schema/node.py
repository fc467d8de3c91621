"""`node` and `nodes`: anything by its id; and `me`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import strawberry
from sqlalchemy import Text, bindparam, case, cast, func, literal_column, null, select
from sqlalchemy.dialects.postgresql import ARRAY, UUID, aggregate_order_by

from db import entities
from db.compiler.fields import EMPTY
from db.compiler.selection import VIEWER_NAME, Bound, FieldMapping, Render, Selection
from db.entities import CUSTOMER, TECHNICIAN
from db.entity import Entity
from db.enums import Role
from db.errors import BadInput
from db.ids import is_uuid, shown, split_id
from db.limits import PAGE_MAX
from db.sql import Condition, Expression, Row
from schema.common import Node
from schema.fields import argument, column, mapped, one, root

if TYPE_CHECKING:
    from schema.customer import Customer
    from schema.technician import Technician

_BY_PREFIX: Mapping[str, Entity] = {entity.prefix: entity for entity in entities.NODES}


def _parse(global_id: str) -> tuple[str, str]:
    """The prefix and the key in an id of anything. Raises `BadInput` if it cannot be one."""
    prefix, key = split_id(global_id)
    if prefix not in _BY_PREFIX or not is_uuid(key):
        raise BadInput(f"{shown(global_id)} is not an id of Callout.")
    return prefix, key


def _row(entity: Entity, key: Expression, render: Render, selection: Selection) -> Expression:
    target = render.alias(entity.table)
    fields = selection.types[entity.name]
    found = select(render.object(fields, target)).select_from(target)
    return found.where(target.c.id == key, entity.visible_alone(target, render.asker)).scalar_subquery()


@dataclass(frozen=True)
class _ById(FieldMapping):
    def read(self, arguments: Mapping[str, Any]) -> Bound:
        prefix, key = _parse(arguments["id"])
        return Bound(prefix, (key,))

    def render(self, render: Render, row: Row, selection: Selection) -> Expression:
        entity = _BY_PREFIX[render.shape(selection)]
        return _row(entity, render.parameter(selection, 0, UUID(as_uuid=False)), render, selection)


@dataclass(frozen=True)
class _ByIds(FieldMapping):
    """The shape is which kinds of things are asked for; the ids come as two parallel arrays."""

    def read(self, arguments: Mapping[str, Any]) -> Bound:
        ids = arguments["ids"]
        if len(ids) > PAGE_MAX:
            raise BadInput(f"At most {PAGE_MAX} ids at once.")
        parsed = [_parse(id_) for id_ in ids]
        kinds = tuple(sorted({prefix for prefix, _ in parsed}))
        return Bound(kinds, ([prefix for prefix, _ in parsed], [key for _, key in parsed]), max(1, len(ids)))

    def render(self, render: Render, row: Row, selection: Selection) -> Expression:
        kinds = render.shape(selection)
        if not kinds:
            return EMPTY
        prefixes, keys = (render.parameter(selection, slot, ARRAY(Text())) for slot in (0, 1))
        asked = (
            func.unnest(prefixes, keys)
            .table_valued("prefix", "key", with_ordinality="ord", name=render.name())
            .render_derived()
        )
        branches = [
            (asked.c.prefix == literal_column(f"'{kind}'"), self._found(_BY_PREFIX[kind], asked, render, selection))
            for kind in kinds
        ]
        found = case(*branches)
        return select(func.json_agg(aggregate_order_by(found, asked.c.ord))).select_from(asked).scalar_subquery()

    def _found(self, entity: Entity, asked: Any, render: Render, selection: Selection) -> Expression:
        # The cast stands behind a CASE of its own, for the planner may look at a branch that is not taken.
        key = case((asked.c.prefix == literal_column(f"'{entity.prefix}'"), asked.c.key))
        return _row(entity, cast(key, UUID(as_uuid=False)), render, selection)


@strawberry.type(description="You, as your token identifies you.")
class Viewer:
    role: Role = column(lambda row, asker: literal_column(f"'{asker.role}'"), "Your role.")
    name: str = column("name", "Your name.")
    technician: Annotated[Technician, strawberry.lazy("schema.technician")] | None = one(
        TECHNICIAN,
        lambda viewer, other: other.c.id == viewer.c.technician_id,
        "Yourself, if you are a technician.",
    )
    customer: Annotated[Customer, strawberry.lazy("schema.customer")] | None = one(
        CUSTOMER, lambda viewer, other: other.c.id == viewer.c.customer_id, "Yourself, if you are a customer."
    )


def _viewer(render: Render, selection: Selection) -> tuple[Row, list[Condition]]:
    asker = render.asker
    nobody = cast(null(), UUID(as_uuid=False))
    viewer = select(
        bindparam(VIEWER_NAME, type_=Text()).label("name"),
        (asker.uuid if asker.role is Role.TECHNICIAN else nobody).label("technician_id"),
        (asker.uuid if asker.role is Role.CUSTOMER else nobody).label("customer_id"),
    )
    return viewer.subquery("viewer"), []


@strawberry.type
class NodeQueries:
    node: Node | None = mapped(
        _ById(),
        "Anything by its id; null if there is no such thing, or none that you see.",
        [argument("id", strawberry.ID, "Its id.")],
    )
    nodes: list[Node | None] = mapped(
        _ByIds(),
        "Several things by their ids, in the order given; null where there is no such thing.",
        [argument("ids", list[strawberry.ID], "Their ids, up to 100.")],
    )
    me: Viewer = root(_viewer, "You.")
