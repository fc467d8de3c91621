"""How a field of the schema is declared: its type by annotation, and here where its value comes from, who may read
it and what it means.

The mapping travels in the field's metadata, from which the compiler takes it. No field has a Python resolver of its
own: a root field's whole selection is one statement, whichever way the operation is executed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import strawberry
from sqlalchemy import JSON, FromClause, Text, bindparam, cast, func, literal_column, select
from sqlalchemy.dialects.postgresql import UUID
from strawberry import UNSET
from strawberry.annotation import StrawberryAnnotation
from strawberry.types.arguments import StrawberryArgument

from db.compiler.fields import Column, Embedded, Items, One, Root
from db.compiler.selection import MAPPING, OUTCOME, Bound, FieldMapping, Render, Selection
from db.entity import Entity
from db.enums import EVERYONE, DocumentedEnum, Role
from db.limits import PAGE_DEFAULT, PAGE_MAX
from db.lists.listing import Listing
from db.lists.page import Many
from db.sql import Condition, Expression, Row
from db.visibility import Asker
from resolvers.mutation import Call, Input, Outcome

Roles: TypeAlias = frozenset[Role]
Link: TypeAlias = Callable[[Row, Row], Condition]

E = TypeVar("E", bound=type[DocumentedEnum])


def documented(enum: E) -> E:
    """The enum as a GraphQL type, with the descriptions that it and its members carry."""
    strawberry.enum(enum, description=enum.__doc__)
    for value in enum.__strawberry_definition__.values:  # type: ignore[attr-defined]
        value.description = enum.__members__[value.name].doc
    return enum


# Fields of types


def mapped(mapping: FieldMapping, description: str, arguments: Sequence[StrawberryArgument] = ()) -> Any:
    field = strawberry.field(description=description, metadata={MAPPING: mapping})
    field.arguments = list(arguments)
    return field


def column(source: str | Callable[[Row, Asker], Expression], description: str, *, roles: Roles = EVERYONE) -> Any:
    """A scalar read off the row: a column's name, or an expression."""
    return mapped(Column(source, roles=roles), description)


def global_id(entity: Entity) -> Any:
    prefix: Expression = literal_column(f"'{entity.prefix}_'")
    return column(lambda row, asker: prefix.concat(cast(row.c.id, Text)), "Opaque, and unique among all things.")


def embedded(prefix: str, description: str) -> Any:
    """An object made of the columns of the same row whose names begin with `prefix`."""
    return mapped(Embedded(prefix), description)


def one(entity: Entity, on: Link, description: str, *, from_ticket: bool = False, roles: Roles = EVERYONE) -> Any:
    """The row of another entity that belongs to this one: `on(this, other)`."""
    return mapped(One(entity, on, from_ticket, roles=roles), description)


def items(
    source: Callable[[Row, Asker], FromClause],
    description: str,
    *,
    most: int,
    present: Callable[[Row], Condition] | None = None,
    roles: Roles = EVERYONE,
) -> Any:
    """A short list of objects, `most` at the most, never paged."""
    return mapped(Items(source, present, roles=roles, most=most), description)


def connection(
    entity: Entity,
    listing: Listing,
    description: str,
    *,
    on: Link | None = None,
    arguments: Sequence[StrawberryArgument] = (),
    roles: Roles = EVERYONE,
) -> Any:
    """A page of an entity's rows, those that `on(this, other)` ties to this row."""
    return mapped(Many(entity, listing, on, roles=roles), description, [*arguments, *PAGE_ARGUMENTS])


def part(description: str) -> Any:
    """A field of a connection, edge or page info, which the connection's own mapping fills."""
    return strawberry.field(description=description)


def argument(name: str, type_: Any, description: str, default: Any = UNSET) -> StrawberryArgument:
    return StrawberryArgument(name, name, StrawberryAnnotation(type_), description=description, default=default)


PAGE_ARGUMENTS = (
    argument("first", int | None, f"How many from the start, 1 to {PAGE_MAX}. {PAGE_DEFAULT} if nothing is given."),
    argument("after", str | None, "Start after this cursor."),
    argument("last", int | None, f"How many from the end, 1 to {PAGE_MAX}; not together with `first`."),
    argument("before", str | None, "End before this cursor."),
)


# Inputs


def given(description: str, name: str | None = None) -> Any:
    """An input field that must be given."""
    return strawberry.field(description=description, name=name)


def optional(description: str, name: str | None = None) -> Any:
    """An input field that may be left out."""
    return strawberry.field(description=description, name=name, default=UNSET)


IDEMPOTENCY = (
    "Any text you draw for this one request, up to 200 characters. Send the same request with the same key again and "
    "it has one effect and one answer; with another request it is a conflict."
)
IF_VERSION = "Only if the ticket is still at this version; otherwise it is returned as it is now."


# Root fields


def root(
    source: Callable[[Render, Selection], tuple[Row, list[Condition]]],
    description: str,
    *,
    reader: Callable[[Input], Bound] | None = None,
    arguments: Sequence[StrawberryArgument] = (),
    roles: Roles = EVERYONE,
) -> Any:
    """A root field that is one object, or null."""
    mapping = Root(source, roles=roles) if reader is None else Root(source, reader, roles=roles)
    return mapped(mapping, description, arguments)


Handler: TypeAlias = Callable[[Call, Input], Awaitable[Outcome]]


@dataclass(frozen=True)
class Mutation(FieldMapping):
    """A mutation: `handler` does it, and its outcome is the one row that the payload's fields are read from."""

    handler: Handler

    def read(self, arguments: Input) -> Bound:
        return Bound()

    def render(self, render: Render, row: Row, selection: Selection) -> Expression:
        object_id, errors, extra = OUTCOME
        outcome = select(
            bindparam(object_id, type_=UUID(as_uuid=False)).label(object_id),
            bindparam(errors, type_=JSON()).label(errors),
            bindparam(extra, type_=JSON()).label(extra),
        ).subquery("outcome")
        return select(render.object(selection.fields, outcome)).select_from(outcome).scalar_subquery()


def mutation(handler: Handler, input_type: type, description: str, *, roles: Roles) -> Any:
    """A mutation with its one input."""
    arguments = [argument("input", input_type, "What to do.")]
    return mapped(Mutation(handler, roles=roles), description, arguments)


@dataclass(frozen=True)
class Position(FieldMapping):
    """A stream cursor: the event log's position that the statement's answer stands at."""

    def render(self, render: Render, row: Row, selection: Selection) -> Expression:
        return render.position()


def stream_cursor(
    description: str = "Where this answer stands in the event log: a stream that starts after it misses nothing.",
) -> Any:
    return mapped(Position(), description)


def json_rows(document: Expression, **columns: Any) -> FromClause:
    """The elements of a JSON array as rows: their members of these SQLAlchemy types, and `ord`, their place."""
    elements = func.json_array_elements(func.coalesce(document, literal_column("'[]'::json")))
    rows = elements.table_valued("element", with_ordinality="ord", name="item").render_derived()
    members = [
        cast(rows.c.element.op("->>")(literal_column(f"'{name}'")), type_).label(name)
        for name, type_ in columns.items()
    ]
    return select(*members, rows.c.ord).select_from(rows).subquery("items")
