"""The event log: what every change of a ticket leaves there, and how it is read without losing or repeating any."""

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
from db.events.cursor import StreamCursors
from db.events.position import NOW, Snapshot
from db.ids import new_id
from db.viewer import Viewer
from tests.helpers.api import Api
from tests.helpers.counting import create
from tests.helpers.database_checks import Database, dump, events, key, ticket_row, until_blocked
from tests.helpers.schema_walker import id_fields, root_fields

# As a stream reads it: what one snapshot sees and the one before did not, with the position to go on from.
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
    row = await database.fetchrow(DIFFERENCE, position)
    assert row is not None
    return row[0], json.loads(row[1])


# What is written


async def test_each_mutation_of_a_ticket_writes_one_event_with_the_row_before_and_after(
    api: Api, database: Database
) -> None:
    technician, customer = await api.new_technician(), await api.new_customer()
    place = await api.new_property(customer)
    ticket = await api.new_ticket()
    one = {"ticketId": ticket}
    steps: list[tuple[str, dict[str, Any], str]] = [
        ("ticketUpdate", one | {"subject": "New", "contact": {"phone": "613-555-1234"}}, "UPDATED"),
        ("ticketUpdate", one | {"customerId": customer, "propertyId": place}, "UPDATED"),
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
    assert {mutation for mutation, _, _ in steps} == of_tickets - {"articleCreateFromTicket"}  # which only reads one
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


async def test_a_tickets_time_goes_forward_where_the_clock_was_set_back(api: Api, database: Database) -> None:
    """Its last change lies a day ahead: each further one is a microsecond later, as are its event and its stamps."""
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


async def test_a_creation_has_no_before_and_names_its_creator_whoever_it_is(api: Api, database: Database) -> None:
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


async def test_a_bulk_writes_one_event_for_each_ticket_that_it_changes(api: Api, database: Database) -> None:
    tickets = [await api.new_ticket(priority=priority) for priority in ("LOW", "HIGH", "URGENT")]
    before = {key(ticket): await ticket_row(database, ticket) for ticket in tickets}
    known = {event["id"] for event in await events(database)}
    await api.done("ticketsBulkUpdate", "__typename", ticketIds=tickets, priority="HIGH")
    new = [event for event in await events(database) if event["id"] not in known]
    assert sorted(event["ticket_id"] for event in new) == sorted(key(ticket) for ticket in (tickets[0], tickets[2]))
    for event in new:
        after = await ticket_row(database, f"tkt_{event['ticket_id']}")
        assert (event["before"], event["after"]) == (before[event["ticket_id"]], after)


async def test_what_is_no_change_of_a_ticket_writes_no_event(api: Api, database: Database) -> None:
    customer, technician = await api.new_customer(), await api.new_technician()
    place = await api.new_property(customer)
    ticket = await api.new_ticket(customerId=customer, propertyId=place, technicianId=technician)
    await api.done("ticketResolve", "__typename", ticketId=ticket, resolution="Done.")
    log = await events(database)
    await api.done("customerUpdate", "__typename", customerId=customer, name="Renamed", email="renamed@example.com")
    await api.done("propertyUpdate", "__typename", propertyId=place, address="Moved")
    await api.done("technicianUpdate", "__typename", technicianId=technician, active=False)
    await api.done("articleCreateFromTicket", "__typename", ticketId=ticket)
    await api.done("supportSettingsUpdate", "__typename", adminRecipients=["a@company.test"])
    await api.done("apiKeyCreate", "__typename", name="chatbot")
    await api.new_customer()
    assert await events(database) == log


# What is undone


async def test_a_request_that_fails_after_it_wrote_leaves_neither_ticket_nor_event(
    api: Api, database: Database
) -> None:
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


async def test_a_request_whose_connection_is_cut_leaves_nothing_and_can_be_sent_again(
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


async def test_the_victim_of_a_deadlock_is_busy_and_leaves_nothing(api: Api, database: Database) -> None:
    """It waits for the second ticket while this test, which holds that, waits for the first."""
    first, second = sorted([await api.new_ticket(), await api.new_ticket()], key=key)
    before = await dump(database)
    document = """mutation($input: TicketsBulkUpdateInput!) {
      ticketsBulkUpdate(input: $input) { userErrors { code } } }"""
    wanted: dict[str, Any] = {"ticketIds": [first, second], "priority": "URGENT"}
    lock = "SELECT FROM tickets WHERE id = $1 FOR UPDATE"
    await database.execute("SET deadlock_timeout = '60s'")  # so that PostgreSQL gives the server up, not this test
    async with database.transaction():
        await database.execute(lock, key(second))
        updating = asyncio.create_task(api.respond(document, {"input": wanted}))
        await until_blocked(database)
        await database.execute(lock, key(first))
    assert [error["extensions"]["code"] for error in (await updating)["errors"]] == ["BUSY"]
    assert await dump(database) == before
    await api.done("ticketsBulkUpdate", "__typename", **wanted)


async def test_what_a_savepoint_takes_back_is_in_neither_table(api: Api, database: Database) -> None:
    ticket = await api.new_ticket()
    async with database.transaction():
        await change(database, ticket, subject="Kept")
        with pytest.raises(TakenBack):
            async with database.transaction():
                await change(database, ticket, subject="Taken back")
                raise TakenBack
    with pytest.raises(TakenBack):
        async with database.transaction():
            await change(database, ticket, subject="Taken back too")
            raise TakenBack
    log = await events(database, ticket)
    assert [event["after"]["subject"] for event in log[1:]] == ["Kept"]
    assert log[-1]["after"] == await ticket_row(database, ticket)


class TakenBack(Exception):
    """Ends a transaction without its effect."""


async def change(database: Database, ticket: str, **values: Any) -> None:
    """A change and its event, by a writer that is no server of ours."""
    await database.execute("SELECT 1 FROM tickets WHERE id = $1 FOR UPDATE", key(ticket))
    writer = Viewer(Role.ADMIN, "direct", "Direct")
    await event_log.change(database, writer, key(ticket), TicketEventKind.UPDATED, values, {})


# Order


async def write(api: Api, name: str, tickets: list[str], times: int) -> None:
    """A client of its own that changes tickets in turn, in several ways."""
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


async def test_under_concurrent_writers_each_tickets_events_follow_from_one_another(
    api: Api, database: Database
) -> None:
    """Eight at once on three tickets: each event begins with the row that the one before it ended with."""
    tickets = [await api.new_ticket() for _ in range(3)]
    await asyncio.gather(*(write(api, f"writer {n}", tickets, 12) for n in range(8)))
    for ticket in tickets:
        log = await events(database, ticket)
        assert len(log) > 16  # each writer's notes and subjects are changes whatever the others do
        assert [event["before"] for event in log[1:]] == [event["after"] for event in log[:-1]]
        assert log[-1]["after"] == await ticket_row(database, ticket)
        versions = [event["after"]["version"] for event in log if event["kind"] != "NOTE_ADDED"]
        assert versions == list(range(1, len(versions) + 1))
        times = [datetime.fromisoformat(event["at"]) for event in log]
        assert times == sorted(set(times))

        document = "query($id: ID!, $after: String) { ticket(by: {id: $id}) { history(first: 100, after: $after) "
        document += "{ nodes { id kind } pageInfo { hasNextPage endCursor } } } }"
        told: list[Any] = []
        page: Any = {"hasNextPage": True, "endCursor": None}
        while page["hasNextPage"]:
            history = (await api(document, id=ticket, after=page["endCursor"]))["ticket"]["history"]
            told, page = told + history["nodes"], history["pageInfo"]
        assert told == [{"id": f"evt_{event['id']}", "kind": event["kind"]} for event in log]


# Reading on from a position


async def test_the_differences_of_snapshots_hold_each_event_once(
    api: Api, database: Database, another: Database, database_url: str
) -> None:
    """With eight clients writing, two writers with savepoints and rollbacks, and one transaction open all the while
    that wrote first: nobody waits for it, and its event comes when it commits."""
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
                                raise TakenBack
                    except TakenBack:
                        await change(own, tickets[n % 4], subject=f"after savepoint {n}")
                    await asyncio.sleep(0.005)
                    if n % 5 == 4:
                        raise TakenBack
            except TakenBack:
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


async def test_a_position_does_not_lie_beyond_the_last_event(
    database: Database, another: Database, database_url: str
) -> None:
    """An id that is handed out beyond it may be handed out again after a crash, and what is written by it then is new
    to everybody. What is under way before it has not been seen."""
    third = await asyncpg.connect(database_url)
    async with another.transaction(), third.transaction():
        running = await another.fetchval("SELECT pg_current_xact_id()::text::bigint")
        await create(database, ("ADMIN", "boss"))
        beyond = await third.fetchval("SELECT pg_current_xact_id()::text::bigint")
        await database.execute("SELECT pg_current_xact_id()")  # beyond that, and over
        position = Snapshot.parse(await database.fetchval(f"SELECT {NOW}"))
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


async def test_every_list_of_tickets_and_every_answer_about_one_says_where_it_stands(
    api: Api, database: Database
) -> None:
    technician, customer = await api.new_technician(), await api.new_customer()
    place = await api.new_property(customer)
    made = await api.done(
        "ticketCreate",
        "ticket { id } streamCursor",
        subject="s",
        description="d",
        customerId=customer,
        propertyId=place,
        technicianId=technician,
    )
    ticket = made["ticket"]["id"]
    found = [made["streamCursor"]]
    steps: list[tuple[str, dict[str, Any]]] = [
        ("ticketUpdate", {"ticketId": ticket, "subject": "New"}),
        ("ticketUpdate", {"ticketId": ticket, "subject": " "}),  # a refusal stands somewhere too
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
    answer = await api(lists, c=customer, p=place, t=technician)
    found += [answer[name]["streamCursor"] for name in ("tickets", "empty")]
    found += [answer[name]["tickets"]["streamCursor"] for name in ("c", "p", "t")]
    async with api.technician(technician) as tess, api.customer(customer) as cora:
        for viewer in (tess, cora):
            found.append((await viewer("{ tickets { streamCursor } }"))["tickets"]["streamCursor"])

    assert len(set(found)) == len(found)
    cursors = await cursors_of(database)
    for cursor in found:
        assert re.fullmatch(r"\d+:\d+:[\d,]*", cursors.open(cursor) or "")


async def test_a_cursor_is_sealed(api: Api, database: Database) -> None:
    """It says nothing of how many transactions there have been, and looks different each time."""
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
    # Sealed twice, one position has hardly a byte in common with itself.
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


async def test_nothing_lies_between_an_answer_and_the_stream_that_starts_after_it(api: Api, database: Database) -> None:
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


async def test_a_list_and_the_stream_after_it_have_neither_gap_nor_repeat_while_others_write(
    api: Api, database: Database
) -> None:
    """For every list read meanwhile: what it shows of a ticket is where the events after its cursor go on from."""
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
            told = [e["after"] for e in later if e["ticket"] == key(ticket) and e["kind"] != "NOTE_ADDED"]
            assert told == list(range(versions[ticket] + 1, final[ticket] + 1))
    assert len({tuple(node["version"] for node in listed["nodes"]) for listed in lists}) > 5
