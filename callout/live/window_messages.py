"""The messages of a live window as JSON, with the fields that its document selects."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

from callout.live.feed_parts import before
from db.compiler.fields import Constant
from db.compiler.selection import Selection
from db.ticket_window import PATCH, SNAPSHOT, WindowRow, edge_selections
from pubsub.operations import Insert, Move, Operation, Remove, Replace

Values: TypeAlias = Mapping[str, Callable[[Selection], bytes]]
"""The fields of an object by their names in the schema: what makes the JSON of such a field."""


class WindowMessages:
    """Makes the payloads. `mark` stands in them for the cursor, also in the rows' own JSON."""

    def __init__(self, root: Selection, mark: str) -> None:
        self._types = root.types
        self._mark = mark.encode()
        self._before = before(root)
        self._edges = edge_selections(root)

    def snapshot(self, rows: Sequence[WindowRow], total: int) -> bytes:
        return self._message(SNAPSHOT, total, edges=lambda field: _list(self._edge(field, row) for row in rows))

    def patch(self, operations: Sequence[Operation[WindowRow]], total: int) -> bytes:
        return self._message(
            PATCH, total, operations=lambda field: _list(self._operation(field, each) for each in operations)
        )

    def with_cursor(self, payload: bytes, cursor: str) -> bytes:
        return payload.replace(self._mark, cursor.encode())

    def _message(self, type_: str, total: int, **values: Callable[[Selection], bytes]) -> bytes:
        common: Values = {"cursor": lambda field: b'"%b"' % self._mark, "totalCount": lambda field: b"%d" % total}
        return self._before + _object(self._types[type_], {**common, **values}) + b"}}"

    def _operation(self, field: Selection, operation: Operation[WindowRow]) -> bytes:
        match operation:
            case Insert(index, row):
                return _object(field.types["WindowInsert"], {"index": _number(index), "edge": self._edge_of(row)})
            case Move(origin, index, row):
                values = {"from": _number(origin), "to": _number(index), "edge": self._edge_of(row)}
                return _object(field.types["WindowMove"], values)
            case Replace(index, row):
                return _object(field.types["WindowReplace"], {"index": _number(index), "edge": self._edge_of(row)})
            case Remove(index):
                return _object(field.types["WindowRemove"], {"index": _number(index)})

    def _edge_of(self, row: WindowRow) -> Callable[[Selection], bytes]:
        return lambda field: self._edge(field, row)

    def _edge(self, field: Selection, row: WindowRow) -> bytes:
        assert row.edges is not None
        return row.edges[self._edges.place(field)]


def _number(number: int) -> Callable[[Selection], bytes]:
    return lambda field: b"%d" % number


def _list(items: Iterable[bytes]) -> bytes:
    return b"[%b]" % b",".join(items)


def _object(fields: Sequence[Selection], values: Values) -> bytes:
    return b"{%b}" % b",".join(b'"%b":%b' % (field.key.encode(), _value(field, values)) for field in fields)


def _value(field: Selection, values: Values) -> bytes:
    if isinstance(field.mapping, Constant):  # __typename
        return b'"%b"' % field.mapping.word.encode()
    return values[field.name](field)
