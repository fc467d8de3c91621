"""Reads the database, to compare it with what the API says."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any, TypeAlias

import asyncpg

from db.enums import TicketSource
from db.events import log as event_log
from db.ids import new_id
from db.postgres.statement import Queryable
from db.viewer import Viewer
from resolvers.ticket import draw_reference

Database: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_KEEPING_COUNT = {"ticket_counts", "service_ticket_counts", "event_log"}  # changed by background work, not by requests


async def ticket_row(database: Database, ticket_id: str) -> dict[str, Any]:
    """Returns the ticket's row in the form of an event's image. `ticket_id` is the global id."""
    await database.execute("SET timezone = 'UTC'")
    image = await database.fetchval("SELECT to_jsonb(tickets.*) FROM tickets WHERE id = $1", key(ticket_id))
    row: dict[str, Any] = json.loads(image)
    return row


async def events(database: Database, ticket_id: str | None = None) -> list[dict[str, Any]]:
    """Returns the events of a ticket, or of all tickets, in order, with parsed images."""
    await database.execute("SET timezone = 'UTC'")
    rows = await database.fetch(
        "SELECT to_jsonb(ticket_events.*) FROM ticket_events WHERE ticket_id = coalesce($1, ticket_id) ORDER BY at, id",
        ticket_id and key(ticket_id),
    )
    return [json.loads(row[0]) for row in rows]


async def write_ticket(connection: Queryable, creator: Viewer, subject: str) -> str:
    """Writes a ticket and its event without the API, so without ringing the bell. Returns the ticket's key."""
    key = new_id()
    values = {
        "id": key,
        "reference": draw_reference(),
        "subject": subject,
        "description": "d",
        "source": TicketSource.ADMIN,
        "creator_kind": creator.role,
        "creator_id": creator.id,
        "contact_name": "John Smith",
        "contact_email": "john@example.com",
        "updated_at": datetime.now(UTC),  # orders the events of one transaction
    }
    await event_log.create(connection, creator, values)
    return key


async def dump(database: Database) -> dict[str, tuple[int, int]]:
    """Returns each table's number of rows and the newest transaction that has written one: equal dumps mean that
    nothing was written, not even a row as it was. Texts of all rows would take an eighth of PostgreSQL's time."""
    names = await database.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
    tables = [name for (name,) in names if name not in _KEEPING_COUNT]
    selects = (f"SELECT '{name}', count(*), coalesce(max(xmin::text::bigint), 0) FROM {name}" for name in tables)
    return {name: (count, newest) for name, count, newest in await database.fetch(" UNION ALL ".join(selects))}


async def remove_event(database: Queryable, *events: str) -> None:
    """Removes events as if they had never been written."""
    await database.execute("ALTER TABLE ticket_events DISABLE TRIGGER ticket_events_counted")
    await database.execute("DELETE FROM ticket_events WHERE id::text = ANY ($1)", events)
    await database.execute("ALTER TABLE ticket_events ENABLE TRIGGER ticket_events_counted")


async def until(database: Database, condition: str) -> None:
    """Waits until the SQL condition is true. Fails after twenty seconds."""
    for _ in range(400):
        if await database.fetchval(f"SELECT {condition}"):
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"timed out waiting for {condition}")


async def until_blocked(database: Database, statements: int = 1) -> None:
    """Waits until so many statements on this database are waiting for a lock. Fails after ten seconds."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    for _ in range(1000):
        await database.execute("SELECT pg_stat_clear_snapshot()")
        if await database.fetchval(waiting) >= statements:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("timed out waiting for statements to wait for a lock")


def key(global_id: str) -> str:
    return global_id.partition("_")[2]
