"""When an assignment is known to have been delivered: when a device comes back with a cursor behind it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers.api import Api
from tests.helpers.database_checks import Database, key, until
from tests.helpers.graphql_ws_client import live

CHANGED = """subscription($filter: TicketFilter, $after: String) { ticketChanged(filter: $filter, after: $after) {
  __typename ... on TicketChange { cursor ticketId } ... on StreamReady { cursor } ... on StreamReset { reason } } }"""
PAGE = """query($filter: TicketFilter, $after: String) { ticketEvents(filter: $filter, after: $after) {
  cursor nodes { cursor ticketId } } }"""


async def offers(api: Api, technician: str, number: int) -> tuple[str, list[str]]:
    """A cursor from before this many tickets are assigned to the technician, and their ids."""
    start = (await api("{ tickets { streamCursor } }"))["tickets"]["streamCursor"]
    return start, [await api.new_ticket(technicianId=technician) for _ in range(number)]


async def delivered(database: Database, *tickets: str) -> set[str]:
    """Returns those of the tickets whose assignments are known to have been delivered."""
    rows = await database.fetch(
        "SELECT ticket_id FROM assignments WHERE ticket_id = ANY($1) AND delivered_at IS NOT NULL",
        [key(ticket) for ticket in tickets],
    )
    return {f"tkt_{row[0]}" for row in rows}


async def come_back(device: Api, after: str, filter: dict[str, Any] | None = None) -> list[Any]:
    """Subscribes from the cursor, and returns the messages up to `StreamReady`."""
    received: list[Any] = []
    async with live(device) as screen:
        await screen.subscribe("1", CHANGED, after=after, filter=filter)
        while not received or received[-1]["__typename"] != "StreamReady":
            received.append(await screen.next())
    return received


async def settled(api: Api, database: Database) -> None:
    """Waits until the receipts of all that has come back so far are written: another device's, which comes after."""
    technician = await api.new_technician()
    start, [ticket] = await offers(api, technician, 1)
    async with api.technician(technician) as device:
        page = (await device(PAGE, after=start))["ticketEvents"]
        await device(PAGE, after=page["cursor"])
    await until(database, f"delivered_at IS NOT NULL FROM assignments WHERE ticket_id = '{key(ticket)}'")


async def test_a_device_that_comes_back_has_what_is_before_its_cursor(api: Api, database: Database) -> None:
    technician = await api.new_technician()
    start, tickets = await offers(api, technician, 3)
    device = api.technician(technician)
    first, second, third, ready = await come_back(device, start)
    assert [each["ticketId"] for each in (first, second, third)] == tickets
    await settled(api, database)
    assert await delivered(database, *tickets) == set()  # it may have lost them on the way
    await come_back(device, second["cursor"])
    await settled(api, database)
    assert await delivered(database, *tickets) == set(tickets[:2])
    shown = await api("query($id: ID!) { ticket(by: {id: $id}) { assignment { state deliveredAt } } }", id=tickets[0])
    assert shown["ticket"]["assignment"]["state"] == "OFFERED"
    assert shown["ticket"]["assignment"]["deliveredAt"] is not None
    await come_back(device, ready["cursor"])
    await settled(api, database)
    assert await delivered(database, *tickets) == set(tickets)
    await device.close()


async def test_a_page_of_changes_that_starts_behind_an_assignment_shows_the_same(api: Api, database: Database) -> None:
    technician = await api.new_technician()
    start, tickets = await offers(api, technician, 2)
    async with api.technician(technician) as device:
        page = (await device(PAGE, after=start))["ticketEvents"]
        await device(PAGE, after=page["nodes"][0]["cursor"], filter={"assignee": {"me": True}})
        await settled(api, database)
        assert await delivered(database, *tickets) == set(tickets[:1])


@pytest.mark.parametrize("filter", [{"status": ["CLOSED"]}, {"search": "panel"}, {"not": {"assignee": {"me": True}}}])
async def test_a_stream_of_other_tickets_shows_nothing(api: Api, database: Database, filter: dict[str, Any]) -> None:
    technician = await api.new_technician()
    start, tickets = await offers(api, technician, 1)
    async with api.technician(technician) as device:
        *_, ready = await come_back(device, start, filter)
        await come_back(device, ready["cursor"], filter)
        await settled(api, database)
        assert await delivered(database, *tickets) == set()


async def test_others_receive_nothing_for_the_technician(api: Api, database: Database) -> None:
    technician, other = await api.new_technician(), await api.new_technician()
    start, tickets = await offers(api, technician, 1)
    async with api.technician(other) as device:
        for viewer in (api, device):
            page = (await viewer(PAGE, after=start))["ticketEvents"]
            await viewer(PAGE, after=page["cursor"])
    await settled(api, database)
    assert await delivered(database, *tickets) == set()
