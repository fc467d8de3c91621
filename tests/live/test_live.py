"""Live changes of tickets: who receives them, in which form, and from which cursor on."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
from graphql import is_object_type

from callout.auth.authenticator import LEEWAY_SECONDS, REMEMBER_SECONDS, mint
from callout.settings import Settings
from db.enums import Role, TicketEventKind
from db.events import counts
from db.events import log as event_log
from db.events.stream_cursor import REPLAY_MAX, StreamCursors, StreamPosition
from db.ids import new_id
from db.postgres.pool import Database as Pool
from db.viewer import Viewer
from pubsub.send_queue import QUEUE_BYTES_MAX, QUEUE_MAX
from tests.helpers.api import SCHEMA, Api, Refusal, Server
from tests.helpers.attached_files import attach
from tests.helpers.change_pages import fetch_page
from tests.helpers.counting import change, create
from tests.helpers.database_checks import Database, until
from tests.helpers.graphql_ws_client import CHANGES, OBJECT_CHANGES, OF_STREAMS, WITHIN, following, live, narrow, socket
from tests.helpers.positions import position_at
from tests.helpers.process import callout_process, free_port
from tests.helpers.stress import SECRET, server_of

BOSS = Viewer(Role.ADMIN, "boss", "Somebody else")


async def test_a_change_is_delivered_as_soon_as_it_is_committed(api: Api) -> None:
    async with following(api) as screen:
        ticket = await api.new_ticket(subject="Siren will not stop")
        received = await screen.next()
        assert received.pop("cursor") and received.pop("at")
        assert received == {
            "__typename": "TicketChange",
            "change": "ENTERED",
            "kind": "CREATED",
            "ticketId": ticket,
            "changedFields": [],
            "actor": {"kind": "ADMIN", "name": "The Boss"},
            "ticket": {
                "id": ticket,
                "version": 1,
                "subject": "Siren will not stop",
                "status": "OPEN",
                "technician": None,
            },
        }


async def test_a_ticket_enters_changes_and_leaves(api: Api) -> None:
    async with following(api, {"status": ["IN_PROGRESS"], "search": "Klaxon"}) as screen:
        ticket = await api.new_ticket(subject="Klaxon too quiet")
        await api.new_ticket(subject="Something else")
        await api.done("ticketSetStatus", "ticket { id }", ticketId=ticket, status="IN_PROGRESS")
        await api.done("ticketUpdate", "ticket { id }", ticketId=ticket, priority="HIGH")
        await api.done("noteAdd", "note { id }", ticketId=ticket, body="Called.")
        await api.done("ticketUpdate", "ticket { id }", ticketId=ticket, subject="Horn too quiet")
        received = [await screen.next() for _ in range(4)]
        await screen.quiet()
    assert [(each["change"], each["kind"], each["changedFields"], each["ticket"]["version"]) for each in received] == [
        ("ENTERED", "STATUS_CHANGED", ["status"], 2),
        ("UPDATED", "UPDATED", ["priority"], 3),
        ("UPDATED", "NOTE_ADDED", [], 3),
        ("LEFT", "UPDATED", ["subject"], 4),
    ]
    assert received[3]["ticket"]["subject"] == "Horn too quiet"


async def test_a_stream_with_a_search_has_the_tickets_that_the_list_has(api: Api) -> None:
    """However the words are typed, and also by what other rows say of the ticket."""
    customer = await api.new_customer(name="Hélène Ondes", phone="+1 613-555-0177", accountNumber="OND-1")
    property_id = await api.new_property(customer, address="12 Theremin Road")
    listed = "query($filter: TicketFilter) { tickets(filter: $filter) { nodes { id } } }"
    filters = [
        {"search": term}
        for term in ("theremin helene", "001 (613) 555 0177", "ond-1 HUMS", "road  theremin 12", "hums,")
    ]
    async with AsyncExitStack() as stack:
        screens = [await stack.enter_async_context(following(api, filter)) for filter in filters]
        await api.new_ticket(subject="Nothing that anybody looks for")
        ticket = await api.new_ticket(subject="It hums", customerId=customer, propertyId=property_id)
        for filter, screen in zip(filters, screens, strict=True):
            assert (await screen.next())["change"] == "ENTERED", filter
            assert (await api(listed, filter=filter))["tickets"]["nodes"] == [{"id": ticket}], filter
        await api.done("ticketUpdate", "ticket { id }", ticketId=ticket, propertyId=None)
        for filter, screen in zip(filters, screens, strict=True):
            there = (await api(listed, filter=filter))["tickets"]["nodes"] != []
            assert (await screen.next())["change"] == ("UPDATED" if there else "LEFT"), filter
        assert (await api(listed, filter=filters[0]))["tickets"]["nodes"] == []


async def test_a_change_enters_leaves_or_updates_a_list_depending_on_its_filter(api: Api) -> None:
    """The server finds this out in one query for all dashboards."""
    meanings: list[tuple[dict[str, object], str | None]] = [
        ({"status": ["OPEN"]}, "LEFT"),
        ({"status": ["IN_PROGRESS"], "category": ["GENERAL", "CCTV"]}, "ENTERED"),
        ({"status": ["OPEN", "IN_PROGRESS"]}, "UPDATED"),
        ({"assignee": {"unassigned": True}}, "UPDATED"),
        ({"status": ["OPEN"], "priority": ["LOW"]}, None),
        ({"createdAt": {"until": "2020-01-01T00:00Z"}}, None),
        ({"createdAt": {"from": "2020-01-01T00:00Z"}, "priority": ["MEDIUM"]}, "UPDATED"),
        ({"not": {"status": ["OPEN"]}}, "ENTERED"),
        ({"or": [{"status": ["CLOSED"]}, {"priority": ["LOW"]}]}, None),
    ]
    ticket = await api.new_ticket(subject="Klaxon out of tune")
    async with AsyncExitStack() as stack:
        screens = [
            await stack.enter_async_context(following(api, filter | {"search": "klaxon out"})) for filter, _ in meanings
        ]
        await api.done("ticketSetStatus", "ticket { id }", ticketId=ticket, status="IN_PROGRESS")
        await api.done("ticketUpdate", "ticket { id }", ticketId=ticket, subject="Klaxon in tune")  # has left all lists
        for screen, (_, meaning) in zip(screens, meanings, strict=True):
            received = [] if meaning is None else [await screen.next()]
            if meaning in ("ENTERED", "UPDATED"):
                received.append(await screen.next())
            changes = [(each["change"], each["ticketId"]) for each in received]
            assert changes == [(each, ticket) for each in (meaning, "LEFT")][: len(received)]
        await asyncio.gather(*(screen.quiet() for screen in screens))


async def test_a_reassigned_ticket_leaves_the_old_technicians_device_at_once(api: Api) -> None:
    one, other = await api.new_technician(), await api.new_technician()
    mine = {"assignee": {"me": True}}
    async with following(api.technician(one), mine) as old, following(api.technician(other), mine) as new:
        ticket = await api.new_ticket(technicianId=one)
        assert (await old.next())["change"] == "ENTERED"
        await api.done("ticketAssign", "ticket { id }", ticketId=ticket, technicianId=other)
        left, entered = await old.next(), await new.next()
        assert (left["change"], left["ticketId"], left["ticket"], left["changedFields"]) == ("LEFT", ticket, None, [])
        assert (entered["change"], entered["ticket"]["technician"]) == ("ENTERED", {"id": other})
        await api.done("ticketUpdate", "ticket { id }", ticketId=ticket, priority="URGENT")
        assert (await new.next())["change"] == "UPDATED"
        await old.quiet()


async def test_missed_events_are_replayed_without_tickets_that_are_no_longer_visible(api: Api) -> None:
    technician, other = await api.new_technician(), await api.new_technician()
    async with following(api.technician(technician)) as device:
        first = await api.new_ticket(technicianId=technician)
        cursor = (await device.next())["cursor"]
    await api.done("ticketUpdate", "ticket { id }", ticketId=first, priority="HIGH")
    await api.done("ticketAssign", "ticket { id }", ticketId=first, technicianId=other)
    async with following(api.technician(technician), after=cursor) as device:
        missed = [await device.next() for _ in range(2)]
        assert [(each["change"], each["ticket"]) for each in missed] == [("UPDATED", None), ("LEFT", None)]
        assert (await device.next())["__typename"] == "StreamReady"


async def test_an_internal_note_is_not_delivered_to_customers_and_services(api: Api) -> None:
    customer = await api.new_customer()
    notes = "subscription($ticket: ID!) { noteAdded(ticketId: $ticket) { ... on NoteAdded { note { body } } } }"
    async with api.service("chatbot of this test") as service:
        ticket = await service.new_ticket()
        await api.done("ticketUpdate", "ticket { id }", ticketId=ticket, customerId=customer)
        for viewer in (api.customer(customer), service):
            async with following(viewer) as screen, live(viewer) as second:
                await second.subscribe("n", notes, ticket=ticket)
                await second.next()
                await api.done("noteAdd", "note { id }", ticketId=ticket, body="They are difficult.")
                await api.done("noteAdd", "note { id }", ticketId=ticket, body="On our way.", internalOnly=False)
                assert (await screen.next())["kind"] == "NOTE_ADDED"
                assert await second.next() == {"note": {"body": "On our way."}}
                await screen.quiet()
                await second.quiet(0.1)


async def test_services_with_the_same_subscription_each_receive_their_own_tickets(api: Api) -> None:
    async with (
        api.service("one robot") as one,
        api.service("another robot") as other,
        following(one) as first,
        following(other) as second,
        following(one) as third,
    ):
        for viewer, screens in ((other, (second,)), (one, (first, third))):
            ticket = await viewer.new_ticket()
            assert [(await screen.next())["ticketId"] for screen in screens] == [ticket] * len(screens)


async def test_a_stream_continues_from_a_list_without_gap_or_repeat(api: Api) -> None:
    before = await api.new_ticket()
    cursor = (await api("{ tickets(first: 1) { streamCursor } }"))["tickets"]["streamCursor"]
    after = await api.new_ticket()
    async with following(api, after=cursor) as screen:
        assert (await screen.next())["ticketId"] == after != before
        ready = await screen.next()
        assert ready["__typename"] == "StreamReady"
    async with following(api, after=ready["cursor"]) as screen:
        assert (await screen.next())["__typename"] == "StreamReady"
        payload = await api.done("ticketUpdate", "streamCursor", ticketId=after, priority="LOW")
        assert (await screen.next())["ticketId"] == after
    async with following(api, after=payload["streamCursor"]) as screen:
        assert (await screen.next())["__typename"] == "StreamReady"
        await screen.quiet()


async def test_live_counts_follow_each_change(api: Api) -> None:
    technician, other = await api.new_technician(), await api.new_technician()
    tabs = """subscription($filter: TicketFilter) {
        ticketCountsChanged(filter: $filter) { all open inProgress unassigned } }"""
    ticket = await api.new_ticket(subject="Bollard", technicianId=technician)
    async with live(api) as screen, live(api.technician(technician)) as device:
        await screen.subscribe("1", tabs, filter={"search": "bollard"})
        await device.subscribe("1", tabs)
        one = {"all": 1, "open": 1, "inProgress": 0, "unassigned": 0}
        assert [await screen.next(), await device.next()] == [one, one]
        for status, version in (("IN_PROGRESS", 1), ("OPEN", 2), ("IN_PROGRESS", 3)):
            await api.done("ticketSetStatus", "ticket { id }", ticketId=ticket, status=status, ifVersion=version)
        begun = {"all": 1, "open": 0, "inProgress": 1, "unassigned": 0}
        for client in (screen, device):
            while await client.next() != begun:
                pass
        await api.done("ticketAssign", "ticket { id }", ticketId=ticket, technicianId=other)
        assert await device.next() == {"all": 0, "open": 0, "inProgress": 0, "unassigned": 0}
        await api.new_ticket(subject="Something else")
        await screen.quiet(0.6)


async def test_a_services_filter_by_customer_is_silent_about_tickets_that_do_not_reveal_them(api: Api) -> None:
    """Not even a message that shows no change reveals whose account number was guessed."""
    person = {"name": "Silvia Silent", "email": "silvia@silent.example"}
    customer = await api.new_customer(**person, accountNumber="SILENT-1")
    counted = "subscription($filter: TicketFilter) { ticketCountsChanged(filter: $filter) { all } }"
    filter = {"customerId": customer}
    async with (
        api.service("guessing robot") as robot,
        following(robot, filter) as theirs,
        live(robot) as all_counts,
        live(robot) as their_counts,
    ):
        await all_counts.subscribe("1", counted)
        await their_counts.subscribe("1", counted, filter=filter)
        assert await all_counts.next() == await their_counts.next() == {"all": 0}
        await robot.new_ticket(accountNumber="SILENT-1")
        assert await all_counts.next() == {"all": 1}
        known = await robot.new_ticket(contact=person)
        assert (await theirs.next())["ticketId"] == known
        assert await their_counts.next() == {"all": 1}


@pytest.mark.slow
async def test_a_replay_larger_than_the_queue_is_delivered_completely(api: Api) -> None:
    """And so are the events during the replay, which are more than the queue holds too."""
    ticket = await api.new_ticket()
    cursor = (await api("{ tickets(first: 1) { streamCursor } }"))["tickets"]["streamCursor"]
    connection = await asyncpg.connect(api.server.database_url)

    async def describe(text: str) -> None:
        change = {"description": text}
        await event_log.change(connection, BOSS, ticket[4:], TicketEventKind.UPDATED, change, {})

    missed = [f"{n} {'x' * 15_000}" for n in range(300)]
    assert 4 * sum(map(len, missed)) > 4 * QUEUE_BYTES_MAX  # the kernel buffers some of it too
    for text in missed:
        await describe(text)
    meanwhile = [f"{n} {'y' * 250}" for n in range(QUEUE_MAX + 500)]
    transaction = connection.transaction()
    await transaction.start()
    for text in meanwhile:
        await describe(text)
    async with live(api, sock=narrow(api.server.url)) as screen:
        document = """subscription($after: String) { ticketChanged(after: $after) { __typename
            ... on TicketChange { ticket { description b: description c: description d: description } } } }"""
        await screen.subscribe("1", document, after=cursor)
        # The client reads nothing, so the replay waits for it, and the events of the transaction wait behind the
        # replay. The pause is short, because a client that reads nothing for five seconds is disconnected.
        await asyncio.sleep(0.5)
        await transaction.commit()
        await asyncio.sleep(1.5)  # no ring announces these
        received = [await screen.next() for _ in range(len(missed) + len(meanwhile) + 1)]
    await connection.close()
    # The replay ends at the position of the subscription; events committed without a ring follow within a second.
    assert sum(each["__typename"] == "StreamReady" for each in received) == 1
    changes = [each["ticket"]["description"] for each in received if each["__typename"] == "TicketChange"]
    assert changes == missed + meanwhile


@pytest.mark.parametrize("cursor", ["", "nonsense", "AAAA", "A" * 100])
async def test_an_invalid_cursor_is_answered_with_a_reset(api: Api, cursor: str) -> None:
    async with following(api, after=cursor) as screen:
        reset = await screen.next()
        assert (reset["__typename"], reset["reason"]) == ("StreamReset", "CURSOR_UNKNOWN")
        assert (await screen.next())["__typename"] == "StreamReady"
        ticket = await api.new_ticket()
        assert (await screen.next())["ticketId"] == ticket
    async with following(api, after=reset["cursor"]) as screen:
        assert (await screen.next())["ticketId"] == ticket


async def test_a_stream_says_whether_it_has_continued_from_a_cursor(api: Api) -> None:
    """Clients that forget their cursor would otherwise not notice that they miss something."""

    async def first(after: str | None) -> list[tuple[str, bool | None]]:
        async with live(api) as screen:
            await screen.subscribe("1", CHANGES, filter=None, after=after)
            received: list[tuple[str, bool | None]] = []
            while not received or received[-1][0] != "StreamReady":
                message = await screen.next()
                received.append((message["__typename"], message.get("resumed")))
            return received

    cursor = (await api("{ tickets(first: 1) { streamCursor } }"))["tickets"]["streamCursor"]
    await api.new_ticket()
    assert await first(None) == [("StreamReady", False)]
    assert await first(cursor) == [("TicketChange", None), ("StreamReady", True)]
    assert await first("nonsense") == [("StreamReset", None), ("StreamReady", False)]


async def test_a_future_cursor_is_answered_with_a_reset(api: Api) -> None:
    cursors = StreamCursors(await identity(api))
    async with following(api, after=cursors.seal(f"{2**40}:{2**40}:/0")) as screen:
        assert (await screen.next())["reason"] == "CURSOR_UNKNOWN"


async def test_every_field_of_a_stream_has_a_value_of_its_type(api: Api) -> None:
    notes = """subscription($ticket: ID!, $after: String) { noteAdded(ticketId: $ticket, after: $after) { __typename
        ... on NoteAdded { cursor note { id body ticket { id } author { name } } }
        ... on StreamReady { cursor } ... on StreamReset { cursor reason } } }"""
    added = """subscription($ticket: ID!) { ticketFollow(id: $ticket) { __typename
        ... on TicketChange { note { id } attachment { id } assignment { id } deliveries { id } } } }"""
    entries = """subscription { auditEntryAdded { __typename ... on AuditEntryAdded { cursor entry { id } } } }"""
    changes = CHANGES.replace(" at ", " at occurredAt key ")
    ticket = await api.new_ticket()
    async with live(api) as screen:
        await screen.subscribe("changes", changes, filter=None, after="nonsense")
        await screen.subscribe("entries", entries)
        await screen.subscribe("notes", notes, ticket=ticket, after="nonsense")
        await screen.subscribe("counts", "subscription { ticketCountsChanged { all open } }")
        await screen.subscribe("added", added, ticket=ticket)
        await screen.subscribe("window", "subscription { ticketsLive(filter: {status: []}) { __typename } }")
        for _ in range(8):  # two resets, four ready messages, the counts and a snapshot
            await screen.receive()
        of_device = {"idempotencyKey": "called", "occurredAt": datetime.now(UTC).isoformat()}
        await api.done("noteAdd", "note { id }", ticketId=ticket, body="Called.", **of_device)
        technician = await api.new_technician()
        await api.done("ticketAssign", "ticket { id }", ticketId=ticket, technicianId=technician)
        await attach(api, b"Three keys.", ticketId=ticket, name="keys.txt", contentType="text/plain")
        for _ in range(8):  # three changes, all of them twice, a note and an entry
            await screen.receive()
        types = [
            type_
            for name in OF_STREAMS - OBJECT_CHANGES - {"DeliveryChange", "TicketPresence"}
            if is_object_type(type_ := SCHEMA.type_map[name])
        ]
        there = {f"{type_.name}.{name}" for type_ in types for name in type_.fields}
        assert there - screen.seen == {f"Subscription.{each[0].lower()}{each[1:]}d" for each in OBJECT_CHANGES}


async def test_queries_are_answered_over_the_socket(api: Api) -> None:
    async with live(api) as socket:
        await socket.subscribe("q", "{ me { role } }")
        assert await socket.receive() == {"id": "q", "type": "next", "payload": {"data": {"me": {"role": "ADMIN"}}}}
        assert await socket.receive() == {"id": "q", "type": "complete"}


async def test_operations_on_one_socket_run_independently(api: Api) -> None:
    async with live(api) as socket:
        for id, filter in (("open", {"status": ["OPEN"]}), ("all", None)):
            await socket.subscribe(id, CHANGES, filter=filter)
            assert (await socket.receive())["id"] == id
        ticket = await api.new_ticket()
        assert {(await socket.receive())["id"] for _ in range(2)} == {"open", "all"}
        await socket.send(id="open", type="complete")
        await socket.send(type="ping")
        assert await socket.receive() == {"type": "pong"}
        await api.done("ticketUpdate", "ticket { id }", ticketId=ticket, priority="LOW")
        assert (await socket.receive())["id"] == "all"
        await socket.quiet()
        await socket.subscribe("open", CHANGES)
        assert (await socket.next())["__typename"] == "StreamReady"


async def test_an_invalid_operation_is_refused_without_affecting_others(api: Api) -> None:
    customer = await api.new_customer()
    async with following(api.customer(customer)) as socket:
        for query, variables, code in (
            ("subscription {", {}, "GRAPHQL_PARSE_FAILED"),
            ("subscription { nothing }", {}, "GRAPHQL_VALIDATION_FAILED"),
            (
                "subscription { a: noteAdded(ticketId: 1) { __typename } b: noteAdded(ticketId: 1) { __typename } }",
                {},
                "GRAPHQL_VALIDATION_FAILED",
            ),
            ('subscription { noteAdded(ticketId: "cus_1") { __typename } }', {}, "BAD_USER_INPUT"),
            (CHANGES, {"filter": {"status": "BROKEN"}}, "BAD_USER_INPUT"),
            ("subscription { ticketChanged { ... on TicketChange { ticket { chat { body } } } } }", {}, "FORBIDDEN"),
            ("query A { me { role } } query B { me { role } }", {}, "BAD_REQUEST"),
        ):
            await socket.subscribe("bad", query, **variables)
            message = await socket.receive()
            assert (message["id"], message["type"]) == ("bad", "error"), message
            assert {error["extensions"]["code"] for error in message["payload"]} == {code}
        await api.new_ticket(customerId=customer)
        assert (await socket.next())["change"] == "ENTERED"


async def test_a_subscription_over_plain_http_is_refused(api: Api) -> None:
    answer = await api.respond("subscription { ticketChanged { __typename } }")
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["BAD_REQUEST"]


# Losing access


async def test_an_inactive_technician_is_disconnected(api: Api) -> None:
    technician = await api.new_technician()
    async with following(api.technician(technician)) as device, following(api) as screen:
        await api.done("technicianUpdate", "technician { id }", technicianId=technician, active=False)
        assert (await device.closed())[0] == 4403
        await api.new_ticket()
        assert (await screen.next())["change"] == "ENTERED"


async def test_connections_stay_while_the_database_cannot_confirm_access(
    api: Api, server: Server, database: Database
) -> None:
    technician = await api.new_technician()
    made = await api.done("apiKeyCreate", "secret", name="A robot that stays")
    async with following(api.technician(technician)) as device, socket(api.server.url) as robot:
        await robot.send(type="connection_init", payload={"authorization": f"Bearer {made['secret']}"})
        assert (await robot.receive())["type"] == "connection_ack"
        tables = ("technicians", "api_keys")
        for table in tables:
            await database.execute(f"ALTER TABLE {table} RENAME TO {table}_away")
        async with asyncio.timeout(WITHIN):
            while not server.process.records("callout.live.operations"):  # noqa: ASYNC110 (there is no event to wait for)
                await asyncio.sleep(0.05)
        for table in tables:
            await database.execute(f"ALTER TABLE {table}_away RENAME TO {table}")
        await api.new_ticket(technicianId=technician)
        assert (await device.next())["change"] == "ENTERED"
        await robot.subscribe("1", "{ me { role } }")
        assert await robot.next() == {"role": "SERVICE"}


async def test_a_client_with_a_revoked_key_is_disconnected(api: Api) -> None:
    made = await api.done("apiKeyCreate", "secret apiKey { id }", name="A robot")
    async with socket(api.server.url) as robot:
        await robot.send(type="connection_init", payload={"authorization": f"Bearer {made['secret']}"})
        assert (await robot.receive())["type"] == "connection_ack"
        await robot.subscribe("1", CHANGES)
        assert (await robot.next())["__typename"] == "StreamReady"
        await api.done("apiKeyRevoke", "apiKey { id }", apiKeyId=made["apiKey"]["id"])
        assert (await robot.closed())[0] == 4403


async def test_a_client_whose_key_expires_or_gets_another_scope_is_disconnected(api: Api, database: Database) -> None:
    """The other one of the two stays, and the scope of the new connection is the new one."""
    narrowed, extended = [
        await api.done("apiKeyCreate", "secret apiKey { id }", name="A robot", expiresAt="2200-01-01T00:00:00Z")
        for _ in range(2)
    ]
    with_narrowed, with_extended = api.with_token(narrowed["secret"]), api.with_token(extended["secret"])
    async with live(with_narrowed) as first, live(with_extended) as stays:
        await first.subscribe("1", CHANGES)
        assert (await first.next())["__typename"] == "StreamReady"
        await api.done("apiKeyUpdate", "__typename", apiKeyId=narrowed["apiKey"]["id"], scope="MAIL_GATEWAY")
        assert await first.closed() == (4403, "Forbidden")
        await asyncio.sleep(REMEMBER_SECONDS)
        async with live(with_narrowed) as second:
            await second.subscribe("1", CHANGES)
            assert (await second.receive())["payload"][0]["extensions"]["code"] == "FORBIDDEN"
        await api.done("apiKeyUpdate", "__typename", apiKeyId=extended["apiKey"]["id"], name="Renamed", expiresAt=None)
        await stays.subscribe("1", "{ me { role } }")
        assert await stays.next() == {"role": "SERVICE"}
        expire = "UPDATE api_keys SET expires_at = now() WHERE id::text = $1"
        await database.execute(expire, extended["apiKey"]["id"].removeprefix("key_"))
        assert await stays.closed() == (4403, "Forbidden")
    async with socket(api.server.url) as again:
        await again.send(type="connection_init", payload={"authorization": f"Bearer {extended['secret']}"})
        assert await again.closed() == (4403, "Forbidden: The API key has expired.")


async def test_a_connection_ends_when_its_token_expires(api: Api) -> None:
    token = mint(api.server.settings, role=Role.ADMIN, subject="boss", name="The Boss", ttl=2 - LEEWAY_SECONDS)
    async with socket(api.server.url) as screen:
        await screen.send(type="connection_init", payload={"Authorization": f"Bearer {token}"})
        assert (await screen.receive())["type"] == "connection_ack"
        assert await screen.closed() == (4403, "Forbidden: the token has expired")
    async with socket(api.server.url) as screen:
        await screen.send(type="connection_init", payload={"Authorization": f"Bearer {token}"})
        assert await screen.closed() == (4403, "Forbidden: The token has expired.")


async def identity(api: Api) -> str:
    connection = await asyncpg.connect(api.server.database_url)
    try:
        return str(await connection.fetchval("SELECT identity FROM event_log"))
    finally:
        await connection.close()


# `callout follow`


@contextmanager
def follower(api: Api, lines: Path) -> Iterator[None]:
    token = api.http.headers["authorization"].removeprefix("Bearer ")
    url = api.server.url.replace("http", "ws") + "/graphql"
    command = [sys.executable, "-m", "callout", "follow", "--token", token, "--url", url]
    with lines.open("wb") as out, subprocess.Popen(command, stdout=out) as client:
        yield
        client.terminate()


async def test_callout_follow_continues_after_a_restart_of_the_server(tmp_path: Path, fresh_url: str) -> None:
    """Two servers run one after the other on one port; the second delivers the event written in between."""
    port = str(free_port())
    settings = {"database_url": fresh_url, "jwt_secret": "of these tests, and of thirty-two bytes at least"}
    known = Settings(env="production", data_dir=tmp_path, **settings)  # type: ignore[arg-type]
    url = f"http://127.0.0.1:{port}"
    lines = tmp_path / "lines"

    async def shown(text: str) -> None:
        async with asyncio.timeout(WITHIN):
            while text not in lines.read_text():  # noqa: ASYNC110 (there is no event to wait for)
                await asyncio.sleep(0.05)

    with ExitStack() as stack:
        process = stack.enter_context(callout_process(tmp_path, port=port, **settings))
        async with Api(Server(url, known, fresh_url, process)) as api:
            stack.enter_context(follower(api, lines))
            await shown("ready")
            ticket = await api.new_ticket(subject="Bell tower")
            await shown("ENTERED CREATED")
        os.kill(process.pid, signal.SIGTERM)
        await shown("reconnecting from the last cursor")
        connection = await asyncpg.connect(fresh_url)
        await event_log.change(connection, BOSS, ticket[4:], TicketEventKind.UPDATED, {"subject": "Bell tolls"}, {})
        await connection.close()
        below = tmp_path / "second"
        below.mkdir()
        stack.enter_context(callout_process(below, port=port, **settings))
        await shown("Bell tolls  (by Somebody else)")
    assert lines.read_text().count("Bell tolls") == lines.read_text().count("Bell tower") == 1


async def test_the_log_is_not_read_without_subscribers(fresh_url: str, tmp_path: Path) -> None:
    last_read = "SELECT state_change FROM pg_stat_activity WHERE application_name = 'callout tail'"
    last_read += " AND datname = current_database()"
    with callout_process(tmp_path, database_url=fresh_url, jwt_secret=SECRET) as process:
        database = await asyncpg.connect(fresh_url)
        async with Api(server_of(process, fresh_url)) as api:
            for _ in range(2):
                async with following(api) as screen:
                    await api.new_ticket()
                    assert (await screen.next())["change"] == "ENTERED"
                await until(database, "true FROM pg_sleep(2)")  # for the last look to end
                before = await database.fetchval(last_read)
                await api.new_ticket()
                await until(database, "true FROM pg_sleep(1.5)")
                assert await database.fetchval(last_read) == before
        await database.close()


# Pages of changes


async def test_pages_have_the_same_changes_as_the_stream(api: Api) -> None:
    technician = await api.new_technician()
    async with api.technician(technician) as device:
        mine = {"assignee": {"me": True}}
        start = await fetch_page(device, filter=mine)
        assert (start["nodes"], start["hasMore"], start["reset"]) == ([], False, None)
        async with following(device, mine, start["cursor"]) as screen:
            assert (await screen.next())["__typename"] == "StreamReady"
            ticket = await api.new_ticket(technicianId=technician)
            for _ in range(2):
                for priority in ("LOW", "HIGH"):
                    await api.done("ticketUpdate", "ticket { id }", ticketId=ticket, priority=priority)
            await api.new_ticket()  # not visible to this technician
            await api.done("ticketAssign", "ticket { id }", ticketId=ticket, technicianId=None)
            received = [await screen.next() for _ in range(6)]
        pages = []
        cursor, more = start["cursor"], True
        while more:
            page = await fetch_page(device, filter=mine, after=cursor, first=4)
            pages.append(page["nodes"])
            cursor, more = page["cursor"], page["hasMore"]
        assert [len(page) for page in pages] == [4, 2]
        nodes = [node for page in pages for node in page]
        assert [(each["change"], each["kind"]) for each in nodes] == [
            (each["change"], each["kind"]) for each in received
        ]
        assert nodes[-1]["change"] == "LEFT" and nodes[-1]["ticket"] is None
        assert (await fetch_page(device, filter=mine, after=cursor))["nodes"] == []
        # Pages and streams accept each other's cursors.
        assert [
            each["kind"] for each in (await fetch_page(device, filter=mine, after=received[2]["cursor"]))["nodes"]
        ] == [each["kind"] for each in received[3:]]
        async with following(device, mine, nodes[3]["cursor"]) as screen:
            assert [(await screen.next())["kind"] for _ in range(2)] == [each["kind"] for each in received[4:]]
            assert (await screen.next())["__typename"] == "StreamReady"


async def test_a_page_says_whether_there_are_more_changes(api: Api) -> None:
    """Also if it is exactly full, or read event by event because each message is costly."""
    start = (await fetch_page(api))["cursor"]
    tickets = [await api.new_ticket() for _ in range(3)]
    for size, more in ((2, True), (3, False), (4, False)):
        page = await fetch_page(api, after=start, first=size)
        assert ([each["ticketId"] for each in page["nodes"]], page["hasMore"]) == (tickets[:size], more)
        rest = await fetch_page(api, after=page["cursor"], first=size)
        assert ([each["ticketId"] for each in rest["nodes"]], rest["hasMore"]) == (tickets[size:], False)
    costly = """query($after: String) { ticketEvents(after: $after, first: 1) { cursor hasMore nodes { ticketId
        ticket { customer { tickets(first: 100) { nodes { notes(first: 60) { nodes { id body } } } } } } } } }"""
    cursor = start
    for ticket, more in zip(tickets, (True, True, False), strict=True):
        page = (await api(costly, after=cursor))["ticketEvents"]
        assert ([each["ticketId"] for each in page["nodes"]], page["hasMore"]) == ([ticket], more)
        cursor = page["cursor"]


async def test_pages_of_changes_have_aliases_bounds_and_resets(api: Api) -> None:
    start = (await fetch_page(api))["cursor"]
    ticket = await api.new_ticket()
    data = await api(
        "query($after: String) { one: ticketEvents(after: $after) { __typename a: nodes { kind } b: nodes { ticketId "
        "changedFields at actor { name } } at: cursor } two: ticketEvents { hasMore } }",
        after=start,
    )
    assert data["one"]["__typename"] == "TicketChangePage"
    assert data["one"]["a"] == [{"kind": "CREATED"}] and data["one"]["b"][0]["ticketId"] == ticket
    for first in (0, 101):
        with pytest.raises(Refusal) as refusal:
            await fetch_page(api, first=first)
        assert refusal.value.codes == ["BAD_USER_INPUT"]
    unknown = await fetch_page(api, after="nonsense")
    assert (unknown["nodes"], unknown["reset"]) == ([], "CURSOR_UNKNOWN")
    assert (await fetch_page(api, after=unknown["cursor"]))["reset"] is None


# Pruned events


SETTLED = "bool_and(xid < pg_snapshot_xmin(pg_current_snapshot())) FROM ticket_events"
FOLDED = """bool_and(pg_visible_in_snapshot(xid, counted) AND pg_visible_in_snapshot(xid, service_counted))
    FROM ticket_events, event_log"""


async def counted(api: Api, database: Database) -> None:
    """Waits until all events can be pruned: no older transaction runs, even in another test's database, and the events
    are folded into the counts."""
    await until(database, SETTLED)
    await api.new_ticket()
    await counts.fold(database)
    await until(database, FOLDED)


async def prune(database: Database, kept: timedelta) -> None:
    """Prunes as if the horizon had been announced long ago."""
    await database.execute("UPDATE event_log SET horizon_at = now() - interval '30 days'")
    await event_log.prune(database, kept, timedelta(minutes=10))


async def reset_of(api: Api, cursor: str) -> str | None:
    """Returns the reset reason of a stream and of a page from this cursor, or None if they continue."""
    page = await fetch_page(api, after=cursor)
    async with following(api, after=cursor) as screen:
        first = await screen.next()
    assert first.get("reason") == page["reset"]
    reason: str | None = page["reset"]
    return reason


async def test_a_cursor_expires_before_an_event_after_it_is_pruned(
    api: Api, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cursor was made while a transaction was open that committed later, and the horizon lies right after that
    transaction. A cursor at the horizon still has all events after it."""
    nothing, much = timedelta(0), timedelta(days=1)
    late = await api.new_ticket()
    await counted(api, database)
    for _ in range(2):
        await prune(database, nothing)
    another = await asyncpg.connect(api.server.database_url)
    async with another.transaction():
        await event_log.change(another, BOSS, late[4:], TicketEventKind.UPDATED, {"priority": "HIGH"}, {})
        kept = await api.new_ticket()
        cursor = (await fetch_page(api))["cursor"]
    await another.close()
    assert [node["ticketId"] for node in (await fetch_page(api, after=cursor))["nodes"]] == [late]
    await counted(api, database)
    monkeypatch.setattr(event_log, "LOOKED_AT", 2)  # the event that pruning left, and the late one
    await prune(database, nothing)
    horizon = int(await database.fetchval("SELECT horizon::text FROM event_log"))
    assert horizon == await database.fetchval("SELECT xid FROM ticket_events WHERE ticket_id = $1", kept[4:])
    for _ in range(2):  # announced, then deleted
        assert await reset_of(api, cursor) == "CURSOR_EXPIRED"
        await prune(database, much)
    assert await database.fetchval("SELECT min(xid::text::bigint) FROM ticket_events") == horizon

    cursors, now = StreamCursors(await identity(api)), datetime.now(UTC)
    at, before, behind = [await position_at(database, f"{xid}:{xid}:") for xid in (horizon, horizon - 1, horizon + 1)]
    page = await fetch_page(api, after=cursors.seal(at))
    assert (page["nodes"][0]["ticketId"], page["reset"]) == (kept, None)
    assert await reset_of(api, cursors.seal(at)) is None
    for expired in (StreamPosition(before), StreamPosition(before, behind, now, new_id())):
        assert await reset_of(api, expired.sealed(cursors)) == "CURSOR_EXPIRED"


async def test_a_page_cursor_or_a_future_cursor_is_unknown(api: Api, database: Database) -> None:
    listed = (await api("{ tickets(first: 1) { streamCursor pageInfo { endCursor } } }"))["tickets"]
    assert await reset_of(api, listed["pageInfo"]["endCursor"]) == "CURSOR_UNKNOWN"
    with pytest.raises(Refusal) as refusal:
        await api("query($after: String) { tickets(after: $after) { totalCount } }", after=listed["streamCursor"])
    assert refusal.value.codes == ["BAD_USER_INPUT"]
    cursors, at = StreamCursors(await identity(api)), datetime.now(UTC)
    last = await database.fetchval("SELECT xid::text::bigint FROM ticket_events ORDER BY xid DESC LIMIT 1")
    now, future = [await position_at(database, f"{xid}:{xid}:") for xid in (last + 1, last + 2)]
    for known_here in (StreamPosition(now), StreamPosition(now, now, at, new_id())):
        assert await reset_of(api, known_here.sealed(cursors)) is None
    for unknown in (StreamPosition(future), StreamPosition(now, future, at, new_id())):
        assert await reset_of(api, unknown.sealed(cursors)) == "CURSOR_UNKNOWN"


async def test_a_server_prunes_events_older_than_its_retention_and_keeps_its_counts(
    fresh_url: str, tmp_path: Path
) -> None:
    database = await asyncpg.connect(fresh_url)
    pool = await Pool.open(fresh_url, size=1)
    cursors = StreamCursors(await event_log.identity(pool))
    await pool.close()
    ticket = await create(database, ("ADMIN", "boss"))
    for priority in ("LOW", "HIGH"):
        await change(database, ticket, "UPDATED", f"priority = '{priority}'")
    await database.execute("ALTER TABLE ticket_events DISABLE TRIGGER ticket_events_final")
    await database.execute(
        "UPDATE ticket_events SET at = at - CASE after ->> 'priority' WHEN 'HIGH' THEN interval '2 hours'"
        " ELSE interval '2 days' END"
    )
    await database.execute("ALTER TABLE ticket_events ENABLE TRIGGER ticket_events_final")
    await until(database, SETTLED)
    await counts.fold(database)
    await prune(database, timedelta(days=1))
    await database.execute("UPDATE event_log SET horizon_at = now() - interval '1 hour'")
    horizon = await database.fetchval("SELECT horizon FROM event_log")
    assert await database.fetchval("SELECT count(*) FROM ticket_events") == 3
    await change(database, ticket, "UPDATED", "priority = 'URGENT'")
    with callout_process(tmp_path, database_url=fresh_url, jwt_secret=SECRET, event_retention_days="1") as process:
        async with Api(server_of(process, fresh_url)) as api:
            await until(database, "count(*) = 2 FROM ticket_events")
            await until(database, FOLDED)  # the server folds them
            data = await api(
                "query($id: ID!) { ticket(by: {id: $id}) { history { nodes { kind } } } ticketCounts { all } }",
                id=f"tkt_{ticket}",
            )
            assert [each["kind"] for each in data["ticket"]["history"]["nodes"]] == ["UPDATED", "UPDATED"]
            assert data["ticketCounts"] == {"all": 1}
            assert await reset_of(api, cursors.seal("3:3:/0")) == "CURSOR_EXPIRED"
            assert await database.fetchval("SELECT horizon FROM event_log") == horizon
    await database.close()


async def test_a_cursor_with_too_many_events_after_it_is_answered_with_an_overflow(
    fresh_url: str, tmp_path: Path
) -> None:
    with callout_process(tmp_path, database_url=fresh_url, jwt_secret=SECRET) as process:
        async with Api(server_of(process, fresh_url)) as api:
            start = (await fetch_page(api))["cursor"]
            ticket = await api.new_ticket()
            database = await asyncpg.connect(fresh_url)
            happened = (
                "INSERT INTO ticket_events (ticket_id, kind, actor_kind, actor_id, actor_name, at, before, after)"
                " SELECT ticket_id, 'UPDATED', actor_kind, actor_id, actor_name, at + n * interval '1 ms', after, after"
                " FROM ticket_events, generate_series($1::int, $2::int) AS n WHERE kind = 'CREATED'"
            )
            await database.execute(happened, 1, REPLAY_MAX - 1)
            at_the_bound = await fetch_page(api, after=start, first=1)
            assert (len(at_the_bound["nodes"]), at_the_bound["reset"]) == (1, None)
            await database.execute(happened, REPLAY_MAX, REPLAY_MAX)
            await database.close()
            assert (await fetch_page(api, after=start))["reset"] == "OVERFLOW"
            customer = await api.new_customer()
            async with following(api.customer(customer)) as screen:
                await api.new_ticket(customerId=customer)
                await screen.next()  # so that the server has read all earlier events
            async with following(api, after=start) as screen:
                reset = await screen.next()
                assert (reset["__typename"], reset["reason"]) == ("StreamReset", "OVERFLOW")
                assert (await screen.next())["__typename"] == "StreamReady"
                await api.done("ticketUpdate", "ticket { id }", ticketId=ticket, priority="HIGH")
                assert (await screen.next())["change"] == "UPDATED"
            async with following(api, after=reset["cursor"]) as screen:
                assert (await screen.next())["changedFields"] == ["priority"]
