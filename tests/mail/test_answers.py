"""A customer's answers: somebody is notified of them, they reopen a ticket or make another that follows it up, and
nobody is mailed about what they have done themselves."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.helpers.api import Api
from tests.helpers.attached_files import attach, checked, upload
from tests.helpers.database_checks import Database, key
from tests.helpers.notification_sink import Sink, until, working
from tests.mail.test_notifications import (
    ADMINS,
    Company,
    Ticket,
    chat,
    chatting,
    company,
    deliveries_of,
    mail,
    settings,
    ticket,
)

__all__ = ("chatting", "company")  # fixtures

CORA = "cora@customer.test"
TESS = "tess@company.test"
ANSWERED = mail("CUSTOMER_ANSWERED", "TECHNICIAN", TESS)
REOPENED = mail("REOPENED", "TECHNICIAN", TESS)
STATE = """query($id: ID!) { ticket(by: {id: $id}) { id status resolution resolvedAt closedAt allowedStatuses
    description subject category source contact { name email } customer { id } property { id } technician { id }
    notes { nodes { body } } followUpOf { id } followUps { nodes { id } } history { nodes { kind } } } }"""
NOTED = "note { id body ticket { id reference followUpOf { id } } }"


@pytest.fixture
async def cora(api: Api, company: Company) -> AsyncIterator[Api]:
    async with api.customer(company.customer) as owner:
        yield owner


async def state(viewer: Api, id_: str) -> Any:
    return (await viewer(STATE, id=id_))["ticket"]


async def note(viewer: Api, ticket_id: str, body: str = "It beeps again.", **given: Any) -> Any:
    return (await viewer.done("noteAdd", NOTED, ticketId=ticket_id, body=body, **given))["note"]


async def write(api: Api, sender: str, subject: str, text: str = "It beeps again.") -> Any:
    raw = f"From: Cora <{sender}>\nTo: support@callout.test\nSubject: {subject}\n\n{text}\n"
    encoded = base64.b64encode(raw.encode()).decode()
    return await api.done("inboundEmailIngest", "outcome reason ticket { id }", message={"encoded": encoded})


async def theirs(api: Api, company: Company, **given: Any) -> Ticket:
    """A ticket of Cora's, assigned to Tess."""
    return await ticket(api, **{"customerId": company.customer, "technicianId": company.tess} | given)


async def resolved(api: Api, company: Company, **given: Any) -> Ticket:
    made = await theirs(api, company, **given)
    await made.mutate("ticketResolve", resolution="New battery.")
    return made


async def closed(api: Api, company: Company, database: Database, days: float = 0, **given: Any) -> Ticket:
    """One that was closed so many days ago."""
    made = await resolved(api, company, **given)
    await made.mutate("ticketSetStatus", status="CLOSED")
    await backdate(database, made.id, days)
    return made


async def backdate(database: Database, ticket_id: str, days: float) -> None:
    await database.execute(
        "UPDATE tickets SET closed_at = closed_at - $2 * interval '1 day' WHERE id = $1", key(ticket_id), days
    )


# Who is notified


async def test_an_answer_notifies_the_technician_and_the_space(
    api: Api, company: Company, cora: Api, chatting: None
) -> None:
    assigned = await theirs(api, company)
    await note(cora, assigned.id)
    assert await assigned.new_deliveries() == [ANSWERED, chat("CUSTOMER_ANSWERED")]
    reference = (await api("query($id: ID!) { ticket(by: {id: $id}) { reference } }", id=assigned.id))["ticket"]
    await write(api, CORA, f"Re: {reference['reference']}")
    assert await assigned.new_deliveries() == [ANSWERED, chat("CUSTOMER_ANSWERED")]


async def test_an_answer_on_a_ticket_without_an_active_technician_notifies_the_admins(
    api: Api, company: Company, cora: Api, chatting: None
) -> None:
    gone = await api.new_technician(email="left@company.test")
    admins = [mail("CUSTOMER_ANSWERED", "ADMIN", admin) for admin in ADMINS]
    for technician in (None, gone):
        given = await theirs(api, company, technicianId=technician)
        if technician is not None:
            await api.done("technicianUpdate", "__typename", technicianId=gone, active=False)
        await note(cora, given.id)
        assert await given.new_deliveries() == [*admins, chat("CUSTOMER_ANSWERED")]


async def test_an_answer_that_reopens_a_ticket_is_one_notification(
    api: Api, company: Company, cora: Api, chatting: None
) -> None:
    done = await resolved(api, company)
    await note(cora, done.id)
    assert await done.new_deliveries() == [REOPENED, chat("REOPENED")]
    kinds = [{"kind": "REOPENED", "email": False, "googleChat": False}]
    await settings(api, notices=kinds)
    other = await resolved(api, company)
    await note(cora, other.id)
    await settings(api, notices=[{"kind": "REOPENED", "email": True, "googleChat": True}])
    assert await other.new_deliveries() == [ANSWERED, chat("CUSTOMER_ANSWERED")]


async def test_a_reopening_by_anybody_else_notifies_the_technician(
    api: Api, company: Company, cora: Api, chatting: None
) -> None:
    done = await resolved(api, company)
    await done.api.done("ticketSetStatus", "__typename", ticketId=done.id, status="OPEN")
    assert await done.new_deliveries() == [REOPENED, chat("REOPENED")]
    again = await resolved(api, company)
    await cora.done("ticketSetStatus", "__typename", ticketId=again.id, status="OPEN")
    assert await again.new_deliveries() == [REOPENED, chat("REOPENED")]


# Files without a note


def about_files(sink: Sink, ticket_id: str) -> list[Any]:
    """The mails to Tess about a customer's files on the ticket."""
    sent = [each for each in sink.taken if each["recipient"] == TESS and each["ticket"]["id"] == key(ticket_id)]
    return [each for each in sent if each["kind"] == "CUSTOMER_ANSWERED" and each["note"] is None]


async def test_a_customers_file_is_an_answer(
    api: Api, company: Company, cora: Api, chatting: None, database: Database
) -> None:
    """One notification is for a burst of files. It waits for them, and names them. Those of a note, and of staff, do
    not count, and a later file is another answer."""
    assigned = await theirs(api, company)
    names = ["one.txt", "two.txt"]
    for name in names:
        await attach(cora, name.encode(), ticketId=assigned.id, name=name, contentType="text/plain")
    assert await assigned.new_deliveries() == [ANSWERED, chat("CUSTOMER_ANSWERED")]
    written = await note(cora, assigned.id, "See the file.")
    assert await assigned.new_deliveries() == [ANSWERED, chat("CUSTOMER_ANSWERED")]
    await attach(cora, b"of the note", noteId=written["id"])
    await attach(api, b"of staff", ticketId=assigned.id)
    assert await assigned.new_deliveries() == []
    of_files = "FROM deliveries WHERE ticket_id = $1 AND note_id IS NULL AND kind = 'CUSTOMER_ANSWERED'"
    assert await database.fetchval(f"SELECT count(*) {of_files} AND due_at > now()", key(assigned.id)) == 2
    async with Sink.open() as sink, working(api.server.settings, sink):
        await database.execute("UPDATE deliveries SET due_at = now() WHERE ticket_id = $1", key(assigned.id))
        await until(lambda: bool(about_files(sink, assigned.id)))
    (mail,) = about_files(sink, assigned.id)
    assert [file["name"] for file in mail["files"]] == names
    await attach(cora, b"three", ticketId=assigned.id)
    assert await database.fetchval(f"SELECT count(*) {of_files}", key(assigned.id)) == 4


async def test_a_customers_file_reopens_a_ticket_as_a_note_does(
    api: Api, company: Company, cora: Api, chatting: None, database: Database
) -> None:
    for done in (await resolved(api, company), await closed(api, company, database, days=13)):
        await attach(cora, b"It looks like this.", ticketId=done.id)
        await attach(cora, b"And like this.", ticketId=done.id)
        now = await state(cora, done.id)
        assert (now["status"], now["resolution"]) == ("OPEN", None)
        kinds = [each["kind"] for each in now["history"]["nodes"]]
        assert kinds[-3:] == ["ATTACHMENT_ADDED", "REOPENED", "ATTACHMENT_ADDED"]
        assert await done.new_deliveries() == [REOPENED, chat("REOPENED")]
    old = await closed(api, company, database, days=15)
    await attach(cora, b"Still.", ticketId=old.id)
    assert (await state(cora, old.id))["status"] == "CLOSED"
    assert await old.new_deliveries() == [ANSWERED, chat("CUSTOMER_ANSWERED")]


async def test_a_file_that_is_rejected_or_came_by_mail_is_no_answer(api: Api, company: Company, cora: Api) -> None:
    done = await resolved(api, company)
    picture = await upload(cora, b"\x89PNG\r\n\x1a\n no picture", ticketId=done.id, contentType="image/png")
    assert await checked(cora, picture) == "REJECTED"
    assert ((await state(cora, done.id))["status"], await done.new_deliveries()) == ("RESOLVED", [])
    body = "--b\n\nSee the plan.\n--b\nContent-Type: text/csv; name=plan.csv\n\na,b\n--b--\n"
    raw = f"From: {CORA}\nTo: support@callout.test\nSubject: Plan\nContent-Type: multipart/mixed; boundary=b\n\n{body}"
    made = await api.done("inboundEmailIngest", "ticket { id }", message={"text": raw})
    document = "query($id: ID!) { ticket(by: {id: $id}) { attachments { nodes { id } } } }"
    (file,) = (await api(document, id=made["ticket"]["id"]))["ticket"]["attachments"]["nodes"]
    assert await checked(api, file["id"]) == "READY"
    sent = {kind for kind, *_ in await deliveries_of(api, made["ticket"]["id"])}
    assert sent == {"CREATED"}


# What it does to the ticket


async def test_an_answer_reopens_a_resolved_ticket_by_every_way(api: Api, company: Company, cora: Api) -> None:
    for by_mail in (False, True):
        done = await resolved(api, company)
        if by_mail:
            reference = (await api("query($id: ID!) { ticket(by: {id: $id}) { reference } }", id=done.id))["ticket"]
            await write(api, CORA, f"Re: [{reference['reference']}]")
        else:
            assert (await note(cora, done.id))["ticket"]["id"] == done.id
        now = await state(cora, done.id)
        assert (now["status"], now["resolution"], now["resolvedAt"]) == ("OPEN", None, None)
        assert [each["kind"] for each in now["history"]["nodes"]][-2:] == ["NOTE_ADDED", "REOPENED"]


async def test_an_answer_reopens_a_closed_ticket_within_the_grace_period(
    api: Api, company: Company, cora: Api, database: Database
) -> None:
    recent = await closed(api, company, database, days=13.9)
    assert (await note(cora, recent.id))["ticket"]["id"] == recent.id
    assert (await state(cora, recent.id))["status"] == "OPEN"
    await api.done("supportSettingsUpdate", "__typename", reopenDays=0)
    never = await closed(api, company, database)
    assert (await note(cora, never.id))["ticket"]["id"] != never.id
    await api.done("supportSettingsUpdate", "__typename", reopenDays=14)
    for days in (-1, 3651, None):
        assert await api.refused("supportSettingsUpdate", reopenDays=days) == [("INVALID", "reopenDays")]


async def test_a_later_note_makes_a_ticket_that_follows_the_closed_one_up(
    api: Api, company: Company, cora: Api, database: Database, chatting: None
) -> None:
    place = await api.new_property(company.customer)
    old = await closed(
        api,
        company,
        database,
        days=15,
        propertyId=place,
        category="CCTV",
        contact={"name": "Jan", "email": "jan@x.test"},
    )
    made = await note(cora, old.id, "The camera is dark again.", idempotencyKey="1")
    assert await note(cora, old.id, "The camera is dark again.", idempotencyKey="1") == made
    new = await state(cora, made["ticket"]["id"])
    assert made["ticket"]["followUpOf"] == new["followUpOf"] == {"id": old.id}
    assert (new["status"], new["source"], new["category"]) == ("OPEN", "CUSTOMER", "CCTV")
    assert (new["customer"]["id"], new["property"]["id"]) == (company.customer, place)
    assert (new["contact"], new["technician"]) == ({"name": "Jan", "email": "jan@x.test"}, None)
    assert [each["body"] for each in new["notes"]["nodes"]] == ["The camera is dark again."]
    assert old.id not in new["description"]
    before = await state(cora, old.id)
    assert (before["status"], before["followUps"]["nodes"]) == ("CLOSED", [{"id": new["id"]}])
    assert before["notes"]["nodes"] == []
    assert await deliveries_of(api, new["id"]) == [
        *(mail("CREATED", "ADMIN", admin) for admin in ADMINS),
        mail("CREATED", "CUSTOMER", "jan@x.test"),
        chat("CREATED"),
    ]
    assert await old.new_deliveries() == []


async def test_a_stranger_whom_a_chatbot_has_named_is_not_the_contact_of_what_follows(
    api: Api, company: Company, cora: Api, database: Database
) -> None:
    """Such a contact's mails hide whose ticket it is, which those about a ticket that the customer makes do not."""
    number = (await cora("{ me { customer { accountNumber } } }"))["me"]["customer"]["accountNumber"]
    eve = {"name": "Eve", "email": "eve@stranger.test"}
    async with api.service() as chatbot:
        old = await chatbot.new_ticket(accountNumber=number, contact=eve)
    assert (await state(cora, old))["contact"] == eve
    await api.done("ticketSetStatus", "__typename", ticketId=old, status="CLOSED")
    await backdate(database, old, 15)
    new = (await note(cora, old, "The alarm code is 4711."))["ticket"]
    assert new["followUpOf"] == {"id": old}
    assert (await state(cora, new["id"]))["contact"]["email"] == CORA
    recipients = {recipient for *_, recipient in await deliveries_of(api, new["id"])}
    assert recipients == {CORA, *ADMINS}


async def test_further_answers_to_the_closed_ticket_go_to_the_one_that_follows_it_up(
    api: Api, company: Company, cora: Api, database: Database
) -> None:
    """Even if two come at once."""
    old = await closed(api, company, database, days=15)
    both = await asyncio.gather(note(cora, old.id, "One."), note(cora, old.id, "Two."))
    (follow_up,) = {each["ticket"]["id"] for each in both}
    reference = (await api("query($id: ID!) { ticket(by: {id: $id}) { reference } }", id=old.id))["ticket"]["reference"]
    by_mail = await write(api, CORA, f"Re: {reference}", "Three.")
    assert (by_mail["outcome"], by_mail["ticket"]) == ("NOTE_ADDED", {"id": follow_up})
    now = await state(cora, follow_up)
    assert sorted(each["body"] for each in now["notes"]["nodes"]) == ["One.", "Three.", "Two."]
    assert len((await state(cora, old.id))["followUps"]["nodes"]) == 1
    await api.done("ticketSetStatus", "__typename", ticketId=follow_up, status="CLOSED")
    await database.execute(
        "UPDATE tickets SET closed_at = closed_at - interval '15 days' WHERE id = $1", key(follow_up)
    )
    third = (await note(cora, old.id, "Four."))["ticket"]
    assert third["id"] not in (old.id, follow_up)
    assert third["followUpOf"] == {"id": old.id}


async def test_a_later_mail_makes_a_ticket_of_the_same_customer_with_the_sender_as_its_contact(
    api: Api, company: Company, cora: Api, database: Database
) -> None:
    """And its address is believed where it was believed before: staff have typed it."""
    jan = {"name": "Jan", "email": "jan@neighbour.test"}
    old = await closed(api, company, database, days=15, contact=jan)
    reference = (await api("query($id: ID!) { ticket(by: {id: $id}) { reference } }", id=old.id))["ticket"]["reference"]
    made = await write(api, jan["email"], f"Re: {reference}")
    assert made["outcome"] == "TICKET_CREATED"
    new = await state(cora, made["ticket"]["id"])
    assert (new["followUpOf"], new["customer"]) == ({"id": old.id}, {"id": company.customer})
    assert (new["contact"]["email"], new["source"]) == (jan["email"], "EMAIL")
    assert new["description"] == "It beeps again."
    trusted = await database.fetch(
        "SELECT address, confirmed_at IS NOT NULL FROM contact_confirmations WHERE ticket_id = $1", key(new["id"])
    )
    assert [tuple(row) for row in trusted] == [(jan["email"], True)]
    stranger = await write(api, "stranger@elsewhere.test", f"Re: {reference}")
    assert stranger["outcome"] == "TICKET_CREATED"
    # A ticket of their own, which leads those who see both to the one that they name.
    assert (await state(api, stranger["ticket"]["id"]))["followUpOf"] == {"id": old.id}
    assert await state(cora, stranger["ticket"]["id"]) is None


async def test_staff_answer_a_closed_ticket_without_reopening_it(
    api: Api, company: Company, database: Database
) -> None:
    old = await closed(api, company, database, days=15)
    async with api.technician(company.tess) as tess:
        assert (await note(tess, old.id, "For the record."))["ticket"]["id"] == old.id
    assert (await state(api, old.id))["status"] == "CLOSED"


# What customers may do with the status


async def test_a_customer_confirms_or_reopens_their_own_resolved_ticket(
    api: Api, company: Company, cora: Api, database: Database
) -> None:
    async def set_status(ticket_id: str, status: str, **given: Any) -> Any:
        return await cora.do("ticketSetStatus", "ticket { status }", ticketId=ticket_id, status=status, **given)

    done = await resolved(api, company)
    assert (await state(cora, done.id))["allowedStatuses"] == ["OPEN", "CLOSED"]
    assert (await set_status(done.id, "CLOSED"))["ticket"] == {"status": "CLOSED"}
    assert await done.new_deliveries() == []
    now = await state(cora, done.id)
    assert (now["resolution"], now["allowedStatuses"]) == ("New battery.", ["OPEN"])
    assert (await set_status(done.id, "OPEN"))["ticket"] == {"status": "OPEN"}
    assert (await state(cora, done.id))["allowedStatuses"] == []
    for status in ("CLOSED", "IN_PROGRESS", "RESOLVED"):
        errors = (await set_status(done.id, status, **({"resolution": "x"} if status == "RESOLVED" else {})))[
            "userErrors"
        ]
        assert {error["code"] for error in errors} == {"NOT_ALLOWED"}
    old = await closed(api, company, database, days=15)
    assert (await state(cora, old.id))["allowedStatuses"] == []
    assert (await set_status(old.id, "OPEN"))["userErrors"][0]["code"] == "NOT_ALLOWED"
    async with api.customer(await api.new_customer()) as other:
        assert await other.refused("ticketSetStatus", ticketId=done.id, status="OPEN") == [("NOT_FOUND", "ticketId")]
    for status in ("CLOSED", "OPEN"):
        mended = await resolved(api, company)
        assert (await set_status(mended.id, status, resolution="x"))["userErrors"][0]["code"] == "NOT_ALLOWED"


# Nobody is notified of what they did


async def test_nobody_is_mailed_about_what_they_have_done_themselves(api: Api, company: Company, cora: Api) -> None:
    """In whatever capacity; only the contact of a new ticket gets the receipt."""
    ada = Api(api.server, claims={"email": "ADA@company.test"})
    bea = Api(api.server, subject="bea@company.test")
    unverified = Api(api.server, claims={"email": ADMINS[0], "email_verified": False})
    receipt = mail("CREATED", "CUSTOMER", "john@example.com")
    async with ada, bea, unverified, api.technician(company.tess) as tess:
        assert await deliveries_of(api, await ada.new_ticket()) == [mail("CREATED", "ADMIN", ADMINS[1]), receipt]
        assert await deliveries_of(api, await bea.new_ticket()) == [mail("CREATED", "ADMIN", ADMINS[0]), receipt]
        both = [mail("CREATED", "ADMIN", admin) for admin in ADMINS]
        assert await deliveries_of(api, await unverified.new_ticket()) == [*both, receipt]
        own = await tess.new_ticket(technicianId=company.tess)
        assert await deliveries_of(api, own) == [*both, receipt]
        done = await resolved(api, company)
        await tess.done("ticketSetStatus", "__typename", ticketId=done.id, status="IN_PROGRESS")
        assert await done.new_deliveries() == []
        mine = await ticket(api, contact={"name": "Tess", "email": TESS})
        await api.done("ticketAssign", "__typename", ticketId=mine.id, technicianId=company.tess)
        await mine.new_deliveries()
        await tess.done("noteAdd", "__typename", ticketId=mine.id, body="To myself.", internalOnly=False)
        await tess.done("ticketResolve", "__typename", ticketId=mine.id, resolution="Done.")
        assert await mine.new_deliveries() == []
        await settings(api, adminRecipients=[*ADMINS, CORA, TESS])
        try:
            unassigned = await theirs(api, company, technicianId=None)
            await note(cora, unassigned.id)
            answered = [mail("CUSTOMER_ANSWERED", "ADMIN", each) for each in (*ADMINS, TESS)]
            assert await unassigned.new_deliveries() == answered
            assert await deliveries_of(api, await tess.new_ticket()) == [
                *(mail("CREATED", "ADMIN", each) for each in (*ADMINS, CORA)),
                receipt,
            ]
        finally:
            await settings(api, adminRecipients=ADMINS)


async def test_an_answer_goes_to_no_ticket_that_has_become_anothers(
    api: Api, company: Company, cora: Api, database: Database
) -> None:
    """The ticket that follows up the closed one is another customer's now, who has been confused with this one."""
    old = await closed(api, company, database, days=15)
    first = (await note(cora, old.id))["ticket"]["id"]
    await api.done("ticketUpdate", "__typename", ticketId=first, customerId=await api.new_customer())
    second = (await note(cora, old.id))["ticket"]["id"]
    assert second not in (old.id, first)
    async with api.technician(company.tess) as tess:
        assert [each["id"] for each in (await state(tess, old.id))["followUps"]["nodes"]] == []


async def test_a_later_mail_of_a_stranger_does_not_make_them_believed(
    api: Api, company: Company, database: Database
) -> None:
    async with api.service() as bot:
        id_ = await bot.new_ticket(contact={"name": "Nan", "email": "nan@nowhere.test"})
    await api.done("ticketSetStatus", "__typename", ticketId=id_, status="CLOSED")
    await backdate(database, id_, 15)
    reference = (await api("query($id: ID!) { ticket(by: {id: $id}) { reference } }", id=id_))["ticket"]["reference"]
    made = await write(api, "nan@nowhere.test", f"Re: {reference}")
    assert (await state(api, made["ticket"]["id"]))["followUpOf"] == {"id": id_}
    assert await database.fetchval("SELECT count(*) FROM contact_confirmations WHERE address = 'nan@nowhere.test'") == 0


async def test_times_are_in_the_readers_zone_or_the_companys(api: Api) -> None:
    zone = "{ me { timeZone } }"
    given: tuple[dict[str, object], ...] = (
        {"zoneinfo": "America/Toronto"},
        {"zoneinfo": "../etc/passwd"},
        {"zoneinfo": 5},
        {"zoneinfo": "Moon"},
        {},
    )
    found = []
    for claims in given:
        async with Api(api.server, claims=claims) as viewer:
            found.append((await viewer(zone))["me"]["timeZone"])
    assert found == ["America/Toronto", "UTC", "UTC", "UTC", "UTC"]
