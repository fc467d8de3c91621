"""Inbound mail: the ticket, note or refusal that each message leads to, for every sender and every route in."""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import trustme

from callout.settings import Settings
from tests.helpers.api import Api, Server
from tests.helpers.database_checks import Database, dump, events, key, until_blocked
from tests.helpers.graphql_ws_client import Socket, live
from tests.helpers.inbound_mail import OURS, SERVER, Pipe, at_most, environment, imap_server, message, received
from tests.helpers.process import callout_process
from tests.helpers.proxy import Proxy

INGEST = "outcome reason ticket { id reference }"
TICKET = """query($id: ID!) { ticket(by: {id: $id}) {
  subject description status priority category source resolution reference
  contact { name email phone } customer { id }
  notes { nodes { body internalOnly author { kind name } } }
  history { nodes { kind actor { kind name } } } } }"""
LIST = """query($filter: InboundMessageFilter) { inboundMessages(filter: $filter, first: 100) { totalCount nodes {
  id outcome reason messageId fromAddress fromName subject size raw ticket { id } note { body } } } }"""


@pytest.fixture(scope="module")
def server(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose settings give its own mail address."""
    directory = tmp_path_factory.mktemp("server")
    settings = {"database_url": database_url, "jwt_secret": "s" * 48, "mail_from": f"Callout <{OURS}>"}
    settings |= {"mail_authserv_id": f"mx2.callout.test, {SERVER.upper()}"}
    with callout_process(directory, **settings) as process:
        known = Settings(env="production", database_url=database_url, jwt_secret="s" * 48, data_dir=directory)
        yield Server(process.url, known, database_url, process)


@pytest.fixture(scope="module")
def pipe(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Pipe:
    directory = tmp_path_factory.mktemp("pipe")
    settings = {"database_url": database_url, "data_dir": str(directory), "mail_from": f"Callout <{OURS}>"}
    settings |= {"mail_authserv_id": SERVER}
    return Pipe(environment(**settings, jwt_secret="s" * 48, env="production"))


@pytest.fixture
async def gateway(api: Api) -> AsyncIterator[Api]:
    async with api.service("gateway") as service:
        yield service


async def ingest(api: Api, raw: bytes) -> dict[str, Any]:
    payload = await api.done("inboundEmailIngest", INGEST, message={"encoded": base64.b64encode(raw).decode()})
    return {name: payload[name] for name in ("outcome", "reason", "ticket")}


async def outcome(api: Api, raw: bytes) -> str:
    return str((await ingest(api, raw))["outcome"])


async def ticket_from(api: Api, raw: bytes) -> Any:
    """Ingests a message; returns the ticket that it created or added a note to."""
    taken = await ingest(api, raw)
    assert taken["outcome"] in ("TICKET_CREATED", "NOTE_ADDED"), taken
    return await ticket(api, taken["ticket"]["id"])


async def ticket(api: Api, id_: str) -> Any:
    return (await api(TICKET, id=id_))["ticket"] | {"id": id_}


async def messages_with(api: Api, *outcomes: str) -> list[dict[str, Any]]:
    filter = {"outcome": list(outcomes)} if outcomes else None
    found: list[dict[str, Any]] = (await api(LIST, filter=filter))["inboundMessages"]["nodes"]
    return found


def message_id() -> str:
    return f"<{uuid.uuid4().hex}@bell.test>"


def address() -> str:
    return f"{uuid.uuid4().hex[:12]}@bell.test"


def our_id(ticket_id: str, domain: str = "callout.test") -> str:
    return f"<{uuid.uuid4().hex}.ticket.{key(ticket_id).replace('-', '')}@{domain}>"


# A new message


async def test_a_message_creates_a_ticket(api: Api) -> None:
    who = address()
    made = await ticket_from(
        api, message(f"Ann Bell <{who}>", "The panel beeps.\r\n\r\nSince noon.", message_id=message_id())
    )
    assert made == {
        "id": made["id"],
        "reference": made["reference"],
        "subject": "Beeping panel",
        "description": "The panel beeps.\n\nSince noon.",
        "status": "OPEN",
        "priority": "MEDIUM",
        "category": "GENERAL",
        "source": "EMAIL",
        "resolution": None,
        "contact": {"name": "Ann Bell", "email": who, "phone": None},
        "customer": None,
        "notes": {"nodes": []},
        "history": {"nodes": [{"kind": "CREATED", "actor": {"kind": "CUSTOMER", "name": "Ann Bell"}}]},
    }


async def test_a_customer_is_recognised_by_address_in_any_case(api: Api) -> None:
    who = address()
    customer = await api.new_customer(name="Bell Towers", email=who)
    made = await ticket_from(api, message(f"Ann <{who.upper()}>"))
    assert made["customer"] == {"id": customer}
    assert made["contact"] == {"name": "Ann", "email": who.upper(), "phone": None}
    assert made["history"]["nodes"][0]["actor"] == {"kind": "CUSTOMER", "name": "Bell Towers"}
    async with api.customer(customer) as portal:
        assert (await ticket(portal, made["id"]))["subject"] == "Beeping panel"
        await portal.done("noteAdd", "note { id }", ticketId=made["id"], body="Still.")


HTML = """<html><head><title>no</title><style>p {}</style></head><body><p>It <b>beeps</b>.<br>Twice.</p>
<script>alert(1)</script><p>Please come.</p></body></html>"""
MIXED = f"""--a
Content-Type: multipart/alternative; boundary=b

--b
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

Die T=FCr klemmt.
--b
Content-Type: text/html

{HTML}
--b--
--a
Content-Type: image/jpeg
Content-Disposition: attachment; filename="=?utf-8?q?t=C3=BCr.jpg?="
Content-Transfer-Encoding: base64

AAAA
--a
Content-Type: message/rfc822

From: x@example.com

Inner.
--a--
"""


@pytest.mark.parametrize(
    ("body", "headers", "described"),
    [
        (HTML, {"content_type": "text/html; charset=utf-8"}, "It beeps.\nTwice.\n\nPlease come."),
        (
            MIXED,
            {"content_type": "multipart/mixed; boundary=a"},
            "Die Tür klemmt.\n\n---------- Forwarded message ----------\nFrom: x@example.com\n\nInner.",
        ),
        ("", {}, "(The message has no text.)"),
        (b"\x93Beep\x94", {}, "“Beep”"),  # the usual meaning where no charset is given
        ("Grüße", {"content_type": "text/plain; charset=us-ascii"}, "Grüße"),
        (base64.b64encode("Hallo".encode("utf-16")), {"content_type": "text/plain; charset=UTF-16",
         "content_transfer_encoding": "base64"}, "Hallo"),
        ("See below.\n\n-- \nAnn\n\n> it", {}, "See below.\n\n-- \nAnn\n\n> it"),  # not a reply: nothing is cut
        ("x" * 30_000, {}, "x" * 19_942 + "\n\n… (The message was shortened: it has 30,000 characters.)"),
    ],
    ids=["html", "mixed", "nothing", "8bit", "wrong charset", "utf-16", "Windows quotes", "long"],
)  # fmt: skip
async def test_the_description_is_the_text_that_a_reader_sees(
    api: Api, body: str | bytes, headers: dict[str, str], described: str
) -> None:
    made = await ticket_from(api, message(f"A <{address()}>", body, **headers))
    assert made["description"] == described


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("=?utf-8?q?T=C3=BCr?= =?utf-8?b?IGtsZW1tdA==?=", "Tür klemmt"),
        ("Tür", "Tür"),
        ("a\u202eb\u2066c\x07d", "abcd"),
        ("=?utf-8?q?a=0D=0ABcc:_x=00y?=", "a Bcc: xy"),
        ("a\r\n b", "a b"),
        ("=?zip?q?x?=", "x"),
        ("=?utf-8?b?!?=", "(no subject)"),
        ("y" * 300, "y" * 199 + "…"),
        (None, "(no subject)"),
    ],
)
async def test_the_subject_is_one_harmless_line(api: Api, given: str | None, shown: str) -> None:
    assert (await ticket_from(api, message(f"A <{address()}>", subject=given)))["subject"] == shown


# Replies


ANSWER = """Tuesday suits us.

- the gate is open
- ring twice

On Mon, 23 Nov 2026 at 10:15, Callout <support@callout.test> wrote:

> We come on Tuesday.
> Does that suit you?

Thanks!
--\x20
Ann Bell, Bell Towers"""


@pytest.fixture
async def opened(api: Api) -> dict[str, Any]:
    """A ticket created by mail, with the mail's `sender` and `message_id`."""
    sender, id_ = address(), message_id()
    made = await ticket_from(api, message(f"Ann Bell <{sender}>", message_id=id_))
    return {**made, "sender": sender, "message_id": id_}


async def test_a_reply_becomes_a_public_note_without_its_quotes(api: Api, opened: dict[str, Any]) -> None:
    raw = message(f"Somebody <{opened['sender']}>", ANSWER, subject="Re: Your ticket", in_reply_to=opened["message_id"])
    noted = await ticket_from(api, raw)
    assert noted["id"] == opened["id"]
    assert noted["notes"]["nodes"] == [
        {
            "body": "Tuesday suits us.\n\n- the gate is open\n- ring twice\n\nThanks!",
            "internalOnly": False,
            "author": {"kind": "CUSTOMER", "name": "Ann Bell"},  # the ticket's name for them, not the mail's
        }
    ]
    assert [event["kind"] for event in noted["history"]["nodes"]] == ["CREATED", "NOTE_ADDED"]


@pytest.mark.parametrize("thread", ["In-Reply-To", "References", "to our mail", "by reference"])
async def test_a_reply_is_matched_by_its_thread_or_by_the_reference(
    api: Api, opened: dict[str, Any], thread: str
) -> None:
    headers = {
        "In-Reply-To": {"in_reply_to": opened["message_id"]},
        "References": {
            "references": f"{opened['message_id']}\r\n <other@bell.test>",
            "in_reply_to": "<other@bell.test>",
        },
        "to our mail": {"references": our_id(opened["id"])},
        "by reference": {"subject": f"RE: [{opened['reference'].lower()}] beeping"},
    }[thread]
    noted = await ticket_from(api, message(f"<{opened['sender'].upper()}>", **headers))
    assert (noted["id"], len(noted["notes"]["nodes"])) == (opened["id"], 1)


async def test_the_nearest_message_of_the_thread_determines_the_ticket(api: Api) -> None:
    sender, first, second = address(), message_id(), message_id()
    await ticket_from(api, message(sender, message_id=first))
    nearest = await ticket_from(api, message(sender, "Another.", message_id=second))
    noted = await ticket_from(api, message(sender, "Mine.", references=f"{first} {second}", subject="Re: it"))
    assert noted["id"] == nearest["id"]


async def test_the_customer_may_reply_on_a_ticket_with_another_contact(api: Api, database: Database) -> None:
    who = address()
    customer = await api.new_customer(name="Bell Towers", email=who)
    contact = {"name": "Janitor", "email": address()}
    ticket_id = await api.new_ticket(customerId=customer, contact=contact)
    for sender, author in ((who, "Bell Towers"), (contact["email"], "Janitor")):
        noted = await ticket_from(api, message(sender, f"By {author}.", references=our_id(ticket_id)))
        assert noted["notes"]["nodes"][-1]["author"] == {"kind": "CUSTOMER", "name": author}
    actors = [event["actor_id"] for event in await events(database, ticket_id)]
    assert actors[1:] == [key(customer), f"mailto:{contact['email']}"]


async def test_a_reply_reopens_a_resolved_ticket_and_one_that_was_closed_lately(
    api: Api, opened: dict[str, Any]
) -> None:
    await api.done("ticketResolve", "__typename", ticketId=opened["id"], resolution="Replaced the battery.")
    again = await ticket_from(api, message(opened["sender"], "It beeps again.", references=opened["message_id"]))
    assert (again["status"], again["resolution"]) == ("OPEN", None)
    assert [event["kind"] for event in again["history"]["nodes"]] == ["CREATED", "RESOLVED", "NOTE_ADDED", "REOPENED"]
    assert again["history"]["nodes"][-1]["actor"] == {"kind": "CUSTOMER", "name": "Ann Bell"}

    await api.done("ticketSetStatus", "__typename", ticketId=opened["id"], status="CLOSED")
    closed = await ticket_from(api, message(opened["sender"], "And again.", references=opened["message_id"]))
    assert (closed["status"], len(closed["notes"]["nodes"])) == ("OPEN", 2)


async def change_of(reference: str, screen: Socket) -> dict[str, Any]:
    """The next change of the ticket. Others' files, which came with the mail of earlier tests, are still checked."""
    change: dict[str, Any] = await screen.next()
    while change["ticket"]["reference"] != reference:
        change = await screen.next()
    return change


async def test_inbound_mail_is_delivered_to_live_subscribers(api: Api, opened: dict[str, Any]) -> None:
    document = """subscription { ticketChanged { __typename
      ... on TicketChange { kind ticket { reference status } } } }"""
    await api.done("ticketResolve", "__typename", ticketId=opened["id"], resolution="Done.")
    async with live(api) as screen:
        await screen.subscribe("1", document)
        assert (await screen.next())["__typename"] == "StreamReady"
        assert await outcome(api, message(opened["sender"], "No.", references=opened["message_id"])) == "NOTE_ADDED"
        kinds = [(await change_of(opened["reference"], screen))["kind"] for _ in range(2)]
    assert kinds == ["NOTE_ADDED", "REOPENED"]
    counts = await api("{ ticketCounts { all open } tickets { totalCount } }")
    assert counts["ticketCounts"]["all"] == counts["tickets"]["totalCount"]


# Long messages


def with_attachments(text: str, number: int, name: str) -> tuple[str, dict[str, str]]:
    """Returns a body with `text` and `number` attachments, and the headers for it."""
    file = base64.b64encode(name.encode()).decode()
    attached = f'Content-Type: a/b\r\nContent-Disposition: attachment; filename="=?utf-8?b?{file}?="\r\n\r\nx\r\n'
    parts = ["Content-Type: text/plain; charset=utf-8\r\n\r\n" + text + "\r\n", *[attached] * number]
    return "--b\r\n" + "--b\r\n".join(parts) + "--b--\r\n", {"content_type": "multipart/mixed; boundary=b"}


@pytest.mark.parametrize("number", [0, 21])
@pytest.mark.parametrize("answers", [False, True], ids=["ticket", "note"])
async def test_a_text_at_its_limit_is_stored_whole_whatever_is_attached(
    api: Api, database: Database, opened: dict[str, Any], number: int, answers: bool
) -> None:
    """One that is longer ends with a marker, and the limit is used up to the last character."""
    for length in (20_000, 20_001):
        text = "é" + "😀" * (length - 2) + "!"
        body, headers = with_attachments(text, number, "a.pdf")
        thread = {"references": opened["message_id"]} if answers else {}
        taken = await ticket_from(api, message(opened["sender"], body, **headers, **thread))
        written = taken["notes"]["nodes"][-1]["body"] if answers else taken["description"]
        if length <= 20_000:
            assert written == text
        else:
            marker = f"\n\n… (The message was shortened: it has {length:,} characters.)"
            assert written == text[: 20_000 - len(marker)] + marker
        assert len(written) == 20_000
    column, table = ("body", "notes") if answers else ("description", "tickets")
    assert await database.fetchval(f"SELECT max(length({column})) FROM {table}") == 20_000


async def test_a_partly_read_message_ends_with_a_marker(api: Api, opened: dict[str, Any]) -> None:
    """Even where the text itself is short, as in a reply with a long quoted history."""
    marker = "\n\n… (The message was shortened: only its first 200,000 characters were read.)"
    quoted = f"On Mon, 23 Nov 2026 at 10:15, Callout <{OURS}> wrote:\n\n" + "> x\n" * 50_010
    answer = message(opened["sender"], f"Yes.\n\n{quoted}And no.", references=opened["message_id"])
    assert (await ticket_from(api, answer))["notes"]["nodes"][-1]["body"] == f"Yes.{marker}"
    made = await ticket_from(api, message(address(), "x" * 200_001))
    assert made["description"] == "x" * (20_000 - len(marker)) + marker
    made = await ticket_from(api, message(address(), "x" * 200_000))
    assert made["description"].endswith("… (The message was shortened: it has 200,000 characters.)")


async def test_a_long_admin_address_is_shortened_as_author_of_a_note(api: Api, opened: dict[str, Any]) -> None:
    admin = address().replace("@", "@" + ("b" * 60 + ".") * 3)
    await api.done("supportSettingsUpdate", "__typename", adminRecipients=[admin])
    noted = await ticket_from(api, message(admin, "Seen.", references=our_id(opened["id"])))
    author = noted["notes"]["nodes"][-1]["author"]["name"]
    assert (author, len(author)) == (f"E-mail from {admin}"[:199] + "…", 200)


# Who may reply on a ticket


async def test_a_stranger_who_names_a_ticket_gets_a_new_one_and_learns_nothing(
    api: Api, gateway: Api, opened: dict[str, Any], database: Database
) -> None:
    """The response is the same whether or not the named ticket exists, however it is named. The service that hands the
    message in does not even learn that it has created a ticket."""
    before = await ticket(api, opened["id"])
    nothing = f"tkt_{uuid.uuid4()}"
    answers = []
    for named in (
        {"subject": opened["reference"]},
        {"subject": "TKT-ZZZZZZ"},
        {"references": opened["message_id"]},
        {"references": "<nobody@bell.test>"},
        {"references": our_id(opened["id"])},
        {"references": our_id(nothing)},
    ):
        answers.append(await ingest(gateway, message(f"Eve <{address()}>", "Let me in.", **named)))
    assert answers == [{"outcome": "RECEIVED", "reason": None, "ticket": None}] * 6
    assert await ticket(api, opened["id"]) == before
    made = await database.fetch("SELECT id, creator_kind FROM tickets WHERE description = 'Let me in.'")
    assert {row["creator_kind"] for row in made} == {"CUSTOMER"}
    assert len(made) == 6
    # The stranger's messages have not joined the thread: the customer's reply still reaches the customer's ticket.
    noted = await ticket_from(api, message(opened["sender"], "Mine.", references=opened["message_id"]))
    assert noted["id"] == opened["id"]


async def test_a_copied_message_id_gives_no_access_to_its_ticket(api: Api, opened: dict[str, Any]) -> None:
    eve = await ticket_from(api, message(f"Eve <{address()}>", "Mine now.", message_id=opened["message_id"]))
    assert eve["id"] != opened["id"]
    noted = await ticket_from(api, message(opened["sender"], "Still mine.", in_reply_to=opened["message_id"]))
    assert noted["id"] == opened["id"]
    noted = await ticket_from(api, message(eve["contact"]["email"], "And mine.", in_reply_to=opened["message_id"]))
    assert noted["id"] == eve["id"]


async def test_a_former_customer_cannot_reply_on_the_ticket(api: Api) -> None:
    before, now = address(), address()
    first = await api.new_customer(email=before)
    second = await api.new_customer(email=now)
    ticket_id = await api.new_ticket(customerId=first)
    await api.done("ticketUpdate", "__typename", ticketId=ticket_id, customerId=second)
    assert (await ticket_from(api, message(before, "Hello?", references=our_id(ticket_id))))["id"] != ticket_id
    assert (await ticket_from(api, message(now, "Hello!", references=our_id(ticket_id))))["id"] == ticket_id


async def test_mail_from_staff_becomes_an_internal_note(api: Api, opened: dict[str, Any]) -> None:
    """Sender addresses can be forged, so it also takes the id of one of our mails, which nobody can guess."""
    tess, admin, gone = address(), address(), address()
    technician = await api.new_technician(name="Tess", email=tess)
    await api.new_technician(name="Tom", email=gone)
    await api.done("supportSettingsUpdate", "__typename", adminRecipients=[admin])
    await api.done("ticketAssign", "__typename", ticketId=opened["id"], technicianId=technician)
    await api.done("ticketResolve", "__typename", ticketId=opened["id"], resolution="Done.")
    for who in (tess, admin.upper()):
        noted = await ticket_from(api, message(f"Boss <{who}>", f"Seen by {who}.", references=our_id(opened["id"])))
        assert noted["id"] == opened["id"]
        assert noted["notes"]["nodes"][-1] == {
            "body": f"Seen by {who}.",
            "internalOnly": True,
            "author": {"kind": "SERVICE", "name": f"E-mail from {who}"},
        }
        assert noted["status"] == "RESOLVED"
    for who, named in (
        (tess, {"subject": opened["reference"]}),
        (tess, {"references": opened["message_id"]}),
        (gone, {"references": our_id(opened["id"])}),
    ):
        assert (await ticket_from(api, message(who, "Guessed.", **named)))["id"] != opened["id"]
    await api.done("technicianUpdate", "__typename", technicianId=technician, active=False)
    assert (await ticket_from(api, message(tess, "Too late.", references=our_id(opened["id"]))))["id"] != opened["id"]


async def test_a_message_id_of_another_domain_is_not_ours(api: Api, opened: dict[str, Any]) -> None:
    raw = message(opened["sender"], "x", references=our_id(opened["id"], "elsewhere.test"))
    assert (await ticket_from(api, raw))["id"] != opened["id"]


@pytest.mark.parametrize(
    ("sender", "known"),
    [
        ("Doe, Jo <{}>", "Doe, Jo"),
        ("=?utf-8?q?J=C3=B6?= <{}>", "Jö"),
        ('"Jo \\"J\\" Doe" <{}>', 'Jo "J" Doe'),
        ("<{}>", None),
        ("{}", None),
        ("{} (Jo)", None),
        ("victim@bell.test <{}>", None),  # a name that looks like an address is dropped
        ('"victim@bell.test" <{}>', None),
        ("=?utf-8?b?dmljdGltQGJlbGwudGVzdA==?= <{}>", None),
        ('"a <victim@bell.test>" <{}>', None),
        ("\u202eJo\u202c <{}>", "Jo"),
    ],
)
async def test_the_contact_is_the_senders_address_and_name(api: Api, sender: str, known: str | None) -> None:
    who = address()
    made = await ticket_from(api, message(sender.format(who)))
    assert made["contact"] == {"name": known or who.partition("@")[0], "email": who, "phone": None}


@pytest.mark.parametrize(
    "sender",
    [
        *("a@bell.test, b@bell.test", "A <a@bell.test>, B <b@bell.test>", "a@bell.test, B <b@bell.test>"),
        *("Us: a@bell.test, b@bell.test;", "undisclosed-recipients:;", "", "<>", "Ann"),
        *("a@bell.test\r\nFrom: b@bell.test", "a@b@bell.test", "a@localhost", "A <a@bell.test> b"),
        *("a\0@bell.test", "a@bell.test\0", "a\u202e@bell.test", "<a@bell.test", '"a b"@bell.test', "a@[127.0.0.1]"),
        "a" * 300 + "@bell.test",
        b"a\xff@bell.test",
    ],
)
async def test_a_message_without_exactly_one_sender_is_kept_aside(
    api: Api, database: Database, sender: str | bytes
) -> None:
    before = await database.fetchval("SELECT count(*) FROM tickets")
    raw = message(sender, uuid.uuid4().hex)
    taken = await ingest(api, raw)
    assert (taken["outcome"], taken["ticket"]) == ("KEPT_ASIDE", None)
    (newest, *_) = await messages_with(api, "KEPT_ASIDE")
    assert base64.b64decode(newest["raw"]) == raw
    assert newest["reason"] == taken["reason"]
    assert await database.fetchval("SELECT count(*) FROM tickets") == before


# Duplicates


async def test_a_repeated_message_changes_nothing(api: Api, database: Database) -> None:
    raw = message(address(), message_id=message_id())
    again = b"Return-Path: <x@relay.test>\r\nReceived: by another way\r\n" + raw
    assert await outcome(api, raw) == "TICKET_CREATED"
    before = await dump(database)
    for copy in (raw, again):
        assert await ingest(api, copy) == {"outcome": "DUPLICATE", "reason": None, "ticket": None}
    assert await dump(database) == before


async def test_a_message_without_an_id_is_recognised_by_its_content(api: Api) -> None:
    sender = address()
    raw = message(sender, date="Mon, 23 Nov 2026 10:00:00 +0000")
    assert await outcome(api, raw) == "TICKET_CREATED"
    assert await outcome(api, b"Received: once more\r\n" + raw) == "DUPLICATE"
    assert await outcome(api, message(sender, date="Mon, 23 Nov 2026 10:01:00 +0000")) == "TICKET_CREATED"


async def test_another_message_with_the_same_id_is_kept_aside(api: Api) -> None:
    """Some devices reuse one Message-ID for different messages."""
    sender, id_ = address(), message_id()
    assert await outcome(api, message(sender, "Low battery.", message_id=id_)) == "TICKET_CREATED"
    taken = await ingest(api, message(sender, "Burglary.", message_id=id_))
    assert (taken["outcome"], "Message-ID" in taken["reason"]) == ("KEPT_ASIDE", True)
    assert await outcome(api, message(sender, "Burglary.", message_id=id_)) == "DUPLICATE"


async def test_a_message_that_failed_can_be_sent_again(api: Api, pipe: Pipe, database: Database) -> None:
    """The exit status asks the mail server to try again, and nothing is left in the database."""
    raw = message(address(), subject="Trouble", message_id=message_id())
    before = await dump(database)
    async with trouble(database):
        failed = await asyncio.to_thread(pipe, raw)
    assert (failed.returncode, failed.stdout) == (75, b"")
    assert b"could not be received" in failed.stderr
    assert await dump(database) == before
    assert await outcome(api, raw) == "TICKET_CREATED"


@asynccontextmanager
async def trouble(database: Database) -> AsyncIterator[None]:
    """Within the block, storing a message with the subject "Trouble" fails."""
    await database.execute("ALTER TABLE inbound_messages ADD CONSTRAINT trouble CHECK (subject <> 'Trouble') NOT VALID")
    try:
        yield
    finally:
        await database.execute("ALTER TABLE inbound_messages DROP CONSTRAINT trouble")


# Whether the sender is who they say

VERIFIED = """query($id: ID!) { ticket(by: {id: $id}) {
  source senderVerified notes { nodes { via senderVerified internalOnly } } } }"""


def last_row(messages: list[dict[str, Any]]) -> tuple[Any, ...]:
    return tuple(messages[0][name] for name in ("outcome", "reason", "fromAddress", "ticket", "note"))


@pytest.mark.parametrize("reply", [False, True], ids=["new", "reply"])
async def test_a_message_that_fails_dmarc_is_kept_aside_and_changes_nothing(
    api: Api, database: Database, opened: dict[str, Any], reply: bool
) -> None:
    """A forged pass below does not help it, nor does it count as the first copy of the genuine message."""
    tables = ("tickets", "notes", "ticket_events", "deliveries")
    await api.done("ticketResolve", "__typename", ticketId=opened["id"], resolution="Done.")
    before = [await database.fetch(f"SELECT * FROM {table} ORDER BY id") for table in tables]
    thread = {"in_reply_to": opened["message_id"]} if reply else {}
    genuine = message(opened["sender"], "Open the door.", message_id=message_id(), **thread)
    forged = received(received(genuine, "pass"), "fail")
    reason = f"The sender failed DMARC, says {SERVER}: the From address is probably forged."
    assert await ingest(api, forged) == {"outcome": "KEPT_ASIDE", "reason": reason, "ticket": None}
    assert last_row(await messages_with(api)) == ("KEPT_ASIDE", reason, opened["sender"], None, None)
    assert base64.b64decode((await messages_with(api))[0]["raw"]) == forged
    assert await outcome(api, forged) == "DUPLICATE"
    assert [await database.fetch(f"SELECT * FROM {table} ORDER BY id") for table in tables] == before
    assert await outcome(api, received(genuine, "pass")) == ("NOTE_ADDED" if reply else "TICKET_CREATED")


async def test_the_results_of_a_server_that_cannot_be_read_are_not_believed(api: Api) -> None:
    raw = received(message(address(), "x"), "pass").replace(b"a.test;", b'"a(b"@a.test (helo "a(b");', 1)
    reason = f"The Authentication-Results of {SERVER} cannot be read."
    assert await ingest(api, raw) == {"outcome": "KEPT_ASIDE", "reason": reason, "ticket": None}


async def test_automatic_mail_that_fails_dmarc_is_ignored_like_any_other(api: Api) -> None:
    sender, id_ = address(), message_id()
    forged = received(message(sender, "I am away.", message_id=id_, auto_submitted="auto-replied"), "fail")
    assert await outcome(api, forged) == "IGNORED"
    assert await outcome(api, message(sender, "I am away.", message_id=id_)) == "TICKET_CREATED"


@pytest.mark.parametrize(
    ("dmarc", "verified"), [("pass", True), ("none", False), ("temperror", False), (None, False), ("", None)]
)
async def test_tickets_and_notes_by_mail_say_whether_the_sender_was_verified(
    api: Api, database: Database, dmarc: str | None, verified: bool | None
) -> None:
    """Each says so of its own message. A note written through the API says that it was."""
    sender, id_ = address(), message_id()
    made = await ticket_from(api, received(message(sender, message_id=id_), "pass"))
    answer = message(sender, "Still.", in_reply_to=id_)
    assert await outcome(api, received(answer, dmarc) if dmarc != "" else answer) == "NOTE_ADDED"
    await api.done("noteAdd", "__typename", ticketId=made["id"], body="On our way.")
    found = (await api(VERIFIED, id=made["id"]))["ticket"]
    assert (found["source"], found["senderVerified"]) == ("EMAIL", True)
    assert found["notes"]["nodes"] == [
        {"via": "EMAIL", "senderVerified": verified, "internalOnly": False},
        {"via": "WEB", "senderVerified": None, "internalOnly": True},
    ]
    new = message(sender, "Another.")
    made = await ticket_from(api, received(new, dmarc) if dmarc != "" else new)
    assert (await api(VERIFIED, id=made["id"]))["ticket"]["senderVerified"] is verified
    by_api = (await api(VERIFIED, id=await api.new_ticket()))["ticket"]
    assert (by_api["source"], by_api["senderVerified"]) == ("ADMIN", None)


async def test_mail_from_staff_says_whether_the_sender_was_verified(api: Api, opened: dict[str, Any]) -> None:
    admin = address()
    await api.done("supportSettingsUpdate", "__typename", adminRecipients=[admin])
    for dmarc in ("pass", "none"):
        raw = message(admin, f"Seen: {dmarc}.", references=our_id(opened["id"]))
        assert await outcome(api, received(raw, dmarc)) == "NOTE_ADDED"
    found = (await api(VERIFIED, id=opened["id"]))["ticket"]
    assert found["notes"]["nodes"] == [
        {"via": "EMAIL", "senderVerified": verified, "internalOnly": True} for verified in (True, False)
    ]


async def test_whether_the_sender_was_verified_is_for_staff(api: Api) -> None:
    who = address()
    customer = await api.new_customer(email=who)
    technician = await api.new_technician()
    made = await ticket_from(api, received(message(who, message_id=(id_ := message_id())), "pass"))
    await ticket_from(api, received(message(who, "Still.", in_reply_to=id_), "none"))
    await api.done("ticketAssign", "__typename", ticketId=made["id"], technicianId=technician)
    async with api.technician(technician) as device, api.customer(customer) as portal:
        seen = (await device(VERIFIED, id=made["id"]))["ticket"]
        assert (seen["senderVerified"], seen["notes"]["nodes"][0]["senderVerified"]) == (True, False)
        public = await portal("query($id: ID!) { ticket(by: {id: $id}) { notes { nodes { via } } } }", id=made["id"])
        assert public["ticket"]["notes"]["nodes"] == [{"via": "EMAIL"}]


async def test_the_command_line_shows_the_outcome_and_the_reason(pipe: Pipe) -> None:
    raw = message(address(), uuid.uuid4().hex)
    forged = await asyncio.to_thread(pipe.take, received(raw, "fail"))
    assert forged.startswith(f"KEPT_ASIDE The sender failed DMARC, says {SERVER}")
    assert (await asyncio.to_thread(pipe.take, received(raw, "pass"))).startswith("TICKET_CREATED TKT-")
    assert await asyncio.to_thread(pipe.take, received(raw, "pass")) == "DUPLICATE"


# What a service learns


async def test_a_service_learns_nothing_that_is_stored(
    api: Api, gateway: Api, opened: dict[str, Any], database: Database
) -> None:
    """Neither whether an address belongs to a ticket, nor what has come in before, by whatever way."""
    ours = {"in_reply_to": opened["message_id"], "message_id": message_id()}
    first = message(opened["sender"], "By an admin.", **ours)
    assert await outcome(api, first) == "NOTE_ADDED"
    robot = address()
    handed_in = {
        "a reply": message(opened["sender"], "Mine.", in_reply_to=opened["message_id"]),
        "by reference": message(opened["sender"], "Mine too.", subject=opened["reference"]),
        "a stranger's": message(address(), "Not mine.", in_reply_to=opened["message_id"]),
        "a duplicate": first,
        "another with its id": message(opened["sender"], "Changed.", **ours),
        **{f"repeated {n}": message(robot, "Away.", message_id=message_id()) for n in range(21)},
    }
    answers = {name: await ingest(gateway, raw) for name, raw in handed_in.items()}
    assert answers == {name: {"outcome": "RECEIVED", "reason": None, "ticket": None} for name in handed_in}
    newest = await database.fetch("SELECT outcome FROM inbound_messages ORDER BY id DESC LIMIT 25")
    kept = ["KEPT_ASIDE"] + ["TICKET_CREATED"] * 20 + ["KEPT_ASIDE", "TICKET_CREATED", "NOTE_ADDED", "NOTE_ADDED"]
    assert [row["outcome"] for row in newest] == kept


async def test_a_service_learns_what_the_message_itself_decides(api: Api, gateway: Api) -> None:
    """The same each time, also if it has come before."""
    raws = {
        "IGNORED": message(address(), auto_submitted="auto-replied"),
        "KEPT_ASIDE": received(message(address(), "x"), "fail"),
    }
    for expected, raw in raws.items():
        first = await ingest(api, raw)
        assert first["outcome"] == expected
        for _ in range(2):
            assert await ingest(gateway, raw) == first
    nobody = message("nobody", uuid.uuid4().hex)
    for _ in range(2):
        assert (await ingest(gateway, nobody))["reason"] == "The From header must contain exactly one address."


async def test_a_service_finds_no_address_by_the_notes_on_its_own_ticket(api: Api, gateway: Api) -> None:
    """It can name any customer by their account number, so there the customer's address must be verified. The contact's
    need not be, as the service gave it."""
    who, contact = address(), address()
    customer = await api.new_customer(email=who)
    number = (await api("query($id: ID!) { node(id: $id) { ... on Customer { accountNumber } } }", id=customer))["node"]
    ticket_id = await gateway.new_ticket(contact={"name": "x", "email": contact}, accountNumber=number["accountNumber"])
    assert (await ticket(api, ticket_id))["customer"] == {"id": customer}

    async def notes() -> int:
        document = "query($id: ID!) { ticket(by: {id: $id}) { notes { totalCount } } }"
        return int((await gateway(document, id=ticket_id))["ticket"]["notes"]["totalCount"])

    reference = (await ticket(api, ticket_id))["reference"]
    for dmarc in ("none", None):
        await ingest(gateway, received(message(who, f"Guessed {dmarc}.", subject=reference), dmarc))
    await ingest(gateway, message(who, "Guessed.", references=our_id(ticket_id)))
    assert await notes() == 0
    await ingest(gateway, message(contact, "The contact.", subject=reference))
    assert await notes() == 1
    await ingest(gateway, received(message(who, "The customer.", subject=reference), "pass"))
    assert await notes() == 2


# Automatic mail


@pytest.mark.parametrize(
    ("header", "value", "about"),
    [
        ("auto_submitted", "auto-replied (vacation)", "Auto-Submitted"),
        ("auto_submitted", "AUTO-GENERATED", "Auto-Submitted"),
        *(("precedence", value, "Precedence") for value in ("bulk", "junk", "list", "Auto_Reply")),
        ("list_id", "<news.bell.test>", "List-Id"),
        ("x_autoreply", "yes", "Autoreply"),
        *(("return_path", value, "Return-Path") for value in ("<>", "", "<MAILER-DAEMON>")),
        ("content_type", "multipart/report; report-type=delivery-status; boundary=b", "report"),
        ("from", "MAILER-DAEMON@relay.bell.test", "MAILER-DAEMON"),
        ("from", "Mail Delivery <mailer-daemon@bell.test>", "MAILER-DAEMON"),
        ("from", f"Callout <{OURS.upper()}>", "Callout sent this message (From address)"),
        ("message_id", f"<{'a' * 32}.ticket.{'b' * 32}@callout.test>", "Callout sent this message (Message-ID)"),
    ],
)
async def test_automatic_mail_is_ignored(
    api: Api, database: Database, opened: dict[str, Any], header: str, value: str, about: str
) -> None:
    before = await database.fetchval("SELECT count(*) FROM ticket_events")
    raw = message(opened["sender"], uuid.uuid4().hex, references=opened["message_id"], **{header: value})
    taken = await ingest(api, raw)
    assert (taken["outcome"], taken["ticket"]) == ("IGNORED", None)
    assert about in taken["reason"]
    assert await database.fetchval("SELECT count(*) FROM ticket_events") == before
    assert base64.b64decode((await messages_with(api, "IGNORED"))[0]["raw"]) == raw


@pytest.mark.parametrize(
    ("header", "value"),
    [
        *(("auto_submitted", "no"), ("precedence", "first-class"), ("x_auto_response_suppress", "DR, RN")),
        *(("return_path", "<ann@bell.test>"), ("from", "Daemon Smith <daemon@bell.test>")),
        ("x_auto_response_suppress", "DR, OOF, AutoReply"),
    ],
)
async def test_mail_from_a_person_is_not_ignored(api: Api, header: str, value: str) -> None:
    assert await outcome(api, message(address(), uuid.uuid4().hex, **{header: value})) == "TICKET_CREATED"


async def test_a_loop_of_automatic_replies_ends(api: Api) -> None:
    """Marked automatic mail is ignored; unmarked automatic mail is recognised because it repeats itself."""
    robot = address()
    outcomes = []
    for _ in range(25):
        raw = message(robot, "I am away.", subject="Out of office", message_id=message_id())
        outcomes.append(await outcome(api, raw))
    assert outcomes == ["TICKET_CREATED"] * 20 + ["KEPT_ASIDE"] * 5
    assert await outcome(api, message(robot, "I am back.", message_id=message_id())) == "TICKET_CREATED"


# Routes other than the API


async def test_a_piped_message_is_delivered_to_live_subscribers(api: Api, pipe: Pipe) -> None:
    """It is ingested in another process than the one that serves the subscriber."""
    sender, id_ = address(), message_id()
    raw = b"From ann@bell.test  Mon Nov 23 10:00:00 2026\n" + message(sender, message_id=id_)
    document = """subscription { ticketChanged { __typename
      ... on TicketChange { kind ticket { reference contact { email } } } } }"""
    async with live(api) as screen:
        await screen.subscribe("1", document)
        assert (await screen.next())["__typename"] == "StreamReady"
        what, reference = (await asyncio.to_thread(pipe.take, raw)).split()
        change = await change_of(reference, screen)
    assert (what, change["kind"], change["ticket"]["contact"]) == ("TICKET_CREATED", "CREATED", {"email": sender})
    answer = message(sender, "Hurry.", in_reply_to=id_)
    assert await asyncio.to_thread(pipe.take, answer) == f"NOTE_ADDED {reference}"


async def test_a_huge_message_is_kept_aside(api: Api, pipe: Pipe, database: Database) -> None:
    huge = message(f"Hugo <{address()}>", b"x" * (26 * 1024 * 1024), subject="Huge")
    said = await asyncio.to_thread(pipe.take, huge)
    assert said.startswith("KEPT_ASIDE The message is larger than 25 MiB")
    (newest, *_) = await messages_with(api, "KEPT_ASIDE")
    assert (newest["subject"], newest["fromName"], newest["size"] > 25 * 1024 * 1024) == ("Huge", "Hugo", True)
    assert base64.b64decode(newest["raw"]) == huge[:65_536]
    assert await database.fetchval("SELECT raw FROM inbound_messages WHERE subject = 'Huge'") == huge[: 2**20]


async def test_a_large_message_is_kept_aside_whole(api: Api, pipe: Pipe, database: Database) -> None:
    """The mail server has handed it over, so this is the only copy."""
    large = message("nobody", b"x" * (2 * 1024 * 1024), subject="Large")
    assert (await asyncio.to_thread(pipe.take, large)).startswith("KEPT_ASIDE")
    assert await database.fetchval("SELECT raw FROM inbound_messages WHERE subject = 'Large'") == large


async def test_concurrent_copies_of_one_message_create_one_ticket(api: Api, pipe: Pipe, database: Database) -> None:
    """All copies wait while a lock holds up the first one's transaction."""
    sender, id_ = address(), message_id()
    customer = await api.new_customer(email=sender)
    raw = message(sender, message_id=id_)
    async with database.transaction():
        await database.execute("SELECT FROM customers WHERE id = $1 FOR UPDATE", key(customer))
        copies = [asyncio.create_task(asyncio.to_thread(pipe, raw)) for _ in range(3)]
        await until_blocked(database, 3)
    outcomes = sorted(done.stdout.decode().split()[0] for done in await asyncio.gather(*copies))
    assert outcomes == ["DUPLICATE", "DUPLICATE", "TICKET_CREATED"]


async def test_without_a_database_the_exit_status_asks_the_mail_server_to_retry(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"postgresql://callout:swordfish@127.0.0.1:{nobody.getsockname()[1]}/callout"
        away = Pipe(environment(env="production", database_url=url, jwt_secret="s" * 48, data_dir=str(tmp_path)))
        unset = Pipe(environment(env="production"))
        for pipe in (away, unset):
            done = await asyncio.to_thread(pipe, message())
            assert (done.returncode, done.stdout) == (75, b"")
            assert b"could not be received" in done.stderr and b"swordfish" not in done.stderr
            assert b"Traceback" not in done.stderr


async def test_a_mailbox_is_emptied_over_imap(api: Api, pipe: Pipe, tmp_path: Path) -> None:
    senders = [address() for _ in range(3)]
    with imap_server(tmp_path) as mailbox:
        url = f"imap://{mailbox.user}:p%40ss%2Fword%20%231@127.0.0.1:{mailbox.port}/INBOX"
        reader = Pipe(pipe.environment | {"CALLOUT_IMAP_URL": url})
        mailbox.put(*(message(sender) for sender in senders), b"\r\n", message("nobody", "x"))
        done = await asyncio.to_thread(reader, b"", "--imap", "--once")
        assert done.returncode == 0, done.stderr
        said = [line.split()[0] for line in done.stdout.decode().splitlines()]
        assert said == ["TICKET_CREATED"] * 3 + ["KEPT_ASIDE"] * 2
        assert (mailbox.count("UNSEEN"), mailbox.count("SEEN")) == (0, 5)

        wrong = Pipe(pipe.environment | {"CALLOUT_IMAP_URL": url.replace("word", "w0rd")})
        refused = await asyncio.to_thread(wrong, b"", "--imap", "--once")
        assert refused.returncode == 1
        assert b"mailbox cannot be read" in refused.stderr and b"w0rd" not in refused.stderr


async def test_a_mailbox_is_read_over_tls_from_a_server_that_we_trust(pipe: Pipe, tmp_path: Path) -> None:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    with imap_server(tmp_path) as mailbox:
        proxy = Proxy(partial(asyncio.open_connection, "127.0.0.1", mailbox.port))
        async with proxy.running(context) as port:
            url = f"imaps://{mailbox.user}:p%40ss%2Fword%20%231@127.0.0.1:{port}/INBOX"
            reader = Pipe(pipe.environment | {"CALLOUT_IMAP_URL": url})
            mailbox.put(message(address()))
            refused = await asyncio.to_thread(reader, b"", "--imap", "--once")
            assert (refused.returncode, mailbox.count("UNSEEN")) == (1, 1)
            assert b"certificate" in refused.stderr.lower()
            assert proxy.named("p@ss") == []
            trusting = Pipe(reader.environment | {"SSL_CERT_FILE": str(tmp_path / "authority.pem")})
            done = await asyncio.to_thread(trusting, b"", "--imap", "--once")
            assert done.stdout.startswith(b"TICKET_CREATED TKT-"), done.stderr
            assert (mailbox.count("UNSEEN"), len(proxy.named("p@ss"))) == (0, 1)


async def test_a_message_that_failed_stays_unseen_in_the_mailbox(
    pipe: Pipe, database: Database, tmp_path: Path
) -> None:
    """The reader goes on, and ingests it as soon as it can."""
    with imap_server(tmp_path) as mailbox:
        url = f"imap://{mailbox.user}:p%40ss%2Fword%20%231@127.0.0.1:{mailbox.port}/INBOX"
        reader = Pipe(pipe.environment | {"CALLOUT_IMAP_URL": url})
        with reader.start("--imap", "--every", "1s") as child, at_most(60, child):
            assert child.stdout is not None and child.stderr is not None
            try:
                async with trouble(database):
                    mailbox.put(message(address(), subject="Trouble"), message(address(), "No trouble."))
                    while b"trying again" not in await asyncio.to_thread(child.stderr.readline):
                        assert child.poll() is None
                    assert (await asyncio.to_thread(child.stdout.readline)).startswith(b"TICKET_CREATED TKT-")
                    assert mailbox.count("UNSEEN") == 1
                assert (await asyncio.to_thread(child.stdout.readline)).startswith(b"TICKET_CREATED TKT-")
                mailbox.put(message(address(), "Later."))
                assert (await asyncio.to_thread(child.stdout.readline)).startswith(b"TICKET_CREATED TKT-")
            finally:
                child.terminate()
        assert child.returncode == 0


# The list for admins


async def test_admins_see_inbound_messages(api: Api, opened: dict[str, Any]) -> None:
    noted = message(f"Ann <{opened['sender']}>", "More.", references=opened["message_id"], message_id=message_id())
    assert await outcome(api, noted) == "NOTE_ADDED"
    newest, before = (await messages_with(api, "NOTE_ADDED", "TICKET_CREATED"))[:2]
    assert newest["ticket"] == before["ticket"] == {"id": opened["id"]}
    assert (newest["note"], before["note"]) == ({"body": "More."}, None)
    assert (before["messageId"], before["fromAddress"]) == (opened["message_id"], opened["sender"])
    assert (before["fromName"], before["subject"]) == ("Ann Bell", "Beeping panel")
    assert base64.b64decode(newest["raw"]) == noted
    everything = await messages_with(api)
    assert {each["outcome"] for each in everything} >= {"NOTE_ADDED", "TICKET_CREATED"}
    assert await messages_with(api, "DUPLICATE") == []


async def test_the_encoded_message_must_be_base64(api: Api) -> None:
    for given in ({"encoded": "nothing"}, {"encoded": "=="}, {"encoded": "aaaaa"}):
        assert await api.refused("inboundEmailIngest", message=given) == [("INVALID", "message.encoded")]
    text = message(address(), "Grüße").decode()
    assert (await api.done("inboundEmailIngest", "outcome", message={"text": text}))["outcome"] == "TICKET_CREATED"
    wrapped = base64.encodebytes(message(address())).decode()
    assert (await api.done("inboundEmailIngest", "outcome", message={"encoded": wrapped}))[
        "outcome"
    ] == "TICKET_CREATED"


# A thousand messages


@pytest.mark.slow
async def test_a_thousand_messages_create_exactly_their_tickets_and_notes(tmp_path: Path, fresh_url: str) -> None:
    """800 new messages, 100 replies and 100 duplicates, which race, go to two servers."""
    new = [message(f"P{n} <p{n}@bell.test>", f"Number {n}.", message_id=f"<{n}@bell.test>") for n in range(800)]
    answers = [message(f"p{n}@bell.test", f"Answer {n}.", in_reply_to=f"<{n}@bell.test>") for n in range(100)]
    known = Settings(env="production", database_url=fresh_url, jwt_secret="s" * 48, data_dir=tmp_path)
    async with AsyncExitStack() as stack:
        clients = []
        for name in "ab":
            (tmp_path / name).mkdir()
            settings = {"database_url": fresh_url, "jwt_secret": "s" * 48, "mail_unvouched_per_hour": "10000"}
            process = stack.enter_context(callout_process(tmp_path / name, **settings))
            clients.append(await stack.enter_async_context(Api(Server(process.url, known, fresh_url, process))))
        assert await taken_by(clients, twice(new, every=10)) == {"TICKET_CREATED": 800, "DUPLICATE": 80}
        assert await taken_by(clients, twice(answers, every=5)) == {"NOTE_ADDED": 100, "DUPLICATE": 20}
        found = await clients[0]("{ tickets(filter: {source: [EMAIL]}) { totalCount } ticketCounts { open } }")
        assert found == {"tickets": {"totalCount": 800}, "ticketCounts": {"open": 800}}
    connection = await asyncpg.connect(fresh_url)
    noted = await connection.fetch(
        "SELECT contact_email, body FROM notes JOIN tickets ON tickets.id = ticket_id ORDER BY notes.id"
    )
    await connection.close()
    assert sorted(map(tuple, noted)) == sorted((f"p{n}@bell.test", f"Answer {n}.") for n in range(100))


def twice(messages: list[bytes], every: int) -> list[bytes]:
    """Returns the messages with one in `every` repeated."""
    return [raw for n, raw in enumerate(messages) for _ in range(1 if n % every else 2)]


async def taken_by(clients: list[Api], messages: list[bytes]) -> Counter[str]:
    """Ingests messages over several connections, ten in a request; returns the number of messages by outcome."""
    outcomes: Counter[str] = Counter()
    stride = len(messages) // 10
    batches = iter([messages[start::stride] for start in range(stride)])

    async def hand_in(client: Api) -> None:
        for batch in batches:
            variables = {f"m{n}": raw.decode() for n, raw in enumerate(batch)}
            declared = ", ".join(f"${name}: String!" for name in variables)
            fields = (f"{m}: inboundEmailIngest(input: {{message: {{text: ${m}}}}}) {{ outcome }}" for m in variables)
            body = {"query": f"mutation({declared}) {{ {' '.join(fields)} }}", "variables": variables}
            answer = (await client.http.post("/graphql", json=body)).json()
            outcomes.update(field["outcome"] for field in answer["data"].values())

    await asyncio.gather(*(hand_in(client) for client in clients for _ in range(4)))
    return outcomes
