"""Generates docs/roles.md, the tables of who may do what, from the schema's mappings.

`make schema` writes the page. tests/api/test_roles.py checks that it is up to date and correct.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from graphql import GraphQLObjectType

from db import entities
from db.enums import EVERYONE, Role, ServiceScope
from tests.helpers.paths import ROOT
from tests.helpers.schema_walker import SCHEMA, roles_of, root_fields, scopes_of

Roles: TypeAlias = frozenset[Role]
Rights: TypeAlias = frozenset[Role | ServiceScope]

ROOTS = (SCHEMA.query_type, SCHEMA.mutation_type, SCHEMA.subscription_type)
PAGE = ROOT / "docs" / "roles.md"

_INTRODUCTION = """\
# Who may do what

A viewer is an admin, a technician, a customer or a service (a program with an API key). A service has a *scope*:
`CHATBOT` or `MAIL_GATEWAY`. One without a scope may do what the column *service* says; a scope allows less. A request
that uses a field without ✓ for its role or scope is refused as a whole with `FORBIDDEN`, and none of it is executed.
Without a token only `/healthz`, `/readyz`, `/version` and the pages `/` and `/confirm-address` answer, and the IDE,
where it is offered; the URLs of files and stream tickets stand for the token of the viewer to whom they were issued.

Each root field declares its roles and scopes where it is defined, in `schema/`.

`make schema` makes this page from the schema, and a test sends a request for each cell.
"""


def restricted_fields() -> Iterator[tuple[str, Roles]]:
    """Returns the fields of objects that not every role may read, as `Type.field`. Payloads are left out: their fields
    have the roles of the mutation."""
    for type_ in SCHEMA.type_map.values():
        if not isinstance(type_, GraphQLObjectType) or type_ in ROOTS:
            continue
        for name, field in type_.fields.items():
            if roles_of(field) != EVERYONE and not type_.name.endswith("Payload"):
                yield f"{type_.name}.{name}", roles_of(field)


def operations(operation: str) -> Iterator[tuple[str, Rights]]:
    """Returns the fields of `Query`, `Mutation` or `Subscription`, with the roles and scopes that may use them."""
    for name, field in root_fields(operation).items():
        yield name, roles_of(field) | scopes_of(field)


def page() -> str:
    return "\n".join(
        (
            _INTRODUCTION,
            "## Queries\n",
            _matrix("Query", operations("Query"), (*Role, *ServiceScope)),
            "## Mutations\n",
            _matrix("Mutation", operations("Mutation"), (*Role, *ServiceScope)),
            "## Subscriptions\n",
            _matrix("Subscription", operations("Subscription"), (*Role, *ServiceScope)),
            "## Fields that not everyone reads\n",
            _matrix("Field", restricted_fields(), tuple(Role)),
            "## Who sees which rows\n",
            "A row that a viewer may not see does not exist for them: no list has it, no count includes it, and no id"
            " finds it.\n",
            _table(("Type", "Who sees which"), [("---", "---"), *_things()]),
        )
    )


def _matrix(head: str, rows: Iterator[tuple[str, Rights]], columns: Sequence[Role | ServiceScope]) -> str:
    marked = [(f"`{name}`", *("✓" if column in rights else "" for column in columns)) for name, rights in rows]
    heads = (column.lower() if isinstance(column, Role) else f"`{column}`" for column in columns)
    return _table((head, *heads), [("---", *(":-:" for _ in columns)), *marked])


def _things() -> Iterator[tuple[str, str]]:
    for entity in entities.NODES:
        yield entity.name, " ".join(inspect.cleandoc(entity.visible.__doc__ or "").split())


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "".join(f"| {' | '.join(row)} |\n" for row in (head, *rows))


if __name__ == "__main__":
    PAGE.write_text(page())
