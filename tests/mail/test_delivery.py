"""Sending deliveries to a receiver that accepts them, refuses, hangs or drops the connection."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from db.enums import DeliveryChannel, DeliveryState
from db.events import counts
from db.postgres.pool import Database as Queue
from notifiers import message_ids, queue, screening, worker
from notifiers.screening_rules import Limits
from notifiers.worker import Pace
from tests.helpers.api import Api, Server
from tests.helpers.database_checks import Database, key, until_blocked
from tests.helpers.notification_sink import (
    DROP,
    HANG,
    WITHIN,
    Received,
    Sink,
    sending,
    until,
    wiring,
    working,
)
from tests.helpers.process import callout_process, free_port

ADMIN = "ada@company.test"
WEBHOOK = "https://chat.test/v1/spaces/A/messages?key=K&token=T"
BRISK = Pace(retry=0.1, retry_max=0.2)
"""Short pauses, which keep the tests fast."""
HOUR = 3_600.0


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    async with Sink.open() as opened:
        yield opened


@pytest.fixture(autouse=True)
async def empty_queue(database: Database, api: Api) -> None:
    """Starts each test with an empty queue and with Google Chat off."""
    await database.execute("DELETE FROM deliveries")
    off: dict[str, Any] = {"adminRecipients": [ADMIN], "googleChatEnabled": False, "googleChatWebhookUrl": None}
    await api.done("supportSettingsUpdate", "__typename", **off)


async def chat_on(api: Api, url: str = WEBHOOK) -> None:
    await api.done("supportSettingsUpdate", "__typename", googleChatWebhookUrl=url, googleChatEnabled=True)


async def eventually(query: Callable[[], Awaitable[Any]], expected: Any) -> None:
    """Waits until the query returns `expected`."""
    async with asyncio.timeout(WITHIN):
        while await query() != expected:  # noqa: ASYNC110 (there is no event to wait for)
            await asyncio.sleep(0.02)


async def states(database: Database) -> dict[str, int]:
    rows = await database.fetch("SELECT state, count(*) FROM deliveries GROUP BY 1")
    return {row["state"]: row["count"] for row in rows}


async def settled(database: Database, **expected: int) -> None:
    """Waits until the deliveries have these states, counted by state."""
    await eventually(lambda: states(database), expected)


def ids(notification: list[Received]) -> list[str]:
    return [each["delivery_id"] for each in notification]


# Content


async def test_a_notification_has_the_ticket_after_the_event_and_todays_names(
    api: Api, database: Database, sink: Sink, server: Server
) -> None:
    customer = await api.new_customer(name="Cora Smith", email="cora@customer.test", phone="613-555-0101")
    property_id = await api.new_property(customer, address="1 Elm Street", accountNumber="P-1001")
    tess = await api.new_technician(name="Tess", email="tess@company.test")
    given = {"subject": "Panel", "customerId": customer, "propertyId": property_id, "technicianId": tess}
    ticket = await api.new_ticket(priority="HIGH", category="ALARM", description="It beeps.", **given)
    await api.done("ticketUpdate", "__typename", ticketId=ticket, subject="Another subject", priority="LOW")
    await api.done("ticketAssign", "__typename", ticketId=ticket, technicianId=await api.new_technician())
    await api.done("technicianUpdate", "__typename", technicianId=tess, name="Tess Wire")
    await api.done("noteAdd", "__typename", ticketId=ticket, body="We come on Monday.", internalOnly=False)
    row = await database.fetchrow(
        "SELECT created_at, id::text FROM deliveries WHERE kind = 'CREATED' AND audience = 'CUSTOMER'"
    )
    assert row is not None
    async with working(server.settings, sink):
        await settled(database, SENT=6)
    (notification,) = [each for each in sink.taken if each["kind"] == "CREATED" and each["audience"] == "CUSTOMER"]
    made = await database.fetchrow("SELECT reference, created_at FROM tickets WHERE id = $1", key(ticket))
    assert made is not None
    reference, created_at = made
    assert (notification.pop("at"), notification["ticket"].pop("created_at")) == (
        iso(row["created_at"]),
        iso(created_at),
    )
    assert notification == {
        "delivery_id": row["id"],
        "kind": "CREATED",
        "audience": "CUSTOMER",
        "recipient": "cora@customer.test",
        "recipient_name": "Cora Smith",
        "ticket": {
            "id": key(ticket),
            "reference": reference,
            "subject": "Panel",
            "description": "It beeps.",
            "status": "OPEN",
            "priority": "HIGH",
            "category": "ALARM",
            "contact_name": "Cora Smith",
            "contact_email": "cora@customer.test",
            "contact_phone": "613-555-0101",
            "customer_name": "Cora Smith",
            "property_address": "1 Elm Street",
            "property_account_number": "P-1001",
            "by_staff": True,
            "technician_name": "Tess Wire",
            "resolution": None,
        },
        "actor_name": "The Boss",
        "note": None,
        "thread": [],
        "webhook_url": None,
        "device": None,
        "confirmation_token": None,
        "summary": [],
        "files": [],
    }
    (note,) = [each for each in sink.taken if each["kind"] == "NOTE_ADDED"]
    assert (note["note"], note["ticket"]["subject"]) == ("We come on Monday.", "Another subject")


def iso(moment: Any) -> str:
    text: str = orjson.loads(orjson.dumps(moment))
    return text


async def test_mails_of_a_ticket_to_one_recipient_form_a_thread(
    api: Api, database: Database, sink: Sink, server: Server
) -> None:
    """A refused mail is not in the thread: nobody has received it."""
    ticket = await api.new_ticket(contact={"name": "John", "email": "John@customer.test"})
    sink.answer = lambda notification: "550 No" if notification["note"] == "Second." else "250 Yes"
    waiting = "SELECT count(*) FROM deliveries WHERE state = 'PENDING'"
    async with working(server.settings, sink):
        for body in ("First.", "Second.", "Third."):
            await api.done("noteAdd", "__typename", ticketId=ticket, body=body, internalOnly=False)
            await eventually(lambda: database.fetchval(waiting), 0)
        await api.done("ticketUpdate", "__typename", ticketId=ticket, contact={"email": "john@CUSTOMER.test"})
        await api.done("ticketResolve", "__typename", ticketId=ticket, resolution="Done.")
        await settled(database, SENT=5, DEAD=1)
    john = [notification for notification in sink.taken if notification["audience"] == "CUSTOMER"]
    assert [notification["note"] or notification["kind"] for notification in john] == [
        "CREATED",
        "First.",
        "Third.",
        "RESOLVED",
    ]
    for index, notification in enumerate(john):
        earlier = [
            message_ids.of_delivery(each["delivery_id"], notification["ticket"]["id"], "callout.localhost")
            for each in john[:index]
        ]
        assert notification["thread"] == earlier


async def test_a_notification_of_a_pruned_event_has_the_current_ticket(
    api: Api, database: Database, sink: Sink, server: Server
) -> None:
    ticket = await api.new_ticket()
    await api.done("ticketUpdate", "__typename", ticketId=ticket, subject="As it is now")
    await eventually(lambda: counts.fold(database), 0)  # events are kept until they are folded into the counts
    await database.execute("DELETE FROM ticket_events WHERE ticket_id = $1", key(ticket))
    async with working(server.settings, sink):
        await settled(database, SENT=2)
    assert {(notification["ticket"]["subject"], notification["actor_name"]) for notification in sink.taken} == {
        ("As it is now", "The Boss")
    }


async def test_a_message_goes_to_the_webhook_that_is_set_when_it_is_sent(
    api: Api, database: Database, sink: Sink, server: Server
) -> None:
    await chat_on(api)
    await api.new_ticket()
    await chat_on(api, WEBHOOK + "-renewed")
    async with working(server.settings, sink):
        await settled(database, SENT=3)
    assert {notification["webhook_url"] for notification in sink.taken if notification["audience"] == "SPACE"} == {
        WEBHOOK + "-renewed"
    }
    await api.new_ticket()
    await api.done("supportSettingsUpdate", "__typename", googleChatEnabled=False)
    async with working(server.settings, sink):
        await settled(database, SENT=5, DEAD=1)  # Google Chat is off now
    (dead,) = await delivered(api, state=["DEAD"])
    assert "disabled in the settings" in dead["said"]


# Failures


async def test_a_permanently_refused_delivery_is_dead_at_once_and_can_be_retried(
    api: Api, database: Database, sink: Sink, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    sink.answer = lambda notification: (
        "550 No such\r mailbox" + "\t!" * 2000 if notification["recipient"] == ADMIN else "250 Yes"
    )
    await api.new_ticket()
    async with working(server.settings, sink):
        await settled(database, SENT=1, DEAD=1)
        (dead,) = await delivered(api, state=["DEAD"])
        assert dead["said"].startswith("550 No such mailbox ! !") and dead["said"].endswith("!…")
        assert len(dead["said"]) == 1000
        assert (dead["attempts"], dead["nextAttemptAt"]) == (1, None)
        assert dead["finishedAt"] is not None
        (sent,) = await delivered(api, state=["SENT"])
        assert (sent["said"], sent["attempts"], sent["nextAttemptAt"]) == ("250 Yes", 1, None)
        sink.answer = lambda notification: "250 At last"
        await api.done("deliveryRetry", "__typename", deliveryId=dead["id"])
        await settled(database, SENT=2)
    assert caplog.text.count("given up") == 1
    assert [node["said"] for node in await delivered(api, recipient=ADMIN)] == ["250 At last"]


async def delivered(api: Api, **filter: Any) -> list[Any]:
    document = """query($filter: DeliveryFilter) { deliveries(filter: $filter) {
        nodes { id state said attempts nextAttemptAt finishedAt } } }"""
    nodes: list[Any] = (await api(document, filter=filter))["deliveries"]["nodes"]
    return nodes


async def test_a_temporarily_refused_delivery_is_retried_until_its_time_is_over(
    api: Api, database: Database, sink: Sink, server: Server
) -> None:
    sink.answer = lambda notification: (
        "450 Later" if notification["recipient"] == ADMIN or len(sink.seen) < 6 else "250 Yes"
    )
    await api.new_ticket()
    async with working(server.settings, sink, pace=replace(BRISK, give_up=3.0)):
        await settled(database, SENT=1, DEAD=1)
    (dead,) = await delivered(api, state=["DEAD"])
    assert dead["said"] == "450 Later"
    assert dead["attempts"] == [notification["recipient"] for notification in sink.seen].count(ADMIN) > 3
    lasted = await database.fetchval("SELECT finished_at - queued_at FROM deliveries WHERE state = 'DEAD'")
    assert lasted.total_seconds() > 3.0
    assert len(set(ids(sink.seen))) == 2  # the same id each time


async def test_pauses_grow_and_respect_the_receivers_retry_after(
    api: Api, database: Database, sink: Sink, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("random.uniform", lambda low, high: high)  # without jitter, successive pauses cannot overlap
    await api.new_ticket(contact={"name": "John", "email": "patient@customer.test"})
    sink.answer = lambda notification: "450 Come back in 7000" if notification["audience"] == "CUSTOMER" else "451 Busy"
    pauses: list[float] = []
    async with working(server.settings, sink, pace=Pace(retry=100.0, retry_max=350.0)):
        for attempts in range(1, 5):
            await eventually(lambda: tried(database, "ADMIN"), attempts)
            pauses.append(await pause(database, "ADMIN"))
            await database.execute("UPDATE deliveries SET due_at = now() WHERE audience = 'ADMIN'")
    for each, longest in zip(pauses, (150, 300, 525, 525), strict=True):
        assert longest - WITHIN < each <= longest
    assert 7000 - WITHIN < await pause(database, "CUSTOMER") <= 7000


async def test_a_short_retry_after_does_not_shorten_our_own_pause(
    api: Api, database: Database, sink: Sink, server: Server
) -> None:
    """The longer of the two applies, after any number of attempts."""
    await chat_on(api)
    await api.new_ticket(contact={"name": "John", "email": "patient@customer.test"})
    asked = {"CUSTOMER": "450 Come back in 7000", "SPACE": "450 Come back in 1", "ADMIN": "451 Busy"}
    sink.answer = lambda notification: asked[notification["audience"]]
    again = "UPDATE deliveries SET due_at = now(), attempts = $2 WHERE audience = $1"
    async with working(server.settings, sink, pace=Pace(retry=100.0, retry_max=20_000.0)):
        for before, middle in (0, 100), (5, 3_200), (20, 20_000):
            for audience in ("ADMIN", "SPACE"):
                await database.execute(again, audience, before)
            for audience in ("ADMIN", "SPACE"):
                await eventually(lambda: tried(database, audience), before + 1)  # noqa: B023 (it is awaited here)
                assert middle / 2 - WITHIN < await pause(database, audience) <= middle * 1.5
        assert 7000 - WITHIN < await pause(database, "CUSTOMER") <= 7000


def test_a_pause_doubles_up_to_a_maximum_with_jitter_of_a_half() -> None:
    pace = Pace(retry=5.0, retry_max=60.0)
    for failures, middle in enumerate((5, 10, 20, 40, 60, 60), 1):
        drawn = sorted(pace.pause(failures) / middle for _ in range(300))
        assert 0.5 <= drawn[0] < 0.6 and 1.4 < drawn[-1] <= 1.5
    assert pace.pause(100_000) <= 90


async def tried(database: Database, audience: str) -> int:
    """Returns the recorded number of attempts."""
    query = "SELECT attempts FROM deliveries WHERE audience = $1 AND claimed_until IS NULL AND said IS NOT NULL"
    return int(await database.fetchval(query, audience) or 0)


async def pause(database: Database, audience: str) -> float:
    """Returns the seconds until a delivery is due."""
    query = "SELECT extract(epoch FROM due_at - now()) FROM deliveries WHERE audience = $1"
    return float(await database.fetchval(query, audience))


@pytest.mark.parametrize("fault", [HANG, DROP, "nobody listens"])
async def test_a_delivery_is_retried_after_a_connection_failure(
    api: Api, database: Database, sink: Sink, server: Server, fault: str
) -> None:
    port, sink.answer = sink.port, lambda notification: fault
    if fault == "nobody listens":
        sink.port = free_port()
    await api.new_ticket()
    async with working(server.settings, sink, pace=replace(BRISK, sending=0.3)):
        query = "SELECT min(attempts) >= 2 AND bool_and(said IS NOT NULL) FROM deliveries"
        await eventually(lambda: database.fetchval(query), True)
    assert await states(database) == {"PENDING": 2}
    (said,) = {row["said"] for row in await database.fetch("SELECT said FROM deliveries")}
    known = {HANG: "No reply within 0.3 seconds", DROP: "The line was dropped.", "nobody listens": "Nobody listens."}
    assert known[fault] in said
    sink.port, sink.answer = port, lambda notification: "250 Yes"
    async with working(server.settings, sink):
        await settled(database, SENT=2)


async def test_a_delivery_that_no_worker_sent_in_time_is_dead(
    api: Api, database: Database, sink: Sink, server: Server
) -> None:
    await api.new_ticket()
    await database.execute("UPDATE deliveries SET queued_at = now() - interval '4 days' WHERE audience = 'ADMIN'")
    async with working(server.settings, sink):
        await settled(database, SENT=1, DEAD=1)
        assert [notification["audience"] for notification in sink.seen] == ["CUSTOMER"]
        (dead,) = await delivered(api, state=["DEAD"])
        assert (dead["attempts"], "No worker sent it" in dead["said"]) == (0, True)
        await api.done("deliveryRetry", "__typename", deliveryId=dead["id"])
        await settled(database, SENT=2)


async def test_an_internal_error_in_one_delivery_does_not_hold_up_others(
    api: Api, database: Database, sink: Sink, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """The error is logged and recorded in the row. Here the channel cannot decode the answer."""
    sink.answer = lambda notification: "250 \xff" if notification["audience"] == "ADMIN" else "250 Yes"
    await api.new_ticket()
    async with working(server.settings, sink):
        await settled(database, SENT=1, PENDING=1)
        await eventually(lambda: tried(database, "ADMIN"), 1)
    assert "sending a notification failed" in caplog.text and "UnicodeDecodeError" in caplog.text
    (failed,) = await delivered(api, state=["PENDING"])
    assert "Internal error" in failed["said"]


async def test_an_endless_retry_after_is_bounded(api: Api, database: Database, sink: Sink, server: Server) -> None:
    await api.new_ticket()
    sink.answer = lambda notification: "450 Come back in " + "9" * 400
    async with working(server.settings, sink):
        await eventually(lambda: tried(database, "ADMIN"), 1)
        sink.answer = lambda notification: "250 Yes"
        await database.execute("UPDATE deliveries SET due_at = now()")
        await settled(database, SENT=2)


async def test_deliveries_of_an_unconfigured_channel_wait_and_the_log_says_so_once(
    api: Api, database: Database, sink: Sink, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    await chat_on(api)
    await api.new_ticket()
    async with working(server.settings, sink, channels="EMAIL"):
        await settled(database, SENT=2, PENDING=1)
        await asyncio.sleep(1.2)  # long enough for another look at the queue
    assert await states(database) == {"SENT": 2, "PENDING": 1}
    assert [record.getMessage() for record in caplog.records if record.name == "notifiers.worker"] == [
        "GOOGLE_CHAT is not configured here: its deliveries stay in the queue"
    ]


# Claims


@pytest.fixture
async def workers(server: Server) -> AsyncIterator[list[Queue]]:
    """The queues of two workers."""
    opened = [await Queue.open(server.database_url, size=1) for _ in range(2)]
    yield opened
    for each in opened:
        await each.close()


async def screened(database: Queue) -> None:
    await screening.screen(database, Limits(), timedelta(hours=24))


async def claim(database: Queue, lease: float = HOUR, **wanted: int) -> list[queue.Claim]:
    if isinstance(database, Queue):
        await screened(database)
    free = {DeliveryChannel(name): places for name, places in (wanted or {"EMAIL": 20}).items()}
    return await queue.claim(database, free, lease=lease, give_up=24 * HOUR)


async def end(
    database: Queue, claim: queue.Claim, state: str, said: str | None = "451 Busy", pause: float = 0.0
) -> list[str]:
    """Records the outcome of a claim; returns the state that was written, if any."""
    outcome = queue.AttemptOutcome(claim, DeliveryState(state), said, pause)
    rows = await queue.record(database, [outcome], give_up=24 * HOUR)
    return [str(row["state"]) for row in rows]


async def row_of(database: Database, claim: queue.Claim) -> dict[str, Any]:
    """Returns the row, with the hours until it is due and until its claim expires."""
    row = await database.fetchrow(
        """SELECT state, attempts, said, finished_at IS NOT NULL AS finished,
            round(extract(epoch FROM due_at - now()) / 3600) AS due,
            round(extract(epoch FROM claimed_until - now()) / 3600) AS claimed
        FROM deliveries WHERE id = $1""",
        claim.id,
    )
    assert row is not None
    return dict(row)


async def one_mail(api: Api, database: Database) -> None:
    """Leaves one mail in the queue."""
    await api.new_ticket()
    await database.execute("DELETE FROM deliveries WHERE audience = 'ADMIN'")


async def test_a_claim_is_exclusive_until_it_expires_and_is_then_claimed_once(
    api: Api, database: Database, workers: list[Queue]
) -> None:
    first, second = workers
    await one_mail(api, database)
    (mine,) = await claim(first, lease=HOUR)
    assert await row_of(database, mine) == row(attempts=1, due=1, claimed=1)
    assert await claim(first) == await claim(second) == []

    await database.execute("UPDATE deliveries SET due_at = now(), claimed_until = now()")  # an hour has passed
    both = await asyncio.gather(claim(first, lease=2 * HOUR), claim(second, lease=2 * HOUR))
    (again,) = [each for claims in both for each in claims]
    assert (again.id, again.attempts) == (mine.id, 2)
    assert await row_of(database, mine) == row(attempts=2, due=2, claimed=2)


def row(**given: Any) -> dict[str, Any]:
    """Returns the values of a pending row, with `given` in place of its own."""
    waiting = {"state": "PENDING", "attempts": 0, "said": None, "finished": False, "due": 0, "claimed": None}
    return waiting | given


async def test_an_overdue_worker_cannot_end_a_delivery_that_another_has_claimed(
    api: Api, database: Database, workers: list[Queue]
) -> None:
    first, second = workers
    await one_mail(api, database)
    (overdue,) = await claim(first, lease=0.0)
    (current,) = await claim(second)
    for state, said in (("PENDING", "451 Busy"), ("PENDING", None), ("DEAD", "550 No")):
        assert await end(first, overdue, state, said) == []
        assert await row_of(database, current) == row(attempts=2, due=1, claimed=1)
    assert await end(second, current, "PENDING", "451 Later", 3 * HOUR) == ["PENDING"]
    assert await end(first, overdue, "DEAD", "550 No") == []
    assert await row_of(database, current) == row(attempts=2, said="451 Later", due=3)


async def test_a_sent_delivery_stays_sent_whichever_worker_reports_it(
    api: Api, database: Database, workers: list[Queue]
) -> None:
    first, second = workers
    await one_mail(api, database)
    (overdue,) = await claim(first, lease=0.0)
    (current,) = await claim(second)
    assert await end(first, overdue, "SENT", "250 Yes") == ["SENT"]
    sent = await row_of(database, current)
    assert (sent["state"], sent["said"], sent["finished"], sent["claimed"]) == ("SENT", "250 Yes", True, None)
    for state in ("PENDING", "DEAD", "SENT"):
        assert await end(second, current, state, "No") == []
    assert await row_of(database, current) == sent


async def test_concurrent_claims_neither_wait_for_each_other_nor_share_a_row(
    api: Api, database: Database, workers: list[Queue]
) -> None:
    first, second = workers
    await api.new_ticket()
    await screened(first)
    async with first.acquire() as connection, connection.transaction():
        (one,) = await claim(connection, EMAIL=1)  # type: ignore[arg-type]  # its transaction stays open
        (other,) = await claim(second)
        assert await claim(second) == []
    assert one.id != other.id
    assert await claim(second) == []
    assert await database.fetchval("SELECT max(attempts) FROM deliveries") == 1


async def test_the_longest_due_deliveries_are_claimed_first_up_to_the_free_slots(
    api: Api, database: Database, workers: list[Queue]
) -> None:
    first, _ = workers
    await chat_on(api)
    for _ in range(3):
        await api.new_ticket()
    await database.execute("DELETE FROM deliveries WHERE audience = 'ADMIN'")
    order = """UPDATE deliveries SET due_at = now() - n * interval '1 second'
        FROM (SELECT id, row_number() OVER (ORDER BY created_at) AS n FROM deliveries) AS numbered
        WHERE deliveries.id = numbered.id"""
    await database.execute(order)
    newest = [str(row["id"]) for row in await database.fetch("SELECT id FROM deliveries ORDER BY due_at")]
    assert len(newest) == 6
    mail = [str(row["id"]) for row in await database.fetch("SELECT id FROM deliveries WHERE channel = 'EMAIL'")]
    claimed = [{each.id for each in await claim(first, EMAIL=1, GOOGLE_CHAT=2)} for _ in range(3)]
    chat = [id_ for id_ in newest if id_ not in mail]
    mail = [id_ for id_ in newest if id_ in mail]
    assert claimed == [{mail[0], *chat[:2]}, {mail[1], chat[2]}, {mail[2]}]
    assert await claim(first, EMAIL=9, GOOGLE_CHAT=9) == []


async def test_a_mail_waits_while_an_earlier_one_is_being_sent_but_not_while_it_is_pending(
    api: Api, database: Database, workers: list[Queue]
) -> None:
    first, _ = workers
    await chat_on(api)
    kinds = [{"kind": "NOTE_ADDED", "googleChat": True}]
    await api.done("supportSettingsUpdate", "__typename", notices=kinds)
    ticket = await api.new_ticket(contact={"name": "John", "email": "John@customer.test"})
    await database.execute("DELETE FROM deliveries")
    await api.done("noteAdd", "__typename", ticketId=ticket, body="First.", internalOnly=False)
    await api.done("ticketUpdate", "__typename", ticketId=ticket, contact={"email": "john@CUSTOMER.test"})
    await api.done("noteAdd", "__typename", ticketId=ticket, body="Second.", internalOnly=False)
    both = {"EMAIL": 9, "GOOGLE_CHAT": 9}
    claims = await claim(first, **both)
    assert {(each.channel, each.row["note"]) for each in claims} == {("EMAIL", "First."), ("GOOGLE_CHAT", "First.")}
    assert await claim(first, **both) == []
    (mail,) = [each for each in claims if each.channel == "EMAIL"]
    assert await end(first, mail, "PENDING", "451 Busy", 100.0) == ["PENDING"]
    (overtaking,) = await claim(first, **both)
    assert (overtaking.channel, overtaking.row["note"]) == ("EMAIL", "Second.")


async def test_a_failing_delivery_is_retried_until_its_time_is_over_and_then_dead(
    api: Api, database: Database, workers: list[Queue]
) -> None:
    first, _ = workers
    await one_mail(api, database)

    async def tried_when(left: float, state: str, said: str | None, pause: float) -> dict[str, Any]:
        """Returns the row after an attempt that began `left` hours before the end of its time of one day."""
        await database.execute(
            """UPDATE deliveries SET queued_at = now() - $1 * interval '1 hour', due_at = now(), said = '450 Before',
                state = 'PENDING', finished_at = NULL, claimed_until = NULL, attempts = 1""",
            24 - left,
        )
        (mine,) = await claim(first)
        assert mine.attempts == 2
        written = await end(first, mine, state, said, pause * HOUR)
        found = await row_of(database, mine)
        assert written == [found["state"]]
        return found

    assert await tried_when(10, "PENDING", "451", 3) == row(attempts=2, said="451", due=3)
    assert await tried_when(10, "PENDING", "451", 20) == row(
        attempts=2, said="451", due=10
    )  # one last attempt at the end of its time
    dead = await tried_when(-1, "PENDING", "451", 3)
    assert (dead["state"], dead["said"], dead["finished"]) == ("DEAD", "451", True)
    # An abandoned claim is not an attempt, so the delivery is due as before.
    assert await tried_when(-1, "PENDING", None, 0) == row(attempts=2, said="450 Before", due=0)
    dead = await tried_when(10, "DEAD", "550", 3)
    assert (dead["state"], dead["finished"]) == ("DEAD", True)


async def test_a_claim_shows_that_a_delivery_was_never_tried_in_its_time(
    api: Api, database: Database, workers: list[Queue]
) -> None:
    first, _ = workers
    await one_mail(api, database)
    for age, before, attempts in ((23, 0, 1), (25, 0, 0), (25, 1, 2)):
        await database.execute(
            "UPDATE deliveries SET queued_at = now() - $1 * interval '1 hour', attempts = $2, due_at = now(),"
            " claimed_until = NULL",
            age,
            before,
        )
        (mine,) = await claim(first)
        assert mine.attempts == attempts


async def test_a_mail_refers_to_the_last_twenty_sent_to_its_recipient(
    api: Api, database: Database, workers: list[Queue]
) -> None:
    first, _ = workers
    await one_mail(api, database)
    await database.execute(
        """INSERT INTO deliveries (event_id, ticket_id, kind, channel, audience, recipient, recipient_name, actor_name,
            created_at, state, finished_at)
        SELECT gen_random_uuid(), ticket_id, kind, channel, audience,
            CASE n % 10 WHEN 9 THEN 'other@customer.test' WHEN 8 THEN upper(recipient) ELSE recipient END, '', '',
            created_at - n * interval '1 minute',
            CASE n % 10 WHEN 7 THEN 'DEAD' ELSE 'SENT' END::delivery_state, now()
        FROM deliveries, generate_series(1, 40) AS n"""
    )
    known = await database.fetch(
        "SELECT id FROM deliveries WHERE state = 'SENT' AND recipient <> 'other@customer.test' ORDER BY created_at"
    )
    (mine,) = await claim(first)
    assert len(known) > 20
    assert [str(id_) for id_ in mine.row["thread"]] == [str(row["id"]) for row in known[-20:]]


# Several workers


async def fill(database: Database, api: Api, tickets: int) -> int:
    """Queues mail for this many tickets; returns the number of deliveries."""
    made = await asyncio.gather(*(api.new_ticket() for _ in range(min(tickets, 10))))
    # More deliveries for the same tickets, of events that do not exist.
    await database.execute(
        """INSERT INTO deliveries (event_id, ticket_id, kind, channel, audience, recipient, recipient_name, actor_name,
            created_at)
        SELECT gen_random_uuid(), ticket_id, kind, channel, audience, n || '@customer.test', '', '', created_at
        FROM deliveries, generate_series(1, $1) AS n WHERE audience = 'CUSTOMER'""",
        tickets // 10 - 1,
    )
    assert made
    return int(await database.fetchval("SELECT count(*) FROM deliveries"))


async def test_two_workers_send_each_row_once(
    api: Api, database: Database, sink: Sink, server: Server, tmp_path: Path
) -> None:
    number = await fill(database, api, 600)
    with sending(tmp_path, server.database_url, sink), sending(tmp_path, server.database_url, sink):
        await settled(database, SENT=number)
    assert len(sink.taken) == len(set(ids(sink.taken))) == number > 500
    attempts = await database.fetchval("SELECT max(attempts) FROM deliveries")
    assert attempts == 1


async def test_a_killed_worker_loses_no_delivery(
    api: Api, database: Database, sink: Sink, server: Server, tmp_path: Path
) -> None:
    """It is killed while it sends; another worker sends the claimed deliveries once the lease has expired."""
    number = await fill(database, api, 100)
    sink.answer = lambda notification: HANG if len(sink.seen) > 30 else "250 Yes"
    with sending(tmp_path, server.database_url, sink, lease=2.0, sending=1.5) as sender:
        await until(lambda: len(sink.seen) > 40)
        sender.kill()
    held = len(sink.seen) - len(sink.taken)
    assert held > 0
    assert await database.fetchval("SELECT count(*) FROM deliveries WHERE claimed_until > now()") >= held
    sink.answer = lambda notification: "250 Yes"
    with sending(tmp_path, server.database_url, sink):
        await settled(database, SENT=number)
    assert set(ids(sink.taken)) == {str(row["id"]) for row in await database.fetch("SELECT id FROM deliveries")}
    # Only deliveries that were accepted but not yet recorded can arrive twice.
    assert len(sink.taken) - number <= 20


async def test_a_stopped_worker_ends_within_seconds_and_loses_no_delivery(
    api: Api, database: Database, sink: Sink, server: Server, tmp_path: Path
) -> None:
    number = await fill(database, api, 100)
    sink.answer = lambda notification: HANG
    with sending(tmp_path, server.database_url, sink) as sender:
        await until(lambda: len(sink.seen) == 20)
        assert sender.stop() < 8
    # No lease has to expire: the released deliveries are due at once.
    due = "SELECT count(*) FROM deliveries WHERE due_at <= now() AND claimed_until IS NULL AND state = 'PENDING'"
    assert await database.fetchval(due) == number
    sink.answer = lambda notification: "250 Yes"
    with sending(tmp_path, server.database_url, sink):
        await settled(database, SENT=number)
    assert len(sink.taken) == number


async def test_mails_of_one_ticket_to_one_recipient_are_sent_one_at_a_time_in_order(
    api: Api, database: Database, sink: Sink, server: Server
) -> None:
    ticket = await api.new_ticket()
    for n in range(5):
        await api.done("noteAdd", "__typename", ticketId=ticket, body=f"{n}", internalOnly=False)
    sink.answer = lambda notification: HANG if notification["note"] == "0" else "250 Yes"
    async with working(server.settings, sink), working(server.settings, sink):
        await settled(database, SENT=2, PENDING=5)  # the two mails of the creation
        await until(lambda: "0" in [notification["note"] for notification in sink.seen])
        await api.new_ticket()
        await settled(database, SENT=4, PENDING=5)  # mails of another ticket do not wait
        assert [notification["note"] for notification in sink.seen if notification["note"]] == ["0"]
        sink.answer = lambda notification: "250 Yes"
        sink.release()
        await settled(database, SENT=9)
    assert [notification["note"] for notification in sink.taken if notification["note"]] == ["0", "1", "2", "3", "4"]


async def test_a_hanging_channel_does_not_hold_up_the_other(
    api: Api, database: Database, sink: Sink, server: Server
) -> None:
    await chat_on(api)
    for _ in range(25):  # more than one channel sends at once
        await api.new_ticket()
    sink.answer = lambda notification: HANG if notification["audience"] == "SPACE" else "250 Yes"
    async with working(server.settings, sink):
        await settled(database, SENT=50, PENDING=25)
        assert len([notification for notification in sink.seen if notification["audience"] == "SPACE"]) == 20


async def test_an_outcome_that_arrives_during_recording_is_recorded_next(
    api: Api, database: Database, sink: Sink, server: Server
) -> None:
    await api.new_ticket()
    await database.execute(
        """CREATE FUNCTION held_up() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM pg_advisory_xact_lock(4711); RETURN NEW; END $$;
        CREATE TRIGGER held_up BEFORE UPDATE ON deliveries FOR EACH ROW
            WHEN (NEW.state = 'SENT' AND NEW.audience = 'ADMIN') EXECUTE FUNCTION held_up()"""
    )
    sink.answer = lambda notification: HANG if notification["audience"] == "CUSTOMER" else "250 Yes"
    async with working(server.settings, sink):
        async with database.transaction():
            await database.execute("SELECT pg_advisory_xact_lock(4711)")
            await until_blocked(database)
            sink.answer = lambda notification: "250 Yes"
            sink.release()
            await until(lambda: len(sink.taken) == 2)
        await settled(database, SENT=2)
    assert len(sink.seen) == 2
    await database.execute("DROP TRIGGER held_up ON deliveries; DROP FUNCTION held_up()")


async def test_an_outage_and_its_end_are_each_logged_once(
    api: Api,
    database: Database,
    sink: Sink,
    server: Server,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker, "OUTAGE_SECONDS", 0.05)
    caplog.set_level(logging.INFO)
    async with working(server.settings, sink):
        for times in (1, 2):
            await database.execute("ALTER TABLE deliveries RENAME TO elsewhere")
            await until(lambda: caplog.text.count("is unreachable") == times)  # noqa: B023 (it is awaited here)
            await asyncio.sleep(0.3)  # long enough for a few more attempts
            await database.execute("ALTER TABLE elsewhere RENAME TO deliveries")
            await api.new_ticket()
            await settled(database, SENT=2 * times)
            logged = [caplog.text.count(f"the queue of deliveries is {what}") for what in ("unreachable", "reachable")]
            assert logged == [times, times]


@pytest.mark.slow
async def test_a_worker_survives_lost_database_connections(
    api: Api, database: Database, sink: Sink, server: Server
) -> None:
    number = await fill(database, api, 400)
    cut = """SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'callout' AND query LIKE '%claimed_until%'"""
    async with working(server.settings, sink, pace=Pace(sending=2.0, lease=3.0)):
        for least in (0, 50, 100, 150):
            await until(lambda: len(sink.taken) > least)  # noqa: B023 (it is awaited here)
            await eventually(lambda: database.fetchval(cut), 1)
        await settled(database, SENT=number)
    assert set(ids(sink.taken)) == {str(row["id"]) for row in await database.fetch("SELECT id FROM deliveries")}


# In the server, and from the command line


@contextmanager
def sending_server(directory: Path, server: Server, sink: Sink, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Runs a server on the module's database that sends notifications to the sink itself."""
    for name, value in wiring(sink).items():
        monkeypatch.setenv(name, value)
    known = server.settings
    assert known.jwt_secret is not None
    module = ("tests.helpers.notification_sink", "serve")
    settings = {"database_url": server.database_url, "jwt_secret": known.jwt_secret, "notify": "true"}
    with callout_process(directory, module, **settings) as process:
        yield Server(process.url, known, server.database_url, process)


async def test_a_server_sends_deliveries_that_it_or_others_committed(
    api: Api, database: Database, sink: Sink, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sending_server(tmp_path, server, sink, monkeypatch) as sending_one:
        async with Api(sending_one) as there:
            await there.new_ticket()
            await settled(database, SENT=2)
            await api.new_ticket()
            await settled(database, SENT=4)
            sink.answer = lambda notification: HANG
            await there.new_ticket()
            await until(lambda: len(sink.seen) == 6)
    assert await states(database) == {"SENT": 4, "PENDING": 2}
    assert await database.fetchval("SELECT bool_and(due_at <= now()) FROM deliveries WHERE state = 'PENDING'")


async def test_a_test_message_is_sent_at_once_and_its_result_is_returned(
    api: Api, database: Database, sink: Sink, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    selection = "results { recipient sent said }"
    with sending_server(tmp_path, server, sink, monkeypatch) as sending_one:
        async with Api(sending_one) as there:
            assert await there.refused("supportSettingsTest", channel="GOOGLE_CHAT") == [("REQUIRED", "channel")]
            await there.done("supportSettingsUpdate", "__typename", adminRecipients=[])
            assert await there.refused("supportSettingsTest", channel="EMAIL") == [("REQUIRED", "channel")]
            three = ["ada@company.test", "bea@company.test", "cem@company.test"]
            url = {"googleChatWebhookUrl": WEBHOOK}
            await there.done("supportSettingsUpdate", "__typename", adminRecipients=three, **url)
            answers = dict(zip(three, ("250 Yes", "550 No", DROP), strict=True))
            sink.answer = lambda notification: answers.get(notification["recipient"], "250 In the space")
            assert (await there.done("supportSettingsTest", selection, channel="EMAIL"))["results"] == [
                {"recipient": three[0], "sent": True, "said": "250 Yes"},
                {"recipient": three[1], "sent": False, "said": "550 No"},
                {"recipient": three[2], "sent": False, "said": "The line was dropped."},
            ]
            assert (await there.done("supportSettingsTest", selection, channel="GOOGLE_CHAT"))["results"] == [
                {"recipient": None, "sent": True, "said": "250 In the space"}
            ]
            # With a key once, also if the request is sent again at the same time.
            sent, keyed = len(sink.seen), {"channel": "EMAIL", "idempotencyKey": "tried"}
            trials = await asyncio.gather(*(there.done("supportSettingsTest", selection, **keyed) for _ in range(3)))
            assert len(sink.seen) == sent + 3
            assert [each["said"] for each in trials[0]["results"]] == ["250 Yes", "550 No", "The line was dropped."]
            assert trials[1] == trials[2] == trials[0]
            # While the other side thinks, nothing is held of the database.
            sink.answer = lambda notification: HANG
            slow = asyncio.create_task(
                there.done("supportSettingsTest", selection, channel="EMAIL", idempotencyKey="slow")
            )
            await until(lambda: len(sink.seen) == sent + 6)
            held = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            assert await database.fetchval(f"{held} AND state = 'idle in transaction'") == 0
            sink.answer = lambda notification: "250 At last"
            sink.release()
            assert {each["said"] for each in (await slow)["results"]} == {"250 At last"}
    kinds = {
        (notification["kind"], notification["audience"], notification["actor_name"], notification["webhook_url"])
        for notification in sink.seen
    }
    assert kinds == {("TEST", "ADMIN", "The Boss", None), ("TEST", "SPACE", "The Boss", WEBHOOK)}
    assert all(notification["ticket"] is None and uuid.UUID(notification["delivery_id"]) for notification in sink.seen)
    assert await states(database) == {}
    assert WEBHOOK not in sending_one.process.log()
