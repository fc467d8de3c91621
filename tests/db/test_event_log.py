"""The event log: the event that each change of a ticket writes, and reading the log without gaps or repeats."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import pytest

from db.enums import Role, TicketEventKind
from db.events import log as event_log
from db.events.position import NOW, Position, Snapshot
from db.events.stream_cursor import StreamCursors
from db.ids import new_id
from db.viewer import Viewer
from tests.helpers.api import Api
from tests.helpers.counting import create
from tests.helpers.database_checks import Database, dump, events, key, ticket_row, until_blocked
from tests.helpers.schema_walker import id_fields, root_fields

# As a stream reads it: the events that this snapshot sees and the previous one did not, and the new position.
DIFFERENCE = """
SELECT pg_current_snapshot()::text, coalesce(
  (SELECT json_agg(json_build_object('id', id, 'ticket', ticket_id, 'at', at, 'kind', kind,
     'before', before->'version', 'after', after->'version') ORDER BY at, id)
   FROM ticket_events
   WHERE xid >= pg_snapshot_xmin($1::text::pg_snapshot) AND NOT pg_visible_in_snapshot(xid, $1::text::pg_snapshot)),
  '[]')
"""
ADMIN = {"actor_kind": "ADMIN", "actor_id": "boss", "actor_name": "The Boss"}


@pytest.fixture
async def another(database_url: str) -> AsyncIterator[Database]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def difference(database: Database, position: str) -> tuple[str, list[dict[str, Any]]]:
    row = await database.fetchrow(DIFFERENCE, position.partition("/")[0])
    assert row is not None
    return row[0], json.loads(row[1])


# Writing


async def test_each_mutation_of_a_ticket_writes_one_event_with_the_row_before_and_after(
    api: Api, database: Database
) -> None:
    technician, customer = await api.new_technician(), await api.new_customer()
    property_id = await api.new_property(customer)
    ticket = await api.new_ticket()
    one = {"ticketId": ticket}
    steps: list[tuple[str, dict[str, Any], str]] = [
        ("ticketUpdate", one | {"subject": "New", "contact": {"phone": "613-555-1234"}}, "UPDATED"),
        ("ticketUpdate", one | {"customerId": customer, "propertyId": property_id}, "UPDATED"),
        ("ticketUpdate", one | {"priority": "URGENT"}, "UPDATED"),
        ("ticketUpdate", one | {"category": "ALARM"}, "UPDATED"),
        ("ticketAssign", one | {"technicianId": technician}, "ASSIGNED"),
        ("ticketAssign", one | {"technicianId": None}, "UNASSIGNED"),
        ("ticketSetStatus", one | {"status": "IN_PROGRESS"}, "STATUS_CHANGED"),
        ("noteAdd", one | {"body": "Internal."}, "NOTE_ADDED"),
        ("noteAdd", one | {"body": "Public.", "internalOnly": False}, "NOTE_ADDED"),
        ("ticketResolve", one | {"resolution": "Done."}, "RESOLVED"),
        ("ticketUpdate", one | {"resolution": "All done."}, "UPDATED"),
        ("ticketSetStatus", one | {"status": "CLOSED"}, "CLOSED"),
        ("ticketSetStatus", one | {"status": "OPEN"}, "REOPENED"),
        ("ticketSetStatus", one | {"status": "RESOLVED", "resolution": "Again."}, "RESOLVED"),
        ("ticketsBulkUpdate", {"ticketIds": [ticket], "priority": "LOW", "technicianId": technician}, "ASSIGNED"),
        ("ticketsBulkUpdate", {"ticketIds": [ticket], "status": "CLOSED", "technicianId": None}, "CLOSED"),
    ]
    of_tickets = {name for name in root_fields("Mutation") if {"ticketId", "ticketIds"} & set(id_fields(name))}
    # The first only reads a ticket; the file of the second is an event when it has arrived; the third adds the note of
    # a mail, as `tests/mail/` shows; the last writes nothing.
    others = {"articleCreateFromTicket", "attachmentCreate", "inboundMessageAccept", "presenceSet"}
    assert {mutation for mutation, _, _ in steps} == of_tickets - others
    log = await events(database)
    before = await ticket_row(database, ticket)
    for mutation, input, kind in steps:
        await api.done(mutation, "__typename", **input)
        *old, event = await events(database)
        assert old == log
        log = [*old, event]
        after = await ticket_row(database, ticket)
        assert after != before
        assert (event["before"], event["after"]) == (before, after)
        assert (event["kind"], event["ticket_id"], event["at"]) == (kind, key(ticket), after["updated_at"])
        assert {name: event[name] for name in ADMIN} == ADMIN
        assert event["public"] is (input.get("body") != "Internal.")
        note = await database.fetchval("SELECT id::text FROM notes WHERE id = $1", event["note_id"])
        assert (note is not None) is (kind == "NOTE_ADDED")
        assert after["version"] == before["version"] + (kind != "NOTE_ADDED")
        before = after


async def test_a_tickets_time_moves_forward_even_if_the_clock_was_set_back(api: Api, database: Database) -> None:
    """The last change lies a day ahead: each further change, its event and its times are a microsecond later."""
    ticket, technician = await api.new_ticket(), await api.new_technician()
    one, ahead = {"ticketId": ticket}, "updated_at = now() + interval '1 day', public_updated_at = now()"
    await database.execute(f"UPDATE tickets SET {ahead} WHERE id = $1", key(ticket))
    steps: list[tuple[str, dict[str, Any], str | None]] = [
        ("ticketUpdate", one | {"subject": "New"}, None),
        ("noteAdd", one | {"body": "Internal."}, None),
        ("noteAdd", one | {"body": "Public.", "internalOnly": False}, None),
        ("ticketAssign", one | {"technicianId": technician}, None),
        ("ticketSetStatus", one | {"status": "IN_PROGRESS"}, None),
        ("ticketResolve", one | {"resolution": "Done."}, "resolved_at"),
        ("ticketSetStatus", one | {"status": "CLOSED"}, "closed_at"),
        ("ticketsBulkUpdate", {"ticketIds": [ticket], "priority": "LOW"}, None),
    ]
    before = await ticket_row(database, ticket)
    for mutation, input, stamp in steps:
        await api.done(mutation, "__typename", **input)
        after, event = await ticket_row(database, ticket), (await events(database, ticket))[-1]
        time = datetime.fromisoformat(before["updated_at"]) + timedelta(microseconds=1)
        assert datetime.fromisoformat(after["updated_at"]) == time, mutation
        assert (event["at"], event["after"]) == (after["updated_at"], after)
        public = before["public_updated_at"] if input.get("body") == "Internal." else after["updated_at"]
        assert after["public_updated_at"] == public
        assert stamp is None or after[stamp] == after["updated_at"]
        assert after["version"] == before["version"] + (mutation != "noteAdd")
        before = after


async def test_a_creation_has_no_image_before_and_names_its_creator(api: Api, database: Database) -> None:
    technician, customer = await api.new_technician(name="Tess Okafor"), await api.new_customer(name="Cora Bell")
    async with api.technician(technician) as tess, api.customer(customer) as cora, api.service() as chatbot:
        for viewer, actor in (
            (api, ("ADMIN", "boss", "The Boss")),
            (tess, ("TECHNICIAN", key(technician), "Tess Okafor")),
            (cora, ("CUSTOMER", key(customer), "Cora Bell")),
            (chatbot, ("SERVICE", "chatbot", "Chatbot")),
        ):
            ticket = await viewer.new_ticket()
            (event,) = await events(database, ticket)
            row = await ticket_row(database, ticket)
            assert (event["kind"], event["before"], event["after"]) == ("CREATED", None, row)
            assert (event["actor_kind"], event["actor_id"], event["actor_name"]) == actor
            assert (row["creator_kind"], row["creator_id"]) == actor[:2]
            assert event["at"] == row["created_at"] == row["updated_at"] == row["public_updated_at"]


async def test_a_bulk_update_writes_one_event_for_each_changed_ticket(api: Api, database: Database) -> None:
    tickets = [await api.new_ticket(priority=priority) for priority in ("LOW", "HIGH", "URGENT")]
    before = {key(ticket): await ticket_row(database, ticket) for ticket in tickets}
    known = {event["id"] for event in await events(database)}
    await api.done("ticketsBulkUpdate", "__typename", ticketIds=tickets, priority="HIGH")
    new = [event for event in await events(database) if event["id"] not in known]
    assert sorted(event["ticket_id"] for event in new) == sorted(key(ticket) for ticket in (tickets[0], tickets[2]))
    for event in new:
        after = await ticket_row(database, f"tkt_{event['ticket_id']}")
        assert (event["before"], event["after"]) == (before[event["ticket_id"]], after)


async def test_other_mutations_write_no_event(api: Api, database: Database) -> None:
    customer, technician = await api.new_customer(), await api.new_technician()
    property_id = await api.new_property(customer)
    ticket = await api.new_ticket(customerId=customer, propertyId=property_id, technicianId=technician)
    await api.done("ticketResolve", "__typename", ticketId=ticket, resolution="Done.")
    log = await events(database)
    await api.done("customerUpdate", "__typename", customerId=customer, name="Renamed", email="renamed@example.com")
    await api.done("propertyUpdate", "__typename", propertyId=property_id, address="Moved")
    await api.done("technicianUpdate", "__typename", technicianId=technician, active=False)
    await api.done("articleCreateFromTicket", "__typename", ticketId=ticket)
    await api.done("supportSettingsUpdate", "__typename", adminRecipients=["a@company.test"])
    await api.done("apiKeyCreate", "__typename", name="chatbot")
    await api.new_customer()
    assert await events(database) == log


# Rolling back


async def test_a_request_that_fails_after_writing_leaves_neither_ticket_nor_event(api: Api, database: Database) -> None:
    async with api.service() as chatbot:
        chat: dict[str, Any] = {"conversationId": "taken", "messages": []}
        await chatbot.new_ticket(chat=chat)
        before = await dump(database)
        contact = {"name": "n", "email": "n@example.com"}
        await chatbot.respond(
            "mutation($input: TicketCreateInput!) { ticketCreate(input: $input) { userErrors { code } } }",
            {"input": {"subject": "s", "description": "d", "contact": contact, "chat": chat, "idempotencyKey": "k"}},
        )
        assert await dump(database) == before


async def test_a_request_that_loses_its_connection_leaves_nothing_and_can_be_repeated(
    api: Api, database: Database
) -> None:
    ticket = await api.new_ticket()
    input = {"ticketId": ticket, "body": "Called.", "idempotencyKey": "cut"}
    document = "mutation($input: NoteAddInput!) { noteAdd(input: $input) { note { id } userErrors { code } } }"
    before = await dump(database)
    async with database.transaction():
        await database.execute("SELECT 1 FROM tickets WHERE id = $1 FOR UPDATE", key(ticket))
        adding = asyncio.create_task(api.respond(document, {"input": input}))
        await until_blocked(database)
        await database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
    assert [error["extensions"]["code"] for error in (await adding)["errors"]] == ["UNAVAILABLE"]
    assert await dump(database) == before
    assert (await api.done("noteAdd", "note { id }", **input))["note"]
    assert [event["kind"] for event in await events(database, ticket)] == ["CREATED", "NOTE_ADDED"]


async def test_the_victim_of_a_deadlock_gets_busy_and_leaves_nothing(api: Api, database: Database) -> None:
    """The request waits for the second ticket, which this test has locked, while the test waits for the first."""
    first, second = sorted([await api.new_ticket(), await api.new_ticket()], key=key)
    before = await dump(database)
    document = """mutation($input: TicketsBulkUpdateInput!) {
      ticketsBulkUpdate(input: $input) { userErrors { code } } }"""
    wanted: dict[str, Any] = {"ticketIds": [first, second], "priority": "URGENT"}
    lock = "SELECT FROM tickets WHERE id = $1 FOR UPDATE"
    # The test's timeout is longer, so that PostgreSQL cancels the server's statement, not the test's.
    await database.execute("SET deadlock_timeout = '60s'")
    async with database.transaction():
        await database.execute(lock, key(second))
        updating = asyncio.create_task(api.respond(document, {"input": wanted}))
        await until_blocked(database)
        await database.execute(lock, key(first))
    assert [error["extensions"]["code"] for error in (await updating)["errors"]] == ["BUSY"]
    assert await dump(database) == before
    await api.done("ticketsBulkUpdate", "__typename", **wanted)


async def test_changes_rolled_back_to_a_savepoint_are_in_neither_table(api: Api, database: Database) -> None:
    ticket = await api.new_ticket()
    async with database.transaction():
        await change(database, ticket, subject="Kept")
        with pytest.raises(RolledBack):
            async with database.transaction():
                await change(database, ticket, subject="Rolled back")
                raise RolledBack
    with pytest.raises(RolledBack):
        async with database.transaction():
            await change(database, ticket, subject="Rolled back too")
            raise RolledBack
    log = await events(database, ticket)
    assert [event["after"]["subject"] for event in log[1:]] == ["Kept"]
    assert log[-1]["after"] == await ticket_row(database, ticket)


class RolledBack(Exception):
    """Rolls back a transaction."""


async def change(database: Database, ticket: str, **values: Any) -> None:
    """Writes a change and its event without the server."""
    await database.execute("SELECT 1 FROM tickets WHERE id = $1 FOR UPDATE", key(ticket))
    writer = Viewer(Role.ADMIN, "direct", "Direct")
    await event_log.change(database, writer, key(ticket), TicketEventKind.UPDATED, values, {})


# Order


async def write(api: Api, name: str, tickets: list[str], times: int) -> None:
    """Changes the tickets in turn, in several ways, with a client of its own."""
    priorities = ("LOW", "MEDIUM", "HIGH", "URGENT")
    async with Api(api.server, subject=name, name=name) as own:
        for n in range(times):
            ticket = tickets[n % len(tickets)]
            match n % 4:
                case 0:
                    await own.done("ticketUpdate", "__typename", ticketId=ticket, subject=f"{name} {n}")
                case 1:
                    await own.done("noteAdd", "__typename", ticketId=ticket, body=f"{name} {n}", internalOnly=n % 8 < 4)
                case 2:
                    await own.done(
                        "ticketsBulkUpdate", "__typename", ticketIds=tickets, priority=priorities[n // 4 % 4]
                    )
                case 3:
                    await own.done("ticketSetStatus", "__typename", ticketId=ticket, status="IN_PROGRESS")
                    await own.done("ticketSetStatus", "__typename", ticketId=ticket, status="OPEN")


async def test_events_of_concurrent_writers_form_a_chain_for_each_ticket(api: Api, database: Database) -> None:
    """With eight writers on three tickets, each event's image before is the previous event's image after."""
    tickets = [await api.new_ticket() for _ in range(3)]
    await asyncio.gather(*(write(api, f"writer {n}", tickets, 12) for n in range(8)))
    for ticket in tickets:
        log = await events(database, ticket)
        assert len(log) > 16  # notes and subjects always change, whatever the other writers do
        assert [event["before"] for event in log[1:]] == [event["after"] for event in log[:-1]]
        assert log[-1]["after"] == await ticket_row(database, ticket)
        versions = [event["after"]["version"] for event in log if event["kind"] != "NOTE_ADDED"]
        assert versions == list(range(1, len(versions) + 1))
        times = [datetime.fromisoformat(event["at"]) for event in log]
        assert times == sorted(set(times))

        document = "query($id: ID!, $after: String) { ticket(by: {id: $id}) { history(first: 100, after: $after) "
        document += "{ nodes { id kind } pageInfo { hasNextPage endCursor } } } }"
        listed_events: list[Any] = []
        page: Any = {"hasNextPage": True, "endCursor": None}
        while page["hasNextPage"]:
            history = (await api(document, id=ticket, after=page["endCursor"]))["ticket"]["history"]
            listed_events, page = listed_events + history["nodes"], history["pageInfo"]
        assert listed_events == [{"id": f"evt_{event['id']}", "kind": event["kind"]} for event in log]


# Reading from a position


async def test_differences_of_successive_snapshots_contain_each_event_once(
    api: Api, database: Database, another: Database, database_url: str
) -> None:
    """With eight writing clients, two writers with savepoints and rollbacks, and one transaction that wrote first and
    stays open: nothing waits for it, and its event is read once it has committed."""
    tickets = [await api.new_ticket() for _ in range(4)]
    slow = await api.new_ticket()
    reader = await asyncpg.connect(database_url)
    start = position = str(await reader.fetchval("SELECT pg_current_snapshot()::text"))
    seen: list[dict[str, Any]] = []
    writing = True

    async def read() -> None:
        nonlocal position
        while writing:
            position, found = await difference(reader, position)
            seen.extend(found)

    async def savepoints(own: Database) -> None:
        for n in range(15):
            try:
                async with own.transaction():
                    await change(own, tickets[n % 4], subject=f"direct {n}")
                    try:
                        async with own.transaction():
                            await change(own, tickets[n % 4], subject=f"savepoint {n}")
                            if n % 3 == 0:
                                raise RolledBack
                    except RolledBack:
                        await change(own, tickets[n % 4], subject=f"after savepoint {n}")
                    await asyncio.sleep(0.005)
                    if n % 5 == 4:
                        raise RolledBack
            except RolledBack:
                pass

    open_all_the_while = database.transaction()
    await open_all_the_while.start()
    await change(database, slow, subject="Written first")
    reading = asyncio.create_task(read())
    second = await asyncpg.connect(database_url)
    writers = [write(api, f"writer {n}", tickets, 8) for n in range(8)]
    await asyncio.gather(*writers, savepoints(another), savepoints(second))

    _, since_start = await difference(second, start)
    written = await second.fetchval(
        "SELECT count(*) FROM ticket_events WHERE kind <> 'CREATED' AND ticket_id = ANY($1)",
        [key(ticket) for ticket in tickets],
    )
    assert len(since_start) == written > 32
    assert key(slow) not in {event["ticket"] for event in since_start}

    await open_all_the_while.commit()
    writing = False
    await reading
    position, rest = await difference(reader, position)
    seen.extend(rest)
    await reader.close()
    await second.close()

    assert set(Counter(event["id"] for event in seen).values()) == {1}
    assert len(seen) == written + 1
    assert [event["kind"] for event in seen if event["ticket"] == key(slow)] == ["UPDATED"]
    assert (await difference(database, position))[1] == []
    in_order = defaultdict(list)
    for event in seen:
        in_order[event["ticket"]].append(event["id"])
    for ticket in tickets:
        assert in_order[key(ticket)] == [event["id"] for event in (await events(database, ticket))[1:]]
    subjects = await database.fetch("SELECT after->>'subject' FROM ticket_events")
    assert not {f"savepoint {n}" for n in range(0, 15, 3)} & {subject for (subject,) in subjects}


async def test_the_end_of_a_position_is_read_from_indexes(database: Database) -> None:
    """Each stream cursor asks for it, however long the logs are."""
    async with database.transaction():
        await database.execute("SET LOCAL enable_seqscan = off")
        plan = "\n".join(row[0] for row in await database.fetch(f"EXPLAIN SELECT {NOW}"))
    assert "Scan Backward using ix_ticket_events_xid" in plan, plan
    assert "Scan Backward using ix_delivery_events_xid" in plan, plan


async def test_a_position_does_not_exceed_the_last_event(
    database: Database, another: Database, database_url: str
) -> None:
    """A transaction id above it may be assigned again after a crash, and the events written with it then must count as
    unseen. So must those of transactions that are still running below it."""
    third = await asyncpg.connect(database_url)
    async with another.transaction(), third.transaction():
        running = await another.fetchval("SELECT pg_current_xact_id()::text::bigint")
        await create(database, ("ADMIN", "boss"))
        beyond = await third.fetchval("SELECT pg_current_xact_id()::text::bigint")
        await database.execute("SELECT pg_current_xact_id()")  # above it, and already ended
        position = Snapshot.parse(Position.parse(await database.fetchval(f"SELECT {NOW}")).snapshot)
        last = await database.fetchval("SELECT xid::text::bigint FROM ticket_events ORDER BY xid DESC LIMIT 1")
    await third.close()
    assert running < last < beyond
    assert position.xmax == last + 1
    assert (position.sees(last), position.sees(running), position.sees(beyond)) == (True, False, False)
    assert running in position.running and max(position.running) < position.xmax
    assert position.xmin == min(position.running)


# Stream cursors


async def cursors_of(database: Database) -> StreamCursors:
    return StreamCursors(str(await database.fetchval("SELECT identity FROM event_log")))


async def test_each_list_of_tickets_and_each_ticket_payload_has_a_stream_cursor(api: Api, database: Database) -> None:
    technician, customer = await api.new_technician(), await api.new_customer()
    property_id = await api.new_property(customer)
    made = await api.done(
        "ticketCreate",
        "ticket { id } streamCursor",
        subject="s",
        description="d",
        customerId=customer,
        propertyId=property_id,
        technicianId=technician,
    )
    ticket = made["ticket"]["id"]
    found = [made["streamCursor"]]
    steps: list[tuple[str, dict[str, Any]]] = [
        ("ticketUpdate", {"ticketId": ticket, "subject": "New"}),
        ("ticketUpdate", {"ticketId": ticket, "subject": " "}),  # a refusal has a cursor too
        ("ticketUpdate", {"ticketId": ticket, "subject": "x", "ifVersion": 1}),
        ("ticketAssign", {"ticketId": ticket, "technicianId": None}),
        ("ticketSetStatus", {"ticketId": ticket, "status": "IN_PROGRESS"}),
        ("ticketResolve", {"ticketId": ticket, "resolution": "Done."}),
        ("ticketsBulkUpdate", {"ticketIds": [ticket], "priority": "LOW", "technicianId": technician}),
        ("noteAdd", {"ticketId": ticket, "body": "Called."}),
    ]
    for mutation, input in steps:
        found.append((await api.do(mutation, "streamCursor", **input))["streamCursor"])
    lists = """query($c: ID!, $p: ID!, $t: ID!) {
      tickets { streamCursor } empty: tickets(filter: {status: []}) { streamCursor nodes { id } }
      c: node(id: $c) { ... on Customer { tickets { streamCursor } } }
      p: node(id: $p) { ... on Property { tickets { streamCursor } } }
      t: node(id: $t) { ... on Technician { tickets(first: 1) { nodes { id } streamCursor } } } }"""
    answer = await api(lists, c=customer, p=property_id, t=technician)
    found += [answer[name]["streamCursor"] for name in ("tickets", "empty")]
    found += [answer[name]["tickets"]["streamCursor"] for name in ("c", "p", "t")]
    async with api.technician(technician) as tess, api.customer(customer) as cora:
        for viewer in (tess, cora):
            found.append((await viewer("{ tickets { streamCursor } }"))["tickets"]["streamCursor"])

    assert len(set(found)) == len(found)
    cursors = await cursors_of(database)
    for cursor in found:
        assert re.fullmatch(r"\d+:\d+:[\d,]*/-?\d+", cursors.open(cursor) or "")


async def test_a_stream_cursor_is_encrypted(api: Api, database: Database) -> None:
    """It reveals no transaction ids, and looks different each time."""
    document = "{ tickets { streamCursor } }"
    found = [(await api(document))["tickets"]["streamCursor"] for _ in range(10)]
    assert len(set(found)) == 10
    cursors = await cursors_of(database)
    position = cursors.open(found[0])
    assert position is not None
    first, second = (base64.urlsafe_b64decode(cursor) for cursor in (found[0], cursors.seal(position)))
    for raw in (first, second):
        assert position.encode() not in raw
        assert not raw.isascii()
    # Sealed twice, the same position gives two cursors that have few bytes in common.
    assert sum(a == b for a, b in zip(first, second, strict=True)) < len(first) // 2

    for broken in (
        found[0][:-4],
        found[0][:-5] + ("A" if found[0][-5] != "A" else "B") + found[0][-4:],
        "A" * len(found[0]),
        base64.urlsafe_b64encode(position.encode()).decode(),
        position,
        "",
    ):
        assert cursors.open(broken) is None
    assert StreamCursors(new_id()).open(found[0]) is None


async def test_no_event_lies_between_a_response_and_the_stream_after_its_cursor(api: Api, database: Database) -> None:
    ticket = await api.new_ticket()
    cursors = await cursors_of(database)

    async def after(cursor: str) -> list[str]:
        position = cursors.open(cursor)
        assert position is not None
        return [event["kind"] for event in (await difference(database, position))[1] if event["ticket"] == key(ticket)]

    listed = (await api("{ tickets { streamCursor } }"))["tickets"]["streamCursor"]
    assert await after(listed) == []
    noted = (await api.done("noteAdd", "streamCursor", ticketId=ticket, body="b"))["streamCursor"]
    resolved = (await api.done("ticketResolve", "streamCursor", ticketId=ticket, resolution="r"))["streamCursor"]
    assert await after(listed) == ["NOTE_ADDED", "RESOLVED"]
    assert await after(noted) == ["RESOLVED"]
    assert await after(resolved) == []


async def test_a_list_and_the_stream_after_it_have_no_gap_or_repeat_during_writes(api: Api, database: Database) -> None:
    """For each list read meanwhile, the events after its cursor continue from the versions that it shows."""
    tickets = [await api.new_ticket() for _ in range(3)]
    document = "{ tickets(first: 100) { streamCursor nodes { id version } } }"
    lists = []
    writing = [asyncio.create_task(write(api, f"writer {n}", tickets, 8)) for n in range(4)]
    while not all(task.done() for task in writing):
        lists.append((await api(document))["tickets"])
    await asyncio.gather(*writing)
    final = {ticket: (await ticket_row(database, ticket))["version"] for ticket in tickets}
    cursors = await cursors_of(database)
    for listed in lists:
        position = cursors.open(listed["streamCursor"])
        assert position is not None
        _, later = await difference(database, position)
        versions = {node["id"]: node["version"] for node in listed["nodes"]}
        for ticket in tickets:
            listed_events = [e["after"] for e in later if e["ticket"] == key(ticket) and e["kind"] != "NOTE_ADDED"]
            assert listed_events == list(range(versions[ticket] + 1, final[ticket] + 1))
    assert len({tuple(node["version"] for node in listed["nodes"]) for listed in lists}) > 5
