"""What an entity is; `db/entities.py` declares them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import TableClause

from db.enums import Role
from db.sql import Condition, Row
from db.visibility import ONE_BY_ONE, NearPredicate, Predicate, ViewerParameter


@dataclass(frozen=True)
class Entity:
    """A kind of object with an id: its GraphQL type's name, its table, the prefix of its ids, and the predicate that
    decides who sees which rows."""

    name: str
    table: TableClause
    prefix: str
    visible: Predicate
    near: NearPredicate | None = None
    """The same predicate, for an entity that is visible through the tickets it is on. Given the ticket that the
    statement came from, it tests that one first."""
    on_few: bool = False
    """Whether each row is on few tickets, so that testing these is quicker than going through all the tickets that a
    technician or a service sees."""
    revealed: Mapping[str, Predicate] = field(default_factory=dict)
    """Columns that refer to other rows and whose values the viewer may not know of every row that they see; each with
    the predicate of the rows of which they may."""

    def seen_on_few(self, viewer: ViewerParameter) -> bool:
        """Whether the viewer sees a row through the few tickets that it is on."""
        return self.on_few and viewer.role in (Role.TECHNICIAN, Role.SERVICE)

    def visible_alone(self, row: Row, viewer: ViewerParameter) -> Condition:
        """The predicate for a row that is tested by itself, not among all that the viewer sees."""
        if self.near is None or not self.seen_on_few(viewer):
            return self.visible(row, viewer)
        return self.near(row, viewer, ONE_BY_ONE)
