"""Argument shapes: what of a filter changes the statement's structure. The values themselves are parameters.

Two requests whose shapes are equal run the same statement. A *slot* is the number of a value among those that were read
from one field's arguments (`Slots`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

Path: TypeAlias = tuple[str, ...]
"""The names that lead to a criterion among nested ones: `("filter", "search")`."""


@dataclass(frozen=True, slots=True)
class ValueShape:
    """One value, whatever it is."""

    slot: int


@dataclass(frozen=True, slots=True)
class WordsShape:
    """Words of an enum. They are few, so they stand in the statement's text: PostgreSQL plans once for each set, where
    it would plan an array in a parameter again for each request."""

    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SpanShape:
    """A span of time; an end that is left open has no slot."""

    start: int | None
    end: int | None


@dataclass(frozen=True, slots=True)
class AssigneeShape:
    """`kind` is the key that was given; a technician's id has a slot, the other kinds say whether they hold."""

    kind: str
    slot: int | None = None
    holds: bool = True


@dataclass(frozen=True, slots=True)
class SearchShape:
    """The term's slot, and whether it is short (`db/lists/filters.py: Term`)."""

    slot: int
    short: bool


@dataclass(frozen=True, slots=True)
class VisibilityShape:
    """A criterion that stands for a part of the viewer's visibility; nothing was given."""


@dataclass(frozen=True, slots=True)
class CriteriaShape:
    """Criteria, all of which hold: those that were given by name, those of every item of `all_of`, those of at least
    one item of `any_of` (none holds if it is empty), and not those of `none_of`."""

    fields: tuple[tuple[str, Shape], ...] = ()
    all_of: tuple[CriteriaShape, ...] = ()
    any_of: tuple[CriteriaShape, ...] | None = None
    none_of: CriteriaShape | None = None

    def __rich_repr__(self) -> Iterator[tuple[str, object] | tuple[str, object, object]]:
        """Without what was not given, for `callout explain`."""
        yield from self.fields
        yield "all_of", self.all_of, ()
        yield "any_of", self.any_of, None
        yield "none_of", self.none_of, None

    def __bool__(self) -> bool:
        """Whether anything was given that can leave rows out."""
        return bool(self.fields or any(self.all_of)) or self.any_of is not None or self.none_of is not None

    def at(self, path: Path) -> Shape | None:
        """The shape of the criterion at `path`; None if it was not given, or if the path is empty."""
        if not path:
            return None
        name, *below = path
        shape = dict(self.fields).get(name)
        if not below or shape is None:
            return shape
        assert isinstance(shape, CriteriaShape)
        return shape.at(tuple(below))

    def only(self, paths: Sequence[Path]) -> CriteriaShape:
        """The criteria at these paths, and nothing else."""
        kept: list[tuple[str, Shape]] = []
        for name, shape in self.fields:
            below = [path[1:] for path in paths if path[0] == name]
            if () in below:
                kept.append((name, shape))
            elif below and isinstance(shape, CriteriaShape) and (narrowed := shape.only(below)):
                kept.append((name, narrowed))
        return CriteriaShape(tuple(kept))

    def without(self, path: Path) -> CriteriaShape:
        """All criteria but the one at `path`."""
        kept: list[tuple[str, Shape]] = []
        for name, shape in self.fields:
            if name != path[0]:
                kept.append((name, shape))
            elif isinstance(shape, CriteriaShape) and path[1:] and (rest := shape.without(path[1:])):
                kept.append((name, rest))
        return CriteriaShape(tuple(kept), self.all_of, self.any_of, self.none_of)

    def conjunctive(self) -> CriteriaShape:
        """The criteria that are neither alternatives nor negated: an index applies to each of them by itself."""
        fields = ((name, s.conjunctive() if isinstance(s, CriteriaShape) else s) for name, s in self.fields)
        return CriteriaShape(tuple(fields), tuple(item.conjunctive() for item in self.all_of))


Shape: TypeAlias = ValueShape | WordsShape | SpanShape | AssigneeShape | SearchShape | VisibilityShape | CriteriaShape
