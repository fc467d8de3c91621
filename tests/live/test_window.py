"""Live windows: `ticketsLive` keeps the first rows of a list in step with the list."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack

import pytest
from graphql import is_object_type

from tests.helpers.api import SCHEMA, Api
from tests.helpers.graphql_ws_client import OF_WINDOWS
from tests.helpers.live_lists import Company, random_filter, random_order, showing

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
