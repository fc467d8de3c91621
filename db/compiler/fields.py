"""How a GraphQL field is read from the database.

A field of an entity is declared once, beside its Strawberry type, with one of these mappings; the compiler
(`db/compiler/compiler.py`) puts the mappings of a selection together into one statement. A mapping has two halves. `read` turns
the arguments of one request into values and a *shape*: what of them changes the statement's text. `render` builds
the SQL of a shape. So a statement is built once per shape, and afterwards only values are bound.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable
from collections.abc import Mapping as Dict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from sqlalchemy import ColumnElement, FromClause, TableClause, case, func, literal_column, null, select
from sqlalchemy.dialects.postgresql import JSON, aggregate_order_by

from db.enums import Role
from db.visibility import ONE_BY_ONE, Asker, Condition, NearPredicate, Predicate, Row

if TYPE_CHECKING:
    from db.compiler.compiler import Render, Selection

Expression: TypeAlias = ColumnElement[Any]
Arguments: TypeAlias = Dict[str, Any]

EVERYONE = frozenset(Role)
STAFF = frozenset({Role.ADMIN, Role.TECHNICIAN})
ADMINS = frozenset({Role.ADMIN})


@dataclass(frozen=True, slots=True)
class Bound:
    """One field's arguments, read: the shape decides the statement, the values are its parameters, and `size` is
    how many rows the field can return for each row it hangs on."""

    shape: Hashable = None
    values: tuple[Any, ...] = ()
    size: int = 1


UNBOUND = Bound()


@dataclass(frozen=True, kw_only=True)
class FieldMapping(ABC):
    """`roles` may read the field; a document of another role that selects it is refused as a whole."""

    roles: frozenset[Role] = EVERYONE
    most: int = 1
    """Of how many objects the field consists at the most, where that is not the arguments' to say."""

    @property
    def cost(self) -> int:
        """What a selection of the field is counted as, besides what it returns: a query below has a price."""
        return 0

    def read(self, arguments: Arguments) -> Bound:
        """Raises `BadInput` for values that cannot be used."""
        return UNBOUND

    @abstractmethod
    def render(self, render: Render, row: Row, selection: Selection) -> Expression:
        """The field's JSON value, for the row that it hangs on."""


@dataclass(frozen=True)
class Column(FieldMapping):
    """A scalar, an enum value or a list of them, read off the row: a column's name or an expression."""

    source: str | Callable[[Row, Asker], Expression]

    def render(self, render: Render, row: Row, selection: Selection) -> Expression:
        if isinstance(self.source, str):
            return row.c[self.source]
        return self.source(row, render.asker)


@dataclass(frozen=True)
class Constant(FieldMapping):
    """The same word for every row: `__typename`."""

    word: str

    def render(self, render: Render, row: Row, selection: Selection) -> Expression:
        return literal_column(f"'{self.word}'")


class Renamed:
    """A row whose columns go by other names: `prefix` and the name."""

    def __init__(self, row: Row, prefix: str) -> None:
        self.c = {name.removeprefix(prefix): column for name, column in row.c.items()}


@dataclass(frozen=True)
class Embedded(FieldMapping):
    """An object made of the columns of the same row whose names begin with `prefix`."""

    prefix: str

    def render(self, render: Render, row: Row, selection: Selection) -> Expression:
        renamed: Any = Renamed(row, self.prefix)
        return render.object(selection.fields, renamed)


@dataclass(frozen=True)
class Entity:
    """A kind of thing with an id: its table, the prefix of its ids, and who sees which of its rows."""

    name: str
    table: TableClause
    prefix: str
    visible: Predicate
    near: NearPredicate | None = None
    """The same predicate of what is seen because it is on a ticket that is: told whence one came to the row, it looks
    there first."""
    on_few: bool = False
    """Whether each is on few tickets, so that these tell sooner than all that a technician or a service sees."""

    def seen_on_few(self, asker: Asker) -> bool:
        """Whether the asker sees a row by the few tickets that it is on."""
        return self.on_few and asker.role in (Role.TECHNICIAN, Role.SERVICE)

    def visible_alone(self, row: Row, asker: Asker) -> Condition:
        """The predicate where a row is asked for by itself."""
        if self.near is None or not self.seen_on_few(asker):
            return self.visible(row, asker)
        return self.near(row, asker, ONE_BY_ONE)


@dataclass(frozen=True)
class One(FieldMapping):
    """The one row of another entity that belongs to this row; null where there is none that the viewer sees."""

    entity: Entity
    on: Callable[[Row, Row], Condition]  # (this row, the other entity's row)
    from_ticket: bool = False
    """Whether this row is a ticket, which tells soonest whether the other is visible."""

    def render(self, render: Render, row: Row, selection: Selection) -> Expression:
        target, asker = render.alias(self.entity.table), render.asker
        near = self.entity.near if self.from_ticket else None
        visible = self.entity.visible(target, asker) if near is None else near(target, asker, row)
        query = select(render.object(selection.fields, target)).select_from(target).where(self.on(row, target), visible)
        return query.correlate(row).scalar_subquery()


@dataclass(frozen=True)
class Items(FieldMapping):
    """A short list of objects that belong to the row and are never paged: from `source`, in the order of its column
    `ord`. Null where `present` says so."""

    source: Callable[[Row, Asker], FromClause]
    present: Callable[[Row], Condition] | None = None

    def render(self, render: Render, row: Row, selection: Selection) -> Expression:
        items = self.source(row, render.asker)
        element = render.object(selection.fields, items)
        collected = func.json_agg(aggregate_order_by(element, items.c.ord))
        query = select(func.coalesce(collected, EMPTY)).select_from(items)
        value: Expression = query.correlate(row).scalar_subquery()
        return value if self.present is None else case((self.present(row), value))


EMPTY = literal_column("'[]'::json", JSON)
NO_ROW: Row = select(null().label("nothing")).subquery("nothing")
"""What a root field hangs on."""


@dataclass(frozen=True)
class Root(FieldMapping):
    """A root field that is one object read from `source`, a selectable of at most one row; null where it has none.

    `argument_values` turns the field's arguments into the values of the parameters that `source` mentions.
    """

    source: Callable[[Render, Selection], tuple[Row, list[Condition]]]
    reader: Callable[[Arguments], Bound] = field(default=lambda arguments: UNBOUND)

    def read(self, arguments: Arguments) -> Bound:
        return self.reader(arguments)

    def render(self, render: Render, row: Row, selection: Selection) -> Expression:
        source, conditions = self.source(render, selection)
        found = select(render.object(selection.fields, source)).select_from(source)
        return found.where(*conditions).scalar_subquery()
