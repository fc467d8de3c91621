"""Tickets find their customer: by an address that is typed, and by what a technician looks up on site."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from db.ids import new_id
from resolvers.customer_look_up import LOOK_UPS_AN_HOUR
from tests.helpers.api import Api, Refusal
from tests.helpers.database_checks import Database

_numbers = itertools.count(1)

DESCRIBED = {"subject": "Door stays shut", "description": "Since this morning."}
TICKET = """ticket { id customer { id } property { id } customerLinked contact { name email phone }
    history { nodes { kind customerLinked changes { field before after } } } }"""
FOUND = "customer { customerId name properties { propertyId address accountNumber } }"


def contact(email: str, **more: Any) -> dict[str, Any]:
    return {"name": "J. Smith", "email": email, **more}


async def create(viewer: Api, **given: Any) -> Any:
    return (await viewer.done("ticketCreate", TICKET, **DESCRIBED, **given))["ticket"]


async def update(api: Api, ticket: Any, **given: Any) -> Any:
    return (await api.done("ticketUpdate", TICKET, ticketId=ticket["id"], **given))["ticket"]


def address() -> str:
    return f"ann{next(_numbers)}@lee.test"


# An address that is typed


@pytest.mark.parametrize("role", ["admin", "technician"])
async def test_a_typed_address_of_a_customer_links_them_and_says_so(api: Api, role: str) -> None:
    email = address()
    customer = await api.new_customer(email=email, name="Ann Lee", phone="613-555-0001")
    tess = api.technician(await api.new_technician())
    async with tess:
        viewer = api if role == "admin" else tess
        ticket = await create(viewer, contact=contact(email.upper()))
    assert ticket["customer"] == {"id": customer}
    assert ticket["customerLinked"] is True
    assert ticket["contact"] == {"name": "J. Smith", "email": email.upper(), "phone": None}
    assert [(event["kind"], event["customerLinked"]) for event in ticket["history"]["nodes"]] == [("CREATED", True)]


async def test_only_an_address_that_is_typed_with_nothing_said_about_the_customer_links(api: Api) -> None:
    email = address()
    customer, other = await api.new_customer(email=email), await api.new_customer()
    for given, linked in (
        ({"contact": contact(email), "customerId": None}, None),
        ({"contact": contact(email), "customerId": other}, {"id": other}),
        ({"contact": contact(f"x{email}")}, None),
        ({"contact": contact("other@lee.test", phone="613-555-0001")}, None),
        ({"customerId": customer}, {"id": customer}),
    ):
        ticket = await create(api, **given)
        assert (ticket["customer"], ticket["customerLinked"]) == (linked, False), given
        assert [event["customerLinked"] for event in ticket["history"]["nodes"]] == [False]


async def test_the_name_and_a_valid_address_are_still_required(api: Api) -> None:
    email = address()
    await api.new_customer(email=email)
    for typed, errors in (
        ({"email": email}, [("REQUIRED", "contact.name")]),
        ({"email": f"{email} x", "name": "Ann"}, [("INVALID", "contact.email")]),
        ({"email": "a\0b@c.example", "name": "Ann"}, [("INVALID", "contact.email")]),
        ({}, [("REQUIRED", "contact.name"), ("REQUIRED", "contact.email")]),
    ):
        assert await api.refused("ticketCreate", **DESCRIBED, contact=typed) == errors


async def test_a_property_of_the_linked_customer_can_be_named(api: Api) -> None:
    """By an admin. A technician must have looked the customer up, or see the property."""
    email = address()
    customer = await api.new_customer(email=email)
    site, elsewhere = await api.new_property(customer), await api.new_property(await api.new_customer())
    assert (await create(api, contact=contact(email), propertyId=site))["property"] == {"id": site}
    refused = await api.refused("ticketCreate", **DESCRIBED, contact=contact(email), propertyId=elsewhere)
    assert refused == [("MISMATCH", "propertyId")]
    async with api.technician(await api.new_technician()) as tess:
        for hidden in (site, elsewhere):
            refused = await tess.refused("ticketCreate", **DESCRIBED, contact=contact(email), propertyId=hidden)
            assert refused == [("NOT_FOUND", "propertyId")]


async def test_an_erased_customer_is_not_linked(api: Api) -> None:
    email = address()
    customer = await api.new_customer(email=email)
    await api.done("customerErase", "done", customerId=customer)
    assert (await create(api, contact=contact(email)))["customer"] is None


async def test_a_repeated_request_says_the_same(api: Api) -> None:
    email = address()
    await api.new_customer(email=email)
    first, again = [await create(api, contact=contact(email), idempotencyKey=f"same {email}") for _ in range(2)]
    assert again == first
    assert again["customerLinked"] is True


async def test_services_and_customers_are_not_shown_how_the_customer_was_found(api: Api) -> None:
    email = address()
    customer = await api.new_customer(email=email, accountNumber=f"AC {email}")
    async with api.service() as chatbot, api.customer(customer) as ann:
        made = await chatbot.done(
            "ticketCreate", "ticket { id }", **DESCRIBED, contact=contact("x@y.example"), accountNumber=f"ac {email}"
        )
        for viewer in (chatbot, ann):
            for field in ("customerLinked", "history { nodes { customerLinked } }"):
                with pytest.raises(Refusal) as refusal:
                    await viewer(f"query($id: ID!) {{ ticket(by: {{id: $id}}) {{ {field} }} }}", **made["ticket"])
                assert refusal.value.codes == ["FORBIDDEN"]
    document = "query($id: ID!) { ticket(by: {id: $id}) { customerLinked customer { id } } }"
    shown = (await api(document, **made["ticket"]))["ticket"]
    assert shown == {"customerLinked": True, "customer": {"id": customer}}


# Later


async def test_linking_a_customer_later_leaves_the_contact(api: Api) -> None:
    customer = await api.new_customer(name="Ann Lee", email=address(), phone="613-555-0001")
    ticket = await create(api, contact=contact("typed@lee.test", phone="613-555-0009"))
    linked = await update(api, ticket, customerId=customer)
    assert (linked["customer"], linked["contact"]) == ({"id": customer}, ticket["contact"])
    assert linked["customerLinked"] is False


async def test_the_contact_is_taken_from_the_customer_if_the_input_says_so(api: Api) -> None:
    email = address()
    customer = await api.new_customer(name="Ann Lee", email=email, phone="613-555-0001")
    anns = {"name": "Ann Lee", "email": email, "phone": "613-555-0001"}
    ticket = await create(api, contact=contact("typed@lee.test"))
    refused = await api.refused("ticketUpdate", ticketId=ticket["id"], contactFromCustomer=True)
    assert refused == [("INVALID", "contactFromCustomer")]
    refused = await api.refused("ticketUpdate", ticketId=ticket["id"], contactFromCustomer=True, customerId=None)
    assert refused == [("INVALID", "contactFromCustomer")]
    linked = await update(api, ticket, customerId=customer, contactFromCustomer=True)
    assert linked["contact"] == anns
    typed = await update(api, ticket, contact={"name": "Bea Lee", "phone": None})
    assert typed["contact"] == {"name": "Bea Lee", "email": email, "phone": None}
    assert (await update(api, ticket, contactFromCustomer=True))["contact"] == anns
    mixed = await update(api, ticket, contactFromCustomer=True, contact={"phone": "911"})
    assert mixed["contact"] == anns | {"phone": "911"}


async def test_the_contact_of_a_former_customer_stays_only_if_the_input_says_so(api: Api) -> None:
    ann, bob = [await api.new_customer(name=name, email=address()) for name in ("Ann Lee", "Bob Ray")]
    ticket = await create(api, customerId=ann)
    kept = await update(api, ticket, customerId=bob, contactFromCustomer=False)
    assert kept["contact"] == ticket["contact"]
    assert (await update(api, ticket, customerId=ann, contactFromCustomer=None))["contact"]["name"] == "Ann Lee"
    assert (await update(api, ticket, customerId=bob))["contact"]["name"] == "Bob Ray"


async def test_a_new_address_links_the_customer_of_a_ticket_without_one(api: Api) -> None:
    email, other = address(), address()
    customer = await api.new_customer(email=email, name="Ann Lee")
    await api.new_customer(email=other)
    ticket = await create(api, contact=contact("typo@lee.test"))
    assert (await update(api, ticket, contact={"email": email}, customerId=None))["customer"] is None
    same = {"name": "Annie", "email": email.title()}  # as a form sends it that has changed the name
    assert (await update(api, ticket, contact=same))["customer"] is None
    await update(api, ticket, contact={"email": "typo@lee.test"})
    linked = await update(api, ticket, contact={"email": email.title()})
    assert (linked["customer"], linked["customerLinked"]) == ({"id": customer}, True)
    last = linked["history"]["nodes"][-1]
    assert last["customerLinked"] is True
    assert {"field": "customer", "before": None, "after": "Ann Lee"} in last["changes"]
    kept = await update(api, ticket, contact={"email": other})  # the ticket has a customer, who stays
    assert (kept["customer"], kept["customerLinked"]) == ({"id": customer}, True)
    assert kept["history"]["nodes"][-1]["customerLinked"] is False
    chosen = await update(api, ticket, customerId=await api.new_customer())
    assert chosen["customerLinked"] is False


# Looking a customer up


async def look_up(viewer: Api, **by: str) -> Any:
    return (await viewer.done("customerLookUp", FOUND, **by))["customer"]


async def test_a_technician_looks_up_a_customer_and_creates_a_ticket_for_them(api: Api) -> None:
    email = address()
    customer = await api.new_customer(name="Ann Lee", email=email, accountNumber=f"Lee-{email}", phone="613-555-0101")
    sites = [await api.new_property(customer, address=each, accountNumber=f"{each} {email}") for each in ("B", "A")]
    expected = {
        "customerId": customer,
        "name": "Ann Lee",
        "properties": [
            {"propertyId": site, "address": each, "accountNumber": f"{each} {email}"}
            for site, each in zip(reversed(sites), ("A", "B"), strict=True)
        ],
    }
    node = "query($id: ID!, $site: ID!) { node(id: $id) { id } site: node(id: $site) { id } customers { totalCount } }"
    for by in (
        {"accountNumber": f" lee-{email.upper()} "},
        {"accountNumber": f"a {email}"},
        {"email": email.title()},
        {"phone": "+1 (613) 555-0101"},
    ):
        async with api.technician(await api.new_technician()) as tess:
            assert await tess.refused("ticketCreate", **DESCRIBED, customerId=customer) == [("NOT_FOUND", "customerId")]
            assert await look_up(tess, **by) == expected
            # They see no more of the customer than that, until there is a ticket.
            hidden = await tess.seen(node, id=customer, site=sites[0])
            assert hidden == {"node": None, "site": None, "customers": {"totalCount": 0}}
            ticket = await create(tess, customerId=customer, propertyId=sites[0])
            assert (ticket["customer"], ticket["property"]) == ({"id": customer}, {"id": sites[0]})
            assert ticket["customerLinked"] is False
            assert (await tess(node, id=customer, site=sites[0]))["node"] == {"id": customer}


@pytest.mark.parametrize(
    ("stored", "typed", "found"),
    [
        ("613-555-0202", "6135550202", True),
        ("613-555-0202", "+1 613.555.0202", True),
        ("+1 (613) 555-0202", "613 555 0202", True),
        ("+1 (613) 555-0202", "001 613 555 0202", False),  # a prefix that depends on where one dials
        ("613-555-0202 x12", "613-555-0202", True),
        ("613-555-0202", "613-555-0202 ext 9", True),
        ("+44 7911 123456", "07911 123456", True),
        ("+44 7911 123456", "+44 7911 123456", True),
        ("+44 7911 123456", "+1 791 112 3456", False),
        ("613-555-0202", "416-555-0202", False),
        ("613-555-0202", "555-0202", False),
        ("5550202", "613-555-0202", False),
    ],
)
async def test_phones_are_compared_as_numbers(api: Api, stored: str, typed: str, found: bool) -> None:
    customer = await api.new_customer(phone=stored)
    async with api.technician(await api.new_technician()) as tess:
        if found:
            assert (await look_up(tess, phone=typed))["customerId"] == customer
        else:
            assert await tess.refused("customerLookUp", phone=typed) == [("NOT_FOUND", "phone")]
    await api.done("customerUpdate", "__typename", customerId=customer, phone=None)


async def test_a_look_up_that_is_not_exact_or_not_unique_finds_nobody(api: Api) -> None:
    email = address()
    erased = await api.new_customer(email=f"gone.{email}", accountNumber=f"GONE-{email}", phone="613-555-0303")
    await api.done("customerErase", "done", customerId=erased)
    for n in range(2):
        await api.new_customer(email=f"{n}.{email}", accountNumber=f"{n} {email}", phone=f"613-555-040{n // 2}")
    async with api.technician(await api.new_technician()) as tess:
        for by, code in (
            ({"email": email}, "NOT_FOUND"),
            ({"email": f"gone.{email}"}, "NOT_FOUND"),
            ({"accountNumber": f"GONE-{email}"}, "NOT_FOUND"),
            ({"accountNumber": email}, "NOT_FOUND"),
            ({"accountNumber": "%"}, "NOT_FOUND"),
            ({"phone": "613-555-0303"}, "NOT_FOUND"),
            ({"phone": "613-555-0400"}, "INVALID"),  # two customers
            ({"phone": "0400"}, "INVALID"),
            ({"phone": "call me"}, "INVALID"),
            ({"email": "nobody"}, "INVALID"),
            ({"accountNumber": " "}, "REQUIRED"),
            ({"accountNumber": "a\0b"}, "INVALID"),
            ({"accountNumber": "1" * 41}, "TOO_LONG"),
        ):
            payload = await tess.do("customerLookUp", FOUND, **by)
            assert payload["customer"] is None
            assert [(e["code"], e["field"]) for e in payload["userErrors"]] == [(code, ["input", next(iter(by))])], by


async def test_a_look_up_is_audited_if_it_reveals_a_customer(api: Api) -> None:
    email = address()
    customer, technician = await api.new_customer(email=email), await api.new_technician()
    document = """query($id: ID!) { auditEntries(filter: {objectId: $id, action: [LOOKED_UP]}) { nodes {
        objectKind actorId changes { field before after } } } }"""
    async with api.technician(technician) as tess:
        await look_up(tess, email=email)
        entry = {
            "objectKind": "CUSTOMER",
            "actorId": technician,
            "changes": [{"field": "lookedUpBy", "before": None, "after": "email"}],
        }
        assert (await api(document, id=customer))["auditEntries"]["nodes"] == [entry]
        await create(tess, customerId=customer)
        await look_up(tess, email=email)  # now they see the customer anyway
        assert (await api(document, id=customer))["auditEntries"]["nodes"] == [entry]


async def test_what_was_looked_up_is_the_technicians_own_and_for_a_while(api: Api, database: Database) -> None:
    email = address()
    customer, technician = await api.new_customer(email=email), await api.new_technician()
    for hours, subject in ((13, technician), (1, await api.new_technician())):
        await database.execute(
            """INSERT INTO audit_entries (id, at, action, object_kind, object_id, actor_kind, actor_id, actor_name,
                changed, after) VALUES ($1, now() - $2 * interval '1 hour', 'LOOKED_UP', 'CUSTOMER', $3, 'TECHNICIAN',
                $4, 'T', '{looked_up_by}', '{"looked_up_by": "email"}')""",
            *(new_id(), hours, customer, subject),
        )
    async with api.technician(technician) as tess:
        assert await tess.refused("ticketCreate", **DESCRIBED, customerId=customer) == [("NOT_FOUND", "customerId")]
        await look_up(tess, email=email)
        assert (await create(tess, customerId=customer))["customer"] == {"id": customer}


async def test_nobody_walks_through_the_numbers(api: Api) -> None:
    """Look-ups that find nobody count too. The limit is a technician's own."""
    email = address()
    await api.new_customer(email=email)
    async with api.technician(await api.new_technician()) as tess, api.technician(await api.new_technician()) as ola:
        for n in range(LOOK_UPS_AN_HOUR - 1):
            assert await tess.refused("customerLookUp", accountNumber=f"walk {n}") == [("NOT_FOUND", "accountNumber")]
        await look_up(tess, email=email)
        for _ in range(2):
            with pytest.raises(Refusal) as refusal:
                await look_up(tess, email=email)
            assert refusal.value.codes == ["RATE_LIMITED"]
        await look_up(ola, email=email)
