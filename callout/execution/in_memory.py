"""JSON of values that are in memory: for messages and payloads that no statement reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from db.compiler.fields import Constant
from db.compiler.selection import Selection
from resolvers.mutation import Outcome


def payload_of(root: Selection, outcome: Outcome) -> bytes:
    """The payload of a mutation that writes nothing: the user errors, and the `extra` of the outcome under the names of
    the payload's fields. What the outcome does not have is null."""
    errors = [error.as_json() for error in outcome.errors]
    return orjson.dumps(selected(root.fields, {"userErrors": errors, **outcome.extra}))


def selected(fields: Sequence[Selection], values: Mapping[str, Any]) -> dict[str, Any]:
    """The object of these fields, of values that stand under their names in the schema. What is absent is null."""
    return {field.key: _value(field, values) for field in fields}


def _value(field: Selection, values: Mapping[str, Any]) -> Any:
    if isinstance(field.mapping, Constant):
        return field.mapping.word
    value = values.get(field.name)
    if isinstance(value, Mapping):
        return selected(field.fields, value)
    if isinstance(value, Sequence) and field.types:
        return [selected(field.fields, each) for each in value]
    return value
