"""The event log: every change of a ticket, every note and every attachment, the source of history, stored counts and
live updates.

A change or note is written together with its event, in one statement, under the ticket's row lock. So a ticket's events
are in the order of its changes, and neither is ever written without the other.

Either the transaction has taken the lock before it read the row; or the statement takes it itself, and then changes the
row only if it is still as the statement's snapshot has it and meets a condition.

Such a statement can have further parts: it writes the assignment of the ticket, queues the deliveries, keeps the
request's idempotency key, and reads the mutation's payload.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final

from cachetools import LRUCache
from sqlalchemy import (
    CTE,
    Boolean,
    ColumnElement,
    DateTime,
    Insert,
    Integer,
    Select,
    Text,
    bindparam,
    case,
    func,
    insert,
    literal_column,
    null,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import UUID
from sqlalchemy.dialects.postgresql import insert as pg_insert

from db import ddl, models
from db.enums import ActorKind, NoteVia, TicketEventKind
from db.events import counts
from db.ids import new_id
from db.postgres.pool import Database
from db.postgres.statement import Queryable, Statement
from db.sql import Condition, table
from db.viewer import Viewer

TICKETS = table(models.TicketRow)
EVENTS = table(models.TicketEventRow)
NOTES = table(models.NoteRow)
CUSTOMERS = table(models.CustomerRow)

# The time of a change. It always increases for a ticket, even if the clock is set back, because it identifies the
# change and orders the ticket's events. It is the statement's start: the transaction's may be before the time of
# another writer that held the lock first.
NOW: Final = func.greatest(
    func.statement_timestamp(), TICKETS.c.updated_at + literal_column("interval '1 microsecond'")
)

_ID = bindparam("id", type_=UUID(as_uuid=False))
_OCCURRED_AT = bindparam("occurred_at", type_=DateTime(timezone=True))
# All parts of a statement see the same snapshot, so this reads the row as it is before the statement changes it. The
# row is locked, or changed only if it still has this time, so no other transaction can change it in between.
_BEFORE = (
    select(literal_column("to_jsonb(tickets.*)").label("image"), TICKETS.c.updated_at)
    .select_from(TICKETS)
    .where(TICKETS.c.id == _ID)
)
_BEFORE_IMAGE: ColumnElement[Any] = literal_column("(SELECT image FROM before)")


@dataclass(frozen=True, slots=True)
class Origin:
    """What the request that makes a change says about itself: its idempotency key, and when the change was made on a
    device that was offline then."""

    key: str | None = None
    occurred_at: datetime | None = None


PLAIN: Final = Origin()


def _written_by(viewer: Viewer | None, origin: Origin) -> dict[str, Any]:
    """The parameters that every event has: its id, its origin, and the actor; None for Callout itself."""
    if viewer is None:
        actor = {"actor_kind": ActorKind.SYSTEM, "actor_id": "callout", "actor_name": "Callout"}
        return {"event_id": new_id(), **actor, "idempotency_key": None, "occurred_at": None}
    return {
        "event_id": new_id(),
        "actor_kind": ActorKind(viewer.role.value),
        "actor_id": viewer.id,
        "actor_name": viewer.name,
        "occurred_at": origin.occurred_at,
        "idempotency_key": origin.key,
    }


def _event(**columns: ColumnElement[Any]) -> Insert:
    """The INSERT of an event for the ticket that the common table expression `tickets` returns. Its time and its image
    after are those of the written row; `columns` overrides or adds columns."""
    values: dict[str, ColumnElement[Any]] = {
        "id": bindparam("event_id", type_=UUID(as_uuid=False)),
        "ticket_id": literal_column("tickets.id"),
        "kind": bindparam("kind", type_=models.EVENT_KIND),
        "actor_kind": bindparam("actor_kind", type_=models.ACTOR_KIND),
        "actor_id": bindparam("actor_id", type_=Text()),
        "actor_name": bindparam("actor_name", type_=Text()),
        "at": literal_column("tickets.updated_at"),
        "after": literal_column("to_jsonb(tickets.*)"),
        "occurred_at": _OCCURRED_AT,
        "idempotency_key": bindparam("idempotency_key", type_=Text()),
        **columns,
    }
    rows = select(*(value.label(name) for name, value in values.items())).select_from(text("tickets"))
    return insert(EVENTS).from_select(list(values), rows)


_END = "SELECT event.id \nFROM event"


def _writing(event: Insert, *before: CTE) -> Statement:
    """The common table expressions of a statement that writes an event, without the query that must follow. `event`
    returns the columns that the deliveries need."""
    columns = ("id", "ticket_id", "note_id", "actor_name", "at")
    written = event.returning(*(EVENTS.c[name] for name in columns)).cte("event")
    query: Select[Any] = select(literal_column("event.id")).select_from(text("event"))
    statement = Statement(query.add_cte(*before, written))
    assert statement.text.endswith(_END)
    return Statement.of_text(statement.text.removesuffix(_END), statement.names, statement.constants)


@cache
def _creation(columns: tuple[str, ...], customer: Condition | None) -> Statement:
    values: dict[str, Any] = {name: bindparam(name, type_=TICKETS.c[name].type) for name in columns}
    if customer is None:
        inserted = pg_insert(TICKETS).values(values)
    else:
        contact = {f"contact_{name}": CUSTOMERS.c[name] for name in ("name", "email", "phone")}
        chosen = select(*(value.label(name) for name, value in (contact | values).items()))
        chosen = chosen.select_from(CUSTOMERS).where(CUSTOMERS.c.id == values["customer_id"], customer)
        inserted = pg_insert(TICKETS).from_select(list(contact | values), chosen)
    created = inserted.on_conflict_do_nothing(index_elements=["reference"]).returning(*TICKETS.c).cte("tickets")
    return _writing(_event(), created)


@cache
def _change(
    columns: tuple[str, ...], timestamps: tuple[tuple[str, bool], ...], condition: Condition | None
) -> Statement:
    values: dict[str, Any] = {name: bindparam(f"new_{name}", type_=TICKETS.c[name].type) for name in columns}
    values |= {name: NOW if is_set else null() for name, is_set in timestamps}
    changed = update(TICKETS).where(TICKETS.c.id == _ID).returning(*TICKETS.c)
    before = _BEFORE
    if condition is not None:
        differs = or_(*(TICKETS.c[name].is_distinct_from(values[name]) for name in columns))
        before = before.where(condition, differs)
        changed = changed.where(TICKETS.c.updated_at == literal_column("(SELECT updated_at FROM before)"))
    values |= {"version": TICKETS.c.version + literal_column("1"), "updated_at": NOW, "public_updated_at": NOW}
    event = _event(before=_BEFORE_IMAGE)
    return _writing(event, before.cte("before"), changed.values(values).cte("tickets"))


def _noting() -> Statement:
    given = ("body", "quoted", "internal_only", "via", "sender_verified")
    note = {name: bindparam(name, type_=NOTES.c[name].type) for name in given}
    internal = bindparam("internal_only", type_=Boolean())
    written = insert(NOTES).values(
        id=bindparam("note_id", type_=UUID(as_uuid=False)),
        ticket_id=_ID,
        customer_id=select(TICKETS.c.customer_id).where(TICKETS.c.id == _ID).scalar_subquery(),
        author_kind=bindparam("actor_kind", type_=models.ACTOR_KIND),
        author_id=bindparam("actor_id", type_=Text()),
        author_name=bindparam("actor_name", type_=Text()),
        created_at=func.statement_timestamp(),
        occurred_at=_OCCURRED_AT,
        **note,
    )
    note_id = bindparam("note_id", type_=UUID(as_uuid=False))
    event = _event(before=_BEFORE_IMAGE, note_id=note_id, public=~internal)
    return _writing(event, _BEFORE.cte("before"), written.cte("noted"), _touched(~internal))


def _touched(publicly: Condition) -> CTE:
    """The ticket, whose time of update is set; that which customers and services see only if the condition holds."""
    touched = update(TICKETS).where(TICKETS.c.id == _ID)
    public = case((publicly, NOW), else_=TICKETS.c.public_updated_at)
    return touched.values(updated_at=NOW, public_updated_at=public).returning(*TICKETS.c).cte("tickets")


_NOTE = _noting()


def _attaching() -> Statement:
    attachment_id = bindparam("attachment_id", type_=UUID(as_uuid=False))
    public, touching = (bindparam(name, type_=Boolean()) for name in ("public", "touching"))
    event = _event(before=_BEFORE_IMAGE, attachment_id=attachment_id, public=public)
    return _writing(event, _BEFORE.cte("before"), _touched(touching))


_ATTACHMENT = _attaching()


@cache
def _advance(columns: tuple[str, ...]) -> Statement:
    values: dict[str, Any] = {name: bindparam(f"new_{name}", type_=TICKETS.c[name].type) for name in columns}
    public = bindparam("public", type_=Boolean())
    values |= {
        "version": TICKETS.c.version + bindparam("versions", type_=Integer()),
        "updated_at": NOW,
        "public_updated_at": case((public, NOW), else_=TICKETS.c.public_updated_at),
    }
    advanced = update(TICKETS).where(TICKETS.c.id == _ID).values(values).returning(*TICKETS.c).cte("tickets")
    return _writing(_event(before=_BEFORE_IMAGE, public=public), _BEFORE.cte("before"), advanced)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the statement that writes a ticket's event, with the values of its parameters. It sees the rows that
    the statement writes: the ticket is the only row of `tickets`, and the event is the row `event`."""

    statement: Statement
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Written:
    """What a statement has written and read: the event's id, and the result of the part `answer`."""

    event_id: str
    answer: Any = None


# The tables that a statement with these parts writes.
_WRITTEN_TABLE: Final = re.compile(r"\b(?:tickets|ticket_events|deliveries|assignments)\b")


def reads_the_same(statement: Statement) -> bool:
    """Whether a statement that reads a ticket by its id returns the same as a part of the statement that writes the
    ticket as it would afterwards: it may read nothing else that is written."""
    return _WRITTEN_TABLE.findall(statement.text) in ([], ["tickets"])


async def create(
    connection: Queryable,
    viewer: Viewer,
    values: Mapping[str, Any],
    *,
    customer: Condition | None = None,
    parameters: Mapping[str, Any] | None = None,
    origin: Origin = PLAIN,
    deliveries: Part | None = None,
    answer: Part | None = None,
) -> Written | None:
    """Write a ticket and its event. Returns None, with nothing written, if the reference is already in use.

    With a condition for its `customer`, with `parameters`, what `values` has not of the contact is the customer's; and
    nothing is written either if the customer does not meet it. The statement is kept for the condition, which must
    always be the same object."""
    writing = _creation(tuple(sorted(values)), customer)
    given = {**values, "kind": TicketEventKind.CREATED, **_written_by(viewer, origin), **(parameters or {})}
    return await _write(connection, writing, given, deliveries=deliveries, answer=answer)


async def change(
    connection: Queryable,
    viewer: Viewer,
    ticket_id: str,
    kind: TicketEventKind,
    values: Mapping[str, Any],
    timestamps: Mapping[str, bool],
    *,
    condition: Condition | None = None,
    parameters: Mapping[str, Any] | None = None,
    origin: Origin = PLAIN,
    deliveries: Part | None = None,
    kept: Part | None = None,
    answer: Part | None = None,
) -> Written | None:
    """Change columns of a ticket, and write the event. `timestamps` are columns to set to now (true) or to null
    (false).

    If the transaction has not locked the ticket, `condition` says which tickets may be changed, with `parameters`.
    Returns None, with nothing written, if this ticket does not meet it, has all of the values already, or is being
    changed by another transaction. The statement is kept for the condition, which must always be the same object.
    `kept` writes the row of the request's idempotency key."""
    writing = _change(tuple(sorted(values)), tuple(sorted(timestamps.items())), condition)
    new = {f"new_{name}": value for name, value in values.items()}
    given = {"id": ticket_id, "kind": kind, **new, **_written_by(viewer, origin), **(parameters or {})}
    return await _write(connection, writing, given, deliveries=deliveries, kept=kept, answer=answer)


async def _write(
    connection: Queryable,
    writing: Statement,
    given: dict[str, Any],
    *,
    assignment: Part | None = None,
    deliveries: Part | None = None,
    kept: Part | None = None,
    answer: Part | None = None,
) -> Written | None:
    parts = (assignment, deliveries, kept, answer)
    statement = _whole(writing, *(None if part is None else part.statement for part in parts))
    for part in parts:
        given |= {} if part is None else part.values
    row = await statement.fetchrow(connection, **given)
    return None if row is None else Written(given["event_id"], row[0])


_STATEMENTS: LRUCache[Hashable, Statement] = LRUCache(8 * 2**20, getsizeof=lambda statement: len(statement.text))
"""The statements that were put together from parts, up to 8 million characters: clients' documents are among these."""


def _whole(
    writing: Statement,
    assignment: Statement | None,
    deliveries: Statement | None,
    kept: Statement | None,
    answer: Statement | None,
) -> Statement:
    key = (writing, assignment, deliveries, kept, answer)
    statement = _STATEMENTS.get(key)
    if statement is None:
        queued = "" if deliveries is None else ", queued AS ({deliveries})"
        keeping = "" if kept is None else ", kept AS ({kept})"
        answered = "NULL" if answer is None else "({answer})"
        assigned = "" if assignment is None else ", assigned AS ({assignment})"
        parts = {"writing": writing, "assignment": assignment, "deliveries": deliveries, "kept": kept, "answer": answer}
        given = {name: part for name, part in parts.items() if part is not None}
        text = f"{{writing}}{assigned}{queued}{keeping}\nSELECT {answered} FROM event"
        statement = Statement.combined(text, **given)
        _STATEMENTS[key] = statement
    return statement


async def note(
    connection: Queryable,
    viewer: Viewer,
    ticket_id: str,
    note_id: str,
    body: str,
    *,
    internal_only: bool,
    via: NoteVia = NoteVia.WEB,
    sender_verified: bool | None = None,
    quoted: str | None = None,
    origin: Origin = PLAIN,
    deliveries: Part | None = None,
) -> None:
    """Add a note to a ticket that the transaction has locked, and write the event, which is public unless the note is
    internal. `sender_verified` and `quoted` are for a note that came by mail."""
    note = {"note_id": note_id, "body": body, "quoted": quoted, "internal_only": internal_only}
    note |= {"via": via, "sender_verified": sender_verified}
    given = {"id": ticket_id, **note, "kind": TicketEventKind.NOTE_ADDED, **_written_by(viewer, origin)}
    await _write(connection, _NOTE, given, deliveries=deliveries)


async def attachment(
    connection: Queryable,
    viewer: Viewer,
    ticket_id: str,
    attachment_id: str,
    kind: TicketEventKind,
    *,
    public: bool,
    origin: Origin = PLAIN,
    deliveries: Part | None = None,
) -> None:
    """Write the event of an attachment of a ticket that the transaction has locked. The time of update that customers
    and services see stays as it is for a rejection, which most of them do not see, even if the event is `public`."""
    given = {"id": ticket_id, "attachment_id": attachment_id, "kind": kind, "public": public}
    given |= {"touching": public and kind is TicketEventKind.ATTACHMENT_ADDED, **_written_by(viewer, origin)}
    await _write(connection, _ATTACHMENT, given, deliveries=deliveries)


async def advance(
    connection: Queryable,
    viewer: Viewer | None,
    ticket_id: str,
    kind: TicketEventKind,
    values: Mapping[str, Any],
    *,
    assignment: Part | None = None,
    public: bool,
    versions: int = 0,
    origin: Origin = PLAIN,
    deliveries: Part | None = None,
) -> None:
    """Write columns of a ticket that the transaction has locked, its `assignment` if that changes, and the event. It is
    a change of the ticket by as many `versions`: none if only its assignment has changed. Without a viewer the actor is
    Callout itself."""
    writing = _advance(tuple(sorted(values)))
    new = {f"new_{name}": value for name, value in values.items()}
    given = {"id": ticket_id, "kind": kind, **new, "public": public, "versions": versions}
    given |= _written_by(viewer, origin)
    await _write(connection, writing, given, assignment=assignment, deliveries=deliveries)


# Deletes events below the horizon. The horizon must have been there for a grace period, so that replays that started
# before it was moved can finish.
_PRUNE: Final = """
DELETE FROM ticket_events WHERE id IN (
    SELECT event.id FROM ticket_events AS event, event_log
    WHERE event.xid < horizon AND horizon_at < now() - $1::interval
    ORDER BY event.xid LIMIT 2000 FOR UPDATE OF event SKIP LOCKED
)"""

# The same for the changes of deliveries, as far as the stored fingerprint includes them: whoever has moved the horizon
# may not have looked at that.
_PRUNE_DELIVERIES: Final = """
DELETE FROM delivery_events WHERE id IN (
    SELECT event.id FROM delivery_events AS event, event_log
    WHERE event.xid < least(horizon, pg_snapshot_xmin(delivery_fingerprinted))
        AND horizon_at < now() - $1::interval
    ORDER BY event.xid LIMIT 2000 FOR UPDATE OF event SKIP LOCKED
)"""

LOOKED_AT: Final = 100_000
"""The horizon moves over at most this many events at once, in the order of transactions; more if one transaction has
more."""

# The horizon moves to the first transaction with an event to keep: because it is young enough, or because it is beyond
# `LOOKED_AT`. It moves past no transaction that is running or that the stored counts or the stored fingerprint do not
# include yet, nor past the last one that has written an event, because no position is beyond that. It moves only once
# the grace period for the last move is over: several processes could otherwise keep restarting the period, and nothing
# would ever be deleted.
_MOVE_HORIZON: Final = """
WITH oldest AS (
    SELECT xid, at FROM ticket_events ORDER BY xid FETCH FIRST ($3) ROWS WITH TIES
), reached AS (
    SELECT least(
        pg_snapshot_xmin(pg_current_snapshot()),
        pg_snapshot_xmin(counted), pg_snapshot_xmin(service_counted), pg_snapshot_xmin(fingerprinted),
        (SELECT xid FROM oldest WHERE at >= now() - $1::interval ORDER BY xid LIMIT 1),
        (SELECT xid FROM ticket_events WHERE xid > (SELECT xid FROM oldest ORDER BY xid DESC LIMIT 1)
            ORDER BY xid LIMIT 1),
        last.xid
    ) AS xid FROM event_log, (SELECT xid FROM ticket_events ORDER BY xid DESC LIMIT 1) AS last
)
UPDATE event_log SET horizon = reached.xid, horizon_at = now() FROM reached
WHERE reached.xid > horizon AND horizon_at < now() - $2::interval"""


async def prune(connection: Any, kept: timedelta, announced: timedelta) -> int:
    """One round of pruning the events older than `kept`: deletes the events below the horizon if it has been there for
    the grace period `announced`, then moves the horizon. Returns the number of deleted events. Any number of processes
    may call it. `connection` must not be in a transaction: the deletion is split into small statements, so that nobody
    has to wait for it."""
    deleted = 0
    for statement in (_PRUNE, _PRUNE_DELIVERIES):
        while True:
            status: str = await connection.execute(statement, announced)
            deleted += int(status.split()[1])
            if status == "DELETE 0":
                break
    await connection.execute(_MOVE_HORIZON, kept, announced, LOOKED_AT)
    return deleted


MOVING_SECONDS: Final = 3600.0
"""The time limit for adopting rows from another cluster. It rewrites every event, and other processes that start in the
meantime wait for it."""


_MOVED: Final = f"split_part(cluster, '/', 1) <> {ddl.CLUSTER}"

# The log moves to this cluster. Its positions mean nothing here, so the fingerprint becomes a random one, which no
# position has; its events count as older than every position.
_ADOPT: Final = (
    f"""
UPDATE event_log SET cluster = {ddl.CLUSTER}, horizon = '0', horizon_at = now(),
    fingerprint = uuid_hash_extended(gen_random_uuid(), 0), fingerprinted = pg_current_snapshot(),
    audit_fingerprinted = pg_current_snapshot(), audit_horizon = '0', delivery_fingerprinted = pg_current_snapshot()
WHERE {_MOVED} RETURNING true""",
    "UPDATE ticket_events SET xid = '3' WHERE xid >= pg_snapshot_xmin(pg_current_snapshot())",
    "UPDATE audit_entries SET xid = '3' WHERE xid >= pg_snapshot_xmin(pg_current_snapshot())",
    "UPDATE delivery_events SET xid = '3' WHERE xid >= pg_snapshot_xmin(pg_current_snapshot())",
    "UPDATE erasures SET xid = '3' WHERE finished_at IS NULL",
    "UPDATE event_log SET audit_last = coalesce((SELECT xid FROM audit_entries ORDER BY xid DESC LIMIT 1), '0')",
)


async def adopt(connection: Any) -> bool:
    """Adopts the rows if a dump has brought them here from another cluster, where transaction ids mean something else:
    no stream continues from a position of before, and the tickets are counted anew. Returns whether it was so.

    Any number of processes may call it. `connection` must not be in a transaction.
    """
    if not await connection.fetchval(f"SELECT {_MOVED} FROM event_log"):
        return False
    log, *others = _ADOPT
    async with connection.transaction():
        await connection.execute("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0")
        if not await connection.fetchval(log, timeout=MOVING_SECONDS):
            return False  # another process has been faster
        for statement in others:
            await connection.execute(statement, timeout=MOVING_SECONDS)
        await counts.recount_within(connection)
    return True


async def identity(database: Database) -> str:
    """The log's identity, from which the key of the cursors is made: the same for all servers, wherever the rows are.
    Adopts the rows first, if they come from another cluster."""
    async with database.acquire() as connection:
        await adopt(connection)
        return str(await connection.fetchval("SELECT identity FROM event_log"))
