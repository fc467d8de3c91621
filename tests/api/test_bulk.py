"""The same change of several tickets at once: each ticket is changed or refused on its own, in one transaction."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.helpers.api import Api
from tests.helpers.database_checks import Database, dump, events, key, ticket_row, until_blocked

RESULTS = """
results { ticketId userErrors { code field message }
  ticket { id version status priority category technician { id } resolution resolvedAt closedAt updatedAt } }
streamCursor
"""
NOBODY = "tkt_00000000-0000-7000-8000-000000000000"


async def bulk(api: Api, *tickets: str, **change: Any) -> list[Any]:
    """Returns the results, after checking that they have the tickets in the order given."""
    payload = await api.done("ticketsBulkUpdate", RESULTS, ticketIds=list(tickets), **change)
    results: list[Any] = payload["results"]
    assert [result["ticketId"] for result in results] == list(tickets)
    return results


def codes(results: list[Any]) -> list[list[str]]:
    return [[error["code"] for error in result["userErrors"]] for result in results]


async def test_several_tickets_change_at_once(api: Api, database: Database) -> None:
    technician = await api.new_technician()
    tickets = [await api.new_ticket() for _ in range(3)]
    change = {"priority": "URGENT", "category": "CCTV", "technicianId": technician, "status": "IN_PROGRESS"}
    for result in await bulk(api, *tickets, **change):
        assert result["userErrors"] == []
        ticket = result["ticket"]
        assert ticket["id"] == result["ticketId"]
        assert (ticket["priority"], ticket["category"], ticket["status"]) == ("URGENT", "CCTV", "IN_PROGRESS")
        assert (ticket["technician"], ticket["version"]) == ({"id": technician}, 2)
    for id_ in tickets:
        assert [event["kind"] for event in await events(database, id_)] == ["CREATED", "STATUS_CHANGED"]


async def test_each_ticket_is_changed_or_refused_on_its_own(api: Api, database: Database) -> None:
    open_, resolved, closed = [await api.new_ticket() for _ in range(3)]
    for id_ in (resolved, closed):
        await api.done("ticketResolve", "__typename", ticketId=id_, resolution="Replaced the battery.")
    await api.done("ticketSetStatus", "__typename", ticketId=closed, status="CLOSED")
    before = await ticket_row(database, closed)

    results = await bulk(api, closed, NOBODY, resolved, open_, status="RESOLVED", resolution="Firmware updated.")
    assert codes(results) == [["NOT_ALLOWED"], ["NOT_FOUND"], [], []]
    assert [result["ticket"] and result["ticket"]["status"] for result in results] == [
        "CLOSED",
        None,
        "RESOLVED",
        "RESOLVED",
    ]
    assert [result["ticket"]["resolution"] for result in results[2:]] == ["Firmware updated."] * 2
    assert await ticket_row(database, closed) == before
    assert "CLOSED" in results[0]["userErrors"][0]["message"]
    # A user error points at its ticket.
    assert results[1]["userErrors"][0]["field"] == ["input", "ticketIds", "1"]


async def test_a_refused_ticket_is_not_changed_in_part(api: Api) -> None:
    """If one field cannot be changed, no field of the ticket is."""
    ticket = await api.new_ticket()
    results = await bulk(api, ticket, status="RESOLVED", priority="URGENT")
    assert codes(results) == [["RESOLUTION_REQUIRED"]]
    assert (results[0]["ticket"]["priority"], results[0]["ticket"]["version"]) == ("MEDIUM", 1)


async def test_resolving_several_requires_a_resolution_and_closing_sets_each_time(api: Api) -> None:
    tickets = [await api.new_ticket() for _ in range(2)]
    assert codes(await bulk(api, *tickets, status="RESOLVED")) == [["RESOLUTION_REQUIRED"]] * 2
    for result in await bulk(api, *tickets, status="RESOLVED", resolution="Firmware updated."):
        assert result["ticket"]["resolvedAt"] == result["ticket"]["updatedAt"]
    for result in await bulk(api, *tickets, status="CLOSED"):
        assert result["ticket"]["closedAt"] == result["ticket"]["updatedAt"]
        assert result["ticket"]["resolution"] == "Firmware updated."
    for result in await bulk(api, *tickets, status="OPEN"):
        assert [result["ticket"][name] for name in ("resolution", "resolvedAt", "closedAt")] == [None] * 3


async def test_null_unassigns_and_absence_leaves_assignments_alone(api: Api) -> None:
    technician = await api.new_technician()
    tickets = [await api.new_ticket(technicianId=technician), await api.new_ticket()]
    await bulk(api, *tickets, priority="LOW")
    results = await bulk(api, *tickets, technicianId=None)
    assert [result["ticket"]["technician"] for result in results] == [None, None]
    assert [result["ticket"]["version"] for result in results] == [3, 2]  # the second had no technician


async def test_a_ticket_named_twice_is_changed_once(api: Api, database: Database) -> None:
    ticket, other = await api.new_ticket(), await api.new_ticket()
    payload = await api.done(
        "ticketsBulkUpdate", RESULTS, ticketIds=[ticket, other, ticket], status="IN_PROGRESS", priority="HIGH"
    )
    assert [result["ticketId"] for result in payload["results"]] == [ticket, other]
    assert len(await events(database, ticket)) == 2


async def test_a_bulk_update_is_limited_to_a_hundred_tickets(api: Api, database: Database) -> None:
    tickets = await asyncio.gather(*(api.new_ticket() for _ in range(101)))
    assert codes(await bulk(api, *tickets[:100], priority="HIGH")) == [[]] * 100
    changed = "SELECT count(*) FROM tickets WHERE priority = 'HIGH' AND id = ANY($1)"
    keys = [key(ticket) for ticket in tickets]
    assert await database.fetchval(changed, keys) == 100
    before = await dump(database)
    refused = await api.refused("ticketsBulkUpdate", ticketIds=tickets, priority="LOW")
    assert refused == [("TOO_LONG", "ticketIds")]
    assert await dump(database) == before


async def test_an_invalid_bulk_update_changes_nothing(api: Api, database: Database) -> None:
    gone = await api.new_technician()
    await api.done("technicianUpdate", "__typename", technicianId=gone, active=False)
    ticket = await api.new_ticket()
    before = await dump(database)
    for given, objections in (
        ({"ticketIds": [], "priority": "LOW"}, [("REQUIRED", "ticketIds")]),
        ({"ticketIds": [ticket]}, [("REQUIRED", "")]),
        ({"ticketIds": [ticket], "status": None, "priority": None, "category": None}, [("REQUIRED", "")]),
        ({"ticketIds": [ticket, "tkt_1"], "priority": "LOW"}, [("INVALID", "ticketIds.1")]),
        ({"ticketIds": [ticket, gone], "priority": "LOW"}, [("INVALID", "ticketIds.1")]),
        ({"ticketIds": [ticket], "technicianId": ticket}, [("INVALID", "technicianId")]),
        ({"ticketIds": [ticket], "technicianId": gone}, [("INACTIVE", "technicianId")]),
        (
            {"ticketIds": [ticket], "technicianId": "tec_00000000-0000-7000-8000-000000000000"},
            [("NOT_FOUND", "technicianId")],
        ),
        (
            {"ticketIds": ["x"], "technicianId": "y", "resolution": " "},
            [("INVALID", "ticketIds.0"), ("INVALID", "technicianId"), ("REQUIRED", "resolution")],
        ),
    ):
        assert await api.refused("ticketsBulkUpdate", "__typename", **given) == objections
    assert await dump(database) == before


async def test_an_unchanged_ticket_gets_no_event(api: Api, database: Database) -> None:
    tickets = [await api.new_ticket(priority="HIGH"), await api.new_ticket(priority="LOW")]
    results = await bulk(api, *tickets, priority="HIGH", status="OPEN", technicianId=None)
    assert codes(results) == [[], []]
    assert [result["ticket"]["version"] for result in results] == [1, 2]
    assert [len(await events(database, ticket)) for ticket in tickets] == [1, 2]


async def test_bulk_updates_of_the_same_tickets_in_opposite_orders_do_not_deadlock(
    api: Api, database: Database
) -> None:
    tickets = [await api.new_ticket() for _ in range(20)]
    priorities = ["LOW", "HIGH", "URGENT", "MEDIUM"]
    rounds = [
        bulk(api, *(tickets if number % 2 else reversed(tickets)), priority=priorities[number % 4])
        for number in range(16)
    ]
    for results in await asyncio.gather(*rounds):
        assert codes(results) == [[]] * 20
    for ticket in tickets:
        log = await events(database, ticket)
        assert [event["after"]["version"] for event in log] == list(range(1, len(log) + 1))
        assert len({event["after"]["priority"] for event in log}) > 1
    assert len({row["priority"] for row in [await ticket_row(database, ticket) for ticket in tickets]}) == 1


async def test_a_bulk_update_and_renaming_the_customer_do_not_deadlock(api: Api) -> None:
    """Both write all tickets of the customer, whose rows are stored in another order than they were created in."""
    customer = await api.new_customer()
    tickets = [await api.new_ticket(customerId=customer) for _ in range(40)]
    for ticket in tickets[::-3]:
        await api.done("ticketUpdate", "__typename", ticketId=ticket, subject="Moved within the table")

    async def rename(name: str) -> None:
        for n in range(10):
            await api.done("customerUpdate", "__typename", customerId=customer, name=f"{name} {n}")

    async def prioritise(*priorities: str) -> None:
        for priority in priorities * 5:
            assert codes(await bulk(api, *tickets, priority=priority)) == [[]] * 40

    await asyncio.gather(
        rename("Ann Lee"), rename("Bob Ray"), prioritise("LOW", "HIGH"), prioritise("URGENT", "MEDIUM")
    )


async def test_a_bulk_update_waits_for_a_concurrent_change_of_one_ticket(api: Api, database: Database) -> None:
    first, second = await api.new_ticket(), await api.new_ticket()
    async with database.transaction():
        await database.fetchval("SELECT version FROM tickets WHERE id = $1 FOR UPDATE", key(second))
        changing = asyncio.create_task(bulk(api, first, second, priority="URGENT"))
        await until_blocked(database)
        priority = "SELECT priority FROM tickets WHERE id = $1"
        assert await database.fetchval(priority, key(first)) == "MEDIUM"  # it is one transaction
    assert codes(await changing) == [[], []]


async def test_a_bulk_update_is_one_transaction(api: Api, database: Database) -> None:
    tickets = [await api.new_ticket() for _ in range(3)]
    await bulk(api, *tickets, priority="URGENT")
    xids = "SELECT count(DISTINCT xid) FROM ticket_events WHERE kind = 'UPDATED' AND ticket_id = ANY($1)"
    assert await database.fetchval(xids, [key(ticket) for ticket in tickets]) == 1
