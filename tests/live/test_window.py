"""Live windows: `ticketsLive` keeps the first rows of a list in step with the list."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from typing import Any

import orjson
import pytest
from graphql import is_object_type

from tests.helpers.api import SCHEMA, Api
from tests.helpers.graphql_ws_client import OF_WINDOWS, WITHIN, following, live
from tests.helpers.live_lists import LIVE, Company, LiveList, Screen, random_filter, random_order, showing

BY_PRIORITY = [{"field": "PRIORITY", "direction": "DESC"}, {"field": "UPDATED_AT", "direction": "DESC"}]


async def test_each_change_arrives_as_an_operation_on_the_list(api: Api) -> None:
    mine = {"search": "carillon"}
    first, second = [await api.new_ticket(subject=f"Carillon {n}") for n in range(2)]
    async with showing(api, filter=mine, orderBy=BY_PRIORITY, first=3) as screen:
        assert (screen.ids, screen.total) == ([second, first], 2)
        third = await api.new_ticket(subject="Carillon 3")
        assert await screen.next() == ["Insert"]
        assert screen.ids == [third, second, first]
        await api.done("ticketUpdate", "ticket { id }", ticketId=first, priority="URGENT")
        assert await screen.next() == ["Move"]
        assert screen.ids == [first, third, second]
        await api.done("ticketUpdate", "ticket { id }", ticketId=first, subject="Carillon, the first one")
        assert await screen.next() == ["Replace"]
        assert screen.edges[0]["node"]["subject"] == "Carillon, the first one"
        fourth = await api.new_ticket(subject="Carillon 4")
        assert await screen.next() == ["Remove", "Insert"]
        assert (screen.ids, screen.total) == ([first, fourth, third], 4)
        await api.done("ticketUpdate", "ticket { id }", ticketId=fourth, subject="A horn")
        assert await screen.next() == ["Remove", "Insert"]  # a row moves up from below
        assert (screen.ids, screen.total) == ([first, third, second], 3)
        assert screen.shown == await screen.listed()
        await api.new_ticket(subject="Something else")
        await screen.socket.quiet(0.6)
        types = [type_ for name in OF_WINDOWS if is_object_type(type_ := SCHEMA.type_map[name])]
        assert {f"{type_.name}.{name}" for type_ in types for name in type_.fields} - screen.socket.seen == set()


@pytest.mark.parametrize("seed", range(3))
async def test_at_every_quiet_moment_each_list_is_the_one_that_the_query_returns(api: Api, seed: int) -> None:
    """Random filters, orders and sizes, of viewers of each role, while random changes are made by several writers."""
    drawn = random.Random(seed)
    company = await Company.founded(api, drawn, 20)
    async with AsyncExitStack() as stack:
        robot = await stack.enter_async_context(api.service(f"robot {seed}"))
        company.tickets += [await robot.new_ticket(subject="Siren of a robot") for _ in range(3)]
        viewers = [
            api,
            await stack.enter_async_context(api.technician(company.technicians[0])),
            await stack.enter_async_context(api.technician(company.technicians[1])),
            await stack.enter_async_context(api.customer(company.customers[0])),
            robot,
        ]
        screens = [
            await stack.enter_async_context(
                showing(
                    viewers[number % len(viewers)],
                    filter=random_filter(drawn, company),
                    orderBy=random_order(drawn),
                    first=drawn.choice([1, 2, 5, 10, 100]),
                )
            )
            for number in range(20)
        ]
        for _ in range(6):
            await asyncio.gather(*(company.change(random.Random(drawn.random())) for _ in range(8)))
            for screen in screens:
                await screen.catches_up()
        assert all(screen.snapshots == 1 for screen in screens)
        assert sum(len(screen.patches) for screen in screens) > len(screens)


async def test_rights_that_are_lost_remove_the_ticket_at_once(api: Api) -> None:
    one, other = await api.new_technician(), await api.new_technician()
    kept, moved = [await api.new_ticket(technicianId=one, subject=f"Turnstile {n}") for n in range(2)]
    async with showing(api.technician(one)) as old, showing(api.technician(other)) as new:
        assert (old.ids, new.ids) == ([moved, kept], [])
        await api.done("ticketAssign", "ticket { id }", ticketId=moved, technicianId=other)
        assert await old.next() == ["Remove"]
        assert await new.next() == ["Insert"]
        assert (old.ids, old.total, new.ids, new.total) == ([kept], 1, [moved], 1)
        await api.done("ticketUpdate", "ticket { id }", ticketId=moved, subject="None of your business")
        assert await new.next() == ["Replace"]
        await old.socket.quiet(0.6)


async def test_an_internal_note_neither_moves_nor_patches_what_a_customer_sees(api: Api) -> None:
    customer = await api.new_customer()
    order = [{"field": "UPDATED_AT", "direction": "DESC"}]
    older, newer = [await api.new_ticket(customerId=customer) for _ in range(2)]
    filter = {"customerId": customer}
    async with (
        showing(api.customer(customer), orderBy=order) as portal,
        showing(api, filter=filter, orderBy=order) as dashboard,
    ):
        await api.done("noteAdd", "note { id }", ticketId=older, body="They are difficult.")
        assert await dashboard.next() == ["Move"]
        assert dashboard.ids == [older, newer]
        await portal.socket.quiet(0.6)
        await api.done("noteAdd", "note { id }", ticketId=older, body="On our way.", internalOnly=False)
        assert await portal.next() == ["Move"]
        assert portal.shown == await portal.listed()


async def test_rows_move_up_until_none_is_left(api: Api) -> None:
    """More of them leave than are kept beyond the window."""
    technician = await api.new_technician()
    tickets = [await api.new_ticket(technicianId=technician) for _ in range(25)]
    async with showing(api, filter={"assignee": {"technicianId": technician}}, first=2) as screen:
        assert (screen.ids, screen.total) == (tickets[:-3:-1], 25)
        for start in range(24, -1, -4):
            leaving = tickets[max(0, start - 3) : start + 1]
            await api.done("ticketsBulkUpdate", "__typename", ticketIds=leaving, technicianId=None)
            await screen.catches_up()
        assert (screen.ids, screen.total, screen.snapshots) == ([], 0, 1)


async def test_a_patch_may_select_other_fields_than_the_snapshot(api: Api) -> None:
    document = """subscription($filter: TicketFilter) { ticketsLive(filter: $filter) {
        ... on WindowSnapshot { rows: edges { node { reference } } again: edges { cursor } streamed: cursor }
        ... on WindowPatch { __typename steps: operations {
            ... on WindowInsert { __typename at: index edge { node { id notes(first: 1) { streamCursor } } } }
            ... on WindowReplace { edge { node { subject } } } } } } }"""
    ticket = await api.new_ticket(subject="Theremin one")
    async with live(api) as socket:
        await socket.subscribe("1", document, filter={"search": "theremin"})
        snapshot = await socket.next()
        assert [len(snapshot[name]) for name in ("rows", "again")] == [1, 1]
        assert list(snapshot) == ["rows", "again", "streamed"]
        other = await api.new_ticket(subject="Theremin two")
        inserted = await socket.next()
        assert inserted["steps"][0].pop("edge")["node"]["id"] == other
        assert inserted == {"__typename": "WindowPatch", "steps": [{"__typename": "WindowInsert", "at": 0}]}
        await api.done("ticketUpdate", "ticket { id }", ticketId=ticket, subject="Theremin, the first")
        assert (await socket.next())["steps"] == [{"edge": {"node": {"subject": "Theremin, the first"}}}]


async def test_a_patch_is_a_point_from_which_a_stream_continues(api: Api) -> None:
    async with showing(api, first=1) as screen:
        await api.new_ticket()
        message = await screen.socket.next()
        later = await api.new_ticket()
        async with following(api, after=message["cursor"]) as stream:
            while (change := await stream.next())["__typename"] == "TicketChange" and change["ticketId"] != later:
                """The list may show more than the events up to its cursor."""
            assert change["ticketId"] == later


async def test_a_window_is_served_as_server_sent_events(api: Api) -> None:
    ticket = await api.new_ticket(subject="Glockenspiel")
    variables = {"filter": {"search": "glockenspiel"}}
    body = {"query": LIVE, "variables": variables}
    headers = {"accept": "text/event-stream"}
    async with api.http.stream("POST", "/graphql/stream", json=body, headers=headers) as response:
        lines = response.aiter_lines()
        kept = LiveList(api, variables)

        async def message() -> None:
            async with asyncio.timeout(WITHIN):
                async for line in lines:
                    assert not line.startswith("id:"), "a window has no event to come back to"
                    if line.startswith("data: "):
                        kept.take(orjson.loads(line[6:])["data"]["ticketsLive"])
                        return

        await message()
        assert kept.ids == [ticket]
        await api.done("ticketUpdate", "ticket { id }", ticketId=ticket, priority="URGENT")
        await message()
        assert (kept.snapshots, len(kept.patches)) == (1, 1)
        assert kept.shown == await kept.listed()


@pytest.mark.parametrize(
    ("variables", "code"),
    [
        ({"first": 0}, "BAD_USER_INPUT"),
        ({"first": 101}, "BAD_USER_INPUT"),
        ({"filter": {"text": "siren"}}, "BAD_USER_INPUT"),
        ({"filter": {"or": [{"status": ["OPEN"]}, {"text": "siren"}]}}, "BAD_USER_INPUT"),
        ({"filter": {"customerId": "tkt_1"}}, "BAD_USER_INPUT"),
        ({"filter": {"and": [{"status": []}] * 101}}, "LIMIT_EXCEEDED"),
    ],
)
async def test_a_window_that_cannot_be_kept_is_refused(api: Api, variables: dict[str, Any], code: str) -> None:
    async with live(api) as socket:
        await socket.subscribe("1", LIVE, **variables)
        refused = await socket.receive()
        assert refused["type"] == "error"
        assert [error["extensions"]["code"] for error in refused["payload"]] == [code]


async def test_a_window_counts_as_what_its_first_page_costs(api: Api) -> None:
    document = """subscription($first: Int) { ticketsLive(first: $first) {
        ... on WindowSnapshot { edges { node { history(first: 100) { nodes { actor { name } } } } } } } }"""
    async with live(api) as socket:
        await socket.subscribe("1", document, first=100)
        ((error),) = (await socket.receive())["payload"]
        assert error["extensions"]["code"] == "LIMIT_EXCEEDED" and "objects" in error["message"]
        await socket.subscribe("2", document, first=10)
        assert "edges" in await socket.next()


async def test_a_change_of_what_the_rows_refer_to_is_shown_too(api: Api) -> None:
    """No ticket changes, so there is no event of one; the audit trail has the change."""
    technician, customer = await api.new_technician(name="Ann"), await api.new_customer(name="Before")
    place = await api.new_property(customer, address="1 Xylophone Road")
    ticket = await api.new_ticket(customerId=customer, technicianId=technician, propertyId=place)
    await api.done("ticketResolve", "ticket { id }", ticketId=ticket, resolution="Tuned it.")
    article = (await api.done("articleCreateFromTicket", "article { id }", ticketId=ticket))["article"]["id"]
    document = LIVE.replace("customer { id name }", "customer { id name } article { problem }")
    mine = {"assignee": {"technicianId": technician}}
    async with (
        showing(api, filter=mine) as screen,
        live(api) as socket,
        showing(api, filter={"search": "xylophone"}, first=1) as found,
        showing(api, filter=mine | {"not": {"assignee": {"inactive": True}}}) as active,
        showing(api, filter={"customerId": await api.new_customer()}) as others,
    ):
        await socket.subscribe("1", document, filter=mine)
        articled = Screen(api, {"filter": mine}, socket)
        await articled.next()
        await api.done("customerUpdate", "customer { id }", customerId=customer, name="After")
        assert await screen.next() == ["Replace"]
        assert screen.edges[0]["node"]["customer"]["name"] == "After"
        assert [await found.next(), await articled.next()] == [["Replace"], ["Replace"]]
        await api.done("propertyUpdate", "property { id }", propertyId=place, address="1 Marimba Road")
        assert await found.next() == ["Remove"]
        await api.done("articleUpdate", "article { id }", articleId=article, problem="It hums.")
        while articled.edges[0]["node"]["article"]["problem"] != "It hums.":
            await articled.next()
        await api.done("technicianUpdate", "technician { id }", technicianId=technician, active=False)
        while active.ids:
            await active.next()
        assert active.shown == await active.listed()
        await others.socket.quiet(0.6)
