"""Guarantees of the database itself, whichever program writes to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TypeAlias

import asyncpg
import pytest

from db.ids import new_id

Database: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@pytest.fixture
async def rows(database: Database) -> AsyncIterator[dict[str, str]]:
    """A customer with a property, another customer, and a ticket with a note; rolled back after the test."""
    transaction = database.transaction()
    await transaction.start()
    ids = {name: new_id() for name in ("customer", "other", "property", "ticket", "note")}
    for name in ("customer", "other"):
        await database.execute(
            "INSERT INTO customers (id, account_number, name, email) VALUES ($1, $2, $2, $2 || '@example.com')",
            ids[name],
            name,
        )
    await database.execute(
        "INSERT INTO properties (id, customer_id, address, account_number) VALUES ($1, $2, '1 Elm Street', 'P-1')",
        ids["property"],
        ids["customer"],
    )
    await insert_ticket(database, ids["ticket"], "TKT-AAAAAA")
    await database.execute(
        "INSERT INTO notes (id, ticket_id, body, author_kind, author_id, author_name)"
        " VALUES ($1, $2, 'A note.', 'ADMIN', 'a', 'A')",
        ids["note"],
        ids["ticket"],
    )
    yield ids
    await transaction.rollback()


async def insert_ticket(database: Database, ticket: str, reference: str) -> None:
    await database.execute(
        "INSERT INTO tickets (id, reference, subject, description, source, creator_kind, creator_id, contact_name,"
        " contact_email) VALUES ($1, $2, 's', 'd', 'ADMIN', 'ADMIN', 'a', 'A', 'a@example.com')",
        ticket,
        reference,
    )


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        ("UPDATE tickets SET reference = 'TKT-AAAAA0'", "ck_tickets_reference_form"),
        ("UPDATE tickets SET subject = ' '", "ck_tickets_subject_length"),
        ("UPDATE tickets SET subject = repeat('x', 201)", "ck_tickets_subject_length"),
        ("UPDATE tickets SET version = 0", "ck_tickets_version_positive"),
        ("UPDATE tickets SET status = 'RESOLVED', resolved_at = now()", "ck_tickets_resolved_has_resolution"),
        ("UPDATE tickets SET status = 'RESOLVED', resolution = 'Done.'", "ck_tickets_resolved_has_time"),
        ("UPDATE tickets SET status = 'CLOSED'", "ck_tickets_closed_has_time"),
        ("UPDATE tickets SET closed_at = now()", "ck_tickets_closed_has_time"),
        ("UPDATE tickets SET resolution = 'Done.'", "ck_tickets_unresolved_has_no_resolution"),
        ("UPDATE tickets SET property_id = $property", "ck_tickets_property_needs_customer"),
        (
            "UPDATE tickets SET customer_id = $other, property_id = $property",
            "fk_tickets_property_id_customer_id",
        ),
        ("UPDATE tickets SET technician_id = $note", "fk_tickets_technician_id"),
        ("UPDATE customers SET email = 'CUSTOMER@example.com' WHERE id = $other", "uq_customers_email"),
        ("UPDATE customers SET account_number = 'customer' WHERE id = $other", "uq_customers_account_number"),
        ("UPDATE notes SET body = 'Changed.'", "notes_final"),
        ("DELETE FROM notes", "notes_final"),
        ("TRUNCATE notes CASCADE", "notes_final"),
        ("DELETE FROM tickets", "tickets_kept"),
        ("UPDATE support_settings SET google_chat_enabled = true", "ck_support_settings_google_chat_needs_webhook"),
        ("INSERT INTO support_settings (id) VALUES (2)", "ck_support_settings_single_row"),
    ],
)
async def test_a_broken_promise_is_refused_by_name(
    database: Database, rows: dict[str, str], statement: str, constraint: str
) -> None:
    for name, id_ in rows.items():
        statement = statement.replace(f"${name}", f"'{id_}'")
    with pytest.raises(asyncpg.PostgresError) as refused:
        async with database.transaction():
            await database.execute(statement)
    assert getattr(refused.value, "constraint_name", None) == constraint


async def test_two_tickets_cannot_have_the_same_reference(database: Database, rows: dict[str, str]) -> None:
    with pytest.raises(asyncpg.UniqueViolationError):
        await insert_ticket(database, new_id(), "TKT-AAAAAA")


FINAL = (
    "id",
    "ticket_id",
    "kind",
    "actor_kind",
    "actor_id",
    "actor_name",
    "at",
    "before",
    "after",
    "note_id",
    "attachment_id",
    "public",
    "occurred_at",
    "idempotency_key",
)


async def test_only_the_transaction_id_of_an_event_can_be_changed(database: Database) -> None:
    """It has to change when the rows move to another cluster, where the old ids have no meaning."""
    columns = await database.fetch(
        "SELECT attname FROM pg_attribute WHERE attrelid = 'ticket_events'::regclass"
        " AND attnum > 0 AND NOT attisdropped"
    )
    assert {name for (name,) in columns} == {*FINAL, "xid"}
    for statement in (
        *(f"UPDATE ticket_events SET {name} = {name}" for name in FINAL),
        "TRUNCATE ticket_events CASCADE",
    ):
        with pytest.raises(asyncpg.RestrictViolationError) as refused:
            async with database.transaction():
                await database.execute(statement)
        assert refused.value.constraint_name == "ticket_events_final", statement
    await database.execute("UPDATE ticket_events SET xid = xid")


async def test_an_event_cannot_be_deleted_before_it_is_folded_into_all_counts(
    database: Database, rows: dict[str, str]
) -> None:
    await database.execute(
        "INSERT INTO ticket_events (ticket_id, kind, actor_kind, actor_id, actor_name, after)"
        " VALUES ($1, 'CREATED', 'ADMIN', 'a', 'A', '{}')",
        rows["ticket"],
    )
    later = "'9000000000000000000:9000000000000000000:'"
    for taken_in in ("counted", "service_counted", "fingerprinted"):
        with pytest.raises(asyncpg.RestrictViolationError, match="until the counts") as refused:
            async with database.transaction():
                await database.execute("DELETE FROM ticket_events")
        assert refused.value.constraint_name == "ticket_events_counted"
        await database.execute(f"UPDATE event_log SET {taken_in} = {later}")
    assert await database.execute("DELETE FROM ticket_events WHERE ticket_id = $1", rows["ticket"]) == "DELETE 1"


async def test_no_write_merges_a_long_list_into_the_indexes_of_searches(database: Database) -> None:
    """Each write of a ticket adds to these, and one of many has to merge what waits."""
    rows = await database.fetch(
        "SELECT index.relname, index.reloptions FROM pg_index JOIN pg_class AS index ON index.oid = indexrelid"
        " JOIN pg_am ON pg_am.oid = index.relam WHERE amname = 'gin' AND indrelid::regclass::text LIKE 'ticket%'"
    )
    assert {row["relname"] for row in rows} >= {"ix_tickets_search", "ix_tickets_search_pairs"}
    assert all("gin_pending_list_limit=512" in (row["reloptions"] or ()) for row in rows)
