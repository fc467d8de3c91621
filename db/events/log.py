"""The event log: the truth about what happened to tickets.

Every change of a ticket and every note is written together with its event, in one statement, under the ticket's row
lock. So a ticket's events have its order, and none is written without its change or the other way round. History,
counts and live updates are read from here.

The lock is the transaction's, taken before the row was read; or the statement's own, which then changes the row only as
it was seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Insert,
    Text,
    bindparam,
    case,
    func,
    insert,
    literal_column,
    null,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import UUID
from sqlalchemy.dialects.postgresql import insert as pg_insert

from db import ddl, models
from db.enums import ActorKind, TicketEventKind
from db.events import counts
from db.ids import new_id
from db.postgres.pool import Database
from db.postgres.statement import Queryable, Statement
from db.sql import table
from db.viewer import Viewer

TICKETS = table(models.TicketRow)
EVENTS = table(models.TicketEventRow)
NOTES = table(models.NoteRow)

# A ticket's time only goes forward, even where the clock is put back: its changes and events are told apart by it. The
# statement's start, not the transaction's, which may lie before another writer's that held the lock first.
NOW: Final = func.greatest(
    func.statement_timestamp(), TICKETS.c.updated_at + literal_column("interval '1 microsecond'")
)

_ID = bindparam("id", type_=UUID(as_uuid=False))
_BEFORE = (
    select(literal_column("to_jsonb(tickets.*)").label("image")).select_from(TICKETS).where(TICKETS.c.id == _ID)
).cte("before")
_BEFORE_IMAGE: ColumnElement[Any] = literal_column("(SELECT image FROM before)")


def _written_by(viewer: Viewer) -> dict[str, str]:
    """The parameters that every event has: its id, and who did it."""
    return {
        "event_id": new_id(),
        "actor_kind": ActorKind(viewer.role.value),
        "actor_id": viewer.id,
        "actor_name": viewer.name,
    }


def _event(written: str, **columns: ColumnElement[Any]) -> Insert:
    """The insertion of an event for the row that the common table expression named `written` has written."""
    values: dict[str, ColumnElement[Any]] = {
        "id": bindparam("event_id", type_=UUID(as_uuid=False)),
        "ticket_id": literal_column(f"{written}.id"),
        "kind": bindparam("kind", type_=models.EVENT_KIND),
        "actor_kind": bindparam("actor_kind", type_=models.ACTOR_KIND),
        "actor_id": bindparam("actor_id", type_=Text()),
        "actor_name": bindparam("actor_name", type_=Text()),
        "at": literal_column(f"{written}.updated_at"),
        "after": literal_column(f"to_jsonb({written}.*)"),
        **columns,
    }
    rows = select(*(value.label(name) for name, value in values.items())).select_from(text(written))
    return insert(EVENTS).from_select(list(values), rows)


@cache
def _creation(columns: tuple[str, ...]) -> Statement:
    created = (
        pg_insert(TICKETS)
        .values({name: bindparam(name, type_=TICKETS.c[name].type) for name in columns})
        .on_conflict_do_nothing(index_elements=["reference"])
        .returning(*TICKETS.c)
        .cte("created")
    )
    return Statement(_event("created").add_cte(created).returning(EVENTS.c.id))


@cache
def _change(columns: tuple[str, ...], timestamps: tuple[tuple[str, bool], ...], *, as_seen: bool) -> Statement:
    values: dict[str, Any] = {name: bindparam(f"new_{name}", type_=TICKETS.c[name].type) for name in columns}
    values |= {name: NOW if is_set else null() for name, is_set in timestamps}
    values |= {"version": TICKETS.c.version + literal_column("1"), "updated_at": NOW, "public_updated_at": NOW}
    changed = update(TICKETS).where(TICKETS.c.id == _ID).values(values).returning(*TICKETS.c)
    if as_seen:
        changed = changed.where(TICKETS.c.updated_at == bindparam("seen", type_=TICKETS.c.updated_at.type))
    return Statement(_event("changed", before=_BEFORE_IMAGE).add_cte(_BEFORE, changed.cte("changed")))


def _noting() -> Statement:
    note = {name: bindparam(name, type_=NOTES.c[name].type) for name in ("body", "internal_only")}
    internal = bindparam("internal_only", type_=Boolean())
    written = insert(NOTES).values(
        id=bindparam("note_id", type_=UUID(as_uuid=False)),
        ticket_id=_ID,
        customer_id=select(TICKETS.c.customer_id).where(TICKETS.c.id == _ID).scalar_subquery(),
        author_kind=bindparam("actor_kind", type_=models.ACTOR_KIND),
        author_id=bindparam("actor_id", type_=Text()),
        author_name=bindparam("actor_name", type_=Text()),
        created_at=func.statement_timestamp(),
        **note,
    )
    touched = (
        update(TICKETS)
        .where(TICKETS.c.id == _ID)
        .values(updated_at=NOW, public_updated_at=case((internal, TICKETS.c.public_updated_at), else_=NOW))
        .returning(*TICKETS.c)
        .cte("touched")
    )
    note_id = bindparam("note_id", type_=UUID(as_uuid=False))
    event = _event("touched", before=_BEFORE_IMAGE, note_id=note_id, public=~internal)
    return Statement(event.add_cte(_BEFORE, written.cte("noted"), touched))


_NOTE = _noting()


class Overtaken(Exception):
    """The ticket has changed since it was seen."""


async def create(connection: Queryable, viewer: Viewer, values: Mapping[str, Any]) -> str | None:
    """Write a ticket and its event, whose id is returned. None, and nothing written, if its reference is taken."""
    statement = _creation(tuple(sorted(values)))
    event = await statement.fetchval(connection, **values, kind=TicketEventKind.CREATED, **_written_by(viewer))
    return None if event is None else str(event)


async def change(
    connection: Queryable,
    viewer: Viewer,
    ticket_id: str,
    kind: TicketEventKind,
    values: Mapping[str, Any],
    timestamps: Mapping[str, bool],
    seen: datetime | None = None,
) -> str:
    """Change columns of a ticket, and write the event, whose id is returned. `timestamps` are set to now (true) or
    cleared (false). If no transaction has locked the ticket, `seen` is its `updated_at` as it was read; raises
    `Overtaken`, and nothing is written, if it is another by now."""
    statement = _change(tuple(sorted(values)), tuple(sorted(timestamps.items())), as_seen=seen is not None)
    new = {f"new_{name}": value for name, value in values.items()}
    event = _written_by(viewer)
    status = await statement.execute(connection, id=ticket_id, kind=kind, seen=seen, **event, **new)
    if seen is not None and status.endswith(" 0"):
        raise Overtaken
    return event["event_id"]


async def note(
    connection: Queryable, viewer: Viewer, ticket_id: str, note_id: str, body: str, *, internal_only: bool
) -> str:
    """Add a note to a ticket that the transaction has locked, and write the event, whose id is returned. An internal
    one is not public."""
    event = _written_by(viewer)
    await _NOTE.execute(
        connection,
        id=ticket_id,
        note_id=note_id,
        body=body,
        internal_only=internal_only,
        kind=TicketEventKind.NOTE_ADDED,
        **event,
    )
    return event["event_id"]


# Behind the horizon, which was announced a while ago: whoever was reading there then has come to an end.
_PRUNE: Final = """
DELETE FROM ticket_events WHERE id IN (
    SELECT event.id FROM ticket_events AS event, event_log
    WHERE event.xid < horizon AND horizon_at < now() - $1::interval
    ORDER BY event.xid LIMIT 2000 FOR UPDATE OF event SKIP LOCKED
)"""

LOOKED_AT: Final = 100_000
"""Events, in the order of transactions, over which the horizon moves at once; more where one transaction has more."""

# The first event in the order of transactions that is to be kept, if only because it is beyond those that are looked
# at; nothing that is uncounted or under way; and not the last of all, which positions do not lie beyond. What has been
# announced goes before the horizon moves on, or several processes would put that off for ever.
_MOVE_HORIZON: Final = """
WITH oldest AS (
    SELECT xid, at FROM ticket_events ORDER BY xid FETCH FIRST ($3) ROWS WITH TIES
), reached AS (
    SELECT least(
        pg_snapshot_xmin(pg_current_snapshot()), pg_snapshot_xmin(counted), pg_snapshot_xmin(service_counted),
        (SELECT xid FROM oldest WHERE at >= now() - $1::interval ORDER BY xid LIMIT 1),
        (SELECT xid FROM ticket_events WHERE xid > (SELECT xid FROM oldest ORDER BY xid DESC LIMIT 1)
            ORDER BY xid LIMIT 1),
        last.xid
    ) AS xid FROM event_log, (SELECT xid FROM ticket_events ORDER BY xid DESC LIMIT 1) AS last
)
UPDATE event_log SET horizon = reached.xid, horizon_at = now() FROM reached
WHERE reached.xid > horizon AND horizon_at < now() - $2::interval"""


async def prune(connection: Any, kept: timedelta, announced: timedelta) -> int:
    """One round of letting go of what is older than `kept`: deletes what has been behind the horizon for as long as
    `announced`, then moves the horizon on. The answer is how many events were deleted. Any number of processes may
    call it. `connection` must not be in a transaction: it is done in steps, so that nobody waits for it."""
    deleted = 0
    while True:
        status: str = await connection.execute(_PRUNE, announced)
        deleted += int(status.split()[1])
        if status == "DELETE 0":
            break
    await connection.execute(_MOVE_HORIZON, kept, announced, LOOKED_AT)
    return deleted


MOVING_SECONDS: Final = 3600.0
"""For so long the move to another cluster may take, in which each event is written anew, and whoever starts then
waits."""


async def identity(database: Database) -> str:
    """The log's identity, the same for all processes on this database.

    Rows that turn up in another cluster (restored from a dump, or promoted to another timeline) carry transaction ids
    that mean nothing there. Then the log gets a new identity, so that cursors of the old one are recognised, its rows
    become "before everything", the horizon starts anew, and so do the counts.
    """
    async with database.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0")
        here = await connection.fetchval(f"SELECT {ddl.CLUSTER}")
        moved = await connection.fetchval(
            "UPDATE event_log SET identity = gen_random_uuid(), cluster = $1, horizon = '0', horizon_at = now()"
            " WHERE cluster <> $1 RETURNING true",
            here,
            timeout=MOVING_SECONDS,
        )
        if moved:
            await connection.execute(
                "UPDATE ticket_events SET xid = '3' WHERE xid >= pg_snapshot_xmin(pg_current_snapshot())",
                timeout=MOVING_SECONDS,
            )
            await counts.recount_within(connection)
        return str(await connection.fetchval("SELECT identity FROM event_log"))
