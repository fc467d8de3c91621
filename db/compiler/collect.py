"""Collects what a root field selects, for a role and the values of `@skip`/`@include`: a tree of `Selection`.

Fragments are merged as the specification's CollectFields does (GraphQL, October 2021, section 6.3.2), so result keys
come in its order."""

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
from db.enums import Role
from db.errors import BadInput, Forbidden

OF_THE_WHOLE = {"pageInfo": 5, "totalCount": 5, "streamCursor": 1}
"""Fields of a connection that are not of its rows but built once for it, and what each is counted as: the objects that
PostgreSQL could have built meanwhile."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a field is selected: below which site, whose weight it adds to, how often for each of the site's rows, and
    the place of the site itself."""

    site: Site | None
    weight: Weight
    times: int = 1
    around: Scope | None = None


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

    def select(self, type_: GraphQLObjectType, key: str, nodes: list[FieldNode], place: Scope) -> Selection:
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
                below = Scope(own, own.weight, 1, place)
            elif mapping.most > 1:
                below = Scope(place.site, place.weight, place.times * mapping.most, place.around)
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
