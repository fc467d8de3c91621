"""The first rows of a list in memory, in its order: those of the window, and some beyond it.

A row's key sorts it, so a row that changes finds its place here, and one that leaves makes room for the next, without
reading the list again. How far the rows are known is known too: a row whose key is beyond that is of no concern.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Collection, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Final

from db.lists.order_in_memory import Key
from db.ticket_window import WindowRow

_KEY: Final = attrgetter("key")


class KeptList:
    """Begins with rows that have been read: in order, and all of them if `is_whole`. The window has `size` rows, and
    at most `most` are kept."""

    def __init__(self, rows: Sequence[WindowRow], size: int, most: int, *, is_whole: bool) -> None:
        self._rows = list(rows)
        self._ids = {row.id for row in rows}
        self._end: Key | None = None if is_whole else rows[-1].key
        """The key up to which every row of the list is kept; None if that is all of them."""
        self._size = size
        self._most = most

    def __contains__(self, id: str) -> bool:
        return id in self._ids

    @property
    def shown(self) -> Sequence[WindowRow]:
        """The rows of the window."""
        return self._rows[: self._size]

    @property
    def missing(self) -> list[str]:
        """The ids of the rows that have moved up into the window, whose edges have to be read."""
        return [row.id for row in self.shown if row.digest is None]

    @property
    def is_exhausted(self) -> bool:
        """Whether the next rows of the list are not known, and the window has room for them."""
        return self._end is not None and len(self._rows) < self._size

    def reaches(self, key: Key) -> bool:
        """Whether a row with this key is among the rows that are kept, if it is in the list."""
        return self._end is None or key <= self._end

    def put(self, ids: Collection[str], rows: Sequence[WindowRow]) -> None:
        """The rows with these ids have changed: those in the list are now `rows`."""
        kept = [row for row in self._rows if row.id not in ids]
        for row in rows:
            assert row.key is not None
            if self.reaches(row.key):
                insort(kept, row, key=_KEY)
        if len(kept) > self._most:
            kept = kept[: self._most]
            self._end = kept[-1].key
        # The edge of a row beyond the window would be out of date by the time that it is shown.
        self._rows = kept[: self._size] + [replace(row, edges=None, digest=None) for row in kept[self._size :]]
        self._ids = {row.id for row in kept}

    def forget_edges(self) -> None:
        """Keeps only the digests of the edges that have been sent."""
        self._rows = [row if row.edges is None else row.without_edges for row in self._rows]
