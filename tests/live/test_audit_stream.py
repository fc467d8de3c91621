"""The live audit trail: entries arrive as they are written, and after a cursor without a gap or a repeat."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

from db.enums import ActorKind, AuditAction, AuditObjectKind
from db.ids import new_id
from resolvers.audit import Author, record_by
from tests.helpers.api import Api
from tests.helpers.database_checks import Database, key, until
from tests.helpers.graphql_ws_client import Socket, live

ADDED = """subscription($filter: AuditFilter, $after: String) { auditEntryAdded(filter: $filter, after: $after) {
    __typename
    ... on AuditEntryAdded { cursor entry { id action objectKind objectId actorId changes { field after } } }
    ... on StreamReady { cursor } ... on StreamReset { cursor reason } } }"""
FOLDED = "bool_and(pg_visible_in_snapshot(xid, audit_fingerprinted)) FROM audit_entries, event_log"
LIST = "{ auditEntries(first: 100) { streamCursor nodes { id } } }"


async def listed(api: Api) -> tuple[str, list[str]]:
    found = (await api(LIST))["auditEntries"]
    return found["streamCursor"], [each["id"] for each in found["nodes"]]


async def ready(socket: Socket) -> list[dict[str, Any]]:
    """Returns the messages up to `StreamReady`."""
    received = []
    while (message := await socket.next())["__typename"] != "StreamReady":
        received.append(message)
    return received


async def write_entry(database: Database, subject: str = "ada") -> str:
    """Writes an entry without the API, so without ringing the bell. Returns its id."""
    author = Author(ActorKind.SYSTEM, "test", "A test", None)
    await record_by(
        database, author, AuditAction.CREATED, AuditObjectKind.TOKEN, subject, None, {"role": "ADMIN", "n": new_id()}
    )
    entry = await database.fetchval("SELECT id::text FROM audit_entries ORDER BY xid DESC, at DESC LIMIT 1")
    return f"aud_{entry}"


async def remove_entry(database: Database, entry: str) -> None:
    """Removes an entry as if it had never been written."""
    async with database.transaction():
        await database.execute("SELECT FROM event_log FOR UPDATE")  # nobody folds meanwhile
        await database.execute("ALTER TABLE audit_entries DISABLE TRIGGER USER")
        await database.execute(
            "UPDATE event_log SET audit_fingerprint = audit_fingerprint # uuid_hash_extended(entry.id, 0)"
            " FROM audit_entries AS entry"
            " WHERE entry.id = $1 AND pg_visible_in_snapshot(entry.xid, audit_fingerprinted)",
            key(entry),
        )
        await database.execute("DELETE FROM audit_entries WHERE id = $1", key(entry))
        await database.execute("ALTER TABLE audit_entries ENABLE TRIGGER USER")


async def test_an_entry_is_delivered_as_soon_as_it_is_written(api: Api) -> None:
    async with live(api) as screen:
        await screen.subscribe("1", ADDED)
        assert await ready(screen) == []
        technician = await api.new_technician(name="Tess", email="tess@live.example")
        received = await screen.next()
        assert received["entry"].pop("id").startswith("aud_")
        assert received["entry"] == {
            "action": "CREATED",
            "objectKind": "TECHNICIAN",
            "objectId": technician,
            "actorId": "boss",
            "changes": [
                {"field": "name", "after": "Tess"},
                {"field": "email", "after": "tess@live.example"},
                {"field": "active", "after": "true"},
            ],
        }
        await api.done("technicianUpdate", "__typename", technicianId=technician, name="Tess")
        await api.new_ticket()
        await screen.quiet()


async def test_each_filter_gets_its_entries(api: Api) -> None:
    customer = await api.new_customer()
    filters: list[tuple[dict[str, Any], list[str]]] = [
        ({}, ["CUSTOMER", "PROPERTY", "TECHNICIAN"]),
        ({"objectKind": ["CUSTOMER", "TECHNICIAN"]}, ["CUSTOMER", "TECHNICIAN"]),
        ({"objectId": customer}, ["CUSTOMER"]),
        ({"objectId": customer, "action": ["CREATED"]}, []),
        ({"action": ["CREATED"], "actorKind": ["ADMIN"], "actorId": "boss"}, ["PROPERTY", "TECHNICIAN"]),
        ({"actorId": "somebody"}, []),
        ({"at": {"until": "2020-01-01T00:00Z"}}, []),
        ({"at": {"from": "2020-01-01T00:00Z"}, "objectKind": ["PROPERTY"]}, ["PROPERTY"]),
    ]
    async with AsyncExitStack() as stack:
        screens = [await stack.enter_async_context(live(api)) for _ in filters]
        for screen, (filter, _) in zip(screens, filters, strict=True):
            await screen.subscribe("1", ADDED, filter=filter)
            await ready(screen)
        await api.done("customerUpdate", "__typename", customerId=customer, phone="1")
        await api.new_property(customer)
        await api.new_technician()
        for screen, (_, kinds) in zip(screens, filters, strict=True):
            assert [(await screen.next())["entry"]["objectKind"] for _ in kinds] == kinds
        await asyncio.gather(*(screen.quiet() for screen in screens))


async def test_after_a_list_each_entry_arrives_once(api: Api) -> None:
    """From the list's cursor on, and again from the cursor of each message."""
    await api.new_technician()
    cursor, there = await listed(api)
    made = [await api.new_technician(), await api.new_customer(), await api.new_technician()]
    async with live(api) as screen:
        await screen.subscribe("1", ADDED, after=cursor)
        missed = await ready(screen)
        made.append(await api.new_technician())
        received = [*missed, await screen.next()]
        assert [each["entry"]["objectId"] for each in received] == made
        assert not {each["entry"]["id"] for each in received} & set(there)
        for number, message in enumerate(received, 1):
            await screen.subscribe(f"again {number}", ADDED, after=message["cursor"])
            assert [each["entry"]["objectId"] for each in await ready(screen)] == made[number:]
    now, there = await listed(api)
    assert there[: len(received)] == [each["entry"]["id"] for each in received[::-1]]
    async with live(api) as screen:
        await screen.subscribe("1", ADDED, after=now)
        assert await ready(screen) == []


async def test_one_cursor_serves_tickets_and_the_audit_trail(api: Api) -> None:
    cursor = (await api("{ tickets { streamCursor } }"))["tickets"]["streamCursor"]
    ticket, technician = await api.new_ticket(), await api.new_technician()
    async with live(api) as screen:
        await screen.subscribe("1", ADDED, after=cursor)
        [added] = await ready(screen)
        assert added["entry"]["objectId"] == technician
        changed = "subscription($after: String) { ticketChanged(after: $after) { ... on TicketChange { ticketId } } }"
        await screen.subscribe("2", changed, after=cursor)
        assert await screen.next() == {"ticketId": ticket}
    page = "query($after: String) { ticketEvents(after: $after) { nodes { ticketId } hasMore reset } }"
    missed = await api(page, after=cursor)
    assert missed["ticketEvents"] == {"nodes": [{"ticketId": ticket}], "hasMore": False, "reset": None}


async def test_an_entry_that_commits_late_is_not_missed(api: Api, database: Database) -> None:
    """Its transaction began before the cursor was taken, and an entry of a later transaction was delivered first."""
    async with live(api) as screen:
        async with database.transaction():
            late = await write_entry(database, "late")
            cursor, there = await listed(api)
            assert late not in there
            early = await api.new_technician()
            await screen.subscribe("1", ADDED, after=cursor)
            [first] = await ready(screen)
            assert first["entry"]["objectId"] == early
        assert (await screen.next())["entry"]["id"] == late
        await screen.subscribe("2", ADDED, after=first["cursor"])
        assert [each["entry"]["id"] for each in await ready(screen)] == [late]


async def test_a_lost_entry_resets_those_who_have_seen_it(api: Api, database: Database) -> None:
    """As after a failover to a standby that did not have it: live within a second, otherwise on the next visit; folded
    into the stored fingerprint or not. A cursor from before the entry stays valid."""
    for folded in (False, True):
        before, _ = await listed(api)
        async with live(api) as screen:
            await screen.subscribe("1", ADDED)
            await ready(screen)
            await api.new_technician()
            received = await screen.next()
            after, _ = await listed(api)
            if folded:
                await until(database, FOLDED)
            await remove_entry(database, received["entry"]["id"])
            reset = await screen.next()
            assert (reset["__typename"], reset["reason"]) == ("StreamReset", "CURSOR_UNKNOWN")
            assert (await screen.next())["__typename"] == "StreamReady"
            for cursor in (received["cursor"], after):
                await screen.subscribe("again", ADDED, after=cursor)
                assert [each["reason"] for each in await ready(screen)] == ["CURSOR_UNKNOWN"]
                await screen.send(id="again", type="complete")
            await screen.subscribe("before", ADDED, after=before)
            assert await ready(screen) == []


async def test_a_cursor_from_before_pruned_entries_has_expired(api: Api, database: Database) -> None:
    await api.new_ticket()
    before, _ = await listed(api)
    entry = new_id()
    async with live(api) as screen:
        await screen.subscribe("0", ADDED)
        await ready(screen)
        await database.execute(
            "INSERT INTO audit_entries (id, at, action, object_kind, actor_kind, actor_id, actor_name, changed)"
            " VALUES ($1, now() - interval '2 days', 'UPDATED', 'SUPPORT_SETTINGS', 'ADMIN', 'boss', 'The Boss', '{}')",
            entry,
        )
        assert (await screen.next())["entry"]["id"] == f"aud_{entry}"  # servers are far beyond what they prune
        # A transaction that began before the entry, in any database of the cluster, makes a cursor look earlier.
        await until(database, "bool_and(xid < pg_snapshot_xmin(pg_current_snapshot())) FROM audit_entries")
        after, _ = await listed(api)
        await until(database, FOLDED)
        async with database.transaction():
            await database.execute("SET LOCAL callout.pruning = 'audit_entries'")
            await database.execute("DELETE FROM audit_entries WHERE id = $1", entry)
        await screen.subscribe("1", ADDED, after=before)
        assert [each["reason"] for each in await ready(screen)] == ["CURSOR_EXPIRED"]
        await screen.subscribe("2", ADDED, after=after)
        assert await ready(screen) == []
