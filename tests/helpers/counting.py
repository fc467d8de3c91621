"""Writes tickets and events by SQL alone, and compares the stored counts with the actual ones."""

from __future__ import annotations

import secrets
from typing import Any

from sqlalchemy import func, select

from db.events import counts
from db.ids import new_id
from db.postgres.statement import Statement
from tests.helpers.database_checks import Database

KIND = "status, priority, category, technician_id"
COUNTED = {
    counts.ALL: f"SELECT {KIND}, count(*) FROM tickets GROUP BY {KIND}",
    counts.OF_SERVICES: f"SELECT creator_id, creator_kind, {KIND}, count(*) FROM tickets"
    f" WHERE creator_kind = 'SERVICE' GROUP BY creator_id, creator_kind, {KIND}",
}


async def create(database: Database, creator: tuple[str, str], **values: Any) -> str:
    """Writes a ticket and the event of its creation, as a server does."""
    columns = {
        "id": new_id(),
        "reference": f"TKT-{''.join(secrets.choice('ABCDEFGHJKMNPQRSTUVWXYZ') for _ in range(6))}",
        "subject": "Panel  BEEPING",
        "description": "Since the power outage.",
        "source": "ADMIN",
        "creator_kind": creator[0],
        "creator_id": creator[1],
        "contact_name": "John SMITH",
        "contact_email": "john@example.com",
    } | values
    placeholders = ", ".join(f"${n}" for n in range(1, len(columns) + 1))
    await database.execute(
        f"WITH created AS (INSERT INTO tickets ({', '.join(columns)}) VALUES ({placeholders}) RETURNING *)"
        " INSERT INTO ticket_events (ticket_id, kind, actor_kind, actor_id, actor_name, after)"
        " SELECT id, 'CREATED', creator_kind, creator_id, 'Somebody', to_jsonb(created.*) FROM created",
        *columns.values(),
    )
    return str(columns["id"])


async def change(database: Database, ticket: str, kind: str, changes: str, note: str | None = None) -> str:
    """Changes a ticket and writes the event, as a server does. Returns the event's id."""
    event: str = await database.fetchval(
        "WITH before AS (SELECT to_jsonb(tickets.*) AS image FROM tickets WHERE id = $1), changed AS ("
        f" UPDATE tickets SET version = version + 1, updated_at = now(), {changes} WHERE id = $1 RETURNING *)"
        " INSERT INTO ticket_events (ticket_id, kind, actor_kind, actor_id, actor_name, note_id, before, after)"
        " SELECT id, $2, 'ADMIN', 'boss', 'The Boss', $3, image, to_jsonb(changed.*) FROM changed, before"
        " RETURNING id::text",
        ticket,
        kind,
        note,
    )
    return event


async def counted(database: Database, each: counts.Counts) -> set[tuple[Any, ...]]:
    """Returns the counts as the API reads them: the stored counts plus the events that are not folded yet."""
    rows = each.counted()
    by = [rows.c[name] for name in each.by]
    total = func.sum(rows.c.n).label("total")
    found = await Statement(select(*by, total).group_by(*by).having(total != 0)).fetch(database)
    return {tuple(row) for row in found}


async def stored(database: Database, each: counts.Counts) -> set[tuple[Any, ...]]:
    """Returns the stored counts, without the events that are not folded yet."""
    return {tuple(row) for row in await database.fetch(f"SELECT {_columns(each)}, n FROM {each.table} WHERE n <> 0")}


async def in_tickets(database: Database, each: counts.Counts) -> set[tuple[Any, ...]]:
    return {tuple(row) for row in await database.fetch(COUNTED[each])}


def _columns(each: counts.Counts) -> str:
    return ", ".join(each.by).replace("technician_id", f"nullif(technician_id, '{counts.NOBODY}')")
