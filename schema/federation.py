"""Apollo Federation 2: what a gateway asks of this API as a subgraph.

Other subgraphs extend the entities of `FEDERATED` by their ids. `_entities` finds them like `nodes`, by the same
compiler and with the same visibility. `_service` counts as introspection; `callout schema --federation` prints the
same.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Annotated, Any, NewType, TypeAlias

import strawberry
from graphql import (
    ConstDirectiveNode,
    DefinitionNode,
    DocumentNode,
    ObjectTypeDefinitionNode,
    TypeDefinitionNode,
    parse,
    print_ast,
)
from strawberry.types.field import StrawberryField
from strawberry.types.scalar import ScalarDefinition

from db.compiler.fields import Representations
from db.entities import FEDERATED
from db.enums import CHATBOTS
from db.limits import REPRESENTATIONS_MAX
from schema.customer import Customer
from schema.fields import argument, mapped
from schema.property import Property
from schema.technician import Technician
from schema.ticket import Ticket

Representation = NewType("Representation", object)
REPRESENTATION = ScalarDefinition(
    name="_Any",
    description="An entity as another subgraph knows it: an object with the name of its type and its id.",
    specified_by_url=None,
    serialize=lambda value: value,
    parse_value=lambda value: value,
    parse_literal=None,
)

_LINK = """extend schema
  @link(url: "https://specs.apollo.dev/federation/v2.3", import: ["@key", "@shareable"])"""
_OF_GATEWAYS = frozenset({"_Any", "_Entity", "_Service", "_entities", "_service"})
_DIRECTIVES = dict.fromkeys((entity.name for entity in FEDERATED), '@key(fields: "id")') | {"PageInfo": "@shareable"}

Entity: TypeAlias = Annotated[
    Ticket | Customer | Property | Technician,
    strawberry.union("_Entity", description="The entities that other subgraphs may extend."),
]


@strawberry.type(name="_Service", description="This API as a subgraph.")
class Service:
    sdl: str = strawberry.field(description="The schema, with the directives of Apollo Federation 2.")


def _of_gateways(name: str, field: Any) -> Any:
    assert isinstance(field, StrawberryField)
    field.graphql_name = name
    return field


def _service(root: object, info: strawberry.Info) -> Service:
    return Service(sdl=federated(info.schema.as_str()))


@strawberry.type
class FederationQueries:
    entities: list[Entity | None] = _of_gateways(
        "_entities",
        mapped(
            Representations(FEDERATED, scopes=CHATBOTS),
            "The entities that a gateway has these representations of, in the same order; null for each that does not "
            "exist or that you cannot see, and with an error for one that is not valid.",
            [
                argument(
                    "representations",
                    list[Representation],
                    f"The representations, at most {REPRESENTATIONS_MAX}.",
                )
            ],
        ),
    )
    service: Service = _of_gateways(
        "_service",
        strawberry.field(resolver=_service, description="The schema, for those who may introspect it."),
    )


@cache
def federated(printed: str) -> str:
    """The printed schema as that of a subgraph: with the directives of Apollo Federation 2, and without what gateways
    add by themselves."""
    document = parse(printed)
    definitions = [_federated(each) for each in document.definitions if _name(each) not in _OF_GATEWAYS]
    return f"{_LINK}\n\n{print_ast(DocumentNode(definitions=tuple(definitions)))}\n"


def _federated(definition: DefinitionNode) -> DefinitionNode:
    if not isinstance(definition, ObjectTypeDefinitionNode):
        return definition
    if definition.name.value == "Query":
        fields = tuple(each for each in definition.fields or () if each.name.value not in _OF_GATEWAYS)
        return replace(definition, fields=fields)
    directive = _DIRECTIVES.get(definition.name.value)
    if directive is None:
        return definition
    return replace(definition, directives=(*(definition.directives or ()), _directive(directive)))


def _name(definition: DefinitionNode) -> str | None:
    return definition.name.value if isinstance(definition, TypeDefinitionNode) else None


def _directive(text: str) -> ConstDirectiveNode:
    (definition,) = parse(f"type A {text}").definitions
    assert isinstance(definition, ObjectTypeDefinitionNode)
    (directive,) = definition.directives or ()
    return directive
