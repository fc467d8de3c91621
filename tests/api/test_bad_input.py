"""Invalid input: a clear error and no change. Each test compares the whole database before and after."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

import pytest

from db.enums import Role
from tests.helpers.api import Api, Refusal, Server
from tests.helpers.attached_files import announced
from tests.helpers.database_checks import Database, dump
from tests.helpers.schema_walker import id_fields, root_fields
from tests.helpers.sessions import new_admin, signed_in

Input: TypeAlias = dict[str, Any]

UNKNOWN = "00000000-0000-7000-8000-000000000000"

SUBSCRIPTION = "subscription { ticketChanged { __typename } }"

_numbers = itertools.count(100)


@dataclass(frozen=True)
class World:
    """One object of each kind; `good` returns a valid input for each mutation."""

    customer: str
    property: str
    elsewhere: str
    technician: str
    inactive: str
    ticket: str
    resolved: str
    article: str
    key: str
    identity: str
    admin: str
    session: str
    assignment: str
    delivery: str
    message: str
    webhook: str
    cursor: str

    def good(self, mutation: str) -> Input:
        contact = {"name": "Ann Lee", "email": "ann@lee.test", "phone": "613-555-1234"}
        n = next(_numbers)
        inputs: dict[str, Input] = {
            "ticketCreate": {"subject": "s", "description": "d", "contact": contact},
            "ticketUpdate": {"ticketId": self.ticket},
            "ticketAssign": {"ticketId": self.ticket, "technicianId": self.technician},
            "ticketSetStatus": {"ticketId": self.ticket, "status": "RESOLVED", "resolution": "r"},
            "ticketResolve": {"ticketId": self.ticket, "resolution": "r"},
            "ticketsBulkUpdate": {"ticketIds": [self.ticket], "status": "RESOLVED", "resolution": "r"},
            "noteAdd": {"ticketId": self.ticket, "body": "b"},
            "assignmentAdvance": {"assignmentId": self.assignment, "to": "DECLINED", "reason": "r"},
            "presenceSet": {"ticketId": self.ticket, "state": "VIEWING"},
            "attachmentCreate": announced(b"file", ticketId=self.ticket),
            "customerCreate": {"name": "n", "email": f"new{n}@lee.test", "accountNumber": f"N-{n}"},
            "customerUpdate": {"customerId": self.customer},
            "customerErase": {"customerId": self.customer},
            "propertyCreate": {"customerId": self.customer, "address": "a", "accountNumber": f"N-{n}"},
            "propertyUpdate": {"propertyId": self.property},
            "propertyAccessNoteAdd": {"propertyId": self.property, "body": "b"},
            "technicianCreate": {"name": "n", "email": f"new{n}@company.test"},
            "technicianUpdate": {"technicianId": self.technician},
            "articleCreate": {"problem": "p", "solution": "s"},
            "articleCreateFromTicket": {"ticketId": self.resolved},
            "articleUpdate": {"articleId": self.article},
            "deliveryRetry": {"deliveryId": self.delivery},
            "inboundMessageAccept": {"inboundMessageId": self.message},
            "inboundMessageDiscard": {"inboundMessageId": self.message},
            "supportSettingsUpdate": {},
            "supportSettingsTest": {"channel": "EMAIL"},
            "apiKeyCreate": {"name": "n"},
            "apiKeyUpdate": {"apiKeyId": self.key},
            "apiKeyRevoke": {"apiKeyId": self.key},
            "identityLink": {
                "issuer": "https://login.test/",
                "subject": f"subject {n}",
                "person": {"technicianId": self.technician},
            },
            "identityRevoke": {"identityId": self.identity},
            "adminCreate": {"name": "n", "email": f"new{n}@admins.test"},
            "adminUpdate": {"adminId": self.admin},
            "sessionRevoke": {"sessionId": self.session},
            "webhookCreate": {"url": "https://hooks.invalid/", "document": SUBSCRIPTION},
            **{f"webhook{verb}": {"webhookId": self.webhook} for verb in ("Update", "RotateSecret", "Resume")},
            **{f"webhook{verb}": {"webhookId": self.webhook} for verb in ("Suspend", "Test", "Delete")},
            "webhookReplay": {"webhookId": self.webhook, "after": self.cursor},
        }
        return inputs[mutation]


@pytest.fixture(scope="module")
async def world(server: Server) -> AsyncIterator[World]:
    async with Api(server) as api:
        customer = await api.new_customer()
        inactive = await api.new_technician()
        await api.done("technicianUpdate", "__typename", technicianId=inactive, active=False)
        resolved = await api.new_ticket()
        await api.done("ticketResolve", "__typename", ticketId=resolved, resolution="Done.")
        article = await api.done("articleCreate", "article { id }", problem="p", solution="s")
        key = await api.done("apiKeyCreate", "apiKey { id }", name="chatbot")
        account = {"issuer": "https://login.test/", "subject": "auth0|1", "person": {"customerId": customer}}
        identity = await api.done("identityLink", "identity { id }", **account)
        admin = await new_admin(server.database_url)
        await signed_in(server.database_url, Role.ADMIN, admin)
        session = (await api("{ sessions(first: 1) { nodes { id } } }"))["sessions"]["nodes"][0]["id"]
        contact = {"name": "Ann Lee", "email": "ann@lee.test"}
        assigned = {"subject": "s", "description": "d", "contact": contact, "technicianId": await api.new_technician()}
        offered = await api.done("ticketCreate", "ticket { assignment { id } }", **assigned)
        found = await api("{ deliveries(first: 1) { nodes { id } } }")
        await api.done("inboundEmailIngest", "__typename", message={"text": "From: nobody\r\n\r\nHello."})
        messages = await api("{ inboundMessages(first: 1) { nodes { id } } }")
        hook = await api.done("webhookCreate", "webhook { id }", url="https://hooks.invalid/", document=SUBSCRIPTION)
        cursor = (await api("{ ticketEvents { cursor } }"))["ticketEvents"]["cursor"]
        yield World(
            customer=customer,
            property=await api.new_property(customer),
            elsewhere=await api.new_property(await api.new_customer()),
            technician=await api.new_technician(),
            inactive=inactive,
            ticket=await api.new_ticket(customerId=customer),
            resolved=resolved,
            article=article["article"]["id"],
            key=key["apiKey"]["id"],
            identity=identity["identity"]["id"],
            admin=f"adm_{admin}",
            session=session,
            assignment=offered["ticket"]["assignment"]["id"],
            delivery=found["deliveries"]["nodes"][0]["id"],
            message=messages["inboundMessages"]["nodes"][0]["id"],
            webhook=hook["webhook"]["id"],
            cursor=cursor,
        )


@asynccontextmanager
async def nothing_changes(database: Database) -> AsyncIterator[None]:
    before = await dump(database)
    yield
    assert await dump(database) == before


def with_value(input: Input, path: str, value: Any) -> Input:
    """Returns the input with the value at the path: `subject`, `contact.email`, `adminRecipients.0`."""
    first, _, rest = path.partition(".")
    if rest == "0":
        return input | {first: [value]}
    return input | {first: with_value(input.get(first, {}), rest, value) if rest else value}


# Texts

LINE, TEXT, EMAIL, PHONE, URL = "line", "text", "email", "phone", "url"
TEXTS = [
    ("ticketCreate", "subject", LINE, 200),
    ("ticketCreate", "description", TEXT, 20_000),
    ("ticketCreate", "contact.name", LINE, 200),
    ("ticketCreate", "contact.email", EMAIL, 254),
    ("ticketCreate", "contact.phone", PHONE, 40),
    ("ticketUpdate", "subject", LINE, 200),
    ("ticketUpdate", "description", TEXT, 20_000),
    ("ticketUpdate", "contact.name", LINE, 200),
    ("ticketUpdate", "contact.email", EMAIL, 254),
    ("ticketUpdate", "contact.phone", PHONE, 40),
    ("ticketSetStatus", "resolution", TEXT, 20_000),
    ("ticketResolve", "resolution", TEXT, 20_000),
    ("ticketsBulkUpdate", "resolution", TEXT, 20_000),
    ("noteAdd", "body", TEXT, 20_000),
    ("assignmentAdvance", "reason", TEXT, 500),
    ("attachmentCreate", "name", LINE, 255),
    ("customerCreate", "name", LINE, 200),
    ("customerCreate", "email", EMAIL, 254),
    ("customerCreate", "phone", PHONE, 40),
    ("customerCreate", "accountNumber", LINE, 40),
    ("customerUpdate", "name", LINE, 200),
    ("customerUpdate", "email", EMAIL, 254),
    ("customerUpdate", "phone", PHONE, 40),
    ("customerUpdate", "accountNumber", LINE, 40),
    ("propertyCreate", "address", LINE, 500),
    ("propertyCreate", "accountNumber", LINE, 40),
    ("propertyUpdate", "address", LINE, 500),
    ("propertyUpdate", "accountNumber", LINE, 40),
    ("propertyAccessNoteAdd", "body", TEXT, 1_000),
    ("technicianCreate", "name", LINE, 200),
    ("technicianCreate", "email", EMAIL, 254),
    ("technicianCreate", "phone", PHONE, 40),
    ("technicianUpdate", "name", LINE, 200),
    ("technicianUpdate", "email", EMAIL, 254),
    ("technicianUpdate", "phone", PHONE, 40),
    ("articleCreate", "problem", LINE, 500),
    ("articleCreate", "solution", TEXT, 20_000),
    ("articleUpdate", "problem", LINE, 500),
    ("articleUpdate", "solution", TEXT, 20_000),
    ("apiKeyCreate", "name", LINE, 200),
    ("apiKeyUpdate", "name", LINE, 200),
    ("identityLink", "issuer", LINE, 200),
    ("identityLink", "subject", LINE, 200),
    ("supportSettingsUpdate", "adminRecipients.0", EMAIL, 254),
    ("supportSettingsUpdate", "googleChatWebhookUrl", URL, 2_000),
]
each_text = pytest.mark.parametrize(("mutation", "path", "form", "most"), TEXTS, ids=[f"{t[0]} {t[1]}" for t in TEXTS])

FILLING = {LINE: "é", TEXT: "😀", EMAIL: ("b" * 59 + "."), PHONE: "5", URL: "x"}


def of_length(form: str, length: int) -> str:
    """Returns a unique value of this many characters, which is valid unless it is too long."""
    start = {LINE: str(next(_numbers)), EMAIL: f"a{next(_numbers)}@", URL: "https://chat.test/"}.get(form, "")
    end = "b.example.com" if form == EMAIL else ""
    filling = FILLING[form] * length
    return start + filling[: length - len(start) - len(end)] + end


@each_text
async def test_text_that_cannot_be_stored_is_refused(
    api: Api, database: Database, world: World, mutation: str, path: str, form: str, most: int
) -> None:
    bad = {"a\0b": "INVALID", "\0": "INVALID", of_length(form, most + 1): "TOO_LONG"}
    if form != TEXT:
        bad |= dict.fromkeys(("a\nb", "a\rb", "a\u2028b", "a\x0bb", "a\x85b"), "INVALID")
    if form not in (PHONE, URL):  # these may be blank
        bad |= dict.fromkeys(("", " ", "\t\r\n ", "\u00a0\u2003\u3000"), "REQUIRED")
    async with nothing_changes(database):
        for text, code in bad.items():
            refused = await api.refused(mutation, "__typename", **with_value(world.good(mutation), path, text))
            assert refused == [(code, path)], text


PERSON = "name email phone"
KEPT = {
    "ticketCreate": f"ticket {{ subject description contact {{ {PERSON} }} }}",
    "ticketUpdate": f"ticket {{ subject description contact {{ {PERSON} }} }}",
    "ticketSetStatus": "ticket { resolution }",
    "ticketResolve": "ticket { resolution }",
    "ticketsBulkUpdate": "results { ticket { resolution } }",
    "noteAdd": "note { body }",
    "assignmentAdvance": "assignment { reason }",
    "attachmentCreate": "attachment { name }",
    "customerCreate": f"customer {{ {PERSON} accountNumber }}",
    "customerUpdate": f"customer {{ {PERSON} accountNumber }}",
    "propertyCreate": "property { address accountNumber }",
    "propertyUpdate": "property { address accountNumber }",
    "propertyAccessNoteAdd": "property { accessNotes }",
    "technicianCreate": f"technician {{ {PERSON} }}",
    "technicianUpdate": f"technician {{ {PERSON} }}",
    "articleCreate": "article { problem solution }",
    "articleUpdate": "article { problem solution }",
    "apiKeyCreate": "apiKey { name }",
    "apiKeyUpdate": "apiKey { name }",
    "identityLink": "identity { issuer subject }",
    "supportSettingsUpdate": "supportSettings { adminRecipients }",
}
"""Selections that read a mutation's texts back, except for the webhook's URL, which is secret."""


@each_text
async def test_a_text_of_the_maximum_length_is_stored(
    api: Api, world: World, mutation: str, path: str, form: str, most: int
) -> None:
    """The length is counted in characters, not in bytes."""
    longest = of_length(form, most)
    assert len(longest) == most
    payload = await api.done(mutation, KEPT[mutation], **with_value(world.good(mutation), path, longest))
    whole = f'"{longest}"' if mutation != "propertyAccessNoteAdd" else f'The Boss: {longest}"'
    assert form == URL or whole in json.dumps(payload, ensure_ascii=False)


LITERALS = {
    "a NUL": (r'"a\u0000b"', "INVALID"),
    "a NUL in braces": (r'"a\u{0}b"', "INVALID"),
    "the first half of a character": (r'"\uD83D"', "GRAPHQL_PARSE_FAILED"),
    "the halves of a character in the wrong order": (r'"\uDE00 \uD83D"', "GRAPHQL_PARSE_FAILED"),
    "half a character in braces": (r'"\u{D800}"', "GRAPHQL_PARSE_FAILED"),
    "an invalid code point": (r'"\u{110000}"', "GRAPHQL_PARSE_FAILED"),
}


@pytest.mark.parametrize("name", LITERALS)
async def test_literals_that_cannot_be_stored_are_refused(
    api: Api, database: Database, world: World, name: str
) -> None:
    literal, code = LITERALS[name]
    fields = {"body": literal, "ticketId": f'"{world.ticket}"'}
    async with nothing_changes(database):
        for field in (*fields, "idempotencyKey"):
            given = fields | {"body": '"b"', field: literal}
            input = ", ".join(f"{name}: {value}" for name, value in given.items())
            response = await api.respond(f"mutation {{ noteAdd(input: {{{input}}}) {{ userErrors {{ code }} }} }}")
            assert refusals(response) == [code], field


async def test_a_literal_surrogate_pair_is_one_character(api: Api, world: World) -> None:
    document = (
        r'mutation($id: ID!) { noteAdd(input: {ticketId: $id, body: "\uD83D\uDE00 \u{1F600}"}) { note { body } } }'
    )
    assert (await api(document, id=world.ticket))["noteAdd"]["note"]["body"] == "😀 😀"


def refusals(response: dict[str, Any]) -> list[str]:
    """Returns the codes of the request's errors, or of its mutations' user errors."""
    if "errors" in response:
        return [error["extensions"]["code"] for error in response["errors"]]
    return [error["code"] for payload in response["data"].values() for error in payload["userErrors"]]


@pytest.mark.parametrize("half", [r"\ud800", r"\udfff", r"x\ud83dx", r"\ude00\ud83d"])
async def test_a_lone_surrogate_in_a_variable_is_invalid_json(
    api: Api, database: Database, world: World, half: str
) -> None:
    document = "mutation($input: NoteAddInput!) { noteAdd(input: $input) { userErrors { code } } }"
    bodies = [
        json.dumps({"query": document, "variables": {"input": {"ticketId": world.ticket, "body": "HALF"}}}),
        json.dumps({"query": document, "variables": {"input": {"ticketId": "HALF", "body": "b"}}}),
        json.dumps({"query": document, "variables": {"input": {"ticketId": world.ticket, "body": "b", "HALF": 1}}}),
        json.dumps({"query": document + " # HALF", "variables": {}}),
    ]
    async with nothing_changes(database):
        for body in bodies:
            content = body.replace("HALF", half)
            answer = await api.http.post("/graphql", content=content, headers={"content-type": "application/json"})
            assert answer.status_code == 400
            assert refusals(answer.json()) == ["BAD_REQUEST"]


# Addresses and numbers

NO_EMAILS = """
nobody
@example.com
nobody@
nobody@localhost
a@b@example.com
two words@example.com
nobody@two words.com
.nobody@example.com
nobody.@example.com
no..body@example.com
nobody@.example.com
nobody@example..com
nobody@example.com.
nobody@-example.com
nobody@example-.com
nobody@exam_ple.com
nobody@127.0.0.1
nobody@[127.0.0.1]
Nobody <nobody@example.com>
<nobody@example.com>
mailto:nobody@example.com
nobody@example.com,somebody@example.com
nobody@example.com;somebody@example.com
nobody@example.com somebody@example.com
nobody@example.com/path
(comment)nobody@example.com
no"body@example.com
no\\body@example.com
nobody@example.com\u200b
no\u200bbody@example.com
no\u00adbody@example.com
\ufeffnobody@example.com
\u202enobody@example.com
no\u3000body@example.com
no\u00a0body@example.com
nobody@exam\u200bple.com
""".strip().splitlines()


async def test_invalid_addresses_are_refused(api: Api, database: Database, world: World) -> None:
    async with nothing_changes(database):
        for email in [*NO_EMAILS, "x" * 65 + "@example.com", f"nobody@{'b' * 64}.com", f"nobody@example.{'c' * 64}"]:
            refused = await api.refused(
                "ticketCreate", "__typename", **with_value(world.good("ticketCreate"), "contact.email", email)
            )
            assert refused == [("INVALID", "contact.email")], ascii(email)


EMAILS = [
    "a@b.ca",
    "first.last+tag@sub.example.co.uk",
    "o'brien@example.com",
    "!#$%&'*+-/=?^_`{|}~@example.com",
    "1234567890@example.com",
    "nobody@123.example.com",
    "nobody@xn--mnchen-3ya.example",
    "jürgen@münchen.example",
    "用户@例子.广告",
    "UPPER@EXAMPLE.COM",
    "x" * 64 + "@example.com",
    f"nobody@{'b' * 63}.com",
    "nobody@a-b--c.museum",
]


async def test_unusual_addresses_are_stored_unchanged(api: Api) -> None:
    for email in EMAILS:
        created = await api.done(
            "ticketCreate",
            "ticket { contact { email } }",
            subject="s",
            description="d",
            contact={"name": "n", "email": email},
        )
        assert created["ticket"]["contact"]["email"] == email


PHONES = [
    "613-555-1234",
    "(613) 555-1234",
    "+1 613 555 1234 ext. 12",
    "+44 20 7946 0958 x7",
    "613.555.1234",
    "911",
    "*69",
    "613-555-1234,,5#",
]
NO_PHONES = ["none", "ask for Bob", "ext", "+", "--", "613-555-1234 <b>", "\uff15\uff15\uff15", "a@example.com"]


async def test_common_forms_of_phone_numbers_are_accepted(api: Api, world: World) -> None:
    for phone in PHONES:
        updated = await api.done(
            "ticketUpdate", "ticket { contact { phone } }", ticketId=world.ticket, contact={"phone": phone}
        )
        assert updated["ticket"]["contact"]["phone"] == phone


async def test_invalid_phone_numbers_are_refused(api: Api, database: Database, world: World) -> None:
    async with nothing_changes(database):
        for phone in NO_PHONES:
            refused = await api.refused("ticketUpdate", ticketId=world.ticket, contact={"phone": phone})
            assert refused == [("INVALID", "contact.phone")], phone


# Ids

IDS = [
    ("ticketCreate", "customerId", "cus"),
    ("ticketCreate", "propertyId", "prp"),
    ("ticketCreate", "technicianId", "tec"),
    ("ticketUpdate", "ticketId", "tkt"),
    ("ticketUpdate", "customerId", "cus"),
    ("ticketUpdate", "propertyId", "prp"),
    ("ticketAssign", "ticketId", "tkt"),
    ("ticketAssign", "technicianId", "tec"),
    ("ticketSetStatus", "ticketId", "tkt"),
    ("ticketResolve", "ticketId", "tkt"),
    ("ticketsBulkUpdate", "technicianId", "tec"),
    ("noteAdd", "ticketId", "tkt"),
    ("assignmentAdvance", "assignmentId", "asg"),
    ("presenceSet", "ticketId", "tkt"),
    ("attachmentCreate", "ticketId", "tkt"),
    ("attachmentCreate", "noteId", "not"),
    ("customerUpdate", "customerId", "cus"),
    ("customerErase", "customerId", "cus"),
    ("propertyCreate", "customerId", "cus"),
    ("propertyUpdate", "propertyId", "prp"),
    ("propertyAccessNoteAdd", "propertyId", "prp"),
    ("technicianUpdate", "technicianId", "tec"),
    ("articleCreateFromTicket", "ticketId", "tkt"),
    ("articleUpdate", "articleId", "art"),
    ("deliveryRetry", "deliveryId", "dlv"),
    ("inboundMessageAccept", "inboundMessageId", "inb"),
    ("inboundMessageAccept", "ticketId", "tkt"),
    ("inboundMessageDiscard", "inboundMessageId", "inb"),
    ("apiKeyUpdate", "apiKeyId", "key"),
    ("apiKeyRevoke", "apiKeyId", "key"),
    ("identityRevoke", "identityId", "idn"),
    ("adminUpdate", "adminId", "adm"),
    ("sessionRevoke", "sessionId", "ses"),
    ("webhookUpdate", "webhookId", "whk"),
    ("webhookRotateSecret", "webhookId", "whk"),
    ("webhookResume", "webhookId", "whk"),
    ("webhookSuspend", "webhookId", "whk"),
    ("webhookReplay", "webhookId", "whk"),
    ("webhookTest", "webhookId", "whk"),
    ("webhookDelete", "webhookId", "whk"),
]


def test_the_tests_cover_each_id_in_an_input() -> None:
    """The ids of a bulk update are left out, because each of its items has an error of its own."""
    taken = {(name, field) for name in root_fields("Mutation") for field in id_fields(name)}
    assert {(mutation, path) for mutation, path, _ in IDS} == taken - {("ticketsBulkUpdate", "ticketIds")}


@pytest.mark.parametrize(("mutation", "path", "prefix"), IDS, ids=[f"{i[0]} {i[1]}" for i in IDS])
async def test_unknown_ids_are_not_found_and_malformed_ones_are_invalid(
    api: Api, database: Database, world: World, mutation: str, path: str, prefix: str
) -> None:
    uuid = world.customer[4:]
    unknown = f"{prefix}_{UNKNOWN}"
    wrong = [world.technician if prefix == "cus" else world.customer, uuid, f"{prefix}_", "_", "", " ", f"{prefix}_1"]
    wrong += [f"{prefix}_{uuid}x", f" {unknown}", f"{unknown}\n", f"{unknown}\0", f"{prefix}_{uuid.replace('-', '')}"]
    wrong += [f"{prefix}_{{{uuid}}}", f"{prefix}-{uuid}", f"{prefix}__{uuid}", f"{prefix.upper()}_{uuid}"]
    wrong += [f"{prefix}_{uuid.upper()}", "' OR 1=1 --", "x" * 1000, "TKT-ABCDEF"]
    async with nothing_changes(database):
        for id_, code in ((unknown, "NOT_FOUND"), *((id_, "INVALID") for id_ in wrong)):
            refused = await api.refused(mutation, "__typename", **with_value(world.good(mutation), path, id_))
            assert refused == [(code, path)], id_
        # GraphQL accepts an integer as an id, but it is never one of ours.
        assert await api.refused(mutation, "__typename", **with_value(world.good(mutation), path, 5)) == [
            ("INVALID", path)
        ]


async def test_unknown_and_malformed_ids_in_a_bulk_update_are_user_errors(
    api: Api, database: Database, world: World
) -> None:
    async with nothing_changes(database):
        payload = await api.done(
            "ticketsBulkUpdate",
            "results { ticket { id } userErrors { code } }",
            ticketIds=[f"tkt_{UNKNOWN}"],
            priority="LOW",
        )
        assert payload["results"] == [{"ticket": None, "userErrors": [{"code": "NOT_FOUND"}]}]
        refused = await api.refused("ticketsBulkUpdate", ticketIds=[world.ticket, world.customer, ""], priority="LOW")
        assert refused == [("INVALID", "ticketIds.1"), ("INVALID", "ticketIds.2")]


async def test_an_error_shows_an_invalid_id_shortened_and_printable(api: Api, world: World) -> None:
    payload = await api.do("noteAdd", "__typename", ticketId="\x1b[31m\u202e" + "x" * 5000, body="b")
    (error,) = payload["userErrors"]
    assert len(error["message"]) < 120
    assert error["message"].isprintable()


# Inconsistent input


async def test_inconsistent_input_is_refused(api: Api, database: Database, world: World) -> None:
    new = world.good("ticketCreate")
    async with nothing_changes(database):
        for mutation, given, objection in (
            (
                "ticketCreate",
                new | {"customerId": world.customer, "propertyId": world.elsewhere},
                "MISMATCH propertyId",
            ),
            ("ticketCreate", new | {"propertyId": world.property}, "MISMATCH propertyId"),
            ("ticketCreate", new | {"technicianId": world.inactive}, "INACTIVE technicianId"),
            ("ticketUpdate", {"ticketId": world.ticket, "propertyId": world.elsewhere}, "MISMATCH propertyId"),
            ("ticketAssign", {"ticketId": world.ticket, "technicianId": world.inactive}, "INACTIVE technicianId"),
            (
                "ticketsBulkUpdate",
                {"ticketIds": [world.ticket], "technicianId": world.inactive},
                "INACTIVE technicianId",
            ),
        ):
            refused = await api.refused(mutation, "__typename", **given)
            assert refused == [tuple(objection.split())]


async def test_a_stale_version_changes_nothing_and_returns_the_current_ticket(
    api: Api, database: Database, world: World
) -> None:
    document = "query($id: ID!) { ticket(by: {id: $id}) { id version subject status } }"
    now = (await api(document, id=world.ticket))["ticket"]
    async with nothing_changes(database):
        for mutation, given in (
            ("ticketUpdate", {"subject": "stale"}),
            ("ticketAssign", {"technicianId": world.technician}),
            ("ticketSetStatus", {"status": "CLOSED"}),
            ("ticketResolve", {"resolution": "stale"}),
        ):
            payload = await api.do(
                mutation,
                "ticket { id version subject status }",
                ticketId=world.ticket,
                ifVersion=now["version"] + 1,
                **given,
            )
            assert [error["code"] for error in payload["userErrors"]] == ["STALE"]
            assert payload["ticket"] == now


# Transcripts


async def test_a_bad_transcript_is_refused(api: Api, database: Database, world: World) -> None:
    good = {"author": "CUSTOMER", "body": "b", "at": "2026-11-23T08:15:00Z"}
    new = world.good("ticketCreate")
    async with api.service() as chatbot, nothing_changes(database):
        for chat, objections in (
            ({"messages": [good, good | {"body": " "}]}, [("REQUIRED", "chat.messages.1.body")]),
            ({"messages": [good | {"body": "a\0b"}]}, [("INVALID", "chat.messages.0.body")]),
            ({"messages": [good | {"body": "x" * 10_001}]}, [("TOO_LONG", "chat.messages.0.body")]),
            ({"messages": [good] * 501}, [("TOO_LONG", "chat.messages")]),
            ({"messages": [good], "conversationId": "x" * 201}, [("TOO_LONG", "chat.conversationId")]),
            ({"messages": [good], "conversationId": "a\nb"}, [("INVALID", "chat.conversationId")]),
            ({"messages": [good], "conversationId": "a\0b"}, [("INVALID", "chat.conversationId")]),
        ):
            assert await chatbot.refused("ticketCreate", "__typename", **new, chat=chat) == objections
    async with api.service() as chatbot:
        await chatbot.done("ticketCreate", "__typename", **new, chat={"messages": [good] * 500})


BAD_TIMES = [
    "2026-11-23T08:15:00",
    "2026-11-23",
    "2026-11-23 08:15:00",
    "20261123T081500",
    "2026-13-01T00:00:00Z",
    "2026-02-30T00:00:00Z",
    "2026-11-23T25:00:00Z",
    "2026-11-23T08:15:00+25:00",
    "0000-01-01T00:00:00Z",
    "10000-01-01T00:00:00Z",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "08:15:00Z",
    "now",
    "",
    "Z",
    1_795_421_700,
    1.5,
    True,
    None,
    ["2026-11-23T08:15:00Z"],
    {"at": 1},
]


async def test_an_invalid_time_or_one_without_an_offset_is_refused(api: Api, database: Database, world: World) -> None:
    document = "query($at: DateTime) { tickets(filter: {createdAt: {from: $at}}) { nodes { id } } }"
    async with api.service() as chatbot, nothing_changes(database):
        for at in BAD_TIMES:
            chat = {"messages": [{"author": "BOT", "body": "b", "at": at}]}
            with pytest.raises(Refusal) as refusal:
                await chatbot.do("ticketCreate", "__typename", **world.good("ticketCreate"), chat=chat)
            assert refusal.value.codes == ["BAD_USER_INPUT"], at
            if at is not None:  # in a filter, null means no bound
                with pytest.raises(Refusal) as refusal:
                    await api(document, at=at)
                assert refusal.value.codes == ["BAD_USER_INPUT"], at
            if isinstance(at, str):
                literal = "{ tickets(filter: {updatedAt: {until: " + json.dumps(at) + "}}) { nodes { id } } }"
                with pytest.raises(Refusal) as refusal:
                    await api(literal)
                assert refusal.value.codes == ["GRAPHQL_VALIDATION_FAILED"], at


async def test_the_earliest_and_latest_times_are_accepted(api: Api, world: World) -> None:
    document = "query($at: DateTime) { tickets(filter: {createdAt: {from: $at, until: $at}}) { nodes { id } } }"
    async with api.service() as chatbot:
        for at in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "2026-11-23T08:15:00.123456+05:45"):
            chat = {"messages": [{"author": "BOT", "body": "b", "at": at}]}
            made = await chatbot.done("ticketCreate", "ticket { chat { at } }", **world.good("ticketCreate"), chat=chat)
            shown = made["ticket"]["chat"][0]["at"]
            assert datetime.fromisoformat(shown) == datetime.fromisoformat(at)
            await api(document, at=at)


# Values of the wrong type

WRONG: dict[tuple[str, str], tuple[Any, ...]] = {
    ("ticketUpdate", "subject"): (5, 1.5, True, ["s"], {"s": 1}),
    ("ticketUpdate", "priority"): ("high", "HIGHEST", "", 3, True, ["HIGH"]),
    ("ticketUpdate", "category"): ("Access Control", "alarm"),
    ("ticketUpdate", "contact"): ("Ann", 5, [1], {"mail": "x"}, []),
    ("ticketUpdate", "ifVersion"): ("1", 1.5, True, 2**31, -(2**31) - 1, 2**63, 2**64, 10**30, 1e300, 1e400),
    **{("ticketUpdate", name): ("x", 1, None) for name in ("status", "version", "reference", "technicianId", "id")},
    ("ticketUpdate", "ticketId"): (None, 1.5, True, ["tkt"], {}),
    ("ticketSetStatus", "status"): (None, "resolved", "DONE", 0, False),
    ("ticketResolve", "resolution"): (None, 5),
    ("ticketsBulkUpdate", "ticketIds"): (None, [None], [[]], {}, [1.5]),
    ("noteAdd", "internalOnly"): ("true", 0, 1, []),
    ("noteAdd", "body"): (None, 5),
    ("assignmentAdvance", "to"): (None, "OFFERED", "SUPERSEDED", "accepted", 1),
    ("assignmentAdvance", "eta"): ("soon", 5, "2026-11-23T08:15:00", "2026-11-23"),
    ("attachmentCreate", "size"): (None, "1", 1.5, 2**31, True),
    ("attachmentCreate", "sha256"): (None, 5),
    ("ticketCreate", "subject"): (None,),
    ("ticketCreate", "idempotencyKey"): (5, ["k"]),
    ("ticketCreate", "chat"): ({}, {"messages": None}, {"messages": [None]}, "text"),
    ("customerCreate", "name"): (None,),
    ("customerCreate", "id"): (None, f"cus_{UNKNOWN}"),
    ("propertyUpdate", "customerId"): (f"cus_{UNKNOWN}",),
    ("technicianUpdate", "active"): ("no", 0),
    ("articleUpdate", "published"): ("yes", 1),
    ("supportSettingsUpdate", "adminRecipients"): ([None], [5], {"0": "a@b.ca"}, 5),
    ("supportSettingsUpdate", "googleChatEnabled"): ("on", 1),
    ("supportSettingsUpdate", "notices"): (
        "CREATED",
        [None],
        [{}],
        [{"kind": "created"}],
        [{"kind": "CREATED", "email": 1}],
    ),
    ("supportSettingsTest", "channel"): (None, "email", "SMS", 1),
    ("deliveryRetry", "deliveryId"): (None, 1.5, True, {}),
    ("inboundMessageAccept", "contactEmail"): (5, ["ann@lee.test"], {}),
    ("apiKeyCreate", "name"): (None, 5),
    ("apiKeyCreate", "scope"): ("chatbot", "ADMIN", ["CHATBOT"], 0),
    ("apiKeyCreate", "expiresAt"): ("tomorrow", 1_900_000_000, "2030-01-01"),
    ("apiKeyUpdate", "scope"): ("chatbot", "CHATBOT MAIL_GATEWAY"),
}


NO_JSON = (1e400,)  # infinity


async def test_values_of_the_wrong_type_are_refused_before_execution(
    api: Api, database: Database, world: World
) -> None:
    async with nothing_changes(database):
        for (mutation, name), values in WRONG.items():
            for value in values:
                response = await send(api, mutation, world.good(mutation) | {name: value})
                assert "data" not in response, (mutation, name, value)
                code = "BAD_REQUEST" if value in NO_JSON else "BAD_USER_INPUT"
                assert refusals(response) == [code], (mutation, name, value)


async def send(api: Api, mutation: str, input: Any) -> dict[str, Any]:
    type_ = mutation[0].upper() + mutation[1:] + "Input"
    document = f"mutation($input: {type_}!) {{ {mutation}(input: $input) {{ userErrors {{ code }} }} }}"
    # Python serialises infinity as `Infinity`, which JSON does not have and which must be refused too.
    body = json.dumps({"query": document, "variables": {"input": input}})
    response = await api.http.post("/graphql", content=body, headers={"content-type": "application/json"})
    answer: dict[str, Any] = response.json()
    return answer


WRONG_INPUTS: list[Any] = [None, 5, "x", [], [{}], True]


async def test_an_input_that_is_not_an_object_is_refused(api: Api, database: Database) -> None:
    async with nothing_changes(database):
        for mutation in ("ticketCreate", "noteAdd", "supportSettingsUpdate"):
            for input in WRONG_INPUTS:
                assert refusals(await send(api, mutation, input)) == ["BAD_USER_INPUT"], (mutation, input)


REQUIRED = {
    "ticketCreate": ("subject", "description"),
    "ticketUpdate": ("ticketId",),
    "ticketAssign": ("ticketId",),
    "ticketSetStatus": ("ticketId", "status"),
    "ticketResolve": ("ticketId", "resolution"),
    "ticketsBulkUpdate": ("ticketIds",),
    "noteAdd": ("ticketId", "body"),
    "assignmentAdvance": ("assignmentId", "to"),
    "attachmentCreate": ("name", "contentType", "size", "sha256"),
    "customerCreate": ("name", "email", "accountNumber"),
    "customerUpdate": ("customerId",),
    "customerErase": ("customerId",),
    "propertyCreate": ("customerId", "address", "accountNumber"),
    "propertyUpdate": ("propertyId",),
    "propertyAccessNoteAdd": ("propertyId", "body"),
    "technicianCreate": ("name", "email"),
    "technicianUpdate": ("technicianId",),
    "articleCreate": ("problem", "solution"),
    "articleCreateFromTicket": ("ticketId",),
    "articleUpdate": ("articleId",),
    "apiKeyCreate": ("name",),
    "apiKeyUpdate": ("apiKeyId",),
    "apiKeyRevoke": ("apiKeyId",),
    "identityLink": ("issuer", "subject", "person"),
    "identityRevoke": ("identityId",),
    "adminCreate": ("name", "email"),
    "adminUpdate": ("adminId",),
    "sessionRevoke": ("sessionId",),
    "deliveryRetry": ("deliveryId",),
    "inboundMessageAccept": ("inboundMessageId",),
    "inboundMessageDiscard": ("inboundMessageId",),
    "supportSettingsTest": ("channel",),
}


async def test_a_missing_required_field_is_named(api: Api, database: Database, world: World) -> None:
    async with nothing_changes(database):
        for mutation, names in REQUIRED.items():
            for name in names:
                input = world.good(mutation)
                del input[name]
                response = await send(api, mutation, input)
                assert refusals(response) == ["BAD_USER_INPUT"]
                assert name in response["errors"][0]["message"]


async def test_omitting_the_technician_does_not_unassign(api: Api, database: Database, world: World) -> None:
    """Null unassigns; a client that forgets the field must not unassign by accident."""
    ticket = await api.new_ticket(technicianId=world.technician)
    async with nothing_changes(database):
        response = await send(api, "ticketAssign", {"ticketId": ticket})
        assert refusals(response) == ["REQUIRED"]


# Long input


async def test_a_long_value_is_refused_at_once(api: Api, database: Database, world: World) -> None:
    """Each value has a hundred thousand characters, which would keep a careless pattern busy for minutes."""
    fillings = [
        "5" * 100_000 + "!",
        "a." * 50_000 + "@",
        "a@" + "a" * 100_000,
        "a@" + "a." * 50_000,
        "x" + " " * 100_000 + "\n!",
    ]
    async with nothing_changes(database):
        for filling in fillings:
            for mutation, path in (
                ("ticketUpdate", "subject"),
                ("ticketUpdate", "contact.phone"),
                ("ticketUpdate", "contact.email"),
                ("supportSettingsUpdate", "googleChatWebhookUrl"),
                ("supportSettingsUpdate", "adminRecipients.0"),
                ("noteAdd", "ticketId"),
                ("noteAdd", "idempotencyKey"),
            ):
                refused = await api.refused(mutation, "__typename", **with_value(world.good(mutation), path, filling))
                assert refused == [("INVALID" if path == "ticketId" else "TOO_LONG", path)]


async def test_a_list_that_is_too_long_is_one_error(api: Api, database: Database) -> None:
    async with nothing_changes(database):
        ids = [f"x{n}" for n in range(5_000)]
        assert await api.refused("ticketsBulkUpdate", ticketIds=ids, priority="LOW") == [("TOO_LONG", "ticketIds")]
        refused = await api.refused("supportSettingsUpdate", "__typename", adminRecipients=ids)
        assert refused == [("TOO_LONG", "adminRecipients")]
