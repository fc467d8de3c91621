"""Whose ticket or note a message becomes, and the review of messages that were ignored or kept aside."""

from __future__ import annotations

import asyncio
import base64
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from callout.settings import Settings
from resolvers.inbound_review import NOT_STORED
from tests.helpers.api import Api, Server
from tests.helpers.database_checks import Database, key
from tests.helpers.inbound_mail import OURS, SERVER, message, received
from tests.helpers.process import callout_process
from tests.mail.test_inbound import address, ingest, message_id, our_id, outcome, ticket, ticket_from

GROUP = "help@group.test"
FORM = "website@host.test"
MESSAGES = """query($outcome: [InboundOutcome!]) { inboundMessages(filter: {outcome: $outcome}, first: 100) { totalCount
  nodes { id outcome reason fromAddress fromName recipients text raw ticket { id } note { id } } } }"""
REVIEWED = "inboundMessage { id outcome reason ticket { id } note { id body internalOnly } }"
VERIFIED = """query($id: ID!) { ticket(by: {id: $id}) {
  customer { id } contact { name email } senderVerified notes { nodes { internalOnly senderVerified
  author { kind name } body } } } }"""
ENTRIES = """query($id: ID!) { auditEntries(filter: {objectId: $id}) { nodes { action objectKind actor { name }
  changes { field before after } } } }"""
WAITING = ["IGNORED", "KEPT_ASIDE"]


@pytest.fixture(scope="module")
def server(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose settings give its own mail address, a list that leads to it, and a web form."""
    directory = tmp_path_factory.mktemp("server")
    settings = {"database_url": database_url, "jwt_secret": "s" * 48, "mail_from": f"Callout <{OURS}>"}
    settings |= {"mail_authserv_id": SERVER, "mail_lists": f"{GROUP.upper()},", "mail_forms": FORM}
    with callout_process(directory, **settings) as process:
        known = Settings(env="production", database_url=database_url, jwt_secret="s" * 48, data_dir=directory)
        yield Server(process.url, known, database_url, process)


async def seen(api: Api, id_: str) -> Any:
    return (await api(VERIFIED, id=id_))["ticket"]


async def waiting(api: Api, raw: bytes) -> Any:
    """Ingests a message that is ignored or kept aside, and returns it as admins see it."""
    assert (await ingest(api, raw))["outcome"] in WAITING
    return (await api(MESSAGES, outcome=WAITING))["inboundMessages"]["nodes"][0]


# Forms and lists


@pytest.mark.parametrize("sender", [OURS, FORM, GROUP])
async def test_a_form_and_a_list_make_the_ticket_of_the_customer_in_reply_to(api: Api, sender: str) -> None:
    who = address()
    customer = await api.new_customer(name="Bell Towers", email=who)
    made = await ticket_from(api, message(f"Website <{sender}>", uuid.uuid4().hex, reply_to=f"Ann Lee <{who}>"))
    found = await seen(api, made["id"])
    assert (found["customer"], found["contact"]) == ({"id": customer}, {"name": "Ann Lee", "email": who})
    (newest, *_) = (await api(MESSAGES, outcome=["TICKET_CREATED"]))["inboundMessages"]["nodes"]
    assert (newest["fromAddress"], newest["fromName"]) == (who, "Ann Lee")


async def test_a_form_of_somebody_else_makes_a_ticket_of_nobodys(api: Api) -> None:
    """Whoever runs it may name a customer: their text must not stand in the customer's account, nor in a mail to them.
    An admin can say whose ticket it is."""
    who = address()
    customer = await api.new_customer(name="Bell Towers", email=who)
    raw = message("Website <noreply@eve.test>", "Pay at eve.test", reply_to=f"Ann Lee <{who}>")
    made = await ticket_from(api, received(raw, "pass", "eve.test"))
    found = await seen(api, made["id"])
    assert (found["customer"], found["contact"]) == (None, {"name": "Ann Lee", "email": who})
    assert (made["description"], found["senderVerified"]) == (
        "Pay at eve.test\n\n(noreply@eve.test sent this message and named the writer. Nobody has checked that.)",
        False,
    )
    async with api.customer(customer) as ann:
        assert (await ann("query($id: ID!) { ticket(by: {id: $id}) { id } }", id=made["id"]))["ticket"] is None
    await api.done("ticketUpdate", "__typename", ticketId=made["id"], customerId=customer)
    assert (await seen(api, made["id"]))["customer"] == {"id": customer}


async def test_a_group_of_ours_makes_tickets_of_its_writers(api: Api) -> None:
    who = address()
    listed = {"list_id": "<help.group.test>", "precedence": "list", "to": GROUP}
    made = await ticket_from(api, message(f"Ann <{who}>", message_id=(id_ := message_id()), **listed))
    assert made["contact"]["email"] == who
    rewritten = {"reply_to": f"Ann <{who}>", "in_reply_to": id_, **listed}
    noted = await ticket_from(api, message(f"Ann via Help <{GROUP}>", "Still.", **rewritten))
    assert (noted["id"], noted["notes"]["nodes"][0]["internalOnly"]) == (made["id"], False)
    others = {"list_id": "<all.elsewhere.test>", "precedence": "list", "to": "all@elsewhere.test", "cc": OURS}
    assert await outcome(api, message(address(), **others)) == "IGNORED"


@pytest.mark.parametrize(
    ("sender", "dmarc", "internal"),
    [
        ("noreply@eve.test", "pass", True),
        ("noreply@eve.test", None, True),
        (f"Support <{OURS}>", "none", True),
        (f"Support <{OURS}>", "pass", False),
    ],
)
async def test_who_is_named_in_reply_to_writes_in_nobodys_name(
    api: Api, sender: str, dmarc: str | None, internal: bool
) -> None:
    """A verified stranger can name anybody, so their message is the staff's to judge. A list of ours that is verified
    itself is believed; the writer counts as unverified all the same."""
    who = address()
    made = await ticket_from(api, received(message(f"Ann <{who}>", message_id=(id_ := message_id())), "pass"))
    raw = message(sender, "Open the door.", reply_to=who, in_reply_to=id_)
    domain = sender.rpartition("@")[2].strip(">")
    assert (await ticket_from(api, received(raw, dmarc, domain)))["id"] == made["id"]
    (note,) = (await seen(api, made["id"]))["notes"]["nodes"]
    assert (note["internalOnly"], note["senderVerified"]) == (internal, False)
    assert note["author"]["kind"] == ("SERVICE" if internal else "CUSTOMER")


async def test_a_ticket_by_a_form_waits_for_the_contacts_confirmation(api: Api) -> None:
    """Although the mail server has verified the form, which names whomever its visitor likes."""
    made = await ticket_from(
        api, received(message("noreply@eve.test", "Hello.", reply_to=address()), "pass", "eve.test")
    )
    assert (await seen(api, made["id"]))["senderVerified"] is False


# Other spellings of an address


async def test_a_tagged_address_is_the_customers_unless_another_has_it(api: Api) -> None:
    who = address()
    ann = await api.new_customer(email=who)
    tagged, taken = who.replace("@", "+Alarm@"), who.replace("@", "+bob@")
    bob = await api.new_customer(email=taken)
    made = await ticket_from(api, message(f"Panel <{tagged}>", message_id=(id_ := message_id())))
    assert (made["customer"], made["contact"]["email"]) == ({"id": ann}, tagged)
    assert (await ticket_from(api, message(taken)))["customer"] == {"id": bob}
    # The contact replies as ever; on other tickets of the customer's the tag leaves a doubt.
    noted = await ticket_from(api, message(tagged, "Still.", in_reply_to=id_))
    assert noted["notes"]["nodes"][-1]["author"]["kind"] == "CUSTOMER"
    elsewhere = await api.new_ticket(customerId=ann)
    noted = await ticket_from(api, message(tagged, "Me again.", references=our_id(elsewhere)))
    assert noted["id"] == elsewhere
    assert noted["notes"]["nodes"][-1] == {
        "body": "Me again.",
        "internalOnly": True,
        "author": {"kind": "SERVICE", "name": f"E-mail from {tagged}"},
    }


async def test_a_customer_is_recognised_by_either_spelling_of_the_domain(api: Api) -> None:
    local = uuid.uuid4().hex[:8]
    customer = await api.new_customer(email=f"{local}@bücher.example")
    made = await ticket_from(api, message(f"{local}@xn--bcher-kva.example"))
    assert made["customer"] == {"id": customer}


# Participants


@pytest.fixture
async def copied(api: Api) -> dict[str, str]:
    """A ticket whose first message was copied to `bob`."""
    ann, bob, id_ = address(), address(), message_id()
    raw = message(f"Ann <{ann}>", "Door 3 does not lock.", message_id=id_, cc=f"Bob <{bob.upper()}>")
    made = await ticket_from(api, raw)
    return {"id": made["id"], "ann": ann, "bob": bob, "message_id": id_}


@pytest.mark.parametrize(("dmarc", "internal"), [("pass", False), ("none", True), ("", True)])
async def test_a_colleague_who_answers_all_adds_a_note(
    api: Api, copied: dict[str, str], dmarc: str, internal: bool
) -> None:
    """To be seen by the customer too, they must be verified; and even then they are called by their address."""
    raw = message(f"Callout Support <{copied['bob']}>", "Approved.", in_reply_to=copied["message_id"])
    noted = await ticket_from(api, received(raw, dmarc) if dmarc else raw)
    assert noted["id"] == copied["id"]
    assert noted["notes"]["nodes"][-1] == {
        "body": "Approved.",
        "internalOnly": internal,
        "author": {"kind": "SERVICE" if internal else "CUSTOMER", "name": f"E-mail from {copied['bob']}"},
    }


async def test_a_participant_does_not_become_the_contact_of_a_follow_up(api: Api, copied: dict[str, str]) -> None:
    """Of a ticket that was closed too long ago to be reopened: theirs is a ticket of their own."""
    await api.done("supportSettingsUpdate", "__typename", reopenDays=0)
    await api.done("ticketResolve", "__typename", ticketId=copied["id"], resolution="Done.")
    await api.done("ticketSetStatus", "__typename", ticketId=copied["id"], status="CLOSED")
    customer = await api.new_customer()
    await api.done("ticketUpdate", "__typename", ticketId=copied["id"], customerId=customer)
    raw = received(message(copied["bob"], "Again.", in_reply_to=copied["message_id"]), "pass")
    made = await ticket_from(api, raw)
    assert (made["id"] != copied["id"], made["customer"], made["contact"]["email"]) == (True, None, copied["bob"])


async def test_a_doubtful_answer_is_heard_by_admins(api: Api, copied: dict[str, str], database: Database) -> None:
    """An internal note notifies nobody otherwise."""
    admin = address()
    kinds = {"kind": "CUSTOMER_ANSWERED", "email": True}
    await api.done("supportSettingsUpdate", "__typename", adminRecipients=[admin], notices=[kinds])
    assert await outcome(api, message(copied["bob"], "Approved.", in_reply_to=copied["message_id"])) == "NOTE_ADDED"
    assert await database.fetchval("SELECT kind FROM deliveries WHERE recipient = $1", admin) == "CUSTOMER_ANSWERED"
    noted = message(admin, "Seen.", references=our_id(copied["id"]))
    assert await outcome(api, noted) == "NOTE_ADDED"
    assert await database.fetchval("SELECT count(*) FROM deliveries WHERE recipient = $1", admin) == 1


async def test_only_to_whom_a_message_was_copied_takes_part(api: Api, copied: dict[str, str]) -> None:
    eve = address()
    answers = {
        "a stranger": message(eve, "Approved.", in_reply_to=copied["message_id"]),
        "by the reference": message(copied["bob"], "Approved.", subject=(await ticket(api, copied["id"]))["reference"]),
        "to our mail": message(eve, "Approved!", references=our_id(copied["id"])),
        "by a form": message(eve, "Approved?", in_reply_to=copied["message_id"], cc=copied["bob"]),
    }
    for name, raw in answers.items():
        made = await ticket_from(api, received(raw, "pass"))
        assert made["id"] != copied["id"], name
        followed = await api("query($id: ID!) { ticket(by: {id: $id}) { followUpOf { id } } }", id=made["id"])
        assert followed["ticket"]["followUpOf"] == {"id": copied["id"]}, name
    assert (await ticket(api, copied["id"]))["notes"]["nodes"] == []


async def test_whom_a_participant_copies_takes_part_as_well(api: Api, copied: dict[str, str]) -> None:
    carol, id_ = address(), message_id()
    asked = message(copied["bob"], "Carol?", message_id=id_, in_reply_to=copied["message_id"], cc=carol)
    assert (await ticket_from(api, asked))["id"] == copied["id"]
    assert (await ticket_from(api, message(carol, "Yes.", references=id_)))["id"] == copied["id"]


async def test_nobody_vouches_for_themselves_by_a_form(api: Api, copied: dict[str, str]) -> None:
    """A stranger who knows the thread could name the customer in Reply-To, and copy the message to themselves."""
    eve, id_ = f"{uuid.uuid4().hex[:12]}@eve.test", message_id()
    headers = {"reply_to": copied["ann"], "cc": eve, "message_id": id_, "in_reply_to": copied["message_id"]}
    form = message("Website <noreply@eve.test>", "Please ask Eve.", **headers)
    assert (await ticket_from(api, received(form, "pass", "eve.test")))["id"] == copied["id"]
    noted = await ticket_from(api, received(message(eve, "Pay me.", in_reply_to=id_), "pass", "eve.test"))
    assert [note["internalOnly"] for note in noted["notes"]["nodes"]] == [True, True]


async def test_staff_who_were_copied_write_no_public_note(api: Api) -> None:
    tess, id_ = address(), message_id()
    await api.new_technician(email=tess)
    made = await ticket_from(api, message(address(), message_id=id_, cc=tess))
    noted = await ticket_from(api, received(message(tess, "Seen.", in_reply_to=id_), "pass"))
    assert (noted["id"], noted["notes"]["nodes"][0]["internalOnly"]) == (made["id"], True)


# What waits for a review


async def test_an_ignored_message_can_be_read_and_counted(api: Api) -> None:
    before = (await api(MESSAGES, outcome=WAITING))["inboundMessages"]["totalCount"]
    raw = message(f"Ann <{address()}>", "I am away.\r\n\r\nUntil Monday.", auto_submitted="auto-replied", cc="b@x.test")
    found = await waiting(api, raw)
    assert (found["outcome"], found["text"]) == ("IGNORED", "I am away.\n\nUntil Monday.")
    assert (base64.b64decode(found["raw"]), found["recipients"]) == (raw, ["b@x.test"])
    assert (await api(MESSAGES, outcome=WAITING))["inboundMessages"]["totalCount"] == before + 1


async def test_an_accepted_message_becomes_the_ticket_that_it_would_have_been(api: Api) -> None:
    who = address()
    customer = await api.new_customer(name="Bell Towers", email=who)
    raw = message(f"Ann <{who}>", "The siren is on.", subject="Siren", precedence="bulk")
    found = await waiting(api, received(raw, "pass"))
    accepted = (await api.done("inboundMessageAccept", REVIEWED, inboundMessageId=found["id"]))["inboundMessage"]
    made = await ticket(api, accepted["ticket"]["id"])
    assert (accepted["outcome"], accepted["reason"]) == ("TICKET_CREATED", found["reason"])
    assert (made["subject"], made["description"], made["source"]) == ("Siren", "The siren is on.", "EMAIL")
    assert (made["customer"], made["contact"]["email"]) == ({"id": customer}, who)
    assert made["history"]["nodes"][0]["actor"] == {"kind": "CUSTOMER", "name": "Bell Towers"}
    assert (await seen(api, made["id"]))["senderVerified"] is True
    assert await outcome(api, received(raw, "pass")) == "DUPLICATE"
    (entry,) = (await api(ENTRIES, id=found["id"]))["auditEntries"]["nodes"]
    assert (entry["action"], entry["objectKind"]) == ("UPDATED", "INBOUND_MESSAGE")
    changes = {change["field"]: (change["before"], change["after"]) for change in entry["changes"]}
    assert changes == {"outcome": ("IGNORED", "TICKET_CREATED"), "ticketId": (None, made["id"])}


async def test_the_files_of_an_accepted_message_are_attached(api: Api) -> None:
    body = "--b\r\n\r\nSee the plan.\r\n--b\r\nContent-Type: text/csv; name=plan.csv\r\n\r\na,b\r\n--b--\r\n"
    raw = message(address(), body, content_type="multipart/mixed; boundary=b", precedence="bulk")
    found = await waiting(api, raw)
    done = await api.done("inboundMessageAccept", REVIEWED, inboundMessageId=found["id"])
    document = "query($id: ID!) { ticket(by: {id: $id}) { attachments { nodes { name } } } }"
    made = (await api(document, id=done["inboundMessage"]["ticket"]["id"]))["ticket"]
    assert made["attachments"]["nodes"] == [{"name": "plan.csv"}]


async def test_an_accepted_reply_becomes_a_note(api: Api, copied: dict[str, str]) -> None:
    raw = message(copied["ann"], "Any news?", in_reply_to=copied["message_id"], auto_submitted="auto-generated")
    found = await waiting(api, raw)
    accepted = (await api.done("inboundMessageAccept", REVIEWED, inboundMessageId=found["id"]))["inboundMessage"]
    assert (accepted["outcome"], accepted["ticket"]) == ("NOTE_ADDED", {"id": copied["id"]})
    assert (accepted["note"]["body"], accepted["note"]["internalOnly"]) == ("Any news?", False)


async def test_an_admin_chooses_the_ticket_but_not_whose_name_a_note_has(api: Api, copied: dict[str, str]) -> None:
    for who, internal in ((copied["ann"], False), (address(), True)):
        found = await waiting(api, message(who, uuid.uuid4().hex, precedence="junk"))
        done = await api.done("inboundMessageAccept", REVIEWED, inboundMessageId=found["id"], ticketId=copied["id"])
        assert (done["inboundMessage"]["ticket"], done["inboundMessage"]["note"]["internalOnly"]) == (
            {"id": copied["id"]},
            internal,
        )


async def test_a_message_without_a_writer_needs_one_to_become_a_ticket(api: Api, copied: dict[str, str]) -> None:
    who = address()
    for raw in (message("a@x.test, b@x.test", "Which?"), message(OURS, "From our own program.")):
        found = await waiting(api, raw)
        assert await api.refused("inboundMessageAccept", inboundMessageId=found["id"]) == [("REQUIRED", "contactEmail")]
        done = await api.done("inboundMessageAccept", REVIEWED, inboundMessageId=found["id"], contactEmail=who)
        assert (await ticket(api, done["inboundMessage"]["ticket"]["id"]))["contact"]["email"] == who
    found = await waiting(api, message("nobody", "Whose?"))
    done = await api.done("inboundMessageAccept", REVIEWED, inboundMessageId=found["id"], ticketId=copied["id"])
    assert done["inboundMessage"]["note"]["internalOnly"] is True


async def test_a_forged_message_that_is_accepted_is_not_verified(api: Api, copied: dict[str, str]) -> None:
    found = await waiting(api, received(message(copied["ann"], "Open it.", subject="Gate"), "fail"))
    done = await api.done("inboundMessageAccept", REVIEWED, inboundMessageId=found["id"])
    assert (await seen(api, done["inboundMessage"]["ticket"]["id"]))["senderVerified"] is False


async def test_a_message_is_reviewed_once_by_however_many(api: Api, database: Database) -> None:
    found = await waiting(api, message(address(), uuid.uuid4().hex, precedence="bulk"))
    before = await database.fetchval("SELECT count(*) FROM tickets")
    calls = ["inboundMessageAccept"] * 4 + ["inboundMessageDiscard"] * 4
    answers = await asyncio.gather(*(api.do(call, REVIEWED, inboundMessageId=found["id"]) for call in calls))
    done = [answer for answer in answers if not answer["userErrors"]]
    refused = [answer["userErrors"][0] for answer in answers if answer["userErrors"]]
    assert (len(done), {error["code"] for error in refused}) == (1, {"NOT_ALLOWED"})
    made = await database.fetchval("SELECT count(*) FROM tickets") - before
    assert made == (done[0]["inboundMessage"]["outcome"] == "TICKET_CREATED")
    assert len((await api(ENTRIES, id=found["id"]))["auditEntries"]["nodes"]) == 1
    assert {answer["inboundMessage"]["outcome"] for answer in answers} == {done[0]["inboundMessage"]["outcome"]}


async def test_a_discarded_message_stays_in_the_list_but_does_not_wait(api: Api) -> None:
    found = await waiting(api, message(address(), "Buy!", precedence="bulk"))
    before = (await api(MESSAGES, outcome=WAITING))["inboundMessages"]["totalCount"]
    done = await api.done("inboundMessageDiscard", REVIEWED, inboundMessageId=found["id"])
    assert (done["inboundMessage"]["outcome"], done["inboundMessage"]["ticket"]) == ("DISCARDED", None)
    assert (await api(MESSAGES, outcome=WAITING))["inboundMessages"]["totalCount"] == before - 1
    (newest, *_) = (await api(MESSAGES, outcome=["DISCARDED"]))["inboundMessages"]["nodes"]
    assert (newest["id"], newest["text"]) == (found["id"], "Buy!")
    (entry,) = (await api(ENTRIES, id=found["id"]))["auditEntries"]["nodes"]
    assert entry["changes"] == [{"field": "outcome", "before": "IGNORED", "after": "DISCARDED"}]


async def test_messages_that_were_processed_cannot_be_reviewed(api: Api) -> None:
    await ticket_from(api, message(address()))
    (newest, *_) = (await api(MESSAGES, outcome=["TICKET_CREATED"]))["inboundMessages"]["nodes"]
    for mutation in ("inboundMessageAccept", "inboundMessageDiscard"):
        assert await api.refused(mutation, inboundMessageId=newest["id"]) == [("NOT_ALLOWED", "inboundMessageId")]


async def test_a_message_that_is_no_longer_stored_cannot_be_accepted(api: Api, database: Database) -> None:
    found = await waiting(api, message(address(), uuid.uuid4().hex, precedence="bulk"))
    for raw in (b"", None):
        await database.execute("UPDATE inbound_messages SET raw = $2 WHERE id = $1", key(found["id"]), raw)
        refused = await api.do("inboundMessageAccept", REVIEWED, inboundMessageId=found["id"])
        (error,) = refused["userErrors"]
        assert (error["code"], error["field"][-1], error["message"]) == ("NOT_ALLOWED", "inboundMessageId", NOT_STORED)
    await api.done("inboundMessageDiscard", REVIEWED, inboundMessageId=found["id"])


# Floods


async def test_an_automatic_message_that_repeats_itself_is_stored_once(api: Api, database: Database) -> None:
    robot = address()
    for _ in range(5):
        taken = await ingest(api, message(robot, "I am away.", precedence="bulk", message_id=message_id()))
        assert taken["outcome"] == "IGNORED"
    count = "SELECT count(*) FROM inbound_messages WHERE from_address = $1"
    assert await database.fetchval(count, robot) == 1
    found = (await api(MESSAGES, outcome=WAITING))["inboundMessages"]["nodes"][0]
    await api.done("inboundMessageDiscard", REVIEWED, inboundMessageId=found["id"])
    await ingest(api, message(robot, "I am away.", precedence="bulk", message_id=message_id()))
    assert await database.fetchval(count, robot) == 2


async def test_of_too_many_automatic_messages_only_the_header_is_kept(api: Api, database: Database) -> None:
    robot = address()
    await database.execute(
        "INSERT INTO inbound_messages (id, key, content, size, outcome, reason, from_address)"
        " SELECT gen_random_uuid(), sha256(n::text::bytea), sha256(n::text::bytea), 1, 'IGNORED', 'x', upper($1)"
        " FROM generate_series(1, 100) AS n",
        robot,
    )
    flood = await waiting(api, message(robot, "Number 101.", precedence="bulk"))
    assert (flood["text"], flood["raw"]) == (None, None)
    assert flood["reason"].endswith("Only its header was kept, as this sender had 100 such messages within a day.")
    other = await waiting(api, message(address(), "Number 1.", precedence="bulk"))
    assert other["text"] == "Number 1."


async def test_a_long_text_is_shortened_in_the_list(api: Api) -> None:
    found = await waiting(api, message(address(), "x" * 150_000, precedence="bulk"))
    assert found["text"] == "x" * 99_999 + "…"
