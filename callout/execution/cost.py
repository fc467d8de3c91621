"""The cost of a request, in objects and values, checked before any SQL runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from db.compiler.selection import Bound, Site, Weight
from db.errors import LimitExceeded

OBJECTS_MAX = 20_000
"""The most objects that a request could return: the objects of each row times the page sizes above it, summed up."""

VALUES_MAX = 200_000
"""The most values that a request could return, counted likewise."""


@dataclass(slots=True)
class Cost:
    """The objects and values that a request could return, added up root field by root field."""

    objects: int = 0
    values: int = 0

    def add(self, weight: Weight, sites: Sequence[Site], bounds: Sequence[Bound]) -> Cost:
        """Adds a root field's cost and returns itself; `bounds` are the arguments of its `sites`, in the same order.
        Raises `LimitExceeded` once the sum exceeds `OBJECTS_MAX` or `VALUES_MAX`."""
        rows: list[int] = []
        self._add(weight, 1)
        for site, bound in zip(sites, bounds, strict=True):
            rows.append(bound.size * (1 if site.parent is None else rows[site.parent.number]))
            self._add(site.weight, rows[-1])
        return self

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
