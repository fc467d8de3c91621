"""Customers, their properties, and technicians: creating and changing them, and their unique fields."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.helpers.api import Api
from tests.helpers.database_checks import Database, dump, key, until_blocked

CUSTOMER = "customer { id accountNumber name email phone createdAt properties { nodes { id } } }"
PROPERTY = "property { id address accountNumber customer { id } createdAt }"
TECHNICIAN = "technician { id name email phone active openTicketCount createdAt }"
NOBODY = "00000000-0000-7000-8000-000000000000"


async def node(api: Api, id_: str, type_: str, fields: str) -> Any:
    return (await api.seen(f"query($id: ID!) {{ node(id: $id) {{ ... on {type_} {{ {fields} }} }} }}", id=id_))["node"]


# Customers


async def test_each_field_of_a_customer_can_be_changed(api: Api) -> None:
    given = {"name": "Ann Lee", "email": "Ann.Lee@Example.com", "phone": "613-555-1234", "accountNumber": "A-100"}
    customer = (await api.done("customerCreate", CUSTOMER, **given))["customer"]
    assert {name: customer[name] for name in given} == given
    assert (customer["id"][:4], customer["properties"]["nodes"]) == ("cus_", [])

    for changed in (
        {"name": "Ann Ray"},
        {"email": "ann@ray.test"},
        {"phone": "+1 613 555 0000 ext. 7"},
        {"phone": None},
        {"accountNumber": "A-101"},
        {},
    ):
        after = (await api.done("customerUpdate", CUSTOMER, customerId=customer["id"], **changed))["customer"]
        assert after == customer | changed
        customer = after


async def test_a_phone_number_is_optional_and_a_blank_one_is_null(api: Api) -> None:
    phones: list[dict[str, str | None]] = [{}, {"phone": None}, {"phone": ""}, {"phone": "  "}]
    for number, phone in enumerate(phones):
        given = {"name": "n", "email": f"optional{number}@example.com", "accountNumber": f"O-{number}"}
        assert (await api.done("customerCreate", CUSTOMER, **given, **phone))["customer"]["phone"] is None


@pytest.mark.parametrize("name", ["name", "email", "accountNumber"])
async def test_null_for_a_required_field_of_a_customer_is_refused(api: Api, name: str) -> None:
    customer = await api.new_customer()
    cleared: dict[str, Any] = {"customerId": customer, name: None}
    assert await api.refused("customerUpdate", "__typename", **cleared) == [("REQUIRED", name)]


async def test_customers_have_unique_case_insensitive_addresses_and_unique_account_numbers(
    api: Api, database: Database
) -> None:
    await api.new_customer(email="Zoë.First@Example.com", accountNumber="U-1")
    second = await api.new_customer(email="second@example.com", accountNumber="U-2")
    before = await dump(database)
    for email in ("Zoë.First@Example.com", "zoë.first@example.com", "ZOË.FIRST@EXAMPLE.COM", " zoë.first@example.com "):
        created = await api.refused("customerCreate", name="n", email=email, accountNumber="U-3")
        assert created == [("TAKEN", "email")]
        assert await api.refused("customerUpdate", customerId=second, email=email) == [("TAKEN", "email")]
    for number in ("U-1", " U-1 "):
        created = await api.refused("customerCreate", name="n", email="third@example.com", accountNumber=number)
        assert created == [("TAKEN", "accountNumber")]
        refused = await api.refused("customerUpdate", customerId=second, accountNumber=number)
        assert refused == [("TAKEN", "accountNumber")]
    assert await dump(database) == before

    # Customers may keep their own, even in another case.
    kept = await api.done(
        "customerUpdate", CUSTOMER, customerId=second, email="SECOND@example.com", accountNumber="U-2"
    )
    assert kept["customer"]["email"] == "SECOND@example.com"


async def test_all_user_errors_of_a_customer_are_returned_together(api: Api) -> None:
    await api.new_customer(email="both@example.com", accountNumber="B-1")
    both = {"email": "both@example.com", "accountNumber": "B-1"}
    changed = await api.refused("customerUpdate", "__typename", customerId=await api.new_customer(), **both)
    assert sorted(changed) == [("TAKEN", "accountNumber"), ("TAKEN", "email")]
    taken = await api.refused("customerCreate", name="n", email="both@example.com", accountNumber="B-1")
    assert sorted(taken) == [("TAKEN", "accountNumber"), ("TAKEN", "email")]
    refused = await api.refused("customerCreate", name=" ", email="nobody", phone="none", accountNumber="1\n2")
    assert sorted(refused) == [
        ("INVALID", "accountNumber"),
        ("INVALID", "email"),
        ("INVALID", "phone"),
        ("REQUIRED", "name"),
    ]
    # Taken and malformed values are reported together, so the form has to be corrected only once.
    mixed = await api.refused("customerCreate", name="", email="both@example.com", accountNumber="B-1")
    assert sorted(mixed) == [("REQUIRED", "name"), ("TAKEN", "accountNumber"), ("TAKEN", "email")]


async def test_one_of_many_concurrent_creates_of_a_customer_succeeds(api: Api, database: Database) -> None:
    payloads = await asyncio.gather(
        *(
            api.do("customerCreate", CUSTOMER, name="n", email=f"{case('race')}@example.com", accountNumber=f"R-{n}")
            for n, case in enumerate([str.lower, str.upper, str.title] * 4)
        )
    )
    assert sum(payload["customer"] is not None for payload in payloads) == 1
    objections = [error for payload in payloads for error in payload["userErrors"]]
    assert [(e["code"], e["field"]) for e in objections] == [("TAKEN", ["input", "email"])] * 11
    assert await database.fetchval("SELECT count(*) FROM customers WHERE lower(email) = 'race@example.com'") == 1


async def test_a_uniqueness_violation_in_a_race_is_reported_as_taken(api: Api, database: Database) -> None:
    """The other row is not committed yet, so the check before the insertion does not see it."""
    values = "gen_random_uuid(), 'other', 'slow@example.com', 'S-1'"
    async with database.transaction():
        await database.execute(f"INSERT INTO customers (id, name, email, account_number) VALUES ({values})")
        entering = [
            asyncio.create_task(api.refused("customerCreate", name="n", email="Slow@example.com", accountNumber="S-2")),
            asyncio.create_task(api.refused("customerCreate", name="n", email="s2@example.com", accountNumber="S-1")),
        ]
        await until_blocked(database, 2)
    assert await asyncio.gather(*entering) == [[("TAKEN", "email")], [("TAKEN", "accountNumber")]]


async def test_a_renamed_customers_tickets_are_found_by_the_new_name(api: Api, database: Database) -> None:
    customer = await api.new_customer(name="Mira Vogel")
    filled, typed = [
        await api.new_ticket(customerId=customer, contact=contact) for contact in ({}, {"name": "Caretaker Quint"})
    ]
    document = "query($s: String!) { tickets(filter: {search: $s}) { nodes { id version customer { name } } } }"

    async def found(search: str) -> set[str]:
        return {ticket["id"] for ticket in (await api(document, s=search))["tickets"]["nodes"]}

    events = await database.fetchval("SELECT count(*) FROM ticket_events")
    await api.done("customerUpdate", "__typename", customerId=customer, name="Mira Ångström")
    assert await found("ångstr") == await found("MIRA ÅNG") == {filled, typed}
    # The contact keeps the name from the ticket's creation, and is still found by it.
    assert await found("vogel") == {filled}
    assert await found("quint") == {typed}
    tickets = (await api(document, s="ångström"))["tickets"]["nodes"]
    assert [(ticket["version"], ticket["customer"]["name"]) for ticket in tickets] == [(1, "Mira Ångström")] * 2
    assert await database.fetchval("SELECT count(*) FROM ticket_events") == events


async def test_a_ticket_created_while_its_customer_is_renamed_is_found_by_the_new_name(
    api: Api, database: Database
) -> None:
    customer = await api.new_customer(name="Old Name Ltd")
    async with database.transaction():
        await database.execute("UPDATE customers SET name = 'Fresh Name Ltd' WHERE id = $1", key(customer))
        making = asyncio.create_task(api.new_ticket(customerId=customer, contact={"name": "Caretaker"}))
        await until_blocked(database)
    document = '{ tickets(filter: {search: "fresh name"}) { nodes { id } } }'
    made = await making
    assert (await api(document))["tickets"]["nodes"] == [{"id": made}]


async def test_tickets_follow_changes_of_their_customer_and_property(api: Api, database: Database) -> None:
    """Without an event, because the tickets themselves have not changed."""
    customer = await api.new_customer(name="Ines Calliope", accountNumber="CALL-1")
    site = await api.new_property(customer, address="1 Old Calliope Road", accountNumber="SITE-1")
    other = await api.new_property(customer, address="2 Other Road", accountNumber="SITE-2")
    ticket = await api.new_ticket(customerId=customer, propertyId=site)
    await api.new_ticket(customerId=customer, propertyId=other)
    document = "query($s: String!) { tickets(filter: {search: $s}) { nodes { id version } } }"
    events = await database.fetchval("SELECT count(*) FROM ticket_events")
    await api.done("propertyUpdate", "__typename", propertyId=site, address="1 New Euphonium Road", accountNumber="S-9")
    for term in ("euphonium call-1", "s-9 ines"):
        assert (await api(document, s=term))["tickets"]["nodes"] == [{"id": ticket, "version": 1}], term
    await api.done("customerUpdate", "__typename", customerId=customer, accountNumber="CALL-2")
    assert (await api(document, s="euphonium call-2"))["tickets"]["nodes"] == [{"id": ticket, "version": 1}]
    for term in ("old road calliope", "site-1", "call-1", "euphonium site-2"):
        assert (await api(document, s=term))["tickets"]["nodes"] == [], term
    assert await database.fetchval("SELECT count(*) FROM ticket_events") == events


async def test_a_ticket_that_gets_a_property_while_that_is_changed_is_found_by_the_new_address(
    api: Api, database: Database
) -> None:
    customer = await api.new_customer()
    site = await api.new_property(customer, address="1 Stale Road")
    ticket = await api.new_ticket(customerId=customer)
    async with database.transaction():
        await database.execute("UPDATE properties SET address = '1 Sousaphone Road' WHERE id = $1", key(site))
        making = asyncio.create_task(api.done("ticketUpdate", "ticket { id }", ticketId=ticket, propertyId=site))
        await until_blocked(database)
    await making
    assert (await api('{ tickets(filter: {search: "sousaphone"}) { nodes { id } } }'))["tickets"]["nodes"] == [
        {"id": ticket}
    ]


async def test_a_property_deleted_by_an_operator_is_no_longer_searched(api: Api, database: Database) -> None:
    customer = await api.new_customer(name="Flugelhorn Ltd")
    site = await api.new_property(customer, address="1 Ocarina Road")
    document = '{ customers(search: "ocarina") { nodes { id } } }'
    assert (await api(document))["customers"]["nodes"] == [{"id": customer}]
    await database.execute("DELETE FROM properties WHERE id = $1", key(site))
    assert (await api(document))["customers"]["nodes"] == []


# Properties


async def test_a_property_can_be_changed_but_keeps_its_customer(api: Api) -> None:
    customer = await api.new_customer()
    given = {"address": "12 Elm Street, Ottawa", "accountNumber": "PA-1"}
    created = (await api.done("propertyCreate", PROPERTY, customerId=customer, **given))["property"]
    assert ({name: created[name] for name in given}, created["customer"]) == (given, {"id": customer})
    for changed in ({"address": "12b Elm Street, Ottawa"}, {"accountNumber": "PA-2"}, {}):
        after = (await api.done("propertyUpdate", PROPERTY, propertyId=created["id"], **changed))["property"]
        assert after == created | changed
        created = after
    for name in ("address", "accountNumber"):
        cleared: dict[str, Any] = {"propertyId": created["id"], name: None}
        assert await api.refused("propertyUpdate", "__typename", **cleared) == [("REQUIRED", name)]


async def test_a_customers_properties_are_listed_by_address(api: Api) -> None:
    customer, other = await api.new_customer(), await api.new_customer()
    properties = {address: await api.new_property(customer, address=address) for address in ("3 C Road", "1 A Road")}
    await api.new_property(other, address="2 B Road")
    listed = await node(api, customer, "Customer", "properties { totalCount nodes { id address } }")
    assert listed["properties"]["nodes"] == [
        {"id": properties[address], "address": address} for address in ("1 A Road", "3 C Road")
    ]
    by_argument = await api("query($id: ID!) { properties(customerId: $id) { nodes { address } } }", id=customer)
    assert [each["address"] for each in by_argument["properties"]["nodes"]] == ["1 A Road", "3 C Road"]


async def test_all_user_errors_of_a_property_are_returned_together(api: Api, database: Database) -> None:
    customer = await api.new_customer()
    await api.new_property(customer, accountNumber="PB-1")
    second = await api.new_property(customer, accountNumber="PB-2")
    before = await dump(database)
    refused = await api.refused("propertyCreate", customerId=f"cus_{NOBODY}", address="\t", accountNumber="PB-1")
    assert sorted(refused) == [("NOT_FOUND", "customerId"), ("REQUIRED", "address"), ("TAKEN", "accountNumber")]
    taken = await api.refused("propertyUpdate", propertyId=second, accountNumber="PB-1")
    assert taken == [("TAKEN", "accountNumber")]
    assert await dump(database) == before


# Technicians


async def test_each_field_of_a_technician_can_be_changed(api: Api) -> None:
    given = {"name": "Tess Okafor", "email": "tess@company.test", "phone": "613-555-7777"}
    technician = (await api.done("technicianCreate", TECHNICIAN, **given))["technician"]
    assert {name: technician[name] for name in given} == given
    assert (technician["active"], technician["openTicketCount"]) == (True, 0)
    for changed in (
        {"name": "Tess Ruiz"},
        {"email": "ruiz@company.test"},
        {"phone": None},
        {"active": False},
        {"active": True},
    ):
        after = (await api.done("technicianUpdate", TECHNICIAN, technicianId=technician["id"], **changed))["technician"]
        assert after == technician | changed
        technician = after
    for name in ("name", "email", "active"):
        cleared: dict[str, Any] = {"technicianId": technician["id"], name: None}
        assert await api.refused("technicianUpdate", "__typename", **cleared) == [("REQUIRED", name)]


async def test_technicians_have_unique_case_insensitive_addresses(api: Api) -> None:
    await api.new_technician(email="Unique@company.test")
    second = await api.new_technician()
    refused = await api.refused("technicianCreate", name="", email="UNIQUE@company.test", phone="x")
    assert sorted(refused) == [("INVALID", "phone"), ("REQUIRED", "name"), ("TAKEN", "email")]
    refused = await api.refused("technicianUpdate", technicianId=second, email="unique@COMPANY.test")
    assert refused == [("TAKEN", "email")]
    # A technician may have the address of a customer.
    await api.new_customer(email="unique@company.test")


async def test_a_technicians_open_tickets_are_counted(api: Api) -> None:
    technician = await api.new_technician()
    tickets = [await api.new_ticket(technicianId=technician) for _ in range(4)]
    await api.done("ticketSetStatus", "__typename", ticketId=tickets[1], status="IN_PROGRESS")
    await api.done("ticketResolve", "__typename", ticketId=tickets[2], resolution="Done.")
    await api.done("ticketSetStatus", "__typename", ticketId=tickets[3], status="CLOSED")
    assert (await node(api, technician, "Technician", "openTicketCount"))["openTicketCount"] == 2


async def test_technicians_are_listed_by_name_and_filtered_by_activity(api: Api) -> None:
    names = {"Zack Ott": True, "Abe Ott": True, "Mel Ott": False}
    for name, active in names.items():
        await api.done(
            "technicianUpdate", "__typename", technicianId=await api.new_technician(name=name), active=active
        )
    document = "query($active: Boolean) { technicians(active: $active, first: 100) { nodes { name } } }"
    for asked, wanted in (
        (True, ["Abe Ott", "Zack Ott"]),
        (False, ["Mel Ott"]),
        (None, ["Abe Ott", "Mel Ott", "Zack Ott"]),
    ):
        found = (await api(document, active=asked))["technicians"]["nodes"]
        assert [technician["name"] for technician in found if technician["name"] in names] == wanted


@pytest.mark.parametrize(
    ("kind", "id_", "given"),
    [
        ("customer", f"cus_{NOBODY}", {"name": "n"}),
        ("property", f"prp_{NOBODY}", {"address": "a"}),
        ("technician", f"tec_{NOBODY}", {"name": "n"}),
    ],
)
async def test_changing_an_unknown_object_is_not_found(
    api: Api, database: Database, kind: str, id_: str, given: dict[str, str]
) -> None:
    before = await dump(database)
    payload = await api.do(f"{kind}Update", f"{kind} {{ id }}", **{f"{kind}Id": id_}, **given)
    assert payload[kind] is None
    assert [(e["code"], e["field"]) for e in payload["userErrors"]] == [("NOT_FOUND", ["input", f"{kind}Id"])]
    assert await dump(database) == before
