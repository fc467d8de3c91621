"""Who is to hear of an event: everybody on one of its routes (`Event.routes`)."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class ByRoute(Generic[T]):
    """Things by their routes. It iterates over the routes that have any."""

    def __init__(self) -> None:
        self._on: dict[str, set[T]] = {}

    def __len__(self) -> int:
        return len(self._on)

    def __iter__(self) -> Iterator[str]:
        return iter(self._on)

    def add(self, thing: T, routes: Iterable[str]) -> None:
        for route in routes:
            self._on.setdefault(route, set()).add(thing)

    def discard(self, thing: T, routes: Iterable[str]) -> None:
        """Removes it from the routes that it was added with."""
        for route in routes:
            things = self._on.get(route)
            if things is not None:
                things.discard(thing)
                if not things:
                    del self._on[route]

    def on(self, routes: Iterable[str]) -> set[T]:
        """Those on at least one of the routes."""
        return {thing for route in routes for thing in self._on.get(route, ())}
