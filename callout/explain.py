"""`callout explain`: shows the statement that a GraphQL operation becomes, and the steps that lead to it.

For each root field: the selection tree with its field mappings, the argument shapes, and the formatted SQL. Formatting
is for reading only: `--analyze` runs the text as compiled, as the server does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
import sqlglot
from graphql import GraphQLError
from rich.pretty import pretty_repr
from sqlglot import exp

from callout.execution.answer import InvalidVariables
from callout.execution.documents import InvalidDocument
from callout.execution.prepare import Preparer
from db.compiler.selection import Bound, Selection
from db.errors import ClientError
from db.ticket_stream import Stream, TicketChangesPage
from db.viewer import Viewer
from schema import graphql_schema, schema

WIDTH = 100


class Unexplained(Exception):
    """The request runs no statement, or is invalid. The message says why."""


@dataclass(frozen=True)
class Explanation:
    """One root field: the explanation's text, the statement, and its arguments in the order of its parameters. `reads`
    says whether running the statement shows what a request costs: a mutation's reads what it has just changed, and a
    stream's the events that it is given."""

    text: str
    statement: str
    arguments: Sequence[Any]
    reads: bool


def explain(
    query: str, operation_name: str | None, variables: Mapping[str, Any] | None, viewer: Viewer
) -> list[Explanation]:
    """Returns an explanation for each root field. Raises `Unexplained` if the server would refuse the request, or if
    the operation introspects the schema."""
    preparer = Preparer(graphql_schema(schema))
    try:
        document, node = preparer.operation(query, operation_name)
        operation = preparer.prepared(document, node)
        if operation is None:
            raise Unexplained("The operation introspects the schema, which runs no SQL.")
        roots = preparer.bind(operation, variables, viewer)
    except (InvalidDocument, InvalidVariables) as error:
        raise Unexplained("\n".join(each.message for each in error.errors)) from error
    except (ClientError, GraphQLError) as error:
        raise Unexplained(error.message) from error
    return [
        Explanation(
            "\n".join(_sections(root.field.selection, root.read.bounds, root.read.compiled.statement.text)),
            root.read.compiled.statement.text,
            root.arguments,
            not (operation.mutates or isinstance(root.field.selection.mapping, Stream | TicketChangesPage)),
        )
        for root in roots
    ]


async def analyze(url: str, explanation: Explanation) -> str:
    """Runs the statement in a read-only transaction and returns PostgreSQL's plan, with timings and buffers."""
    connection = await asyncpg.connect(url, server_settings={"jit": "off", "timezone": "UTC"})
    try:
        async with connection.transaction(readonly=True):
            statement = f"EXPLAIN (ANALYZE, BUFFERS) {explanation.statement}"
            lines = await connection.fetch(statement, *explanation.arguments)
    finally:
        await connection.close()
    return "\n".join(line for (line,) in lines)


def _sections(root: Selection, bounds: Sequence[Bound], statement: str) -> Iterator[str]:
    yield "-- selection"
    yield from _tree(root, 0)
    for number, bound in enumerate(bounds):
        yield f"\n-- argument shape of site {number}, up to {bound.size} rows"
        yield pretty_repr(bound.shape, max_width=WIDTH)
        if bound.values:
            yield f"values: {pretty_repr(bound.values, max_width=WIDTH)}"
    yield f"\n-- statement, {len(statement):,} characters"
    yield formatted(statement)


def _tree(selection: Selection, depth: int) -> Iterator[str]:
    name = selection.name if selection.key == selection.name else f"{selection.key}: {selection.name}"
    yield "  " * depth + name + _mapping(selection)
    for type_, fields in selection.types.items():
        below = depth + 1
        if len(selection.types) > 1:
            yield "  " * below + f"... on {type_}"
            below += 1
        for field in fields:
            yield from _tree(field, below)


def _mapping(selection: Selection) -> str:
    """Returns the name of the field's mapping, the entity that it leads to, and its site if it has arguments."""
    if selection.mapping is None:
        return ""
    entity = getattr(selection.mapping, "entity", None)
    mapping = type(selection.mapping).__name__ + (f" of {entity.name}" if entity else "")
    return f"  [{mapping}{'' if selection.site is None else f', site {selection.site.number}'}]"


def formatted(statement: str) -> str:
    tree = sqlglot.parse_one(statement, dialect="postgres")
    # Otherwise POSITION would be written, whose plan is the same but looks different.
    for call in list(tree.find_all(exp.StrPosition)):
        call.replace(exp.Anonymous(this="strpos", expressions=[call.this, call.args["substr"]]))
    return tree.sql(dialect="postgres", pretty=True, max_text_width=WIDTH, normalize_functions=False)
