"""Changes of customers, properties, technicians and articles, for clients that keep copies of them."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest
from graphql import is_object_type

from callout.execution.prepare import Preparer
from callout.live.feeds import Feeds
from callout.live.screening import Screenings
from db.enums import Role
from db.postgres.pool import Database as Pool
from db.viewer import Viewer
from pubsub.feed import Feed
from schema import graphql_schema, schema
from tests.helpers.api import SCHEMA, Api
from tests.helpers.attached_files import unsigned
from tests.helpers.budgets import free_budget
from tests.helpers.connecting import NO_PRESENCE
from tests.helpers.database_checks import key
from tests.helpers.graphql_ws_client import Socket, live

DOCUMENT = """subscription($after: String) {{ {kind}Changed(after: $after) {{ __typename
    ... on {type}Change {{ cursor change {kind}Id {kind} {{ id {fields} }} changedFields at }}
    ... on StreamReady {{ cursor resumed }} ... on StreamReset {{ cursor reason }} }} }}"""
FIELDS = {"customer": "name", "property": "address", "technician": "name", "article": "problem published"}


def document(kind: str) -> str:
    return DOCUMENT.format(kind=kind, type=kind.capitalize(), fields=FIELDS[kind])


async def follow(screen: Socket, kind: str, after: str | None = None, id: str = "1") -> list[Any]:
    """Subscribes, and returns the messages before `StreamReady`."""
    await screen.subscribe(id, document(kind), after=after)
    received = []
    while (message := await screen.next())["__typename"] != "StreamReady":
        received.append(message)
    return received


async def test_an_admin_receives_each_change_with_the_object_as_it_is(api: Api) -> None:
    async with AsyncExitStack() as stack:
        screens = {kind: await stack.enter_async_context(live(api)) for kind in FIELDS}
        for kind, screen in screens.items():
            assert await follow(screen, kind) == []
        customer = await api.new_customer(name="Ada")
        property_id = await api.new_property(customer, address="1 Elm Street")
        technician = await api.new_technician(name="Tess")
        await api.done("customerUpdate", "__typename", customerId=customer, name="Ada L.", phone="613-555-0199")
        await api.done("propertyUpdate", "__typename", propertyId=property_id, address="2 Elm Street")
        await api.done("technicianUpdate", "__typename", technicianId=technician, active=False)
        made = await api.done("articleCreate", "article { id }", problem="It beeps", solution="Battery.")
        article = made["article"]["id"]
        await api.done("articleUpdate", "__typename", articleId=article, solution="New battery.")
        for kind, id, change, fields, value in (
            ("customer", customer, "CREATED", [], {"name": "Ada L."}),
            ("customer", customer, "UPDATED", ["name", "phone"], {"name": "Ada L."}),
            ("property", property_id, "CREATED", [], {"address": "2 Elm Street"}),
            ("property", property_id, "UPDATED", ["address"], {"address": "2 Elm Street"}),
            ("technician", technician, "CREATED", [], {"name": "Tess"}),
            ("technician", technician, "UPDATED", ["active"], {"name": "Tess"}),
            ("article", article, "CREATED", [], {"problem": "It beeps", "published": False}),
            ("article", article, "UPDATED", ["solution"], {"problem": "It beeps", "published": False}),
        ):
            message = await screens[kind].next()
            assert (message["change"], message[f"{kind}Id"], message["changedFields"]) == (change, id, fields)
            assert message[kind]["id"] == id
            if change == "UPDATED" or kind == "article":
                assert message[kind] == {"id": id} | value
        for kind, screen in screens.items():
            await screen.quiet(0.2)
            type_ = SCHEMA.type_map[f"{kind.capitalize()}Change"]
            assert is_object_type(type_)
            assert {f"{type_.name}.{field}" for field in type_.fields} <= screen.seen


async def test_access_notes_are_a_change_for_staff_alone(api: Api) -> None:
    """Customers follow their properties, but not even learn that somebody has noted something there."""
    customer = await api.new_customer()
    property_id = await api.new_property(customer)
    start = (await api("{ properties { streamCursor } }"))["properties"]["streamCursor"]
    async with api.customer(customer) as owner, live(owner) as portal, live(api) as dashboard:
        assert await follow(portal, "property") == await follow(dashboard, "property") == []
        await api.done("propertyAccessNoteAdd", "__typename", propertyId=property_id, body="Mind the dog.")
        await api.done("propertyUpdate", "__typename", propertyId=property_id, address="2 Elm St", accessNotes="None.")
        shown = [(await dashboard.next())["changedFields"] for _ in range(2)]
        assert shown == [["accessNotes"], ["accessNotes", "address"]]
        assert (await portal.next())["changedFields"] == ["address"]
        async with live(owner) as returning:
            assert [each["changedFields"] for each in await follow(returning, "property", start)] == [["address"]]


async def test_a_technician_learns_of_what_is_on_their_tickets_alone(api: Api) -> None:
    technician, other = await api.new_technician(), await api.new_technician()
    customer = await api.new_customer(name="Ada")
    property_id = await api.new_property(customer)
    device, idle = api.technician(technician), api.technician(other)
    start = (await api("{ customers { streamCursor } }"))["customers"]["streamCursor"]
    async with AsyncExitStack() as stack:
        screens = {
            (viewer, kind): await stack.enter_async_context(live(viewer))
            for viewer in (device, idle)
            for kind in ("customer", "property", "technician")
        }
        for (_, kind), screen in screens.items():
            assert await follow(screen, kind) == []
        await api.done("customerUpdate", "__typename", customerId=customer, phone="613-555-0100")
        await api.done("customerUpdate", "__typename", customerId=await api.new_customer(), phone="613-555-0101")
        ticket = await api.new_ticket(customerId=customer, propertyId=property_id, technicianId=technician)
        await api.done("customerUpdate", "__typename", customerId=customer, name="Ada L.")
        await api.done("propertyUpdate", "__typename", propertyId=property_id, address="3 Elm Street")
        message = await screens[device, "customer"].next()
        assert (message["changedFields"], message["customer"]["name"]) == (["name"], "Ada L.")
        assert (await screens[device, "property"].next())["property"]["address"] == "3 Elm Street"
        await api.done("technicianUpdate", "__typename", technicianId=technician, name="Tess")
        assert (await screens[device, "technician"].next())["technician"] == {"id": technician, "name": "Tess"}
        await api.done("ticketAssign", "__typename", ticketId=ticket, technicianId=other)
        await api.done("customerUpdate", "__typename", customerId=customer, phone="613-555-0102")
        assert (await screens[idle, "customer"].next())["changedFields"] == ["phone"]
        for screen in screens.values():
            await screen.quiet(0.2)
        missed = await follow(screens[idle, "customer"], "customer", start, "again")
        assert [each["customerId"] for each in missed] == [customer] * 3
        assert await follow(screens[device, "customer"], "customer", start, "again") == []


async def test_a_customer_learns_of_themselves_and_their_properties_alone(api: Api) -> None:
    customer, other = await api.new_customer(), await api.new_customer()
    async with live(api.customer(customer)) as screen:
        assert await follow(screen, "customer") == await follow(screen, "property", id="2") == []
        await api.done("customerUpdate", "__typename", customerId=other, name="Somebody else")
        await api.new_property(other)
        await api.done("customerUpdate", "__typename", customerId=customer, name="Ada")
        assert (await screen.next())["customer"] == {"id": customer, "name": "Ada"}
        property_id = await api.new_property(customer)
        message = await screen.next()
        assert (message["change"], message["property"]["id"]) == ("CREATED", property_id)
        await screen.quiet(0.2)


async def test_readers_learn_of_articles_while_these_are_published(api: Api) -> None:
    """Of a draft they learn nothing, neither live nor afterwards."""
    customer = await api.new_customer()
    start = (await api("{ articles { streamCursor } }"))["articles"]["streamCursor"]
    async with live(api.customer(customer)) as screen, live(api.service()) as robot:
        for each in (screen, robot):
            assert await follow(each, "article") == []
        made = await api.done("articleCreate", "article { id }", problem="Draft", solution="Battery.")
        article = made["article"]["id"]

        async def update(**given: Any) -> None:
            await api.done("articleUpdate", "__typename", articleId=article, **given)

        await update(problem="Second draft")
        await update(problem="It beeps", published=True)
        await update(solution="New battery.")
        await update(published=False)
        await update(problem="Third draft")
        expected = [("CREATED", []), ("UPDATED", ["solution"]), ("REMOVED", [])]
        for each in (screen, robot):
            received = [await each.next() for _ in expected]
            await each.quiet(0.2)
            assert [message["change"] for message in received] == [change for change, _ in expected]
            assert received[-1]["article"] is None and received[-1]["changedFields"] == []
        await screen.subscribe("again", document("article"), after=start)
        received = [await screen.next() for _ in expected]
        assert [message["change"] for message in received] == [change for change, _ in expected]
        assert all(message["article"] is None and message["changedFields"] == [] for message in received)
        assert (await screen.next())["resumed"] is True
        await update(published=True)
        assert [(await screen.next())["article"]["problem"] for _ in range(2)] == ["Third draft"] * 2


async def test_an_erasure_reaches_all_copies(api: Api) -> None:
    customer = await api.new_customer(name="Adelheid Quist")
    property_id = await api.new_property(customer)
    made = await api.done(
        "articleCreate", "article { id }", problem="Adelheid Quist calls", solution="Be kind.", published=True
    )
    async with AsyncExitStack() as stack:
        screens = {kind: await stack.enter_async_context(live(api)) for kind in ("customer", "property", "article")}
        reader = await stack.enter_async_context(live(api.service()))
        for kind, screen in screens.items():
            assert await follow(screen, kind) == []
        assert await follow(reader, "article") == []
        await api.done("customerErase", "done", customerId=customer)
        for kind, id, fields in (
            ("customer", customer, ["accountNumber", "email", "name"]),
            ("property", property_id, ["accountNumber", "address"]),
            ("article", made["article"]["id"], ["problem", "solution"]),
        ):
            message = await screens[kind].next()
            assert (message["change"], message[f"{kind}Id"], message["changedFields"]) == ("ERASED", id, fields)
            assert "Quist" not in str(message[kind])
        assert (await reader.next())["change"] == "ERASED"
    trail = "query($id: ID) { auditEntries(filter: {objectId: $id, action: [ERASED]}) { totalCount } }"
    for id in (customer, property_id, made["article"]["id"]):
        assert (await api(trail, id=id))["auditEntries"]["totalCount"] == 1


async def test_a_change_costs_technicians_nothing_whom_it_does_not_concern(
    api: Api, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One statement finds out for all of them, and only those whom it concerns have one of their own."""
    technicians = [await api.new_technician() for _ in range(12)]
    customer = await api.new_customer()
    await api.new_ticket(customerId=customer, technicianId=technicians[3])
    await api.done("customerUpdate", "__typename", customerId=customer, name="Ada")
    pool, asked = await Pool.open(database_url), []
    preparer, screenings = Preparer(graphql_schema(schema)), Screenings(pool)
    entries = [str(row["id"]) for row in await pool.fetch("SELECT id FROM audit_entries ORDER BY at")]

    def feed_for(technician: str) -> Feed:
        viewer = Viewer(Role.TECHNICIAN, key(technician), "T")
        bound = preparer.bind_stream(*preparer.operation(document("customer"), None), {}, viewer)
        feeds = Feeds(pool, preparer.marks.position, unsigned, screenings, NO_PRESENCE)
        feed = feeds.feed(bound, viewer, free_budget())
        assert isinstance(feed, Feed)
        return feed

    async def fetch(statement: str, *arguments: Any) -> list[Any]:
        asked.append(statement)
        return await original(statement, *arguments)

    original, feeds = pool.fetch, [feed_for(each) for each in technicians]
    monkeypatch.setattr(pool, "fetch", fetch)
    found = await asyncio.gather(*(feed.of_all(entries, [feed]) for feed in feeds))
    await pool.close()
    assert [len(messages) for messages in found] == [2 * (n == 3) for n in range(12)]
    assert len(asked) == 2
