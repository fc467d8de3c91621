"""The users' guide to managing tickets, followed through the API: one test for each of its sections.

Other tests cover its parts on live updates and notifications.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest

from tests.helpers.api import Api, Refusal, Server

ROW = "reference subject contact { name } customer { name } property { address } priority status createdAt"
DETAIL = f"""
id {ROW} description category source technician {{ id name }} resolution resolvedAt closedAt version
contact {{ name email phone }} property {{ address accountNumber }} allowedStatuses
chat {{ author body at }} notes {{ nodes {{ body internalOnly createdAt author {{ kind name }} }} }}
"""


@dataclass(frozen=True)
class Company:
    """A few customers with properties, two technicians, and some tickets."""

    customer: str
    property: str
    tess: str
    ugo: str
    tickets: dict[str, str]


@pytest.fixture(scope="module")
async def company(server: Server) -> AsyncIterator[Company]:
    async with Api(server) as api:
        customer = await api.new_customer(
            name="John Smith", email="john@example.com", phone="613-555-1234", accountNumber="CUST-1001"
        )
        property_id = await api.new_property(customer, address="12 Elm Street", accountNumber="PROP-2001")
        await api.new_property(customer, address="1 Harbour Road", accountNumber="PROP-2002")
        other = await api.new_customer(name="Dana Whitfield", email="dana@whitfield.test", accountNumber="CUST-1002")
        tess, ugo = await api.new_technician(name="Tess Okafor"), await api.new_technician(name="Ugo Ruiz")
        tickets = {}
        for subject, given, status in (
            ("Siren will not stop", {"customerId": customer, "propertyId": property_id, "priority": "HIGH"}, "OPEN"),
            ("Camera 3 is dark", {"customerId": other, "category": "CCTV", "technicianId": tess}, "IN_PROGRESS"),
            ("Door will not lock", {"category": "ACCESS_CONTROL", "priority": "URGENT", "technicianId": ugo}, "OPEN"),
            ("Intercom hums", {"category": "INTERCOM", "priority": "LOW", "technicianId": tess}, "RESOLVED"),
            ("Question about an invoice", {}, "CLOSED"),
        ):
            tickets[subject] = await api.new_ticket(subject=subject, **given)
            if status in ("RESOLVED", "CLOSED"):
                await api.done("ticketResolve", "__typename", ticketId=tickets[subject], resolution="Done.")
            if status in ("IN_PROGRESS", "CLOSED"):
                await api.done("ticketSetStatus", "__typename", ticketId=tickets[subject], status=status)
        yield Company(customer, property_id, tess, ugo, tickets)


async def detail(api: Api, ticket_id: str) -> Any:
    """Returns the ticket as on its detail page."""
    return (await api(f"query($id: ID!) {{ ticket(by: {{id: $id}}) {{ {DETAIL} }} }}", id=ticket_id))["ticket"]


async def listed(api: Api, company: Company, **arguments: Any) -> list[str]:
    """Returns the subjects of the company's tickets in the ticket list."""
    document = """query($filter: TicketFilter, $orderBy: [TicketOrder!]) {
      tickets(filter: $filter, orderBy: $orderBy, first: 100) { nodes { subject } } }"""
    nodes = (await api(document, **arguments))["tickets"]["nodes"]
    return [node["subject"] for node in nodes if node["subject"] in company.tickets]


async def test_overview(api: Api, company: Company) -> None:
    """Tickets are created by admins, technicians, customers, the chatbot and from e-mail; each has a unique reference
    with which the customer can track the issue."""
    async with (
        api.technician(company.tess) as tess,
        api.customer(company.customer) as john,
        api.service("chatbot") as chatbot,
        api.service("mail") as mail,
    ):
        made = [
            await api.new_ticket(),
            await tess.new_ticket(),
            await john.new_ticket(),
            await chatbot.new_ticket(chat={"messages": []}),
            await mail.new_ticket(source="EMAIL"),
        ]
        tickets = [await detail(api, id_) for id_ in made]
        assert [ticket["source"] for ticket in tickets] == ["ADMIN", "TECHNICIAN", "CUSTOMER", "CHATBOT", "EMAIL"]
        references = [ticket["reference"] for ticket in tickets]
        assert len(set(references)) == 5
        assert all(re.fullmatch(r"TKT-[A-Z2-9]{6}", reference) for reference in references)

        track = """query($reference: String!, $email: String!) {
          ticketTrack(reference: $reference, email: $email) { reference subject status resolution } }"""
        for asked in (references[2], references[2].lower()):
            tracked = await chatbot(track, reference=asked, email="JOHN@example.com")
            assert tracked["ticketTrack"] == {
                "reference": references[2],
                "subject": "Alarm panel beeping",
                "status": "OPEN",
                "resolution": None,
            }
        wrong = await chatbot(track, reference=references[2], email="dana@whitfield.test")
        assert wrong == {"ticketTrack": None}


async def test_ticket_list(api: Api, company: Company) -> None:
    """The list shows reference number, subject, customer name, property address, priority, status and date."""
    document = f"{{ tickets(first: 100) {{ totalCount nodes {{ {ROW} }} }} }}"
    rows = {row["subject"]: row for row in (await api(document))["tickets"]["nodes"]}
    row = rows["Camera 3 is dark"]
    assert (row["customer"], row["contact"]) == ({"name": "Dana Whitfield"}, {"name": "Dana Whitfield"})
    assert (row["property"], row["priority"], row["status"]) == (None, "MEDIUM", "IN_PROGRESS")
    created = [row for row in rows.values() if row["property"] == {"address": "12 Elm Street"}]
    assert {row["contact"]["name"] for row in created} == {"John Smith"}
    assert datetime.fromisoformat(row["createdAt"]).utcoffset() is not None


async def test_status_tabs(api: Api, company: Company) -> None:
    document = """{ ticketCounts { all open inProgress resolved closed unassigned }
      all: tickets { totalCount } open: tickets(filter: {status: OPEN}) { totalCount }
      inProgress: tickets(filter: {status: IN_PROGRESS}) { totalCount }
      resolved: tickets(filter: {status: RESOLVED}) { totalCount }
      closed: tickets(filter: {status: CLOSED}) { totalCount }
      unassigned: tickets(filter: {assignee: {unassigned: true}}) { totalCount } }"""
    answer = await api(document)
    counts = answer.pop("ticketCounts")
    assert counts == {tab: tickets["totalCount"] for tab, tickets in answer.items()}
    assert counts["all"] == counts["open"] + counts["inProgress"] + counts["resolved"] + counts["closed"]
    assert set(await listed(api, company)) == set(company.tickets)
    assert set(await listed(api, company, filter={"status": "OPEN"})) == {"Siren will not stop", "Door will not lock"}
    assert await listed(api, company, filter={"status": "IN_PROGRESS"}) == ["Camera 3 is dark"]
    assert await listed(api, company, filter={"status": "RESOLVED"}) == ["Intercom hums"]


async def test_search(api: Api, company: Company) -> None:
    """The search finds reference numbers, subjects and customer names."""
    reference = (await detail(api, company.tickets["Door will not lock"]))["reference"]
    for term, found in (
        (reference, ["Door will not lock"]),
        (reference[2:9].lower(), ["Door will not lock"]),
        ("not lock", ["Door will not lock"]),
        ("camera", ["Camera 3 is dark"]),
        ("whitfield", ["Camera 3 is dark"]),
        ("DANA WHIT", ["Camera 3 is dark"]),
        ("invoice", ["Question about an invoice"]),
        ("no such thing", []),
    ):
        assert await listed(api, company, filter={"search": term}) == found, term


async def test_filters(api: Api, company: Company) -> None:
    """The filters are priority, category and assignee: unassigned, or a technician from the list."""
    for filter, found in (
        ({"priority": "URGENT"}, {"Door will not lock"}),
        ({"priority": "LOW"}, {"Intercom hums"}),
        ({"priority": ["HIGH", "URGENT"]}, {"Siren will not stop", "Door will not lock"}),
        ({"category": "CCTV"}, {"Camera 3 is dark"}),
        ({"category": "ACCESS_CONTROL"}, {"Door will not lock"}),
        ({"category": "INTERCOM"}, {"Intercom hums"}),
        ({"category": "ALARM"}, set()),
        ({"category": "GENERAL"}, {"Siren will not stop", "Question about an invoice"}),
        ({"assignee": {"unassigned": True}}, {"Siren will not stop", "Question about an invoice"}),
        ({"assignee": {"technicianId": company.tess}}, {"Camera 3 is dark", "Intercom hums"}),
        ({"assignee": {"technicianId": company.ugo}}, {"Door will not lock"}),
        ({"assignee": {"technicianId": company.tess}, "status": "RESOLVED"}, {"Intercom hums"}),
        ({"assignee": {"technicianId": company.tess}, "status": "RESOLVED", "search": "dark"}, set()),
    ):
        assert set(await listed(api, company, filter=filter)) == found, filter
    technicians = (await api("{ technicians(active: true) { nodes { id name } } }"))["technicians"]["nodes"]
    assert [t["name"] for t in technicians] == sorted(t["name"] for t in technicians)
    assert {"id": company.ugo, "name": "Ugo Ruiz"} in technicians


async def test_sorting(api: Api, company: Company) -> None:
    """The list is sorted by date (newest first by default), reference or status, in either direction."""
    by_creation = list(company.tickets)
    assert await listed(api, company) == by_creation[::-1]

    async def sorted_by(field: str, direction: str) -> list[str]:
        return await listed(api, company, orderBy=[{"field": field, "direction": direction}])

    references = {subject: (await detail(api, id_))["reference"] for subject, id_ in company.tickets.items()}
    by_reference = sorted(by_creation, key=references.__getitem__)
    for field, ascending in (("CREATED_AT", by_creation), ("REFERENCE", by_reference)):
        assert await sorted_by(field, "ASC") == ascending
        assert await sorted_by(field, "DESC") == ascending[::-1]
    by_status = await sorted_by("STATUS", "ASC")
    assert by_status[2:] == ["Camera 3 is dark", "Intercom hums", "Question about an invoice"]
    assert await sorted_by("STATUS", "DESC") == by_status[::-1]


async def test_customer_search(api: Api, company: Company) -> None:
    """A name, e-mail address or account number finds the customer with their properties."""
    document = """query($search: String!) { customers(search: $search, first: 5) { nodes {
      id name email phone accountNumber properties { nodes { id address accountNumber } } } } }"""
    for typed in ("John Smith", "john s", "smith", "SMITH", "john@example.com", "john@exam", "CUST-1001", "cust-1001"):
        found = (await api(document, search=typed))["customers"]["nodes"]
        assert [customer["id"] for customer in found] == [company.customer], typed
    (john,) = found
    assert (john["name"], john["email"], john["phone"]) == ("John Smith", "john@example.com", "613-555-1234")
    assert [(each["address"], each["accountNumber"]) for each in john["properties"]["nodes"]] == [
        ("1 Harbour Road", "PROP-2002"),
        ("12 Elm Street", "PROP-2001"),
    ]
    both = (await api(document, search="cust-100"))["customers"]["nodes"]
    assert {customer["name"] for customer in both} == {"John Smith", "Dana Whitfield"}
    assert (await api(document, search="nobody at all"))["customers"]["nodes"] == []


async def test_new_ticket(api: Api, company: Company) -> None:
    """The form takes a chosen or typed customer and an optional property, and has defaults."""
    issue = {
        "subject": "Alarm panel beeping after power outage",
        "description": "Customer reports their DSC alarm panel has been beeping intermittently since the power outage"
        " last night. The display shows a low battery warning. Panel model: DSC 1832.",
    }
    chosen = await detail(api, await api.new_ticket(**issue, customerId=company.customer, propertyId=company.property))
    assert {name: chosen[name] for name in issue} == issue
    assert chosen["contact"] == {"name": "John Smith", "email": "john@example.com", "phone": "613-555-1234"}
    assert chosen["property"] == {"address": "12 Elm Street", "accountNumber": "PROP-2001"}
    assert (chosen["category"], chosen["priority"], chosen["technician"]) == ("GENERAL", "MEDIUM", None)
    assert chosen["status"] == "OPEN"

    skipped = await detail(api, await api.new_ticket(**issue, customerId=company.customer, propertyId=None))
    assert skipped["property"] is None

    typed = await detail(
        api,
        await api.new_ticket(
            **issue,
            contact={"name": "Jane Roe", "email": "jane@example.com"},
            category="ALARM",
            priority="URGENT",
            technicianId=company.tess,
        ),
    )
    assert (typed["customer"], typed["contact"]["phone"]) == (None, None)
    assert (typed["category"], typed["priority"], typed["technician"]["name"]) == ("ALARM", "URGENT", "Tess Okafor")

    for missing in ("subject", "description"):
        refused = await api.refused(
            "ticketCreate", **issue | {missing: ""}, contact={"name": "Jane Roe", "email": "jane@example.com"}
        )
        assert refused == [("REQUIRED", missing)]
    for missing in ("name", "email"):
        contact = {"name": "Jane Roe", "email": "jane@example.com", missing: ""}
        refused = await api.refused("ticketCreate", "__typename", **issue, contact=contact)
        assert refused == [("REQUIRED", f"contact.{missing}")]


async def test_ticket_detail(api: Api, company: Company) -> None:
    """The detail page has all fields of a ticket and its transcript."""
    async with api.service("chatbot") as chatbot:
        made = await chatbot.new_ticket(
            chat={"messages": [{"author": "CUSTOMER", "body": "Help!", "at": "2026-11-23T08:15:00Z"}]}
        )
    ticket = await detail(api, made)
    assert ticket["reference"].startswith("TKT-")
    assert (ticket["subject"], ticket["description"]) == ("Alarm panel beeping", "Since the power outage.")
    assert (ticket["category"], ticket["source"]) == ("GENERAL", "CHATBOT")
    assert [(message["author"], message["body"]) for message in ticket["chat"]] == [("CUSTOMER", "Help!")]
    assert (await detail(api, company.tickets["Camera 3 is dark"]))["chat"] is None


async def test_status_priority_category_and_assignment_change_at_once(api: Api, company: Company) -> None:
    """Each drop-down saves at once; "Unassigned" removes the assignment."""
    ticket = await api.new_ticket()
    for status in ("IN_PROGRESS", "OPEN"):
        await api.done("ticketSetStatus", "__typename", ticketId=ticket, status=status)
        assert (await detail(api, ticket))["status"] == status
    for priority in ("LOW", "HIGH", "URGENT", "MEDIUM"):
        await api.done("ticketUpdate", "__typename", ticketId=ticket, priority=priority)
        assert (await detail(api, ticket))["priority"] == priority
    for category in ("ALARM", "CCTV", "ACCESS_CONTROL", "INTERCOM", "GENERAL"):
        await api.done("ticketUpdate", "__typename", ticketId=ticket, category=category)
        assert (await detail(api, ticket))["category"] == category

    seen = "query($id: ID!) { ticket(by: {id: $id}) { id } }"
    async with api.technician(company.ugo) as ugo:
        assert (await ugo(seen, id=ticket))["ticket"] is None
        await api.done("ticketAssign", "__typename", ticketId=ticket, technicianId=company.ugo)
        assert (await ugo(seen, id=ticket))["ticket"] == {"id": ticket}  # in the Tech Portal
        await api.done("ticketAssign", "__typename", ticketId=ticket, technicianId=None)
        assert (await ugo(seen, id=ticket))["ticket"] is None
    assert (await detail(api, ticket))["technician"] is None


async def test_adding_notes(api: Api, company: Company) -> None:
    """Notes have a time and an author, are internal by default, and are final. The portal shows public ones."""
    ticket = await api.new_ticket(customerId=company.customer, technicianId=company.tess)
    before = datetime.fromisoformat((await detail(api, ticket))["createdAt"])
    body = "Called customer, scheduled site visit for Thursday 10am."
    async with api.technician(company.tess) as tess, api.customer(company.customer) as john:
        await tess.done("noteAdd", "__typename", ticketId=ticket, body=body)
        await api.done("noteAdd", "__typename", ticketId=ticket, body="See you on Thursday.", internalOnly=False)
        for viewer in (api, tess):
            notes = (await detail(viewer, ticket))["notes"]["nodes"]
            assert [(note["body"], note["internalOnly"]) for note in notes] == [
                (body, True),
                ("See you on Thursday.", False),
            ]
            assert [note["author"]["name"] for note in notes] == ["Tess Okafor", "The Boss"]
            assert all(datetime.fromisoformat(note["createdAt"]) > before for note in notes)
        portal = "query($id: ID!) { ticket(by: {id: $id}) { notes { totalCount nodes { body } } } }"
        assert (await john(portal, id=ticket))["ticket"]["notes"] == {
            "totalCount": 1,
            "nodes": [{"body": "See you on Thursday."}],
        }


async def test_resolving_a_ticket(api: Api, company: Company) -> None:
    ticket = await api.new_ticket(customerId=company.customer)
    assert await api.refused("ticketSetStatus", ticketId=ticket, status="RESOLVED") == [
        ("RESOLUTION_REQUIRED", "resolution")
    ]
    resolution = "Replaced backup battery in DSC 1832 panel. Tested all zones: system operating normally."
    await api.done("ticketResolve", "__typename", ticketId=ticket, resolution=resolution)
    resolved = await detail(api, ticket)
    assert (resolved["status"], resolved["resolution"]) == ("RESOLVED", resolution)
    async with api.customer(company.customer) as john:
        portal = "query($id: ID!) { ticket(by: {id: $id}) { status resolution } }"
        assert (await john(portal, id=ticket))["ticket"] == {"status": "RESOLVED", "resolution": resolution}


async def test_converting_to_the_knowledge_base(api: Api, company: Company) -> None:
    """Subject and resolution become an article, which is edited and then found by the chatbot."""
    ticket = await api.new_ticket(subject="Keypad stays dark after a thunderstorm")
    assert await api.refused("articleCreateFromTicket", ticketId=ticket) == [("RESOLUTION_REQUIRED", "ticketId")]
    await api.done("ticketResolve", "__typename", ticketId=ticket, resolution="Replaced the transformer.")
    fields = "article { id problem solution published }"
    article = (await api.done("articleCreateFromTicket", fields, ticketId=ticket))["article"]
    assert (article["problem"], article["solution"]) == (
        "Keypad stays dark after a thunderstorm",
        "Replaced the transformer.",
    )
    answer = "query($search: String) { articles(search: $search) { nodes { problem solution } } }"
    async with api.service("chatbot") as chatbot:
        assert (await chatbot(answer, search="dark keypads"))["articles"]["nodes"] == []
        edited = {"solution": "Check the transformer's fuse; replace the transformer.", "published": True}
        await api.done("articleUpdate", "__typename", articleId=article["id"], **edited)
        for question in ("dark keypads", "thunderstorms", "transformer fuses"):
            assert (await chatbot(answer, search=question))["articles"]["nodes"] == [
                {"problem": article["problem"], "solution": edited["solution"]}
            ], question
        assert (await chatbot(answer, search="parking"))["articles"]["nodes"] == []


async def test_ticket_lifecycle(api: Api, company: Company) -> None:
    """Created, triaged, in progress, resolved, closed and turned into an article; all of it is in the history."""
    async with api.customer(company.customer) as john, api.technician(company.tess) as tess:
        ticket = await john.new_ticket()
        assert (await detail(api, ticket))["status"] == "OPEN"
        await api.done("ticketUpdate", "__typename", ticketId=ticket, priority="HIGH", category="ALARM")
        await api.done("ticketAssign", "__typename", ticketId=ticket, technicianId=company.tess)
        await tess.done("ticketSetStatus", "__typename", ticketId=ticket, status="IN_PROGRESS")
        await tess.done("ticketResolve", "__typename", ticketId=ticket, resolution="Replaced the battery.")
        await api.done("noteAdd", "__typename", ticketId=ticket, body="Does it work again?", internalOnly=False)
        await john.done("ticketSetStatus", "__typename", ticketId=ticket, status="CLOSED")
        await api.done("articleCreateFromTicket", "__typename", ticketId=ticket)

    closed = await detail(api, ticket)
    assert (closed["status"], closed["resolution"]) == ("CLOSED", "Replaced the battery.")
    assert closed["createdAt"] < closed["resolvedAt"] < closed["closedAt"]
    document = "query($id: ID!) { ticket(by: {id: $id}) { history { nodes { kind actor { kind name } } } } }"
    history = (await api(document, id=ticket))["ticket"]["history"]["nodes"]
    assert [(event["kind"], event["actor"]["name"]) for event in history] == [
        ("CREATED", "John Smith"),
        ("UPDATED", "The Boss"),
        ("ASSIGNED", "The Boss"),
        ("STATUS_CHANGED", "Tess Okafor"),
        ("RESOLVED", "Tess Okafor"),
        ("NOTE_ADDED", "The Boss"),
        ("CLOSED", "John Smith"),
    ]


async def test_notification_settings(api: Api) -> None:
    """An admin sets the recipients of notifications and the Google Chat webhook."""
    fields = "supportSettings { adminRecipients googleChatEnabled googleChatConfigured }"
    changed = await api.done(
        "supportSettingsUpdate",
        fields,
        adminRecipients=["support@company.test"],
        googleChatWebhookUrl="https://chat.googleapis.com/v1/spaces/AAA/messages?key=k&token=t",
        googleChatEnabled=True,
    )
    assert changed["supportSettings"] == {
        "adminRecipients": ["support@company.test"],
        "googleChatEnabled": True,
        "googleChatConfigured": True,
    }
    assert (await api(f"{{ {fields} }}"))["supportSettings"] == changed["supportSettings"]


async def test_admin_actions_are_forbidden_to_technicians(api: Api, company: Company) -> None:
    """Triage is for admins; technicians only work on their own tickets."""
    ticket = company.tickets["Camera 3 is dark"]
    async with api.technician(company.tess) as tess:
        refusals = await asyncio.gather(
            *(
                tess.do(mutation, "__typename", ticketId=ticket, **given)
                for mutation, given in (
                    ("ticketUpdate", {"priority": "LOW"}),
                    ("ticketAssign", {"technicianId": company.ugo}),
                    ("articleCreateFromTicket", {}),
                )
            ),
            return_exceptions=True,
        )
    assert [refusal.codes for refusal in refusals if isinstance(refusal, Refusal)] == [["FORBIDDEN"]] * 3
