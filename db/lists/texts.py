"""Tickets found by the words of the texts on them: descriptions, resolutions, notes and transcripts.

A ticket matches if each word of the term is in one of the texts that the viewer may read, not necessarily in the same.
`ticket_texts` has the words of each text (`db/ddl_texts.py`). `docs/decisions/texts.md` has the measurements.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, Text, column, exists, func, literal_column, not_, select, true
from sqlalchemy.dialects.postgresql import ARRAY, TSQUERY

from db import limits, models
from db.enums import Role
from db.errors import BadInput
from db.lists.criteria import Criterion, Parameters, Slots, storable
from db.lists.shapes import ValueShape
from db.planner import is_among, matches_without_index, once, opaque
from db.sql import Condition, Row, table
from db.visibility import ViewerParameter, readable_text

TERM = "text_term"
"""An additional column of the rows of a list with a term: the term, as it was typed."""

CONDITIONS = 5
"""A text counts as this number of conditions: testing a ticket takes as long as several of others."""


@dataclass(frozen=True)
class HasText(Criterion[ValueShape]):
    """Each word of the value is in a text on the ticket that the viewer may read. A blank value restricts nothing.

    Streams refuse it: an event has the ticket's images, but not the notes that there were."""

    def read(self, value: Any, slots: Slots) -> ValueShape | None:
        if slots.live:
            raise BadInput("`text` cannot be used here: streams do not search texts. Refetch the list instead.")
        if len(value) > limits.SEARCH_MAX:
            raise BadInput(f"A search text can have at most {limits.SEARCH_MAX} characters.")
        slots.count(CONDITIONS - 1)
        term = storable(value).strip()
        return ValueShape(slots.put(term)) if term else None

    def build(self, row: Row, shape: ValueShape, parameters: Parameters, viewer: ViewerParameter) -> Condition:
        texts = table(models.TicketTextRow).alias()
        word = (
            func.unnest(once(queries_of(parameters(shape.slot, Text()))))
            .table_valued(column("query", TSQUERY))
            .render_derived()
        )
        has_word = exists().where(
            texts.c.ticket_id == row.c.id,
            readable_text(texts, viewer),
            matches_without_index(texts.c.words, word.c.query),
        )
        missing: Select[Any] = (
            select(literal_column("1")).select_from(word).where(not_(has_word.correlate_except(texts)))
        )
        return opaque(not_(missing.correlate_except(word).exists()))

    def index_condition(
        self, row: Row, shape: ValueShape, parameters: Parameters, viewer: ViewerParameter
    ) -> Condition:
        """A condition that an index can answer. It holds for every ticket that matches, and for others: it is about the
        rarest word alone. The few tickets of a customer have an index of their own."""
        if viewer.role is Role.CUSTOMER:
            return true()
        texts = table(models.TicketTextRow).alias()
        rarest = once(func.rarest_text_query(queries_of(parameters(shape.slot, Text())), type_=TSQUERY()))
        found = select(texts.c.ticket_id).where(
            texts.c.words.op("@@", is_comparison=True)(rarest), readable_text(texts, viewer)
        )
        return is_among(row.c.id, found)


def queries_of(term: ColumnElement[Any]) -> ColumnElement[Any]:
    """A query for each word of a term."""
    return func.text_queries(term, type_=ARRAY(TSQUERY()))
