"""Argument shapes: the part of a filter that changes the statement's structure. The values are parameters.

Requests with equal shapes run the same statement. A *slot* is the number of a value among those read from one field's
arguments (`Slots`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

Path: TypeAlias = tuple[str, ...]
"""The path to a criterion among nested ones, by their names: `("filter", "search")`."""


@dataclass(frozen=True, slots=True)
class ValueShape:
    """A single value of any type."""

    slot: int


@dataclass(frozen=True, slots=True)
class WordsShape:
    """Values of an enum in the statement's text, where a plan may depend on them. Otherwise they are a value: in lists
    that are read part by part, and in streams, because streams with different filters share a statement."""

    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SpanShape:
    """A span of time; an open end has no slot."""

    start: int | None
    end: int | None


@dataclass(frozen=True, slots=True)
class FlagShape:
    """Whether a boolean column must be true; otherwise it must not."""

    holds: bool


@dataclass(frozen=True, slots=True)
class AssigneeShape:
    """`kind` is the field that is set: `technicianId`, whose value is in `slot`; or `unassigned`, `me` or `inactive`,
    of which `holds` says whether it must be true or false."""

    kind: str
    slot: int | None = None
    holds: bool = True


@dataclass(frozen=True, slots=True)
class SearchShape:
    """The slot of the search term, and whether the term is short (`db/lists/criteria.py: Term`); if the term has phone
    numbers, also the slot of the term with their digits."""

    slot: int
    short: bool
    dialled: int | None = None


@dataclass(frozen=True, slots=True)
class VisibilityShape:
    """A criterion for a part of the viewer's visibility, which has no value."""


@dataclass(frozen=True, slots=True)
class CriteriaShape:
    """Criteria that must all hold: `fields` by name, every item of `all_of`, at least one item of `any_of` (so that an
    empty one matches nothing), and not `none_of`."""

    fields: tuple[tuple[str, Shape], ...] = ()
    all_of: tuple[CriteriaShape, ...] = ()
    any_of: tuple[CriteriaShape, ...] | None = None
    none_of: CriteriaShape | None = None

    def __rich_repr__(self) -> Iterator[tuple[str, object] | tuple[str, object, object]]:
        """For `callout explain`, which leaves out everything that was not given."""
        yield from self.fields
        yield "all_of", self.all_of, ()
        yield "any_of", self.any_of, None
        yield "none_of", self.none_of, None

    def __bool__(self) -> bool:
        """Whether the criteria can exclude any row."""
        return bool(self.fields or any(self.all_of)) or self.any_of is not None or self.none_of is not None

    def is_flat(self) -> bool:
        """Whether the criteria have no `and`, `or` and `not`."""
        below = [shape for _, shape in self.fields if isinstance(shape, CriteriaShape)]
        nested = self.all_of or self.any_of is not None or self.none_of is not None
        return not nested and all(shape.is_flat() for shape in below)

    def at(self, path: Path) -> Shape | None:
        """The shape of the criterion at `path`, or None if it was not given or the path is empty."""
        if not path:
            return None
        name, *below = path
        shape = dict(self.fields).get(name)
        if not below or shape is None:
            return shape
        assert isinstance(shape, CriteriaShape)
        return shape.at(tuple(below))

    def only(self, paths: Sequence[Path]) -> CriteriaShape:
        """Only the criteria at these paths."""
        kept: list[tuple[str, Shape]] = []
        for name, shape in self.fields:
            below = [path[1:] for path in paths if path[0] == name]
            if () in below:
                kept.append((name, shape))
            elif below and isinstance(shape, CriteriaShape) and (narrowed := shape.only(below)):
                kept.append((name, narrowed))
        return CriteriaShape(tuple(kept))


Shape: TypeAlias = (
    ValueShape | WordsShape | SpanShape | FlagShape | AssigneeShape | SearchShape | VisibilityShape | CriteriaShape
)


def numbered(shape: Shape) -> tuple[Shape, tuple[int, ...]]:
    """The shape of a single criterion with its slots numbered from 0, and the slots that they stand for."""
    match shape:
        case ValueShape(slot):
            return ValueShape(0), (slot,)
        case SearchShape(slot, short, None):
            return SearchShape(0, short), (slot,)
        case SearchShape(slot, short, int(dialled)):
            return SearchShape(0, short, 1), (slot, dialled)
        case AssigneeShape(_, int(slot), _):
            return replace(shape, slot=0), (slot,)
        case SpanShape(start, end):
            slots = tuple(slot for slot in (start, end) if slot is not None)
            places = {slot: place for place, slot in enumerate(slots)}
            return SpanShape(*(None if slot is None else places[slot] for slot in (start, end))), slots
    return shape, ()
