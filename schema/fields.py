"""How a field of the schema is declared. Its annotation is its type; the functions here add where its value comes from,
who may read it, and its description.

The field's metadata carries the mapping, from which the compiler takes it. No field has a Python resolver of its own:
a root field's whole selection is one statement, however the operation is executed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
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
    FileLink,
    GlobalId,
    InMemory,
    Items,
    ItemsSource,
    MutationField,
    MutationInMemory,
    One,
    OutcomeExtra,
    Root,
    RootSource,
    RowCondition,
    StreamCursorField,
)
from db.compiler.selection import MAPPING, FieldMapping
from db.entity import Entity
from db.enums import EVERYONE, DocumentedEnum, Role, ServiceScope
from db.limits import IDEMPOTENCY_KEY_MAX, OCCURRED_AHEAD_SECONDS, OCCURRED_DAYS_MAX, PAGE_DEFAULT, PAGE_MAX
from db.lists.listing import Listing
from db.lists.page import Many
from resolvers.mutation import Call, Handler, Outcome

Roles: TypeAlias = frozenset[Role]
Scopes: TypeAlias = frozenset[ServiceScope]

E = TypeVar("E", bound=type[DocumentedEnum])


def documented(enum: E) -> E:
    """Declares the enum as a GraphQL type, described by its docstring and its members' `doc`."""
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
    """A scalar of the row. `source` is a column's name, or a function that computes the value."""
    return mapped(Column(source, roles=roles), description)


def global_id(entity: Entity, description: str, *, column: str = "id") -> Any:
    """The global id of the entity's row whose key is in `column`."""
    return mapped(GlobalId(entity, column), description)


def file_link(kind: str, present: RowCondition, description: str) -> Any:
    """The URL of a file that belongs to the row, if it matches `present`."""
    return mapped(FileLink(kind, present), description)


def embedded(prefix: str, description: str) -> Any:
    """An object that consists of the row's columns whose names begin with `prefix`."""
    return mapped(Embedded(prefix), description)


def one(
    entity: Entity,
    column: ColumnSource,
    description: str,
    *,
    referenced_by: str = "id",
    from_ticket: bool = False,
    scopes: Scopes | None = None,
) -> Any:
    """The row of another entity whose column `referenced_by`, by default its `id`, equals this row's `column`."""
    return mapped(One(entity, column, referenced_by, from_ticket, scopes=scopes), description)


def items(
    source: ItemsSource,
    description: str,
    *,
    most: int,
    present: RowCondition | None = None,
    roles: Roles = EVERYONE,
) -> Any:
    """A list of at most `most` objects, without pages."""
    return mapped(Items(source, present, roles=roles, most=most), description)


def connection(
    entity: Entity,
    listing: Listing,
    description: str,
    *,
    referenced_by: str | None = None,
    arguments: Sequence[StrawberryArgument] = (),
    roles: Roles = EVERYONE,
    scopes: Scopes | None = None,
) -> Any:
    """A page of an entity's rows: all of them, or those whose column `referenced_by` holds this row's id."""
    mapping = Many(entity, listing, referenced_by, roles=roles, scopes=scopes)
    return mapped(mapping, description, [*arguments, *PAGE_ARGUMENTS])


def in_memory(description: str, *, roles: Roles) -> Any:
    """A field of a message that no statement reads."""
    return mapped(InMemory(roles=roles), description)


def part(description: str) -> Any:
    """A field of a connection, edge or page info. The connection's mapping fills it."""
    return strawberry.field(description=description)


def argument(name: str, type_: Any, description: str, default: Any = UNSET) -> StrawberryArgument:
    return StrawberryArgument(name, name, StrawberryAnnotation(type_), description=description, default=default)


PAGE_ARGUMENTS = (
    argument(
        "first",
        int | None,
        f"The maximum number of items from the start of the list, 1 to {PAGE_MAX}; {PAGE_DEFAULT} by default.",
    ),
    argument("after", str | None, "Only items after this page cursor."),
    argument(
        "last",
        int | None,
        f"The maximum number of items from the end of the list, 1 to {PAGE_MAX}; cannot be combined with `first`.",
    ),
    argument("before", str | None, "Only items before this page cursor."),
)


# Inputs


def given(description: str, name: str | None = None) -> Any:
    """A required input field."""
    return strawberry.field(description=description, name=name)


def optional(description: str, name: str | None = None) -> Any:
    """An input field that the client may leave out."""
    return strawberry.field(description=description, name=name, default=UNSET)


IDEMPOTENCY = (
    f"A key that is unique to this request, such as a UUID; one line, at most {IDEMPOTENCY_KEY_MAX} characters. "
    "Repeating the request with the same key changes nothing and returns the result of the first time, as it is now. "
    "A request that was refused has not used its key. Using the key for a different request is an "
    "IDEMPOTENCY_CONFLICT error."
)
OCCURRED_AT = (
    "When it was done, if that was on a device that was offline: within the last "
    f"{OCCURRED_DAYS_MAX} days. Up to {OCCURRED_AHEAD_SECONDS} seconds in the future count as now."
)
IF_VERSION = (
    "The ticket version that the change is based on. If the ticket has another version by now, nothing changes: the "
    "error is STALE, and the current ticket is returned."
)


# Root fields. One that services may use declares the scopes that allow it, besides the roles.


def root(
    source: RootSource,
    description: str,
    *,
    reader: ArgumentReader | None = None,
    arguments: Sequence[StrawberryArgument] = (),
    roles: Roles = EVERYONE,
    scopes: Scopes | None = None,
) -> Any:
    """A root field that returns one object or null."""
    if reader is None:
        return mapped(Root(source, roles=roles, scopes=scopes), description, arguments)
    return mapped(Root(source, reader, roles=roles, scopes=scopes), description, arguments)


def mutation(
    handler: Handler,
    input_type: type,
    description: str,
    *,
    roles: Roles,
    scopes: Scopes | None = None,
    again: Callable[[Call, Outcome], Awaitable[Outcome]] | None = None,
    apart: bool = False,
    around: Callable[[Call], AbstractAsyncContextManager[None]] | None = None,
    is_batch: bool = False,
) -> Any:
    """A mutation, with its one argument `input`. The last four arguments are those of `MutationField`."""
    arguments = [argument("input", input_type, "The mutation's input.")]
    mapping = MutationField(handler, again, apart, around, is_batch, roles=roles, scopes=scopes)
    return mapped(mapping, description, arguments)


def mutation_in_memory(handler: Handler, input_type: type, description: str, *, roles: Roles) -> Any:
    """A mutation that writes nothing to the database."""
    arguments = [argument("input", input_type, "The mutation's input.")]
    return mapped(MutationInMemory(handler, roles=roles), description, arguments)


def outcome_extra(name: str, description: str) -> Any:
    """A field of a payload: the text of this name in the `extra` of the mutation's outcome."""
    return mapped(OutcomeExtra(name), description)


def stream_cursor(
    description: str = "The stream cursor of this response. A subscription that starts `after` it misses no event.",
) -> Any:
    return mapped(StreamCursorField(), description)
