"""Filters and sorts of the list of tickets: exactly the matching tickets, in exactly the requested order.

`test_pages.py` tests the pages of a list.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, TypeAlias

import pytest

from db.ids import new_id
from tests.helpers.api import Api, Refusal
from tests.helpers.ticket_lists import (
    CATEGORIES,
    FIELDS,
    LIST,
    MIXED,
    NEWEST_FIRST,
    NOBODY,
    PRIORITIES,
    SOURCES,
    START,
    STATUSES,
    TICKETS,
    Filter,
    Order,
    Ticket,
    World,
    backwards,
    by,
    forwards,
    ids,
    in_order,
    matching,
    page,
    refusal,
)

# Filters


@pytest.mark.parametrize(
    ("name", "values"),
    [("status", STATUSES), ("priority", PRIORITIES), ("category", CATEGORIES), ("source", SOURCES)],
)
async def test_a_list_of_values_matches_each_of_them(api: Api, world: World, name: str, values: Sequence[str]) -> None:
    for chosen in ([values[0]], [values[-1]], list(values[1:3]), list(values), [values[2], values[2]], []):
        expected = {t.id for t in world.tickets if getattr(t, name) in chosen}
        assert await matching(api, {name: chosen}) == expected, chosen


async def test_the_test_data_has_every_value(world: World) -> None:
    for name, values in (
        ("status", STATUSES),
        ("priority", PRIORITIES),
        ("category", CATEGORIES),
        ("source", SOURCES),
        ("technician", (None, *world.technicians)),
        ("customer", (None, *world.customers)),
        ("property_id", (None, *world.properties)),
    ):
        assert {getattr(t, name) for t in world.tickets} == set(values), name


async def test_a_single_value_needs_no_list(api: Api, world: World) -> None:
    found = await api("{ tickets(filter: {status: OPEN}, first: 100) { nodes { id } } }")
    assert {node["id"] for node in found["tickets"]["nodes"]} == {t.id for t in world.tickets if t.status == "OPEN"}


async def test_tickets_are_filtered_by_customer_and_property(api: Api, world: World) -> None:
    for customer in world.customers:
        assert await matching(api, {"customerId": customer}) == {t.id for t in world.tickets if t.customer == customer}
    for property_id in world.properties:
        assert await matching(api, {"propertyId": property_id}) == {
            t.id for t in world.tickets if t.property_id == property_id
        }
    assert await matching(api, {"customerId": f"cus_{NOBODY}"}) == set()
    assert await matching(api, {"propertyId": f"prp_{NOBODY}"}) == set()


async def test_tickets_are_filtered_by_assignee(api: Api, world: World) -> None:
    for technician in world.technicians:
        expected = {t.id for t in world.tickets if t.technician == technician}
        assert await matching(api, {"assignee": {"technicianId": technician}}) == expected
    nobodys = {t.id for t in world.tickets if t.technician is None}
    assert await matching(api, {"assignee": {"technicianId": f"tec_{NOBODY}"}}) == set()
    assert await matching(api, {"assignee": {"unassigned": True}}) == nobodys
    assert await matching(api, {"assignee": {"unassigned": False}}) == set(ids(world.tickets)) - nobodys


async def test_only_staff_find_tickets_by_the_state_of_their_assignment(api: Api, world: World) -> None:
    offered: Filter = {"assignmentState": ["OFFERED"]}
    overdue: Filter = {"overdue": True}
    waiting = [t for t in world.tickets if t.assignment_state == "OFFERED"]
    late = [t for t in waiting if t.overdue]
    assert late
    assert await matching(api, offered) == set(ids(waiting))
    assert await matching(api, overdue) == set(ids(late))
    for order in (NEWEST_FIRST, by(("ASSIGNED_AT", "ASC")), by(("STATUS", "ASC"), ("ASSIGNED_AT", "DESC")), *MIXED):
        assert await forwards(api, 4, filter=offered, orderBy=order) == in_order(waiting, order)
        assert await forwards(api, 2, filter=overdue, orderBy=order) == in_order(late, order)
    async with api.technician(world.technicians[0]) as maker:
        own = set(ids(world.of(world.technicians[0])))
        assert await matching(maker, offered) == own & set(ids(waiting))
    async with api.customer(world.customers[0]) as owner, api.service() as chatbot:
        for viewer in (owner, chatbot):
            everything = await matching(viewer, {})
            assert everything & set(ids(late))
            assert await matching(viewer, offered) == await matching(viewer, overdue) == set()
            assert await matching(viewer, {"not": offered}) == await matching(viewer, {"overdue": False}) == everything
            theirs = [t for t in world.tickets if t.id in everything]
            order = by(("ASSIGNED_AT", "DESC"))
            assert await forwards(viewer, 4, orderBy=order) == in_order(theirs, order, public=True)


async def test_the_tickets_of_a_technician_who_has_left_are_found_to_be_reassigned(api: Api, world: World) -> None:
    """By staff, with other conditions and in any order; customers and services do not learn who is inactive."""
    leaving, colleague = world.technicians[1:]
    theirs = [t for t in world.tickets if t.technician == leaving]
    left = await api.done("technicianUpdate", "technician { openTicketCount }", technicianId=leaving, active=False)
    try:
        unfinished = {t.id for t in theirs if t.status in ("OPEN", "IN_PROGRESS")}
        assert left["technician"]["openTicketCount"] == len(unfinished) > 0
        inactive: Filter = {"assignee": {"inactive": True}}
        assert await matching(api, inactive) == set(ids(theirs))
        assert await matching(api, inactive | {"status": ["OPEN", "IN_PROGRESS"]}) == unfinished
        assert await matching(api, inactive | {"category": ["CCTV"]}) == {t.id for t in theirs if t.category == "CCTV"}
        assert await matching(api, {"and": [inactive, {"assignee": {"technicianId": colleague}}]}) == set()
        rest = {t.id for t in world.tickets if t.technician != leaving}
        assert await matching(api, {"assignee": {"inactive": False}}) == rest
        assert await matching(api, {"not": inactive}) == rest
        for order in (NEWEST_FIRST, *MIXED):
            assert await forwards(api, 4, filter=inactive, orderBy=order) == in_order(theirs, order)
        async with api.technician(world.technicians[0]) as maker:
            assert await matching(maker, inactive) == {t.id for t in theirs if t.source == "TECHNICIAN"}
        async with api.customer(world.customers[0]) as owner, api.service() as chatbot:
            for viewer in (owner, chatbot):
                everything = await matching(viewer, {})
                assert everything & set(ids(theirs))
                assert await matching(viewer, inactive) == set()
                assert await matching(viewer, {"assignee": {"inactive": False}}) == everything
    finally:
        await api.done("technicianUpdate", "__typename", technicianId=leaving, active=True)
    assert await matching(api, inactive) == set()


async def test_me_matches_the_viewing_technician(api: Api, world: World) -> None:
    for technician in world.technicians:
        async with api.technician(technician) as viewer:
            own = {t.id for t in world.tickets if t.technician == technician}
            assert await matching(viewer, {"assignee": {"me": True}}) == own
            assert await matching(viewer, {"assignee": {"me": False}}) == set(ids(world.of(technician))) - own
    assert await matching(api, {"assignee": {"me": True}}) == set()
    assert await matching(api, {"assignee": {"me": False}}) == set(ids(world.tickets))


@pytest.mark.parametrize(
    "assignee", [{}, {"unassigned": True, "me": True}, {"technicianId": None}, {"unassigned": None}, {"me": "yes"}]
)
async def test_an_assignee_filter_has_exactly_one_field(api: Api, assignee: Filter) -> None:
    await refusal(api, filter={"assignee": assignee})


@pytest.mark.parametrize("name", ["createdAt", "updatedAt"])
async def test_a_time_range_includes_from_and_excludes_until(api: Api, world: World, name: str) -> None:
    def time(ticket: Ticket) -> datetime:
        return ticket.created_at if name == "createdAt" else ticket.updated_at

    low, high = sorted({time(t) for t in world.tickets})[2:9:6]
    tick = timedelta(microseconds=1)
    for start, end in (
        (low, None),
        (low + tick, None),
        (None, high),
        (None, high + tick),
        (low, high),
        (low, low + tick),
        (low, low),
        (high, low),
        (None, None),
    ):
        expected = {t.id for t in world.tickets if (not start or time(t) >= start) and (not end or time(t) < end)}
        span = {key: moment.isoformat() for key, moment in (("from", start), ("until", end)) if moment is not None}
        assert await matching(api, {name: span}) == expected, (start, end)
        assert await matching(api, {name: {"from": None, "until": None} | span}) == expected


async def test_times_may_have_any_offset(api: Api, world: World) -> None:
    moment = START + timedelta(days=5)
    expected = {t.id for t in world.tickets if t.created_at >= moment}
    assert 0 < len(expected) < TICKETS
    for hours in (-12, -5, 0, 14):
        local = moment.astimezone(timezone(timedelta(hours=hours))).isoformat()
        assert await matching(api, {"createdAt": {"from": local}}) == expected
    assert await matching(api, {"createdAt": {"from": moment.strftime("%Y-%m-%dT%H:%M:%SZ")}}) == expected


@pytest.mark.parametrize(
    "time", ["yesterday", "", "2026-03-01", "2026-03-01T12:00:00", "2026-02-30T12:00:00Z", 1772366400, True, {}]
)
async def test_an_invalid_time_is_refused(api: Api, time: Any) -> None:
    await refusal(api, filter={"createdAt": {"from": time}})


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"])
async def test_a_time_outside_the_calendar_is_refused(api: Api, time: str) -> None:
    await refusal(api, filter={"createdAt": {"from": time}})
    await refusal(api, filter={"updatedAt": {"until": time}})


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"])
async def test_the_earliest_and_latest_times_are_accepted(api: Api, world: World, time: str) -> None:
    later = await matching(api, {"createdAt": {"from": time}})
    earlier = await matching(api, {"createdAt": {"until": time}})
    everything = set(ids(world.tickets))
    assert (earlier, later) == ((set(), everything) if time.startswith("0001") else (everything, set()))


@pytest.mark.parametrize(
    "filter",
    [
        {"customerId": f"prp_{NOBODY}"},
        {"propertyId": f"cus_{NOBODY}"},
        {"assignee": {"technicianId": f"cus_{NOBODY}"}},
        {"customerId": NOBODY},
        {"customerId": "cus_"},
        {"customerId": "cus_1"},
        {"customerId": ""},
        {"customerId": f"cus_{NOBODY}\0"},
        {"propertyId": "prp_' OR true"},
        {"ids": [f"cus_{NOBODY}"]},
        {"ids": [f"tkt_{NOBODY}", NOBODY]},
        {"ids": ["tkt_1"]},
    ],
)
async def test_an_id_of_another_kind_is_refused(api: Api, filter: Filter) -> None:
    assert "is not" in await refusal(api, filter=filter)


async def test_a_filter_names_at_most_a_hundred_tickets(api: Api, world: World) -> None:
    unknown = [f"tkt_{new_id()}" for _ in range(99)]
    assert await matching(api, {"ids": [*unknown, world.tickets[0].id]}) == {world.tickets[0].id}
    assert "100 ids" in await refusal(api, filter={"ids": [*unknown, *unknown[:2]]})
    assert await matching(api, {"ids": []}) == set()


@pytest.mark.parametrize(
    "filter",
    [{"status": ["DONE"]}, {"status": [None]}, {"state": "OPEN"}, {"and": [None]}, {"search": 5}, {"text": 5}, "OPEN"],
)
async def test_a_filter_that_the_schema_does_not_define_is_refused(api: Api, filter: Any) -> None:
    await refusal(api, filter=filter)


async def test_null_criteria_are_ignored(api: Api, world: World) -> None:
    everything = set(ids(world.tickets))
    fields = ["ids", "status", "priority", "category", "source", "assignee", "assignmentState", "overdue"]
    fields += ["customerId", "propertyId"]
    fields += ["createdAt", "updatedAt", "search", "text", "and", "or", "not"]
    assert await matching(api, None) == await matching(api, {}) == everything
    assert await matching(api, dict.fromkeys(fields)) == everything
    assert await matching(api, dict.fromkeys(fields) | {"status": ["OPEN"]}) == {
        t.id for t in world.tickets if t.status == "OPEN"
    }


async def test_empty_conditions_follow_logic(api: Api, world: World) -> None:
    everything = set(ids(world.tickets))
    assert await matching(api, {"and": []}) == everything
    assert await matching(api, {"or": []}) == set()
    assert await matching(api, {"or": [{}]}) == everything
    assert await matching(api, {"not": {}}) == set()
    assert await matching(api, {"not": {"or": []}}) == everything


Predicate: TypeAlias = Callable[[Ticket], bool]


def leaves(world: World, pick: random.Random) -> tuple[Filter, Predicate]:
    """Returns a random condition and the equivalent predicate."""
    kind = pick.choice(
        [
            *("status", "priority", "category", "source", "customer", "property"),
            *("assignmentState", "overdue"),
            *("assignee", "unassigned", "created", "updated", "search", "text", "ids"),
        ]
    )
    if kind == "ids":
        named = {f"tkt_{NOBODY}", *(each.id for each in pick.sample(world.tickets, pick.randint(0, 30)))}
        return {"ids": list(named)}, lambda t: t.id in named
    if kind in ("status", "priority", "category", "source"):
        values = {"status": STATUSES, "priority": PRIORITIES, "category": CATEGORIES, "source": SOURCES}[kind]
        chosen = pick.sample(values, pick.randint(1, 3))
        return {kind: chosen}, lambda t: getattr(t, kind) in chosen
    if kind in ("customer", "property"):
        customer = pick.choice(world.customers)
        property_id = pick.choice(world.properties)
        if kind == "customer":
            return {"customerId": customer}, lambda t: t.customer == customer
        return {"propertyId": property_id}, lambda t: t.property_id == property_id
    if kind == "assignmentState":
        states = pick.sample(["OFFERED", "ACCEPTED", "EN_ROUTE", "LEFT"], pick.randint(1, 3))
        return {kind: states}, lambda t: t.assignment_state in states
    if kind == "overdue":
        overdue = pick.random() < 0.5
        return {kind: overdue}, lambda t: t.overdue is overdue
    if kind == "assignee":
        technician = pick.choice(world.technicians)
        return {"assignee": {"technicianId": technician}}, lambda t: t.technician == technician
    if kind == "unassigned":
        nobody = pick.random() < 0.5
        return {"assignee": {"unassigned": nobody}}, lambda t: (t.technician is None) is nobody
    if kind == "search":
        word = pick.choice(("PANEL", "amera", "camera no", "DOOR"))
        return {"search": word}, lambda t: word.lower() in f"{t.reference}\n{t.subject}".lower()
    if kind == "text":
        word = pick.choice(("BATTERY", "cab", "of unit"))
        return {"text": word}, lambda t: word.lower() in t.description.lower()
    start = START + timedelta(days=pick.randint(0, 6), hours=pick.randint(0, 3))
    end = start + timedelta(days=pick.randint(1, 6))
    span = {"from": start.isoformat(), "until": end.isoformat()}
    if kind == "created":
        return {"createdAt": span}, lambda t: start <= t.created_at < end
    return {"updatedAt": span}, lambda t: start <= t.updated_at < end


def trees(world: World, pick: random.Random, depth: int) -> tuple[Filter, Predicate]:
    """Returns a random filter of conditions, `and`, `or` and `not`, and the equivalent predicate."""
    parts = [leaves(world, pick) for _ in range(pick.randint(1, 2))]
    if len(parts) == 2 and parts[0][0].keys() == parts[1][0].keys():
        parts.pop()
    filter: Filter = {}
    predicates: list[Predicate] = []
    for part, predicate in parts:
        filter |= part
        predicates.append(predicate)
    if depth:
        for name in pick.sample(("and", "or", "not"), pick.randint(0, 2)):
            inner = [trees(world, pick, depth - 1) for _ in range(1 if name == "not" else pick.randint(1, 3))]
            filter[name] = inner[0][0] if name == "not" else [part for part, _ in inner]
            predicates.append(_combined(name, [predicate for _, predicate in inner]))
    return filter, lambda t: all(predicate(t) for predicate in predicates)


def _combined(name: str, predicates: Sequence[Predicate]) -> Predicate:
    if name == "and":
        return lambda t: all(predicate(t) for predicate in predicates)
    if name == "or":
        return lambda t: any(predicate(t) for predicate in predicates)
    return lambda t: not predicates[0](t)


def drawn(world: World, number: int) -> Iterator[tuple[Filter, Predicate]]:
    pick = random.Random(2)
    for _ in range(number):
        yield trees(world, pick, 3)


async def test_filters_combine_logically(api: Api, world: World) -> None:
    sizes = set()
    for filter, predicate in drawn(world, 50):
        expected = {t.id for t in world.tickets if predicate(t)}
        assert await matching(api, filter) == expected, filter
        sizes.add(len(expected))
    assert len(sizes) > 10, "the random filters are too similar"


async def test_a_combined_filter_matches_only_tickets_that_a_technician_sees(api: Api, world: World) -> None:
    technician = world.technicians[0]
    async with api.technician(technician) as viewer:
        for filter, predicate in drawn(world, 20):
            assert await matching(viewer, filter) == {t.id for t in world.of(technician) if predicate(t)}, filter


async def test_tickets_of_an_owner_match_all_criteria(api: Api, world: World) -> None:
    technician = world.technicians[1]
    assert any(t.technician == technician and t.status == "OPEN" for t in world.tickets)
    for category in CATEGORIES:
        filter = {"assignee": {"technicianId": technician}, "status": ["OPEN", "CLOSED"], "category": [category]}
        assert await matching(api, filter) == {
            t.id
            for t in world.tickets
            if t.technician == technician and t.status in ("OPEN", "CLOSED") and t.category == category
        }


async def test_a_condition_on_an_absent_value_is_false_and_its_negation_true(api: Api, world: World) -> None:
    technician, customer, property_id = world.technicians[0], world.customers[0], world.properties[0]
    for name, value, attribute, wanted in (
        ("assignee", {"technicianId": technician}, "technician", technician),
        ("customerId", customer, "customer", customer),
        ("propertyId", property_id, "property_id", property_id),
    ):
        expected = {t.id for t in world.tickets if getattr(t, attribute) != wanted}
        assert await matching(api, {"not": {name: value}}) == expected


async def test_a_filter_has_at_most_a_hundred_conditions(api: Api, world: World) -> None:
    """The filter itself counts as one, and so does each empty part of it."""
    wanted = {"or": [{"status": ["OPEN"]}] * 99}
    assert await matching(api, wanted) == {t.id for t in world.tickets if t.status == "OPEN"}
    too_many: tuple[Filter, ...] = ({"or": [{"status": ["OPEN"]}] * 100}, {"or": [{}] * 100})
    for filter in too_many:
        with pytest.raises(Refusal) as refused:
            await api(LIST, filter=filter)
        assert refused.value.codes == ["LIMIT_EXCEEDED"]


async def test_a_filter_nested_too_deeply_is_refused(api: Api, world: World) -> None:
    def negated(times: int) -> Filter:
        filter: Filter = {"status": ["OPEN"]}
        for _ in range(times):
            filter = {"not": filter}
        return filter

    assert await matching(api, negated(100)) == {t.id for t in world.tickets if t.status == "OPEN"}
    beside_each_other = {"or": [negated(3)] * 40}
    assert await matching(api, beside_each_other) == {t.id for t in world.tickets if t.status != "OPEN"}
    with pytest.raises(Refusal) as refused:
        await api(LIST, filter=negated(101))
    assert refused.value.codes == ["LIMIT_EXCEEDED"]
    assert await refusal(api, filter=negated(300)) == "Variable values are nested too deeply."


# Sorting


@pytest.mark.parametrize("direction", ["ASC", "DESC"])
@pytest.mark.parametrize("field", FIELDS)
async def test_tickets_are_sorted_by_each_field_and_then_by_id(
    api: Api, world: World, field: str, direction: str
) -> None:
    order = by((field, direction))
    assert (await page(api, orderBy=order, first=100))["ids"] == in_order(world.tickets, order)


async def test_the_newest_tickets_come_first_by_default(api: Api, world: World) -> None:
    expected = in_order(world.tickets, NEWEST_FIRST)
    for order in (None, [], NEWEST_FIRST):
        assert (await page(api, orderBy=order, first=100))["ids"] == expected


@pytest.mark.parametrize("order", MIXED)
async def test_each_of_several_sort_keys_has_its_own_direction(api: Api, world: World, order: Order) -> None:
    expected = in_order(world.tickets, order)
    assert (await page(api, orderBy=order, first=100))["ids"] == expected
    assert await forwards(api, 9, orderBy=order) == expected
    assert await backwards(api, 9, orderBy=order) == expected


async def test_a_repeated_sort_field_counts_only_the_first_time(api: Api, world: World) -> None:
    order = by(("STATUS", "ASC"), ("PRIORITY", "DESC"), ("STATUS", "DESC"))
    assert (await page(api, orderBy=order, first=100))["ids"] == in_order(world.tickets, order[:2])


async def test_a_filtered_list_is_sorted(api: Api, world: World) -> None:
    order = by(("PRIORITY", "DESC"), ("CREATED_AT", "ASC"))
    chosen = [t for t in world.tickets if t.status in ("OPEN", "CLOSED")]
    filter = {"status": ["OPEN", "CLOSED"]}
    assert await forwards(api, 5, orderBy=order, filter=filter) == in_order(chosen, order)


async def test_customers_sort_and_filter_by_the_last_public_change(api: Api, world: World) -> None:
    own = [t for t in world.tickets if t.customer == world.customers[0]]
    order = by(("UPDATED_AT", "DESC"))
    async with api.customer(world.customers[0]) as customer:
        assert await forwards(customer, 4, orderBy=order) == in_order(own, order, public=True)
        cut = sorted(t.public_updated_at for t in own)[len(own) // 2]
        since = {"updatedAt": {"from": cut.isoformat()}}
        assert await matching(customer, since) == {t.id for t in own if t.public_updated_at >= cut}


@pytest.mark.parametrize("order", [[{"field": "STATUS"}], [{"field": "SUBJECT", "direction": "ASC"}], [None], "STATUS"])
async def test_an_unknown_order_is_refused(api: Api, order: Any) -> None:
    await refusal(api, orderBy=order)
