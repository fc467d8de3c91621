"""Selections: aliases, fragments, conditions and variables, in the order of the specification, with both ways of
execution, and with one statement for each root field."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from db.enums import Role
from tests.helpers.api import Api, Refusal, Server
from tests.helpers.graphql_ws_client import WITHIN, live


@dataclass
class World:
    """A small company: two customers, one of whom has two tickets with notes, and a ticket from the chatbot."""

    customer: str
    other: str
    property_id: str
    technician: str
    ticket: str
    second: str
    from_chat: str
    article: str
    note: str


@pytest.fixture(scope="module")
def database_url(database_url: str) -> str:
    """The module's database, which logs every statement."""
    asyncio.run(_log_statements(database_url))
    return database_url


@pytest.fixture(scope="module")
def server_settings() -> dict[str, str]:
    """Everyone may introspect, which a request has to for the other way of execution."""
    return {"introspection": "on"}


async def _log_statements(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        name = await connection.fetchval("SELECT current_database()")
        await connection.execute(f"ALTER DATABASE {name} SET log_statement = 'all'")
    finally:
        await connection.close()


@pytest.fixture(scope="module")
async def world(server: Server) -> World:
    async with Api(server) as api, api.service() as chatbot:
        customer = await api.new_customer(name="Ada Byron", email="ada@example.com", phone="613-555-1234")
        other = await api.new_customer(name="Zoe Quinn")
        property_id = await api.new_property(customer, address="12 Elm Street")
        technician = await api.new_technician(name="Tess Okafor")
        ticket = await api.new_ticket(
            subject="First", customerId=customer, propertyId=property_id, technicianId=technician, priority="HIGH"
        )
        second = await api.new_ticket(subject="Second", customerId=customer, priority="LOW")
        for body, internal in (("Called.", True), ("We are on our way.", False), ("Done.", True)):
            await api.done("noteAdd", "note { id }", ticketId=ticket, body=body, internalOnly=internal)
        await api.done("ticketResolve", "ticket { id }", ticketId=ticket, resolution="Replaced the battery.")
        made = await api.done("articleCreateFromTicket", "article { id }", ticketId=ticket)
        chat = [{"author": "CUSTOMER", "body": f"Message {n}", "at": "2026-11-20T10:00:00Z"} for n in range(3)]
        from_chat = await chatbot.new_ticket(subject="Third", chat={"messages": chat})
        noted = await api("query($id: ID!) { node(id: $id) { ... on Ticket { notes { nodes { id } } } } }", id=ticket)
        note = noted["node"]["notes"]["nodes"][1]["id"]
    return World(customer, other, property_id, technician, ticket, second, from_chat, made["article"]["id"], note)


async def one(api: Api, world: World, selection: str, fragments: str = "", **variables: Any) -> dict[str, Any]:
    """Returns the result of `selection` for the first ticket."""
    declared = "".join(f", ${name}: Boolean!" for name in variables)
    document = f"query($id: ID!{declared}) {{ ticket(by: {{id: $id}}) {{ {selection} }} }} {fragments}"
    ticket: dict[str, Any] = (await api(document, id=world.ticket, **variables))["ticket"]
    return ticket


# Aliases


async def test_an_alias_renames_its_field(api: Api, world: World) -> None:
    got = await one(api, world, "id: subject subject: id a: subject A: status _: priority rn: reference n: category")
    assert list(got) == ["id", "subject", "a", "A", "_", "rn", "n"]
    assert (got["id"], got["subject"], got["a"]) == ("First", world.ticket, "First")
    assert (got["A"], got["_"], got["n"]) == ("RESOLVED", "HIGH", "GENERAL")
    assert got["rn"].startswith("TKT-")


async def test_a_field_under_two_aliases_has_two_sets_of_arguments(api: Api, world: World) -> None:
    got = await api(
        """query($high: TicketFilter, $low: TicketFilter) {
          one: tickets(first: 1, orderBy: {field: CREATED_AT, direction: ASC}) { nodes { subject } totalCount }
          two: tickets(last: 2, orderBy: {field: CREATED_AT, direction: ASC}) { nodes { subject } }
          high: tickets(filter: $high) { nodes { subject } totalCount }
          low: tickets(filter: $low) { nodes { subject } totalCount } }""",
        high={"priority": ["HIGH"]},
        low={"priority": ["LOW"]},
    )
    assert got == {
        "one": {"nodes": [{"subject": "First"}], "totalCount": 3},
        "two": {"nodes": [{"subject": "Second"}, {"subject": "Third"}]},
        "high": {"nodes": [{"subject": "First"}], "totalCount": 1},
        "low": {"nodes": [{"subject": "Second"}], "totalCount": 1},
    }


async def test_a_nested_field_under_two_aliases_has_two_sets_of_arguments(api: Api, world: World) -> None:
    got = await one(
        api,
        world,
        """first: notes(first: 1) { nodes { body } totalCount pageInfo { hasNextPage } }
        last: notes(last: 2) { nodes { body } pageInfo { hasNextPage hasPreviousPage } }
        customer { all: tickets { totalCount } low: tickets(filter: {priority: LOW}) { nodes { subject } totalCount } }
        """,
    )
    assert got == {
        "first": {"nodes": [{"body": "Called."}], "totalCount": 3, "pageInfo": {"hasNextPage": True}},
        "last": {
            "nodes": [{"body": "We are on our way."}, {"body": "Done."}],
            "pageInfo": {"hasNextPage": False, "hasPreviousPage": True},
        },
        "customer": {"all": {"totalCount": 2}, "low": {"nodes": [{"subject": "Second"}], "totalCount": 1}},
    }


async def test_an_object_under_two_aliases_has_two_selections(api: Api, world: World) -> None:
    got = await one(api, world, "a: customer { name } b: customer { email } c: contact { name } d: contact { phone }")
    assert got == {
        "a": {"name": "Ada Byron"},
        "b": {"email": "ada@example.com"},
        "c": {"name": "Ada Byron"},
        "d": {"phone": "613-555-1234"},
    }


async def test_aliases_may_be_very_long(api: Api, world: World) -> None:
    long = "a" * 63  # PostgreSQL's limit for names
    names = {
        long: "subject",
        f"{long}a": "reference",
        f"{long}b": "status",
        "b" * 199: "version",
        "b" * 200: "priority",
    }
    got = await one(api, world, " ".join(f"{alias}: {name}" for alias, name in names.items()))
    assert list(got) == list(names)
    assert (got[long], got[f"{long}b"], got["b" * 200]) == ("First", "RESOLVED", "HIGH")
    root = await api(f"{{ {long}: me {{ {long}: name }} {long}a: me {{ {long}a: role }} }}")
    assert root == {long: {long: "The Boss"}, f"{long}a": {f"{long}a": "ADMIN"}}


@pytest.mark.parametrize("number", [49, 50, 51, 99, 100, 101, 150, 400])
async def test_a_selection_may_have_any_number_of_fields(api: Api, world: World, number: int) -> None:
    fields = ("subject", "priority", "resolution", "version")
    selection = " ".join(f"f{n}: {fields[n % 4]}" for n in range(number))
    got = await one(api, world, selection)
    whole = await one(api, world, " ".join(fields))
    assert list(got.items()) == [(f"f{n}", whole[fields[n % 4]]) for n in range(number)]


@pytest.mark.parametrize("number", [50, 51, 100, 101])
async def test_objects_may_stand_anywhere_among_many_fields(api: Api, world: World, number: int) -> None:
    got = await one(api, world, " ".join(f"f{n}: customer {{ properties {{ totalCount }} }}" for n in range(number)))
    assert len(got) == number
    assert len({json.dumps(value) for value in got.values()}) == 1
    assert got["f0"].keys() == {"properties"} and got["f0"]["properties"].keys() == {"totalCount"}


LISTS = {"nodes": "nodes {{ {} }}", "edges": "edges {{ node {{ {} }} }}"}


async def listed(api: Api, form: str, selection: str) -> list[dict[str, Any]]:
    """Returns the results of `selection` for all tickets, from the list's nodes or its edges."""
    order = "orderBy: {field: CREATED_AT, direction: ASC}"
    page = (await api(f"{{ tickets({order}) {{ totalCount {LISTS[form].format(selection)} }} }}"))["tickets"]
    assert page["totalCount"] == len(page[form]) == 3
    return page["nodes"] if form == "nodes" else [edge["node"] for edge in page["edges"]]


@pytest.mark.parametrize("length", [63, 64, 200])  # 63 is PostgreSQL's limit for names
@pytest.mark.parametrize("form", LISTS)
async def test_aliases_in_lists_may_be_very_long(api: Api, world: World, form: str, length: int) -> None:
    a, b = (("a" * length)[1:] + last for last in "ab")
    got, *_ = await listed(api, form, f"{a}: subject {b}: customer {{ {b}: name {a}: email }}")
    assert list(got.items()) == [(a, "First"), (b, {b: "Ada Byron", a: "ada@example.com"})]
    assert list(got[b]) == [b, a]


@pytest.mark.parametrize("form", LISTS)
async def test_aliases_in_lists_may_be_any_names(api: Api, world: World, form: str) -> None:
    """Names of columns and rows of the statement, words of SQL, and names that differ only in case."""
    names = ["id", "ID", "Id", "rn", "n", "ord", "q1", "q_1", "t_1", "c2", *(f"o{number}" for number in range(1, 10))]
    names += ["status", "tickets", "counted", "image", "at", "select", "from", "null", "row"]
    customer = "{ " + " ".join(f"{name}: name" for name in names) + " }"
    selection = " ".join(f"{name}: subject" for name in names)
    got, *_ = await listed(api, form, f"{selection} customer {customer} customers: customer {customer}")
    assert list(got) == [*names, "customer", "customers"]
    assert {got[name] for name in names} == {"First"}
    assert list(got["customer"]) == names
    assert got["customer"] == got["customers"] == dict.fromkeys(names, "Ada Byron")


@pytest.mark.parametrize("number", [51, 400])
@pytest.mark.parametrize("form", LISTS)
async def test_objects_in_lists_may_have_any_number_of_fields(api: Api, world: World, form: str, number: int) -> None:
    fields = ("subject", "priority", "resolution", "version")
    got, *_ = await listed(api, form, " ".join(f"f{n}: {fields[n % 4]}" for n in range(number)))
    whole = await one(api, world, " ".join(fields))
    assert list(got.items()) == [(f"f{n}", whole[fields[n % 4]]) for n in range(number)]


@pytest.mark.parametrize("form", LISTS)
async def test_an_object_in_a_list_is_the_same_as_alone(api: Api, world: World, form: str) -> None:
    """PostgreSQL makes an object in a list from a row, and an object alone with json_build_object. The selection has
    values of every type, and nulls."""
    customer = "customer { id accountNumber name email phone createdAt tickets { totalCount } }"
    selection = f"""__typename id reference version subject description status priority category source resolution
      createdAt updatedAt resolvedAt closedAt allowedStatuses contact {{ name email phone }} chat {{ author body at }}
      {customer} property {{ id address {customer} }} technician {{ id active email }} article {{ id published }}
      notes {{ totalCount pageInfo {{ hasNextPage }} nodes {{ id internalOnly createdAt author {{ kind name }} }} }}
      history {{ edges {{ node {{ kind at note {{ body }} changes {{ field before after }} }} }} }}"""
    for ticket in await listed(api, form, selection):
        document = f"query($id: ID!) {{ ticket(by: {{id: $id}}) {{ {selection} }} }}"
        assert json.dumps(ticket) == json.dumps((await api(document, id=ticket["id"]))["ticket"])


async def test_every_kind_of_object_may_have_more_than_fifty_fields(api: Api, world: World) -> None:
    def many(field: str) -> str:
        return " ".join(f"k{n}: {field}" for n in range(52))

    keys = [f"k{n}" for n in range(52)]
    for selection, path in (
        (f"me {{ {many('name')} }}", "me"),
        (f"tickets {{ {many('totalCount')} }}", "tickets"),
        (f"tickets {{ pageInfo {{ {many('hasNextPage')} }} }}", "tickets pageInfo"),
        (f"tickets(first: 2) {{ edges {{ {many('cursor')} }} }}", "tickets edges 0"),
        (f"tickets(first: 2) {{ nodes {{ contact {{ {many('name')} }} }} }}", "tickets nodes 0 contact"),
        (f"tickets(first: 2) {{ nodes {{ notes {{ {many('totalCount')} }} }} }}", "tickets nodes 0 notes"),
        (
            f"tickets {{ nodes {{ history(first: 2) {{ nodes {{ actor {{ {many('name')} }} }} }} }} }}",
            "tickets nodes 0 history nodes 0 actor",
        ),
        (f"ticketCounts {{ {many('all')} }}", "ticketCounts"),
        (many("__typename"), ""),
    ):
        value: Any = await api(f"{{ {selection} }}")
        for step in path.split():
            value = value[int(step) if step.isdigit() else step]
        assert list(value) == keys
        assert len(set(value.values())) == 1


# Fragments


async def test_fragments_of_every_form_select_alike(api: Api, world: World) -> None:
    plain = await one(api, world, "subject customer { name email }")
    for selection, fragments in (
        ("...F", "fragment F on Ticket { subject customer { name email } }"),
        ("...F", "fragment F on Ticket { subject ...G } fragment G on Ticket { customer { ...H } } "
                 "fragment H on Customer { name ... on Customer { email } }"),
        ("... { subject ... { customer { ... { name } email } } }", ""),
        ("... on Ticket { subject customer { ... on Customer { name email } } }", ""),
        ("... on Node { ... on Ticket { subject customer { name email } } }", ""),
        ("...F ...F subject ...F", "fragment F on Ticket { subject customer { name email } }"),
        ("... on Node { ...F }", "fragment F on Ticket { subject customer { ...N } } fragment N on Node "
                                 "{ ... on Customer { name email } ... on Ticket { reference } }"),
    ):  # fmt: skip
        got = await one(api, world, selection, fragments)
        assert json.dumps(got) == json.dumps(plain), selection


async def test_a_fragment_on_the_interface_selects_on_every_type(api: Api, world: World) -> None:
    got = await api(
        """query($ids: [ID!]!) { nodes(ids: $ids) { ...N ... on Ticket { subject } ... on Customer { name }
            ... on Note { body } ... on Article { problem } ... on Property { address } ... on Technician { name } } }
        fragment N on Node { kind: __typename id ... on Ticket { customer { ...M } } ... on Note { ticket { ...M } } }
        fragment M on Node { id ... on Customer { name } ... on Ticket { technician { ... on Node { id } } } }""",
        ids=[world.ticket, world.customer, world.note, world.article, world.property_id, world.technician],
    )
    assert got["nodes"] == [
        {
            "kind": "Ticket",
            "id": world.ticket,
            "customer": {"id": world.customer, "name": "Ada Byron"},
            "subject": "First",
        },
        {"kind": "Customer", "id": world.customer, "name": "Ada Byron"},
        {
            "kind": "Note",
            "id": world.note,
            "ticket": {"id": world.ticket, "technician": {"id": world.technician}},
            "body": "We are on our way.",
        },
        {"kind": "Article", "id": world.article, "problem": "First"},
        {"kind": "Property", "id": world.property_id, "address": "12 Elm Street"},
        {"kind": "Technician", "id": world.technician, "name": "Tess Okafor"},
    ]
    assert list(got["nodes"][0]) == ["kind", "id", "customer", "subject"]


async def test_selections_of_the_same_field_are_merged(api: Api, world: World) -> None:
    got = await one(
        api,
        world,
        """customer { name } ...F notes(first: 1) { nodes { body } }
        ... on Ticket { customer { tickets(first: 1) { totalCount } } notes(first: 1) { nodes { internalOnly } } }""",
        """fragment F on Ticket { customer { ...C tickets(first: 1) { nodes { subject } } }
             notes(first: 1) { totalCount nodes { author { name } } } }
        fragment C on Customer { email name }""",
    )
    assert json.dumps(got) == json.dumps(
        {
            "customer": {
                "name": "Ada Byron",
                "email": "ada@example.com",
                "tickets": {"nodes": [{"subject": "Second"}], "totalCount": 2},
            },
            "notes": {
                "totalCount": 3,
                "nodes": [{"author": {"name": "The Boss"}, "body": "Called.", "internalOnly": True}],
            },
        }
    )


async def test_selections_of_the_same_root_field_are_merged(api: Api, world: World) -> None:
    got = await api(
        """{ tickets(filter: {priority: HIGH}) { totalCount } ...Q
          ... on Query { me { role } tickets(filter: {priority: HIGH}) { nodes { reference } } } }
        fragment Q on Query { tickets(filter: {priority: HIGH}) { nodes { subject } } me { name } }"""
    )
    assert list(got) == ["tickets", "me"]
    assert list(got["tickets"]) == ["totalCount", "nodes"]
    assert list(got["tickets"]["nodes"][0]) == ["subject", "reference"]
    assert got["me"] == {"name": "The Boss", "role": "ADMIN"}
    assert list(got["me"]) == ["name", "role"]


async def test_keys_are_in_the_order_of_the_document(api: Api, world: World) -> None:
    """Sections 6.3.2 and 6.4.3: fields are in the order of their first occurrence, with fragments expanded in place."""
    got = await one(
        api,
        world,
        "version ...F subject ... @include(if: true) { status reference } id ...F category ...G",
        """fragment F on Ticket { priority ...G version description }
        fragment G on Ticket { source id subject }""",
    )
    assert list(got) == [
        *("version", "priority", "source", "id", "subject", "description", "status", "reference", "category")
    ]
    got = await api("{ z: me { name } tickets { z: totalCount a: totalCount } a: me { name } m: __typename }")
    assert list(got) == ["z", "tickets", "a", "m"]
    assert list(got["tickets"]) == ["z", "a"]


# @skip and @include


@pytest.mark.parametrize("within", [True, False])
@pytest.mark.parametrize("on", [True, False])
async def test_skip_and_include_work_at_every_level(api: Api, world: World, on: bool, within: bool) -> None:
    """`$within` occurs only in the fragment."""
    document = """query($id: ID!, $on: Boolean!, $within: Boolean!) {
      me @include(if: $on) { name }
      always: __typename
      typename: __typename @include(if: $on)
      ticket(by: {id: $id}) {
        id
        subject @include(if: $on) status @skip(if: $on)
        both: version @include(if: $on) @skip(if: $on)
        customer { id name @skip(if: $on) ...C @include(if: $on) }
        ... on Ticket @skip(if: $on) { priority }
        ... @include(if: $on) { reference }
        property @include(if: $on) { address }
        notes(first: 1) {
          totalCount @include(if: $on)
          pageInfo @skip(if: $on) { hasNextPage }
          nodes { id @skip(if: $on) body @include(if: $on) }
          edges { cursor @include(if: $on) node @skip(if: $on) { internalOnly } }
        }
        history(first: 1) @skip(if: $on) { nodes { kind } }
      }
    } fragment C on Customer { email @include(if: $within) properties(first: 1) @skip(if: $within) { totalCount } }"""
    literal = document.replace(", $on: Boolean!, $within: Boolean!", "")
    literal = literal.replace("$on", json.dumps(on)).replace("$within", json.dumps(within))
    for text, variables in ((document, {"on": on, "within": within}), (literal, {})):
        got = await api(text, id=world.ticket, **variables)
        assert list(got) == (["me", "always", "typename", "ticket"] if on else ["always", "ticket"])
        ticket = got["ticket"]
        if on:
            assert list(ticket) == ["id", "subject", "customer", "reference", "property", "notes"]
            inside = {"email": "ada@example.com"} if within else {"properties": {"totalCount": 1}}
            assert ticket["customer"] == {"id": world.customer, **inside}
            assert list(ticket["notes"]) == ["totalCount", "nodes", "edges"]
            assert ticket["notes"]["nodes"] == [{"body": "Called."}]
            assert list(ticket["notes"]["edges"][0]) == ["cursor"]
        else:
            assert list(ticket) == ["id", "status", "customer", "priority", "notes", "history"]
            assert ticket["customer"] == {"id": world.customer, "name": "Ada Byron"}
            assert list(ticket["notes"]) == ["pageInfo", "nodes", "edges"]
            assert ticket["notes"]["edges"] == [{"node": {"internalOnly": True}}]


@pytest.mark.parametrize(
    ("include", "skip", "there"),
    [(True, False, True), (True, True, False), (False, False, False), (False, True, False)],
)
async def test_a_field_is_returned_if_it_is_included_and_not_skipped(
    api: Api, world: World, include: bool, skip: bool, there: bool
) -> None:
    for directives in ("@include(if: $i) @skip(if: $s)", "@skip(if: $s) @include(if: $i)"):
        got = await one(api, world, f"id subject {directives}", i=include, s=skip)
        assert ("subject" in got) is there


async def test_objects_with_skipped_fields_alone_are_empty(api: Api, world: World) -> None:
    assert await api("query($no: Boolean = false) { me @include(if: $no) { name } }") == {}
    assert await one(api, world, "subject @include(if: $no)", no=False) == {}
    assert await one(api, world, "customer { name @skip(if: true) }") == {"customer": {}}
    assert await one(api, world, "property { ... @skip(if: true) { address } }") == {"property": {}}
    got = await one(api, world, "notes { nodes { id @skip(if: true) } edges { cursor @skip(if: true) } }")
    assert got == {"notes": {"nodes": [{}] * 3, "edges": [{}] * 3}}
    assert await one(api, world, "notes { totalCount @skip(if: true) }") == {"notes": {}}
    assert await one(api, world, "notes { pageInfo { hasNextPage @skip(if: true) } }") == {"notes": {"pageInfo": {}}}
    assert await one(api, world, "contact { name @skip(if: true) }") == {"contact": {}}
    got = await api("query($id: ID!) { node(id: $id) { id @skip(if: true) ... on Note { body } } }", id=world.ticket)
    assert got == {"node": {}}


async def test_a_skipped_field_is_returned_if_it_is_selected_elsewhere(api: Api, world: World) -> None:
    got = await one(api, world, "subject @skip(if: true) ...F customer { name @skip(if: true) } customer { name }",
                    "fragment F on Ticket { subject }")  # fmt: skip
    assert got == {"subject": "First", "customer": {"name": "Ada Byron"}}


async def test_a_fragment_that_is_skipped_once_may_be_spread_again(api: Api, world: World) -> None:
    got = await one(api, world, "...F @skip(if: true) id ...F", "fragment F on Ticket { subject }")
    assert list(got) == ["id", "subject"]


async def test_a_skipped_field_may_be_forbidden(api: Api, world: World) -> None:
    """A skipped field is not read, so roles that may not read it can use the same document."""
    document = "query($staff: Boolean!) { technicians @include(if: $staff) { totalCount } me { role } }"
    async with api.customer(world.customer) as customer:
        assert await customer(document, staff=False) == {"me": {"role": "CUSTOMER"}}
        with pytest.raises(Refusal) as refused:
            await customer(document, staff=True)
        assert refused.value.codes == ["FORBIDDEN"]
    assert (await api(document, staff=True))["technicians"] == {"totalCount": 1}


@pytest.mark.parametrize("variables", [{}, {"on": None}, {"on": "true"}, {"on": 1}])
async def test_a_condition_must_be_a_boolean(api: Api, variables: dict[str, Any]) -> None:
    with pytest.raises(Refusal) as refused:
        await api("query($on: Boolean!) { me { name @include(if: $on) } }", **variables)
    assert refused.value.codes == ["BAD_USER_INPUT"]


async def test_a_condition_uses_its_variables_default(api: Api) -> None:
    document = "query($on: Boolean = true) { me { name @include(if: $on) role } }"
    assert list((await api(document))["me"]) == ["name", "role"]
    assert list((await api(document, on=False))["me"]) == ["role"]
    assert list((await api(document))["me"]) == ["name", "role"]
    with pytest.raises(Refusal) as refused:
        await api(document, on=None)
    assert refused.value.codes == ["BAD_USER_INPUT"]


@pytest.mark.parametrize(
    ("selection", "fragments"),
    [
        ("...F", "fragment F on Ticket { subject @include(if: $on) }"),
        ("...F @include(if: $on)", "fragment F on Ticket { subject }"),
        ("... @include(if: $on) { subject }", ""),
        ("... on Node { ... on Ticket { subject @include(if: $on) } }", ""),
        ("...F", "fragment F on Ticket { ...G } fragment G on Ticket { ... on Node { ...H @include(if: $on) } } "
                 "fragment H on Ticket { subject }"),
        ("customer { ...F }", "fragment F on Customer { id ...G } "
                              "fragment G on Customer { subject: name @include(if: $on) }"),
    ],
)  # fmt: skip
async def test_a_variable_used_only_in_a_fragments_condition_applies_to_each_request(
    api: Api, world: World, selection: str, fragments: str
) -> None:
    """Even if the operation was prepared for the other value."""
    document = f"query($id: ID!, $on: Boolean = true) {{ ticket(by: {{id: $id}}) {{ id {selection} }} }} {fragments}"
    for given in ({"on": True}, {"on": False}, {"on": True}, {}, {"on": False}, {}):
        got = (await api(document, id=world.ticket, **given))["ticket"]
        there = "subject" in got or "subject" in got.get("customer", ())
        assert there is given.get("on", True), given
    with pytest.raises(Refusal) as refused:
        await api(document, id=world.ticket, on=None)
    assert refused.value.codes == ["BAD_USER_INPUT"]


async def test_conditions_in_two_fragments_are_independent(api: Api, world: World) -> None:
    fragments = "fragment F on Ticket { subject @include(if: $a) } fragment G on Ticket { status @skip(if: $b) }"
    for a, b in ((True, True), (True, False), (False, True), (False, False)) * 2:
        got = await one(api, world, "id ...F ...G", fragments, a=a, b=b)
        assert list(got) == ["id"] + ["subject"] * a + ["status"] * (not b)


# __typename


async def test_typename_can_be_selected_everywhere(api: Api, world: World) -> None:
    typename = "__typename"
    got = await api(
        """query($id: ID!, $chat: ID!) { __typename t: __typename
          me { __typename technician { __typename } }
          ticketCounts { __typename }
          supportSettings { __typename }
          tickets(first: 1) { __typename pageInfo { __typename } edges { __typename node { __typename } }
            nodes { __typename contact { __typename } customer { __typename } property { __typename }
              notes { __typename
          edges { __typename node { __typename author { __typename } ticket { __typename } } } }
              history { __typename nodes { __typename actor { __typename } changes { __typename } } } } }
          node(id: $id) { __typename
            ... on Ticket { t: __typename article { __typename sourceTicket { __typename } } } }
          chat: ticket(by: {id: $chat}) { chat { __typename } } }""",
        id=world.ticket,
        chat=world.from_chat,
    )
    assert (got[typename], got["t"]) == ("Query", "Query")
    assert got["me"] == {typename: "Viewer", "technician": None}
    assert got["ticketCounts"] == {typename: "TicketCounts"}
    assert got["supportSettings"] == {typename: "SupportSettings"}
    page = got["tickets"]
    assert (page[typename], page["pageInfo"]) == ("TicketConnection", {typename: "PageInfo"})
    assert page["edges"] == [{typename: "TicketEdge", "node": {typename: "Ticket"}}]
    assert got["node"] == {
        typename: "Ticket",
        "t": "Ticket",
        "article": {typename: "Article", "sourceTicket": {typename: "Ticket"}},
    }
    assert got["chat"]["chat"] == [{typename: "ChatMessage"}] * 3
    detail = await one(
        api,
        world,
        """contact { __typename } customer { __typename } property { __typename }
        notes(first: 1) { __typename
          edges { __typename node { __typename author { __typename } ticket { __typename } } } }
        history(last: 1) { __typename nodes { __typename actor { __typename } changes { __typename } } }""",
    )
    assert detail["contact"] == {typename: "Contact"}
    assert (detail["customer"], detail["property"]) == ({typename: "Customer"}, {typename: "Property"})
    note = {typename: "Note", "author": {typename: "Actor"}, "ticket": {typename: "Ticket"}}
    assert detail["notes"] == {typename: "NoteConnection", "edges": [{typename: "NoteEdge", "node": note}]}
    (event,) = detail["history"]["nodes"]
    assert event["actor"] == {typename: "Actor"}
    assert event["changes"] == [{typename: "FieldChange"}] * 2


async def test_typename_can_be_selected_in_payloads_and_user_errors(api: Api, world: World) -> None:
    assert await api("mutation { __typename }") == {"__typename": "Mutation"}
    got = await api(
        """mutation($bad: TicketResolveInput!, $bulk: TicketsBulkUpdateInput!) { __typename
          ticketResolve(input: $bad) { __typename ticket { __typename } userErrors { __typename code } }
          ticketsBulkUpdate(input: $bulk) { __typename
            results { __typename ticket { __typename } userErrors { __typename } } } }""",
        bad={"ticketId": world.second, "resolution": " "},
        bulk={"ticketIds": [world.second], "priority": "LOW"},
    )
    assert got == {
        "__typename": "Mutation",
        "ticketResolve": {
            "__typename": "TicketResolvePayload",
            "ticket": None,
            "userErrors": [{"__typename": "UserError", "code": "REQUIRED"}],
        },
        "ticketsBulkUpdate": {
            "__typename": "TicketsBulkUpdatePayload",
            "results": [{"__typename": "TicketBulkResult", "ticket": {"__typename": "Ticket"}, "userErrors": []}],
        },
    }


# Connections in connections


async def test_nested_connections_have_their_own_arguments_and_totals(api: Api, world: World) -> None:
    got = await api(
        """{ customers(first: 2) { totalCount nodes { name
            tickets(first: 1, orderBy: {field: PRIORITY, direction: DESC}) { totalCount pageInfo { hasNextPage }
              nodes { subject
                notes(last: 1) { totalCount nodes { body ticket { notes(first: 1) { nodes { body } totalCount } } } }
                history(first: 2) { totalCount edges { node { kind } } } } }
            low: tickets(filter: {priority: [LOW]}) { totalCount nodes { subject notes { totalCount nodes { id } } } }
            properties { totalCount nodes { address tickets(filter: {status: OPEN}) { totalCount } } } } } }"""
    )
    assert got["customers"] == {
        "totalCount": 2,
        "nodes": [
            {
                "name": "Ada Byron",
                "tickets": {
                    "totalCount": 2,
                    "pageInfo": {"hasNextPage": True},
                    "nodes": [
                        {
                            "subject": "First",
                            "notes": {
                                "totalCount": 3,
                                "nodes": [
                                    {
                                        "body": "Done.",
                                        "ticket": {"notes": {"nodes": [{"body": "Called."}], "totalCount": 3}},
                                    }
                                ],
                            },
                            "history": {
                                "totalCount": 5,
                                "edges": [{"node": {"kind": "CREATED"}}, {"node": {"kind": "NOTE_ADDED"}}],
                            },
                        }
                    ],
                },
                "low": {"totalCount": 1, "nodes": [{"subject": "Second", "notes": {"totalCount": 0, "nodes": []}}]},
                "properties": {
                    "totalCount": 1,
                    "nodes": [{"address": "12 Elm Street", "tickets": {"totalCount": 0}}],
                },
            },
            {
                "name": "Zoe Quinn",
                "tickets": {"totalCount": 0, "pageInfo": {"hasNextPage": False}, "nodes": []},
                "low": {"totalCount": 0, "nodes": []},
                "properties": {"totalCount": 0, "nodes": []},
            },
        ],
    }


async def test_variables_apply_to_nested_connections(api: Api, world: World) -> None:
    document = """query($outer: Int, $inner: Int, $internal: TicketFilter) {
      customers(first: $outer) { nodes { tickets(filter: $internal, first: $inner) { nodes {
        notes(first: $inner) { nodes { body } } } } } } }"""
    got = await api(document, outer=1, inner=1, internal={"priority": ["HIGH"]})
    assert got["customers"]["nodes"] == [{"tickets": {"nodes": [{"notes": {"nodes": [{"body": "Called."}]}}]}}]
    got = await api(document, outer=1, inner=2, internal={"priority": ["HIGH"]})
    (ticket,) = got["customers"]["nodes"][0]["tickets"]["nodes"]
    assert [note["body"] for note in ticket["notes"]["nodes"]] == ["Called.", "We are on our way."]


async def test_the_stream_cursor_can_be_selected_in_every_list(api: Api, world: World) -> None:
    got = await api(
        """{ a: tickets(first: 1) { streamCursor again: streamCursor }
          b: tickets(first: 1) { nodes { id } streamCursor }
          customers { nodes { tickets { streamCursor } } } }"""
    )
    nested = {customer["tickets"]["streamCursor"] for customer in got["customers"]["nodes"]}
    for cursor in (*got["a"].values(), got["b"]["streamCursor"], *nested):
        assert re.fullmatch(r"[A-Za-z0-9_-]{40,}={0,2}", cursor)
    assert len(set(got["a"].values())) == len(nested) == 1


# Variables


async def test_a_variable_has_its_default_unless_it_is_passed(api: Api, world: World) -> None:
    document = """query($size: Int = 1, $filter: TicketFilter = {priority: [HIGH, LOW]}) {
      tickets(first: $size, filter: $filter) { nodes { subject } totalCount } }"""
    assert (await api(document))["tickets"] == {"nodes": [{"subject": "Second"}], "totalCount": 2}
    assert len((await api(document, size=2))["tickets"]["nodes"]) == 2
    assert (await api(document, filter={"priority": ["HIGH"]}))["tickets"]["totalCount"] == 1
    # Null is a value: no size, no filter.
    assert len((await api(document, size=None, filter=None))["tickets"]["nodes"]) == 3


async def test_an_argument_with_an_absent_variable_is_absent(api: Api, world: World) -> None:
    document = """query($size: Int, $filter: TicketFilter, $priority: [TicketPriority!], $order: [TicketOrder!]) {
      a: tickets(first: $size, filter: $filter, orderBy: $order) { totalCount nodes { subject } }
      b: tickets(filter: {priority: $priority}) { totalCount } }"""
    for variables in ({}, {"size": None, "filter": None, "priority": None, "order": None}):
        got = await api(document, **variables)
        assert got["a"]["totalCount"] == got["b"]["totalCount"] == 3
    got = await api(document, priority="HIGH", order={"field": "CREATED_AT", "direction": "ASC"}, size=1)
    assert got == {"a": {"totalCount": 3, "nodes": [{"subject": "First"}]}, "b": {"totalCount": 1}}


async def test_variables_may_be_inside_lists_and_objects(api: Api, world: World) -> None:
    document = """query($one: TicketPriority!, $word: String, $me: Boolean!, $id: ID!) {
      tickets(filter: {or: [{priority: [$one, LOW]}, {search: $word}], not: {assignee: {me: $me}}}) { totalCount }
      nodes(ids: [$id, $id]) { id } ticket(by: {id: $id}) { id } }"""
    got = await api(document, one="HIGH", word="third", me=True, id=world.ticket)
    assert got == {
        "tickets": {"totalCount": 3},
        "nodes": [{"id": world.ticket}] * 2,
        "ticket": {"id": world.ticket},
    }
    got = await api(document, one="URGENT", word="thirds", me=True, id=world.second)
    assert got["tickets"] == {"totalCount": 1}


async def test_variables_do_not_leak_into_the_next_request(api: Api, world: World) -> None:
    """The operation is prepared once; values, sizes and orders belong to each request."""
    document = """query($filter: TicketFilter, $first: Int, $last: Int, $name: Boolean = false) {
      tickets(filter: $filter, first: $first, last: $last) {
        nodes { subject customer { id name @include(if: $name) } } totalCount } }"""
    requests: list[dict[str, Any]] = [
        {},
        {"filter": {"priority": ["HIGH"]}},
        {"filter": {"priority": ["LOW"]}},
        {"filter": {"search": "third"}, "name": True},
        {"first": 1},
        {"last": 1, "name": True},
        {"filter": {"not": {"search": "third"}}, "first": 1},
    ]
    answers = [await api(document, **variables) for variables in requests]
    assert len({json.dumps(answer) for answer in answers}) == len(requests)
    for variables, answer in (*zip(requests[::-1], answers[::-1], strict=True), *zip(requests, answers, strict=True)):
        assert await api(document, **variables) == answer


async def test_results_do_not_leak_to_the_next_viewer(api: Api, world: World) -> None:
    document = "{ me { role } tickets { totalCount nodes { subject notes { totalCount } } } }"
    seen = []
    for _ in range(2):
        async with (
            api.technician(world.technician) as technician,
            api.customer(world.customer) as customer,
            api.customer(world.other) as other,
            api.service() as service,
        ):
            seen.append([await viewer(document) for viewer in (api, technician, customer, other, service)])
    assert seen[0] == seen[1]
    assert [answer["tickets"]["totalCount"] for answer in seen[0]] == [3, 1, 2, 0, 1]
    assert [answer["me"]["role"] for answer in seen[0]] == ["ADMIN", "TECHNICIAN", "CUSTOMER", "CUSTOMER", "SERVICE"]
    assert seen[0][2]["tickets"]["nodes"][1] == {"subject": "First", "notes": {"totalCount": 1}}


@pytest.mark.parametrize(
    "variables",
    [{}, {"by": None}, {"by": {}}, {"by": {"id": "x", "reference": "y"}}, {"by": {"id": None}}, {"by": {"ID": "x"}}],
)
async def test_a_variable_of_the_wrong_type_is_refused(api: Api, variables: dict[str, Any]) -> None:
    with pytest.raises(Refusal) as refused:
        await api("query($by: TicketBy!) { ticket(by: $by) { id } }", **variables)
    assert set(refused.value.codes) == {"BAD_USER_INPUT"}
    assert "data" not in refused.value.response


async def test_unused_variables_are_ignored(api: Api) -> None:
    assert await api("query($on: Boolean!) { me { role @include(if: $on) } }", on=True, off={"a": [None]}) == {
        "me": {"role": "ADMIN"}
    }


# Both ways of execution


@dataclass(frozen=True)
class Sample:
    """A query and variables for it; `roots` is how many of its root fields need the database."""

    document: str
    variables: Callable[[World], dict[str, Any]] = lambda world: {}
    roots: int = 1


def _ids(world: World) -> dict[str, Any]:
    nobody = "tkt_00000000-0000-7000-8000-000000000000"
    ids = [
        world.ticket,
        nobody,
        world.customer,
        world.property_id,
        world.technician,
        world.note,
        world.article,
        world.ticket,
    ]
    return {"ids": ids, "id": world.ticket, "note": world.note}


SAMPLES = {
    "list": Sample(
        """query($filter: TicketFilter = {status: [OPEN, RESOLVED]}) { tickets(filter: $filter, first: 50) { totalCount
          nodes { id reference subject status customer { id name } property { address } technician { name } } } }"""
    ),
    "detail": Sample(
        """query($id: ID!) { ticket(by: {id: $id}) { ...T contact { name email phone } allowedStatuses
          resolvedAt closedAt customer { ...C } property { id address accountNumber customer { ...C } }
          technician { id name }
          notes(first: 100) { totalCount edges { cursor node { id body author { kind name } createdAt } }
            pageInfo { hasNextPage hasPreviousPage startCursor endCursor } }
          history(last: 3) { nodes { kind at actor { name } changes { field before after } note { body } } }
          article { problem solution sourceTicket { ...T } } } }
        fragment T on Ticket { __typename id version subject description category source createdAt updatedAt }
        fragment C on Customer { id name tickets(first: 2) { totalCount nodes { ...T } } }""",
        _ids,
    ),
    "nodes": Sample(
        """query($ids: [ID!]!, $note: ID!) {
          nodes(ids: $ids) { __typename id ... on Ticket { subject notes { totalCount } }
            ... on Customer { name } ... on Node { again: id } ... on Note { body ticket { subject } } }
          node(id: $note) { ... on Note { body internalOnly } ... on Ticket { subject } } }""",
        _ids,
        2,
    ),
    "several": Sample(
        """{ a: tickets(first: 1) { nodes { subject } } me { name role } b: tickets(last: 1) { nodes { subject } }
          ticketCounts { all open inProgress resolved closed unassigned }
          __typename articles { nodes { problem } } }""",
        roots=5,
    ),
    "skipped": Sample(
        """query($no: Boolean = false) { me @include(if: $no) { name } tickets { totalCount @skip(if: $no)
          nodes @include(if: $no) { id } ... @include(if: $no) { pageInfo { endCursor } } } }"""
    ),
    "wide": Sample("{ tickets(first: 3) { nodes { " + " ".join(f"f{n}: subject" for n in range(120)) + " } } }"),
    "deep": Sample(
        "{ tickets(first: 2) { nodes { "
        + "customer { tickets(first: 2) { nodes { " * 5
        + "subject"
        + " } } }" * 5
        + " } } }"
    ),
    "nothing": Sample(
        """{ ticket(by: {reference: "TKT-AAAAAA"}) { id } node(id: "cus_00000000-0000-7000-8000-000000000000") { id }
          tickets(filter: {search: "nothing like this"}) { nodes { id } totalCount pageInfo { endCursor } } }""",
        roots=3,
    ),
    "bad argument": Sample("{ tickets(first: 0) { totalCount } }", roots=0),
    "bad cursor": Sample('{ tickets(after: "x") { totalCount } me { name } }', roots=0),
    "bad id": Sample('{ node(id: "x") { id } }', roots=0),
    "unknown variable": Sample("query($first: Int!) { tickets(first: $first) { totalCount } }", roots=0),
    "too much": Sample("{ tickets(first: 100) { nodes { notes(first: 100) { nodes { id } } } } }", roots=0),
    "technicians": Sample("{ technicians { nodes { name openTicketCount tickets(first: 2) { nodes { subject } } } } }"),
    "secrets": Sample("{ apiKeys { totalCount } supportSettings { googleChatConfigured } }", roots=2),
}
INTROSPECTING = " introspection: __schema @skip(if: true) { __typename } }"


def _without_request_id(response: dict[str, Any]) -> dict[str, Any]:
    for error in response.get("errors", ()):
        del error["extensions"]["requestId"]
    return response


@pytest.mark.parametrize("name", SAMPLES)
async def test_both_ways_of_execution_return_the_same(api: Api, world: World, name: str) -> None:
    """A document with introspection, even if it is skipped, is executed by Strawberry instead of our engine."""
    sample = SAMPLES[name]
    variables = sample.variables(world)
    operation, separator, fragments = sample.document.partition("fragment ")
    ordinary_document = operation.rstrip()[:-1] + INTROSPECTING + separator + fragments
    async with (
        api.technician(world.technician) as technician,
        api.customer(world.customer) as customer,
        api.service() as service,
    ):
        for viewer in (api, technician, customer, service):
            prepared = _without_request_id(await viewer.respond(sample.document, variables))
            ordinary = _without_request_id(await viewer.respond(ordinary_document, variables))
            if "errors" in prepared:
                codes = {error["extensions"]["code"] for error in prepared["errors"]}
                assert {error["extensions"]["code"] for error in ordinary["errors"]} == codes
                assert "INTERNAL" not in codes
            else:
                assert json.dumps(ordinary) == json.dumps(prepared)


async def test_introspection_and_data_can_be_combined(api: Api, world: World) -> None:
    got = await api(
        """query($id: ID!) { __type(name: "Ticket") { name } ticket(by: {id: $id}) { subject }
          __schema { queryType { name } } tickets(first: 1) { nodes { subject } } }""",
        id=world.ticket,
    )
    assert json.dumps(got) == json.dumps(
        {
            "__type": {"name": "Ticket"},
            "ticket": {"subject": "First"},
            "__schema": {"queryType": {"name": "Query"}},
            "tickets": {"nodes": [{"subject": "Third"}]},
        }
    )


# Statements


class Sent:
    """The statements that the server has sent to the module's database, from PostgreSQL's log."""

    _ENTRY = re.compile(
        r"^\d{4}-\d\d-\d\d [^\n]*? \[(\d+)\] LOG:  (?:execute [^:\n]*|statement): (.*?)(?=^\d{4}-\d\d-\d\d |\Z)",
        re.MULTILINE | re.DOTALL,
    )
    # The statements of asyncpg when a connection uses a type for the first time.
    _DRIVER = re.compile(r"\btypeinfo_tree\b|\bcurrent_setting\('jit'\)|\bset_config\('jit'")
    # Transactions in the background: they fold events into the stored counts, and look for overdue assignments.
    _IN_BACKGROUND = re.compile(r"FROM event_log FOR UPDATE SKIP LOCKED|SELECT due\.id::text FROM support_settings")
    # What else is asked in the background: whether the database has moved, what is revoked, whom to erase, and which
    # file to check.
    _BACKGROUND = re.compile(
        r"pg_control_system\(\)|FROM token_revocations\b|FROM erasures\b|UPDATE attachments SET due_at\b"
    )

    def __init__(self, log: Path, database: asyncpg.Connection[asyncpg.Record]) -> None:
        self._log = log
        self._database = database
        self._read = 0
        self._transactions: dict[str, list[str]] = {}  # by process: those not ended yet

    async def since_last(self) -> list[str]:
        """Returns the statements since the last call; those of a transaction only once it has ended. PostgreSQL logs a
        statement before it runs it."""
        with self._log.open("rb") as log:
            log.seek(self._read)
            text = log.read()
        text = text[: text.rfind(b"\n") + 1]
        self._read += len(text)
        processes = await self._database.fetch(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'callout'"
        )
        servers = {str(process["pid"]) for process in processes}
        sent: list[str] = []
        for process, statement in self._ENTRY.findall(text.decode(errors="replace")):
            if process not in servers or self._DRIVER.search(statement) or self._BACKGROUND.search(statement):
                continue
            word = statement.split(maxsplit=1)[0].rstrip(";")
            if word == "BEGIN":
                self._transactions[process] = []
            transaction = self._transactions.get(process, sent)
            transaction.append(statement)
            if word in ("COMMIT", "ROLLBACK") and transaction is not sent:
                del self._transactions[process]
                if not any(map(self._IN_BACKGROUND.search, transaction)):
                    sent += transaction
        return sent


@pytest.fixture(scope="module")
async def sent(server: Server) -> AsyncIterator[Sent]:
    """One reader of the log for all tests, so that it sees the start of each transaction."""
    database = await asyncpg.connect(server.database_url)
    directory = await database.fetchval("SELECT current_setting('data_directory')")
    yield Sent(Path(directory) / "log", database)
    await database.close()


@pytest.mark.parametrize("name", SAMPLES)
async def test_a_root_field_is_one_statement_at_any_depth(api: Api, world: World, sent: Sent, name: str) -> None:
    sample = SAMPLES[name]
    variables = sample.variables(world)
    await sent.since_last()
    for _ in range(2):  # cold and warm
        await api.respond(sample.document, variables)
        statements = await sent.since_last()
        assert len(statements) == sample.roots, statements
        assert all(re.match(r"\s*(SELECT|WITH)\b", statement) for statement in statements)


async def test_the_number_of_rows_does_not_change_the_number_of_statements(api: Api, world: World, sent: Sent) -> None:
    document = """query($first: Int!) { tickets(first: $first) { nodes { id customer { name } technician { name }
      notes(first: 5) { totalCount nodes { body author { name } } } history { nodes { changes { field } } } } } }"""
    for n in range(10):
        await api.done("noteAdd", "note { id }", ticketId=world.second, body=f"Note {n}")
    await sent.since_last()
    for first in (1, 2, 3):
        assert len((await api(document, first=first))["tickets"]["nodes"]) == first
        assert len(await sent.since_last()) == 1


WHOLE = """ticket { subject customer { name tickets(first: 3) { totalCount nodes { notes { nodes { body } } } } }
  history { nodes { kind changes { field } } } } streamCursor"""


def words(statements: list[str]) -> list[str]:
    return [statement.split()[0].rstrip(";") for statement in statements]


async def test_a_change_of_status_and_its_payload_are_one_statement(api: Api, world: World, sent: Sent) -> None:
    """Also if somebody is notified. A payload that reads other rows that the change writes is a second statement."""
    payload = "ticket { id version customer { name } property { address } technician { name } } userErrors { code }"
    for mutation, given in (
        ("ticketSetStatus", {"status": "IN_PROGRESS"}),
        ("ticketUpdate", {"subject": "Panel beeps"}),
        ("ticketResolve", {"resolution": "Replaced the battery."}),
    ):
        await sent.since_last()
        await api.done(mutation, payload, ticketId=world.second, **given)
        (change,) = await sent.since_last()
        assert ("UPDATE tickets" in change, "INTO ticket_events" in change) == (True, True)
        assert ("INTO deliveries" in change) == (mutation == "ticketResolve")
    await api.done("ticketSetStatus", "__typename", ticketId=world.second, status="OPEN")
    for status in ("IN_PROGRESS", "OPEN"):
        await sent.since_last()
        await api.done("ticketSetStatus", WHOLE, ticketId=world.second, status=status)
        assert words(await sent.since_last()) == ["WITH", "SELECT"]


async def test_a_new_ticket_and_its_payload_are_one_statement(api: Api, world: World, sent: Sent) -> None:
    """Also if the contact is filled in from its customer. After one for the customer and the property, or for the
    customer with the contact's address. A transaction is needed only to lock a technician, for an idempotency key and
    for a transcript."""
    texts = {"subject": "Siren", "description": "It howls."}
    linking = {"contact": {"name": "John Doe", "email": "john@example.com"}}
    typed = {**linking, "customerId": None}
    customer = await api.new_customer()
    site = await api.new_property(customer)
    for given, expected in (
        (typed, ["WITH"]),
        (linking, ["SELECT", "WITH"]),
        ({"customerId": customer}, ["WITH"]),
        ({"customerId": customer, "propertyId": site}, ["SELECT", "WITH"]),
        ({**typed, "idempotencyKey": f"key of {customer}"}, ["BEGIN", "INSERT", "WITH", "COMMIT"]),
        ({**typed, "technicianId": await api.new_technician()}, ["BEGIN", "SELECT", "WITH", "COMMIT"]),
    ):
        await sent.since_last()
        await api.done("ticketCreate", "ticket { id customer { name } technician { name } }", **texts, **given)
        statements = await sent.since_last()
        assert words(statements) == expected
        assert ["INTO deliveries" in statement for statement in statements].count(True) == 1
    await sent.since_last()
    await api.done("ticketCreate", WHOLE, **texts, **typed)
    assert words(await sent.since_last()) == ["WITH", "SELECT"]


async def test_an_assignment_reads_its_payload_before_or_after_the_commit(api: Api, world: World, sent: Sent) -> None:
    technician = await api.new_technician()
    for assigned, payload, last in (
        (technician, "ticket { id }", ["WITH", "COMMIT"]),
        (None, WHOLE, ["COMMIT", "SELECT"]),
        (technician, WHOLE, ["COMMIT", "SELECT"]),
    ):
        await sent.since_last()
        await api.done("ticketAssign", payload, ticketId=world.second, technicianId=assigned)
        assert words(await sent.since_last())[-2:] == last


CHANGES = """subscription($customer: ID!, $kind: Boolean!) {
  ticketChanged(filter: {customerId: $customer}) { __typename ...F } }
fragment F on TicketChange { ticketId ...G } fragment G on TicketChange { kind @include(if: $kind) }"""
NOTES = "subscription($ticket: ID!) { noteAdded(ticketId: $ticket) { __typename } }"


async def test_a_change_costs_one_statement_for_each_group(api: Api, world: World, sent: Sent) -> None:
    """Two admins with the same subscription form one group, a subscription with another selection a second one. A group
    without subscribers costs nothing."""
    follower = Api(api.server, Role.ADMIN, "another", "Another Boss")

    async def changed(expected: int) -> int:
        """Returns the number of statements that a change of the customer's ticket costs the groups on its routes. They
        run concurrently, so some may run after the message of `last`."""
        await sent.since_last()
        await api.done("noteAdd", "note { id }", ticketId=world.second, body="Called.")
        await api.done("noteAdd", "note { id }", ticketId=world.from_chat, body="Called.")  # `last` follows this ticket
        assert await last.next() == {"__typename": "NoteAdded"}
        statements = await sent.since_last()
        async with asyncio.timeout(WITHIN):
            while sum(map(of_group, statements)) < expected:
                statements += await sent.since_last()
        await asyncio.sleep(0.3)  # for statements that should not run
        return sum(map(of_group, statements + await sent.since_last()))

    def of_group(statement: str) -> bool:
        return "jsonb_populate_record" in statement

    async with follower, live(api) as one, live(follower) as two, live(api) as last:
        await last.subscribe("1", NOTES, ticket=world.from_chat)
        assert await last.next() == {"__typename": "StreamReady"}
        for screen, id, kind in ((one, "a", True), (two, "a", True), (one, "b", False)):
            await screen.subscribe(id, CHANGES, customer=world.customer, kind=kind)
            assert await screen.next() == {"__typename": "StreamReady"}
        assert await changed(2) == 2
        whole = {"__typename": "TicketChange", "ticketId": world.second, "kind": "NOTE_ADDED"}
        less = {"__typename": "TicketChange", "ticketId": world.second}
        assert await two.next() == whole
        received = [await one.receive() for _ in range(2)]
        assert {each["id"]: each["payload"]["data"]["ticketChanged"] for each in received} == {"a": whole, "b": less}
        for screen, id, statements in ((one, "a", 2), (one, "b", 1), (two, "a", 0)):
            await screen.send(id=id, type="complete")
            await screen.send(type="ping")
            while (await screen.receive())["type"] != "pong":
                """Skips the message of the previous change."""
            assert await changed(statements) == statements


async def test_the_counter_of_statements_counts(api: Api, sent: Sent) -> None:
    """If the log could not be read, the tests above would prove nothing."""
    await sent.since_last()
    for number in (1, 3, 7):
        for _ in range(number):
            await api("{ tickets { totalCount } }")
        assert len(await sent.since_last()) == number
    await api("{ __typename }")
    await api("{ __schema { queryType { name } } }")
    assert await sent.since_last() == []
