"""The operations that turn one list of distinct items into another, for the patches of live windows.

A row that stays in the list is moved only if it has to be. A row that has changed is sent again in any case, moved or
replaced, so the fewest operations are those that move the fewest of the others: as many of these as possible keep their
order, a longest increasing subsequence of their new places.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

T = TypeVar("T", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Insert(Generic[T]):
    """Inserts the item so that it is at `index`."""

    index: int
    item: T


@dataclass(frozen=True, slots=True)
class Move(Generic[T]):
    """Takes the item at `origin` out of the list, then inserts it so that it is at `index`."""

    origin: int
    index: int
    item: T


@dataclass(frozen=True, slots=True)
class Replace(Generic[T]):
    """The item at `index` has changed."""

    index: int
    item: T


@dataclass(frozen=True, slots=True)
class Remove:
    """Removes the item at `index`."""

    index: int


Operation: TypeAlias = Insert[T] | Move[T] | Replace[T] | Remove


def operations(
    before: Sequence[T], after: Sequence[T], changed: frozenset[T] = frozenset(), at_hand: frozenset[T] = frozenset()
) -> list[Operation[T]]:
    """The operations that, applied in order, turn `before` into `after`. The items in `changed` have another content:
    those that stay without being moved are replaced. They and those `at_hand` are moved rather than others. While the
    operations are applied, the list never has more items than the longer one of the two."""
    kept = set(after)
    removed: list[Operation[T]] = [Remove(i) for i in range(len(before) - 1, -1, -1) if before[i] not in kept]
    items = [item for item in before if item in kept]
    moved = _moves(items, after, changed | at_hand)
    there = set(items)
    inserted: list[Operation[T]] = [Insert(i, item) for i, item in enumerate(after) if item not in there]
    settled = there - {move.item for move in moved}
    replaced: list[Operation[T]] = [
        Replace(i, item) for i, item in enumerate(after) if item in changed and item in settled
    ]
    return [*removed, *moved, *inserted, *replaced]


def _moves(items: Sequence[T], after: Sequence[T], movable: frozenset[T]) -> list[Move[T]]:
    """The moves that bring these items, all of which `after` has, into its order."""
    places = {item: place for place, item in enumerate(after)}
    staying = _staying(items, places, movable)
    if len(staying) == len(items):
        return []
    current, moves = list(items), []
    previous: T | None = None
    for item in sorted(items, key=places.__getitem__):
        if item not in staying:
            # Those that come before it in the new order stay, or have been moved already.
            origin = current.index(item)
            current.pop(origin)
            index = 0 if previous is None else current.index(previous) + 1
            current.insert(index, item)
            moves.append(Move(origin, index, item))
        previous = item
    return moves


def _staying(items: Sequence[T], places: Mapping[T, int], movable: frozenset[T]) -> set[T]:
    """The items that are not moved: as many of those that are not movable as possible, and the movable ones that fit in
    between."""
    others = [item for item in items if item not in movable]
    staying = {others[index] for index in _longest_increasing([places[item] for item in others])}
    next_places = [len(places)]  # for each item from the end, the place of the next one that stays
    for item in reversed(items):
        next_places.append(places[item] if item in staying else next_places[-1])
    last = -1
    for item, next_place in zip(items, reversed(next_places[:-1]), strict=True):
        if item in staying or last < places[item] < next_place:
            staying.add(item)
            last = places[item]
    return staying


def _longest_increasing(numbers: Sequence[int]) -> list[int]:
    """The indices of a longest increasing subsequence of distinct numbers, by patience sorting."""
    tails: list[int] = []  # the smallest last number of an increasing subsequence of each length
    ends: list[int] = []  # its index
    before: list[int | None] = []
    for index, number in enumerate(numbers):
        length = bisect_left(tails, number)
        before.append(ends[length - 1] if length else None)
        tails[length : length + 1] = [number]
        ends[length : length + 1] = [index]
    found: list[int] = []
    at = ends[-1] if ends else None
    while at is not None:
        found.append(at)
        at = before[at]
    return found[::-1]
