"""The chatbot: a conversation creates one ticket, of the right customer, whose progress can be tracked."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest

from tests.helpers.api import Api, Refusal
from tests.helpers.database_checks import Database, dump, key, ticket_row
from tests.helpers.paths import ROOT

GUIDE = ROOT / "docs" / "chatbot.md"
DESCRIBED = {"subject": "Door stays shut", "description": "Since this morning."}
OPENED = "ticket { id customer { id name } contact { name email phone } chat { body } }"
TRACK = """query($reference: String!, $email: String!) { ticketTrack(reference: $reference, email: $email) {
  reference status updatedAt progress { at kind status actorKind note } } }"""


def conversation(id_: str, *said: str) -> dict[str, Any]:
    messages = [{"author": "CUSTOMER", "body": body, "at": "2026-11-24T08:15:00Z"} for body in said]
    return {"conversationId": id_, "messages": messages}


def contact(email: str, name: str = "John Smith") -> dict[str, Any]:
    return {"name": name, "email": email}


async def open_ticket(chatbot: Api, **given: Any) -> Any:
    given = {"contact": contact("nobody@example.net"), **given}
    return (await chatbot.done("ticketCreate", OPENED, **DESCRIBED, **given))["ticket"]


async def customer_of(database: Database, ticket: dict[str, Any]) -> str | None:
    customer = (await ticket_row(database, ticket["id"]))["customer_id"]
    return customer and f"cus_{customer}"


# A conversation


async def test_a_continued_conversation_returns_its_ticket(api: Api, database: Database) -> None:
    async with api.service() as chatbot:
        first = await open_ticket(chatbot, chat=conversation("grown", "Help."), idempotencyKey="one")
        before = await dump(database)
        for key in ("one", "two", None):
            again = await open_ticket(
                chatbot, chat=conversation(" grown ", "Help.", "Hello?"), idempotencyKey=key, priority="URGENT"
            )
            assert again == first
        assert [message["body"] for message in again["chat"]] == ["Help."]
        refused = await chatbot.do(
            "ticketCreate", OPENED, subject="", description="", chat=conversation("grown"), accountNumber="x\ny"
        )
        assert (refused["ticket"], refused["userErrors"]) == (first, [])
        assert await dump(database) == before
        await api.done("ticketSetStatus", "__typename", ticketId=first["id"], status="CLOSED")
        assert await open_ticket(chatbot, chat=conversation("grown")) == first


async def test_concurrent_calls_with_different_keys_create_one_ticket(api: Api, database: Database) -> None:
    async with api.service() as chatbot:
        chats = [conversation("raced", *["More."] * n) for n in range(10)]
        opened = await asyncio.gather(
            *(open_ticket(chatbot, chat=chat, idempotencyKey=f"raced {n % 5}") for n, chat in enumerate(chats))
        )
    assert len({ticket["id"] for ticket in opened}) == 1
    count = "SELECT count(*) FROM ticket_chats WHERE conversation_id = 'raced'"
    assert await database.fetchval(count) == 1


async def test_a_key_of_another_conversation_is_a_conflict(api: Api) -> None:
    async with api.service() as chatbot:
        await open_ticket(chatbot, chat=conversation("keyed"), idempotencyKey="key")
        refused = await chatbot.refused(
            "ticketCreate",
            **DESCRIBED,
            contact=contact("n@example.net"),
            chat=conversation("other"),
            idempotencyKey="key",
        )
        assert refused == [("IDEMPOTENCY_CONFLICT", "idempotencyKey")]


async def test_two_chatbots_do_not_see_each_others_conversations(api: Api) -> None:
    async with api.service("one") as one, api.service("two") as two:
        mine = await open_ticket(one, chat=conversation("shared", "Mine."))
        theirs = await open_ticket(two, chat=conversation("shared", "Theirs."))
        assert mine["id"] != theirs["id"]
        assert [message["body"] for message in theirs["chat"]] == ["Theirs."]
        document = "query($id: ID!) { node(id: $id) { id } ticket(by: {id: $id}) { chat { body } } }"
        assert await two.seen(document, id=mine["id"]) == {"node": None, "ticket": None}


async def test_only_a_services_conversation_is_recognised(api: Api) -> None:
    """A viewer of another role with the id of a service does not get the service's ticket."""
    customer = await api.new_customer()
    async with api.service(customer) as chatbot, api.customer(customer) as cora:
        await open_ticket(chatbot, chat=conversation("taken"))
        assert await cora.refused("ticketCreate", **DESCRIBED, chat=conversation("taken")) == [("NOT_ALLOWED", "chat")]


# The customer


async def test_the_customer_is_found_by_email_or_account_number(api: Api, database: Database) -> None:
    ada = await api.new_customer(email="Ada@Found.example", accountNumber="AC 77-x", phone="613-555-0001")
    async with api.service() as chatbot:
        cases: tuple[tuple[dict[str, Any], str | None], ...] = (
            ({"contact": contact("aDA@found.example")}, ada),
            ({"accountNumber": "ac 77-X"}, ada),
            ({"accountNumber": "  AC  77-x "}, ada),
            ({"contact": contact("ada@found.example"), "accountNumber": "AC 77-x"}, ada),
            ({"contact": contact("ada@found.example"), "accountNumber": "AC 78"}, ada),
            ({"contact": contact("ada@found.example"), "accountNumber": None, "customerId": None}, ada),
            ({"contact": contact("bob@found.example"), "accountNumber": "AC 77"}, None),
            ({"accountNumber": "%"}, None),
            ({"accountNumber": " "}, None),
            ({}, None),
        )
        for given, found in cases:
            ticket = await open_ticket(chatbot, **given)
            assert await customer_of(database, ticket) == found, given
            typed = given.get("contact") or contact("nobody@example.net")
            assert ticket["contact"] == {**typed, "phone": None}
        required = await chatbot.refused("ticketCreate", **DESCRIBED, accountNumber="AC 77-x")
        assert sorted(required) == [("REQUIRED", "contact.email"), ("REQUIRED", "contact.name")]
    async with api.customer(ada) as portal:
        assert (await portal("{ tickets { totalCount } }"))["tickets"]["totalCount"] == 6


async def test_an_ambiguous_account_number_matches_no_customer(api: Api, database: Database) -> None:
    for number in ("twice-1", "TWICE-1"):
        await api.new_customer(accountNumber=number)
    async with api.service() as chatbot:
        assert await customer_of(database, await open_ticket(chatbot, accountNumber="Twice-1")) is None


async def test_an_email_address_goes_before_an_account_number(api: Api, database: Database) -> None:
    """An error would reveal that both belong to customers."""
    eve = await api.new_customer(name="Eve Two", email="eve@two.example")
    await api.new_customer(accountNumber="TWO-2")
    async with api.service() as chatbot:
        for name in ("Eve Two", "Somebody"):
            ticket = await open_ticket(chatbot, contact=contact("eve@two.example", name), accountNumber="TWO-2")
            assert await customer_of(database, ticket) == eve


async def test_a_services_contact_is_required_and_never_filled_in(api: Api) -> None:
    """Even if the service names a customer and a property that it sees."""
    person = {"name": "Rosa Reed", "email": "rosa@reed.example"}
    rosa = await api.new_customer(**person, phone="613-555-0002")
    home = await api.new_property(rosa)
    async with api.service() as chatbot:
        first = await open_ticket(chatbot, contact=person)
        await api.done("ticketUpdate", "__typename", ticketId=first["id"], propertyId=home)
        named = {"customerId": rosa, "propertyId": home}
        for typed, missing in (
            (None, ["contact.email", "contact.name"]),
            ({}, ["contact.email", "contact.name"]),
            ({"name": "Rosa"}, ["contact.email"]),
            ({"email": "rosa@else.example", "phone": None}, ["contact.name"]),
        ):
            refused = await chatbot.refused("ticketCreate", **DESCRIBED, **named, contact=typed)
            assert sorted(refused) == [("REQUIRED", field) for field in missing]
        typed = contact("rosa@else.example", "Rosa")
        ticket = await open_ticket(chatbot, **named, contact=typed)
        assert (ticket["contact"], ticket["customer"]) == ({**typed, "phone": None}, None)
        ticket = await open_ticket(chatbot, **named, contact=person)
        assert (ticket["contact"], ticket["customer"]) == ({**person, "phone": None}, {"id": rosa, "name": "Rosa Reed"})


async def test_only_services_may_give_a_valid_account_number(api: Api) -> None:
    customer, technician = await api.new_customer(), await api.new_technician()
    given: dict[str, Any] = {**DESCRIBED, "contact": contact("n@example.net"), "accountNumber": "C-1"}
    async with api.technician(technician) as tess, api.customer(customer) as cora, api.service() as chatbot:
        for viewer in (api, tess, cora):
            assert await viewer.refused("ticketCreate", **given) == [("NOT_ALLOWED", "accountNumber")]
        for number, code in (("1" * 41, "TOO_LONG"), ("a\nb", "INVALID"), ("a\0b", "INVALID")):
            refused = await chatbot.refused("ticketCreate", **(given | {"accountNumber": number}))
            assert refused == [(code, "accountNumber")]
        ticket = await open_ticket(chatbot)
        await api.done(
            "ticketUpdate", "__typename", ticketId=ticket["id"], customerId=customer, contactFromCustomer=True
        )
        assert await chatbot.refused("ticketCreate", **given, customerId=customer) == [("INVALID", "accountNumber")]


async def test_an_account_number_alone_does_not_reveal_its_customer(api: Api, database: Database) -> None:
    """Every query has the same result as for an unknown number, unless the chatbot knows both name and address."""
    secret = await api.new_customer(name="Zephyrine Quill", email="zq@secret.example", accountNumber="SECRET-9")
    document = """query($id: ID!, $customer: ID!) {
      ticket(by: {id: $id}) { customer { id } contact { name email phone }
        history { nodes { kind changes { field before after } } } }
      node(id: $customer) { id } customers { totalCount nodes { id } }
      tickets(filter: {search: "quill"}) { totalCount } ticketCounts(filter: {search: "Zeph"}) { all } }"""

    async def readable(chatbot: Api, ticket: dict[str, Any]) -> Any:
        return await chatbot.seen(document, id=ticket["id"], customer=secret)

    async with api.service("guesser") as guesser, api.service("other guesser") as other:
        right, wrong = (
            await open_ticket(guesser, accountNumber="secret-9"),
            await open_ticket(other, accountNumber="S-0"),
        )
        assert await customer_of(database, right) == secret
        assert right | {"id": ""} == wrong | {"id": ""}
        assert await readable(guesser, right) == await readable(other, wrong)
        assert (await readable(guesser, right))["tickets"]["totalCount"] == 0

        # If an admin removes and restores the customer but keeps the contact, the history does not show the name.
        for customer in (None, secret):
            typed = contact("nobody@example.net")
            await api.done("ticketUpdate", "__typename", ticketId=right["id"], customerId=customer, contact=typed)
        history = (await readable(guesser, right))["ticket"]["history"]["nodes"]
        assert [event["changes"][0] for event in history[1:]] == [
            {"field": "customer", "before": None, "after": None}
        ] * 2
        staff = await api(
            "query($id: ID!) { ticket(by: {id: $id}) { history { nodes { changes { after } } } } }", **right
        )
        assert staff["ticket"]["history"]["nodes"][2]["changes"][0]["after"] == "Zephyrine Quill"

        for half_known in (contact("ZQ@secret.example"), contact("else@example.net", "zephyrine quill")):
            seen = await open_ticket(other, accountNumber="SECRET-9", contact=half_known)
            assert seen["customer"] is None
        seen = await open_ticket(other, contact=contact("ZQ@secret.example", "zephyrine  quill"))
        assert seen["customer"] == {"id": secret, "name": "Zephyrine Quill"}


async def test_an_account_number_reveals_nothing_about_a_customer_whom_the_service_sees(api: Api) -> None:
    """The ticket has a property, which an admin has set, and the customer writes a note."""
    person = {"name": "Nadia Known", "email": "nadia@known.example"}
    nadia = await api.new_customer(**person, accountNumber="KNOWN-1")
    home = await api.new_property(nadia, address="9 Known Street")
    document = """query($id: ID!, $customer: ID!, $property: ID!) {
      ticket(by: {id: $id}) { customer { id } property { id } notes { nodes { author { kind name } } }
        history { nodes { actor { kind name } changes { before after } } } }
      customers { nodes { id tickets { totalCount nodes { id } } } }
      properties { nodes { id tickets { totalCount nodes { id } } } }
      ofCustomer: tickets(filter: {customerId: $customer}) { totalCount nodes { id } }
      ofProperty: tickets(filter: {propertyId: $property}) { totalCount nodes { id } }
      ticketCounts(filter: {or: [{customerId: $customer}, {propertyId: $property}]}) { all } }"""
    async with api.service("knows nadia") as chatbot, api.customer(nadia) as portal:
        known = await open_ticket(chatbot, contact=person)
        guess = await open_ticket(chatbot, accountNumber="KNOWN-1")
        for ticket in (known, guess):
            await api.done("ticketUpdate", "__typename", ticketId=ticket["id"], propertyId=home)
            await portal.done("noteAdd", "__typename", ticketId=ticket["id"], body="What is this?")
        asked = {"customer": nadia, "property": home}
        for ticket, name, shown in ((known, "Nadia Known", "9 Known Street"), (guess, "John Smith", None)):
            found = await chatbot(document, id=ticket["id"], **asked)
            one = {"totalCount": 1, "nodes": [{"id": known["id"]}]}
            assert found["customers"]["nodes"] == [{"id": nadia, "tickets": one}]
            assert found["properties"]["nodes"] == [{"id": home, "tickets": one}]
            assert found["ofCustomer"] == found["ofProperty"] == one
            assert found["ticketCounts"] == {"all": 1}
            read = found["ticket"]
            assert (read["customer"], read["property"]) == (
                ({"id": nadia}, {"id": home}) if ticket is known else (None, None)
            )
            assert read["notes"]["nodes"] == [{"author": {"kind": "CUSTOMER", "name": name}}]
            _, changed, noted = read["history"]["nodes"]
            assert changed["changes"] == [{"before": None, "after": shown}]
            assert noted["actor"] == {"kind": "CUSTOMER", "name": name}


async def test_a_property_does_not_reveal_whose_account_number_it_is(api: Api) -> None:
    """The error is the same for the right number as for an unknown one."""
    person = {"name": "Pia Place", "email": "pia@place.example"}
    pia = await api.new_customer(**person, accountNumber="PLACE-1")
    home = await api.new_property(pia)
    async with api.service("knows pia") as chatbot:
        ticket = await open_ticket(chatbot, contact=person)
        await api.done("ticketUpdate", "__typename", ticketId=ticket["id"], propertyId=home)
        for number in ("PLACE-1", "PLACE-2"):
            given: dict[str, Any] = {**DESCRIBED, "contact": contact("nobody@example.net"), "accountNumber": number}
            refused = await chatbot.refused("ticketCreate", **given, propertyId=home)
            assert refused == [("MISMATCH", "propertyId")]
            await open_ticket(chatbot, contact=person, accountNumber=number, propertyId=home)


async def test_tracking_does_not_reveal_whose_account_number_it_is(api: Api) -> None:
    await api.new_customer(email="tracked@x.example", accountNumber="TRACKED-1")
    async with api.service() as chatbot:
        given = {**DESCRIBED, "contact": contact("nobody@example.net"), "accountNumber": "TRACKED-1"}
        opened = (await chatbot.done("ticketCreate", "ticket { reference }", **given))["ticket"]
        for email, found in (("tracked@x.example", False), ("nobody@example.net", True)):
            tracked = await chatbot(TRACK, **opened, email=email)
            assert (tracked["ticketTrack"] is not None) == found


# Tracking


async def test_a_ticket_is_tracked_by_reference_and_email(api: Api) -> None:
    technician = await api.new_technician()
    async with api.service() as chatbot, api.service("another") as other, api.technician(technician) as tess:
        ticket = (
            await chatbot.done("ticketCreate", "ticket { id reference }", **DESCRIBED, contact=contact("t@x.example"))
        )["ticket"]
        id_ = {"ticketId": ticket["id"]}
        await api.done("ticketUpdate", "__typename", **id_, priority="HIGH")
        await api.done("ticketAssign", "__typename", **id_, technicianId=technician)
        await tess.done("ticketSetStatus", "__typename", **id_, status="IN_PROGRESS")
        await tess.done("noteAdd", "__typename", **id_, body="I come on Thursday.", internalOnly=False)
        await tess.done("ticketResolve", "__typename", **id_, resolution="Freed the strike.")
        await api.done("ticketSetStatus", "__typename", **id_, status="OPEN")
        await api.done("ticketSetStatus", "__typename", **id_, status="CLOSED")
        for viewer in (chatbot, other, api):
            found = (await viewer(TRACK, reference=ticket["reference"].lower(), email=" T@X.example "))["ticketTrack"]
            assert [tuple(step.values())[1:] for step in found["progress"]] == [
                ("CREATED", "OPEN", "SERVICE", None),
                ("STATUS_CHANGED", "IN_PROGRESS", "TECHNICIAN", None),
                ("NOTE_ADDED", "IN_PROGRESS", "TECHNICIAN", "I come on Thursday."),
                ("RESOLVED", "RESOLVED", "TECHNICIAN", None),
                ("REOPENED", "OPEN", "ADMIN", None),
                ("CLOSED", "CLOSED", "ADMIN", None),
            ]
            times = [step["at"] for step in found["progress"]]
            assert times == sorted(times)
            assert found["updatedAt"] == times[-1]


async def test_tracking_does_not_reveal_internal_notes(api: Api) -> None:
    async with api.service() as chatbot:
        opened = await chatbot.done(
            "ticketCreate", "ticket { id reference }", **DESCRIBED, contact=contact("i@x.example")
        )
        ticket, tracked = opened["ticket"], {"reference": opened["ticket"]["reference"], "email": "i@x.example"}
        before = await chatbot(TRACK, **tracked)
        await api.done("noteAdd", "__typename", ticketId=ticket["id"], body="Do not tell.")
        assert await chatbot(TRACK, **tracked) == before
        wrong, missing = tracked | {"email": "e@x.example"}, tracked | {"reference": "TKT-ZZZZZZ"}
        assert await chatbot(TRACK, **wrong) == await chatbot(TRACK, **missing) == {"ticketTrack": None}


async def test_progress_starts_when_the_ticket_became_the_customers(api: Api) -> None:
    old, new = await api.new_customer(email="old@x.example"), await api.new_customer(email="new@x.example")
    opened = await api.done("ticketCreate", "ticket { id reference }", **DESCRIBED, customerId=old)
    ticket, reference = opened["ticket"]["id"], opened["ticket"]["reference"]
    await api.done("noteAdd", "__typename", ticketId=ticket, body="Of the old one.", internalOnly=False)
    await api.done("ticketUpdate", "__typename", ticketId=ticket, customerId=new)
    await api.done("noteAdd", "__typename", ticketId=ticket, body="Of the new one.", internalOnly=False)
    async with api.service() as chatbot:
        assert (await chatbot(TRACK, reference=reference, email="old@x.example"))["ticketTrack"] is None
        found = (await chatbot(TRACK, reference=reference, email="new@x.example"))["ticketTrack"]
        assert [step["note"] for step in found["progress"]] == ["Of the new one."]


async def test_only_the_latest_steps_of_a_long_progress_are_returned(api: Api) -> None:
    customer = await api.new_customer(email="much@x.example")
    opened = await api.done("ticketCreate", "ticket { id reference }", **DESCRIBED, customerId=customer)
    for n in range(51):
        await api.done("noteAdd", "__typename", ticketId=opened["ticket"]["id"], body=f"{n}", internalOnly=False)
    found = await api(TRACK, reference=opened["ticket"]["reference"], email="much@x.example")
    assert [step["note"] for step in found["ticketTrack"]["progress"]] == [f"{n}" for n in range(1, 51)]


# Answers


ANSWER = "note { id body internalOnly author { kind name } ticket { id } }"


async def answer(chatbot: Api, ticket: str, body: str = "It beeps again.", **given: Any) -> Any:
    given = {"idempotencyKey": body, **given}
    return (await chatbot.done("noteAdd", ANSWER, ticketId=ticket, body=body, **given))["note"]


async def notified(database: Database, ticket: str) -> list[tuple[str, str]]:
    """Returns the kinds and recipients of the ticket's notifications to staff, in their order."""
    found = await database.fetch(
        "SELECT kind, recipient FROM deliveries WHERE ticket_id = $1 AND audience <> 'CUSTOMER' ORDER BY queued_at",
        key(ticket),
    )
    return [(kind, recipient) for kind, recipient in found]


async def test_a_chatbot_passes_on_what_its_customer_says(api: Api, database: Database) -> None:
    """Once for each idempotency key. It is an answer: somebody is notified, and a resolved ticket is reopened."""
    customer = await api.new_customer(email="said@x.example")
    tess = await api.new_technician(email="tess@said.example")
    async with api.service() as chatbot, api.customer(customer) as portal:
        ticket = (await open_ticket(chatbot, contact=contact("said@x.example")))["id"]
        await api.done("ticketAssign", "__typename", ticketId=ticket, technicianId=tess)
        await api.done("noteAdd", "__typename", ticketId=ticket, body="Do not tell.")
        sent = [await answer(chatbot, ticket, internalOnly=given) for given in (None, None)]
        assert sent[0] == sent[1]
        author = {"kind": "SERVICE", "name": "Chatbot"}
        assert sent[0] == {**sent[0], "internalOnly": False, "author": author, "ticket": {"id": ticket}}
        notes = "query($id: ID!) { ticket(by: {id: $id}) { status notes { nodes { body via } } } }"
        for viewer in (chatbot, portal):
            shown = (await viewer(notes, id=ticket))["ticket"]["notes"]["nodes"]
            assert shown == [{"body": "It beeps again.", "via": "CHATBOT"}]
        answered = ("CUSTOMER_ANSWERED", "tess@said.example")
        assert [each for each in await notified(database, ticket) if each[0] != "ASSIGNED"] == [answered]
        await api.done("ticketResolve", "__typename", ticketId=ticket, resolution="New battery.")
        await answer(chatbot, ticket, "And again.")
        assert (await chatbot(notes, id=ticket))["ticket"]["status"] == "OPEN"
        assert ("REOPENED", "tess@said.example") in await notified(database, ticket)


async def test_a_chatbots_answer_is_public_repeatable_and_on_its_own_ticket(api: Api, database: Database) -> None:
    async with api.service() as chatbot, api.service("other") as other:
        ticket = (await open_ticket(chatbot))["id"]
        given = {"ticketId": ticket, "body": "Hello?", "idempotencyKey": "hello"}
        staffs = await api.new_ticket()
        before = await dump(database)
        assert await chatbot.refused("noteAdd", **given, internalOnly=True) == [("NOT_ALLOWED", "internalOnly")]
        for missing in ({"idempotencyKey": None}, {"idempotencyKey": " "}):
            assert await chatbot.refused("noteAdd", **given | missing) == [("REQUIRED", "idempotencyKey")]
        assert await other.refused("noteAdd", **given) == [("NOT_FOUND", "ticketId")]
        assert await chatbot.refused("noteAdd", **given | {"ticketId": staffs}) == [("NOT_FOUND", "ticketId")]
        async with await api.with_new_key(scope="MAIL_GATEWAY") as gateway:
            with pytest.raises(Refusal) as refusal:
                await gateway.do("noteAdd", "__typename", **given)
            assert refusal.value.codes == ["FORBIDDEN"]
        after = await dump(database)
        assert {name for name in before if before[name] != after[name]} <= {"api_keys", "audit_entries"}


@pytest.mark.parametrize("known", [False, True])
async def test_a_chatbots_answer_to_a_ticket_closed_long_ago_makes_one_of_its_own(
    api: Api, database: Database, known: bool
) -> None:
    """It has the contact that the chatbot gave, and shows no customer whom an account number found. The ticket that
    the customer's own answer has made is not the chatbot's, even if its contact is the same."""
    person = contact(f"zora{known}@later.example", "Zora Quill")
    zora = await api.new_customer(**person, accountNumber=f"LATER-{known}")
    typed = person if known else contact("nobody@example.net")
    async with api.service() as chatbot, api.customer(zora) as portal:
        ticket = (await open_ticket(chatbot, contact=typed, accountNumber=f"LATER-{known}"))["id"]
        await api.done("ticketSetStatus", "__typename", ticketId=ticket, status="CLOSED")
        await database.execute(
            "UPDATE tickets SET closed_at = closed_at - interval '1 year' WHERE id = $1", key(ticket)
        )
        mine = await portal.done("noteAdd", "note { ticket { id } }", ticketId=ticket, body="Mine.")
        theirs = mine["note"]["ticket"]["id"]
        said = [f"It beeps {known}.", f"It beeps {known}.", f"It still beeps {known}."]
        (new,) = {(await answer(chatbot, ticket, body))["ticket"]["id"] for body in said}
        assert new not in (ticket, theirs)
        shown = """query($id: ID!) { ticket(by: {id: $id}) { source subject customer { id } contact { name email phone }
            notes { nodes { body } } } tickets { nodes { id } } }"""
        seen = await chatbot(shown, id=new)
        assert seen["ticket"] == {
            "source": "CHATBOT",
            "subject": DESCRIBED["subject"],
            "customer": {"id": zora} if known else None,
            "contact": {**typed, "phone": None},
            "notes": {"nodes": [{"body": said[0]}, {"body": said[2]}]},
        }
        assert theirs not in {node["id"] for node in seen["tickets"]["nodes"]}
        assert await customer_of(database, {"id": new}) == zora
        follows = await api("query($id: ID!) { ticket(by: {id: $id}) { followUpOf { id } } }", id=new)
        assert follows["ticket"]["followUpOf"] == {"id": ticket}


# The guide


async def test_the_guide_for_chatbots_works_as_written(api: Api) -> None:
    blocks = re.findall(r"```graphql\n(.*?)```\s+```json\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    (search, searched), (create, created), (track, tracked) = ((text, json.loads(given)) for text, given in blocks)
    await api.done(
        "articleCreate",
        "__typename",
        problem="Intercom door does not open",
        solution="Check the strike.",
        published=True,
    )
    await api.new_customer(name="John Smith", email="john@example.com", accountNumber="AC-1042")
    key = (await api.done("apiKeyCreate", "secret", name="Chatbot"))["secret"]
    async with api.service() as chatbot:
        chatbot.http.headers["authorization"] = f"Bearer {key}"
        [edge] = (await chatbot(search, **searched))["articles"]["edges"]
        assert (edge["match"], edge["node"]["problem"]) == ("SOME_WORDS", "Intercom door does not open")
        assert {"text": "door", "matched": True} in edge["excerpt"]
        opened = (await chatbot(create, **created))["ticketCreate"]
        assert opened["userErrors"] == []
        assert (await chatbot(create, **created))["ticketCreate"]["ticket"] == opened["ticket"]
        found = await chatbot(track, **(tracked | {"reference": opened["ticket"]["reference"]}))
        assert [step["kind"] for step in found["ticketTrack"]["progress"]] == ["CREATED"]
        assert (await chatbot(track, **tracked))["ticketTrack"] is None
    customer = await api("query($id: ID!) { ticket(by: {id: $id}) { customer { accountNumber } } }", **opened["ticket"])
    assert customer["ticket"]["customer"] == {"accountNumber": "AC-1042"}


async def test_tracking_is_forbidden_to_technicians_and_customers(api: Api) -> None:
    customer, technician = await api.new_customer(), await api.new_technician()
    async with api.technician(technician) as tess, api.customer(customer) as cora:
        for viewer in (tess, cora):
            with pytest.raises(Refusal) as refusal:
                await viewer(TRACK, reference="TKT-ZZZZZZ", email="x@example.com")
            assert refusal.value.codes == ["FORBIDDEN"]
