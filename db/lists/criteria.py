"""Filters: the criteria, which turn the fields of a filter input into conditions. `db/entities.py` declares which
criterion each field is.

Every criterion has two halves: `read` takes the values from one request and returns the argument shape; `build` makes
the SQL for a shape. A criterion applies to an event's image as it does to a row, so the same filter works for lists and
streams. A simple criterion is also a `test` of an image in memory, which spares the database most streams that an event
does not concern (`in_memory.py`).
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, ClassVar, Final, Generic, TypeVar

from sqlalchemy import (
    Boolean,
    ColumnElement,
    DateTime,
    Text,
    and_,
    any_,
    false,
    func,
    literal_column,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY, TSQUERY, UUID
from sqlalchemy.types import TypeEngine

from db import limits, models
from db.enums import STAFF, AuditObjectKind, Role
from db.errors import BadInput, LimitExceeded
from db.events.event import Image
from db.ids import key_of
from db.lists.in_memory import Test, all_hold, any_holds, negated, undecided
from db.lists.phones import with_digits
from db.lists.shapes import (
    AssigneeShape,
    CriteriaShape,
    FlagShape,
    SearchShape,
    Shape,
    SpanShape,
    ValueShape,
    VisibilityShape,
    WordsShape,
)
from db.planner import contains_without_index, number, once, opaque
from db.sql import Condition, Row, table
from db.viewer import Viewer
from db.visibility import Predicate, ViewerParameter

CRITERIA_MAX = 100
DEPTH_MAX = 100
EVERYTHING = "*"

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")

S = TypeVar("S", bound=Shape)


class Parameters:
    """A statement's parameters for the values of one field's arguments, by slot, and its search terms."""

    def __init__(self, of_slot: Callable[[int, TypeEngine[Any]], ColumnElement[Any]]) -> None:
        self._of_slot = of_slot
        self._terms: dict[SearchShape, Term] = {}

    def __call__(self, slot: int, type_: TypeEngine[Any]) -> ColumnElement[Any]:
        return self._of_slot(slot, type_)

    def term(self, search: SearchShape) -> Term:
        if search not in self._terms:
            dialled = None if search.dialled is None else self(search.dialled, Text())
            self._terms[search] = Term(self(search.slot, Text()), search.short, dialled)
        return self._terms[search]


class Slots:
    """Collects the values of one request, in the order in which the criteria are read, and limits their number.

    `words_are_values` says that sets of words are values too (`WordsShape`). The criteria of a `live` filter decide
    about the images of an event."""

    def __init__(self, *, words_are_values: bool = False, live: bool = False) -> None:
        self.values: list[Any] = []
        self.words_are_values = words_are_values
        self.live = live
        self.criteria = 0
        self.depth = 0

    def put(self, value: Any) -> int:
        """Adds the value and returns its slot."""
        self.values.append(value)
        return len(self.values) - 1

    def count(self, number: int = 1) -> None:
        """Counts one more criterion, or as much work as this number takes. Raises `LimitExceeded` if there are more
        than `CRITERIA_MAX`."""
        self.criteria += number
        if self.criteria > CRITERIA_MAX:
            raise LimitExceeded(f"A filter can have at most {CRITERIA_MAX} conditions.")


class Criterion(ABC, Generic[S]):
    """A condition on a row that a client can ask for."""

    def columns(self, shape: S) -> frozenset[str]:
        """The columns of a row that the condition reads; `EVERYTHING` if the criterion does not know them."""
        return frozenset({EVERYTHING})

    def fixed(self, shape: S) -> frozenset[str]:
        """The columns of which the condition is that each equals one value."""
        return frozenset()

    def depends_on(self, shape: S, role: Role) -> frozenset[AuditObjectKind]:
        """The kinds of other objects whose changes can change whether a row matches, though the row does not change."""
        return frozenset()

    @abstractmethod
    def read(self, value: Any, slots: Slots) -> S | None:
        """The argument shape of a non-null value, whose values are added to `slots`; None if the value restricts
        nothing, such as a blank search. Raises `BadInput` or `LimitExceeded` if the value cannot be used."""

    def shapes(self) -> Sequence[S]:
        """Each argument shape that `read` can return, with its slots numbered from 0; none if there are too many. With
        them, streams whose filters differ in this criterion share a statement (`shared.py`)."""
        return ()

    @abstractmethod
    def build(self, row: Row, shape: S, parameters: Parameters, viewer: ViewerParameter) -> Condition:
        """The condition on a row for a shape."""

    def test(self, shape: S, values: Sequence[Any], viewer: Viewer) -> Test:
        """The condition as a test of an image, for a shape and its values. It must agree with `build` wherever it does
        not leave the decision to the database, as it does by default."""
        return undecided


@dataclass(frozen=True)
class In(Criterion[WordsShape | ValueShape]):
    """The enum column has one of a list of values. An empty list matches nothing. If only staff may know what the
    column has, no row of others matches."""

    column: str
    staff_only: bool = False

    def columns(self, shape: WordsShape | ValueShape) -> frozenset[str]:
        return frozenset({self.column})

    def read(self, value: Any, slots: Slots) -> WordsShape | ValueShape:
        words = tuple(sorted({str(item) for item in value}))
        return ValueShape(slots.put(words)) if slots.words_are_values else WordsShape(words)

    def shapes(self) -> Sequence[ValueShape]:
        return [ValueShape(0)]

    def build(
        self, row: Row, shape: WordsShape | ValueShape, parameters: Parameters, viewer: ViewerParameter
    ) -> Condition:
        column = row.c[self.column]
        hidden = self.staff_only and viewer.role not in STAFF
        if isinstance(shape, ValueShape):
            given = parameters(shape.slot, ARRAY(column.type))  # even if it is not used, for the type of its column
            return false() if hidden else column == any_(given)
        if hidden:
            return false()
        words: list[ColumnElement[str]] = [literal_column(f"'{word}'") for word in shape.words]
        return column.in_(words) if words else false()

    def test(self, shape: WordsShape | ValueShape, values: Sequence[Any], viewer: Viewer) -> Test:
        words = frozenset(shape.words if isinstance(shape, WordsShape) else values[shape.slot])
        read = attrgetter(self.column)
        if self.staff_only and viewer.role not in STAFF:
            return lambda image: False
        return lambda image: read(image) in words


@dataclass(frozen=True)
class Is(Criterion[ValueShape]):
    """The boolean column has the value."""

    column: str

    def read(self, value: Any, slots: Slots) -> ValueShape:
        return ValueShape(slots.put(value))

    def build(self, row: Row, shape: ValueShape, parameters: Parameters, viewer: ViewerParameter) -> Condition:
        column = row.c[self.column]
        return column == parameters(shape.slot, column.type)


@dataclass(frozen=True)
class Flag(Criterion[FlagShape]):
    """The boolean column is true, or is not. Only staff may know: for others it never is. Whether it is to be true is
    in the statement's text, where a partial index depends on it."""

    column: str

    def columns(self, shape: FlagShape) -> frozenset[str]:
        return frozenset({self.column})

    def read(self, value: Any, slots: Slots) -> FlagShape:
        return FlagShape(value)

    def shapes(self) -> Sequence[FlagShape]:
        return [FlagShape(holds=True), FlagShape(holds=False)]

    def build(self, row: Row, shape: FlagShape, parameters: Parameters, viewer: ViewerParameter) -> Condition:
        column: Condition = row.c[self.column] if viewer.role in STAFF else false()
        return column if shape.holds else column.is_not(true())

    def test(self, shape: FlagShape, values: Sequence[Any], viewer: Viewer) -> Test:
        if viewer.role not in STAFF:
            return lambda image: not shape.holds
        read = attrgetter(self.column)
        return lambda image: bool(read(image)) is shape.holds


@dataclass(frozen=True)
class Same(Criterion[ValueShape]):
    """The text column equals the value, regardless of case and of white space around the value."""

    column: str

    def read(self, value: Any, slots: Slots) -> ValueShape:
        return ValueShape(slots.put(storable(value).strip()))

    def build(self, row: Row, shape: ValueShape, parameters: Parameters, viewer: ViewerParameter) -> Condition:
        return func.lower(row.c[self.column]) == func.lower(parameters(shape.slot, Text()))


@dataclass(frozen=True)
class Equals(Criterion[ValueShape]):
    """The text column equals the value exactly."""

    column: str

    def read(self, value: Any, slots: Slots) -> ValueShape:
        return ValueShape(slots.put(storable(value)))

    def shapes(self) -> Sequence[ValueShape]:
        return [ValueShape(0)]

    def build(self, row: Row, shape: ValueShape, parameters: Parameters, viewer: ViewerParameter) -> Condition:
        return row.c[self.column] == parameters(shape.slot, Text())


@dataclass(frozen=True)
class References(Criterion[ValueShape]):
    """The UUID column holds the key of a global id. An id of another kind is an error; an unknown id matches
    nothing. A row for which `revealed` does not hold never matches: the viewer may not know what its column holds."""

    column: str
    prefix: str
    kind: str
    revealed: Predicate | None = None

    def fixed(self, shape: ValueShape) -> frozenset[str]:
        return frozenset({self.column})

    def depends_on(self, shape: ValueShape, role: Role) -> frozenset[AuditObjectKind]:
        depends = self.revealed is not None and role is Role.SERVICE
        return frozenset({AuditObjectKind.CUSTOMER}) if depends else frozenset()

    def read(self, value: Any, slots: Slots) -> ValueShape:
        return ValueShape(slots.put(key_of(value, self.prefix, self.kind)))

    def shapes(self) -> Sequence[ValueShape]:
        return [ValueShape(0)]

    def build(self, row: Row, shape: ValueShape, parameters: Parameters, viewer: ViewerParameter) -> Condition:
        holds = row.c[self.column] == parameters(shape.slot, UUID(as_uuid=False))
        return holds if self.revealed is None else and_(holds, self.revealed(row, viewer))

    def test(self, shape: ValueShape, values: Sequence[Any], viewer: Viewer) -> Test:
        read, key = attrgetter(self.column), values[shape.slot]
        if self.revealed is None or viewer.role is not Role.SERVICE:
            return lambda image: read(image) == key
        return lambda image: None if read(image) == key else False  # the database decides what a ticket reveals


@dataclass(frozen=True)
class Among(Criterion[ValueShape]):
    """The row has one of the given global ids, at most `limits.IDS_MAX`. An id of another kind is an error; an unknown
    id matches nothing, and neither does an empty list."""

    prefix: str
    kind: str

    def columns(self, shape: ValueShape) -> frozenset[str]:
        return frozenset({"id"})

    def read(self, value: Any, slots: Slots) -> ValueShape:
        if len(value) > limits.IDS_MAX:
            raise BadInput(f"At most {limits.IDS_MAX} ids are allowed.")
        return ValueShape(slots.put(tuple(sorted({key_of(each, self.prefix, self.kind) for each in value}))))

    def shapes(self) -> Sequence[ValueShape]:
        return [ValueShape(0)]

    def build(self, row: Row, shape: ValueShape, parameters: Parameters, viewer: ViewerParameter) -> Condition:
        return row.c.id == any_(parameters(shape.slot, ARRAY(UUID(as_uuid=False))))

    def test(self, shape: ValueShape, values: Sequence[Any], viewer: Viewer) -> Test:
        keys = frozenset(values[shape.slot])
        return lambda image: image.id in keys


@dataclass(frozen=True)
class Within(Criterion[SpanShape]):
    """The column's time is in `[from, until)`; either end can be left open. The column depends on the viewer's role."""

    column: Callable[[Role], str]

    def read(self, value: Any, slots: Slots) -> SpanShape | None:
        start, end = value.get("from"), value.get("until")
        if start is None and end is None:
            return None
        return SpanShape(None if start is None else slots.put(start), None if end is None else slots.put(end))

    def shapes(self) -> Sequence[SpanShape]:
        return [SpanShape(0, None), SpanShape(None, 0), SpanShape(0, 1)]

    def build(self, row: Row, shape: SpanShape, parameters: Parameters, viewer: ViewerParameter) -> Condition:
        column = row.c[self.column(viewer.role)]
        conditions = []
        if shape.start is not None:
            conditions.append(column >= parameters(shape.start, DateTime(timezone=True)))
        if shape.end is not None:
            conditions.append(column < parameters(shape.end, DateTime(timezone=True)))
        return and_(true(), *conditions)

    def test(self, shape: SpanShape, values: Sequence[Any], viewer: Viewer) -> Test:
        read = attrgetter(self.column(viewer.role))
        start, end = (None if slot is None else values[slot] for slot in (shape.start, shape.end))

        def within(image: Image) -> bool:
            time = read(image)
            return time is not None and (start is None or time >= start) and (end is None or time < end)

        return within


def only_one(value: Mapping[str, Any]) -> tuple[str, Any]:
    """The name and value of the one field of an input of which one must be set, `@oneOf` or not. Raises `BadInput` if
    there is not exactly one or it is null: validation misses some cases with variables."""
    given = [(name, inner) for name, inner in value.items() if inner is not None]
    if len(given) != 1 or len(value) != 1:
        raise BadInput("Exactly one field must be set, and it must not be null.")
    return given[0]


@dataclass(frozen=True)
class Assignee(Criterion[AssigneeShape]):
    """Exactly one of `{technicianId}`, `{unassigned}`, `{me}` and `{inactive}`; the value false negates the last three.

    Only staff may know who is inactive: for others, no technician is."""

    def columns(self, shape: AssigneeShape) -> frozenset[str]:
        return frozenset({"technician_id"})

    def fixed(self, shape: AssigneeShape) -> frozenset[str]:
        return frozenset() if shape.slot is None else frozenset({"technician_id"})

    def depends_on(self, shape: AssigneeShape, role: Role) -> frozenset[AuditObjectKind]:
        depends = shape.kind == "inactive" and role in STAFF
        return frozenset({AuditObjectKind.TECHNICIAN}) if depends else frozenset()

    def read(self, value: Any, slots: Slots) -> AssigneeShape:
        kind, given = only_one(value)
        if kind == "technicianId":
            return AssigneeShape(kind, slot=slots.put(key_of(given, "tec", "technician")))
        return AssigneeShape(kind, holds=given)

    def shapes(self) -> Sequence[AssigneeShape]:
        both = [
            AssigneeShape(kind, holds=holds) for kind in ("unassigned", "me", "inactive") for holds in (True, False)
        ]
        return [AssigneeShape("technicianId", slot=0), *both]

    def build(self, row: Row, shape: AssigneeShape, parameters: Parameters, viewer: ViewerParameter) -> Condition:
        column = row.c.technician_id
        if shape.slot is not None:
            return column == parameters(shape.slot, UUID(as_uuid=False))
        if shape.kind == "unassigned":
            return column.is_(None) if shape.holds else column.is_not(None)
        if shape.kind == "inactive":
            theirs = column == any_(_inactive()) if viewer.role in STAFF else false()
            return theirs if shape.holds else theirs.is_not(true())
        mine = column.is_not_distinct_from(viewer.uuid) if viewer.role is Role.TECHNICIAN else false()
        return mine if shape.holds else mine.is_not(true())

    def test(self, shape: AssigneeShape, values: Sequence[Any], viewer: Viewer) -> Test:
        if shape.slot is not None:
            key = values[shape.slot]
            return lambda image: image.technician_id == key
        if shape.kind == "unassigned":
            return lambda image: (image.technician_id is None) is shape.holds
        if shape.kind == "inactive":
            # The database decides who is inactive now. An unassigned ticket has nobody who could be.
            maybe = None if viewer.role in STAFF else not shape.holds
            return lambda image: not shape.holds if image.technician_id is None else maybe
        me = viewer.id if viewer.role is Role.TECHNICIAN else ""
        return lambda image: (image.technician_id == me) is shape.holds


def _inactive() -> ColumnElement[Any]:
    """The ids of the inactive technicians: an array, so that an index finds the tickets of each."""
    technicians = table(models.TechnicianRow).alias()
    return func.array(select(technicians.c.id).where(technicians.c.active.is_(False)).scalar_subquery())


@dataclass(frozen=True)
class VisibleBy(Criterion[VisibilityShape]):
    """A part of the viewer's visibility as a criterion: each of the columns `equal` has one value, and there may be
    conditions on `others`. Clients cannot ask for it; a list adds it (`Listing.own`)."""

    condition: Predicate
    equal: frozenset[str]
    others: frozenset[str] = frozenset()

    def columns(self, shape: VisibilityShape) -> frozenset[str]:
        return self.equal | self.others

    def fixed(self, shape: VisibilityShape) -> frozenset[str]:
        return self.equal

    def read(self, value: Any, slots: Slots) -> VisibilityShape:
        raise BadInput("This cannot be asked for.")

    def build(self, row: Row, shape: VisibilityShape, parameters: Parameters, viewer: ViewerParameter) -> Condition:
        return self.condition(row, viewer)


class Term:
    """A search term: words, which a text may contain in any order, even as parts of its words. PostgreSQL makes their
    searchable form, as that of the text.

    A `short` term has no word with three letters or digits in a row, and therefore no trigram of its own; its pairs of
    characters are looked up instead. `dialled` is the term with the digits of the phone numbers in it, whose words may
    be contained instead.
    """

    def __init__(self, typed: ColumnElement[Any], short: bool, dialled: ColumnElement[Any] | None = None) -> None:
        self.typed = typed
        self.short = short
        self._spellings = [typed] if dialled is None else [typed, dialled]
        self._phrase = func.search_phrase(typed, type_=Text())
        self.phrase = once(self._phrase)
        """The searchable form of the term as a whole, with a blank before it."""

    def is_in(self, text: ColumnElement[Any]) -> Condition:
        """`text`, in searchable form, contains all words. No index is used for it: the planner would choose one by a
        guess at the frequency."""
        return or_(
            *(contains_without_index(text, once(_item(_words(each), 1)), _patterns(each)) for each in self._spellings)
        )

    def index_condition(self, text: ColumnElement[Any]) -> Condition:
        """A condition that an index on `text` can answer. It holds for every text that the term `is_in`, and perhaps
        for others."""
        typed, *dialled = self._spellings
        first = _has_pairs(text, typed) if self.short else _is_like(text, typed)
        return or_(first, *(_is_like(text, each) for each in dialled))

    def begins_word(self, text: ColumnElement[Any]) -> Condition:
        """A word of the text begins with the phrase. No index is used for it."""
        return opaque(func.strpos(text, self.phrase) > number(0))

    def begins_word_index_condition(self, text: ColumnElement[Any]) -> Condition:
        """The same as a condition that an index on `text` can answer."""
        if not self.short:
            return text.like(once(func.search_pattern(self._phrase, type_=Text())))
        query = func.search_pairs_query(self._phrase, type_=TSQUERY())
        return func.search_pairs(text).op("@@", is_comparison=True)(once(query))

    def begins(self, column: ColumnElement[Any]) -> Condition:
        """The column starts with the phrase."""
        return func.starts_with(column, self.phrase, type_=Boolean())

    def range(self, column: ColumnElement[Any]) -> Condition:
        """The same for a column that is sorted by bytes, as a range up to the phrase and the highest character, which
        an index can answer."""
        end = once(func.concat(self._phrase, literal_column("U&'\\+10FFFF'"), type_=Text()))
        return and_(column >= self.phrase, column < end)


INDEXED_WORDS: Final = 3
"""Up to this many words of a term are looked up in an index, the longest ones. The others are tested afterwards."""


def _words(term: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.search_words(term, type_=ARRAY(Text()))


def _patterns(term: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.search_patterns(term, type_=ARRAY(Text()))


def _item(array: ColumnElement[Any], place: int) -> ColumnElement[Any]:
    return array[literal_column(str(place))]


def _is_like(text: ColumnElement[Any], term: ColumnElement[Any]) -> Condition:
    """The text contains the longest words of the term. The index ignores a pattern without trigrams, such as '%'."""
    words = [_item(_patterns(term), place) for place in range(1, INDEXED_WORDS + 1)]
    return and_(*(text.like(once(func.coalesce(word, literal_column("'%'"), type_=Text()))) for word in words))


def _has_pairs(text: ColumnElement[Any], term: ColumnElement[Any]) -> Condition:
    """The text contains the pairs of characters of all words of the term."""
    query = func.search_pairs_of_words(term, type_=TSQUERY())
    return func.search_pairs(text).op("@@", is_comparison=True)(once(query))


class Searching(Criterion[SearchShape]):
    """A criterion whose value is a search term. A blank term restricts nothing. If the searched texts have phone
    numbers (`has_phones`), these are found however they are typed."""

    has_phones: ClassVar[bool] = True

    def read(self, value: Any, slots: Slots) -> SearchShape | None:
        if len(value) > limits.SEARCH_MAX:
            raise BadInput(f"A search text can have at most {limits.SEARCH_MAX} characters.")
        term = storable(value).strip()
        if not term:
            return None
        dialled = with_digits(term)
        return SearchShape(slots.put(term), not _TRIGRAM.search(term), None if dialled is None else slots.put(dialled))

    def shapes(self) -> Sequence[SearchShape]:
        return [SearchShape(0, short, dialled) for short in (True, False) for dialled in (None, 1)]

    def build(self, row: Row, shape: SearchShape, parameters: Parameters, viewer: ViewerParameter) -> Condition:
        return self.matches(row, parameters.term(shape), viewer)

    @abstractmethod
    def matches(self, row: Row, term: Term, viewer: ViewerParameter) -> Condition: ...


_TRIGRAM = re.compile(r"[^\W_]{3}")


def first_part(searchable: ColumnElement[Any]) -> ColumnElement[Any]:
    """The part of the text that all search who see the row (`db/ddl_search.py`)."""
    return func.split_part(searchable, literal_column("chr(12)"), literal_column("1"), type_=Text())


@dataclass(frozen=True)
class Contains(Searching):
    """The column `searchable` contains the words of the term; for a service, which may not read everything in it, its
    first part."""

    def depends_on(self, shape: SearchShape, role: Role) -> frozenset[AuditObjectKind]:
        return frozenset({AuditObjectKind.CUSTOMER, AuditObjectKind.PROPERTY})

    def matches(self, row: Row, term: Term, viewer: ViewerParameter) -> Condition:
        searchable = row.c.searchable
        return term.is_in(first_part(searchable) if viewer.role is Role.SERVICE else searchable)

    def index_condition(
        self, row: Row, shape: SearchShape, parameters: Parameters, viewer: ViewerParameter
    ) -> Condition:
        return parameters.term(shape).index_condition(row.c.searchable)


@dataclass(frozen=True)
class Matches(Searching):
    """A ranked search, by a condition that depends on the viewer, who may not see every column."""

    condition: Callable[[Row, Term, ViewerParameter], Condition]

    def matches(self, row: Row, term: Term, viewer: ViewerParameter) -> Condition:
        return self.condition(row, term, viewer)


@dataclass(frozen=True)
class Ranked(Searching):
    """A search in stages (`db/lists/listing.py: Stage`). It restricts no row by itself, because whether one matches
    depends on the other rows; `db/lists/staged.py` adds the condition."""

    has_phones = False

    def matches(self, row: Row, term: Term, viewer: ViewerParameter) -> Condition:
        return true()


def storable(value: str) -> str:
    """The value itself. Raises `BadInput` if PostgreSQL cannot store it, because it contains a NUL or half of a
    surrogate pair."""
    if _UNSTORABLE.search(value):
        raise BadInput("The text contains an invalid character: NUL or a lone surrogate.")
    return value


@dataclass(frozen=True)
class Criteria(Criterion[CriteriaShape]):
    """An input object whose fields are criteria that must all hold; with `and`, `or` and `not` if `nested`."""

    fields: Mapping[str, Criterion[Any]]
    nested: bool = False

    def read(self, value: Any, slots: Slots) -> CriteriaShape:
        fields: list[tuple[str, Shape]] = []
        for name, criterion in self.fields.items():
            if (given := value.get(name)) is not None:
                slots.count()
                if (shape := criterion.read(given, slots)) is not None:
                    fields.append((name, shape))
        if not self.nested:
            return CriteriaShape(tuple(fields))
        all_of, any_of, none_of = (value.get(name) for name in ("and", "or", "not"))
        return CriteriaShape(
            tuple(fields),
            tuple(self._item(item, slots) for item in all_of or ()),
            None if any_of is None else tuple(self._item(item, slots) for item in any_of),
            None if none_of is None else self._item(none_of, slots),
        )

    def _item(self, value: Any, slots: Slots) -> CriteriaShape:
        slots.depth += 1
        if slots.depth > DEPTH_MAX:
            raise LimitExceeded(f"A filter can be nested at most {DEPTH_MAX} levels deep.")
        before = slots.criteria
        shape = self.read(value, slots)
        slots.depth -= 1
        if slots.criteria == before:
            slots.count()  # an empty item counts too, or a filter could have any number of them
        return shape

    def at(self, path: Sequence[str]) -> Criterion[Any]:
        """The criterion at this path."""
        name, *below = path
        criterion = self.fields[name]
        return criterion.at(below) if below and isinstance(criterion, Criteria) else criterion

    def columns(self, shape: CriteriaShape) -> frozenset[str]:
        nested = [*shape.all_of, *(shape.any_of or ())]
        if shape.none_of is not None:
            nested.append(shape.none_of)
        of_fields = (self.fields[name].columns(inner) for name, inner in shape.fields)
        return frozenset[str]().union(*of_fields, *map(self.columns, nested))

    def fixed(self, shape: CriteriaShape) -> frozenset[str]:
        return frozenset[str]().union(*(self.fields[name].fixed(inner) for name, inner in shape.fields))

    def depends_on(self, shape: CriteriaShape, role: Role) -> frozenset[AuditObjectKind]:
        nested = [*shape.all_of, *(shape.any_of or ()), *([] if shape.none_of is None else [shape.none_of])]
        of_fields = (self.fields[name].depends_on(inner, role) for name, inner in shape.fields)
        return frozenset[AuditObjectKind]().union(*of_fields, *(self.depends_on(item, role) for item in nested))

    def about(self, columns: Set[str], shape: CriteriaShape) -> CriteriaShape:
        """The part of a shape that reads only these columns. Every row that matches the shape matches this part too."""
        fields: list[tuple[str, Shape]] = []
        for name, inner in shape.fields:
            criterion = self.fields[name]
            if isinstance(criterion, Criteria):
                assert isinstance(inner, CriteriaShape)
                if below := criterion.about(columns, inner):
                    fields.append((name, below))
            elif criterion.columns(inner) <= columns:
                fields.append((name, inner))
        any_of, none_of = CriteriaShape(any_of=shape.any_of), CriteriaShape(none_of=shape.none_of)
        return CriteriaShape(
            tuple(fields),
            tuple(filter(None, (self.about(columns, item) for item in shape.all_of))),
            shape.any_of if self.columns(any_of) <= columns else None,
            shape.none_of if self.columns(none_of) <= columns else None,
        )

    def build(self, row: Row, shape: CriteriaShape, parameters: Parameters, viewer: ViewerParameter) -> Condition:
        conditions = [self.fields[name].build(row, inner, parameters, viewer) for name, inner in shape.fields]
        conditions += [self.build(row, item, parameters, viewer) for item in shape.all_of]
        if shape.any_of is not None:
            conditions.append(or_(false(), *(self.build(row, item, parameters, viewer) for item in shape.any_of)))
        if shape.none_of is not None:
            # `IS NOT TRUE`, not `NOT`: a criterion is null for a row whose column is null, and its negation must hold.
            conditions.append(self.build(row, shape.none_of, parameters, viewer).is_not(true()))
        return and_(true(), *conditions)

    def test(self, shape: CriteriaShape, values: Sequence[Any], viewer: Viewer) -> Test:
        tests = [self.fields[name].test(inner, values, viewer) for name, inner in shape.fields]
        tests += [self.test(item, values, viewer) for item in shape.all_of]
        if shape.any_of is not None:
            tests.append(any_holds([self.test(item, values, viewer) for item in shape.any_of]))
        if shape.none_of is not None:
            tests.append(negated(self.test(shape.none_of, values, viewer)))
        return all_hold(tests)
