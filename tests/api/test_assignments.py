"""Assignments: how they begin and end, and the steps that technicians take."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from db.enums import DeliveryChannel
from db.postgres.pool import Database as Pool
from notifiers import queue
from resolvers.overdue import AT_ONCE, mark_overdue
from tests.helpers.api import Api
from tests.helpers.database_checks import Database, events, key, ticket_row, until
from tests.helpers.graphql_ws_client import live

STEPS = "offeredAt deliveredAt seenAt acceptedAt enRouteAt onSiteAt leftAt"
ASSIGNMENT = f"id state technician {{ id }} {STEPS} eta reason"
TICKET = f"""query($id: ID!) {{ ticket(by: {{id: $id}}) {{
  version status technician {{ id }} assignment {{ {ASSIGNMENT} }} }} }}"""
AS_CUSTOMER = """query($id: ID!) { ticket(by: {id: $id}) {
  technician { id } assignment { id state eta technician { id } } } }"""
OVERDUE = """subscription { ticketChanged(filter: {overdue: true}) { __typename
  ... on TicketChange { ticketId change kind actor { kind name } } } }"""
STATE = "query($id: ID!) { node(id: $id) { ... on Assignment { state } } }"
HISTORY = """query($id: ID!) { ticket(by: {id: $id}) { history { nodes {
  kind actor { kind name } changes { field before after } } } } }"""


async def assigned(api: Api, technician: str, **given: Any) -> tuple[str, str]:
    """A new ticket of the technician, and its assignment."""
    ticket = await api.new_ticket(technicianId=technician, **given)
    return ticket, (await of_ticket(api, ticket))["id"]


async def ticket_of(api: Api, ticket: str) -> Any:
    return (await api(TICKET, id=ticket))["ticket"]


async def of_ticket(api: Api, ticket: str) -> Any:
    return (await ticket_of(api, ticket))["assignment"]


async def advance(api: Api, assignment: str, to: str, **given: Any) -> Any:
    """Takes a step, and returns the assignment as it is then."""
    payload = await api.done(
        "assignmentAdvance", f"assignment {{ {ASSIGNMENT} }}", assignmentId=assignment, to=to, **given
    )
    return payload["assignment"]


async def refused(api: Api, assignment: str, to: str, **given: Any) -> list[tuple[str, str]]:
    return await api.refused("assignmentAdvance", assignmentId=assignment, to=to, **given)


def times(assignment: Any) -> set[str]:
    """The times that an assignment has."""
    return {name for name in STEPS.split() if assignment[name] is not None}


async def test_a_ticket_that_gets_a_technician_is_offered_to_them_in_whatever_way(api: Api) -> None:
    tess, tom = await api.new_technician(), await api.new_technician()
    created = await api.new_ticket(technicianId=tess)
    others = [await api.new_ticket() for _ in range(3)]
    await api.done("ticketAssign", "__typename", ticketId=others[0], technicianId=tess)
    await api.done("ticketUpdate", "__typename", ticketId=others[1], subject="Still beeping")
    await api.done("ticketsBulkUpdate", "__typename", ticketIds=others[1:], technicianId=tess)
    for ticket in (created, *others):
        offered = await of_ticket(api, ticket)
        assert (offered["state"], offered["technician"]["id"], times(offered)) == ("OFFERED", tess, {"offeredAt"})
    first = await of_ticket(api, created)
    await api.done("ticketAssign", "__typename", ticketId=created, technicianId=tess)
    assert await of_ticket(api, created) == first
    await api.done("ticketAssign", "__typename", ticketId=created, technicianId=tom)
    second = await of_ticket(api, created)
    assert (second["state"], second["technician"]["id"]) == ("OFFERED", tom)
    assert second["id"] != first["id"]
    superseded = await api(STATE, id=first["id"])
    assert superseded["node"]["state"] == "SUPERSEDED"
    await api.done("ticketAssign", "__typename", ticketId=created, technicianId=None)
    assert await of_ticket(api, created) is None


async def test_a_technician_who_takes_a_ticket_has_accepted_it(api: Api) -> None:
    tess = await api.new_technician()
    async with api.technician(tess) as technician:
        ticket = await technician.new_ticket(technicianId=tess)
        taken = await of_ticket(technician, ticket)
    assert (taken["state"], times(taken)) == ("ACCEPTED", {"offeredAt", "acceptedAt"})


async def test_a_technician_takes_the_steps_in_order(api: Api) -> None:
    tess = await api.new_technician()
    ticket, assignment = await assigned(api, tess)
    version = (await ticket_of(api, ticket))["version"]
    arrival = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    async with api.technician(tess) as technician:
        seen = await advance(technician, assignment, "SEEN")
        assert (seen["state"], times(seen)) == ("OFFERED", {"offeredAt", "deliveredAt", "seenAt"})
        reached = times(seen)
        for state, time in (
            ("ACCEPTED", "acceptedAt"),
            ("EN_ROUTE", "enRouteAt"),
            ("ON_SITE", "onSiteAt"),
            ("LEFT", "leftAt"),
        ):
            given = {"eta": arrival} if state == "EN_ROUTE" else {}
            now = await advance(technician, assignment, state, **given)
            reached |= {time}
            assert (now["state"], times(now)) == (state, reached)
        assert datetime.fromisoformat(now["eta"]) == datetime.fromisoformat(arrival)
    after = await ticket_of(api, ticket)
    assert after["assignment"] == now
    assert after["version"] == version  # what an admin edits meanwhile is not stale
    history = (await api(HISTORY, id=ticket))["ticket"]["history"]["nodes"]
    assert [event["kind"] for event in history] == ["CREATED", *["ASSIGNMENT_ADVANCED"] * 5]
    assert {event["actor"]["kind"] for event in history[1:]} == {"TECHNICIAN"}
    states = [change for event in history for change in event["changes"] if change["field"] == "assignmentState"]
    assert [change["after"] for change in states] == ["ACCEPTED", "EN_ROUTE", "ON_SITE", "LEFT"]


async def test_steps_can_be_skipped_but_not_taken_back(api: Api, database: Database) -> None:
    tess = await api.new_technician()
    ticket, assignment = await assigned(api, tess)
    async with api.technician(tess) as technician:
        arrived = await advance(technician, assignment, "ON_SITE")
        assert times(arrived) == {"offeredAt", "deliveredAt", "seenAt", "onSiteAt"}
        logged = len(await events(database, ticket))
        for back in ("ACCEPTED", "EN_ROUTE", "DECLINED"):
            given = {"reason": "No."} if back == "DECLINED" else {}
            assert await refused(technician, assignment, back, **given) == [("NOT_ALLOWED", "to")]
        assert await of_ticket(api, ticket) == arrived
        assert len(await events(database, ticket)) == logged


async def test_the_same_step_again_changes_nothing_but_the_eta(api: Api, database: Database) -> None:
    tess = await api.new_technician()
    ticket, assignment = await assigned(api, tess)
    soon, later = ((datetime.now(UTC) + timedelta(hours=hours)).isoformat() for hours in (1, 2))
    async with api.technician(tess) as technician:
        await advance(technician, assignment, "SEEN")
        first = await advance(technician, assignment, "EN_ROUTE", eta=soon)
        logged = len(await events(database, ticket))
        assert await advance(technician, assignment, "SEEN") == first
        assert await advance(technician, assignment, "EN_ROUTE") == first
        assert await advance(technician, assignment, "EN_ROUTE", eta=soon) == first
        assert len(await events(database, ticket)) == logged
        delayed = await advance(technician, assignment, "EN_ROUTE", eta=later)
        assert delayed | {"eta": first["eta"]} == first
        assert datetime.fromisoformat(delayed["eta"]) == datetime.fromisoformat(later)
        assert len(await events(database, ticket)) == logged + 1


async def test_a_declined_ticket_is_unassigned_and_can_be_given_to_another(api: Api) -> None:
    tess, tom = await api.new_technician(), await api.new_technician()
    ticket, assignment = await assigned(api, tess)
    async with api.technician(tess) as technician:
        for reason in ({}, {"reason": " \n"}):
            assert await refused(technician, assignment, "DECLINED", **reason) == [("REQUIRED", "reason")]
        assert await refused(technician, assignment, "DECLINED", reason="x" * 501) == [("TOO_LONG", "reason")]
        declined = await advance(technician, assignment, "DECLINED", reason=" On the other side of town. ")
        assert (declined["state"], declined["reason"]) == ("DECLINED", "On the other side of town.")
        assert (await technician("query($id: ID!) { ticket(by: {id: $id}) { id } }", id=ticket))["ticket"] is None
        assert await advance(technician, assignment, "DECLINED", reason="Again.") == declined
        assert await refused(technician, assignment, "ACCEPTED") == [("NOT_ALLOWED", "to")]
    shown = await ticket_of(api, ticket)
    assert (shown["technician"], shown["assignment"]) == (None, declined)
    history = (await api(HISTORY, id=ticket))["ticket"]["history"]["nodes"]
    assert (history[-1]["kind"], history[-1]["actor"]["kind"]) == ("UNASSIGNED", "TECHNICIAN")
    assert {"field": "assignmentState", "before": "OFFERED", "after": "DECLINED"} in history[-1]["changes"]
    await api.done("ticketAssign", "__typename", ticketId=ticket, technicianId=tom)
    offered = await of_ticket(api, ticket)
    assert (offered["state"], offered["technician"]["id"]) == ("OFFERED", tom)
    before = await api(STATE, id=assignment)
    assert before["node"]["state"] == "DECLINED"


async def test_a_refusal_notifies_the_admins_with_the_reason(api: Api, database: Database) -> None:
    """Not the technician, who has done it themselves."""
    await api.done("supportSettingsUpdate", "__typename", adminRecipients=["ada@company.test"])
    tess = await api.new_technician()
    ticket, assignment = await assigned(api, tess)
    await database.execute("UPDATE deliveries SET state = 'SENT', finished_at = now(), screened_at = now()")
    async with api.technician(tess) as technician:
        await advance(technician, assignment, "DECLINED", reason="Too far away.")
    await database.execute("UPDATE deliveries SET screened_at = now() WHERE ticket_id = $1", key(ticket))
    claimed = await queue.claim(database, {DeliveryChannel.EMAIL: 10}, lease=0, give_up=3600)
    sent = [claim.notification("callout.test") for claim in claimed]
    assert [(each.kind, each.recipient, each.note) for each in sent] == [
        ("DECLINED", "ada@company.test", "Too far away.")
    ]


async def test_a_worker_of_the_release_before_need_not_screen_kinds_that_it_does_not_know(
    api: Api, database: Database
) -> None:
    """It would fail, and its server with it."""
    await api.done("supportSettingsUpdate", "__typename", adminRecipients=["ada@company.test"])
    tess = await api.new_technician()
    (declined, assignment), (unanswered, _) = [await assigned(api, tess, priority="URGENT") for _ in range(2)]
    async with api.technician(tess) as technician:
        await advance(technician, assignment, "DECLINED", reason="Too far away.")
    await late(database, unanswered, 31)
    queued = f"count(*) FROM deliveries WHERE ticket_id IN ('{key(declined)}', '{key(unanswered)}')"
    new = "kind IN ('DECLINED', 'OVERDUE')"
    await until(database, f"(SELECT {queued} AND {new}) = 2")
    assert await database.fetchval(f"SELECT {queued} AND {new} AND screened_at IS NULL") == 0
    assert await database.fetchval(f"SELECT {queued} AND NOT {new} AND screened_at IS NULL") > 0
    no_more = "UPDATE tickets SET assignment_overdue = false, assigned_at = now() WHERE id = $1"
    await database.execute(no_more, key(unanswered))


async def test_a_resolved_ticket_is_not_declined(api: Api) -> None:
    tess = await api.new_technician()
    ticket, assignment = await assigned(api, tess)
    await api.done("ticketResolve", "__typename", ticketId=ticket, resolution="Done by phone.")
    async with api.technician(tess) as technician:
        assert await refused(technician, assignment, "DECLINED", reason="No.") == [("NOT_ALLOWED", "to")]
        assert (await advance(technician, assignment, "LEFT"))["state"] == "LEFT"


@pytest.mark.parametrize("step", ["SEEN", "ACCEPTED", "DECLINED", "EN_ROUTE", "ON_SITE", "LEFT"])
async def test_a_step_of_a_superseded_assignment_changes_nothing(api: Api, database: Database, step: str) -> None:
    tess, tom = await api.new_technician(), await api.new_technician()
    ticket, assignment = await assigned(api, tess)
    await api.done("ticketAssign", "__typename", ticketId=ticket, technicianId=tom)
    row, logged = await ticket_row(database, ticket), await events(database, ticket)
    given = {"reason": "No."} if step == "DECLINED" else {}
    async with api.technician(tess) as technician:
        payload = await technician.do(
            "assignmentAdvance", "assignment { state seenAt }", assignmentId=assignment, to=step, **given
        )
    assert [error["code"] for error in payload["userErrors"]] == ["SUPERSEDED"]
    assert payload["assignment"] == {"state": "SUPERSEDED", "seenAt": None}
    assert await ticket_row(database, ticket) == row
    assert await events(database, ticket) == logged


async def test_a_reopened_ticket_is_offered_anew(api: Api) -> None:
    tess = await api.new_technician()
    ticket, assignment = await assigned(api, tess)
    async with api.technician(tess) as technician:
        await advance(technician, assignment, "LEFT")
        await technician.done("ticketResolve", "__typename", ticketId=ticket, resolution="Done.")
        await api.done("ticketSetStatus", "__typename", ticketId=ticket, status="CLOSED")
        assert (await of_ticket(api, ticket))["id"] == assignment
        await api.done("ticketSetStatus", "__typename", ticketId=ticket, status="OPEN")
        again = await of_ticket(api, ticket)
        assert (again["state"], again["technician"]["id"]) == ("OFFERED", tess)
        assert await refused(technician, assignment, "LEFT") == [("SUPERSEDED", "assignmentId")]


async def test_only_the_technician_and_admins_advance_an_assignment(api: Api) -> None:
    tess, tom = await api.new_technician(), await api.new_technician()
    _, assignment = await assigned(api, tess)
    unknown = f"asg_{key(tess)}"
    async with api.technician(tom) as other, api.technician(tess) as technician:
        for viewer, id_ in ((other, assignment), (technician, unknown), (api, unknown)):
            for step, given in (("ACCEPTED", {}), ("DECLINED", {"reason": "No."})):
                assert await refused(viewer, id_, step, **given) == [("NOT_FOUND", "assignmentId")]
        assert await refused(technician, "tkt_1", "ACCEPTED") == [("INVALID", "assignmentId")]
    assert await refused(api, assignment, "SEEN") == [("NOT_ALLOWED", "to")]
    accepted = await advance(api, assignment, "ACCEPTED")  # as the technician has said on the phone
    assert times(accepted) == {"offeredAt", "acceptedAt"}


async def test_bad_values_of_a_step_are_refused_all_at_once(api: Api) -> None:
    tess = await api.new_technician()
    _, assignment = await assigned(api, tess)
    now = datetime.now(UTC)
    async with api.technician(tess) as technician:
        for eta in (now - timedelta(minutes=1), now + timedelta(days=31)):
            assert await refused(technician, assignment, "EN_ROUTE", eta=eta.isoformat()) == [("INVALID", "eta")]
        soon = (now + timedelta(hours=1)).isoformat()
        both = [("INVALID", "eta"), ("INVALID", "reason")]
        for step in ("SEEN", "ON_SITE", "LEFT"):
            assert await refused(technician, assignment, step, eta=soon, reason="No.") == both


async def test_of_two_steps_at_the_same_time_both_count_or_one_is_refused(api: Api) -> None:
    tess = await api.new_technician()
    async with api.technician(tess) as technician:
        for _ in range(5):
            ticket, assignment = await assigned(api, tess)
            selection, input = "assignment { state }", {"assignmentId": assignment}
            results = await asyncio.gather(
                *(technician.do("assignmentAdvance", selection, **input, to=to) for to in ("ACCEPTED", "EN_ROUTE") * 2)
            )
            assert (await of_ticket(api, ticket))["state"] == "EN_ROUTE"
            codes = {error["code"] for result in results for error in result["userErrors"]}
            assert codes <= {"NOT_ALLOWED"}
            history = (await api(HISTORY, id=ticket))["ticket"]["history"]["nodes"]
            states = [change["after"] for event in history for change in event["changes"]]
            assert states in (["EN_ROUTE"], ["ACCEPTED", "EN_ROUTE"])


async def test_customers_see_an_assignment_once_it_was_accepted_and_never_why_it_was_declined(api: Api) -> None:
    tess = await api.new_technician()
    customer = await api.new_customer()
    ticket, assignment = await assigned(api, tess, customerId=customer)
    arrival = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    async with api.technician(tess) as technician, api.customer(customer) as owner:
        assert (await owner(AS_CUSTOMER, id=ticket))["ticket"]["assignment"] is None
        await advance(technician, assignment, "ACCEPTED")
        assert (await owner(AS_CUSTOMER, id=ticket))["ticket"]["assignment"]["state"] == "ACCEPTED"
        await advance(technician, assignment, "EN_ROUTE", eta=arrival)
        shown = (await owner(AS_CUSTOMER, id=ticket))["ticket"]["assignment"]
        assert (shown["state"], shown["technician"]["id"]) == ("EN_ROUTE", tess)
        assert datetime.fromisoformat(shown["eta"]) == datetime.fromisoformat(arrival)
        await advance(technician, assignment, "DECLINED", reason="The van has broken down.")
        assert (await owner(AS_CUSTOMER, id=ticket))["ticket"]["assignment"] is None
        history = (await owner(HISTORY, id=ticket))["ticket"]["history"]["nodes"]
        states = [change for event in history for change in event["changes"] if change["field"] == "assignmentState"]
        assert [(each["before"], each["after"]) for each in states] == [
            (None, "ACCEPTED"),
            ("ACCEPTED", "EN_ROUTE"),
            ("EN_ROUTE", None),
        ]
        # A ticket that an admin has unassigned looks the same.
        await api.done("ticketAssign", "__typename", ticketId=ticket, technicianId=tess)
        await api.done("ticketAssign", "__typename", ticketId=ticket, technicianId=None)
        history = (await owner(HISTORY, id=ticket))["ticket"]["history"]["nodes"]
        taken = [event["actor"] for event in history if event["kind"] == "UNASSIGNED"]
        assert taken == [{"kind": "SYSTEM", "name": "Callout"}] * 2


async def overdue_events(database: Database, ticket: str) -> int:
    found = await database.fetchval(
        "SELECT count(*) FROM ticket_events WHERE ticket_id = $1 AND kind = 'ASSIGNMENT_OVERDUE'", key(ticket)
    )
    return int(found)


async def late(database: Database, ticket: str, minutes: int) -> None:
    """Makes the ticket's assignment this old."""
    await database.execute(
        "UPDATE tickets SET assigned_at = now() - $2 * interval '1 minute' WHERE id = $1", key(ticket), minutes
    )


async def test_an_assignment_that_is_not_answered_in_time_becomes_overdue_once(
    api: Api, database: Database, database_url: str
) -> None:
    admins = {"adminRecipients": ["ada@company.test"]}
    await api.done("supportSettingsUpdate", "__typename", overdueMinutes={"high": 30, "low": None}, **admins)
    tess = await api.new_technician()
    document = "{ tickets(filter: {overdue: true}) { nodes { id } totalCount } }"
    waiting, answered, begun, low = [
        (await assigned(api, tess, priority=priority))[0] for priority in ("HIGH", "HIGH", "HIGH", "LOW")
    ]
    early, _ = await assigned(api, tess, priority="HIGH")
    async with api.technician(tess) as technician:
        await advance(technician, (await of_ticket(api, answered))["id"], "ACCEPTED")
        await technician.done("ticketSetStatus", "__typename", ticketId=begun, status="IN_PROGRESS")
    async with live(api) as dashboard:
        await dashboard.subscribe("1", OVERDUE)
        assert (await dashboard.next())["__typename"] == "StreamReady"
        await late(database, early, 29)
        for ticket in (waiting, answered, begun, low):
            await late(database, ticket, 31)
        entered = await dashboard.next()
    assert (entered["ticketId"], entered["kind"], entered["change"]) == (waiting, "ASSIGNMENT_OVERDUE", "ENTERED")
    assert entered["actor"] == {"kind": "SYSTEM", "name": "Callout"}
    assert (await api(document))["tickets"] == {"nodes": [{"id": waiting}], "totalCount": 1}
    pool = await Pool.open(database_url)
    try:
        assert await asyncio.gather(*(mark_overdue(pool) for _ in range(4))) == [0] * 4
    finally:
        await pool.close()
    assert [await overdue_events(database, each) for each in (waiting, answered, begun, low, early)] == [1, 0, 0, 0, 0]
    sent = await database.fetch(
        "SELECT audience::text, recipient FROM deliveries WHERE ticket_id = $1 AND kind = 'OVERDUE'", key(waiting)
    )
    assert [tuple(row) for row in sent] == [("ADMIN", "ada@company.test")]
    async with api.technician(tess) as technician:
        await advance(technician, (await of_ticket(api, waiting))["id"], "ACCEPTED")
    assert (await api(document))["tickets"]["totalCount"] == 0


async def test_of_several_servers_one_marks_an_assignment(api: Api, database: Database, database_url: str) -> None:
    """They look at the same time, at more assignments than one of them takes at once."""
    await api.done("supportSettingsUpdate", "__typename", overdueMinutes={"medium": None})
    tess = await api.new_technician()
    tickets = [(await assigned(api, tess))[0] for _ in range(AT_ONCE + 5)]
    for ticket in tickets:
        await late(database, ticket, 60)
    await database.execute("UPDATE support_settings SET overdue_minutes_medium = 59")
    pool = await Pool.open(database_url)
    try:
        while sum(await asyncio.gather(*(mark_overdue(pool) for _ in range(4)))):
            pass
    finally:
        await pool.close()
    assert {await overdue_events(database, ticket) for ticket in tickets} == {1}


@pytest.mark.parametrize("status", ["RESOLVED", "CLOSED"])
async def test_nobody_sets_out_for_a_resolved_ticket_but_leaves_it(api: Api, status: str) -> None:
    tess = await api.new_technician()
    ticket, assignment = await assigned(api, tess)
    await api.done("ticketResolve", "__typename", ticketId=ticket, resolution="By phone.")
    if status == "CLOSED":
        await api.done("ticketSetStatus", "__typename", ticketId=ticket, status=status)
    before = await ticket_of(api, ticket)
    async with api.technician(tess) as technician:
        for step in ("ACCEPTED", "EN_ROUTE", "ON_SITE"):
            assert await refused(technician, assignment, step) == [("NOT_ALLOWED", "to")]
            assert await ticket_of(api, ticket) == before
        assert (await advance(technician, assignment, "LEFT"))["state"] == "LEFT"


async def test_a_ticket_that_cannot_be_marked_holds_up_no_other(api: Api, database: Database) -> None:
    await api.done("supportSettingsUpdate", "__typename", overdueMinutes={"medium": 59})
    tess = await api.new_technician()
    failing, good = [(await assigned(api, tess))[0] for _ in range(2)]
    await database.execute(f"""
        CREATE FUNCTION fail_to_mark() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'not this one'; END $$;
        CREATE TRIGGER failing BEFORE UPDATE OF assignment_overdue ON tickets FOR EACH ROW
        WHEN (OLD.id = '{key(failing)}') EXECUTE FUNCTION fail_to_mark()""")
    try:
        await late(database, failing, 90)
        await late(database, good, 60)
        await until(database, f"assignment_overdue FROM tickets WHERE id = '{key(good)}'")
        assert [await overdue_events(database, each) for each in (failing, good)] == [0, 1]
    finally:
        await database.execute("DROP FUNCTION fail_to_mark() CASCADE")
    await until(database, f"assignment_overdue FROM tickets WHERE id = '{key(failing)}'")
    assert await overdue_events(database, failing) == 1


async def test_the_minutes_are_bounded_and_kept_if_they_are_left_out(api: Api) -> None:
    shown = "supportSettings { overdueMinutes { low medium high urgent } }"
    for minutes in (-1, 525_601):
        refusal = await api.refused("supportSettingsUpdate", overdueMinutes={"low": minutes, "high": 5})
        assert refusal == [("INVALID", "overdueMinutes.low")]
    assert await api.refused("supportSettingsUpdate", overdueMinutes=None) == [("REQUIRED", "overdueMinutes")]
    first = {"low": None, "medium": 0, "high": 525_600, "urgent": 5}
    settings = (await api.done("supportSettingsUpdate", shown, overdueMinutes=first))["supportSettings"]
    assert settings["overdueMinutes"] == first
    settings = (await api.done("supportSettingsUpdate", shown, overdueMinutes={"medium": None}))["supportSettings"]
    assert settings["overdueMinutes"] == first | {"medium": None}
