"""One stream for a ticket's page: what happens to the ticket, with what was added to it in the message itself."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from contextlib import ExitStack, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from graphql import is_object_type
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from db.events import log as event_log
from db.ids import new_id
from tests.helpers.api import SCHEMA, Api, Server
from tests.helpers.database_checks import Database, key, until
from tests.helpers.graphql_ws_client import WITHIN, Socket, live
from tests.helpers.paths import ROOT
from tests.helpers.process import callout_process, free_port
from tests.helpers.stress import BOSS, SECRET, server_of

FOLDED = "bool_and(pg_visible_in_snapshot(xid, delivery_fingerprinted)) FROM delivery_events, event_log"
LIVE = ROOT / "docs" / "live.md"
QUEUED, DELIVERY = "deliveries { audience state recipient }", "delivery { id audience state said }"
FOLLOW = """subscription($ticket: ID!, $after: String) { ticketFollow(id: $ticket, after: $after) {
    __typename
    ... on TicketChange {
      cursor at change kind ticketId changedFields ticket { version status }
      note { body internalOnly } attachment { name internalOnly } assignment { state } %s }
    ... on DeliveryChange { cursor ticketId state at %s }
    ... on StreamReady { cursor resumed } ... on StreamReset { cursor reason } } }"""


def document(viewer: Api) -> str:
    return FOLLOW % ((QUEUED, DELIVERY) if viewer.role in ("ADMIN", "TECHNICIAN") else ("", ""))


async def follow(screen: Socket, viewer: Api, ticket: str, after: str | None = None, id: str = "1") -> list[Any]:
    """Subscribes, and returns the messages before `StreamReady`."""
    await screen.subscribe(id, document(viewer), ticket=ticket, after=after)
    received = []
    while (message := await screen.next())["__typename"] != "StreamReady":
        received.append(message)
    return received


async def test_each_change_has_what_it_added(api: Api) -> None:
    technician = await api.new_technician(name="Tess")
    ticket, other = await api.new_ticket(), await api.new_ticket()
    async with live(api) as screen:
        assert await follow(screen, api, ticket) == []
        await api.done("noteAdd", "__typename", ticketId=other, body="Not here.")
        await api.done("noteAdd", "__typename", ticketId=ticket, body="They are difficult.")
        await api.done("ticketAssign", "__typename", ticketId=ticket, technicianId=technician)
        noted, assigned = await screen.next(), await screen.next()
        assert noted["note"] == {"body": "They are difficult.", "internalOnly": True}
        assert (noted["kind"], noted["change"], noted["deliveries"]) == ("NOTE_ADDED", "UPDATED", [])
        assert (assigned["kind"], assigned["note"], assigned["ticket"]["version"]) == ("ASSIGNED", None, 2)
        assert [each["audience"] for each in assigned["deliveries"]] == ["TECHNICIAN"]
        assert assigned["assignment"] == {"state": "OFFERED"}
        offered = await api("query($id: ID!) { ticket(by: {id: $id}) { assignment { id } } }", id=ticket)
        step = {"assignmentId": offered["ticket"]["assignment"]["id"], "to": "EN_ROUTE"}
        async with api.technician(technician) as tess:
            await tess.done("assignmentAdvance", "__typename", **step)
        under_way = await screen.next()
        assert (under_way["kind"], under_way["changedFields"]) == ("ASSIGNMENT_ADVANCED", ["assignmentState"])
        assert under_way["assignment"] == {"state": "EN_ROUTE"}
        await api.done("ticketUpdate", "__typename", ticketId=ticket, subject="Still beeping")
        assert (await screen.next())["assignment"] is None


async def test_the_page_on_live_updates_follows_a_ticket(api: Api) -> None:
    pages = re.findall(r"^```graphql\n(subscription Page.*?)^```$", LIVE.read_text(), re.DOTALL | re.MULTILINE)
    ticket = await api.new_ticket()
    read = await api("query($id: ID!) { tickets(filter: {ids: [$id]}) { streamCursor nodes { id } } }", id=ticket)
    await api.done("noteAdd", "__typename", ticketId=ticket, body="Called.")
    assert read["tickets"]["nodes"] == [{"id": ticket}]
    async with live(api) as screen:
        for page in pages:
            await screen.subscribe("1", page, ticket=ticket, after=read["tickets"]["streamCursor"])
            assert (await screen.next())["note"]["body"] == "Called."
            assert (await screen.next())["resumed"] is True
    assert len(pages) == 1


async def test_the_customer_sees_what_is_public_and_nothing_of_the_rest(api: Api) -> None:
    customer = await api.new_customer()
    ticket = await api.new_ticket(customerId=customer)
    async with live(api.customer(customer)) as screen:
        assert await follow(screen, api.customer(customer), ticket) == []
        await api.done("noteAdd", "__typename", ticketId=ticket, body="They are difficult.")
        await api.done("noteAdd", "__typename", ticketId=ticket, body="On our way.", internalOnly=False)
        assert (await screen.next())["note"] == {"body": "On our way.", "internalOnly": False}
        await screen.quiet()


async def test_a_ticket_that_is_lost_from_sight_leaves(api: Api) -> None:
    one, other = await api.new_technician(), await api.new_technician()
    ticket = await api.new_ticket(technicianId=one)
    device = api.technician(one)
    async with live(device) as screen:
        assert await follow(screen, device, ticket) == []
        await api.done("ticketAssign", "__typename", ticketId=ticket, technicianId=other)
        left = await screen.next()
        assert (left["change"], left["ticket"], left["note"], left["deliveries"]) == ("LEFT", None, None, [])
        await api.done("noteAdd", "__typename", ticketId=ticket, body="He is gone.")
        await screen.quiet()


async def deliver(database: Database, ticket: str, audience: str, state: str, said: str) -> None:
    """Does what a worker does that has attempted a delivery, without ringing the bell."""
    done = await database.execute(
        "UPDATE deliveries SET state = $3::delivery_state, said = $4, screened_at = now(),"
        " finished_at = CASE WHEN $3::delivery_state <> 'PENDING' THEN now() END"
        " WHERE ticket_id = $1 AND audience = $2",
        *(key(ticket), audience, state, said),
    )
    assert done == "UPDATE 1"


async def test_a_delivery_is_followed_to_its_end(api: Api, database: Database) -> None:
    """By those who see it: not every technician sees all of a ticket's deliveries, and a customer sees none."""
    technician, customer = await api.new_technician(), await api.new_customer()
    await api.done("supportSettingsUpdate", "__typename", adminRecipients=["office@example.com"])
    ticket = await api.new_ticket(customerId=customer, technicianId=technician)
    other = await api.new_ticket(customerId=customer, technicianId=technician)
    device, portal = api.technician(technician), api.customer(customer)
    async with live(api) as screen, live(device) as phone, live(portal) as page:
        for socket, viewer in ((screen, api), (phone, device), (page, portal)):
            assert await follow(socket, viewer, ticket) == []
        await deliver(database, other, "CUSTOMER", "SENT", "250 OK")
        await deliver(database, ticket, "CUSTOMER", "PENDING", "451 Later")
        await deliver(database, ticket, "ADMIN", "SENT", "250 OK")
        await deliver(database, ticket, "CUSTOMER", "DEAD", "550 No")
        received = [await screen.next() for _ in range(3)]
        seen = [(each["state"], each["delivery"]["audience"], each["ticketId"]) for each in received]
        assert seen == [("PENDING", "CUSTOMER", ticket), ("SENT", "ADMIN", ticket), ("DEAD", "CUSTOMER", ticket)]
        assert [(await phone.next())["state"] for _ in range(2)] == ["PENDING", "DEAD"]
        await api.done("deliveryRetry", "__typename", deliveryId=received[2]["delivery"]["id"])
        assert [(await each.next())["state"] for each in (screen, phone)] == ["PENDING", "PENDING"]
        await asyncio.gather(*(each.quiet(0.2) for each in (screen, phone, page)))
        type_ = SCHEMA.type_map["DeliveryChange"]
        assert is_object_type(type_) and {f"DeliveryChange.{name}" for name in type_.fields} <= screen.seen


async def test_from_each_cursor_on_the_rest_arrives_once(api: Api, database: Database) -> None:
    """Whether the message before was about the ticket or a delivery."""
    technician = await api.new_technician()
    ticket = await api.new_ticket()
    async with live(api) as screen:
        assert await follow(screen, api, ticket) == []
        await api.done("ticketAssign", "__typename", ticketId=ticket, technicianId=technician)
        await api.done("noteAdd", "__typename", ticketId=ticket, body="Called.")
        await deliver(database, ticket, "TECHNICIAN", "PENDING", "451 Later")
        await api.done("ticketSetStatus", "__typename", ticketId=ticket, status="IN_PROGRESS")
        await deliver(database, ticket, "TECHNICIAN", "SENT", "250 OK")
        received = [await screen.next() for _ in range(5)]
        kinds = [each["__typename"] for each in received]
        assert kinds == ["TicketChange", "TicketChange", "DeliveryChange", "TicketChange", "DeliveryChange"]
        for number, message in enumerate(received, 1):
            again = await follow(screen, api, ticket, message["cursor"], f"again {number}")
            assert [each["at"] for each in again] == [each["at"] for each in received[number:]]
            await screen.send(id=f"again {number}", type="complete")


async def test_a_lost_change_of_a_delivery_resets_those_who_have_seen_it(api: Api, database: Database) -> None:
    """As after a failover to a standby that did not have it, folded into the stored fingerprint or not."""
    ticket = await api.new_ticket(technicianId=await api.new_technician())
    for folded in (False, True):
        async with live(api) as screen:
            assert await follow(screen, api, ticket) == []
            await deliver(database, ticket, "TECHNICIAN", "PENDING", f"451 Later, {folded}")
            seen = (await screen.next())["cursor"]
            if folded:
                await until(database, FOLDED)
            await remove_delivery_events(database)
            reset = await screen.next()
            assert (reset["__typename"], reset["reason"]) == ("StreamReset", "CURSOR_UNKNOWN")
            assert (await screen.next())["__typename"] == "StreamReady"
            again = await follow(screen, api, ticket, seen, "again")
            assert [each["reason"] for each in again] == ["CURSOR_UNKNOWN"]


async def remove_delivery_events(database: Database) -> None:
    """Removes all of them as if they had never been written."""
    async with database.transaction():
        await database.execute("SELECT FROM event_log FOR UPDATE")  # nobody folds meanwhile
        await database.execute(
            "UPDATE event_log SET delivery_fingerprint = delivery_fingerprint # (SELECT"
            " coalesce(bit_xor(uuid_hash_extended(event.id, 0)), 0) FROM delivery_events AS event"
            " WHERE pg_visible_in_snapshot(event.xid, delivery_fingerprinted))"
        )
        await database.execute("DELETE FROM delivery_events")


@pytest.mark.slow
async def test_everything_arrives_once_while_the_server_is_killed(tmp_path: Path, fresh_url: str) -> None:
    """Events of both logs, written without a break, to a client that goes on from its last cursor."""
    port, database = str(free_port()), await asyncpg.connect(fresh_url)
    received: list[str] = []

    async def write(ticket: str, over: asyncio.Event) -> None:
        while not over.is_set():
            await event_log.note(database, BOSS, key(ticket), new_id(), "n", internal_only=False)
            await deliver(database, ticket, "TECHNICIAN", "PENDING", new_id())
            await asyncio.sleep(0.01)

    async def listen(server: Server, ticket: str, cursor: str) -> None:
        while True:
            with suppress(OSError, ConnectionClosed, InvalidHandshake):
                async with Api(server) as viewer, live(viewer) as screen:
                    await screen.subscribe("1", document(viewer), ticket=ticket, after=cursor)
                    while message := await screen.next():
                        assert message["__typename"] != "StreamReset"
                        cursor = message["cursor"]
                        received.extend([message["at"]] if "at" in message else [])
            await asyncio.sleep(0.1)

    async def arrived(number: int) -> None:
        async with asyncio.timeout(WITHIN):
            while len(received) < number:  # noqa: ASYNC110 (there is no event to wait for)
                await asyncio.sleep(0.02)

    with ExitStack() as stack:
        process = stack.enter_context(callout_process(tmp_path, database_url=fresh_url, jwt_secret=SECRET, port=port))
        server, over = server_of(process, fresh_url), asyncio.Event()
        async with Api(server) as api:
            ticket = await api.new_ticket(technicianId=await api.new_technician())
            cursor = (await api("{ tickets { streamCursor } }"))["tickets"]["streamCursor"]
        writing = asyncio.create_task(write(ticket, over))
        listening = asyncio.create_task(listen(server, ticket, cursor))
        for _ in range(2):
            await arrived(len(received) + 20)
            os.kill(process.pid, signal.SIGKILL)
            process = await asyncio.to_thread(
                stack.enter_context, callout_process(tmp_path, database_url=fresh_url, jwt_secret=SECRET, port=port)
            )
        await arrived(len(received) + 20)
        over.set()
        await writing
        logs = "SELECT at FROM ticket_events WHERE kind = 'NOTE_ADDED' UNION ALL SELECT at FROM delivery_events"
        written = [row["at"] for row in await database.fetch(f"SELECT at FROM ({logs}) AS event ORDER BY at")]
        await arrived(len(written))
        listening.cancel()
        await database.close()
    assert sorted(map(datetime.fromisoformat, received)) == written
    assert len(written) > 60
