"""Derives requests from the schema: documents that select every field that a role may read, and minimal inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    get_named_type,
    get_nullable_type,
    is_abstract_type,
    is_leaf_type,
    is_list_type,
    is_required_argument,
    is_required_input_field,
)

from db import entities
from db.compiler.fields import Items, One
from db.compiler.selection import MAPPING, FieldMapping
from db.entity import Entity
from db.enums import EVERYONE, Role, ServiceScope
from db.lists.page import Many
from schema import graphql_schema, schema

SCHEMA = graphql_schema(schema)
PAGE = 9  # the page size of each list: more items than any list in the tests has
FEW = 2  # the page size at the start of a chain of lists, to stay within the cost limits

ENTITIES = tuple(each for each in vars(entities).values() if isinstance(each, Entity))
PREFIXES = {
    **{f"{entity.name[0].lower()}{entity.name[1:]}Id": entity.prefix for entity in ENTITIES},
    **dict.fromkeys(("id", "ids", "ticketIds"), entities.TICKET.prefix),
}
"""The id prefix that an argument or input field takes, by its name."""

_VALUES: dict[str, Any] = {
    "email": "x@example.com",
    "DateTime": "2026-01-01T00:00:00Z",
    "_Any": {"__typename": "Ticket", "id": "tkt_00000000-0000-7000-8000-000000000000"},
    "contentType": "image/jpeg",
    "sha256": "0" * 64,
}


def root_fields(operation: str) -> Mapping[str, GraphQLField]:
    """Returns the fields of `Query` or `Mutation`, without `_service`, which counts as introspection."""
    return {name: field for name, field in _object(operation).fields.items() if name != "_service"}


def input_fields(mutation: str) -> list[str]:
    """Returns the names of a mutation's input fields."""
    type_: Any = get_named_type(root_fields("Mutation")[mutation].args["input"].type)
    return list(type_.fields)


def id_fields(mutation: str) -> list[str]:
    """Returns the names of a mutation's input fields that take an id, or a list of ids."""
    return [field for field in input_fields(mutation) if field in PREFIXES]


def roles_of(field: GraphQLField) -> frozenset[Role]:
    mapping: FieldMapping | None = field.extensions.get(MAPPING)
    return EVERYONE if mapping is None else mapping.roles


def scopes_of(field: GraphQLField) -> frozenset[ServiceScope]:
    """Returns the scopes with which services may use a root field."""
    mapping: FieldMapping = field.extensions[MAPPING]
    return (mapping.scopes or frozenset()) if Role.SERVICE in mapping.roles else frozenset()


class Everything:
    """Everything that a role may read. `reached` collects the fields that the documents have selected."""

    def __init__(self, role: Role, arguments: Mapping[str, Sequence[str]]) -> None:
        """`arguments` has, for each root field that needs some, the arguments of one or more calls, as GraphQL text."""
        self._role = role
        self._arguments = arguments
        self.reached: set[tuple[str, str]] = set()

    def documents(self) -> Iterator[str]:
        """Yields documents that go from each root field to its objects, to their neighbours, and to the neighbours of
        those: all paths of three objects."""
        for name, field in self._readable("Query"):
            self.reached.add(("Query", name))
            given = [f"({arguments})" for arguments in self._arguments.get(name, ())]
            assert given or not any(is_required_argument(argument) for argument in field.args.values()), name
            for arguments in given or [_page(field)]:
                yield from self._from_root(name + arguments, field)
            yield from self._chains(name + (given or [_page(field, FEW)])[0], get_named_type(field.type))

    def _from_root(self, call: str, field: GraphQLField) -> Iterator[str]:
        """Yields documents that select a root field's objects and their neighbours."""
        type_: Any = get_named_type(field.type)
        if is_leaf_type(type_):
            yield f"{{ {call} }}"
            return
        if not is_abstract_type(type_):
            yield f"{{ {call} {{ {self.selection(type_, 1)} }} }}"
            return
        hops = (
            0 if is_list_type(get_nullable_type(field.type)) else 1
        )  # a list of neighbours would exceed the cost limits
        for concrete in SCHEMA.get_possible_types(type_):
            yield f"{{ {call} {{ __typename ... on {concrete.name} {{ {self.selection(concrete, hops)} }} }} }}"

    def _chains(self, call: str, type_: Any) -> Iterator[str]:
        """Yields documents that select the neighbours of a root field's objects, and the neighbours of those: one
        document for each kind of neighbour."""
        connection = "nodes" in getattr(type_, "fields", ())
        thing = get_named_type(type_.fields["nodes"].type) if connection else type_
        for link, leading in self._readable(thing.name) if isinstance(thing, GraphQLObjectType) else ():
            if _leads(leading):
                page = _page(leading, _size(thing, leading))
                inner = f"{link}{page} {{ {self.selection(get_named_type(leading.type), 1)} }}"
                yield f"{{ {call} {{ {f'nodes {{ {inner} }}' if connection else inner} }} }}"

    def readable(self) -> set[tuple[str, str]]:
        """Returns all fields that can be reached from `Query`, as (type, field)."""
        found: set[tuple[str, str]] = set()
        pending = ["Query"]
        while pending:
            for name, field in self._readable(type_name := pending.pop()):
                if (type_name, name) not in found:
                    found.add((type_name, name))
                    target = get_named_type(field.type)
                    if is_abstract_type(target):
                        pending += [concrete.name for concrete in SCHEMA.get_possible_types(target)]
                    elif isinstance(target, GraphQLObjectType):
                        pending.append(target.name)
        return found

    def _readable(self, type_name: str) -> list[tuple[str, GraphQLField]]:
        return [(name, field) for name, field in root_fields(type_name).items() if self._role in roles_of(field)]

    def selection(self, type_: Any, hops: int) -> str:
        """Returns a selection of all fields; fields that lead to other objects are followed for `hops` steps. Lists
        without pages are left out at the last step, where they would exceed the cost limits."""
        parts = []
        for name, field in self._readable(type_.name):
            target = get_named_type(field.type)
            left = hops - 1 if _leads(field) else hops
            if left < 0 or (hops == 0 and isinstance(field.extensions.get(MAPPING), Items)):
                continue
            self.reached.add((type_.name, name))
            if is_leaf_type(target):
                parts.append(name)
            elif type_.name.endswith("Edge") and name == "node":  # `nodes` has the rest
                parts.append(f"{name} {{ __typename }}")
            else:
                parts.append(f"{name}{_page(field, _size(type_, field))} {{ {self.selection(target, left)} }}")
        return " ".join(parts)


def _object(name: str) -> GraphQLObjectType:
    type_ = SCHEMA.type_map[name]
    assert isinstance(type_, GraphQLObjectType)
    return type_


def _leads(field: GraphQLField) -> bool:
    return isinstance(field.extensions.get(MAPPING), One | Many)


def _size(type_: Any, field: GraphQLField) -> int:
    """The page size of a field of the type: one for tickets on tickets, which have the most below them."""
    return 1 if get_named_type(field.type).name == f"{type_.name}Connection" else PAGE


def _page(field: GraphQLField, size: int = PAGE) -> str:
    return f"(first: {size})" if "first" in field.args else ""


def unknown(name: str) -> str:
    """Returns the id of an object that does not exist, of the kind that an argument or input field of this name
    takes."""
    return f"{PREFIXES[name]}_00000000-0000-7000-8000-000000000000"


def sample(type_: Any, id_of: Callable[[str], str], name: str = "") -> Any:
    """Returns a minimal value of an input type: an object with its required fields, or with its first field if none is
    required; a list with one item. `id_of` returns the id for an argument or field by its name."""
    if isinstance(type_, GraphQLNonNull):
        return sample(type_.of_type, id_of, name)
    if isinstance(type_, GraphQLList):
        return [sample(type_.of_type, id_of, name)]
    if isinstance(type_, GraphQLEnumType):
        return next(iter(type_.values))
    if isinstance(type_, GraphQLInputObjectType):
        fields = list(type_.fields.items())
        wanted = [(key, field) for key, field in fields if is_required_input_field(field)] or fields[:1]
        return {key: sample(field.type, id_of, key) for key, field in wanted}
    if type_.name == "ID":
        return id_of(name)
    if type_.name in ("Boolean", "Int"):
        return 1 if type_.name == "Int" else True
    return _VALUES.get(name) or _VALUES.get(type_.name, "x")


def call(operation: str, name: str, id_of: Callable[[str], str], selection: str = "__typename") -> dict[str, Any]:
    """Returns a request body that calls one root field with its required arguments."""
    field = root_fields(operation)[name]
    required = {key: argument for key, argument in field.args.items() if is_required_argument(argument)}
    declared = ", ".join(f"${key}: {argument.type}" for key, argument in required.items())
    given = ", ".join(f"{key}: ${key}" for key in required)
    document = f"{operation.lower()}{f'({declared})' if declared else ''} {{ {name}{f'({given})' if given else ''}"
    variables = {key: sample(argument.type, id_of, key) for key, argument in required.items()}
    selected = "" if is_leaf_type(get_named_type(field.type)) else f"{{ {selection} }}"
    return {"query": f"{document} {selected} }}", "variables": variables}
