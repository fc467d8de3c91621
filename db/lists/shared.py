"""The filters of many streams in one condition, which takes each filter as values.

A list's statement is made for the shape of its filter. The streams of a document have filters of many shapes, and each
shape would be another statement for each event. So here it is a value, too, whether a filter has a criterion. Each form
that a criterion can have is an *option*: an assignee by id, a span with a start alone. The row of a stream has values
in the columns of the options that its filter has, and nulls in the others. What has no option, such as `or` and `not`,
still belongs to the shape: the *rest*.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

from sqlalchemy import Boolean, ColumnElement, and_, or_
from sqlalchemy.types import TypeEngine

from db.lists.criteria import Criteria, Parameters
from db.lists.shapes import CriteriaShape, Shape, numbered
from db.sql import Condition, Row
from db.visibility import ViewerParameter

ColumnOf: TypeAlias = Callable[[str, TypeEngine[Any]], ColumnElement[Any]]
"""The column of this name and type in the row of a stream."""


class SharedCriteria:
    """The criteria of many filters. The columns of a stream are `o3` and `o3_1` for the two values of option 3, and
    `v0` for the value in slot 0 of the rest. An option without values is true."""

    def __init__(self, criteria: Criteria) -> None:
        self._criteria = criteria
        options = [(name, shape) for name, criterion in criteria.fields.items() for shape in criterion.shapes()]
        self._options: dict[tuple[str, Shape], str] = {option: f"o{n}" for n, option in enumerate(options)}

    def rest(self, shape: CriteriaShape) -> CriteriaShape:
        """The part of a filter's shape that changes the condition."""
        return replace(shape, fields=tuple(each for each in shape.fields if self._option(*each) is None))

    def columns(self, shape: CriteriaShape, values: Sequence[Any]) -> Mapping[str, Any]:
        """The columns of a stream with this filter; those that are left out are null."""
        columns = {f"v{slot}": value for slot, value in enumerate(values)} if self.rest(shape) else {}
        for name, inner in shape.fields:
            if (option := self._option(name, inner)) is not None:
                own = [values[slot] for slot in numbered(inner)[1]] or [True]
                columns |= {_column_name(option, slot): value for slot, value in enumerate(own)}
        return columns

    def build(self, row: Row, rest: CriteriaShape, column: ColumnOf, viewer: ViewerParameter) -> Condition:
        """The condition on a row for the stream whose columns these are."""
        of_rest = Parameters(lambda slot, type_: column(f"v{slot}", type_))
        conditions = [self._criteria.build(row, rest, of_rest, viewer)]
        for (name, shape), option in self._options.items():
            absent = column(option, Boolean()).is_(None)  # the type is that of an option without values
            parameters = Parameters(partial(_value, column, option))
            conditions.append(or_(absent, self._criteria.fields[name].build(row, shape, parameters, viewer)))
        return and_(*conditions)

    def _option(self, name: str, shape: Shape) -> str | None:
        return self._options.get((name, numbered(shape)[0]))


def _column_name(option: str, slot: int) -> str:
    return f"{option}_{slot}" if slot else option


def _value(column: ColumnOf, option: str, slot: int, type_: TypeEngine[Any]) -> ColumnElement[Any]:
    return column(_column_name(option, slot), type_)
