"""One stream for a ticket's page: what happens to the ticket, with what was added to it in the message itself."""

from __future__ import annotations

from typing import Any

from tests.helpers.api import Api
from tests.helpers.graphql_ws_client import Socket, live

STAFF_FIELDS = "deliveries { audience state recipient }"
FOLLOW = """subscription($ticket: ID!, $after: String) { ticketFollow(id: $ticket, after: $after) {
    __typename
    ... on TicketChange {
      cursor change kind ticketId changedFields ticket { version status }
      note { body internalOnly } attachment { name internalOnly } %s }
    ... on StreamReady { cursor resumed } ... on StreamReset { cursor reason } } }"""


def document(viewer: Api) -> str:
    return FOLLOW % (STAFF_FIELDS if viewer.role in ("ADMIN", "TECHNICIAN") else "")


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
