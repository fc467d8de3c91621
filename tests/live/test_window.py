"""Live windows: `ticketsLive` keeps the first rows of a list in step with the list."""

from __future__ import annotations

from graphql import is_object_type

from tests.helpers.api import SCHEMA, Api
from tests.helpers.graphql_ws_client import OF_WINDOWS
from tests.helpers.live_lists import showing

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
