"""How a field of the schema is declared: its type by annotation, and here where its value comes from, who may read
it and what it means.

The mapping travels in the field's metadata, from which the compiler takes it. No field has a Python resolver of its
own: a root field's whole selection is one statement, whichever way the operation is executed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias, TypeVar

import strawberry
from strawberry import UNSET
from strawberry.annotation import StrawberryAnnotation
from strawberry.types.arguments import StrawberryArgument

from db.compiler.fields import (
    ArgumentReader,
    Column,
    ColumnSource,
    Embedded,
    GlobalId,
    Items,
    ItemsSource,
    MutationField,
    One,
    OutcomeExtra,
    Root,
    RootSource,
    RowCondition,
    StreamCursorField,
)
from db.compiler.selection import MAPPING, FieldMapping
from db.entity import Entity
from db.enums import EVERYONE, DocumentedEnum, Role
from db.limits import PAGE_DEFAULT, PAGE_MAX
from db.lists.listing import Listing
from db.lists.page import Many
from resolvers.mutation import Handler

Roles: TypeAlias = frozenset[Role]

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


def column(source: ColumnSource, description: str, *, roles: Roles = EVERYONE) -> Any:
    """A scalar read off the row: a column's name, or a function that computes it."""
    return mapped(Column(source, roles=roles), description)


def global_id(entity: Entity, description: str = "Opaque, and unique among all things.", *, column: str = "id") -> Any:
    """The id that clients know a row of the entity by, whose key is in `column`."""
    return mapped(GlobalId(entity, column), description)


def embedded(prefix: str, description: str) -> Any:
    """An object made of the columns of the same row whose names begin with `prefix`."""
    return mapped(Embedded(prefix), description)


def one(
    entity: Entity,
    column: ColumnSource,
    description: str,
    *,
    referenced_by: str = "id",
    from_ticket: bool = False,
) -> Any:
    """The row of another entity whose id this row has in `column`; or, where the reference goes the other way, the one
    whose column `referenced_by` has this row's `id`."""
    return mapped(One(entity, column, referenced_by, from_ticket), description)


def items(
    source: ItemsSource,
    description: str,
    *,
    most: int,
    present: RowCondition | None = None,
    roles: Roles = EVERYONE,
) -> Any:
    """A short list of objects, `most` at the most, never paged."""
    return mapped(Items(source, present, roles=roles, most=most), description)


def connection(
    entity: Entity,
    listing: Listing,
    description: str,
    *,
    referenced_by: str | None = None,
    arguments: Sequence[StrawberryArgument] = (),
    roles: Roles = EVERYONE,
) -> Any:
    """A page of an entity's rows: all, or those whose column `referenced_by` has this row's id."""
    return mapped(Many(entity, listing, referenced_by, roles=roles), description, [*arguments, *PAGE_ARGUMENTS])


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
    source: RootSource,
    description: str,
    *,
    reader: ArgumentReader | None = None,
    arguments: Sequence[StrawberryArgument] = (),
    roles: Roles = EVERYONE,
) -> Any:
    """A root field that is one object, or null."""
    mapping = Root(source, roles=roles) if reader is None else Root(source, reader, roles=roles)
    return mapped(mapping, description, arguments)


def mutation(handler: Handler, input_type: type, description: str, *, roles: Roles) -> Any:
    """A mutation with its one input."""
    arguments = [argument("input", input_type, "What to do.")]
    return mapped(MutationField(handler, roles=roles), description, arguments)


def outcome_extra(name: str, description: str) -> Any:
    """A payload's field: the text that the mutation's outcome has by this name in its `extra`."""
    return mapped(OutcomeExtra(name), description)


def stream_cursor(
    description: str = "Where this answer stands in the event log: a stream that starts after it misses nothing.",
) -> Any:
    return mapped(StreamCursorField(), description)
