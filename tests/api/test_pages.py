"""Pages and their cursors: in both directions they make up the list, and invalid cursors and sizes are refused.

`test_tickets_list.py` tests the contents and order of the list.
"""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

import pytest

from db.enums import Role
from tests.helpers.api import Api, Refusal
from tests.helpers.paging import Fetch, both_ways
from tests.helpers.ticket_lists import (
    FIELDS,
    MIXED,
    NEWEST_FIRST,
    NOBODY,
    PRIORITIES,
    START,
    STATUSES,
    TICKETS,
    Filter,
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

# Pages


@pytest.mark.parametrize("direction", ["ASC", "DESC"])
@pytest.mark.parametrize("field", FIELDS)
async def test_pages_make_up_the_list_in_either_direction(api: Api, world: World, field: str, direction: str) -> None:
    order = by((field, direction))
    expected = in_order(world.tickets, order)
    assert await forwards(api, 8, orderBy=order) == expected
    assert await backwards(api, 8, orderBy=order) == expected


@pytest.mark.parametrize("size", [1, 5, 6, 25, TICKETS - 1, TICKETS, TICKETS + 1, 100])
async def test_pages_of_any_size_make_up_the_list(api: Api, world: World, size: int) -> None:
    chosen = [t for t in world.tickets if t.status == "OPEN"] if size == 1 else world.tickets
    filter = {"status": ["OPEN"]} if size == 1 else None
    expected = in_order(chosen, NEWEST_FIRST)
    assert await forwards(api, size, filter=filter) == expected
    assert await backwards(api, size, filter=filter) == expected


@pytest.mark.parametrize("statuses", [["CLOSED"], ["OPEN", "RESOLVED"], ["CLOSED", "OPEN", "CLOSED"], list(STATUSES)])
@pytest.mark.parametrize("field", ["CREATED_AT", "UPDATED_AT", "STATUS"])
async def test_pages_of_some_statuses_make_up_their_list(
    api: Api, world: World, field: str, statuses: list[str]
) -> None:
    chosen = [t for t in world.tickets if t.status in statuses]
    for direction in ("ASC", "DESC"):
        order = by((field, direction))
        expected = in_order(chosen, order)
        for filter in ({"status": statuses}, {"and": [{"status": statuses}]}):
            assert await forwards(api, 6, orderBy=order, filter=filter) == expected
            assert await backwards(api, 6, orderBy=order, filter=filter) == expected
    searched = {"status": statuses, "search": "PANEL"}
    panels = in_order([t for t in chosen if "panel" in t.subject], NEWEST_FIRST)
    assert await forwards(api, 4, filter=searched) == await backwards(api, 4, filter=searched) == panels


@pytest.mark.parametrize("filter", [{"status": ["CLOSED", "OPEN"]}, {"not": {"status": ["CLOSED"]}}])
@pytest.mark.parametrize("field", ["CREATED_AT", "UPDATED_AT"])
async def test_pages_of_an_owners_tickets_of_some_statuses_make_up_their_list(
    api: Api, world: World, field: str, filter: Filter
) -> None:
    technician, customer, site = world.technicians[0], world.customers[0], world.properties[0]
    chosen = [
        t for t in world.tickets if (t.status in ("CLOSED", "OPEN") if "status" in filter else t.status != "CLOSED")
    ]
    assigned = [t for t in chosen if t.technician == technician]
    of_customer = [t for t in chosen if t.customer == customer]
    async with api.technician(technician) as as_technician, api.customer(customer) as as_customer:
        for viewer, owner, tickets in (
            (api, {"assignee": {"technicianId": technician}}, assigned),
            (api, {"customerId": customer}, of_customer),
            (api, {"propertyId": site}, [t for t in chosen if t.property_id == site]),
            (as_technician, {}, [t for t in world.of(technician) if t in chosen]),
            (as_customer, {}, of_customer),
        ):
            order = by((field, "DESC"))
            expected = in_order(tickets, order, public=viewer is as_customer)
            assert expected
            assert await forwards(viewer, 3, orderBy=order, filter={**filter, **owner}) == expected
            assert await backwards(viewer, 3, orderBy=order, filter={**filter, **owner}) == expected


SEVERAL = [
    (("STATUS", "ASC"), ("CREATED_AT", "DESC")),
    (("STATUS", "DESC"), ("PRIORITY", "ASC"), ("UPDATED_AT", "DESC")),
    (("PRIORITY", "DESC"), ("STATUS", "ASC")),
    (("PRIORITY", "ASC"), ("REFERENCE", "DESC"), ("STATUS", "ASC")),
    (("STATUS", "ASC"), ("CREATED_AT", "ASC"), ("PRIORITY", "DESC")),
    (("STATUS", "ASC"), ("ASSIGNED_AT", "ASC")),
    (("CREATED_AT", "DESC"), ("STATUS", "ASC"), ("PRIORITY", "DESC")),
    (("REFERENCE", "ASC"), ("PRIORITY", "ASC")),
]


@pytest.mark.parametrize("keys", SEVERAL)
async def test_pages_by_several_fields_make_up_the_list(
    api: Api, world: World, keys: tuple[tuple[str, str], ...]
) -> None:
    """With filters that leave only some of the parts that such a list is read in, or none."""
    order = by(*keys)
    technician = world.technicians[1]
    assert [any(map(matches, world.tickets)) for matches in FILTERS.values()] == [True] * 5 + [False] + [True] * 2
    for filter, matches in FILTERS.items():
        chosen = in_order([t for t in world.tickets if matches(t)], order)
        given = json.loads(filter)
        assert await forwards(api, 4, orderBy=order, filter=given) == chosen, filter
        assert await backwards(api, 4, orderBy=order, filter=given) == chosen, filter
        own = in_order([t for t in world.tickets if matches(t) and t.technician == technician], order)
        given["assignee"] = {"technicianId": technician}
        assert await forwards(api, 4, orderBy=order, filter=given) == own, filter
    expected = in_order(world.tickets, order)
    edges = (await page(api, first=100, orderBy=order))["edges"]
    for start, end in ((3, 9), (10, 40), (30, 31), (60, TICKETS - 1)):
        enclosed = {"orderBy": order, "after": edges[start]["cursor"], "before": edges[end]["cursor"]}
        assert (await page(api, first=7, **enclosed))["ids"] == expected[start + 1 : end][:7]
        assert (await page(api, last=7, **enclosed))["ids"] == expected[start + 1 : end][-7:]


FILTERS: dict[str, Callable[[Ticket], bool]] = {
    "{}": lambda t: True,
    '{"status": ["OPEN", "CLOSED"]}': lambda t: t.status in ("OPEN", "CLOSED"),
    '{"not": {"status": ["CLOSED"]}}': lambda t: t.status != "CLOSED",
    '{"priority": ["URGENT"], "not": {"or": [{"status": ["OPEN"]}, {"status": ["RESOLVED"]}]}}': (
        lambda t: t.priority == "URGENT" and t.status not in ("OPEN", "RESOLVED")
    ),
    '{"or": [{"status": ["OPEN"]}, {"priority": ["LOW"]}], "and": [{"category": ["CCTV", "ALARM"]}]}': (
        lambda t: (t.status == "OPEN" or t.priority == "LOW") and t.category in ("CCTV", "ALARM")
    ),
    '{"status": ["OPEN"], "and": [{"status": ["CLOSED"]}]}': lambda t: False,
    '{"search": "PANEL", "priority": ["HIGH", "LOW"]}': lambda t: (
        "panel" in t.subject and t.priority in ("HIGH", "LOW")
    ),
    '{"search": "k", "not": {"status": []}}': lambda t: "k" in t.subject or "k" in t.reference.lower(),
}


async def test_a_page_has_twenty_tickets_by_default(api: Api, world: World) -> None:
    expected = in_order(world.tickets, NEWEST_FIRST)
    assert (await page(api))["ids"] == (await page(api, first=None, last=None))["ids"] == expected[:20]


async def test_each_cursor_leads_to_the_following_and_preceding_tickets(api: Api, world: World) -> None:
    expected = in_order(world.tickets, NEWEST_FIRST)
    edges = (await page(api, first=100))["edges"]
    for index in (0, 1, 2, 37, TICKETS - 2, TICKETS - 1):
        cursor = edges[index]["cursor"]
        following = await page(api, first=3, after=cursor)
        assert following["ids"] == expected[index + 1 : index + 4]
        assert following["pageInfo"]["hasNextPage"] is (index + 4 < TICKETS)
        assert following["pageInfo"]["hasPreviousPage"] is True
        preceding = await page(api, last=3, before=cursor)
        assert preceding["ids"] == expected[max(0, index - 3) : index]
        assert preceding["pageInfo"]["hasPreviousPage"] is (index > 3)
        assert preceding["pageInfo"]["hasNextPage"] is True


async def test_after_and_before_together_enclose_a_window(api: Api, world: World) -> None:
    expected = in_order(world.tickets, NEWEST_FIRST)
    cursors = [edge["cursor"] for edge in (await page(api, first=100))["edges"]]
    window = {"after": cursors[10], "before": cursors[20]}
    for arguments, inside in (
        ({"first": 4}, expected[11:15]),
        ({"last": 4}, expected[16:20]),
        ({"first": 50}, expected[11:20]),
        ({"last": 50}, expected[11:20]),
        ({}, expected[11:20]),
    ):
        got = await page(api, **arguments, **window)
        assert (got["ids"], got["totalCount"]) == (inside, TICKETS)
    assert (await page(api, first=5, after=cursors[20], before=cursors[10]))["ids"] == []
    assert (await page(api, first=5, before=cursors[3]))["ids"] == expected[:3]
    assert (await page(api, last=5, after=cursors[-4]))["ids"] == expected[-3:]


async def test_the_last_page_is_empty_after_the_last_cursor(api: Api, world: World) -> None:
    edges = (await page(api, first=100))["edges"]
    beyond = await page(api, first=5, after=edges[-1]["cursor"])
    assert (beyond["ids"], beyond["totalCount"]) == ([], TICKETS)
    assert beyond["pageInfo"] == {
        "hasNextPage": False,
        "hasPreviousPage": True,
        "startCursor": None,
        "endCursor": None,
    }


async def test_an_empty_list_has_an_empty_page(api: Api, world: World) -> None:
    assert await page(api, filter={"or": []}) == {
        "nodes": [],
        "edges": [],
        "totalCount": 0,
        "pageInfo": {"hasNextPage": False, "hasPreviousPage": False, "startCursor": None, "endCursor": None},
        "ids": [],
    }


async def test_a_cursor_can_be_used_with_another_filter(api: Api, world: World) -> None:
    expected = in_order(world.tickets, NEWEST_FIRST)
    edge = (await page(api, first=30))["edges"][29]
    high = {t.id for t in world.tickets if t.priority == "HIGH"}
    got = await page(api, first=100, after=edge["cursor"], filter={"priority": ["HIGH"]})
    assert got["ids"] == [id_ for id_ in expected[30:] if id_ in high]
    assert got["totalCount"] == len(high)


async def test_each_part_of_a_page_can_be_selected_alone(api: Api, world: World) -> None:
    whole = await page(api, first=3)
    for selection in (
        "nodes { id }",
        "edges { cursor }",
        "edges { node { id } }",
        "totalCount",
        "pageInfo { hasNextPage }",
        "pageInfo { hasPreviousPage }",
        "pageInfo { startCursor }",
        "pageInfo { endCursor }",
    ):
        ((name, value),) = (await api(f"{{ tickets(first: 3) {{ {selection} }} }}"))["tickets"].items()
        whole_value = whole[name]
        if name == "pageInfo":
            assert value.items() <= whole_value.items()
        elif name == "edges":
            assert all(part.items() <= edge.items() for part, edge in zip(value, whole_value, strict=True))
        else:
            assert value == whole_value
    assert (await api("{ tickets { streamCursor } }"))["tickets"]["streamCursor"]


async def test_ticket_lists_of_customers_properties_and_technicians_are_paged(api: Api, world: World) -> None:
    of_customer = [t for t in world.tickets if t.customer == world.customers[0]]
    of_technician = [t for t in world.tickets if t.technician == world.technicians[1]]
    of_property = [t for t in world.tickets if t.property_id == world.properties[0]]
    assert min(map(len, (of_customer, of_technician, of_property))) > 2
    order = by(("PRIORITY", "ASC"))
    for id_, type_, own in (
        (world.customers[0], "Customer", of_customer),
        (world.technicians[1], "Technician", of_technician),
        (world.properties[0], "Property", of_property),
    ):
        document = f"""
        query($id: ID!, $orderBy: [TicketOrder!], $first: Int, $after: String, $last: Int, $before: String) {{
          node(id: $id) {{ ... on {type_} {{
            tickets(orderBy: $orderBy, first: $first, after: $after, last: $last, before: $before) {{
              nodes {{ id }} totalCount pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }} }} }} }} }}"""
        asked = partial(api, document, id=id_, orderBy=order)

        async def fetch(asked: Fetch = asked, **way: Any) -> Any:
            return (await asked(**way))["node"]["tickets"]

        assert [node["id"] for node in await both_ways(fetch, 2)] == in_order(own, order)


async def test_notes_and_history_are_paged_oldest_first(api: Api) -> None:
    ticket = await api.new_ticket()
    for n in range(7):
        await api.done("noteAdd", "note { id }", ticketId=ticket, body=f"Note {n}")
    document = """query($id: ID!, $first: Int, $after: String, $last: Int, $before: String) { ticket(by: {id: $id}) {
      notes(first: $first, after: $after, last: $last, before: $before) {
        nodes { body } totalCount pageInfo { hasNextPage hasPreviousPage startCursor endCursor } }
      history(first: $first) { nodes { kind note { body } } totalCount pageInfo { hasNextPage endCursor } } } }"""
    first = (await api(document, id=ticket, first=3))["ticket"]
    assert [note["body"] for note in first["notes"]["nodes"]] == ["Note 0", "Note 1", "Note 2"]
    assert (first["notes"]["totalCount"], first["history"]["totalCount"]) == (7, 8)
    assert first["history"]["nodes"] == [
        {"kind": "CREATED", "note": None},
        {"kind": "NOTE_ADDED", "note": {"body": "Note 0"}},
        {"kind": "NOTE_ADDED", "note": {"body": "Note 1"}},
    ]
    last = (await api(document, id=ticket, last=3))["ticket"]["notes"]
    assert [note["body"] for note in last["nodes"]] == ["Note 4", "Note 5", "Note 6"]
    middle = (await api(document, id=ticket, last=3, before=last["pageInfo"]["startCursor"]))["ticket"]["notes"]
    assert [note["body"] for note in middle["nodes"]] == ["Note 1", "Note 2", "Note 3"]
    assert (middle["pageInfo"]["hasNextPage"], middle["pageInfo"]["hasPreviousPage"]) == (True, True)
    history = """query($id: ID!, $after: String) { ticket(by: {id: $id}) {
      history(first: 100, after: $after) { nodes { note { body } } pageInfo { hasNextPage hasPreviousPage } } } }"""
    rest = (await api(history, id=ticket, after=first["history"]["pageInfo"]["endCursor"]))["ticket"]["history"]
    assert [event["note"]["body"] for event in rest["nodes"]] == [f"Note {n}" for n in range(2, 7)]
    assert rest["pageInfo"] == {"hasNextPage": False, "hasPreviousPage": True}


# Invalid cursors


def cursor_of(*values: Any) -> str:
    """Returns a cursor forged from its parts."""
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


def parts_of(cursor: str) -> list[Any]:
    parts: list[Any] = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    return parts


@pytest.mark.parametrize("argument", ["after", "before"])
async def test_a_cursor_of_another_order_is_refused(api: Api, world: World, argument: str) -> None:
    orders = [by((field, direction)) for field in FIELDS for direction in ("ASC", "DESC")] + MIXED
    cursors = [(await page(api, first=1, orderBy=order))["pageInfo"]["endCursor"] for order in orders]
    assert len(set(cursors)) == len(orders)
    for order, cursor in zip(orders, cursors[1:] + cursors[:1], strict=True):
        message = await refusal(api, orderBy=order, **{argument: cursor})
        assert message == "The cursor is from a list with a different order; start again without it."


async def test_a_cursor_of_another_list_is_refused(api: Api, world: World) -> None:
    ticket = await api.new_ticket()
    await api.done("noteAdd", "note { id }", ticketId=ticket, body="A note.")
    await api.done("articleCreate", "article { id }", problem="A problem", solution="A solution")
    await api.done("apiKeyCreate", "apiKey { id }", name="A service")
    page_info = "pageInfo { endCursor }"
    others = await api(
        f"""query($id: ID!) {{ customers {{ {page_info} }} properties {{ {page_info} }} technicians {{ {page_info} }}
        articles {{ {page_info} }} apiKeys {{ {page_info} }}
        ticket(by: {{id: $id}}) {{ notes {{ {page_info} }} history {{ {page_info} }} }} }}""",
        id=ticket,
    )
    lists = [*(others[name] for name in ("customers", "properties", "technicians", "articles", "apiKeys"))]
    lists += others["ticket"].values()
    assert len(lists) == 7
    for list_ in lists:
        for order in (None, by(("CREATED_AT", "ASC"))):
            message = await refusal(api, after=list_["pageInfo"]["endCursor"], orderBy=order)
            assert message == "The cursor is from a list with a different order; start again without it."


NO_CURSORS = [
    "",
    " ",
    "0",
    "cursor",
    "====",
    "bnVsbA",  # null
    "W10",  # []
    "e30",  # {}
    "NQ",  # 5
    "äöü",
    "a\nb",
    "a\0b",
    "💥" * 10,
    "A" * 5_000,
    cursor_of(),
    cursor_of("tkt:CREATED_AT-"),
    cursor_of("tkt:CREATED_AT-", START.isoformat()),
    cursor_of("tkt:CREATED_AT-", START.isoformat(), NOBODY, 1),
    cursor_of("tkt:CREATED_AT-", "now", NOBODY),
    cursor_of("tkt:CREATED_AT-", None, NOBODY),
    cursor_of("tkt:CREATED_AT-", 5, NOBODY),
    cursor_of("tkt:CREATED_AT-", [], NOBODY),
    cursor_of("tkt:CREATED_AT-", START.isoformat(), "nobody"),
    cursor_of("tkt:CREATED_AT-", START.isoformat(), None),
    cursor_of("tkt:CREATED_AT-", START.isoformat(), 7),
    cursor_of("tkt:CREATED_AT-", START.isoformat(), NOBODY + "\0"),
    cursor_of("tkt:CREATED_AT-", "0001-01-01T00:00:00+14:00", NOBODY),
    cursor_of("tkt:CREATED_AT-", "9999-12-31T23:59:59-14:00", NOBODY),
]


@pytest.mark.parametrize("cursor", NO_CURSORS)
async def test_an_invalid_cursor_is_refused(api: Api, cursor: str) -> None:
    assert (await refusal(api, after=cursor)).endswith("is not a valid cursor.")
    assert (await refusal(api, before=cursor, last=3)).endswith("is not a valid cursor.")


@pytest.mark.parametrize("field", ["STATUS", "PRIORITY", "REFERENCE"])
@pytest.mark.parametrize("value", ["a\0b", 5, None, True, ["OPEN"], "\ud800"])
async def test_a_forged_cursor_of_invalid_values_is_refused(api: Api, world: World, field: str, value: Any) -> None:
    cursor = cursor_of(f"tkt:{field}+", value, NOBODY)
    assert (await refusal(api, orderBy=by((field, "ASC")), after=cursor)).endswith("is not a valid cursor.")


@pytest.mark.parametrize("value", ["NONE OF THESE", ""])
async def test_a_forged_cursor_of_an_unknown_enum_value_is_refused(api: Api, world: World, value: str) -> None:
    """But a reference may be any text; all tickets' references are greater than these."""
    for field in ("STATUS", "PRIORITY"):
        cursor = cursor_of(f"tkt:{field}+", value, NOBODY)
        assert (await refusal(api, orderBy=by((field, "ASC")), after=cursor)).endswith("is not a valid cursor.")
    order = by(("REFERENCE", "ASC"))
    given = {"orderBy": order, "filter": {"search": "no."}, "first": 100}
    cursor = cursor_of("tkt:REFERENCE+", value, NOBODY)
    assert (await page(api, after=cursor, **given))["ids"] == in_order(world.tickets, order)


async def test_a_truncated_cursor_is_refused(api: Api, world: World) -> None:
    cursor = (await page(api, first=1))["pageInfo"]["endCursor"]
    assert len(cursor) > 60
    damaged = [cursor[:length] for length in range(1, len(cursor))]
    damaged += [cursor + "A", cursor[1:], cursor[::-1], cursor.swapcase(), f" {cursor}"]
    for text in damaged:
        assert (await refusal(api, after=text)).endswith("is not a valid cursor."), text


async def test_a_cursor_contains_only_data_that_its_viewer_sees(api: Api, world: World) -> None:
    async with api.customer(world.customers[0]) as customer:
        own = {t.id: t for t in world.tickets if t.customer == world.customers[0]}
        edges = (await page(customer, orderBy=by(("UPDATED_AT", "ASC")), first=100))["edges"]
        assert {edge["node"]["id"] for edge in edges} == own.keys() != set()
        for edge in edges:
            _, time, key = parts_of(edge["cursor"])
            assert datetime.fromisoformat(time) == own[edge["node"]["id"]].public_updated_at
            assert f"tkt_{key}" == edge["node"]["id"]


# Sizes


@pytest.mark.parametrize("argument", ["first", "last"])
@pytest.mark.parametrize("size", [0, 101, -1, 1_000_000_000, 2**31 - 1, -(2**31)])
async def test_a_page_has_one_to_a_hundred_tickets(api: Api, argument: str, size: int) -> None:
    assert await refusal(api, **{argument: size}) == f"`{argument}` must be between 1 and 100."
    with pytest.raises(Refusal) as refused:
        await api(f"{{ tickets({argument}: {size}) {{ totalCount }} }}")
    assert refused.value.codes == ["BAD_USER_INPUT"]


@pytest.mark.parametrize("size", [2**31, -(2**31) - 1, 2**63, 1.5, "ten", "10", True, [], {}])
async def test_a_size_that_is_not_an_int_is_refused(api: Api, size: Any) -> None:
    await refusal(api, first=size)


async def test_first_and_last_cannot_be_combined(api: Api, world: World) -> None:
    assert await refusal(api, first=5, last=5) == "Use either `first` or `last`, not both."
    assert len((await page(api, first=5, last=None))["ids"]) == 5
    assert len((await page(api, first=None, last=5))["ids"]) == 5


async def test_pages_of_nested_lists_are_limited_too(api: Api, world: World) -> None:
    for arguments in ("first: 0", "first: 101", "last: -1", "first: 1, last: 1", 'after: "x"'):
        with pytest.raises(Refusal) as refused:
            await api(f"{{ tickets(first: 1) {{ nodes {{ notes({arguments}) {{ totalCount }} }} }} }}")
        assert refused.value.codes == ["BAD_USER_INPUT"]


# During writes. These tests come last, because they add tickets.


async def test_tickets_added_meanwhile_do_not_disturb_the_pages(api: Api, world: World) -> None:
    filter = {"search": "no."}  # the tickets from before
    for order in (NEWEST_FIRST, by(("PRIORITY", "DESC")), by(("STATUS", "ASC"), ("REFERENCE", "DESC"))):
        expected = in_order(world.tickets, order)
        for backward in (False, True):
            found: list[str] = []
            cursor, more = None, True
            while more:
                way = {"last": 10, "before": cursor} if backward else {"first": 10, "after": cursor}
                got = await page(api, orderBy=order, **way)
                found = got["ids"] + found if backward else found + got["ids"]
                info = got["pageInfo"]
                cursor = info["startCursor" if backward else "endCursor"]
                more = info["hasPreviousPage" if backward else "hasNextPage"]
                assert len(found) == len(set(found)), "a ticket came twice"
                assert got["ids"] or not more
                await api.new_ticket(subject="Meanwhile", priority=random.choice(PRIORITIES))
            there = set(expected)
            assert [id_ for id_ in found if id_ in there] == expected, "a ticket was left out"
    assert await matching(api, filter) == set(ids(world.tickets))


async def test_a_cursor_is_valid_after_its_ticket_has_moved(api: Api, world: World) -> None:
    order = by(("PRIORITY", "ASC"))
    chosen = {"search": "no."}
    expected = in_order(world.tickets, order)
    edges = (await page(api, orderBy=order, filter=chosen, first=100))["edges"]
    index = 30
    moved = expected[index]
    await api.done("ticketUpdate", "ticket { id }", ticketId=moved, priority="URGENT")
    got = await page(api, orderBy=order, filter=chosen, first=5, after=edges[index]["cursor"])
    assert got["ids"] == expected[index + 1 : index + 6]


async def test_each_role_lists_only_visible_tickets(api: Api, world: World) -> None:
    viewers = [
        (api.technician(world.technicians[0]), world.of(world.technicians[0])),
        (api.technician(world.technicians[2]), world.of(world.technicians[2])),
        (api.customer(world.customers[1]), [t for t in world.tickets if t.customer == world.customers[1]]),
        (api.service(), [t for t in world.tickets if t.source == "CHATBOT"]),
        (api.service("gateway"), [t for t in world.tickets if t.source == "EMAIL"]),
        (Api(api.server, Role.SERVICE, "another", "Another"), []),
    ]
    for viewer, own in viewers:
        async with viewer:
            assert await forwards(viewer, 6) == in_order(own, NEWEST_FIRST)
            assert await backwards(viewer, 6) == in_order(own, NEWEST_FIRST)
