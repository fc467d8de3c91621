"""Checks a response against the schema and its document: every key, in order, and every value's type.

It follows the specification (GraphQL, October 2021, sections 6.3.2, 6.4.3 and 3.5), not the server that it judges.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLEnumType,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    is_abstract_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    is_object_type,
    parse,
    value_from_ast_untyped,
)

# A DateTime, as the schema describes it: ISO 8601 with six digits of a second and the offset.
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}[+-]\d\d:\d\d")

_SCALARS = {
    "String": lambda value: isinstance(value, str),
    "ID": lambda value: isinstance(value, str) and value != "",
    "Boolean": lambda value: isinstance(value, bool),
    "Int": lambda value: type(value) is int and -(2**31) <= value < 2**31,
    "Float": lambda value: type(value) in (int, float),
    "DateTime": lambda value: isinstance(value, str) and _DATE_TIME.fullmatch(value) is not None,
}


def departures(
    schema: GraphQLSchema, document: str, variables: Mapping[str, Any], data: Any, seen: set[str] | None = None
) -> list[str]:
    """Returns the places where `data` differs from what the schema promises for the document's one operation; empty if
    there are none. Adds the fields that have a value (`Ticket.subject`) to `seen`."""
    check = _Check(schema, document, variables)
    found = list(check.operation(data))
    if seen is not None:
        seen |= check.seen
    return found


@cache
def _parsed(document: str) -> DocumentNode:
    return parse(document)


class _Check:
    def __init__(self, schema: GraphQLSchema, document: str, variables: Mapping[str, Any]) -> None:
        self.seen: set[str] = set()
        self._schema = schema
        definitions = _parsed(document).definitions
        self._fragments = {d.name.value: d for d in definitions if isinstance(d, FragmentDefinitionNode)}
        (self._operation,) = (d for d in definitions if isinstance(d, OperationDefinitionNode))
        defaults = {
            d.variable.name.value: value_from_ast_untyped(d.default_value)
            for d in self._operation.variable_definitions or ()
            if d.default_value is not None
        }
        self._variables = defaults | dict(variables)

    def operation(self, data: Any) -> Iterator[str]:
        root = self._schema.get_root_type(self._operation.operation)
        assert root is not None
        yield from self._object(root, [self._operation.selection_set], data, "data")

    def _value(self, type_: GraphQLOutputType, nodes: Sequence[FieldNode], value: Any, path: str) -> Iterator[str]:
        if is_non_null_type(type_):
            if value is None:
                yield f"{path} is null, but never may be"
                return
            type_ = type_.of_type
        if value is None:
            return
        if is_list_type(type_):
            if not isinstance(value, list):
                yield f"{path} is no list"
                return
            for index, item in enumerate(value):
                yield from self._value(type_.of_type, nodes, item, f"{path}[{index}]")
        elif is_leaf_type(type_):
            good = value in type_.values if isinstance(type_, GraphQLEnumType) else _SCALARS[type_.name](value)
            if not good:
                yield f"{path} is {value!r}, which is no {type_.name}"
        else:
            sets = [node.selection_set for node in nodes if node.selection_set]
            if is_object_type(type_):
                yield from self._object(type_, sets, value, path)
            elif is_abstract_type(type_):
                trials = [list(self._object(one, sets, value, path)) for one in self._schema.get_possible_types(type_)]
                yield from min(trials, key=len)

    def _object(
        self, type_: GraphQLObjectType, sets: Sequence[SelectionSetNode], value: Any, path: str
    ) -> Iterator[str]:
        if not isinstance(value, dict):
            yield f"{path} is no object"
            return
        fields: dict[str, list[FieldNode]] = {}
        visited: set[str] = set()
        for selection_set in sets:
            self._collect(type_, selection_set, fields, visited)
        if list(value) != list(fields):
            yield f"{path} has the keys {list(value)} and not {list(fields)}"
            return
        for key, nodes in fields.items():
            name = nodes[0].name.value
            if name == "__typename":
                if value[key] != type_.name:
                    yield f"{path}.{key} is {value[key]!r} and not {type_.name}"
            elif not name.startswith("__"):  # the GraphQL library answers introspection
                if value[key] not in (None, []):
                    self.seen.add(f"{type_.name}.{name}")
                yield from self._value(type_.fields[name].type, nodes, value[key], f"{path}.{key}")

    def _collect(
        self, type_: GraphQLObjectType, sets: SelectionSetNode, fields: dict[str, list[FieldNode]], visited: set[str]
    ) -> None:
        for node in sets.selections:
            if not self._included(node):
                continue
            if isinstance(node, FieldNode):
                fields.setdefault((node.alias or node.name).value, []).append(node)
            elif isinstance(node, InlineFragmentNode):
                if node.type_condition is None or self._applies(node.type_condition.name.value, type_):
                    self._collect(type_, node.selection_set, fields, visited)
            elif isinstance(node, FragmentSpreadNode) and node.name.value not in visited:
                visited.add(node.name.value)
                fragment = self._fragments[node.name.value]
                if self._applies(fragment.type_condition.name.value, type_):
                    self._collect(type_, fragment.selection_set, fields, visited)

    def _included(self, node: Any) -> bool:
        wanted = {"include": True, "skip": False}
        for directive in node.directives or ():
            (condition,) = directive.arguments
            if value_from_ast_untyped(condition.value, self._variables) is not wanted[directive.name.value]:
                return False
        return True

    def _applies(self, name: str, type_: GraphQLObjectType) -> bool:
        condition = self._schema.type_map[name]
        return condition is type_ or (is_abstract_type(condition) and self._schema.is_sub_type(condition, type_))
