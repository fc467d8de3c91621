"""Writes rows into a database of any revision, and checks what must be true of them there."""

from __future__ import annotations

import json
import re
import secrets
import string
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import asyncpg
import pytest

from db.events import position
from db.ids import new_id
from tests.helpers.counting import COUNTED, change, counted, create, in_tickets, stored
from tests.helpers.database_checks import Database

Contents: TypeAlias = dict[str, list[dict[str, Any]]]

REFUSED = {
    "UPDATE notes SET body = 'Changed.'": "notes_final",
    "DELETE FROM tickets": "tickets_kept",
    "UPDATE ticket_events SET public = NOT public": "ticket_events_final",
}

NOTHING: Mapping[str, set[str]] = {}

WORD = re.compile(r"\b[a-zéü]{3,40}\b")


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Database]:
    """A connection without cached statements, because migrations change the columns that statements return."""
    connection = await asyncpg.connect(url, statement_cache_size=0)
    try:
        yield connection
    finally:
        await connection.close()


# Writing, in SQL that works at any revision


async def exists(database: Database, table: str) -> bool:
    return bool(await database.fetchval("SELECT to_regclass($1) IS NOT NULL", table))


async def write(database: Database) -> None:
    """Writes rows into every table: tickets from all kinds of creators, their events, and the rows that depend on
    them."""
    name = secrets.token_hex(4)
    customer, property_id, technician, note = (new_id() for _ in range(4))
    await database.execute(
        "INSERT INTO customers (id, account_number, name, email) VALUES ($1, $2, 'Cora Bell', $2 || '@example.com')",
        customer,
        name,
    )
    await database.execute(
        "INSERT INTO properties (id, customer_id, address, account_number) VALUES ($1, $2, '1 Elm Street', $3)",
        property_id,
        customer,
        name,
    )
    await database.execute(
        "INSERT INTO technicians (id, name, email) VALUES ($1, 'Tess Okafor', $2)", technician, f"{name}@example.com"
    )
    own = {"customer_id": customer, "property_id": property_id, "contact_name": "Cora Bell"}
    closed, assigned, resolved, *_ = [
        await create(database, ("SERVICE", "chatbot"), priority="HIGH"),
        await create(database, ("SERVICE", "chatbot"), customer_id=customer),
        await create(database, ("SERVICE", "mail"), category="CCTV", technician_id=technician),
        await create(database, ("SERVICE", "mail"), category="CCTV"),
        await create(database, ("ADMIN", "boss"), technician_id=technician),
        await create(database, ("CUSTOMER", customer), **own),
        await create(database, ("TECHNICIAN", technician)),
    ]
    await change(database, closed, "CLOSED", "status = 'CLOSED', closed_at = now()")
    event = await change(database, assigned, "ASSIGNED", f"technician_id = '{technician}'")
    await change(database, resolved, "RESOLVED", "status = 'RESOLVED', resolution = 'Done.', resolved_at = now()")
    await database.execute(
        "INSERT INTO notes (id, ticket_id, body, author_kind, author_id, author_name)"
        " VALUES ($1, $2, 'Called.', 'ADMIN', 'boss', 'The Boss')",
        note,
        assigned,
    )
    await change(database, assigned, "NOTE_ADDED", "public_updated_at = now()", note)
    await database.execute("UPDATE customers SET name = 'Cora Okonkwo' WHERE id = $1", customer)
    await change(database, resolved, "UPDATED", "contact_name = 'Jane DOE'")
    await database.execute("UPDATE tickets SET search_text = 'falsified' WHERE id = $1", assigned)
    await write_articles(database, resolved)
    await database.execute(
        "INSERT INTO ticket_chats (ticket_id, creator_id, conversation_id, messages) VALUES ($1, 'chatbot', $2, '[]')",
        assigned,
        name,
    )
    await database.execute("UPDATE support_settings SET admin_recipients = ARRAY[$1]", f"{name}@company.test")
    if await exists(database, "deliveries"):
        await database.execute(
            "INSERT INTO deliveries (event_id, ticket_id, technician_id, kind, channel, audience, recipient,"
            " recipient_name, actor_name, created_at)"
            " VALUES ($1, $2, $3, 'ASSIGNED', 'EMAIL', 'TECHNICIAN', 'tess@example.com', 'Tess', 'The Boss', now())",
            event,
            assigned,
            technician,
        )
    if await exists(database, "audit_entries"):
        await database.execute(
            "INSERT INTO audit_entries (id, action, object_kind, object_id, actor_kind, actor_id, actor_name, changed,"
            " after) VALUES ($1, 'CREATED', 'TECHNICIAN', $2, 'ADMIN', 'boss', 'The Boss', '{name}', $3)",
            new_id(),
            f"tec_{technician}",
            '{"name": "Tess Okafor"}',
        )
    if await exists(database, "inbound_messages"):
        await database.execute(
            "INSERT INTO inbound_messages (id, key, content, size, outcome, ticket_id, note_id)"
            " VALUES ($1, $2, $2, 100, 'NOTE_ADDED', $3, $4)",
            new_id(),
            name.encode(),
            assigned,
            note,
        )


async def write_articles(database: Database, ticket: str) -> None:
    """Writes articles: some are public, some are not, both share words, and one becomes public in an edit that adds a
    word."""
    edited = new_id()
    for article, published, problem in (
        (edited, False, "Keypad reset"),
        (new_id(), True, "Panel beeping"),
        (new_id(), False, "Siren stück"),
    ):
        await database.execute(
            "INSERT INTO articles (id, problem, solution, published, source_ticket_id) VALUES ($1, $2, $3, $4, $5)",
            article,
            f"{problem} {word()}",
            "Hold RESET, then call the Café on 613.",
            published,
            ticket if published else None,
        )
    await database.execute(
        "UPDATE articles SET published = true, solution = solution || $2 WHERE id = $1", edited, f" {word()}"
    )


def word() -> str:
    """Returns a word that no other article has."""
    return "".join(secrets.choice(string.ascii_lowercase) for _ in range(12))


# Checking, as far as the revision has the tables


async def check(database: Database, at: str) -> None:
    """Checks what must be true at each revision of the existing rows and of one new ticket. In the end all events are
    folded into the counts."""
    kept = [each for each in COUNTED if await exists(database, each.table)]
    for each in kept:
        assert await counted(database, each) == await in_tickets(database, each), (at, each.table)
    await create(database, ("SERVICE", "chatbot"))
    await check_searching(database, at)
    for statement, constraint in REFUSED.items():
        await refused(database, statement, constraint)
    for each in kept:
        await refused(database, "DELETE FROM ticket_events", "ticket_events_counted")
        assert await database.fetchval(each.fold()) > 0, (at, each.table)
        assert await stored(database, each) == await in_tickets(database, each), (at, each.table)
        assert await counted(database, each) == await in_tickets(database, each), (at, each.table)
    if "fingerprinted" in (await contents(database))["event_log"][0]:
        await refused(database, "DELETE FROM ticket_events", "ticket_events_counted")
        await database.execute(position.FOLDS[position.TICKETS])
    async with rolled_back(database):
        assert await database.execute("DELETE FROM ticket_events") != "DELETE 0", at


async def check_searching(database: Database, at: str) -> None:
    tickets = await database.fetch(
        "SELECT reference, subject, contact_name, name, tickets.search_text"
        " FROM tickets LEFT JOIN customers ON customers.id = customer_id"
    )
    for reference, subject, contact, customer, found in tickets:
        lines = [reference, subject, contact, *([customer] if customer not in (None, contact) else [])]
        assert found == "\n".join(" ".join(line.split()).lower() for line in lines), at
    if await database.fetchval("SELECT count(*) > 0 FROM pg_proc WHERE proname = 'ticket_searchable'"):
        for table, function in (("tickets", "ticket_searchable"), ("customers", "customer_searchable")):
            stale = f"SELECT count(*) FROM {table} WHERE searchable <> {function}({table})"
            assert await database.fetchval(stale) == 0, (at, table)
    if await exists(database, "article_words"):
        words: dict[str, bool] = {}
        for text, published in await database.fetch("SELECT problem || ' ' || solution, published FROM articles"):
            for word in WORD.findall(text.lower()):
                words[word] = words.get(word, False) or published
        found = await database.fetch("SELECT word, published FROM article_words")
        assert {row["word"]: row["published"] for row in found} == words, at


@asynccontextmanager
async def rolled_back(database: Database) -> AsyncIterator[None]:
    transaction = database.transaction()
    await transaction.start()
    try:
        yield
    finally:
        await transaction.rollback()


async def refused(database: Database, statement: str, constraint: str) -> None:
    with pytest.raises(asyncpg.RestrictViolationError) as error:
        async with rolled_back(database):
            await database.execute(statement)
    assert error.value.constraint_name == constraint


async def contents(database: Database) -> Contents:
    names = await database.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
    return {
        name: [
            json.loads(row)
            for (row,) in await database.fetch(f"SELECT to_jsonb(t.*)::text AS row FROM {name} t ORDER BY row")
        ]
        for (name,) in names
        if name != "alembic_version"
    }


def carried(before: Contents, after: Contents, rewrites: Mapping[str, set[str]]) -> tuple[Contents, Contents]:
    """Returns both contents, reduced to the tables and columns that they have in common, without those that the step
    rewrites."""
    old: Contents = {}
    new: Contents = {}
    for name in before.keys() & after.keys():
        columns = [row.keys() for row in (*before[name][:1], *after[name][:1])]
        common = sorted(set.intersection(*map(set, columns)) - rewrites.get(name, set())) if columns else []
        for rows, whole in ((old, before), (new, after)):
            rows[name] = sorted(({key: row[key] for key in common} for row in whole[name]), key=str)
    return old, new


def assert_nothing_lost(before: Contents, after: Contents, at: str, rewrites: Mapping[str, set[str]] = NOTHING) -> None:
    old, new = carried(before, after, rewrites)
    assert old == new, at
    assert {"tickets", "ticket_events", "notes", "articles", "event_log", "ticket_counts"} <= old.keys()
