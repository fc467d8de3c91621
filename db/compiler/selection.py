"""The terms of the selection compiler, which turns the selection of a root field into one SQL statement that returns
the field's JSON. Take this query:

    { tickets(filter: {customerId: "cus_018f…"}, first: 2) { nodes { reference } } }

- A *selection* (`Selection`) is a selected field and, below it, the selections of each type that its value may have.
  `collect.py` builds this tree from the document, for one role: `tickets`, with `nodes`, with `reference`.
- A *field mapping* (`FieldMapping`, declared in `schema/` with the classes of `fields.py` and `db/lists/page.py`) says
  how a field is read: `tickets` is a `Many`, `reference` a `Column`.
- A *site* (`Site`) is a selected field that has arguments. Sites are numbered per root field; `tickets` is site 0.
- `FieldMapping.read` turns the arguments of a site into an *argument shape* and values (`Bound`). The shape is what
  changes the statement's structure: a filter by customer whose value is in slot 0, newest tickets first, 2 rows. The
  values are parameters: slot 0 of site 0, named `s0_0`, is the customer's UUID.
- To *render* (`Render`, `render.py`) is to build the statement: each mapping makes the SQL of its own field, and lets
  the selections below it make theirs. Much simplified, the example becomes

      SELECT json_build_object('nodes', json_agg(json_build_object('reference', q2.reference)))
      FROM (SELECT t1.* FROM tickets AS t1 WHERE t1.customer_id = $1
            ORDER BY t1.created_at DESC, t1.id DESC LIMIT 2) AS q2

The same selection, role and shapes give the same statement, so it is rendered once and then only run with new values.
`callout explain` prints the selection, shapes and statement of any query.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from graphql import FieldNode, GraphQLField
from sqlalchemy import ColumnElement, TableClause, Text, bindparam, cast, func, literal_column
from sqlalchemy.dialects.postgresql import JSON
from sqlalchemy.types import TypeEngine

from db.enums import EVERYONE, Role
from db.sql import Expression, Row
from db.visibility import ViewerParameter

Arguments: TypeAlias = Mapping[str, Any]
ParameterOf: TypeAlias = Callable[[int, TypeEngine[Any]], ColumnElement[Any]]
"""The statement's parameter, of the given type, for a slot of a field's values."""

MAPPING = "callout.mapping"
"""The key in a graphql-core field's `extensions` under which its mapping is kept."""

VIEWER, VIEWER_NAME = "viewer", "viewer_name"
"""The parameters for the viewer's id and name."""

OUTCOME = ("object_id", "errors", "extra")
"""The parameters of a mutation payload's statement: the changed object's key, the user errors, and further texts."""

_PAIRS = 50  # json_build_object takes at most 100 arguments (FUNC_MAX_ARGS)


@dataclass(frozen=True, slots=True)
class Bound:
    """A field's arguments after reading: the argument shape decides the statement's structure, the values are its
    parameters by slot, and `size` is the most rows that the field can return for each row of its parent."""

    shape: Hashable = None
    values: tuple[Any, ...] = ()
    size: int = 1


UNBOUND = Bound()


@dataclass(frozen=True, kw_only=True)
class FieldMapping(ABC):
    """How a GraphQL field is read from the database.

    `roles` may read the field. A document that selects it is refused as a whole for any other role."""

    roles: frozenset[Role] = EVERYONE
    most: int = 1
    """The most objects that the field can return, where its arguments set no limit."""

    @property
    def cost(self) -> int:
        """How many objects selecting the field counts as, besides those it returns: a subquery has a price too."""
        return 0

    def read(self, arguments: Arguments) -> Bound:
        """The argument shape and values of one request's arguments. Raises `BadInput` for a value that cannot be
        used."""
        return UNBOUND

    @abstractmethod
    def render(self, render: Render, row: Row, selection: Selection) -> Expression:
        """The SQL of the field's JSON value for a row of its parent."""


@dataclass(slots=True, eq=False)
class Weight:
    """Objects and scalars that are built per row of a site, or once where there is no site above."""

    objects: int = 0
    values: int = 0


@dataclass(slots=True, eq=False)
class Site:
    """A selected field with arguments. `number` counts the sites of a root field and is part of the names of its
    parameters; `parent` is the nearest site above; `constant` says that no argument contains a variable; `weight` is
    what each row that the site returns costs."""

    number: int
    node: FieldNode
    definition: GraphQLField
    mapping: FieldMapping
    parent: Site | None
    constant: bool
    weight: Weight = field(default_factory=Weight)


@dataclass(slots=True, eq=False)
class Selection:
    """A selected field: its `key` in the result, its `name` in the schema, and in `types`, for each concrete type that
    its value may have, the selections below it."""

    key: str
    name: str
    mapping: FieldMapping | None
    site: Site | None
    types: dict[str, list[Selection]] = field(default_factory=dict)

    @property
    def fields(self) -> list[Selection]:
        """The selections below a field of an object type, which has only one concrete type."""
        (fields,) = self.types.values()
        return fields


class Render:
    """A statement while it is rendered: hands out unique aliases and parameters, and builds JSON objects.

    `shapes` has the argument shape of each site by its number. `position_mark` is the text that stands for a stream
    cursor in the statement's JSON until it is replaced."""

    def __init__(self, role: Role, shapes: Sequence[Hashable], position_mark: str) -> None:
        self.viewer = ViewerParameter(role, bindparam(VIEWER, type_=Text()))
        self.wants_position = False
        self._shapes = shapes
        self._position_mark = position_mark
        self._aliases = 0

    def alias(self, table: TableClause) -> Row:
        """The table under an alias that is unique in the statement."""
        self._aliases += 1
        return table.alias(f"{table.name[0]}{self._aliases}")

    def name(self) -> str:
        """A name for a subquery that is unique in the statement."""
        self._aliases += 1
        return f"q{self._aliases}"

    def shape(self, selection: Selection) -> Any:
        """The argument shape of a selection that is a site."""
        assert selection.site is not None
        return self._shapes[selection.site.number]

    def parameter(self, selection: Selection, slot: int, type_: TypeEngine[Any]) -> ColumnElement[Any]:
        """The parameter for the value in `slot` among those that the selection's mapping has read."""
        assert selection.site is not None
        return bindparam(parameter_name(selection.site.number, slot), type_=type_)

    def parameters(self, selection: Selection) -> ParameterOf:
        return lambda slot, type_: self.parameter(selection, slot, type_)

    def object(self, fields: Sequence[Selection], row: Row) -> Expression:
        """The JSON object `{key: value, …}` of a row's selected fields."""
        return self.pairs([(field.key, self.value(field, row)) for field in fields])

    def value(self, field: Selection, row: Row) -> Expression:
        assert field.mapping is not None, f"{field.name} has no mapping"
        return field.mapping.render(self, row, field)

    def pairs(self, pairs: Sequence[tuple[str, Expression]]) -> Expression:
        """A JSON object of any number of pairs. The keys are GraphQL names, so they need no escaping."""
        if len(pairs) <= _PAIRS:
            return _build_object(pairs)
        # Too many for one call: build several objects and join their texts between the braces. As `jsonb`, with `||`,
        # the keys would lose their order.
        parts = [_build_object(pairs[start : start + _PAIRS]) for start in range(0, len(pairs), _PAIRS)]
        inner = [func.substr(cast(part, Text), 2, func.length(cast(part, Text)) - 2) for part in parts]
        return cast(func.concat("{", func.concat_ws(", ", *inner), "}"), JSON)

    def position(self) -> Expression:
        """A stream cursor: the position mark, which is replaced in the answer by the statement's sealed snapshot."""
        self.wants_position = True
        return literal_column(f"'{self._position_mark}'")


def _build_object(pairs: Sequence[tuple[str, Expression]]) -> Expression:
    arguments: list[Expression] = []
    for key, value in pairs:
        arguments += (literal_column(f"'{key}'"), value)
    return func.json_build_object(*arguments, type_=JSON)


def parameter_name(site: int, slot: int) -> str:
    """The name of the parameter for a slot of a site; `Compiled` takes it apart again."""
    return f"s{site}_{slot}"
