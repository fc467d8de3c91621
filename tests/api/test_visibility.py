"""Viewers read only what is visible to them: not by any path, count, order, cursor, search, filter, error or mutation.

The test company has invisible objects of each kind next to each viewer's own: tickets of other customers, tickets that
a viewer has lost or that belonged to others before, and internal notes. Their texts contain marked words. Each viewer
queries everything, in every way that the schema allows, and must find exactly the objects in a handwritten list.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest
from graphql import GraphQLObjectType, get_named_type

from db.entities import FEDERATED, NODES
from db.enums import Role
from tests.helpers.api import Api, Refusal, Server
from tests.helpers.attached_files import announce, attach, patch
from tests.helpers.database_checks import Database, dump, key
from tests.helpers.schema_walker import (
    ENTITIES,
    PREFIXES,
    Everything,
    call,
    id_fields,
    roles_of,
    root_fields,
    unknown,
)
from tests.helpers.sessions import new_admin, signed_in

VIEWERS = ("customer", "technician", "service")

# Marked words, in texts that some viewer must not see.
THEIRS = "Xerxes"  # in the other customer, property, technician, tickets and notes
HUSHED = "hushhush"  # in internal notes
HOOKED = "subscription { ticketChanged { __typename } }"
DRAFT = "drafted"  # in an unpublished article
CHATTED = "chitchat"  # in transcripts
HIDDEN = {
    "customer": (THEIRS, HUSHED, DRAFT, CHATTED),
    "technician": (THEIRS,),
    "service": (THEIRS, HUSHED, DRAFT),
}

ID = re.compile(r"\b[a-z]{3}_[0-9a-f-]{36}\b")
PREFIX_OF = {entity.table.name: entity.prefix for entity in ENTITIES}


@dataclass
class Company:
    admin: Api
    viewers: dict[str, Api]
    others: dict[str, Api]  # for each viewer another one of the same role, with nothing in common
    ids: dict[str, str]  # by the names that `company` gives to objects


@pytest.fixture(scope="module")
async def company(server: Server) -> AsyncIterator[Company]:
    """The viewers are `customer`, `technician` and `service`. All three see `ticket`."""
    admin = Api(server)
    ids: dict[str, str] = {}
    await admin.done("supportSettingsUpdate", "__typename", adminRecipients=[f"{THEIRS}@company.example"])
    ids["customer"] = await admin.new_customer(name="Clara Own", email="clara@own.example", accountNumber="OWN-1")
    ids["customer2"] = await admin.new_customer(
        name=f"{THEIRS} Bell", email=f"{THEIRS}@bell.example", phone="613-555-0666", accountNumber=f"{THEIRS}-1"
    )
    ids["property"] = await admin.new_property(ids["customer"], address="1 Own Street")
    ids["property2"] = await admin.new_property(
        ids["customer2"], address=f"2 {THEIRS} Street", accountNumber=f"{THEIRS}-P"
    )
    ids["technician"] = await admin.new_technician(name="Tess Own")
    ids["technician2"] = await admin.new_technician(
        name=f"{THEIRS} Tom", email=f"{THEIRS}@tom.example", phone="613-555-0667"
    )
    ids["carl"] = await admin.new_technician(name="Carl Between", phone="613-555-0668")
    ids["admin"] = f"adm_{await new_admin(server.database_url)}"
    for role, name in ((Role.ADMIN, "admin"), (Role.TECHNICIAN, "technician2"), (Role.CUSTOMER, "customer2")):
        await signed_in(server.database_url, role, key(ids[name]))
    ids["session"] = (await admin("{ sessions(first: 1) { nodes { id } } }"))["sessions"]["nodes"][0]["id"]

    customer, customer2 = admin.customer(ids["customer"]), admin.customer(ids["customer2"])
    tess, tom = admin.technician(ids["technician"]), admin.technician(ids["technician2"])
    bot, bot2 = admin.service("bot"), admin.service("bot2")
    viewers = {"customer": customer, "technician": tess, "service": bot}
    others = {"customer": customer2, "technician": tom, "service": bot2}
    theirs = {"subject": f"{THEIRS} panel", "description": f"{THEIRS} description"}

    def chat(body: str) -> dict[str, Any]:
        return {"messages": [{"author": "CUSTOMER", "body": body, "at": "2026-11-23T08:15:00Z"}]}

    async def update(ticket: str, **changed: Any) -> None:
        await admin.done("ticketUpdate", "__typename", ticketId=ids[ticket], contactFromCustomer=True, **changed)

    async def assign(ticket: str, technician: str) -> None:
        await admin.done("ticketAssign", "__typename", ticketId=ids[ticket], technicianId=ids[technician])

    async def offered(ticket: str) -> str:
        document = "query($id: ID!) { ticket(by: {id: $id}) { assignment { id } } }"
        return str((await admin(document, id=ids[ticket]))["ticket"]["assignment"]["id"])

    async def note(viewer: Api, ticket: str, body: str, **given: Any) -> str:
        added = await viewer.done("noteAdd", "note { id }", ticketId=ids[ticket], body=body, **given)
        return str(added["note"]["id"])

    async def file(viewer: Api, ticket: str, name: str, **given: Any) -> str:
        return await attach(viewer, name.encode(), name=name, ticketId=ids[ticket], **given)

    async def article(ticket: str, resolution: str) -> str:
        await admin.done("ticketResolve", "__typename", ticketId=ids[ticket], resolution=resolution)
        made = await admin.done("articleCreateFromTicket", "article { id }", ticketId=ids[ticket])
        return str(made["article"]["id"])

    # Visible to all three: created by the chatbot, with the customer, assigned to the technician.
    ids["ticket"] = await bot.new_ticket(subject="Own panel", chat=chat(f"A {CHATTED} of our own."))
    await update("ticket", customerId=ids["customer"], propertyId=ids["property"])
    await assign("ticket", "technician")
    ids["assignment"] = await offered("ticket")
    await tess.done("assignmentAdvance", "__typename", assignmentId=ids["assignment"], to="ACCEPTED")
    ids["internal"] = await note(tess, "ticket", f"Between us: {HUSHED}.")
    ids["public"] = await note(tess, "ticket", "Shown to all.", internalOnly=False)
    ids["internal_file"] = await file(tess, "ticket", f"{HUSHED}.jpg")
    ids["public_file"] = await file(tess, "ticket", "own.jpg", internalOnly=False)
    hushed = {"name": f"{HUSHED}.jpg", "internalOnly": False, "ticketId": ids["ticket"]}
    ids["unfinished_file"], _ = await announce(tess, b"unfinished", **hushed)
    ids["refused_file"], url = await announce(tess, b"refused", **hushed)
    assert (await patch(tess, url, 0, b"another")).status_code == 422
    ids["own_refused_file"], url = await announce(customer, b"mine", ticketId=ids["ticket"])
    assert (await patch(customer, url, 0, b"nope")).status_code == 422
    ids["own_unfinished_file"], _ = await announce(bot, b"theirs", ticketId=ids["ticket"])
    ids["article"] = await article("ticket", "Own resolution.")
    await admin.done("articleUpdate", "__typename", articleId=ids["article"], published=True)
    # One ticket only of the customer, and one of the customer with another technician.
    ids["mine"] = await customer.new_ticket(subject="Own doorbell", propertyId=ids["property"])
    await assign("mine", "carl")
    declined = {"assignmentId": await offered("mine"), "to": "DECLINED", "reason": f"Between us: {HUSHED}."}
    async with admin.technician(ids["carl"]) as carl:
        await carl.done("assignmentAdvance", "__typename", **declined)
    ids["sibling"] = await admin.new_ticket(
        subject="Own camera", customerId=ids["customer"], propertyId=ids["property"], technicianId=ids["carl"]
    )
    # Visible to the technician who created it, but assigned to another one.
    ids["typed"] = await tess.new_ticket(subject="Own intercom")
    await assign("typed", "carl")
    # Unrelated to the viewers, except for Carl.
    ids["theirs"] = await bot2.new_ticket(**theirs, chat=chat(f"A {CHATTED} of {THEIRS}."))
    await update("theirs", customerId=ids["customer2"], propertyId=ids["property2"])
    await assign("theirs", "technician2")
    await note(tom, "theirs", f"{THEIRS} {HUSHED}")
    ids["their_note"] = await note(customer2, "theirs", f"{THEIRS} note")
    ids["their_file"] = await file(customer2, "theirs", f"{THEIRS}.jpg")
    ids["draft"] = await article("theirs", f"{THEIRS} resolution")
    drafted = {"problem": f"Still {DRAFT}", "solution": f"To be {DRAFT}"}
    await admin.done("articleUpdate", "__typename", articleId=ids["draft"], **drafted)
    ids["carls"] = await admin.new_ticket(**theirs, customerId=ids["customer2"], technicianId=ids["carl"])
    # Formerly of the technician, now of another one.
    ids["handed"] = await admin.new_ticket(**theirs, customerId=ids["customer2"], technicianId=ids["technician"])
    await note(tess, "handed", f"{THEIRS} {HUSHED}, said by Tess")
    await assign("handed", "technician2")
    # Formerly of another customer, now of the customer.
    ids["moved"] = await customer2.new_ticket(
        subject="Own gate", description="Wrongly filed.", contact={"name": f"{THEIRS} Bell"}
    )
    await note(customer2, "moved", f"{THEIRS} wants the gate mended.")
    ids["before_move"] = await file(customer2, "moved", f"{THEIRS} gate.jpg")
    await update(
        "moved", customerId=ids["customer"], contact={"name": "Clara", "email": "clara@own.example", "phone": None}
    )
    ids["after_move"] = await note(admin, "moved", "Own gate after all.", internalOnly=False)
    await admin.done(
        "inboundEmailIngest", "outcome", message={"text": f"From: {THEIRS}@bell.example, b@bell.example\n"}
    )
    ids["apiKey"] = (await admin.done("apiKeyCreate", "apiKey { id }", name=f"{THEIRS} key"))["apiKey"]["id"]
    account = {"issuer": "https://login.example/", "subject": f"{THEIRS} account"}
    linked = await admin.done("identityLink", "identity { id }", **account, person={"technicianId": ids["technician"]})
    ids["identity"] = linked["identity"]["id"]
    for viewer, name in ((bot, "webhook"), (bot2, "their_webhook")):
        hooked = {"url": f"https://{THEIRS if viewer is bot2 else 'own'}.invalid/", "document": HOOKED}
        ids[name] = (await viewer.done("webhookCreate", "webhook { id }", **hooked))["webhook"]["id"]
        tried = await viewer.done("webhookTest", "delivery { id }", webhookId=ids[name])
        ids[f"{name}_test"] = tried["delivery"]["id"]

    yield Company(admin, viewers, others, ids)
    for api in (admin, *viewers.values(), *others.values()):
        await api.close()


SEEN = {
    "customer": {
        *("customer", "property", "technician", "carl"),
        *("ticket", "mine", "sibling", "moved"),
        *("public", "after_move", "article"),
        *("public_file", "own_refused_file"),
    },
    "technician": {
        *("customer", "property", "technician", "carl"),
        *("ticket", "typed"),
        *("internal", "public", "article", "draft"),
        *("internal_file", "public_file", "unfinished_file", "refused_file", "own_refused_file", "own_unfinished_file"),
    },
    "service": {
        *("customer", "property", "technician", "ticket", "public", "article"),
        *("public_file", "own_unfinished_file"),
        *("webhook", "webhook_test"),
    },
}
"""The objects that each viewer may find, by name, without the events of these tickets."""


async def every_id(database: Database) -> set[str]:
    """Returns the ids of all objects in the database."""
    ids = set()
    for table, prefix in PREFIX_OF.items():
        ids |= {f"{prefix}_{row[0]}" for row in await database.fetch(f"SELECT id FROM {table}")}
    return ids


async def events_of(database: Database, company: Company, viewer: str) -> set[str]:
    """Returns the ids of the events that the viewer may find: those on their tickets, for customers and services only
    public ones, and for customers only those since the ticket became theirs."""
    tickets = [key(company.ids[name]) for name in SEEN[viewer] if company.ids[name].startswith("tkt_")]
    rows = await database.fetch(
        "SELECT id, public, after ->> 'customer_id' AS customer, kind, actor_id FROM ticket_events"
        " WHERE ticket_id = ANY($1)",
        tickets,
    )
    customer = key(company.ids["customer"])
    subjects = {"customer": customer, "service": "bot"}
    return {
        f"evt_{row['id']}"
        for row in rows
        if viewer == "technician" or (row["public"] and (viewer == "service" or row["customer"] == customer))
        if viewer == "technician" or row["kind"] != "ATTACHMENT_REJECTED" or row["actor_id"] == subjects[viewer]
    }


async def deliveries_of(database: Database, company: Company, viewer: str) -> set[str]:
    """Returns the ids of the deliveries that the viewer may find: for technicians, those on their tickets to the
    customer and to themselves."""
    if viewer != "technician":
        return set()
    tickets = [key(company.ids[name]) for name in SEEN[viewer] if company.ids[name].startswith("tkt_")]
    rows = await database.fetch(
        "SELECT id FROM deliveries WHERE ticket_id = ANY($1) AND (audience = 'CUSTOMER' OR technician_id = $2)",
        tickets,
        key(company.ids["technician"]),
    )
    return {f"dlv_{row['id']}" for row in rows}


async def assignments_of(database: Database, company: Company, viewer: str) -> set[str]:
    """Returns the ids of the assignments that the viewer may find: for technicians, those of their tickets and their
    own; for others, the present ones of their tickets that were accepted."""
    tickets = [key(company.ids[name]) for name in SEEN[viewer] if company.ids[name].startswith("tkt_")]
    rows = await database.fetch(
        """SELECT id, technician_id::text, EXISTS (SELECT FROM tickets WHERE assignment_id = assignments.id)
            AND state IN ('ACCEPTED', 'EN_ROUTE', 'ON_SITE', 'LEFT') AS public, ticket_id = ANY($1) AS of_ticket
        FROM assignments""",
        tickets,
    )
    technician = key(company.ids["technician"])
    return {
        f"asg_{row['id']}"
        for row in rows
        if (row["of_ticket"] and (row["public"] or viewer == "technician"))
        or (viewer == "technician" and row["technician_id"] == technician)
    }


async def seen(database: Database, company: Company, viewer: str) -> set[str]:
    """Returns all ids that the viewer may find: those listed, the events, and internal notes added by tests."""
    named = {company.ids[name] for name in SEEN[viewer]} | await events_of(database, company, viewer)
    named |= await deliveries_of(database, company, viewer) | await assignments_of(database, company, viewer)
    if viewer != "technician":
        return named
    tickets = [key(id_) for id_ in named if id_.startswith("tkt_")]
    notes = await database.fetch("SELECT id FROM notes WHERE ticket_id = ANY($1)", tickets)
    return named | {f"not_{row['id']}" for row in notes}


async def ask(viewer: Api, document: str, **variables: Any) -> str:
    """Returns the response as text, including errors, without the parts that vary."""
    response = await viewer.http.post("/graphql", json={"query": document, "variables": variables})
    # Page cursors are the Base64 of '["…'; all others are sealed, and look different each time.
    text = re.sub(r'"(requestId|streamCursor|cursor)" ?: ?"(?!WyJ)[^"]*"', r'"\1":""', response.text)
    return re.sub(r"issued=\d+&signature=[0-9a-f]+", "…", text)


# Everything, in every way


async def everything(
    company: Company, database: Database, viewer: Api, role: Role
) -> tuple[Everything, dict[str, str]]:
    """Returns the responses to all documents that select everything that the role may read, by document."""
    of_nodes = tuple(f"{entity.prefix}_" for entity in NODES)
    ids = sorted(id_ for id_ in await every_id(database) if id_.startswith(of_nodes))
    ticket = company.ids["ticket"]
    reference = await database.fetchval("SELECT reference FROM tickets WHERE id = $1", key(ticket))
    asked = Everything(
        role,
        {
            "node": [f'id: "{ticket}"'],
            "nodes": [f"ids: {json.dumps(ids[start : start + 30])}" for start in range(0, len(ids), 30)],
            "_entities": [f"representations: [{', '.join(representations(ids))}]"],
            "ticket": [f'by: {{ reference: "{reference}" }}'],
            "ticketTrack": [f'reference: "{reference}", email: "clara@own.example"'],
            "auditEntries": ["first: 100"],
            "articles": ["first: 5", f'first: 5, search: "panel or {DRAFT}"'],
        },
    )
    return asked, await answers(viewer, asked.documents())


def representations(ids: list[str]) -> Iterator[str]:
    """Yields those of the ids that are of entities that other subgraphs may extend, as GraphQL text."""
    names = {f"{entity.prefix}_": entity.name for entity in FEDERATED}
    for id_ in ids:
        if id_[:4] in names:
            yield f'{{ __typename: "{names[id_[:4]]}", id: "{id_}" }}'


async def answers(viewer: Api, documents: Iterable[str]) -> dict[str, str]:
    answered = {document: await ask(viewer, document) for document in documents}
    for document, answer in answered.items():
        codes = {error["extensions"]["code"] for error in json.loads(answer).get("errors", ())}
        assert codes <= ({"NOT_FOUND"} if "nodes(ids" in document else set()), (document, answer)
    return answered


@pytest.mark.parametrize("name", VIEWERS)
async def test_querying_everything_finds_exactly_the_visible_objects(
    company: Company, database: Database, name: str
) -> None:
    asked, answered = await everything(company, database, company.viewers[name], Role(name.upper()))
    assert asked.readable() - asked.reached == set()
    text = "\n".join(answered.values())
    found = set(ID.findall(text)) & await every_id(database)
    theirs = await seen(database, company, name)
    assert (found - theirs, theirs - found) == (set(), set())
    for word in HIDDEN[name]:
        assert word.lower() not in text.lower()
    for number in ("555-0666", "555-0667"):
        assert number not in text


async def test_the_company_has_an_object_of_each_entity(company: Company, database: Database) -> None:
    """Otherwise the tests could not find one that is visible to the wrong viewer."""
    assert {id_[:3] for id_ in await every_id(database)} == {entity.prefix for entity in ENTITIES}


async def test_an_admin_querying_everything_finds_all_objects(company: Company, database: Database) -> None:
    """This proves that the documents of the test above leave nothing out."""
    _, answered = await everything(company, database, company.admin, Role.ADMIN)
    assert set(ID.findall("\n".join(answered.values()))) == await every_id(database)


@pytest.mark.parametrize("name", ["customer", "service"])
async def test_an_internal_note_changes_no_result_of_customers_and_services(
    company: Company, database: Database, name: str
) -> None:
    """Everything is queried before and after."""
    viewer = company.viewers[name]
    _, before = await everything(company, database, viewer, Role(name.upper()))
    await company.admin.done("noteAdd", "__typename", ticketId=company.ids["ticket"], body=f"More {HUSHED}.")
    assert await answers(viewer, before) == before


async def test_an_internal_note_does_not_affect_customers_sorts_and_filters_by_time(
    company: Company, database: Database
) -> None:
    admin = company.admin
    customer = await admin.new_customer()
    technician = await admin.new_technician()
    tickets = [await admin.new_ticket(customerId=customer, technicianId=technician) for _ in range(3)]
    now = (await database.fetchval("SELECT clock_timestamp()")).isoformat()
    await admin.done("noteAdd", "__typename", ticketId=tickets[0], body="Internal.")
    document = """query($now: DateTime!) {
        tickets(orderBy: [{ field: UPDATED_AT, direction: DESC }]) { nodes { id } }
        since: tickets(filter: { updatedAt: { from: $now } }) { nodes { id } totalCount }
        counts: ticketCounts(filter: { not: { updatedAt: { until: $now } } }) { all } }"""
    async with admin.customer(customer) as owner, admin.technician(technician) as worker:
        for viewer, order in ((owner, [2, 1, 0]), (worker, [0, 2, 1])):
            changed = [tickets[0]] if viewer is worker else []
            assert await viewer(document, now=now) == {
                "tickets": {"nodes": [{"id": tickets[index]} for index in order]},
                "since": {"nodes": [{"id": id_} for id_ in changed], "totalCount": len(changed)},
                "counts": {"all": len(changed)},
            }


async def test_a_tickets_version_counts_only_changes_in_the_visible_history(company: Company) -> None:
    admin = company.admin
    customer, technician = await admin.new_customer(), await admin.new_technician()
    async with admin.customer(customer) as owner:
        ticket = await owner.new_ticket()
        for mutation, given in (
            ("noteAdd", {"body": "Internal."}),
            ("ticketAssign", {"technicianId": technician}),
            ("noteAdd", {"body": "Internal."}),
            ("noteAdd", {"body": "Public.", "internalOnly": False}),
            ("ticketUpdate", {"priority": "HIGH"}),
            ("ticketResolve", {"resolution": "Mended."}),
        ):
            await admin.done(mutation, "__typename", ticketId=ticket, **given)
            found = await owner(
                "query($id: ID!) { ticket(by: { id: $id }) { version history { nodes { kind } } } }", id=ticket
            )
            kinds = [event["kind"] for event in found["ticket"]["history"]["nodes"]]
            assert found["ticket"]["version"] == len([kind for kind in kinds if kind != "NOTE_ADDED"])


# One object, by its id


@pytest.mark.parametrize("name", VIEWERS)
async def test_an_invisible_id_is_treated_like_an_unknown_one(company: Company, database: Database, name: str) -> None:
    viewer = company.viewers[name]
    hidden = await every_id(database) - await seen(database, company, name)
    assert len(hidden) > 20
    nothing: dict[str, str] = {}
    for id_ in sorted(hidden):
        prefix = id_[:3]
        ticket = "c: ticket(by: { id: $id }) { id }" if prefix == "tkt" else ""
        document = f"query($id: ID!) {{ a: node(id: $id) {{ __typename id }} b: nodes(ids: [$id]) {{ id }} {ticket} }}"
        if prefix not in nothing:
            unknown_id = f"{prefix}_{uuid.uuid4()}"
            nothing[prefix] = (await ask(viewer, document, id=unknown_id)).replace(unknown_id, "…")
        assert (await ask(viewer, document, id=id_)).replace(id_, "…") == nothing[prefix]


@pytest.mark.parametrize("name", VIEWERS)
async def test_an_invisible_reference_is_treated_like_an_unknown_one(
    company: Company, database: Database, name: str
) -> None:
    document = "query($reference: String!) { ticket(by: { reference: $reference }) { id } }"
    rows = await database.fetch("SELECT id, reference FROM tickets")
    theirs = await seen(database, company, name)
    found = {f"tkt_{row['id']}": await company.viewers[name](document, reference=row["reference"]) for row in rows}
    assert found == {id_: {"ticket": {"id": id_} if id_ in theirs else None} for id_ in found}
    assert [id_ for id_ in found if id_ in theirs] and [id_ for id_ in found if id_ not in theirs]


async def test_tracking_with_a_wrong_address_is_treated_like_an_unknown_reference(
    company: Company, database: Database
) -> None:
    document = "query($r: String!, $e: String!) { ticketTrack(reference: $r, email: $e) { subject } }"
    service = company.viewers["service"]
    reference = await database.fetchval("SELECT reference FROM tickets WHERE id = $1", key(company.ids["theirs"]))
    answered = {
        await ask(service, document, r=tried, e=email)
        for tried in (reference, "TKT-ZZZZZZ", reference[:-1] + "_", "%", "")
        for email in ("clara@own.example", "", "%", f"{THEIRS}@bell.example%")
    }
    assert answered == {'{"data":{"ticketTrack":null}}'}


# Lists: filters, searches, counts, cursors


def filters(company: Company, id_of: Callable[[str], str]) -> Iterator[dict[str, Any]]:
    """Yields every filter that takes an id, alone and nested in others."""
    for plain in (
        {"customerId": id_of("customer2")},
        {"propertyId": id_of("property2")},
        {"assignee": {"technicianId": id_of("technician2")}},
    ):
        yield plain
        yield {"not": plain}
        yield {"or": [plain, {"status": ["RESOLVED"]}]}
        yield {"and": [{"not": plain}, {"not": {"not": plain}}]}


LISTED = """query($filter: TicketFilter!) {
    tickets(filter: $filter) { totalCount nodes { id } pageInfo { hasNextPage endCursor } }
    ticketCounts(filter: $filter) { all open resolved unassigned }
    customers { nodes { tickets(filter: $filter) { totalCount nodes { id } } } }
    properties { nodes { tickets(filter: $filter) { totalCount nodes { id } } } } }"""


@pytest.mark.parametrize("name", VIEWERS)
async def test_a_filter_by_an_invisible_id_is_treated_like_an_unknown_one(company: Company, name: str) -> None:
    viewer = company.viewers[name]
    nothing = filters(company, lambda thing: f"{company.ids[thing][:3]}_{uuid.uuid4()}")
    alike = 0
    for filter_, other in zip(filters(company, company.ids.__getitem__), nothing, strict=True):
        answer = await ask(viewer, LISTED, filter=filter_)
        assert answer.startswith('{"data":')
        assert answer == await ask(viewer, LISTED, filter=other)
        assert answer != await ask(company.admin, LISTED, filter=filter_)
        alike += 1
    assert alike == 12
    document = "query($id: ID!) { properties(customerId: $id) { totalCount nodes { id } } }"
    found = await viewer(document, id=company.ids["customer2"])
    assert found == {"properties": {"totalCount": 0, "nodes": []}}


@pytest.mark.parametrize("name", VIEWERS)
async def test_each_way_of_reading_a_list_returns_only_visible_tickets(
    company: Company, database: Database, name: str
) -> None:
    """Lists are read in several ways, depending on filter and order. Every viewer has open tickets about panels."""
    orders = [
        f"{field}_{way}" for field in ("CREATED_AT", "UPDATED_AT", "STATUS", "PRIORITY") for way in ("ASC", "DESC")
    ]
    page = "(first: 2, filter: $filter, orderBy: [{{ field: {}, direction: {} }}]) {{ totalCount nodes {{ id }} }}"
    lists = " ".join(f"{order}: tickets" + page.format(*order.rsplit("_", 1)) for order in orders)
    nested = " ".join(
        f"{things} {{ nodes {{ {order}: tickets{page.format(*order.rsplit('_', 1))} }} }}"
        for things in ("customers", "properties")
        for order in orders[:2]
    )
    document = f"query($filter: TicketFilter!) {{ {lists} {nested} }}"
    theirs = await seen(database, company, name)
    for filter_ in (
        {"search": "panel"},
        {"search": "panel", "status": ["RESOLVED", "OPEN"]},
        {"search": "pan", "customerId": company.ids["customer"]},
        {"status": ["OPEN", "RESOLVED"]},
        {"status": ["RESOLVED"], "assignee": {"unassigned": False}},
        {"or": [{"search": "panel"}, {"status": ["OPEN"]}]},
    ):
        found = await company.viewers[name](document, filter=filter_)
        everyones = await company.admin(
            "query($f: TicketFilter!) { tickets(filter: $f, first: 100) { nodes { id } } }", f=filter_
        )
        mine = {node["id"] for node in everyones["tickets"]["nodes"]} & theirs
        assert mine
        assert set(ID.findall(json.dumps(found))) <= mine
        assert {found[order]["totalCount"] for order in orders} == {len(mine)}
        assert {len(found[order]["nodes"]) for order in orders} == {min(2, len(mine))}


@pytest.mark.parametrize("name", VIEWERS)
async def test_a_search_does_not_match_texts_that_the_viewer_cannot_read(company: Company, name: str) -> None:
    viewer = company.viewers[name]
    document = """query($term: String!) {
        tickets(filter: { search: $term }) { totalCount } ticketCounts(filter: { search: $term }) { all }
        customers(search: $term) { totalCount } articles(search: $term) { totalCount } }"""
    words = {*HIDDEN[name], f"{THEIRS}@bell.example", HUSHED}
    if name == "service":  # services read neither account numbers nor e-mail addresses
        words |= {"OWN-1", "clara@own"}
    everything = await company.admin(document, term=THEIRS)  # an admin may read it
    assert everything["tickets"]["totalCount"] == everything["ticketCounts"]["all"] == 3
    assert everything["customers"] == {"totalCount": 1}
    assert (await company.admin(document, term=DRAFT))["articles"] == {"totalCount": 1}
    for word in words:
        found = await viewer(document, term=word)
        assert found == {
            "tickets": {"totalCount": 0},
            "ticketCounts": {"all": 0},
            "customers": {"totalCount": 0},
            "articles": {"totalCount": 0},
        }, word


async def test_counts_include_only_visible_tickets(company: Company) -> None:
    document = "{ ticketCounts { all open inProgress resolved closed unassigned } tickets { totalCount } %s }"
    nested = "customers { nodes { tickets { totalCount } } } properties { nodes { tickets { totalCount } } }"
    expected = {
        "customer": ((4, 3, 0, 1, 0, 2), [4], [3]),
        "technician": ((2, 1, 0, 1, 0, 0), [1], [1]),
        "service": ((1, 0, 0, 1, 0, 0), [1], [1]),
    }
    for name, (counts, of_customers, of_properties) in expected.items():
        found = await company.viewers[name](document % nested)
        assert tuple(found["ticketCounts"].values()) == counts
        assert found["tickets"]["totalCount"] == counts[0]
        assert [node["tickets"]["totalCount"] for node in found["customers"]["nodes"]] == of_customers
        assert [node["tickets"]["totalCount"] for node in found["properties"]["nodes"]] == of_properties


async def test_a_technician_sees_only_shared_tickets_of_a_colleague(company: Company) -> None:
    """Carl has three tickets; Tess has created one of them."""
    document = "query($id: ID!) { node(id: $id) { ... on Technician { openTicketCount tickets { nodes { id } } } } }"
    found = await company.viewers["technician"](document, id=company.ids["carl"])
    assert found["node"] == {"openTicketCount": 1, "tickets": {"nodes": [{"id": company.ids["typed"]}]}}
    assert (await company.admin(document, id=company.ids["carl"]))["node"]["openTicketCount"] == 3


PAGE = """query($order: [TicketOrder!]!, $after: String, $before: String, $first: Int, $last: Int) {
    tickets(orderBy: $order, after: $after, before: $before, first: $first, last: $last) {
        edges { cursor node { id } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"""


def opened(cursor: str) -> list[Any]:
    """Returns the parts of a page cursor: its list's order, the sort values and the id."""
    values: list[Any] = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    return values


def sealed(values: list[Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


@pytest.mark.parametrize("name", VIEWERS)
@pytest.mark.parametrize("field", ["CREATED_AT", "UPDATED_AT", "REFERENCE", "STATUS", "PRIORITY"])
async def test_a_forged_cursor_of_an_invisible_ticket_shows_only_visible_ones(
    company: Company, database: Database, name: str, field: str
) -> None:
    """Both the neighbours and the page information refer only to the viewer's tickets."""
    viewer = company.viewers[name]
    order = [{"field": field, "direction": "ASC"}]
    edges = (await viewer(PAGE, order=order, first=100))["tickets"]["edges"]
    mine = [edge["node"]["id"] for edge in edges]
    assert set(mine) == {company.ids[thing] for thing in SEEN[name] if company.ids[thing].startswith("tkt_")}
    theirs = (await company.admin(PAGE, order=order, first=100))["tickets"]["edges"]
    everyone = [edge["node"]["id"] for edge in theirs]
    assert set(mine) < set(everyone)
    head = opened(edges[0]["cursor"])[0]
    for index, edge in enumerate(theirs):
        if edge["node"]["id"] in mine:
            continue
        cursor = sealed([head, *opened(edge["cursor"])[1:]])
        past = [id_ for id_ in everyone[:index] if id_ in mine]
        future = [id_ for id_ in everyone[index:] if id_ in mine]
        if field == "UPDATED_AT" and name != "technician":
            past, future = await _by_public_time(database, mine, opened(edge["cursor"]))
        for given, expected, flags in (
            ({"after": cursor, "first": 100}, future, {"hasNextPage": False, "hasPreviousPage": bool(past)}),
            ({"before": cursor, "last": 100}, past, {"hasNextPage": bool(future), "hasPreviousPage": False}),
        ):
            page = (await viewer(PAGE, order=order, **given))["tickets"]
            assert [edge["node"]["id"] for edge in page["edges"]] == expected
            assert {flag: page["pageInfo"][flag] for flag in flags} == flags


async def _by_public_time(database: Database, mine: list[str], values: list[Any]) -> tuple[list[str], list[str]]:
    rows = await database.fetch(
        "SELECT id, (public_updated_at, id) < ($2, $3) AS past FROM tickets WHERE id = ANY($1)"
        " ORDER BY public_updated_at",
        [key(id_) for id_ in mine],
        datetime.fromisoformat(values[1]),
        values[2],
    )
    past, future = ([f"tkt_{row['id']}" for row in rows if row["past"] is side] for side in (True, False))
    return past, future


async def test_a_cursor_contains_only_data_that_its_viewer_sees(company: Company) -> None:
    order = [{"field": "UPDATED_AT", "direction": "DESC"}]
    document = PAGE.replace("node { id }", "node { id updatedAt }")
    for name in VIEWERS:
        edges = (await company.viewers[name](document, order=order, first=100))["tickets"]["edges"]
        assert len(edges) == len([thing for thing in SEEN[name] if company.ids[thing].startswith("tkt_")])
        for edge in edges:
            _, time, id_ = opened(edge["cursor"])
            node = edge["node"]
            assert (datetime.fromisoformat(time), f"tkt_{id_}") == (
                datetime.fromisoformat(node["updatedAt"]),
                node["id"],
            )


async def test_a_cursor_reveals_nothing_to_a_viewer_without_tickets(company: Company, database: Database) -> None:
    order = [{"field": "CREATED_AT", "direction": "ASC"}]
    cursors = [edge["cursor"] for edge in (await company.admin(PAGE, order=order, first=100))["tickets"]["edges"]]
    assert len(cursors) >= 8
    async with company.admin.customer(await company.admin.new_customer()) as nobody:
        for cursor in cursors:
            for given in ({"after": cursor}, {"before": cursor}, {"after": cursor, "last": 1}):
                page = (await nobody(PAGE, order=order, **given))["tickets"]
                assert page["edges"] == []
                assert set(page["pageInfo"].values()) == {False, None}


# Mutations


def payload_selection(name: str) -> str:
    """Returns a selection of all fields of the mutation's payload."""
    payload = get_named_type(root_fields("Mutation")[name].type)
    assert isinstance(payload, GraphQLObjectType)
    selections = {"userErrors": "userErrors { code field message }", "streamCursor": "", "uploadUrl": ""}
    selections |= {"presence": "presence { state }", "renewWithinSeconds": ""}
    selections |= {"secret": "secret", "deletedId": "deletedId"}
    return " ".join(selections.get(field, f"{field} {{ id }}") for field in payload.fields)


_CREATING = ("ticketCreate customerId", "ticketCreate propertyId", "ticketCreate technicianId")
_ATTACHING = ("attachmentCreate ticketId", "attachmentCreate noteId")
_SIGNED_IN = ["sessionRevoke sessionId"]
TRIED = {
    "customer": [*_CREATING, "ticketSetStatus ticketId", "noteAdd ticketId", *_ATTACHING, *_SIGNED_IN],
    "technician": [
        *(*_CREATING, "ticketSetStatus ticketId", "ticketResolve ticketId", "noteAdd ticketId", "presenceSet ticketId"),
        *("propertyAccessNoteAdd propertyId", "assignmentAdvance assignmentId", *_ATTACHING),
        *_SIGNED_IN,
    ],
    "service": [
        *(*_CREATING, "noteAdd ticketId", *_ATTACHING),
        *(f"webhook{verb} webhookId" for verb in ("Update", "RotateSecret", "Resume", "Suspend", "Replay")),
        *(f"webhook{verb} webhookId" for verb in ("Test", "Delete")),
    ],
}
"""The ids that the mutations of each role take."""


@pytest.mark.parametrize("name", VIEWERS)
async def test_a_mutation_of_an_invisible_object_is_treated_like_an_unknown_one(
    company: Company, database: Database, name: str
) -> None:
    """Each mutation that the role may use, with each id that it takes: the responses are equal, and nothing changes."""
    viewer, hidden = company.viewers[name], await every_id(database) - await seen(database, company, name)
    tried = []
    before = await dump(database)
    for mutation, definition in root_fields("Mutation").items():
        if Role(name.upper()) not in roles_of(definition):
            continue
        for field in id_fields(mutation):
            request = call(
                "Mutation", mutation, lambda name: company.ids[name.removesuffix("Id")], payload_selection(mutation)
            )
            if mutation == "noteAdd":
                request["variables"]["input"]["idempotencyKey"] = "tried"  # services need one
            if mutation == "presenceSet":
                request["variables"]["input"]["state"] = "VIEWING"
            words = []
            for id_ in [unknown(field), *sorted(id_ for id_ in hidden if id_.startswith(PREFIXES[field]))]:
                request["variables"]["input"][field] = id_
                words.append((await ask(viewer, request["query"], **request["variables"])).replace(id_, "…"))
            assert len(words) > 1
            assert set(words) == {words[0]}
            (payload,) = json.loads(words[0])["data"].values()
            errors = payload.pop("userErrors")
            assert {error["code"] for error in errors} & {"NOT_FOUND", "NOT_ALLOWED"}, (mutation, field)
            assert set(payload.values()) <= {None}  # a session that has ended is not in the payload
            tried.append(f"{mutation} {field}")
    assert tried == TRIED[name]
    assert await dump(database) == before


async def test_an_idempotency_key_of_another_viewer_has_no_effect(company: Company, database: Database) -> None:
    """It neither repeats the other viewer's request nor conflicts with it."""
    admin = company.admin
    first, second = await admin.new_customer(), await admin.new_customer()
    namesake = Api(admin.server, Role.ADMIN, key(first))
    given: dict[str, Any] = {"subject": "Panel", "description": "Beeps.", "idempotencyKey": "one"}
    async with admin.customer(first) as one, admin.customer(second) as two, namesake:
        made = [
            await viewer.done("ticketCreate", "ticket { id customer { id } }", **given, **more)
            for viewer, more in ((one, {}), (two, {}), (namesake, {"customerId": first}))
        ]
        assert [payload["ticket"]["customer"]["id"] for payload in made] == [first, second, first]
        assert len({payload["ticket"]["id"] for payload in made}) == 3
        again = await two.done("ticketCreate", "ticket { id }", **given)
        assert again["ticket"]["id"] == made[1]["ticket"]["id"]
        ticket = made[0]["ticket"]["id"]
        note = {"ticketId": ticket, "body": "Mine.", "idempotencyKey": "two"}
        await one.done("noteAdd", "__typename", **note)
        assert await two.refused("noteAdd", **note) == [("NOT_FOUND", "ticketId")]


GONE = """query($ticket: ID!, $note: ID!) {
    ticket(by: { id: $ticket }) { id } node(id: $note) { id } tickets { totalCount } }"""


async def test_an_unassigned_technician_no_longer_sees_the_ticket(company: Company) -> None:
    """Nor the technician's own notes on it, and a repeated request does not return them either."""
    admin = company.admin
    technician, other = await admin.new_technician(), await admin.new_technician()
    async with admin.technician(technician) as worker:
        ticket = await admin.new_ticket(technicianId=technician)
        sent = {"ticketId": ticket, "body": "I have the keys.", "idempotencyKey": "note"}
        note = (await worker.done("noteAdd", "note { id }", **sent))["note"]["id"]
        await admin.done("ticketAssign", "__typename", ticketId=ticket, technicianId=other)

        found = await worker.seen(GONE, ticket=ticket, note=note)
        assert found == {"ticket": None, "node": None, "tickets": {"totalCount": 0}}
        assert (await worker.do("noteAdd", "note { body }", **sent))["note"] is None
        for mutation, given in (
            ("noteAdd", {"body": "x"}),
            ("ticketSetStatus", {"status": "IN_PROGRESS"}),
            ("ticketSetStatus", {"status": "RESOLVED", "ifVersion": 1}),
            ("ticketResolve", {"resolution": "x", "ifVersion": 1}),
        ):
            assert await worker.refused(mutation, ticketId=ticket, **given) == [("NOT_FOUND", "ticketId")]

        await admin.done("ticketAssign", "__typename", ticketId=ticket, technicianId=technician)
        found = await worker(GONE, ticket=ticket, note=note)
        assert found == {"ticket": {"id": ticket}, "node": {"id": note}, "tickets": {"totalCount": 1}}


async def test_a_technician_keeps_seeing_a_ticket_that_they_created(company: Company) -> None:
    admin = company.admin
    async with admin.technician(await admin.new_technician()) as worker:
        ticket = await worker.new_ticket()
        await admin.done("ticketAssign", "__typename", ticketId=ticket, technicianId=company.ids["technician2"])
        assert (await worker("{ tickets { nodes { id } } }"))["tickets"]["nodes"] == [{"id": ticket}]


async def test_a_service_does_not_see_tickets_of_an_admin_with_the_same_id(company: Company) -> None:
    """The issuer chooses both ids, so they may be equal."""
    async with Api(company.admin.server, Role.ADMIN, "twin", "Twin") as admin, company.admin.service("twin") as service:
        ticket = await admin.new_ticket()
        document = """query($id: ID!) {
            node(id: $id) { id } ticket(by: {id: $id}) { id }
            tickets { totalCount nodes { id } } ticketCounts { all } }"""
        assert await service.seen(document, id=ticket) == {
            "node": None,
            "ticket": None,
            "tickets": {"totalCount": 0, "nodes": []},
            "ticketCounts": {"all": 0},
        }


async def test_a_tickets_new_customer_sees_nothing_of_the_former_one(company: Company) -> None:
    admin = company.admin
    former = await admin.new_customer(name=f"{THEIRS} Former", email="former@xerxes.example", phone="613-555-0669")
    latter = await admin.new_customer(name="Lara Latter", email="lara@latter.example")
    async with admin.customer(former) as before, admin.customer(latter) as after:
        sent = {"subject": "Gate", "description": "Stuck.", "idempotencyKey": "gate"}
        ticket = (await before.done("ticketCreate", "ticket { id }", **sent))["ticket"]["id"]
        note = (await before.done("noteAdd", "note { id }", ticketId=ticket, body="Please hurry."))["note"]["id"]
        await admin.done("ticketUpdate", "__typename", ticketId=ticket, customerId=latter)

        assert await before.seen(GONE, ticket=ticket, note=note) == {
            "ticket": None,
            "node": None,
            "tickets": {"totalCount": 0},
        }
        assert (await before.do("ticketCreate", "ticket { subject }", **sent))["ticket"] is None
        document = """query($id: ID!) { ticket(by: { id: $id }) {
            contact { name email phone } notes { totalCount nodes { body author { name } } }
            history { totalCount nodes { kind actor { kind name } changes { field before after } } } } }"""
        assert (await after(document, id=ticket))["ticket"] == {
            "contact": {"name": "Lara Latter", "email": "lara@latter.example", "phone": None},
            "notes": {"totalCount": 0, "nodes": []},
            "history": {
                "totalCount": 1,
                "nodes": [{"kind": "UPDATED", "actor": {"kind": "ADMIN", "name": "The Boss"}, "changes": []}],
            },
        }


HISTORY = """query($id: ID!) { ticket(by: { id: $id }) {
    history { nodes { changes { field before after } } } } }"""


async def changes_of(viewer: Api, ticket: str, field: str) -> list[tuple[str | None, str | None]]:
    """Returns the changes of one field that the viewer reads in the ticket's history."""
    events = (await viewer(HISTORY, id=ticket))["ticket"]["history"]["nodes"]
    changes = [change for event in events for change in event["changes"] if change["field"] == field]
    return [(change["before"], change["after"]) for change in changes]


async def test_the_history_names_no_technician_whom_a_customer_or_service_does_not_see_now(company: Company) -> None:
    admin = company.admin
    names = ("Former", "Present")
    former, present = [await admin.new_technician(name=name) for name in names]
    customer = await admin.new_customer()
    async with admin.customer(customer) as owner, admin.service("history") as bot:
        for viewer in (owner, bot):
            ticket = await viewer.new_ticket()
            for technician in (former, None, present):
                await admin.done("ticketAssign", "__typename", ticketId=ticket, technicianId=technician)
            assert await changes_of(viewer, ticket, "technician") == [(None, None), (None, None), (None, "Present")]
            everything = [(None, "Former"), ("Former", None), (None, "Present")]
            assert await changes_of(admin, ticket, "technician") == everything
            other = await viewer.new_ticket()
            await admin.done("ticketAssign", "__typename", ticketId=other, technicianId=former)
            assert await changes_of(viewer, ticket, "technician") == everything


async def test_the_history_shows_no_address_that_a_service_does_not_see_now(company: Company) -> None:
    admin = company.admin
    customer = await admin.new_customer()
    former, present = [await admin.new_property(customer, address=f"{n} History Street") for n in (1, 2)]
    async with admin.service("history of properties") as bot:
        ticket = await bot.new_ticket()
        shown = {"customerId": customer, "contactFromCustomer": True}
        await admin.done("ticketUpdate", "__typename", ticketId=ticket, **shown)
        for property_id in (former, present):
            await admin.done("ticketUpdate", "__typename", ticketId=ticket, propertyId=property_id)
        assert await changes_of(bot, ticket, "property") == [(None, None), (None, "2 History Street")]
        everything = [(None, "1 History Street"), ("1 History Street", "2 History Street")]
        assert await changes_of(admin, ticket, "property") == everything
        other = await bot.new_ticket()
        await admin.done("ticketUpdate", "__typename", ticketId=other, propertyId=former, **shown)
        assert await changes_of(bot, ticket, "property") == everything
        # The ticket no longer reveals its customer, but what it showed when it did may be known.
        await admin.done("ticketUpdate", "__typename", ticketId=ticket, contact={"name": "Somebody"})
        assert await changes_of(bot, ticket, "property") == [(None, "1 History Street"), ("1 History Street", None)]


async def test_an_inactive_technician_is_refused(company: Company) -> None:
    admin = company.admin
    technician = await admin.new_technician()
    await admin.new_ticket(technicianId=technician)
    async with admin.technician(technician) as worker:
        assert (await worker("{ tickets { totalCount } }"))["tickets"]["totalCount"] == 1
        await admin.done("technicianUpdate", "__typename", technicianId=technician, active=False)
        await asyncio.sleep(1.0)  # authentication is cached for this long
        with pytest.raises(Refusal) as refusal:
            await worker("{ tickets { totalCount } }")
        assert refusal.value.codes == ["UNAUTHENTICATED"]
