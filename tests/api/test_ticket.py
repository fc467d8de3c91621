"""A ticket's life cycle through the API: creating, changing, assigning, resolving, closing and reopening it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest

from db.enums import Role, TicketEventKind, TicketStatus
from db.events import log as event_log
from db.viewer import Viewer
from tests.helpers.api import Api, Refusal, Server
from tests.helpers.database_checks import Database, dump, events, key, ticket_row, until_blocked

TICKET = """
ticket { id reference version subject description status priority category source contact { name email phone }
  customer { id name } property { id address } technician { id name } resolution createdAt updatedAt resolvedAt closedAt
  allowedStatuses notes { totalCount } history { nodes { kind actor { kind name } changes { field before after } } } }
"""
CHAT = "ticket { id source chat { author body at } contact { name email phone } customer { id } }"
OPEN, IN_PROGRESS, RESOLVED, CLOSED = TicketStatus


async def read(api: Api, ticket_id: str) -> Any:
    """Returns the ticket as it is now."""
    return (await api("query($id: ID!) { ticket(by: {id: $id}) { ...on " + f"Ticket {TICKET[8:]} }} }}", id=ticket_id))[
        "ticket"
    ]


async def test_a_ticket_goes_from_creation_to_resolution(api: Api) -> None:
    customer = await api.new_customer(name="John Smith", email="john.smith@example.com", phone="613-555-1234")
    property_id = await api.new_property(customer, address="12 Elm Street")
    technician = await api.new_technician(name="Tess Okafor")

    created = await api.done(
        "ticketCreate",
        TICKET,
        subject="Alarm panel beeping after power outage",
        description="The display shows a low battery warning.",
        category="ALARM",
        priority="HIGH",
        customerId=customer,
        propertyId=property_id,
    )
    ticket = created["ticket"]
    assert re.fullmatch(r"TKT-[A-HJKMNP-Z2-9]{6}", ticket["reference"])
    assert ticket["contact"] == {"name": "John Smith", "email": "john.smith@example.com", "phone": "613-555-1234"}
    assert (ticket["status"], ticket["version"], ticket["source"]) == ("OPEN", 1, "ADMIN")
    assert ticket["property"] == {"id": property_id, "address": "12 Elm Street"}
    assert ticket["allowedStatuses"] == ["IN_PROGRESS", "RESOLVED", "CLOSED"]

    await api.done("ticketAssign", "ticket { id }", ticketId=ticket["id"], technicianId=technician)
    async with api.technician(technician) as tess:
        await tess.done("ticketSetStatus", "ticket { id }", ticketId=ticket["id"], status="IN_PROGRESS")
        await tess.done("noteAdd", "note { id }", ticketId=ticket["id"], body="Called customer.")
        resolved = await tess.done(
            "ticketResolve", TICKET, ticketId=ticket["id"], resolution="Replaced the backup battery."
        )
    ticket = resolved["ticket"]
    assert (ticket["status"], ticket["version"]) == ("RESOLVED", 4)
    assert ticket["resolvedAt"] == ticket["updatedAt"]
    assert ticket["notes"] == {"totalCount": 1}
    history = ticket["history"]["nodes"]
    assert [event["kind"] for event in history] == ["CREATED", "ASSIGNED", "STATUS_CHANGED", "NOTE_ADDED", "RESOLVED"]
    assert history[1]["changes"] == [{"field": "technician", "before": None, "after": "Tess Okafor"}]
    assert history[4]["actor"] == {"kind": "TECHNICIAN", "name": "Tess Okafor"}


# Creation


async def test_a_ticket_with_only_a_typed_contact_has_the_defaults(api: Api) -> None:
    contact = {"name": "John Smith", "email": "john@example.com"}
    created = await api.done("ticketCreate", TICKET, subject="Beeping", description="It beeps.", contact=contact)
    ticket = created["ticket"]

    assert ticket["contact"] == contact | {"phone": None}
    assert (ticket["status"], ticket["priority"], ticket["category"]) == ("OPEN", "MEDIUM", "GENERAL")
    assert ticket["customer"] is ticket["property"] is ticket["technician"] is ticket["resolution"] is None
    assert ticket["createdAt"] == ticket["updatedAt"]
    assert ticket["resolvedAt"] is ticket["closedAt"] is None
    assert ticket["notes"] == {"totalCount": 0}
    assert ticket["history"]["nodes"] == [
        {"kind": "CREATED", "actor": {"kind": "ADMIN", "name": "The Boss"}, "changes": []}
    ]


async def test_null_in_a_new_ticket_means_the_default(api: Api) -> None:
    created = await api.done(
        "ticketCreate",
        TICKET,
        subject="Beeping",
        description="It beeps.",
        contact={"name": "John Smith", "email": "john@example.com", "phone": None},
        priority=None,
        category=None,
        customerId=None,
        propertyId=None,
        technicianId=None,
        chat=None,
        source=None,
        idempotencyKey=None,
    )
    ticket = created["ticket"]
    assert (ticket["priority"], ticket["category"], ticket["source"]) == ("MEDIUM", "GENERAL", "ADMIN")


@pytest.mark.parametrize(
    "typed",
    [
        {},
        {"name": "Bob Lee"},
        {"email": "bob@lee.test"},
        {"phone": "613-555-0002"},
        {"phone": None},
        {"name": "Bob Lee", "email": "bob@lee.test", "phone": "613-555-0002"},
    ],
    ids=["nothing", "the name", "the e-mail address", "the phone", "no phone", "everything"],
)
async def test_the_customers_details_fill_in_the_contact(
    api: Api, typed: dict[str, str | None], request: pytest.FixtureRequest
) -> None:
    known = {"name": "Ann Lee", "email": f"{hash(request.node.name)}@lee.test", "phone": "613-555-0001"}
    customer = await api.new_customer(**known)
    created = await api.done(
        "ticketCreate", TICKET, subject="Beeping", description="It beeps.", customerId=customer, contact=typed
    )
    assert created["ticket"]["contact"] == known | typed
    assert created["ticket"]["customer"] == {"id": customer, "name": "Ann Lee"}
    # The typed contact belongs to the ticket: the customer's own details are unchanged.
    document = "query($id: ID!) { node(id: $id) { ... on Customer { name email phone } } }"
    assert (await api(document, id=customer))["node"] == known


async def test_the_contact_of_a_customer_without_a_phone_has_none(api: Api) -> None:
    customer = await api.new_customer(phone=None)
    created = await api.done("ticketCreate", TICKET, subject="s", description="d", customerId=customer)
    assert created["ticket"]["contact"]["phone"] is None


async def test_an_admin_can_assign_at_creation(api: Api) -> None:
    technician = await api.new_technician(name="Tess Okafor")
    ticket = await read(api, await api.new_ticket(technicianId=technician))
    assert ticket["technician"] == {"id": technician, "name": "Tess Okafor"}
    assert (ticket["version"], [event["kind"] for event in ticket["history"]["nodes"]]) == (1, ["CREATED"])


async def test_a_technician_sees_their_own_tickets_assigned_or_not(api: Api) -> None:
    technician, other = await api.new_technician(), await api.new_technician()
    async with api.technician(technician) as tess:
        unassigned, own = await tess.new_ticket(), await tess.new_ticket(technicianId=technician)
        ticket = await read(tess, unassigned)
        assert (ticket["source"], ticket["technician"]) == ("TECHNICIAN", None)
        assert (await read(tess, own))["technician"]["id"] == technician
        refused = await tess.refused(
            "ticketCreate",
            subject="s",
            description="d",
            contact={"name": "n", "email": "n@example.com"},
            technicianId=other,
        )
        assert refused == [("NOT_ALLOWED", "technicianId")]


async def test_a_technician_creates_tickets_only_for_customers_of_their_tickets(api: Api) -> None:
    technician, known, unknown = await api.new_technician(), await api.new_customer(), await api.new_customer()
    await api.new_ticket(customerId=known, technicianId=technician)
    async with api.technician(technician) as tess:
        assert (await read(tess, await tess.new_ticket(customerId=known)))["customer"]["id"] == known
        refused = await tess.refused("ticketCreate", subject="s", description="d", customerId=unknown)
        assert refused == [("NOT_FOUND", "customerId")]


async def test_a_customer_creates_tickets_for_themselves(api: Api) -> None:
    customer = await api.new_customer(name="Cora Bell", email="cora@bell.test", phone="613-555-0009")
    property_id, elsewhere = await api.new_property(customer), await api.new_property(await api.new_customer())
    technician = await api.new_technician()
    async with api.customer(customer) as cora:
        ticket = await read(cora, await cora.new_ticket(customerId=customer, propertyId=property_id))
        assert (ticket["source"], ticket["customer"]["id"], ticket["property"]["id"]) == (
            "CUSTOMER",
            customer,
            property_id,
        )
        # The customer portal does not have to pass the customer.
        created = await cora.done("ticketCreate", TICKET, subject="s", description="d")
        assert created["ticket"]["contact"] == {"name": "Cora Bell", "email": "cora@bell.test", "phone": "613-555-0009"}
        assert created["ticket"]["customer"]["id"] == customer
        assert created["ticket"]["allowedStatuses"] == []

        for given, objection in (
            ({"customerId": await api.new_customer()}, ("NOT_ALLOWED", "customerId")),
            ({"propertyId": elsewhere}, ("NOT_FOUND", "propertyId")),
            ({"technicianId": technician}, ("NOT_ALLOWED", "technicianId")),
            ({"source": "CUSTOMER"}, ("NOT_ALLOWED", "source")),
            ({"chat": {"messages": []}}, ("NOT_ALLOWED", "chat")),
        ):
            assert await cora.refused("ticketCreate", subject="s", description="d", **given) == [objection]


async def test_the_chatbot_creates_a_ticket_with_its_transcript(api: Api) -> None:
    messages = [
        {"author": "CUSTOMER", "body": "My panel beeps.\nWhat now?", "at": "2026-11-23T08:15:00+00:00"},
        {"author": "BOT", "body": "Is there a low battery warning? 🔋", "at": "2026-11-23T08:15:01.250000+00:00"},
        {"author": "AGENT", "body": "I take over.", "at": "2026-11-23T03:16:00-05:00"},
    ]
    async with api.service() as chatbot:
        created = await chatbot.done(
            "ticketCreate",
            CHAT,
            subject="Panel beeps",
            description="See the transcript.",
            contact={"name": "John Smith", "email": "john@example.com"},
            chat={"conversationId": "conversation-1", "messages": messages},
        )
        ticket = created["ticket"]
    assert ticket["source"] == "CHATBOT"
    transcript = [(message["author"], message["body"]) for message in ticket["chat"]]
    assert transcript == [(message["author"], message["body"]) for message in messages]
    moments = [datetime.fromisoformat(message["at"]) for message in ticket["chat"]]
    assert moments == [datetime.fromisoformat(message["at"]) for message in messages]

    shown = await api("query($id: ID!) { ticket(by: {id: $id}) { chat { body } } }", id=ticket["id"])
    assert [message["body"] for message in shown["ticket"]["chat"]] == [message["body"] for message in messages]


async def test_a_ticket_without_a_transcript_has_null_and_an_empty_one_is_empty(api: Api) -> None:
    document = "query($id: ID!) { ticket(by: {id: $id}) { chat { body } } }"
    assert (await api(document, id=await api.new_ticket()))["ticket"]["chat"] is None
    async with api.service() as chatbot:
        assert (await api(document, id=await chatbot.new_ticket(chat={"messages": []})))["ticket"]["chat"] == []


async def test_customers_cannot_read_the_transcript(api: Api) -> None:
    customer = await api.new_customer()
    ticket = await api.new_ticket(customerId=customer)
    async with api.customer(customer) as cora:
        with pytest.raises(Refusal) as refusal:
            await cora("query($id: ID!) { ticket(by: {id: $id}) { chat { body } } }", id=ticket)
    assert refusal.value.codes == ["FORBIDDEN"]


async def test_a_conversation_creates_only_one_ticket(api: Api, database: Database) -> None:
    """Later and concurrent requests return the existing ticket."""
    chat: dict[str, Any] = {"conversationId": "conversation-2", "messages": []}
    async with api.service() as chatbot, api.service("another chatbot") as other:
        made = await asyncio.gather(*(chatbot.new_ticket(chat=chat) for _ in range(8)))
        assert len(set(made)) == 1
        before = await dump(database)
        assert await chatbot.new_ticket(chat=chat) == made[0]
        assert await dump(database) == before
        assert await other.new_ticket(chat=chat) != made[0]  # its conversation ids are separate
        blank = [await chatbot.new_ticket(chat=chat | {"conversationId": id_}) for id_ in (" ", " ", "", None, None)]
        assert len(set(blank)) == 5  # a blank id counts as none


async def test_the_email_gateway_sets_the_source_email(api: Api) -> None:
    async with api.service("mail") as gateway:
        ticket = await read(gateway, await gateway.new_ticket(source="EMAIL"))
        assert ticket["source"] == "EMAIL"
        refused = await gateway.refused(
            "ticketCreate",
            subject="s",
            description="d",
            contact={"name": "n", "email": "n@example.com"},
            source="ADMIN",
        )
        assert refused == [("INVALID", "source")]


async def test_all_user_errors_of_a_new_ticket_are_returned_together(api: Api) -> None:
    gone = await api.new_technician()
    await api.done("technicianUpdate", "__typename", technicianId=gone, active=False)
    refused = await api.refused(
        "ticketCreate",
        subject=" ",
        description="x" * 20_001,
        customerId="cus_00000000-0000-7000-8000-000000000000",
        propertyId="prp_00000000-0000-7000-8000-000000000000",
        technicianId=gone,
        contact={"name": "two\nlines", "email": "nobody", "phone": "none"},
    )
    assert sorted(refused) == [
        ("INACTIVE", "technicianId"),
        ("INVALID", "contact.email"),
        ("INVALID", "contact.name"),
        ("INVALID", "contact.phone"),
        ("NOT_FOUND", "customerId"),
        ("NOT_FOUND", "propertyId"),
        ("REQUIRED", "subject"),
        ("TOO_LONG", "description"),
    ]


async def test_a_ticket_without_a_customer_requires_a_name_and_an_address(api: Api) -> None:
    for contact in ({}, None, {"phone": "613-555-1234"}, {"name": " ", "email": ""}):
        refused = await api.refused("ticketCreate", subject="s", description="d", contact=contact)
        assert sorted(refused) == [("REQUIRED", "contact.email"), ("REQUIRED", "contact.name")]
    assert await api.refused("ticketCreate", subject="s", description="d") == [
        ("REQUIRED", "contact.name"),
        ("REQUIRED", "contact.email"),
    ]


async def test_references_are_random(api: Api) -> None:
    """A hundred references are all different, well-formed, and not in order of creation."""
    created = await asyncio.gather(*(api.done("ticketCreate", "ticket { reference }", **minimal()) for _ in range(100)))
    references = [payload["ticket"]["reference"] for payload in created]
    assert len(set(references)) == 100
    assert all(re.fullmatch(r"TKT-[A-HJKMNP-Z2-9]{6}", reference) for reference in references)
    assert references != sorted(references)


def minimal(**given: Any) -> dict[str, Any]:
    return {"subject": "s", "description": "d", "contact": {"name": "n", "email": "n@example.com"}} | given


async def test_text_is_stored_unchanged_except_for_surrounding_whitespace(api: Api) -> None:
    subject = "Zoë's <b>panel</b> \"beeps\" \\ 100% 'now' 😀 \u202eabc -- ; DROP TABLE tickets"
    description = "first\r\n\r\n\tsecond\n\n  - third " + "x" * 100
    ticket = await read(api, await api.new_ticket(subject=f" {subject}\n", description=f"\n{description}\t "))
    assert (ticket["subject"], ticket["description"]) == (subject, description)


# Update


FULL: dict[str, Any] = {
    "subject": "Old subject",
    "description": "Old description",
    "priority": "HIGH",
    "category": "CCTV",
    "contact": {"name": "Old Name", "email": "old@example.com", "phone": "613-555-0100"},
}
CHANGED = (
    ({"subject": "New"}, {"subject": "New"}, ("subject", "Old subject", "New")),
    ({"description": "New"}, {"description": "New"}, ("description", "Old description", "New")),
    ({"priority": "LOW"}, {"priority": "LOW"}, ("priority", "HIGH", "LOW")),
    ({"category": "ALARM"}, {"category": "ALARM"}, ("category", "CCTV", "ALARM")),
    (
        {"contact": {"name": "New"}},
        {"contact": {"name": "New", "email": "old@example.com", "phone": "613-555-0100"}},
        ("contactName", "Old Name", "New"),
    ),
    (
        {"contact": {"email": "new@example.com"}},
        {"contact": {"name": "Old Name", "email": "new@example.com", "phone": "613-555-0100"}},
        ("contactEmail", "old@example.com", "new@example.com"),
    ),
    (
        {"contact": {"phone": "613-555-0200"}},
        {"contact": {"name": "Old Name", "email": "old@example.com", "phone": "613-555-0200"}},
        ("contactPhone", "613-555-0100", "613-555-0200"),
    ),
    (
        {"contact": {"phone": None}},
        {"contact": {"name": "Old Name", "email": "old@example.com", "phone": None}},
        ("contactPhone", "613-555-0100", None),
    ),
)


@pytest.mark.parametrize(("given", "changed", "logged"), CHANGED, ids=[logged[0] for *_, logged in CHANGED])
async def test_an_update_changes_only_the_given_fields(
    api: Api, given: dict[str, Any], changed: dict[str, Any], logged: tuple[str, str, str | None]
) -> None:
    before = await read(api, await api.new_ticket(**FULL))
    updated = (await api.done("ticketUpdate", TICKET, ticketId=before["id"], **given))["ticket"]

    for moved in ("version", "updatedAt", "history"):
        assert updated[moved] != before[moved]
    assert updated["version"] == 2
    assert updated["updatedAt"] > before["updatedAt"]
    same = updated | {name: before[name] for name in ("version", "updatedAt", "history")}
    assert same == before | changed
    assert updated["history"]["nodes"][1:] == [
        {
            "kind": "UPDATED",
            "actor": {"kind": "ADMIN", "name": "The Boss"},
            "changes": [dict(zip(("field", "before", "after"), logged, strict=True))],
        }
    ]


@pytest.mark.parametrize("name", ["subject", "description", "priority", "category"])
async def test_null_for_a_required_field_of_a_ticket_is_refused(api: Api, name: str) -> None:
    ticket = await api.new_ticket(**FULL)
    cleared: dict[str, Any] = {"ticketId": ticket, name: None}
    assert await api.refused("ticketUpdate", "__typename", **cleared) == [("REQUIRED", name)]
    assert (await read(api, ticket))["version"] == 1


@pytest.mark.parametrize(
    ("contact", "path"),
    [({"name": None}, "contact.name"), ({"email": None}, "contact.email"), (None, "contact")],
    ids=["name", "email", "all of it"],
)
async def test_null_for_a_required_field_of_the_contact_is_refused(
    api: Api, contact: dict[str, None] | None, path: str
) -> None:
    ticket = await api.new_ticket(**FULL)
    assert await api.refused("ticketUpdate", ticketId=ticket, contact=contact) == [("REQUIRED", path)]
    assert (await read(api, ticket))["contact"] == FULL["contact"]


async def test_customer_and_property_can_be_set_changed_and_cleared(api: Api) -> None:
    ann, bob = await api.new_customer(name="Ann Lee"), await api.new_customer(name="Bob Ray")
    anns, bobs = await api.new_property(ann, address="1 Ann Road"), await api.new_property(bob, address="2 Bob Road")
    ticket = await api.new_ticket()

    async def update(**given: Any) -> tuple[Any, Any]:
        updated = (await api.done("ticketUpdate", TICKET, ticketId=ticket, **given))["ticket"]
        return updated["customer"] and updated["customer"]["id"], updated["property"] and updated["property"]["id"]

    async def refused(**given: Any) -> list[tuple[str, str]]:
        return await api.refused("ticketUpdate", ticketId=ticket, **given)

    assert await refused(propertyId=anns) == [("MISMATCH", "propertyId")]
    assert await update(customerId=ann) == (ann, None)
    assert await refused(propertyId=bobs) == [("MISMATCH", "propertyId")]
    assert await update(propertyId=anns) == (ann, anns)
    assert await update(subject="Another subject") == (ann, anns)
    assert await refused(customerId=bob) == [("MISMATCH", "propertyId")]
    assert await refused(customerId=None) == [("MISMATCH", "propertyId")]
    assert await update(customerId=bob, propertyId=bobs) == (bob, bobs)
    assert await update(propertyId=None) == (bob, None)
    assert await update(customerId=ann, propertyId=anns) == (ann, anns)
    assert await update(customerId=None, propertyId=None) == (None, None)

    changes = [event["changes"] for event in (await read(api, ticket))["history"]["nodes"]]
    for change in (
        {"field": "customer", "before": "Ann Lee", "after": "Bob Ray"},
        {"field": "property", "before": "1 Ann Road", "after": "2 Bob Road"},
    ):
        assert change in changes[4]


async def test_another_customer_replaces_the_contact_unless_one_is_typed(api: Api) -> None:
    """The new customer must not read the former one's contact."""
    ann = {"name": "Ann Lee", "email": "ann@first.test", "phone": "613-555-0001"}
    bob = {"name": "Bob Ray", "email": "bob@second.test", "phone": None}
    anns, bobs = await api.new_customer(**ann), await api.new_customer(**bob)
    ticket = await api.new_ticket(customerId=anns)

    async def update(**given: Any) -> Any:
        updated = (await api.done("ticketUpdate", TICKET, ticketId=ticket, **given))["ticket"]
        return updated["contact"]

    assert await update(customerId=bobs) == bob
    assert await update(customerId=anns, contact={"phone": "613-555-0002"}) == ann | {"phone": "613-555-0002"}
    assert await update(customerId=anns) == ann | {
        "phone": "613-555-0002"
    }  # the same customer: the typed contact stays
    assert await update(customerId=bobs, contact={"name": "Bea Ray", "phone": "911"}) == {
        "name": "Bea Ray",
        "email": "bob@second.test",
        "phone": "911",
    }
    refused = await api.refused("ticketUpdate", ticketId=ticket, customerId=anns, contact={"email": "x", "name": None})
    assert sorted(refused) == [("INVALID", "contact.email"), ("REQUIRED", "contact.name")]


async def test_all_user_errors_of_an_update_are_returned_together(api: Api) -> None:
    ticket = await api.new_ticket()
    elsewhere = await api.new_property(await api.new_customer())
    refused = await api.refused(
        "ticketUpdate",
        ticketId=ticket,
        subject="",
        description=None,
        priority=None,
        contact={"name": None, "email": "nobody"},
        propertyId=elsewhere,
        resolution="Not yet resolved.",
    )
    assert sorted(refused) == [
        ("INVALID", "contact.email"),
        ("INVALID", "resolution"),
        ("MISMATCH", "propertyId"),
        ("REQUIRED", "contact.name"),
        ("REQUIRED", "description"),
        ("REQUIRED", "priority"),
        ("REQUIRED", "subject"),
    ]


async def test_an_update_without_a_change_keeps_version_time_and_log(api: Api, database: Database) -> None:
    customer, technician = await api.new_customer(), await api.new_technician()
    property_id = await api.new_property(customer)
    ticket = await api.new_ticket(**FULL, customerId=customer, propertyId=property_id, technicianId=technician)
    await api.done("ticketResolve", "__typename", ticketId=ticket, resolution="Done.")
    row, written = await ticket_row(database, ticket), await events(database, ticket)
    assert (row["version"], len(written)) == (2, 2)

    for mutation, given in (
        ("ticketUpdate", {}),
        ("ticketUpdate", FULL),
        ("ticketUpdate", {"subject": f"  {FULL['subject']} ", "contact": {}}),
        ("ticketUpdate", {"customerId": customer, "propertyId": property_id, "resolution": "Done."}),
        ("ticketAssign", {"technicianId": technician}),
        ("ticketSetStatus", {"status": "RESOLVED"}),
        ("ticketSetStatus", {"status": "RESOLVED", "resolution": "Done. "}),
        ("ticketResolve", {"resolution": "Done."}),
    ):
        answer = await api.done(mutation, "ticket { version }", ticketId=ticket, ifVersion=2, **given)
        assert answer["ticket"] == {"version": 2}
    same: dict[str, Any] = {"ticketIds": [ticket], "status": "RESOLVED", "priority": "HIGH", "technicianId": technician}
    bulk = await api.done("ticketsBulkUpdate", "results { userErrors { code } ticket { version } }", **same)
    assert bulk["results"] == [{"userErrors": [], "ticket": {"version": 2}}]
    assert (await ticket_row(database, ticket), await events(database, ticket)) == (row, written)


# Assignment


async def test_a_ticket_can_be_assigned_reassigned_and_unassigned(api: Api) -> None:
    tess, ugo = await api.new_technician(name="Tess Okafor"), await api.new_technician(name="Ugo Ruiz")
    ticket = await api.new_ticket()
    for technician, version in ((tess, 2), (ugo, 3), (None, 4)):
        assigned = await api.done("ticketAssign", TICKET, ticketId=ticket, technicianId=technician)
        assert (assigned["ticket"]["technician"] or {"id": None})["id"] == technician
        assert (assigned["ticket"]["version"], assigned["ticket"]["status"]) == (version, "OPEN")
    logged = (await read(api, ticket))["history"]["nodes"][1:]
    assert [event["kind"] for event in logged] == ["ASSIGNED", "ASSIGNED", "UNASSIGNED"]
    assert [(change["before"], change["after"]) for event in logged for change in event["changes"]] == [
        (None, "Tess Okafor"),
        ("Tess Okafor", "Ugo Ruiz"),
        ("Ugo Ruiz", None),
    ]


async def test_an_inactive_technician_keeps_tickets_and_gets_no_new_ones(api: Api) -> None:
    gone = await api.new_technician()
    theirs, other = await api.new_ticket(technicianId=gone), await api.new_ticket()
    await api.done("technicianUpdate", "__typename", technicianId=gone, active=False)

    assert await api.refused("ticketAssign", ticketId=other, technicianId=gone) == [("INACTIVE", "technicianId")]
    assert await api.refused("ticketCreate", **minimal(technicianId=gone)) == [("INACTIVE", "technicianId")]
    await api.done("ticketAssign", "__typename", ticketId=theirs, technicianId=gone)  # already assigned
    await api.done("ticketSetStatus", "__typename", ticketId=theirs, status="IN_PROGRESS")
    assert (await read(api, theirs))["technician"]["id"] == gone


async def test_an_assignment_waits_for_a_concurrent_deactivation(api: Api, database: Database) -> None:
    """The deactivation is written but not committed yet."""
    technician, ticket = await api.new_technician(), await api.new_ticket()
    async with database.transaction():
        await database.execute("UPDATE technicians SET active = false WHERE id = $1", key(technician))
        assigning = asyncio.create_task(api.refused("ticketAssign", ticketId=ticket, technicianId=technician))
        await until_blocked(database)
    assert await assigning == [("INACTIVE", "technicianId")]


# Status


@dataclass(frozen=True)
class Staff:
    """Clients of an admin and of a technician, whose id is `technician_id`."""

    clients: dict[Role, Api]
    technician_id: str


@pytest.fixture(scope="module")
async def staff(server: Server) -> AsyncIterator[Staff]:
    async with Api(server) as admin:
        technician = await admin.new_technician()
        async with admin.technician(technician) as tess:
            yield Staff({Role.ADMIN: admin, Role.TECHNICIAN: tess}, technician)


async def ticket_in(admin: Api, status: TicketStatus, **given: Any) -> str:
    """Creates a ticket in this status; resolved and closed ones have a resolution."""
    ticket = await admin.new_ticket(**given)
    if status is IN_PROGRESS:
        await admin.done("ticketSetStatus", "__typename", ticketId=ticket, status="IN_PROGRESS")
    if status in (RESOLVED, CLOSED):
        await admin.done("ticketResolve", "__typename", ticketId=ticket, resolution="Replaced the battery.")
    if status is CLOSED:
        await admin.done("ticketSetStatus", "__typename", ticketId=ticket, status="CLOSED")
    return ticket


ALLOWED: dict[tuple[Role, TicketStatus], list[TicketStatus]] = {
    (Role.ADMIN, OPEN): [IN_PROGRESS, RESOLVED, CLOSED],
    (Role.ADMIN, IN_PROGRESS): [OPEN, RESOLVED, CLOSED],
    (Role.ADMIN, RESOLVED): [OPEN, IN_PROGRESS, CLOSED],
    (Role.ADMIN, CLOSED): [OPEN, IN_PROGRESS],
    (Role.TECHNICIAN, OPEN): [IN_PROGRESS, RESOLVED],
    (Role.TECHNICIAN, IN_PROGRESS): [OPEN, RESOLVED],
    (Role.TECHNICIAN, RESOLVED): [IN_PROGRESS],
    (Role.TECHNICIAN, CLOSED): [],
}
KINDS = {
    (OPEN, IN_PROGRESS): "STATUS_CHANGED",
    (IN_PROGRESS, OPEN): "STATUS_CHANGED",
    (OPEN, RESOLVED): "RESOLVED",
    (IN_PROGRESS, RESOLVED): "RESOLVED",
    (OPEN, CLOSED): "CLOSED",
    (IN_PROGRESS, CLOSED): "CLOSED",
    (RESOLVED, CLOSED): "CLOSED",
    (RESOLVED, OPEN): "REOPENED",
    (RESOLVED, IN_PROGRESS): "REOPENED",
    (CLOSED, OPEN): "REOPENED",
    (CLOSED, IN_PROGRESS): "REOPENED",
}


PAYLOADS = (
    "status version updatedAt contact { name } customer { name } property { address } technician { name }",
    "status customer { name tickets { totalCount nodes { status } } }",
    "status technician { name openTicketCount tickets(filter: {status: [IN_PROGRESS]}) { totalCount } }",
    "status history { totalCount nodes { kind ticket { status } } }",
    "status deliveries { totalCount nodes { kind } }",
    "status notes { nodes { body ticket { status } } }",
)


@pytest.mark.parametrize("role", [Role.ADMIN, Role.TECHNICIAN])
@pytest.mark.parametrize("selection", PAYLOADS)
async def test_a_payload_has_everything_as_it_is_after_the_change(staff: Staff, role: Role, selection: str) -> None:
    """Whether it is read in the statement that writes the change or afterwards."""
    admin, api = staff.clients[Role.ADMIN], staff.clients[role]
    customer = await admin.new_customer()
    site = await admin.new_property(customer)
    ticket = await admin.new_ticket(customerId=customer, propertyId=site, technicianId=staff.technician_id)
    await admin.done("noteAdd", "__typename", ticketId=ticket, body="Called.")
    query = f"query($id: ID!) {{ ticket(by: {{id: $id}}) {{ {selection} }} }}"
    for mutation, given in (
        ("ticketSetStatus", {"status": "IN_PROGRESS"}),
        ("ticketResolve", {"resolution": "Replaced the battery."}),
        ("ticketSetStatus", {"status": "IN_PROGRESS"}),
    ):
        changed = await api.done(mutation, f"ticket {{ {selection} }}", ticketId=ticket, **given)
        assert changed["ticket"] == (await api(query, id=ticket))["ticket"]
        assert changed["ticket"]["status"] == given.get("status", "RESOLVED")


@pytest.mark.parametrize("target", TicketStatus)
@pytest.mark.parametrize("status", TicketStatus)
@pytest.mark.parametrize("role", [Role.ADMIN, Role.TECHNICIAN])
async def test_each_transition_follows_the_table(
    staff: Staff, role: Role, status: TicketStatus, target: TicketStatus
) -> None:
    admin, viewer = staff.clients[Role.ADMIN], staff.clients[role]
    ticket = await read(admin, await ticket_in(admin, status, technicianId=staff.technician_id))
    allowed = ALLOWED[role, status]
    assert (await read(viewer, ticket["id"]))["allowedStatuses"] == allowed

    given = {"resolution": "Replaced the panel."} if target is RESOLVED and status is not RESOLVED else {}
    payload = await viewer.do("ticketSetStatus", TICKET, ticketId=ticket["id"], status=target, **given)
    after = payload["ticket"]
    if target is status:
        assert (payload["userErrors"], after["version"]) == ([], ticket["version"])
        return
    if target not in allowed:
        assert [(e["code"], e["field"]) for e in payload["userErrors"]] == [("NOT_ALLOWED", ["input", "status"])]
        assert await read(admin, ticket["id"]) == ticket
        return
    assert payload["userErrors"] == []
    assert (after["status"], after["version"]) == (target, ticket["version"] + 1)
    logged = after["history"]["nodes"][-1]
    assert logged["kind"] == KINDS[status, target]
    assert logged["changes"][0] == {"field": "status", "before": status, "after": target}

    # The resolution and the times are set and cleared with the status.
    resolution, resolved_at, closed_at = (after[name] for name in ("resolution", "resolvedAt", "closedAt"))
    if target is RESOLVED:
        assert (resolution, resolved_at, closed_at) == ("Replaced the panel.", after["updatedAt"], None)
    elif target is CLOSED:
        assert (resolution, resolved_at) == (ticket["resolution"], ticket["resolvedAt"])
        assert closed_at == after["updatedAt"]
    else:
        assert (resolution, resolved_at, closed_at) == (None, None, None)


@pytest.mark.parametrize("target", TicketStatus)
async def test_customers_and_services_cannot_change_an_open_ticket(api: Api, target: TicketStatus) -> None:
    customer = await api.new_customer()
    async with api.customer(customer) as cora, api.service() as chatbot:
        for viewer in (cora, chatbot):
            ticket = await read(viewer, await viewer.new_ticket())
            assert ticket["allowedStatuses"] == []
            if viewer is cora:
                refused = await cora.refused("ticketSetStatus", ticketId=ticket["id"], status=target, resolution="r")
                assert ("NOT_ALLOWED", "resolution") in refused
            others: list[tuple[str, dict[str, Any]]] = [
                ("ticketSetStatus", {"status": target, "resolution": "r"}),
                ("ticketResolve", {"resolution": "r"}),
                ("ticketAssign", {"technicianId": None}),
                ("ticketUpdate", {"subject": "Mine"}),
            ]
            for mutation, given in others[viewer is cora :]:
                with pytest.raises(Refusal) as refusal:
                    await viewer.do(mutation, "__typename", ticketId=ticket["id"], **given)
                assert refusal.value.codes == ["FORBIDDEN"]
            assert await read(viewer, ticket["id"]) == ticket


async def test_a_technician_changes_only_their_own_tickets(api: Api) -> None:
    technician = await api.new_technician()
    ticket = await api.new_ticket()
    unseen: list[tuple[str, dict[str, Any]]] = [
        ("ticketSetStatus", {"status": "IN_PROGRESS"}),
        ("ticketResolve", {"resolution": "r"}),
    ]
    forbidden: list[tuple[str, dict[str, Any]]] = [
        ("ticketUpdate", {"ticketId": ticket, "subject": "Mine"}),
        ("ticketAssign", {"ticketId": ticket, "technicianId": technician}),
        ("ticketsBulkUpdate", {"ticketIds": [ticket], "priority": "LOW"}),
    ]
    async with api.technician(technician) as tess:
        for mutation, given in unseen:
            payload = await tess.do(mutation, "ticket { id }", ticketId=ticket, **given)
            assert payload["ticket"] is None
            assert [error["code"] for error in payload["userErrors"]] == ["NOT_FOUND"]
        for mutation, given in forbidden:
            with pytest.raises(Refusal) as refusal:
                await tess.do(mutation, "__typename", **given)
            assert refusal.value.codes == ["FORBIDDEN"]
    assert (await read(api, ticket))["version"] == 1


@pytest.mark.parametrize("mutation", ["ticketSetStatus", "ticketResolve"])
async def test_rules_apply_to_the_ticket_as_it_is_when_it_is_written(
    staff: Staff, database: Database, mutation: str
) -> None:
    """An admin closes the ticket before the technician's change is written. Technicians cannot change closed tickets,
    so the change is refused and nobody is notified. Tried with a mutation that notifies and one that does not."""
    admin, tess = staff.clients[Role.ADMIN], staff.clients[Role.TECHNICIAN]
    ticket = await ticket_in(admin, OPEN, technicianId=staff.technician_id)
    given = {"status": "IN_PROGRESS"} if mutation == "ticketSetStatus" else {"resolution": "Replaced the battery."}
    queued = "SELECT count(*) FROM deliveries WHERE ticket_id = $1"
    before = await database.fetchval(queued, key(ticket))
    async with database.transaction():
        values: dict[str, Any] = {"status": CLOSED, "resolution": None}
        boss = Viewer(Role.ADMIN, "boss", "Boss")
        await event_log.change(database, boss, key(ticket), TicketEventKind.CLOSED, values, {"closed_at": True})
        going_on = asyncio.create_task(tess.refused(mutation, ticketId=ticket, **given))
        await until_blocked(database)
    assert await going_on == [("NOT_ALLOWED", "status")]
    after = await read(admin, ticket)
    assert (after["status"], after["resolution"], after["version"]) == (CLOSED, None, 2)
    assert [event["kind"] for event in after["history"]["nodes"]] == ["CREATED", "CLOSED"]
    assert await database.fetchval(queued, key(ticket)) == before


@pytest.mark.parametrize("status", [OPEN, IN_PROGRESS])
async def test_no_path_resolves_a_ticket_without_a_resolution(api: Api, status: TicketStatus) -> None:
    ticket = await ticket_in(api, status)
    before = await read(api, ticket)
    for mutation, given, objection in (
        ("ticketSetStatus", {"status": "RESOLVED"}, "RESOLUTION_REQUIRED"),
        ("ticketSetStatus", {"status": "RESOLVED", "resolution": None}, "RESOLUTION_REQUIRED"),
        ("ticketSetStatus", {"status": "RESOLVED", "resolution": ""}, "REQUIRED"),
        ("ticketSetStatus", {"status": "RESOLVED", "resolution": " \n\t "}, "REQUIRED"),
        ("ticketResolve", {"resolution": ""}, "REQUIRED"),
        ("ticketResolve", {"resolution": "\u00a0\u3000"}, "REQUIRED"),
    ):
        assert await api.refused(mutation, ticketId=ticket, **given) == [(objection, "resolution")]
    bulk = await api.done(
        "ticketsBulkUpdate", "results { userErrors { code field } }", ticketIds=[ticket], status="RESOLVED"
    )
    assert [error["code"] for error in bulk["results"][0]["userErrors"]] == ["RESOLUTION_REQUIRED"]
    blank = await api.refused("ticketsBulkUpdate", ticketIds=[ticket], status="RESOLVED", resolution=" ")
    assert blank == [("REQUIRED", "resolution")]
    assert await read(api, ticket) == before


@pytest.mark.parametrize("status", [OPEN, IN_PROGRESS])
async def test_an_unresolved_ticket_cannot_have_a_resolution(api: Api, status: TicketStatus) -> None:
    ticket = await ticket_in(api, status)
    for mutation, given in (
        ("ticketUpdate", {"resolution": "Done."}),
        ("ticketSetStatus", {"status": status, "resolution": "Done."}),
        ("ticketSetStatus", {"status": IN_PROGRESS, "resolution": "Done."}),
    ):
        assert await api.refused(mutation, ticketId=ticket, **given) == [("INVALID", "resolution")]
    resolved = await ticket_in(api, RESOLVED)
    refused = await api.refused("ticketSetStatus", ticketId=resolved, status=status, resolution="Not quite.")
    assert refused == [("INVALID", "resolution")]


async def test_an_existing_resolution_can_be_reworded(api: Api) -> None:
    for status in (RESOLVED, CLOSED):
        before = await read(api, await ticket_in(api, status))
        updated = await api.done("ticketUpdate", TICKET, ticketId=before["id"], resolution="Replaced the fuse.")
        after = updated["ticket"]
        assert (after["resolution"], after["version"]) == ("Replaced the fuse.", before["version"] + 1)
        assert [after[name] for name in ("status", "resolvedAt", "closedAt")] == [
            before[name] for name in ("status", "resolvedAt", "closedAt")
        ]
        assert after["history"]["nodes"][-1]["kind"] == "UPDATED"
        refused = await api.refused("ticketUpdate", ticketId=before["id"], resolution=None)
        assert refused == [("REQUIRED", "resolution")]


async def test_a_reopened_ticket_can_be_resolved_again(api: Api) -> None:
    ticket = await ticket_in(api, CLOSED)
    first = await read(api, ticket)
    await api.done("ticketSetStatus", "__typename", ticketId=ticket, status="OPEN")
    assert await api.refused("ticketSetStatus", ticketId=ticket, status="RESOLVED") == [
        ("RESOLUTION_REQUIRED", "resolution")
    ]
    again = (await api.done("ticketResolve", TICKET, ticketId=ticket, resolution="Replaced the panel."))["ticket"]
    assert again["resolvedAt"] > first["resolvedAt"]
    assert (again["resolution"], again["closedAt"]) == ("Replaced the panel.", None)
    changes = {event["kind"]: event["changes"] for event in again["history"]["nodes"]}
    assert changes["REOPENED"] == [
        {"field": "status", "before": "CLOSED", "after": "OPEN"},
        {"field": "resolution", "before": "Replaced the battery.", "after": None},
    ]


async def test_a_ticket_can_be_closed_with_or_without_a_resolution(api: Api) -> None:
    unresolved = await api.new_ticket()
    closed = (await api.done("ticketSetStatus", TICKET, ticketId=unresolved, status="CLOSED"))["ticket"]
    assert (closed["resolution"], closed["resolvedAt"]) == (None, None)
    with_it = await api.new_ticket()
    closed = (
        await api.done("ticketSetStatus", TICKET, ticketId=with_it, status="CLOSED", resolution="Withdrawn by phone.")
    )["ticket"]
    assert (closed["status"], closed["resolution"]) == ("CLOSED", "Withdrawn by phone.")


# Times


async def test_all_times_of_a_change_are_equal(api: Api) -> None:
    """Even if the clock moves during the statement. Forty tickets, because it does not move between two readings each
    time."""
    tickets = [await api.new_ticket() for _ in range(40)]
    stamp = "ticket { updatedAt resolvedAt closedAt history(last: 1) { nodes { at } } }"
    for id_ in tickets:
        resolved = (await api.done("ticketResolve", stamp, ticketId=id_, resolution="Done."))["ticket"]
        assert resolved["resolvedAt"] == resolved["updatedAt"] == resolved["history"]["nodes"][0]["at"]
        closed = (await api.done("ticketSetStatus", stamp, ticketId=id_, status="CLOSED"))["ticket"]
        assert closed["closedAt"] == closed["updatedAt"] == closed["history"]["nodes"][0]["at"]
        assert closed["resolvedAt"] == resolved["resolvedAt"]


async def test_customers_and_staff_see_the_same_time_of_a_public_change(api: Api) -> None:
    customer = await api.new_customer()
    tickets = [await api.new_ticket(customerId=customer) for _ in range(20)]
    async with api.customer(customer) as cora:
        for id_ in tickets:
            await api.done("ticketUpdate", "__typename", ticketId=id_, priority="URGENT")
            assert (await read(cora, id_))["updatedAt"] == (await read(api, id_))["updatedAt"]


async def test_every_change_has_a_later_time(api: Api) -> None:
    ticket = await api.new_ticket()
    times = [datetime.fromisoformat((await read(api, ticket))["updatedAt"])]
    for mutation, given in (
        ("ticketUpdate", {"priority": "URGENT"}),
        ("ticketUpdate", {"category": "ALARM"}),
        ("ticketAssign", {"technicianId": await api.new_technician()}),
        ("noteAdd", {"body": "Called."}),
        ("ticketSetStatus", {"status": "IN_PROGRESS"}),
        ("ticketResolve", {"resolution": "Done."}),
        ("ticketSetStatus", {"status": "CLOSED"}),
        ("ticketSetStatus", {"status": "OPEN"}),
    ):
        await api.done(mutation, "__typename", ticketId=ticket, **given)
        times.append(datetime.fromisoformat((await read(api, ticket))["updatedAt"]))
    assert times == sorted(set(times))
    assert all(time.utcoffset() is not None for time in times)
    assert (await read(api, ticket))["version"] == 8  # a note is not a change of the ticket itself


# Versions


async def test_a_stale_version_returns_the_current_ticket(api: Api) -> None:
    ticket, technician = await api.new_ticket(), await api.new_technician()
    await api.done("ticketUpdate", "__typename", ticketId=ticket, ifVersion=1, subject="First")
    for mutation, given in (
        ("ticketUpdate", {"subject": "Second"}),
        ("ticketAssign", {"technicianId": technician}),
        ("ticketSetStatus", {"status": "IN_PROGRESS"}),
        ("ticketResolve", {"resolution": "Done."}),
    ):
        for version in (1, 3, 0, -1, 2**31 - 1):
            payload = await api.do(
                mutation, "ticket { subject version status }", ticketId=ticket, ifVersion=version, **given
            )
            assert [(e["code"], e["field"]) for e in payload["userErrors"]] == [("STALE", ["input", "ifVersion"])]
            assert "version 2" in payload["userErrors"][0]["message"]
            assert payload["ticket"] == {"subject": "First", "version": 2, "status": "OPEN"}


async def test_a_note_does_not_make_a_version_stale(api: Api) -> None:
    ticket = await api.new_ticket()
    await api.done("noteAdd", "__typename", ticketId=ticket, body="Called.")
    await api.done("ticketUpdate", "__typename", ticketId=ticket, ifVersion=1, subject="Still the first")


async def test_concurrent_edits_with_versions_lose_nothing(api: Api) -> None:
    """Two dashboards make a hundred edits each; an edit adds a line to the text it read, and retries if it is stale."""
    ticket = await api.new_ticket(description="start")

    async def edit(dashboard: Api, line: str, seen: dict[str, Any]) -> dict[str, Any]:
        while True:
            payload = await dashboard.do(
                "ticketUpdate",
                "ticket { version description }",
                ticketId=ticket,
                ifVersion=seen["version"],
                description=f"{seen['description']}\n{line}",
            )
            seen = payload["ticket"]
            if not payload["userErrors"]:
                return seen
            assert [error["code"] for error in payload["userErrors"]] == ["STALE"]

    async def dashboard(name: str) -> None:
        async with Api(api.server, subject=name, name=name) as own:
            seen = await read(own, ticket)
            for number in range(100):
                seen = await edit(own, f"{name} {number}", seen)

    await asyncio.gather(dashboard("left"), dashboard("right"))
    after = await read(api, ticket)
    assert after["version"] == 201
    lines = after["description"].split("\n")
    assert len(lines) == 201
    for name in ("left", "right"):  # each dashboard's edits, in its own order
        assert [line for line in lines if line.startswith(name)] == [f"{name} {number}" for number in range(100)]


async def test_edits_without_a_version_overwrite_each_other_and_all_count(api: Api) -> None:
    ticket = await api.new_ticket()
    subjects = [f"Subject {number}" for number in range(30)]
    edits = [api.done("ticketUpdate", "ticket { version }", ticketId=ticket, subject=subject) for subject in subjects]
    await asyncio.gather(*edits)
    after = await read(api, ticket)
    assert (after["version"], after["subject"] in subjects) == (31, True)


async def test_the_second_of_two_concurrent_resolutions_rewords_the_first(api: Api) -> None:
    ticket = await api.new_ticket()
    resolutions = ["Replaced the battery.", "Replaced the panel."]
    await asyncio.gather(
        *(api.done("ticketResolve", "__typename", ticketId=ticket, resolution=text) for text in resolutions)
    )
    after = await read(api, ticket)
    kinds = [event["kind"] for event in (await read(api, ticket))["history"]["nodes"]]
    assert (after["status"], kinds) == ("RESOLVED", ["CREATED", "RESOLVED", "UPDATED"])
    assert after["resolution"] in resolutions


# Several mutations in one document


def updates(*inputs: str) -> str:
    fields = (
        f"m{number}: ticketUpdate(input: {{ticketId: $id, {input}}}) "
        "{ ticket { version subject } userErrors { code } }"
        for number, input in enumerate(inputs, 1)
    )
    return f"mutation($id: ID!) {{ {' '.join(fields)} }}"


async def test_the_mutations_of_a_document_run_in_order(api: Api) -> None:
    """Each starts with the ticket as the previous one left it, and returns its own result. A refused one does not
    affect the others."""
    ticket = await api.new_ticket(subject="Number 0")
    inputs = [f'subject: "Number {number}", ifVersion: {number}' for number in range(1, 13)]
    inputs[4:4] = ['subject: " "', 'subject: "Stale", ifVersion: 1']
    answer = await api(updates(*inputs), id=ticket)
    assert list(answer) == [f"m{number}" for number in range(1, 15)]
    codes = [[error["code"] for error in each["userErrors"]] for each in answer.values()]
    assert codes == [[]] * 4 + [["REQUIRED"], ["STALE"]] + [[]] * 8
    done = [each["ticket"] for each in answer.values() if not each["userErrors"]]
    assert done == [{"version": number + 1, "subject": f"Number {number}"} for number in range(1, 13)]


async def test_a_failing_mutation_does_not_stop_later_ones(api: Api, database: Database) -> None:
    ticket = await api.new_ticket()
    document = updates('subject: "One"', 'subject: "Fails"', 'subject: "Three"')
    await database.execute("ALTER TABLE tickets ADD CONSTRAINT nobody_knows CHECK (subject <> 'Fails')")
    try:
        answer = await api.respond(document, {"id": ticket})
    finally:
        await database.execute("ALTER TABLE tickets DROP CONSTRAINT nobody_knows")
    assert answer["data"] is None  # a payload is never null
    assert [(error["path"], error["extensions"]["code"]) for error in answer["errors"]] == [(["m2"], "INTERNAL")]
    after = await read(api, ticket)
    assert (after["version"], after["subject"]) == (3, "Three")
    assert [event["changes"][0]["after"] for event in after["history"]["nodes"][1:]] == ["One", "Three"]
