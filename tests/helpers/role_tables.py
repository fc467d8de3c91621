"""Who may do what, as a section of the README, read off the schema's mappings.

`python -m tests.helpers.role_tables` writes the section. tests/api/test_roles.py checks that it is up to date and true.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from pathlib import Path

from graphql import GraphQLObjectType

from db import entities
from db.enums import EVERYONE, Role
from tests.helpers.schema_walker import SCHEMA, roles_of, root_fields

Roles = frozenset[Role]

ROOTS = (SCHEMA.query_type, SCHEMA.mutation_type, SCHEMA.subscription_type)
README = Path("README.md")
BEGIN, END = "<!-- roles -->", "<!-- /roles -->"

_INTRODUCTION = """\
## Who may do what

Read off the schema by `python -m tests.helpers.role_tables`; a test sends a request for each cell. A request that
uses a field without ✓ for its role is refused as a whole with `FORBIDDEN`, and nothing of it is done. Without a token
there is nothing but `/healthz` and `/readyz`.
"""


def restricted_fields() -> Iterator[tuple[str, Roles]]:
    """The fields of things that not every role may read, as `Type.field`. (A payload's are its mutation's.)"""
    for type_ in SCHEMA.type_map.values():
        if not isinstance(type_, GraphQLObjectType) or type_ in ROOTS:
            continue
        for name, field in type_.fields.items():
            if roles_of(field) != EVERYONE and not type_.name.endswith("Payload"):
                yield f"{type_.name}.{name}", roles_of(field)


def operations(operation: str) -> Iterator[tuple[str, Roles]]:
    """The fields of `Query`, `Mutation` or `Subscription`."""
    for name, field in root_fields(operation).items():
        yield name, roles_of(field)


def page() -> str:
    return "\n".join(
        (
            _INTRODUCTION,
            "### Queries\n",
            _matrix("Query", operations("Query")),
            "### Mutations\n",
            _matrix("Mutation", operations("Mutation")),
            "### Subscriptions\n",
            _matrix("Subscription", operations("Subscription")),
            "### Fields that not everyone reads\n",
            _matrix("Field", restricted_fields()),
            "### Which things\n",
            "What is not yours does not exist for you: it is in no list, it is not counted, and no id finds it.\n",
            _table(("Thing", "Who sees which"), [("---", "---"), *_things()]),
        )
    )


def _matrix(head: str, rows: Iterator[tuple[str, Roles]]) -> str:
    marked = [(f"`{name}`", *("✓" if role in roles else "" for role in Role)) for name, roles in rows]
    return _table((head, *(role.lower() for role in Role)), [("---", *(":-:" for _ in Role)), *marked])


def _things() -> Iterator[tuple[str, str]]:
    for entity in (*entities.NODES, entities.DELIVERY, entities.API_KEY):
        yield entity.name, " ".join(inspect.cleandoc(entity.visible.__doc__ or "").split())


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "".join(f"| {' | '.join(row)} |\n" for row in (head, *rows))


def in_readme(readme: str) -> str:
    """The README with the section as it should be."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{page()}{END}{after}"


if __name__ == "__main__":
    README.write_text(in_readme(README.read_text()))
