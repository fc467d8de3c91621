"""The selection compiler: one root field's selection becomes one SQL statement that returns its JSON.

`collect` works out, for a role and the values of `@skip`/`@include`, what a root field selects: a tree of `Selection`.
`Root field + shapes` then renders to a `Statement`, which is kept. Fragments are merged as the specification's
CollectFields does (GraphQL, October 2021, section 6.3.2), so result keys come in its order.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    DirectiveNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLAbstractType,
    GraphQLCompositeType,
    GraphQLField,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    SelectionSetNode,
    VariableNode,
    get_named_type,
    is_abstract_type,
    is_composite_type,
    is_object_type,
    value_from_ast_untyped,
)
from sqlalchemy import ColumnElement, TableClause, Text, bindparam, cast, func, literal_column, select
from sqlalchemy.dialects.postgresql import JSON
from sqlalchemy.types import TypeEngine

from db.compiler.fields import NO_ROW, Bound, Constant, Expression, FieldMapping
from db.enums import Role
from db.errors import BadInput, Forbidden
from db.events.position import NOW
from db.lists.filters import Parameter
from db.postgres.statement import Statement
from db.viewer import Viewer
from db.visibility import Asker, Row

MAPPING = "callout.mapping"
"""Where a graphql-core field keeps its mapping, in `extensions`."""

_PAIRS = 50  # json_build_object takes at most 100 arguments (FUNC_MAX_ARGS)


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


OF_THE_WHOLE = {"pageInfo": 5, "totalCount": 5, "streamCursor": 1}
"""Fields of a connection that are not of its rows but built once for it, and what each is counted as: the objects that
PostgreSQL could have built meanwhile."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a field is selected: below which site, whose weight it adds to, how often for each of the site's rows, and
    the place of the site itself."""

    site: Site | None
    weight: Weight
    times: int = 1
    around: Place | None = None


class Flags:
    """Which fields `@skip` and `@include` leave in, for given values of the variables that they name."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def included(self, directives: Sequence[DirectiveNode]) -> bool:
        for directive in directives:
            name = directive.name.value
            if name in ("skip", "include"):
                (condition,) = directive.arguments or ()
                value = condition.value
                if isinstance(value, VariableNode):
                    given = self._values.get(value.name.value)
                else:
                    given = value_from_ast_untyped(value)
                if given is None:
                    raise BadInput(f"`if` of @{name} must not be null.")
                if given is (name == "skip"):
                    return False
        return True


class Collector:
    """Collects what the root fields of one operation select, for one role."""

    def __init__(
        self,
        schema: GraphQLSchema,
        fragments: Mapping[str, FragmentDefinitionNode],
        flags: Flags,
        role: Role,
    ) -> None:
        self._schema = schema
        self._fragments = fragments
        self._flags = flags
        self._role = role
        self.sites: list[Site] = []
        self.weight = Weight()

    def grouped(self, type_: GraphQLObjectType, sets: Sequence[SelectionSetNode]) -> dict[str, list[FieldNode]]:
        """The field nodes for each result key, in order."""
        groups: dict[str, list[FieldNode]] = {}
        visited: set[str] = set()
        for selection_set in sets:
            self._collect(type_, selection_set, groups, visited)
        return groups

    def _collect(
        self,
        type_: GraphQLObjectType,
        selection_set: SelectionSetNode,
        groups: dict[str, list[FieldNode]],
        visited: set[str],
    ) -> None:
        for node in selection_set.selections:
            if not self._flags.included(node.directives or ()):
                continue
            if isinstance(node, FieldNode):
                key = node.alias.value if node.alias else node.name.value
                groups.setdefault(key, []).append(node)
                continue
            if isinstance(node, FragmentSpreadNode):
                name = node.name.value
                if name in visited:
                    continue
                visited.add(name)
                fragment: FragmentDefinitionNode | InlineFragmentNode = self._fragments[name]
            else:
                assert isinstance(node, InlineFragmentNode)
                fragment = node
            if self._applies(type_, fragment):
                self._collect(type_, fragment.selection_set, groups, visited)

    def _applies(self, type_: GraphQLObjectType, fragment: FragmentDefinitionNode | InlineFragmentNode) -> bool:
        if fragment.type_condition is None:
            return True
        condition = self._schema.get_type(fragment.type_condition.name.value)
        if condition is type_:
            return True
        return is_abstract_type(condition) and self._schema.is_sub_type(condition, type_)

    def select(self, type_: GraphQLObjectType, key: str, nodes: list[FieldNode], place: Place) -> Selection:
        """One field, and all below it. Raises `Forbidden` for a field that the role may not read."""
        node = nodes[0]
        name = node.name.value
        place.weight.values += place.times
        if name == "__typename":
            return Selection(key, name, Constant(type_.name), None)
        definition = type_.fields[name]
        mapping: FieldMapping | None = definition.extensions.get(MAPPING)
        if mapping is not None and self._role not in mapping.roles:
            raise Forbidden(f"{type_.name}.{name} is not for the role {self._role.lower()}.")
        below = place
        own: Site | None = None
        if mapping is not None:
            place.weight.objects += place.times * mapping.cost
            if definition.args:
                own = Site(len(self.sites), node, definition, mapping, place.site, not _has_variables(node))
                self.sites.append(own)
                below = Place(own, own.weight, 1, place)
            elif mapping.most > 1:
                below = Place(place.site, place.weight, place.times * mapping.most, place.around)
        elif below.around is not None and name in OF_THE_WHOLE:
            below = below.around
            below.weight.objects += below.times * OF_THE_WHOLE[name]
        selection = Selection(key, name, mapping, own)
        target = get_named_type(definition.type)
        if is_composite_type(target):
            below.weight.objects += below.times
            sets = [node.selection_set for node in nodes if node.selection_set]
            for concrete in self._concrete(target):
                groups = self.grouped(concrete, sets)
                selection.types[concrete.name] = [
                    self.select(concrete, key, group, below) for key, group in groups.items()
                ]
        return selection

    def _concrete(self, type_: GraphQLCompositeType) -> Sequence[GraphQLObjectType]:
        if is_object_type(type_):
            return (type_,)
        abstract: GraphQLAbstractType = type_  # type: ignore[assignment]
        return self._schema.get_possible_types(abstract)


def _has_variables(node: FieldNode) -> bool:
    pending: list[Any] = [argument.value for argument in node.arguments or ()]
    while pending:
        value = pending.pop()
        if isinstance(value, VariableNode):
            return True
        pending.extend(getattr(value, "values", None) or ())
        pending.extend(item.value for item in getattr(value, "fields", None) or ())
    return False


class Render:
    """One statement in the making: hands out aliases and parameters, and builds objects."""

    def __init__(self, role: Role, shapes: Sequence[Hashable], position_mark: str) -> None:
        self.asker = Asker(role, bindparam(VIEWER, type_=Text()))
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

    def parameters(self, selection: Selection) -> Parameter:
        return Parameter(lambda slot, type_: self.parameter(selection, slot, type_))

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


VIEWER, VIEWER_NAME = "viewer", "viewer_name"
OUTCOME = ("object_id", "errors", "extra")
"""The parameters of a mutation's payload."""


class Compiled:
    """A root field's statement, and where each of its arguments comes from."""

    __slots__ = ("_fixed", "_outcome", "_sites", "_viewer", "statement")

    def __init__(self, statement: Statement) -> None:
        self.statement = statement
        self._fixed = statement.arguments({})
        self._sites: list[tuple[int, int, int]] = []  # place among the arguments, site, slot
        self._viewer: list[tuple[int, bool]] = []  # place, and whether it is the name
        self._outcome: list[tuple[int, int]] = []  # place, and which part of the outcome
        for place, name in enumerate(statement.names):
            if name in (VIEWER, VIEWER_NAME):
                self._viewer.append((place, name == VIEWER_NAME))
            elif name in OUTCOME:
                self._outcome.append((place, OUTCOME.index(name)))
            elif name.startswith("s") and name[1:].replace("_", "").isdigit():
                site, slot = name[1:].split("_")
                self._sites.append((place, int(site), int(slot)))

    def arguments(self, bounds: Sequence[Bound], viewer: Viewer) -> list[Any]:
        """The statement's arguments, but for a mutation's outcome."""
        arguments = self._fixed.copy()
        for place, site, slot in self._sites:
            arguments[place] = bounds[site].values[slot]
        for place, name in self._viewer:
            arguments[place] = viewer.name if name else viewer.id
        return arguments

    def given(self, arguments: list[Any], values: Mapping[str, Any]) -> list[Any]:
        """The arguments with those that are known by name."""
        return [values.get(name, argument) for name, argument in zip(self.statement.names, arguments, strict=True)]

    def with_outcome(self, arguments: list[Any], *outcome: Any) -> list[Any]:
        for place, part in self._outcome:
            arguments[place] = outcome[part]
        return arguments


def compile_root(root: Selection, role: Role, shapes: Sequence[Hashable], position_mark: str) -> Compiled:
    """The statement of a root field, for a role and the shapes of its sites. Where a stream cursor is selected it
    returns a second column: the snapshot that cursors are made of."""
    assert root.mapping is not None
    render = Render(role, shapes, position_mark)
    columns = [root.mapping.render(render, NO_ROW, root).label("document")]
    if render.wants_position:
        columns.append(literal_column(NOW, Text()).label("position"))
    return Compiled(Statement(select(*columns)))
