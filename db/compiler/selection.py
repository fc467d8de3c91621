"""The terms of the selection compiler, which turns the selection of a root field into one SQL statement that returns
the field's JSON. Take this query:

    { tickets(filter: {customerId: "cus_018f…"}, first: 5) { nodes { reference } } }

- A *selection* (`Selection`) is a selected field and, below it, the selections of each type that its value may have.
  `collect.py` builds this tree from the document, for one role: `tickets`, with `nodes`, with `reference`.
- A *field mapping* (`FieldMapping`, declared in `schema/` with the classes of `fields.py` and `db/lists/page.py`) says
  how a field is read: `tickets` is a `Many`, `reference` a `Column`.
- A *site* (`Site`) is a selected field that has arguments. Sites are numbered per root field; `tickets` is site 0.
- `FieldMapping.read` turns the arguments of a site into an *argument shape* and values (`Bound`). The shape is what
  changes the statement's structure: a filter by customer whose value is in slot 0, newest tickets first, up to 5 rows.
  The values are parameters: slot 0 of site 0, named `s0_0`, is the customer's UUID; slot 1 is the number of rows.
- To *render* (`Render`, here; `compile_root` in `render.py` begins it) is to build the statement: each mapping makes
  the SQL of its own field, and lets the selections below it make theirs. Much simplified, the example becomes

      SELECT json_build_object('nodes', json_agg(o$3))
      FROM (SELECT t1.* FROM tickets AS t1 WHERE t1.customer_id = $1
            ORDER BY t1.created_at DESC, t1.id DESC LIMIT 5) AS q2,
        LATERAL (SELECT q2.reference AS "reference") AS o$3

- A *snippet* (`Snippet`, `snippets.py`) is a piece of SQL that SQLAlchemy has written once: here the rows of the list,
  and the column `reference`. Rendering joins snippets.

The same selection, role and shapes give the same statement, so it is rendered once and then only run with new values.
`callout explain` prints the selection, shapes and statement of any query.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from graphql import FieldNode, GraphQLField
from sqlalchemy import FromClause, TableClause

from db.compiler.snippets import (
    NO_ROW,
    OWN,
    SITE,
    THIS,
    Draft,
    NamedRow,
    Snippet,
    Snippets,
    kind_of_table,
    statement_of,
    written,
    written_source,
)
from db.enums import EVERYONE, Role, ServiceScope
from db.postgres.statement import Statement
from db.sql import Condition, Expression

Arguments: TypeAlias = Mapping[str, Any]

MAPPING = "callout.mapping"
"""The key in a graphql-core field's `extensions` under which its mapping is kept."""

_PAIRS = 50  # json_build_object takes at most 100 arguments (FUNC_MAX_ARGS)
_NAME_MAX = 63  # bytes of a column's name (NAMEDATALEN - 1); PostgreSQL cuts off the rest


@dataclass(frozen=True, slots=True)
class Bound:
    """A field's arguments after reading: the argument shape decides the statement's structure, the values are its
    parameters by slot, and `size` is the most rows that the field can return for each row of its parent. For its cost:
    the number of a filter's `conditions`, and of the rows that a mutation `changes`."""

    shape: Hashable = None
    values: tuple[Any, ...] = ()
    size: int = 1
    conditions: int = 0
    changes: int = 0


UNBOUND = Bound()


@dataclass(frozen=True, kw_only=True, eq=False)
class FieldMapping(ABC):
    """How a GraphQL field is read from the database.

    `roles` may read the field, and of services only those with one of the `scopes` or without a scope. A document that
    selects it is refused as a whole for any other viewer.
    """

    roles: frozenset[Role] = EVERYONE
    scopes: frozenset[ServiceScope] | None = None
    """None for every scope. A root field that services may use has to declare its scopes."""
    most: int = 1
    """The most objects that the field can return, where its arguments set no limit."""

    @property
    def cost(self) -> int:
        """How many objects selecting the field counts as, besides those it returns: a subquery has a price too."""
        return 0

    def read(self, arguments: Arguments) -> Bound:
        """The argument shape and values of one request's arguments. Raises `BadInput` for a value that cannot be
        used."""
        return UNBOUND

    @abstractmethod
    def render(self, render: Render, row: NamedRow, selection: Selection) -> str:
        """The SQL of the field's JSON value for a row of its parent."""


@dataclass(slots=True, eq=False)
class Weight:
    """Objects and scalars that are built per row of a site, or once where there is no site above."""

    objects: int = 0
    values: int = 0


@dataclass(slots=True, eq=False)
class Site:
    """A selected field with arguments. `number` counts the sites of a root field and is part of the names of its
    parameters; `parent` is the nearest site above; `constant` says that no argument contains a variable; `weight` is
    what each row that the site returns costs."""

    number: int
    node: FieldNode
    definition: GraphQLField
    mapping: FieldMapping
    parent: Site | None
    constant: bool
    weight: Weight = field(default_factory=Weight)


@dataclass(slots=True, eq=False)
class Selection:
    """A selected field: its `key` in the result, its `name` in the schema, and in `types`, for each concrete type that
    its value may have, the selections below it."""

    key: str
    name: str
    mapping: FieldMapping | None
    site: Site | None
    types: dict[str, list[Selection]] = field(default_factory=dict)

    @property
    def fields(self) -> list[Selection]:
        """The selections below a field of an object type, which has only one concrete type."""
        (fields,) = self.types.values()
        return fields


@dataclass(frozen=True, slots=True)
class Marks:
    """What stands in the JSON that statements return until it is replaced: `position` for a stream cursor, `link`
    before what the URL of a file is made from, and `absent` before the place, counted from 1, of an object that there
    is not. They are random, so that no data can contain them."""

    position: str
    link: str
    absent: str


class Render:
    """A statement while it is put together: hands out unique names, places snippets, and builds JSON objects.

    `shapes` has the argument shape of each site by its number."""

    def __init__(self, snippets: Snippets, role: Role, shapes: Sequence[Hashable], marks: Marks) -> None:
        self.wants_position = False
        self.has_links = False
        self.is_personal = False
        self._snippets = snippets
        self._role = role
        self._shapes = shapes
        self._marks = marks
        self._names = 0
        self._constants: dict[str, Any] = {}

    def row(self, table: TableClause) -> NamedRow:
        """A row of the table, under a name that is unique in the statement."""
        return NamedRow(kind_of_table(table), self._name(table.name[0]))

    def shape(self, selection: Selection) -> Any:
        """The argument shape of a selection, or None if it is not a site."""
        return None if selection.site is None else self._shapes[selection.site.number]

    # Snippets

    def expression(
        self,
        selection: Selection,
        row: NamedRow,
        build: Callable[[Draft], Expression],
        own: NamedRow = NO_ROW,
        about: Hashable = None,
    ) -> str:
        """The text of an expression of `row`, and perhaps of `own`. What `build` returns may depend only on the
        selection's mapping and argument shape, on `about`, and on what the draft has."""
        snippet = self._snippet(selection, row, own, about, lambda draft: written(build(draft), draft))
        return self._placed(snippet, selection, row, own.name)

    def source(
        self,
        selection: Selection,
        row: NamedRow,
        build: Callable[[Draft], tuple[FromClause, list[Condition]]],
        about: Hashable = None,
    ) -> tuple[str, NamedRow]:
        """The text of a FROM clause, with its WHERE clause, whose rows may depend on `row`; and these rows. The same
        holds for `build`."""
        snippet = self._snippet(selection, row, NO_ROW, about, lambda draft: written_source(*build(draft), draft))
        name = self._name("q") if snippet.rows.name == OWN else snippet.rows.name
        return self._placed(snippet, selection, row, name), NamedRow(snippet.rows.kind, name)

    def _snippet(
        self, selection: Selection, row: NamedRow, own: NamedRow, about: Hashable, write: Callable[[Draft], Snippet]
    ) -> Snippet:
        shape = self.shape(selection)
        key = (selection.mapping, about, row.kind, own.kind, self._role, shape)
        return self._snippets.get(key, lambda: write(Draft(row.kind, own.kind, self._role, shape)))

    def _placed(self, snippet: Snippet, selection: Selection, row: NamedRow, own: str) -> str:
        self._constants.update(snippet.constants)
        text = snippet.text.replace(THIS, row.name).replace(OWN, own)
        return text if selection.site is None else text.replace(f"\0{SITE}", f"\0s{selection.site.number}")

    def _name(self, letter: str) -> str:
        self._names += 1
        return f"{letter}{self._names}"

    # JSON

    def object(self, fields: Sequence[Selection], row: NamedRow) -> str:
        """The JSON object `{key: value, …}` of a row's selected fields."""
        return self.pairs(self.selected(fields, row))

    def selected(self, fields: Sequence[Selection], row: NamedRow) -> list[tuple[str, str]]:
        """The key and the SQL of each of a row's selected fields."""
        return [(field.key, self.value(field, row)) for field in fields]

    def value(self, field: Selection, row: NamedRow) -> str:
        assert field.mapping is not None, f"{field.name} has no mapping"
        return field.mapping.render(self, row, field)

    def pairs(self, pairs: Sequence[tuple[str, str]]) -> str:
        """A JSON object of any number of pairs. The keys are GraphQL names, so they need no escaping."""
        if len(pairs) <= _PAIRS:
            return _build_object(pairs)
        # Too many for one call: build several objects and join their texts between the braces. As `jsonb`, with `||`,
        # the keys would lose their order.
        parts = [_build_object(pairs[start : start + _PAIRS]) for start in range(0, len(pairs), _PAIRS)]
        inner = ", ".join(f"left(right(CAST({part} AS TEXT), -1), -1)" for part in parts)
        return f"CAST(concat('{{', concat_ws(', ', {inner}), '}}') AS JSON)"

    def derived(self, pairs: Sequence[tuple[str, str]]) -> tuple[str, str]:
        """A JSON object of any number of pairs, to be used inside other JSON: the name of a derived row whose columns
        are the pairs; and what has to be added to the FROM clause that the pairs are read from. PostgreSQL writes such
        a row faster than it calls json_build_object, and shorter."""
        # A row has at most 1,664 columns, which need more tokens than a document may have.
        if any(len(key) > _NAME_MAX for key, _ in pairs):
            return self.pairs(pairs), ""
        # No column can have this name, because of the `$`; PostgreSQL would take the column instead of the row.
        name = self._name("o$")
        columns = ", ".join(f'{value} AS "{key}"' for key, value in pairs)
        return name, f", LATERAL (SELECT {columns}) AS {name}"

    def position(self) -> str:
        """A stream cursor: the position mark, which is replaced in the answer by the statement's sealed snapshot."""
        self.wants_position = True
        return f"'{self._marks.position}'"

    def link(self, path: str) -> str:
        """The URL of a file: the link mark, followed by the SQL text `path`, which says of which one."""
        self.has_links = True
        return f"'{self._marks.link}' || {path}"

    def absent(self, place: str) -> str:
        """What stands for an object that there is not: the mark, followed by its place in the list."""
        return f"'{self._marks.absent}' || {place}"

    def statement(self, text: str) -> Statement:
        """The finished statement."""
        return statement_of(text, self._constants)


def _build_object(pairs: Sequence[tuple[str, str]]) -> str:
    arguments = ", ".join(f"'{key}', {value}" for key, value in pairs)
    return f"json_build_object({arguments})"
