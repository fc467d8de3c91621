"""Whatever can be asked of the API, derived from the schema: documents that select every field that a role may read,
and input values that are no more than what must be given."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    get_named_type,
    is_leaf_type,
    is_required_argument,
    is_required_input_field,
)

from db.compiler import MAPPING
from db.connection import Many
from db.enums import Role
from db.mapping import EVERYONE, FieldMapping, One
from schema import graphql_schema, schema

SCHEMA = graphql_schema(schema)
PAGE = 9  # what is asked for of each list: more than the tests put into any, and far from the bounds on cost

_TEXTS = {"email": "x@example.com", "DateTime": "2026-01-01T00:00:00Z"}


def root_fields(operation: str) -> Mapping[str, GraphQLField]:
    """The fields of `Query` or `Mutation`."""
    type_ = SCHEMA.type_map[operation]
    assert isinstance(type_, GraphQLObjectType)
    return type_.fields


def roles_of(field: GraphQLField) -> frozenset[Role]:
    mapping: FieldMapping | None = field.extensions.get(MAPPING)
    return EVERYONE if mapping is None else mapping.roles


class Everything:
    """All that a role may read. `reached` collects the fields that its documents have selected."""

    def __init__(self, role: Role, arguments: Mapping[str, str]) -> None:
        """`arguments` are those of the root fields that need some, as GraphQL text."""
        self._role = role
        self._arguments = arguments
        self.reached: set[tuple[str, str]] = set()

    def documents(self) -> Iterator[str]:
        """From each root field to the things it gives and their neighbours, and from each of these neighbours to its
        own: three things in a row, by all ways."""
        for name, field in self._readable("Query"):
            call = name + self._call(name, field)
            type_ = get_named_type(field.type)
            if isinstance(type_, GraphQLInterfaceType):
                for concrete in SCHEMA.get_possible_types(type_):
                    yield f"{{ {call} {{ __typename id ... on {concrete.name} {{ {self._all(concrete, 1)} }} }} }}"
                continue
            yield f"{{ {call} {{ {self._all(type_, 1)} }} }}"
            thing, way = self._thing(type_)
            for link, leading in self._readable(thing.name):
                if _leads(leading):
                    inner = self._all(get_named_type(leading.type), 1)
                    yield f"{{ {call} {{ {way % f'{link}{_page(leading)} {{ {inner} }}'} }} }}"

    def readable(self) -> set[tuple[str, str]]:
        """All fields that there is a way to, as (type, field)."""
        found: set[tuple[str, str]] = set()
        pending = ["Query"]
        while pending:
            for name, field in self._readable(type_name := pending.pop()):
                if (type_name, name) not in found:
                    found.add((type_name, name))
                    target = get_named_type(field.type)
                    if isinstance(target, GraphQLInterfaceType):
                        pending += [concrete.name for concrete in SCHEMA.get_possible_types(target)]
                    elif isinstance(target, GraphQLObjectType):
                        pending.append(target.name)
        return found

    def _readable(self, type_name: str) -> list[tuple[str, GraphQLField]]:
        return [(name, field) for name, field in _object(type_name).fields.items() if self._role in roles_of(field)]

    def _call(self, name: str, field: GraphQLField) -> str:
        self.reached.add(("Query", name))
        if name in self._arguments:
            return f"({self._arguments[name]})"
        assert not any(is_required_argument(argument) for argument in field.args.values()), name
        return _page(field)

    def _thing(self, type_: Any) -> tuple[GraphQLObjectType, str]:
        """What a root field gives, and the selection that leads to its fields."""
        if "nodes" in type_.fields:
            return _object(get_named_type(type_.fields["nodes"].type).name), "nodes {{ {} }}".replace("{}", "%s") % "%s"
        return type_, "%s"

    def _all(self, type_: Any, hops: int) -> str:
        """A selection of all fields, those that lead to other things for `hops` steps."""
        parts = []
        for name, field in self._readable(type_.name):
            target = get_named_type(field.type)
            left = hops - 1 if _leads(field) else hops
            if left < 0:
                continue
            self.reached.add((type_.name, name))
            if is_leaf_type(target):
                parts.append(name)
            elif type_.name.endswith("Edge"):  # `nodes` has the rest
                parts.append(f"{name} {{ __typename }}")
            else:
                parts.append(f"{name}{_page(field)} {{ {self._all(target, left)} }}")
        return " ".join(parts)


def _object(name: str) -> GraphQLObjectType:
    type_ = SCHEMA.type_map[name]
    assert isinstance(type_, GraphQLObjectType)
    return type_


def _leads(field: GraphQLField) -> bool:
    return isinstance(field.extensions.get(MAPPING), One | Many)


def _page(field: GraphQLField) -> str:
    return f"(first: {PAGE})" if "first" in field.args else ""


def sample(type_: Any, id_of: Callable[[str], str], name: str = "") -> Any:
    """A value of an input type: of an object the fields that must be given, of a list one item. `id_of` gives the id
    for an argument or field of a name."""
    if isinstance(type_, GraphQLNonNull):
        return sample(type_.of_type, id_of, name)
    if isinstance(type_, GraphQLList):
        return [sample(type_.of_type, id_of, name)]
    if isinstance(type_, GraphQLEnumType):
        return next(iter(type_.values))
    if isinstance(type_, GraphQLInputObjectType):
        fields = type_.fields.items()
        wanted = [next(iter(fields))] if type_.is_one_of else [f for f in fields if is_required_input_field(f[1])]
        return {key: sample(field.type, id_of, key) for key, field in wanted}
    if type_.name == "ID":
        return id_of(name)
    if type_.name in ("Boolean", "Int"):
        return 1 if type_.name == "Int" else True
    return _TEXTS.get(name) or _TEXTS.get(type_.name, "x")


def call(operation: str, name: str, id_of: Callable[[str], str], selection: str = "__typename") -> dict[str, Any]:
    """A request body that calls one root field with what must be given."""
    field = root_fields(operation)[name]
    required = {key: argument for key, argument in field.args.items() if is_required_argument(argument)}
    declared = ", ".join(f"${key}: {argument.type}" for key, argument in required.items())
    given = ", ".join(f"{key}: ${key}" for key in required)
    document = f"{operation.lower()}{f'({declared})' if declared else ''} {{ {name}{f'({given})' if given else ''}"
    variables = {key: sample(argument.type, id_of, key) for key, argument in required.items()}
    return {"query": f"{document} {{ {selection} }} }}", "variables": variables}
