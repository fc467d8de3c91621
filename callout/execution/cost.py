"""What a request may ask for: objects and values, before the database is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from db.compiler.selection import Bound, Site, Weight
from db.errors import LimitExceeded

OBJECTS_MAX = 20_000
"""How many objects a request may ask for: what is selected of each row, times the page sizes above it, summed up."""


VALUES_MAX = 200_000
"""Likewise, how many values."""


@dataclass(slots=True)
class Cost:
    """What a request asks for, so far."""

    objects: int = 0
    values: int = 0

    def add(self, weight: Weight, sites: Sequence[Site], bounds: Sequence[Bound]) -> Cost:
        """Raises `LimitExceeded` once it is too much."""
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
            raise LimitExceeded(f"The request asks for up to {self.objects:,} objects; {OBJECTS_MAX:,} are allowed.")
        if self.values > VALUES_MAX:
            raise LimitExceeded(f"The request asks for up to {self.values:,} values; {VALUES_MAX:,} are allowed.")

    def fits(self) -> int:
        """How many times this much may be asked for at once; at least once."""
        return max(1, min(OBJECTS_MAX // max(1, self.objects), VALUES_MAX // max(1, self.values)))
