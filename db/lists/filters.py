"""Filters: how each field of a filter input becomes a condition, declared as a table.

Every criterion is read twice: `read` takes the values out of one request and leaves the shape, `build` makes SQL of
the shape. What a criterion says about a row it says about a row image too, so the same table decides lists and streams.
"""

from __future__ import annotations

import functools
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    DateTime,
    Text,
    and_,
    any_,
    case,
    cast,
    collate,
    false,
    func,
    literal_column,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY, TSQUERY, UUID
from sqlalchemy.types import TypeEngine

from db import limits
from db.compiler.selection import ParameterOf
from db.enums import Role
from db.errors import BadInput, LimitExceeded
from db.ids import key_of
from db.sql import Condition, Row
from db.visibility import Asker, Predicate


class Parameter:
    """The parameter for each slot of a selection's values, and what is made of those that are searched for."""

    def __init__(self, of_slot: ParameterOf) -> None:
        self._of_slot = of_slot
        self._terms: dict[Search, Term] = {}

    def __call__(self, slot: int, type_: TypeEngine[Any]) -> ColumnElement[Any]:
        return self._of_slot(slot, type_)

    def term(self, search: Search) -> Term:
        if search not in self._terms:
            self._terms[search] = Term(self(search.slot, Text()), search.short)
        return self._terms[search]


_MOST_CRITERIA = 100
_DEEPEST = 100


class Slots:
    """The values of one request, in the order in which their criteria are met."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self.criteria = 0
        self.depth = 0

    def put(self, value: Any) -> int:
        self.values.append(value)
        return len(self.values) - 1

    def count(self) -> None:
        self.criteria += 1
        if self.criteria > _MOST_CRITERIA:
            raise LimitExceeded(f"A filter may have at most {_MOST_CRITERIA} conditions.")


EVERYTHING = "*"


class Criterion(ABC):
    def columns(self, shape: Any) -> frozenset[str]:
        """The columns of a row that it looks at; `EVERYTHING` among them if it does not say."""
        return frozenset({EVERYTHING})

    @abstractmethod
    def read(self, value: Any, slots: Slots) -> Hashable:
        """The shape of a non-null value, its values put into `slots`; raises `BadInput`."""

    @abstractmethod
    def build(self, row: Row, shape: Any, parameter: Parameter, asker: Asker) -> Condition: ...


@dataclass(frozen=True)
class In(Criterion):
    """An enum's column has one of a list of values; an empty list matches nothing. Such lists are few, so they are part
    of the shape: PostgreSQL plans once for each, where it would plan a list in a parameter again for each request.

    A list of one is no `=`: from that the planner would infer that a part of the order is constant, no longer see that
    `db/lists/rows.py` goes through the list in its order, and sort all of it."""

    column: str

    def columns(self, shape: Any) -> frozenset[str]:
        return frozenset({self.column})

    def read(self, value: Any, slots: Slots) -> Hashable:
        return tuple(sorted({str(item) for item in value}))

    def build(self, row: Row, shape: Any, parameter: Parameter, asker: Asker) -> Condition:
        column = row.c[self.column]
        words: ColumnElement[str] = literal_column("'{" + ",".join(shape) + "}'")
        return column == any_(cast(words, ARRAY(column.type))) if shape else false()


@dataclass(frozen=True)
class Is(Criterion):
    """A boolean column has the value."""

    column: str

    def read(self, value: Any, slots: Slots) -> Hashable:
        return slots.put(value)

    def build(self, row: Row, shape: Any, parameter: Parameter, asker: Asker) -> Condition:
        column = row.c[self.column]
        return column == parameter(shape, column.type)


@dataclass(frozen=True)
class Same(Criterion):
    """A text column has the value, in any case."""

    column: str

    def read(self, value: Any, slots: Slots) -> Hashable:
        return slots.put(storable(value).strip())

    def build(self, row: Row, shape: Any, parameter: Parameter, asker: Asker) -> Condition:
        return func.lower(row.c[self.column]) == func.lower(parameter(shape, Text()))


@dataclass(frozen=True)
class Refers(Criterion):
    """The column holds the key in a global id. An id of the wrong kind is an error; one of nothing matches nothing."""

    column: str
    prefix: str
    kind: str

    def read(self, value: Any, slots: Slots) -> Hashable:
        return slots.put(key_of(value, self.prefix, self.kind))

    def build(self, row: Row, shape: Any, parameter: Parameter, asker: Asker) -> Condition:
        return row.c[self.column] == parameter(shape, UUID(as_uuid=False))


@dataclass(frozen=True)
class Within(Criterion):
    """The column's time lies in `[from, until)`; either end may be left out."""

    column: Callable[[Row, Asker], ColumnElement[Any]]

    def read(self, value: Any, slots: Slots) -> Hashable:
        start, end = value.get("from"), value.get("until")
        return (
            None if start is None else slots.put(start),
            None if end is None else slots.put(end),
        )

    def build(self, row: Row, shape: Any, parameter: Parameter, asker: Asker) -> Condition:
        start, end = shape
        column = self.column(row, asker)
        conditions = []
        if start is not None:
            conditions.append(column >= parameter(start, DateTime(timezone=True)))
        if end is not None:
            conditions.append(column < parameter(end, DateTime(timezone=True)))
        return and_(true(), *conditions)


def only_one(value: Mapping[str, Any]) -> tuple[str, Any]:
    """The one field of a `@oneOf` input. Raises `BadInput` if a variable has left it null, which validation does not
    always see."""
    given = [(name, inner) for name, inner in value.items() if inner is not None]
    if len(given) != 1 or len(value) != 1:
        raise BadInput("Exactly one key must be given, and not be null.")
    return given[0]


@dataclass(frozen=True)
class Assignee(Criterion):
    """`{technicianId}`, `{unassigned}` or `{me}`, of which exactly one is given; false negates the last two."""

    def columns(self, shape: Any) -> frozenset[str]:
        return frozenset({"technician_id"})

    def read(self, value: Any, slots: Slots) -> Hashable:
        kind, given = only_one(value)
        if kind == "technicianId":
            return (kind, slots.put(key_of(given, "tec", "technician")))
        return (kind, given)

    def build(self, row: Row, shape: Any, parameter: Parameter, asker: Asker) -> Condition:
        kind, given = shape
        column = row.c.technician_id
        if kind == "technicianId":
            return column == parameter(given, UUID(as_uuid=False))
        if kind == "unassigned":
            return column.is_(None) if given else column.is_not(None)
        mine = column.is_not_distinct_from(asker.uuid) if asker.role is Role.TECHNICIAN else false()
        return mine if given else mine.is_not(true())


@dataclass(frozen=True)
class Seen(Criterion):
    """Nothing that can be given: what a list is filtered by because the asker sees no more. Its shape says nothing."""

    condition: Predicate
    names: frozenset[str]

    def columns(self, shape: Any) -> frozenset[str]:
        return self.names

    def read(self, value: Any, slots: Slots) -> Hashable:
        raise BadInput("This cannot be asked for.")

    def build(self, row: Row, shape: Any, parameter: Parameter, asker: Asker) -> Condition:
        return self.condition(row, asker)


@dataclass(frozen=True, slots=True)
class Search:
    """The shape of a search: the term's slot, and whether it is short (see `Term`)."""

    slot: int
    short: bool


class Term:
    """What is searched for. It is brought into the form that is searched by PostgreSQL, whose idea of lower case is not
    Python's, and in a statement of its own, which runs once, where an expression of a parameter would be worked out
    for every row.

    A short term has no three letters or digits on end, hence no trigram that would have to be in a text; its pairs of
    characters are looked up instead.
    """

    def __init__(self, typed: ColumnElement[Any], short: bool) -> None:
        self.typed = typed
        self.short = short
        # A statement has the same ones in many places.
        self.form = functools.cache(self._form)
        self._pattern = functools.cache(self._pattern_of)

    def _form(self, after: str = "") -> ColumnElement[Any]:
        form = func.search_form(self.typed, type_=Text())
        return _once(func.concat(form, after, type_=Text()) if after else form)

    def is_in(self, text: ColumnElement[Any], *, before: str = "") -> Condition:
        """`text`, which is in the form that is searched, has the term in it, with `before` before it. In a collation
        that no index has, and `unguessed`: whether to use an index is not left to a guess of how frequent a term is."""
        return unguessed(collate(text, "C").like(self._pattern(before)))

    def is_looked_up_in(
        self, text: ColumnElement[Any], *, before: str = "", frequent: Condition | None = None
    ) -> Condition:
        """What an index tells of the texts that the term `is_in`. Among those that fulfil this may be a few others, and
        more of them if the term is `frequent`: then a piece of it is looked up."""
        if not self.short:
            return text.like(self._pattern(before, frequent))
        pairs = _once(func.search_pairs_query(func.concat(before, func.search_form(self.typed)), type_=TSQUERY()))
        return func.search_pairs(text).op("@@", is_comparison=True)(pairs)

    def _pattern_of(self, before: str, frequent: Condition | None = None) -> ColumnElement[Any]:
        escaped: ColumnElement[Any] = func.search_form(self.typed, type_=Text())
        if frequent is not None:
            piece = func.coalesce(func.substring(escaped, literal_column(f"'[[:alnum:]]{{{PIECE}}}'")), escaped)
            escaped = case((frequent, piece), else_=escaped)
        for character in ("\\", "%", "_"):
            escaped = func.replace(escaped, literal_column(f"'{character}'"), literal_column(f"'\\{character}'"))
        return _once(func.concat(literal_column(f"'%{before}'"), escaped, literal_column("'%'"), type_=Text()))

    def begins(self, column: ColumnElement[Any]) -> Condition:
        """The column, in the order of its bytes, starts with the term: a range, up to the last character there is."""
        return and_(column >= self.form(), column < self.form(after="\U0010ffff"))


def unguessed(condition: Condition) -> Condition:
    """The condition in a form that no index can tell, and that the planner takes for true every other time."""
    return case((condition, true()), else_=false())


def _once(expression: ColumnElement[Any]) -> ColumnElement[Any]:
    return select(expression).scalar_subquery()


class Searching(Criterion):
    """A criterion whose value is a term to search for; a blank one is none."""

    def read(self, value: Any, slots: Slots) -> Hashable:
        if len(value) > limits.SEARCH_MAX:
            raise BadInput(f"A search may have at most {limits.SEARCH_MAX} characters.")
        term = storable(value).strip()
        return Search(slots.put(term), short=not _TRIGRAM.search(term)) if term else None

    def build(self, row: Row, shape: Any, parameter: Parameter, asker: Asker) -> Condition:
        return true() if shape is None else self.matches(row, parameter.term(shape), asker)

    @abstractmethod
    def matches(self, row: Row, term: Term, asker: Asker) -> Condition: ...


PIECE = 4
"""Letters or digits on end of a term that stand for it where it is frequent."""

_TRIGRAM = re.compile(r"[^\W_]{3}")


@dataclass(frozen=True)
class Contains(Searching):
    """The column, which holds text in the form that is searched, contains the term: part of a word, any case. So does,
    for a service, one of the `telling` columns: whatever else is in the text, a service may not be able to read."""

    column: str
    telling: tuple[str, ...]

    def matches(self, row: Row, term: Term, asker: Asker) -> Condition:
        found = term.is_in(row.c[self.column])
        if asker.role is not Role.SERVICE:
            return found
        read = func.concat_ws(literal_column("E'\\n'"), *(func.search_form(row.c[name]) for name in self.telling))
        return and_(found, term.is_in(read))

    def lookup(self, row: Row, shape: Any, parameter: Parameter, frequent: Condition | None = None) -> Condition:
        """What an index can tell of the rows that contain it; less, and sooner, if the term is `frequent`."""
        return parameter.term(shape).is_looked_up_in(row.c[self.column], frequent=frequent)


@dataclass(frozen=True)
class Matches(Searching):
    """A search that is ranked: what of a row it looks at depends on the asker, who may not see all of it."""

    condition: Callable[[Row, Term, Asker], Condition]

    def matches(self, row: Row, term: Term, asker: Asker) -> Condition:
        return self.condition(row, term, asker)


@dataclass(frozen=True)
class Ranked(Searching):
    """A search that goes by stages (`db/lists/listing.py`): whether a row matches is not for the row alone to say."""

    def matches(self, row: Row, term: Term, asker: Asker) -> Condition:
        return true()


def storable(value: str) -> str:
    """`value`, unless PostgreSQL cannot store it: it has a NUL or half of a surrogate pair. Raises `BadInput`."""
    if "\0" in value or any("\ud800" <= c <= "\udfff" for c in value):
        raise BadInput("The text has a character that cannot be stored: NUL or a lone surrogate.")
    return value


@dataclass(frozen=True)
class Criteria(Criterion):
    """An input object whose fields are criteria, all of which hold; `and`, `or` and `not` where `nested`."""

    fields: Mapping[str, Criterion]
    nested: bool = False

    def read(self, value: Any, slots: Slots) -> Hashable:
        shape: list[tuple[str, Hashable]] = []
        for name, criterion in self.fields.items():
            given = value.get(name)
            if given is not None:
                slots.count()
                shape.append((name, criterion.read(given, slots)))
        if self.nested:
            for name in ("and", "or"):
                given = value.get(name)
                if given is not None:
                    shape.append((name, tuple(self._item(item, slots) for item in given)))
            given = value.get("not")
            if given is not None:
                shape.append(("not", self._item(given, slots)))
        return tuple(shape)

    def _item(self, value: Any, slots: Slots) -> Hashable:
        slots.depth += 1
        if slots.depth > _DEEPEST:
            raise LimitExceeded(f"A filter may be at most {_DEEPEST} levels deep.")
        before = slots.criteria
        shape = self.read(value, slots)
        slots.depth -= 1
        if slots.criteria == before:
            slots.count()  # an empty one is one too, or there could be any number of them
        return shape

    def at(self, path: Sequence[str]) -> Criterion:
        """The criterion below these names."""
        name, *below = path
        criterion = self.fields[name]
        return criterion.at(below) if below and isinstance(criterion, Criteria) else criterion

    def columns(self, shape: Any) -> frozenset[str]:
        found: frozenset[str] = frozenset()
        for name, inner in shape:
            if name in ("and", "or"):
                found = found.union(*(self.columns(item) for item in inner))
            else:
                found |= self.columns(inner) if name == "not" else self.fields[name].columns(inner)
        return found

    def about(self, columns: Set[str], shape: Any) -> Any:
        """What of a shape can be said of these columns alone; every row that fulfils the shape fulfils it too."""
        kept: list[tuple[str, Any]] = []
        for name, inner in shape:
            criterion = None if name in ("and", "or", "not") else self.fields[name]
            if name == "and":
                kept += [part for item in inner for part in self.about(columns, item)]
            elif isinstance(criterion, Criteria):
                about = criterion.about(columns, inner)
                kept += [(name, about)] if about else []
            elif self.columns([(name, inner)]) <= columns:
                kept.append((name, inner))
        return tuple(kept)

    def plain(self, shape: Any) -> Any:
        """What of a shape is neither an alternative nor denied: an index can tell it."""
        kept: list[tuple[str, Any]] = []
        for name, inner in shape:
            if name == "and":
                kept += [part for item in inner for part in self.plain(item)]
            elif name not in ("or", "not"):
                criterion = self.fields[name]
                kept.append((name, criterion.plain(inner) if isinstance(criterion, Criteria) else inner))
        return tuple(kept)

    def build(self, row: Row, shape: Any, parameter: Parameter, asker: Asker) -> Condition:
        conditions: list[Condition] = []
        for name, inner in shape:
            if name == "and":
                conditions.append(and_(true(), *(self.build(row, item, parameter, asker) for item in inner)))
            elif name == "or":
                conditions.append(or_(false(), *(self.build(row, item, parameter, asker) for item in inner)))
            elif name == "not":
                # Not `NOT`: what does not apply to a row, because its column is null, does not hold for it either.
                conditions.append(self.build(row, inner, parameter, asker).is_not(true()))
            else:
                conditions.append(self.fields[name].build(row, inner, parameter, asker))
        return and_(true(), *conditions)
