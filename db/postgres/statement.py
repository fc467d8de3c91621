"""Compiled statements: SQLAlchemy builds them, asyncpg runs them.

A statement is compiled once, to text with `$1…` placeholders and the names of its parameters in their order. Running it
then takes only a list of values and nothing of SQLAlchemy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.sql.elements import ClauseElement

DIALECT = PGDialect_asyncpg()  # type: ignore[no-untyped-call]

_PLACEHOLDER = re.compile(r"(?<!\w)\$(\d+)")  # not `o$4`, which is the name of a row


class Queryable(Protocol):
    """An asyncpg connection, or the pool (`Database`)."""

    async def fetch(self, query: str, *args: Any) -> list[Any]: ...
    async def fetchrow(self, query: str, *args: Any) -> Any: ...
    async def fetchval(self, query: str, *args: Any) -> Any: ...
    async def execute(self, query: str, *args: Any) -> str: ...


class Transactional(Queryable, Protocol):
    """The pool (`Database`), or what stands in for it."""

    def transaction(self) -> AbstractAsyncContextManager[Any]: ...


class Statement:
    """A compiled statement: its `text`; the `names` of its parameters in the order of the placeholders; and the
    `constants`, the values that it was built with, by name."""

    __slots__ = ("constants", "names", "text")

    def __init__(self, clause: ClauseElement) -> None:
        compiled = clause.compile(dialect=DIALECT)
        self.text = str(compiled)
        self.names: tuple[str, ...] = tuple(compiled.positiontup or ())  # type: ignore[attr-defined]
        self.constants: Mapping[str, Any] = {
            name: value for name, value in compiled.params.items() if value is not None
        }

    @classmethod
    def of_text(cls, text: str, names: tuple[str, ...], constants: Mapping[str, Any]) -> Statement:
        """A statement that is already written, with the values of those parameters that do not change."""
        statement = cls.__new__(cls)
        statement.text, statement.names, statement.constants = text, names, constants
        return statement

    @classmethod
    def combined(cls, template: str, **parts: Statement) -> Statement:
        """The statement that the template becomes with the texts of the parts in the places of their names. Parameters
        of the same name become one parameter."""
        numbers: dict[str, int] = {}

        def numbered(part: Statement) -> str:
            return _PLACEHOLDER.sub(
                lambda match: f"${numbers.setdefault(part.names[int(match[1]) - 1], len(numbers) + 1)}", part.text
            )

        text = template.format(**{place: numbered(part) for place, part in parts.items()})
        constants = {name: value for part in parts.values() for name, value in part.constants.items()}
        return cls.of_text(text, tuple(numbers), constants)

    def arguments(self, values: Mapping[str, Any]) -> list[Any]:
        """The values in the order of the placeholders. A parameter that is not in `values` keeps the value that the
        statement was built with, or is null."""
        constants = self.constants
        return [values[name] if name in values else constants.get(name) for name in self.names]

    async def fetch(self, connection: Queryable, **values: Any) -> list[Any]:
        return await connection.fetch(self.text, *self.arguments(values))

    async def fetchrow(self, connection: Queryable, **values: Any) -> Any:
        return await connection.fetchrow(self.text, *self.arguments(values))

    async def fetchval(self, connection: Queryable, **values: Any) -> Any:
        return await connection.fetchval(self.text, *self.arguments(values))

    async def execute(self, connection: Queryable, **values: Any) -> str:
        return await connection.execute(self.text, *self.arguments(values))
