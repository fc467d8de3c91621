"""The terms of the compiler: what a field selects, the arguments it has, how a field is mapped, and a statement in the
making."""

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
"""The statement's parameter for a slot of the values that a field's arguments were read into."""

MAPPING = "callout.mapping"
"""Where a graphql-core field keeps its mapping, in `extensions`."""

VIEWER, VIEWER_NAME = "viewer", "viewer_name"
"""The parameters for the viewer's id and name."""

OUTCOME = ("object_id", "errors", "extra")
"""The parameters of a mutation's payload."""

_PAIRS = 50  # json_build_object takes at most 100 arguments (FUNC_MAX_ARGS)


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


@dataclass(slots=True, eq=False)
class Weight:
    """What is built for each row of a site (or once, outside of any): objects, and values that are none."""

    objects: int = 0
    values: int = 0


@dataclass(slots=True, eq=False)
class Site:
    """A selected field with arguments. Its place among its root field's sites numbers its parameters, and `weight` is
    of each row that it returns."""

    number: int
    node: FieldNode
    definition: GraphQLField
    mapping: FieldMapping
    parent: Site | None
    constant: bool
    weight: Weight = field(default_factory=Weight)


@dataclass(slots=True, eq=False)
class Selection:
    """A selected field: `key` in the result, `name` in the schema, and what is selected of each concrete type that
    its value may have."""

    key: str
    name: str
    mapping: FieldMapping | None
    site: Site | None
    types: dict[str, list[Selection]] = field(default_factory=dict)

    @property
    def fields(self) -> list[Selection]:
        """The selection on a field of an object type."""
        (fields,) = self.types.values()
        return fields


class Render:
    """One statement in the making: hands out aliases and parameters, and builds objects."""

    def __init__(self, role: Role, shapes: Sequence[Hashable], position_mark: str) -> None:
        self.viewer = ViewerParameter(role, bindparam(VIEWER, type_=Text()))
        self.wants_position = False
        self._shapes = shapes
        self._position_mark = position_mark
        self._aliases = 0

    def alias(self, table: TableClause) -> Row:
        self._aliases += 1
        return table.alias(f"{table.name[0]}{self._aliases}")

    def name(self) -> str:
        self._aliases += 1
        return f"q{self._aliases}"

    def shape(self, selection: Selection) -> Any:
        assert selection.site is not None
        return self._shapes[selection.site.number]

    def parameter(self, selection: Selection, slot: int, type_: TypeEngine[Any]) -> ColumnElement[Any]:
        """The value in `slot` of the values that the selection's mapping has read."""
        assert selection.site is not None
        return bindparam(parameter_name(selection.site.number, slot), type_=type_)

    def parameters(self, selection: Selection) -> ParameterOf:
        return lambda slot, type_: self.parameter(selection, slot, type_)

    def object(self, fields: Sequence[Selection], row: Row) -> Expression:
        """`{key: value, …}` of the selected fields of a row."""
        return self.pairs([(field.key, self.value(field, row)) for field in fields])

    def value(self, field: Selection, row: Row) -> Expression:
        assert field.mapping is not None, f"{field.name} has no mapping"
        return field.mapping.render(self, row, field)

    def pairs(self, pairs: Sequence[tuple[str, Expression]]) -> Expression:
        """A JSON object; keys are GraphQL names, so they need no quoting."""
        if len(pairs) <= _PAIRS:
            return _build_object(pairs)
        parts = [_build_object(pairs[start : start + _PAIRS]) for start in range(0, len(pairs), _PAIRS)]
        inner = [func.substr(cast(part, Text), 2, func.length(cast(part, Text)) - 2) for part in parts]
        return cast(func.concat("{", func.concat_ws(", ", *inner), "}"), JSON)

    def position(self) -> Expression:
        """A stream cursor: a mark that is replaced by the sealed snapshot of the statement."""
        self.wants_position = True
        return literal_column(f"'{self._position_mark}'")


def _build_object(pairs: Sequence[tuple[str, Expression]]) -> Expression:
    arguments: list[Expression] = []
    for key, value in pairs:
        arguments += (literal_column(f"'{key}'"), value)
    return func.json_build_object(*arguments, type_=JSON)


def parameter_name(site: int, slot: int) -> str:
    return f"s{site}_{slot}"
