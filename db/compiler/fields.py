"""The field mappings: how each kind of GraphQL field is read from the database.

A field is declared once, beside its Strawberry type in `schema/`, with one of these mappings, and the compiler combines
the mappings of a selection into one statement (`selection.py` explains its terms). A mapping has two halves: `read`
turns the arguments of one request into an argument shape and values, `render` builds the SQL for a shape. The statement
is rendered once per shape; later requests only bind their values.

As an example, `Column("reference")` renders `t1.reference`. `One(CUSTOMER, "customer_id")` renders a subquery

    (SELECT o$3 FROM customers AS c2, LATERAL (SELECT c2.name AS "name") AS o$3 WHERE c2.id = t1.customer_id AND …)

whose row `o$3` becomes the object `{"name": …}`. The selected fields are rendered by their own mappings, with `c2` as
the row, and … is the predicate of `db/visibility.py`: no mapping reaches an entity without adding it.

- From the parent's row: `Column`, `GlobalId`, `Constant`, `Embedded`.
- From other rows that belong to it: `One`, `Items`, and `Many` (`db/lists/page.py`), a connection.
- Root fields: `Root`, `PushPublicKey`, `NodeById`, `NodesByIds`, `Representations`, `MutationField`, and `Stream`
  (`db/ticket_stream.py`).

A computed field names a function of `resolvers/` that makes its SQL.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from sqlalchemy import FromClause, Text, and_, bindparam, case, cast, func, literal_column, select
from sqlalchemy.dialects.postgresql import ARRAY, JSON, UUID

from db.compiler.selection import UNBOUND, Arguments, Bound, FieldMapping, Render, Selection
from db.compiler.snippets import OUTCOME, OWN, Draft, NamedRow, renamed
from db.entity import Entity
from db.errors import BadInput
from db.ids import is_uuid, shown, split_id
from db.limits import BULK_MAX, PAGE_MAX, REPRESENTATIONS_MAX
from db.sql import EMPTY_LIST, Condition, Expression, Row, json_value
from db.visibility import ViewerParameter

ColumnSource: TypeAlias = str | Callable[[Row, ViewerParameter], Expression]
"""A column's name, or a function that computes a value from the row."""

ItemsSource: TypeAlias = Callable[[Row, ViewerParameter], FromClause]
"""A function from a row to the rows that belong to it, which have a column `ord` to sort by."""

RowCondition: TypeAlias = Callable[[Row], Condition]

RootSource: TypeAlias = Callable[[Draft], tuple[FromClause, list[Condition]]]
"""A function that returns a selectable, and the conditions that leave at most one of its rows."""

ArgumentReader: TypeAlias = Callable[[Arguments], Bound]
"""Reads a root field's arguments into the parameters of its source. Raises `BadInput` for a value that cannot be
used."""


def read_column(source: ColumnSource, row: Row, viewer: ViewerParameter) -> Expression:
    return row.c[source] if isinstance(source, str) else source(row, viewer)


@dataclass(frozen=True, eq=False)
class Column(FieldMapping):
    """A scalar, an enum value, or a list of either, from the row."""

    source: ColumnSource

    def render(self, render: Render, row: NamedRow, selection: Selection) -> str:
        return render.expression(selection, row, lambda draft: self._value(draft.this, draft.viewer))

    def _value(self, row: Row, viewer: ViewerParameter) -> Expression:
        return json_value(read_column(self.source, row, viewer))


@dataclass(frozen=True, eq=False)
class GlobalId(FieldMapping):
    """An entity's id as clients see it: the prefix, `_`, and the key in `column`."""

    entity: Entity
    column: str

    def render(self, render: Render, row: NamedRow, selection: Selection) -> str:
        key = render.expression(selection, row, lambda draft: draft.this.c[self.column])
        return f"'{self.entity.prefix}_' || CAST({key} AS TEXT)"


@dataclass(frozen=True, eq=False)
class FileLink(FieldMapping):
    """The URL of a file that belongs to the row, of this `kind`; null unless the row matches `present`."""

    kind: str
    present: RowCondition

    def render(self, render: Render, row: NamedRow, selection: Selection) -> str:
        condition = render.expression(selection, row, lambda draft: self.present(draft.this), about="present")
        key = render.expression(selection, row, lambda draft: cast(draft.this.c.id, Text), about="key")
        link = render.link(f"{key} || '/{self.kind}'")
        return f"CASE WHEN {condition} THEN {link} END"


@dataclass(frozen=True, eq=False)
class Constant(FieldMapping):
    """The same word for every row, as for `__typename`."""

    word: str

    def render(self, render: Render, row: NamedRow, selection: Selection) -> str:
        return f"'{self.word}'"


@dataclass(frozen=True, eq=False)
class PushPublicKey(FieldMapping):
    """The root field `pushPublicKey`, which the server answers from its settings."""

    def render(self, render: Render, row: NamedRow, selection: Selection) -> str:
        return "CAST(NULL AS TEXT)"


@dataclass(frozen=True, eq=False)
class Embedded(FieldMapping):
    """An object made of the parent row's columns whose names begin with `prefix`."""

    prefix: str

    def render(self, render: Render, row: NamedRow, selection: Selection) -> str:
        return render.object(selection.fields, NamedRow(renamed(row.kind, self.prefix), row.name))


@dataclass(frozen=True, eq=False)
class One(FieldMapping):
    """The row of another entity whose column `referenced_by` equals this row's `column`; null if there is none that the
    viewer sees. At most one row may match."""

    entity: Entity
    column: ColumnSource
    referenced_by: str = "id"
    from_ticket: bool = False
    """Whether this row is a ticket: the other row's visibility is then tested by this ticket first, which is fast."""

    def render(self, render: Render, row: NamedRow, selection: Selection) -> str:
        other = render.row(self.entity.table)
        found = render.expression(selection, row, self._belongs, other)
        fields, derived = render.derived(render.selected(selection.fields, other))
        return f"(SELECT {fields} FROM {self.entity.table.name} AS {other.name}{derived} WHERE {found})"

    def _belongs(self, draft: Draft) -> Condition:
        row, other, viewer = draft.this, draft.own, draft.viewer
        # The ticket that this row is usually makes the other one visible, so the viewer's other tickets are not read.
        near = self.entity.near if self.from_ticket else None
        visible = self.entity.visible(other, viewer) if near is None else near(other, viewer, row)
        return and_(other.c[self.referenced_by] == read_column(self.column, row, viewer), visible)


@dataclass(frozen=True, eq=False)
class Items(FieldMapping):
    """A short list of objects that belong to the row and is never paged; null unless the row matches `present`."""

    source: ItemsSource
    present: RowCondition | None = None

    def render(self, render: Render, row: NamedRow, selection: Selection) -> str:
        source, items = render.source(selection, row, lambda draft: (self.source(draft.this, draft.viewer), []))
        element = render.object(selection.fields, items)
        value = f"(SELECT coalesce(json_agg({element} ORDER BY {items.name}.ord), {EMPTY_LIST}) FROM {source})"
        present = self.present
        if present is None:
            return value
        condition = render.expression(selection, row, lambda draft: present(draft.this), about="present")
        return f"CASE WHEN {condition} THEN {value} END"


@dataclass(frozen=True, eq=False)
class Root(FieldMapping):
    """A root field that returns one object, or null if `source` has no row."""

    source: RootSource
    reader: ArgumentReader = field(default=lambda arguments: UNBOUND)

    def read(self, arguments: Arguments) -> Bound:
        return self.reader(arguments)

    def render(self, render: Render, row: NamedRow, selection: Selection) -> str:
        source, found = render.source(selection, row, self.source)
        return f"(SELECT {render.object(selection.fields, found)} FROM {source})"


@dataclass(frozen=True, eq=False)
class Guessed(Root):
    """A root field that shows an object to whoever knows its secret, so wrong guesses are counted. Its first two values
    are what is guessed."""


@dataclass(frozen=True, eq=False)
class NodeById(FieldMapping):
    """The row of any of these entities with a given id; null if there is none that the viewer sees.

    The argument shape is the id's prefix, which names the entity, or None for an id that is not valid; the second value
    then says so.
    """

    entities: tuple[Entity, ...]

    def read(self, arguments: Arguments) -> Bound:
        given = _given(arguments["id"], self.entities)
        return Bound(given.prefix or None, (given.key, given.problem))

    def render(self, render: Render, row: NamedRow, selection: Selection) -> str:
        prefix = render.shape(selection)
        if prefix is None:
            return _NOTHING
        entity = _entity_of(prefix, self.entities)
        return _node(entity, lambda draft: draft.parameter(0, UUID(as_uuid=False)), render, row, selection)


@dataclass(frozen=True, eq=False)
class NodesByIds(FieldMapping):
    """The rows with given ids, each of any of these entities, in the order of the ids. In place of each that does not
    exist or that the viewer does not see, there is a mark of the statement's (`Marks.absent`).

    The argument shape is the ids' prefixes, sorted and without repetition; the values are three parallel lists, of
    prefixes, of keys, and of what is wrong with an id.
    """

    entities: tuple[Entity, ...]

    def read(self, arguments: Arguments) -> Bound:
        ids = arguments["ids"]
        if len(ids) > PAGE_MAX:
            raise BadInput(f"At most {PAGE_MAX} ids are allowed.")
        return _bound([_given(id_, self.entities) for id_ in ids])

    def render(self, render: Render, row: NamedRow, selection: Selection) -> str:
        source, ids = render.source(selection, row, _given_ids)
        branches = [self._branch(prefix, ids, render, selection) for prefix in render.shape(selection)]
        found = f"CASE {' '.join(branches)} END" if branches else _NOTHING
        found = self._found(found, ids, render)
        return f"(SELECT coalesce(json_agg({found} ORDER BY {ids.name}.ord), {EMPTY_LIST}) FROM {source})"

    def _found(self, node: str, ids: NamedRow, render: Render) -> str:
        return f"coalesce({node}, to_json({render.absent(f'{ids.name}.ord')}))"

    def _branch(self, prefix: str, ids: NamedRow, render: Render, selection: Selection) -> str:
        """A branch of the CASE for the ids with this prefix: the row of its entity."""

        def key(draft: Draft) -> Expression:
            # The cast needs a CASE of its own: the planner may evaluate it for an id of another prefix, where it fails.
            has_prefix = draft.this.c.prefix == literal_column(f"'{prefix}'")
            return cast(case((has_prefix, draft.this.c.key)), UUID(as_uuid=False))

        node = _node(_entity_of(prefix, self.entities), key, render, ids, selection)
        return f"WHEN {ids.name}.prefix = '{prefix}' THEN {node}"


@dataclass(frozen=True, eq=False)
class Representations(NodesByIds):
    """The rows that another subgraph refers to by representations, `{__typename: "Ticket", id: "tkt_…"}`, in their
    order; null in place of each that does not exist or that the viewer does not see (Apollo Federation 2)."""

    def read(self, arguments: Arguments) -> Bound:
        representations = arguments["representations"]
        if len(representations) > REPRESENTATIONS_MAX:
            raise BadInput(f"At most {REPRESENTATIONS_MAX} representations are allowed.")
        return _bound([self._represented(each) for each in representations])

    def _represented(self, representation: object) -> GivenId:
        given = representation if isinstance(representation, dict) else {}
        entity = next((each for each in self.entities if each.name == given.get("__typename")), None)
        if entity is None:
            return GivenId("", "", "A representation must have the `__typename` of an entity.")
        return _given(str(given.get("id", "")), (entity,))

    def _found(self, node: str, ids: NamedRow, render: Render) -> str:
        return node


_NOTHING = "CAST(NULL AS JSON)"


class GivenId(NamedTuple):
    """An id that a client has sent, taken apart; or the `problem` with it, without the rest."""

    prefix: str
    key: str
    problem: str | None


def _given(global_id: str, entities: Sequence[Entity]) -> GivenId:
    try:
        prefix, key = split_id(global_id)
    except BadInput as error:
        return GivenId("", "", error.message)
    if not is_uuid(key) or prefix not in {entity.prefix for entity in entities}:
        return GivenId("", "", f"{shown(global_id)} is not a valid id.")
    return GivenId(prefix, key, None)


def _bound(ids: Sequence[GivenId]) -> Bound:
    prefixes = tuple(sorted({each.prefix for each in ids if each.prefix}))
    values = ([each.prefix for each in ids], [each.key for each in ids], [each.problem for each in ids])
    return Bound(prefixes, values, max(1, len(ids)))


def _given_ids(draft: Draft) -> tuple[FromClause, list[Condition]]:
    """The ids in order: `prefix`, `key` and `ord`."""
    arrays = [draft.parameter(slot, ARRAY(Text())) for slot in (0, 1)]
    ids = func.unnest(*arrays).table_valued("prefix", "key", with_ordinality="ord")
    return ids.render_derived(name=OWN), []


def _entity_of(prefix: str, entities: Sequence[Entity]) -> Entity:
    (entity,) = (each for each in entities if each.prefix == prefix)
    return entity


def _node(
    entity: Entity, key: Callable[[Draft], Expression], render: Render, row: NamedRow, selection: Selection
) -> str:
    """The selected fields of the entity's row with this key; null if the viewer does not see it."""

    def found(draft: Draft) -> Condition:
        return and_(draft.own.c.id == key(draft), entity.visible_alone(draft.own, draft.viewer))

    own = render.row(entity.table)
    # Two entities may have the same columns, and so rows of the same kind, but not the same visibility.
    condition = render.expression(selection, row, found, own, about=entity.prefix)
    fields = render.object(selection.types[entity.name], own)
    return f"(SELECT {fields} FROM {entity.table.name} AS {own.name} WHERE {condition})"


@dataclass(frozen=True, eq=False)
class MutationField(FieldMapping):
    """A mutation: `handler` runs it, and its outcome is the one row that the payload's fields are read from."""

    handler: Callable[[Any, Arguments], Awaitable[Any]]
    """A `Handler` of `resolvers/mutation.py`, which `db/` may not import."""
    again: Callable[[Any, Any], Awaitable[Any]] | None = None
    """Completes the outcome of a request that is repeated, with what was not kept for it."""
    apart: bool = False
    """Whether the handler needs several transactions. A second run of it must have no second effect."""
    around: Callable[[Any], AbstractAsyncContextManager[None]] | None = None
    """What the whole mutation runs in, with its commit."""
    is_batch: bool = False
    """Whether the payload has a result for each item of the input's list: their number is the answer's price."""

    def read(self, arguments: Arguments) -> Bound:
        """A mutation changes one row, or as many as its longest list has items, which are ids."""
        lists = (value for value in arguments["input"].values() if isinstance(value, list))
        number = min(BULK_MAX, max(map(len, lists), default=1))
        return Bound(changes=number, size=number if self.is_batch else 1)

    def render(self, render: Render, row: NamedRow, selection: Selection) -> str:
        source, outcome = render.source(selection, row, _outcome)
        return f"(SELECT {render.object(selection.fields, outcome)} FROM {source})"


@dataclass(frozen=True, eq=False)
class MutationInMemory(MutationField):
    """A mutation that writes nothing: its payload is made of its outcome alone (`callout/execution/in_memory.py`), and
    there is no statement."""

    def read(self, arguments: Arguments) -> Bound:
        return UNBOUND

    def render(self, render: Render, row: NamedRow, selection: Selection) -> str:
        return _NOTHING


@dataclass(frozen=True, eq=False)
class InMemory(FieldMapping):
    """A value that is not in the database, of an object that no statement reads."""

    def render(self, render: Render, row: NamedRow, selection: Selection) -> str:
        raise NotImplementedError(f"{selection.name} is not in the database")


def _outcome(draft: Draft) -> tuple[FromClause, list[Condition]]:
    object_id, errors, extra = OUTCOME
    outcome = select(
        bindparam(object_id, type_=UUID(as_uuid=False)).label(object_id),
        bindparam(errors, type_=JSON()).label(errors),
        bindparam(extra, type_=JSON()).label(extra),
    )
    return outcome.subquery("outcome"), []


@dataclass(frozen=True, eq=False)
class OutcomeExtra(FieldMapping):
    """The text under this name in the `extra` of a mutation's outcome; null if the handler has set none."""

    name: str

    def render(self, render: Render, row: NamedRow, selection: Selection) -> str:
        return render.expression(selection, row, lambda draft: draft.this.c.extra[self.name].as_string())


@dataclass(frozen=True, eq=False)
class StreamCursorField(FieldMapping):
    """A stream cursor: the position in the event log at which the statement reads."""

    def render(self, render: Render, row: NamedRow, selection: Selection) -> str:
        return render.position()
