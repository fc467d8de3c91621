"""How many tickets there are of each status, priority, category and technician: exact at every moment, without
counting them.

`ticket_counts` is right as of a position in the event log, the snapshot `event_log.counted`. What has happened since
is the difference that the later events make, by their images before and after. `counted` adds the two, so its sums are
those of the reading statement's own snapshot, what its transaction has itself written included; `fold` moves the
position on, so that little is left to add. `service_ticket_counts` is the same by creator too, of what services have
created, and has a position of its own. See `docs/decisions/counts.md`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import BigInteger, FromClause, Text, text
from sqlalchemy.dialects.postgresql import UUID
from sqlalchemy.types import TypeEngine

from db import models
from db.positions import unseen

NOBODY: Final = "00000000-0000-0000-0000-000000000000"
"""Stands for no technician in the tables, whose keys cannot hold NULL."""

COLUMNS: Final = ("status", "priority", "category", "technician_id")
"""What tickets are counted by."""

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
    """One table of counts, and the column of `event_log` that has its position. It counts the tickets that fulfil `of`,
    an SQL condition, by the columns `by`, which are its key."""

    table: str
    position: str
    of: str = "true"
    by: tuple[str, ...] = COLUMNS

    def counted(self) -> FromClause:
        """Rows of `by` and `n`: sum `n` over what is asked for. Several rows may be of one kind and single ones
        negative; only sums mean something."""
        return self._rows(f"{self._kept()} UNION ALL {self._difference()}", "counted")

    def kept(self) -> FromClause:
        """The same as it was when `fold` last moved the position: quicker, and nearly right."""
        return self._rows(self._kept(), "kept")

    def fold(self) -> str:
        """The statement that takes in the events since the position and moves it; its one value is their number."""
        return f"""
            WITH change AS (
                SELECT {self._columns("coalesce")}, sum(n) AS n FROM ({self._difference()}) AS difference
                GROUP BY {self._places()} HAVING sum(n) <> 0
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
        """The statement that counts the tickets themselves; its snapshot becomes the position."""
        return f"""
            WITH added AS (
                INSERT INTO {self.table} ({self._names()}, n)
                SELECT {self._names()}, sum(n) FROM (
                    SELECT {self._columns("coalesce")}, count(*) AS n
                    FROM tickets WHERE {self.of} GROUP BY {self._places()}
                    UNION ALL
                    SELECT {self._names()}, 0 FROM {self.table}
                ) AS now GROUP BY {self._places()}
                ON CONFLICT ({self._names()}) DO UPDATE SET n = excluded.n
            )
            UPDATE event_log SET {self.position} = pg_current_snapshot()"""

    def _rows(self, statement: str, name: str) -> FromClause:
        types = {column: _TYPES[column][1] for column in self.by}
        return text(statement).columns(**types, n=BigInteger()).subquery(name)

    def _kept(self) -> str:
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
        return "FROM " + unseen(f"(SELECT {self.position} FROM event_log)", "before, after")

    def _names(self) -> str:
        return ", ".join(self.by)

    def _columns(self, nobody: str) -> str:
        """`by`, to read the table (`nullif`) or to write to it (`coalesce`), where no technician has a stand-in."""
        columns = [f"{nobody}({name}, '{NOBODY}') AS {name}" if name == "technician_id" else name for name in self.by]
        return ", ".join(columns)

    def _places(self) -> str:
        return ", ".join(str(place) for place, _ in enumerate(self.by, 1))


ALL: Final = Counts("ticket_counts", "counted")
OF_SERVICES: Final = Counts(
    "service_ticket_counts", "service_counted", "creator_kind = 'SERVICE'", ("creator_id", "creator_kind", *COLUMNS)
)


async def fold(connection: Any) -> int:
    """Take the events since the positions into the counts, and move the positions to the snapshots they were read by;
    the answer is the number of events. Any number of processes may call it: while one does, it is 0 for the others.

    `connection` must not be in a transaction: what that had written would be taken in and then be added once more."""
    assert not connection.is_in_transaction()
    async with connection.transaction():
        if await connection.fetchval("SELECT id FROM event_log FOR UPDATE SKIP LOCKED") is None:
            return 0
        taken: list[int] = [await connection.fetchval(counts.fold()) for counts in (ALL, OF_SERVICES)]
        return max(taken)


async def recount(connection: Any) -> None:
    """Count the tickets themselves, for when the events do not tell: after a bulk load. Not in a transaction, as
    `fold`."""
    assert not connection.is_in_transaction()
    async with connection.transaction():
        await recount_within(connection)


async def recount_within(transaction: Any) -> None:
    """The same in a transaction that has written no event and writes none: when the rows have moved to another
    cluster."""
    await transaction.execute("SELECT id FROM event_log FOR UPDATE")
    for counts in (ALL, OF_SERVICES):
        await transaction.execute(counts.recount())
