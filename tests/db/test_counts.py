"""Ticket counts: right at every moment and for every viewer, and equal to the totals of the lists."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, TypeAlias

import asyncpg
import pytest

from db.enums import Role, TicketEventKind
from db.events import counts
from db.events import log as event_log
from db.viewer import Viewer
from tests.helpers.api import Api, Refusal
from tests.helpers.counting import COUNTED, in_tickets, stored
from tests.helpers.database_checks import Database, until

Filter: TypeAlias = dict[str, Any]
STATUSES = {"open": "OPEN", "inProgress": "IN_PROGRESS", "resolved": "RESOLVED", "closed": "CLOSED"}

COUNTS = """
query($filter: TicketFilter) {
  ticketCounts(filter: $filter) { all open inProgress resolved closed unassigned }
  tickets(filter: $filter) { totalCount } }
"""
TOTALS = """
query($filter: TicketFilter!) {
  all: tickets(filter: $filter) { totalCount }
  open: tickets(filter: {status: OPEN, and: [$filter]}) { totalCount }
  inProgress: tickets(filter: {status: IN_PROGRESS, and: [$filter]}) { totalCount }
  resolved: tickets(filter: {status: RESOLVED, and: [$filter]}) { totalCount }
  closed: tickets(filter: {status: CLOSED, and: [$filter]}) { totalCount }
  unassigned: tickets(filter: {assignee: {unassigned: true}, and: [$filter]}) { totalCount } }
"""


async def counted(api: Api, filter: Filter | None = None) -> dict[str, int]:
    """Returns the counts, after checking them against the list's total and against each other."""
    got = await api(COUNTS, filter=filter)
    tabs: dict[str, int] = got["ticketCounts"]
    assert tabs["all"] == got["tickets"]["totalCount"]
    assert tabs["all"] == sum(tabs[name] for name in STATUSES)
    return tabs


async def agreed(api: Api, filter: Filter | None = None) -> dict[str, int]:
    """Returns the counts, after checking each against the total of the list with its filter."""
    tabs = await counted(api, filter)
    totals = await api(TOTALS, filter=filter or {})
    assert tabs == {name: total["totalCount"] for name, total in totals.items()}
    return tabs


def numbers(**given: int) -> dict[str, int]:
    names = ("all", *STATUSES, "unassigned")
    return {name: given.get(name, 0) for name in names}


async def mine(api: Api, number: int, **given: Any) -> tuple[list[str], Filter]:
    """Creates tickets of a new customer; returns their ids, and the filter for them."""
    customer = await api.new_customer()
    tickets = [await api.new_ticket(customerId=customer, **given) for _ in range(number)]
    return tickets, {"customerId": customer}


# This test comes first, while the database is still empty.


async def test_all_counts_are_zero_without_tickets(api: Api) -> None:
    assert await agreed(api) == numbers()
    assert await agreed(api, {"status": ["OPEN"], "priority": ["HIGH"]}) == numbers()
    async with api.service() as service:
        assert await agreed(service) == numbers()


async def test_the_counts_follow_each_change_of_a_ticket(api: Api) -> None:
    technician = await api.new_technician()
    before = await agreed(api)
    (ticket,), own = await mine(api, 1)

    async def expect(**given: int) -> None:
        """Checks how the ticket is counted, alone and among all."""
        assert await agreed(api, own) == numbers(all=1, **given)
        assert await agreed(api) == {name: before[name] + n for name, n in numbers(all=1, **given).items()}

    await expect(open=1, unassigned=1)
    await api.done("ticketAssign", "ticket { id }", ticketId=ticket, technicianId=technician)
    await expect(open=1)
    await api.done("ticketSetStatus", "ticket { id }", ticketId=ticket, status="IN_PROGRESS")
    await expect(inProgress=1)
    await api.done("noteAdd", "note { id }", ticketId=ticket, body="A note changes no number.")
    await expect(inProgress=1)
    await api.done("ticketUpdate", "ticket { id }", ticketId=ticket, subject="Neither does this")
    await expect(inProgress=1)
    await api.done("ticketResolve", "ticket { id }", ticketId=ticket, resolution="Done.")
    await expect(resolved=1)
    await api.done("ticketSetStatus", "ticket { id }", ticketId=ticket, status="CLOSED")
    await expect(closed=1)
    await api.done("ticketSetStatus", "ticket { id }", ticketId=ticket, status="OPEN")
    await expect(open=1)
    await api.done("ticketAssign", "ticket { id }", ticketId=ticket, technicianId=None)
    await expect(open=1, unassigned=1)


async def test_filtered_counts_follow_each_change_of_a_ticket(api: Api) -> None:
    (ticket,), own = await mine(api, 1, priority="LOW", category="CCTV")
    filters: dict[str, Filter] = {
        "low": {"priority": ["LOW"]},
        "urgent": {"priority": ["URGENT"]},
        "cctv": {"category": ["CCTV"]},
        "alarm": {"category": ["ALARM"]},
        "both": {"priority": ["LOW", "URGENT"], "category": ["ALARM"]},
    }

    async def kept() -> dict[str, int]:
        return {name: (await agreed(api, filter))["all"] for name, filter in filters.items()}

    before = await kept()
    await api.done("ticketUpdate", "ticket { id }", ticketId=ticket, priority="URGENT")
    between = await kept()
    changed = {name: between[name] - before[name] for name in filters}
    assert changed == {"low": -1, "urgent": 1, "cctv": 0, "alarm": 0, "both": 0}
    await api.done("ticketUpdate", "ticket { id }", ticketId=ticket, category="ALARM")
    after = await kept()
    changed = {name: after[name] - between[name] for name in filters}
    assert changed == {"low": 0, "urgent": 0, "cctv": -1, "alarm": 1, "both": 1}
    assert await agreed(api, own | filters["both"]) == numbers(all=1, open=1, unassigned=1)


async def test_a_bulk_update_counts_each_ticket_that_it_changed(api: Api) -> None:
    technician = await api.new_technician()
    tickets, own = await mine(api, 7)
    nobody = "tkt_00000000-0000-7000-8000-000000000000"
    before = await agreed(api)
    given = {"ticketIds": [*tickets[:4], nobody], "status": "IN_PROGRESS", "technicianId": technician}
    await api.done("ticketsBulkUpdate", "results { ticketId }", **given)
    assert await agreed(api, own) == numbers(all=7, open=3, inProgress=4, unassigned=3)
    after = await agreed(api)
    assert {name: after[name] - before[name] for name in before} == numbers(open=-4, inProgress=4, unassigned=-4)
    # The second time nothing changes, and one ticket does not exist.
    await api.done("ticketsBulkUpdate", "results { ticketId }", **given)
    assert await agreed(api) == after
    await api.done(
        "ticketsBulkUpdate", "results { ticketId }", ticketIds=tickets, status="RESOLVED", resolution="Done."
    )
    assert await agreed(api, own) == numbers(all=7, resolved=7, unassigned=3)


async def test_a_refused_mutation_does_not_change_the_counts(api: Api) -> None:
    (ticket,), own = await mine(api, 1)
    before = await agreed(api)
    await api.refused("ticketCreate", subject="", description="")
    await api.refused("ticketResolve", ticketId=ticket, resolution="")
    await api.refused("ticketSetStatus", ticketId=ticket, status="RESOLVED")
    await api.refused("ticketSetStatus", ticketId=ticket, status="CLOSED", ifVersion=99)
    assert await agreed(api) == before
    assert await agreed(api, own) == numbers(all=1, open=1, unassigned=1)


async def test_a_repeated_request_is_counted_once(api: Api) -> None:
    before = await agreed(api)
    for _ in range(3):
        await api.new_ticket(idempotencyKey="counted once")
    after = await agreed(api)
    assert {name: after[name] - before[name] for name in before} == numbers(all=1, open=1, unassigned=1)


async def test_each_viewer_has_their_own_counts(api: Api) -> None:
    customer, stranger = await api.new_customer(), await api.new_customer()
    technician, idle = await api.new_technician(), await api.new_technician()
    tickets = [await api.new_ticket(customerId=customer) for _ in range(5)]
    given = {"ticketIds": tickets[:3], "technicianId": technician, "status": "IN_PROGRESS"}
    await api.done("ticketsBulkUpdate", "results { ticketId }", **given)
    await api.done("ticketSetStatus", "ticket { id }", ticketId=tickets[4], status="CLOSED")
    async with api.technician(technician) as viewer:
        assert await agreed(viewer) == numbers(all=3, inProgress=3)
        await viewer.new_ticket(priority="URGENT")
        assert await agreed(viewer) == numbers(all=4, inProgress=3, open=1, unassigned=1)
        assert await agreed(viewer, {"assignee": {"me": True}}) == numbers(all=3, inProgress=3)
        assert await agreed(viewer, {"assignee": {"me": False}}) == numbers(all=1, open=1, unassigned=1)
        assert await agreed(viewer, {"priority": ["URGENT"]}) == numbers(all=1, open=1, unassigned=1)
    async with api.technician(idle) as viewer:
        assert await agreed(viewer) == numbers()
    async with api.customer(customer) as viewer:
        assert await agreed(viewer) == numbers(all=5, open=1, inProgress=3, closed=1, unassigned=2)
        assert await agreed(viewer, {"status": ["OPEN", "CLOSED"]}) == numbers(all=2, open=1, closed=1, unassigned=2)
    async with api.customer(stranger) as viewer:
        assert await agreed(viewer) == numbers()
        assert await agreed(viewer, {"customerId": customer}) == numbers()
    async with api.service() as viewer:
        assert await agreed(viewer) == numbers()
        await viewer.new_ticket()
        assert await agreed(viewer) == numbers(all=1, open=1, unassigned=1)
    async with api.service("another") as viewer:
        assert await agreed(viewer) == numbers()
    assert (await agreed(api))["all"] >= 7


FILTERS: Sequence[Filter] = [
    {},
    {"status": ["OPEN", "CLOSED"]},
    {"status": []},
    {"priority": ["HIGH"], "category": ["ALARM", "GENERAL"]},
    {"assignee": {"unassigned": True}},
    {"assignee": {"unassigned": False}},
    {"assignee": {"me": True}},
    {"assignee": {"me": False}},
    {"or": [{"priority": ["URGENT"]}, {"assignee": {"unassigned": False}}]},
    {"not": {"status": ["OPEN"]}},
    {"not": {"or": [{"priority": ["LOW"]}, {"and": [{"category": ["CCTV"]}, {"status": ["OPEN"]}]}]}},
    {"and": []},
    {"or": []},
    {"source": ["CHATBOT"]},
    {"search": "panel"},
    {"search": " "},
    {"priority": ["HIGH"], "search": "tkt"},
    {"createdAt": {"from": "2026-01-01T00:00:00Z"}},
    {"updatedAt": {"until": "2026-01-01T00:00:00Z"}},
    {"or": [{"status": ["OPEN"]}, {"search": "panel"}]},
]


@pytest.fixture(scope="module")
def technicians() -> list[str]:
    """Filled by the first case of the next test."""
    return []


@pytest.mark.parametrize("filter", FILTERS, ids=map(str, FILTERS))
async def test_the_counts_equal_the_lists_totals_for_each_filter(
    api: Api, technicians: list[str], filter: Filter
) -> None:
    """Both for filters that the stored counts can answer and for filters that count row by row."""
    async with api.service("one") as one, api.service("other") as other:
        if not technicians:
            technicians += [await api.new_technician() for _ in range(2)]
            for n in range(40):
                ticket = await (api, one, api, other)[n // 5 % 4].new_ticket(
                    priority=("LOW", "MEDIUM", "HIGH", "URGENT")[n % 4],
                    category=("ALARM", "CCTV", "ACCESS_CONTROL", "INTERCOM", "GENERAL")[n % 5],
                )
                if assignee := (None, *technicians)[n % 3]:
                    await api.done("ticketAssign", "ticket { id }", ticketId=ticket, technicianId=assignee)
                if n % 7:
                    status = ("IN_PROGRESS", "CLOSED")[n % 2]
                    await api.done("ticketSetStatus", "ticket { id }", ticketId=ticket, status=status)
        await agreed(api, filter)
        for service in (one, other):
            assert (await agreed(service))["all"] == 10
            await agreed(service, filter)
    for technician in technicians:
        await agreed(api, filter | {"assignee": {"technicianId": technician}})
        await agreed(api, {"and": [filter], "not": {"assignee": {"technicianId": technician}}})
        async with api.technician(technician) as viewer:
            await agreed(viewer, filter)


async def test_the_counts_equal_the_numbers_of_rows(api: Api, database: Database) -> None:
    rows = await database.fetch("SELECT status::text, count(*) AS n FROM tickets GROUP BY status")
    by_status = {row["status"]: row["n"] for row in rows}
    unassigned = await database.fetchval("SELECT count(*) FROM tickets WHERE technician_id IS NULL")
    given = {name: by_status.get(status, 0) for name, status in STATUSES.items()}
    assert await agreed(api) == numbers(all=sum(by_status.values()), unassigned=unassigned, **given)


async def fold_all(database: Database) -> None:
    """Folds all events, together with the server, and checks that the stored counts are then those of the tickets."""
    await counts.fold(database)
    seen = " AND ".join(f"pg_visible_in_snapshot(xid, {each.position})" for each in COUNTED)
    await until(database, f"bool_and({seen}) FROM ticket_events, event_log")
    for each in COUNTED:
        assert await stored(database, each) == await in_tickets(database, each), each.table


async def test_folding_events_does_not_change_the_counts(api: Api, database: Database) -> None:
    """The counts are the same before and after events are folded into the stored counts, and after a recount."""
    async with api.service("folded") as service:
        tickets = [await service.new_ticket(priority="HIGH") for _ in range(3)]
        for filter in (None, {"priority": ["HIGH"]}, {"assignee": {"unassigned": True}}, {"not": {"status": ["OPEN"]}}):
            for viewer in (api, service):
                before = await agreed(viewer, filter)
                await fold_all(database)
                assert await agreed(viewer, filter) == before
                await fold_all(database)
                assert await agreed(viewer, filter) == before
            if tickets:
                await api.done("ticketSetStatus", "ticket { id }", ticketId=tickets.pop(), status="CLOSED")
        assert await agreed(service) == numbers(all=3, closed=3, unassigned=3)
        await counts.recount(database)
        assert await agreed(service) == numbers(all=3, closed=3, unassigned=3)


async def test_counts_read_during_writes_are_consistent(api: Api, database: Database) -> None:
    """Six tickets move together between two statuses while events are folded. Counts read meanwhile have all six in the
    same status."""
    tickets, own = await mine(api, 6)
    others = (await agreed(api))["all"] - 6
    sides: set[int] = set()
    writing = True

    async def write() -> None:
        nonlocal writing
        for n in range(200):
            status = ("IN_PROGRESS", "OPEN")[n % 2]
            await api.done("ticketsBulkUpdate", "results { ticketId }", ticketIds=tickets, status=status)
            if n % 2 and n > 10 and sides == {0, 6}:
                break
        writing = False

    async def fold() -> None:
        while writing:
            await counts.fold(database)
            await asyncio.sleep(0.01)

    async def read() -> None:
        base = await counted(api)
        while writing:
            whole, part = await asyncio.gather(counted(api), counted(api, own))
            assert whole["all"] == others + 6
            assert (whole["open"] - base["open"]) % 6 == 0
            assert (part["all"], part["open"] + part["inProgress"]) == (6, 6)
            assert part["open"] in (0, 6)
            sides.add(part["open"])

    async with asyncio.TaskGroup() as group:
        for task in (write(), fold(), read(), read()):
            group.create_task(task)
    assert sides == {0, 6}
    assert await agreed(api, own) == numbers(all=6, open=6, unassigned=6)


async def test_a_late_commit_is_counted_when_it_commits_and_delays_no_one(api: Api, database: Database) -> None:
    (late, ticket), _ = await mine(api, 2)
    before = await agreed(api)
    folding = await asyncpg.connect(api.server.database_url)
    try:
        transaction = database.transaction()
        await transaction.start()
        boss = Viewer(Role.ADMIN, "boss", "The Boss")
        closing = TicketEventKind.CLOSED, {"status": "CLOSED"}, {"closed_at": True}
        await event_log.change(database, boss, late.removeprefix("tkt_"), *closing)
        await api.done("ticketSetStatus", "ticket { id }", ticketId=ticket, status="IN_PROGRESS")
        await counts.fold(folding)
        during = await agreed(api)
        assert during == before | {"open": before["open"] - 1, "inProgress": before["inProgress"] + 1}
        await transaction.commit()
        after = await agreed(api)
        assert after == during | {"open": during["open"] - 1, "closed": during["closed"] + 1}
        await counts.fold(folding)
        assert await agreed(api) == after
    finally:
        await folding.close()


@pytest.mark.parametrize(
    "filter",
    [{"customerId": "x"}, {"assignee": {}}, {"status": ["DONE"]}, {"search": "x" * 201}, {"assignee": {"me": None}}],
)
async def test_a_bad_filter_is_refused(api: Api, filter: Filter) -> None:
    document = "query($filter: TicketFilter) { ticketCounts(filter: $filter) { all } }"
    with pytest.raises(Refusal) as refused:
        await api(document, filter=filter)
    assert refused.value.codes == ["BAD_USER_INPUT"]


async def test_counts_of_two_filters_in_one_request(api: Api) -> None:
    tickets, own = await mine(api, 3)
    await api.done("ticketSetStatus", "ticket { id }", ticketId=tickets[0], status="CLOSED")
    got = await api(
        """query($own: TicketFilter) { all: ticketCounts { all } own: ticketCounts(filter: $own) { all closed n: open }
          closed: ticketCounts(filter: {status: CLOSED, and: [{}]}) { all closed open } }""",
        own=own,
    )
    assert got["own"] == {"all": 3, "closed": 1, "n": 2}
    assert got["closed"]["all"] == got["closed"]["closed"] > 0 == got["closed"]["open"]
    assert got["all"]["all"] == (await agreed(api))["all"]
