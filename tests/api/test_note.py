"""Notes: internal by default, and final."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import asyncpg
import pytest

from tests.helpers.api import Api
from tests.helpers.database_checks import Database, events, ticket_row

NOTE = "note { id body internalOnly author { kind name } createdAt ticket { id } } streamCursor"
READ = """
query($id: ID!) { ticket(by: {id: $id}) { version updatedAt
  notes { totalCount nodes { body internalOnly author { kind name } } }
  history { totalCount nodes { kind note { body } } } } }
"""


async def read(api: Api, ticket_id: str) -> Any:
    return (await api(READ, id=ticket_id))["ticket"]


async def test_a_note_has_a_text_an_author_and_a_time_and_is_internal(api: Api) -> None:
    ticket = await api.new_ticket()
    body = "Called customer,\n\n\tscheduled site visit for Thursday 10am. 👷"
    note = (await api.done("noteAdd", NOTE, ticketId=ticket, body=f"\n {body} \n"))["note"]
    assert note.pop("id").startswith("not_")
    written = datetime.fromisoformat(note.pop("createdAt"))
    assert note == {
        "body": body,
        "internalOnly": True,
        "author": {"kind": "ADMIN", "name": "The Boss"},
        "ticket": {"id": ticket},
    }
    after = await read(api, ticket)
    assert datetime.fromisoformat(after["updatedAt"]) == written
    assert (after["version"], after["notes"]["totalCount"]) == (1, 1)


@pytest.mark.parametrize(("given", "internal"), [({}, True), ({"internalOnly": None}, True)])
@pytest.mark.parametrize("value", [True, False])
async def test_notes_are_internal_unless_stated_otherwise(
    api: Api, given: dict[str, None], internal: bool, value: bool
) -> None:
    ticket = await api.new_ticket()
    assert (await api.done("noteAdd", NOTE, ticketId=ticket, body="b", **given))["note"]["internalOnly"] is internal
    chosen = await api.done("noteAdd", NOTE, ticketId=ticket, body="b", internalOnly=value)
    assert chosen["note"]["internalOnly"] is value


async def test_notes_are_listed_oldest_first_with_their_authors(api: Api) -> None:
    customer, technician = await api.new_customer(name="Cora Bell"), await api.new_technician(name="Tess Okafor")
    ticket = await api.new_ticket(customerId=customer, technicianId=technician)
    async with api.technician(technician) as tess, api.customer(customer) as cora:
        await tess.done("noteAdd", "__typename", ticketId=ticket, body="On my way.", internalOnly=False)
        await cora.done("noteAdd", "__typename", ticketId=ticket, body="Thanks!")
        await tess.done("noteAdd", "__typename", ticketId=ticket, body="Dog in the yard.")
        await api.done("noteAdd", "__typename", ticketId=ticket, body="Noted.")
    assert [(n["author"], n["body"], n["internalOnly"]) for n in (await read(api, ticket))["notes"]["nodes"]] == [
        ({"kind": "TECHNICIAN", "name": "Tess Okafor"}, "On my way.", False),
        ({"kind": "CUSTOMER", "name": "Cora Bell"}, "Thanks!", False),
        ({"kind": "TECHNICIAN", "name": "Tess Okafor"}, "Dog in the yard.", True),
        ({"kind": "ADMIN", "name": "The Boss"}, "Noted.", True),
    ]
    # A note keeps its author's name at the time of writing.
    await api.done("technicianUpdate", "__typename", technicianId=technician, name="Tess Ruiz")
    assert (await read(api, ticket))["notes"]["nodes"][0]["author"]["name"] == "Tess Okafor"


async def test_nothing_reveals_an_internal_note_to_customers_and_services(api: Api) -> None:
    customer = await api.new_customer()
    async with api.customer(customer) as cora, api.service() as chatbot:
        for viewer in (cora, chatbot):
            ticket = await viewer.new_ticket()
            before = await read(viewer, ticket)
            hidden = await api.done("noteAdd", NOTE, ticketId=ticket, body="Will not pay.")
            assert await read(viewer, ticket) == before
            for id_ in (hidden["note"]["id"], "evt_" + await last_event_of(api, ticket)):
                assert (await viewer.seen("query($id: ID!) { node(id: $id) { __typename } }", id=id_))["node"] is None

            await api.done("noteAdd", NOTE, ticketId=ticket, body="We come on Thursday.", internalOnly=False)
            after = await read(viewer, ticket)
            assert after["updatedAt"] > before["updatedAt"]
            assert (after["notes"]["totalCount"], after["notes"]["nodes"][0]["body"]) == (1, "We come on Thursday.")
            assert [event["kind"] for event in after["history"]["nodes"]] == ["CREATED", "NOTE_ADDED"]
            assert after["history"]["totalCount"] == 2
            assert (await read(api, ticket))["notes"]["totalCount"] == 2


async def last_event_of(api: Api, ticket_id: str) -> str:
    document = "query($id: ID!) { ticket(by: {id: $id}) { history(last: 1) { nodes { id } } } }"
    found = await api(document, id=ticket_id)
    return str(found["ticket"]["history"]["nodes"][0]["id"]).removeprefix("evt_")


async def test_a_technician_sees_and_writes_notes_only_on_their_own_tickets(api: Api) -> None:
    technician = await api.new_technician()
    theirs, other = await api.new_ticket(technicianId=technician), await api.new_ticket()
    hidden = await api.done("noteAdd", NOTE, ticketId=theirs, body="Beware of the dog.")
    elsewhere = await api.done("noteAdd", NOTE, ticketId=other, body="Elsewhere.", internalOnly=False)
    async with api.technician(technician) as tess:
        assert (await read(tess, theirs))["notes"]["nodes"][0]["body"] == "Beware of the dog."
        document = "query($ids: [ID!]!) { nodes(ids: $ids) { id } }"
        assert (await tess.seen(document, ids=[hidden["note"]["id"], elsewhere["note"]["id"]]))["nodes"] == [
            {"id": hidden["note"]["id"]},
            None,
        ]
        payload = await tess.do("noteAdd", NOTE, ticketId=other, body="Mine?")
        assert (payload["note"], [error["code"] for error in payload["userErrors"]]) == (None, ["NOT_FOUND"])
    assert (await read(api, other))["notes"]["totalCount"] == 1


async def test_a_customers_note_is_public_and_on_their_own_ticket(api: Api, database: Database) -> None:
    customer = await api.new_customer()
    ticket, other = await api.new_ticket(customerId=customer), await api.new_ticket()
    async with api.customer(customer) as cora:
        for given in ({}, {"internalOnly": False}, {"internalOnly": None}):
            note = (await cora.done("noteAdd", NOTE, ticketId=ticket, body="Still beeping.", **given))["note"]
            assert note["internalOnly"] is False
        refused = await cora.refused("noteAdd", ticketId=ticket, body="Secret.", internalOnly=True)
        assert refused == [("NOT_ALLOWED", "internalOnly")]
        assert await cora.refused("noteAdd", ticketId=other, body="Hello?") == [("NOT_FOUND", "ticketId")]
    assert [event["public"] for event in await events(database, ticket)] == [True] * 4
    assert await database.fetchval("SELECT count(*) FROM notes WHERE body IN ('Secret.', 'Hello?')") == 0


async def test_all_user_errors_of_a_note_are_returned_together(api: Api) -> None:
    async with api.customer(await api.new_customer()) as cora:
        refused = await cora.refused("noteAdd", ticketId="tkt_1", body=" ", internalOnly=True)
    assert sorted(refused) == [("INVALID", "ticketId"), ("NOT_ALLOWED", "internalOnly"), ("REQUIRED", "body")]


async def test_a_note_is_final(api: Api, database: Database) -> None:
    ticket = await api.new_ticket()
    await api.done("noteAdd", "__typename", ticketId=ticket, body="Final.")
    for statement in (
        "UPDATE notes SET body = 'Changed.'",
        "UPDATE notes SET internal_only = false",
        "DELETE FROM notes",
        "TRUNCATE notes CASCADE",
        "DELETE FROM tickets",
        "UPDATE ticket_events SET after = '{}'",
    ):
        with pytest.raises(asyncpg.RestrictViolationError):
            await database.execute(statement)
    fields = await api('{ __type(name: "Mutation") { fields { name } } }')
    assert [field["name"] for field in fields["__type"]["fields"] if "note" in field["name"].lower()] == [
        "noteAdd",
        "propertyAccessNoteAdd",
    ]
    assert (await read(api, ticket))["notes"]["nodes"][0]["body"] == "Final."


async def test_concurrent_notes_are_all_stored_in_the_order_of_the_history(api: Api, database: Database) -> None:
    ticket = await api.new_ticket()
    bodies = [f"Note {number}" for number in range(30)]
    await asyncio.gather(*(api.done("noteAdd", "__typename", ticketId=ticket, body=body) for body in bodies))
    document = """query($id: ID!) { ticket(by: {id: $id}) { notes(first: 100) { nodes { body } }
      history(first: 100) { nodes { note { body } } } } }"""
    found = (await api(document, id=ticket))["ticket"]
    notes = [note["body"] for note in found["notes"]["nodes"]]
    assert sorted(notes) == sorted(bodies)
    assert [event["note"]["body"] for event in found["history"]["nodes"][1:]] == notes
    assert (await ticket_row(database, ticket))["version"] == 1
