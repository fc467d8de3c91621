"""Snippets: the pieces of SQL that a statement is put together from.

SQLAlchemy takes milliseconds to write a statement, though nearly everything in it stands in other statements too: how a
field is computed, what a viewer sees, how a list finds its rows. So SQLAlchemy writes each of these pieces once, with
placeholders for the names that differ, and a statement is then put together from their texts in microseconds.

The placeholders are `this_row`, the row that a field is read from; `own_row`, another row that the snippet is about;
and for each parameter its name between two NULs, in which `site` stands for the number of the site.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any

from cachetools import LRUCache
from sqlalchemy import ColumnElement, FromClause, Select, TableClause, Text, bindparam, literal_column, select
from sqlalchemy import column as light_column
from sqlalchemy import table as light_table
from sqlalchemy.types import TypeEngine

from db.enums import Role
from db.postgres.statement import Statement
from db.sql import Condition, Expression, Row
from db.visibility import ViewerParameter

VIEWER, VIEWER_NAME, VIEWER_ZONE = "viewer", "viewer_name", "viewer_zone"
VIEWER_EMAIL, VIEWER_SESSION = "viewer_email", "viewer_session"
"""The parameters for the viewer's id, name, time zone, e-mail address, and the key of their session."""

OUTCOME = ("object_id", "errors", "extra")
"""The parameters of a mutation payload's statement: the changed object's key, the user errors, and further texts."""

THIS, OWN, SITE = "this_row", "own_row", "site"
KEPT_BYTES = 16 * 2**20  # of all snippets; a list's text has about 2,000 characters, a field's about 20
OVERHEAD = 200  # bytes of a snippet besides its text, roughly

_PLACEHOLDER = re.compile(r"\$(\d+)")
_PARAMETER = re.compile("\0(.*?)\0")
_UNCORRELATED = re.compile(rf"(FROM |, )({THIS}|{OWN})\b(?!\.)")
_OF_DRAFT = re.compile(r"[a-z]_\d+|%.*")
_constants = itertools.count()


@dataclass(frozen=True, eq=False, slots=True)
class RowKind:
    """The columns that a row has, as a table that SQLAlchemy knows by the name of a placeholder."""

    this: Any
    own: Any


@dataclass(frozen=True, slots=True)
class NamedRow:
    """A row of a statement: its kind, and the name that it has in the statement's text."""

    kind: RowKind
    name: str


def kind_of(row: FromClause) -> RowKind:
    """The kind of a row with these columns. Rows with equal columns are of the same kind."""
    columns = tuple((each.name, each.type) for each in row.c)
    key = tuple((name, repr(type_)) for name, type_ in columns)
    kind = _kinds.get(key)
    if kind is None:
        this, own = (light_table(name, *itertools.starmap(light_column, columns)) for name in (THIS, OWN))
        kind = _kinds.setdefault(key, RowKind(this, own))
    return kind


_kinds: dict[tuple[tuple[str, str], ...], RowKind] = {}
kind_of_table = functools.cache(kind_of)
NO_ROW = NamedRow(kind_of(light_table("nothing")), "nothing")
"""The parent row of a root field, which has none."""


class Renamed:
    """A table whose columns are known by their names without `prefix`."""

    def __init__(self, table: TableClause, prefix: str) -> None:
        self.table = table
        self.c = {name.removeprefix(prefix): column for name, column in table.c.items()}


@functools.cache
def renamed(kind: RowKind, prefix: str) -> RowKind:
    return RowKind(Renamed(kind.this, prefix), Renamed(kind.own, prefix))


class Draft:
    """A snippet while SQLAlchemy writes it: the rows that it is about, the argument shape of its site, and names and
    parameters for it. The names are unique in the snippet, and no row of a statement has a name like them."""

    def __init__(self, kind: RowKind, own: RowKind, role: Role, shape: Any) -> None:
        self.this: Any = kind.this
        self.own: Any = own.own
        self.shape = shape
        self.viewer = ViewerParameter(role, bindparam(VIEWER, type_=Text()))
        self._names = itertools.count(1)

    def alias(self, table: TableClause) -> Row:
        return table.alias(f"{table.name[0]}_{next(self._names)}")

    def own_alias(self, table: TableClause) -> Row:
        """The table as the rows of a FROM clause."""
        return table.alias(OWN)

    def name(self) -> str:
        return f"q_{next(self._names)}"

    def parameter(self, slot: int, type_: TypeEngine[Any]) -> ColumnElement[Any]:
        """The parameter for the value in `slot` among those that the site's mapping has read."""
        return bindparam(f"{SITE}_{slot}", type_=type_)


@dataclass(frozen=True, slots=True)
class Snippet:
    """A written snippet. `constants` are the values, by parameter, that do not come from a request. A FROM clause has
    `rows`, whose name is `OWN` or a word."""

    text: str
    constants: Mapping[str, Any]
    rows: NamedRow = NO_ROW


def written(expression: Expression, draft: Draft) -> Snippet:
    """The snippet of an expression."""
    text, constants = _compiled(select(expression.label("snippet")).select_from(*_tables(draft)))
    return Snippet(text.removeprefix("SELECT ").rpartition(" AS snippet \nFROM ")[0], constants)


def written_source(source: FromClause, conditions: list[Condition], draft: Draft) -> Snippet:
    """The snippet of a FROM clause with its WHERE clause."""
    rows: Select[Any] = select(literal_column("1")).select_from(source).where(*conditions).correlate(*_tables(draft))
    name = str(source.name)  # type: ignore[attr-defined]
    assert not _OF_DRAFT.fullmatch(name), "another snippet may have the same name; it has to be OWN, or a word"
    text, constants = _compiled(select(rows.scalar_subquery().label("snippet")).select_from(*_tables(draft)))
    text = text.removeprefix("SELECT (SELECT 1 \nFROM ").rpartition(") AS snippet \nFROM ")[0]
    return Snippet(text, constants, NamedRow(kind_of(source), name))


def _tables(draft: Draft) -> list[TableClause]:
    """The rows around a snippet, as tables of the SELECT that it is written in, so that subqueries are correlated with
    them."""
    return [row.table if isinstance(row, Renamed) else row for row in (draft.this, draft.own)]


def _compiled(query: Select[Any]) -> tuple[str, dict[str, Any]]:
    statement = Statement(query)
    names = {name: name for name in statement.names}
    # SQLAlchemy numbers its own parameters anew in each snippet.
    names |= {name: f"constant_{next(_constants)}" for name in statement.constants}
    text = _PLACEHOLDER.sub(lambda match: f"\0{names[statement.names[int(match[1]) - 1]]}\0", statement.text)
    assert len(_UNCORRELATED.findall(text)) == 2, "a subquery reads a row around it as a table of its own: correlate it"
    return text, {names[name]: value for name, value in statement.constants.items()}


class Snippets:
    """The snippets written so far; the least recently used go first. Several threads may use them."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._kept: LRUCache[Hashable, Snippet] = LRUCache(KEPT_BYTES, getsizeof=lambda each: len(each.text) + OVERHEAD)

    def get(self, key: Hashable, write: Callable[[], Snippet]) -> Snippet:
        with self._lock:
            snippet = self._kept.get(key)
        if snippet is None:
            snippet = write()
            with self._lock:
                self._kept[key] = snippet
        return snippet


def statement_of(text: str, constants: Mapping[str, Any]) -> Statement:
    """The statement of a text that refers to its parameters by name, with the constants of its snippets."""
    numbers: dict[str, int] = {}
    numbered = _PARAMETER.sub(lambda match: f"${numbers.setdefault(match[1], len(numbers) + 1)}", text)
    return Statement.of_text(numbered, tuple(numbers), constants)
