"""Push subscriptions: who may have them, what they may name, and what ends them."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from db.limits import PUSH_DEVICES_MAX
from db.retention import PUSH_OF_ABSENT, PUSH_SUBSCRIPTIONS
from notifiers.vapid import VapidKey, encoded
from tests.helpers.api import Api
from tests.helpers.database_checks import Database, key, until_blocked

KEY = VapidKey.generate()
POINT = KEY.public  # any point of the curve
AUTH = encoded(bytes(16))


@pytest.fixture(scope="module")
def server_settings() -> dict[str, str]:
    return {"push_private_key": KEY.text, "push_contact": "mailto:ops@company.test"}


@pytest.fixture(autouse=True)
async def none_yet(database: Database) -> None:
    await database.execute("DELETE FROM push_subscriptions")


def subscription(device: str = "phone", **given: str) -> dict[str, str]:
    endpoint = f"https://push.example.test/{device}-{os.urandom(4).hex()}"
    return {"deviceId": device, "endpoint": endpoint, "p256dh": POINT, "auth": AUTH} | given


async def subscribe(viewer: Api, device: str = "phone", **given: str) -> dict[str, str]:
    input = subscription(device, **given)
    await viewer.done("pushSubscriptionSet", "deviceId", **input)
    return input


async def devices(database: Database) -> list[str]:
    return [row[0] for row in await database.fetch("SELECT device_id FROM push_subscriptions ORDER BY device_id")]


async def test_people_read_the_public_key(api: Api) -> None:
    async with api.technician(await api.new_technician()) as tess:
        for viewer in (api, tess):
            assert (await viewer("{ pushPublicKey }"))["pushPublicKey"] == KEY.public
    both = await api("{ pushPublicKey __schema { queryType { name } } }")
    assert both["pushPublicKey"] == KEY.public


@pytest.mark.parametrize(
    ("given", "errors"),
    [
        ({"deviceId": " "}, [("REQUIRED", "deviceId")]),
        ({"deviceId": "x" * 101}, [("TOO_LONG", "deviceId")]),
        ({"deviceId": "a\nb"}, [("INVALID", "deviceId")]),
        ({"deviceId": "a\u200bb"}, [("INVALID", "deviceId")]),
        ({"deviceId": "a\0b"}, [("INVALID", "deviceId")]),
        ({"endpoint": ""}, [("REQUIRED", "endpoint")]),
        ({"endpoint": "https://push.example.test/" + "x" * 2_000}, [("TOO_LONG", "endpoint")]),
        ({"endpoint": "http://push.example.test/1"}, [("INVALID", "endpoint")]),
        ({"endpoint": "ftp://push.example.test/1"}, [("INVALID", "endpoint")]),
        ({"endpoint": "https://user@push.example.test/1"}, [("INVALID", "endpoint")]),
        ({"endpoint": "https://push.example.test/ä"}, [("INVALID", "endpoint")]),
        ({"endpoint": "https://"}, [("INVALID", "endpoint")]),
        ({"endpoint": "https://localhost/1"}, [("INVALID", "endpoint")]),
        ({"endpoint": "https://10.0.0.1/1"}, [("INVALID", "endpoint")]),
        ({"endpoint": "https://[::1]/1"}, [("INVALID", "endpoint")]),
        ({"endpoint": "https://169.254.169.254/latest/meta-data"}, [("INVALID", "endpoint")]),
        ({"p256dh": ""}, [("REQUIRED", "p256dh")]),
        ({"p256dh": encoded(bytes(64))}, [("INVALID", "p256dh")]),
        ({"p256dh": encoded(b"\4" + bytes(64))}, [("INVALID", "p256dh")]),
        ({"p256dh": POINT[:-2] + "!!"}, [("INVALID", "p256dh")]),
        ({"p256dh": "A" * 200}, [("TOO_LONG", "p256dh")]),
        ({"auth": encoded(bytes(15))}, [("INVALID", "auth")]),
        ({"auth": "ä" * 22}, [("INVALID", "auth")]),
        ({"auth": "", "p256dh": "x"}, [("INVALID", "p256dh"), ("REQUIRED", "auth")]),
    ],
)
async def test_an_unusable_subscription_is_refused(
    api: Api, database: Database, given: dict[str, str], errors: list[tuple[str, str]]
) -> None:
    assert await api.refused("pushSubscriptionSet", **subscription(**given)) == errors
    assert await devices(database) == []


async def test_keys_may_be_padded(api: Api, database: Database) -> None:
    await subscribe(api, auth=f"{AUTH}==", p256dh=f"{POINT}=")
    assert await database.fetchval("SELECT octet_length(p256dh) + octet_length(auth) FROM push_subscriptions") == 81


async def test_the_same_again_keeps_the_subscription(api: Api, database: Database) -> None:
    given = await subscribe(api)
    before = await database.fetchrow("SELECT id, set_at FROM push_subscriptions")
    await api.done("pushSubscriptionSet", "__typename", **given)
    after = await database.fetchrow("SELECT id, set_at FROM push_subscriptions")
    assert before is not None and after is not None
    assert (before["id"], before["set_at"] < after["set_at"]) == (after["id"], True)


async def test_an_endpoint_is_notified_for_the_one_who_has_set_it_last(api: Api, database: Database) -> None:
    """Two technicians share a tablet."""
    tess, dev = await api.new_technician(), await api.new_technician()
    async with api.technician(tess) as first, api.technician(dev) as second:
        given = await subscribe(first, "tablet")
        await subscribe(first, "phone")
        await second.done("pushSubscriptionSet", "__typename", **given)
    owners = await database.fetch("SELECT owner, device_id FROM push_subscriptions ORDER BY device_id")
    assert [tuple(row) for row in owners] == [
        (f"TECHNICIAN:{key(tess)}", "phone"),
        (f"TECHNICIAN:{key(dev)}", "tablet"),
    ]


async def test_of_several_who_set_an_endpoint_at_once_one_has_it(api: Api, database: Database) -> None:
    technicians = [await api.new_technician() for _ in range(8)]
    endpoint = subscription()["endpoint"]
    async with AsyncExitStack() as stack:
        viewers = [await stack.enter_async_context(api.technician(each)) for each in technicians]
        await asyncio.gather(*(subscribe(viewer, endpoint=endpoint) for viewer in viewers))
    assert await database.fetchval("SELECT count(*) FROM push_subscriptions") == 1


async def test_a_person_has_a_bounded_number_of_devices(api: Api, database: Database) -> None:
    async with api.technician(await api.new_technician()) as tess:
        await subscribe(api, "desk")
        for number in range(PUSH_DEVICES_MAX):
            await subscribe(tess, f"phone-{number}")
        await subscribe(tess, "phone-0")
        await subscribe(tess, "new")
    assert await devices(database) == sorted(
        ["desk", "new", "phone-0", *(f"phone-{number}" for number in range(2, PUSH_DEVICES_MAX))]
    )


async def test_a_device_is_removed_by_its_owner_alone(api: Api, database: Database) -> None:
    async with api.technician(await api.new_technician()) as tess:
        await subscribe(tess)
        assert await api.refused("pushSubscriptionRemove", deviceId="phone") == [("NOT_FOUND", "deviceId")]
        assert (await tess.done("pushSubscriptionRemove", "deviceId", deviceId="phone"))["deviceId"] == "phone"
        assert await tess.refused("pushSubscriptionRemove", deviceId="phone") == [("NOT_FOUND", "deviceId")]
    assert await devices(database) == []


async def test_subscriptions_end_with_the_access_of_their_owner(api: Api, database: Database) -> None:
    tess, dev = await api.new_technician(), await api.new_technician()
    customer = await api.new_customer()
    account = {"issuer": "https://login.test/", "subject": f"auth0|{customer}"}
    linked = await api.done("identityLink", "identity { id }", **account, person={"customerId": customer})
    identity = linked["identity"]["id"]
    async with (
        api.technician(tess) as first,
        api.technician(dev) as second,
        Api(api.server, subject="another boss") as boss,
    ):
        for viewer, name in ((first, "tess"), (second, "dev"), (boss, "boss"), (api, "stays")):
            await subscribe(viewer, name)
    async with api.customer(customer) as portal:
        await subscribe(portal, "portal")
        # As it is for one who has signed in at the provider.
        await database.execute(
            "UPDATE push_subscriptions SET subjects = subjects || $1 WHERE device_id = 'portal'", [identity]
        )
    await api.done("technicianUpdate", "__typename", technicianId=tess, name="Tess Wire", active=True)
    assert await devices(database) == ["boss", "dev", "portal", "stays", "tess"]
    await api.done("technicianUpdate", "__typename", technicianId=tess, active=False)
    assert await devices(database) == ["boss", "dev", "portal", "stays"]
    await api.done("tokensRevoke", "__typename", subject=dev)
    assert await devices(database) == ["boss", "portal", "stays"]
    await api.done("tokensRevoke", "__typename", subject="another boss")
    assert await devices(database) == ["portal", "stays"]
    await api.done("identityRevoke", "__typename", identityId=identity)
    assert await devices(database) == ["stays"]


async def test_a_subscription_ends_that_is_set_while_its_owner_is_made_inactive(
    api: Api, database: Database, database_url: str
) -> None:
    tess = await api.new_technician()
    setting = await asyncpg.connect(database_url)
    try:
        async with setting.transaction():
            await setting.execute("SELECT FROM technicians WHERE id = $1::uuid FOR KEY SHARE", key(tess))
            await setting.execute(
                """INSERT INTO push_subscriptions (id, owner, device_id, endpoint, p256dh, auth, subjects)
                VALUES (gen_random_uuid(), $1, 'phone', 'https://push.example.test/1', $2, $3, '{}')""",
                *(f"TECHNICIAN:{key(tess)}", bytes(65), bytes(16)),
            )
            ending = asyncio.create_task(api.done("technicianUpdate", "__typename", technicianId=tess, active=False))
            await until_blocked(database)
        await ending
    finally:
        await setting.close()
    assert await devices(database) == []


async def test_a_subscription_that_is_not_set_again_ends(api: Api, database: Database) -> None:
    for name in ("old", "new"):
        await subscribe(api, name)
    await database.execute("UPDATE push_subscriptions SET set_at = now() - interval '91 days' WHERE device_id = 'old'")
    assert await PUSH_SUBSCRIPTIONS.prune(database, timedelta(days=90)) == 1
    assert await devices(database) == ["new"]


async def test_the_devices_of_staff_end_whose_tokens_were_not_seen_for_long(api: Api, database: Database) -> None:
    """Those of customers stay: their role is nobody's to drop."""
    tess, carl = await api.new_technician(), await api.new_customer()
    await subscribe(api, "admin")
    async with api.technician(tess) as technician:
        await subscribe(technician, "technician")
    async with api.customer(carl) as customer:
        await subscribe(customer, "customer")
    aged = "UPDATE push_subscriptions SET renewed_at = renewed_at - $1::interval"
    await database.execute(aged, timedelta(days=31))
    async with api.technician(await api.new_technician()) as other, Api(api.server, subject="seen") as seen:
        await database.execute(
            "UPDATE push_subscriptions SET owner = $1 WHERE device_id = 'technician'",
            f"TECHNICIAN:{key(other.subject)}",
        )
        await other("{ me { name } }")
        await seen("{ me { name } }")
    fresh = "SELECT renewed_at > now() - interval '1 day' FROM push_subscriptions WHERE device_id = 'technician'"
    async with asyncio.timeout(20):
        while not await database.fetchval(fresh):  # noqa: ASYNC110 (another process writes it)
            await asyncio.sleep(0.02)
    assert await PUSH_OF_ABSENT.prune(database, timedelta(days=30)) == 1
    assert await devices(database) == ["customer", "technician"]


async def test_the_audit_trail_has_the_devices_of_staff_without_their_secrets(api: Api, database: Database) -> None:
    tess = await api.new_technician()
    async with api.technician(tess) as viewer:
        given = await subscribe(viewer)
        await viewer.done("pushSubscriptionSet", "__typename", **given)
        await subscribe(viewer)
        await viewer.done("pushSubscriptionRemove", "__typename", deviceId="phone")
    async with api.customer(await api.new_customer()) as portal:
        await subscribe(portal)
    query = """{ auditEntries(filter: {objectKind: [PUSH_SUBSCRIPTION]}) { nodes {
        action actor { kind } changes { field before after } } } }"""
    entries: list[dict[str, Any]] = (await api(query))["auditEntries"]["nodes"][:3]
    secrets = {"before": "(secret)", "after": "(secret)"}
    assert [(entry["action"], entry["actor"]["kind"]) for entry in entries] == [
        ("REVOKED", "TECHNICIAN"),
        ("UPDATED", "TECHNICIAN"),
        ("CREATED", "TECHNICIAN"),
    ]
    assert entries[1]["changes"] == [{"field": "endpoint", **secrets}]
    assert {"field": "technicianId", "before": None, "after": tess} in entries[2]["changes"]
    assert given["endpoint"] not in str(entries)
