"""The cost of a request: the objects and values that it could return, which are limited, and its price in points, which
its viewer's budget pays (`budgets.py`). Both are known before any SQL runs.

A point is about a millisecond of a core, of the server's and the database's together. The prices are estimates from
measurements on the benchmark's database (`docs/decisions/budgets.md`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from db.compiler.selection import Bound, Site, Weight
from db.errors import LimitExceeded

OBJECTS_MAX = 20_000
"""The most objects that a request could return: the objects of each row times the page sizes above it, summed up."""

VALUES_MAX = 200_000
"""The most values that a request could return, counted likewise."""

STATEMENT: Final = 1.0
OBJECTS_FOR_A_POINT: Final = 500
VALUES_FOR_A_POINT: Final = 5_000
CONDITIONS_FOR_A_POINT: Final = 50
"""A condition counts once for each time that its list is read: for each row of the list around it."""

CHANGE: Final = 2.0
"""A changed row, with its event, its notifications, and the clients that it is delivered to."""

EVENT: Final = 0.02
"""An event that is looked up for a page of changes or for a replay."""

REPLAY: Final = 5.0
"""Finding the events after a stream cursor."""

INTROSPECTION: Final = 200.0
"""An introspection field, which can return the whole schema."""

REQUEST: Final = 1.0
_BYTES_FOR_A_POINT = 10_000
_DOCUMENT = 2.0
_CHARACTERS_FOR_A_POINT = 150
_PACKED_LENGTH = 15_000
_VARIABLES_FOR_A_POINT = 50
_REPEATED_CONDITIONS_FOR_A_POINT = 10


def price_of_request(size: int) -> float:
    """The points for receiving a request of `size` bytes, and for answering it."""
    return REQUEST + price_of_bytes(size)


def price_of_bytes(size: int) -> float:
    """The points for receiving and parsing this much JSON."""
    return size / _BYTES_FOR_A_POINT


def price_of_document(length: int) -> float:
    """The points for parsing and validating a document of `length` characters that is not kept. Beyond
    `_PACKED_LENGTH` most of it is blank or a comment, because the number of tokens is limited."""
    return _DOCUMENT + min(length, _PACKED_LENGTH) / _CHARACTERS_FOR_A_POINT + price_of_bytes(length)


def price_of_variables(number: int) -> float:
    """The points for coercing this number of values."""
    return number / _VARIABLES_FOR_A_POINT


def price_of_building(statements: Sequence[Sequence[Bound]]) -> float:
    """The points for building statements that are not kept, each for the arguments of its sites, and for PostgreSQL to
    plan them. Of conditions of the same shape most is done once."""
    bounds = [bound for statement in statements for bound in statement if bound.conditions]
    different = {bound.shape: bound.conditions for bound in bounds}
    repeated = sum(bound.conditions for bound in bounds) / _REPEATED_CONDITIONS_FOR_A_POINT
    return len(statements) * STATEMENT + sum(different.values()) + repeated


@dataclass(slots=True)
class Cost:
    """The objects and values that a request could return, and its price but for what must be built first, added up root
    field by root field."""

    objects: int = 0
    values: int = 0
    conditions: int = 0
    changes: int = 0
    statements: int = 0

    def add(self, weight: Weight, sites: Sequence[Site], bounds: Sequence[Bound]) -> Cost:
        """Adds a root field's cost and returns itself; `bounds` are the arguments of its `sites`, in the same order.
        Raises `LimitExceeded` once the sum exceeds `OBJECTS_MAX` or `VALUES_MAX`."""
        rows: list[int] = []
        self._add(weight, 1)
        for site, bound in zip(sites, bounds, strict=True):
            times = 1 if site.parent is None else rows[site.parent.number]
            rows.append(bound.size * times)
            self.conditions += bound.conditions * times
            self.changes += bound.changes
            self._add(site.weight, rows[-1])
        self.statements += 1
        return self

    @property
    def points(self) -> float:
        return (
            self.statements * STATEMENT
            + self.objects / OBJECTS_FOR_A_POINT
            + self.values / VALUES_FOR_A_POINT
            + self.conditions / CONDITIONS_FOR_A_POINT
            + self.changes * CHANGE
        )

    def _add(self, weight: Weight, rows: int) -> None:
        self.objects += weight.objects * rows
        self.values += weight.values * rows
        if self.objects > OBJECTS_MAX:
            raise LimitExceeded(
                f"The request could return {self.objects:,} objects; at most {OBJECTS_MAX:,} are allowed."
            )
        if self.values > VALUES_MAX:
            raise LimitExceeded(f"The request could return {self.values:,} values; at most {VALUES_MAX:,} are allowed.")

    def fits(self) -> int:
        """Returns how many times this cost fits into the limits; at least 1."""
        return max(1, min(OBJECTS_MAX // max(1, self.objects), VALUES_MAX // max(1, self.values)))
