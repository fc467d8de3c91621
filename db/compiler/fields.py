"""The field mappings: how each kind of GraphQL field is read from the database.

A field is declared once, beside its Strawberry type in `schema/`, with one of these mappings, and the compiler combines
the mappings of a selection into one statement (`selection.py` explains its terms). A mapping has two halves: `read`
turns the arguments of one request into an argument shape and values, `render` builds the SQL for a shape. The statement
is rendered once per shape; later requests only bind their values.

As an example, `Column("reference")` renders `t1.reference`. `One(CUSTOMER, "customer_id")` renders a subquery

    (SELECT json_build_object('name', c2.name) FROM customers AS c2 WHERE c2.id = t1.customer_id AND …)

in which the selected fields are rendered by their own mappings, with `c2` as the row, and … is the predicate of
`db/visibility.py`: no mapping reaches an entity without adding it.

- From the parent's row: `Column`, `GlobalId`, `Constant`, `Embedded`.
- From other rows that belong to it: `One`, `Items`, and `Many` (`db/lists/page.py`), a connection.
- Root fields: `Root`, `NodeById`, `NodesByIds`, `MutationField`, and `Stream` (`db/ticket_stream.py`).

A computed field names a function of `resolvers/` that makes its SQL.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from sqlalchemy import FromClause, Text, bindparam, case, cast, func, literal_column, null, select
from sqlalchemy.dialects.postgresql import ARRAY, JSON, UUID, aggregate_order_by

from db.compiler.selection import OUTCOME, UNBOUND, Arguments, Bound, FieldMapping, Render, Selection
from db.entity import Entity
from db.errors import BadInput
from db.ids import is_uuid, shown, split_id
from db.limits import PAGE_MAX
from db.sql import Condition, Expression, Row
from db.visibility import ViewerParameter

ColumnSource: TypeAlias = str | Callable[[Row, ViewerParameter], Expression]
"""A column's name, or a function that computes a value from the row."""

ItemsSource: TypeAlias = Callable[[Row, ViewerParameter], FromClause]
"""A function from a row to the rows that belong to it, which have a column `ord` to sort by."""

RowCondition: TypeAlias = Callable[[Row], Condition]

RootSource: TypeAlias = Callable[[Render, Selection], tuple[Row, list[Condition]]]
"""A function that returns a selectable, and the conditions that leave at most one of its rows."""

ArgumentReader: TypeAlias = Callable[[Arguments], Bound]
"""Reads a root field's arguments into the parameters of its source. Raises `BadInput` for a value that cannot be
used."""


def read_column(source: ColumnSource, row: Row, viewer: ViewerParameter) -> Expression:
    return row.c[source] if isinstance(source, str) else source(row, viewer)


@dataclass(frozen=True)
class Column(FieldMapping):
    """A scalar, an enum value, or a list of either, from the row."""

    source: ColumnSource

    def render(self, render: Render, row: Row, selection: Selection) -> Expression:
        return read_column(self.source, row, render.viewer)


@dataclass(frozen=True)
class GlobalId(FieldMapping):
    """An entity's id as clients see it: the prefix, `_`, and the key in `column`."""

    entity: Entity
    column: str

    def render(self, render: Render, row: Row, selection: Selection) -> Expression:
        prefix: Expression = literal_column(f"'{self.entity.prefix}_'")
        return prefix.concat(cast(row.c[self.column], Text))


@dataclass(frozen=True)
class Constant(FieldMapping):
    """The same word for every row, as for `__typename`."""

    word: str

    def render(self, render: Render, row: Row, selection: Selection) -> Expression:
        return literal_column(f"'{self.word}'")


class Renamed:
    """A row whose columns are also known by their names without `prefix`."""

    def __init__(self, row: Row, prefix: str) -> None:
        self.c = {name.removeprefix(prefix): column for name, column in row.c.items()}


@dataclass(frozen=True)
class Embedded(FieldMapping):
    """An object made of the parent row's columns whose names begin with `prefix`."""

    prefix: str

    def render(self, render: Render, row: Row, selection: Selection) -> Expression:
        renamed: Any = Renamed(row, self.prefix)
        return render.object(selection.fields, renamed)


@dataclass(frozen=True)
class One(FieldMapping):
    """The row of another entity whose column `referenced_by` equals this row's `column`; null if there is none that the
    viewer sees. At most one row may match."""

    entity: Entity
    column: ColumnSource
    referenced_by: str = "id"
    from_ticket: bool = False
    """Whether this row is a ticket: the other row's visibility is then tested by this ticket first, which is fast."""

    def render(self, render: Render, row: Row, selection: Selection) -> Expression:
        target, viewer = render.alias(self.entity.table), render.viewer
        # The ticket that this row is usually makes the other one visible, so the viewer's other tickets are not read.
        near = self.entity.near if self.from_ticket else None
        visible = self.entity.visible(target, viewer) if near is None else near(target, viewer, row)
        belongs = target.c[self.referenced_by] == read_column(self.column, row, viewer)
        query = select(render.object(selection.fields, target)).select_from(target).where(belongs, visible)
        return query.correlate(row).scalar_subquery()


@dataclass(frozen=True)
class Items(FieldMapping):
    """A short list of objects that belong to the row and is never paged; null unless the row matches `present`."""

    source: ItemsSource
    present: RowCondition | None = None

    def render(self, render: Render, row: Row, selection: Selection) -> Expression:
        items = self.source(row, render.viewer)
        element = render.object(selection.fields, items)
        collected = func.json_agg(aggregate_order_by(element, items.c.ord))
        query = select(func.coalesce(collected, EMPTY)).select_from(items)
        value: Expression = query.correlate(row).scalar_subquery()
        return value if self.present is None else case((self.present(row), value))


EMPTY = literal_column("'[]'::json", JSON)
NO_ROW: Row = select(null().label("nothing")).subquery("nothing")
"""The parent row of a root field, which has none."""


@dataclass(frozen=True)
class Root(FieldMapping):
    """A root field that returns one object, or null if `source` has no row."""

    source: RootSource
    reader: ArgumentReader = field(default=lambda arguments: UNBOUND)

    def read(self, arguments: Arguments) -> Bound:
        return self.reader(arguments)

    def render(self, render: Render, row: Row, selection: Selection) -> Expression:
        source, conditions = self.source(render, selection)
        found = select(render.object(selection.fields, source)).select_from(source)
        return found.where(*conditions).scalar_subquery()


@dataclass(frozen=True)
class NodeById(FieldMapping):
    """The row of any of these entities with a given id; null if there is none that the viewer sees.

    The argument shape is the id's prefix, which names the entity.
    """

    entities: tuple[Entity, ...]

    def read(self, arguments: Arguments) -> Bound:
        prefix, key = _prefix_and_key(arguments["id"], self.entities)
        return Bound(prefix, (key,))

    def render(self, render: Render, row: Row, selection: Selection) -> Expression:
        entity = _entity_of(render.shape(selection), self.entities)
        return _node(entity, render.parameter(selection, 0, UUID(as_uuid=False)), render, selection)


@dataclass(frozen=True)
class NodesByIds(FieldMapping):
    """The rows with given ids, each of any of these entities, in the order of the ids; null in place of each that does
    not exist or that the viewer does not see.

    The argument shape is the ids' prefixes, sorted and without repetition; the values are two parallel arrays, of
    prefixes and of keys.
    """

    entities: tuple[Entity, ...]

    def read(self, arguments: Arguments) -> Bound:
        ids = arguments["ids"]
        if len(ids) > PAGE_MAX:
            raise BadInput(f"At most {PAGE_MAX} ids are allowed.")
        parsed = [_prefix_and_key(id_, self.entities) for id_ in ids]
        prefixes = tuple(sorted({prefix for prefix, _ in parsed}))
        return Bound(prefixes, ([prefix for prefix, _ in parsed], [key for _, key in parsed]), max(1, len(ids)))

    def render(self, render: Render, row: Row, selection: Selection) -> Expression:
        prefixes = render.shape(selection)
        if not prefixes:
            return EMPTY
        arrays = [render.parameter(selection, slot, ARRAY(Text())) for slot in (0, 1)]
        ids = func.unnest(*arrays).table_valued("prefix", "key", with_ordinality="ord").render_derived()
        found = case(*(self._branch(prefix, ids, render, selection) for prefix in prefixes))
        return select(func.json_agg(aggregate_order_by(found, ids.c.ord))).select_from(ids).scalar_subquery()

    def _branch(self, prefix: str, ids: Row, render: Render, selection: Selection) -> tuple[Condition, Expression]:
        """A branch of the CASE: the condition that an id has this prefix, and the row of its entity."""
        has_prefix = ids.c.prefix == literal_column(f"'{prefix}'")
        # The cast needs a CASE of its own: the planner may evaluate it for an id of another prefix, where it fails.
        key = cast(case((has_prefix, ids.c.key)), UUID(as_uuid=False))
        return has_prefix, _node(_entity_of(prefix, self.entities), key, render, selection)


def _prefix_and_key(global_id: str, entities: Sequence[Entity]) -> tuple[str, str]:
    """The prefix and the key of an id. Raises `BadInput` if it is not an id of one of the entities."""
    prefix, key = split_id(global_id)
    if not is_uuid(key) or prefix not in {entity.prefix for entity in entities}:
        raise BadInput(f"{shown(global_id)} is not a valid id.")
    return prefix, key


def _entity_of(prefix: str, entities: Sequence[Entity]) -> Entity:
    (entity,) = (each for each in entities if each.prefix == prefix)
    return entity


def _node(entity: Entity, key: Expression, render: Render, selection: Selection) -> Expression:
    """The selected fields of the entity's row with this key; null if the viewer does not see it."""
    target = render.alias(entity.table)
    found = select(render.object(selection.types[entity.name], target)).select_from(target)
    return found.where(target.c.id == key, entity.visible_alone(target, render.viewer)).scalar_subquery()


@dataclass(frozen=True)
class MutationField(FieldMapping):
    """A mutation: `handler` runs it, and its outcome is the one row that the payload's fields are read from."""

    handler: Callable[[Any, Arguments], Awaitable[Any]]
    """A `Handler` of `resolvers/mutation.py`, which `db/` may not import."""

    def render(self, render: Render, row: Row, selection: Selection) -> Expression:
        object_id, errors, extra = OUTCOME
        outcome = select(
            bindparam(object_id, type_=UUID(as_uuid=False)).label(object_id),
            bindparam(errors, type_=JSON()).label(errors),
            bindparam(extra, type_=JSON()).label(extra),
        ).subquery("outcome")
        return select(render.object(selection.fields, outcome)).select_from(outcome).scalar_subquery()


@dataclass(frozen=True)
class OutcomeExtra(FieldMapping):
    """The text under this name in the `extra` of a mutation's outcome; null if the handler has set none."""

    name: str

    def render(self, render: Render, row: Row, selection: Selection) -> Expression:
        text: Expression = row.c.extra[self.name].as_string()
        return text


@dataclass(frozen=True)
class StreamCursorField(FieldMapping):
    """A stream cursor: the position in the event log at which the statement reads."""

    def render(self, render: Render, row: Row, selection: Selection) -> Expression:
        return render.position()
