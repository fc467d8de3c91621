"""The stored counts: the number of tickets by status, priority, category and technician, exact at every moment without
counting rows.

The table `ticket_counts` is correct as of a position in the event log, the snapshot `event_log.counted`. Each later
event adds a difference: minus one for its image before, plus one for its image after. `counted` adds these differences
to the table, so that its sums are exact for the reading statement's own snapshot, including what its transaction has
written. `fold` adds them to the table itself and advances the position, so that readers have little to add.
`service_ticket_counts` has the tickets that services created, by creator too, with a position of its own.
See `docs/decisions/counts.md`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import BigInteger, FromClause, Text, text
from sqlalchemy.dialects.postgresql import UUID
from sqlalchemy.types import TypeEngine

from db import models
from db.events import position
from db.events.position import TICKETS, unseen

NOBODY: Final = "00000000-0000-0000-0000-000000000000"
"""Stands for no technician in the tables of counts, because a primary key cannot hold NULL."""

COLUMNS: Final = ("status", "priority", "category", "technician_id")
"""The columns by which tickets are counted."""

_TYPES: Final[Mapping[str, tuple[str, TypeEngine[Any]]]] = {
    "status": ("ticket_status", models.STATUS),
    "priority": ("ticket_priority", models.PRIORITY),
    "category": ("ticket_category", models.CATEGORY),
    "technician_id": ("uuid", UUID(as_uuid=False)),
    "creator_kind": ("actor_kind", models.ACTOR_KIND),
    "creator_id": ("text", Text()),
}


@dataclass(frozen=True)
class Counts:
    """One table of counts, `table`; `position` is the column of `event_log` with its position. It counts the tickets
    that match `of`, an SQL condition, by the columns `by`, which are its primary key."""

    table: str
    position: str
    of: str = "true"
    by: tuple[str, ...] = COLUMNS

    def counted(self) -> FromClause:
        """Rows of the columns `by` and a number `n`, exact as of now. Several rows can have the same values, and a
        single `n` can be negative: only sums of `n` are meaningful."""
        return self._rows(f"{self._stored()} UNION ALL {self._difference()}", "counted")

    def fold(self) -> str:
        """The statement that adds the events since the position to the table, and advances the position. Returns one
        value, the number of events."""
        return f"""
            WITH change AS (
                SELECT {self._columns("coalesce")}, sum(n) AS n FROM ({self._difference()}) AS difference
                GROUP BY {self._ordinals()} HAVING sum(n) <> 0
            ), taken AS (
                SELECT count(*) AS events {self._later_events()}
            ), added AS (
                INSERT INTO {self.table} AS kept ({self._names()}, n) SELECT * FROM change
                ON CONFLICT ({self._names()}) DO UPDATE SET n = kept.n + excluded.n
            ), moved AS (
                UPDATE event_log SET {self.position} = pg_current_snapshot() FROM taken WHERE events > 0
            )
            SELECT events FROM taken"""

    def recount(self) -> str:
        """The statement that counts the tickets' rows into the table, and sets the position to its snapshot. It adds a
        row of 0 for each row of the table, so that combinations without tickets are set to 0."""
        return f"""
            WITH added AS (
                INSERT INTO {self.table} ({self._names()}, n)
                SELECT {self._names()}, sum(n) FROM (
                    SELECT {self._columns("coalesce")}, count(*) AS n
                    FROM tickets WHERE {self.of} GROUP BY {self._ordinals()}
                    UNION ALL
                    SELECT {self._names()}, 0 FROM {self.table}
                ) AS now GROUP BY {self._ordinals()}
                ON CONFLICT ({self._names()}) DO UPDATE SET n = excluded.n
            )
            UPDATE event_log SET {self.position} = pg_current_snapshot()"""

    def _rows(self, statement: str, name: str) -> FromClause:
        types = {column: _TYPES[column][1] for column in self.by}
        return text(statement).columns(**types, n=BigInteger()).subquery(name)

    def _stored(self) -> str:
        return f"SELECT {self._columns('nullif')}, n FROM {self.table}"

    def _difference(self) -> str:
        columns = [f"(image ->> '{name}')::{_TYPES[name][0]} AS {name}" for name in self.by]
        return f"""SELECT * FROM (
                SELECT {", ".join(columns)}, n::bigint AS n
                {self._later_events()}
                CROSS JOIN LATERAL (VALUES (event.after, 1), (event.before, -1)) AS side (image, n)
                WHERE image IS NOT NULL
            ) AS changed WHERE {self.of}"""

    def _later_events(self) -> str:
        return "FROM " + unseen(f"(SELECT {self.position} FROM event_log)", "before, after", TICKETS)

    def _names(self) -> str:
        return ", ".join(self.by)

    def _columns(self, nobody: str) -> str:
        """The columns `by`, with `nobody` applied to the technician: `nullif` to read the table, `coalesce` to write to
        it, because there `NOBODY` stands for NULL."""
        columns = [f"{nobody}({name}, '{NOBODY}') AS {name}" if name == "technician_id" else name for name in self.by]
        return ", ".join(columns)

    def _ordinals(self) -> str:
        return ", ".join(str(ordinal) for ordinal, _ in enumerate(self.by, 1))


ALL: Final = Counts("ticket_counts", "counted")
OF_SERVICES: Final = Counts(
    "service_ticket_counts", "service_counted", "creator_kind = 'SERVICE'", ("creator_id", "creator_kind", *COLUMNS)
)


async def fold(connection: Any) -> int:
    """Fold the events since the tables' positions into the stored counts and the stored fingerprint, and advance the
    positions to the snapshots that the events were read with. Returns the number of events. Any number of processes may
    call it: while one is folding, the others return 0 at once.

    `connection` must not be in a transaction: events that it had written would be folded, and then counted again once
    they are committed."""
    assert not connection.is_in_transaction()
    async with connection.transaction():
        # The process that holds the row is folding. The statements below take their snapshots after the lock, so they
        # see the positions that the last process has committed.
        if await connection.fetchval("SELECT id FROM event_log FOR UPDATE SKIP LOCKED") is None:
            return 0
        taken: list[int] = [await connection.fetchval(counts.fold()) for counts in (ALL, OF_SERVICES)]
        await position.fold(connection)
        return max(taken)


async def recount(connection: Any) -> None:
    """Count the tickets' rows instead of folding events, as after a bulk load. Like `fold`, it must not be called in a
    transaction."""
    assert not connection.is_in_transaction()
    async with connection.transaction():
        await recount_within(connection)


async def recount_within(transaction: Any) -> None:
    """The same within a transaction that has not written an event and will not write one: used after the rows have been
    moved to another cluster."""
    await transaction.execute("SELECT id FROM event_log FOR UPDATE")
    for counts in (ALL, OF_SERVICES):
        await transaction.execute(counts.recount())
    await position.fold(transaction)
