"""Notices on devices: who is notified, what a locked screen shows, and what becomes of a push service that fails."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from notifiers.worker import Pace
from tests.helpers.api import Api, Server
from tests.helpers.database_checks import Database, until
from tests.helpers.push_service import CONTACT, KEY, Device, PushService, notifying, push_service

SOON = Pace(retry=0.1, retry_max=0.2, settling=0.0)


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
    return {
        "push_private_key": KEY.text,
        "push_contact": CONTACT,
        "push_private_hosts": "allow",
        "public_url": "https://desk.example.test",
    }


@pytest.fixture
def service(shared: PushService) -> PushService:
    shared.pushed.clear()
    shared.problems.clear()
    shared.answer = lambda pushed: (201, {})
    return shared


@pytest.fixture(autouse=True)
async def nothing_queued(database: Database) -> None:
    await database.execute("DELETE FROM deliveries")
    await database.execute("DELETE FROM push_subscriptions")


async def subscribed(viewer: Api, service: PushService, name: str = "phone") -> Device:
    device = Device(service, name)
    payload = await viewer.done("pushSubscriptionSet", "deviceId", **device.input)
    assert payload["deviceId"] == name
    return device


async def finished(database: Database, number: int = 1) -> list[Any]:
    """Waits until so many notices are finished. Returns their states and what was said."""
    await until(database, f"count(*) = {number} FROM deliveries WHERE channel = 'PUSH' AND finished_at IS NOT NULL")
    rows = await database.fetch("SELECT state, said FROM deliveries WHERE channel = 'PUSH' ORDER BY created_at, id")
    return [tuple(row) for row in rows]


async def test_an_assigned_technicians_device_shows_the_reference_and_what_to_do(
    api: Api, server: Server, database: Database, service: PushService
) -> None:
    tess = await api.new_technician()
    customer = await api.new_customer(name="Zoe Quartz", email="zoe@quartz.test")
    ticket = await api.new_ticket(customerId=customer, subject="Vault door", priority="URGENT")
    async with api.technician(tess) as device_api:
        device = await subscribed(device_api, service)
    await api.done("ticketAssign", "__typename", ticketId=ticket, technicianId=tess)
    async with notifying(server.settings, SOON):
        assert await finished(database) == [("SENT", "HTTP 201 Created")]
    assert service.problems == []
    (pushed,) = service.to(device)
    reference = (await api("query($id: ID!) { ticket(by: {id: $id}) { reference } }", id=ticket))["ticket"]["reference"]
    notice = device.read(pushed)
    assert notice["title"] == notice["reference"] == reference
    assert notice["body"] == "Assigned to you. Open the ticket."
