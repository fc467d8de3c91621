"""Rows found in the list's order, through an index that has this order, starting at the first row of the stretch.

An index has one order, but lists are sorted by several fields in mixed directions, and filtered. So a list is read part
by part: a part is the rows that have equal values in the columns `parted_by`, and an index has these in order.
`docs/decisions/sorts.md` has the measurements.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, cast, func, null, select, true
from sqlalchemy import column as named_column

from db.lists.listing import Keys
from db.lists.query import Conditions, ListQuery, Stretch, direction, extremes
from db.planner import fence, is_among, number, opaque
from db.sql import Condition, Row, select_star


def in_order(
    query: ListQuery, limit: int, stretch: Stretch, conditions: Conditions, parted_by: Sequence[str]
) -> Select[Any]:
    """The first `limit` rows of the stretch that match the conditions."""
    target = query.alias()
    keys = query.keys(target)
    if not parted_by:
        rows = select_star(target).where(*conditions(target), *query.bounds(keys, stretch))
        ordered = rows.order_by(*direction(keys, stretch)).limit(number(limit))
        return ordered.correlate(query.outer)
    # A lateral join: for each part, in order, the first rows in it. Where the list's order begins with all of the
    # parts' columns, the parts follow one another; otherwise their first rows are merged by sorting.
    part = _parts(query, parted_by, stretch)
    leading = len(leading_columns(query))
    of_part = (
        select_star(target)
        .where(
            *conditions(target),
            *(target.c[column] == part.c[column] for column in parted_by),
            *(_bounds_in_part(query, part, keys, stretch) if leading else query.bounds(keys, stretch)),
        )
        .order_by(*direction(keys[leading:], stretch))
        .limit(number(limit))
        .correlate(query.outer, part)
        .lateral(query.names.name())
    )
    within = query.keys(of_part)[leading:]
    order = direction([*_leading_keys(query, part), *within], stretch)
    found = select_star(of_part).select_from(part.join(of_part, true()))
    if len(parted_by) > leading:
        return found.order_by(*order).limit(number(limit))
    # A nested loop reads one part after the other, and stops at the last one that is needed. A sort would also read the
    # first row of the next part, to know that the part before has ended, and that row may be far away.
    first = query.subquery(found.limit(number(limit)))
    return select_star(first).order_by(*direction(query.keys(first), stretch))


def walked(query: ListQuery, target: Row) -> list[Condition]:
    """The list's conditions, for scanning in order. Those on the columns that the sort's indexes have at their end are
    tested in the index; the rest is opaque, so that the planner does not prefer another index."""
    suffix = query.listing.criteria.about(index_suffix(query), query.criteria)
    return [query.satisfies(target, suffix), opaque(and_(*query.matching(target)))]


def walked_by_owner(query: ListQuery, target: Row) -> list[Condition]:
    """The same for scanning the index of an owner's rows."""
    return [*selected(query, target), opaque(and_(*query.matching(target)))]


def selected(query: ListQuery, target: Row) -> list[Condition]:
    """The selective criteria, and those on the columns that the owners' indexes have at their end."""
    conditions = [query.satisfies(target, query.selective())]
    for column in sorted(query.listing.owner_suffix):
        if about := query.listing.criteria.about({column}, query.criteria):
            value = _every_value(query, column)
            allowed = select(value.c[column]).where(query.satisfies(value, about))
            conditions.append(is_among(target.c[column], allowed))
    return conditions


def leading_columns(query: ListQuery) -> list[str]:
    """The columns of the order's first keys, up to the first key that is not enumerated."""
    columns = [query.listing.enumerated.get(name) for name, _ in query.order]
    return [column for column in itertools.takewhile(bool, columns) if column]


def in_owners_order(query: ListQuery, parted_by: Sequence[str]) -> bool:
    """Whether an index has the rows that the selective criteria leave in the list's order, with all columns that define
    the parts at its end."""
    listing = query.listing
    by_default = [name for name, _ in query.order] == [name for name, _ in listing.default]
    of_owner = bool(listing.owners & listing.criteria.fixed(query.selective()))
    return by_default and of_owner and listing.owner_suffix.issuperset(parted_by)


def by_unique_key(query: ListQuery) -> bool:
    """Whether the rows of a part are in the order of a unique key. Its only index is over all rows, not by parts."""
    following = query.order[len(leading_columns(query)) :]
    return bool(following) and query.listing.keys[following[0][0]].unique


def index_suffix(query: ListQuery) -> frozenset[str]:
    return frozenset() if by_unique_key(query) else query.listing.index_suffix


def parted_by(query: ListQuery) -> list[str]:
    """The columns that define the parts: those that the order begins with, and enumerated ones that the criteria
    restrict."""
    leading = leading_columns(query)
    if by_unique_key(query):
        return leading
    restricted = [
        column
        for column in query.listing.enumerated.values()
        if column not in leading and query.listing.criteria.about({column}, query.criteria)
    ]
    return leading + restricted


def _leading_keys(query: ListQuery, part: Row) -> list[tuple[ColumnElement[Any], bool]]:
    return [(part.c[column], query.order[place][1]) for place, column in enumerate(leading_columns(query))]


def _parts(query: ListQuery, columns: Sequence[str], stretch: Stretch) -> Row:
    """The parts that can contain rows of the stretch, in order: every combination of the columns' values that the
    criteria allow."""
    values = [_every_value(query, column) for column in columns]
    combined = select(*(value.c[column] for value, column in zip(values, columns, strict=True)))
    part = query.subquery(combined)
    leading = _leading_keys(query, part)
    about = query.listing.criteria.about(set(columns), query.criteria)
    wanted = select_star(part).where(
        query.satisfies(part, about),
        *(query.beyond(leading, bound.slot, bound, inclusive=True) for bound in stretch.bounds if leading),
    )
    return query.subquery(fence(wanted.order_by(*direction(leading, stretch))))


def _every_value(query: ListQuery, column: str) -> Row:
    type_ = query.entity.table.c[column].type
    every = func.unnest(func.enum_range(cast(null(), type_)), type_=type_)
    return every.table_valued(named_column(column, type_), name=query.names.name()).render_derived()


def _bounds_in_part(query: ListQuery, part: Row, keys: Keys, stretch: Stretch) -> list[Condition]:
    """The stretch's bounds within a part, by the keys after the leading ones: the part that contains the cursor starts
    at the cursor, every other part at its beginning."""
    leading = _leading_keys(query, part)
    rest = keys[len(leading) :]
    conditions = []
    for bound in stretch.bounds:
        here = [key == query.parameters(bound.slot + place, key.type) for place, (key, _) in enumerate(leading)]
        slot = bound.slot + len(leading)
        key, descending = rest[0]
        lowest, highest = extremes(key)
        other = highest if descending is bound.after else lowest
        start = case((and_(*here), query.parameters(slot, key.type)), else_=other)
        conditions.append(query.beyond(rest, slot, bound, start=start))
    return conditions
