"""A list's order in memory: keys that Python compares as PostgreSQL sorts the rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import EnumMeta
from typing import Any, Final, Self, TypeAlias

from db.enums import Role
from db.lists.listing import Listing, Order

Key: TypeAlias = tuple[Any, ...]
"""What sorts a row: rows with smaller keys come first. The id is in it, so no two rows have the same."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class InMemoryOrder:
    """An order by columns, each with whether it descends and with its parser in a page cursor; the id comes last."""

    _columns: Sequence[tuple[str, bool, Callable[[Any], Any]]]
    _id_descends: bool

    @classmethod
    def of(cls, listing: Listing, order: Order, role: Role) -> Self | None:
        """None if a sort key is computed, so that the database alone can sort by it."""
        columns = []
        for name, descends in order:
            key = listing.keys.get(name)
            if key is None or key.column is None:
                return None
            columns.append((key.column(role), descends, key.parse))
        return cls(tuple(columns), order[-1][1])

    @property
    def columns(self) -> Sequence[str]:
        return [name for name, _, _ in self._columns]

    def key(self, read: Callable[[str], Any]) -> Key:
        """The key of a row, of which `read` returns a column by its name."""
        values = [_sortable(read(name), descends, parse) for name, descends, parse in self._columns]
        return (*values, _signed(int(read("id").replace("-", ""), 16), self._id_descends))


def _sortable(value: Any, descends: bool, parse: Callable[[Any], Any]) -> Any:
    if isinstance(value, datetime):
        return _signed((value - _EPOCH) // _MICROSECOND, descends)
    if isinstance(parse, EnumMeta):
        words = list(map(str, parse))
        # A value that this version does not know yet: new ones come last.
        return _signed(words.index(value) if value in words else len(words), descends)
    return tuple(_signed(ord(character), descends) for character in value)


def _signed(number: int, negative: bool) -> int:
    return -number if negative else number
