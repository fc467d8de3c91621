"""Collects the selection of a root field into a tree of `Selection`, for one role and given values of `@skip` and
`@include`.

Fragments are merged as by CollectFields in the specification (GraphQL, October 2021, section 6.3.2), so that the result
has its keys in the specified order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphql import (
    DirectiveNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLAbstractType,
    GraphQLCompositeType,
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

from db.compiler.fields import Constant
from db.compiler.selection import MAPPING, FieldMapping, Selection, Site, Weight
from db.enums import Role, ServiceScope
from db.errors import BadInput, Forbidden

OF_THE_WHOLE = {"pageInfo": 5, "totalCount": 5, "streamCursor": 1}
"""Fields of a connection that are built once for the whole connection, not per row, and what each costs: the number of
objects that PostgreSQL builds in the same time."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a field is selected: the nearest site above it; the weight that it adds to; how many times it is built per
    row of that site; and the scope in which the site itself is selected."""

    site: Site | None
    weight: Weight
    times: int = 1
    around: Scope | None = None


class Flags:
    """Decides which fields `@skip` and `@include` keep, given the values of the variables that they use."""

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
    """Collects the selections of one operation's root fields, for one role and scope. `sites` has the sites by number,
    `weight` what is built once, outside any site."""

    def __init__(
        self,
        schema: GraphQLSchema,
        fragments: Mapping[str, FragmentDefinitionNode],
        flags: Flags,
        role: Role,
        scope: ServiceScope | None,
    ) -> None:
        self._schema = schema
        self._fragments = fragments
        self._flags = flags
        self._role = role
        self._scope = scope
        self.sites: list[Site] = []
        self.weight = Weight()

    def grouped(self, type_: GraphQLObjectType, sets: Sequence[SelectionSetNode]) -> dict[str, list[FieldNode]]:
        """The field nodes of each result key, in the order of the result."""
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

    def select(self, type_: GraphQLObjectType, key: str, nodes: list[FieldNode], place: Scope) -> Selection:
        """The selection of one field and everything below it. Raises `Forbidden` if the role or the scope may not read
        one of the fields."""
        # Each field adds its price to the scope that it is selected in. A field with arguments opens a new scope, whose
        # weight is counted per row of that site, because the number of rows is known only with the arguments.
        node = nodes[0]
        name = node.name.value
        place.weight.values += place.times
        if name == "__typename":
            return Selection(key, name, Constant(type_.name), None)
        definition = type_.fields[name]
        mapping: FieldMapping | None = definition.extensions.get(MAPPING)
        if mapping is not None:
            self._require_access(mapping, f"{type_.name}.{name}")
        below = place
        own: Site | None = None
        if mapping is not None:
            place.weight.objects += place.times * mapping.cost
            if definition.args:
                own = Site(len(self.sites), node, definition, mapping, place.site, not _has_variables(node))
                self.sites.append(own)
                below = Scope(own, own.weight, 1, place)
            elif mapping.most > 1:
                below = Scope(place.site, place.weight, place.times * mapping.most, place.around)
        elif below.around is not None and name in OF_THE_WHOLE:
            # A field of the connection itself: charge it once to the scope around, not per row of this site.
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

    def _require_access(self, mapping: FieldMapping, field: str) -> None:
        if self._role not in mapping.roles:
            raise Forbidden(f"The role {self._role.lower()} cannot read {field}.")
        if self._scope is not None and mapping.scopes is not None and self._scope not in mapping.scopes:
            raise Forbidden(f"The scope {self._scope.lower()} does not allow {field}.")

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
