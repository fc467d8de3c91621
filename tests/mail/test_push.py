"""Notices on devices: who is notified, what a locked screen shows, and what becomes of a push service that fails."""

from __future__ import annotations

import asyncio
import json
import logging
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from callout.http import acknowledging
from callout.http.confirm_attempts import ConfirmAttempts
from callout.http.context import SCOPE_KEY, RequestInfo
from db.enums import Audience, NoticeKind
from db.ids import new_id
from db.postgres.pool import Database as Pool
from notifiers import push_subscriptions
from notifiers.notification import DeviceGone, NotSent, Unavailable, Undeliverable
from notifiers.worker import Pace
from tests.helpers.api import Api, Server
from tests.helpers.database_checks import Database, key, until
from tests.helpers.graphql_ws_client import CHANGES, WITHIN, live, socket
from tests.helpers.notifications import notification
from tests.helpers.push_service import CONTACT, KEY, Answer, Device, PushService, channel, notifying, push_service
from tests.helpers.upgrading import connected

AT_ONCE = Pace(retry=0.1, retry_max=0.2, settling=0.0)
NEVER = Pace(settling=3_600.0)
"""For what must be dropped before it is sent."""

REFERENCE = "query($id: ID!) { ticket(by: {id: $id}) { reference } }"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("push")


@pytest.fixture(scope="module")
def shared(directory: Path) -> Iterator[PushService]:
    with push_service(directory) as running, pytest.MonkeyPatch.context() as environment:
        environment.setenv("SSL_CERT_FILE", str(directory / "authority.pem"))
        yield running


@pytest.fixture(scope="module")
def server_settings(shared: PushService) -> dict[str, str]:
    return {"push_private_key": KEY.text, "push_contact": CONTACT, "push_private_hosts": "allow"}


@pytest.fixture
def service(shared: PushService) -> Iterator[PushService]:
    shared.pushed.clear()
    shared.answer = lambda pushed: (201, {})
    yield shared
    assert shared.problems == []


@pytest.fixture(autouse=True)
async def nothing_queued(api: Api, database: Database) -> None:
    await database.execute("DELETE FROM deliveries")
    await database.execute("DELETE FROM push_subscriptions")
    await database.execute("UPDATE assignments SET delivered_at = NULL")
    kinds = {"ASSIGNED", "CUSTOMER_ANSWERED"}
    await switch(api, **{kind: kind in kinds for kind in ("CREATED", "ASSIGNED", "UNASSIGNED", "NOTE_ADDED")})
    await switch(api, **{kind: kind in kinds for kind in ("CUSTOMER_ANSWERED", "RESOLVED", "REOPENED")})


async def switch(api: Api, **kinds: bool) -> None:
    notices = [{"kind": kind, "push": on} for kind, on in kinds.items()]
    await api.done("supportSettingsUpdate", "__typename", notices=notices)


async def subscribed(viewer: Api, service: PushService, name: str = "phone") -> Device:
    device = Device(service, name)
    payload = await viewer.done("pushSubscriptionSet", "deviceId", **device.input)
    assert payload["deviceId"] == name
    return device


async def phone_of(api: Api, technician: str, service: PushService, name: str = "phone") -> Device:
    async with api.technician(technician) as viewer:
        return await subscribed(viewer, service, name)


async def finished(database: Database, number: int = 1) -> list[tuple[str, str]]:
    """Waits until so many notices are finished. Returns their states and what was said."""
    await until(database, f"count(*) = {number} FROM deliveries WHERE channel = 'PUSH' AND finished_at IS NOT NULL")
    rows = await database.fetch("SELECT state, said FROM deliveries WHERE channel = 'PUSH' ORDER BY created_at, id")
    return [(row["state"], row["said"]) for row in rows]


async def queued(database: Database) -> list[tuple[str, str]]:
    rows = await database.fetch("SELECT kind, audience FROM deliveries WHERE channel = 'PUSH' ORDER BY created_at, id")
    return [(row["kind"], row["audience"]) for row in rows]


async def assigned(api: Api, technician: str, **given: Any) -> str:
    return await api.new_ticket(technicianId=technician, **given)


# What a locked screen shows


async def test_a_locked_screen_shows_the_reference_and_what_to_do_and_nothing_of_the_customer(
    api: Api, server: Server, database: Database, service: PushService
) -> None:
    tess = await api.new_technician(name="Tess Okafor")
    customer = await api.new_customer(name="Zoe Quartz", email="zoe@quartz.test", phone="613-555-0101")
    site = await api.new_property(customer, address="77 Quagmire Lane")
    refers = {"customerId": customer, "propertyId": site, "technicianId": tess}
    device = await phone_of(api, tess, service)
    ticket = await api.new_ticket(subject="Vault door", description="The code is 4711.", priority="URGENT", **refers)
    async with api.customer(customer) as zoe:
        await zoe.done("noteAdd", "__typename", ticketId=ticket, body="Still open: 4711.")
    async with notifying(server.settings, AT_ONCE):
        assert await finished(database, 2) == [("SENT", "HTTP 201 Created")] * 2
    reference = (await api(REFERENCE, id=ticket))["ticket"]["reference"]
    notices = [device.read(pushed) for pushed in service.to(device)]
    assert [notice["body"] for notice in notices] == [
        "Assigned to you. Accept or decline it.",
        "The customer has answered. Read the answer.",
    ]
    for notice, kind in zip(notices, ("ASSIGNED", "CUSTOMER_ANSWERED"), strict=True):
        assert notice.pop("token")
        assert notice.pop("at")
        assert notice.pop("body")
        assert notice == {
            "kind": kind,
            "tag": key(ticket).replace("-", ""),
            "title": reference,
            "reference": reference,
            "ticketId": ticket,
            "url": f"https://desk.example.test/tickets/{reference}",
        }
    for pushed in service.pushed:
        outside = f"{pushed.headers} {pushed.claims}"
        assert not any(word in outside for word in (reference, "Vault", "Quartz", "4711", "ASSIGNED"))


@pytest.mark.parametrize(
    ("priority", "urgency", "days"),
    [("URGENT", "high", 1), ("HIGH", "high", 1), ("MEDIUM", "normal", 3), ("LOW", "low", 7)],
)
async def test_the_urgency_and_how_long_a_notice_is_kept_are_the_tickets(
    api: Api, server: Server, database: Database, service: PushService, priority: str, urgency: str, days: int
) -> None:
    tess = await api.new_technician()
    await phone_of(api, tess, service)
    ticket = await assigned(api, tess, priority=priority)
    async with notifying(server.settings, AT_ONCE):
        await finished(database)
    (pushed,) = service.pushed
    headers = {name.lower(): value for name, value in pushed.headers.items()}
    assert (headers["urgency"], headers["topic"]) == (urgency, key(ticket).replace("-", ""))
    assert days * 86_400 - 600 < int(headers["ttl"]) <= days * 86_400


async def test_ten_changes_of_a_ticket_are_one_notice_on_a_device_that_was_off(
    api: Api, server: Server, database: Database, service: PushService
) -> None:
    tess = await api.new_technician()
    device = await phone_of(api, tess, service)
    await switch(api, UNASSIGNED=True)
    first, second = await assigned(api, tess), await assigned(api, tess)
    for technician in (None, tess) * 4:
        await api.done("ticketAssign", "__typename", ticketId=first, technicianId=technician)
    async with notifying(server.settings, AT_ONCE):
        await finished(database, 10)
    notices = [device.read(pushed) for pushed in service.shown_by(device)]
    assert {(notice["ticketId"], notice["kind"]) for notice in notices} == {(first, "ASSIGNED"), (second, "ASSIGNED")}
    assert len({notice["tag"] for notice in notices}) == 2


async def test_a_notice_that_nobody_needs_any_more_is_not_sent(
    api: Api, server: Server, database: Database, service: PushService
) -> None:
    tess = await api.new_technician()
    await phone_of(api, tess, service)
    await assigned(api, tess, priority="URGENT")
    await database.execute("UPDATE deliveries SET created_at = now() - interval '25 hours' WHERE channel = 'PUSH'")
    async with notifying(server.settings, AT_ONCE):
        assert await finished(database) == [("DEAD", "Too late for a notice: see the ticket.")]
    assert service.pushed == []


# Who is notified


async def test_the_technician_is_notified_on_each_of_their_devices_and_nobody_else_is(
    api: Api, server: Server, database: Database, service: PushService
) -> None:
    tess, dev = await api.new_technician(), await api.new_technician()
    devices = [await phone_of(api, tess, service, name) for name in ("phone", "tablet")]
    await phone_of(api, dev, service, "other")
    await assigned(api, tess)
    async with notifying(server.settings, AT_ONCE):
        await finished(database, 2)
    assert [len(service.to(device)) for device in devices] == [1, 1]
    assert len(service.pushed) == 2


async def test_nobody_is_notified_of_what_they_have_done_themselves(
    api: Api, database: Database, service: PushService
) -> None:
    await subscribed(api, service, "desk")
    await switch(api, CREATED=True, REOPENED=True)
    async with Api(api.server, subject="another boss") as another:
        await subscribed(another, service, "another-desk")
        await another.new_ticket()
    rows = await database.fetch("SELECT recipient FROM deliveries WHERE channel = 'PUSH'")
    names = await database.fetch("SELECT id::text, device_id FROM push_subscriptions")
    assert [dict(map(tuple, names))[row["recipient"]] for row in rows] == ["desk"]


async def test_a_customer_is_notified_of_a_ticket_that_somebody_else_has_created(
    api: Api, database: Database, service: PushService
) -> None:
    """By mail they get a receipt for their own, too."""
    customer = await api.new_customer()
    await switch(api, CREATED=True)
    async with api.customer(customer) as portal:
        await subscribed(portal, service, "portal")
        await portal.new_ticket(customerId=customer)
        assert await queued(database) == []
    await api.new_ticket(customerId=customer)
    assert await queued(database) == [("CREATED", "CUSTOMER")]


async def test_each_kind_is_switched_for_devices_by_itself(api: Api, database: Database, service: PushService) -> None:
    customer = await api.new_customer()
    tess, dev = await api.new_technician(), await api.new_technician()
    await phone_of(api, tess, service, "tess")
    async with api.customer(customer) as portal:
        await subscribed(portal, service, "portal")
    await switch(api, ASSIGNED=False)
    ticket = await assigned(api, tess, customerId=customer)
    await api.done("ticketResolve", "__typename", ticketId=ticket, resolution="Done.")
    assert await queued(database) == []
    await switch(api, UNASSIGNED=True, RESOLVED=True, NOTE_ADDED=True, REOPENED=True)
    await api.done("ticketSetStatus", "__typename", ticketId=ticket, status="OPEN")
    await api.done("noteAdd", "__typename", ticketId=ticket, body="We come.", internalOnly=False)
    await api.done("noteAdd", "__typename", ticketId=ticket, body="Bring a ladder.")
    await api.done("ticketResolve", "__typename", ticketId=ticket, resolution="Done.")
    await api.done("ticketAssign", "__typename", ticketId=ticket, technicianId=dev)
    assert await queued(database) == [
        ("REOPENED", "TECHNICIAN"),
        ("NOTE_ADDED", "CUSTOMER"),
        ("RESOLVED", "CUSTOMER"),
        ("UNASSIGNED", "TECHNICIAN"),
    ]


async def test_admins_are_notified_of_answers_that_concern_no_technician(
    api: Api, database: Database, service: PushService
) -> None:
    await subscribed(api, service, "desk")
    customer, tess = await api.new_customer(), await api.new_technician()
    await phone_of(api, tess, service)
    async with api.customer(customer) as portal:
        for given in ({}, {"technicianId": tess}):
            ticket = await api.new_ticket(customerId=customer, **given)
            await database.execute("DELETE FROM deliveries")
            await portal.done("noteAdd", "__typename", ticketId=ticket, body="Hello?")
            assert await queued(database) == [("CUSTOMER_ANSWERED", "TECHNICIAN" if given else "ADMIN")]


async def test_a_worker_of_the_release_before_leaves_notices_alone(
    api: Api, database: Database, service: PushService
) -> None:
    """It screens what has not been screened, and knows no such channel."""
    tess = await api.new_technician()
    await phone_of(api, tess, service)
    await assigned(api, tess)
    waiting = "SELECT count(*) FROM deliveries WHERE channel = 'PUSH' AND screened_at IS NULL"
    assert len(await queued(database)) == 1
    assert await database.fetchval(waiting) == 0


async def test_of_many_answers_a_device_is_notified_of_some(
    api: Api, server: Server, database: Database, service: PushService
) -> None:
    tess, customer, patient = await api.new_technician(), await api.new_customer(), await api.new_customer()
    await phone_of(api, tess, service)
    first, second = [await assigned(api, tess, customerId=customer) for _ in range(2)]
    third = await assigned(api, tess, customerId=patient)
    await database.execute("DELETE FROM deliveries")
    async with api.customer(customer) as portal, api.customer(patient) as another:
        for ticket in (first, first, first, second, second):
            await portal.done("noteAdd", "__typename", ticketId=ticket, body="Hello?")
        await another.done("noteAdd", "__typename", ticketId=third, body="Hello?")
    await api.done("ticketAssign", "__typename", ticketId=first, technicianId=None)
    await api.done("ticketAssign", "__typename", ticketId=first, technicianId=tess)
    few = {"mail_answers_per_ticket": 2, "mail_answers_per_customer": 3}
    async with notifying(server.settings.model_copy(update=few), AT_ONCE):
        states = [state for state, _ in await finished(database, 7)]
    # Two on the first ticket, and three of its customer. Another customer's, and the assignment, are not counted.
    assert states == ["SENT", "SENT", "DROPPED", "DROPPED", "DROPPED", "SENT", "SENT"]


# Push services that fail


@pytest.mark.parametrize("status", [404, 410])
async def test_a_device_that_is_gone_is_forgotten(
    api: Api, server: Server, database: Database, service: PushService, status: int
) -> None:
    tess = await api.new_technician()
    await phone_of(api, tess, service)
    gone = await phone_of(api, tess, service, "tablet")
    service.answer = lambda pushed: (status if pushed.path.endswith("tablet") else 201, {})
    await assigned(api, tess)
    async with notifying(server.settings, AT_ONCE):
        assert sorted(state for state, _ in await finished(database, 2)) == ["DEAD", "SENT"]
        await assigned(api, tess)
        await finished(database, 3)
    assert len(service.to(gone)) == 1
    assert [row[0] for row in await database.fetch("SELECT device_id FROM push_subscriptions")] == ["phone"]


async def test_a_device_that_has_subscribed_anew_meanwhile_is_not_forgotten(
    api: Api, server: Server, database: Database, service: PushService
) -> None:
    tess = await api.new_technician()
    old = await phone_of(api, tess, service)
    subscription = str(await database.fetchval("SELECT id FROM push_subscriptions"))
    new = Device(service, "phone")
    new.endpoint += "-anew"
    async with api.technician(tess) as viewer:
        await viewer.done("pushSubscriptionSet", "__typename", **new.input)
    await push_subscriptions.end(database, [(subscription, old.endpoint)])
    await assigned(api, tess)
    async with notifying(server.settings, AT_ONCE):
        await finished(database)
    assert len(service.to(new)) == 1


@pytest.mark.parametrize("status", [301, 400, 401, 403, 413])
async def test_a_refused_notice_is_given_up_and_says_so(
    api: Api, server: Server, database: Database, service: PushService, status: int
) -> None:
    tess = await api.new_technician()
    await phone_of(api, tess, service)
    service.answer = lambda pushed: (status, {"location": f"{service.origin}/elsewhere"})
    await assigned(api, tess)
    async with notifying(server.settings, AT_ONCE):
        ((state, said),) = await finished(database)
    assert (state, said.split(" ")[:2], len(service.pushed)) == ("DEAD", ["HTTP", str(status)], 1)
    assert await database.fetchval("SELECT count(*) FROM push_subscriptions") == 1


@pytest.mark.parametrize("failure", [(429, {"retry-after": "0"}), (429, {}), (500, {}), (503, {}), "babbles", "drops"])
async def test_a_notice_is_sent_once_the_push_service_works_again(
    api: Api, server: Server, database: Database, service: PushService, failure: Answer
) -> None:
    tess = await api.new_technician()
    await phone_of(api, tess, service)
    service.answer = lambda pushed: failure if len(service.pushed) < 3 else (201, {})
    await assigned(api, tess)
    async with notifying(server.settings, AT_ONCE):
        assert await finished(database) == [("SENT", "HTTP 201 Created")]
    assert len(service.pushed) == 3


async def test_a_push_service_that_hangs_holds_up_no_other_device(
    api: Api, server: Server, database: Database, service: PushService
) -> None:
    tess = await api.new_technician()
    for name in ("phone", "tablet"):
        await phone_of(api, tess, service, name)
    service.answer = lambda pushed: "hangs" if pushed.path.endswith("phone") else (201, {})
    await assigned(api, tess)
    async with notifying(server.settings, Pace(settling=0.0), seconds=0.3):
        await finished(database)
        waiting = "count(*) = 1 FROM deliveries WHERE channel = 'PUSH' AND state = 'PENDING' AND said LIKE '%respond%'"
        await until(database, waiting)


async def test_the_pause_that_a_push_service_asks_for_is_kept(service: PushService) -> None:
    device, push = Device(service, "phone"), channel()
    service.answer = lambda pushed: (429, {"retry-after": "40"})
    with pytest.raises(Unavailable) as refusal:
        await push.send(notice(device))
    assert refusal.value.after == 40
    await push.close()


def notice(device: Device | None, kind: NoticeKind = NoticeKind.ASSIGNED, **given: Any) -> Any:
    target = None if device is None else device.target
    return notification(kind, Audience.TECHNICIAN, recipient="", device=target, at=datetime.now(UTC), **given)


async def test_a_device_without_a_subscription_gets_nothing(service: PushService) -> None:
    push = channel()
    with pytest.raises(Undeliverable, match="no longer subscribed"):
        await push.send(notice(None))
    await push.close()


async def test_nothing_is_sent_to_a_host_that_is_not_public(service: PushService) -> None:
    push = channel(private_hosts=False)
    for host in ("127.0.0.1", "localhost", "2130706433"):
        device = Device(service, "phone")
        device.endpoint = device.endpoint.replace("127.0.0.1", host)
        with pytest.raises(Undeliverable, match="CALLOUT_PUSH_PRIVATE_HOSTS"):
            await push.send(notice(device))
    assert service.pushed == []
    await push.close()


async def test_the_endpoint_is_never_shown_or_logged(service: PushService, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    push, device, texts = channel(seconds=0.3), Device(service, "s3cret"), []
    answers: list[Answer] = [(201, {}), (410, {}), (413, {}), (429, {}), "hangs", "babbles", "drops"]
    for answer in answers:
        service.answer = lambda pushed, answer=answer: answer  # type: ignore[misc]
        try:
            texts.append(await push.send(notice(device)))
        except NotSent as error:
            texts += [error.said, repr(error), "".join(traceback.format_exception(error))]
    texts.append(repr(notice(device)))
    texts += [f"{record.getMessage()} {record.args!r}" for record in caplog.records]
    assert len(service.pushed) == len(answers)
    assert not any("s3cret" in text for text in texts)
    await push.close()


async def test_every_kind_can_be_shown(service: PushService) -> None:
    """A test has no ticket, and so no token."""
    push, device = channel(), Device(service, "phone")
    for kind in NoticeKind:
        await push.send(notice(device, kind))
        shown = device.read(service.pushed[-1])
        assert (shown["kind"], bool(shown["body"]), "token" in shown) == (kind, True, kind is not NoticeKind.TEST)
    await push.close()


async def test_a_device_gone_is_said_as_such(service: PushService) -> None:
    push = channel()
    service.answer = lambda pushed: (410, {})
    with pytest.raises(DeviceGone, match="HTTP 410 Gone"):
        await push.send(notice(Device(service, "phone")))
    await push.close()


async def test_a_test_notifies_ones_own_devices(api: Api, service: PushService) -> None:
    selection = "results { recipient sent said }"
    async with Api(api.server, subject="another boss") as another:
        await subscribed(another, service, "another-desk")
    assert await api.refused("supportSettingsTest", channel="PUSH") == [("REQUIRED", "channel")]
    device = await subscribed(api, service, "desk")
    payload = await api.done("supportSettingsTest", selection, channel="PUSH")
    assert payload["results"] == [{"recipient": None, "sent": True, "said": "HTTP 201 Created"}]
    (pushed,) = service.pushed
    assert device.read(pushed)["title"] == "Callout"


# The device's own stream


async def test_what_the_devices_stream_has_delivered_is_not_pushed(
    api: Api, server: Server, database: Database, service: PushService
) -> None:
    """By a worker in another process, after the device has confirmed the event."""
    tess = await api.new_technician()
    await phone_of(api, tess, service)
    await phone_of(api, tess, service, "tablet")
    async with api.technician(tess) as viewer, live(viewer, device={"deviceId": "phone"}) as phone:
        await phone.subscribe("1", CHANGES)
        assert (await phone.next())["__typename"] == "StreamReady"
        await assigned(api, tess)
        assert (await phone.next())["change"] == "ENTERED"
        reading = asyncio.create_task(phone.receive())  # answers the ping
        async with notifying(server.settings, NEVER):
            await finished(database)
        reading.cancel()
    rows = await database.fetch(
        "SELECT device_id, state, said FROM deliveries JOIN push_subscriptions AS device ON device.id::text = recipient"
    )
    assert {tuple(row) for row in rows} == {
        ("phone", "DROPPED", "The device has received the event by its own stream."),
        ("tablet", "PENDING", None),
    }
    await until(database, "count(*) = 1 FROM assignments WHERE delivered_at IS NOT NULL")
    assert service.pushed == []


async def test_a_device_that_says_nothing_is_notified(
    api: Api, server: Server, database: Database, service: PushService
) -> None:
    """Its line may be dead, or its client may not say what it answers."""
    tess = await api.new_technician()
    device = await phone_of(api, tess, service)
    async with api.technician(tess) as viewer, live(viewer, device={"deviceId": "phone"}) as phone:
        phone.echoing = False
        await phone.subscribe("1", CHANGES)
        assert (await phone.next())["__typename"] == "StreamReady"
        await assigned(api, tess)
        assert (await phone.next())["change"] == "ENTERED"
        async with asyncio.timeout(WITHIN):
            assert json.loads(await phone.connection.recv()) == {"type": "ping", "payload": {"received": 1}}
        for payload in (None, {}, {"received": 0}, {"received": 2}, {"received": "1"}, {"received": [1]}, {"other": 1}):
            await phone.send(type="pong", payload=payload)
        async with notifying(server.settings, AT_ONCE):
            assert await finished(database) == [("SENT", "HTTP 201 Created")]
    assert len(service.to(device)) == 1
    assert await database.fetchval("SELECT count(*) FROM assignments WHERE delivered_at IS NOT NULL") == 0


async def test_a_device_confirms_only_for_its_own_owner_and_only_what_it_has(
    api: Api, server: Server, database: Database, service: PushService
) -> None:
    tess, dev = await api.new_technician(), await api.new_technician()
    await phone_of(api, tess, service, "phone")
    phone = {"deviceId": "phone"}
    async with api.technician(dev) as viewer, live(api, device=phone) as desk, live(viewer, device=phone) as other:
        for screen in (desk, other):
            await screen.subscribe("1", CHANGES)
            assert (await screen.next())["__typename"] == "StreamReady"
        await assigned(api, tess)
        assert (await desk.next())["change"] == "ENTERED"
        await assigned(api, dev)
        assert [(await screen.next())["change"] for screen in (desk, other)] == ["ENTERED"] * 2
        await asyncio.gather(desk.quiet(1.0), other.quiet(1.0))  # answers the pings
    async with notifying(server.settings, AT_ONCE):
        assert await finished(database) == [("SENT", "HTTP 201 Created")]


@pytest.mark.parametrize("device", ["", "  ", "x" * 101, "a\x00b", "a\nb", 5, ["phone"]])
async def test_a_socket_of_an_unusable_device_is_closed(api: Api, device: Any) -> None:
    async with socket(api.server.url) as opened:
        given = {"Authorization": api.http.headers["authorization"], "deviceId": device}
        await opened.send(type="connection_init", payload=given)
        assert (await opened.closed())[0] == 4400


# Acknowledging


async def test_a_device_acknowledges_a_notice_without_a_login(
    api: Api, server: Server, database: Database, service: PushService
) -> None:
    tess = await api.new_technician()
    device = await phone_of(api, tess, service)
    await assigned(api, tess)
    async with notifying(server.settings, AT_ONCE):
        await finished(database)
    token = device.read(service.pushed[0])["token"]
    query = "{ deliveries(filter: {channel: [PUSH]}) { nodes { recipient state acknowledgedAt } } }"
    assert (await api(query))["deliveries"]["nodes"] == [{"recipient": None, "state": "SENT", "acknowledgedAt": None}]
    async with httpx.AsyncClient(base_url=server.url, trust_env=False) as worker:
        for wrong in ("", token[:-1], f"{token[:-2]}AA", token.swapcase(), "x" * 1_000, "\x00", "ä"):
            assert (await worker.post("/push/acknowledge", content=wrong)).status_code == 400
        assert (await api(query))["deliveries"]["nodes"][0]["acknowledgedAt"] is None
        assert await database.fetchval("SELECT count(*) FROM assignments WHERE delivered_at IS NOT NULL") == 0
        assert (await worker.post("/push/acknowledge", content=token)).status_code == 204
        assert await database.fetchval("SELECT count(*) FROM assignments WHERE delivered_at IS NOT NULL") == 1
        (first,) = (await api(query))["deliveries"]["nodes"]
        assert first["acknowledgedAt"] is not None
        assert (await worker.post("/push/acknowledge", content=f"{token}\n")).status_code == 204
        assert (await api(query))["deliveries"]["nodes"] == [first]
        assert (await worker.get("/push/acknowledge")).status_code == 405


async def test_an_acknowledged_notice_is_not_sent_again(
    api: Api, server: Server, database: Database, service: PushService
) -> None:
    """The push service has taken it, but its answer was lost."""
    tess = await api.new_technician()
    device = await phone_of(api, tess, service)
    service.answer = lambda pushed: "drops"
    await assigned(api, tess)
    async with notifying(server.settings, Pace(settling=0.0)):
        await until(database, "count(*) = 1 FROM deliveries WHERE channel = 'PUSH' AND said LIKE '%reached%'")
    async with httpx.AsyncClient(base_url=server.url, trust_env=False) as worker:
        token = device.read(service.pushed[0])["token"]
        assert (await worker.post("/push/acknowledge", content=token)).status_code == 204
    ((state, _),) = await finished(database)
    assert state == "SENT"


async def test_servers_whose_devices_have_received_the_same_events_do_not_wait_in_a_circle(
    api: Api, database: Database, service: PushService, database_url: str
) -> None:
    """Each drops the same notices, which it has received in its own order. Both pause at the first one that they
    change."""
    tess = await api.new_technician()
    await phone_of(api, tess, service)
    for _ in range(2):
        await assigned(api, tess)
    rows = await database.fetch(
        "SELECT device.owner, device.device_id, delivery.event_id::text FROM deliveries AS delivery"
        " JOIN push_subscriptions AS device ON device.id::text = lower(delivery.recipient)"
        " WHERE delivery.channel = 'PUSH' ORDER BY delivery.id"
    )
    received = [push_subscriptions.ReceivedEvent(*row) for row in rows]
    assert len(received) == 2
    await database.execute("ANALYZE deliveries")
    await database.execute("""
        CREATE FUNCTION pause() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_advisory_xact_lock_shared(4711); RETURN NEW; END $$;
        CREATE TRIGGER pause BEFORE UPDATE ON deliveries FOR EACH ROW EXECUTE FUNCTION pause()""")
    try:
        async with connected(database_url) as one, connected(database_url) as other:
            for server in (one, other):  # as the planner does with many deliveries: one event after the other
                await server.execute(
                    "SET enable_hashjoin = off; SET enable_mergejoin = off; SET join_collapse_limit = 1"
                )
            async with asyncio.timeout(WITHIN):
                async with database.transaction():
                    await database.execute("SELECT pg_advisory_xact_lock(4711)")
                    dropping = []
                    for server, order in ((one, received), (other, received[::-1])):
                        dropping.append(asyncio.create_task(push_subscriptions.drop_received(server, order)))
                        waits = f"count(*) > 0 FROM pg_locks WHERE NOT granted AND pid = {server.get_server_pid()}"
                        await until(database, waits)
                await asyncio.gather(*dropping)
    finally:
        await database.execute("DROP TRIGGER pause ON deliveries; DROP FUNCTION pause")
    states = await database.fetch("SELECT state FROM deliveries WHERE channel = 'PUSH'")
    assert [row["state"] for row in states] == ["DROPPED"] * 2


async def test_a_token_that_is_repeated_from_many_addresses_keeps_no_other_device_from_acknowledging(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the first costs a look-up, which is what all have together."""
    monkeypatch.setattr("callout.http.confirm_attempts.OVERALL", 100.0)
    monkeypatch.setattr(acknowledging, "monotonic", lambda: 0.0)
    pool = await Pool.open(database_url, size=1)
    state = {
        "acknowledgements": acknowledging.Acknowledgements(pool),
        "acknowledging_attempts": ConfirmAttempts(0.0),
        "push_key": KEY,
    }
    clients = (f"203.0.113.{number}" for number in range(250))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope = {**scope, SCOPE_KEY: RequestInfo("1", client=next(clients)), "state": state}
        await Starlette(routes=acknowledging.ROUTES)(scope, receive, send)

    try:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://callout.test") as device:
            token, other = KEY.token(new_id()), KEY.token(new_id())
            for content in (*[token] * 200, other):
                assert (await device.post("/push/acknowledge", content=content)).status_code == 204
            at_once = [device.post("/push/acknowledge", content=token) for _ in range(40)]
            assert {answer.status_code for answer in await asyncio.gather(*at_once)} == {204}
    finally:
        await pool.close()


async def test_guesses_of_tokens_are_limited_for_each_client(server: Server) -> None:
    """The last test here: for a minute afterwards no device of this address can acknowledge anything."""
    async with httpx.AsyncClient(base_url=server.url, trust_env=False) as guesser:
        answers = [await guesser.post("/push/acknowledge", content="guess") for _ in range(25)]
    assert [answer.status_code for answer in answers[-3:]] == [429] * 3
    assert int(answers[-1].headers["retry-after"]) >= 1
