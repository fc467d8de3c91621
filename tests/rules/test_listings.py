"""Each list has an index with the rows in its order, and sort values that a page cursor can hold."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Sequence

import pytest
from graphql import GraphQLInputObjectType, GraphQLObjectType, get_named_type
from sqlalchemy import Column, DateTime, Table, Text, UniqueConstraint, literal
from sqlalchemy.dialects.postgresql import UUID

from db.compiler.selection import MAPPING
from db.entities import TICKET, TICKETS
from db.entity import Entity
from db.enums import Role
from db.lists.criteria import Criteria
from db.lists.listing import Listing
from db.lists.page import Many
from db.models import Base
from db.visibility import ViewerParameter
from tests.helpers.schema_walker import SCHEMA

PAGING = {"first", "after", "last", "before", "orderBy"}
FEW = {"Query.apiKeys"}
"""Lists of so few rows that they need no index."""


def lists() -> Iterator[tuple[str, Many]]:
    """Yields each field of the schema that is a list with pages."""
    for type_ in SCHEMA.type_map.values():
        if isinstance(type_, GraphQLObjectType):
            for name, field in type_.fields.items():
                if isinstance(mapping := field.extensions.get(MAPPING), Many):
                    yield f"{type_.name}.{name}", mapping


LISTS = dict(lists())


def table_of(entity: Entity) -> Table:
    return Base.metadata.tables[entity.table.name]


def key_columns(entity: Entity, listing: Listing, name: str) -> set[str]:
    """Returns the columns of a sort key, which can depend on the viewer's role."""
    viewers = [ViewerParameter(role, literal("")) for role in Role]
    return {str(listing.keys[name].value(entity.table, viewer).name) for viewer in viewers}


def indexes(table: Table) -> Iterator[tuple[str, ...]]:
    """Yields the columns of each index. A unique constraint's values decide the order, so the id may follow them."""
    for index in table.indexes:
        yield tuple(each.name if isinstance(each, Column) else str(each) for each in index.expressions)
    for constraint in table.constraints:
        if isinstance(constraint, UniqueConstraint):
            yield (*(column.name for column in constraint.columns), "id")


def has_index(table: Table, equal: Collection[str], order: Sequence[str]) -> bool:
    """Returns whether an index has the rows with equal values in some columns in this order."""
    return any(
        set(index[: len(equal)]) == set(equal) and index[len(equal) : len(equal) + len(order)] == tuple(order)
        for index in indexes(table)
    )


@pytest.mark.parametrize("name", sorted(LISTS.keys() - FEW))
def test_each_list_has_an_index_in_its_order(name: str) -> None:
    entity, listing = LISTS[name].entity, LISTS[name].listing
    equal = [column for column in [LISTS[name].referenced_by] if column]
    for columns in itertools.product(*(key_columns(entity, listing, key) for key, _ in listing.default)):
        assert has_index(table_of(entity), equal, (*columns, "id")), (name, columns)


@pytest.mark.parametrize("name", TICKETS.keys)
def test_each_sort_of_tickets_has_an_index_for_each_set_of_enumerated_columns(name: str) -> None:
    """A list is read part by part (`db/lists/in_order.py`), except in the order of a unique key."""
    enumerated = TICKETS.enumerated.values()
    sizes = [0] if TICKETS.keys[name].unique else range(len(enumerated) + 1)
    for column in key_columns(TICKET, TICKETS, name):
        for part in (part for size in sizes for part in itertools.combinations(enumerated, size)):
            if column not in enumerated:
                assert has_index(table_of(TICKET), part, [column, "id"]), (part, column)
            elif column in part:
                assert has_index(table_of(TICKET), part, ["id"]), part


@pytest.mark.parametrize("owner", sorted(TICKETS.owners))
def test_each_owners_tickets_have_an_index_in_the_default_order_that_ends_with_the_owner_suffix(owner: str) -> None:
    [(name, _)] = TICKETS.default
    start = (owner, *key_columns(TICKET, TICKETS, name), "id")
    assert any(
        index[: len(start)] == start and TICKETS.owner_suffix <= set(index[len(start) :])
        for index in indexes(table_of(TICKET))
    )


@pytest.mark.parametrize("name", LISTS)
def test_each_sort_value_fits_in_a_page_cursor(name: str) -> None:
    """It is never null, and it is a time, a text, an id, or the value of an enumerated column."""
    entity, listing = LISTS[name].entity, LISTS[name].listing
    for key in listing.keys:
        for column in key_columns(entity, listing, key):
            stored = table_of(entity).c[column]
            assert not stored.nullable, column
            assert key in listing.enumerated or isinstance(stored.type, DateTime | Text | UUID), column


@pytest.mark.parametrize("name", LISTS)
def test_each_argument_and_filter_field_is_a_criterion(name: str) -> None:
    """A criterion that is missing would be ignored, and the list returned as if it had not been asked for."""
    type_name, field_name = name.split(".")
    type_ = SCHEMA.type_map[type_name]
    assert isinstance(type_, GraphQLObjectType)
    arguments = type_.fields[field_name].args
    criteria = LISTS[name].listing.criteria
    assert arguments.keys() - PAGING <= criteria.fields.keys()
    for argument in arguments.keys() - PAGING:
        if isinstance(criterion := criteria.fields[argument], Criteria):
            input_type = get_named_type(arguments[argument].type)
            assert isinstance(input_type, GraphQLInputObjectType)
            combining = {"and", "or", "not"} if criterion.nested else set()
            assert criterion.fields.keys() | combining == input_type.fields.keys(), argument
