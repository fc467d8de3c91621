"""An entity: a kind of thing with an id, its table, and who sees which of its rows."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import TableClause

from db.enums import Role
from db.sql import Condition, Row
from db.visibility import ONE_BY_ONE, NearPredicate, Predicate, ViewerParameter


@dataclass(frozen=True)
class Entity:
    """A kind of thing with an id: its table, the prefix of its ids, and who sees which of its rows."""

    name: str
    table: TableClause
    prefix: str
    visible: Predicate
    near: NearPredicate | None = None
    """The same predicate of what is seen because it is on a ticket that is: told whence one came to the row, it looks
    there first."""
    on_few: bool = False
    """Whether each is on few tickets, so that these tell sooner than all that a technician or a service sees."""

    def seen_on_few(self, viewer: ViewerParameter) -> bool:
        """Whether the viewer sees a row by the few tickets that it is on."""
        return self.on_few and viewer.role in (Role.TECHNICIAN, Role.SERVICE)

    def visible_alone(self, row: Row, viewer: ViewerParameter) -> Condition:
        """The predicate where a row is asked for by itself."""
        if self.near is None or not self.seen_on_few(viewer):
            return self.visible(row, viewer)
        return self.near(row, viewer, ONE_BY_ONE)
